"""What could not be collected and when, kept so that it can be fetched later."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pandas as pd

from lib.frames import Window
from lib.store.connection import Store
from lib.store.schema import naive, to_frame

_OPEN = "source_id = ? AND target = ? AND filled_at IS NULL"


class Gaps:
    """A gap is open until all of it was filled. Open gaps of one target never touch each other."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def record(self, source_id: int, target: str, window: Window, reason: str) -> None:
        """Note that nothing was collected for a target in this window.

        Joined with open gaps of the target that overlap or adjoin it; the joined gap has the newest reason. An
        empty window is no gap.
        """
        if not window.span:
            return
        start, end = naive(window.start), naive(window.end)
        touching = f"{_OPEN} AND start_ts <= ?::TIMESTAMP_MS AND end_ts >= ?::TIMESTAMP_MS"
        values = [source_id, target, end, start]
        with self.store.write() as cursor:
            found = cursor.execute(f"SELECT start_ts, end_ts FROM gaps WHERE {touching}", values).fetchall()  # noqa: S608
            cursor.execute(f"DELETE FROM gaps WHERE {touching}", values)  # noqa: S608
            start, end = min([start, *(row[0] for row in found)]), max([end, *(row[1] for row in found)])
            _insert(cursor, source_id, target, start, end, reason)

    def open(self, source_id: int | None = None) -> pd.DataFrame:
        """What is still missing: source_id, target, start, end, reason; oldest first."""
        with self.store.read(archived=False) as cursor:
            return to_frame(
                cursor,
                'SELECT source_id, target, start_ts AS start, end_ts AS "end", reason FROM gaps '
                "WHERE filled_at IS NULL AND (?::INTEGER IS NULL OR source_id = ?) ORDER BY start_ts, target",
                [source_id, source_id],
            )

    def mark_filled(self, source_id: int, target: str, window: Window, now: datetime) -> None:
        """Note that a window was collected after all; what a gap has outside of it stays open."""
        start, end = naive(window.start), naive(window.end)
        overlapping = f"{_OPEN} AND start_ts < ?::TIMESTAMP_MS AND end_ts > ?::TIMESTAMP_MS"
        values = [source_id, target, end, start]
        with self.store.write() as cursor:
            rows = cursor.execute(
                f"SELECT start_ts, end_ts, reason FROM gaps WHERE {overlapping}",  # noqa: S608 (constant)
                values,
            ).fetchall()
            cursor.execute(f"DELETE FROM gaps WHERE {overlapping}", values)  # noqa: S608
            for gap_start, gap_end, reason in rows:
                if gap_start < start:
                    _insert(cursor, source_id, target, gap_start, start, reason)
                if end < gap_end:
                    _insert(cursor, source_id, target, end, gap_end, reason)
                filled = max(gap_start, start), min(gap_end, end)
                _insert(cursor, source_id, target, *filled, reason, naive(now))

    def history(self, source_id: int, limit: int = 100) -> pd.DataFrame:
        """Gaps open and filled, newest first: source_id, target, start, end, reason, filled_at (NaT: open)."""
        with self.store.read(archived=False) as cursor:
            return to_frame(
                cursor,
                'SELECT source_id, target, start_ts AS start, end_ts AS "end", reason, filled_at FROM gaps '
                "WHERE source_id = ? ORDER BY start_ts DESC, target LIMIT ?",
                [source_id, limit],
            )


def _insert(
    cursor: duckdb.DuckDBPyConnection,
    source_id: int,
    target: str,
    start: datetime,
    end: datetime,
    reason: str,
    filled_at: datetime | None = None,
) -> None:
    cursor.execute(
        "INSERT INTO gaps VALUES (?, ?, ?::TIMESTAMP_MS, ?::TIMESTAMP_MS, ?, ?::TIMESTAMP_MS)",
        [source_id, target, start, end, reason, filled_at],
    )
