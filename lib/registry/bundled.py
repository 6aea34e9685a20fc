"""What training makes (`lib.registry.bundles`), served: its schema in the words of predictions, and its answers."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.errors import ArtefactRefused
from lib.registry.loaders import Prediction, Served
from lib.registry.schema import Field, Kind, ModelSchema, Task

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "schema.json"
_KINDS = {"numeric": Kind.NUMBER, "category": Kind.CATEGORY, "text": Kind.TEXT, "date": Kind.TIME}


def schema_of(folder: Path) -> ModelSchema:
    """The schema of a bundle's folder. Raises ArtefactRefused when it has none."""
    try:
        return schema_from(json.loads((folder / SCHEMA).read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactRefused(f"{folder.name} is no bundle of a trained model: {error}.") from None


def schema_from(held: Mapping[str, Any]) -> ModelSchema:
    """From a training schema as JSON. What was never missing in training must not be missing now; categories that were
    all listed are all there are."""
    regression = held["task"] == "regression"
    return ModelSchema(
        Task.REGRESSION if regression else Task.CLASSIFICATION,
        tuple(_field(one) for one in held["columns"]),
        () if regression else tuple(str(one) for one in held["classes"]),
        str(held["target"]),
    )


def _field(held: Mapping[str, Any]) -> Field:
    categories = tuple(str(one) for one in held["categories"])
    return Field(
        str(held["name"]),
        _KINDS[held["role"]],
        categories,
        usual=categories[0] if categories else held["middle"],
        low=held["low"],
        high=held["high"],
        missing=held["missing"] > 0,
        open=held["distinct"] > len(categories),
    )


class BundleModel:
    """model: what `load_bundle` gave: `predict(frame)` says numbers or classes, `probabilities(frame)` (n, classes)."""

    def __init__(self, model: Any, schema: ModelSchema) -> None:
        self.model, self.schema = model, schema

    def predict(self, frame: pd.DataFrame) -> Prediction:
        said = self.model.predict(frame)
        if self.schema.task is Task.REGRESSION:
            return Prediction(np.asarray(said, dtype=np.float64))
        # Not the likeliest but what the model says: a threshold may have been tuned.
        p = np.asarray(self.model.probabilities(frame), dtype=np.float64)
        places = {name: number for number, name in enumerate(self.schema.classes)}
        labels = [str(one) for one in said]
        return Prediction(p[np.arange(len(p)), [places[one] for one in labels]], labels, p)


def load(folder: Path, schema: ModelSchema) -> Served:
    return BundleModel(importlib.import_module("lib.registry.bundles").load_bundle(folder), schema)
