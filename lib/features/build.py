"""The features a detector learns from: one definition for a whole history and for its newest samples.

Each feature looks back at most `Spec.lookback` steps (EWMA weights beyond it are below 1e-6), so scoring
the newest samples takes that much history and gives what scoring everything would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lib.features import kernels
from lib.features.baseline import DAY_MS, Baseline
from lib.features.channels import Channels

GROUP = -1  # the channel number of features that belong to the group as a whole


@dataclass(frozen=True)
class Spec:
    """windows: steps of the rolling statistics. spans: of the EWMAs. lags: of the differences. days: of history,
    which decides whether the hour and the weekday can mean anything yet."""

    windows: tuple[int, ...] = (12, 48, 288)
    spans: tuple[int, ...] = (12, 48)
    lags: tuple[int, ...] = (1, 12)
    level_window: int = 288
    days: float = 30.0

    @property
    def lookback(self) -> int:
        """Steps of history before the first moment to be scored."""
        return max(*self.windows, self.level_window + 1, *(7 * s for s in self.spans), *self.lags)

    @classmethod
    def for_rows(cls, n: int, step_ms: int) -> Spec:
        """Windows a history of n steps can fill 25 times over: with fewer, the next turn of a slow feature is one
        that training has not seen, and looks like news."""
        windows = tuple(w for w in (12, 48, 288) if w <= max(12, n // 25))
        spans = tuple(s for s in (12, 48) if s <= max(12, n // 25))
        return cls(windows, spans, (1, 12), min(288, max(24, n // 6)), (n * step_ms) / DAY_MS)

    def to_json(self) -> dict[str, Any]:
        return {
            "windows": self.windows,
            "spans": self.spans,
            "lags": self.lags,
            "level_window": self.level_window,
            "days": self.days,
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Spec:
        return cls(
            tuple(given["windows"]),
            tuple(given["spans"]),
            tuple(given["lags"]),
            int(given["level_window"]),
            float(given["days"]),
        )


@dataclass(frozen=True)
class Features:
    """values: shape (d, n), NaN where a feature cannot be told yet. channel: shape (d,), GROUP for the group's own.

    residual: shape (c, n), actual less expected, in spreads; expected: shape (c, n), in the channel's unit.
    """

    names: tuple[str, ...]
    channel: np.ndarray
    values: np.ndarray
    expected: np.ndarray
    residual: np.ndarray


def build(channels: Channels, spec: Spec, baseline: Baseline) -> Features:
    """Every feature of every channel at every moment."""
    x, ts = channels.values, channels.ts_ms
    expected = baseline.expected(ts, x)
    rhythm = baseline.usual_day(ts)
    with np.errstate(invalid="ignore"):
        residual = (x - expected) / baseline.spread_at(ts)
    # Several columns of one kind at a time: (name, rows of shape (c, n)).
    parts: list[tuple[str, np.ndarray]] = [("value", x), ("residual", residual), ("day_residual", x - rhythm)]
    parts += [(f"difference_{lag}", kernels.difference(x, lag)) for lag in spec.lags]
    parts += [(f"ewma_residual_{span}", x - kernels.ewma(x, span)) for span in spec.spans]
    for window in spec.windows:
        parts += [(f"{name}_{window}", rows) for name, rows in kernels.rolling(x, window).items()]
    short = spec.windows[0]
    parts += [
        ("flat", kernels.flat(x, short)),
        ("missing", kernels.missing_share(x, short)),
        ("reset", channels.resets.astype(float)),
    ]
    titles = [c.title for c in channels.plan.channels]
    names = [f"{title}|{name}" for name, _ in parts for title in titles]
    owner = np.tile(np.arange(len(titles)), len(parts))
    clock = _clock(ts, spec.days)
    names += [f"group|{name}" for name in clock]
    values = np.concatenate([rows for _, rows in parts] + [row[None, :] for row in clock.values()])
    channel = np.concatenate([owner, np.full(len(clock), GROUP)])
    return Features(tuple(names), channel, values, expected, residual)


def _clock(ts_ms: np.ndarray, days: float) -> dict[str, np.ndarray]:
    """Hour and weekday as points on circles, so that Sunday's midnight is next to Monday's."""
    made: dict[str, np.ndarray] = {}
    for name, length_ms, offset_ms, takes in (("hour", DAY_MS, 0, 3), ("weekday", 7 * DAY_MS, 3 * DAY_MS, 14)):
        if days >= takes:
            angle = 2 * np.pi * ((ts_ms + offset_ms) % length_ms) / length_ms
            made |= {f"{name}_sin": np.sin(angle), f"{name}_cos": np.cos(angle)}
    return made
