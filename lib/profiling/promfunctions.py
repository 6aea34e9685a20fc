"""What PromQL's functions over time make of stored samples, number for number as Prometheus has it.

A function looks at the samples of one series inside a window that ends at each step. Stale markers are no samples; any
other NaN is one. Sources: promql/functions.go and promql/quantile.go of Prometheus 2.42 and 3.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from lib.frames import STALE_NAN_BITS

# Values of overlapping windows laid out at a time: 16 MB.
_CELLS = 2_000_000


class Function(StrEnum):
    """The functions of one series over time; the value is PromQL's name."""

    RATE = "rate"  # a counter's growth per second, resets handled, extrapolated to the window's edges
    INCREASE = "increase"  # the same over the whole window
    AVG = "avg_over_time"
    MIN = "min_over_time"
    MAX = "max_over_time"
    SUM = "sum_over_time"
    COUNT = "count_over_time"
    QUANTILE = "quantile_over_time"


COUNTING = (Function.RATE, Function.INCREASE)


@dataclass(frozen=True)
class Rules:
    """Where releases differ. left_open: a sample exactly at a window's start is outside of it. zero_last: a counter's
    way down to zero bounds what is extrapolated also where the window's start is far. noise: buckets of a histogram
    that differ by no more than this share are taken as equal. stepwise_mean: a mean follows the samples one by one,
    which differs from sum by count where values cancel."""

    left_open: bool
    zero_last: bool
    noise: float
    stepwise_mean: bool


RELEASES: Mapping[int, Rules] = {
    2: Rules(left_open=False, zero_last=False, noise=0.0, stepwise_mean=True),  # as 2.42, which Debian has
    3: Rules(left_open=True, zero_last=True, noise=1e-12, stepwise_mean=False),
}


def steps(start_ms: int, end_ms: int, step_ms: int) -> np.ndarray:
    """Whole multiples of the step since 1970 in [start, end]: a refresh a moment later has the same ones."""
    first = -(-start_ms // step_ms) * step_ms
    return np.arange(first, end_ms + 1, step_ms, dtype=np.int64)


def without_stale(ts_ms: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples that are no stale markers; other NaN stay."""
    stale = np.ascontiguousarray(value, dtype=np.float64).view(np.int64) == STALE_NAN_BITS
    return (ts_ms[~stale], value[~stale]) if stale.any() else (ts_ms, value)


def over_time(
    function: Function,
    ts_ms: np.ndarray,
    value: np.ndarray,
    at_ms: np.ndarray,
    range_ms: int,
    rules: Rules = RELEASES[3],
    share: float = 0.95,
) -> np.ndarray:
    """One function of one series at each step: shape of at_ms, NaN where Prometheus gives NaN or nothing.

    ts_ms: int64, strictly increasing; at_ms: int64, increasing; share: the quantile's, 0 to 1.
    """
    ts_ms, value = without_stale(np.asarray(ts_ms, np.int64), np.asarray(value, np.float64))
    first, last = _windows(ts_ms, at_ms, range_ms, rules)
    if function in COUNTING:
        return _extrapolated(function, ts_ms, value, first, last, at_ms, range_ms, rules)
    held = last - first
    if function is Function.COUNT:
        return np.where(held > 0, held.astype(np.float64), np.nan)
    made = np.full(at_ms.size, np.nan)
    for some, cells, inside in _laid_out(value, first, held):
        made[some] = _reduced(function, cells, inside, held[some], share, rules)
    return made


def histogram_quantile(share: float, bounds: np.ndarray, counts: np.ndarray, rules: Rules = RELEASES[3]) -> np.ndarray:
    """The value below which a share of what a histogram counted lies, at each step, interpolated inside its bucket.

    bounds: shape (buckets,), the `le` of each, +Inf among them; counts: shape (buckets, steps), cumulative as stored or
    their rates, NaN where a bucket has none. Returns shape (steps,), NaN where it cannot be told.
    """
    made = np.full(counts.shape[1], np.nan)
    if np.isnan(share) or not counts.size:
        return made
    if not 0 <= share <= 1:
        made[:] = -np.inf if share < 0 else np.inf
        made[np.isnan(counts).all(axis=0)] = np.nan
        return made
    order = np.argsort(bounds, kind="stable")
    bounds, counts = bounds[order], counts[order]
    there = ~np.isnan(counts)
    # A bucket that is missing is not an edge to interpolate from, so steps are taken by which they have.
    for pattern in np.unique(there, axis=1).T:
        some = np.flatnonzero((there == pattern[:, None]).all(axis=0))
        if pattern.any():
            made[some] = _bucket_quantile(share, bounds[pattern], counts[np.ix_(pattern, some)], rules)
    return made


# --- windows ---------------------------------------------------------------------------------------


def _windows(ts_ms: np.ndarray, at_ms: np.ndarray, range_ms: int, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """First sample inside, and the first beyond, of the window that ends at each step."""
    first = np.searchsorted(ts_ms, at_ms - range_ms, "right" if rules.left_open else "left")
    return first, np.maximum(np.searchsorted(ts_ms, at_ms, "right"), first)


def _laid_out(
    value: np.ndarray, first: np.ndarray, held: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Steps that hold samples, some at a time: their indices, values of shape (steps, most held), which are inside."""
    filled = np.flatnonzero(held)
    # Windows of like size side by side, so that a few long ones do not make a wide table of all.
    filled = filled[np.argsort(held[filled], kind="stable")]
    sizes = held[filled]
    start = 0
    while start < filled.size:
        cells = sizes[start:] * np.arange(1, filled.size - start + 1)
        end = start + max(1, int(np.searchsorted(cells, _CELLS, "right")))
        some = filled[start:end]
        column = np.arange(sizes[end - 1])
        inside = column < held[some, None]
        yield some, value[np.where(inside, first[some, None] + column, 0)], inside
        start = end


def _reduced(
    function: Function, cells: np.ndarray, inside: np.ndarray, held: np.ndarray, share: float, rules: Rules
) -> np.ndarray:
    if function in (Function.MIN, Function.MAX):
        reduce = np.fmin if function is Function.MIN else np.fmax
        return reduce.reduce(np.where(inside, cells, np.nan), axis=1)  # NaN only where there is nothing else
    if function is Function.QUANTILE:
        return _quantile(cells, inside, held, share)
    if function is Function.AVG and rules.stepwise_mean:
        return _stepwise_mean(cells, held)
    total = _sum(np.where(inside, cells, 0.0))
    if function is Function.SUM:
        return total
    with np.errstate(over="ignore", invalid="ignore"):
        mean = total / held
        # Prometheus' mean does not overflow where the sum does.
        over = np.isinf(total) & np.isfinite(np.where(inside, cells, 0.0)).all(axis=1)
        if over.any():
            mean[over] = _sum(np.where(inside[over], cells[over], 0.0) / held[over, None])
    return mean


def _sum(cells: np.ndarray) -> np.ndarray:
    """Sums of rows with what rounding took away added again: as exact as the compensated sums of Prometheus."""
    with np.errstate(over="ignore", invalid="ignore"):
        total, lost = cells, np.zeros(cells.shape[0])
        while total.shape[1] > 1:
            if total.shape[1] % 2:
                total = np.concatenate((total, np.zeros((total.shape[0], 1))), axis=1)
            left, right = total[:, ::2], total[:, 1::2]
            total = left + right
            part = total - left
            lost = lost + ((left - (total - part)) + (right - part)).sum(axis=1)
        plain = total[:, 0]
        return np.where(np.isfinite(plain), plain + lost, plain)


def _stepwise_mean(cells: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Neumaier's compensated sum of how far each value moves the mean. held: rising, so that the last rows go on."""
    mean, lost = np.zeros(held.size), np.zeros(held.size)
    with np.errstate(over="ignore", invalid="ignore"):
        for column in range(cells.shape[1]):
            on = slice(int(np.searchsorted(held, column, "right")), None)
            value, before, count = cells[on, column], mean[on], column + 1.0
            moved = value / count - before / count
            after = before + moved
            rest = np.where(np.abs(before) >= np.abs(moved), (before - after) + moved, (moved - after) + before)
            # An infinite mean stays, unless the other infinity or no number comes.
            stays = np.isinf(before) & (np.isfinite(value) | (before == value))
            mean[on] = np.where(stays, before, after)
            lost[on] = np.where(stays, lost[on], lost[on] + rest)
        return np.where(np.isinf(mean), mean, mean + lost)


def _quantile(cells: np.ndarray, inside: np.ndarray, held: np.ndarray, share: float) -> np.ndarray:
    """NaN counts as less than anything, as in Prometheus."""
    if np.isnan(share):
        return np.full(held.size, np.nan)
    if not 0 <= share <= 1:
        return np.full(held.size, -np.inf if share < 0 else np.inf)
    numbers = inside & ~np.isnan(cells)
    unknown = held - numbers.sum(axis=1)
    # What is outside goes behind all, NaN before all: rows hold `unknown` NaN, then numbers in order.
    ordered = np.sort(np.where(numbers, cells, np.nan), axis=1)
    rank = share * (held - 1)
    low = np.maximum(0, np.floor(rank)).astype(np.int64)
    high = np.minimum(held - 1, low + 1)
    row = np.arange(held.size)
    below, above = (np.where(at < unknown, np.nan, ordered[row, np.maximum(at - unknown, 0)]) for at in (low, high))
    weight = rank - np.floor(rank)
    with np.errstate(invalid="ignore", over="ignore"):
        return below * (1 - weight) + above * weight


# --- counters --------------------------------------------------------------------------------------


def _extrapolated(
    function: Function,
    ts_ms: np.ndarray,
    value: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    at_ms: np.ndarray,
    range_ms: int,
    rules: Rules,
) -> np.ndarray:
    """rate and increase: the growth between first and last sample, drawn out to the window's edges as far as samples
    this close together make likely."""
    made = np.full(at_ms.size, np.nan)
    some = np.flatnonzero(last - first > 1)
    if not some.size:
        return made
    begin, end = first[some], last[some] - 1
    with np.errstate(all="ignore"):
        growth = _grown(value, begin, end)
        sampled = (ts_ms[end] - ts_ms[begin]) / 1000.0
        typical = sampled / (end - begin)
        to_start = (ts_ms[begin] - (at_ms[some] - range_ms)) / 1000.0
        to_end = (at_ms[some] - ts_ms[end]) / 1000.0
        near = typical * 1.1
        if rules.zero_last:
            to_start = np.where(to_start >= near, typical / 2, to_start)
        to_zero = sampled * (value[begin] / growth)
        bounded = (growth > 0) & (value[begin] >= 0) & (to_zero < to_start)
        to_start = np.where(bounded, to_zero, to_start)
        reach = sampled + (to_start if rules.zero_last else np.where(to_start < near, to_start, typical / 2))
        reach = reach + np.where(to_end < near, to_end, typical / 2)
        factor = reach / sampled
        if function is Function.RATE:
            factor = factor / (range_ms / 1000.0)
        made[some] = growth * factor
    return made


def _grown(value: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Last less first value, and each value from before a reset added, in the order Prometheus adds them."""
    growth = value[end] - value[begin]
    resets = np.flatnonzero(value[1:] < value[:-1])  # the sample before each reset
    next_, stop = np.searchsorted(resets, begin, "left"), np.searchsorted(resets, end, "left")
    open_ = np.flatnonzero(next_ < stop)
    while open_.size:
        growth[open_] += value[resets[next_[open_]]]
        next_[open_] += 1
        open_ = open_[next_[open_] < stop[open_]]
    return growth


# --- histograms ------------------------------------------------------------------------------------


def _bucket_quantile(share: float, bounds: np.ndarray, counts: np.ndarray, rules: Rules) -> np.ndarray:
    """bounds: sorted, may repeat (`1` and `1.0` are one bucket); counts: shape (buckets, steps), no NaN."""
    unknown = np.full(counts.shape[1], np.nan)
    if bounds[-1] != np.inf:
        return unknown
    edges, start = np.unique(bounds, return_index=True)
    counts = _rising(np.add.reduceat(counts, start, axis=0), rules.noise)
    if edges.size < 2:
        return unknown
    observed = counts[-1]
    rank = share * observed
    reached = counts[:-1] >= rank
    found = np.where(reached.any(axis=0), reached.argmax(axis=0), edges.size - 1)
    column = np.arange(counts.shape[1])
    before = np.maximum(found - 1, 0)
    lower = np.where(found > 0, edges[before], 0.0)
    skipped = np.where(found > 0, counts[before, column], 0.0)
    with np.errstate(all="ignore"):
        inside = lower + (edges[found] - lower) * ((rank - skipped) / (counts[found, column] - skipped))
    made = np.where((found == 0) & (edges[0] <= 0), edges[0], inside)
    made = np.where(found == edges.size - 1, edges[-2], made)
    return np.where(observed == 0, np.nan, made)


def _rising(counts: np.ndarray, noise: float) -> np.ndarray:
    """Cumulative counts that never fall: buckets are not read at one instant, and rates are rounded."""
    made = counts.copy()
    for row in range(1, len(made)):
        before, here = made[row - 1], made[row]
        close = np.abs(before - here) <= noise * (np.abs(before) + np.abs(here))
        made[row] = np.where(close | (here < before), before, here)
    return made
