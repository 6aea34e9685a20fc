"""The one DuckDB file of samples and what was found in them; one process owns it, a cursor serves a call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from lib.store.catalog import Catalog
from lib.store.schema import STATEMENTS


class Store:
    """Opened once a process. `read()` lends a cursor; `write()` one inside a transaction, one writer at a time."""

    def __init__(self, path: Path, memory_mb: int = 512) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.catalog = Catalog()
        self._connection = duckdb.connect(str(path), config={"memory_limit": f"{memory_mb}MB", "threads": 2})
        with self.write() as cursor:
            for statement in STATEMENTS:
                cursor.execute(statement)

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of one's own: a shared one silently returns None under load."""
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction: committed on leaving, rolled back when the block raises."""
        with self.lock, self.read() as cursor:
            cursor.execute("BEGIN")
            try:
                yield cursor
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()
