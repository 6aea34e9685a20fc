"""What a profile says: of one series, of one metric, and the alerts that come with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np

from lib.frames import Series, Window
from lib.profiling import shape
from lib.profiling.gaps import Gap
from lib.profiling.relations import Relation


class Level(StrEnum):
    """How much an alert matters."""

    ERROR = "error"  # what is shown or learned from this series will be wrong
    WARNING = "warning"  # worth a look
    INFO = "info"  # good to know


@dataclass(frozen=True)
class Alert:
    """code: stable, for tests and the API. sentence: what was found. remedy: what to try."""

    code: str
    level: Level
    sentence: str
    remedy: str


@dataclass(frozen=True)
class Sums:
    """What is exact of a range whose older samples have expired: from samples, and from sums of slot_s before.

    window: what of the range whole slots fill. count, mean, low, high: of finite values; the last three are None for
    counters. increase: how much counters grew from the last sample before the window, resets minded; None for gauges.
    """

    window: Window
    slot_s: float
    count: int
    mean: float | None
    low: float | None
    high: float | None
    increase: float | None


@dataclass(frozen=True)
class SeriesProfile:
    """count: all samples, NaN and Inf included. values (distribution, trend, rhythm): rate per second for counters.

    interval_s: median time between samples. missing: samples the gaps would have held. age_s: from the last sample
    to now. stale: older than three intervals and two minutes. resets: of a counter; 0 for gauges. sums: of a range
    whose older samples have expired; all else is of the samples that are left.
    """

    series: Series
    unit: str
    window: Window
    count: int
    first: datetime | None = None
    last: datetime | None = None
    last_value: float | None = None
    interval_s: float | None = None
    age_s: float | None = None
    stale: bool = False
    gaps: tuple[Gap, ...] = ()
    missing: int = 0
    nan: int = 0
    infinite: int = 0
    duplicates: int = 0
    resets: int = 0
    constant: bool = False
    distribution: shape.Distribution = field(default_factory=lambda: shape.distribution(np.empty(0)))
    trend: shape.Trend | None = None
    rhythm: shape.Rhythm = field(default_factory=lambda: shape.rhythm(np.empty(0, np.int64), np.empty(0)))
    truncated: bool = False
    sums: Sums | None = None
    alerts: tuple[Alert, ...] = ()

    @property
    def longest_gap_s(self) -> float:
        return max((gap.seconds for gap in self.gaps), default=0.0)

    @property
    def missing_share(self) -> float:
        """Of the samples there should have been, how many are not there (0..1)."""
        expected = self.count + self.missing
        return self.missing / expected if expected else 0.0


@dataclass(frozen=True)
class LabelProfile:
    """One label of a metric: how many values it has, and those that most series carry (value -> series)."""

    label: str
    distinct: int
    top: Mapping[str, int]


@dataclass(frozen=True)
class SeriesRow:
    """One series in the table of a host or a metric. missing: samples its gaps would have held, and what is no number.

    missing_share, daily, weekly, trend: 0..1; None where history is too short to say.
    """

    series_id: int
    title: str
    metric: str
    kind: str
    unit: str
    count: int
    missing: int
    missing_share: float
    interval_s: float | None
    age_s: float | None
    silent: bool
    constant: bool
    non_finite: int
    daily: float | None = None
    weekly: float | None = None
    trend: float | None = None


@dataclass(frozen=True)
class MetricProfile:
    """All series of a metric together. labels: most values first, labels every series shares left out.

    shared: labels that have one and the same value everywhere. sums: of a range whose older samples have expired.
    distribution: of all readings together, counters as rate per second. missing: samples the gaps would have held, and
    what is no number. rows: one a series, those with trouble first. relations: what moves together, among the `related`
    series that move; same: groups of series that say the same thing. described: the newest part, where distribution,
    missing, rows and all that follows are of no more than that; None: of the whole range.
    """

    metric: str
    kind: str
    unit: str
    series: int
    hosts: int
    samples: int
    first: datetime | None
    last: datetime | None
    labels: tuple[LabelProfile, ...]
    shared: Mapping[str, str]
    silent: tuple[Series, ...]
    constant: int
    non_finite: int
    distribution: shape.Distribution = field(default_factory=lambda: shape.distribution(np.empty(0)))
    missing: int = 0
    missing_share: float = 0.0
    resets: int = 0
    duplicates: int = 0
    rows: tuple[SeriesRow, ...] = ()
    relations: tuple[Relation, ...] = ()
    same: tuple[tuple[str, ...], ...] = ()
    related: int = 0
    described: Window | None = None
    sums: Sums | None = None
    alerts: tuple[Alert, ...] = ()
