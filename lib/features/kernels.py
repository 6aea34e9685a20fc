"""Rolling kernels over rows of a (channels, time) array; every one looks back only.

Each takes `last`: of how many of the newest moments it is asked, all of them when None. A few are taken one by one,
many in one sweep; both give the same to the last digits, whatever came before the window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import bottleneck as bn
import numpy as np

FEW = 4  # moments up to which one by one is faster
_AT_ONCE = 1 << 15  # values swept at once, to stay in cache
_BLOCK = 32  # moments whose weights are one matrix
EVENLY = 12  # values a window's quantiles are taken from
AT_LIMIT = 0.01  # of what a window spans: nearer to its edge than this sits at it

_MOVES = {"min": bn.move_min, "max": bn.move_max, "median": bn.move_median}
_STILL = {"mean": bn.nanmean, "min": bn.nanmin, "max": bn.nanmax, "median": bn.nanmedian}

# Count, sum and sum of squared deviations of a stretch.
Moments = tuple[np.ndarray, np.ndarray, np.ndarray]


def move(statistic: str, rows: np.ndarray, window: int, least: int = 1, last: int | None = None) -> np.ndarray:
    """mean, min, max or median of the last `window` values along the last axis; NaN until `least` are there.

    Unlike bottleneck's own, it takes rows that are shorter than the window.
    """
    n = rows.shape[-1]
    last = n if last is None else last
    if n < least or not last:
        return np.full((*rows.shape[:-1], last), np.nan)
    if last > FEW:
        rows = rows[..., max(0, n - last - window + 1) :]
        if statistic == "mean":
            return _means(rows, window, least)[..., -last:]
        return _MOVES[statistic](rows, min(window, rows.shape[-1]), min_count=least, axis=-1)[..., -last:]
    out = np.empty((*rows.shape[:-1], last))
    for place, part in _windows(n, window, last):
        found = _STILL[statistic](rows[..., part], axis=-1)
        if least > 1:
            found = np.where(np.isfinite(rows[..., part]).sum(axis=-1) >= least, found, np.nan)
        out[..., place] = found
    return out


def _means(rows: np.ndarray, window: int, least: int) -> np.ndarray:
    """Not by a running sum: what is left of large values after they left would decide where small ones are equal."""
    flat = rows.reshape(-1, rows.shape[-1])
    seen = np.isfinite(flat)
    whole = bool(seen.all())
    # Without gaps every row counts alike.
    state = (seen[:1] if whole else seen).astype(float), flat if whole else np.where(seen, flat, 0.0)
    count, total = _ladder(state, (window,), _added)[window]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count >= least, total / count, np.nan).reshape(rows.shape)


def rolling(rows: np.ndarray, windows: Sequence[int], last: int | None = None) -> dict[int, dict[str, np.ndarray]]:
    """By window: mean, slope, std, min and max of its values, NaN until a third of them are there; and their count.

    slope: by how much the newer half lies above the whole, what a straight line would do over a quarter of it.
    """
    c, n = rows.shape
    last = n if last is None else last
    if last <= FEW:
        return {w: _one_by_one(rows, w, last) for w in windows}
    rows = rows[:, max(0, n - last - max(windows) + 1) :]
    group = max(1, _AT_ONCE // rows.shape[1])
    parts = [_swept(rows[first : first + group], windows, last) for first in range(0, c, group)]
    return {w: {name: np.concatenate([p[w][name] for p in parts]) for name in parts[0][w]} for w in windows}


def spread_out(rows: np.ndarray, window: int, last: int | None = None) -> dict[str, np.ndarray]:
    """Of a dozen values evenly spaced over the last `window`: the low tenth, the middle and the high tenth, and the
    parts that sit at the top and at the bottom of what they span; NaN until a third of them are there."""
    c, n = rows.shape
    last = n if last is None else last
    step = max(1, window // EVENLY)
    count = min(EVENLY, window)
    padded = np.concatenate([np.full((c, window), np.nan), rows], axis=1)
    first = padded.shape[1] - last
    looked = np.stack([padded[:, first - k * step : padded.shape[1] - k * step] for k in range(count)])
    looked.sort(axis=0)  # what is missing comes last
    known = np.isfinite(looked).sum(axis=0)
    enough = known >= max(1, count // 3)

    def at(share: float) -> np.ndarray:
        place = np.rint(share * np.maximum(known - 1, 0)).astype(int)
        return np.where(enough, np.take_along_axis(looked, place[None], axis=0)[0], np.nan)

    lowest, highest = at(0.0), at(1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        edge = AT_LIMIT * (highest - lowest)
        top = (looked >= highest - edge).sum(axis=0) / known
        bottom = (looked <= lowest + edge).sum(axis=0) / known
    return {
        "q10": at(0.1),
        "q50": at(0.5),
        "q90": at(0.9),
        "top": np.where(enough, top, np.nan),
        "bottom": np.where(enough, bottom, np.nan),
    }


def _one_by_one(rows: np.ndarray, window: int, last: int) -> dict[str, np.ndarray]:
    least, half = _least(window)
    made = {name: np.empty((len(rows), last)) for name in ("mean", "slope", "std", "min", "max", "count")}
    for place, part in _windows(rows.shape[1], window, last):
        looked = rows[:, part]
        count = np.isfinite(looked).sum(axis=1)
        newer = looked[:, max(0, looked.shape[1] - half[0]) :]
        mean = bn.nanmean(looked, axis=1)
        found = {"mean": mean, "min": bn.nanmin(looked, axis=1), "max": bn.nanmax(looked, axis=1)}
        found["slope"] = bn.nanmean(newer, axis=1) - mean
        few = count < least
        if few.any():
            for row in found.values():
                row[few] = np.nan
            found["slope"][np.isfinite(newer).sum(axis=1) < half[1]] = np.nan
        elif bn.anynan(newer):
            found["slope"][np.isfinite(newer).sum(axis=1) < half[1]] = np.nan
        found["std"] = bn.nanstd(looked, axis=1)
        found["std"][count < max(2, least)] = np.nan
        found["count"] = count
        for name, row in found.items():
            made[name][:, place] = row
    return made


def _swept(rows: np.ndarray, windows: Sequence[int], last: int) -> dict[int, dict[str, np.ndarray]]:
    seen = np.isfinite(rows)
    whole = bool(seen.all())
    # Without gaps every channel counts alike.
    count = (seen[:1] if whole else seen).astype(float)
    filled = rows if whole else np.where(seen, rows, 0.0)
    moments = _ladder((count, filled, np.zeros_like(filled)), windows, _joined)
    halves = _ladder((count, filled), [_least(w)[1][0] for w in windows], _added)
    lows, highs = (_ladder((rows,), windows, _chosen(better)) for better in (np.fmin, np.fmax))
    made: dict[int, dict[str, np.ndarray]] = {}
    newest = slice(rows.shape[1] - last, None)
    for window in windows:
        least, half = _least(window)
        (n, total, squares), (n_half, newer) = (
            tuple(part[:, newest] for part in state) for state in (moments[window], halves[half[0]])
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(n >= least, total / n, np.nan)
            made[window] = {
                "mean": mean,
                "slope": np.where(n_half >= half[1], newer / n_half, np.nan) - mean,
                "std": np.where(n >= max(2, least), np.sqrt(squares / n), np.nan),
                "min": np.where(n >= least, lows[window][0][:, newest], np.nan),
                "max": np.where(n >= least, highs[window][0][:, newest], np.nan),
                "count": np.broadcast_to(n, mean.shape),
            }
    return made


def _least(window: int) -> tuple[int, tuple[int, int]]:
    """How many values a window takes, then the length of its newer half and how many that takes."""
    least = max(1, window // 3)
    return least, (max(window // 2, 1), max(least // 2, 1))


def _windows(n: int, window: int, last: int) -> list[tuple[int, slice]]:
    return [(place, slice(max(0, end - window), end)) for place, end in enumerate(range(n - last + 1, n + 1))]


def _ladder(single: Any, windows: Sequence[int], join: Callable[[Any, Any, int], Any]) -> dict[int, Any]:
    """The state of each window, put together from stretches of 1, 2, 4, ... steps: a few joins instead of one a step,
    and nothing that has left the window leaves a trace."""
    stretches, length = {1: single}, 1
    while 2 * length <= max(windows):
        stretches[2 * length] = join(stretches[length], stretches[length], length)
        length *= 2
    made = {}
    for window in windows:
        state, covered = None, 0
        for length in sorted((k for k in stretches if window & k), reverse=True):
            state = stretches[length] if state is None else join(state, stretches[length], covered)
            covered += length
        made[window] = state
    return made


def _added(newer: Any, older: Any, steps: int) -> Any:
    """Counts and sums of two stretches, the older of which ends `steps` before the newer."""
    out = []
    for a, b in zip(newer, older, strict=True):
        both = a.copy()
        both[:, steps:] += b[:, : max(0, b.shape[1] - steps)]
        out.append(both)
    return tuple(out)


def _chosen(better: np.ufunc) -> Callable[[Any, Any, int], Any]:
    def join(newer: Any, older: Any, steps: int) -> Any:
        (a,), (b,) = newer, older
        both = a.copy()
        better(a[:, steps:], b[:, : max(0, b.shape[1] - steps)], out=both[:, steps:])
        return (both,)

    return join


def _joined(newer: Moments, older: Moments, steps: int) -> Moments:
    """As `_added`, the squared deviations with them. Source: Chan, Golub and LeVeque 1983."""
    count, total = _added(newer[:2], older[:2], steps)
    squares = newer[2].copy()
    (n, a, _), (m, b, apart) = (x[:, steps:] for x in newer), (x[:, : max(0, x.shape[1] - steps)] for x in older)
    weight = n * m * count[:, steps:]
    weight = np.divide(1.0, weight, out=np.zeros_like(weight), where=weight > 0)
    between = a * m
    between -= b * n
    between *= between
    between *= weight
    squares[:, steps:] += apart
    squares[:, steps:] += between
    return count, total, squares


def difference(rows: np.ndarray, lag: int, last: int | None = None) -> np.ndarray:
    """The change since `lag` steps ago; NaN where either end is missing."""
    n = rows.shape[1]
    last = n if last is None else last
    out = np.full((len(rows), last), np.nan)
    first = max(n - last, lag)
    if first < n:
        out[:, first - n :] = rows[:, first:] - rows[:, first - lag : n - lag]
    return out


def ewma(
    rows: np.ndarray, span: float, before: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Exponentially weighted mean of what was seen up to each moment; gaps weigh nothing. And what to go on from: the
    weighted sum and the weights', each shape (c,), which is `before` for the moments that follow."""
    decay = 1 - 2 / (span + 1)
    c = len(rows)
    seen = np.isfinite(rows)
    start = before or (np.zeros(c), np.zeros(c))
    both = np.concatenate([np.where(seen, rows, 0.0), seen])
    sums = _decayed(both, decay, np.concatenate(start))
    total, weight = sums[:c], sums[c:]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(weight > 1e-12, total / weight, np.nan)
    return mean, (total[:, -1].copy(), weight[:, -1].copy()) if rows.shape[1] else start


def _decayed(rows: np.ndarray, decay: float, before: np.ndarray) -> np.ndarray:
    """Sums in which what is k steps old weighs decay**k. Blocks of time are multiplied by a triangular matrix, then
    the ends of blocks are summed the same way: exact, without a loop over moments."""
    weights, fade = _weights(decay)
    c, n = rows.shape
    if n <= _BLOCK:
        return rows @ weights[:n, :n] + before[:, None] * fade[:n]
    blocks = -(-n // _BLOCK)
    padded = np.zeros((c, blocks * _BLOCK))
    padded[:, :n] = rows
    inside = padded.reshape(c * blocks, _BLOCK) @ weights
    inside = inside.reshape(c, blocks, _BLOCK)
    ends = _decayed(inside[:, :, -1], decay**_BLOCK, before)
    carried = np.concatenate([before[:, None], ends[:, :-1]], axis=1)
    inside += carried[:, :, None] * fade
    return inside.reshape(c, -1)[:, :n]


@lru_cache(maxsize=64)
def _weights(decay: float) -> tuple[np.ndarray, np.ndarray]:
    lag = np.arange(_BLOCK)[:, None] - np.arange(_BLOCK)[None, :]
    return np.where(lag >= 0, decay ** np.maximum(lag, 0), 0.0).T, decay ** np.arange(1, _BLOCK + 1)


def missing_share(rows: np.ndarray, window: int, last: int | None = None) -> np.ndarray:
    """The part of the last `window` steps that was not seen."""
    return move("mean", (~np.isfinite(rows)).astype(float), window, last=last)


def flat(rows: np.ndarray, rolled: dict[str, np.ndarray], window: int) -> np.ndarray:
    """1 where nothing moved over the last `window` steps, else 0. rolled: of that window, from `rolling`."""
    with np.errstate(invalid="ignore"):
        still = rolled["max"] - rolled["min"] <= 1e-12 * np.maximum(1.0, np.abs(rows))
        return still & (rolled["count"] == window)


def missing(rolled: dict[str, np.ndarray], known: int, window: int) -> np.ndarray:
    """The part of the last `window` steps that was not seen. known: moments there are with those before them."""
    count = rolled["count"]
    steps = np.minimum(np.arange(known - count.shape[1], known) + 1, window)
    return 1.0 - count / steps


def unchanged(rows: np.ndarray, before: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
    """For how many steps each value has been exactly the same; a gap begins anew. before: the values just before and
    for how long those had been the same, each shape (c,)."""
    moved = np.ones(rows.shape, dtype=bool)
    moved[:, 1:] = rows[:, 1:] != rows[:, :-1]
    since = np.arange(rows.shape[1])
    if before is None or not rows.shape[1]:
        return since - np.maximum.accumulate(np.where(moved, since, 0), axis=1)
    moved[:, 0] = rows[:, 0] != before[0]
    # A run that began before is as if it had begun at a negative step.
    began = np.where(moved, since, -1 - before[1][:, None])
    return since - np.maximum.accumulate(began, axis=1)
