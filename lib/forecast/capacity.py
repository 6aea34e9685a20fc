"""When a forecast crosses a limit: earliest, likely, latest, or not within the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class Side(StrEnum):
    """What happens at a limit."""

    ABOVE = "above"  # the value goes beyond it: a disk that fills
    BELOW = "below"  # the value falls under it: room that runs out


class State(StrEnum):
    CROSSES = "crosses"  # the middle gets there within the horizon
    MAY = "may"  # only an edge of the 95% interval does
    NOT_WITHIN = "not within the horizon"
    ALREADY = "already beyond"


@dataclass(frozen=True)
class Crossing:
    """Unix milliseconds; None: not within the horizon. earliest: where the nearer edge of the 95% interval crosses,
    likely: the middle, latest: the farther edge, from where on it is beyond the limit whatever happens."""

    limit: float
    side: Side
    state: State
    earliest_ms: int | None = None
    likely_ms: int | None = None
    latest_ms: int | None = None


def crossing(
    limit: float, side: Side, last: float, ts_ms: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray
) -> Crossing:
    """last: the newest value known. ts_ms, low, middle, high: the forecast and its 95% interval, shapes (steps,).

    The edges are those of each single moment, so the earliest date is the first at which it is at all plausible.
    """
    sign = 1.0 if side is Side.ABOVE else -1.0
    near, far = (high, low) if side is Side.ABOVE else (low, high)
    if sign * last >= sign * limit:
        return Crossing(limit, side, State.ALREADY)
    earliest, likely, latest = (_first(sign * path >= sign * limit, ts_ms) for path in (near, middle, far))
    state = State.CROSSES if likely is not None else State.MAY if earliest is not None else State.NOT_WITHIN
    return Crossing(limit, side, state, earliest, likely, latest)


def side_of(limit: float, last: float) -> Side:
    """Which way a value would have to go to reach the limit."""
    return Side.ABOVE if limit >= last else Side.BELOW


def _first(beyond: np.ndarray, ts_ms: np.ndarray) -> int | None:
    at = np.flatnonzero(beyond)
    return int(ts_ms[at[0]]) if at.size else None
