"""The other end of a job's pipes: `python -m lib.tasks.child EVENTS_FD PARENT_PID`, started by the app for each job.

Standard input carries the start message and then one answer for each delivery; EVENTS_FD carries events, one JSON
object a line. Standard output and error stay free for whatever libraries print.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from lib import errors
from lib.tasks import job, journal
from lib.tasks.checkpoints import Checkpoints

# Rows change at most four times a second (see runner); more progress events than this only cost the app time.
PROGRESS_EVERY_S = 0.1
PR_SET_PDEATHSIG = 1


class Pipe:
    """Events out, answers in. Losing the app (end of standard input) ends the whole process group."""

    def __init__(self, events_fd: int) -> None:
        os.set_inheritable(events_fd, False)
        self._fd = events_fd
        self._lock = threading.Lock()
        self.answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def send(self, event: dict[str, Any]) -> None:
        data = (json.dumps(event, default=str) + "\n").encode()
        with self._lock:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]

    def listen(self) -> None:
        for line in sys.stdin.buffer:
            self.answers.put(json.loads(line))
        os.killpg(0, signal.SIGKILL)


class ChildContext:
    """The `JobContext` of a job in a process of its own."""

    def __init__(self, pipe: Pipe, workdir: Path) -> None:
        self.workdir = workdir
        self._kept = Checkpoints(workdir.parent / "checkpoints")
        self._pipe = pipe
        self._delivering = threading.Lock()
        self._progress_lock = threading.Lock()
        self._waiting: dict[str, Any] | None = None
        self._sent_at = 0.0
        self._logged = 0

    def progress(self, fraction: float, message: str = "") -> None:
        event = {"event": "progress", "fraction": float(fraction), "message": str(message)}
        with self._progress_lock:
            wait_s = self._sent_at + PROGRESS_EVERY_S - time.monotonic()
            if wait_s > 0:
                # The newest one is sent when its time has come, so that a quiet job still shows where it is.
                if self._waiting is None:
                    timer = threading.Timer(wait_s, self.flush)
                    timer.daemon = True
                    timer.start()
                self._waiting = event
                return
            self._sent_at = time.monotonic()
        self._pipe.send(event)

    def flush(self) -> None:
        with self._progress_lock:
            event, self._waiting = self._waiting, None
            self._sent_at = time.monotonic()
        if event:
            self._pipe.send(event)

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        # What the journal would leave out need not travel.
        self._logged += 1
        kept = journal.MAX_LINES + (journal.RESERVE_LINES if level in ("warning", "error") else 0)
        if self._logged <= kept + 1:
            text = str(message)[: journal.MAX_MESSAGE]
            self._pipe.send({"event": "log", "message": text, "level": level, "values": values})

    def deliver(self, path: Path, **values: Any) -> None:
        with self._delivering:
            self.flush()
            self._pipe.send({"event": "deliver", "path": str(path), "values": values})
            answer = self._pipe.answers.get()
        if not answer["ok"]:
            raise rebuild(answer)

    def checkpoint(self, name: str, value: Any) -> None:
        self._kept.save(name, value)

    def restore(self, name: str) -> Any:
        return self._kept.load(name)


def rebuild(answer: dict[str, Any]) -> Exception:
    """The error the app raised while receiving: of the same class when it is one of ours, else one that names it."""
    kind = getattr(errors, answer["type"], None)
    if isinstance(kind, type) and issubclass(kind, errors.AppError):
        return kind(answer["message"], **answer.get("values", {}))
    return errors.AppError(f"{answer['type']}: {answer['message']}")


def describe(error: BaseException) -> dict[str, Any]:
    """An error as it travels between the processes."""
    message = error.message if isinstance(error, errors.AppError) else str(error)
    return {"type": type(error).__name__, "message": message, "app": isinstance(error, errors.AppError)}


def _stay_with(parent_pid: int) -> None:
    """Die with the app even while a C function holds the interpreter: on Linux the kernel sees to it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the line above
        os._exit(1)


def _limit(memory_mb: int) -> None:
    """Cap what this process may allocate, give way to the app, and be the first to go when the machine runs out.

    RLIMIT_DATA, not RLIMIT_AS: the latter counts address space that numpy's, DuckDB's and Arrow's threads reserve
    and never touch, so that scikit-learn dies at a cap of 2 GB while using 0.6.
    """
    import resource

    size = memory_mb * 1024 * 1024
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    with contextlib.suppress(OSError):
        os.nice(5)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")


def main() -> None:
    events_fd, parent_pid = int(sys.argv[1]), int(sys.argv[2])
    _stay_with(parent_pid)
    start = json.loads(sys.stdin.buffer.readline())
    _limit(start["limit_mb"])
    # Modules the app can import, the job can import.
    sys.path[:] = start["path"]
    pipe = Pipe(events_fd)
    threading.Thread(target=pipe.listen, daemon=True).start()
    context = ChildContext(pipe, Path(start["workdir"]))
    try:
        result = job.load(start["run"])(context, **start["params"])
        context.flush()
        pipe.send({"event": "result", "result": job.as_json(result or {}, "results of the job")})
    except MemoryError as error:
        # Let go of what the frames hold before there is anything to say.
        error = error.with_traceback(None)
        pipe.send({"event": "error", **describe(error), "memory": True})
    except BaseException as error:  # SystemExit too: a job that leaves is a job that failed
        context.flush()
        pipe.send({"event": "error", **describe(error), "traceback": traceback.format_exc()[-20_000:]})
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads and exit handlers of libraries must not hold the task up once its outcome is known.
    os._exit(0)


if __name__ == "__main__":
    main()
