"""Which columns, or series, tell of each other: Pearson, Spearman, and shared information where kinds are mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Numbers are cut into so many equally filled classes, texts into their most frequent values and one for the rest.
CLASSES = 10
# Fewer common rows than this make any coefficient an accident.
LEAST_ROWS = 20


@dataclass(frozen=True)
class Relation:
    """Two columns. pearson, spearman: -1..1, None unless both are numbers. shared: 0..1, how much of the one that
    varies less the other one tells (mutual information, corrected for chance, over the smaller entropy)."""

    first: str
    second: str
    pearson: float | None
    spearman: float | None
    shared: float | None

    @property
    def strength(self) -> float:
        """0..1: the largest of the three, whatever its sign."""
        return max(abs(self.pearson or 0.0), abs(self.spearman or 0.0), self.shared or 0.0)


def strongest(
    names: Sequence[str],
    numbers: Sequence[np.ndarray | None],
    codes: Sequence[np.ndarray] | None = None,
    most: int = 50,
    least: float = 0.1,
) -> tuple[Relation, ...]:
    """The strongest pairs, strongest first.

    numbers: for each name a float array (NaN where missing), or None for what is no number; all of one length.
    codes: for each name classes as small integers, -1 where missing; None: shared information is not worked out.
    """
    at = [index for index, column in enumerate(numbers) if column is not None]
    order = {index: position for position, index in enumerate(at)}
    columns = [column for column in numbers if column is not None]
    straight = correlations(columns)
    monotonic = correlations([ranks(column) for column in columns])
    found = []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            pearson = spearman = None
            if i in order and j in order:
                pearson = _known(straight[order[i], order[j]])
                spearman = _known(monotonic[order[i], order[j]])
            share = shared(codes[i], codes[j]) if codes is not None else None
            found.append(Relation(names[i], names[j], pearson, spearman, share))
    found = [one for one in found if one.strength >= least]
    return tuple(sorted(found, key=lambda one: -one.strength)[:most])


def correlations(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Pearson's r of each pair over the rows both have: shape (k, k), NaN where there is none to give."""
    if not columns:
        return np.empty((0, 0))
    with np.errstate(all="ignore"):
        value = np.column_stack([_standard(column) for column in columns])
        known = np.isfinite(value)
        value, mask = np.where(known, value, 0.0), known.astype(np.float64)
        n = mask.T @ mask
        sums, squares = value.T @ mask, (value**2).T @ mask
        covariance = value.T @ value - sums * sums.T / n
        variance = squares - sums**2 / n
        r = covariance / np.sqrt(variance * variance.T)
        # What is left of a constant after rounding is no variance.
        still = variance < 1e-9 * n
        r[(n < LEAST_ROWS) | still | still.T] = np.nan
    return np.clip(r, -1, 1)


def ranks(column: np.ndarray) -> np.ndarray:
    """Ranks from 1, the mean one for equal values, NaN where nothing is known."""
    out = np.full(column.size, np.nan)
    known = np.isfinite(column)
    if known.any():
        _, inverse, counts = np.unique(column[known], return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        out[known] = (last - (counts - 1) / 2)[inverse]
    return out


def classes(column: np.ndarray, most: int = CLASSES) -> np.ndarray:
    """Numbers as classes of about equal size, -1 where nothing is known."""
    known = np.isfinite(column)
    out = np.full(column.size, -1, dtype=np.int16)
    if known.any():
        value = column[known]
        distinct = np.unique(value[:20_000])
        edges = distinct[1:] if distinct.size <= most else np.unique(np.quantile(value, np.arange(1, most) / most))
        out[known] = np.searchsorted(edges, value, side="right")
    return out


def shared(first: np.ndarray, second: np.ndarray) -> float | None:
    """Mutual information over the smaller entropy, 0..1, without what chance gives (Miller and Madow 1955).

    None with too few common rows, or where one of them does not vary.
    """
    both = (first >= 0) & (second >= 0)
    n = int(both.sum())
    if n < LEAST_ROWS:
        return None
    a, b = first[both].astype(np.int64), second[both].astype(np.int64)
    width = int(b.max()) + 1
    table = np.bincount(a * width + b, minlength=(int(a.max()) + 1) * width).reshape(-1, width)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return None
    joint, left, right = table / n, table.sum(axis=1) / n, table.sum(axis=0) / n
    smaller = min(_entropy(left), _entropy(right))
    information = _entropy(left) + _entropy(right) - _entropy(joint.ravel())
    by_chance = (table.shape[0] - 1) * (table.shape[1] - 1) / (2 * n)
    return float(np.clip((information - by_chance) / smaller, 0, 1)) if smaller > 0 else None


def _entropy(share: np.ndarray) -> float:
    seen = share[share > 0]
    return float(-(seen * np.log(seen)).sum())


def _standard(column: np.ndarray) -> np.ndarray:
    """Centred on the median and scaled, so that sums of squares neither overflow nor cancel."""
    value = np.where(np.isfinite(column), column, np.nan)
    if not np.isfinite(value).any():
        return value
    top = float(np.nanmax(np.abs(value))) or 1.0
    value = value / top
    value = value - np.nanmean(value)
    spread = float(np.nanstd(value))
    # A value that never changes keeps the rounding of its own mean as its only spread.
    return value / spread if spread > 1e-12 else np.where(np.isfinite(value), 0.0, np.nan)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
