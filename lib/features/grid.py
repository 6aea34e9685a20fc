"""Raw samples of a group onto one regular grid: counters as rates with resets handled, gaps left as NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lib.errors import NotEnoughData
from lib.frames import Series
from lib.profiling.rates import increases

# Steps people scrape at; a grid uses one of them, so that a detector's step reads well.
NICE_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
# A grid longer than this is coarsened: 30 days then means two minutes a step, and fitting stays within seconds.
MAX_ROWS = 30_000
# A rate over a longer hole than this many steps says little about any moment in it.
MAX_RATE_SPAN = 5


@dataclass(frozen=True)
class Grid:
    """Bins of `step_ms`, shifted by `phase_ms` so that scrapes fall mid-bin and jitter does not empty bins."""

    step_ms: int
    phase_ms: int = 0

    @property
    def step_s(self) -> float:
        return self.step_ms / 1000

    def bin_of(self, ts_ms: np.ndarray) -> np.ndarray:
        """Number of the bin each timestamp falls in."""
        return (np.asarray(ts_ms, dtype=np.int64) - self.phase_ms) // self.step_ms

    def moments(self, first: int, n: int) -> np.ndarray:
        """Where scrapes usually fall in n bins from number `first` on, in Unix milliseconds: the middle of each."""
        return np.arange(first, first + n, dtype=np.int64) * self.step_ms + self.phase_ms + self.step_ms // 2

    def to_json(self) -> dict[str, int]:
        return {"step_ms": self.step_ms, "phase_ms": self.phase_ms}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Grid:
        return cls(int(given["step_ms"]), int(given["phase_ms"]))


@dataclass(frozen=True)
class Table:
    """Series side by side on a grid.

    ids: shape (s,). ts_ms: shape (n,), the middle of each bin. values: shape (s, n),
    NaN where nothing was seen. resets: shape (s, n), True where a counter started anew.
    """

    grid: Grid
    ids: np.ndarray
    ts_ms: np.ndarray
    values: np.ndarray
    resets: np.ndarray

    def rows(self, keep: slice) -> Table:
        return Table(self.grid, self.ids, self.ts_ms[keep], self.values[:, keep], self.resets[:, keep])


def choose_grid(frame: pd.DataFrame, max_rows: int = MAX_ROWS) -> Grid:
    """The group's own step: its series' longer sampling intervals, coarsened when the span is long.

    Raises NotEnoughData when no series has two samples.
    """
    ids, ts, _ = _sorted(frame)
    same = ids[1:] == ids[:-1]
    gaps = np.diff(ts)[same]
    if gaps.size == 0:
        raise NotEnoughData("No series here has two samples yet; a sampling interval cannot be told.", points=len(ts))
    # Not the median: of samples that come irregularly, half the bins would then stay empty.
    typical = pd.Series(gaps).groupby(ids[1:][same]).quantile(0.75).median()
    step_ms = _nice(float(typical), int(ts.max() - ts.min()), max_rows)
    # Circular mean of the scrape's phase; the bin edge goes half a step before it.
    angle = 2 * np.pi * ((ts[:: max(1, len(ts) // 5000)] % step_ms) / step_ms)
    centre = np.angle(np.exp(1j * angle).mean()) / (2 * np.pi) * step_ms
    return Grid(step_ms, int(round(centre - step_ms / 2)) % step_ms)


def _nice(typical_ms: float, span_ms: int, max_rows: int) -> int:
    least = max(typical_ms * 0.75, span_ms / max_rows)
    return next((s * 1000 for s in NICE_STEPS_S if s * 1000 >= least), int(np.ceil(least / 3_600_000)) * 3_600_000)


def tabulate(series: Sequence[Series], frame: pd.DataFrame, grid: Grid) -> Table:
    """Every series of the group on the grid, from the first bin seen to the last.

    frame: series_id, ts, value in any order; duplicated timestamps count once, Inf counts as missing. Series in the
    frame that are not listed are left out; listed ones without samples are all NaN.
    """
    ids = np.array([s.id for s in series], dtype=np.int64)
    counter = np.array([s.kind == "counter" for s in series], dtype=bool)
    sample_ids, ts, value = _sorted(frame)
    order = np.argsort(ids)
    at = np.searchsorted(ids[order], sample_ids)
    known = (at < len(ids)) & np.isfinite(value)
    known[known] = ids[order][at[known]] == sample_ids[known]
    column, ts, value = order[at[known]], ts[known], value[known]
    if len(ts) == 0:
        none = np.empty((len(ids), 0))
        return Table(grid, ids, np.empty(0, dtype=np.int64), none, none.astype(bool))
    bins = grid.bin_of(ts)
    first, n = int(bins.min()), int(bins.max() - bins.min()) + 1
    cell = column * n + (bins - first)
    size = len(ids) * n

    same = np.append(False, column[1:] == column[:-1])
    since_s = np.append(0.0, np.diff(ts) / 1000)
    grown, reset = increases(value)
    increase, fell = np.append(0.0, grown), same & np.append(False, reset)
    usable = same & (since_s > 0) & (since_s <= MAX_RATE_SPAN * max(grid.step_s, _typical(since_s[same])))
    is_counter = counter[column]
    weight = np.where(is_counter, np.where(usable, since_s, 0.0), 1.0)
    amount = np.where(is_counter, np.where(usable, increase, 0.0), value)
    total = np.bincount(cell, weights=amount, minlength=size)
    parts = np.bincount(cell, weights=weight, minlength=size)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(parts > 0, total / parts, np.nan).reshape(len(ids), n)
    resets = np.bincount(cell, weights=(fell & is_counter), minlength=size).reshape(len(ids), n) > 0
    return Table(grid, ids, grid.moments(first, n), values, resets)


def _typical(since_s: np.ndarray) -> float:
    return float(np.median(since_s)) if since_s.size else 0.0


def _sorted(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns as arrays in order of (series, time), one sample a timestamp."""
    ids = frame["series_id"].to_numpy().astype(np.int64)
    ts = frame["ts"].to_numpy(dtype="datetime64[ms]").astype(np.int64)
    value = frame["value"].to_numpy(dtype=np.float64)
    if len(ts) > 1:
        ahead = (ids[1:] > ids[:-1]) | ((ids[1:] == ids[:-1]) & (ts[1:] > ts[:-1]))
        if not ahead.all():
            order = np.lexsort((ts, ids))
            ids, ts, value = ids[order], ts[order], value[order]
            last = np.append((ids[1:] != ids[:-1]) | (ts[1:] != ts[:-1]), True)
            ids, ts, value = ids[last], ts[last], value[last]
    return ids, ts, value
