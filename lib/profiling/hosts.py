"""What all series of a host are like together: which are silent, still or the same, and which move together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd

from lib.frames import Series, Window
from lib.profiling import relations, shape
from lib.profiling.alerts import ONE_SAMPLE
from lib.profiling.metric import label_profiles
from lib.profiling.profiles import Alert, LabelProfile, Level, SeriesRow
from lib.profiling.relations import Relation
from lib.profiling.series import is_stale
from lib.profiling.titles import short_titles
from lib.profiling.units import unit_of
from lib.profiling.words import duration

# Pairs grow with the square: 300 series are 45,000 of them and half a second.
MOST_RELATED = 300
MANY_SERIES = 2000
# Correlated as closely as this, two series are one with another name.
SAME = 0.9999
SOME_MISSING, MUCH_MISSING = 0.01, 0.2


@dataclass(frozen=True)
class Candidate:
    """The series most worth predicting, and why."""

    title: str
    series_id: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class HostProfile:
    """rows: one a series, those with trouble first. same: groups of series that say the same thing.

    related: how many series the relations were looked for among.
    """

    host: str
    window: Window
    metrics: int
    samples: int
    first: datetime | None
    last: datetime | None
    rows: tuple[SeriesRow, ...]
    labels: tuple[LabelProfile, ...]
    shared: Mapping[str, str]
    relations: tuple[Relation, ...]
    same: tuple[tuple[str, ...], ...]
    related: int
    target: Candidate | None = None
    alerts: tuple[Alert, ...] = ()

    @property
    def missing_share(self) -> float:
        missing, bad = sum(row.missing for row in self.rows), sum(row.non_finite for row in self.rows)
        return _share(missing, self.samples + missing - bad)

    def count(self, what: str) -> int:
        """How many series are `silent` or `constant`."""
        return sum(1 for row in self.rows if getattr(row, what))


def to_relate(series: Sequence[Series], table: pd.DataFrame) -> list[int]:
    """Ids of the series whose relations are looked for: those that move, spread evenly when there are too many."""
    moving = set(table.loc[(table["min"] < table["max"]) & (table["count"] >= relations.LEAST_ROWS), "series_id"])
    ids = [one.id for one in series if one.id in moving]
    return ids[:: max(1, -(-len(ids) // MOST_RELATED))]


def profile(
    host: str,
    series: Sequence[Series],
    table: pd.DataFrame,
    buckets: pd.DataFrame,
    window: Window,
    now: datetime,
) -> HostProfile:
    """Everything there is to say about a host.

    table: one row a series with samples: series_id, count, first, last (UTC), min, max, non_finite, interval_s,
    missing. buckets: a row a moment (index: Unix ms), a column a series id, as read (counters as rates), NaN for none.
    """
    titles = short_titles(series)
    by_id = {row.series_id: row for row in table.itertuples()}
    rows = [_row(one, titles[one.id], by_id.get(one.id), buckets, now) for one in series]
    values = {i: buckets[i].to_numpy(dtype=np.float64) for i in buckets.columns}
    names = [titles[i] for i in values]
    codes = [relations.classes(value) for value in values.values()] if len(values) <= 60 else None
    pairs = relations.strongest(names, list(values.values()), codes, most=5000)
    same = _groups([(one.first, one.second) for one in pairs if abs(one.pearson or 0) >= SAME])
    told = tuple(one for one in pairs if abs(one.pearson or 0) < SAME)[:50]
    labels, shared = label_profiles(series)
    found = HostProfile(
        host=host,
        window=window,
        metrics=len({one.metric for one in series}),
        samples=int(table["count"].sum()),
        first=table["first"].min().to_pydatetime() if len(table) else None,
        last=table["last"].max().to_pydatetime() if len(table) else None,
        rows=tuple(sorted(rows, key=lambda row: (-row.silent, -row.missing_share, row.title))),
        labels=labels,
        shared=shared,
        relations=told,
        same=same,
        related=len(names),
    )
    found = replace(found, target=_target(found))
    return replace(found, alerts=_alerts(found))


def _row(series: Series, title: str, known: object, buckets: pd.DataFrame, now: datetime) -> SeriesRow:
    unit = unit_of(series.metric, series.kind)
    if known is None:
        return SeriesRow(series.id, title, series.metric, series.kind, unit, 0, 0, 0.0, None, None, False, False, 0)
    interval_s = None if pd.isna(known.interval_s) else float(known.interval_s)  # type: ignore[attr-defined]
    count, missing = int(known.count), int(known.missing)  # type: ignore[attr-defined]
    non_finite = int(known.non_finite)  # type: ignore[attr-defined]
    age_s = (now - known.last).total_seconds()  # type: ignore[attr-defined]
    row = SeriesRow(
        series_id=series.id,
        title=title,
        metric=series.metric,
        kind=series.kind,
        unit=unit,
        count=count,
        missing=missing,
        # What is no number is among the samples that are there, and among those that are missing.
        missing_share=_share(missing, count + missing - non_finite),
        interval_s=interval_s,
        age_s=age_s,
        silent=is_stale(age_s, interval_s),
        constant=count > 1 and known.min == known.max,  # type: ignore[attr-defined]
        non_finite=non_finite,
    )
    if series.id not in buckets.columns:
        return row
    ts_ms, value = buckets.index.to_numpy(dtype=np.int64), buckets[series.id].to_numpy(dtype=np.float64)
    line, rhythm = shape.trend(ts_ms, value), shape.rhythm(ts_ms, value)
    return replace(row, daily=rhythm.daily, weekly=rhythm.weekly, trend=line.explained if line else None)


def _share(some: int, of: int) -> float:
    return some / of if of else 0.0


def _groups(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Pairs joined to groups."""
    of: dict[str, set[str]] = {}
    for first, second in pairs:
        joined = of.get(first, {first}) | of.get(second, {second})
        for name in joined:
            of[name] = joined
    return tuple(sorted({tuple(sorted(group)) for group in of.values()}))


def _target(found: HostProfile) -> Candidate | None:
    """A live, complete, moving series that the clock and other series tell about: worth forecasting and watching."""
    told: dict[str, tuple[float, str]] = {}
    for one in found.relations:
        for name, other in ((one.first, one.second), (one.second, one.first)):
            if one.strength > told.get(name, (0.0, ""))[0]:
                told[name] = (one.strength, other)
    best: tuple[float, Candidate] | None = None
    for row in found.rows:
        if row.silent or row.constant or not row.count or row.missing_share > MUCH_MISSING:
            continue
        score, reasons = 0.0, []
        if row.daily is not None and row.daily >= 0.2:
            score += row.daily
            reasons.append(f"the time of day explains {row.daily:.0%} of it")
        strength, other = told.get(row.title, (0.0, ""))
        if strength >= 0.3:
            score += strength
            reasons.append(f"it moves with {other} ({strength:.2f} of 1)")
        if row.unit in ("ratio", "%", "s") or "load" in row.metric or "available" in row.metric.lower():
            score += 0.3
            reasons.append("it says how loaded the machine is")
        if reasons and (best is None or score > best[0]):
            best = (score, Candidate(row.title, row.series_id, tuple(reasons)))
    return best[1] if best else None


def _alerts(found: HostProfile) -> tuple[Alert, ...]:
    alerts = []

    def add(code: str, level: Level, sentence: str, remedy: str) -> None:
        alerts.append(Alert(code, level, sentence, remedy))

    total = len(found.rows)
    if not found.samples:
        remedy = "Widen the range, or check on the Sources page when it was last collected."
        return (Alert("empty", Level.WARNING, "None of its series has a sample in this range.", remedy),)
    if silent := found.count("silent"):
        add(
            "stale",
            Level.ERROR if silent == total else Level.WARNING,
            f"{silent:,} of {total:,} series {'has' if silent == 1 else 'have'} gone silent.",
            "The device or its exporter may be gone, or a part of it: check the source on the Sources page.",
        )
    if found.missing_share >= SOME_MISSING:
        add(
            "gaps",
            Level.WARNING if found.missing_share >= MUCH_MISSING else Level.INFO,
            f"{found.missing_share:.1%} of the samples there should be are missing or no number.",
            "Charts break there and learning skips them. Backfill on the Sources page while the source has them.",
        )
    if all(row.count <= 1 for row in found.rows):
        add("one_sample", Level.INFO, *ONE_SAMPLE)
    if total > MANY_SERIES:
        widest = f", {found.labels[0].distinct:,} values of {found.labels[0].label} among them" if found.labels else ""
        add(
            "cardinality",
            Level.WARNING,
            f"{total:,} series{widest}.",
            "Collect an expression that sums over that label instead, such as sum without (label) (metric).",
        )
    if bad := sum(row.non_finite for row in found.rows):
        add(
            "non_finite",
            Level.WARNING,
            f"{bad:,} of {found.samples:,} values are no number (NaN or infinite).",
            "They are left out of charts and learning; a division by zero in the exporter is the usual cause.",
        )
    if constant := found.count("constant"):
        add(
            "constant",
            Level.INFO,
            f"{constant:,} of {total:,} series never changed.",
            "Fine for limits and versions; detectors leave them out. Stop collecting what nobody looks at.",
        )
    if found.same:
        first = ", ".join(found.same[0][:3])
        add(
            "same",
            Level.INFO,
            f"{sum(len(group) - 1 for group in found.same):,} series repeat another one, such as {first}.",
            "Collect one of each group; detectors watch one anyway.",
        )
    intervals = sorted(row.interval_s for row in found.rows if row.interval_s)
    if intervals and intervals[-1] > 4 * intervals[0]:
        add(
            "intervals",
            Level.INFO,
            f"Its series come at paces from {duration(intervals[0])} to {duration(intervals[-1])}.",
            "What comes rarely is held against what comes often; align the scrape intervals where you can.",
        )
    order = {Level.ERROR: 0, Level.WARNING: 1, Level.INFO: 2}
    return tuple(sorted(alerts, key=lambda alert: order[alert.level]))
