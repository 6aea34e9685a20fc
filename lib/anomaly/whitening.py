"""Features brought to one size and turned onto their main axes, so that none of them counts twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bottleneck as bn
import numpy as np

from lib.features import baseline as baselines

_CHUNK = 1024  # moments scaled at once, to stay in cache


@dataclass(frozen=True)
class Whitening:
    """centre, spread: shape (d,), of each feature. clip: in spreads. mean: shape (d,), of the scaled features.

    axes: shape (k, d), the main axes; lengths: shape (k,), the deviation along each.
    """

    centre: np.ndarray
    spread: np.ndarray
    clip: float
    mean: np.ndarray
    axes: np.ndarray
    lengths: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, spread: np.ndarray, clip: float, components: int) -> tuple[Whitening, Any]:
        """values: shape (d, n), of rows to learn from. Also gives scikit-learn's fitted reducer, for keeping."""
        from sklearn.decomposition import PCA

        centre = baselines.quantile(values, 0.5)
        centre = np.where(np.isfinite(centre), centre, 0.0)
        away = _away(values, centre)
        scaled = (_limited(away, clip * spread[:, None], away) / spread[:, None]).T
        most = min(components, max(scaled.shape[1] // 2, 1), max(scaled.shape[0] // 4, 1))
        reducer = PCA(n_components=most, svd_solver="covariance_eigh").fit(scaled)
        lengths = np.sqrt(np.maximum(reducer.explained_variance_, 1e-9))
        # Held in half the memory, worked with in double precision.
        axes = reducer.components_.astype(np.float32)
        return cls(centre, spread, clip, reducer.mean_, axes, lengths), reducer

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Features, shape (d, n), as rows for learning, shape (n, k): usual rows are about a unit sphere."""
        return turned(values, self)[0].T

    def arrays(self) -> dict[str, np.ndarray]:
        return {n: np.asarray(getattr(self, n)) for n in ("centre", "spread", "clip", "mean", "axes", "lengths")}

    @classmethod
    def from_arrays(cls, given: dict[str, np.ndarray]) -> Whitening:
        rest = {n: given[n] for n in ("centre", "spread", "mean", "axes", "lengths")}
        return cls(**rest, clip=float(given["clip"]))


def turned(values: np.ndarray, *ways: Whitening) -> list[np.ndarray]:
    """Features, shape (d, n), turned each way, each shape (k, n); the ways have one centre. In double precision, so
    that one moment alone and among many comes out alike and no tree sends it another way."""
    axes = [way.axes.astype(np.float64) / way.lengths[:, None] for way in ways]
    middle = [turn @ way.mean for turn, way in zip(axes, ways, strict=True)]
    # Clipped before it is scaled, which then costs nothing: scaling is part of the axes.
    for turn, way in zip(axes, ways, strict=True):
        turn /= way.spread
    most = [way.clip * way.spread[:, None] for way in ways]
    out = [np.empty((len(turn), values.shape[1])) for turn in axes]
    for start in range(0, values.shape[1], _CHUNK):
        rows = slice(start, start + _CHUNK)
        away = _away(values[:, rows], ways[0].centre)
        part = np.empty_like(away)
        for turn, furthest, made in zip(axes, most, out, strict=True):
            np.matmul(turn, _limited(away, furthest, part), out=made[:, rows])
    for made, mean in zip(out, middle, strict=True):
        made -= mean[:, None]
    return out


def _away(values: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Shape (d, n): how far from the middle, the unknown in the middle."""
    away = values - centre[:, None]
    bn.replace(away, np.nan, 0.0)
    return away


def _limited(away: np.ndarray, most: np.ndarray, out: np.ndarray) -> np.ndarray:
    """At most so far. most: shape (d, 1)."""
    np.minimum(away, most, out=out)
    return np.maximum(out, -most, out=out)
