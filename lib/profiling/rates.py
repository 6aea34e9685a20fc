"""Counters as what they mean: an increase per second, with resets handled and never below zero."""

from __future__ import annotations

import numpy as np

from lib.profiling.gaps import is_gap


def increases(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much a counter grew from each sample to the next, and where it was reset: shapes (n-1,).

    A smaller value than the one before means that the counter began again at zero, so it grew by what it shows now.
    """
    with np.errstate(over="ignore"):
        step = np.diff(value)
    reset = step < 0
    return np.where(reset, np.maximum(value[1:], 0.0), step), reset


def rate(ts_ms: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Rate per second at each sample but the first, and how often the counter was reset.

    ts_ms: shape (n,), int64, strictly increasing; value: shape (n,). NaN and Inf are left out first. The first sample
    after a gap has no rate: nobody knows when within the gap the increase happened.
    """
    finite = np.isfinite(value)
    ts_ms, value = np.asarray(ts_ms, dtype=np.int64)[finite], np.asarray(value, dtype=np.float64)[finite]
    if ts_ms.size < 2:
        return ts_ms[:0], value[:0], 0
    increase, reset = increases(value)
    with np.errstate(over="ignore"):
        per_second = increase / (np.diff(ts_ms) / 1000.0)
    known = ~is_gap(ts_ms) & np.isfinite(per_second)
    return ts_ms[1:][known], per_second[known], int(reset.sum())
