"""Each channel predicted from the last few moments of all of them: what breaks the pattern leaves a residual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.features.baseline import robust_scale

LAGS = (1, 2, 3)


@dataclass(frozen=True)
class RidgeAR:
    """weights: shape (1 + lags * c, c), the constant first. scale: shape (c,), usual size of a residual."""

    weights: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, usable: np.ndarray) -> RidgeAR:
        """rows: shape (n, c), scaled, NaN in gaps. usable: shape (n,)."""
        past = _past(rows)
        keep = usable.copy()
        keep[: max(LAGS)] = False
        a, b = past[keep], np.nan_to_num(rows[keep])
        gram = a.T @ a
        # Ridge as strong as a hundredth of the rows: neighbouring lags are nearly the same column.
        gram[np.diag_indices_from(gram)] += 0.01 * len(a) + 1.0
        weights = np.linalg.solve(gram, a.T @ b)
        residual = np.where(np.isfinite(rows[keep]), b - a @ weights, np.nan)
        return cls(weights, np.maximum(robust_scale(residual.T), 1e-3))

    def residual(self, rows: np.ndarray, last: int | None = None) -> np.ndarray:
        """shape (n, c), in usual sizes; NaN where the channel was not seen, 0 for the first moments. last: of that
        many rows only, those before being known."""
        n = len(rows)
        rows = rows[max(0, n - (n if last is None else last) - max(LAGS)) :]
        out = (rows - _past(rows) @ self.weights) / self.scale
        out[: max(LAGS)] = np.where(np.isfinite(rows[: max(LAGS)]), 0.0, np.nan)
        return out if last is None else out[len(out) - last :]

    def arrays(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights, "scale": self.scale}

    @classmethod
    def from_arrays(cls, given: dict[str, np.ndarray]) -> RidgeAR:
        return cls(given["weights"], given["scale"])


def _past(rows: np.ndarray) -> np.ndarray:
    """A constant and the rows some steps ago, gaps as 0 (the middle of what is scaled)."""
    filled = np.nan_to_num(rows)
    parts = [np.ones((len(rows), 1))]
    for lag in LAGS:
        moved = np.zeros_like(filled)
        moved[lag:] = filled[:-lag]
        parts.append(moved)
    return np.concatenate(parts, axis=1)
