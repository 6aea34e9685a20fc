"""Simple detectors to hold ours against: what an hour of scripting would give, each with a threshold of its own.

None of them is made weak on purpose: each learns from the same rows of the same channels, and but for the static
threshold, which has its own, each is called where training would have raised no more than an alert in two days.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import bottleneck as bn
import numpy as np

from lib.anomaly.measures import runs
from lib.anomaly.threads import one_core
from lib.features.baseline import DAY_MS, robust_scale
from lib.features.kernels import move

# Alerts fewer steps apart are one, as with ours.
MERGE = 6
# What training may raise before a threshold counts as too low.
ALERTS_A_DAY = 0.5
# The static threshold: so far beyond the widest range seen in training, in ranges.
MARGIN = 0.05
WINDOW = 48  # steps of the moving median
SEASON_TAKES = 2  # days of history before yesterday says anything about today

Spans = list[tuple[int, int]]
# Channels, shape (c, n), NaN in gaps -> scores, shape (n,), higher is stranger, NaN where nothing was seen.
Scores = Callable[[np.ndarray], np.ndarray]


class Learn(Protocol):
    """Learns from channels of shape (c, n) and gives what scores others, and the limit beyond which it calls."""

    def __call__(self, values: np.ndarray, step_ms: int, seed: int) -> tuple[Scores, float]: ...


@dataclass(frozen=True)
class Peer:
    """name: as people read it. control: it knows nothing, and is there to show what chance reaches."""

    name: str
    learn: Learn
    control: bool = False


@dataclass(frozen=True)
class Learnt:
    """A peer that has learnt; scores what comes in one piece, causally."""

    peer: Peer
    scores: Scores
    limit: float

    @classmethod
    def from_channels(cls, peer: Peer, values: np.ndarray, step_ms: int, seed: int = 0) -> Learnt:
        """values: shape (c, n), the rows to learn from, in order; gaps are NaN."""
        return cls(peer, *peer.learn(values, step_ms, seed))

    def called(self, values: np.ndarray) -> tuple[np.ndarray, Spans]:
        """Scores, shape (n,), and the spans of rows it calls, ends included."""
        scores = self.scores(values)
        with np.errstate(invalid="ignore"):
            return scores, merged(scores > self.limit)


def merged(flags: np.ndarray, apart: int = MERGE) -> Spans:
    """Runs of called rows; those no more than `apart` rows from one another are one."""
    spans: Spans = []
    for first, last in runs(flags):
        if spans and first - spans[-1][1] <= apart:
            spans[-1] = spans[-1][0], last
        else:
            spans.append((first, last))
    return spans


def limit_of(scores: np.ndarray, step_ms: int) -> float:
    """The lowest threshold at which these scores of training raise no more than an alert in two days."""
    known = scores[np.isfinite(scores)]
    if not known.size:
        return np.inf
    allowed = max(1, int(ALERTS_A_DAY * len(scores) * step_ms / DAY_MS))
    highest = float(known.max())
    for limit in np.quantile(known, 1 - np.geomspace(1 / known.size, 0.2, 60)):
        with np.errstate(invalid="ignore"):
            if len(merged(scores > limit)) > allowed:
                break
        highest = float(limit)
    return highest


def forest(values: np.ndarray, step_ms: int, seed: int) -> tuple[Scores, float]:
    """Isolation Forest on raw values, gaps as zero."""
    from sklearn.ensemble import IsolationForest

    seen = np.isfinite(values).any(axis=0)
    if not seen.any():
        return (lambda given: np.full(given.shape[1], np.nan)), np.inf
    with one_core(with_sklearn=True):
        model = IsolationForest(n_estimators=100, random_state=seed, n_jobs=1).fit(np.nan_to_num(values[:, seen].T))

    def scores(given: np.ndarray) -> np.ndarray:
        with one_core(with_sklearn=True):
            strange = -model.score_samples(np.nan_to_num(given.T))
        return _where_seen(given, strange)

    return scores, limit_of(scores(values), step_ms)


def moving(values: np.ndarray, step_ms: int, seed: int) -> tuple[Scores, float]:
    """How far the furthest channel is from its median of the last steps, in median deviations of those steps."""
    usual = robust_scale(_from_before(values)[0])[:, None]

    def scores(given: np.ndarray) -> np.ndarray:
        away, before = _from_before(given)
        # A quiet stretch must not turn noise into an alarm.
        return _furthest(away / np.maximum(np.nan_to_num(1.4826 * before), 0.5 * usual))

    return scores, limit_of(scores(values), step_ms)


def _from_before(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deviation from the median of the steps before, and the median size of the deviations before, each (c, n)."""
    away = values - _shifted(move("median", values, WINDOW, 3), 1)
    return away, _shifted(move("median", np.abs(away), WINDOW, 3), 1)


def seasonal(values: np.ndarray, step_ms: int, seed: int) -> tuple[Scores, float]:
    """The furthest channel from the same time yesterday, or from the last value while there are under two days."""
    day = round(DAY_MS / step_ms)
    lag = day if day >= 1 and values.shape[1] >= SEASON_TAKES * day else 1
    usual = robust_scale(values - _shifted(values, lag))[:, None]

    def scores(given: np.ndarray) -> np.ndarray:
        return _furthest((given - _shifted(given, lag)) / usual)

    return scores, limit_of(scores(values), step_ms)


def static(values: np.ndarray, step_ms: int, seed: int) -> tuple[Scores, float]:
    """How far the furthest channel is outside the range it kept to in training, in ranges; below 0 inside."""
    seen = np.isfinite(values).any(axis=1)
    low, high = np.zeros(len(values)), np.zeros(len(values))
    low[seen], high[seen] = bn.nanmin(values[seen], axis=1), bn.nanmax(values[seen], axis=1)
    # A channel that never moved has no range to speak of: it is measured by its size.
    wide = np.where(high > low, high - low, np.maximum(np.abs(high), 1e-9))
    low, high, wide = low[:, None], high[:, None], wide[:, None]

    def scores(given: np.ndarray) -> np.ndarray:
        outside = np.where(seen[:, None], np.maximum(low - given, given - high) / wide, np.nan)
        return _highest(outside)

    return scores, MARGIN


def chance(values: np.ndarray, step_ms: int, seed: int) -> tuple[Scores, float]:
    """Scores that know nothing: what any figure has to be held against."""
    rng = np.random.default_rng(seed)

    def scores(given: np.ndarray) -> np.ndarray:
        return _where_seen(given, rng.random((given.shape[1],)))

    return scores, limit_of(scores(values), step_ms)


PEERS = (
    Peer("isolation forest on raw values", forest),
    Peer("moving z-score", moving),
    Peer("seasonal naive", seasonal),
    Peer("static threshold", static),
    Peer("random", chance, control=True),
)


def taught(values: np.ndarray, step_ms: int, seed: int = 0, peers: Sequence[Peer] = PEERS) -> list[Learnt]:
    """All of them, taught on the same rows. values: shape (c, n)."""
    return [Learnt.from_channels(peer, values, step_ms, seed) for peer in peers]


def _shifted(rows: np.ndarray, lag: int) -> np.ndarray:
    """Values of `lag` steps ago, NaN before there are any."""
    out = np.full(rows.shape, np.nan)
    if lag < rows.shape[1]:
        out[:, lag:] = rows[:, : rows.shape[1] - lag]
    return out


def _furthest(rows: np.ndarray) -> np.ndarray:
    return _highest(np.abs(rows))


def _highest(rows: np.ndarray) -> np.ndarray:
    """The highest of each column, NaN where there is none."""
    seen = np.isfinite(rows).any(axis=0)
    return np.where(seen, np.where(np.isfinite(rows), rows, -np.inf).max(axis=0, initial=-np.inf), np.nan)


def _where_seen(given: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(given).any(axis=0), scores, np.nan)
