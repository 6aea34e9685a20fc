"""The connection to app data, and its migration on start."""

from __future__ import annotations

import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlmodel import Session, create_engine

from lib.errors import AppError, Invalid, StoreCorrupt, StoreError, StoreFull, StoreReadOnly, Unavailable

# What SQLite says when the file is not, or no longer, a database.
_DAMAGE = ("malformed", "not a database", "disk i/o error", "database corruption")
_READ_ONLY = ("readonly", "read-only", "unable to open", "permission denied")


def _sqlite_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=10000")
    deadline = time.monotonic() + 10
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            # Two that open a new file together are not made to wait here, whatever the timeout says.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


class Database:
    """App data on SQLite or PostgreSQL. Sessions are short: open, read or write, leave."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._writer = threading.RLock()
        try:
            parsed = make_url(url)
            if parsed.get_backend_name() not in ("sqlite", "postgresql"):
                raise ValueError
            self._shown_url = parsed.render_as_string(hide_password=True)
            self.engine: Engine = create_engine(url, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ImportError, ValueError):
            raise Invalid(
                "DATABASE_URL is not the address of a database AutoOps can use; write "
                "postgresql://user:password@host/name, or leave it empty for SQLite."
            ) from None
        self.path: Path | None = None
        if self.engine.dialect.name == "sqlite":
            self.path = Path(self.engine.url.database or "")
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self._read_only(error.strerror or str(error)) from error
            event.listen(self.engine, "connect", _sqlite_pragmas)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction: committed on leaving, rolled back when the block raises. Rows stay readable after it."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session
            session.commit()

    @contextmanager
    def exclusive(self, what: str) -> Iterator[Session]:
        """A session for read-then-write that must not interleave with another of the same `what`, in any process.

        SQLite: the write lock is taken before the first read, since a read that turns into a write fails
        when another writer came between. PostgreSQL: a lock held until commit. Not to be nested, nor to be
        entered (`Audit.record` does) from within a session that has written already.
        """
        with self._writer, self.session() as session:
            if self.path:
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            else:
                # Locks are numbers; a collision of two names only costs a wait.
                session.connection().exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (zlib.crc32(what.encode()),))
            yield session

    def migrate(self, *, apart: bool = False) -> None:
        """Bring the schema to the newest revision; killed at any step, it is the old one or the new one.

        apart: in a child process, which takes a second longer and leaves this one 15 MB smaller.
        Raises StoreCorrupt (the file was moved aside), StoreReadOnly, StoreFull or Unavailable.
        """
        from lib.db.migrations import upgrade, upgrade_apart

        try:
            if self.path:
                self._check_file()
            if apart:
                upgrade_apart(self.engine, self.url)
            upgrade(self.engine)
        except DBAPIError as error:
            raise self._explained(error) from error

    def close(self) -> None:
        self.engine.dispose()

    def _check_file(self) -> None:
        with self.engine.connect() as connection:
            verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if verdict != "ok":
            raise self._quarantined(str(verdict))

    def _explained(self, error: DBAPIError) -> AppError:
        reason = str(error.orig).strip().splitlines()[0]
        if not self.path:
            return Unavailable(f"The database at {self._shown_url} does not answer ({reason}); check DATABASE_URL.")
        lower = reason.lower()
        if any(sign in lower for sign in _DAMAGE):
            return self._quarantined(reason)
        if any(sign in lower for sign in _READ_ONLY):
            return self._read_only(reason)
        if "full" in lower:
            return StoreFull(f"The disk of {self.path} is full; free some space and start again.")
        return StoreError(f"App data in {self.path} cannot be opened ({reason}).")

    def _read_only(self, reason: str) -> StoreReadOnly:
        return StoreReadOnly(
            f"App data cannot be written to {self.path} ({reason}); make the directory writable for the user this "
            "runs as, or set AUTOOPS_DATA_DIR to one that is."
        )

    def _quarantined(self, reason: str) -> StoreCorrupt:
        """Move the damaged file aside, with the log that belongs to it, and say where."""
        from lib.store.quarantine import set_aside

        assert self.path is not None
        self.engine.dispose()
        parts = [self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm")]
        aside = set_aside(self.path, [part for part in parts if part.exists()], reason) / self.path.name
        return StoreCorrupt(
            f"App data in {self.path} is damaged ({reason}); it was moved to {aside}. Users, sources and settings were "
            f"in it: put a backup in its place, or start again to begin without them. Samples are not touched.",
            quarantine=str(aside),
        )
