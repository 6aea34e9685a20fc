"""Model files made callable, by format. Only children import this module's libraries: a model file is somebody's input.

Nothing is unpickled: ONNX is run by onnxruntime from bytes, XGBoost reads its own JSON, skops builds the types that
stand in an allow-list of ours.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lib.errors import ArtefactRefused, Invalid, NotFound
from lib.registry.files import ALLOWED_TYPES
from lib.registry.schema import Kind, ModelSchema, Task

if TYPE_CHECKING:
    import pandas as pd

# format -> "module:function", called as load(folder, schema) -> Served. What training makes plugs in here.
LOADERS: dict[str, str] = {
    "bundle": "lib.registry.bundled:load",
    "onnx": "lib.registry.loaders:load_onnx",
    "xgboost": "lib.registry.loaders:load_xgboost",
    "skops": "lib.registry.loaders:load_skops",
}
# The one file of an uploaded model, by format.
FILES = {"onnx": "model.onnx", "xgboost": "model.json", "skops": "model.skops"}
# Rows a network is tried with when it is loaded.
PROBES = 64
# What scikit-learn's common models hold beyond what skops itself trusts. Never taken from the file.
MODEL_TYPES = ALLOWED_TYPES | {
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
}


@dataclass(frozen=True)
class Prediction:
    """values: the number predicted, or the probability of the class that is. labels, probabilities (n, classes): of a
    classification, else None."""

    values: np.ndarray
    labels: list[str] | None = None
    probabilities: np.ndarray | None = None


class Served(Protocol):
    """A model that answers. It may have `contributions(frame) -> lib.registry.explain.Contributions` of its own."""

    schema: ModelSchema

    def predict(self, frame: pd.DataFrame) -> Prediction:
        """frame: the schema's fields as columns, as `frame_of` makes them."""


def load(format_: str, folder: Path, schema: ModelSchema) -> Served:
    """Raises NotFound for a format nobody reads, ArtefactRefused or Invalid for a file that is none."""
    if format_ not in LOADERS:
        raise NotFound(f"Models of the format {format_!r} cannot be served; known are {', '.join(sorted(LOADERS))}.")
    module, _, name = LOADERS[format_].partition(":")
    served: Served = getattr(importlib.import_module(module), name)(folder, schema)
    return served


def frame_of(schema: ModelSchema, columns: dict[str, list[Any]]) -> pd.DataFrame:
    """Numbers and yes-or-no as float64 (missing: NaN), times as UTC timestamps, texts as objects (missing: None)."""
    import pandas as pd

    made: dict[str, Any] = {}
    for field in schema.fields:
        values = columns[field.name]
        if field.kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN):
            made[field.name] = np.array([np.nan if value is None else float(value) for value in values])
        elif field.kind is Kind.TIME:
            made[field.name] = pd.to_datetime(pd.Series(values, dtype="object"), utc=True, format="ISO8601")
        else:
            made[field.name] = pd.Series(values, dtype="object")
    return pd.DataFrame(made)


def matrix(frame: pd.DataFrame) -> np.ndarray:
    """The columns as float32. Raises Invalid for one that holds text: a bare model takes encoded numbers."""
    texts = [name for name in frame.columns if frame[name].dtype == object]
    if texts:
        raise Invalid(f"This model takes numbers only; {texts[0]} holds text. Encode it before.")
    return frame.to_numpy(dtype=np.float32)


def classified(schema: ModelSchema, probabilities: np.ndarray) -> Prediction:
    """From (n,) or (n, 1) of the second class, or (n, classes)."""
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim == 1 or p.shape[1] == 1:
        p = p.reshape(-1)
        p = np.column_stack([1 - p, p])
    if p.shape[1] != len(schema.classes):
        raise Invalid(f"The model gives {p.shape[1]} probabilities, the schema names {len(schema.classes)} classes.")
    best = p.argmax(axis=1)
    return Prediction(p.max(axis=1), [schema.classes[one] for one in best], p)


# --- XGBoost ---------------------------------------------------------------------------------------


class XgboostModel:
    def __init__(self, folder: Path, schema: ModelSchema) -> None:
        import xgboost

        self.schema = schema
        self.booster = xgboost.Booster()
        try:
            self.booster.load_model(str(folder / FILES["xgboost"]))
        except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
            raise ArtefactRefused(f"XGBoost cannot read the model: {_first_line(error)}") from None
        self.booster.set_param({"nthread": 1})

    def _rows(self, frame: pd.DataFrame) -> Any:
        import xgboost

        return xgboost.DMatrix(matrix(frame), feature_names=self.booster.feature_names, nthread=1)

    def predict(self, frame: pd.DataFrame) -> Prediction:
        out = self.booster.predict(self._rows(frame), validate_features=False)
        if self.schema.task is Task.REGRESSION:
            return Prediction(np.asarray(out, dtype=np.float64).reshape(len(frame), -1)[:, 0])
        return classified(self.schema, out)

    def contributions(self, frame: pd.DataFrame) -> Any:
        """Tree SHAP values, of the class that is predicted, in the model's margin (log-odds) or unit."""
        from lib.registry.explain import Contributions

        out = self.booster.predict(self._rows(frame), pred_contribs=True, validate_features=False)
        if out.ndim == 3:
            out = out[np.arange(len(frame)), self.predict(frame).probabilities.argmax(axis=1)]  # type: ignore[union-attr]
        elif self.schema.task is Task.CLASSIFICATION:
            # They speak of the second class; turned round where the first is predicted.
            second = self.predict(frame).probabilities[:, 1] >= 0.5  # type: ignore[index]
            out = np.where(second[:, None], out, -out)
        unit = "log-odds" if self.schema.task is Task.CLASSIFICATION else self.schema.unit
        return Contributions("Tree SHAP values (XGBoost)", unit, out[:, :-1].astype(np.float64))


def load_xgboost(folder: Path, schema: ModelSchema) -> Served:
    return XgboostModel(folder, schema)


# --- scikit-learn ----------------------------------------------------------------------------------


class SkopsModel:
    def __init__(self, folder: Path, schema: ModelSchema) -> None:
        self.schema, self.model = schema, open_skops(folder / FILES["skops"])
        self._named = getattr(self.model, "feature_names_in_", None) is not None

    def _rows(self, frame: pd.DataFrame) -> Any:
        return frame if self._named else matrix(frame).astype(np.float64)

    def predict(self, frame: pd.DataFrame) -> Prediction:
        rows = self._rows(frame)
        if self.schema.task is Task.REGRESSION:
            return Prediction(np.asarray(self.model.predict(rows), dtype=np.float64).reshape(len(frame), -1)[:, 0])
        if hasattr(self.model, "predict_proba"):
            return classified(self.schema, self.model.predict_proba(rows))
        # Without probabilities: certain of what it says, as far as anybody can tell.
        known = {str(one): place for place, one in enumerate(self.model.classes_)}
        certain = np.zeros((len(frame), len(known)))
        certain[np.arange(len(frame)), [known[str(one)] for one in self.model.predict(rows)]] = 1.0
        return classified(self.schema, certain)

    def contributions(self, frame: pd.DataFrame) -> Any:
        """Linear terms, weight times distance from the usual value; None for what is not linear."""
        from lib.registry.explain import linear_terms

        return linear_terms(self.model, self._rows(frame), self.schema)


def open_skops(path: Path) -> Any:
    """Raises ArtefactRefused when the file names a type outside MODEL_TYPES."""
    from skops import io

    try:
        foreign = sorted(set(io.get_untrusted_types(file=path)) - MODEL_TYPES)
    except Exception as error:  # a damaged archive raises whatever zipfile, json or skops meets first
        raise ArtefactRefused(f"This is not a readable skops file: {_first_line(error)}") from None
    if foreign:
        raise ArtefactRefused(
            f"The file names types that are not allowed: {', '.join(foreign[:5])}. Only scikit-learn's own models are "
            "loaded; export others to ONNX.",
            types=foreign,
        )
    try:
        return io.load(path, trusted=sorted(MODEL_TYPES))
    except Exception as error:
        raise ArtefactRefused(f"skops cannot build the model: {_first_line(error)}") from None


def load_skops(folder: Path, schema: ModelSchema) -> Served:
    return SkopsModel(folder, schema)


# --- ONNX ------------------------------------------------------------------------------------------


class OnnxModel:
    """One tensor in, as PyTorch exports it: (n, fields), or (n, channels, height, width) whose numbers are the fields
    in that order; or one input a field, as skl2onnx does. Of the outputs the probabilities are used where there are
    some, scores go through a sigmoid or softmax."""

    def __init__(self, folder: Path, schema: ModelSchema) -> None:
        # Its builds for Linux tell their makers of each model that is loaded (since 1.29), unless told not to before.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.schema = schema
        try:
            # From bytes: a path would let the file name others beside it.
            self.session = onnxruntime.InferenceSession(
                (folder / FILES["onnx"]).read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own classes are not public
            raise ArtefactRefused(f"ONNX Runtime cannot load the model: {_first_line(error)}") from None
        self.inputs, self.outputs = self.session.get_inputs(), self.session.get_outputs()
        self._scores = schema.task is Task.CLASSIFICATION and self._gives_scores()

    def _feed(self, frame: pd.DataFrame) -> dict[str, Any]:
        if len(self.inputs) == 1:
            kind = np.float64 if "double" in self.inputs[0].type else np.float32
            shape = (len(frame), *self.inputs[0].shape[1:])
            rows = matrix(frame).astype(kind)
            return {self.inputs[0].name: rows.reshape(shape) if len(shape) > 2 else rows}
        feed = {}
        for one, name in zip(self.inputs, frame.columns, strict=True):
            values = frame[name].to_numpy()
            if "string" in one.type:
                feed[one.name] = np.array([[str(value)] for value in values], dtype=object)
            else:
                types = {"tensor(int64)": "int64", "tensor(double)": "float64", "tensor(bool)": "bool"}
                feed[one.name] = values.astype(types.get(one.type, "float32")).reshape(-1, 1)
        return feed

    def predict(self, frame: pd.DataFrame) -> Prediction:
        try:
            out = self.session.run(None, self._feed(frame))
        except Exception as error:
            raise Invalid(f"The ONNX model cannot work on these rows: {_first_line(error)}") from None
        if self.schema.task is Task.REGRESSION:
            return Prediction(np.asarray(out[0], dtype=np.float64).reshape(len(frame), -1)[:, 0])
        return classified(self.schema, _probabilities(out, len(frame), self._scores))

    def _gives_scores(self) -> bool:
        """Whether a network of one input ends before its sigmoid or softmax.

        Found out once, over inputs of all sizes: scores of a few rows may look like probabilities, and a row must not
        mean something else in other company.
        """
        if len(self.inputs) != 1:
            return False
        drawn = np.random.default_rng(0).normal(size=(PROBES, len(self.schema.fields)))
        drawn *= np.repeat([0.1, 1.0, 10.0, 1000.0], PROBES // 4)[:, None]
        inner = self.inputs[0].shape[1:]
        shape = (PROBES, *inner) if len(inner) > 1 else drawn.shape
        kind = np.float64 if "double" in self.inputs[0].type else np.float32
        try:
            out = self.session.run(None, {self.inputs[0].name: drawn.astype(kind).reshape(shape)})
        except Exception:  # a type that is refused with the reason when it is asked for a row
            return False
        floats = [one for one in out if isinstance(one, np.ndarray) and np.issubdtype(one.dtype, np.floating)]
        if not floats:
            return False
        told = floats[-1].reshape(PROBES, -1)
        return not _probable(told[np.isfinite(told).all(axis=1)])


def _probabilities(outputs: list[Any], rows: int, scores: bool) -> np.ndarray:
    for out in outputs:
        if isinstance(out, list) and out and isinstance(out[0], dict):  # skl2onnx's zipmap
            return np.array([[one[key] for key in one] for one in out], dtype=np.float64)
    floats = [np.asarray(out) for out in outputs if np.issubdtype(np.asarray(out).dtype, np.floating)]
    if not floats:
        raise Invalid("The model gives no probabilities or scores, only labels; export it with its probabilities.")
    found = floats[-1].reshape(rows, -1).astype(np.float64)
    if not scores and _probable(found):
        return found.clip(0, 1)
    if found.shape[1] == 1:
        return 1 / (1 + np.exp(-found.clip(-500, 500)))
    raised = np.exp(found - found.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _probable(found: np.ndarray) -> bool:
    """Whether these numbers, (n, classes) or (n, 1), can be probabilities."""
    within = bool(((found >= -1e-6) & (found <= 1 + 1e-6)).all())
    return within and (found.shape[1] == 1 or np.allclose(found.sum(axis=1), 1, atol=1e-3))


def load_onnx(folder: Path, schema: ModelSchema) -> Served:
    return OnnxModel(folder, schema)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
