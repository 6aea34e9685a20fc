"""Scores of unlike detectors made comparable: each becomes the probability that a normal moment scores as high."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Below this quantile the training scores speak for themselves; above it an exponential tail takes over, because
# what is rare in training is too rare to count.
KNEE = 0.95
LEAST = 1e-30
_MANY = 1024  # scores that are looked up all at once


@dataclass(frozen=True)
class Tail:
    """scores: sorted training scores. knee: where the exponential tail begins; decay: its mean excess."""

    scores: np.ndarray
    knee: float
    decay: float

    @classmethod
    def fit(cls, scores: np.ndarray) -> Tail:
        """scores: of calibration rows, higher is stranger."""
        ordered = np.sort(scores[np.isfinite(scores)])
        if ordered.size == 0:
            return cls(np.zeros(1), np.inf, 1.0)
        knee, far = np.quantile(ordered, (KNEE, 0.99))
        # Of an exponential tail, ln 5 mean excesses lie between the 95% and 99% quantiles; incidents that slipped
        # into the calibration rows are beyond both.
        decay = (far - knee) / np.log((1 - KNEE) / 0.01)
        floor = 0.02 * (knee - np.median(ordered))
        thin = ordered[:: max(1, ordered.size // 2000)]
        return cls(thin, float(knee), float(max(decay, floor, 1e-9)))

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """P(a normal moment scores at least this high); NaN scores give 1."""
        s = np.where(np.isfinite(scores), scores, -np.inf)
        counted = 1.0 - _below(s, self.scores)
        with np.errstate(over="ignore", invalid="ignore"):
            beyond = (1 - KNEE) * np.exp(-np.maximum(s - self.knee, 0) / self.decay)
        return np.clip(np.where(s > self.knee, beyond, np.maximum(counted, 1 - KNEE)), LEAST, 1.0)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"scores": self.scores, "knee": np.array(self.knee), "decay": np.array(self.decay)}

    @classmethod
    def from_arrays(cls, given: dict[str, np.ndarray]) -> Tail:
        return cls(given["scores"], float(given["knee"]), float(given["decay"]))


def _below(s: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The part of `known`, sorted, that lies below each of `s`, between two of them in proportion; 0 before the first.

    As numpy's interp, whose search for each value is what takes it long: halving for all values at once is a third.
    """
    part = (np.arange(known.size) + 0.5) / known.size
    if s.size < _MANY or known.size < 2:
        return np.interp(s, known, part, left=0.0)
    at = np.zeros(s.size, dtype=np.intp)
    further, there, ahead = np.empty_like(at), np.empty(s.size), np.empty(s.size, dtype=bool)
    step = 1 << (known.size - 1).bit_length() - 1
    while step:
        np.add(at, step, out=further)
        known.take(further, out=there, mode="clip")  # beyond the end: the last
        np.less_equal(there, s, out=ahead)
        np.multiply(ahead, step, out=further)
        np.add(at, further, out=at)
        step >>= 1
    np.minimum(at, known.size - 2, out=at)
    low = known[at]
    with np.errstate(invalid="ignore", divide="ignore"):
        way = (s - low) / (known[at + 1] - low)
        found = part[at] + np.where(way > 0, np.minimum(way, 1.0), 0.0) / known.size
    return np.where(s < known[0], 0.0, np.where(s < known[-1], found, part[-1]))
