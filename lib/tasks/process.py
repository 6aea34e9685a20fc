"""A job's child process seen from the app: start it, hear it, answer it, end it with all it started."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from lib.settings import ROOT

# What threads and allocators of DuckDB, Arrow and OpenBLAS map and never touch counts against RLIMIT_DATA (measured:
# 1.3 GB beside 0.6 GB really used, on four cores). So that limit, at the cap plus this, stops sudden bombs, and the
# memory really used is looked at twice a second (Execution).
UNTOUCHED_MB = 1536
# Names the task a process belongs to, so that what a killed app left over is found (see `kill_left_over`).
FOLDER_VARIABLE = "AUTOOPS_TASK_FOLDER"
GRACE_S = 1.0  # between SIGTERM and SIGKILL
LEAVE_WITHIN_S = 2.0  # for a child that has said how it ended and does not go
TICK_S = 0.2
_READ_BYTES = 1 << 16
_MAX_LINE_BYTES = 1 << 22


class Lines:
    """Cuts a stream of bytes into lines; for prints, a progress bar's carriage returns count as line ends."""

    def __init__(self, prints: bool) -> None:
        self._rest = b""
        self._prints = prints

    def feed(self, data: bytes) -> list[bytes]:
        data = self._rest + data
        if self._prints:
            data = data.replace(b"\r", b"\n")
        *lines, self._rest = data.split(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        return lines

    def end(self) -> list[bytes]:
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


class Process:
    """A fresh interpreter in a session of its own. Must be made by a thread that lives longer than the child: the
    kernel kills the child when that thread ends."""

    def __init__(self, folder: Path, scratch: Path, environment: Mapping[str, str] | None = None) -> None:
        self._events, events_out = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "lib.tasks.child", str(events_out), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[events_out],
                start_new_session=True,
                cwd=ROOT,
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    "PYTHONFAULTHANDLER": "1",
                    # What libraries leave in temporary folders goes away with the exchange files.
                    "TMPDIR": str(scratch),
                    "JOBLIB_TEMP_FOLDER": str(scratch),
                    FOLDER_VARIABLE: str(folder.resolve()),
                    **(environment or {}),
                },
            )
        except BaseException:
            os.close(self._events)
            raise
        finally:
            os.close(events_out)

    def begin(self, run: str, params: dict[str, Any], workdir: Path, memory_mb: int, path: Sequence[str] = ()) -> None:
        """Tell the child what to do. Parameters go through the pipe, so that none is seen by `ps` or on disk.

        path: where to import from before everything this process imports from.
        """
        path = list(dict.fromkeys([*path, *(entry or str(Path.cwd()) for entry in sys.path)]))
        limit_mb = memory_mb + UNTOUCHED_MB
        self.answer({"run": run, "params": params, "workdir": str(workdir), "limit_mb": limit_mb, "path": path})

    def answer(self, answer: dict[str, Any]) -> None:
        """One line to the child; when it is gone, `events` will end."""
        assert self._popen.stdin
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.write((json.dumps(answer) + "\n").encode())
            self._popen.stdin.flush()

    def events(self) -> Iterator[dict[str, Any]]:
        """What the child says (see child.py), what it prints as {event: "print", level, message}, and
        {event: "tick"} at least every fifth of a second. Ends when the child is gone and all was read."""
        assert self._popen.stdout and self._popen.stderr
        streams = {
            self._events: ("", Lines(prints=False)),
            self._popen.stdout.fileno(): ("info", Lines(prints=True)),
            self._popen.stderr.fileno(): ("warning", Lines(prints=True)),
        }
        leave_by: float | None = None
        gone = False
        with selectors.DefaultSelector() as selector:
            for fd in streams:
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ)
            while True:
                # Once the child is gone, what it left in the pipes is read without waiting.
                ready = selector.select(0 if gone else TICK_S)
                if gone and not ready:
                    return
                for key, _ in ready:
                    level, lines = streams[key.fd]
                    data = os.read(key.fd, _READ_BYTES)
                    if not data:
                        selector.unregister(key.fd)
                    for line in lines.feed(data) if data else lines.end():
                        if level:
                            if line.strip():
                                yield {"event": "print", "level": level, "message": line.decode("utf-8", "replace")}
                            continue
                        event = json.loads(line)
                        if event["event"] in ("result", "error"):
                            leave_by = time.monotonic() + LEAVE_WITHIN_S
                        yield event
                yield {"event": "tick"}
                late = leave_by is not None and time.monotonic() > leave_by
                if not gone and (late or not selector.get_map()):
                    self._signal(signal.SIGKILL)
                if not gone and self._popen.poll() is not None:
                    gone = True
                    # What it started may hold the pipes open.
                    self._signal(signal.SIGKILL)

    @property
    def returncode(self) -> int | None:
        return self._popen.returncode

    def kill(self) -> None:
        """SIGTERM to the child and all it started, SIGKILL a second later to those that stay. From any thread."""
        if self._popen.poll() is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            self._popen.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)

    def close(self) -> None:
        """End it if it is still there, let go of the pipes, reap it."""
        if self._popen.poll() is None:
            self._signal(signal.SIGKILL)
        os.close(self._events)
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            with contextlib.suppress(OSError):  # unsent bytes for a reader that is gone
                if stream:
                    stream.close()
        self._popen.wait(10)

    def memory_mb(self) -> float:
        """Memory really used by the child and all it started."""
        total = 0
        with contextlib.suppress(psutil.Error):
            leader = psutil.Process(self._popen.pid)
            for process in (leader, *leader.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total / 2**20

    def _signal(self, which: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM of a group that is gone
            os.killpg(self._popen.pid, which)


def kill_left_over(tasks_dir: Path) -> None:
    """End what the children of a killed app had started themselves; the children died with it."""
    root = str(tasks_dir.resolve()) + os.sep
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(FOLDER_VARIABLE, "").startswith(root):
                process.kill()
