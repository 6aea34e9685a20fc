"""What an error of DuckDB means for the store: it names no codes, so its words are read, in one place."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

import duckdb


class Fault(Enum):
    """What went wrong underneath."""

    BUSY = "another process holds the file"
    FULL = "no room on the disk, or a quota reached"
    READ_ONLY = "the file or its directory cannot be written"
    JOURNAL = "the write-ahead log cannot be replayed"
    CORRUPT = "the file is damaged"
    MEMORY = "the memory limit is too low for the query"
    DEAD = "the instance refuses everything until it is reopened"
    STOPPED = "the query was interrupted"
    OTHER = "nothing this module knows: a mistake in a query, say"


# In this order: an instance that died says why, and the reason matters more than its death. The texts of the
# operating system are those of strerror in the C locale, which Python and DuckDB keep.
_WORDS = (
    (Fault.BUSY, ("Could not set lock on file",)),
    (Fault.FULL, ("No space left on device", "Disk quota exceeded", "File too large")),
    (Fault.READ_ONLY, ("Read-only file system", "Permission denied", "Operation not permitted", "read-only mode")),
    (Fault.JOURNAL, ("replaying WAL", "Corrupt WAL", "WAL file")),
    (Fault.CORRUPT, ("not a valid DuckDB database", "Corrupt database", "does not match stored checksum")),
    (Fault.DEAD, ("has been invalidated", "FATAL Error")),
)
# DuckDB says so when only the checkpoint after a commit failed: nothing is lost, nothing needs repeating.
_DURABLE = "COMMIT succeeded and is durable"


def diagnose(error: duckdb.Error, path: Path) -> Fault:
    """Which fault an error speaks of; `path` is the store's file (another file may be cut short too)."""
    text = str(error)
    if f'Could not read enough bytes from file "{path}"' in text:
        return Fault.CORRUPT
    for fault, words in _WORDS:
        if any(word in text for word in words):
            return fault
    if isinstance(error, duckdb.OutOfMemoryException):
        return Fault.MEMORY
    if isinstance(error, duckdb.InterruptException):
        return Fault.STOPPED
    return Fault.OTHER


def is_dead(error: duckdb.Error) -> bool:
    """Whether the instance answers nothing any more, reads included."""
    return "has been invalidated" in str(error) or isinstance(error, duckdb.FatalException)


def is_durable(error: duckdb.Error) -> bool:
    """Whether the commit that raised this is safe on the disk all the same."""
    return _DURABLE in str(error)


def holder(error: duckdb.Error) -> int | None:
    """The process that holds the file, as far as the system tells."""
    found = re.search(r"PID (\d+)", str(error))
    return int(found[1]) if found else None


def journal_position(error: duckdb.Error) -> int | None:
    """Where in the write-ahead log the first bad entry begins."""
    found = re.search(r"entry at byte position (\d+)", str(error))
    return int(found[1]) if found else None


def first_line(error: Exception) -> str:
    """What an error says first, as a part of a sentence."""
    return str(error).splitlines()[0].rstrip(".")
