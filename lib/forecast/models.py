"""The simple forecasts: what any other has to beat, and often does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lib.forecast.history import History

# Where a model's own choices are tried: so many moments of the newest part of what it is fitted on.
TRIED_AT = 32
TRIED_PART = 0.7


class Model(Protocol):
    """A way to forecast. `name` is what people read and what is stored."""

    @property
    def name(self) -> str: ...

    def fits(self, history: History, tested: int) -> bool:
        """Whether there is enough history for it."""

    def path(self, history: History, steps: int, tested: int) -> np.ndarray:
        """Learn, and give the middle of the next steps: shape (steps,), what comes is as likely above as below.

        tested: how far ahead its own choices are tried on the history; no more than `steps`.
        """


@dataclass(frozen=True)
class Naive:
    """As it is now, so it stays."""

    name: str = "naive"

    def fits(self, history: History, tested: int) -> bool:
        return len(history) >= 1

    def path(self, history: History, steps: int, tested: int) -> np.ndarray:
        return np.full(steps, history.values[-1])


@dataclass(frozen=True)
class SeasonalNaive:
    """As it was at the same time a day ago, or a week ago where the history carries weeks and they say more."""

    name: str = "seasonal naive"

    def fits(self, history: History, tested: int) -> bool:
        return history.has_day

    def path(self, history: History, steps: int, tested: int) -> np.ndarray:
        values = history.filled
        lag = season(history)
        ahead = np.arange(steps)
        return values[len(values) - lag + ahead % lag]


def season(history: History) -> int:
    """Steps of the season that a repetition of the past should use: a day, or a week where that repeats better;
    0 where history carries neither."""
    if not history.has_day:
        return 0
    if not history.has_week:
        return history.day
    values = history.values
    newest = slice(-min(len(values) - history.week, 4 * history.week), None)
    errors = [np.abs(values[newest] - np.roll(values, lag)[newest]) for lag in (history.day, history.week)]
    both = np.isfinite(errors[0]) & np.isfinite(errors[1])
    if not both.any():
        return history.day
    return history.week if errors[1][both].mean() < errors[0][both].mean() else history.day


@dataclass(frozen=True)
class Drift:
    """The straight line from the first to the last values, drawn on."""

    name: str = "drift"

    def fits(self, history: History, tested: int) -> bool:
        return len(history) >= 2 * tested

    def path(self, history: History, steps: int, tested: int) -> np.ndarray:
        values = history.values
        part = max(1, len(values) // 10)
        rise = np.nanmedian(values[-part:]) - np.nanmedian(values[:part])
        slope = rise / max(1, len(values) - part)
        return values[-1] + slope * np.arange(1, steps + 1)


@dataclass(frozen=True)
class RecentLevel:
    """The middle of the newest values, over as long a span as has done best."""

    name: str = "recent level"

    def fits(self, history: History, tested: int) -> bool:
        return len(history) >= 2 * tested

    def path(self, history: History, steps: int, tested: int) -> np.ndarray:
        values = history.values
        at, target = tried(values, tested)
        best, least = float(np.nanmedian(values)), np.inf
        for width in _widths(len(values), tested, history.day):
            middle = trailing_median(values, at, width)
            error = mean_error(target - middle[:, None])
            if error < least:
                best, least = float(np.nanmedian(values[-width:])), error
        return np.full(steps, best)


def _widths(n: int, steps: int, day: int) -> list[int]:
    wanted = {3, 6, 12, 24, 48, 96, steps, 2 * steps, day, 2 * day, 3 * day, 7 * day, 14 * day, 28 * day}
    return sorted(w for w in wanted if 3 <= w <= max(3, n - steps)) or [3]


def tried(values: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Moments to try choices at, and what came after each: shapes (p,) and (p, steps). A moment t knows values[:t]."""
    n = len(values)
    last = n - steps
    first = min(last, max(int(n * (1 - TRIED_PART)), 12))
    at = np.unique(np.linspace(first, last, TRIED_AT).astype(int))
    return at, values[at[:, None] + np.arange(steps)]


def trailing_median(values: np.ndarray, at: np.ndarray, width: int) -> np.ndarray:
    """The median of the `width` values before each moment, fewer at the beginning: shape (p,)."""
    rows = at[:, None] - width + np.arange(width)
    window = np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan)
    return nanmedian(window, axis=1)


def nanmedian(values: np.ndarray, axis: int) -> np.ndarray:
    """As numpy's, without its warning for what is all NaN, and several times as fast."""
    ordered = np.sort(values, axis=axis)  # NaN last
    count = np.isfinite(ordered).sum(axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0), axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, ordered.shape[axis] - 1), axis)
    with np.errstate(invalid="ignore"):
        out = low / 2 + high / 2
    return np.where(count > 0, out, np.nan).squeeze(axis)


def nanmean(values: np.ndarray) -> np.ndarray:
    """The mean of each row over what is known; NaN where nothing is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1)


def mean_error(errors: np.ndarray) -> float:
    """Mean absolute error over what is known; infinite where nothing is."""
    known = np.isfinite(errors)
    return float(np.abs(errors[known]).mean()) if known.any() else np.inf
