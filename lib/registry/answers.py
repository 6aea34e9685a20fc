"""What a model says of rows, in words a caller can use; the same in the app and in an exported folder."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lib.errors import Invalid
from lib.registry import explain as explaining
from lib.registry import loaders
from lib.registry.schema import Checked, Kind, ModelSchema

MOST_ROWS, MOST_EXPLAINED, MOST_KEY = 1000, 20, 256
_TOLD = 5


@dataclass(frozen=True)
class Reason:
    """How much a field moved the prediction. value: what was given."""

    field: str
    value: Any
    contribution: float


@dataclass(frozen=True)
class One:
    """One row's prediction. value: of a regression. label, probabilities (by class): of a classification.
    id: what an outcome is reported with."""

    id: str
    value: float | None
    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    why: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Answer:
    """predictions: in the order of the rows. model_ms: of the model itself. took_ms: of all of it. why_method,
    why_unit: how the reasons came about, and in what they are. arm: a or b while an A/B test chooses the version."""

    model: str
    version: int
    predictions: tuple[One, ...]
    model_ms: float
    took_ms: float
    why_method: str = ""
    why_unit: str = ""
    experiment: int | None = None
    arm: str = ""


def say(served: loaders.Served, columns: dict[str, list[Any]], explain: bool) -> dict[str, Any]:
    """What a loaded model makes of checked columns, as JSON: a list of values, labels, probabilities; why, if asked."""
    frame = loaders.frame_of(served.schema, columns)
    began = time.perf_counter()
    found = served.predict(frame)
    answer: dict[str, Any] = {
        "seconds": time.perf_counter() - began,
        "values": _plain(found.values),
        "labels": found.labels,
        "probabilities": None if found.probabilities is None else [_plain(row) for row in found.probabilities],
    }
    why = explaining.contributions(served, frame) if explain else None
    if why is not None:
        answer["why"] = {"method": why.method, "unit": why.unit, "values": [_plain(row) for row in why.values]}
    return answer


def ones(schema: ModelSchema, checked: Checked, answer: Mapping[str, Any], rows: int) -> tuple[One, ...]:
    """What `say` said, row by row."""
    return tuple(_one(schema, checked, answer, number) for number in range(rows))


def require_few(rows: Sequence[object], key: str) -> None:
    """Raises Invalid for no rows, too many, or a key that is too long."""
    if not 1 <= len(rows) <= MOST_ROWS:
        raise Invalid(f"{len(rows):,} rows were sent; 1 to {MOST_ROWS:,} are predicted at a time, more from a file.")
    if len(key) > MOST_KEY:
        raise Invalid(f"The key has {len(key):,} characters; at most {MOST_KEY} are taken.")


def refused(checked: Checked) -> Invalid:
    """Rows that cannot be predicted, as one error that names every field."""
    told = "; ".join(
        (f"row {one.row + 1}, {one.message}" if len(checked.bad_rows) > 1 else one.message).rstrip(".")
        for one in checked.problems[:_TOLD]
    )
    more = len(checked.problems) - _TOLD
    fields = [
        {"row": one.row, "field": one.field, "code": one.code, "message": one.message} for one in checked.problems
    ]
    return Invalid(f"{told}{f'; and {more} more' if more > 0 else ''}.", fields=fields)


def usual_row(schema: ModelSchema) -> dict[str, Any]:
    """A row of ordinary values, to try a model with."""
    row: dict[str, Any] = {}
    for one in schema.fields:
        if one.kind is Kind.TIME:
            row[one.name] = "2026-01-01T00:00:00+00:00"
        elif one.kind in (Kind.CATEGORY, Kind.TEXT):
            row[one.name] = one.usual if isinstance(one.usual, str) else (one.categories or ("a",))[0]
        elif one.kind is Kind.BOOLEAN:
            row[one.name] = bool(one.usual)
        else:
            known = [x for x in (one.low, one.high) if x is not None and math.isfinite(x)]
            middle = sum(known) / len(known) if known else 0.0
            usual = float(one.usual) if isinstance(one.usual, int | float) else middle
            row[one.name] = round(usual) if one.kind is Kind.INTEGER else usual
    return row


def _one(schema: ModelSchema, checked: Checked, answer: Mapping[str, Any], number: int) -> One:
    probabilities: dict[str, float] = {}
    label = None
    if answer["labels"] is not None:
        label = answer["labels"][number]
        probabilities = dict(zip(schema.classes, answer["probabilities"][number], strict=True))
    why: list[Reason] = []
    if answer.get("why"):
        values = answer["why"]["values"][number]
        pairs = zip(checked.columns, values, strict=True)
        why = [Reason(name, checked.columns[name][number], value or 0.0) for name, value in pairs]
        why.sort(key=lambda one: -abs(one.contribution))
    value = answer["values"][number]
    return One(secrets.token_hex(12), value if label is None else None, label, probabilities, tuple(why))


def _plain(values: np.ndarray) -> list[float | None]:
    """JSON has no NaN and no infinity."""
    known = np.isfinite(values)
    return [float(value) if ok else None for value, ok in zip(values, known, strict=True)]
