"""What a table is like, in a few numbers: by these, tables on which something was tried are found for a new one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.training import rows as rows_of
from lib.training import schema as schemas
from lib.training.preparation import LINEAR, Preparation, read
from lib.training.schema import FEATURES, Role, Task

# Each is scaled so that one step of it makes tables about equally unlike.
TRAITS = (
    *("rows", "columns", "numeric", "categories", "words", "missing", "cardinality", "skew"),
    *("regression", "multiclass", "minority", "linear", "bent", "together"),
)
LOOKED_AT = 1_200
_MOST_COLUMNS, _BINS = 240, 6
_STEPS = tuple(
    {"kind": kind, "columns": [], "method": "auto"} for kind in ("dates", "text", "impute", "encode", "scale")
)


def traits(frame: pd.DataFrame, target: str, roles: Mapping[str, str], task: Task, rows: int = 0) -> dict[str, float]:
    """One number a trait. rows: of the whole table, when the frame is a part of it.

    linear, bent, together: how much of the target a straight model, one of curves, and one of columns acting together
    tell of rows they have not seen; the latter two as gains over the first.
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
    """Of a third of the rows, told from the others by three small models; zeros where there is too little to tell."""
    none = {"linear": 0.0, "bent": 0.0, "together": 0.0}
    schema = schemas.describe(frame, target, roles, task)
    kept, y = schemas.encode_target(frame, schema)
    if len(y) < schemas.LEAST_ROWS or not schema.columns:
        return none
    if task == Task.REGRESSION:
        # By rank: a few large targets would say everything.
        wanted = (np.argsort(np.argsort(y, kind="stable")) / len(y))[:, None]
    else:
        wanted = np.eye(len(schema.classes))[y]
    order = np.random.default_rng(0).permutation(len(kept))[:LOOKED_AT]
    cut = len(order) * 2 // 3
    learn, seen = order[:cut], order[cut:]
    table = read(frame, schema.roles)
    preparation = Preparation(_STEPS, LINEAR)
    train = preparation.fit_transform(rows_of.picked(table, kept[learn]), wanted[learn])
    test = preparation.transform(rows_of.picked(table, kept[seen]))
    train, test = np.clip(np.nan_to_num(train), -4, 4), np.clip(np.nan_to_num(test), -4, 4)
    if not train.shape[1]:
        return none
    train, test = train[:, :_MOST_COLUMNS], test[:, :_MOST_COLUMNS]
    straight = _explained(train, test, wanted[learn], wanted[seen], 10.0)
    curves = _explained(*_binned(train, test), wanted[learn], wanted[seen], 10.0)
    together = _kernel(train, test, wanted[learn], wanted[seen])
    best = max(straight, curves)
    return {"linear": straight, "bent": curves - straight, "together": together - best}


def _explained(train: np.ndarray, test: np.ndarray, known: np.ndarray, wanted: np.ndarray, strength: float) -> float:
    middle, shift = train.mean(axis=0), known.mean(axis=0)
    held, aim = train - middle, known - shift
    weights = np.linalg.solve(held.T @ held + strength * np.eye(held.shape[1]), held.T @ aim)
    return _share(wanted, (test - middle) @ weights + shift, shift)


def _kernel(train: np.ndarray, test: np.ndarray, known: np.ndarray, wanted: np.ndarray) -> float:
    def similar(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        apart = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
        return np.exp(-np.maximum(apart, 0) / max(1e-9, 2 * train.shape[1]))

    shift = known.mean(axis=0)
    weights = np.linalg.solve(similar(train, train) + 0.3 * np.eye(len(train)), known - shift)
    return _share(wanted, similar(test, train) @ weights + shift, shift)


def _share(wanted: np.ndarray, said: np.ndarray, middle: np.ndarray) -> float:
    spread = float(((wanted - middle) ** 2).sum())
    return float(np.clip(1 - ((wanted - said) ** 2).sum() / spread, -0.2, 1.0)) if spread else 0.0


def _binned(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each column's own value, and which of a few equally filled stretches it is in."""
    blocks = [(train, test)]
    for place in range(min(train.shape[1], 60)):
        edges = np.unique(np.quantile(train[:, place], np.linspace(0, 1, _BINS + 1)[1:-1]))
        if edges.size > 1:
            blocks.append(
                (
                    np.eye(edges.size + 1)[np.searchsorted(edges, train[:, place])],
                    np.eye(edges.size + 1)[np.searchsorted(edges, test[:, place])],
                )
            )
    return np.hstack([one for one, _ in blocks]), np.hstack([other for _, other in blocks])
