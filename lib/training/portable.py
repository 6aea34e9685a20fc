"""Fitted models as plain arrays: nothing to unpickle, the same numbers after a reload, a row in little time.

numpy only, so that the app's own process can predict; many rows go through scikit-learn's compiled tree walk when that
module is loaded already (in a child).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

IDENTITY, SIGMOID, SOFTMAX = "identity", "sigmoid", "softmax"
# Rows times trees below which walking all trees at once in numpy is faster than tree by tree.
_SMALL = 20_000


class Predictor(Protocol):
    """What a fitted model of any family can do. predict: (n, d) -> (n, m): a number, the probability of the second
    class, or a probability a class."""

    def predict(self, values: np.ndarray) -> np.ndarray: ...

    def arrays(self) -> dict[str, np.ndarray]: ...

    def about(self) -> dict[str, Any]: ...


def linked(raw: np.ndarray, link: str) -> np.ndarray:
    """From a model's scale to numbers or probabilities."""
    if link == SIGMOID:
        return 1.0 / (1.0 + np.exp(-np.clip(raw, -40, 40)))
    if link == SOFTMAX:
        shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)
    return raw


@dataclass(frozen=True)
class Layers:
    """A linear model (one layer) or a network of rectified layers."""

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    link: str

    def predict(self, values: np.ndarray) -> np.ndarray:
        held = values
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            held = held @ weight + bias
            if number < len(self.weights) - 1:
                held = np.maximum(held, 0.0)
        return linked(held, self.link)

    def arrays(self) -> dict[str, np.ndarray]:
        pairs = enumerate(zip(self.weights, self.biases, strict=True))
        return {name: one for n, (w, b) in pairs for name, one in ((f"weight{n}", w), (f"bias{n}", b))}

    def about(self) -> dict[str, Any]:
        return {"kind": "layers", "link": self.link, "count": len(self.weights)}


@dataclass(frozen=True)
class Kernel:
    """Similarity to kept rows, weighed: exp(-gamma * distance squared) @ weights + bias."""

    rows: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    gamma: float
    link: str

    def predict(self, values: np.ndarray) -> np.ndarray:
        made = np.empty((len(values), self.weights.shape[1]))
        squares = (self.rows**2).sum(axis=1)
        for start in range(0, len(values), 2048):
            part = values[start : start + 2048]
            apart = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ self.rows.T
            made[start : start + 2048] = np.exp(-self.gamma * np.maximum(apart, 0)) @ self.weights + self.bias
        return linked(made, self.link)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"rows": self.rows, "weights": self.weights, "bias": self.bias}

    def about(self) -> dict[str, Any]:
        return {"kind": "kernel", "link": self.link, "gamma": self.gamma}


@dataclass(frozen=True)
class Trees:
    """Many trees in one set of arrays. A row goes left where its value is at most the threshold, both as float32, or is
    missing and `missing_left` says so; a leaf has left -1. roots: first node of each tree; output: the column a tree
    adds to, or -1 when its leaves hold all columns; the sum times `factor` plus `base`, then the link."""

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    output: np.ndarray
    base: np.ndarray
    factor: float
    link: str

    def predict(self, values: np.ndarray) -> np.ndarray:
        held = np.ascontiguousarray(values, dtype=np.float32)
        if len(held) * self.roots.size > _SMALL and "sklearn.tree._tree" in sys.modules:
            total = np.zeros((len(held), self.base.size))
            self._compiled(held, total)
            return linked(total * self.factor + self.base, self.link)
        step = max(1, 2_000_000 // max(1, self.roots.size))
        parts = [self.of_leaves(reached(self, held[n : n + step])) for n in range(0, len(held), step)]
        return np.vstack(parts) if parts else np.zeros((0, self.base.size))

    def of_leaves(self, leaves: np.ndarray) -> np.ndarray:
        """The prediction of rows that reached these leaves, shape (n, trees)."""
        total = np.zeros((len(leaves), self.base.size))
        if self.value.shape[1] > 1:
            total += self.value[leaves].sum(axis=1, dtype=np.float64)
        else:
            found = self.value[:, 0][leaves].astype(np.float64)
            for column in range(total.shape[1]):
                mine = self.output == column
                total[:, column] = found.sum(axis=1) if mine.all() else found[:, mine].sum(axis=1)
        return linked(total * self.factor + self.base, self.link)

    def _compiled(self, values: np.ndarray, total: np.ndarray) -> None:
        from sklearn.tree._tree import NODE_DTYPE, Tree

        ends = [*self.roots[1:].tolist(), len(self.feature)]
        width = max(int(self.feature.max(initial=0)) + 1, values.shape[1])
        for root, end, column in zip(self.roots.tolist(), ends, self.output.tolist(), strict=True):
            nodes = np.zeros(end - root, dtype=NODE_DTYPE)
            inner = self.left[root:end] >= 0
            nodes["left_child"] = np.where(inner, self.left[root:end] - root, -1)
            nodes["right_child"] = np.where(inner, self.right[root:end] - root, -1)
            nodes["feature"] = np.where(inner, self.feature[root:end], -2)
            nodes["threshold"] = self.threshold[root:end]
            nodes["missing_go_to_left"] = self.missing_left[root:end]
            nodes["n_node_samples"], nodes["weighted_n_node_samples"] = 1, 1.0
            held = self.value[root:end].astype(np.float64)
            tree = Tree(width, np.array([1], dtype=np.intp), 1)
            tree.__setstate__(
                {"max_depth": 1, "node_count": end - root, "nodes": nodes, "values": np.zeros((end - root, 1, 1))}
            )
            reached = held[tree.apply(values)]
            if column < 0:
                total += reached
            else:
                total[:, column] += reached[:, 0]

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("roots", "feature", "threshold", "left", "right", "missing_left", "value", "output", "base")
        return {name: getattr(self, name) for name in names}

    def about(self) -> dict[str, Any]:
        return {"kind": "trees", "link": self.link, "factor": self.factor}


def reached(trees: Trees | Grove, values: np.ndarray) -> np.ndarray:
    """The leaf each row (float32) reaches in each tree, shape (n, trees): all trees and rows a level at a time."""
    count, number = len(values), trees.roots.size
    node = np.tile(trees.roots, count)
    leaf = np.empty(count * number, dtype=np.int64)
    where = np.arange(count * number)
    row = np.repeat(np.arange(count), number)
    while where.size:
        left = trees.left[node]
        inner = left >= 0
        if not inner.all():
            leaf[where[~inner]] = node[~inner]
            where, node, row, left = where[inner], node[inner], row[inner], left[inner]
        found = values[row, trees.feature[node]]
        goes_left = (found <= trees.threshold[node]) | (np.isnan(found) & trees.missing_left[node])
        node = np.where(goes_left, left, trees.right[node])
    return leaf.reshape(count, number)


class Grove:
    """Trees of many parts walked at once: for a single row numpy's calls cost more than what they compute."""

    def __init__(self, parts: Sequence[tuple[Trees, int]]) -> None:
        """parts: trees, and the first of the columns that are theirs in the rows the grove is given."""
        self.parts = [trees for trees, _ in parts]
        nodes = np.cumsum([0, *(len(trees.feature) for trees in self.parts)])[:-1]
        self.nodes = nodes.tolist()
        self.ends = np.cumsum([trees.roots.size for trees in self.parts]).tolist()

        def moved(name: str) -> np.ndarray:
            held = [getattr(trees, name) for trees in self.parts]
            return np.concatenate([np.where(one < 0, -1, one + n) for one, n in zip(held, nodes, strict=True)])

        self.roots, self.left, self.right = moved("roots"), moved("left"), moved("right")
        self.feature = np.concatenate([trees.feature + first for trees, first in parts])
        self.threshold = np.concatenate([trees.threshold for trees in self.parts])
        self.missing_left = np.concatenate([trees.missing_left for trees in self.parts])

    def predict(self, values: np.ndarray) -> list[np.ndarray]:
        """What each part says."""
        leaves = reached(self, np.ascontiguousarray(values, dtype=np.float32))
        starts = [0, *self.ends[:-1]]
        told = zip(self.parts, starts, self.ends, self.nodes, strict=True)
        return [part.of_leaves(leaves[:, first:last] - node) for part, first, last, node in told]


def rebuild(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Predictor:
    """The predictor that `about` and `arrays` were taken from. Raises KeyError or ValueError for what is none."""
    if about["kind"] == "layers":
        count = int(about["count"])
        weights = tuple(arrays[f"weight{n}"] for n in range(count))
        return Layers(weights, tuple(arrays[f"bias{n}"] for n in range(count)), str(about["link"]))
    if about["kind"] == "kernel":
        return Kernel(arrays["rows"], arrays["weights"], arrays["bias"], float(about["gamma"]), str(about["link"]))
    if about["kind"] == "trees":
        made = Trees(**dict(arrays), factor=float(about["factor"]), link=str(about["link"]))
        _check(made)
        return made
    raise ValueError(f"There is no kind of predictor named {about['kind']!r}.")


def _check(trees: Trees) -> None:
    """Arrays from a file must not lead the walk outside of them or round in circles."""
    count = len(trees.feature)
    same = all(len(a) == count for a in (trees.threshold, trees.left, trees.right, trees.missing_left, trees.value))
    here = np.arange(count)
    inner = trees.left >= 0
    onward = (trees.left > here) & (trees.right > here) & (trees.left < count) & (trees.right < count)
    if not same or not onward[inner].all() or (count and trees.feature.min() < 0):
        raise ValueError("The trees' arrays do not fit together.")
    if trees.roots.size and (trees.roots.min() < 0 or trees.roots.max() >= count):
        raise ValueError("A tree begins outside the arrays.")


def of_forest(forest: Any, link: str = IDENTITY) -> Trees:
    """From scikit-learn's forests; of two classes the second one's probability."""
    parts = []
    for one in forest.estimators_:
        tree = one.tree_
        value = tree.value[:, 0, :]
        if hasattr(forest, "classes_"):
            value = value / np.maximum(value.sum(axis=1, keepdims=True), 1e-12)
            value = value[:, 1:] if value.shape[1] == 2 else value
        missing = tree.missing_go_to_left.astype(bool)
        parts.append((tree.feature, tree.threshold, tree.children_left, tree.children_right, missing, value))
    width = parts[0][5].shape[1]
    output = np.zeros(len(parts), dtype=np.int32) if width == 1 else np.full(len(parts), -1, dtype=np.int32)
    return _joined(parts, output, np.zeros(width), 1.0 / len(parts), link)


def of_histogram(model: Any, link: str) -> Trees:
    """From scikit-learn's HistGradientBoosting, of numbers only."""
    parts, output = [], []
    for round_of in model._predictors:
        for column, predictor in enumerate(round_of):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            left = np.where(leaf, -1, nodes["left"].astype(np.int64))
            right = np.where(leaf, -1, nodes["right"].astype(np.int64))
            missing = nodes["missing_go_to_left"].astype(bool)
            value = nodes["value"][:, None]
            parts.append((nodes["feature_idx"], nodes["num_threshold"], left, right, missing, value))
            output.append(column)
    base = np.asarray(model._baseline_prediction, dtype=float).ravel()
    return _joined(parts, np.array(output, dtype=np.int32), base, 1.0, link)


def of_booster(booster: Any, width: int, base: float, link: str) -> Trees:
    """From an XGBoost booster of numbers only, trained with this base score on its own scale."""
    import json

    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]
    parts = []
    for tree in model["trees"]:
        left = np.array(tree["left_children"], dtype=np.int64)
        condition = np.array(tree["split_conditions"], dtype=np.float32)
        leaf = left < 0
        # XGBoost goes left below the condition, these arrays at or below the threshold.
        threshold = np.nextafter(condition, np.float32(-np.inf))
        missing = np.array(tree["default_left"], dtype=bool)
        right = np.array(tree["right_children"], dtype=np.int64)
        value = np.where(leaf, condition, 0.0)[:, None]
        feature = np.array(tree["split_indices"], dtype=np.int64)
        parts.append((feature, threshold, np.where(leaf, -1, left), np.where(leaf, -1, right), missing, value))
    output = np.array(model["tree_info"], dtype=np.int32) if width > 1 else np.zeros(len(parts), dtype=np.int32)
    return _joined(parts, output, np.full(width, base), 1.0, link)


def _joined(parts: list[tuple[Any, ...]], output: np.ndarray, base: np.ndarray, factor: float, link: str) -> Trees:
    sizes = [len(part[0]) for part in parts]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)
    if not parts:
        none = np.zeros(0, dtype=np.int32)
        empty = np.zeros((0, 1), dtype=np.float32)
        return Trees(roots, none, none.astype(np.float32), none, none, none.astype(bool), empty, none, base, 1.0, link)
    left = np.concatenate([np.where(p[2] < 0, -1, p[2] + r) for p, r in zip(parts, roots, strict=True)])
    right = np.concatenate([np.where(p[3] < 0, -1, p[3] + r) for p, r in zip(parts, roots, strict=True)])
    feature = np.maximum(np.concatenate([p[0] for p in parts]), 0)
    return Trees(
        roots=roots,
        feature=feature.astype(np.int32),
        threshold=_float32_below(np.concatenate([p[1] for p in parts])),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        missing_left=np.concatenate([p[4] for p in parts]),
        value=np.concatenate([p[5] for p in parts]).astype(np.float32),
        output=output,
        base=base,
        factor=factor,
        link=link,
    )


def _float32_below(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above: of float32 values the same ones are at most it."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)
