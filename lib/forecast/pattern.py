"""The pattern of a day or a week as the recent ones agree on it, moved to where the series is by now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.forecast.history import History
from lib.forecast.models import mean_error, nanmedian, tried

# How many seasons the pattern is the median of.
SEASONS = {"day": (1, 2, 3, 5, 7, 14, 28), "week": (1, 2, 3, 4, 8)}
# Neighbouring times of day that are averaged, as a share of the season.
SMOOTHED = (0.0, 0.02, 0.06)
# How the series' distance from its pattern is carried on: its share at first, and the steps (in shares of a season)
# until half of that is gone.
CARRIED = ((0.0, 1.0), (0.5, 0.05), (1.0, 0.05), (0.5, 0.25), (1.0, 0.25), (0.5, 1.0), (1.0, 1.0), (1.0, np.inf))
# The distance is the median of so many newest steps, in shares of a season.
LOOKED_AT = (0.0, 0.04, 0.25, 1.0)


@dataclass(frozen=True)
class Pattern:
    """Median of recent days (or weeks) at each time, smoothed, and the present distance from it, which fades."""

    unit: str = "day"

    @property
    def name(self) -> str:
        return "daily pattern" if self.unit == "day" else "weekly pattern"

    def fits(self, history: History, tested: int) -> bool:
        ready = history.has_day if self.unit == "day" else history.may_have_week
        return ready and len(history) >= self._lag(history) + 2 * tested

    def path(self, history: History, steps: int, tested: int) -> np.ndarray:
        values, lag = history.values, self._lag(history)
        day = history.day or lag
        at, target = tried(values, tested)
        at = at[at >= lag]
        target = target[-len(at) :]
        now = np.array([len(values)])
        looked_at = [(look, max(1, int(look * day))) for look in LOOKED_AT]
        fades = [part * 0.5 ** (np.arange(1, steps + 1) / (half * day)) for part, half in CARRIED]
        least, best = np.inf, np.full(steps, np.nan)
        for seasons in [k for k in SEASONS[self.unit] if k * lag <= len(values)]:
            rough, rough_now = _rough(values, lag, seasons, at, tested), _rough(values, lag, seasons, now, steps)
            for width in sorted({int(share * day) for share in SMOOTHED}):
                shape, shape_now = _smooth(rough, width), _smooth(rough_now, width)
                left = target - shape[:, lag:]
                for look, newest in looked_at:
                    away = _distance(values, shape, at, lag, newest)[:, None]
                    for (part, _), fade in zip(CARRIED, fades, strict=True):
                        if part == 0 and look > 0:  # nothing is carried on: where one looks does not matter
                            continue
                        error = mean_error(left - away * fade[:tested])
                        if error < least:
                            least = error
                            best = shape_now[0, lag:] + _distance(values, shape_now, now, lag, newest)[0] * fade
        return np.where(np.isfinite(best), best, np.nanmedian(values[-lag:]))

    def _lag(self, history: History) -> int:
        return history.day if self.unit == "day" else history.week


def _rough(values: np.ndarray, lag: int, seasons: int, at: np.ndarray, steps: int) -> np.ndarray:
    """The median of the last seasons before each moment, from one season before it to `steps` after: (p, lag +
    steps). Only what lies before the moment is used."""
    rows = at[:, None, None] + np.arange(-lag, 0) - lag * np.arange(seasons)[None, :, None]
    window = np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan)
    one = nanmedian(window, axis=1)
    return one[:, np.arange(lag + steps) % lag]


def _distance(values: np.ndarray, shape: np.ndarray, at: np.ndarray, back: int, newest: int) -> np.ndarray:
    rows = at[:, None] - newest + np.arange(newest)
    found = nanmedian(values[rows] - shape[:, back - newest : back], axis=1)
    return np.where(np.isfinite(found), found, 0.0)


def _smooth(shape: np.ndarray, width: int) -> np.ndarray:
    """A moving mean over 2 * width + 1 steps; holes do not count."""
    if width < 1:
        return shape
    known = np.isfinite(shape)
    padded = np.pad(np.where(known, shape, 0.0), ((0, 0), (width + 1, width)), mode="edge")
    weight = np.pad(known.astype(float), ((0, 0), (width + 1, width)), mode="edge")
    padded[:, 0] = weight[:, 0] = 0.0
    total, count = np.cumsum(padded, axis=1), np.cumsum(weight, axis=1)
    size = 2 * width + 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total[:, size:] - total[:, :-size]) / (count[:, size:] - count[:, :-size])
