"""The children that run queries, seen from the app: started when needed, ended when late, unruly or long idle."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from lib.settings import ROOT

# A child takes 60 MB and a fifth of a second to start; this long it waits for the next query.
IDLE_S = 300.0
START_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.05
_READ_BYTES = 1 << 16


class End(StrEnum):
    """Why a child ended before it had answered."""

    LATE = "late"  # its time was over
    STOPPED = "stopped"  # a person said so
    DIED = "died"  # by itself: out of memory, or a fault of DuckDB
    UNRULY = "unruly"  # it sent more than it was allowed to


class Ended(Exception):
    """No answer will come; the child is gone."""

    def __init__(self, why: End) -> None:
        super().__init__(why.value)
        self.why = why


class Child:
    """One process. Not for two queries at a time."""

    def __init__(self, folder: Path, memory_mb: int) -> None:
        self.idle_since = time.monotonic()
        self._killed = False
        self._rest = b""
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "lib.sql.worker", str(folder.resolve()), str(memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=ROOT,
            # Nothing of the app's environment: keys and passwords live there. One arena, so that the cap on the
            # address space is a cap on memory.
            env={"MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert self._popen.stdout
        os.set_blocking(self._popen.stdout.fileno(), False)
        try:
            ready = next(self._events(time.monotonic() + START_WITHIN_S, threading.Event(), _READ_BYTES))
        except BaseException:
            self.close()
            raise
        self.locked = bool(ready.get("locked"))

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return not self._killed and self._popen.poll() is None

    def ask(
        self, request: dict[str, Any], seconds: float, stop: threading.Event, most_bytes: int = 1 << 20
    ) -> Iterator[dict[str, Any]]:
        """The events of an answer (see worker.py), the last one included. Raises Ended; the child is killed then."""
        deadline, over = time.monotonic() + seconds, False
        try:
            self._send({**request, "seconds": seconds})
            for event in self._events(deadline, stop, most_bytes):
                last = event["event"] not in ("columns", "rows")
                # Where memory ran out, or DuckDB found itself broken, the next query would find scraps.
                over = last and event["event"] != "memory" and not _broken(str(event.get("error", "")))
                self.idle_since = time.monotonic()
                yield event
                if last:
                    return
        finally:
            if not over:
                self.kill()  # what is left of the answer would be taken for the next one's

    @property
    def size_mb(self) -> float:
        """Its address space, which is what its cap is about; 0 when it is gone."""
        with contextlib.suppress(psutil.Error):
            return float(psutil.Process(self._popen.pid).memory_info().vms) / 2**20
        return 0.0

    def kill(self) -> None:
        """At once, with all it may have started; from any thread. Does not wait until the system has taken its memory
        back, a third of a second on a busy machine: `close` does."""
        self._killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._popen.poll() is None:
                os.killpg(self._popen.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill, let go of the pipes, and wait until it is gone."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(5)
        for stream in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()

    def _send(self, request: dict[str, Any]) -> None:
        assert self._popen.stdin
        try:
            self._popen.stdin.write((json.dumps(request) + "\n").encode())
            self._popen.stdin.flush()
        except OSError:
            raise Ended(End.DIED) from None

    def _events(self, deadline: float, stop: threading.Event, most_bytes: int) -> Iterator[dict[str, Any]]:
        assert self._popen.stdout
        fd, seen = self._popen.stdout.fileno(), 0
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            while True:
                *lines, self._rest = self._rest.split(b"\n")
                for line in lines:
                    yield json.loads(line)
                if stop.is_set():
                    raise Ended(End.STOPPED)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Ended(End.LATE)
                if not selector.select(min(left, _LOOK_EVERY_S)):
                    continue
                data = os.read(fd, _READ_BYTES)
                if not data:
                    raise Ended(End.STOPPED if stop.is_set() else End.DIED)
                seen += len(data)
                if seen > most_bytes:
                    raise Ended(End.UNRULY)
                parts = [self._rest, data]
                # A long line comes in many pieces: they are joined once.
                while b"\n" not in data and seen <= most_bytes and selector.select(0):
                    data = os.read(fd, _READ_BYTES)
                    if not data:
                        break
                    seen += len(data)
                    parts.append(data)
                self._rest = b"".join(parts)


def _broken(error: str) -> bool:
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
