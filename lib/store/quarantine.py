"""Where damaged files go, what is known of them, and how what they still hold is brought back."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from lib.store import faults
from lib.store.faults import Fault

logger = logging.getLogger(__name__)

# Every DuckDB log begins with this entry (its version); anything else is skipped without a word on opening.
_JOURNAL_START = b"d\x00b"
# Rows of a DuckDB row group: what one damaged block takes with it.
_ROW_GROUP = 122_880
# Small tables first: without `series` the samples mean nothing.
_ARCHIVE = ("archive_state", "archive_parts", "archive_series", "archive_gone", "archive_forgotten", "archive_notes")
_TABLES = ("series", *_ARCHIVE, "gaps", "anomalies", "expectations", "scores", "samples")


@dataclass(frozen=True)
class Note:
    """One event: when, why, where the files lie, what was lost."""

    at: str
    reason: str
    path: str
    lost: str


@dataclass(frozen=True)
class Salvaged:
    """restored, lost: rows by table. readable: False when the file did not even open."""

    restored: dict[str, int]
    lost: dict[str, int]
    readable: bool = True

    @property
    def words(self) -> str:
        """What was lost, for people."""
        if not self.readable:
            return "Nothing in it can be read; everything stored until then is lost here."
        restored = f"{self.restored.get('samples', 0):,} samples of {self.restored.get('series', 0):,} series"
        if not self.lost:
            return f"Nothing was lost: {restored} were brought back."
        lost = ", ".join(f"{rows:,} rows of {table}" for table, rows in self.lost.items())
        return f"Lost: {lost}. Brought back: {restored}."


def try_to_create(path: Path) -> None:
    """Raise the OSError that writing beside this file would meet.

    The file itself is not opened: closing it again would drop the lock DuckDB holds on it in this process.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.probe"):
        pass
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def journal_of(path: Path) -> Path:
    """DuckDB's write-ahead log beside a file."""
    return path.with_name(path.name + ".wal")


def beside(path: Path) -> list[Path]:
    """The file and all DuckDB keeps next to it, as far as they exist."""
    return [file for file in (path, *sorted(path.parent.glob(f"{path.name}.*"))) if file.is_file()]


def journal_is_garbage(path: Path) -> bool:
    """Whether the log beside a file holds something that never was one; DuckDB would silently ignore it."""
    journal = journal_of(path)
    if not journal.is_file():
        return False
    with journal.open("rb") as file:
        start = file.read(len(_JOURNAL_START))
    return not _JOURNAL_START.startswith(start)


def set_aside(path: Path, files: list[Path], reason: str, keep: bool = False) -> Path:
    """Move files (copy with `keep`) into a directory of their own under quarantine/; that directory."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    place = path.parent / "quarantine" / stamp
    number = 1
    while place.exists():
        number += 1
        place = place.with_name(f"{stamp}-{number}")
    place.mkdir(parents=True)
    for file in files:
        if keep:
            shutil.copy2(file, place / file.name)
        else:
            file.rename(place / file.name)
    logger.error("set aside damaged files", extra={"place": str(place), "reason": reason})
    return place


def cut_journal(path: Path, position: int | None) -> None:
    """Keep the part of the log before its first bad entry; without a position, none of it."""
    journal = journal_of(path)
    if position is None:
        journal.unlink()
    else:
        with journal.open("r+b") as file:
            file.truncate(position)


def write_note(place: Path, reason: str, lost: str) -> None:
    """Leave beside the files why they are there."""
    note = Note(datetime.now(UTC).isoformat(timespec="seconds"), reason, str(place), lost)
    (place / "note.json").write_text(json.dumps(asdict(note), ensure_ascii=False, indent=1))


def notes(path: Path) -> list[Note]:
    """All that was ever set aside for a file and still lies there, oldest first."""
    found = []
    for place in sorted((path.parent / "quarantine").glob("*/")):
        try:
            found.append(Note(**json.loads((place / "note.json").read_text())))
        except (OSError, ValueError, TypeError):
            found.append(Note("", "unknown: its note is missing", str(place), "unknown"))
    return found


def salvage(damaged: Path, into: duckdb.DuckDBPyConnection) -> Salvaged:
    """Copy every row group that can still be read into a fresh store.

    Watermarks are left behind unless every sample came along, so that the collector fetches the rest again.
    """
    source = _Damaged(damaged)
    restored: dict[str, int] = {}
    lost: dict[str, int] = {}
    readable = True
    try:
        held = set(source.ask("SELECT table_name FROM duckdb_tables()")["table_name"].to_pylist())
        for table in _TABLES:
            if table in _ARCHIVE and table not in held:
                continue  # written by a version that had no archive
            rows, missing = _copy(source, into, table)
            restored[table] = rows
            if missing:
                lost[table] = missing
            if table == "series" and (missing or not rows):
                # Ids would point at nothing, or worse, at series made later.
                break
        if not lost and restored.get("series"):
            _copy(source, into, "watermarks")
    except duckdb.Error as error:
        if faults.diagnose(error, damaged) not in (Fault.CORRUPT, Fault.JOURNAL, Fault.DEAD, Fault.OTHER):
            raise
        readable = False
    finally:
        source.close()
    for sequence, table in (("series_ids", "series"), ("anomaly_ids", "anomalies")):
        last = into.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchall()[0][0]  # noqa: S608
        into.execute(f"CREATE OR REPLACE SEQUENCE {sequence} START {last + 1}")
    return Salvaged(restored, lost, readable)


class _Damaged:
    """A damaged file, read in an instance of its own: one bad block can end the whole instance."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: duckdb.DuckDBPyConnection | None = None

    def ask(self, query: str) -> pa.Table:
        if self._connection is None:
            self._connection = self._open()
        try:
            return self._connection.sql(query).to_arrow_table()
        except duckdb.Error:
            self.close()
            raise

    def _open(self) -> duckdb.DuckDBPyConnection:
        try:
            return duckdb.connect(str(self.path), read_only=True)
        except duckdb.Error as error:
            if faults.diagnose(error, self.path) is not Fault.JOURNAL:
                raise
        # The log is damaged as well: try without it.
        journal = journal_of(self.path)
        journal.rename(journal.with_suffix(".unread"))
        return duckdb.connect(str(self.path), read_only=True)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _copy(source: _Damaged, into: duckdb.DuckDBPyConnection, table: str) -> tuple[int, int]:
    """Rows copied and rows lost."""
    count = source.ask(f"SELECT count(*) AS n FROM {table}")["n"][0].as_py()  # noqa: S608
    groups = source.ask(f"SELECT coalesce(max(row_group_id), -1) AS n FROM pragma_storage_info('{table}')")  # noqa: S608
    copied = 0
    for group in range(groups["n"][0].as_py() + 2):
        first = group * _ROW_GROUP
        try:
            rows = source.ask(
                f"SELECT * FROM {table} WHERE rowid >= {first} AND rowid < {first + _ROW_GROUP}"  # noqa: S608
            )
        except duckdb.Error as error:
            logger.warning("row group cannot be read", extra={"table": table, "group": group, "error": str(error)})
            continue
        if rows.num_rows:
            into.register("incoming", rows)
            into.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")  # noqa: S608
            into.unregister("incoming")
            copied += rows.num_rows
    return copied, max(0, count - copied)
