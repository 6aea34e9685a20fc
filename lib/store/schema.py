"""The tables of the DuckDB file. No keys or indexes on samples: a PRIMARY KEY costs 57 bytes a sample and is slower."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from lib import frames
from lib.store.engine import connect

__all__ = ["STATEMENTS", "connect", "make_tables", "naive", "to_frame"]

STATEMENTS = (
    "CREATE SEQUENCE IF NOT EXISTS series_ids",
    "CREATE SEQUENCE IF NOT EXISTS anomaly_ids",
    "CREATE SEQUENCE IF NOT EXISTS forecast_ids",
    "CREATE SEQUENCE IF NOT EXISTS standing_forecast_ids",
    """CREATE TABLE IF NOT EXISTS series (
        id INTEGER NOT NULL, source_id INTEGER NOT NULL, metric VARCHAR NOT NULL,
        labels MAP(VARCHAR, VARCHAR) NOT NULL, host VARCHAR NOT NULL, kind VARCHAR NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS samples (series_id INTEGER NOT NULL, ts TIMESTAMP_MS NOT NULL, value DOUBLE NOT NULL)",
    # How far each target has been collected; written in the transaction of its samples, so that a
    # batch is acknowledged exactly when it is there.
    """CREATE TABLE IF NOT EXISTS watermarks (
        source_id INTEGER NOT NULL, target VARCHAR NOT NULL, collected_until TIMESTAMP_MS NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS gaps (
        source_id INTEGER NOT NULL, target VARCHAR NOT NULL,
        start_ts TIMESTAMP_MS NOT NULL, end_ts TIMESTAMP_MS NOT NULL,
        reason VARCHAR NOT NULL, filled_at TIMESTAMP_MS)""",
    # One row a scored moment of a detector: score (higher is stranger), confidence 0..1, threshold in force.
    """CREATE TABLE IF NOT EXISTS scores (
        detector_id INTEGER NOT NULL, ts TIMESTAMP_MS NOT NULL, score DOUBLE NOT NULL,
        confidence DOUBLE NOT NULL, threshold DOUBLE NOT NULL)""",
    # How strange the moment is by itself, so that another threshold can be tried without scoring anew.
    "ALTER TABLE scores ADD COLUMN IF NOT EXISTS alone DOUBLE",
    # What a detector expected of a series at a moment: low and high bound and the middle, in the series' unit.
    """CREATE TABLE IF NOT EXISTS expectations (
        detector_id INTEGER NOT NULL, series_id INTEGER NOT NULL, ts TIMESTAMP_MS NOT NULL,
        low DOUBLE NOT NULL, expected DOUBLE NOT NULL, high DOUBLE NOT NULL)""",
    # end_ts NULL: still going on. series_id: the series that contributed most. actual, expected, low, high: of that
    # series at peak_ts. explanation: JSON (sentence, contributors).
    """CREATE TABLE IF NOT EXISTS anomalies (
        id BIGINT NOT NULL, detector_id INTEGER NOT NULL, source_id INTEGER NOT NULL, host VARCHAR NOT NULL,
        series_id INTEGER, start_ts TIMESTAMP_MS NOT NULL, end_ts TIMESTAMP_MS, peak_ts TIMESTAMP_MS NOT NULL,
        score DOUBLE NOT NULL, confidence DOUBLE NOT NULL, severity VARCHAR NOT NULL,
        actual DOUBLE, expected DOUBLE, low DOUBLE, high DOUBLE, explanation VARCHAR NOT NULL)""",
    # start_ts: where the first step begins; last: the newest value known then. asked, card, outcome: JSON (what was
    # wanted; how good it is; how it did, once all of it has come).
    """CREATE TABLE IF NOT EXISTS forecasts (
        id BIGINT NOT NULL, source_id INTEGER NOT NULL, series_id INTEGER NOT NULL, standing_id INTEGER,
        made_at TIMESTAMP_MS NOT NULL, made_by VARCHAR NOT NULL, start_ts TIMESTAMP_MS NOT NULL,
        step_s INTEGER NOT NULL, steps INTEGER NOT NULL, model VARCHAR NOT NULL, last DOUBLE NOT NULL,
        asked VARCHAR NOT NULL, card VARCHAR NOT NULL, outcome VARCHAR)""",
    # ts: the middle of the step. 80% and 95% intervals around the middle, in the series' unit.
    """CREATE TABLE IF NOT EXISTS forecast_points (
        forecast_id BIGINT NOT NULL, ts TIMESTAMP_MS NOT NULL, low95 DOUBLE NOT NULL, low80 DOUBLE NOT NULL,
        middle DOUBLE NOT NULL, high80 DOUBLE NOT NULL, high95 DOUBLE NOT NULL)""",
    # Forecasts made anew every day. tried_at: when last, whatever came of it.
    """CREATE TABLE IF NOT EXISTS standing_forecasts (
        id INTEGER NOT NULL, source_id INTEGER NOT NULL, series_id INTEGER NOT NULL, asked VARCHAR NOT NULL,
        created_by VARCHAR NOT NULL, created_at TIMESTAMP_MS NOT NULL, tried_at TIMESTAMP_MS)""",
    # Days that lie in Parquet files (lib/store/archive.py). One row; version moves with each change of the list.
    "CREATE TABLE IF NOT EXISTS archive_state (version BIGINT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS archive_parts (
        day INTEGER NOT NULL, tier VARCHAR NOT NULL, name VARCHAR NOT NULL, rows BIGINT NOT NULL,
        size_bytes BIGINT NOT NULL, sha256 VARCHAR NOT NULL, digest VARCHAR NOT NULL, version BIGINT NOT NULL,
        made_at TIMESTAMP_MS NOT NULL, counters_end VARCHAR NOT NULL)""",
    # What a day's file holds of each series.
    """CREATE TABLE IF NOT EXISTS archive_series (
        day INTEGER NOT NULL, series_id INTEGER NOT NULL, count INTEGER NOT NULL,
        first_ms BIGINT NOT NULL, last_ms BIGINT NOT NULL)""",
    # Files to be removed: replaced, expired, or begun by a run that did not end.
    "CREATE TABLE IF NOT EXISTS archive_gone (name VARCHAR NOT NULL, noted_at TIMESTAMP_MS NOT NULL)",
    # What the last run and the last check came to, for people.
    """CREATE TABLE IF NOT EXISTS archive_notes (
        kind VARCHAR NOT NULL, noted_at TIMESTAMP_MS NOT NULL, words VARCHAR NOT NULL)""",
    # Removed series whose samples still lie in the file of a day.
    "CREATE TABLE IF NOT EXISTS archive_forgotten (series_id INTEGER NOT NULL, day INTEGER NOT NULL)",
)


def naive(moment: datetime) -> datetime:
    """A moment as DuckDB keeps it: UTC without a zone, in whole milliseconds. Raises ValueError without one."""
    return frames.from_ms(frames.to_ms(moment)).replace(tzinfo=None)


def to_frame(cursor: duckdb.DuckDBPyConnection, query: str, parameters: list[Any]) -> pd.DataFrame:
    """A query's rows as a frame; columns of time come out with their zone, UTC, in milliseconds."""
    table = cursor.sql(query, params=parameters).to_arrow_table()
    fields = [
        pa.field(field.name, pa.timestamp("ms", tz="UTC")) if pa.types.is_timestamp(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields)).to_pandas()


def make_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """All at once, those that are there left as they are."""
    connection.execute("BEGIN")
    for statement in STATEMENTS:
        connection.execute(statement)
    connection.execute("COMMIT")
