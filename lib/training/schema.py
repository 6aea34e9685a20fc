"""What a table's columns are and what is to be learnt from them, or why that cannot be learnt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from lib.errors import Invalid, NotEnoughData
from lib.training.preparation import CATEGORY, DATE, NUMERIC, TEXT

LEAST_ROWS = 20
MOST_CLASSES = 100
# Of a class or, in all, of known targets: fewer cannot be in each of two folds.
LEAST_OF_CLASS = 2
# A number with more different values than this, and no whole number of a few, is a quantity rather than a class.
_MOST_NUMBERED_CLASSES = 20
_EXAMPLES = 200
_WORD = re.compile(r"[^\W\d_]+|\d+")
_ISO_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?$|\d{1,2}[./]\d{1,2}[./]\d{4}([T ].*)?$")


class Task(StrEnum):
    """What is predicted."""

    BINARY = "binary"  # one of two classes
    MULTICLASS = "multiclass"  # one of several classes
    REGRESSION = "regression"  # a number


class Role(StrEnum):
    """What a column is for."""

    NUMERIC = NUMERIC
    CATEGORY = CATEGORY
    TEXT = TEXT
    DATE = DATE
    TARGET = "target"
    TIME = "time"  # orders the rows: earlier ones are learnt from, later ones predicted; no feature
    GROUP = "group"  # rows of one group stay in one fold; no feature
    IDENTIFIER = "identifier"  # names a row; no feature
    IGNORE = "ignore"


FEATURES = (Role.NUMERIC, Role.CATEGORY, Role.TEXT, Role.DATE)


@dataclass(frozen=True)
class Column:
    """One feature as the training rows had it. categories: the most frequent, of a category; low, high: the range, of a
    number; missing: share of rows."""

    name: str
    role: str
    missing: float = 0.0
    distinct: int = 0
    categories: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    middle: float | None = None


@dataclass(frozen=True)
class Schema:
    """What a model takes and gives. classes: as text, in the order of the probabilities; empty for a number."""

    target: str
    task: Task
    columns: tuple[Column, ...]
    classes: tuple[str, ...] = ()
    rows: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)  # column -> why it is no feature

    @property
    def roles(self) -> dict[str, str]:
        return {column.name: column.role for column in self.columns}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Schema:
        columns = tuple(Column(**{**one, "categories": tuple(one["categories"])}) for one in held["columns"])
        rest = {name: held[name] for name in ("target", "rows", "left_out")}
        return cls(task=Task(held["task"]), columns=columns, classes=tuple(held["classes"]), **rest)


def unique_names(frame: pd.DataFrame) -> None:
    """Raises Invalid when two columns share a name: which one is meant could not be said."""
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"Two columns are named {twice[0]!r}; rename one of them.", columns=twice)


def guess_roles(frame: pd.DataFrame, target: str) -> dict[str, str]:
    """A role for each column, from its values: the first version of a plan, for a person to correct."""
    unique_names(frame)
    return {str(name): str(Role.TARGET if name == target else _role(frame[name])) for name in frame.columns}


def _role(column: pd.Series) -> Role:
    known = column.dropna()
    if known.empty or known.nunique() <= 1:
        return Role.IGNORE
    if column.dtype.kind == "b":
        return Role.CATEGORY
    if column.dtype.kind == "M":
        return Role.DATE
    if column.dtype.kind in "iuf":
        return Role.IDENTIFIER if _counts_rows(known) else Role.NUMERIC
    words = known.astype(str)
    sample = words.iloc[:: max(1, len(words) // _EXAMPLES)].head(_EXAMPLES)
    if pd.to_numeric(sample, errors="coerce").notna().mean() > 0.95:
        return Role.NUMERIC if words.nunique() > 2 else Role.CATEGORY
    if sample.map(lambda one: bool(_ISO_DATE.match(one))).mean() > 0.95:
        return Role.DATE
    share = words.nunique() / len(words)
    if words.nunique() <= 30 or share < 0.1:
        return Role.CATEGORY
    common = pd.Series([w for text in sample for w in set(_WORD.findall(text.lower()))]).value_counts()
    # A word of every row, such as the letter before a number, makes no text.
    shares_words = bool(((common >= max(3, 0.05 * len(sample))) & (common < 0.95 * len(sample))).any())
    if share > 0.98 and not shares_words:
        return Role.IDENTIFIER
    return Role.TEXT if share > 0.3 and shares_words else Role.CATEGORY


def _counts_rows(known: pd.Series) -> bool:
    """Whether whole numbers, each once, fill their range: a row number."""
    if known.dtype.kind == "f" and not (known == known.round()).all():
        return False
    if len(known) < LEAST_ROWS or not known.is_unique:
        return False
    return float(known.max()) - float(known.min()) < 1.05 * len(known)


def detect_task(target: pd.Series) -> Task:
    """What kind of prediction a target asks for. Raises Invalid for one that mixes text and numbers."""
    known = target.dropna()
    if target.dtype.kind in "iuf":
        values = known.to_numpy(dtype=float)
        values = values[np.isfinite(values)]
        distinct = np.unique(values).size
        whole = bool((values == np.round(values)).all())
        if distinct == 2:
            return Task.BINARY
        if not distinct:
            return Task.REGRESSION
        if whole and distinct <= _MOST_NUMBERED_CLASSES and distinct <= max(2.0, 0.05 * len(values)):
            return Task.MULTICLASS
        return Task.REGRESSION
    if target.dtype.kind == "M":
        raise Invalid(f"The target {target.name!r} is a date; predict a number or a class made from it.")
    words = known.astype(str)
    numbers = pd.to_numeric(words, errors="coerce").notna()
    if 0 < numbers.sum() < len(words) and words[numbers].nunique() > 2 and known.nunique() > 10:
        example = str(words[~numbers].iloc[0])[:40]
        raise Invalid(
            f"The target {target.name!r} mixes {int(numbers.sum()):,} numbers with {int((~numbers).sum()):,} texts "
            f"such as {example!r}. Correct those rows, or leave them out."
        )
    if len(words) and numbers.all() and known.dtype.kind != "b":
        return detect_task(pd.Series(pd.to_numeric(words).to_numpy(dtype=float), name=target.name))
    return Task.BINARY if known.nunique() == 2 else Task.MULTICLASS


def describe(frame: pd.DataFrame, target: str, roles: Mapping[str, str], task: Task) -> Schema:
    """The schema of features with these roles; constant and empty columns are left out, and why is said."""
    columns, left_out = [], {}
    for name, role in roles.items():
        if role not in FEATURES or name not in frame.columns:
            if role in (Role.IDENTIFIER, Role.IGNORE):
                left_out[name] = "names a row" if role == Role.IDENTIFIER else "not used"
            continue
        column, reason = _column(frame[name], name, role)
        if column is None:
            left_out[name] = reason
        else:
            columns.append(column)
    for name, role in roles.items():
        if role == Role.IGNORE and name in frame.columns:
            known = frame[name].dropna()
            left_out[name] = "empty" if known.empty else "the same in each row" if known.nunique() == 1 else "not used"
    classes = () if task == Task.REGRESSION else tuple(classes_of(frame[target]))
    return Schema(target, task, tuple(columns), classes, len(frame), left_out)


def _column(values: pd.Series, name: str, role: str) -> tuple[Column | None, str]:
    from lib.training.preparation import read

    table = read(values.to_frame(name), {name: role})
    if role == Role.NUMERIC:
        known = table.values[:, 0][~np.isnan(table.values[:, 0])]
        distinct = np.unique(known).size
        if distinct <= 1:
            return None, "empty, or no numbers" if not distinct else "the same in each row"
        missing = 1 - known.size / len(values)
        ends = (float(known.min()), float(known.max()), float(np.median(known)))
        return Column(name, role, missing, int(distinct), (), *ends), ""
    if role == Role.DATE:
        gone = np.isnat(table.moments[name])
        distinct = np.unique(table.moments[name][~gone]).size
        reason = "empty, or no dates" if not distinct else "the same in each row"
        return (Column(name, role, float(gone.mean()), int(distinct)), "") if distinct > 1 else (None, reason)
    words = pd.Series((table.words if role == Role.CATEGORY else table.texts)[name], dtype=object)
    counts = words.dropna().value_counts()
    gone_share = float(words.isna().mean())
    if counts.empty or (len(counts) == 1 and gone_share == 0):
        return None, "empty" if counts.empty else "the same in each row"
    kept = tuple(str(one)[:200] for one in counts.index[:100]) if role == Role.CATEGORY else ()
    return Column(name, role, gone_share, len(counts), kept), ""


def class_names(target: pd.Series) -> np.ndarray:
    """Each row's class as text, None where missing: 1 and 1.0 are one class."""
    from lib.training.preparation import read

    return read(target.to_frame("target"), {"target": CATEGORY}).words["target"]


def classes_of(target: pd.Series) -> list[str]:
    """The classes in the order of their probabilities: numbers by size, text by alphabet."""
    names = {name for name in class_names(target).tolist() if name is not None}
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)


def encode_target(frame: pd.DataFrame, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose target is known, and their targets: class numbers, or finite numbers."""
    if schema.task == Task.REGRESSION:
        values = pd.to_numeric(frame[schema.target], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        kept = np.nonzero(np.isfinite(values))[0]
        return kept, values[kept]
    places = {name: number for number, name in enumerate(schema.classes)}
    codes = np.array([places.get(name, -1) for name in class_names(frame[schema.target]).tolist()])
    kept = np.nonzero(codes >= 0)[0]
    return kept, codes[kept].astype(np.int64)


def require_learnable(frame: pd.DataFrame, target: str, task: Task) -> None:
    """Raises NotEnoughData or Invalid, with the reason, for a table nothing can be learnt from."""
    unique_names(frame)
    if target not in frame.columns:
        raise Invalid(f"There is no column {target!r} to predict; there are {_list(list(frame.columns))}.")
    known = frame[target].dropna()
    if len(known) < LEAST_ROWS:
        raise NotEnoughData(
            f"{len(known):,} of {len(frame):,} rows have a {target!r}; it takes at least {LEAST_ROWS} to learn from."
        )
    if task == Task.REGRESSION:
        values = pd.to_numeric(frame[target], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        values = values[np.isfinite(values)]
        if values.size < LEAST_ROWS:
            raise NotEnoughData(f"Only {values.size:,} rows of {target!r} are finite numbers; it takes {LEAST_ROWS}.")
        if np.ptp(values) == 0:
            raise Invalid(f"The target {target!r} is {values[0]:g} in each row; there is nothing to learn.")
        return
    counts = pd.Series(class_names(frame[target])).dropna().value_counts()
    if len(counts) == 1:
        raise Invalid(f"The target {target!r} has a single class, {counts.index[0]!r}; it takes at least two.")
    if task == Task.BINARY and len(counts) > 2:
        raise Invalid(f"The target {target!r} has {len(counts):,} classes, not two; choose several classes.")
    if len(counts) > MOST_CLASSES:
        raise Invalid(
            f"The target {target!r} has {len(counts):,} classes, the cap is {MOST_CLASSES}. Predict a number, or join "
            "rare classes."
        )
    rare = counts[counts < LEAST_OF_CLASS]
    if len(rare):
        raise NotEnoughData(
            f"The class {rare.index[0]!r} of {target!r} has a single row; each takes at least {LEAST_OF_CLASS}. Leave "
            "such rows out, or join classes.",
            classes=[str(name) for name in rare.index[:20]],
        )


def _list(names: Sequence[object]) -> str:
    shown = ", ".join(str(name) for name in names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12:,} more"
