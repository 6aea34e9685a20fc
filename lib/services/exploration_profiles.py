"""What a series, a metric or a host is like, over a range: read here, said by lib/profiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
import pandas as pd

from lib.auth.actor import Actor, Permission
from lib.errors import NotFound
from lib.frames import Series, Window
from lib.profiling import hosts as hosts_
from lib.profiling import metric as metrics_
from lib.profiling import series as series_
from lib.profiling import shape
from lib.profiling.hosts import HostProfile
from lib.profiling.profiles import Alert, Level, MetricProfile, SeriesProfile, Sums
from lib.profiling.times import unix_ms
from lib.store.readings import Readings
from lib.store.samples import Samples
from lib.store.summaries import expired_until
from lib.store.totals import totals

P = TypeVar("P", SeriesProfile, MetricProfile, HostProfile)
# 30 days at one sample a second and a half; a profile of more would take the memory a small host has.
MAX_PROFILE_SAMPLES = 2_000_000
# Of a metric DuckDB goes through all samples a few times, which takes about a second for so many.
MAX_METRIC_SAMPLES = 5_000_000
# What goes from sample to sample takes some hundred bytes of each.
PART_SAMPLES = 500_000
# Moments at which series are held against each other; at least hourly, which rhythms are read from.
HOST_POINTS = 1000
# Bucket widths a reader can name, in seconds.
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)


class Profiles:
    """The part of Exploration that describes."""

    samples: Samples
    readings: Readings
    clock: Callable[[], datetime]

    def profile(self, actor: Actor, series_id: int, window: Window | None = None) -> SeriesProfile:
        """What one series is like, over `window` or all of its history. Raises NotFound."""
        actor.require(Permission.VIEW)
        found = self.samples.find(ids=[series_id])
        if not found:
            raise NotFound(f"No series has the id {series_id}; it may have been removed with its source.")
        whole = window or self._whole([series_id])
        extent = self.readings.extent([series_id], whole)
        truncated = len(extent) > 0 and int(extent["count"][0]) > MAX_PROFILE_SAMPLES
        reading = whole
        if truncated:
            last, step_s = extent["last"][0].to_pydatetime(), float(extent["interval_s"][0])
            start = max(whole.start, last - timedelta(seconds=step_s * MAX_PROFILE_SAMPLES))
            reading = Window(start, whole.end)
        frame = self.samples.read([series_id], reading)
        made = series_.profile(found[0], frame, reading, self.clock(), truncated=truncated)
        return self._honest(replace(made, sums=self._sums(found, whole)), whole)

    def profile_metric(
        self, actor: Actor, metric: str, window: Window | None = None, host: str | None = None
    ) -> MetricProfile:
        """What all series of a metric (of one host) are like together. Raises NotFound."""
        actor.require(Permission.VIEW)
        found = self.samples.find(metric=metric, host=host)
        if not found:
            on = f" on {host!r}" if host else ""
            raise NotFound(f"No metric named {metric!r} is stored{on}; choose one from the list on the Explore page.")
        ids, counters = [one.id for one in found], found[0].kind == "counter"
        whole = window or self._whole(ids)
        table = self.readings.extent(ids, whole)
        reading, truncated = self._bearable(table, whole)
        together = self._together(metric, found, reading)
        quality = self._in_parts(table, lambda some: self.readings.quality(some, reading))
        spread = self.readings.spread(self._parts(table), reading, shape.QUANTILES, counters=counters)
        made = metrics_.profile(
            metric,
            found,
            table,
            self.clock(),
            together=together,
            distribution=shape.Distribution(**spread),
            resets=int(quality["resets"].sum()) if counters else 0,
            duplicates=int(quality["repeated"].sum()),
            described=reading if truncated else None,
        )
        return self._honest(replace(made, sums=self._sums(found, whole)), whole)

    def profile_host(self, actor: Actor, host: str, window: Window, source_id: int | None = None) -> HostProfile:
        """What all series of a host are like together. Raises NotFound."""
        actor.require(Permission.VIEW)
        found = self.samples.find(host=host, source_id=source_id)
        if not found:
            raise NotFound(f"Nothing is stored of a host named {host!r}; choose one from the list.")
        return self._honest(self._together(host, found, window), window)

    def _together(self, name: str, found: Sequence[Series], window: Window) -> HostProfile:
        ids = [one.id for one in found]
        table = self.readings.extent(ids, window)
        missing = self._in_parts(table, lambda some: self.readings.missing(some, window))
        table = table.merge(missing, on="series_id", how="left")
        table["missing"] = table["missing"].fillna(0)
        related = set(hosts_.to_relate(found, table))
        step_ms = next((step for step in STEPS_S if window.span.total_seconds() / step <= HOST_POINTS), 3600) * 1000
        parts = [
            self.readings.buckets(of_kind, window, min(step_ms, 3_600_000), counters=counters)
            for counters in (False, True)
            if (of_kind := [one.id for one in found if one.id in related and (one.kind == "counter") is counters])
        ]
        wide = pd.DataFrame()
        if parts:
            long = pd.concat(parts, ignore_index=True)
            wide = long.assign(t=unix_ms(long["ts"])).pivot(index="t", columns="series_id", values="mean")
        return hosts_.profile(name, found, table, wide, window, self.clock())

    def _in_parts(self, table: pd.DataFrame, ask: Callable[[list[int]], pd.DataFrame]) -> pd.DataFrame:
        """What a query that goes from sample to sample says of some series after the other: all at once it takes half a
        gigabyte. table: extents."""
        made = [ask(some) for some in self._parts(table)]
        return pd.concat(made, ignore_index=True) if made else ask([])

    def _parts(self, table: pd.DataFrame) -> list[list[int]]:
        """Ids of series that may be asked about together. table: extents."""
        part = table["count"].cumsum() // PART_SAMPLES
        return [some.tolist() for _, some in table["series_id"].groupby(part)]

    def _bearable(self, table: pd.DataFrame, window: Window) -> tuple[Window, bool]:
        """The newest part of a window that holds about as many samples as may be gone through, and whether it is less
        than the window. table: extents."""
        count = int(table["count"].sum())
        if count <= MAX_METRIC_SAMPLES:
            return window, False
        first, last = table["first"].min().to_pydatetime(), table["last"].max().to_pydatetime()
        return Window(last - (last - first) * (MAX_METRIC_SAMPLES / count), window.end), True

    def _sums(self, series: Sequence[Series], window: Window) -> Sums | None:
        """Of the whole window what sums of expired days can say exactly; None where nothing has expired."""
        kinds = by_kind(series)
        found = totals(self.samples.store, kinds[False], kinds[True], window)
        if found is None:
            return None
        table, counters = found.table, series[0].kind == "counter"
        count = int(table["count"].sum())
        return Sums(
            window=found.window,
            slot_s=found.slot_ms / 1000,
            count=count,
            mean=None
            if counters
            else float(np.clip(table["total"].sum() / count, table["min"].min(), table["max"].max())),
            low=None if counters else float(table["min"].min()),
            high=None if counters else float(table["max"].max()),
            increase=float(table["increase"].sum()) if counters else None,
        )

    def _honest(self, profile: P, window: Window) -> P:
        """The profile, and where it begins when samples of the window have expired: sums know no quantiles, gaps or
        rhythms, so these are of what is left."""
        until = expired_until(self.samples.store, window)
        if until is None:
            return profile
        alert = Alert(
            "expired",
            Level.INFO,
            f"The samples before {until:%Y-%m-%d} UTC have expired; this describes those after.",
            ("Whole range has what their sums say exactly. " if getattr(profile, "sums", None) else "")
            + "Explore shows the time before from sums. AUTOOPS_ARCHIVE_RAW_DAYS says how long samples are kept.",
        )
        return replace(profile, alerts=(*profile.alerts, alert))

    def _whole(self, ids: Sequence[int]) -> Window:
        """From the first to just after the last sample of these series; an empty window when there is none."""
        stats = [one for one in self.samples.stats(ids) if one.first and one.last]
        if not stats:
            return Window(self.clock(), self.clock())
        first = min(one.first for one in stats if one.first)
        last = max(one.last for one in stats if one.last)
        return Window(first, last + timedelta(milliseconds=1))


def by_kind(series: Sequence[Series]) -> dict[bool, list[int]]:
    """Ids of gauges (False) and of counters (True)."""
    return {kind: [one.id for one in series if (one.kind == "counter") is kind] for kind in (False, True)}
