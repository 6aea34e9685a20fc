"""A task's log on disk: one JSON object a line, appended by the app, read again from any line on."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.log import redact

logger = logging.getLogger(__name__)

# A job that logs without end costs at most this much disk; about 20 MB at 200 bytes a line.
MAX_LINES = 100_000
MAX_BYTES = 32 * 1024 * 1024
# Kept free for warnings, errors and the last words once the log is full: those are what one looks for.
RESERVE_LINES = 1_000
MAX_MESSAGE = 8_000
_CHUNK = 1 << 20


class Journal:
    """The writing end, for one task, usable from several threads. A full disk ends the log, not the job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = path.open("ab", buffering=0)
        self._lines, self._bytes = 0, self._file.tell()
        if self._bytes:
            with path.open("rb") as written:
                while chunk := written.read(_CHUNK):
                    self._lines += chunk.count(b"\n")
                    torn = not chunk.endswith(b"\n")
            if torn:  # the app was killed in the middle of a line
                self._file.write(b"\n")
                self._lines += 1
        self._said_full = False

    @property
    def full(self) -> bool:
        """Whether plain lines are left out by now, so that a reader of a chatty job need not look at them."""
        return self._lines >= MAX_LINES or self._bytes >= MAX_BYTES

    def write(self, message: str, level: str = "info", /, **values: Any) -> None:
        """Append one line. Past the bound only warnings and errors are kept, past the reserve nothing."""
        with self._lock:
            if self._file.closed:
                return
            if self.full and not self._said_full:
                self._said_full = True
                said = f"The log is full ({self._lines:,} lines); from here on only warnings and errors."
                self._append(said, "warning", {})
            if self.full and (level not in ("warning", "error") or self._lines >= MAX_LINES + RESERVE_LINES):
                return
            self._append(message, level, values)

    def last_words(self, message: str, level: str = "info", /, **values: Any) -> None:
        """Append a line whatever the bound: how the task ended."""
        with self._lock:
            if not self._file.closed:
                self._append(message, level, values)

    def _append(self, message: str, level: str, values: dict[str, Any]) -> None:
        entry = {
            "ts": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "message": message[:MAX_MESSAGE],
            "values": values,
        }
        text = json.dumps(entry, default=str, ensure_ascii=False)
        if len(text) > 4 * MAX_MESSAGE:
            text = json.dumps({**entry, "values": {"left_out": "values too long for one line"}}, ensure_ascii=False)
        line = redact(text).encode("utf-8", "replace") + b"\n"
        try:
            self._file.write(line)
        except OSError as error:
            logger.warning("task log not written", extra={"path": str(self.path), "reason": str(error)})
            return
        self._lines += 1
        self._bytes += len(line)

    def close(self) -> None:
        with self._lock:
            self._file.close()


def count(path: Path) -> int:
    """How many whole lines a log has; 0 when there is none yet."""
    lines = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                lines += chunk.count(b"\n")
    except FileNotFoundError:
        return 0
    return lines


def read(path: Path, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
    """Lines from number `after` on (the first is 0), at most `limit`: {n, ts, level, message, values}.

    Skipping only counts line ends, 100,000 lines in a few milliseconds. A line still being written is left out.
    """
    found: list[dict[str, Any]] = []
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return found
    with file:
        n = 0
        while n < after:
            start = file.tell()
            chunk = file.read(_CHUNK)
            if not chunk:
                return found
            ends = chunk.count(b"\n")
            if n + ends < after:
                n += ends
                continue
            position = -1
            while n < after:
                position = chunk.index(b"\n", position + 1)
                n += 1
            file.seek(start + position + 1)
        for line in file:
            if not line.endswith(b"\n") or (limit is not None and len(found) >= limit):
                break
            found.append({"n": n, **_parse(line)})
            n += 1
    return found


def _parse(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
        return {key: entry[key] for key in ("ts", "level", "message", "values")}
    except (ValueError, KeyError, TypeError):
        # Torn by a kill: what is legible is still shown.
        return {"ts": "", "level": "warning", "message": line.decode("utf-8", "replace").strip(), "values": {}}
