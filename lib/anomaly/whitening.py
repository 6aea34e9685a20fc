"""Features brought to one size and turned onto their main axes, so that none of them counts twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lib.features import baseline as baselines

_CHUNK = 8192  # moments scaled at once, to stay in cache


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
        scaled = _scaled(values, centre, spread, clip).T.astype(np.float64)
        most = min(components, max(scaled.shape[1] // 2, 1), max(scaled.shape[0] // 4, 1))
        reducer = PCA(n_components=most, svd_solver="covariance_eigh").fit(scaled)
        lengths = np.sqrt(np.maximum(reducer.explained_variance_, 1e-9))
        return cls(centre, spread, clip, reducer.mean_, reducer.components_, lengths), reducer

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Features, shape (d, n), as rows for learning, shape (n, k): usual rows are about a unit sphere."""
        axes = (self.axes / self.lengths[:, None]).astype(np.float32)
        middle = axes @ self.mean.astype(np.float32)
        out = np.empty((values.shape[1], len(axes)), dtype=np.float32)
        for start in range(0, len(out), _CHUNK):
            part = _scaled(values[:, start : start + _CHUNK], self.centre, self.spread, self.clip)
            out[start : start + _CHUNK] = (axes @ part - middle[:, None]).T
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        return {n: np.asarray(getattr(self, n)) for n in ("centre", "spread", "clip", "mean", "axes", "lengths")}

    @classmethod
    def from_arrays(cls, given: dict[str, np.ndarray]) -> Whitening:
        rest = {n: given[n] for n in ("centre", "spread", "mean", "axes", "lengths")}
        return cls(**rest, clip=float(given["clip"]))


def _scaled(values: np.ndarray, centre: np.ndarray, spread: np.ndarray, clip: float) -> np.ndarray:
    """Shape (d, n), float32: scaled, clipped, the unknown in the middle."""
    with np.errstate(invalid="ignore"):
        scaled = values - centre[:, None]
        scaled *= (1 / spread)[:, None]
        np.clip(scaled, -clip, clip, out=scaled)
    scaled[np.isnan(scaled)] = 0.0
    return scaled.astype(np.float32)
