"""A child process that stays and answers one request after another: JSON lines in, JSON lines out, killed when late.

People's SQL (`lib.sql`) and served models (`lib.registry`) run in such children: what goes wrong there ends them and
nothing else.
"""

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
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import psutil

from lib.settings import ROOT

_LOOK_EVERY_S = 0.05
_READ_BYTES = 1 << 16


class End(StrEnum):
    """Why a child ended before it had answered."""

    LATE = "late"  # its time was over
    STOPPED = "stopped"  # a person said so
    DIED = "died"  # by itself: out of memory, or a fault in a library
    UNRULY = "unruly"  # it sent more than it was allowed to


class Ended(Exception):
    """No answer will come; the child is gone."""

    def __init__(self, why: End) -> None:
        super().__init__(why.value)
        self.why = why


class WarmChild:
    """One process. Not for two requests at a time. It says `ready` first; an answer is some events named in `parts` and
    one with another name."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        parts: Sequence[str] = (),
        start_within_s: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.idle_since = time.monotonic()
        self._parts = frozenset(parts)
        self._killed = False
        self._rest = b""
        self._popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=ROOT,
            # Nothing of the app's environment: keys and passwords live there. One arena, so that the cap on the
            # address space is a cap on memory.
            env={"MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
        )
        assert self._popen.stdout
        os.set_blocking(self._popen.stdout.fileno(), False)
        try:
            ready = next(self._events(time.monotonic() + start_within_s, threading.Event(), _READ_BYTES))
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
        """The events of an answer, the last one included. Raises Ended; the child is killed then."""
        deadline, over = time.monotonic() + seconds, False
        try:
            self._send({**request, "seconds": seconds})
            for event in self._events(deadline, stop, most_bytes):
                last = event["event"] not in self._parts
                # Where memory ran out the next request would find scraps.
                over = last and event["event"] != "memory" and not self.broken(event)
                self.idle_since = time.monotonic()
                yield event
                if last:
                    return
        finally:
            if not over:
                self.kill()  # what is left of the answer would be taken for the next one's

    def broken(self, event: dict[str, Any]) -> bool:
        """Whether a last event says that the child is of no further use."""
        return False

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
