"""Forecasts that were made, kept to be held against what came; and those that are made anew every day."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from lib.store.connection import Store
from lib.store.schema import naive, to_frame

_COLUMNS = (
    "id, source_id, series_id, standing_id, made_at, made_by, start_ts, step_s, steps, model, last, "
    "asked, card, outcome"
)
_POINTS = "ts, low95, low80, middle, high80, high95"
# Of one series: two months of daily forecasts.
KEPT = 60


@dataclass(frozen=True)
class Made:
    """A stored forecast. Times are aware UTC. start_at: where its first step begins. last: the newest value known then.
    asked, card: JSON-able. outcome: how it did, None until all of it has come. id: 0 until saved."""

    source_id: int
    series_id: int
    made_at: datetime
    made_by: str
    start_at: datetime
    step_s: int
    steps: int
    model: str
    last: float
    asked: dict[str, Any]
    card: dict[str, Any]
    outcome: dict[str, Any] | None = None
    standing_id: int | None = None
    id: int = 0

    @property
    def end_at(self) -> datetime:
        return self.start_at + timedelta(seconds=self.step_s * self.steps)


@dataclass(frozen=True)
class Standing:
    """A forecast to be made anew every day. tried_at: None before the first time. id: 0 until saved."""

    source_id: int
    series_id: int
    asked: dict[str, Any]
    created_by: str
    created_at: datetime
    tried_at: datetime | None = None
    id: int = 0


class Forecasts:
    """Reads and writes `forecasts`, `forecast_points` and `standing_forecasts`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def save(self, made: Made, points: Path) -> int:
        """Add a forecast with its points, a Parquet file of ts, low95, low80, middle, high80, high95; its id.

        Of its series the newest 60 are kept. One transaction: both are there or neither is.
        """
        with self.store.write() as cursor:
            made_id = int(cursor.execute("SELECT nextval('forecast_ids')").fetchall()[0][0])
            cursor.execute(
                f"INSERT INTO forecasts ({_COLUMNS}) VALUES ({', '.join('?' * 14)})",  # noqa: S608 (constants)
                [
                    made_id,
                    made.source_id,
                    made.series_id,
                    made.standing_id,
                    naive(made.made_at),
                    made.made_by,
                    naive(made.start_at),
                    made.step_s,
                    made.steps,
                    made.model,
                    made.last,
                    json.dumps(made.asked),
                    json.dumps(made.card),
                    json.dumps(made.outcome) if made.outcome is not None else None,
                ],
            )
            cursor.execute(
                f"INSERT INTO forecast_points (forecast_id, {_POINTS}) "  # noqa: S608 (constants)
                "SELECT ?, make_timestamp_ms(ts_ms), low95, low80, middle, high80, high95 FROM read_parquet(?)",
                [made_id, str(points)],
            )
            old = cursor.execute(
                "SELECT id FROM forecasts WHERE series_id = ? ORDER BY made_at DESC, id DESC OFFSET ?",
                [made.series_id, KEPT],
            ).fetchall()
            _delete(cursor, [row[0] for row in old])
        return made_id

    def get(self, forecast_id: int) -> Made | None:
        return next(iter(self._made("id = ?", [forecast_id], 1)), None)

    def of(self, series_ids: Sequence[int] | None = None, limit: int = KEPT) -> list[Made]:
        """Forecasts of these series (None: of all), newest first."""
        if series_ids is None:
            return self._made("true", [], limit)
        return self._made("series_id IN (SELECT unnest(?::INTEGER[]))", [list(series_ids)], limit)

    def unjudged(self, before: datetime, limit: int = 100) -> list[Made]:
        """Those whose last step ended before a moment and whose outcome was not kept yet, oldest first."""
        return self._made(
            "outcome IS NULL AND epoch_ms(start_ts) + 1000::BIGINT * step_s * steps <= epoch_ms(?::TIMESTAMP_MS)",
            [naive(before)],
            limit,
            order="made_at, id",
        )

    def points(self, forecast_id: int) -> pd.DataFrame:
        """ts, low95, low80, middle, high80, high95, by time."""
        with self.store.read() as cursor:
            return to_frame(
                cursor,
                f"SELECT {_POINTS} FROM forecast_points WHERE forecast_id = ? ORDER BY ts",  # noqa: S608 (constant)
                [forecast_id],
            )

    def judge(self, forecast_id: int, outcome: dict[str, Any]) -> None:
        """Keep how a forecast did."""
        with self.store.write() as cursor:
            cursor.execute("UPDATE forecasts SET outcome = ? WHERE id = ?", [json.dumps(outcome), forecast_id])

    def delete(self, forecast_id: int) -> None:
        with self.store.write() as cursor:
            _delete(cursor, [forecast_id])

    # --- standing ----------------------------------------------------------------------------------

    def keep(self, standing: Standing) -> int:
        """Add one; one of the same series takes its place and keeps its id."""
        with self.store.write() as cursor:
            same = cursor.execute(
                "SELECT id FROM standing_forecasts WHERE series_id = ?", [standing.series_id]
            ).fetchall()
            cursor.execute("DELETE FROM standing_forecasts WHERE series_id = ?", [standing.series_id])
            kept_id = same[0][0] if same else cursor.execute("SELECT nextval('standing_forecast_ids')").fetchall()[0][0]
            cursor.execute(
                "INSERT INTO standing_forecasts VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    kept_id,
                    standing.source_id,
                    standing.series_id,
                    json.dumps(standing.asked),
                    standing.created_by,
                    naive(standing.created_at),
                    standing.tried_at and naive(standing.tried_at),
                ],
            )
        return int(kept_id)

    def standing(self) -> list[Standing]:
        """All of them, oldest first."""
        with self.store.read() as cursor:
            rows = cursor.execute(
                "SELECT source_id, series_id, asked, created_by, created_at, tried_at, id FROM standing_forecasts "
                "ORDER BY id"
            ).fetchall()
        return [
            Standing(source_id, series_id, json.loads(asked), by, _aware(at), tried and _aware(tried), number)
            for source_id, series_id, asked, by, at, tried, number in rows
        ]

    def tried(self, standing_ids: Sequence[int], at: datetime) -> None:
        with self.store.write() as cursor:
            cursor.execute(
                "UPDATE standing_forecasts SET tried_at = ?::TIMESTAMP_MS WHERE id IN (SELECT unnest(?::INTEGER[]))",
                [naive(at), list(standing_ids)],
            )

    def drop(self, standing_id: int) -> bool:
        """Whether there was one."""
        with self.store.write() as cursor:
            rows = cursor.execute("DELETE FROM standing_forecasts WHERE id = ?", [standing_id]).fetchall()
        return bool(rows[0][0])

    def _made(self, condition: str, values: list[Any], limit: int, order: str = "made_at DESC, id DESC") -> list[Made]:
        with self.store.read() as cursor:
            rows = cursor.execute(
                f"SELECT {_COLUMNS} FROM forecasts WHERE {condition} ORDER BY {order} LIMIT ?",  # noqa: S608 (constants)
                [*values, limit],
            ).fetchall()
        names = _COLUMNS.replace("start_ts", "start_at").split(", ")
        return [_of_row(dict(zip(names, row, strict=True))) for row in rows]


def _of_row(values: dict[str, Any]) -> Made:
    for name in ("made_at", "start_at"):
        values[name] = _aware(values[name])
    for name in ("asked", "card", "outcome"):
        values[name] = json.loads(values[name]) if values[name] is not None else None
    return Made(**values)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def _delete(cursor: duckdb.DuckDBPyConnection, ids: Sequence[int]) -> None:
    for table, column in (("forecast_points", "forecast_id"), ("forecasts", "id")):
        cursor.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT unnest(?::BIGINT[]))", [list(ids)])  # noqa: S608
