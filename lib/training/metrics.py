"""How good predictions are: one number each, greater is better, as scikit-learn defines them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.errors import Invalid
from lib.training.schema import Task


@dataclass(frozen=True)
class Metric:
    """label: for people; error: shown with its sign turned round (a loss, smaller is better)."""

    name: str
    label: str
    tasks: tuple[Task, ...]
    error: bool = False
    ranks: bool = False  # depends on the order of probabilities only


_CLASSES = (Task.BINARY, Task.MULTICLASS)
METRICS = {
    one.name: one
    for one in (
        Metric("roc_auc", "ROC AUC", (Task.BINARY,), ranks=True),
        Metric("average_precision", "Average precision", (Task.BINARY,), ranks=True),
        Metric("f1", "F1", _CLASSES),
        Metric("balanced_accuracy", "Balanced accuracy", _CLASSES),
        Metric("accuracy", "Accuracy", _CLASSES),
        Metric("neg_log_loss", "Log loss", _CLASSES, error=True),
        Metric("neg_brier", "Brier score", _CLASSES, error=True),
        Metric("r2", "R²", (Task.REGRESSION,)),
        Metric("neg_rmse", "Root mean squared error", (Task.REGRESSION,), error=True),
        Metric("neg_mae", "Mean absolute error", (Task.REGRESSION,), error=True),
    )
}
USUAL = {Task.BINARY: "roc_auc", Task.MULTICLASS: "neg_log_loss", Task.REGRESSION: "r2"}


def require_metric(name: str, task: Task) -> str:
    """The metric's name, the task's usual one for "auto". Raises Invalid when it does not suit the task."""
    if name == "auto":
        return USUAL[task]
    if name not in METRICS or task not in METRICS[name].tasks:
        fitting = ", ".join(one.name for one in METRICS.values() if task in one.tasks)
        raise Invalid(f"The metric {name!r} does not suit a {task} task; choose one of {fitting}.")
    return name


def chances(out: np.ndarray) -> np.ndarray:
    """A probability a class, (n, classes), from what predictors give."""
    return np.hstack([1 - out, out]) if out.shape[1] == 1 else out


def labels(out: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Class numbers: of two classes the second from the threshold on."""
    return (out[:, 0] >= threshold).astype(np.int64) if out.shape[1] == 1 else out.argmax(axis=1)


def score(metric: str, target: np.ndarray, out: np.ndarray, threshold: float = 0.5) -> float:
    """NaN where the metric is not defined: a part of the rows with one class has no ROC."""
    return float(_SCORES[metric](target, out, threshold))


def auc(target: np.ndarray, scores: np.ndarray) -> float:
    """The chance that a row of class 1 has a higher score than one of class 0, ties counting half."""
    positive = int(target.sum())
    negative = len(target) - positive
    if not positive or not negative:
        return float("nan")
    order = np.argsort(scores, kind="stable")
    held = scores[order]
    # Ties share the mean of their ranks.
    edges = np.flatnonzero(np.concatenate([[True], held[1:] != held[:-1], [True]]))
    ranks = np.repeat((edges[:-1] + edges[1:] + 1) / 2, np.diff(edges))
    total = ranks[target[order] == 1].sum()
    return float((total - positive * (positive + 1) / 2) / (positive * negative))


def _average_precision(target: np.ndarray, out: np.ndarray, _threshold: float) -> float:
    if not target.any():
        return float("nan")
    order = np.argsort(-out[:, 0], kind="stable")
    held, hit = out[order, 0], np.cumsum(target[order])
    last = np.append(held[1:] != held[:-1], True)
    precision, recall = hit[last] / (np.nonzero(last)[0] + 1), hit[last] / target.sum()
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def _f1(target: np.ndarray, out: np.ndarray, threshold: float) -> float:
    said = labels(out, threshold)
    classes = [1] if out.shape[1] == 1 else range(out.shape[1])
    made = []
    for one in classes:
        both = int(((said == one) & (target == one)).sum())
        made.append(2 * both / max(1, int((said == one).sum() + (target == one).sum())))
    return float(np.mean(made))


def _balanced(target: np.ndarray, out: np.ndarray, threshold: float) -> float:
    said = labels(out, threshold)
    return float(np.mean([(said[target == one] == one).mean() for one in np.unique(target)]))


def _log_loss(target: np.ndarray, out: np.ndarray, _threshold: float) -> float:
    chance = chances(out)
    chance = np.clip(chance / chance.sum(axis=1, keepdims=True), 1e-15, 1)
    return float(np.log(chance[np.arange(len(target)), target]).mean())


def _brier(target: np.ndarray, out: np.ndarray, _threshold: float) -> float:
    chance = chances(out).copy()
    chance[np.arange(len(target)), target] -= 1
    return -float((chance**2).sum(axis=1).mean()) / (2 if out.shape[1] == 1 else 1)


def _r2(target: np.ndarray, out: np.ndarray, _threshold: float) -> float:
    spread = float(((target - target.mean()) ** 2).sum())
    return 1 - float(((target - out[:, 0]) ** 2).sum()) / spread if spread else float("nan")


_SCORES = {
    "roc_auc": lambda target, out, threshold: auc(target, out[:, 0]),
    "average_precision": _average_precision,
    "f1": _f1,
    "balanced_accuracy": _balanced,
    "accuracy": lambda target, out, threshold: (labels(out, threshold) == target).mean(),
    "neg_log_loss": _log_loss,
    "neg_brier": _brier,
    "r2": _r2,
    "neg_rmse": lambda target, out, threshold: -np.sqrt(np.mean((target - out[:, 0]) ** 2)),
    "neg_mae": lambda target, out, threshold: -np.mean(np.abs(target - out[:, 0])),
}
