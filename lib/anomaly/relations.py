"""How channels usually move together: one that no longer follows the others leaves a residual, even inside its band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.features.baseline import robust_scale
from lib.features.kernels import move

WINDOW = 12  # steps the residuals are averaged over: a broken relation lasts, noise does not


@dataclass(frozen=True)
class Relations:
    """precision: shape (c, c), the inverse covariance of averaged residuals. scale: shape (c,)."""

    precision: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, residual: np.ndarray, usable: np.ndarray) -> Relations:
        """residual: shape (c, n), actual less expected in spreads, NaN in gaps. usable: shape (n,)."""
        mean = _averaged(residual)[:, usable]
        covariance = mean @ mean.T / max(mean.shape[1], 1)
        # A tenth of the usual variance keeps near-copies from cancelling into noise.
        size = max(float(np.trace(covariance)) / len(covariance), 1e-9)
        precision = np.linalg.inv(covariance + 0.1 * size * np.eye(len(covariance)))
        draft = cls(precision, np.ones(len(precision)))
        return cls(precision, np.maximum(robust_scale(draft.residual(residual)[:, usable]), 1e-9))

    def residual(self, residual: np.ndarray, last: int | None = None) -> np.ndarray:
        """shape (c, n): how far each channel is from what the others say of it, in usual sizes. last: at that many
        moments only, those before being known."""
        return (self.precision @ _averaged(residual, last)) / self.scale[:, None]

    def arrays(self) -> dict[str, np.ndarray]:
        return {"precision": self.precision, "scale": self.scale}

    @classmethod
    def from_arrays(cls, given: dict[str, np.ndarray]) -> Relations:
        return cls(given["precision"], given["scale"])


def _averaged(residual: np.ndarray, last: int | None = None) -> np.ndarray:
    return np.nan_to_num(move("mean", residual, WINDOW, WINDOW // 3, last))
