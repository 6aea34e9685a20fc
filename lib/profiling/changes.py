"""What is different in one stretch of time: a series against the time before it and against the same time of earlier
days, by several tests that are brought to one scale.

Slots: equal parts of time; a value a slot, NaN where nothing was read. A window has s slots, the time before it a
multiple of s; each stretch of s slots before, and each earlier day at the same time, is a reference. A test says how
far the window is from the *nearest* reference, so that what happens every evening, or every few hours, is no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import bottleneck as bn
import numpy as np


class Test(StrEnum):
    """How a series can be different."""

    __test__ = False  # Not for pytest to collect.

    LEVEL = "level"  # its middle lies elsewhere
    SPREAD = "spread"  # it moves more, or less
    SHAPE = "shape"  # its values are distributed otherwise around their middle
    TREND = "trend"  # it rises or falls as it did not before
    PEAK = "peak"  # for a part of the window it goes further out than ever before
    FLAT = "flat"  # it moved and now stands still
    APPEARED = "appeared"  # it was not there before
    DISAPPEARED = "disappeared"  # it stopped while others of its source went on


# What no history makes remarkable, in the unit of each test: deviations, log of a ratio, distance of distributions,
# deviations, times as far, and powers of ten of chance for the rest.
FLOORS: Mapping[Test, float] = {
    Test.LEVEL: 3.0,
    Test.SPREAD: float(np.log(2)),
    # One in a hundred pairs of 24 and 96 independent draws is 0.37 apart, and slots are not quite independent.
    Test.SHAPE: 0.42,
    Test.TREND: 3.0,
    # Two and a half times as far from the middle as whatever was furthest, noise minded.
    Test.PEAK: 1.5,
    Test.FLAT: 3.0,
    Test.APPEARED: 4.0,
    Test.DISAPPEARED: 4.0,
}
ORDER = tuple(FLOORS)
# One series in a hundred is as far from what was before without anything having happened.
QUANTILE = 0.99
# Beyond this a strength counts by its logarithm: a constant that moved is any number of deviations away.
_LINEAR = 10.0
# What agrees with the strongest test says a little more.
_SECOND = 0.1
# Fewer slots with a value say nothing about a stretch.
LEAST_NOW, LEAST_BEFORE = 3, 6
_SIGMA = 1.4826


@dataclass(frozen=True)
class Slots:
    """mean, low, high: shape (n, k): what n series read in k slots; NaN where there was nothing."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def part(self, start: int, end: int | None = None) -> Slots:
        """Some of the slots."""
        return Slots(*(one[:, start:end] for one in (self.mean, self.low, self.high)))


@dataclass(frozen=True)
class Compared:
    """statistic: shape (n, tests) in `ORDER`, higher is more different, NaN where a test cannot say.

    now, before: medians; moves_now, moves_before: typical movement; rise_now, rise_before: from the first half of a
    stretch to its second; peak_now, peak_before: the furthest slot on the side on which the window goes out, and the
    furthest of every reference; all shape (n,).
    """

    statistic: np.ndarray
    now: np.ndarray
    before: np.ndarray
    moves_now: np.ndarray
    moves_before: np.ndarray
    rise_now: np.ndarray
    rise_before: np.ndarray
    peak_now: np.ndarray
    peak_before: np.ndarray


@dataclass(frozen=True)
class Ranked:
    """score: shape (n,), 1 is what one test passes in one of a hundred series by chance; strongest: index into
    `ORDER`; strength: shape (n, tests), on the same scale. NaN statistics count 0."""

    score: np.ndarray
    strongest: np.ndarray
    strength: np.ndarray


def rates(parts: Mapping[str, np.ndarray]) -> np.ndarray:
    """A counter's rate per second in each slot, never below zero: shape (n, k).

    parts: first, last, low, high (values) and first_ms, last_ms, each shape (n, k). The time from the last sample of
    the slot before belongs to a slot; after an empty one only what lies within. A value below an earlier one means
    that the counter began again at zero; of several such in one slot the last is counted.
    """
    first, last, low, high = (parts[name] for name in ("first", "last", "low", "high"))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        restarted = (high > last) | (low < first)
        within = np.where(restarted, high - first + np.maximum(last, 0), last - first)
        seconds = (parts["last_ms"] - parts["first_ms"]) / 1000.0
        rate = within / seconds
        step = first[:, 1:] - last[:, :-1]
        step = np.where(step < 0, np.maximum(first[:, 1:], 0), step)
        since = (parts["last_ms"][:, 1:] - parts["last_ms"][:, :-1]) / 1000.0
        joined = (within[:, 1:] + step) / since
        rate[:, 1:] = np.where(np.isfinite(joined), joined, rate[:, 1:])
    rate[~np.isfinite(rate)] = np.nan
    return rate


def compare(before: Slots, window: Slots, days: list[Slots]) -> Compared:
    """Each test's distance of `window` from its nearest reference.

    before: k slots, a multiple of the window's s; days: the same time of earlier days, s slots each.
    """
    before, window, days = _bounded(before), _bounded(window), [_bounded(one) for one in days]
    s = window.mean.shape[1]
    units = [before.part(start, start + s) for start in range(0, before.mean.shape[1], s)]
    references = [*units, *days]
    now, middles = _median(window.mean), np.stack([_median(one.mean) for one in references], axis=1)
    usual = _median(before.mean)
    scale = _scale(before, references, usual, now)
    # Where it was going anyway: the last stretch, and as much again as one stretch usually adds.
    going = middles[:, len(units) - 1] + _median(np.diff(middles[:, : len(units)], axis=1))
    level = _nearest(now, np.column_stack([middles, going])) / scale

    moves_now, moves = _moves(window), np.stack([_moves(one) for one in references], axis=1)
    least = 0.01 * scale
    spread = _nearest(np.log(moves_now + least), np.log(moves + least[:, None]))

    centred = np.concatenate([one.mean - _median(one.mean)[:, None] for one in units], axis=1)
    around = [centred, *(one.mean - _median(one.mean)[:, None] for one in days)]
    shape = _least(np.stack([_distance(window.mean - now[:, None], one) for one in around], axis=1))

    rise, rises = _rise(window), np.stack([_rise(one) for one in references], axis=1)
    trend = _nearest(rise, rises) / scale

    peak, peak_now, peak_before = _peak(window, references, usual, scale)

    statistic = np.full((now.size, len(ORDER)), np.nan)
    for test, values in (
        (Test.LEVEL, level),
        (Test.SPREAD, spread),
        (Test.SHAPE, shape),
        (Test.TREND, trend),
        (Test.PEAK, peak),
        (Test.FLAT, _flat(before, window, references)),
    ):
        statistic[:, ORDER.index(test)] = values
    few = (_count(window.mean) < LEAST_NOW) | (_count(before.mean) < LEAST_BEFORE)
    statistic[few] = np.nan
    count = len(units)
    moved, rose = _median(moves[:, :count]), _median(rises[:, :count])
    return Compared(statistic, now, usual, moves_now, moved, rise, rose, peak_now, peak_before)


def presence(
    before: np.ndarray, window: np.ndarray, days: list[np.ndarray], sources: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How surprising it is that a series appeared, and that it disappeared: powers of ten, shape (n,) each.

    before, window, days: bool, shape (n, slots), whether a slot has a value. sources: shape (n,). Slots in which
    nothing of a source was collected say nothing about its series.
    """
    appeared, gone = np.zeros(sources.size), np.zeros(sources.size)
    for source in np.unique(sources):
        mine = sources == source
        parts = [one[mine] for one in (before, window, *days)]
        collected = [one.any(axis=0) for one in parts]
        shares = [
            one[:, slots].mean(axis=1) if slots.any() else None for one, slots in zip(parts, collected, strict=True)
        ]
        was, (here, seen) = shares[0], (parts[1], collected[1])
        if was is None or not seen.any() or collected[0].sum() < LEAST_BEFORE:
            continue
        earlier = [share for share in shares[2:] if share is not None]
        new = (was == 0) & np.all([share == 0 for share in earlier], axis=0)
        appeared[mine] = np.where(new, 2.0 * here.sum(axis=1), 0.0)
        # How many of the collected slots lie after the last one that had a value.
        behind = here[:, seen][:, ::-1]
        silent = np.where(behind.any(axis=1), behind.argmax(axis=1), behind.shape[1])
        steady = -np.log10(np.maximum(1 - was, 0.01))
        absent_before = (
            np.any([share < 0.5 for share in earlier], axis=0) if earlier else np.zeros(was.size, dtype=bool)
        )
        gone[mine] = np.where((was >= 0.8) & ~absent_before & (silent >= LEAST_NOW), silent * steady, 0.0)
    return appeared, gone


def limits(control: np.ndarray) -> np.ndarray:
    """What counts as 1 in each test: shape (tests,). control: statistics of a time when nothing is supposed to have
    happened, shape (n, tests)."""
    found = np.array([FLOORS[test] for test in ORDER])
    for number in range(len(ORDER)):
        known = control[:, number][np.isfinite(control[:, number])]
        if known.size:
            found[number] = max(found[number], float(np.quantile(known, QUANTILE, method="higher")))
    return found


def rank(statistic: np.ndarray, limit: np.ndarray) -> Ranked:
    """One score a series: its strongest test, and a tenth of each other that passes as well."""
    strength = np.nan_to_num(statistic / limit, nan=0.0, posinf=1e9)
    big = strength > _LINEAR
    strength[big] = _LINEAR * (1 + np.log10(strength[big] / _LINEAR))
    strongest = strength.argmax(axis=1) if strength.size else np.zeros(len(strength), dtype=int)
    top = strength.max(axis=1) if strength.size else np.zeros(len(strength))
    others = np.where(strength > 1, strength, 0).sum(axis=1) - np.where(top > 1, top, 0)
    return Ranked(top + _SECOND * others, strongest, strength)


def _bounded(slots: Slots) -> Slots:
    """Without values whose differences and ratios overflow, and without what rounding makes of a mean of equals."""
    mean, low, high = (np.clip(one, -1e150, 1e150) for one in (slots.mean, slots.low, slots.high))
    return Slots(np.where(low == high, low, mean), low, high)


def _scale(before: Slots, references: list[Slots], usual: np.ndarray, now: np.ndarray) -> np.ndarray:
    """One deviation of a series: how far its slots usually lie from their middle, and never nothing."""
    mad = _SIGMA * _median(np.abs(before.mean - usual[:, None]))
    size = np.fmax(np.abs(usual), np.abs(now))
    lows = np.stack([bn.nanmin(_filled(one.low, np.inf), axis=1) for one in references])
    highs = np.stack([bn.nanmax(_filled(one.high, -np.inf), axis=1) for one in references])
    # A hundredth of its size is little for what moves; for what never moved a thousandth is much.
    share = np.where(highs.max(axis=0) > lows.min(axis=0), 0.01, 0.001)
    return np.fmax(np.fmax(mad, share * size), np.finfo(float).tiny * 1e20)


def _moves(slots: Slots) -> np.ndarray:
    """Typical movement: from slot to slot, and within one."""
    return _zero(_median(np.abs(_steps(slots.mean)))) + _zero(_median(slots.high - slots.low))


def _steps(values: np.ndarray) -> np.ndarray:
    """From each known slot's predecessor, however long ago, to it; NaN where a slot is empty."""
    if values.size == 0:
        return np.full(values.shape, np.nan)
    held = bn.push(values, axis=1)
    return values - np.concatenate([np.full((len(values), 1), np.nan), held[:, :-1]], axis=1)


def _rise(slots: Slots) -> np.ndarray:
    half = slots.mean.shape[1] // 2
    return _median(slots.mean[:, -half:]) - _median(slots.mean[:, :half])


def _peak(
    window: Slots, references: list[Slots], usual: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much further than any slot of any reference the window goes out, as a share of how far that was; and both
    places. What a single slot does is no change: the second furthest counts, and names the place.

    The middle of a window says nothing of an hour within its day, which this does.
    """
    middle = usual[:, None]
    found = []
    for sign in (1.0, -1.0):
        out = np.sort(_filled(sign * (window.mean - middle), -np.inf), axis=1)[:, -2:]
        second = _filled(out[:, 0], 0.0) if out.shape[1] > 1 else np.zeros(usual.size)
        each = [_filled(sign * (one.mean - middle), -np.inf).max(axis=1, initial=0.0) for one in references]
        furthest = _filled(np.max(each, axis=0), 0.0)
        found.append((np.maximum(second - furthest, 0) / (furthest + 3 * scale), sign * second, sign * furthest))
    up, down = found
    upward = up[0] >= down[0]
    peak, now, before = (np.where(upward, a, b) for a, b in zip(up, down, strict=True))
    return peak, usual + now, usual + before


def _flat(before: Slots, window: Slots, references: list[Slots]) -> np.ndarray:
    """How improbable it is that nothing moves now, if slots moved as often as before: powers of ten."""
    still = ~_moving(window).any(axis=1)
    ever_still = np.any([~_moving(one).any(axis=1) & (_count(one.mean) >= LEAST_NOW) for one in references], axis=0)
    slots = np.maximum(_count(before.mean), 1)
    share = np.minimum(_moving(before).sum(axis=1) / slots, 0.99)
    return np.where(still & ~ever_still, -_count(window.mean) * np.log10(1 - share), 0.0)


def _moving(slots: Slots) -> np.ndarray:
    return (np.abs(_zero(_steps(slots.mean))) > 0) | (np.nan_to_num(slots.high - slots.low) > 0)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Kolmogorov and Smirnov's distance of two samples, row by row: shape (n,)."""
    both = np.concatenate([a, b], axis=1)
    # To a millionth of their size, so that rounding does not tell equal values apart.
    size = np.maximum(bn.nanmax(_filled(np.abs(both), 0.0), axis=1), np.finfo(float).tiny)[:, None]
    both = np.round(both / size, 6)
    order = np.argsort(both, axis=1)
    values = np.take_along_axis(both, order, axis=1)
    mine = order < a.shape[1]
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        share_a = np.cumsum(mine & known, axis=1) / (mine & known).sum(axis=1, keepdims=True)
        share_b = np.cumsum(~mine & known, axis=1) / (~mine & known).sum(axis=1, keepdims=True)
    gap = np.abs(share_a - share_b)
    # Between equal values neither distribution has stepped as far as it will.
    last = np.concatenate([values[:, 1:] != values[:, :-1], np.ones((len(values), 1), dtype=bool)], axis=1)
    return bn.nanmax(np.where(last & known, gap, np.nan), axis=1)


def _nearest(value: np.ndarray, references: np.ndarray) -> np.ndarray:
    return _least(np.abs(value[:, None] - references))


def _least(distance: np.ndarray) -> np.ndarray:
    """The smallest known, NaN where none is."""
    return bn.nanmin(distance, axis=1)


def _median(values: np.ndarray) -> np.ndarray:
    return bn.nanmedian(values, axis=1) if values.shape[1] else np.full(len(values), np.nan)


def _count(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values).sum(axis=1)


def _filled(values: np.ndarray, fill: float) -> np.ndarray:
    return np.where(np.isfinite(values), values, fill)


def _zero(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values)
