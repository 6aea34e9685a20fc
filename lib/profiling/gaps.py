"""Where a series pauses: its typical interval, the gaps, and lines that break at them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from lib.frames import from_ms

# One missed scrape and its jitter is no gap yet (2 intervals and a bit); two missed in a row are.
GAP_FACTOR = 2.5


@dataclass(frozen=True)
class Gap:
    """A stretch without samples: from the last sample before it to the first one after it."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


def typical_interval_ms(ts_ms: np.ndarray) -> float | None:
    """Median time between samples; None for fewer than two. ts_ms: shape (n,), increasing."""
    if ts_ms.size < 2:
        return None
    return float(np.median(np.diff(ts_ms)))


def is_gap(ts_ms: np.ndarray, factor: float = GAP_FACTOR, usual_ms: float | None = None) -> np.ndarray:
    """Which of the n-1 steps between n samples are gaps: shape (n-1,), bool.

    A step is a gap when it is longer than 2.5 times the typical interval, and than 2.5 times the shorter of its two
    neighbours: a series whose scrape interval was changed is slow for a while, not full of holes (it breaks once,
    at the change). usual_ms: the interval where it is known, as of buckets; two or three points do not tell it.
    """
    steps = np.diff(np.asarray(ts_ms, dtype=np.int64)).astype(np.float64)
    if steps.size < 2:
        return steps > factor * (np.inf if usual_ms is None else usual_ms)
    before = np.concatenate(([np.inf], steps[:-1]))
    after = np.concatenate((steps[1:], [np.inf]))
    local = np.minimum(before, after)
    return steps > factor * np.maximum(np.median(steps) if usual_ms is None else usual_ms, local)


def find_gaps(ts_ms: np.ndarray) -> list[Gap]:
    """Every gap, in order of time."""
    return [Gap(from_ms(int(ts_ms[i])), from_ms(int(ts_ms[i + 1]))) for i in np.flatnonzero(is_gap(ts_ms))]


def missing_count(ts_ms: np.ndarray) -> int:
    """How many samples the gaps would have held at the pace of the typical interval."""
    typical = typical_interval_ms(ts_ms)
    if not typical:
        return 0
    held = np.diff(ts_ms)[is_gap(ts_ms)]
    return int(np.maximum(np.round(held / typical) - 1, 0).sum())


def break_lines(
    ts_ms: np.ndarray, *columns: np.ndarray, factor: float = GAP_FACTOR, usual_ms: float | None = None
) -> tuple[np.ndarray, ...]:
    """The same points with a NaN in the middle of every gap, so that a line drawn through them breaks there."""
    at = np.flatnonzero(is_gap(ts_ms, factor, usual_ms)) + 1
    if at.size == 0:
        return (ts_ms, *columns)
    middle = (ts_ms[at - 1] + ts_ms[at]) // 2
    return (np.insert(ts_ms, at, middle), *(np.insert(column, at, np.nan) for column in columns))
