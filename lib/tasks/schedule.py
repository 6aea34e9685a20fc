"""What runs again and again while the app is up: collection, clean-up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.schedulers.background import BackgroundScheduler

from lib.log import redact

logger = logging.getLogger(__name__)
STOP_WITHIN_S = 5.0


@dataclass(frozen=True)
class LastRun:
    """One piece of scheduled work: started_at is None before the first run, duration_s while a run goes on."""

    name: str
    every_s: float
    started_at: datetime | None = None
    duration_s: float | None = None
    error: str = ""
    running: bool = False


class _DaemonThreads(BaseExecutor):
    """A daemon thread a run: APScheduler's own pool would keep the process from leaving while work goes on."""

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        threading.Thread(target=self._run, args=(job, run_times), name=f"schedule {job.id}", daemon=True).start()

    def _run(self, job: Any, run_times: list[datetime]) -> None:
        self._run_job_success(job.id, run_job(job, job._jobstore_alias, run_times, self._logger.name))


class Schedule:
    """APScheduler in a background thread. A run that is still going is not started a second time."""

    def __init__(self) -> None:
        # It would warn each time a run is left out because the one before still goes on, which is as intended.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = self._new_scheduler()
        self._work: dict[str, tuple[float, Callable[[], None]]] = {}
        self._runs: dict[str, LastRun] = {}
        self._changed = threading.Condition()

    @staticmethod
    def _new_scheduler() -> BackgroundScheduler:
        return BackgroundScheduler(
            daemon=True,
            timezone=UTC,
            executors={"default": _DaemonThreads()},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )

    def every(self, seconds: float, name: str, work: Callable[[], None]) -> None:
        """Run `work` every so many seconds, first at once after `start`. What it raises is logged, never fatal.
        A name given again replaces the work it had."""
        with self._changed:
            self._work[name] = (seconds, work)
            self._runs[name] = LastRun(name, seconds)
        if self._scheduler.running:
            self._add(name)

    def start(self) -> None:
        if self._scheduler.running:
            return
        for name in self._work:
            self._add(name)
        self._scheduler.start()

    def stop(self) -> None:
        """Start nothing more and wait a moment for what is running."""
        if not self._scheduler.running:
            return
        self._scheduler.shutdown(wait=False)
        self._scheduler = self._new_scheduler()
        with self._changed:
            self._changed.wait_for(lambda: not any(run.running for run in self._runs.values()), STOP_WITHIN_S)

    def last_runs(self) -> list[LastRun]:
        """What runs, when it last did, how long it took and what went wrong; for the health page."""
        with self._changed:
            return list(self._runs.values())

    def _add(self, name: str) -> None:
        self._scheduler.add_job(
            self._run,
            "interval",
            seconds=self._work[name][0],
            args=[name],
            id=name,
            replace_existing=True,
            next_run_time=datetime.now(UTC),
        )

    def _run(self, name: str) -> None:
        seconds, work = self._work[name]
        began = time.monotonic()
        self._note(LastRun(name, seconds, datetime.now(UTC), running=True))
        error = ""
        try:
            work()
        except (Exception, SystemExit) as failed:
            error = redact(f"{type(failed).__name__}: {failed}")
            logger.exception("scheduled work failed", extra={"work": name})
        self._note(replace(self._runs[name], duration_s=time.monotonic() - began, error=error, running=False))

    def _note(self, run: LastRun) -> None:
        with self._changed:
            self._runs[run.name] = run
            self._changed.notify_all()
