"""How far off a forecast may be, from how far off it was: intervals that cover what they say."""

from __future__ import annotations

import numpy as np

from lib.forecast.backtest import FADING

LEVELS = (0.80, 0.95)
# Parts of the horizon that have widths of their own.
BUCKETS = 6
OVERLAP = 1
# What comes next may be further off than all that was seen: the level is raised by one in so many errors as there are.
# Where errors of one origin hang together each origin counts as one; where they do not, as two: series change.
LEAST_UNSEEN = 0.5
# How many ways to share out what is left on either side are looked at.
TAILS = 33
# Beyond what could be tried errors are taken to grow at least as a random walk's do, at most as a wrong slope's.
GROWTH = (0.5, 1.0)


def widths(errors: np.ndarray, steps: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """What to add to the middle for the lower and the upper bound, shapes (steps,), lower <= 0 <= upper.

    errors: what came minus the middle, shape (origins, tested), NaN where unknown; the newer origins count more.
    Source: split conformal prediction, Vovk et al. 2005, per part of the horizon.
    """
    origins, tested = errors.shape
    weight = FADING ** np.arange(origins)[::-1]
    effective = weight.sum() ** 2 / (weight**2).sum()
    wanted = min(1.0, level * (1 + max(LEAST_UNSEEN, alike(errors)) / effective))
    edges = np.linspace(0, tested, min(BUCKETS, tested) + 1).astype(int)
    low, high = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    known_at_all = np.isfinite(errors)
    for i, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        part = np.zeros_like(known_at_all)
        # With half of the parts beside it, so that a part in which errors happened to agree does not stand out.
        part[:, max(0, a - OVERLAP * (b - a) // 2) : b + OVERLAP * (b - a) // 2] = True
        use = part & known_at_all
        if not use.any():
            use = known_at_all
        found, weights = errors[use], np.broadcast_to(weight[:, None], errors.shape)[use]
        low[i], high[i] = _around_zero(found, weights, wanted)
    centres = (edges[:-1] + edges[1:]) / 2
    at = np.arange(steps) + 0.5
    return _reach(low, centres, at, tested), _reach(high, centres, at, tested)


def alike(errors: np.ndarray) -> float:
    """How much errors of one origin hang together: the share of their variance that lies between origins, 0 to 1."""
    known = np.isfinite(errors)
    count = known.sum(axis=1)
    use = count > 0
    squares = np.where(known, errors, 0.0) ** 2
    total = float(squares.sum() / max(1, count.sum()))
    means = np.where(known, errors, 0.0).sum(axis=1)[use] / count[use]
    return float(np.clip((means**2).mean() / total, 0.0, 1.0)) if total > 0 else 0.0


def _reach(side: np.ndarray, centres: np.ndarray, at: np.ndarray, tested: int) -> np.ndarray:
    inside = np.interp(np.minimum(at, tested), centres, side)
    if len(side) > 1 and side[0] * side[-1] > 0:
        grown = np.log(side[-1] / side[0]) / np.log(centres[-1] / centres[0])
    else:
        grown = GROWTH[0]
    return inside * np.maximum(at / tested, 1.0) ** np.clip(grown, *GROWTH)


def coverage(errors: np.ndarray) -> tuple[float, float]:
    """The share of what came that lies within, for each of LEVELS: each origin judged by the errors of the others."""
    shares = []
    # What is exactly on a bound is within it, rounding or not.
    slack = 1e-9 * float(np.nanmax(np.abs(errors), initial=0.0))
    for level in LEVELS:
        inside, known = 0, 0
        for i in range(len(errors)):
            low, high = widths(np.delete(errors, i, axis=0), errors.shape[1], level)
            own = errors[i]
            there = np.isfinite(own)
            inside += int(((own >= low - slack) & (own <= high + slack))[there].sum())
            known += int(there.sum())
        shares.append(inside / known if known else float("nan"))
    return shares[0], shares[1]


def _around_zero(values: np.ndarray, weights: np.ndarray, wanted: float) -> tuple[float, float]:
    """The narrowest of quantile intervals that hold zero (the middle) and this share of the values.

    A forecast that was always too low has no errors below zero: leaving the same share out on both sides would then
    hold more than was wanted.
    """
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    where = (np.cumsum(weights) - weights / 2) / weights.sum()
    tail = np.linspace((1 - wanted) / 2, 1 - wanted, TAILS)
    low = np.minimum(0.0, np.interp(tail, where, values))
    high = np.maximum(0.0, np.interp(1 - tail, where, values))
    upto = np.concatenate(([0.0], np.cumsum(weights) / weights.sum()))
    held = upto[np.searchsorted(values, high, "right")] - upto[np.searchsorted(values, low, "left")]
    enough = np.flatnonzero(held >= min(wanted, held[0]) - 1e-9)
    return float(low[enough[-1]]), float(high[enough[-1]])
