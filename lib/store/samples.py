"""Samples in and out of the store: idempotent append, range reads, downsampled reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from lib import frames
from lib.frames import Block, Series, Window
from lib.store import catalog
from lib.store.batch import NO_SPAN, Batch
from lib.store.connection import Store
from lib.store.schema import naive, to_frame

# Rows a Parquet export sorts and holds in memory at a time; a series with more goes alone.
_EXPORT_ROWS = 200_000
_LABELS = pa.map_(pa.string(), pa.string())
# `IN (SELECT unnest(?))` reaches the scan as a bound on series_id, and takes any number of ids.
_RANGE = (
    "FROM samples WHERE series_id IN (SELECT unnest(?::INTEGER[])) AND ts >= ?::TIMESTAMP_MS AND ts < ?::TIMESTAMP_MS"
)

# Up to so many series by name in the query, in no order: half the time of the above, most of which is planning.
NAMED = 12
_NAMED_RANGE = _RANGE.replace("(SELECT unnest(?::INTEGER[]))", "({})")
_UTC_MS = pd.DatetimeTZDtype("ms", "UTC")


@dataclass(frozen=True)
class Appended:
    """How many samples were new, and how many were there already."""

    written: int
    known: int


@dataclass(frozen=True)
class SeriesStats:
    """first, last: None while the series has no samples."""

    series: Series
    count: int
    first: datetime | None
    last: datetime | None
    last_value: float | None


class Samples:
    """Reads and writes `series` and `samples`. Frames carry `series_id, ts, value`, ts in UTC, sorted by both."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def append(
        self, source_id: int, blocks: Iterable[Block], watermark: tuple[str, datetime] | None = None
    ) -> Appended:
        """Add what is not there yet. Blocks are validated already (`frames.validate`).

        `watermark` (target, collected until) is written in the same transaction: returning means all of it is
        committed, raising means none of it is. It only moves forward. A sample that is there already keeps its
        first value. Raises StoreFull, StoreReadOnly.
        """
        blocks = list(blocks)
        with self.store.lock:
            known = self.known()
            with self.store.write() as cursor:
                ids, made = self.identify(cursor, source_id, blocks)
                batch = Batch(ids, blocks)
                written = batch.insert(cursor, known.spans, self.store.archive)
                if watermark:
                    _move_watermark(cursor, source_id, *watermark)
            known.add(made)
            for series_id, (first, last) in batch.spans.items():
                known.widen(series_id, first, last)
            known.recent.grow(batch.ids, batch.starts, batch.ends, batch.ts, batch.value)
        return Appended(written, sum(block.ts_ms.size for block in blocks) - written)

    def find(
        self,
        *,
        source_id: int | None = None,
        metric: str | None = None,
        host: str | None = None,
        labels: dict[str, str] | None = None,
        ids: Sequence[int] | None = None,
    ) -> list[Series]:
        """Series that match all that is given, sorted by metric, host and labels."""
        return self.known().matching(source_id, metric, host, labels, ids)

    def meeting(self, ids: Sequence[int], window: Window) -> set[int]:
        """Those whose first to last sample meet the window; there may be a gap all the same. Asks no file."""
        start, end = frames.to_ms(window.start), frames.to_ms(window.end)
        spans = self.known().spans
        return {one for one in ids if (span := spans.get(one)) is not None and span[0] < end and span[1] >= start}

    def metrics(self, source_id: int | None = None) -> pd.DataFrame:
        """metric, kind, series (how many), hosts (how many), first, last: one row a metric."""
        known, rows = self.known(), []
        for metric, group in groupby(known.matching(source_id), lambda one: one.metric):
            found = list(group)
            # No label says where a series without a host lives.
            hosts = {one.host for one in found if one.host}
            rows.append((metric, found[0].kind, len(found), len(hosts), *_reach(known, found)))
        return _table(rows, metric="str", kind="str", series="int64", hosts="int64")

    def hosts(self, source_id: int | None = None) -> pd.DataFrame:
        """source_id, host, series, first, last: one row a host. Series without a host are left out."""
        known = self.known()
        by_host: dict[tuple[int, str], list[Series]] = {}
        for one in known.matching(source_id):
            if one.host:
                by_host.setdefault((one.source_id, one.host), []).append(one)
        rows = [(*host, len(found), *_reach(known, found)) for host, found in sorted(by_host.items())]
        return _table(rows, source_id="int64", host="str", series="int64")

    def stats(self, ids: Sequence[int]) -> list[SeriesStats]:
        """Count, span and latest value of each, in the order asked; ids nobody has are left out."""
        known = self.known()
        with self.store.read() as cursor:
            rows = cursor.execute(
                "SELECT series_id, count(*), epoch_ms(min(ts)), epoch_ms(max(ts)), arg_max(value, ts) FROM samples "
                "WHERE series_id IN (SELECT unnest(?::INTEGER[])) GROUP BY series_id",
                [list(ids)],
            ).fetchall()
        found = {row[0]: row[1:] for row in rows}
        stats = []
        for series_id in dict.fromkeys(ids):
            series = known.series.get(series_id)
            if series is None:
                continue
            count, first, last, value = found.get(series_id, (0, None, None, None))
            stats.append(SeriesStats(series, count, _moment(first), _moment(last), value))
        return stats

    def span(self, ids: Sequence[int]) -> Window | None:
        """From the first to the last sample of these, as memory knows it; samples that have expired do not count."""
        known = self.known().spans
        spans = [known[one] for one in ids if one in known]
        if not spans:
            return None
        return Window(frames.from_ms(min(one[0] for one in spans)), frames.from_ms(max(one[1] for one in spans)))

    def read(self, ids: Sequence[int], window: Window) -> pd.DataFrame:
        """Raw samples: series_id, ts, value. NaN (stale markers too) and Inf come as stored."""
        frame = self.few(ids, window) if 0 < len(ids) <= NAMED else None
        if frame is not None:
            return frame
        with self.store.read(window) as cursor:
            return to_frame(
                cursor,
                f"SELECT series_id, ts, value {_RANGE} ORDER BY series_id, ts",  # noqa: S608 (constant)
                [list(ids), naive(window.start), naive(window.end)],
            )

    def few(self, ids: Sequence[int], window: Window, limit: int | None = None) -> pd.DataFrame | None:
        """`read` of a handful of series, from memory where they were read before and the window reaches to now; None
        when there are more samples than `limit`."""
        known = self.known()
        ids = sorted(dict.fromkeys(int(one) for one in ids))
        start_ms, end_ms = frames.to_ms(window.start), frames.to_ms(window.end)
        runs = known.recent.get(ids, start_ms, end_ms)
        if runs is not None:
            return _joined(ids, runs, limit)
        mark = known.recent.mark()
        newest = [known.spans.get(one, NO_SPAN)[1] < end_ms for one in ids]
        most = "" if limit is None else f" LIMIT {limit + 1}"
        named = ",".join(str(one) for one in ids) or "NULL"
        with self.store.read(window) as cursor:
            rows = cursor.execute(
                f"SELECT series_id, ts, value {_NAMED_RANGE.format(named)}{most}",
                [naive(window.start), naive(window.end)],
            ).fetchnumpy()
        if limit is not None and rows["value"].size > limit:
            return None
        series_id, ts_ms, value = _in_order(rows)
        edges = np.searchsorted(series_id, [*ids, 2**31])
        for number, one in enumerate(ids):
            if newest[number]:
                part = slice(edges[number], edges[number + 1])
                known.recent.keep(mark, one, start_ms, ts_ms[part], value[part])
        return _framed(series_id, ts_ms, value)

    def buckets(self, ids: Sequence[int], window: Window, step_s: float) -> pd.DataFrame:
        """series_id, ts (bucket start), min, mean, max, last, count. Empty buckets have no row.

        Bucket starts are multiples of the step since 1970, so that a refresh a moment later has the same ones. NaN
        is no number to average: it is left out, and a bucket of nothing else is empty.
        """
        step_ms = max(1, round(step_s * 1000))
        with self.store.read(window) as cursor:
            summed = self.store.archive.summed(cursor, window, step_ms)
            if summed:
                return to_frame(cursor, summed, [list(ids), naive(window.start), naive(window.end)])
            return to_frame(
                cursor,
                # Integer arithmetic on milliseconds: half the time of time_bucket.
                f"""SELECT series_id, make_timestamp_ms(slot * {step_ms}) AS ts, min, mean, max, last, count FROM (
                    SELECT series_id, epoch_ms(ts) // {step_ms} AS slot, min(value) AS min, avg(value) AS mean,
                        max(value) AS max, arg_max(value, ts) AS last, count(*) AS count
                    {_RANGE} AND NOT isnan(value) GROUP BY ALL)
                ORDER BY series_id, ts""",  # noqa: S608 (numbers and constants)
                [list(ids), naive(window.start), naive(window.end)],
            )

    def export(self, ids: Sequence[int], window: Window, folder: Path) -> int:
        """Write raw samples as Parquet (zstd) for a child process; the number of rows.

        folder: made anew, its files sorted by name as their rows are by series_id and ts. Columns as `read` gives
        them, ts in UTC with its zone. A folder that failed half-way is removed.
        """
        edges = [naive(window.start), naive(window.end)]
        with self.store.read(window) as cursor:
            return write_runs(cursor, ids, edges, folder, "ts::TIMESTAMPTZ AS ts")

    def watermark(self, source_id: int, target: str) -> datetime | None:
        """How far a target has been collected and committed."""
        with self.store.read(archived=False) as cursor:
            rows = cursor.execute(
                "SELECT epoch_ms(max(collected_until)) FROM watermarks WHERE source_id = ? AND target = ?",
                [source_id, target],
            ).fetchall()
        return _moment(rows[0][0])

    def forget_source(self, source_id: int) -> None:
        """Remove a source's series, samples, watermarks, gaps, anomalies and forecasts in one transaction."""
        with self.store.lock:
            known = self.known()
            ids = [series.id for series in known.matching(source_id)]
            with self.store.write() as cursor:
                for table in ("samples", "expectations"):
                    cursor.execute(
                        f"DELETE FROM {table} WHERE series_id IN (SELECT unnest(?::INTEGER[]))",  # noqa: S608
                        [ids],
                    )
                cursor.execute(
                    "DELETE FROM forecast_points WHERE forecast_id IN (SELECT id FROM forecasts WHERE source_id = ?)",
                    [source_id],
                )
                for table in ("series", "watermarks", "gaps", "anomalies", "forecasts", "standing_forecasts"):
                    cursor.execute(f"DELETE FROM {table} WHERE source_id = ?", [source_id])  # noqa: S608
                self.store.archive.forget(cursor, ids)
            known.drop(ids)

    def known(self) -> catalog.Catalog:
        """What the store knows of its series, loaded. Who writes beside `append` holds the store's lock and adds to it
        after the commit."""
        known = self.store.catalog
        if not known.loaded:
            with self.store.lock:
                if not known.loaded:
                    with self.store.read(archived=False) as cursor:
                        known.load(cursor)
        return known

    def identified(self, source_id: int, keys: Sequence[tuple[str, dict[str, str]]]) -> list[int]:
        """The id of each (metric, labels); 0 where there is no such series yet."""
        known = self.known().ids
        return [
            known.get(catalog.key_of(source_id, catalog.storable(metric), catalog.normal(labels)), 0)
            for metric, labels in keys
        ]

    def identify(
        self, cursor: duckdb.DuckDBPyConnection, source_id: int, blocks: list[Block]
    ) -> tuple[list[int], list[Series]]:
        """The id of each block's series, and those that had to be made for it: written in the cursor's transaction,
        to be added to the catalog once that is committed."""
        known = self.store.catalog.ids
        ids = [known.get((source_id, block.metric, frozenset(block.labels.items())), 0) for block in blocks]
        # What was not found as it came may be known, or come twice, in its normal form.
        unsure = {}
        for position in [position for position, series_id in enumerate(ids) if not series_id]:
            metric, labels = catalog.storable(blocks[position].metric), catalog.normal(blocks[position].labels)
            unsure[position] = catalog.key_of(source_id, metric, labels), metric, labels
        new = {key: (metric, labels) for key, metric, labels in unsure.values() if key not in known}
        fresh = dict(zip(new, _next_ids(cursor, len(new)), strict=True))
        for position, (key, _, _) in unsure.items():
            ids[position] = known.get(key) or fresh[key]
        made = [
            catalog.make_series(series_id, source_id, *named)
            for series_id, named in zip(fresh.values(), new.values(), strict=True)
        ]
        if made:
            cursor.register("incoming_series", _series_table(made))
            cursor.execute("INSERT INTO series SELECT id, source_id, metric, labels, host, kind FROM incoming_series")
            cursor.unregister("incoming_series")
        return ids, made


def _reach(known: catalog.Catalog, series: Iterable[Series]) -> tuple[int | None, int | None]:
    """The first and the last moment of these, Unix milliseconds; None where there is no sample."""
    spans = [span for one in series if (span := known.spans.get(one.id)) is not None]
    return min((span[0] for span in spans), default=None), max((span[1] for span in spans), default=None)


def _table(rows: list[tuple[Any, ...]], **columns: str) -> pd.DataFrame:
    """Rows of these columns (and their types), then the first and the last moment."""
    given = list(zip(*rows, strict=True)) or [()] * (len(columns) + 2)
    made = {name: pd.Series(values, dtype=kind) for (name, kind), values in zip(columns.items(), given, strict=False)}
    return pd.DataFrame({**made, "first": _utc(given[-2]), "last": _utc(given[-1])})


def write_runs(
    cursor: duckdb.DuckDBPyConnection, ids: Sequence[int], edges: list[datetime], folder: Path, ts: str
) -> int:
    """Write samples between two moments as Parquet files, a series in one of them; the number of rows.

    ts: the column of time, as SQL. folder: made anew, and removed when this fails half-way.
    """
    rows = 0
    folder.mkdir()
    try:
        for number, part in enumerate(list(_parts(cursor, ids, edges)) or [[]]):
            name = str(folder / f"{number:05}.parquet").replace("'", "''")
            # By DuckDB: Arrow's writer would cost this process 80 MB for good.
            rows += cursor.execute(
                f"COPY (SELECT series_id, {ts}, value {_RANGE} ORDER BY series_id, samples.ts) "  # noqa: S608
                f"TO '{name}' (FORMAT parquet, COMPRESSION zstd)",
                [part, *edges],
            ).fetchall()[0][0]
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return rows


def _parts(cursor: duckdb.DuckDBPyConnection, ids: Sequence[int], edges: list[datetime]) -> Iterator[list[int]]:
    """The ids in rising order, in runs of so few samples that sorting them takes little memory."""
    counts = cursor.execute(
        f"SELECT series_id, count(*) {_RANGE} GROUP BY series_id ORDER BY series_id",  # noqa: S608 (constant)
        [list(ids), *edges],
    ).fetchall()
    part: list[int] = []
    size = 0
    for series_id, count in counts:
        if part and size + count > _EXPORT_ROWS:
            yield part
            part, size = [], 0
        part.append(series_id)
        size += count
    if part:
        yield part


def _in_order(rows: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """series_id, ts_ms, value as DuckDB gave them, sorted by both."""
    series_id, value = rows["series_id"], rows["value"]
    ts_ms = rows["ts"].astype("datetime64[ms]", copy=False).view(np.int64)
    if not ((series_id[1:] > series_id[:-1]) | ((series_id[1:] == series_id[:-1]) & (ts_ms[1:] > ts_ms[:-1]))).all():
        order = np.lexsort((ts_ms, series_id))
        series_id, ts_ms, value = series_id[order], ts_ms[order], value[order]
    return series_id, ts_ms, value


def _joined(ids: Sequence[int], runs: list[tuple[np.ndarray, np.ndarray]], limit: int | None) -> pd.DataFrame | None:
    sizes = [ts_ms.size for ts_ms, _ in runs]
    if limit is not None and sum(sizes) > limit:
        return None
    if len(runs) == 1:
        return _framed(np.full(sizes[0], ids[0], np.int32), *runs[0])
    series_id = np.repeat(np.array(ids, np.int32), sizes)
    ts_ms = np.concatenate([run[0] for run in runs]) if runs else np.empty(0, np.int64)
    return _framed(series_id, ts_ms, np.concatenate([run[1] for run in runs]) if runs else np.empty(0))


def _framed(series_id: np.ndarray, ts_ms: np.ndarray, value: np.ndarray) -> pd.DataFrame:
    zoned = pd.array(ts_ms.view("datetime64[ms]"), dtype=_UTC_MS)
    return pd.DataFrame({"series_id": series_id, "ts": zoned, "value": value}, copy=False)


def _next_ids(cursor: duckdb.DuckDBPyConnection, count: int) -> list[int]:
    if not count:
        return []
    return [row[0] for row in cursor.execute("SELECT nextval('series_ids') FROM range(?)", [count]).fetchall()]


def _move_watermark(cursor: duckdb.DuckDBPyConnection, source_id: int, target: str, until: datetime) -> None:
    updated = cursor.execute(
        "UPDATE watermarks SET collected_until = greatest(collected_until, ?::TIMESTAMP_MS) "
        "WHERE source_id = ? AND target = ?",
        [naive(until), source_id, target],
    ).fetchall()
    if not updated[0][0]:
        cursor.execute("INSERT INTO watermarks VALUES (?, ?, ?::TIMESTAMP_MS)", [source_id, target, naive(until)])


def _series_table(made: list[Series]) -> pa.Table:
    return pa.table(
        {
            "id": pa.array([series.id for series in made], pa.int32()),
            "source_id": pa.array([series.source_id for series in made], pa.int32()),
            "metric": pa.array([series.metric for series in made], pa.string()),
            "labels": pa.array([list(series.labels.items()) for series in made], _LABELS),
            "host": pa.array([series.host for series in made], pa.string()),
            "kind": pa.array([series.kind for series in made], pa.string()),
        }
    )


def _moment(ts_ms: int | None) -> datetime | None:
    return None if ts_ms is None else frames.from_ms(ts_ms)


def _utc(ts_ms: Sequence[int | None]) -> pd.Series:
    return pd.Series(
        pd.array(ts_ms, dtype="Int64").to_numpy("datetime64[ms]", na_value=np.datetime64("NaT"))
    ).dt.tz_localize("UTC")
