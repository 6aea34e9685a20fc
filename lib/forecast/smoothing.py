"""Exponential smoothing: Holt's damped trend on what the pattern of a day leaves over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.forecast.history import History
from lib.forecast.models import mean_error, nanmedian, trailing_median, tried

ALPHAS = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
# Share of the level's gain that goes to the trend, and how the trend is damped a step.
TRENDS = ((0.0, 1.0), (0.05, 0.9), (0.05, 0.98), (0.1, 0.995))


@dataclass(frozen=True)
class Smoothing:
    """Level and damped trend, with an additive season of a day where the history carries it."""

    name: str = "exponential smoothing"

    def fits(self, history: History, tested: int) -> bool:
        return len(history) >= 2 * tested

    def path(self, history: History, steps: int, tested: int) -> np.ndarray:
        values = history.filled
        season = np.zeros(1)
        if history.has_day:
            season = additive(values, history.day)
        n, m = len(values), len(season)
        rest = values - season[np.arange(n) % m]
        coming = season[(n + np.arange(steps)) % m]
        at, target = tried(history.values, tested)
        target = target - season[(at[:, None] + np.arange(tested)) % m]
        least, best = np.inf, np.zeros(steps)
        for alpha in ALPHAS:
            for share, damping in TRENDS:
                level, trend = holt(rest, alpha, alpha * share, damping)
                reach = np.cumsum(damping ** np.arange(1, steps + 1)) if share else np.zeros(steps)
                tried_path = level[at - 1][:, None] + trend[at - 1][:, None] * reach[:tested]
                error = mean_error(target - tried_path)
                if error < least:
                    least, best = error, level[-1] + trend[-1] * reach
        return coming + best


@dataclass(frozen=True)
class Trend:
    """The straight line of the newest part, robust against what stands out, with the season of a day on it."""

    name: str = "straight trend"

    def fits(self, history: History, tested: int) -> bool:
        return len(history) >= 2 * tested

    def path(self, history: History, steps: int, tested: int) -> np.ndarray:
        values, day = history.filled, history.day if history.has_day else 0
        season = additive(values, day) if day else np.zeros(1)
        n, m = len(values), len(season)
        rest = values - season[np.arange(n) % m]
        at, target = tried(history.values, tested)
        target = target - season[(at[:, None] + np.arange(tested)) % m]
        ahead = np.arange(1, steps + 1)
        least, best = np.inf, np.full(steps, rest[-1])
        spans = {day * k for k in (2, 4, 7, 14, 28) if day} | {tested, 2 * tested, n // 4, n // 2}
        for span in sorted(s for s in spans if 8 <= s <= n - 2 * tested) or [max(2, n // 3)]:
            half = span // 2
            for newest in {max(1, min(day or 6, half)), max(1, min(6, half))}:
                slopes, levels = _line(rest, at, half, newest)
                error = mean_error(target - levels[:, None] - slopes[:, None] * ahead[:tested])
                if error < least:
                    slope, level = _line(rest, np.array([n]), half, newest)
                    least, best = error, level[0] + slope[0] * ahead
        return season[(n + ahead - 1) % m] + best


def _line(rest: np.ndarray, at: np.ndarray, half: int, newest: int) -> tuple[np.ndarray, np.ndarray]:
    """Slope a step from the middles of two halves, and where the line stands at each moment."""
    later = trailing_median(rest, at, half)
    earlier = trailing_median(rest, np.maximum(at - half, 1), half)
    slope = (later - earlier) / np.maximum(half, 1)
    return slope, trailing_median(rest, at, newest) + slope * (newest - 1) / 2


def additive(values: np.ndarray, day: int) -> np.ndarray:
    """The pattern of a day around its own middle: shape (day,), for the position in the history modulo a day."""
    whole = len(values) // day
    days = values[len(values) - whole * day :].reshape(whole, day)
    shape = np.roll(nanmedian(days - np.median(days, axis=1, keepdims=True), axis=0), len(values) % day)
    return shape - np.median(shape)


def holt(values: np.ndarray, alpha: float, beta: float, damping: float) -> tuple[np.ndarray, np.ndarray]:
    """Level and trend after each value, both shape (n,). Source: Hyndman et al. 2008, ETS(A,Ad,N)."""
    from scipy.signal import lfilter

    begin = float(np.median(values[:12]))
    x = values - begin
    # level_t = level_{t-1} + damping * trend_{t-1} + alpha * e_t and trend_t = damping * trend_{t-1} + beta * e_t,
    # written as filters of the values: one pass in C instead of a loop.
    below = np.array([1.0, -(1 + damping - alpha - beta * damping), (1 - alpha) * damping])
    level = lfilter(np.array([alpha, (beta - alpha) * damping, 0.0]), below, x) + begin
    return level, lfilter(np.array([beta, -beta, 0.0]), below, x)
