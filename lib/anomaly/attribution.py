"""Why the forest found a moment strange: each split's part in the path, brought back to the features people know.

A path through a tree is as long as it is because of its splits: the expected length changes at each of them, and
the changes add up to the length exactly. Strange moments have short paths, so what shortened them is the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from lib.anomaly.detector import Detector
from lib.anomaly.forest import FlatForest, mean_path_length
from lib.features.build import build
from lib.features.channels import Channels
from lib.profiling.words import spelt

NAMED = 2  # features a channel


@dataclass(frozen=True)
class ForestShare:
    """What one channel did to the forest's score. channel: its number, -1 for the time of day and week. share: of all
    that made the moment strange, 0..1. features: those that did most of it, most first."""

    channel: int
    share: float
    features: tuple[str, ...]


def paths(forest: FlatForest, row: np.ndarray) -> tuple[np.ndarray, float]:
    """How much each axis shortened the mean path of a row, shape (k,), and the mean path expected before any split.

    They add up: the expectation less the sum is the mean path of the row. row: shape (k,). Source: Saabas 2014.
    """
    count, total = _sums(forest)
    ends = np.append(forest.roots[1:], forest.feature.size)
    shortened = np.zeros(row.size)

    def expected(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return (total[end] - total[start]) / (count[end] - count[start])

    node, end = forest.roots.astype(np.int64), ends.astype(np.int64)
    before = expected(node, end)
    whole = float(before.mean())
    row = np.asarray(row, dtype=np.float32)
    going = forest.feature[node] >= 0
    while going.any():
        at, column = node[going], forest.feature[node[going]].astype(np.int64)
        left = row[column] <= forest.value[at]
        right = at + forest.right[at]
        node[going], end[going] = np.where(left, at + 1, right), np.where(left, right, end[going])
        after = expected(node[going], end[going])
        np.add.at(shortened, column, before[going] - after)
        before[going] = after
        going = forest.feature[node] >= 0
    return shortened / len(forest.roots), whole


def _sums(forest: FlatForest) -> tuple[np.ndarray, np.ndarray]:
    """Running sums over nodes of training rows and their path lengths, each shape (nodes + 1,). A subtree is a run of
    nodes, so both of any subtree are a difference."""
    level = np.zeros(forest.feature.size)
    nodes = forest.roots[forest.feature[forest.roots] >= 0].astype(np.int64)
    while nodes.size:
        children = np.concatenate([nodes + 1, nodes + forest.right[nodes]])
        level[children] = np.tile(level[nodes] + 1, 2)
        nodes = children[forest.feature[children] >= 0]
    leaf = forest.feature < 0
    # What a leaf adds to its depth says how many rows ended there.
    sizes = np.arange(1, 10_000)
    known = mean_path_length(sizes)
    rows = sizes[np.abs(np.searchsorted(known, forest.value[leaf] - level[leaf] - 1e-3)).clip(0, sizes.size - 1)]
    count, total = np.zeros(leaf.size + 1), np.zeros(leaf.size + 1)
    count[1:][leaf], total[1:][leaf] = rows, rows * forest.value[leaf]
    return np.cumsum(count), np.cumsum(total)


def forest_shares(detector: Detector, channels: Channels, row: int, most: int = 4) -> list[ForestShare]:
    """What made a row strange to the forest, by channel, most first. channels: with what came before the row."""
    looked = channels.rows(slice(max(0, row - detector.spec.lookback - 1), row + 1))
    features = build(looked, detector.spec, detector.baseline)
    broad = detector.broad
    shortened, _ = paths(detector.forest, broad(features.values[:, -1:])[0])
    size = np.clip(np.nan_to_num((features.values[:, -1] - broad.centre) / broad.spread), -broad.clip, broad.clip)
    # An axis is a sum over features; what it did is theirs, each for as much as it moved it.
    moved = np.abs(broad.axes * (size - broad.mean)[None, :])
    part = moved / np.maximum(moved.sum(axis=1, keepdims=True), 1e-12)
    shares = np.maximum(shortened, 0) @ part
    total = float(shares.sum())
    if total <= 0:
        return []
    whole = {int(c): float(shares[features.channel == c].sum() / total) for c in np.unique(features.channel)}
    found = []
    for channel in sorted(whole, key=lambda c: -whole[c])[:most]:
        own = np.flatnonzero(features.channel == channel)
        first = own[np.argsort(-shares[own])[:NAMED]]
        names = tuple(features.names[i].rsplit("|", 1)[1] for i in first if shares[i] > 0)
        if names:
            found.append(ForestShare(channel, whole[channel], names))
    return found


_ROLLING = {
    "mean": "its average over {span}",
    "std": "how much it varies over {span}",
    "min": "its lowest of {span}",
    "max": "its highest of {span}",
    "slope": "its course over {span}",
    "q10": "its low tenth over {span}",
    "q50": "its middle over {span}",
    "q90": "its high tenth over {span}",
    "top": "how long it sat at its highest of {span}",
    "bottom": "how long it sat at its lowest of {span}",
    "difference": "its change over {span}",
    "ewma_residual": "its distance from its own average of {span}",
}
_PLAIN = {
    "value": "its value",
    "residual": "its distance from what was expected",
    "day_residual": "its distance from its usual day",
    "flat": "standing still",
    "missing": "missing samples",
    "reset": "a counter that began anew",
    "hour_sin": "the hour",
    "hour_cos": "the hour",
    "weekday_sin": "the weekday",
    "weekday_cos": "the weekday",
}


def spoken_feature(name: str, step_s: float) -> str:
    """A feature in words: `its average over 1 hour`."""
    stem, _, steps = name.rpartition("_")
    if stem in _ROLLING and steps.isdigit():
        return _ROLLING[stem].format(span=spelt(timedelta(seconds=int(steps) * step_s)))
    return _PLAIN.get(name, name.replace("_", " "))
