"""One series on a regular grid as a forecast needs it: its step, which seasons it carries, what it can never be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lib.errors import NotEnoughData

DAY_S, WEEK_S = 86_400, 604_800
# All of them divide a day or are a day: a step that does not would lose the time of day.
STEPS_S = (10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
# What a horizon is cut into: enough to see the shape of a day, few enough that a fit takes milliseconds.
MOST_STEPS = 200
# The newest so many bins are learnt from: six weeks at ten minutes.
MOST_ROWS = 6000
# A season must have been seen this often before it is believed.
DAYS_NEEDED, WEEKS_NEEDED = 2.0, 3.0
# Before it is believed it may be tried: the pattern of a week is the median of what it saw, or its only one.
WEEKS_TO_TRY = 2.0
# What is larger has a square that no number holds, and is none that was measured.
LARGEST = 1e140
# Fewer bins say nothing about the next one.
LEAST_ROWS = 24
# A quantity that was never negative is taken not to become so, but for these units.
SIGNED_UNITS = ("°C", "V", "A", "W")


@dataclass(frozen=True)
class History:
    """values: shape (n,), NaN where nothing was seen, though neither first nor last. first: number of the first bin
    since 1970, so that bin i begins at (first + i) * step_s. low, high: what values cannot pass (may be infinite)."""

    values: np.ndarray
    first: int
    step_s: int
    low: float = -math.inf
    high: float = math.inf

    def __len__(self) -> int:
        return len(self.values)

    @property
    def day(self) -> int:
        """Steps a day; 0 where a day has fewer than four, or no whole number."""
        return DAY_S // self.step_s if DAY_S % self.step_s == 0 and self.step_s * 4 <= DAY_S else 0

    @property
    def week(self) -> int:
        """Steps a week; 0 where a week has no whole number of them."""
        return WEEK_S // self.step_s if WEEK_S % self.step_s == 0 and self.step_s * 4 <= WEEK_S else 0

    @property
    def has_day(self) -> bool:
        return bool(self.day) and len(self) >= DAYS_NEEDED * self.day

    @property
    def has_week(self) -> bool:
        return bool(self.week) and self.has_day and len(self) >= WEEKS_NEEDED * self.week

    @property
    def may_have_week(self) -> bool:
        """Whether a pattern of a week can be tried on it, though it may have been chance."""
        return bool(self.week) and self.has_day and len(self) >= WEEKS_TO_TRY * self.week

    @property
    def end_ms(self) -> int:
        """Where the last bin ends and the first forecast bin begins, Unix milliseconds."""
        return (self.first + len(self)) * self.step_s * 1000

    def ts_ms(self, steps: int) -> np.ndarray:
        """The middle of each of the next bins, Unix milliseconds: shape (steps,)."""
        return self.end_ms + np.arange(steps, dtype=np.int64) * self.step_s * 1000 + self.step_s * 500

    def until(self, n: int) -> History:
        """What was known after the first n bins; trailing holes are cut off."""
        kept = self.values[:n]
        seen = np.flatnonzero(np.isfinite(kept))
        return History(kept[: seen[-1] + 1] if seen.size else kept[:0], self.first, self.step_s, self.low, self.high)

    @cached_property
    def filled(self) -> np.ndarray:
        """Without holes: the same time a day before, else the value before."""
        out = self.values.copy()
        day = self.day
        for i in np.flatnonzero(~np.isfinite(out)):
            out[i] = out[i - day] if day and i >= day else out[i - 1]
        return out

    @cached_property
    def constant(self) -> bool:
        return bool(np.nanmin(self.values) == np.nanmax(self.values))

    def within(self, values: np.ndarray) -> np.ndarray:
        return np.clip(values, self.low, self.high)


def step_of(span_s: float, least_s: float) -> int:
    """The step in seconds for a horizon of `span_s` of a series sampled every `least_s`."""
    wanted = max(span_s / MOST_STEPS, least_s)
    return next((step for step in STEPS_S if step >= wanted * 0.999), math.ceil(wanted / DAY_S) * DAY_S)


def of_bins(slots: np.ndarray, means: np.ndarray, step_s: int, unit: str = "") -> History:
    """A history from the bins that have a value. slots: bin numbers since 1970, rising; means: the value of each.

    Raises NotEnoughData for one sample, a series of nothing but NaN, and anything too short to learn from.
    """
    finite = np.isfinite(means) & (np.abs(means) < LARGEST)
    slots, means = slots[finite].astype(np.int64), means[finite].astype(np.float64)
    keep = slots > slots[-1] - MOST_ROWS if slots.size else slots.astype(bool)
    slots, means = slots[keep], means[keep]
    if slots.size < LEAST_ROWS:
        raise NotEnoughData(
            f"There are {slots.size} usable values of {_span(step_s)} each; a forecast takes at least {LEAST_ROWS}. "
            "Wait until more was collected, choose a longer history or a shorter horizon.",
            points=int(slots.size),
        )
    values = np.full(int(slots[-1] - slots[0]) + 1, np.nan)
    values[slots - slots[0]] = means
    low, high = bounds(means, unit)
    return History(values, int(slots[0]), step_s, low, high)


def bounds(values: np.ndarray, unit: str) -> tuple[float, float]:
    """What a series of this unit cannot pass: nothing below zero where nothing ever was, no share beyond 100%."""
    low = 0.0 if unit not in SIGNED_UNITS and float(values.min()) >= 0 else -math.inf
    most = {"ratio": 1.0, "%": 100.0}.get(unit)
    # Rates of busy seconds pass 1 by a rounding; what goes far beyond is no share (of several cores, say).
    if most is None or float(values.max()) > most * 1.02:
        return low, math.inf
    return low, max(most, float(values.max()))


def _span(step_s: int) -> str:
    for size, name in ((DAY_S, "day"), (3600, "hour"), (60, "minute")):
        if step_s % size == 0:
            n = step_s // size
            return f"{n} {name}{'s' if n > 1 else ''}"
    return f"{step_s} seconds"
