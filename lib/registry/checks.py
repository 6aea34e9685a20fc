"""What an uploaded model file must pass, in a child process, before it is listed: that it is what its name says, holds
nothing beyond a model, and answers."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from lib.errors import ArtefactRefused, Invalid
from lib.registry import loaders, schema
from lib.registry.schema import Field, Kind, ModelSchema, Task

MOST_UNPACKED, MOST_MEMBERS, MOST_RATIO = 1 << 30, 20_000, 200
PROBE_ROWS = 16
# Standard operators; another domain would need a library of somebody's, or runtime-only fused ones.
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})


def check(format_: str, path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """schema (as JSON), facts (what the file says of itself), latency. given: what the uploader said: schema, or
    fields, classes, task, target. path: the file, already under the name FILES has for it.

    Raises Invalid or ArtefactRefused with the reason.
    """
    with path.open("rb") as file:
        head = file.read(64)
    _sniff(format_, head, path)
    found, facts = _READERS[format_](path)
    made = _schema(found, given)
    served = loaders.load(format_, path.parent, made)
    _probe(served, made)
    return {"schema": made.to_json(), "facts": facts}


def _sniff(format_: str, head: bytes, path: Path) -> None:
    """What a file is, whatever its name says."""
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise ArtefactRefused("This is a Python pickle, whatever its name says; a pickle can run any code and is never "
                              "opened. Export the model to ONNX, XGBoost JSON or skops.")  # fmt: skip
    zipped = head[:4] == b"PK\x03\x04"
    if zipped:
        _unzips(path)
    if format_ == "skops" and not zipped:
        raise ArtefactRefused("This is no skops file (a zip archive is expected). Write it with skops.io.dump.")
    if format_ == "onnx" and zipped:
        raise ArtefactRefused("This is a zip archive, no ONNX model; export the model with torch.onnx.export.")
    if format_ == "xgboost" and head.lstrip()[:1] != b"{":
        raise ArtefactRefused("This is no XGBoost JSON; write it with save_model('model.json').")


def _unzips(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ArtefactRefused(f"The archive cannot be read: {error}.") from None
    if any(member.filename.endswith((".pkl", ".pickle", ".joblib")) for member in members):
        raise ArtefactRefused("The archive holds a pickle (a file of torch.save?), which is never opened. Export the "
                              "model to ONNX.")  # fmt: skip
    if len(members) > MOST_MEMBERS:
        raise ArtefactRefused(f"The archive holds {len(members):,} files; at most {MOST_MEMBERS:,} are read.")
    if any(member.filename.startswith(("/", "\\")) or ".." in member.filename for member in members):
        raise ArtefactRefused("The archive holds names that lead out of it.")
    size = sum(member.file_size for member in members)
    if size > MOST_UNPACKED or size > MOST_RATIO * max(path.stat().st_size, 1 << 20):
        raise ArtefactRefused(f"The archive unpacks to {size / 2**20:,.0f} MB, which no model needs: it is a bomb.")


# --- what a file says of itself --------------------------------------------------------------------


def _read_xgboost(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        learner = json.loads(path.read_bytes())["learner"]
        numbers = learner["learner_model_param"]
        objective = str(learner["objective"]["name"])
        count, classes = int(numbers["num_feature"]), int(numbers.get("num_class", 0))
        names = [str(one) for one in learner.get("feature_names") or []]
        kinds = [str(one) for one in learner.get("feature_types") or []]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtefactRefused(f"This JSON is no XGBoost model ({type(error).__name__}: {error}).") from None
    if not 1 <= count <= schema.MOST_FIELDS:
        raise Invalid(f"The model takes {count:,} inputs; 1 to {schema.MOST_FIELDS:,} can be served.")
    if "c" in kinds:
        raise Invalid("The model takes categories of its own numbering; train it on encoded columns, or export a "
                      "pipeline with skops or ONNX.")  # fmt: skip
    if objective.startswith("multi:") and objective != "multi:softprob":
        raise Invalid(f"The objective {objective} gives labels only; train with multi:softprob.")
    binary = objective in ("binary:logistic",)
    if objective.startswith(("rank:", "binary:")) and not binary:
        raise Invalid(f"The objective {objective} gives neither probabilities nor values; use binary:logistic.")
    found = {
        "task": Task.CLASSIFICATION if binary or classes > 1 else Task.REGRESSION,
        "count": count,
        "names": names,
        "classes": max(classes, 2) if binary or classes > 1 else 0,
        "kinds": {"int": Kind.INTEGER, "i": Kind.BOOLEAN},
        "types": kinds,
        "missing": True,
    }
    version = ".".join(str(one) for one in json.loads(path.read_bytes()).get("version", []))
    return found, {"objective": objective, "made_with": f"XGBoost {version}"}


def _read_skops(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    model = loaders.open_skops(path)
    if not hasattr(model, "predict"):
        raise Invalid(f"The file holds a {type(model).__name__}, which does not predict; save the fitted model.")
    count = getattr(model, "n_features_in_", None)
    if count is None:
        raise Invalid(f"The {type(model).__name__} is not fitted, or does not say how many inputs it takes.")
    named = getattr(model, "feature_names_in_", ())
    classes = [str(one) for one in getattr(model, "classes_", ())]
    found = {
        "task": Task.CLASSIFICATION if classes else Task.REGRESSION,
        "count": int(count),
        "names": [str(one) for one in named],
        "classes": len(classes),
        "class_names": classes,
    }
    return found, {"made_with": f"scikit-learn, {type(model).__name__}"}


def _read_onnx(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import onnx

    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except Exception as error:  # protobuf's own classes differ by its implementation
        raise ArtefactRefused(f"This is no ONNX model: {str(error)[:200]}.") from None
    if not model.graph.node:
        raise ArtefactRefused("This is no ONNX model: there is no graph with operators in it.")
    domains = {one.domain for one in model.opset_import} | {node.domain for node in _nodes(model.graph)}
    strange = sorted(domains - DOMAINS)
    if strange:
        raise ArtefactRefused(f"The model needs operators of {', '.join(strange)[:200]}; only the standard ones are "
                              "run.", domains=strange)  # fmt: skip
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        raise ArtefactRefused("The model keeps its weights in another file; export it as one file (torch.onnx.export: "
                              "external_data=False).")  # fmt: skip
    held = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in held]
    if not inputs:
        raise Invalid("The model takes no input.")
    shape = [one.dim_value or None for one in inputs[0].type.tensor_type.shape.dim]
    if len(inputs) == 1 and (len(shape) < 2 or (len(shape) > 2 and not all(shape[1:]))):
        raise Invalid(f"The model's input has the shape {shape}; rows of numbers are served: (rows, fields), or (rows, "
                      "channels, height, width) and the like, with only the number of rows left open "
                      "(dynamic_axes).")  # fmt: skip
    if len(inputs) == 1 and shape[0] is not None:
        exactly = "one row" if shape[0] == 1 else f"{shape[0]} rows"
        raise Invalid(f"The model takes exactly {exactly}; export it with the number of rows left open (dynamic_axes).")
    texts = [one.type.tensor_type.elem_type == onnx.TensorProto.STRING for one in inputs]
    found = {
        "task": None,
        "count": _fields(shape) if len(inputs) == 1 else len(inputs),
        "names": [] if len(inputs) == 1 else [one.name for one in inputs],
        "classes": _width(model.graph.output[-1]),
        "types": ["text" if text else "" for text in texts] if len(inputs) > 1 else [],
        "kinds": {"text": Kind.TEXT},
    }
    made = f"{model.producer_name} {model.producer_version}".strip() or "unknown"
    facts = {"made_with": made[:100], "opset": max((one.version for one in model.opset_import), default=0)}
    return found, facts


def _nodes(graph: Any) -> list[Any]:
    """Operators, those inside loops and branches too."""
    found = []
    for node in graph.node:
        found.append(node)
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                found += _nodes(inner)
    return found


def _tensors(graph: Any) -> list[Any]:
    found = [*graph.initializer]
    for sparse in graph.sparse_initializer:
        found += [sparse.values, sparse.indices]
    for node in graph.node:
        for attribute in node.attribute:
            found += [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                found += _tensors(inner)
    return found


def _fields(shape: list[int | None]) -> int | None:
    """How many numbers a row has: those of a picture lie in one row, channel by channel, line by line."""
    if None in shape[1:]:
        return None
    return math.prod(one or 0 for one in shape[1:])


def _width(output: Any) -> int:
    dims = [one.dim_value for one in output.type.tensor_type.shape.dim]
    return int(dims[1]) if len(dims) > 1 else 0


_READERS = {"onnx": _read_onnx, "xgboost": _read_xgboost, "skops": _read_skops}


# --- putting it together ---------------------------------------------------------------------------


def _schema(found: dict[str, Any], given: dict[str, Any]) -> ModelSchema:
    """What the file says, filled in and named by what the uploader said. Raises Invalid where they disagree."""
    if given.get("schema"):
        made = schema.from_json(given["schema"])
        names = made.names
    else:
        names = tuple(str(one).strip() for one in given.get("fields") or found["names"] if str(one).strip())
        count = found["count"] or len(names)
        if not count:
            raise Invalid("The file does not say how many inputs it takes; name the fields.")
        names = names or tuple(f"f{number}" for number in range(count))
        types = found.get("types") or [""] * len(names)
        kinds = [found.get("kinds", {}).get(one, Kind.NUMBER) for one in types]
        kinds += [Kind.NUMBER] * (len(names) - len(kinds))
        fields = tuple(
            Field(name, kind, missing=bool(found.get("missing"))) for name, kind in zip(names, kinds, strict=False)
        )
        classes = tuple(str(one).strip() for one in given.get("classes") or () if str(one).strip())
        several = bool(classes) or found["classes"] > 1
        task = Task(given.get("task") or found["task"] or (Task.CLASSIFICATION if several else Task.REGRESSION))
        if task is Task.CLASSIFICATION and not classes:
            width = max(found["classes"], 2)
            classes = tuple(found.get("class_names") or (str(number) for number in range(width)))
        raw = ModelSchema(task, fields, classes, str(given.get("target") or "")).to_json()
        made = schema.from_json(raw)
    if found["count"] and len(names) != found["count"]:
        raise Invalid(f"The model takes {found['count']:,} inputs, {len(names):,} fields were named.")
    if found["task"] is not None and made.task is not found["task"]:
        raise Invalid(f"The file holds a model for {found['task']}, the schema says {made.task}.")
    if made.task is Task.REGRESSION and found["classes"] > 1:
        raise Invalid(f"The model gives {found['classes']} numbers a row; a regression gives one.")
    if made.task is Task.CLASSIFICATION and found["classes"] > 1 and len(made.classes) != found["classes"]:
        raise Invalid(f"The model tells {found['classes']} classes apart, {len(made.classes)} were named.")
    return made


def _probe(served: loaders.Served, made: ModelSchema) -> None:
    """Rows of usual and unusual values: the model must answer, with finite numbers, twice the same."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {}
    for field in made.fields:
        if field.kind in (Kind.CATEGORY, Kind.TEXT):
            columns[field.name] = [(field.categories or ("a",))[0]] * PROBE_ROWS
        elif field.kind is Kind.TIME:
            columns[field.name] = ["2026-01-01T00:00:00+00:00"] * PROBE_ROWS
        elif field.kind is Kind.BOOLEAN:
            columns[field.name] = [bool(one % 2) for one in range(PROBE_ROWS)]
        else:
            columns[field.name] = [
                float(one) for one in np.round(rng.normal(0, 1, PROBE_ROWS), 0 if field.kind is Kind.INTEGER else 3)
            ]
    frame = loaders.frame_of(made, columns)
    try:
        first, second, one = served.predict(frame), served.predict(frame), served.predict(frame.iloc[[0]])
    except (Invalid, ArtefactRefused):
        raise
    except Exception as error:
        raise Invalid(
            f"The model fails on a row of ordinary values: {type(error).__name__}: {str(error)[:200]}"
        ) from None
    for found in (first, one):
        if not np.isfinite(found.values).all():
            raise Invalid("The model answers ordinary values with no number (NaN or infinite).")
    if len(first.values) != PROBE_ROWS or len(one.values) != 1:
        raise Invalid(f"The model gives {len(first.values)} answers to {PROBE_ROWS} rows.")
    if not np.allclose(first.values, second.values, rtol=1e-6, atol=1e-9):
        raise Invalid("The model answers the same rows differently each time; export it in evaluation mode.")
