"""Models registered as training would, without the check an upload goes through."""

from __future__ import annotations

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.learning_tables import ModelVersion
from lib.registry import loaders
from lib.registry.schema import Field, Kind, ModelSchema, Task
from tests.registry.make_models import DATA, NAMES

VIEWER, ANALYST, OPERATOR = (Actor(role.name.lower(), role) for role in (Role.VIEWER, Role.ANALYST, Role.OPERATOR))
FLOWERS = ModelSchema(
    Task.CLASSIFICATION,
    tuple(Field(name, usual=0.0) for name in ("length", "width", "height", "weight")),
    ("setosa", "versicolor", "virginica"),
    "species",
)
CUSTOMERS = ModelSchema(Task.CLASSIFICATION, tuple(Field(name, missing=True) for name in NAMES), ("leaves", "buys"))
PRICES = ModelSchema(Task.REGRESSION, tuple(Field(f"f{number}") for number in range(5)), target="price", unit="EUR")
MIXED = ModelSchema(
    Task.CLASSIFICATION,
    (
        Field("age", Kind.INTEGER),
        Field("income", missing=True),
        Field("shop", Kind.CATEGORY, ("north", "south"), usual="north"),
        Field("member", Kind.BOOLEAN),
        Field("since", Kind.TIME, missing=True),
    ),
    ("no", "yes"),
)
ROW = {"length": 1.0, "width": 1.0, "height": 1.0, "weight": 1.0}


def register(
    app: App, file: str = "torch_mlp.onnx", schema: ModelSchema = FLOWERS, name: str = "flowers", **more: object
) -> ModelVersion:
    formats = {".onnx": "onnx", ".json": "xgboost", ".skops": "skops"}
    path = DATA / file
    format_ = formats[path.suffix]
    return app.models.register(
        ANALYST, name, {loaders.FILES[format_]: path}, format=format_, model_schema=schema, **more
    )  # type: ignore[arg-type]
