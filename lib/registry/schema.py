"""What a served model takes and gives: its fields, its classes; and rows held against that, field by field."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from lib.errors import Invalid

MOST_FIELDS, MOST_CLASSES, MOST_TEXT = 2000, 1000, 10_000
_SHOWN = 8


class Kind(StrEnum):
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CATEGORY = "category"  # one of `categories`
    TEXT = "text"
    TIME = "time"  # ISO 8601


class Task(StrEnum):
    CLASSIFICATION = "classification"
    REGRESSION = "regression"


@dataclass(frozen=True)
class Field:
    """One input. usual: a typical value, what a form begins with and explanations compare with. missing: whether it
    may be left out. open: whether a category the model has not seen is passed on (it must cope) instead of refused."""

    name: str
    kind: Kind = Kind.NUMBER
    categories: tuple[str, ...] = ()
    usual: float | str | bool | None = None
    low: float | None = None
    high: float | None = None
    missing: bool = False
    open: bool = False


@dataclass(frozen=True)
class ModelSchema:
    """fields: in the order the model takes them. classes: by the position of their probability; none for numbers.
    target, unit: what is predicted, and in what."""

    task: Task
    fields: tuple[Field, ...]
    classes: tuple[str, ...] = ()
    target: str = ""
    unit: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.fields)


def from_json(raw: Any) -> ModelSchema:
    """Raises Invalid for what describes no model, naming the part."""
    if not isinstance(raw, Mapping):
        raise Invalid("The schema must be a JSON object with task and fields.")
    try:
        task = Task(raw.get("task", ""))
    except ValueError:
        raise Invalid(f"task is {raw.get('task')!r}; it must be classification or regression.") from None
    given = raw.get("fields")
    if not isinstance(given, list | tuple) or not 1 <= len(given) <= MOST_FIELDS:
        raise Invalid(f"fields must be a list of 1 to {MOST_FIELDS:,} inputs.")
    fields = tuple(_field(one, number) for number, one in enumerate(given, 1))
    if len({one.name for one in fields}) < len(fields):
        raise Invalid("Two fields have the same name; give each its own.")
    classes = _texts(raw.get("classes", ()), "classes", MOST_CLASSES)
    if task is Task.CLASSIFICATION and len(classes) < 2:
        raise Invalid("A classification needs at least two classes.")
    target, unit = str(raw.get("target") or "")[:256], str(raw.get("unit") or "")[:32]
    return ModelSchema(task, fields, classes if task is Task.CLASSIFICATION else (), target, unit)


def _field(raw: Any, number: int) -> Field:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("name"), str) or not raw["name"].strip():
        raise Invalid(f"Field {number} has no name.")
    name = raw["name"][:256]
    try:
        kind = Kind(raw.get("kind", Kind.NUMBER))
    except ValueError:
        raise Invalid(f"Field {name!r} is of kind {raw.get('kind')!r}; known are {', '.join(Kind)}.") from None
    limits: dict[str, float | None] = {}
    for key in ("low", "high"):
        value = raw.get(key)
        usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        limits[key] = float(value) if usable and value is not None else None
    usual = raw.get("usual")
    if not isinstance(usual, str | int | float | bool) or (isinstance(usual, float) and not math.isfinite(usual)):
        usual = None
    return Field(
        name,
        kind,
        _texts(raw.get("categories", ()), f"categories of {name!r}", MOST_TEXT),
        usual[:256] if isinstance(usual, str) else usual,
        missing=bool(raw.get("missing", False)),
        open=bool(raw.get("open", False)),
        **limits,
    )


def _texts(raw: Any, what: str, most: int) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple) or len(raw) > most:
        raise Invalid(f"The {what} must be a list of at most {most:,} texts.")
    texts = tuple(str(one)[:256] for one in raw)
    if len(set(texts)) < len(texts):
        raise Invalid(f"The {what} hold the same text twice.")
    return texts


# --- rows ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """What is wrong with one field of one row (from 0)."""

    row: int
    field: str
    code: str  # missing, type, category, range, unknown
    message: str


@dataclass
class Checked:
    """columns: name -> one value a row, as the worker takes them. Rows with problems hold None there."""

    columns: dict[str, list[Any]]
    problems: list[Problem] = field(default_factory=list)

    @property
    def bad_rows(self) -> set[int]:
        return {one.row for one in self.problems}


def check_rows(schema: ModelSchema, rows: Sequence[Mapping[str, Any]], most_problems: int = 100) -> Checked:
    """Hold rows against the schema: what is missing, of a wrong type, or no known category, field by field."""
    checked = Checked({name: [None] * len(rows) for name in schema.names})
    known = frozenset(schema.names)
    for number, row in enumerate(rows):
        if len(checked.problems) >= most_problems:
            break
        if not isinstance(row, Mapping):
            checked.problems.append(Problem(number, "", "type", "A row must be an object of fields and values."))
            continue
        for name in row:
            if name not in known:
                message = f"There is no field {str(name)[:80]!r}; the model takes {_list(schema.names)}."
                checked.problems.append(Problem(number, str(name)[:80], "unknown", message))
        for one in schema.fields:
            try:
                checked.columns[one.name][number] = _value(one, row.get(one.name))
            except _Wrong as wrong:
                checked.problems.append(Problem(number, one.name, wrong.code, wrong.message))
    checked.problems = checked.problems[:most_problems]
    return checked


class _Wrong(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def _value(one: Field, value: Any) -> Any:
    if value is None:
        if one.missing:
            return None
        raise _Wrong("missing", f"{one.name} is missing, and this model cannot do without it.")
    match one.kind:
        case Kind.NUMBER | Kind.INTEGER:
            return _number(one, value)
        case Kind.BOOLEAN:
            if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
                return bool(value)
            raise _Wrong("type", f"{one.name} is {_shown(value)}; it takes true or false.")
        case Kind.TIME:
            return _time(one, value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Wrong("type", f"{one.name} is {_shown(value)}; it takes text.")
    text = str(value)
    if len(text) > MOST_TEXT:
        raise _Wrong("range", f"{one.name} has {len(text):,} characters; at most {MOST_TEXT:,} are read.")
    if one.kind is Kind.CATEGORY and text not in one.categories and not one.open:
        raise _Wrong("category", f"{one.name} is {_shown(value)}; the model knows {_list(one.categories)}.")
    return text


def _number(one: Field, value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong("type", f"{one.name} is {_shown(value)}; it takes a number.")
    # 1e39 is infinite for what computes in 32 bits; the comparison also holds for integers no float can hold.
    if not abs(value) <= 3.0e38:
        raise _Wrong("range", f"{one.name} is {_shown(value)}; it takes a finite number.")
    if one.kind is Kind.INTEGER and value != int(value):
        raise _Wrong("type", f"{one.name} is {_shown(value)}; it takes a whole number.")
    return value


def _time(one: Field, value: Any) -> str:
    try:
        if not isinstance(value, str):
            raise ValueError
        datetime.fromisoformat(value)
    except ValueError:
        raise _Wrong("type", f"{one.name} is {_shown(value)}; it takes a time such as 2026-03-14T12:00:00Z.") from None
    return value


def _shown(value: Any) -> str:
    return repr(value)[:60]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(str(name)[:40] for name in names[:_SHOWN]) + more
