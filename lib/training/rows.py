"""Which rows a training sees and how much each counts; columns that give the answer away."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lib.errors import Invalid
from lib.training.preparation import NUMERIC, Table, read
from lib.training.schema import Schema, Task

_SKEW = 1.0


def picked(table: Table, rows: np.ndarray) -> Table:
    """These rows of a table."""
    if len(rows) == table.rows and len(rows) and rows[0] == 0 and (np.diff(rows) == 1).all():
        return table
    kinds = [{name: one[rows] for name, one in d.items()} for d in (table.words, table.texts, table.moments)]
    return Table(len(rows), table.names, table.values[rows], *kinds)


def keys(frame: pd.DataFrame, time: str | None, group: str | None, rows: np.ndarray) -> np.ndarray:
    """What orders or groups the rows. time, group: names of columns. Raises Invalid when a time is missing."""
    if time:
        column = frame[time].iloc[rows]
        held = column if column.dtype.kind in "iufM" else pd.to_datetime(column, errors="coerce", utc=True)
        if held.isna().any():
            raise Invalid(f"{int(held.isna().sum()):,} rows have no readable {time!r}, the column that orders them.")
        return held.to_numpy(dtype="datetime64[ns]").astype(np.int64) if held.dtype.kind == "M" else held.to_numpy()
    return frame[group].iloc[rows].astype(str).to_numpy() if group else rows


def balance(target: np.ndarray, how: str, seed: int) -> np.ndarray:
    """A weight a row. Oversampling is a whole number of copies, undersampling leaves rows of larger classes out."""
    counts = np.bincount(target).astype(float)
    if how == "weights":
        return (len(target) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[target]
    rng, weight = np.random.default_rng(seed), np.ones(len(target))
    for one in np.unique(target):
        rows = np.nonzero(target == one)[0]
        if how == "oversample":
            copies = counts.max() / counts[one]
            weight[rows] = np.floor(copies) + (rng.permutation(len(rows)) < round((copies % 1) * len(rows)))
        else:
            least = int(counts[counts > 0].min())
            weight[rng.permutation(rows)[least:]] = 0.0
    return weight


def skewed(target: np.ndarray) -> bool:
    if target.min() < 0:
        return False
    spread = target.std()
    return bool(spread and float((((target - target.mean()) / spread) ** 3).mean()) > _SKEW)


def leaks(frame: pd.DataFrame, schema: Schema) -> tuple[str, ...]:
    """A warning for each feature that gives the answer away."""
    return tuple(
        f"{name} gives {schema.target} away: each of its values goes with one answer. If it is not known beforehand, "
        "leave it out and train again."
        for name in leaking(frame, schema)
    )


def leaking(frame: pd.DataFrame, schema: Schema) -> list[str]:
    """Names of features whose each value goes with one target only."""
    found = []
    target = pd.factorize(frame[schema.target])[0]
    classes = len(schema.classes) or int(target.max()) + 1
    if schema.task == Task.REGRESSION:
        return _copies(frame, schema)
    for column in schema.columns:
        # Many values say nothing of their own: each would stand for its rows only.
        if column.distinct > max(2 * classes, 2) or column.distinct < classes:
            continue
        codes = pd.factorize(frame[column.name].astype(object).where(frame[column.name].notna(), None))[0]
        pairs = pd.DataFrame({"code": codes, "target": target})
        pairs = pairs[pairs["target"] >= 0]
        if len(pairs) and (pairs.groupby("code")["target"].nunique() == 1).all():
            found.append(column.name)
    return found


def _copies(frame: pd.DataFrame, schema: Schema) -> list[str]:
    """Names of numbers that rise and fall exactly as the target does."""
    names = [column.name for column in schema.columns if column.role == NUMERIC]
    table = read(frame, dict.fromkeys([schema.target, *names], NUMERIC))
    target, found = table.values[:, 0], []
    for place, name in enumerate(names, 1):
        values = table.values[:, place]
        both = ~np.isnan(values) & ~np.isnan(target)
        mine, its = values[both], target[both]
        if len(mine) > 2 and mine.std() > 0 and its.std() > 0 and abs(float(np.corrcoef(mine, its)[0, 1])) > 0.99999:
            found.append(name)
    return found
