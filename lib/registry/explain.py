"""Why a model says what it says, cheaply, and named as what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.registry.schema import Kind, ModelSchema, Task

if TYPE_CHECKING:
    import pandas as pd

    from lib.registry.loaders import Served

# One prediction a field: beyond this many it would no longer be cheap.
MOST_ABLATED = 300


@dataclass(frozen=True)
class Contributions:
    """values: (n, fields), towards what was predicted. method: how they came about. unit: what they are in."""

    method: str
    unit: str
    values: np.ndarray


def contributions(served: Served, frame: pd.DataFrame) -> Contributions | None:
    """The model's own, where it has some, else ablation; None where neither is cheap."""
    own = getattr(served, "contributions", None)
    found: Contributions | None = own(frame) if own is not None else None
    return found if found is not None else ablation(served, frame)


def linear_terms(model: Any, rows: Any, schema: ModelSchema) -> Contributions | None:
    """Weight times distance from the usual value, for a bare linear model of two classes or numbers; else None."""
    weights = np.asarray(getattr(model, "coef_", ()), dtype=np.float64)
    weights = weights.reshape(1, -1) if weights.ndim == 1 else weights
    if weights.shape != (1, len(schema.fields)):
        return None
    usual = usual_values(schema)
    if any(not isinstance(one, int | float) for one in usual):
        return None
    values = (np.asarray(rows, dtype=np.float64) - np.asarray(usual, dtype=np.float64)) * weights
    if schema.task is Task.CLASSIFICATION:
        second = np.asarray(model.decision_function(rows)).reshape(-1) >= 0
        values = np.where(second[:, None], values, -values)
    unit = "score" if schema.task is Task.CLASSIFICATION else schema.unit
    return Contributions("Linear terms: weight × distance from the usual value", unit, values)


def ablation(served: Served, frame: pd.DataFrame) -> Contributions | None:
    """How the prediction moves when one field at a time takes its usual value. Fields that act together share what
    they do, or hide it: this is a look, not an attribution that adds up."""
    import pandas as pd

    schema = served.schema
    count, usual = len(schema.fields), usual_values(schema)
    if count > MOST_ABLATED:
        return None
    values = np.zeros((len(frame), count))
    for number in range(len(frame)):
        many = pd.concat([frame.iloc[[number]]] * (count + 1), ignore_index=True)
        for place, (field, value) in enumerate(zip(schema.fields, usual, strict=True)):
            if value is not None:
                column = many.columns.get_loc(field.name)
                many.iloc[place + 1, column] = value
        found = served.predict(many)
        if found.probabilities is None:
            moved = found.values
        else:
            moved = found.probabilities[:, int(found.probabilities[0].argmax())]
        values[number] = moved[0] - moved[1:]
    unit = "probability" if schema.task is Task.CLASSIFICATION else schema.unit
    return Contributions("One field at a time set to its usual value", unit, values)


def usual_values(schema: ModelSchema) -> list[Any]:
    """Each field's usual value; None where nobody knows one (it is left as it is)."""
    found: list[Any] = []
    for field in schema.fields:
        if field.kind is Kind.TIME:
            found.append(None)
        elif field.kind in (Kind.CATEGORY, Kind.TEXT):
            found.append(field.usual if isinstance(field.usual, str) else None)
        else:
            numeric = isinstance(field.usual, int | float)
            # Without a usual value, zero: what a standardised input usually is.
            found.append(float(field.usual) if numeric and field.usual is not None else 0.0)
    return found
