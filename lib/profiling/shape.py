"""The shape of values: quantiles, histogram, trend, and how much of their movement a clock explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Distribution:
    """edges: shape (bins + 1,), counts: shape (bins,). quantiles: share -> value. Empty series: all empty."""

    mean: float | None
    std: float | None
    quantiles: dict[float, float]
    edges: np.ndarray
    counts: np.ndarray
    distinct: int


@dataclass(frozen=True)
class Trend:
    """A straight line through the hourly means: slope per day, and the share of their variance it explains (0..1)."""

    per_day: float
    explained: float


@dataclass(frozen=True)
class Rhythm:
    """Share of variance (0..1) that the time of day, and then the day of the week, explain.

    None where history is too short to say: three days for daily, three weeks for weekly. hours: for each UTC hour
    the mean, and the 10th and 90th percentile of the hourly means; shape (24, 3), NaN where nothing was seen.
    """

    daily: float | None
    weekly: float | None
    hours: np.ndarray


def distribution(value: np.ndarray, bins: int = 40) -> Distribution:
    """Summarise finite values. The histogram spans the 0.1st to 99.9th percentile; the rest counts at its ends."""
    value = value[np.isfinite(value)]
    if value.size == 0:
        return Distribution(None, None, {}, np.empty(0), np.empty(0, dtype=np.int64), 0)
    distinct = int(np.unique(value).size)
    with np.errstate(over="ignore", invalid="ignore"):
        quantiles = dict(zip(QUANTILES, np.quantile(value, QUANTILES).tolist(), strict=True))
        low, high = np.quantile(value, (0.001, 0.999))
    if not high > low:
        low, high = quantiles[0.0], quantiles[1.0]
    bins = max(1, min(bins, distinct, int(np.ceil(2 * value.size ** (1 / 2)))))
    with np.errstate(over="ignore"):
        spread = float(high - low)
    if spread > 0 and np.isfinite(spread) and float(low) + spread / bins > low:
        counts, edges = np.histogram(np.clip(value, low, high), bins=bins, range=(low, high))
    else:
        counts, edges = np.array([value.size]), np.array([low, high])
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(value.mean()), float(value.std())
    return Distribution(_finite(mean), _finite(std), quantiles, edges, counts.astype(np.int64), distinct)


def hourly(ts_ms: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each hour that has samples: (hour number since 1970, mean)."""
    finite = np.isfinite(value)
    hour, value = ts_ms[finite] // HOUR_MS, value[finite]
    if hour.size == 0:
        return hour, value
    numbers, inverse = np.unique(hour, return_inverse=True)
    means = np.bincount(inverse, weights=value) / np.bincount(inverse)
    usable = np.isfinite(means)
    return numbers[usable], means[usable]


def trend(ts_ms: np.ndarray, value: np.ndarray) -> Trend | None:
    """None with fewer than six hours of history: a line through less says nothing about days."""
    hour, mean = hourly(ts_ms, value)
    if hour.size < 6:
        return None
    days = (hour - hour[0]) / 24.0
    scale = float(np.abs(mean).max())
    if scale == 0 or np.ptp(mean) == 0:
        return Trend(0.0, 0.0)
    centred, level = days - days.mean(), mean / scale - (mean / scale).mean()
    slope = float((centred * level).sum() / (centred**2).sum())
    explained = 1 - float(((level - slope * centred) ** 2).sum() / (level**2).sum())
    return Trend(_finite(slope * scale) or 0.0, float(np.clip(explained, 0, 1)))


def rhythm(ts_ms: np.ndarray, value: np.ndarray) -> Rhythm:
    """How strongly a series follows the clock.

    Adjusted R² of hour-of-day means on hourly means without their linear trend, so that noise comes out near 0
    whatever the length; then of day-of-week means on what the hours left over.
    """
    hour, mean = hourly(ts_ms, value)
    hours = np.full((24, 3), np.nan)
    of_day = hour % 24
    for h in range(24):
        seen = mean[of_day == h]
        if seen.size:
            hours[h] = (seen.mean(), *np.quantile(seen, (0.1, 0.9)))
    days = (hour[-1] - hour[0] + 1) / 24 if hour.size else 0
    # Half of the hours at least: a pattern seen through fewer is a guess.
    if days < 3 or hour.size < days * 12:
        return Rhythm(None, None, hours)
    scale = float(np.abs(mean).max())
    if scale == 0 or np.ptp(mean) <= 1e-12 * scale:
        return Rhythm(0.0, 0.0 if days >= 21 else None, hours)
    position = (hour - hour.mean()) / 24.0
    level = mean / scale
    level = level - level.mean()
    level = level - position * (position * level).sum() / (position**2).sum()
    daily, left = _explained(level, of_day)
    # 1 January 1970 was a Thursday; only that equal weekdays share a number matters here.
    weekly = _explained(left, hour // 24 % 7)[0] if days >= 21 else None
    return Rhythm(daily, weekly, hours)


def _explained(level: np.ndarray, group: np.ndarray) -> tuple[float, np.ndarray]:
    """Adjusted R² of group means, clipped to 0..1, and the residuals."""
    numbers, inverse = np.unique(group, return_inverse=True)
    means = np.bincount(inverse, weights=level) / np.bincount(inverse)
    left = level - means[inverse]
    total = float(((level - level.mean()) ** 2).sum())
    n, p = level.size, numbers.size
    if total <= 0 or n <= p:
        return 0.0, left
    adjusted = 1 - (float((left**2).sum()) / total) * (n - 1) / (n - p)
    return float(np.clip(adjusted, 0, 1)), left


def _finite(number: float) -> float | None:
    return number if np.isfinite(number) else None
