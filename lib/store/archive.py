"""What the store knows of days that lie in Parquet files, and how queries see them beside the hot samples."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from lib import frames
from lib.disk import sha256
from lib.errors import StoreBusy, StoreError
from lib.frames import Window
from lib.store import encode, quarantine, tiers
from lib.store.places import Place
from lib.store.schema import naive

if TYPE_CHECKING:
    from lib.store.connection import Store

logger = logging.getLogger(__name__)

DAY_MS = 86_400_000
RAW = "raw"
# How long the first archiving waits for readers who began when there was no archive to look at.
_PATIENCE_S = 30.0
_COLUMNS = "day, tier, name, rows, size_bytes, sha256, digest, version"


@dataclass(frozen=True)
class Part:
    """One file. day: days since 1970, UTC. tier: 'raw', '5m' or '1h'. digest: of a raw file's samples."""

    day: int
    tier: str
    name: str
    rows: int
    size_bytes: int
    sha256: str
    digest: str
    version: int


@dataclass(frozen=True)
class View:
    """The archive as of one transaction. forgotten: samples of removed series still lie in some file."""

    version: int
    parts: tuple[Part, ...]
    forgotten: bool

    def of(self, tier: str, window: Window | None = None) -> list[Part]:
        """A tier's files that may hold something of a window, by day."""
        if window is None:
            return [part for part in self.parts if part.tier == tier]
        first, end = frames.to_ms(window.start) // DAY_MS, frames.to_ms(window.end)
        return [part for part in self.parts if part.tier == tier and first <= part.day and part.day * DAY_MS < end]


_NOTHING = View(0, (), False)


class Archive:
    """Belongs to a Store. The list of files is a table of the store, so that a day changes from hot to archived in one
    transaction, and whoever reads sees it in one place."""

    def __init__(self, store: Store, place: Place) -> None:
        self.store, self.place = store, place
        # The end of the last day that is archived or about to be: who asks for later samples need not look. 0: none is.
        self.reach_ms = 0
        self._seen = _NOTHING
        self._damaged: set[str] = set()
        self._lock = threading.Lock()
        self._database = ""

    def open(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """Look whether the file just opened has an archive; the connection it was given."""
        self._seen = _NOTHING
        self._database = connection.execute("SELECT current_database()").fetchall()[0][0].replace('"', '""')
        self.reach_ms = 0
        if connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'archive_parts'").fetchall():
            days = connection.execute("SELECT max(day) + 1 FROM archive_parts").fetchall()
            self.reach_ms = (days[0][0] or 0) * DAY_MS
        return connection

    @property
    def hot(self) -> str:
        """The table of samples in the store's own file, as a query names it where `samples` is the whole."""
        return f'"{self._database}".main.samples'

    def begin(self, day: int) -> None:
        """Have who asks for this day or earlier ones look at the archive, before it goes there. Raises StoreBusy."""
        if (day + 1) * DAY_MS <= self.reach_ms:
            return
        self.reach_ms = (day + 1) * DAY_MS
        # Who began to read before may be at several queries, and would find the day in neither place.
        if not self.store.drained(_PATIENCE_S):
            raise StoreBusy("A query has been running for long; archiving goes on once it has ended.")

    def look(self, cursor: duckdb.DuckDBPyConnection) -> View:
        """The files as of the cursor's transaction."""
        if not self.reach_ms:
            return _NOTHING
        version = self._version(cursor)
        if self._seen.version != version:
            rows = cursor.execute(
                f"SELECT {_COLUMNS} FROM archive_parts ORDER BY day, tier"  # noqa: S608 (constant)
            ).fetchall()
            forgotten = bool(cursor.execute("SELECT 1 FROM archive_forgotten LIMIT 1").fetchall())
            parts = tuple(Part(*row) for row in rows if row[2] not in self._damaged)
            self._seen = View(version, parts, forgotten)
        return self._seen

    def join(self, cursor: duckdb.DuckDBPyConnection, window: Window | None = None, named: bool = True) -> bool:
        """Let `samples` mean hot and archived ones on this cursor, as of now: a transaction is begun. False when
        nothing of the window is archived or about to be.

        window: what will be asked for at most; files beside it are not opened. named False: only the transaction.
        """
        if not self.reach_ms or (window is not None and frames.to_ms(window.start) >= self.reach_ms):
            return False
        cursor.execute("BEGIN")
        view = self.look(cursor)
        parts = view.of(RAW, window)
        if parts and named:
            cursor.execute(f"CREATE TEMP VIEW samples AS {self.union(view, parts)}")
        return True

    def union(self, view: View, parts: Sequence[Part]) -> str:
        """A query for series_id, ts, value of all that is hot and what lies in these files."""
        hot = f"SELECT series_id, ts, value FROM {self.hot}"  # noqa: S608 (a name)
        if not parts:
            return hot
        # A cast would lose the bounds of each row group, but for this one.
        columns = f"series_id, ts::TIMESTAMP_MS AS ts, {encode.decoded('value')} AS value"
        return f"{hot} UNION ALL SELECT {columns} FROM {self.files(view, parts)}"  # noqa: S608 (names)

    def summed(self, cursor: duckdb.DuckDBPyConnection, window: Window, step_ms: int) -> str:
        """A query for series_id, ts, min, mean, max, last, count in buckets that takes whole archived days from their
        tier, and days whose samples have expired; the others from samples. Its parameters: ids, start, end. Empty where
        no tier fits: then samples have to be asked."""
        fitting = [tier for tier, tier_ms in tiers.TIERS.items() if step_ms % tier_ms == 0]
        if not fitting or frames.to_ms(window.start) >= self.reach_ms:
            return ""
        view = self.look(cursor)
        tier = fitting[-1]
        # Of a day that is changing, its samples are asked.
        late = f"SELECT DISTINCT epoch_ms(ts) // {DAY_MS} FROM {self.hot} WHERE ts < make_timestamp_ms(?)"  # noqa: S608
        changing = {int(row[0]) for row in cursor.execute(late, [self.reach_ms]).fetchall()}
        raw = view.of(RAW, window)
        kept = {part.day for part in raw}
        start_ms, end_ms = frames.to_ms(window.start), frames.to_ms(window.end)
        whole = range(-(-start_ms // DAY_MS), end_ms // DAY_MS)
        chosen = [
            part
            for part in view.of(tier, window)
            if part.day not in kept or (part.day in whole and part.day not in changing)
        ]
        if not chosen or view.forgotten:
            return ""
        taken = {part.day for part in chosen}
        rest = self.union(view, [part for part in raw if part.day not in taken])
        asked = "series_id IN (SELECT unnest($1::INTEGER[])) AND ts >= $2::TIMESTAMP_MS AND ts < $3::TIMESTAMP_MS"
        return f"""WITH partial AS (
            SELECT series_id, epoch_ms(ts) // {step_ms} AS slot, min(value) AS min, max(value) AS max,
                sum(value) AS sum, arg_max(value, epoch_ms(ts)) AS last, max(ts) AS ended, count(*) AS count
            FROM ({rest}) WHERE {asked} AND NOT isnan(value) GROUP BY ALL
            UNION ALL
            SELECT series_id, epoch_ms(ts) // {step_ms} AS slot, min, max, sum, last, ts AS ended, count
            FROM (SELECT {tier_rows(tier)} FROM {self.files(view, chosen)}) WHERE {asked})
        SELECT series_id, make_timestamp_ms(slot * {step_ms}) AS ts, min(min) AS min, sum(sum) / sum(count) AS mean,
            max(max) AS max, arg_max(last, epoch_ms(ended)) AS last, sum(count)::BIGINT AS count
        FROM partial GROUP BY series_id, slot ORDER BY series_id, ts"""  # noqa: S608 (numbers and names)

    def values(self, cursor: duckdb.DuckDBPyConnection, window: Window) -> str:
        """A query for series_id and value of what lies in a window, for who does not ask when: of days that lie in it
        whole the times are not even read. Its parameters: $ids, $start, $end."""
        wanted = "series_id IN (SELECT unnest($ids::INTEGER[]))"
        asked = f"{wanted} AND ts >= $start::TIMESTAMP_MS AND ts < $end::TIMESTAMP_MS"
        view = self.look(cursor)
        parts = view.of(RAW, window)
        first, end = -(-frames.to_ms(window.start) // DAY_MS), frames.to_ms(window.end) // DAY_MS
        whole = [part for part in parts if first <= part.day < end]
        rest = self.union(view, [part for part in parts if not first <= part.day < end])
        query = f"SELECT series_id, value FROM ({rest}) WHERE {asked}"  # noqa: S608 (names)
        if not whole:
            return query
        rows = f"SELECT series_id, {encode.decoded('value')} AS value FROM {self.files(view, whole)}"  # noqa: S608
        return f"{query} UNION ALL SELECT * FROM ({rows}) WHERE {wanted}"  # noqa: S608 (names)

    def files(self, view: View, parts: Sequence[Part]) -> str:
        """What follows FROM to read the rows of some files of one tier, without those of removed series."""
        paths = ", ".join("'" + str(self.path(part)).replace("'", "''") + "'" for part in parts)
        rows = f"read_parquet([{paths}], hive_partitioning = false)"
        if view.forgotten:
            gone = f'SELECT series_id FROM "{self._database}".main.archive_forgotten'  # noqa: S608 (a name)
            rows += f" WHERE series_id NOT IN ({gone})"
        return rows

    def path(self, part: Part) -> Path:
        """A part's file on this machine. One that is gone is taken off the list, and said. Raises StoreError."""
        try:
            return self.place.fetch(part.name)
        except FileNotFoundError:
            self.set_aside(part, "it is no longer there")
            raise StoreError(
                f"The archive of {date_of(part.day)} is gone ({part.name}); it was taken off the list. Ask again, and "
                "see the Settings page for what can be restored."
            ) from None

    def suspect(self, window: Window | None = None) -> str:
        """After a read that failed: look whether files are damaged, set those aside. What happened, or nothing."""
        found = []
        for part in self._seen.of(RAW, window) + [part for part in self._seen.parts if part.tier != RAW]:
            try:
                if part.name not in self._damaged and not self.sound(part):
                    found.append(self.set_aside(part, "its bytes have changed"))
            except (OSError, StoreError):
                continue
        return " ".join(found)

    def sound(self, part: Part) -> bool:
        """Whether a part's bytes are those that were written, in the place itself where a copy here is damaged."""
        return sha256(self.place.fetch(part.name)) == part.sha256 or (
            self.place.far and sha256(self.place.refetch(part.name)) == part.sha256
        )

    def set_aside(self, part: Part, reason: str) -> str:
        """Take a damaged file off the list and move it to quarantine; what was lost, in words."""
        with self._lock:
            if part.name in self._damaged:
                return ""
            self._damaged.add(part.name)
            self._seen = _NOTHING
        about = f"The archive of {date_of(part.day)} ({part.tier}) is damaged: {reason}."
        lost = f"{part.rows:,} rows of {part.tier}."
        file: Path | None = None
        with suppress(OSError, StoreError):
            file = self.place.fetch(part.name)
        with suppress(OSError):
            place = quarantine.set_aside(self.store.path, [], about)
            if file is not None:
                shutil.copy2(file, place / file.name)
            quarantine.write_note(place, about, lost)
        with suppress(duckdb.Error, StoreError), self.store.write() as cursor:
            cursor.execute("DELETE FROM archive_parts WHERE name = ?", [part.name])
            if file is not None:  # one that is gone and comes back is restored, not removed
                noted = [part.name, naive(frames.utcnow())]
                cursor.execute("INSERT INTO archive_gone VALUES (?, ?::TIMESTAMP_MS)", noted)
            if part.tier == RAW:
                cursor.execute("DELETE FROM archive_series WHERE day = ?", [part.day])
            bump(cursor)
        self.store.catalog.clear()
        self.store.notice(f"{about} Lost: {lost}")
        logger.error("archived file damaged", extra={"part": part.name, "reason": reason})
        return f"{about} It was set aside; lost: {lost}"

    def forget(self, cursor: duckdb.DuckDBPyConnection, series_ids: Sequence[int]) -> None:
        """Hide the samples of removed series, in the transaction that removes them; the next run takes them out."""
        if self.reach_ms:
            chosen = "WHERE series_id IN (SELECT unnest(?::INTEGER[]))"
            cursor.execute(
                f"INSERT INTO archive_forgotten SELECT series_id, day FROM archive_series {chosen}",  # noqa: S608
                [list(series_ids)],
            )
            cursor.execute(f"DELETE FROM archive_series {chosen}", [list(series_ids)])  # noqa: S608
            bump(cursor)

    def _version(self, cursor: duckdb.DuckDBPyConnection) -> int:
        return int(cursor.execute("SELECT coalesce(max(version), 0) FROM archive_state").fetchall()[0][0])


def bump(cursor: duckdb.DuckDBPyConnection) -> None:
    """Say that the list of files changes with this transaction."""
    if not cursor.execute("UPDATE archive_state SET version = version + 1").fetchall()[0][0]:
        cursor.execute("INSERT INTO archive_state VALUES (1)")


def day_of(moment: datetime) -> int:
    return frames.to_ms(moment) // DAY_MS


def window_of(day: int) -> Window:
    start = frames.from_ms(day * DAY_MS)
    return Window(start, start + timedelta(days=1))


def date_of(day: int) -> str:
    return f"{frames.from_ms(day * DAY_MS):%Y-%m-%d}"


def edges_of(day: int) -> list[datetime]:
    """A day's start and end as the store's queries take them."""
    window = window_of(day)
    return [naive(window.start), naive(window.end)]


def tier_rows(tier: str) -> str:
    """Columns of a tier's file as a query names them, decoded."""
    values = ", ".join(f"{encode.decoded(name)} AS {name}" for name in tiers.VALUES)
    return f"series_id, ts::TIMESTAMP_MS AS ts, count, {values}"
