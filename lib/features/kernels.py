"""Rolling kernels over rows of a (channels, time) array; every one looks back only."""

from __future__ import annotations

import bottleneck as bn
import numpy as np

_MOVES = {"mean": bn.move_mean, "std": bn.move_std, "min": bn.move_min, "max": bn.move_max, "median": bn.move_median}


def move(statistic: str, rows: np.ndarray, window: int, least: int = 1) -> np.ndarray:
    """mean, std, min, max or median of the last `window` values along the last axis; NaN until `least` are there.

    Unlike bottleneck's own, it takes rows that are shorter than the window.
    """
    n = rows.shape[-1]
    if n < least:
        return np.full(rows.shape, np.nan)
    return _MOVES[statistic](rows, min(window, n), min_count=least, axis=-1)


def rolling(rows: np.ndarray, window: int) -> dict[str, np.ndarray]:
    """mean, std, min, max and slope of the last `window` values; NaN until a third of them are there.

    slope: by how much the newer half lies above the whole, what a straight line would do over a quarter of it.
    """
    least = max(1, window // 3)
    mean = move("mean", rows, window, least)
    return {
        "mean": mean,
        "slope": move("mean", rows, max(window // 2, 1), max(least // 2, 1)) - mean,
        "std": move("std", rows, window, max(2, least)),
        "min": move("min", rows, window, least),
        "max": move("max", rows, window, least),
    }


def difference(rows: np.ndarray, lag: int) -> np.ndarray:
    """The change since `lag` steps ago; NaN where either end is missing."""
    out = np.full_like(rows, np.nan)
    if rows.shape[1] > lag:
        out[:, lag:] = rows[:, lag:] - rows[:, :-lag]
    return out


def ewma(rows: np.ndarray, span: float, block: int = 256) -> np.ndarray:
    """Exponentially weighted mean of what was seen up to each moment; gaps weigh nothing.

    Blocks of time are multiplied by a triangular matrix of weights, which is exact and needs no loop over samples.
    """
    decay = 1 - 2 / (span + 1)
    c, n = rows.shape
    lag = np.arange(block)[:, None] - np.arange(block)[None, :]
    weights = np.where(lag >= 0, decay ** np.maximum(lag, 0), 0.0).T
    fade = decay ** np.arange(1, block + 1)
    seen = np.isfinite(rows)
    filled = np.where(seen, rows, 0.0)
    total, weight = np.zeros((c, n)), np.zeros((c, n))
    carry_total, carry_weight = np.zeros((c, 1)), np.zeros((c, 1))
    for start in range(0, n, block):
        part = slice(start, min(start + block, n))
        size = part.stop - part.start
        total[:, part] = filled[:, part] @ weights[:size, :size] + carry_total * fade[:size]
        weight[:, part] = seen[:, part].astype(float) @ weights[:size, :size] + carry_weight * fade[:size]
        carry_total, carry_weight = total[:, part.stop - 1 : part.stop], weight[:, part.stop - 1 : part.stop]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 1e-12, total / weight, np.nan)


def missing_share(rows: np.ndarray, window: int) -> np.ndarray:
    """The part of the last `window` steps that was not seen."""
    return move("mean", (~np.isfinite(rows)).astype(float), window)


def flat(rows: np.ndarray, window: int) -> np.ndarray:
    """1 where nothing moved over the last `window` steps, else 0."""
    with np.errstate(invalid="ignore"):
        spread = move("max", rows, window, window) - move("min", rows, window, window)
        return (spread <= 1e-12 * np.maximum(1.0, np.abs(rows))).astype(float)


def unchanged(rows: np.ndarray) -> np.ndarray:
    """For how many steps each value has been exactly the same; a gap begins anew."""
    steps = np.arange(rows.shape[1])
    moved = np.ones(rows.shape, dtype=bool)
    moved[:, 1:] = rows[:, 1:] != rows[:, :-1]
    return steps - np.maximum.accumulate(np.where(moved, steps, 0), axis=1)
