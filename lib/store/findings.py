"""What detectors found: a score a moment, what was expected, and the anomalies decided from it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from lib.frames import Window
from lib.store.connection import Store
from lib.store.schema import naive, to_frame

_COLUMNS = (
    "id, detector_id, source_id, host, series_id, start_ts, end_ts, peak_ts, score, confidence, severity, "
    "actual, expected, low, high, explanation"
)
_WINDOW = "ts >= ?::TIMESTAMP_MS AND ts < ?::TIMESTAMP_MS"


@dataclass(frozen=True)
class Anomaly:
    """A span in which a detector found something strange. Times are aware UTC.

    id: 0 until saved. end_ts: None while it goes on. series_id: the series that contributed most; actual,
    expected, low, high are that series' at peak_ts, in its unit, None where unknown. explanation: what is shown as
    reason, JSON-able (sentence, contributors).
    """

    detector_id: int
    source_id: int
    host: str
    start_ts: datetime
    peak_ts: datetime
    score: float
    confidence: float
    severity: str
    explanation: dict[str, Any]
    end_ts: datetime | None = None
    series_id: int | None = None
    actual: float | None = None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    id: int = 0


class Findings:
    """Reads and writes `scores`, `expectations` and `anomalies`. A higher score is stranger."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def append_scores(self, detector_id: int, frame: pd.DataFrame) -> None:
        """Add scored moments: ts, score, confidence, threshold, and alone if known. A moment scored again replaces the
        earlier score."""
        with self.store.write() as cursor:
            _put(cursor, "scores", detector_id, _scores_table(frame))

    def append_expectations(self, detector_id: int, frame: pd.DataFrame) -> None:
        """Add what was expected: series_id, ts, low, expected, high. The same moment again replaces the earlier."""
        with self.store.write() as cursor:
            _put(cursor, "expectations", detector_id, _expectations_table(frame))

    def replace(
        self,
        detector_id: int,
        window: Window,
        scores: pd.DataFrame,
        expectations: pd.DataFrame,
        anomalies: Iterable[Anomaly],
    ) -> list[Anomaly]:
        """Rewrite a range in one transaction; doing it twice leaves what doing it once left.

        Scores and expectations inside the window and the detector's anomalies that start in it are removed first. An
        anomaly that starts when a removed one did keeps its id, so that links to it still lead there. Returns the
        anomalies with their ids.
        """
        edges = [detector_id, naive(window.start), naive(window.end)]
        with self.store.write() as cursor:
            for table in ("scores", "expectations"):
                cursor.execute(f"DELETE FROM {table} WHERE detector_id = ? AND {_WINDOW}", edges)  # noqa: S608
            started = (
                "FROM anomalies WHERE detector_id = ? AND start_ts >= ?::TIMESTAMP_MS AND start_ts < ?::TIMESTAMP_MS"
            )
            ids = dict(cursor.execute(f"SELECT start_ts, id {started}", edges).fetchall())  # noqa: S608
            cursor.execute(f"DELETE {started}", edges)  # noqa: S608
            _put(cursor, "scores", detector_id, _scores_table(scores))
            _put(cursor, "expectations", detector_id, _expectations_table(expectations))
            return _save(
                cursor,
                [
                    anomaly if anomaly.id else dataclasses.replace(anomaly, id=ids.pop(naive(anomaly.start_ts), 0))
                    for anomaly in anomalies
                ],
            )

    def save_anomalies(self, anomalies: Iterable[Anomaly]) -> list[Anomaly]:
        """Insert those with id 0, rewrite the others; returns them with their ids, in order."""
        with self.store.write() as cursor:
            return _save(cursor, anomalies)

    def anomalies(
        self,
        *,
        source_id: int | None = None,
        host: str | None = None,
        detector_id: int | None = None,
        series_id: int | None = None,
        window: Window | None = None,
        min_confidence: float | None = None,
        severity: str | Sequence[str] | None = None,
        ids: Sequence[int] | None = None,
        limit: int = 1000,
    ) -> pd.DataFrame:
        """Anomalies that match all that is given, newest first: the fields of `Anomaly` as columns.

        window: those that overlap it, still open ones too. severity: one, or several of which any will do.
        series_id is Int64 (missing: none), end_ts NaT while it goes on, explanation a dict.
        """
        conditions, values = ["true"], list[Any]()
        for column, wanted in (
            ("source_id", source_id),
            ("host", host),
            ("detector_id", detector_id),
            ("series_id", series_id),
        ):
            if wanted is not None:
                conditions.append(f"{column} = ?")
                values.append(wanted)
        if window is not None:
            conditions.append("start_ts < ?::TIMESTAMP_MS AND (end_ts IS NULL OR end_ts >= ?::TIMESTAMP_MS)")
            values += [naive(window.end), naive(window.start)]
        if min_confidence is not None:
            conditions.append("confidence >= ?")
            values.append(min_confidence)
        if severity is not None:
            conditions.append("severity IN (SELECT unnest(?::VARCHAR[]))")
            values.append([severity] if isinstance(severity, str) else list(severity))
        if ids is not None:
            conditions.append("id IN (SELECT unnest(?::BIGINT[]))")
            values.append(list(ids))
        with self.store.read(archived=False) as cursor:
            frame = to_frame(
                cursor,
                f"SELECT {_COLUMNS} FROM anomalies WHERE {' AND '.join(conditions)} "  # noqa: S608 (constants)
                "ORDER BY start_ts DESC, id DESC LIMIT ?",
                [*values, limit],
            )
        frame["series_id"] = frame["series_id"].astype("Int64")
        frame["explanation"] = pd.Series([json.loads(text) for text in frame["explanation"]], dtype=object)
        return frame

    def anomaly(self, anomaly_id: int) -> Anomaly | None:
        """One anomaly, or None when nobody has that id."""
        with self.store.read(archived=False) as cursor:
            rows = cursor.execute(f"SELECT {_COLUMNS} FROM anomalies WHERE id = ?", [anomaly_id]).fetchall()  # noqa: S608
        if not rows:
            return None
        values = dict(zip(_COLUMNS.split(", "), rows[0], strict=True))
        for column in ("start_ts", "end_ts", "peak_ts"):
            values[column] = values[column] and values[column].replace(tzinfo=UTC)
        return Anomaly(**{**values, "explanation": json.loads(values["explanation"])})

    def scores(self, detector_id: int, window: Window, max_points: int | None = None) -> pd.DataFrame:
        """ts, score, confidence, threshold, by time.

        With max_points at most that many rows come back, each the moment of the highest score of its bucket, so
        that no peak disappears from a chart.
        """
        values = [detector_id, naive(window.start), naive(window.end)]
        where = f"FROM scores WHERE detector_id = ? AND {_WINDOW}"
        query = f"SELECT ts, score, confidence, threshold {where} ORDER BY ts"
        with self.store.read(archived=False) as cursor:
            if max_points is not None:
                count = cursor.execute(f"SELECT count(*) {where}", values).fetchall()[0][0]
                if count > max_points:
                    row = "{'ts': ts, 'score': score, 'confidence': confidence, 'threshold': threshold}"
                    query = f"""SELECT top.ts AS ts, top.score AS score, top.confidence AS confidence,
                            top.threshold AS threshold
                        FROM (SELECT arg_max({row}, score) AS top {where} GROUP BY {_slot(window, max_points)})
                        ORDER BY ts"""  # noqa: S608 (numbers and constants)
            return to_frame(cursor, query, values)

    def trace(self, detector_ids: Sequence[int], window: Window) -> dict[str, np.ndarray]:
        """ts_ms, score, alone of one group, by time, each shape (n,); where several versions scored a moment, the
        newest one's. alone is the score itself where it was not kept."""
        with self.store.read(archived=False) as cursor:
            found = cursor.execute(
                "SELECT epoch_ms(ts) AS ts_ms, arg_max(score, detector_id) AS score, "  # noqa: S608 (constants)
                "arg_max(coalesce(alone, score), detector_id) AS alone FROM scores "
                f"WHERE detector_id IN (SELECT unnest(?::INTEGER[])) AND {_WINDOW} GROUP BY ts ORDER BY ts",
                [list(detector_ids), naive(window.start), naive(window.end)],
            ).fetchnumpy()
        return {name: np.asarray(column) for name, column in found.items()}

    def lanes(self, window: Window, slots: int) -> pd.DataFrame:
        """detector_id, slot, score: the highest score of each detector in each of so many equal parts of the window;
        a part nothing was scored in has no row."""
        with self.store.read(archived=False) as cursor:
            return to_frame(
                cursor,
                f"SELECT detector_id, CAST({_slot(window, slots)} AS INTEGER) AS slot, max(score) AS score "  # noqa: S608
                f"FROM scores WHERE {_WINDOW} GROUP BY ALL ORDER BY ALL",
                [naive(window.start), naive(window.end)],
            )

    def redecide(
        self,
        detector_ids: Sequence[int],
        ts_ms: np.ndarray,
        threshold: np.ndarray,
        gone: Sequence[int],
        new: Iterable[Anomaly],
    ) -> list[Anomaly]:
        """Another threshold over scores that stay, in one transaction: anomalies that no longer are one go, others
        come. gone: ids. Returns the new ones with their ids."""
        moments = pa.table({"ts": pa.array(ts_ms.astype("datetime64[ms]")), "threshold": threshold})
        with self.store.write() as cursor:
            cursor.register("incoming", moments)
            cursor.execute(
                "UPDATE scores SET threshold = incoming.threshold FROM incoming "
                "WHERE scores.ts = incoming.ts AND detector_id IN (SELECT unnest(?::INTEGER[]))",
                [list(detector_ids)],
            )
            cursor.unregister("incoming")
            cursor.execute("DELETE FROM anomalies WHERE id IN (SELECT unnest(?::BIGINT[]))", [list(gone)])
            return _save(cursor, new)

    def expectations(
        self, detector_id: int, series_id: int, window: Window, step_s: float | None = None
    ) -> pd.DataFrame:
        """series_id, ts, low, expected, high, by time.

        With step_s one row a bucket: the lowest low, the mean expected, the highest high (unknown ones, NaN, left
        out); ts is the bucket's start,
        a multiple of the step since 1970 as in `Samples.buckets`.
        """
        columns, grouping = "series_id, ts, low, expected, high", ""
        if step_s is not None:
            step_ms = max(1, round(step_s * 1000))
            columns = (
                f"series_id, make_timestamp_ms(epoch_ms(ts) // {step_ms} * {step_ms}) AS ts, "
                "min(low) FILTER (NOT isnan(low)) AS low, avg(expected) FILTER (NOT isnan(expected)) AS expected, "
                "max(high) FILTER (NOT isnan(high)) AS high"
            )
            grouping = f"GROUP BY series_id, epoch_ms(ts) // {step_ms}"
        with self.store.read(archived=False) as cursor:
            return to_frame(
                cursor,
                f"SELECT {columns} FROM expectations WHERE detector_id = ? AND series_id = ? AND {_WINDOW} "  # noqa: S608
                f"{grouping} ORDER BY ALL",
                [detector_id, series_id, naive(window.start), naive(window.end)],
            )

    def read_file(self, path: Path) -> pd.DataFrame:
        """Scores or expectations a child process left as Parquet. Arrow's own reader would stay loaded, 15 MB of it."""
        with self.store.read(archived=False) as cursor:
            return to_frame(cursor, "SELECT * FROM read_parquet(?)", [str(path)])

    def delete_detector(self, detector_id: int) -> None:
        """Remove all a detector found, in one transaction."""
        with self.store.write() as cursor:
            for table in ("scores", "expectations", "anomalies"):
                cursor.execute(f"DELETE FROM {table} WHERE detector_id = ?", [detector_id])  # noqa: S608


def _slot(window: Window, max_points: int) -> str:
    width_ms = math.ceil(window.span.total_seconds() * 1000 / max(1, max_points))
    start_ms = math.floor(window.start.timestamp() * 1000)
    return f"(epoch_ms(ts) - {start_ms}) // {max(1, width_ms)}"


def _put(cursor: duckdb.DuckDBPyConnection, table: str, detector_id: int, incoming: pa.Table) -> None:
    """Insert rows, in place of those of the same moment (and series)."""
    if not incoming.num_rows:
        return
    cursor.register("incoming", incoming)
    same = "incoming.ts = stored.ts"
    if "series_id" in incoming.column_names:
        same += " AND incoming.series_id = stored.series_id"
    cursor.execute(
        f"DELETE FROM {table} AS stored WHERE detector_id = ? "  # noqa: S608 (constants)
        "AND ts >= (SELECT min(ts) FROM incoming) AND ts <= (SELECT max(ts) FROM incoming) "
        f"AND EXISTS (SELECT 1 FROM incoming WHERE {same})",
        [detector_id],
    )
    columns = ", ".join(incoming.column_names)
    cursor.execute(
        f"INSERT INTO {table} (detector_id, {columns}) SELECT ?, {columns} FROM incoming",  # noqa: S608
        [detector_id],
    )
    cursor.unregister("incoming")


def _save(cursor: duckdb.DuckDBPyConnection, anomalies: Iterable[Anomaly]) -> list[Anomaly]:
    saved = []
    for anomaly in anomalies:
        if anomaly.id:
            cursor.execute("DELETE FROM anomalies WHERE id = ?", [anomaly.id])
        else:
            made_id = cursor.execute("SELECT nextval('anomaly_ids')").fetchall()[0][0]
            anomaly = dataclasses.replace(anomaly, id=made_id)
        cursor.execute(
            f"INSERT INTO anomalies ({_COLUMNS}) VALUES ({', '.join('?' * 16)})",  # noqa: S608 (constants)
            [
                anomaly.id,
                anomaly.detector_id,
                anomaly.source_id,
                anomaly.host,
                anomaly.series_id,
                naive(anomaly.start_ts),
                anomaly.end_ts and naive(anomaly.end_ts),
                naive(anomaly.peak_ts),
                anomaly.score,
                anomaly.confidence,
                anomaly.severity,
                *(_known(value) for value in (anomaly.actual, anomaly.expected, anomaly.low, anomaly.high)),
                json.dumps(_jsonable(anomaly.explanation), ensure_ascii=False, allow_nan=False),
            ],
        )
        saved.append(anomaly)
    return saved


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _jsonable(value: Any) -> Any:
    """Plain values for JSON, which has no NaN or infinity: those become null."""
    if isinstance(value, dict):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, datetime) else value


def _scores_table(frame: pd.DataFrame) -> pa.Table:
    """Later rows win over earlier ones of the same moment. NaN stays NaN (Arrow's pandas reader makes it null)."""
    frame = frame.drop_duplicates("ts", keep="last")
    names = [name for name in ("score", "confidence", "threshold", "alone") if name in frame]
    columns = {name: frame[name].to_numpy(np.float64) for name in names}
    return pa.table({"ts": _timestamps(frame["ts"]), **columns})


def _expectations_table(frame: pd.DataFrame) -> pa.Table:
    frame = frame.drop_duplicates(["series_id", "ts"], keep="last")
    columns = {name: frame[name].to_numpy(np.float64) for name in ("low", "expected", "high")}
    return pa.table({"series_id": frame["series_id"].to_numpy(np.int32), "ts": _timestamps(frame["ts"]), **columns})


def _timestamps(moments: pd.Series) -> pa.Array:
    if len(moments) and moments.dt.tz is None:
        raise ValueError("Timestamps have no time zone; use UTC.")
    return pa.array(pd.to_datetime(moments, utc=True).dt.tz_localize(None).to_numpy("datetime64[ms]"))
