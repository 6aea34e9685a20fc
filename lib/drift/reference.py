"""What a model learnt from, small enough to be kept with it: quantiles and shares a later table is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# So many quantiles of a column: a step of 0.8 % of its rows, well below what matters.
QUANTILES = 129
# Of texts, the most frequent; the rest is one share.
MOST_TEXTS = 50
BINS = 10


@dataclass(frozen=True)
class Numbers:
    """A column of numbers. points: its quantiles, each once. below, upto: shares of the known values under each, and
    up to it. missing: share of all rows. spread: standard deviation."""

    points: np.ndarray
    below: np.ndarray
    upto: np.ndarray
    missing: float
    rows: int
    spread: float

    def edges(self) -> np.ndarray:
        """Where PSI's bins begin: about a tenth of the rows each; a constant is a bin of its own."""
        if len(self.points) == 1:
            return np.array([self.points[0], np.nextafter(self.points[0], np.inf)])
        wanted = np.linspace(0, 1, BINS + 1)[1:-1]
        # The first point is left out: before it there is nothing, and one new minimum would weigh too much.
        places = np.clip(np.searchsorted(self.upto, wanted), 1, len(self.points) - 1)
        return self.points[np.unique(places)]


@dataclass(frozen=True)
class Texts:
    """A column of texts. shares: of the most frequent, of all known ones; the rest is what is missing to 1."""

    shares: dict[str, float]
    missing: float
    rows: int


Column = Numbers | Texts


def of_numbers(values: np.ndarray) -> tuple[Numbers, np.ndarray]:
    """A column's summary, and its known values sorted (NaN are missing)."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    # NaN are sorted to the end, behind infinity.
    known = ordered[: int(np.searchsorted(ordered, np.inf, side="right"))]
    missing = 1.0 - len(known) / len(ordered) if len(ordered) else 0.0
    if not len(known):
        empty = np.array([])
        return Numbers(empty, empty, empty, missing, len(ordered), 0.0), known
    places = np.linspace(0, len(known) - 1, QUANTILES).round().astype(int)
    points = np.unique(known[places])
    below, upto = (np.searchsorted(known, points, side=side) / len(known) for side in ("left", "right"))
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(np.std(known))
    return Numbers(points, below, upto, missing, len(ordered), spread if np.isfinite(spread) else 0.0), known


def of_texts(values: pd.Series) -> Texts:
    counts = values.astype("string").value_counts(dropna=True)
    known = int(counts.sum())
    shares = {str(text): float(count) / known for text, count in counts.head(MOST_TEXTS).items()} if known else {}
    return Texts(shares, 1.0 - known / len(values) if len(values) else 0.0, len(values))


def of_column(values: pd.Series) -> Column:
    """Numbers, yes-or-no and times as numbers, everything else as texts."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values):
        moments = pd.to_datetime(values, utc=True).astype("datetime64[ms, UTC]")
        known = moments.notna().to_numpy()
        numbers = np.where(known, moments.astype("int64").to_numpy(dtype=np.float64), np.nan)
        return of_numbers(numbers)[0]
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        return of_numbers(values.to_numpy(dtype=np.float64, na_value=np.nan))[0]
    return of_texts(values)


def of_frame(
    frame: pd.DataFrame, prediction: pd.Series | None = None, target: pd.Series | None = None
) -> dict[str, Any]:
    """What to keep with a version, as JSON: its features, what it predicted on them, what was right."""
    kept: dict[str, Any] = {"rows": len(frame), "columns": {}}
    for name in frame.columns:
        kept["columns"][str(name)] = to_json(of_column(frame[name]))
    for role, values in (("prediction", prediction), ("target", target)):
        if values is not None:
            kept[role] = to_json(of_column(values))
    return kept


def to_json(column: Column) -> dict[str, Any]:
    if isinstance(column, Texts):
        return {"shares": column.shares, "missing": column.missing, "rows": column.rows}
    return {
        "points": column.points.tolist(),
        "below": column.below.tolist(),
        "upto": column.upto.tolist(),
        "missing": column.missing,
        "rows": column.rows,
        "spread": column.spread,
    }


def from_json(raw: Mapping[str, Any]) -> Column:
    """Raises KeyError or ValueError for what `to_json` did not write."""
    if "shares" in raw:
        return Texts({str(k): float(v) for k, v in raw["shares"].items()}, float(raw["missing"]), int(raw["rows"]))
    points, below, upto = (np.asarray(raw[name], dtype=np.float64) for name in ("points", "below", "upto"))
    return Numbers(points, below, upto, float(raw["missing"]), int(raw["rows"]), float(raw["spread"]))
