"""Columns that give the answer away: copies of the target, what is only known later, what was made from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.training.schema import FEATURES, Role

# Fewer known pairs say nothing: with a handful of rows much agrees by chance.
LEAST_PAIRS = 30
_SAME, _FOLLOWS, _LATER = 0.999, 0.9999, 0.2
_MOST_SHIFT = 3
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Leak:
    """kind: copy (the target in other words; fatal), tells (it alone decides the target), later (moments after the
    row's), ahead (the target of later rows), named (called after the target)."""

    column: str
    kind: str
    message: str

    @property
    def fatal(self) -> bool:
        return self.kind in ("copy", "ahead")


def leaks(
    frame: pd.DataFrame, target: str, roles: Mapping[str, str], ordered: pd.DataFrame | None = None
) -> list[Leak]:
    """frame: a sample of the rows; ordered: rows that follow each other in time, where a column orders them."""
    if target not in frame.columns:
        return []
    answer = frame[target]
    features = [n for n, role in roles.items() if role in FEATURES and n != target and n in frame.columns]
    times = next((n for n, role in roles.items() if role == Role.TIME and n in frame.columns), None)
    codes, numeric = pd.factorize(answer)[0], answer.dtype.kind in "iuf"
    classes = np.unique(codes[codes >= 0]).size
    quantity = numeric and classes > 20
    found = []
    for name in features:
        leak = _number_leak(name, frame[name], answer) if quantity else _class_leak(name, frame[name], codes, classes)
        leak = leak or (_later(name, frame[name], frame[times]) if times else None)
        if leak is None and ordered is not None and quantity and name in ordered.columns:
            leak = _ahead(name, ordered[name], ordered[target])
        leak = leak or _named(name, target)
        if leak:
            found.append(leak)
    return found


def _number_leak(name: str, column: pd.Series, answer: pd.Series) -> Leak | None:
    if column.dtype.kind not in "iuf":
        return None
    one, other = column.to_numpy(dtype=float), answer.to_numpy(dtype=float)
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    if one.size < LEAST_PAIRS or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    if np.isclose(one, other, rtol=1e-9, atol=0).mean() >= _SAME:
        return Leak(name, "copy", f"{name} is the target itself.")
    ranks = [pd.Series(values).rank().to_numpy() for values in (one, other)]
    if max(abs(np.corrcoef(one, other)[0, 1]), abs(np.corrcoef(*ranks)[0, 1])) >= _FOLLOWS:
        return Leak(name, "tells", f"{name} rises and falls exactly with the target, as if it were made from it.")
    return None


def _class_leak(name: str, column: pd.Series, codes: np.ndarray, classes: int) -> Leak | None:
    if classes < 2:
        return None
    values = pd.factorize(column)[0]
    known = (values >= 0) & (codes >= 0)
    values, target = values[known], codes[known]
    if values.size < LEAST_PAIRS:
        return None
    distinct = np.unique(values).size
    pairs = np.unique(values.astype(np.int64) * (int(target.max()) + 1) + target).size
    if pairs == distinct == np.unique(target).size and distinct >= 2:
        return Leak(name, "copy", f"{name} is the target in other words: each of its values belongs to one class.")
    # Many values that each belong to one class prove something only where they come again.
    if distinct >= 2 and pairs == distinct and values.size >= 5 * distinct:
        return Leak(name, "tells", f"{name} alone tells the target without a mistake in {values.size:,} rows.")
    if column.dtype.kind in "iuf" and np.unique(target).size == 2 and distinct > 2:
        numbers = column.to_numpy(dtype=float)[known]
        first, second = numbers[target == target[0]], numbers[target != target[0]]
        if min(first.size, second.size) >= 10 and (first.max() < second.min() or second.max() < first.min()):
            return Leak(name, "tells", f"A threshold on {name} alone tells the target without a mistake.")
    return None


def _later(name: str, column: pd.Series, times: pd.Series) -> Leak | None:
    if column.dtype.kind != "M" or times.dtype.kind != "M":
        return None
    one, other = (pd.to_datetime(values, utc=True) for values in (column, times))
    known = one.notna() & other.notna()
    if known.sum() < LEAST_PAIRS or (share := float((one[known] > other[known]).mean())) < _LATER:
        return None
    return Leak(name, "later", f"{name} lies after the row's own time in {share:.0%} of rows: not known by then.")


def _ahead(name: str, column: pd.Series, answer: pd.Series) -> Leak | None:
    if column.dtype.kind not in "iuf":
        return None
    one, other = column.to_numpy(dtype=float), answer.to_numpy(dtype=float)
    for shift in range(1, _MOST_SHIFT + 1):
        now, later = one[:-shift], other[shift:]
        known = np.isfinite(now) & np.isfinite(later)
        # A target that stands still is alike to itself at any time.
        changes = known & (later != other[:-shift])
        if changes.sum() >= LEAST_PAIRS and np.isclose(now[changes], later[changes], rtol=1e-9, atol=0).mean() > _SAME:
            rows = "row" if shift == 1 else f"{shift} rows"
            return Leak(name, "ahead", f"{name} is the target {rows} later: the future is not known.")
    return None


def _named(name: str, target: str) -> Leak | None:
    own, other = (_WORD.findall(one.casefold()) for one in (name, target))
    if len("".join(other)) < 4 or len(own) <= len(other):
        return None
    inside = any(own[n : n + len(other)] == other for n in range(len(own) - len(other) + 1))
    said = f"{name} is called after the target; make sure it is known before the target is."
    return Leak(name, "named", said) if inside else None
