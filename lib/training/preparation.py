"""Turn rows of a table into numbers a model can learn from; all that is learnt from data is learnt in `fit`.

numpy and pandas only, state as plain values: a saved model and an exported script carry this very module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MISSING = "(missing)"
NUMERIC, CATEGORY, TEXT, DATE = "numeric", "category", "text", "date"
# What suits a family of models where a step says "auto": trees take gaps and order, linear models and networks neither.
TREES, LINEAR, NET = "trees", "linear", "net"
_WORD = re.compile(r"[^\W\d_]+|\d+")
_NUMBER = re.compile(r"\d+")
_DATE_PARTS = ("year", "month", "day", "weekday", "hour", "days")
_MOST_CATEGORIES = 40
_TARGET_SMOOTHING = 10.0
_INNER_FOLDS = 5


@dataclass(frozen=True)
class Table:
    """Columns of rows by kind. values: shape (n, len(names)), NaN where missing; words: column name -> objects, None
    where missing; moments: column name -> datetime64[s]."""

    rows: int
    names: tuple[str, ...]
    values: np.ndarray
    words: dict[str, np.ndarray]
    texts: dict[str, np.ndarray]
    moments: dict[str, np.ndarray]


def read(frame: pd.DataFrame, roles: Mapping[str, str]) -> Table:
    """Bring a frame's columns to the types their roles name; what does not fit (words in a number) counts as missing,
    and so do infinities. Columns without such a role are left out."""
    names = tuple(name for name, role in roles.items() if role == NUMERIC)
    values = np.empty((len(frame), len(names)))
    for place, name in enumerate(names):
        values[:, place] = _numbers(frame[name])
    values[~np.isfinite(values)] = np.nan
    words = {name: _words(frame[name]) for name, role in roles.items() if role == CATEGORY}
    texts = {name: _words(frame[name]) for name, role in roles.items() if role == TEXT}
    moments = {name: _moments(frame[name]) for name, role in roles.items() if role == DATE}
    return Table(len(frame), names, values, words, texts, moments)


def _numbers(column: pd.Series) -> np.ndarray:
    if column.dtype.kind in "iufb":
        return column.to_numpy(dtype=float)
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _words(column: pd.Series) -> np.ndarray:
    """As text: whole numbers without a point, so that 1 and 1.0 are one category."""
    if column.dtype.kind == "f":
        plain = column.to_numpy()
        said = [None if v != v else (str(int(v)) if v == int(v) else repr(float(v))) for v in _finite(plain)]
    elif isinstance(column.dtype, pd.StringDtype):
        texts = column.to_numpy(dtype=object, copy=True)
        texts[column.isna().to_numpy()] = None
        return texts
    else:
        gone = column.isna().to_numpy()
        said = [None if lost else str(value) for value, lost in zip(column.tolist(), gone, strict=True)]
    made = np.empty(len(said), dtype=object)
    made[:] = said
    return made


def _finite(values: np.ndarray) -> list[float]:
    return np.where(np.isfinite(values), values, np.nan).tolist()


def _moments(column: pd.Series) -> np.ndarray:
    moments = pd.to_datetime(column, errors="coerce", utc=True, format="mixed" if column.dtype.kind in "OT" else None)
    return moments.dt.tz_localize(None).to_numpy(dtype="datetime64[s]")


class Preparation:
    """Steps fitted in their order on training rows, then applied to any rows.

    steps: dictionaries with `kind` (drop, dates, text, clip, impute, encode, scale), `columns` (empty: all they suit)
    and what else the step takes; view: whom "auto" should suit.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]], view: str, seed: int = 0) -> None:
        self.steps = [dict(step) for step in steps]
        self.view, self.seed = view, seed
        self.learnt: list[dict[str, Any]] = []
        self.names: tuple[str, ...] = ()
        self.kept: list[int] = []

    def fit_transform(self, table: Table, target: np.ndarray) -> np.ndarray:
        """Learn the steps; the training rows' own numbers, where target encodings come from other rows than their own.

        target: shape (n, m): the number to predict, or a column of 0 and 1 a class.
        """
        self.learnt = []
        for step in self.steps:
            fit, apply = _STEPS[step["kind"]]
            state = fit(table, step, self, target)
            self.learnt.append(state)
            table = apply(table, step, state) if "training" not in state else _trained(table, step, state)
        # What says the same in each training row says nothing: left out after the last step.
        varied = _varied(table.values)
        self.kept = np.nonzero(varied)[0].tolist()
        self.names = tuple(table.names[place] for place in self.kept)
        return np.ascontiguousarray(table.values[:, self.kept])

    def transform(self, table: Table) -> np.ndarray:
        """Numbers of new rows, shape (n, len(names))."""
        for step, state in zip(self.steps, self.learnt, strict=True):
            table = _STEPS[step["kind"]][1](table, step, state)
        return np.ascontiguousarray(table.values[:, self.kept])

    def state(self) -> dict[str, Any]:
        """All of it as JSON-able values."""
        return {
            "steps": self.steps,
            "view": self.view,
            "seed": self.seed,
            "learnt": self.learnt,
            "names": list(self.names),
            "kept": self.kept,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Preparation:
        made = cls(state["steps"], state["view"], state["seed"])
        made.learnt, made.names, made.kept = list(state["learnt"]), tuple(state["names"]), list(state["kept"])
        return made


def _varied(values: np.ndarray) -> np.ndarray:
    """Columns with two different values, a gap being one."""
    with np.errstate(invalid="ignore"):
        first = values[:1]
        gone = np.isnan(values)
        return ((values != first) & ~(gone & np.isnan(first))).any(axis=0)


def _picked(step: Mapping[str, Any], there: Sequence[str]) -> list[str]:
    wanted = step.get("columns") or ()
    return [name for name in there if not wanted or name in wanted]


def _with(table: Table, names: Sequence[str], values: np.ndarray, **gone: dict[str, np.ndarray]) -> Table:
    rest = {"words": table.words, "texts": table.texts, "moments": table.moments, **gone}
    return Table(table.rows, tuple(names), values, **rest)


# --- drop --------------------------------------------------------------------------------------


def _fit_drop(table: Table, step: Mapping[str, Any], _owner: Preparation, _target: np.ndarray) -> dict[str, Any]:
    return {}


def _apply_drop(table: Table, step: Mapping[str, Any], _state: Mapping[str, Any]) -> Table:
    gone = set(step.get("columns") or ())
    kept = [place for place, name in enumerate(table.names) if name not in gone]
    lists = {
        kind: {name: one for name, one in getattr(table, kind).items() if name not in gone}
        for kind in ("words", "texts", "moments")
    }
    return _with(table, [table.names[place] for place in kept], table.values[:, kept], **lists)


# --- dates -------------------------------------------------------------------------------------


def _fit_dates(table: Table, step: Mapping[str, Any], _owner: Preparation, _target: np.ndarray) -> dict[str, Any]:
    columns = {}
    for name in _picked(step, list(table.moments)):
        parts = _date_parts(table.moments[name])
        varied = [part for part in _DATE_PARTS if np.unique(parts[part][~np.isnan(parts[part])]).size > 1]
        columns[name] = varied or ["days"]
    return {"columns": columns}


def _apply_dates(table: Table, step: Mapping[str, Any], state: Mapping[str, Any]) -> Table:
    names, blocks = list(table.names), [table.values]
    for name, parts in state["columns"].items():
        made = _date_parts(table.moments[name])
        blocks.append(np.column_stack([made[part] for part in parts]))
        names += [f"{name} {part}" for part in parts]
    left = {name: one for name, one in table.moments.items() if name not in state["columns"]}
    return _with(table, names, np.hstack(blocks), moments=left)


def _date_parts(moments: np.ndarray) -> dict[str, np.ndarray]:
    at = pd.DatetimeIndex(moments)
    days = moments.astype("datetime64[s]").astype(np.int64) / 86_400
    parts = {
        "year": at.year,
        "month": at.month,
        "day": at.day,
        "weekday": at.day_of_week,
        "hour": at.hour,
        "days": days,
    }
    gone = np.isnat(moments)
    return {part: np.where(gone, np.nan, np.asarray(value, dtype=float)) for part, value in parts.items()}


# --- text --------------------------------------------------------------------------------------


def _fit_text(table: Table, step: Mapping[str, Any], owner: Preparation, _target: np.ndarray) -> dict[str, Any]:
    most = int(step.get("most") or 60)
    columns = {}
    for name in _picked(step, list(table.texts)):
        seen: dict[str, int] = {}
        for text in table.texts[name]:
            for word in set(_tokens(text)):
                seen[word] = seen.get(word, 0) + 1
        least = max(3, round(0.003 * table.rows))
        common = sorted((w for w, n in seen.items() if least <= n), key=lambda w: (-seen[w], w))[:most]
        columns[name] = {word: float(np.log((1 + table.rows) / (1 + seen[word])) + 1) for word in common}
    return {"columns": columns}


def _apply_text(table: Table, step: Mapping[str, Any], state: Mapping[str, Any]) -> Table:
    names, blocks = list(table.names), [table.values]
    for name, weights in state["columns"].items():
        place = {word: number for number, word in enumerate(weights)}
        weight = np.array(list(weights.values()))
        made = np.zeros((table.rows, len(place) + 3))
        for row, text in enumerate(table.texts[name]):
            words = _tokens(text)
            for word in words:
                at = place.get(word)
                if at is not None:
                    made[row, at] += weight[at]
            norm = float(np.sqrt((made[row] ** 2).sum()))
            if norm:
                made[row] /= norm
            digits = _NUMBER.findall(text) if text else ()
            number = float(digits[-1][:15]) if digits else np.nan
            made[row, -3:] = len(text) if text else np.nan, len(words) if text else np.nan, np.log1p(number)
        blocks.append(made)
        names += [f"{name}: {word}" for word in weights] + [f"{name} length", f"{name} words", f"{name} number"]
    left = {name: one for name, one in table.texts.items() if name not in state["columns"]}
    return _with(table, names, np.hstack(blocks), texts=left)


def _tokens(text: str | None) -> list[str]:
    return _WORD.findall(text.lower()) if text else []


# --- clip --------------------------------------------------------------------------------------


def _fit_clip(table: Table, step: Mapping[str, Any], _owner: Preparation, _target: np.ndarray) -> dict[str, Any]:
    """Bounds beyond which values are pulled back: quantiles of the training rows."""
    share = float(step.get("share") or 0.005)
    bounds = {}
    for name in _picked(step, table.names):
        column = table.values[:, table.names.index(name)]
        known = column[~np.isnan(column)]
        if known.size:
            bounds[name] = [float(v) for v in np.quantile(known, (share, 1 - share))]
    return {"bounds": bounds}


def _apply_clip(table: Table, step: Mapping[str, Any], state: Mapping[str, Any]) -> Table:
    values = table.values.copy()
    for name, (low, high) in state["bounds"].items():
        place = table.names.index(name)
        values[:, place] = np.clip(values[:, place], low, high)
    return _with(table, table.names, values)


# --- impute ------------------------------------------------------------------------------------


def _fit_impute(table: Table, step: Mapping[str, Any], owner: Preparation, _target: np.ndarray) -> dict[str, Any]:
    method = step.get("method") or "auto"
    if method in ("auto", "needed") and owner.view == TREES:
        return {"fill": {}, "marked": []}
    if method == "needed":
        return {"fill": dict.fromkeys(table.names, 0.0), "marked": []}
    fill, marked = {}, []
    for name in _picked(step, table.names):
        column = table.values[:, table.names.index(name)]
        known = column[~np.isnan(column)]
        if method == "mean":
            fill[name] = float(known.mean()) if known.size else 0.0
        elif method == "zero":
            fill[name] = 0.0
        else:
            fill[name] = float(np.median(known)) if known.size else 0.0
        if known.size < column.size and step.get("mark", True):
            marked.append(name)
    return {"fill": fill, "marked": marked}


def _apply_impute(table: Table, step: Mapping[str, Any], state: Mapping[str, Any]) -> Table:
    fill, marked = state["fill"], state["marked"]
    if not fill:
        return table
    replacement = np.array([fill.get(name, np.nan) for name in table.names])
    gone = np.isnan(table.values)
    values = np.where(gone, replacement, table.values)
    if marked:
        places = [table.names.index(name) for name in marked]
        values = np.hstack([values, gone[:, places].astype(float)])
    return _with(table, [*table.names, *(f"{name} missing" for name in marked)], values)


# --- encode ------------------------------------------------------------------------------------


def _fit_encode(table: Table, step: Mapping[str, Any], owner: Preparation, target: np.ndarray) -> dict[str, Any]:
    """For each column its categories by frequency, and what each becomes: places of a one-hot block, its rank, or the
    mean target (pulled to the overall mean where rows are few)."""
    columns: dict[str, Any] = {}
    training: dict[str, np.ndarray] = {}
    for name in _picked(step, list(table.words)):
        words = _filled(table.words[name])
        codes, found = pd.factorize(words)
        counts = np.bincount(codes, minlength=len(found))
        order = np.argsort(-counts, kind="stable")
        method = step.get("method") or "auto"
        methods = _suited(owner.view, len(found)) if method == "auto" else (method,)
        one: dict[str, Any] = {"methods": list(methods)}
        if "onehot" in methods:
            least = 1 if table.rows < 200 else max(3, round(0.001 * table.rows))
            one["kept"] = [str(found[c]) for c in order[:_MOST_CATEGORIES] if counts[c] >= least]
        if "ordinal" in methods:
            one["ranks"] = {str(found[c]): float(rank) for rank, c in enumerate(order[: 10 * _MOST_CATEGORIES])}
        if "target" in methods:
            means, overall = _target_means(codes, len(found), target)
            one["means"] = {str(found[c]): [float(v) for v in means[c]] for c in order if counts[c] > 1}
            one["overall"] = [float(v) for v in overall]
            training[name] = _crossed(codes, len(found), target, owner.seed)
        columns[name] = one
    state: dict[str, Any] = {"columns": columns}
    if training:
        state["training"] = training
    return state


def _suited(view: str, count: int) -> tuple[str, ...]:
    if view == TREES:
        return ("ordinal",) if count <= 2 else ("ordinal", "target")
    return ("onehot",) if count <= _MOST_CATEGORIES else ("onehot", "target")


def _target_means(codes: np.ndarray, count: int, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Of two classes one column says all.
    wanted = target[:, 1:] if target.shape[1] == 2 else target
    overall = wanted.mean(axis=0)
    rows = np.bincount(codes, minlength=count)[:, None]
    sums = np.column_stack([np.bincount(codes, weights=wanted[:, c], minlength=count) for c in range(wanted.shape[1])])
    return (sums + _TARGET_SMOOTHING * overall) / (rows + _TARGET_SMOOTHING), overall


def _crossed(codes: np.ndarray, count: int, target: np.ndarray, seed: int) -> np.ndarray:
    """Each training row's encoding by rows of the other inner folds: its own target must not reach it."""
    fold = np.random.default_rng(seed).permutation(len(codes)) % _INNER_FOLDS
    wanted = target.shape[1] - 1 if target.shape[1] == 2 else target.shape[1]
    made = np.empty((len(codes), wanted))
    for number in range(_INNER_FOLDS):
        inside = fold == number
        others = ~inside if (~inside).any() else inside
        means, _overall = _target_means(codes[others], count, target[others])
        made[inside] = means[codes[inside]]
    return made


def _apply_encode(table: Table, step: Mapping[str, Any], state: Mapping[str, Any]) -> Table:
    return _encoded(table, state, {})


def _trained(table: Table, step: Mapping[str, Any], state: dict[str, Any]) -> Table:
    return _encoded(table, state, state.pop("training"))


def _encoded(table: Table, state: Mapping[str, Any], training: Mapping[str, np.ndarray]) -> Table:
    names, blocks = list(table.names), [table.values]
    for name, one in state["columns"].items():
        words = _filled(table.words[name])
        if "kept" in one:
            codes = _codes(words, one["kept"])
            hot = np.zeros((table.rows, len(one["kept"])))
            known = codes >= 0
            hot[np.nonzero(known)[0], codes[known]] = 1.0
            blocks.append(hot)
            names += [f"{name} = {kept}" for kept in one["kept"]]
        if "ranks" in one:
            ranks = np.array([*one["ranks"].values(), float(len(one["ranks"]))])
            blocks.append(ranks[_codes(words, list(one["ranks"]))][:, None])
            names.append(f"{name} rank")
        if "means" in one:
            if name in training:
                block = training[name]
            else:
                means = np.array([*one["means"].values(), one["overall"]])
                block = means[_codes(words, list(one["means"]))]
            blocks.append(block)
            names += [f"{name} target" + (f" {c}" if block.shape[1] > 1 else "") for c in range(block.shape[1])]
    left = {name: one for name, one in table.words.items() if name not in state["columns"]}
    return _with(table, names, np.hstack(blocks), words=left)


def _filled(words: np.ndarray) -> np.ndarray:
    return np.array([MISSING if word is None else word for word in words.tolist()], dtype=object)


def _codes(words: np.ndarray, known: list[str]) -> np.ndarray:
    """Place of each word among those known; -1, the last, for others."""
    if len(words) < 64:
        places = {word: place for place, word in enumerate(known)}
        return np.array([places.get(word, -1) for word in words.tolist()], dtype=np.int64)
    if not known:
        return np.full(len(words), -1)
    return pd.Index(known, dtype=object).get_indexer(words)


# --- scale -------------------------------------------------------------------------------------


def _fit_scale(table: Table, step: Mapping[str, Any], owner: Preparation, _target: np.ndarray) -> dict[str, Any]:
    method = step.get("method") or "auto"
    if method == "none" or (method == "auto" and owner.view == TREES):
        return {"middle": {}, "spread": {}, "grid": {}}
    middle, spread, grid = {}, {}, {}
    for name in _picked(step, table.names):
        column = table.values[:, table.names.index(name)]
        known = column[~np.isnan(column)]
        if not known.size:
            continue
        if method == "quantile" or (method == "auto" and owner.view == NET and np.unique(known[:2000]).size > 20):
            points = np.unique(np.quantile(known, np.linspace(0, 1, 65)))
            if points.size > 2:
                grid[name] = [float(v) for v in points]
                continue
        if method == "robust":
            low, centre, high = np.quantile(known, (0.25, 0.5, 0.75))
            middle[name], size = float(centre), float((high - low) / 1.349)
        else:
            middle[name], size = float(known.mean()), float(known.std())
        spread[name] = size if size > 1e-12 * max(1.0, abs(middle[name])) else 1.0
    return {"middle": middle, "spread": spread, "grid": grid}


def _apply_scale(table: Table, step: Mapping[str, Any], state: Mapping[str, Any]) -> Table:
    if not state["middle"] and not state["grid"]:
        return table
    middle = np.array([state["middle"].get(name, 0.0) for name in table.names])
    spread = np.array([state["spread"].get(name, 1.0) for name in table.names])
    values = (table.values - middle) / spread
    for place, name in enumerate(table.names):
        points = state["grid"].get(name)
        if points:
            # Ranks, spread evenly over -1.7 to 1.7: a uniform distribution of deviation 1.
            ranks = np.interp(table.values[:, place], points, np.linspace(-1.732, 1.732, len(points)))
            values[:, place] = np.where(np.isnan(table.values[:, place]), np.nan, ranks)
    return _with(table, table.names, values)


_Fit = Callable[[Table, Mapping[str, Any], Preparation, np.ndarray], dict[str, Any]]
_Apply = Callable[[Table, Mapping[str, Any], Mapping[str, Any]], Table]
_STEPS: dict[str, tuple[_Fit, _Apply]] = {
    "drop": (_fit_drop, _apply_drop),
    "dates": (_fit_dates, _apply_dates),
    "text": (_fit_text, _apply_text),
    "clip": (_fit_clip, _apply_clip),
    "impute": (_fit_impute, _apply_impute),
    "encode": (_fit_encode, _apply_encode),
    "scale": (_fit_scale, _apply_scale),
}
