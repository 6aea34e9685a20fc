"""The connection to app data, and its migration on start."""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, event
from sqlmodel import Session, create_engine

log = logging.getLogger(__name__)


def _sqlite_pragmas(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class Database:
    """App data on SQLite or PostgreSQL. Sessions are short: open, read or write, leave."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._writer = threading.RLock()
        if url.startswith("sqlite:///"):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self.engine: Engine = create_engine(url, pool_pre_ping=True)
        if self.engine.dialect.name == "sqlite":
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
        when another writer came between. PostgreSQL: a lock held until commit.
        """
        with self._writer, self.session() as session:
            if self.engine.dialect.name == "sqlite":
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            else:
                # Locks are numbers; a collision of two names only costs a wait.
                session.connection().exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (zlib.crc32(what.encode()),))
            yield session

    def migrate(self) -> None:
        """Bring the schema to the newest revision; each step is one transaction, old or new and nothing between."""
        from lib.db.migrations import upgrade

        upgrade(self.engine)

    def close(self) -> None:
        self.engine.dispose()
