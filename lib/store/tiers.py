"""Samples summed up for long spans: five minutes and an hour in one row, computed when a day closes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# Name -> milliseconds a row stands for; each divides a day.
TIERS: Mapping[str, int] = {"5m": 300_000, "1h": 3_600_000}
VALUES = ("min", "max", "sum", "last", "increase")


@dataclass(frozen=True)
class Tier:
    """A row a series and slot that has a number. ts_ms: the slot's start. All shape (n,), sorted by series and time.

    NaN is left out: count, min, max, sum and last are of what is a number. increase: how much a counter grew, resets
    minded, from the last finite sample before each; NaN for what is no counter.
    """

    series_id: np.ndarray
    ts_ms: np.ndarray
    count: np.ndarray
    min: np.ndarray
    max: np.ndarray
    sum: np.ndarray
    last: np.ndarray
    increase: np.ndarray


def downsample(
    series_id: np.ndarray,
    ts_ms: np.ndarray,
    value: np.ndarray,
    step_ms: int,
    counters: set[int],
    before: Mapping[int, float],
) -> Tier:
    """Sum samples up. They are sorted by series and time; before: a counter's last finite value ahead of the first."""
    there = ~np.isnan(value)
    series_id, ts_ms, value = series_id[there], ts_ms[there], value[there]
    grown = growth(series_id, value, counters, before)
    slot = ts_ms // step_ms
    starts = np.flatnonzero(np.append(True, (np.diff(slot) != 0) | (np.diff(series_id) != 0))[: value.size])
    if not starts.size:
        none = np.empty(0)
        return Tier(series_id, ts_ms, np.empty(0, np.int64), none, none, none, none, none)
    ends = np.append(starts[1:], value.size)
    with np.errstate(over="ignore", invalid="ignore"):
        return Tier(
            series_id=series_id[starts],
            ts_ms=slot[starts] * step_ms,
            count=ends - starts,
            min=np.minimum.reduceat(value, starts),
            max=np.maximum.reduceat(value, starts),
            sum=np.add.reduceat(value, starts),
            last=value[ends - 1],
            increase=np.add.reduceat(grown, starts),
        )


def growth(series_id: np.ndarray, value: np.ndarray, counters: set[int], before: Mapping[int, float]) -> np.ndarray:
    """How much each sample of a counter is above the finite one before it; after a reset, what it counts anew. 0 for
    the first ever and for what is not finite, NaN for what is no counter."""
    grown = np.zeros(value.size)
    finite = np.flatnonzero(np.isfinite(value))
    ids, numbers = series_id[finite], value[finite]
    first = np.append(True, np.diff(ids) != 0)[: ids.size]
    previous = np.append(np.nan, numbers[:-1])[: ids.size]
    previous[first] = [before.get(int(one), np.nan) for one in ids[first]]
    with np.errstate(over="ignore", invalid="ignore"):
        step = numbers - previous
        step = np.where(step < 0, np.maximum(numbers, 0.0), step)
    grown[finite] = np.where(np.isnan(previous), 0.0, step)
    grown[~np.isin(series_id, np.fromiter(counters, dtype=np.int64, count=len(counters)))] = np.nan
    return grown
