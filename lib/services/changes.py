"""What changed? Every series of a window against the time before it and the same time of earlier days, ranked."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from lib import frames, memory
from lib.auth.actor import Actor, Permission
from lib.errors import Invalid
from lib.frames import Series, Window
from lib.profiling import changes, together
from lib.profiling.changes import ORDER, Compared, Slots, Test
from lib.profiling.gaps import GAP_FACTOR
from lib.profiling.titles import spoken
from lib.profiling.together import Together
from lib.profiling.units import unit_of
from lib.profiling.words import amount, duration, spelt
from lib.services.export import labels_of, neutral
from lib.store.readings import Readings
from lib.store.samples import Samples
from lib.store.summaries import expired_until

# What is compared at a time: about 30 MB of slots, whatever there is altogether.
CHUNK = 1500
# About ten seconds; beyond, a reader has gone elsewhere.
MOST_SERIES = 10_000
MOST_SAMPLES = 60_000_000
# How many times as long as the window the time before it is.
TIMES = (2, 4, 8)
# Earlier days that tell what is usual at this time: yesterday, the day before, a week ago.
DAYS = (1, 2, 7)
# Slots a window is cut into, when the samples allow it.
SLOTS, LEAST_SLOTS = 24, 4
LONGEST = timedelta(days=31)
MOST_ROWS = 1000
# What an event lists of its series.
MOST_MEMBERS = 100
DAY = timedelta(days=1)
COLUMNS = (
    *("rank", "score", "test", "also", "metric", "host", "labels"),
    *("before", "now", "unit", "reason", "series_id"),
)


@dataclass(frozen=True)
class Change:
    """One series that is different. score: 1 is what one test reaches by chance in one series of a hundred.

    ts_ms, value: the course of slots before and in the window, shape (n,); earlier: the same slots a day (or so)
    earlier, NaN where there is nothing. Empty beyond the foremost.
    """

    series: Series
    title: str
    unit: str
    score: float
    test: Test
    also: tuple[Test, ...]
    reason: str
    before: float
    now: float
    ts_ms: np.ndarray
    value: np.ndarray
    earlier: np.ndarray


@dataclass(frozen=True)
class Event:
    """Changes that are one: of the same host (or label), of the same kind, at the same moment; or one by itself.

    owner: (name of the label, value), ('', host) for a host; None for a change by itself. at: None where it is not
    known. changes: the strongest first, at most `MOST_MEMBERS` of `series`; the first has its course.
    """

    owner: tuple[str, str] | None
    test: Test
    at: datetime | None
    series: int
    changes: tuple[Change, ...]

    @property
    def score(self) -> float:
        return self.changes[0].score


@dataclass(frozen=True)
class Changed:
    """What was compared and what was found, the strongest first.

    changes: by series; events: the foremost by what happened, each with its series.
    series: match the choice and have samples in these times; compared: of those, how many could be compared; left_out:
    how many were too many; chance: the strongest score of the control (the last stretch before the window against
    what lies before that), when nothing is supposed to have happened; above: how many are stronger; earlier: days back
    that were stored, too. gone: before when samples have expired, which made the time before shorter than was asked.
    """

    changes: tuple[Change, ...]
    events: tuple[Event, ...]
    window: Window
    before: Window
    earlier: tuple[int, ...]
    step_s: float
    series: int
    compared: int
    left_out: int
    samples: int
    chance: float
    above: int
    as_of: datetime
    gone: datetime | None = None


@dataclass(frozen=True)
class _Plan:
    """Where slots lie. step_ms: their width; slots: in a window; times: windows before it."""

    window: Window
    step_ms: int
    slots: int
    times: int
    earlier: tuple[int, ...]

    @property
    def start(self) -> datetime:
        return self.window.start - timedelta(milliseconds=self.step_ms * self.slots * self.times)

    @property
    def unit(self) -> timedelta:
        return timedelta(milliseconds=self.step_ms * self.slots)


class Changes:
    """One comparison at a time: two would take twice the memory and no less time."""

    def __init__(self, samples: Samples, clock: Callable[[], datetime]) -> None:
        self.samples, self.clock = samples, clock
        self.readings = Readings(samples.store, GAP_FACTOR)
        self._one = threading.Lock()

    def compare(
        self,
        actor: Actor,
        window: Window,
        *,
        source_id: int | None = None,
        host: str | None = None,
        times: int = 4,
        limit: int = 100,
        drawn: int = 12,
    ) -> Changed:
        """The `limit` series that changed most, and the foremost `drawn` events with the course of their strongest.

        times: how many times as long as the window the time before it is. Raises Invalid.
        """
        actor.require(Permission.VIEW)
        if not timedelta(minutes=1) <= window.span <= LONGEST:
            raise Invalid(
                f"A window of {spelt(window.span)} cannot be compared; choose between 1 minute and {LONGEST.days} days."
            )
        if times not in TIMES:
            raise Invalid(f"The time before can be {', '.join(map(str, TIMES))} times as long, not {times}.")
        gone = expired_until(self.samples.store, Window(window.start - times * window.span, window.end))
        if gone is not None:
            # What expired would be taken for what was not there.
            kept = (window.start - gone) / window.span
            fitting = [one for one in TIMES if one <= kept]
            if not fitting:
                # The time before takes twice as long as the window itself.
                most = (window.end - gone) / (1 + min(TIMES))
                shorter = f"one of {spelt(most)} at most" if most >= timedelta(minutes=1) else "a later one"
                raise Invalid(
                    f"Samples before {gone:%Y-%m-%d} UTC have expired and only their sums are kept, which are too "
                    f"coarse to compare. Of the range that was chosen too much lies there; choose {shorter}."
                )
            times = min(times, max(fitting))
        with self._one:
            return self._compare(window, source_id, host, times, min(limit, MOST_ROWS), drawn, gone)

    def export(
        self, actor: Actor, window: Window, *, source_id: int | None = None, host: str | None = None, times: int = 4
    ) -> bytes:
        """The thousand that changed most, as CSV that runs no formulas."""
        found = self.compare(actor, window, source_id=source_id, host=host, times=times, limit=MOST_ROWS, drawn=0)
        rows = [
            {
                "rank": number,
                "score": round(one.score, 3),
                "test": str(one.test),
                "also": " ".join(one.also),
                "metric": neutral(one.series.metric),
                "host": neutral(one.series.host),
                "labels": labels_of(one.series),
                "before": one.before,
                "now": one.now,
                "unit": one.unit,
                "reason": neutral(one.reason),
                "series_id": one.series.id,
            }
            for number, one in enumerate(found.changes, 1)
        ]
        out = io.StringIO()
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(out, index=False)
        return out.getvalue().encode()

    def _compare(
        self,
        window: Window,
        source_id: int | None,
        host: str | None,
        times: int,
        limit: int,
        drawn: int,
        gone: datetime | None = None,
    ) -> Changed:
        whole = Window(window.start - times * window.span, window.end)
        stored, counts = self.readings.counts(whole)
        having = dict(zip(stored.tolist(), counts.tolist(), strict=True))
        series = [one for one in self.samples.find(source_id=source_id, host=host) if one.id in having]
        # Gauges and counters are read by different queries; mixed chunks would take both.
        chosen = sorted(_affordable(series, having), key=lambda one: one.kind)
        plan = self._plan(window, times, [having[one.id] for one in chosen], whole)
        results, present, slots = [], [], []
        for first in range(0, len(chosen), CHUNK):
            part = chosen[first : first + CHUNK]
            compared, control, seen, began = self._part(part, plan)
            results.append((compared, control))
            present.append(seen)
            slots.append(began)
        statistic, control = _joined(results, 0), _joined(results, 1)
        _add_presence(statistic, control, present, chosen, plan)
        limits = changes.limits(control)
        ranked, by_chance = changes.rank(statistic, limits), changes.rank(control, limits)
        chance = float(by_chance.score.max(initial=0.0))
        # The stable sort keeps equal ones in the order of their names.
        order = np.argsort(-ranked.score, kind="stable")
        order = order[ranked.score[order] > 1]
        grouped = self._grouped(chosen, ranked, order, np.concatenate(slots) if slots else np.empty((0, 2)), plan)
        grouped = grouped[:drawn]
        numbers = _Numbers([compared for compared, _ in results])
        courses = self._courses([chosen[order[one.rows[0]]] for one in grouped], plan)

        def change(row: int) -> Change:
            return self._change(chosen[row], ranked, row, numbers, plan, courses.get(chosen[row].id))

        return Changed(
            changes=tuple(change(row) for row in order[:limit].tolist()),
            events=tuple(
                Event(
                    owner=together.owner(*_named(chosen[order[one.rows[0]]])) if len(one.rows) > 1 else None,
                    test=one.kind if len(one.rows) > 1 else ORDER[ranked.strongest[order[one.rows[0]]]],
                    at=frames.from_ms(int(one.at_ms)) if math.isfinite(one.at_ms) else None,
                    series=len(one.rows),
                    changes=tuple(change(int(order[row])) for row in one.rows[:MOST_MEMBERS]),
                )
                for one in grouped
            ),
            window=window,
            before=Window(plan.start, window.start),
            earlier=plan.earlier,
            step_s=plan.step_ms / 1000,
            series=len(series),
            compared=_compared(statistic),
            left_out=len(series) - len(chosen),
            samples=sum(having[one.id] for one in chosen),
            chance=chance,
            above=int((ranked.score > max(chance, 1.0)).sum()),
            as_of=self.clock(),
            gone=gone,
        )

    def _grouped(
        self, series: Sequence[Series], ranked: changes.Ranked, order: np.ndarray, slots: np.ndarray, plan: _Plan
    ) -> list[Together]:
        """Which of the changes are one event. slots: when each series' level changed and when it stood still."""
        # A level that steps in the middle of the window may well be found as a rise.
        kinds = [Test.LEVEL if one is Test.TREND else one for one in map(ORDER.__getitem__, ranked.strongest[order])]
        at_ms = np.full(len(order), np.nan)
        for column, test in enumerate((Test.LEVEL, Test.FLAT)):
            mine = np.array([one is test for one in kinds], dtype=bool)
            at_ms[mine] = frames.to_ms(plan.window.start) + slots[order[mine], column] * plan.step_ms
        tolerance_ms = np.full(len(order), float(plan.step_ms))
        # Of those that came or went the very sample is known; as far apart as two of them they are one event.
        apart = [row for row, one in enumerate(kinds) if one in (Test.APPEARED, Test.DISAPPEARED)]
        ids = [series[order[row]].id for row in apart]
        extent = self.readings.extent(ids, Window(plan.start, plan.window.end)).set_index("series_id")
        for row, series_id in zip(apart, ids, strict=True):
            if series_id in extent.index:
                edge = extent.at[series_id, "last" if kinds[row] is Test.DISAPPEARED else "first"]
                at_ms[row] = edge.timestamp() * 1000
                tolerance_ms[row] = max(1500.0 * extent.at[series_id, "interval_s"], 1000.0)
        owners = [(series[row].source_id, together.owner(*_named(series[row]))) for row in order.tolist()]
        known = [one if one[1] is not None else None for one in owners]
        return together.together(known, kinds, at_ms, np.nan_to_num(tolerance_ms, nan=1000.0))

    def _plan(self, window: Window, times: int, counts: Sequence[int], whole: Window) -> _Plan:
        """Slots that hold a sample or more of most series, and the earlier days that are stored."""
        span_s = window.span.total_seconds()
        each = float(np.median(counts)) / (times + 1) if counts else 0.0
        slots = int(min(max(each, LEAST_SLOTS), SLOTS))
        step_ms = max(1, math.floor(span_s * 1000 / slots))
        # Days of a window that is longer than a day would overlap it.
        least = math.ceil(window.span / DAY)
        days = sorted({max(day, least * number) for number, day in enumerate(DAYS, 1)})
        oldest = self.readings.totals()[1]
        first = frames.from_ms(oldest) if oldest is not None else whole.start
        far = Window(window.start - (days[-1] + 1) * DAY - window.span, window.end)
        first = max(first, expired_until(self.samples.store, far) or first)
        return _Plan(window, step_ms, slots, times, tuple(day for day in days if window.start - day * DAY >= first))

    def _part(self, series: Sequence[Series], plan: _Plan) -> tuple[Compared, np.ndarray, list[np.ndarray], np.ndarray]:
        """Some series: the comparison, the control's statistics, in which slots they were there, and from which slot of
        the window on their level was another and they stood still: shape (n, 2)."""
        s, b = plan.slots, plan.slots * plan.times
        main = self._slots(series, plan.start, plan, b + s)
        # A stretch more, for the control.
        days = [self._slots(series, plan.window.start - d * DAY - plan.unit, plan, 2 * s) for d in plan.earlier]
        compared = changes.compare(main.part(0, b), main.part(b), [one.part(s) for one in days])
        control = changes.compare(main.part(0, b - s), main.part(b - s, b), [one.part(0, s) for one in days])
        now = main.part(b).mean
        began = np.column_stack([together.onsets(main.part(0, b).mean, now), together.stills(now)])
        return compared, control.statistic, [np.isfinite(one.mean) for one in (main, *days)], began

    def _slots(self, series: Sequence[Series], start: datetime, plan: _Plan, count: int) -> Slots:
        mean, low, high = (np.full((len(series), count), np.nan) for _ in range(3))
        for counters in (False, True):
            rows = [row for row, one in enumerate(series) if (one.kind == "counter") is counters]
            if not rows:
                continue
            found = self._read([series[row].id for row in rows], start, plan, count, counters)
            if counters:
                mean[rows] = low[rows] = high[rows] = changes.rates(found)
            else:
                mean[rows], low[rows], high[rows] = found["mean"], found["low"], found["high"]
        # Sums of very large numbers overflow.
        mean[~np.isfinite(mean)] = np.nan
        return Slots(mean, low, high)

    def _read(
        self, ids: Sequence[int], start: datetime, plan: _Plan, count: int, counters: bool
    ) -> dict[str, np.ndarray]:
        """Two lengths of the window at a time: what DuckDB read of the file stays with it until it is given back, and
        would be a hundred megabytes of a few million samples."""
        parts = []
        for first in range(0, count, 2 * plan.slots):
            moment, some = start + timedelta(milliseconds=first * plan.step_ms), min(2 * plan.slots, count - first)
            parts.append(self.readings.slots(ids, moment, plan.step_ms, some, counters=counters))
            self.samples.store.give_back()
        memory.trim()
        return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}

    def _courses(self, series: Sequence[Series], plan: _Plan) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """What is drawn of the foremost: their slots, and those of the nearest earlier day."""
        if not series:
            return {}
        count = plan.slots * (plan.times + 1)
        now = self._slots(series, plan.start, plan, count).mean
        earlier = np.full_like(now, np.nan)
        if plan.earlier:
            earlier = self._slots(series, plan.start - plan.earlier[0] * DAY, plan, count).mean
        return {one.id: (now[row], earlier[row]) for row, one in enumerate(series)}

    def _change(
        self,
        series: Series,
        ranked: changes.Ranked,
        row: int,
        numbers: _Numbers,
        plan: _Plan,
        course: tuple[np.ndarray, np.ndarray] | None,
    ) -> Change:
        test = ORDER[ranked.strongest[row]]
        unit = unit_of(series.metric, series.kind)
        value, earlier = course or (np.empty(0), np.empty(0))
        start_ms = frames.to_ms(plan.start)
        return Change(
            series=series,
            title=spoken(series.metric),
            unit=unit,
            score=float(ranked.score[row]),
            test=test,
            also=tuple(
                other for other, by in zip(ORDER, ranked.strength[row], strict=True) if by > 1 and other is not test
            ),
            reason=_reason(test, series, numbers, row, unit, plan),
            before=float(numbers.before[row]),
            now=float(numbers.now[row]),
            ts_ms=start_ms + np.arange(value.size, dtype=np.int64) * plan.step_ms + plan.step_ms // 2,
            value=value,
            earlier=earlier,
        )


def _named(series: Series) -> tuple[str, dict[str, str]]:
    return series.host, dict(series.labels)


class _Numbers:
    """The figures behind the words, of all series: shape (n,) each."""

    def __init__(self, parts: Sequence[Compared]) -> None:
        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in parts]) if parts else np.empty(0)

        self.now, self.before = joined("now"), joined("before")
        self.moves_now, self.moves_before = joined("moves_now"), joined("moves_before")
        self.rise_now, self.rise_before = joined("rise_now"), joined("rise_before")
        self.peak_now, self.peak_before = joined("peak_now"), joined("peak_before")


def _affordable(series: list[Series], counts: dict[int, int]) -> list[Series]:
    """All of them, or as many as can be compared in a reasonable time: evenly from the list, which is sorted by metric
    and host, so that each metric is there."""
    samples = sum(counts[one.id] for one in series)
    most = min(MOST_SERIES, int(len(series) * MOST_SAMPLES / samples) if samples > MOST_SAMPLES else len(series))
    if most >= len(series):
        return series
    return [series[i] for i in np.linspace(0, len(series) - 1, max(most, 1)).astype(int)]


def _joined(results: Sequence[tuple[Compared, np.ndarray]], which: int) -> np.ndarray:
    parts = [one[1] if which else one[0].statistic for one in results]
    return np.concatenate(parts) if parts else np.empty((0, len(ORDER)))


def _compared(statistic: np.ndarray) -> int:
    """How many series a test could say something about."""
    apart = [ORDER.index(Test.APPEARED), ORDER.index(Test.DISAPPEARED)]
    said = np.isfinite(np.delete(statistic, apart, axis=1)).any(axis=1) | (statistic[:, apart] > 0).any(axis=1)
    return int(said.sum())


def _add_presence(
    statistic: np.ndarray, control: np.ndarray, present: list[list[np.ndarray]], series: Sequence[Series], plan: _Plan
) -> None:
    """Fill in what takes all series together: who appeared and who disappeared."""
    if not present:
        return
    main, *days = (np.concatenate(parts) for parts in zip(*present, strict=True))
    sources = np.array([one.source_id for one in series])
    s, b = plan.slots, plan.slots * plan.times
    columns = [ORDER.index(Test.APPEARED), ORDER.index(Test.DISAPPEARED)]
    found = changes.presence(main[:, :b], main[:, b:], [one[:, s:] for one in days], sources)
    statistic[:, columns] = np.column_stack(found)
    found = changes.presence(main[:, : b - s], main[:, b - s : b], [one[:, :s] for one in days], sources)
    control[:, columns] = np.column_stack(found)


def _reason(test: Test, series: Series, numbers: _Numbers, row: int, unit: str, plan: _Plan) -> str:
    """Why it is on the list, in one sentence."""
    now, before = float(numbers.now[row]), float(numbers.before[row])
    a, b = amount(now, unit), amount(before, unit)
    what = "Rate" if series.kind == "counter" else "Level"
    if test is Test.APPEARED:
        return f"New: nothing of it in {duration((plan.window.start - plan.start).total_seconds())} before; now {a}."
    if test is Test.DISAPPEARED:
        return f"Gone silent while others of its source went on; it was {b}."
    if test is Test.FLAT:
        return f"Stands still at {a}; before, it moved by about {amount(float(numbers.moves_before[row]), unit)}."
    if test is Test.SPREAD:
        was, is_ = float(numbers.moves_before[row]), float(numbers.moves_now[row])
        word = "more" if is_ > was else "less"
        times = _times(is_, was) if is_ > was else _times(was, is_)
        return f"Moves {times}{word}: by {amount(is_, unit)} instead of {amount(was, unit)} at a time."
    if test is Test.TREND:
        rise = float(numbers.rise_now[row])
        usual = amount(abs(float(numbers.rise_before[row])), unit)
        return f"{'Rises' if rise > 0 else 'Falls'} by {amount(abs(rise), unit)} within the window; usual is {usual}."
    if test is Test.PEAK:
        peak, ever = float(numbers.peak_now[row]), float(numbers.peak_before[row])
        verb = "Rises to" if peak > ever else "Falls to"
        return f"{verb} {amount(peak, unit)} for a part of the window; never beyond {amount(ever, unit)} before."
    if test is Test.SHAPE:
        return f"Its values spread otherwise around their middle ({a}, before {b})."
    up = now > before
    big, small = (now, before) if up else (before, now)
    times = _times(big, small)
    by = f"{times}{'higher' if up else 'lower'}, " if times else ""
    return f"{what} {'up' if up else 'down'}: {by}from {b} to {a}."


def _times(more: float, less: float) -> str:
    """`3.2 times `, or nothing where the ratio says little."""
    if not less > 0 or not 1.5 <= more / less < 1e6:
        return ""
    return f"{more / less:.3g} times "
