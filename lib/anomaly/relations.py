"""How channels usually move together: one that no longer follows the others leaves a residual, even inside its band."""

from __future__ import annotations

from dataclasses import dataclass

import bottleneck as bn
import numpy as np

from lib.features.baseline import quantile, robust_scale
from lib.features.kernels import move

WINDOW = 12  # steps the residuals are averaged over: a broken relation lasts, noise does not
TOGETHER = 36  # steps over which what others say of a channel's moves is held against the moves
FEW = 3  # channels below which nothing is to be said of their company; and how many of the furthest count
_FURTHEST, _LEAST = 3.0, 0.5  # of one move in usual sizes; of the moves' own size


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


@dataclass(frozen=True)
class Company:
    """How much of each channel's moves the others share, from one moment to the next: a channel that leaves its company
    may look right by itself for hours.

    apart: shape (c, c), turns moves into what the others leave unsaid of them, in usual sizes. size: shape (c,), of
    moves. middle, spread: shape (c,), of what is usually left of them.
    """

    apart: np.ndarray
    size: np.ndarray
    middle: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, surprise: np.ndarray, usable: np.ndarray) -> Company:
        """surprise: shape (c, n), of the autoregression. usable: shape (n,), rows to learn from."""
        moves = _moves(surprise)[:, usable]
        covariance = moves @ moves.T / max(moves.shape[1], 1)
        ridge = 0.1 * max(float(np.trace(covariance)) / len(covariance), 1e-9)
        precision = np.linalg.inv(covariance + ridge * np.eye(len(covariance)))
        unsaid = np.maximum(np.sqrt(((precision @ moves) ** 2).mean(axis=1)), 1e-9)
        size = np.maximum(np.sqrt((moves**2).mean(axis=1)), 1e-3)
        none = np.zeros(len(size))
        draft = cls(precision / unsaid[:, None], size, none, none + 1.0)
        left = draft.left(surprise)[:, usable]
        middle, high = quantile(left, 0.5), quantile(left, 0.95)
        return cls(draft.apart, size, middle, np.maximum((high - middle) / 1.645, 0.05))

    def left(self, surprise: np.ndarray, last: int | None = None) -> np.ndarray:
        """shape (c, n): how far each channel has left the others over the last steps, in usual spreads; below 0 where
        they go together as ever. last: at that many moments only, those before being known."""
        n = surprise.shape[1]
        last = n if last is None else last
        surprise = surprise[:, max(0, n - last - TOGETHER + 1) :]
        moves = _moves(surprise)
        own, unsaid = moves / self.size[:, None], self.apart @ moves
        own *= own
        unsaid *= unsaid
        if bn.anynan(surprise):  # what was not seen has left nobody
            unsaid[np.isnan(surprise)] = 0.0
        share = move("mean", unsaid, TOGETHER, last=last)
        share /= np.maximum(move("mean", own, TOGETHER, last=last), _LEAST)
        share -= self.middle[:, None]
        share /= self.spread[:, None]
        return share

    def arrays(self) -> dict[str, np.ndarray]:
        return {n: getattr(self, n) for n in ("apart", "size", "middle", "spread")}

    @classmethod
    def from_arrays(cls, given: dict[str, np.ndarray]) -> Company:
        return cls(**{n: given[n] for n in ("apart", "size", "middle", "spread")})


def lonely(left: np.ndarray) -> np.ndarray:
    """Shape (n,): how far the few that have left the furthest have, NaN where there are too few to be a company. left:
    as `Company.left` gives."""
    if len(left) < FEW:
        return np.full(left.shape[1], np.nan)
    return np.asarray(np.maximum(np.partition(left, -FEW, axis=0)[-FEW:], 0.0).mean(axis=0))


def beyond_usual(scores: np.ndarray, window: int, last: int) -> np.ndarray:
    """Shape (last,): by how much the newest are more than twice what was usual over the window before them: relations
    drift, and what has become usual is no news. scores: with those before, as far as it looks back."""
    before = np.append(scores[:1], scores[:-1])
    return scores[scores.size - last :] - 2.0 * move("median", before, window, last=last)


def _moves(surprise: np.ndarray) -> np.ndarray:
    moves = np.clip(surprise, -_FURTHEST, _FURTHEST)
    bn.replace(moves, np.nan, 0.0)
    return moves
