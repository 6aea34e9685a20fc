"""Series as people read them, computed in DuckDB: counters as rate per second, few points instead of many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from lib import frames
from lib.frames import Window
from lib.store.connection import Store
from lib.store.samples import NAMED, Samples
from lib.store.schema import naive, to_frame

_WANTED = """wanted AS (
    SELECT series_id, epoch_ms(ts) AS t, value FROM samples
    WHERE series_id IN (SELECT unnest($ids::INTEGER[])) AND ts >= $start::TIMESTAMP_MS AND ts < $end::TIMESTAMP_MS)"""
# A gauge is read as it is, without what is no number.
_GAUGES = f"{_WANTED}, readings AS (SELECT series_id, t, value, 1.0 AS weight FROM wanted WHERE isfinite(value))"  # noqa: S608 (constants)

# Without opening an archived file: what is in it is noted of each series.
TOTALS = """SELECT sum(count)::BIGINT, min(first_ms), max(last_ms) FROM (
    SELECT count(*) AS count, epoch_ms(min(ts)) AS first_ms, epoch_ms(max(ts)) AS last_ms FROM samples
    UNION ALL SELECT count, first_ms, last_ms FROM archive_series)"""


def _steps(source: str) -> str:
    """Steps between samples, and which of them are gaps: lib.profiling.gaps.is_gap said in SQL; a test compares."""
    return f"""
    stepped AS (
        SELECT series_id, t, value, t - lag(t) OVER ordered AS step, value - lag(value) OVER ordered AS increase
        FROM {source} WINDOW ordered AS (PARTITION BY series_id ORDER BY t)),
    typical AS (
        SELECT series_id, median(step) AS typical, count(step) AS steps FROM stepped GROUP BY series_id),
    neighbours AS (
        SELECT series_id, t, value, step, increase,
            coalesce(lag(step) OVER ordered, 'inf'::DOUBLE) AS before,
            coalesce(lead(step) OVER ordered, 'inf'::DOUBLE) AS after
        FROM stepped WHERE step IS NOT NULL WINDOW ordered AS (PARTITION BY series_id ORDER BY t)),
    gapped AS (
        SELECT neighbours.*, typical, steps > 1 AND step > $factor * greatest(typical, least(before, after)) AS gap
        FROM neighbours JOIN typical USING (series_id))"""  # noqa: S608 (constants)


# A counter is read as rate per second: lib.profiling.rates.rate said in SQL; a test compares.
_COUNTERS = f"""{_WANTED}, finite AS (SELECT * FROM wanted WHERE isfinite(value)), {_steps("finite")},
    rated AS (
        SELECT series_id, t, step AS weight,
            CASE WHEN increase < 0 THEN greatest(value, 0) ELSE increase END / (step / 1000.0) AS value
        FROM gapped WHERE NOT gap),
    readings AS (SELECT * FROM rated WHERE isfinite(value))"""  # noqa: S608 (constants)


class Readings:
    """Reads for charts and tables. Pass gauges and counters apart: `counters` says what the ids are."""

    def __init__(self, store: Store, gap_factor: float) -> None:
        self.store, self.gap_factor = store, gap_factor
        self._samples = Samples(store)

    def extent(
        self, ids: Sequence[int], window: Window, cursor: duckdb.DuckDBPyConnection | None = None
    ) -> pd.DataFrame:
        """series_id, count, first, last, min, max (finite values), non_finite, interval_s (mean): one row a series
        with samples in the window. cursor: to be asked as of its transaction, with what `samples` means there."""
        return self._frame(
            f"""WITH {_WANTED}
            SELECT series_id, count(*) AS count, make_timestamp_ms(min(t)) AS first, make_timestamp_ms(max(t)) AS last,
                min(value) FILTER (isfinite(value)) AS min, max(value) FILTER (isfinite(value)) AS max,
                count(*) FILTER (NOT isfinite(value)) AS non_finite,
                CASE WHEN count(*) > 1 THEN (max(t) - min(t)) / (count(*) - 1) / 1000.0 END AS interval_s
            FROM wanted GROUP BY series_id ORDER BY series_id""",  # noqa: S608 (constants)
            ids,
            window,
            cursor,
        )

    def few(self, ids: Sequence[int], window: Window, limit: int) -> pd.DataFrame | None:
        """series_id, ts, value as stored, sorted, when there are at most `limit`; else None. One quick look."""
        if len(ids) <= NAMED:
            return self._samples.few(ids, window, limit)
        frame = self._frame(
            """SELECT series_id, ts, value FROM samples WHERE series_id IN (SELECT unnest($ids::INTEGER[]))
                AND ts >= $start::TIMESTAMP_MS AND ts < $end::TIMESTAMP_MS LIMIT $limit""",
            ids,
            window,
            limit=limit + 1,
        )
        return frame.sort_values(["series_id", "ts"], ignore_index=True) if len(frame) <= limit else None

    def points(self, ids: Sequence[int], window: Window, *, counters: bool) -> pd.DataFrame:
        """series_id, ts, value: every reading."""
        return self._frame(
            f"""WITH {_COUNTERS if counters else _GAUGES}
            SELECT series_id, make_timestamp_ms(t) AS ts, value FROM readings ORDER BY series_id, t""",  # noqa: S608
            ids,
            window,
        )

    def buckets(self, ids: Sequence[int], window: Window, step_ms: int, *, counters: bool) -> pd.DataFrame:
        """series_id, ts (bucket start, a multiple of the step since 1970), min, mean, max, count.

        The mean of rates is weighted by the time each stands for, and kept between least and most where sums overflow.
        Empty buckets have no row.
        """
        return self._frame(
            f"""WITH {_COUNTERS if counters else _GAUGES},
            slotted AS (SELECT series_id, t // {int(step_ms)} AS slot, value, weight FROM readings)
            SELECT series_id, make_timestamp_ms(slot * {int(step_ms)}) AS ts, min(value) AS min,
                least(greatest(sum(value * weight) / sum(weight), min(value)), max(value)) AS mean,
                max(value) AS max, count(*) AS count
            FROM slotted GROUP BY series_id, slot ORDER BY series_id, slot""",  # noqa: S608 (numbers and constants)
            ids,
            window,
        )

    def weighed(
        self, cursor: duckdb.DuckDBPyConnection, ids: Sequence[int], window: Window, step_ms: int, *, counters: bool
    ) -> pd.DataFrame:
        """`buckets` to be joined with others, on a cursor of one's own: series_id, slot (start by step), min, max,
        count, weight, total (of values times weight)."""
        return self._frame(
            f"""WITH {_COUNTERS if counters else _GAUGES}
            SELECT series_id, t // {int(step_ms)} AS slot, min(value) AS min, max(value) AS max, count(*) AS count,
                sum(weight)::DOUBLE AS weight, sum(value * weight) AS total
            FROM readings GROUP BY series_id, slot ORDER BY series_id, slot""",  # noqa: S608 (numbers and constants)
            ids,
            window,
            cursor,
        )

    def statistics(self, ids: Sequence[int], window: Window, *, counters: bool) -> pd.DataFrame:
        """series_id, count, min, mean, max, last, p50, p95, peak_ts: one row a series with a reading."""
        return self._frame(
            f"""WITH {_COUNTERS if counters else _GAUGES}
            SELECT series_id, count(*) AS count, min(value) AS min,
                least(greatest(sum(value * weight) / sum(weight), min(value)), max(value)) AS mean,
                max(value) AS max, arg_max(value, t) AS last, quantile_cont(value, 0.5) AS p50,
                quantile_cont(value, 0.95) AS p95, make_timestamp_ms(arg_max(t, value)) AS peak_ts
            FROM readings GROUP BY series_id ORDER BY series_id""",  # noqa: S608 (constants)
            ids,
            window,
        )

    def spread(
        self, parts: Iterable[Sequence[int]], window: Window, shares: Sequence[float], *, counters: bool, bins: int = 40
    ) -> dict[str, Any]:
        """How readings of series are distributed, all together, as lib.profiling.shape.distribution says it of values
        at hand: mean, std, quantiles, edges, counts; distinct is an estimate (HyperLogLog). A test compares.

        parts: ids of some series after the other, since a rate takes ten times the memory of the number it comes to.
        """
        edges = {"start": naive(window.start), "end": naive(window.end)}
        factor = {"factor": self.gap_factor} if counters else {}
        with self.store.read(window) as cursor:
            cursor.execute("CREATE OR REPLACE TEMP TABLE spread (value DOUBLE)")
            for ids in parts:
                cursor.execute(
                    f"INSERT INTO spread WITH {_COUNTERS if counters else _GAUGES} SELECT value FROM readings",  # noqa: S608
                    {"ids": list(ids), **edges, **factor},
                )
            count, mean, std, distinct, found = cursor.execute(
                "SELECT count(*), avg(value), stddev_pop(value), approx_count_distinct(value), "
                "quantile_cont(value, $shares::DOUBLE[]) FROM spread",
                {"shares": [*shares, 0.001, 0.999]},
            ).fetchall()[0]
            if not count:
                empty = np.empty(0)
                return {"mean": None, "std": None, "quantiles": {}, "edges": empty, "counts": empty, "distinct": 0}
            low, high = found[-2:] if found[-1] > found[-2] else (found[0], found[len(shares) - 1])
            bins = max(1, min(bins, distinct, int(np.ceil(2 * np.sqrt(count)))))
            counts = np.array([count])
            with np.errstate(over="ignore"):
                width = float(np.float64(high) - np.float64(low)) / bins
            if np.isfinite(width) and low + width > low:
                slots = cursor.execute(
                    "SELECT least(greatest(floor((value - $low) / $width), 0), $bins - 1)::INTEGER AS slot, count(*) "
                    "FROM spread GROUP BY slot",
                    {"low": low, "width": width, "bins": bins},
                ).fetchnumpy()
                counts = np.zeros(bins, np.int64)
                counts[np.ma.getdata(slots["slot"])] = np.ma.getdata(slots["count_star()"])
        return {
            "mean": mean if np.isfinite(mean) else None,
            "std": std if np.isfinite(std) else None,
            "quantiles": dict(zip(shares, found, strict=False)),
            "edges": np.linspace(low, high, counts.size + 1),
            "counts": counts,
            "distinct": distinct,
        }

    def quantile(self, ids: Sequence[int], window: Window, share: float) -> pd.DataFrame:
        """series_id, value: the quantile (0 to 1, interpolated) of each gauge's finite values; one row a series."""
        edges = {"start": naive(window.start), "end": naive(window.end)}
        with self.store.read(window, named=False) as cursor:
            values = self.store.archive.values(cursor, window)
            return to_frame(
                cursor,
                # FILTER takes three quarters of the time WHERE does.
                f"""SELECT * FROM (
                    SELECT series_id, quantile_cont(value, $share::DOUBLE) FILTER (isfinite(value)) AS value
                    FROM ({values}) GROUP BY series_id)
                WHERE value IS NOT NULL ORDER BY series_id""",  # noqa: S608 (names)
                {"ids": list(ids), **edges, "share": share},  # type: ignore[arg-type]
            )

    def missing(self, ids: Sequence[int], window: Window) -> pd.DataFrame:
        """series_id, missing: values that are no number, and samples the gaps would have held."""
        return self._frame(
            f"""WITH {_WANTED}, {_steps("wanted")},
            held AS (SELECT series_id, sum(greatest(round(step / typical) - 1, 0)) AS held FROM gapped
                WHERE gap GROUP BY series_id)
            SELECT series_id, (count(*) FILTER (NOT isfinite(value)) + coalesce(any_value(held), 0))::BIGINT AS missing
            FROM wanted LEFT JOIN held USING (series_id) GROUP BY series_id ORDER BY series_id""",  # noqa: S608
            ids,
            window,
        )

    def quality(self, ids: Sequence[int], window: Window) -> pd.DataFrame:
        """series_id, count, first, last, interval_s (median), low, high, repeated (moments stored twice), resets (steps
        down) and reset_at (the last one): one row a series with samples in the window."""
        return self._frame(
            f"""WITH {_WANTED}, stepped AS (
                SELECT series_id, t, value, t - lag(t) OVER ordered AS step, value - lag(value) OVER ordered AS increase
                FROM wanted WINDOW ordered AS (PARTITION BY series_id ORDER BY t))
            SELECT series_id, count(*) AS count, make_timestamp_ms(min(t)) AS first, make_timestamp_ms(max(t)) AS last,
                median(step) / 1000.0 AS interval_s, min(value) FILTER (isfinite(value)) AS low,
                max(value) FILTER (isfinite(value)) AS high, count(*) FILTER (step = 0) AS repeated,
                count(*) FILTER (increase < 0) AS resets,
                make_timestamp_ms(max(t) FILTER (increase < 0)) AS reset_at
            FROM stepped GROUP BY series_id ORDER BY series_id""",  # noqa: S608 (constants)
            ids,
            window,
        )

    def pauses(self, ids: Sequence[int], window: Window) -> pd.DataFrame:
        """series_id, start (the last sample before), end (the first after it): every gap inside the window, by time."""
        return self._frame(
            f"""WITH {_WANTED}, {_steps("wanted")}
            SELECT series_id, make_timestamp_ms((t - step)::BIGINT) AS start, make_timestamp_ms(t) AS "end"
            FROM gapped WHERE gap ORDER BY t, series_id""",  # noqa: S608 (constants)
            ids,
            window,
        )

    def counts(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Which series have samples in the window, and how many: ids (rising) and counts."""
        table = self._arrow(
            """SELECT series_id, count(*) AS count FROM samples
            WHERE ts >= $start::TIMESTAMP_MS AND ts < $end::TIMESTAMP_MS GROUP BY series_id ORDER BY series_id""",
            {},
            window,
        )
        return table["series_id"].to_numpy(), table["count"].to_numpy()

    def slots(
        self, ids: Sequence[int], start: datetime, step_ms: int, count: int, *, counters: bool
    ) -> dict[str, np.ndarray]:
        """What finite values did in each of `count` equal slots: arrays of shape (ids, count), NaN where nothing is.

        Gauges: mean, low, high. Counters as stored: first, last, low, high, and when: first_ms, last_ms. Some hundred
        series at a time keep it small.
        """
        names = ("first", "last", "low", "high", "first_ms", "last_ms") if counters else ("mean", "low", "high")
        start_ms = frames.to_ms(start)
        columns = (
            "arg_min(value, t) AS first, arg_max(value, t) AS last, min(value) AS low, max(value) AS high, "
            "min(t) AS first_ms, max(t) AS last_ms"
            if counters
            else "avg(value) AS mean, min(value) AS low, max(value) AS high"
        )
        window = Window(start, frames.from_ms(start_ms + step_ms * count))
        table = self._arrow(
            f"""WITH {_GAUGES}
            SELECT series_id, (t - {start_ms}) // {int(step_ms)} AS slot, {columns}
            FROM readings GROUP BY series_id, slot""",  # noqa: S608 (numbers and constants)
            {"ids": list(ids)},
            window,
        )
        order = np.argsort(np.asarray(ids))
        row = order[np.searchsorted(np.asarray(ids)[order], table["series_id"].to_numpy())] if len(ids) else order
        slot = table["slot"].to_numpy()
        found = {}
        for name in names:
            found[name] = np.full((len(ids), count), np.nan)
            found[name][row, slot] = table[name].to_numpy()
        return found

    def totals(self) -> tuple[int, int | None, int | None]:
        """Samples stored, and the first and last timestamp in Unix milliseconds."""
        with self.store.read(archived=False) as cursor:
            row = cursor.execute(TOTALS).fetchall()[0]
        return int(row[0]), row[1], row[2]

    def pulse(self, window: Window) -> tuple[int, ...]:
        """How many samples were taken in each minute of the window, oldest first."""
        minutes = max(1, round(window.span.total_seconds() / 60))
        start_ms = frames.to_ms(window.start)
        with self.store.read(window) as cursor:
            rows = cursor.execute(
                "SELECT (epoch_ms(ts) - ?) // 60000 AS minute, count(*) FROM samples "
                "WHERE ts >= ?::TIMESTAMP_MS AND ts < ?::TIMESTAMP_MS GROUP BY minute",
                [start_ms, naive(window.start), naive(window.end)],
            ).fetchall()
        counts = dict(rows)
        return tuple(counts.get(minute, 0) for minute in range(minutes))

    def _arrow(self, query: str, parameters: dict[str, Any], window: Window) -> pa.Table:
        edges = {"start": naive(window.start), "end": naive(window.end)}
        with self.store.read(window) as cursor:
            return cursor.sql(query, params={**parameters, **edges}).to_arrow_table()

    def _frame(
        self,
        query: str,
        ids: Sequence[int],
        window: Window,
        cursor: duckdb.DuckDBPyConnection | None = None,
        **more: Any,
    ) -> pd.DataFrame:
        edges = {"start": naive(window.start), "end": naive(window.end)}
        parameters: dict[str, Any] = {"ids": list(ids), **edges, **more}
        if "$factor" in query:
            parameters["factor"] = self.gap_factor
        if cursor is not None:
            return to_frame(cursor, query, parameters)  # type: ignore[arg-type]
        with self.store.read(window) as cursor:
            return to_frame(cursor, query, parameters)  # type: ignore[arg-type]
