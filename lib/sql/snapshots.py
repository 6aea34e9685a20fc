"""What is stored, as Parquet files a child may read: written when a query asks for it, kept while it is fresh.

Written by DuckDB straight from the file to the disk, so that the app's memory holds none of it.
"""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib import memory
from lib.sql.tables import LATER, PARTS, TABLES, Column, Part, Table
from lib.store.connection import Store

# A query that follows another within this time reads the same snapshot: numbers of one look agree.
FRESH_S = 30.0
# Files nobody asked for this long are removed.
KEEP_S = 3600.0
_DAY_MS = 86_400_000
# A row group of this many rows waits in memory while a file is written: 2 MB of samples.
_ROW_GROUP = 122_880

Rows = Callable[[str], tuple[Mapping[str, type], list[tuple[Any, ...]]]]


@dataclass(frozen=True)
class Snapshot:
    """views: statements that make the tables asked for. as_of: when the oldest piece was looked at."""

    views: tuple[str, ...]
    as_of: datetime


@dataclass
class _Piece:
    """What is known of a part on the disk. files: day (0: not cut by day) -> file. prints: day -> what it held."""

    as_of: datetime
    looked_at: float
    files: dict[int, Path] = field(default_factory=dict)
    prints: dict[int, tuple[int, int]] = field(default_factory=dict)


class Snapshots:
    """folder: its own; emptied at first use, since what a former process wrote is not known any more.

    rows: asks the app database for one of its tables: columns with their Python types, and rows.
    """

    def __init__(self, store: Store, rows: Rows, folder: Path, clock: Callable[[], datetime]) -> None:
        self.store, self.rows, self.folder, self.clock = store, rows, folder, clock
        self._lock = threading.Lock()
        self._readers = 0
        self._gate = threading.Lock()
        self._pieces: dict[str, _Piece] = {}
        self._old: list[Path] = []
        self._numbers = itertools.count(1)
        self._emptied = False

    def tables(self) -> list[Table]:
        """What can be queried at the moment."""
        return [*TABLES.values(), *self._later()]

    @contextmanager
    def of(self, names: Iterable[str], stop: threading.Event) -> Iterator[Snapshot]:
        """A snapshot with these tables; its files stay until the block is left. Stops early, with what there is,
        once `stop` is set: the caller looks at it too."""
        known = {table.name: table for table in self.tables()}
        wanted = [known[name] for name in names]
        with self._gate:
            self._readers += 1
        try:
            with self._lock:
                self._empty()
                parts = dict.fromkeys(part for table in wanted for part in table.parts)
                for name in parts:
                    if stop.is_set():
                        break
                    self._refresh(PARTS.get(name) or Part(name, f'SELECT * FROM "{name}"'), stop)  # noqa: S608
                pieces = {name: self._pieces[name] for name in parts if name in self._pieces}
                views = tuple(_view(table, pieces) for table in wanted if set(table.parts) <= set(pieces))
                as_of = min((piece.as_of for piece in pieces.values()), default=self.clock())
            yield Snapshot(views, as_of)
        finally:
            with self._gate:
                self._readers -= 1
                if not self._readers:
                    self._remove_old()

    def drop(self) -> None:
        """Trust none of the files any more: the next query writes what it needs anew."""
        with self._lock:
            self._old += [file for piece in self._pieces.values() for file in piece.files.values()]
            self._pieces.clear()

    def tidy(self, keep_s: float = KEEP_S) -> None:
        """Remove files when nobody has asked for any for a while."""
        with self._lock, self._gate:
            newest = max((piece.looked_at for piece in self._pieces.values()), default=0.0)
            if self._pieces and not self._readers and time.monotonic() - newest >= keep_s:
                self._pieces.clear()
                self._remove_old()
                self._clear()

    # --- writing ---------------------------------------------------------------------------------

    def _refresh(self, part: Part, stop: threading.Event) -> None:
        piece = self._pieces.get(part.name)
        now = time.monotonic()
        if piece is not None and now - piece.looked_at < FRESH_S:
            return
        made = _Piece(self.clock(), now)
        if part.rows:
            made.files[0] = self._write_rows(part)
        elif part.tier:
            self._link_tier(part, piece, made, stop)
            if stop.is_set():
                return
        elif part.by_day:
            self._write_days(part, piece, made, stop)
            if stop.is_set():
                return
        else:
            made.files[0] = self._copy(part, part.select)
        if piece is not None:
            self._old += [file for file in piece.files.values() if file not in made.files.values()]
        self._pieces[part.name] = made

    def _write_days(self, part: Part, before: _Piece | None, made: _Piece, stop: threading.Event) -> None:
        """A day at a time, and memory given back after each: scanned at once, the store would keep all of it."""
        with self.store.read() as cursor:
            days = cursor.execute(
                f"SELECT epoch_ms({part.by_day}) // {_DAY_MS} AS day, count(*) "  # noqa: S608
                f"FROM ({part.select}) GROUP BY 1 ORDER BY 1"
            ).fetchall()
        for day, count in days:
            self.store.give_back()
            memory.trim()
            if stop.is_set():
                # Files of this round that nobody will read.
                known = set(before.files.values()) if before else set()
                self._old += [file for file in made.files.values() if file not in known]
                return
            start, end = (_literal((day + extra) * _DAY_MS) for extra in (0, 1))
            of_day = f"{part.select} WHERE {part.by_day} >= {start} AND {part.by_day} < {end}"
            with self.store.read() as cursor:
                digest = cursor.execute(f"SELECT sum(hash({part.key})) FROM ({of_day})").fetchall()[0][0]  # noqa: S608
            print_ = (int(count), int(digest or 0))
            if before and before.prints.get(day) == print_:
                made.files[day] = before.files[day]
            else:
                self.store.give_back()
                made.files[day] = self._copy(part, of_day)
            made.prints[day] = print_
        self.store.give_back()
        if not days:
            made.files[0] = self._copy(part, f"{part.select} LIMIT 0")

    def _link_tier(self, part: Part, before: _Piece | None, made: _Piece, stop: threading.Event) -> None:
        """The archive's own files, which never change, by a second name: a child may look into this folder only."""
        with self.store.read(named=False) as cursor:
            found = self.store.archive.look(cursor).of(part.tier)
            for one in found:
                if stop.is_set():
                    break
                print_ = (one.rows, int(one.sha256[:16], 16))
                if before and before.prints.get(one.day) == print_:
                    made.files[one.day] = before.files[one.day]
                else:
                    made.files[one.day] = self._link(part, self.store.archive.path(one))
                made.prints[one.day] = print_
        if stop.is_set():
            known = set(before.files.values()) if before else set()
            self._old += [file for file in made.files.values() if file not in known]
        elif not found:
            made.files[0] = self._copy(part, f"{part.select} LIMIT 0")

    def _link(self, part: Part, path: Path) -> Path:
        file = self.folder / f"{part.name}-{next(self._numbers):06}.parquet"
        try:
            file.hardlink_to(path)
        except OSError:
            # The archive is on another disk, or on one without such links.
            shutil.copyfile(path, file)
        return file

    def _copy(self, part: Part, select: str, register: Any = None) -> Path:
        file = self.folder / f"{part.name}-{next(self._numbers):06}.parquet"
        name = str(file).replace("'", "''")
        try:
            with self.store.read() as cursor:
                if register is not None:
                    cursor.register("incoming", register)
                # This cursor's only. In order, the writer would hold a whole day in memory: 65 MB for 2.9 million rows.
                cursor.execute("SET SESSION preserve_insertion_order = false")
                cursor.execute(f"COPY ({select}) TO '{name}' (FORMAT parquet, ROW_GROUP_SIZE {_ROW_GROUP})")
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return file

    def _write_rows(self, part: Part) -> Path:
        import pyarrow as pa

        columns, rows = self.rows(part.rows)
        arrays = {}
        for position, (name, kind) in enumerate(columns.items()):
            values = [row[position] for row in rows]
            if kind is datetime:
                values = [None if one is None else one.astimezone(UTC).replace(tzinfo=None) for one in values]
                arrays[name] = pa.array(values, pa.timestamp("us"))
            elif kind is int:
                arrays[name] = pa.array(values, pa.int64())
            else:
                arrays[name] = pa.array([None if one is None else _storable(str(one)) for one in values], pa.string())
        return self._copy(part, part.select, pa.table(arrays))

    def _later(self) -> list[Table]:
        with self.store.read() as cursor:
            rows = cursor.execute(
                "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'main' "
                "AND database_name = current_database() AND table_name IN (SELECT unnest(?)) ORDER BY column_index",
                [list(LATER)],
            ).fetchall()
        columns: dict[str, list[Column]] = {}
        for table, column, type_ in rows:
            columns.setdefault(table, []).append(Column(column, type_, "As stored."))
        return [
            Table(name, LATER[name], tuple(found), (name,), f"SELECT * FROM <{name}>")  # noqa: S608
            for name, found in columns.items()
        ]

    def _empty(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._emptied:
            self._clear()
            self._emptied = True

    def _clear(self) -> None:
        """The files, never the folder: children were confined to this very one."""
        for file in self.folder.glob("*.parquet"):
            file.unlink(missing_ok=True)

    def _remove_old(self) -> None:
        for file in self._old:
            file.unlink(missing_ok=True)
        self._old = []


def _view(table: Table, pieces: Mapping[str, _Piece]) -> str:
    query = table.view
    for name in table.parts:
        files = ", ".join("'" + str(file.resolve()).replace("'", "''") + "'" for file in pieces[name].files.values())
        query = query.replace(f"<{name}>", f"read_parquet([{files}])")
    return f'CREATE TEMP VIEW "{table.name}" AS {query}'


def _literal(ts_ms: int) -> str:
    return f"make_timestamp_ms({ts_ms})::TIMESTAMP_MS"


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
