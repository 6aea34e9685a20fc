"""The last few moments of all channels as one picture, the usual day taken away: what the usual pictures cannot be
put together to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.features import baseline as baselines

STEPS, AXES = 10, 10
NEWEST = 3  # steps of a picture in which a channel's part is looked for
_AT_ONCE = 1024  # moments, to stay in cache
FAR = 3.0  # ranges beyond the range seen in training; further out is no stranger


@dataclass(frozen=True)
class Pattern:
    """low, span: shape (c,), the range of training. mean: shape (STEPS, c). axes: shape (AXES, STEPS, c), newest
    step first."""

    low: np.ndarray
    span: np.ndarray
    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, teach: np.ndarray, usable: np.ndarray) -> Pattern:
        """values: shape (c, n), less the usual day, NaN in gaps. teach: shape (n,), rows to learn from; usable: rows
        that are normal."""
        low, high = baselines.quantile(values[:, usable], 0.0), baselines.quantile(values[:, usable], 1.0)
        low, span = np.nan_to_num(low), np.where(high > low, high - low, 1.0)
        draft = cls(low, span, np.zeros((STEPS, len(values))), np.zeros((0, STEPS, len(values))))
        scaled = draft._scaled(values)
        rows = np.flatnonzero(teach)
        rows = rows[rows >= STEPS - 1]
        pictures = np.concatenate([scaled[:, rows - lag] for lag in range(STEPS)]).T
        mean = pictures.mean(axis=0) if len(rows) else np.zeros(pictures.shape[1])
        pictures = pictures - mean
        weights, axes = np.linalg.eigh(pictures.T @ pictures / max(len(rows), 1))
        kept = min(AXES, max(len(weights) // 2, 1))
        axes = axes[:, ::-1][:, :kept].T
        return cls(low, span, mean.reshape(STEPS, -1), axes.reshape(kept, STEPS, -1))

    def residual(self, values: np.ndarray, last: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """How much of each picture is left unexplained, shape (n,), and each channel's part of its newest moments,
        shape (c, n), squared, in ranges. last: of that many moments only, those before being known."""
        c, n = values.shape
        last = n if last is None else last
        scaled = self._scaled(values[:, max(0, n - last - 2 * STEPS) :])
        before = scaled.shape[1] - last
        if before < STEPS - 1:  # the first moment stands for those before it
            scaled = np.concatenate([np.repeat(scaled[:, :1], STEPS - 1, axis=1), scaled], axis=1)
            before += STEPS - 1
        axes = self.axes.reshape(len(self.axes), -1)
        odd, by_channel = np.empty(last), np.empty((c, last))
        for start in range(0, last, _AT_ONCE):
            stop = min(start + _AT_ONCE, last)
            pictures = np.empty((STEPS, c, stop - start))
            for lag in range(STEPS):
                pictures[lag] = scaled[:, before + start - lag : before + stop - lag]
            pictures -= self.mean[:, :, None]
            left = pictures.reshape(STEPS * c, -1)
            left -= axes.T @ (axes @ left)
            left *= left
            odd[start:stop] = np.sqrt(left.mean(axis=0))
            by_channel[:, start:stop] = pictures[:NEWEST].mean(axis=0)
        return odd, by_channel

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        """In training's range as 0 to 1; a gap repeats what was last seen, for a few steps."""
        filled = _carried(values, STEPS)
        middle = self.low + self.span / 2
        filled = np.where(np.isfinite(filled), filled, middle[:, None])
        return np.clip((filled - self.low[:, None]) / self.span[:, None], -FAR, 1 + FAR)

    def arrays(self) -> dict[str, np.ndarray]:
        return {n: getattr(self, n) for n in ("low", "span", "mean", "axes")}

    @classmethod
    def from_arrays(cls, given: dict[str, np.ndarray]) -> Pattern:
        return cls(**{n: given[n] for n in ("low", "span", "mean", "axes")})


def _carried(values: np.ndarray, steps: int) -> np.ndarray:
    """Gaps of up to `steps` filled with what was seen before them."""
    n = values.shape[1]
    seen = np.where(np.isfinite(values), np.arange(n), -1)
    last = np.maximum.accumulate(seen, axis=1)
    carried = np.take_along_axis(values, np.maximum(last, 0), axis=1)
    return np.where((last >= 0) & (np.arange(n) - last <= steps), carried, np.nan)
