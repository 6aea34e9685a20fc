"""DuckDB instances, and nothing else: what a small process opens one with brings neither pandas nor Arrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb


def connect(name: str, memory_mb: int, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """An instance on a file, or in memory (`:memory:`), tuned to be a guest in the app's process."""
    config: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MB",
        "threads": 2,
        # Nothing here needs an extension, and nothing may be fetched.
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        # What a large query took goes back to the system when it ends; by default 128 MB a thread would be kept.
        "allocator_flush_threshold": "1MB",
        "allocator_bulk_deallocation_flush_threshold": "4MB",
        # Rows of the log are held in memory, uncompressed, until they are folded into the file.
        "wal_autocheckpoint": "4MB",
    }
    return duckdb.connect(name, read_only=read_only, config=config)


def spilling(scratch: Path, memory_mb: int) -> duckdb.DuckDBPyConnection:
    """An instance in memory that spills into `scratch`."""
    connection = connect(":memory:", memory_mb)
    connection.execute(f"SET temp_directory = '{str(scratch).replace(chr(39), chr(39) * 2)}'")
    return connection


def reason(error: duckdb.Error, path: Path) -> str:
    """The first line of what DuckDB says, without its class and without saying where the file lies."""
    line = str(error).splitlines()[0]
    words = (line.partition(": ")[2] or line).partition(" in file ")[0]
    return words.replace(f"'{path}'", "").replace(str(path), "").replace("  ", " ").rstrip(". ")
