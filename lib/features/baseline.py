"""What to expect of a channel at a moment: its usual day, moved to its recent level, and how far it usually strays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import bottleneck as bn
import numpy as np

from lib.features.kernels import move

DAY_MS = 86_400_000
# A usual day takes a few days to see; telling weekends apart takes two of them.
MIN_DAYS, MIN_DAYS_SPREAD, MIN_DAYS_WEEKEND = 3.0, 7.0, 14.0  # fewer, and one incident is most of what there is
# A usual week takes each weekday twice: what one does apart from its like counts as far as so many weeks can show it.
# Of only two, what is less than half of the other is no habit.
MIN_DAYS_WEEK, SHOWN, HABIT = 15.0, 2.5, 0.5
JUMP = 5.0  # spreads, of what the week does from one quarter of an hour to the next
SLOTS = 96  # of a quarter of an hour


@dataclass(frozen=True)
class Baseline:
    """day: shape (c, 7, SLOTS), from Monday on; zeros when no rhythm could be learnt. home: shape (c,), the level
    the rhythm usually runs at.

    spread: shape (c, SLOTS), the usual size of the residual by time of day. low, high: shape (c,), how many spreads
    below and above the expected value the band reaches. level_window: steps the recent level is taken over.
    """

    day: np.ndarray
    home: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level_window: int

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "day": self.day,
            "home": self.home,
            "spread": self.spread,
            "low": self.low,
            "high": self.high,
            "level_window": np.array(self.level_window),
        }

    def only(self, number: int) -> Baseline:
        """The baseline of one channel, for drawing it without the others."""
        one = slice(number, number + 1)
        return replace(
            self,
            day=self.day[one],
            home=self.home[one],
            spread=self.spread[one],
            low=self.low[one],
            high=self.high[one],
        )

    @classmethod
    def from_arrays(cls, given: dict[str, np.ndarray]) -> Baseline:
        return cls(
            given["day"], given["home"], given["spread"], given["low"], given["high"], int(given["level_window"])
        )

    def usual_day(self, ts_ms: np.ndarray) -> np.ndarray:
        """shape (c, n): the rhythm's part at each moment, interpolated between slots."""
        slot, part, weekday = _slots(ts_ms)
        nxt = (slot + 1) % SLOTS
        return self.day[:, weekday, slot] * (1 - part) + self.day[:, weekday, nxt] * part

    def spread_at(self, ts_ms: np.ndarray) -> np.ndarray:
        """shape (c, n): the usual size of a residual at each moment; more around a jump of the week, whose very minute
        nobody promised."""
        slot, part, weekday = _slots(ts_ms)
        spread = self.spread[:, slot] * (1 - part) + self.spread[:, (slot + 1) % SLOTS] * part
        return spread if self._moves is None else spread + self._moves[:, weekday, slot]

    def jumps(self, ts_ms: np.ndarray) -> np.ndarray:
        """Whether the week makes any channel jump, shape (n,)."""
        slot, _, weekday = _slots(ts_ms)
        return np.asarray(self._jumps[weekday, slot])

    @cached_property
    def _moves(self) -> np.ndarray | None:
        """How far what the week does apart moves about each weekday and slot, shape as `day`; None where no week was
        learnt."""
        alike = [self.day[:, :5].mean(axis=1, keepdims=True)] * 5 + [self.day[:, 5:].mean(axis=1, keepdims=True)] * 2
        weekly = self.day - np.concatenate(alike, axis=1)
        return _moved(weekly) if weekly.any() else None

    @cached_property
    def _jumps(self) -> np.ndarray:
        """shape (7, SLOTS): where the week makes any channel jump, and the usual day jumps with it."""
        if self._moves is None:
            return np.zeros(self.day.shape[1:], dtype=bool)
        both = np.minimum(self._moves, _moved(self.day))
        return np.asarray((both > JUMP * self.spread[:, None]).any(axis=0))

    def expected(self, ts_ms: np.ndarray, values: np.ndarray) -> np.ndarray:
        """shape (c, n): what was to be expected at each moment: the usual day at its recent level, or at its usual
        one when that is nearer. Coming home after a long incident is no incident."""
        rhythm = self.usual_day(ts_ms)
        return self.expected_by(rhythm, values - rhythm)

    def expected_by(self, rhythm: np.ndarray, apart: np.ndarray) -> np.ndarray:
        """As `expected`, of the newest moments. rhythm: shape (c, k), theirs. apart: shape (c, k and more), how far
        values are from the rhythm, also of the moments before as far as the level looks back."""
        k = rhythm.shape[1]
        recent = _level(apart, self.level_window, k)
        with np.errstate(invalid="ignore"):
            away = apart[:, apart.shape[1] - k :]
            nearer = np.abs(away - self.home[:, None]) < np.abs(away - recent)
        return rhythm + np.where(nearer, self.home[:, None], recent)

    def band(self, ts_ms: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) around the expected values, each shape (c, n)."""
        spread = self.spread_at(ts_ms)
        return expected - self.low[:, None] * spread, expected + self.high[:, None] * spread


def fit(ts_ms: np.ndarray, values: np.ndarray, usable: np.ndarray, step_ms: int, level_window: int) -> Baseline:
    """Learn from training rows; `usable`, shape (n,), is False for rows to leave out."""
    clean = np.where(usable[None, :], values, np.nan)
    days = (ts_ms[-1] - ts_ms[0] + step_ms) / DAY_MS
    day = _usual_day(ts_ms, clean, days) if days >= MIN_DAYS else np.zeros((len(values), 7, SLOTS))
    day = day.astype(np.float32)  # an app holds as many as groups
    nothing = np.zeros(len(values))
    away = Baseline(day, nothing, np.ones((len(values), SLOTS)), nothing, nothing, level_window)
    home = np.nan_to_num(_median(clean - away.usual_day(ts_ms)))
    draft = replace(away, home=home)
    residual = clean - draft.expected(ts_ms, values)
    spread = _spread(ts_ms, residual, days)
    with np.errstate(invalid="ignore"):
        strayed = residual / replace(draft, spread=spread).spread_at(ts_ms)
    low, high = -quantile(strayed, 0.005), quantile(strayed, 0.995)
    # At least three spreads either way: quantiles of a short history are too narrow.
    return replace(draft, spread=spread, low=np.maximum(low, 3.0) * 1.1, high=np.maximum(high, 3.0) * 1.1)


def _slots(ts_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slot of the day (its centre at or before the moment), the part of the way to the next, and weekday (0 Monday)."""
    place = (ts_ms % DAY_MS) / DAY_MS * SLOTS - 0.5
    below = np.floor(place)
    weekday = (ts_ms // DAY_MS + 3) % 7  # 1970-01-01 was a Thursday
    return below.astype(int) % SLOTS, place - below, weekday.astype(int)


def _usual_day(ts_ms: np.ndarray, values: np.ndarray, days: float) -> np.ndarray:
    """Median by slot over days, smoothed over neighbours. Medians let the incidents of training pass by."""
    slot = ((ts_ms % DAY_MS) * SLOTS // DAY_MS).astype(int)
    weekday = _slots(ts_ms)[2]
    centred = values - np.nanmedian(values, axis=1, keepdims=True)
    day = np.zeros((len(values), 7, SLOTS))
    alike = (range(5), range(5, 7)) if days >= MIN_DAYS_WEEKEND else (range(7),)
    for kind in alike:
        day[:, list(kind)] = _by_slot(centred, slot, np.isin(weekday, kind))[:, None]
    if days >= MIN_DAYS_WEEK:
        day += _apart_by_weekday(ts_ms, centred - day[:, weekday, slot], days)
    return day


def _apart_by_weekday(ts_ms: np.ndarray, apart: np.ndarray, days: float) -> np.ndarray:
    """What each weekday does beside the usual day, shape (c, 7, SLOTS), as far as so many weeks can show it. apart:
    shape (c, n), values less the usual day."""
    seen, weekdays = _by_day(ts_ms, apart)
    own, strayed = np.empty((len(apart), 7, SLOTS)), np.empty_like(seen)
    for weekday in range(7):
        weeks = seen[:, weekdays == weekday]
        own[:, weekday] = _habit(weeks)
        strayed[:, weekdays == weekday] = weeks - bn.nanmedian(weeks, axis=1)[:, None]
    for run in own.reshape(len(own), -1):  # what was seen in one week only is as the quarters of an hour around it
        known = np.flatnonzero(np.isfinite(run))
        run[:] = np.interp(np.arange(run.size), known, run[known], period=run.size) if known.size else 0.0
    # The error of a middle of so many weeks.
    surely = SHOWN * robust_scale(strayed.reshape(len(apart), -1))[:, None, None] / np.sqrt(days / 7 - 1)
    # What is twice as much counts in full: a sawtooth made smaller would keep a jump nobody expects.
    return np.sign(own) * np.minimum(np.abs(own), 2 * np.maximum(np.abs(own) - surely, 0.0))


def _by_day(ts_ms: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median of each quarter of an hour, shape (c, days, SLOTS), NaN where nothing was seen; and the days' weekdays."""
    quarter = ts_ms * SLOTS // DAY_MS
    first = quarter[0] // SLOTS
    seen = np.full((len(rows), quarter[-1] // SLOTS - first + 1, SLOTS), np.nan)
    begins = np.flatnonzero(np.diff(quarter, prepend=quarter[0] - 1))
    for begin, end in zip(begins, [*begins[1:], quarter.size], strict=True):
        seen[:, quarter[begin] // SLOTS - first, quarter[begin] % SLOTS] = _median(rows[:, begin:end])
    return seen, (first + np.arange(seen.shape[1]) + 3) % 7  # 1970-01-01 was a Thursday


def _habit(weeks: np.ndarray) -> np.ndarray:
    """What happens each week, shape (c, SLOTS); NaN where one week is all there is. weeks: shape (c, w, SLOTS).

    The middle of three and more. Two may agree by chance or hold one odd day, so they count where both go the same way:
    their middle where they go alike, else the lesser.
    """
    count = np.isfinite(weeks).sum(axis=1)
    least, middle, most = (of(weeks, axis=1) for of in (bn.nanmin, bn.nanmedian, bn.nanmax))
    lesser = np.where(np.abs(least) < np.abs(most), least, most)
    alike = np.abs(lesser) >= HABIT * np.maximum(np.abs(least), np.abs(most))
    both = np.where(np.sign(least) == np.sign(most), np.where(alike, middle, lesser), 0.0)
    return np.where(count > 2, middle, np.where(count == 2, both, np.nan))


def _moved(day: np.ndarray) -> np.ndarray:
    """How far values of a usual week move from the slot before to two after, shape as `day`."""
    run = day.reshape(len(day), -1)  # from one day into the next the slots run on
    near = np.stack([np.roll(run, -k, axis=1) for k in (-1, 0, 1, 2)])
    return np.asarray((near.max(axis=0) - near.min(axis=0)).reshape(day.shape))


def _by_slot(rows: np.ndarray, slot: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Median of the chosen moments by slot, smoothed over neighbours, shape (c, SLOTS)."""
    shape = np.stack([_median(rows[:, chosen & (slot == s)]) for s in range(SLOTS)], axis=1)
    shape = np.where(np.isfinite(shape), shape, 0.0)
    wide = np.concatenate([shape[:, -2:], shape, shape[:, :2]], axis=1)
    return np.asarray(move("mean", wide, 5)[:, 4:])


def _spread(ts_ms: np.ndarray, residual: np.ndarray, days: float) -> np.ndarray:
    """Robust size of the residual; by time of day where history allows, never under half of the whole day's."""
    whole = robust_scale(residual)
    spread = np.repeat(whole[:, None], SLOTS, axis=1)
    if days >= MIN_DAYS_SPREAD:
        slot = ((ts_ms % DAY_MS) * SLOTS // DAY_MS).astype(int)
        reach = 6  # slots either side: three hours together
        by_slot = [
            robust_scale(residual[:, (np.abs((slot - s + SLOTS // 2) % SLOTS - SLOTS // 2) <= reach)])
            for s in range(SLOTS)
        ]
        spread = np.maximum(np.stack(by_slot, axis=1), 0.5 * spread)
    return spread


def robust_scale(rows: np.ndarray) -> np.ndarray:
    """A standard deviation outliers do not move, per row: from quartiles, or from the 10 to 90% span of spiky rows."""
    low, q1, q3, high = (quantile(rows, q) for q in (0.1, 0.25, 0.75, 0.9))
    scale = np.maximum((q3 - q1) / 1.349, 0.5 * (high - low) / 2.563)
    # Rows that hardly ever move: the plain deviation, else something small but not nothing.
    with np.errstate(invalid="ignore"):
        plain = bn.nanstd(rows, axis=1)
        size = bn.nanmax(np.abs(rows), axis=1) if rows.shape[1] else np.zeros(len(rows))
    scale = np.where(scale > 1e-12 * np.where(np.isfinite(size), size, 0.0), scale, plain)
    return np.where(
        np.isfinite(scale) & (scale > 0), scale, np.maximum(np.where(np.isfinite(size), size, 0) * 1e-3, 1e-9)
    )


def quantile(rows: np.ndarray, q: float) -> np.ndarray:
    """The q-quantile of each row, gaps left out; NaN for a row of gaps."""
    if rows.shape[1] == 0:
        return np.full(len(rows), np.nan)
    counted = np.sort(rows, axis=1)  # NaN sorts last
    n = np.isfinite(rows).sum(axis=1)
    at = np.clip((n - 1) * q, 0, None)
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, np.maximum(n - 1, 0))
    pick = np.arange(len(rows))
    return np.where(n > 0, counted[pick, below] * (1 - (at - below)) + counted[pick, above] * (at - below), np.nan)


def _median(rows: np.ndarray) -> np.ndarray:
    return bn.nanmedian(rows, axis=1) if rows.shape[1] else np.full(len(rows), np.nan)


def _level(residual: np.ndarray, window: int, last: int) -> np.ndarray:
    """The middle of the last `window` values, the present one not among them: a fault shorter than half the
    window does not move it. Shape (c, last). At the very start what little there is stands in."""
    n = residual.shape[1]
    enough = max(2, min(window // 4, 12))
    before = np.full(residual.shape, np.nan)
    before[:, 1:] = residual[:, :-1]
    level = move("median", before, window, enough, last)
    first = n - last  # what is known ahead is longer than the start
    if first <= enough and last:
        start = before[:, : enough + 1].copy()
        start[:, 0] = residual[:, 0]
        little = move("median", start, enough + 1)[:, first:]
        early = level[:, : little.shape[1]]
        early[:] = np.where(np.isnan(early), little, early)
    return level
