"""Runs long jobs outside the app's own process and keeps a row and a log of each."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import signal
import threading
import time
import traceback
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import CursorResult, delete, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlmodel import col, select

from lib import frames
from lib.db.database import Database
from lib.db.tables import Task, TaskStatus
from lib.errors import AppError, Conflict, Invalid, NotFound
from lib.log import redact
from lib.settings import Settings
from lib.tasks import journal
from lib.tasks.execution import Execution, JobFailed
from lib.tasks.job import Cancelled, JobKind, as_json

logger = logging.getLogger(__name__)

ACTIVE = (TaskStatus.PENDING, TaskStatus.RUNNING)
PROGRESS_EVERY_S = 0.25
# Cancel answers within two seconds: one is the grace of SIGTERM, this is what is left for the row.
SETTLE_WITHIN_S = 0.6
STOP_WITHIN_S = 5.0
KEEP_ROWS = 500
_INTERRUPTED = "The app stopped while this ran; start it again."


class Runner:
    """Queue, child processes (or threads), cancel, deadline, memory cap, restart."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self.kinds: dict[str, JobKind] = {}
        # Guards `_active` and is told whenever a task is queued or ends.
        self._changed = threading.Condition()
        self._active: dict[int, Execution] = {}
        self._queue: threading.Thread | None = None
        self._stopping = False

    def register(self, kind: JobKind) -> None:
        self.kinds[kind.name] = kind

    def submit(self, kind: str, params: dict[str, Any], *, by: str, title: str = "", key: str | None = None) -> Task:
        """Queue a job. While one with the same `key` (default: kind and params) is pending or running, that one
        is returned instead. Raises Invalid for an unknown kind or params that are not JSON-able."""
        if kind not in self.kinds:
            raise Invalid(
                f"There is no kind of task called {kind!r}; known are {', '.join(sorted(self.kinds)) or 'none'}."
            )
        plain = as_json(params, f"parameters of {kind}")
        active_key = _active_key(kind, plain, key)
        while True:
            task = Task(kind=kind, params=plain, title=(title or kind)[:256], created_by=by[:64], active_key=active_key)
            try:
                with self.database.session() as session:
                    session.add(task)
            except IntegrityError:
                with self.database.session() as session:
                    same = session.exec(select(Task).where(Task.active_key == active_key)).first()
                if same is not None:
                    return same
                continue  # it ended between the two statements
            break
        with self._changed:
            self._changed.notify_all()
        return task

    def cancel(self, task_id: int) -> None:
        """End it within 2 seconds; half-made files are removed. Raises NotFound, or Conflict when it has ended or
        its result is already being kept."""
        with self._changed:
            running = self._active.get(task_id)
            if running is None:
                if self._end(task_id, TaskStatus.CANCELLED, of=(TaskStatus.PENDING,)):
                    self._changed.notify_all()
                    return
                task = self._row(task_id)
                raise Conflict(f"Task {task_id} has already ended ({task.status}); there is nothing to cancel.")
        if not running.claim(TaskStatus.CANCELLED):
            raise Conflict(f"Task {task_id} is ending in this moment and can no longer be cancelled.")
        running.kill()
        if not running.over.wait(SETTLE_WITHIN_S):
            # A thread goes on to its next step, or the app is still taking a file: nothing will come of it.
            self._settle(running, TaskStatus.CANCELLED)

    def wait(self, task_id: int, timeout_s: float) -> Task:
        """Block until it ended; for tests and the command line. Raises TimeoutError."""
        until = time.monotonic() + timeout_s
        while True:
            task = self._row(task_id)
            if task.status not in ACTIVE:
                return task
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"Task {task_id} is still {task.status} after {timeout_s:g} s.")
            with self._changed:
                self._changed.wait(min(left, 0.1))

    def log(self, task_id: int, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """Log lines from number `after` on, at most `limit`: {n, ts, level, message, values}."""
        return journal.read(self.log_path(task_id), after, limit)

    def log_path(self, task_id: int) -> Path:
        """Where the log lies, one JSON object a line; there is none before the task starts."""
        return self.settings.tasks_dir / str(int(task_id)) / "log.jsonl"

    def start(self) -> None:
        """Mark what was running as interrupted, then begin taking from the queue."""
        if self._queue is not None:
            return
        with self.database.session() as session:
            left_over = session.exec(select(Task.id).where(Task.status == TaskStatus.RUNNING)).all()
        if left_over:
            _kill_left_over(self.settings.tasks_dir)
        for task_id in left_over:
            assert task_id is not None
            if self._end(task_id, TaskStatus.INTERRUPTED, _INTERRUPTED):
                log = journal.Journal(self.log_path(task_id))
                log.last_words(_INTERRUPTED, "error")
                log.close()
                shutil.rmtree(self.log_path(task_id).parent / "exchange", ignore_errors=True)
        self._stopping = False
        self._queue = threading.Thread(target=self._take_from_queue, name="task queue", daemon=True)
        self._queue.start()

    def stop(self) -> None:
        """End children; their tasks become interrupted. What is pending stays so and is taken at the next start."""
        with self._changed:
            self._stopping = True
            running = list(self._active.values())
            self._changed.notify_all()
        claimed = [execution for execution in running if execution.claim(TaskStatus.INTERRUPTED, _INTERRUPTED)]
        killers = [threading.Thread(target=execution.kill, daemon=True) for execution in claimed]
        for killer in killers:
            killer.start()
        until = time.monotonic() + STOP_WITHIN_S
        for execution in running:
            execution.over.wait(max(until - time.monotonic(), 0.1))
        for execution in claimed:
            if not execution.over.is_set():
                self._settle(execution, TaskStatus.INTERRUPTED, _INTERRUPTED)
        if self._queue is not None:
            self._queue.join(STOP_WITHIN_S)
            self._queue = None

    def prune(self, now: datetime | None = None) -> int:
        """Remove tasks that ended more than `task_keep_days` ago or lie beyond the newest 500, with their folders;
        how many. For the schedule."""
        before = (now or frames.utcnow()) - timedelta(days=self.settings.task_keep_days)
        with self.database.session() as session:
            ended = session.exec(
                select(Task.id, Task.created_at).where(col(Task.status).not_in(ACTIVE)).order_by(col(Task.id).desc())
            ).all()
            old = [
                i
                for n, (i, created_at) in enumerate(ended)
                if i is not None and (n >= KEEP_ROWS or created_at < before)
            ]
            for start in range(0, len(old), 500):
                session.exec(delete(Task).where(col(Task.id).in_(old[start : start + 500])))
        for task_id in old:
            shutil.rmtree(self.log_path(task_id).parent, ignore_errors=True)
        return len(old)

    # --- the queue ----------------------------------------------------------------------------

    def _take_from_queue(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
            try:
                self._write_progress()
                while self._start_next():
                    pass
                pause = PROGRESS_EVERY_S if self._active else 1.0
            except SQLAlchemyError as error:
                logger.warning("task queue cannot reach the database", extra={"reason": redact(str(error))})
                pause = 1.0
            with self._changed:
                if not self._stopping:
                    self._changed.wait(pause)

    def _start_next(self) -> bool:
        """Start the oldest pending task if there is a place for it."""
        with self._changed:
            if self._stopping or len(self._active) >= self.settings.task_concurrency:
                return False
            with self.database.session() as session:
                task = session.exec(
                    select(Task).where(Task.status == TaskStatus.PENDING).order_by(col(Task.id)).limit(1)
                ).first()
            if task is None or task.id is None:
                return False
            kind = self.kinds.get(task.kind)
            if kind is None:
                self._end(task.id, TaskStatus.FAILED, f"This version has no kind of task called {task.kind!r}.")
                return True
            values = {"status": TaskStatus.RUNNING, "started_at": frames.utcnow()}
            if not self._update(task.id, values, of=(TaskStatus.PENDING,)):
                return True
            try:
                execution = Execution(
                    task.id,
                    kind,
                    task.params,
                    self.log_path(task.id).parent,
                    self.settings.task_mode,
                    self.settings.task_memory_mb,
                    self.settings.task_deadline_s,
                )
            except OSError as error:
                self._end(task.id, TaskStatus.FAILED, f"The task's folder cannot be written ({error.strerror}).")
                return True
            self._active[task.id] = execution
        threading.Thread(target=self._supervise, args=(execution,), name=f"task {task.id}", daemon=True).start()
        return True

    def _supervise(self, execution: Execution) -> None:
        """One thread a running task. It outlives the child it started: the kernel ties the child's life to it."""
        status, error, result = TaskStatus.FAILED, "", {}
        began = time.monotonic()
        try:
            execution.journal.write(f"Started {execution.kind.name}.", params=execution.params)
            result = execution.run()
            if not execution.claim(TaskStatus.SUCCEEDED):
                raise Cancelled
            if execution.kind.finish:
                kept = execution.kind.finish(dict(execution.params), result, execution.workdir)
                result = as_json(kept or {}, "results of the task")
            status = TaskStatus.SUCCEEDED
        except Cancelled:
            ending = execution.ending
            status, error = (TaskStatus(ending[0]), ending[1]) if ending else (TaskStatus.CANCELLED, "")
        except JobFailed as failed:
            error = str(failed)
        except AppError as failed:
            error = failed.message
        except BaseException as failed:
            execution.journal.write(redact(traceback.format_exc()), "error")
            error = redact(f"{type(failed).__name__}: {failed}")
        try:
            execution.clean()
            words = {TaskStatus.SUCCEEDED: "Succeeded", TaskStatus.CANCELLED: "Cancelled"}.get(status, error)
            level = "info" if status in (TaskStatus.SUCCEEDED, TaskStatus.CANCELLED) else "error"
            execution.journal.last_words(words, level, duration_s=round(time.monotonic() - began, 3))
            execution.journal.close()
            self._settle(execution, status, error, result if status is TaskStatus.SUCCEEDED else None)
        finally:
            with self._changed:
                self._active.pop(execution.task_id, None)
                execution.over.set()
                self._changed.notify_all()

    # --- rows ---------------------------------------------------------------------------------

    def _row(self, task_id: int) -> Task:
        with self.database.session() as session:
            task = session.get(Task, task_id)
        if task is None:
            raise NotFound(f"There is no task {task_id}; it may have been cleaned up.")
        return task

    def _write_progress(self) -> None:
        with self._changed:
            running = list(self._active.values())
        for execution in running:
            progress = execution.take_progress()
            if progress:
                self._update(
                    execution.task_id, {"progress": progress[0], "message": progress[1]}, of=(TaskStatus.RUNNING,)
                )

    def _settle(
        self, execution: Execution, status: TaskStatus, error: str = "", result: dict[str, Any] | None = None
    ) -> None:
        """Write how a task ended; a database that is busy or full for a moment does not lose it."""
        fraction, message = execution.progress
        fraction = 1.0 if status is TaskStatus.SUCCEEDED else fraction
        for attempt in range(8):
            try:
                self._end(execution.task_id, status, error, progress=fraction, message=message, result=result or {})
                return
            except SQLAlchemyError as failed:
                logger.warning(
                    "end of task not written", extra={"task": execution.task_id, "reason": redact(str(failed))}
                )
                time.sleep(min(0.1 * 2**attempt, 5.0))

    def _end(
        self, task_id: int, status: TaskStatus, error: str = "", of: tuple[TaskStatus, ...] = ACTIVE, **values: Any
    ) -> bool:
        """Whether this call ended it: of two, one wins."""
        values |= {"status": status, "active_key": None, "finished_at": frames.utcnow(), "error": error[:4000]}
        return self._update(task_id, values, of)

    def _update(self, task_id: int, values: dict[str, Any], of: tuple[TaskStatus, ...]) -> bool:
        with self.database.session() as session:
            done = session.exec(update(Task).where(col(Task.id) == task_id, col(Task.status).in_(of)).values(**values))
            assert isinstance(done, CursorResult)
            return bool(done.rowcount)


def _active_key(kind: str, params: dict[str, Any], key: str | None) -> str:
    if key is not None and len(key) <= 60:
        return f"{kind}:{key}"
    said = key if key is not None else json.dumps(params, sort_keys=True)
    return f"{kind}:{'' if key is None else 'key '}{hashlib.sha256(said.encode()).hexdigest()[:48]}"


def _kill_left_over(tasks_dir: Path) -> None:
    """End what children of an app that was killed had started themselves; the children died with it."""
    root = str(tasks_dir.resolve())
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("AUTOOPS_TASK_FOLDER", "").startswith(
                root + os.sep
            ):
                process.send_signal(signal.SIGKILL)
        except (psutil.Error, OSError):
            continue
