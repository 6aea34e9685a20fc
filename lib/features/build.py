"""The features a detector learns from: one definition for a whole history and for its newest samples.

Each feature looks back at most `Spec.lookback` steps, so the newest samples take that much history and no more. An
EWMA alone remembers for longer: going on from its sums it is exact, begun anew its weights beyond that are below 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from lib.features import kernels
from lib.features.baseline import DAY_MS, Baseline
from lib.features.channels import Channels

GROUP = -1  # the channel number of features that belong to the group as a whole
# Windows, spans and lags. Up to so many channels take the finer ones, and look at quantiles too: a single series is to
# have as many features as six channels have with the others.
COARSE = (12, 48, 288), (12, 48), (1, 12)
FINE = (
    (6, 9, 12, 18, 24, 36, 48, 72, 96, 144, 288),
    (3, 6, 9, 12, 18, 24, 36, 48, 72, 96),
    (1, 2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72, 96, 144, 288),
)
FEW = 3
ROLLING = ("mean", "slope", "std", "min", "max")
SPREAD_OUT = ("q10", "q50", "q90", "top", "bottom")


@dataclass(frozen=True)
class Spec:
    """windows: steps of the rolling statistics. spans: of the EWMAs. lags: of the differences. days: of history,
    which decides whether the hour and the weekday can mean anything yet. quantiles: whether windows have them."""

    windows: tuple[int, ...] = (12, 48, 288)
    spans: tuple[int, ...] = (12, 48)
    lags: tuple[int, ...] = (1, 12)
    level_window: int = 288
    days: float = 30.0
    quantiles: bool = False

    @property
    def lookback(self) -> int:
        """Steps of history before the first moment to be scored."""
        return max(*self.windows, self.level_window + 1, *(7 * s for s in self.spans), *self.lags)

    @classmethod
    def for_rows(cls, n: int, step_ms: int, channels: int) -> Spec:
        """Windows a history of n steps can fill 25 times over: with fewer, the next turn of a slow feature is one
        that training has not seen, and looks like news. Few channels are each looked at in more ways."""
        windows, spans, lags = FINE if channels <= FEW else COARSE
        longest = max(12, n // 25)
        return cls(
            tuple(w for w in windows if w <= longest),
            tuple(s for s in spans if s <= longest),
            tuple(lag for lag in lags if lag <= longest),
            min(288, max(24, n // 6)),
            (n * step_ms) / DAY_MS,
            channels <= FEW,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "windows": self.windows,
            "spans": self.spans,
            "lags": self.lags,
            "level_window": self.level_window,
            "days": self.days,
            "quantiles": self.quantiles,
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Spec:
        return cls(
            tuple(given["windows"]),
            tuple(given["spans"]),
            tuple(given["lags"]),
            int(given["level_window"]),
            float(given["days"]),
            bool(given["quantiles"]),
        )


@dataclass(frozen=True)
class Past:
    """What the features of the next moments need of those before them, as far as they look back.

    values, apart: shape (c, m), of the channels and how far they were from their usual day. ewma: by span.
    """

    values: np.ndarray
    apart: np.ndarray
    ewma: tuple[tuple[np.ndarray, np.ndarray], ...]

    @classmethod
    def none(cls, spec: Spec, channels: int) -> Past:
        nothing = np.zeros(channels)
        return cls(np.empty((channels, 0)), np.empty((channels, 0)), ((nothing, nothing),) * len(spec.spans))


@dataclass(frozen=True)
class Features:
    """values: shape (d, n), NaN where a feature cannot be told yet. channel: shape (d,), GROUP for the group's own.

    residual: shape (c, n), actual less expected, in spreads; expected: shape (c, n), in the channel's unit. apart:
    shape (c, n), actual less the usual day, whatever the level.
    past: what the features of the moments that follow go on from.
    """

    names: tuple[str, ...]
    channel: np.ndarray
    values: np.ndarray
    expected: np.ndarray
    residual: np.ndarray
    apart: np.ndarray
    past: Past


def build(channels: Channels, spec: Spec, baseline: Baseline, past: Past | None = None) -> Features:
    """Every feature of every channel at every moment. past: of the moments just before these; none at the start.

    A history in one piece, in several, or a moment at a time gives the same.
    """
    c, n = channels.values.shape
    past = past or Past.none(spec, c)
    ts, now = channels.ts_ms, channels.values
    x = np.concatenate([past.values, now], axis=1)
    rhythm = baseline.usual_day(ts)
    apart = np.concatenate([past.apart, now - rhythm], axis=1)
    expected = baseline.expected_by(rhythm, apart)
    with np.errstate(invalid="ignore"):
        residual = (now - expected) / baseline.spread_at(ts)
    averages = [kernels.ewma(now, span, before) for span, before in zip(spec.spans, past.ewma, strict=True)]
    rolled = kernels.rolling(x, spec.windows, n)
    clock = _clock(ts, spec.days)
    departed = apart[:, apart.shape[1] - n :]
    parts: list[np.ndarray] = [now, residual, departed]
    parts += [kernels.difference(x, lag, n) for lag in spec.lags]
    parts += [now - mean for mean, _ in averages]
    parts += [rolled[window][name] for window in spec.windows for name in ROLLING]
    for window in spec.windows if spec.quantiles else ():
        spread = kernels.spread_out(x, window, n)
        parts += [spread[name] for name in SPREAD_OUT]
    short = spec.windows[0]
    parts += [
        kernels.flat(now, rolled[short], short),
        kernels.missing(rolled[short], x.shape[1], short),
        channels.resets,
    ]
    names, channel = _columns(tuple(one.title for one in channels.plan.channels), spec)
    # One array that is filled, instead of parts that are joined: half the memory is touched.
    values = np.empty((len(names), n))
    for number, rows in enumerate(parts):
        values[number * c : (number + 1) * c] = rows
    for number, row in enumerate(clock):
        values[len(parts) * c + number] = row
    keep = max(0, x.shape[1] - spec.lookback)
    later = Past(x[:, keep:].copy(), apart[:, keep:].copy(), tuple(after for _, after in averages))
    return Features(names, channel, values, expected, residual, departed, later)


@lru_cache(maxsize=64)
def _columns(titles: tuple[str, ...], spec: Spec) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the features, in the order they are built in, and the channels they belong to."""
    kinds = ["value", "residual", "day_residual"]
    kinds += [f"difference_{lag}" for lag in spec.lags]
    kinds += [f"ewma_residual_{span}" for span in spec.spans]
    kinds += [f"{name}_{window}" for window in spec.windows for name in ROLLING]
    if spec.quantiles:
        kinds += [f"{name}_{window}" for window in spec.windows for name in SPREAD_OUT]
    kinds += ["flat", "missing", "reset"]
    names = [f"{title}|{kind}" for kind in kinds for title in titles]
    own = [f"group|{name}_{turn}" for name, *_ in _turns(spec.days) for turn in ("sin", "cos")]
    channel = np.concatenate([np.tile(np.arange(len(titles)), len(kinds)), np.full(len(own), GROUP)])
    return tuple(names + own), channel


def _turns(days: float) -> list[tuple[str, int, int]]:
    """(name, length, where it begins) of the cycles that so many days of history can mean something for."""
    cycles = (("hour", DAY_MS, 0, 3), ("weekday", 7 * DAY_MS, 3 * DAY_MS, 14))
    return [(name, length_ms, offset_ms) for name, length_ms, offset_ms, takes in cycles if days >= takes]


def _clock(ts_ms: np.ndarray, days: float) -> list[np.ndarray]:
    """Hour and weekday as points on circles, so that Sunday's midnight is next to Monday's."""
    made = []
    for _, length_ms, offset_ms in _turns(days):
        angle = 2 * np.pi * ((ts_ms + offset_ms) % length_ms) / length_ms
        made += [np.sin(angle), np.cos(angle)]
    return made
