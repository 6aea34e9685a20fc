"""Join models by what they say of rows they have not seen: weights, calibration and threshold, each scored crosswise.

Greedy selection with replacement: Caruana et al. 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lib.training import metrics
from lib.training.portable import SIGMOID, SOFTMAX, linked
from lib.training.schema import Task

STEPS = 40
MOST_MEMBERS = 8
# Rows the greedy search looks at; more change the weights by less than chance does.
_MOST_ROWS = 8_000
_MOST_CONSIDERED = 14
_PATIENCE = 8
# A share below this is left out: it costs a prediction more than it brings.
_LEAST_SHARE = 0.04
_SMALL = 1e-6

Objective = Callable[[np.ndarray, np.ndarray], float]


def objective(metric: str) -> Objective:
    """What the weights are chosen by: the metric itself where it is smooth, log loss where it counts hits."""
    held = metric if metric not in ("f1", "accuracy", "balanced_accuracy") else "neg_log_loss"
    return lambda target, out: metrics.score(held, target, out)


def weights(outs: Sequence[np.ndarray], target: np.ndarray, better: Objective, most: int = MOST_MEMBERS) -> np.ndarray:
    """Shares that sum to 1: models are added one by one, each time the one that helps most; the best prefix counts."""
    if len(target) > _MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(len(target), _MOST_ROWS, replace=False))
        outs, target = [out[rows] for out in outs], target[rows]
    singles = np.nan_to_num([better(target, out) for out in outs], nan=-np.inf)
    order = np.argsort(-singles, kind="stable")[:_MOST_CONSIDERED]
    counts = np.zeros(len(outs))
    total = np.zeros_like(outs[0])
    best, best_counts, since = -np.inf, counts.copy(), 0
    for step in range(1, STEPS + 1):
        open_ = order if (counts > 0).sum() < most else order[counts[order] > 0]
        found = [better(target, (total + outs[i]) / step) for i in open_]
        place = int(np.nanargmax(found)) if np.isfinite(found).any() else 0
        counts[open_[place]] += 1
        total = total + outs[open_[place]]
        if found[place] > best + _SMALL:
            best, best_counts, since = found[place], counts.copy(), 0
        elif (since := since + 1) >= _PATIENCE:
            break
    return best_counts / best_counts.sum() if best_counts.sum() else np.eye(len(outs))[order[0]]


def joined(outs: Sequence[np.ndarray], shares: np.ndarray) -> np.ndarray:
    """The weighed mean of what the models say."""
    total = np.zeros_like(outs[0])
    for out, share in zip(outs, shares, strict=True):
        if share:
            total = total + share * out
    return total


def crossed(
    outs: Sequence[np.ndarray], target: np.ndarray, fold: np.ndarray, better: Objective
) -> tuple[np.ndarray, np.ndarray]:
    """What the ensemble says of each fold's rows with weights found on the other folds, for an honest score; and the
    mean of those weights, steadier than weights found once (bagged selection)."""
    made, shares = np.zeros_like(outs[0]), np.zeros(len(outs))
    for number in np.unique(fold):
        inside = fold == number
        others = ~inside
        if not others.any() or len(np.unique(target[others])) < 2:
            others = np.ones_like(inside)
        found = weights([out[others] for out in outs], target[others], better)
        made[inside] = joined([out[inside] for out in outs], found)
        shares += found
    shares /= shares.sum()
    # At most as many as one selection may take, none that hardly counts.
    least = max(_LEAST_SHARE, float(np.sort(shares)[-MOST_MEMBERS]) if len(shares) > MOST_MEMBERS else 0.0)
    kept = np.where(shares >= min(least, float(shares.max())), shares, 0.0)
    return made, kept / kept.sum()


# --- calibration -------------------------------------------------------------------------------


def calibrate(out: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Slope and shift on the log-odds (two classes), or 1 / temperature and 0 (more), that make probabilities true."""
    from scipy.optimize import minimize

    odds = log_odds(out)

    def loss(free: np.ndarray) -> float:
        made = calibrated(odds, float(np.exp(free[0])), float(free[1]) if free.size > 1 else 0.0)
        # A hair towards no change, so that few rows do not promise certainty.
        return -metrics.score("neg_log_loss", target, made) + 1e-3 * float(free @ free)

    start = np.zeros(2 if out.shape[1] == 1 else 1)
    found = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 120, "xatol": 1e-3, "fatol": 1e-6})
    return float(np.exp(found.x[0])), float(found.x[1]) if found.x.size > 1 else 0.0


def apply_calibration(out: np.ndarray, slope: float, shift: float) -> np.ndarray:
    """Probabilities after `calibrate`; their order stays."""
    return out if slope == 1.0 and shift == 0.0 else calibrated(log_odds(out), slope, shift)


def log_odds(out: np.ndarray) -> np.ndarray:
    """What calibration shifts: of each class, or of the second of two."""
    clipped = np.clip(out, 1e-7, 1 - 1e-7)
    return np.log(clipped / (1 - clipped)) if out.shape[1] == 1 else np.log(clipped)


def calibrated(odds: np.ndarray, slope: float, shift: float) -> np.ndarray:
    """Probabilities of log-odds after a slope and a shift."""
    return linked(slope * odds + shift, SIGMOID if odds.shape[1] == 1 else SOFTMAX)


def best_threshold(out: np.ndarray, target: np.ndarray, metric: str) -> float:
    """The probability from which the second class is said, best by `metric` (f1 where it does not depend on one)."""
    held = metric if metric in ("accuracy", "balanced_accuracy") else "f1"
    tried = np.unique(np.quantile(out[:, 0], np.linspace(0.01, 0.99, 99)))
    found = [metrics.score(held, target, out, float(one)) for one in tried]
    best = np.flatnonzero(np.array(found) >= np.max(found) - 1e-9)
    return float(tried[best[len(best) // 2]])


def finish_crossed(
    out: np.ndarray, target: np.ndarray, fold: np.ndarray, task: Task, metric: str, calibrated: bool, tuned: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions with calibration learnt on other folds, and each row's threshold learnt on other folds."""
    made, threshold = out.copy(), np.full(len(out), 0.5)
    if task == Task.REGRESSION:
        return made, threshold
    for number in np.unique(fold):
        inside = fold == number
        others = ~inside if len(np.unique(target[~inside])) > 1 else np.ones_like(inside)
        slope, shift = calibrate(out[others], target[others]) if calibrated else (1.0, 0.0)
        made[inside] = apply_calibration(out[inside], slope, shift)
        if tuned and task == Task.BINARY:
            threshold[inside] = best_threshold(apply_calibration(out[others], slope, shift), target[others], metric)
    return made, threshold
