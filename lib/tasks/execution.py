"""One job from its preparation to its end: in a child process that may be killed, or in a thread that is asked."""

from __future__ import annotations

import json
import logging
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, Any

import psutil

from lib.errors import AppError, Invalid
from lib.log import redact
from lib.settings import ROOT, TaskMode
from lib.tasks.child import describe
from lib.tasks.job import Cancelled, JobKind, as_json, load
from lib.tasks.journal import Journal

logger = logging.getLogger(__name__)

# What threads and allocators of DuckDB, Arrow and OpenBLAS map and never touch counts against RLIMIT_DATA (measured:
# 1.3 GB beside 0.6 GB really used, on four cores). So that limit stops sudden bombs at the cap plus this, and the
# memory really used is looked at once a second.
UNTOUCHED_MB = 1536
LOOK_AT_MEMORY_EVERY_S = 0.5
GRACE_S = 1.0  # between SIGTERM and SIGKILL
_READ = 1 << 16
_MAX_LINE = 1 << 22
_OUT_OF_MEMORY = (
    "bad_alloc",
    "can't start new thread",
    "Cannot allocate memory",
    "failed to map segment",
    "Out of Memory",
)


class JobFailed(Exception):
    """Why a job did not succeed, in words for the person who started it."""


class Lines:
    """Cuts a stream of bytes into lines; a progress bar's carriage returns count as line ends."""

    def __init__(self, returns: bool) -> None:
        self._rest = b""
        self._returns = returns

    def feed(self, data: bytes) -> list[bytes]:
        data = self._rest + data
        if self._returns:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = data.split(b"\n")
        if len(self._rest) > _MAX_LINE:
            lines.append(self._rest)
            self._rest = b""
        return lines

    def end(self) -> list[bytes]:
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


class Execution:
    """What is known of a task while it runs. The first to `claim` its ending decides it."""

    def __init__(
        self,
        task_id: int,
        kind: JobKind,
        params: dict[str, Any],
        folder: Path,
        mode: TaskMode,
        memory_mb: int,
        deadline_s: float,
    ) -> None:
        self.task_id, self.kind, self.params, self.mode = task_id, kind, params, mode
        self.memory_mb, self.deadline_s = kind.memory_mb or memory_mb, kind.deadline_s or deadline_s
        self.folder, self.workdir = folder, folder / "exchange"
        # A folder of this number can be left from a database that is gone.
        shutil.rmtree(folder, ignore_errors=True)
        self.workdir.mkdir(parents=True)
        self.journal = Journal(folder / "log.jsonl")
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ending: tuple[str, str] | None = None
        self._deadline = time.monotonic() + self.deadline_s
        self._progress: tuple[float, str] = (0.0, "")
        self._progress_new = False

    # --- how it ends --------------------------------------------------------------------------

    def claim(self, status: str, words: str = "") -> bool:
        """Decide the ending. False when someone was first, or the app is already keeping the result."""
        with self._lock:
            if self._ending is not None:
                return False
            self._ending = (status, words)
            return True

    @property
    def ending(self) -> tuple[str, str] | None:
        return self._ending

    def kill(self) -> None:
        """End the child and all it started: SIGTERM, and SIGKILL to those that stay. A thread is only asked."""
        with self._lock:
            process = self._process
        if process is None or process.poll() is not None:
            return
        _signal_group(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, signal.SIGKILL)

    def clean(self) -> None:
        """Remove the exchange files; the log stays."""
        shutil.rmtree(self.workdir, ignore_errors=True)

    # --- running ------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Prepare, then run the job's function. Its result; raises JobFailed, AppError, or Cancelled once claimed."""
        prepared = self.params
        if self.kind.prepare:
            prepared = self.kind.prepare(dict(self.params), self.workdir)
        self._stop_if_claimed()
        prepared = as_json(prepared, f"prepared parameters of {self.kind.name}")
        if self.mode is TaskMode.THREAD:
            return self._run_here(prepared)
        return self._run_child(prepared)

    def take_progress(self) -> tuple[float, str] | None:
        """The newest progress, when it has not been taken yet."""
        if not self._progress_new:
            return None
        self._progress_new = False
        return self._progress

    @property
    def progress(self) -> tuple[float, str]:
        return self._progress

    def set_progress(self, fraction: float, message: str) -> None:
        # NaN compares false: it becomes 0.
        self._progress = (min(max(fraction, 0.0), 1.0) if fraction == fraction else 0.0, redact(message)[:512])
        self._progress_new = True

    def _stop_if_claimed(self) -> None:
        if self._ending is not None:
            raise Cancelled(f"Task {self.task_id} was ended.")

    def _too_late(self) -> str:
        return f"Ran longer than its deadline of {self.deadline_s:g} s and was ended. Choose a shorter range" + (
            "." if self.kind.deadline_s else ", or raise AUTOOPS_TASK_DEADLINE_S."
        )

    def _too_big(self) -> str:
        return (
            f"Needed more memory than its cap of {self.memory_mb} MB and was ended; the app went on. Choose a shorter range "
            + ("or fewer series." if self.kind.memory_mb else "or fewer series, or raise AUTOOPS_TASK_MEMORY_MB.")
        )

    def _take(self, path: Path, values: dict[str, Any]) -> None:
        """Let the app receive a delivered file, then remove it."""
        if self.kind.receive is None:
            raise Invalid(f"Jobs of kind {self.kind.name!r} deliver no files.")
        if not path.resolve().is_relative_to(self.workdir.resolve()) or not path.is_file():
            raise Invalid(f"Delivered {path.name!r}, which is no file in the job's own folder.")
        self.kind.receive(dict(self.params), path, values)
        path.unlink(missing_ok=True)

    # --- in a thread --------------------------------------------------------------------------

    def _run_here(self, prepared: dict[str, Any]) -> dict[str, Any]:
        context = ThreadContext(self)
        try:
            result = load(self.kind.run)(context, **prepared)
        except MemoryError:
            raise JobFailed(
                "The app ran short of memory in this job. Choose a shorter range or fewer series."
            ) from None
        except AppError:
            raise
        except (Exception, SystemExit) as error:
            self.journal.write(redact(traceback.format_exc()), "error")
            raise JobFailed(_words(describe(error))) from None
        self._stop_if_claimed()
        return as_json(result or {}, "results of the job")

    def check(self) -> None:
        """Where a thread learns that it was ended or is late."""
        if time.monotonic() > self._deadline:
            self.claim("failed", self._too_late())
        self._stop_if_claimed()

    # --- in a child process -------------------------------------------------------------------

    def _run_child(self, prepared: dict[str, Any]) -> dict[str, Any]:
        events, events_out = os.pipe()
        try:
            with self._lock:
                if self._ending is not None:
                    raise Cancelled(f"Task {self.task_id} was ended.")
                process = self._spawn(events_out)
        except BaseException:
            os.close(events)
            raise
        finally:
            os.close(events_out)
        try:
            outcome = self._converse(process, events, prepared)
        finally:
            # The group is signalled before its leader is reaped or right after: nothing it started stays behind.
            _signal_group(process.pid, signal.SIGKILL)
            os.close(events)
            for stream in (process.stdin, process.stdout, process.stderr):
                _close(stream)
            process.wait(10)
        self._stop_if_claimed()
        if outcome and outcome["event"] == "result":
            return dict(outcome["result"])
        raise self._failure(outcome, process.returncode)

    def _spawn(self, events_out: int) -> subprocess.Popen[bytes]:
        scratch = self.workdir / "tmp"
        scratch.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            # What libraries leave in temporary folders goes away with the exchange files.
            "TMPDIR": str(scratch),
            "JOBLIB_TEMP_FOLDER": str(scratch),
            # Which task a left-over process belongs to (see Runner.start).
            "AUTOOPS_TASK_FOLDER": str(self.folder.resolve()),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lib.tasks.child", str(events_out), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[events_out],
            start_new_session=True,
            cwd=ROOT,
            env=environment,
        )
        return self._process

    def _converse(
        self, process: subprocess.Popen[bytes], events: int, prepared: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Read the child's events and prints until it is gone. Its result or error event, when it sent one."""
        assert process.stdin and process.stdout and process.stderr
        self._answer(
            process,
            {
                "run": self.kind.run,
                "params": prepared,
                "workdir": str(self.workdir),
                "limit_mb": self.memory_mb + UNTOUCHED_MB,
                "path": [entry or str(Path.cwd()) for entry in sys.path],
            },
        )
        streams = {
            events: ("event", Lines(returns=False)),
            process.stdout.fileno(): ("info", Lines(returns=True)),
            process.stderr.fileno(): ("warning", Lines(returns=True)),
        }
        self._printed = b""
        outcome: dict[str, Any] | None = None
        leave_by = memory_at = 0.0
        with selectors.DefaultSelector() as selector:
            for fd in streams:
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ)
            gone = False
            while True:
                # Once the child is gone, what it left in the pipes is read without waiting.
                ready = selector.select(0 if gone else 0.2)
                for key, _ in ready:
                    name, lines = streams[key.fd]
                    data = os.read(key.fd, _READ)
                    if not data:
                        selector.unregister(key.fd)
                    for line in lines.feed(data) if data else lines.end():
                        outcome = self._hear(process, name, line) or outcome
                if gone and not ready:
                    return outcome
                if not gone:
                    now = time.monotonic()
                    if outcome and not leave_by:
                        leave_by = now + 2.0
                    if now > self._deadline and outcome is None and self.claim("failed", self._too_late()):
                        self.kill()
                    if now >= memory_at and outcome is None:
                        memory_at = now + LOOK_AT_MEMORY_EVERY_S
                        if _memory_mb(process.pid) > self.memory_mb and self.claim("failed", self._too_big()):
                            self.kill()
                    if (leave_by and now > leave_by) or not selector.get_map():
                        _signal_group(process.pid, signal.SIGKILL)
                    gone = process.poll() is not None
                    if gone:
                        _signal_group(process.pid, signal.SIGKILL)

    def _hear(self, process: subprocess.Popen[bytes], name: str, line: bytes) -> dict[str, Any] | None:
        """Act on one line; returns it when it says how the job ended."""
        if name != "event":
            if line.strip() and not (name == "info" and self.journal.full):
                self._printed = (self._printed + line)[-4000:]
                self.journal.write(
                    line.decode("utf-8", "replace").rstrip(), name, stream="out" if name == "info" else "err"
                )
            return None
        event = json.loads(line)
        match event["event"]:
            case "progress":
                self.set_progress(event["fraction"], event["message"])
            case "log":
                self.journal.write(event["message"], event["level"], **event["values"])
            case "deliver":
                self._receive(process, event)
            case _:
                return dict(event)
        return None

    def _receive(self, process: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if self._ending is not None:
            return
        try:
            self._take(Path(event["path"]), event["values"])
        except Exception as error:
            self.journal.write(f"Delivery not taken: {_words(describe(error))}", "warning")
            self._answer(process, {"ok": False, **describe(error)})
        else:
            self._answer(process, {"ok": True})

    @staticmethod
    def _answer(process: subprocess.Popen[bytes], answer: dict[str, Any]) -> None:
        assert process.stdin
        try:
            process.stdin.write((json.dumps(answer) + "\n").encode())
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it died; the loop that reads will see that

    def _failure(self, outcome: dict[str, Any] | None, code: int) -> JobFailed:
        """Words for a child that reported an error, or died without a word."""
        if outcome:
            if outcome.get("traceback"):
                self.journal.write(redact(outcome["traceback"]), "error")
            if outcome.get("memory") or any(sign in outcome["message"] for sign in _OUT_OF_MEMORY):
                return JobFailed(self._too_big())
            return JobFailed(_words(outcome))
        printed = self._printed.decode("utf-8", "replace")
        if any(sign in printed for sign in _OUT_OF_MEMORY):
            return JobFailed(self._too_big())
        if code == -signal.SIGKILL:
            return JobFailed(
                f"The system killed the job's process, most likely because the machine ran out of memory (cap of the job: "
                f"{self.memory_mb} MB); the app went on. Choose a shorter range or fewer series, or lower AUTOOPS_TASK_MEMORY_MB."
            )
        if code < 0:
            return JobFailed(
                f"The job's process crashed ({signal.Signals(-code).name}); the app went on. The last lines of the log say more."
            )
        return JobFailed(f"The job's process left with exit code {code} before it was done; the log says more.")


class ThreadContext:
    """The `JobContext` of a job in a thread of the app."""

    def __init__(self, execution: Execution) -> None:
        self.workdir = execution.workdir
        self._execution = execution

    def progress(self, fraction: float, message: str = "") -> None:
        self._execution.check()
        self._execution.set_progress(float(fraction), str(message))

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        self._execution.check()
        self._execution.journal.write(str(message), level, **values)

    def deliver(self, path: Path, **values: Any) -> None:
        self._execution.check()
        self._execution._take(path, json.loads(json.dumps(values, default=str)))


def _words(error: dict[str, Any]) -> str:
    """An error as a person reads it: ours speak for themselves, others are named."""
    if error["app"]:
        return str(error["message"])
    return redact(f"{error['type']}: {error['message']}" if error["message"] else str(error["type"]))


def _signal_group(pid: int, which: signal.Signals) -> None:
    try:
        os.killpg(pid, which)
    except (ProcessLookupError, PermissionError):
        pass  # already gone (macOS says so with EPERM)


def _close(stream: IO[bytes] | None) -> None:
    try:
        if stream:
            stream.close()
    except OSError:
        pass  # unsent bytes for a reader that is gone


def _memory_mb(pid: int) -> float:
    """Memory really used by the process and all it started."""
    total = 0
    try:
        leader = psutil.Process(pid)
        for process in [leader, *leader.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return 0.0
    return total / 2**20
