"""Runs long jobs outside the app's own process and keeps a row and a log of each."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import CursorResult, delete, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlmodel import col, func, select

from lib import frames
from lib.db.database import Database
from lib.db.tables import Task, TaskStatus
from lib.errors import AppError, Conflict, Invalid, NotFound, TooMany
from lib.log import redact
from lib.settings import Settings
from lib.tasks import journal
from lib.tasks.execution import Execution, JobFailed
from lib.tasks.job import Cancelled, JobKind, as_json, storable
from lib.tasks.process import kill_left_over

logger = logging.getLogger(__name__)

ACTIVE = (TaskStatus.PENDING, TaskStatus.RUNNING)
PROGRESS_EVERY_S = 0.25
# Cancel answers within two seconds: one is the grace of SIGTERM, this is what is left for the row.
SETTLE_WITHIN_S = 0.6
STOP_WITHIN_S = 5.0
KEEP_ROWS = 500
_INTERRUPTED = "The app stopped while this ran; start it again."
_GOES_ON = "The app stopped while this ran; it goes on from its last checkpoint."
# A job that takes the app down with it is not taken up for ever.
MOST_ATTEMPTS = 5
RETRY_AFTER_S, RETRY_AT_MOST_S = 0.5, 30.0


class Runner:
    """Queue, child processes (or threads), cancel, deadline, memory cap, restart."""

    def __init__(self, settings: Settings, database: Database, clock: Callable[[], datetime] = frames.utcnow) -> None:
        self.settings, self.database, self.clock = settings, database, clock
        self.kinds: dict[str, JobKind] = {}
        # Guards `_active` and is told whenever a task is queued or ends.
        self._changed = threading.Condition()
        self._active: dict[int, Execution] = {}
        self._queue: threading.Thread | None = None
        self._stopping = False

    def register(self, kind: JobKind) -> None:
        self.kinds[kind.name] = kind

    def submit(
        self,
        kind: str,
        params: dict[str, Any],
        *,
        by: str,
        title: str = "",
        key: str | None = None,
        priority: int | None = None,
    ) -> Task:
        """Queue a job. While one with the same `key` (default: kind and params) is pending or running, that one
        is returned instead. priority: higher ones start first (default: as the kind says).

        Raises Invalid for an unknown kind or params that are not JSON-able, TooMany while the queue is full.
        """
        if kind not in self.kinds:
            raise Invalid(
                f"There is no kind of task called {kind!r}; known are {', '.join(sorted(self.kinds)) or 'none'}."
            )
        plain = as_json(params, f"parameters of {kind}")
        active_key = _active_key(kind, plain, key)
        title, by = storable(title or kind, 256), storable(by, 64)
        while True:
            task = Task(kind=kind, params=plain, title=title, created_by=by, active_key=active_key)
            task.priority = self.kinds[kind].priority if priority is None else priority
            self._refuse_when_full(active_key)
            task.created_at = self.clock()
            try:
                with self.database.session() as session:
                    session.add(task)
                break
            except IntegrityError:
                with self.database.session() as session:
                    same = session.exec(select(Task).where(Task.active_key == active_key)).first()
                if same is not None:
                    return same
                # It ended between the two statements: try again.
        with self._changed:
            self._changed.notify_all()
        return task

    def _refuse_when_full(self, active_key: str) -> None:
        """A task that is there already may be asked for again, however long the queue is."""
        most = self.settings.task_queue_limit
        with self.database.session() as session:
            waiting = session.exec(select(func.count()).where(Task.status == TaskStatus.PENDING)).one()
            if waiting < most or session.exec(select(Task.id).where(Task.active_key == active_key)).first() is not None:
                return
        raise TooMany(
            f"{waiting} tasks wait already, the most there may be; let some end or cancel some on the Tasks page, or "
            "raise AUTOOPS_TASK_QUEUE_LIMIT.",
            retry_after_s=60,
        )

    def cancel(self, task_id: int) -> None:
        """End it within 2 seconds; half-made files are removed. Raises NotFound, or Conflict when it has ended or
        its result is already being kept."""
        with self._changed:
            running = self._active.get(task_id)
            if running is None:
                if self._end(task_id, TaskStatus.CANCELLED, of=(TaskStatus.PENDING,)):
                    self._changed.notify_all()
                    return
                task = self.get(task_id)
                raise Conflict(f"Task {task_id} has already ended ({task.status}); there is nothing to cancel.")
        if not running.claim(TaskStatus.CANCELLED):
            raise Conflict(f"Task {task_id} is ending in this moment and can no longer be cancelled.")
        running.kill()
        if not running.over.wait(SETTLE_WITHIN_S):
            # A thread goes on to its next step, or the app is still taking a file: nothing will come of it.
            self._settle(running, TaskStatus.CANCELLED)

    def get(self, task_id: int) -> Task:
        """The task's row as it is now. Raises NotFound."""
        with self.database.session() as session:
            task = session.get(Task, task_id)
        if task is None:
            raise NotFound(f"There is no task {task_id}; it may have been cleaned up.")
        return task

    def wait(self, task_id: int, timeout_s: float) -> Task:
        """Block until it ended; for tests and the command line. Raises TimeoutError."""
        until = time.monotonic() + timeout_s
        while True:
            task = self.get(task_id)
            if task.status not in ACTIVE:
                return task
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"Task {task_id} is still {task.status} after {timeout_s:g} s.")
            with self._changed:
                self._changed.wait(min(left, 0.1))

    def log(self, task_id: int, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """Log lines from number `after` on, at most `limit`: {n, ts, level, message, values}. A negative `after`
        asks for the last so many."""
        path = self.log_path(task_id)
        return journal.read(path, after if after >= 0 else max(journal.count(path) + after, 0), limit)

    def log_path(self, task_id: int) -> Path:
        """Where the log lies, one JSON object a line; there is none before the task starts."""
        return self.settings.tasks_dir / str(int(task_id)) / "log.jsonl"

    def start(self) -> None:
        """Mark what was running as interrupted, then begin taking from the queue."""
        if self._queue is not None:
            return
        with self.database.session() as session:
            left_over = session.exec(select(Task).where(Task.status == TaskStatus.RUNNING)).all()
        if left_over:
            kill_left_over(self.settings.tasks_dir)
        for task in left_over:
            assert task.id is not None
            kind = self.kinds.get(task.kind)
            goes_on = kind is not None and self._put_back(task.id, kind, task.attempts)
            if goes_on or self._end(task.id, TaskStatus.INTERRUPTED, _INTERRUPTED):
                folder = self.log_path(task.id).parent
                log = journal.Journal(folder / "log.jsonl")
                log.last_words(_GOES_ON if goes_on else _INTERRUPTED, "warning" if goes_on else "error")
                log.close()
                for left in ("exchange",) if goes_on else ("exchange", "checkpoints"):
                    shutil.rmtree(folder / left, ignore_errors=True)
        self._stopping = False
        self._queue = threading.Thread(target=self._take_from_queue, name="task queue", daemon=True)
        self._queue.start()

    def stop(self) -> None:
        """End children; their tasks become interrupted, or wait to go on. What is pending waits for the next start."""
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

    def prune(self) -> None:
        """Remove tasks that ended more than `task_keep_days` ago or lie beyond the newest 500, with their folders.
        For the schedule."""
        before = self.clock() - timedelta(days=self.settings.task_keep_days)
        with self.database.session() as session:
            newest_first = select(Task.id, Task.created_at).order_by(col(Task.id).desc())
            ended = session.exec(newest_first.where(col(Task.status).not_in(ACTIVE))).all()
        old = [task_id for n, (task_id, created_at) in enumerate(ended) if n >= KEEP_ROWS or created_at < before]
        for task_id in old:
            assert task_id is not None
            with self.database.session() as session:
                session.exec(delete(Task).where(col(Task.id) == task_id))
            shutil.rmtree(self.log_path(task_id).parent, ignore_errors=True)
        if old:
            logger.info("old tasks removed", extra={"count": len(old)})

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
            except Exception as error:  # without this thread nothing would ever start again
                logger.exception("task queue stumbled", extra={"reason": redact(str(error))})
                pause = 1.0
            with self._changed:
                if not self._stopping:
                    self._changed.wait(pause)

    def _start_next(self) -> bool:
        """Start the most urgent pending task, of several the oldest, if there is a place for it."""
        with self._changed:
            if self._stopping or len(self._active) >= self.settings.task_concurrency:
                return False
            with self.database.session() as session:
                task = session.exec(
                    select(Task)
                    .where(Task.status == TaskStatus.PENDING)
                    .order_by(col(Task.priority).desc(), col(Task.id))
                    .limit(1)
                ).first()
            if task is None or task.id is None:
                return False
            kind = self.kinds.get(task.kind)
            if kind is None:
                self._end(task.id, TaskStatus.FAILED, f"This version has no kind of task called {task.kind!r}.")
                return True
            values = {"status": TaskStatus.RUNNING, "started_at": self.clock(), "attempts": task.attempts + 1}
            if not self._update(task.id, values, of=(TaskStatus.PENDING,)):
                return True
            try:
                folder = self.log_path(task.id).parent
                goes_on = kind.resumes and task.attempts > 0
                execution = Execution(task.id, kind, task.params, folder, self.settings, goes_on)
                execution.attempts = task.attempts + 1
                self._active[task.id] = execution
                threading.Thread(target=self._supervise, args=(execution,), name=f"task {task.id}", daemon=True).start()
            except (OSError, RuntimeError) as error:
                self._active.pop(task.id, None)
                self._end(task.id, TaskStatus.FAILED, f"The task could not be started ({error}).")
        return True

    def _supervise(self, execution: Execution) -> None:
        """One thread a running task. It outlives the child it started: the kernel ties the child's life to it."""
        began = time.monotonic()
        result: dict[str, Any] = {}
        try:
            execution.journal.write(f"Started {execution.kind.name}.", params=execution.params)
            result = self._tried(execution)
            if execution.claim(TaskStatus.SUCCEEDED) and execution.kind.finish:
                kept = execution.kind.finish(dict(execution.params), result, execution.workdir)
                result = as_json(kept or {}, "results of the task")
        except Cancelled:
            pass  # whoever claimed the ending says how it ended
        except JobFailed as failed:
            execution.fail(str(failed))
        except AppError as failed:
            execution.fail(failed.message)
        except BaseException as failed:
            execution.journal.write(traceback.format_exc(), "error")
            execution.fail(redact(f"{type(failed).__name__}: {failed}"))
        try:
            status, words = execution.ending or (TaskStatus.FAILED, "The job gave up by itself.")
            goes_on = status is TaskStatus.INTERRUPTED and execution.kind.resumes
            if not execution.given_back:
                execution.clean(whole=not goes_on)
            level = "info" if status in (TaskStatus.SUCCEEDED, TaskStatus.CANCELLED) else "error"
            duration_s = round(time.monotonic() - began, 3)
            execution.journal.last_words(words or f"{status.capitalize()}.", level, duration_s=duration_s)
            execution.journal.close()
            self._settle(execution, TaskStatus(status), words, result if status == TaskStatus.SUCCEEDED else {})
        finally:
            with self._changed:
                self._active.pop(execution.task_id, None)
                execution.over.set()
                self._changed.notify_all()

    def _tried(self, execution: Execution) -> dict[str, Any]:
        """The result of the job, after as many attempts as it says are safe."""
        failures = 0
        while True:
            try:
                return execution.run()
            except JobFailed as failed:
                failures += 1
                retries = max(execution.kind.retries, 1 if failed.lost else 0)
                if not failed.again or failures > retries:
                    raise
                most = retries + 1
                execution.journal.write(f"{failed} Attempt {failures + 1} of {most} follows.", "warning")
                execution.begin_again(min(RETRY_AFTER_S * 2 ** (failures - 1), RETRY_AT_MOST_S))

    # --- rows ---------------------------------------------------------------------------------

    def _write_progress(self) -> None:
        with self._changed:
            running = list(self._active.values())
        for execution in running:
            progress = execution.take_progress()
            if progress:
                values = {"progress": progress[0], "message": progress[1]}
                self._update(execution.task_id, values, of=(TaskStatus.RUNNING,))

    def _settle(
        self, execution: Execution, status: TaskStatus, error: str = "", result: dict[str, Any] | None = None
    ) -> None:
        """Write how a task ended; a database that is busy or full for a moment does not lose it."""
        if execution.given_back:
            return  # its thread ends after the app let go of it; the task may be another attempt's by now
        if status is TaskStatus.INTERRUPTED and self._put_back(execution.task_id, execution.kind, execution.attempts):
            execution.given_back = True
            return
        fraction, message = execution.progress
        fraction = 1.0 if status is TaskStatus.SUCCEEDED else fraction
        for attempt in range(8):
            try:
                self._end(execution.task_id, status, error, progress=fraction, message=message, result=result or {})
                return
            except SQLAlchemyError as failed:
                about = {"task": execution.task_id, "reason": redact(str(failed))}
                logger.warning("end of task not written", extra=about)
                time.sleep(min(0.1 * 2**attempt, 5.0))

    def _put_back(self, task_id: int, kind: JobKind, attempts: int) -> bool:
        """Have a task that can go on wait for its next turn; False when it cannot, or was tried too often."""
        if not kind.resumes or attempts >= MOST_ATTEMPTS:
            return False
        values = {"status": TaskStatus.PENDING, "started_at": None, "message": "goes on after a restart"}
        return self._update(task_id, values, of=(TaskStatus.RUNNING,))

    def _end(
        self, task_id: int, status: TaskStatus, error: str = "", of: tuple[TaskStatus, ...] = ACTIVE, **values: Any
    ) -> bool:
        """Whether this call ended it: of two, one wins."""
        values |= {"status": status, "active_key": None, "finished_at": self.clock(), "error": storable(error, 4000)}
        return self._update(task_id, values, of)

    def _update(self, task_id: int, values: dict[str, Any], of: tuple[TaskStatus, ...]) -> bool:
        with self.database.session() as session:
            done = session.exec(update(Task).where(col(Task.id) == task_id, col(Task.status).in_(of)).values(**values))
            assert isinstance(done, CursorResult)
            return bool(done.rowcount)


def _active_key(kind: str, params: dict[str, Any], key: str | None) -> str:
    said = json.dumps({"params": params} if key is None else {"key": key}, sort_keys=True)
    return f"{kind}:{hashlib.sha256(said.encode()).hexdigest()[:48]}"
