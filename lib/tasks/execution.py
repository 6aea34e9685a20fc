"""One job from its preparation to its result: in a child process that may be killed, or in a thread that is asked."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from lib.db.tables import TaskStatus
from lib.errors import AppError, Invalid, Unavailable
from lib.log import redact
from lib.settings import Settings, TaskMode
from lib.tasks.checkpoints import Checkpoints
from lib.tasks.child import describe
from lib.tasks.job import Cancelled, JobKind, as_json, load, storable
from lib.tasks.journal import Journal
from lib.tasks.process import Process

LOOK_AT_MEMORY_EVERY_S = 0.5
# What libraries say, besides MemoryError, when an allocation was refused.
OUT_OF_MEMORY = (
    "bad_alloc",
    "can't start new thread",
    "Cannot allocate memory",
    "failed to map segment",
    "Out of Memory",
)


class JobFailed(Exception):
    """Why a job did not succeed, in words for the person who started it. again: another attempt may fare better.
    lost: it was no fault of the job's, so that it is tried once more whatever its kind says."""

    def __init__(self, words: str, again: bool = False, lost: bool = False) -> None:
        super().__init__(words)
        self.again, self.lost = again or lost, lost


class Execution:
    """What is known of a task while it runs. The first to `claim` its ending decides it."""

    def __init__(
        self,
        task_id: int,
        kind: JobKind,
        params: dict[str, Any],
        folder: Path,
        settings: Settings,
        goes_on: bool = False,
    ) -> None:
        """goes_on: an earlier attempt left its log and checkpoints."""
        self.task_id, self.kind, self.params, self.mode = task_id, kind, params, settings.task_mode
        self.settings = settings
        self.memory_mb = kind.memory_mb or settings.task_memory_mb
        self.deadline_s = kind.deadline_s or settings.task_deadline_s
        self.folder, self.workdir = folder, folder / "exchange"
        # A folder of this number can be left from a database that is gone.
        shutil.rmtree(self.workdir if goes_on else folder, ignore_errors=True)
        self._scratch = self.workdir / "tmp"
        self._scratch.mkdir(parents=True)
        self.journal = Journal(folder / "log.jsonl")
        self.attempts, self.given_back = 1, False
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._ending: tuple[TaskStatus, str] | None = None
        self._ends_at = time.monotonic() + self.deadline_s
        self._look_at_memory_at = 0.0
        self._progress: tuple[float, str] = (0.0, "")
        self._progress_is_new = False
        self._printed = ""

    # --- how it ends --------------------------------------------------------------------------

    def claim(self, status: TaskStatus, words: str = "") -> bool:
        """Decide the ending. False when someone was first, or the app is already keeping the result."""
        with self._lock:
            if self._ending is not None:
                return False
            self._ending = (status, words)
            return True

    def fail(self, words: str) -> None:
        """Decide the ending: failed, unless someone ended it before. Keeping a result can fail as well."""
        with self._lock:
            if self._ending is None or self._ending[0] == TaskStatus.SUCCEEDED:
                self._ending = (TaskStatus.FAILED, words)

    @property
    def ending(self) -> tuple[TaskStatus, str] | None:
        return self._ending

    def kill(self) -> None:
        """End the child and all it started. A thread is only asked: it learns of it in `check`."""
        with self._lock:
            process = self._process
        if process:
            process.kill()

    def clean(self, whole: bool = True) -> None:
        """Remove the exchange files, and what was kept for another attempt; the log stays."""
        shutil.rmtree(self.workdir, ignore_errors=True)
        if whole:
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)

    def begin_again(self, wait_s: float) -> None:
        """Make ready for another attempt after a pause. Raises Cancelled when it was ended meanwhile."""
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            self.check()
            time.sleep(min(0.1, wait_s))
        self.check()
        self.clean(whole=False)
        self._scratch.mkdir(parents=True)
        self._printed = ""

    # --- progress -----------------------------------------------------------------------------

    @property
    def progress(self) -> tuple[float, str]:
        return self._progress

    def set_progress(self, fraction: float, message: str) -> None:
        # NaN compares with nothing: it counts as no progress.
        within = min(max(fraction, 0.0), 1.0) if fraction == fraction else 0.0
        self._progress = (within, storable(redact(message), 512))
        self._progress_is_new = True

    def take_progress(self) -> tuple[float, str] | None:
        """The newest progress, unless it was taken before."""
        if not self._progress_is_new:
            return None
        self._progress_is_new = False
        return self._progress

    # --- running ------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Prepare, then run the job's function; its result. Raises JobFailed, AppError, or Cancelled once claimed."""
        prepared = self.params
        if self.kind.prepare:
            prepared = self.kind.prepare(dict(self.params), self.workdir)
        self._stop_if_claimed()
        prepared = as_json(prepared, f"prepared parameters of {self.kind.name}")
        if self.kind.cluster and self.settings.dask_scheduler_address:
            try:
                return self._run_on_cluster(prepared)
            except Unavailable as error:
                if not self.settings.dask_fallback:
                    raise
                self.journal.write(f"{error.message} The job runs here instead.", "warning")
        return self._run_here(prepared) if self.mode is TaskMode.THREAD else self._run_child(prepared)

    def check(self) -> None:
        """Where a thread learns that it was ended or is late."""
        if time.monotonic() > self._ends_at:
            self.claim(TaskStatus.FAILED, self._too_late())
        self._stop_if_claimed()

    def take(self, path: Path, values: dict[str, Any]) -> None:
        """Let the app receive a delivered file, then remove it."""
        if self.kind.receive is None:
            raise Invalid(f"Jobs of kind {self.kind.name!r} deliver no files.")
        if not path.resolve().is_relative_to(self.workdir.resolve()) or not path.is_file():
            raise Invalid(f"Delivered {path.name!r}, which is no file in the job's own folder.")
        try:
            self.kind.receive(dict(self.params), path, values)
        except Exception as error:
            self.journal.write(f"Delivery not taken: {in_words(describe(error))}", "warning")
            raise
        path.unlink(missing_ok=True)

    def _stop_if_claimed(self) -> None:
        if self._ending is not None:
            raise Cancelled

    def _run_here(self, prepared: dict[str, Any]) -> dict[str, Any]:
        try:
            result = load(self.kind.run)(ThreadContext(self), **prepared)
        except MemoryError:
            raise JobFailed("The app ran short of memory. Choose a shorter range or fewer series.") from None
        except AppError:
            raise
        except (Exception, SystemExit) as error:
            self.journal.write(traceback.format_exc(), "error")
            raise JobFailed(in_words(describe(error)), again=True) from None
        self._stop_if_claimed()
        return as_json(result or {}, "results of the job")

    def _run_child(self, prepared: dict[str, Any]) -> dict[str, Any]:
        with self._lock:  # so that whoever claims the ending either prevents the child or finds it
            if self._ending is not None:
                raise Cancelled
            process = self._process = Process(self.folder, self._scratch)
        outcome: dict[str, Any] | None = None
        try:
            process.begin(self.kind.run, prepared, self.workdir, self.memory_mb)
            for event in process.events():
                match event["event"]:
                    case "tick" if outcome is None:
                        self._watch(process)
                    case "progress":
                        self.set_progress(event["fraction"], event["message"])
                    case "log":
                        self.journal.write(event["message"], event["level"], **event["values"])
                    case "print":
                        self._printed = (self._printed + event["message"])[-4000:]
                        self.journal.write(event["message"], event["level"], printed=True)
                    case "deliver":
                        self._receive(process, event)
                    case "result" | "error":
                        outcome = event
        finally:
            process.close()
        self._stop_if_claimed()
        if outcome and outcome["event"] == "result":
            return dict(outcome["result"])
        if outcome:
            raise self._reported(outcome)
        raise self._died(process.returncode or 0)

    def _run_on_cluster(self, prepared: dict[str, Any]) -> dict[str, Any]:
        from lib.tasks import cluster  # dask and what it brings, only where there is a cluster

        def tell(event: dict[str, Any]) -> None:
            match event["event"]:
                case "progress":
                    self.set_progress(event["fraction"], event["message"])
                case "log":
                    self.journal.write(event["message"], event["level"], **event["values"])
                case "print":
                    self.journal.write(event["message"], event["level"], printed=True)

        def deliver(path: Path, values: dict[str, Any]) -> dict[str, Any]:
            try:
                self.take(path, values)
            except Exception as error:
                return {"ok": False, **describe(error)}
            return {"ok": True}

        settings = self.settings
        job = cluster.RemoteJob(settings, self.folder, self.workdir, self.memory_mb)
        try:
            with cluster.connected(settings.dask_scheduler_address, settings.dask_timeout_s) as client:
                ended = job.run(client, self.kind.run, prepared, tell=tell, deliver=deliver, check=self.check)
        except cluster.Lost as lost:
            raise JobFailed(str(lost), lost=True) from None
        self._stop_if_claimed()
        match ended["event"]:
            case "result":
                return dict(ended["result"])
            case "error":
                raise self._reported(ended)
            case "too_big":
                raise JobFailed(self._too_big())
            case "cancelled":
                raise JobFailed("The Dask scheduler took the job back before it was done.", lost=True)
        self._printed = ended["printed"]
        raise self._died(ended["code"])

    def _watch(self, process: Process) -> None:
        """Hold the child to its deadline and its cap."""
        now = time.monotonic()
        if now > self._ends_at and self.claim(TaskStatus.FAILED, self._too_late()):
            process.kill()
        if now >= self._look_at_memory_at:
            self._look_at_memory_at = now + LOOK_AT_MEMORY_EVERY_S
            if process.memory_mb() > self.memory_mb and self.claim(TaskStatus.FAILED, self._too_big()):
                process.kill()

    def _receive(self, process: Process, event: dict[str, Any]) -> None:
        if self._ending is not None:
            return  # it is being killed; nothing more of it is kept
        try:
            self.take(Path(event["path"]), event["values"])
        except Exception as error:
            process.answer({"ok": False, **describe(error)})
        else:
            process.answer({"ok": True})

    # --- words --------------------------------------------------------------------------------

    def _reported(self, outcome: dict[str, Any]) -> JobFailed:
        if outcome.get("traceback"):
            self.journal.write(outcome["traceback"], "error")
        if outcome.get("memory") or any(sign in outcome["message"] for sign in OUT_OF_MEMORY):
            return JobFailed(self._too_big())
        return JobFailed(in_words(outcome), again=not outcome["app"])

    def _died(self, code: int) -> JobFailed:
        """Words for a child that is gone without having said why."""
        if any(sign in self._printed for sign in OUT_OF_MEMORY):
            return JobFailed(self._too_big())
        if code == -signal.SIGKILL:
            return JobFailed(
                "The system killed the job's process, most likely because the machine ran out of memory (cap of the "
                f"job: {self.memory_mb} MB); the app went on. Choose a shorter range or fewer series.",
                again=True,
            )
        if code < 0:
            name = signal.Signals(-code).name
            return JobFailed(
                f"The job's process crashed ({name}); the app went on. The end of the log says more.", again=True
            )
        return JobFailed(f"The job's process left with exit code {code} before it was done; the log says more.", True)

    def _too_late(self) -> str:
        remedy = "." if self.kind.deadline_s else ", or raise AUTOOPS_TASK_DEADLINE_S."
        return f"Ran longer than its deadline of {self.deadline_s:g} s and was ended. Choose a shorter range{remedy}"

    def _too_big(self) -> str:
        remedy = "" if self.kind.memory_mb else ", or raise AUTOOPS_TASK_MEMORY_MB"
        return (
            f"Needed more memory than its cap of {self.memory_mb} MB and was ended; the app went on. "
            f"Choose a shorter range or fewer series{remedy}."
        )


class ThreadContext:
    """The `JobContext` of a job in a thread of the app."""

    def __init__(self, execution: Execution) -> None:
        self.workdir = execution.workdir
        self._execution = execution
        self._kept = Checkpoints(execution.folder / "checkpoints")

    def checkpoint(self, name: str, value: Any) -> None:
        self._execution.check()
        self._kept.save(name, value)

    def restore(self, name: str) -> Any:
        return self._kept.load(name)

    def progress(self, fraction: float, message: str = "") -> None:
        self._execution.check()
        self._execution.set_progress(float(fraction), str(message))

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        self._execution.check()
        self._execution.journal.write(str(message), level, **values)

    def deliver(self, path: Path, **values: Any) -> None:
        self._execution.check()
        self._execution.take(path, json.loads(json.dumps(values, default=str)))


def in_words(error: dict[str, Any]) -> str:
    """A described error as a person reads it: ours speak for themselves, others are named."""
    if error["app"]:
        return str(error["message"])
    return redact(f"{error['type']}: {error['message']}" if error["message"] else str(error["type"]))
