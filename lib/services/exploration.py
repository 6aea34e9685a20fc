"""Looking at what is stored: catalogue, chart data, statistics, profiles, exports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from lib.auth.actor import Actor, Permission
from lib.errors import Invalid
from lib.frames import Series, Window, from_ms
from lib.profiling.gaps import GAP_FACTOR, break_lines
from lib.profiling.rates import rate
from lib.profiling.statistics import at_hand
from lib.profiling.times import unix_ms
from lib.profiling.titles import short_titles
from lib.profiling.units import unit_of
from lib.services.exploration_profiles import STEPS_S, Profiles, by_kind
from lib.services.export import Format, write
from lib.settings import Settings
from lib.store.readings import Readings
from lib.store.samples import Samples
from lib.store.summaries import Summaries, Summed, expired_until
from lib.store.totals import Totals, totals

# More lines than this nobody can tell apart, and the browser would notice.
MAX_CHART_SERIES = 50
# About 60 MB of CSV: what a browser downloads without trouble and a spreadsheet still opens.
MAX_EXPORT_ROWS = 1_000_000
# Up to here numpy has the numbers of a table before DuckDB has planned its queries for them (3 ms against 10).
FEW_SAMPLES = 20_000
# What stands for a host in one small line, best first.
PULSES = ("node_load1", "node_memory_MemAvailable_bytes", "up")


@dataclass(frozen=True)
class ChartLine:
    """One line. ts_ms: int64 Unix ms, shape (n,); value, low, high: shape (n,), NaN where the line breaks.

    low, high: least and most of each bucket; None when every reading is shown.
    """

    series: Series
    title: str
    ts_ms: np.ndarray
    value: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


@dataclass(frozen=True)
class ChartData:
    """Lines ready to draw. step_s: width of a bucket, 0 when every reading is shown. rate: counters, per second.

    samples: stored in the window; non_finite: of those, NaN or infinite and therefore not drawn. tiers: which sums
    whole days were drawn from ('5m', '1h'); expired: days of the window of which only sums are left.
    """

    lines: tuple[ChartLine, ...]
    window: Window
    unit: str
    step_s: float
    rate: bool
    samples: int
    non_finite: int
    as_of: datetime
    tiers: tuple[str, ...] = ()
    expired: int = 0

    @property
    def points(self) -> int:
        return sum(line.ts_ms.size for line in self.lines)


@dataclass(frozen=True)
class Overview:
    """What is stored, in numbers. pulse: samples in each whole minute of the last hour, oldest first."""

    sources: int
    series: int
    metrics: int
    hosts: int
    samples: int
    oldest: datetime | None
    newest: datetime | None
    newest_age_s: float | None
    storage_bytes: int
    pulse: tuple[int, ...]
    as_of: datetime


class Exploration(Profiles):
    """Profiles are in a module of their own."""

    def __init__(self, settings: Settings, samples: Samples, clock: Callable) -> None:
        self.settings, self.samples, self.clock = settings, samples, clock
        self.readings = Readings(samples.store, GAP_FACTOR)
        self.summaries = Summaries(self.readings)

    # --- catalogue ---------------------------------------------------------------------------

    def metrics(self, actor: Actor, source_id: int | None = None) -> pd.DataFrame:
        """metric, kind, unit, series, hosts, first, last: one row a metric."""
        actor.require(Permission.VIEW)
        table = self.samples.metrics(source_id)
        units = [unit_of(row.metric, row.kind) for row in table.itertuples()]
        table.insert(2, "unit", pd.Series(units, dtype="str", index=table.index))
        return table

    def hosts(self, actor: Actor, source_id: int | None = None) -> pd.DataFrame:
        """source_id, host, series, first, last: one row a host."""
        actor.require(Permission.VIEW)
        return self.samples.hosts(source_id)

    def source_ids(self, actor: Actor) -> list[int]:
        """Sources that have series."""
        actor.require(Permission.VIEW)
        return sorted({one.source_id for one in self.samples.find()})

    def find(
        self,
        actor: Actor,
        metric: str | None = None,
        host: str | None = None,
        labels: Mapping[str, str | Sequence[str]] | None = None,
        source_id: int | None = None,
        ids: Sequence[int] | None = None,
    ) -> list[Series]:
        """Series that match all that is given; of several values of one label any will do."""
        actor.require(Permission.VIEW)
        wanted = {name: {value} if isinstance(value, str) else set(value) for name, value in (labels or {}).items()}
        found = self.samples.find(source_id=source_id, metric=metric, host=host, ids=ids)
        return [one for one in found if all(one.labels.get(name, "") in values for name, values in wanted.items())]

    def living_first(self, actor: Actor, series: Sequence[Series], window: Window) -> list[Series]:
        """The same series, those with samples around the window before those that ended before it or began after."""
        actor.require(Permission.VIEW)
        living = self.samples.meeting([one.id for one in series], window)
        return sorted(series, key=lambda one: one.id not in living)

    def label_values(
        self, actor: Actor, metric: str, source_id: int | None = None, host: str | None = None
    ) -> dict[str, list[str]]:
        """Label -> its values, sorted, for labels that tell this metric's series apart."""
        actor.require(Permission.VIEW)
        found: dict[str, set[str]] = {}
        for series in self.samples.find(source_id=source_id, metric=metric, host=host):
            for name, value in series.labels.items():
                found.setdefault(name, set()).add(value)
        return {name: sorted(values) for name, values in sorted(found.items()) if len(values) > 1}

    # --- charts and numbers ------------------------------------------------------------------

    def chart(self, actor: Actor, series_ids: Sequence[int], window: Window, max_points: int = 1000) -> ChartData:
        """Lines of at most `max_points` points together: every reading while they are few, else least, mean and most
        of equal buckets. Counters as rate per second. Lines break where samples are missing. Raises Invalid for more
        than 50 series."""
        actor.require(Permission.VIEW)
        if len(series_ids) > MAX_CHART_SERIES:
            raise Invalid(
                f"A chart takes {MAX_CHART_SERIES} series and {len(series_ids)} were asked for; "
                "narrow them by host or label."
            )
        series = self.samples.find(ids=list(series_ids))
        ids = [one.id for one in series]
        gone = expired_until(self.samples.store, window) is not None
        few = None if gone else self.readings.few(ids, window, max_points)
        summed = None
        if few is not None:
            lines, step_ms = self._every_reading(series, few), 0
            samples, non_finite = len(few), int((~np.isfinite(few["value"])).sum())
        else:
            summed = self._summed(series, window, max_points)
            extent = summed.extent if summed else self.readings.extent(ids, window)
            step_ms = summed.step_ms if summed else _step_ms(extent, max_points)
            buckets = summed.buckets if summed else self._buckets(series, window, step_ms)
            lines = _bucket_lines(series, buckets, step_ms, extent)
            samples, non_finite = int(extent["count"].sum()), int(extent["non_finite"].sum())
        units = {unit_of(one.metric, one.kind) for one in series}
        return ChartData(
            lines=tuple(lines),
            window=window,
            unit=units.pop() if len(units) == 1 else "",
            step_s=step_ms / 1000,
            rate=any(one.kind == "counter" for one in series),
            samples=samples,
            non_finite=non_finite,
            as_of=self.clock(),
            tiers=summed.tiers if summed else (),
            expired=summed.expired if summed else 0,
        )

    def statistics(self, actor: Actor, series_ids: Sequence[int], window: Window) -> pd.DataFrame:
        """series_id, count, min, mean, max, last, p50, p95, peak_ts, missing, unit: one row a series, in the order
        asked. Counters as rate per second. missing: NaN, Inf, and samples the gaps would have held. A series without
        readings has a count of 0 and NaN elsewhere. Where samples have expired p50 and p95 are NaN: sums do not know
        them."""
        actor.require(Permission.VIEW)
        series = {one.id: one for one in self.samples.find(ids=list(series_ids))}
        ids = [series_id for series_id in dict.fromkeys(series_ids) if series_id in series]
        kinds = by_kind([series[i] for i in ids])
        gone = expired_until(self.samples.store, window) is not None
        few = self.readings.few(ids, window, FEW_SAMPLES)
        if few is not None:
            table = at_hand([series[i] for i in ids], few)
            return self._with_sums(table, kinds, window) if gone else table
        parts = [
            self.readings.statistics(of_kind, window, counters=counters)
            for counters, of_kind in kinds.items()
            if of_kind or not counters
        ]
        table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
        missing = self.readings.missing(ids, window)
        table = pd.DataFrame({"series_id": pd.Series(ids, dtype="int32")}).merge(table, on="series_id", how="left")
        table = table.merge(missing, on="series_id", how="left")
        table["count"] = table["count"].fillna(0).astype("int64")
        table["missing"] = table["missing"].fillna(0).astype("int64")
        table["unit"] = pd.Series([unit_of(series[i].metric, series[i].kind) for i in ids], dtype="str")
        return self._with_sums(table, kinds, window) if gone else table

    def _with_sums(self, table: pd.DataFrame, kinds: dict[bool, list[int]], window: Window) -> pd.DataFrame:
        """What is said of samples, said of expired days' sums as well."""
        summed = self.summaries.buckets(kinds[False], kinds[True], window, lambda _first: 300_000)
        if summed is None or summed.buckets.empty:
            return table
        buckets = summed.buckets.assign(total=summed.buckets["mean"] * summed.buckets["count"])
        grouped = buckets.groupby("series_id")
        found = grouped.agg(count=("count", "sum"), min=("min", "min"), max=("max", "max"), total=("total", "sum"))
        found["mean"] = (found["total"] / found["count"]).clip(found["min"], found["max"])
        found["peak_ts"] = buckets.loc[grouped["max"].idxmax(), ["series_id", "ts"]].set_index("series_id")["ts"]
        found = found.reindex(table["series_id"]).reset_index()
        known = found["count"].notna()
        for name in ("min", "mean", "max", "peak_ts"):
            table[name] = table[name].where(~known, found[name])
        table["count"] = table["count"].where(~known, found["count"]).astype("int64")
        return table.assign(p50=np.nan, p95=np.nan)

    def expired_until(self, actor: Actor, window: Window) -> datetime | None:
        """Before when samples of this window have expired, so that only sums of them are left; None: none have."""
        actor.require(Permission.VIEW)
        return expired_until(self.samples.store, window)

    def totals(self, actor: Actor, series: Sequence[Series], window: Window) -> Totals | None:
        """Numbers of a window whose older samples have expired, their sums taken in; None where none have expired, or
        sums do not say it exactly."""
        actor.require(Permission.VIEW)
        kinds = by_kind(series)
        return totals(self.samples.store, kinds[False], kinds[True], window)

    # --- export and overview -----------------------------------------------------------------

    def export(self, actor: Actor, series_ids: Sequence[int], window: Window, format: str = "csv") -> bytes:
        """Raw samples as a file's bytes. Raises Invalid above a million rows or for an unknown format."""
        actor.require(Permission.VIEW)
        if format not in set(Format):
            raise Invalid(f"{format!r} is no export format; there are {', '.join(Format)}.")
        series = self.samples.find(ids=list(series_ids))
        ids = [one.id for one in series]
        rows = int(self.readings.extent(ids, window)["count"].sum())
        if rows > MAX_EXPORT_ROWS:
            raise Invalid(
                f"{rows:,} samples are more than one download takes ({MAX_EXPORT_ROWS:,}); "
                "choose a shorter range or fewer series.",
                rows=rows,
            )
        if not rows and (until := expired_until(self.samples.store, window)):
            raise Invalid(
                f"The samples before {until:%Y-%m-%d} UTC have expired; only their sums are kept, which charts show."
            )
        return write(self.samples.read(ids, window), series, Format(format))

    def overview(self, actor: Actor, now: datetime | None = None) -> Overview:
        """What is stored, in numbers."""
        actor.require(Permission.VIEW)
        now = now or self.clock()
        series = self.samples.find()
        samples, oldest, newest = self.readings.totals()
        return Overview(
            sources=len({one.source_id for one in series}),
            series=len(series),
            metrics=len({one.metric for one in series}),
            hosts=len({(one.source_id, one.host) for one in series if one.host}),
            samples=samples,
            oldest=from_ms(oldest) if oldest is not None else None,
            newest=from_ms(newest) if newest is not None else None,
            newest_age_s=(now - from_ms(newest)).total_seconds() if newest is not None else None,
            storage_bytes=_size(self.samples.store.path),
            # Whole minutes only: one that is still running would look like a drop.
            pulse=self.readings.pulse(Window.last(timedelta(hours=1), now.replace(second=0, microsecond=0))),
            as_of=now,
        )

    def host_lines(self, actor: Actor, window: Window, buckets: int = 48) -> dict[tuple[int, str], list[float]]:
        """(source id, host) -> the recent course of its load: `node_load1`, or else of the first gauge in `PULSES` it
        has; means of equal buckets, oldest first. Hosts without one are left out."""
        actor.require(Permission.VIEW)
        chosen: dict[tuple[int, str], int] = {}
        for metric in PULSES:
            for one in self.samples.find(metric=metric):
                if one.host:
                    chosen.setdefault((one.source_id, one.host), one.id)
        hosts = {series_id: host for host, series_id in list(chosen.items())[:MAX_CHART_SERIES]}
        step_ms = max(1000, round(window.span.total_seconds() * 1000 / buckets))
        frame = self.readings.buckets(list(hosts), window, step_ms, counters=False)
        return {hosts[series_id]: part["mean"].tolist() for series_id, part in frame.groupby("series_id", sort=False)}

    def freshness(self, actor: Actor, now: datetime | None = None) -> pd.DataFrame:
        """source_id, host, series, last, age_s: one row a host, the longest silent first."""
        actor.require(Permission.VIEW)
        now = now or self.clock()
        table = self.samples.hosts()[["source_id", "host", "series", "last"]]
        age_s = (pd.Timestamp(now) - table["last"]).dt.total_seconds()
        return table.assign(age_s=age_s).sort_values("age_s", ascending=False, ignore_index=True)

    def _every_reading(self, series: Sequence[Series], frame: pd.DataFrame) -> list[ChartLine]:
        titles, parts = short_titles(series), dict(iter(frame.groupby("series_id", sort=False)))
        lines = []
        for one in series:
            if one.id not in parts:
                continue
            ts_ms, value = unix_ms(parts[one.id]["ts"]), parts[one.id]["value"].to_numpy(dtype=np.float64)
            if one.kind == "counter":
                ts_ms, value, _ = rate(ts_ms, value)
            else:
                ts_ms, value = ts_ms[np.isfinite(value)], value[np.isfinite(value)]
            if ts_ms.size:
                ts_ms, value = break_lines(ts_ms, value)
                lines.append(ChartLine(one, titles[one.id], ts_ms, value))
        return lines

    def _summed(self, series: Sequence[Series], window: Window, max_points: int) -> Summed | None:
        """Buckets from the archive's tiers, where those have a part in this window."""
        kinds, known = by_kind(series), self.samples.span([one.id for one in series])

        def fit(first: datetime) -> int:
            start = max(window.start, min(first, known.start) if known else first)
            end = min(window.end, known.end) if known else window.end
            return _fitting_ms((end - start).total_seconds(), len(series), max_points)

        return self.summaries.buckets(kinds[False], kinds[True], window, fit)

    def _buckets(self, series: Sequence[Series], window: Window, step_ms: int) -> pd.DataFrame:
        parts = [
            self.readings.buckets(ids, window, step_ms, counters=counters)
            for counters, ids in by_kind(series).items()
            if ids or not counters
        ]
        return pd.concat(parts, ignore_index=True)


def _bucket_lines(
    series: Sequence[Series], buckets: pd.DataFrame, step_ms: int, extent: pd.DataFrame
) -> list[ChartLine]:
    titles = short_titles(series)
    intervals = dict(zip(extent["series_id"], extent["interval_s"].fillna(0.0), strict=True))
    parts = dict(iter(buckets.groupby("series_id", sort=False)))
    return [
        _bucket_line(one, titles[one.id], parts[one.id], step_ms, intervals[one.id])
        for one in series
        if one.id in parts
    ]


def _step_ms(extent: pd.DataFrame, max_points: int) -> int:
    """Bucket width so that all lines together stay within `max_points`."""
    span_s = (extent["last"].max() - extent["first"].min()).total_seconds()
    return _fitting_ms(span_s, len(extent), max_points)


def _fitting_ms(span_s: float, lines: int, max_points: int) -> int:
    # Few points a line would hide what moves: below this, more points are the smaller evil.
    budget = max(40, max_points // max(lines, 1))
    return next((step for step in STEPS_S if span_s / step < budget), STEPS_S[-1]) * 1000


def _bucket_line(series: Series, title: str, frame: pd.DataFrame, step_ms: int, interval_s: float) -> ChartLine:
    columns = (frame[name].to_numpy(dtype=np.float64) for name in ("mean", "min", "max"))
    # One empty bucket is a gap where a bucket is wide enough to hold one; elsewhere it may be one missed sample.
    factor = 1.5 if step_ms >= GAP_FACTOR * interval_s * 1000 else GAP_FACTOR
    usual_ms = max(float(step_ms), 1000 * interval_s)
    ts_ms, value, low, high = break_lines(
        unix_ms(frame["ts"]) + step_ms // 2, *columns, factor=factor, usual_ms=usual_ms
    )
    return ChartLine(series, title, ts_ms, value, low, high)


def _size(path: Path) -> int:
    files = (path, path.with_name(f"{path.name}.wal"))
    return sum(file.stat().st_size for file in files if file.exists())
