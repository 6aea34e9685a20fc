"""The children that run queries, seen from the app: started when needed, ended when late, unruly or long idle."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib.tasks.warm import End, Ended, WarmChild

__all__ = ["Child", "End", "Ended", "Pool"]

# A child takes 60 MB and a fifth of a second to start; this long it waits for the next query.
IDLE_S = 300.0
START_WITHIN_S = 20.0


class Child(WarmChild):
    """One process. Not for two queries at a time."""

    def __init__(self, folder: Path, memory_mb: int) -> None:
        arguments = (str(folder.resolve()), str(memory_mb))
        super().__init__("lib.sql.worker", arguments, parts=("columns", "rows"), start_within_s=START_WITHIN_S)

    def broken(self, event: dict[str, Any]) -> bool:
        """DuckDB found itself broken."""
        error = str(event.get("error", ""))
        return '"INTERNAL"' in error or '"FATAL"' in error


class Pool:
    """At most `most` children; those that wait for a query end when they have waited long."""

    def __init__(self, folder: Path, memory_mb: int, most: int = 2) -> None:
        self.folder, self.memory_mb, self.most = folder, memory_mb, most
        self._changed = threading.Condition()
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._starting = 0
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Of the children there are, idle ones first."""
        with self._changed:
            return [child.pid for child in (*self._idle, *self._busy)]

    @contextmanager
    def lend(self, wait_s: float) -> Iterator[Child]:
        """A child for one query, the one used last first. Raises TimeoutError when none is free in time, Ended when
        it cannot be started."""
        child = self._take(wait_s)
        try:
            yield child
        finally:
            # One that has grown leaves the next query less room.
            fit = child.alive and child.size_mb < self.memory_mb / 2
            with self._changed:
                self._busy.discard(child)
                keep = fit and not self._closed
                if keep:
                    self._idle.append(child)
                self._changed.notify()
            if not keep:
                # Who asked has waited long enough.
                threading.Thread(target=child.close, name="end of sql", daemon=True).start()

    def tidy(self, idle_s: float = IDLE_S) -> None:
        """End children nobody has asked for this long."""
        before = time.monotonic() - idle_s
        with self._changed:
            ended = [child for child in self._idle if child.idle_since <= before or not child.alive]
            self._idle = [child for child in self._idle if child not in ended]
        for child in ended:
            child.close()

    def close(self) -> None:
        """End all of them; queries that run end with them."""
        with self._changed:
            self._closed = True
            idle, busy = self._idle, list(self._busy)
            self._idle = []
        for child in busy:
            child.kill()
        for child in idle:
            child.close()

    def _take(self, wait_s: float) -> Child:
        def free() -> bool:
            return self._closed or bool(self._idle) or len(self._busy) + self._starting < self.most

        with self._changed:
            if not self._changed.wait_for(free, wait_s):
                raise TimeoutError
            if self._closed:
                raise Ended(End.STOPPED)
            while self._idle:
                idle = self._idle.pop()
                if idle.alive:
                    self._busy.add(idle)
                    return idle
                idle.close()
            self._starting += 1
        child: Child | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            child = Child(self.folder, self.memory_mb)
        finally:
            with self._changed:
                self._starting -= 1
                if child is not None:
                    self._busy.add(child)
                self._changed.notify()
        return child
