"""What scoring the next moments needs of those before them: a few hundred numbers a channel instead of all history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.features.build import Past


@dataclass(frozen=True)
class State:
    """Never changed, so that an older one can be gone on from again, as when the newest moment is seen more fully.

    features: for theirs. residual: shape (c, m), residuals that count. scores: shape (7 + c, m), raw scores and below
    them the channels' weights, not yet smoothed. surprise: shape (c, m), of the autoregression. lonely: shape (m,), how
    far channels had left their company. fused, counted: shape (m,), the fused evidence before it is
    remembered, and whether anything counted. echo: shape (2, m), how strange moments were by themselves. same:
    shape (c,), for how many steps each has been the same. seen: shape (c,), whether each ever was.
    """

    features: Past
    residual: np.ndarray
    surprise: np.ndarray
    lonely: np.ndarray
    scores: np.ndarray
    fused: np.ndarray
    counted: np.ndarray
    echo: np.ndarray
    same: np.ndarray
    seen: np.ndarray

    @classmethod
    def begin(cls, features: Past, parts: int, channels: int) -> State:
        """Before the first moment."""
        none, same = np.empty(0), np.zeros(channels, dtype=np.int64)
        own, wide, never = np.empty((channels, 0)), np.empty((parts + channels, 0)), np.zeros(channels, dtype=bool)
        return cls(features, own, own, none, wide, none, none, np.empty((2, 0)), same, never)


def newest(rows: np.ndarray, count: int) -> np.ndarray:
    """A copy of the last so many columns, which does not keep the others in memory."""
    return rows[..., max(0, rows.shape[-1] - count) :].copy()
