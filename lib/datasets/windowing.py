"""Series made a table to learn from: what was known at each moment, and what came after it as the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from lib.datasets.schema import Column, ColumnType, Role
from lib.errors import Invalid, NotEnoughData
from lib.profiling.words import duration

TIME, TARGET = "time", "target"
MOST_CELLS, MOST_SLOTS, MOST_SHIFTS, LONGEST = 50_000_000, 2_000_000, 24, 100_000
# Sums of doubles differ in their last bits with the order they were added in; the same data is to be the same bytes.
_KEPT, _HALF = ~np.int64(0xFF), np.int64(0x80)


class Aggregate(StrEnum):
    """Which value of an interval stands for it."""

    MEAN = "mean"
    MIN = "min"
    MAX = "max"


class TargetKind(StrEnum):
    """What is to be told from a row."""

    NONE = "none"  # nothing yet
    VALUE = "value"  # the value of a series so long after
    ABOVE = "above"  # whether a series rises over a limit within so long
    BELOW = "below"  # whether it falls under it
    ANOMALY = "anomaly"  # whether an anomaly begins within so long


@dataclass(frozen=True)
class Recipe:
    """lags, rolling: in intervals, each adding columns for every series; rolling adds mean and standard deviation of
    the last so many. target_series: whose value or limit; horizon_s: rounded up to whole intervals."""

    step_s: int
    aggregate: Aggregate = Aggregate.MEAN
    lags: tuple[int, ...] = ()
    rolling: tuple[int, ...] = ()
    target: TargetKind = TargetKind.NONE
    target_series: int | None = None
    horizon_s: int = 0
    limit: float | None = None

    @property
    def horizon(self) -> int:
        """Intervals the target looks ahead."""
        return -(-self.horizon_s // self.step_s)

    def check(self, series_ids: Sequence[int]) -> None:
        """Raises Invalid for what cannot be made."""
        if not 1 <= self.step_s <= 86_400:
            raise Invalid(f"The interval is 1 second to 1 day, not {self.step_s} s.")
        for what, values in (("lag", self.lags), ("rolling window", self.rolling)):
            if len(values) > MOST_SHIFTS or any(not 1 <= one <= LONGEST for one in values):
                raise Invalid(f"A {what} is 1 to {LONGEST:,} intervals, and there are at most {MOST_SHIFTS} of them.")
        if self.target is TargetKind.NONE:
            return
        if not self.step_s <= self.horizon_s <= 30 * 86_400:
            raise Invalid(
                f"The target looks from one interval ({self.step_s} s) to 30 days ahead, not {self.horizon_s} s."
            )
        if self.target is not TargetKind.ANOMALY and self.target_series not in series_ids:
            raise Invalid("The target is of one of the series that were picked; choose which.")
        if self.target in (TargetKind.ABOVE, TargetKind.BELOW) and (self.limit is None or not np.isfinite(self.limit)):
            raise Invalid("A limit is a number; say which one the series is to cross.")


def sentence(recipe: Recipe, names: Mapping[int, str]) -> str:
    """The target in words."""
    ahead, of = duration(recipe.horizon * recipe.step_s), names.get(recipe.target_series or -1, "")
    match recipe.target:
        case TargetKind.VALUE:
            return f"{of} in {ahead}"
        case TargetKind.ABOVE | TargetKind.BELOW:
            return f"{of} {recipe.target} {recipe.limit:g} within the next {ahead}"
        case TargetKind.ANOMALY:
            return f"an anomaly begins within the next {ahead}"
    return ""


def table(
    buckets: pd.DataFrame,
    names: Mapping[int, str],
    start_ms: int,
    end_ms: int,
    recipe: Recipe,
    anomaly_starts_ms: Sequence[int] = (),
) -> tuple[pd.DataFrame, list[Column], list[str]]:
    """The table, its columns with their roles, and what to know of it.

    buckets: series_id, slot (interval number since 1970), min, mean, max; intervals without samples have no row.
    `time` is the end of each interval: all features were known then, and the target lies after it. Rows whose target
    is not known yet, or not wholly, are left out. Raises NotEnoughData when nothing remains.
    """
    step_ms = recipe.step_s * 1000
    first, last = -(-start_ms // step_ms), end_ms // step_ms
    slots = int(last - first)
    width = len(names) * (1 + len(recipe.lags) + 2 * len(recipe.rolling))
    if slots > MOST_SLOTS or slots * width > MOST_CELLS:
        raise Invalid(
            f"{slots:,} intervals of {width:,} columns are more than one dataset takes; choose a longer interval, a "
            "shorter span or fewer series."
        )
    if slots < 2:
        raise NotEnoughData("The span holds fewer than two whole intervals; choose a longer span.")
    grids = {one: _grids(buckets[buckets["series_id"] == one], first, slots, recipe.aggregate) for one in names}
    made: dict[str, np.ndarray] = {}
    for one, name in names.items():
        values = pd.Series(grids[one][0])
        made[name] = values.to_numpy()
        for lag in recipe.lags:
            made[f"{name} {duration(lag * recipe.step_s)} before"] = values.shift(lag).to_numpy()
        for window in recipe.rolling:
            past, words = values.rolling(window, min_periods=max(1, window // 2)), duration(window * recipe.step_s)
            made[f"{name} mean of {words}"] = past.mean().to_numpy()
            made[f"{name} spread of {words}"] = past.std().to_numpy()
    times = (first + 1 + np.arange(slots, dtype=np.int64)) * step_ms
    frame = pd.DataFrame({name: _steady(values) for name, values in made.items()})
    frame.insert(0, TIME, pd.to_datetime(times, unit="ms").astype("datetime64[us]"))
    keep = frame.drop(columns=TIME).notna().any(axis=1).to_numpy()
    columns = [Column(TIME, ColumnType.MOMENT, Role.TIME), *(Column(name, ColumnType.NUMBER) for name in made)]
    notes = []
    if recipe.target is not TargetKind.NONE:
        target, known = _target(grids, times, recipe, anomaly_starts_ms)
        name = TARGET if TARGET not in made else f"{TARGET} (ahead)"
        frame[name] = target
        notes.append(f"{int((keep & ~known).sum()):,} rows were left out: what came after them is not known.")
        keep = keep & known
        kind = ColumnType.NUMBER if recipe.target is TargetKind.VALUE else ColumnType.BOOLEAN
        columns.append(Column(name, kind, Role.TARGET))
        if kind is ColumnType.BOOLEAN and len(set(target[keep].tolist())) == 1:
            notes.append(
                f"The target is {str(bool(target[keep][0])).lower()} in every row: nothing can be learnt of it."
            )
    if not keep.any():
        raise NotEnoughData("No interval has both values and a known target; choose a longer span or other series.")
    return frame[keep].reset_index(drop=True), columns, notes


def _grids(buckets: pd.DataFrame, first: int, slots: int, aggregate: Aggregate) -> tuple[np.ndarray, ...]:
    """The chosen value, least and most of each interval; NaN where there was none."""
    place = buckets["slot"].to_numpy(dtype=np.int64) - first
    inside = (place >= 0) & (place < slots)
    found = []
    for column in (aggregate.value, "min", "max"):
        grid = np.full(slots, np.nan)
        grid[place[inside]] = buckets[column].to_numpy(dtype=float)[inside]
        found.append(grid)
    return tuple(found)


def _target(
    grids: Mapping[int, tuple[np.ndarray, ...]], times: np.ndarray, recipe: Recipe, starts_ms: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The target of each row, and where it is known."""
    ahead, count = recipe.horizon, len(times)
    whole = np.arange(count) < count - ahead
    if recipe.target is TargetKind.ANOMALY:
        starts = np.sort(np.asarray(starts_ms, dtype=np.int64))
        end = times + ahead * recipe.step_s * 1000
        return np.searchsorted(starts, end, "right") > np.searchsorted(starts, times, "right"), whole
    value, least, most = grids[recipe.target_series or 0]
    if recipe.target is TargetKind.VALUE:
        later = np.full(count, np.nan)
        later[: count - ahead] = value[ahead:]
        return _steady(later), whole & np.isfinite(later)
    extreme = most if recipe.target is TargetKind.ABOVE else least
    limit = float(recipe.limit or 0.0)
    crossed = extreme > limit if recipe.target is TargetKind.ABOVE else extreme < limit
    # How many of the next intervals cross, and how many are there at all, by differences of running sums.
    crossing, present = (np.concatenate([[0], np.cumsum(one)]) for one in (crossed, np.isfinite(extreme)))
    here = np.arange(count) + 1
    end = np.minimum(here + ahead, count)
    any_crossed = crossing[end] > crossing[here]
    complete = present[end] - present[here] == ahead
    return any_crossed, whole & (any_crossed | complete)


def _steady(values: np.ndarray) -> np.ndarray:
    """Doubles to 13 digits."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    return np.where(np.isfinite(values), ((bits + _HALF) & _KEPT).view(np.float64), np.nan)
