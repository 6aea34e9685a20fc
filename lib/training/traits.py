"""What a table is like, in a few numbers: by these, tables on which something was tried are found for a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from lib.training import rows as rows_of
from lib.training import schema as schemas
from lib.training.preparation import LINEAR, Preparation, read
from lib.training.schema import FEATURES, Role, Task

TRAITS = (
    *("rows", "columns", "numeric", "categories", "words", "missing", "cardinality", "skew"),
    *("regression", "multiclass", "minority", "told"),
    *(MODELS := ("linear", "curves", "wide", "near", "trees", "boosted")),
)
LOOKED_AT = 1_200
_MOST_COLUMNS, _BINS, _FOLDS = 240, 6, 3
# Further behind is as good as out of the race.
_LEAST = -0.25
_TREES, _TRIES, _LEAF, _ROUNDS, _RATE = 16, 12, 3, 40, 0.15
_STEPS: tuple[dict[str, object], ...] = tuple(
    {"kind": kind, "columns": [], "method": "auto"} for kind in ("dates", "text", "impute", "encode", "scale")
)


def traits(frame: pd.DataFrame, target: str, roles: Mapping[str, str], task: Task, rows: int = 0) -> dict[str, float]:
    """One number a trait. rows: of the whole table, when the frame is a part of it.

    told: how much of the target the best of some small models tells of rows it has not seen; linear, curves, wide,
    near, trees, boosted: how much less than that a straight model, one of curves, of wide and of narrow likeness
    between rows, of deep and of small trees tells (0 or below).
    """
    kinds = [role for role in roles.values() if role in FEATURES]
    count = max(1, len(kinds))
    features = [name for name, role in roles.items() if role in FEATURES]
    words = [name for name in features if roles[name] == Role.CATEGORY]
    numbers = [name for name in features if roles[name] == Role.NUMERIC]
    distinct = max((int(frame[name].nunique()) for name in words), default=1)
    made = {
        "rows": float(np.log10(max(10, rows or len(frame)))),
        "columns": float(np.log10(count)),
        "numeric": len(numbers) / count,
        "categories": len(words) / count,
        "words": sum(role in (Role.TEXT, Role.DATE) for role in kinds) / count,
        "missing": float(np.sqrt(frame[features].isna().to_numpy().mean())) if features and len(frame) else 0.0,
        "cardinality": float(np.log10(max(1, distinct))) / 2,
        "skew": _skew(frame[numbers]),
        "regression": float(task == Task.REGRESSION),
        "multiclass": float(task == Task.MULTICLASS),
        "minority": 0.0,
    }
    if task != Task.REGRESSION:
        shares = pd.Series(schemas.class_names(frame[target])).value_counts(normalize=True)
        made["minority"] = float(shares.min() * len(shares)) if len(shares) else 0.0
    return made | _told(frame, target, {name: roles[name] for name in features}, task)


def _skew(numbers: pd.DataFrame) -> float:
    """Middle one of the columns' skews, by quantiles, 0 to 1."""
    found = []
    for name in numbers:
        known = pd.to_numeric(numbers[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        known = known[np.isfinite(known)]
        if known.size > 10:
            low, middle, high = np.quantile(known, (0.05, 0.5, 0.95))
            if high > low:
                found.append(abs((high - middle) - (middle - low)) / (high - low))
    return float(np.median(found)) if found else 0.0


def _told(frame: pd.DataFrame, target: str, roles: Mapping[str, str], task: Task) -> dict[str, float]:
    """Each row told from rows of other folds by small models; zeros where there is too little to tell from."""
    none = dict.fromkeys(("told", *MODELS), 0.0)
    schema = schemas.describe(frame, target, roles, task)
    kept, y = schemas.encode_target(frame, schema)
    if len(y) < schemas.LEAST_ROWS or not schema.columns:
        return none
    order = np.random.default_rng(0).permutation(len(kept))[:LOOKED_AT]
    if task == Task.REGRESSION:
        middle, spread = float(np.median(y[order])), float(y[order].std()) or 1.0
        wanted = np.clip((y[order] - middle) / spread, -3, 3)[:, None]
    else:
        wanted = np.eye(len(schema.classes))[y[order]]
    table = rows_of.picked(read(frame, schema.roles), kept[order])
    said = {name: np.zeros_like(wanted) for name in _MODELS}
    fold = np.arange(len(order)) % _FOLDS
    for one in range(_FOLDS):
        learn, seen = np.nonzero(fold != one)[0], np.nonzero(fold == one)[0]
        preparation = Preparation(_STEPS, LINEAR)
        train = preparation.fit_transform(rows_of.picked(table, learn), wanted[learn])
        test = preparation.transform(rows_of.picked(table, seen))
        if not train.shape[1]:
            return none
        train, test = (np.clip(np.nan_to_num(side[:, :_MOST_COLUMNS]), -4, 4) for side in (train, test))
        for name, model in _MODELS.items():
            said[name][seen] = model(train, test, wanted[learn])
    spread = float(((wanted - wanted.mean(axis=0)) ** 2).sum())
    share = {
        name: float(np.clip(1 - ((wanted - out) ** 2).sum() / spread, -0.2, 1.0)) if spread else 0.0
        for name, out in said.items()
    }
    best = max(share.values())
    return {"told": max(0.0, best), **{name: max(_LEAST, share[name] - best) for name in MODELS}}


def _straight(train: np.ndarray, test: np.ndarray, known: np.ndarray) -> np.ndarray:
    middle, shift = train.mean(axis=0), known.mean(axis=0)
    held = train - middle
    rows, columns = held.shape
    if columns > rows:
        # The same weights from a system as small as the rows are few.
        weights = held.T @ np.linalg.solve(held @ held.T + 10.0 * np.eye(rows), known - shift)
    else:
        weights = np.linalg.solve(held.T @ held + 10.0 * np.eye(columns), held.T @ (known - shift))
    return np.asarray((test - middle) @ weights + shift)


def _curves(train: np.ndarray, test: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Each column's own value, and which of a few equally filled stretches it is in."""
    blocks = [(train, test)]
    for place in range(min(train.shape[1], 60)):
        edges = np.unique(np.quantile(train[:, place], np.linspace(0, 1, _BINS + 1)[1:-1]))
        if edges.size > 1:
            hot = np.eye(edges.size + 1)
            blocks.append((hot[np.searchsorted(edges, train[:, place])], hot[np.searchsorted(edges, test[:, place])]))
    return _straight(np.hstack([one for one, _ in blocks]), np.hstack([other for _, other in blocks]), known)


def _wide(train: np.ndarray, test: np.ndarray, known: np.ndarray) -> np.ndarray:
    return _kernel(train, test, known, 0.15)


def _near(train: np.ndarray, test: np.ndarray, known: np.ndarray) -> np.ndarray:
    return _kernel(train, test, known, 1.5)


def _kernel(train: np.ndarray, test: np.ndarray, known: np.ndarray, width: float) -> np.ndarray:
    """Rows by how alike they are to each other."""

    def similar(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        apart = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
        return np.exp(-width * np.maximum(apart, 0) / max(1, train.shape[1]))

    shift = known.mean(axis=0)
    weights = np.linalg.solve(similar(train, train) + 0.3 * np.eye(len(train)), known - shift)
    return np.asarray(similar(test, train) @ weights + shift)


def _trees(train: np.ndarray, test: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A small forest of deep trees split at random places, the best of a few tries each."""
    rng = np.random.default_rng(0)
    grown = [_grown(train, test, known, rng, _LEAF)[1] for _ in range(_TREES)]
    return np.asarray(np.mean(grown, axis=0))


def _boosted(train: np.ndarray, test: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Small trees one after another, each on what those before it left over."""
    rng, left = np.random.default_rng(0), known - known.mean(axis=0)
    said = np.repeat(known.mean(axis=0)[None], len(test), axis=0)
    for _ in range(_ROUNDS):
        own, others = _grown(train, test, left, rng, max(10, len(train) // 12))
        left, said = left - _RATE * own, said + _RATE * others
    return said


def _grown(
    train: np.ndarray, test: np.ndarray, known: np.ndarray, rng: np.random.Generator, leaf: int
) -> tuple[np.ndarray, np.ndarray]:
    """What one tree says of the rows it was grown on, and of others."""
    own, said = np.zeros_like(known), np.zeros((len(test), known.shape[1]))
    waiting = [(np.arange(len(train)), np.arange(len(test)))]
    while waiting:
        rows, asked = waiting.pop()
        found = _split(train[rows], known[rows], rng, leaf) if len(rows) >= 2 * leaf else None
        if found is None:
            own[rows] = said[asked] = known[rows].mean(axis=0)
            continue
        column, value = found
        below, under = train[rows, column] <= value, test[asked, column] <= value
        waiting += [(rows[below], asked[under]), (rows[~below], asked[~under])]
    return own, said


def _split(values: np.ndarray, known: np.ndarray, rng: np.random.Generator, leaf: int) -> tuple[int, float] | None:
    picked = rng.integers(0, values.shape[1], _TRIES)
    held = values[:, picked]
    low, high = held.min(axis=0), held.max(axis=0)
    at = low + (high - low) * rng.random(_TRIES)
    below = (held <= at).astype(float)
    count = below.sum(axis=0)
    fitting = (count >= leaf) & (len(values) - count >= leaf)
    if not fitting.any():
        return None
    sums, whole = below.T @ known, known.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = (sums**2).sum(axis=1) / count + ((whole - sums) ** 2).sum(axis=1) / (len(values) - count)
    best = int(np.where(fitting, gain, -np.inf).argmax())
    return int(picked[best]), float(at[best])


_MODELS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "linear": _straight,
    "curves": _curves,
    "wide": _wide,
    "near": _near,
    "trees": _trees,
    "boosted": _boosted,
}
