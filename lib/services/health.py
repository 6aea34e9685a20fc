"""How the app itself fares: each part's state, and the figures operators watch."""

from __future__ import annotations

import shutil
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

import duckdb
from sqlalchemy import func
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from lib.auth.actor import Actor, Permission
from lib.db.database import Database
from lib.db.tables import Detector, Task, TaskStatus
from lib.errors import AppError
from lib.llm.fallback import ProviderStatus
from lib.log import redact
from lib.services.collection_status import SourceState, SourceStatus
from lib.services.timings import Distribution, Timings
from lib.settings import ROOT, Settings
from lib.store.connection import State, Store
from lib.tasks.schedule import Schedule

# A probe a second from every balancer must not become a query a second.
REPORT_KEPT_S = 1.0
ANSWER_WITHIN_S = 5.0
STUCK = timedelta(minutes=10)
LOW_DISK_BYTES = 200 * 2**20


class PartState(StrEnum):
    """What a part can do at the moment."""

    OK = "ok"
    DEGRADED = "degraded"  # works, but something in it does not
    DOWN = "down"


# Without these nothing can be shown; the app answers 503. Without the others it can.
VITAL = ("store", "database")


@dataclass(frozen=True)
class Part:
    """message: for people who may look; never shown to strangers. values: numbers behind it, JSON-able."""

    name: str
    state: PartState
    message: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """One look at every part."""

    version: str
    at: datetime
    parts: tuple[Part, ...]

    @property
    def able(self) -> bool:
        """Whether pages and API can be served."""
        return not any(part.name in VITAL and part.state is PartState.DOWN for part in self.parts)

    @property
    def state(self) -> PartState:
        if not self.able:
            return PartState.DOWN
        return PartState.OK if all(part.state is PartState.OK for part in self.parts) else PartState.DEGRADED

    def as_json(self, detail: bool) -> dict[str, Any]:
        """Strangers get names and states; detail adds messages and values."""
        parts = {
            part.name: {"state": part.state.value} | ({"message": part.message, **part.values} if detail else {})
            for part in self.parts
        }
        return {"state": self.state.value, "version": self.version, "at": self.at.isoformat(), "parts": parts}


@dataclass(frozen=True)
class Figures:
    """What is counted for /metrics and the status page; series and samples over all sources."""

    series: int
    samples: int
    store_bytes: int
    anomalies: int
    anomalies_open: int
    detectors: int
    scoring: Distribution
    tasks: dict[str, int]
    sources: tuple[SourceStatus, ...]
    providers: tuple[ProviderStatus, ...]


@cache
def version() -> str:
    """The project's version, as pyproject.toml has it."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


class Health:
    """Asks each part in turn; one that fails is reported, never raised.

    sources: how collection stands (`Collection.status`). scoring: how long detectors take. providers: how the language
    models fare (`Fallback.status`).
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: Store,
        schedule: Schedule,
        clock: Callable[[], datetime],
        sources: Callable[[], Sequence[SourceStatus]],
        scoring: Timings,
        providers: Callable[[], Sequence[ProviderStatus]],
    ) -> None:
        self.settings, self.database, self.store = settings, database, store
        self.schedule, self.clock = schedule, clock
        self.sources, self.scoring, self.providers = sources, scoring, providers
        self._lock = threading.Lock()
        self._kept: tuple[float, Report] | None = None

    def report(self) -> Report:
        """Every part's state; asked more than once a second, the same answer serves."""
        if not self._lock.acquire(timeout=ANSWER_WITHIN_S):
            # Someone else's look hangs in a part; saying so beats hanging with it.
            silent = Part("database", PartState.DOWN, f"No answer within {ANSWER_WITHIN_S:g} s.")
            return Report(version(), self.clock(), (silent,))
        try:
            if self._kept is None or time.monotonic() - self._kept[0] > REPORT_KEPT_S:
                checks = (self._store, self._database, self._tasks, self._schedule, self._sources, self._providers)
                report = Report(version(), self.clock(), tuple(check() for check in checks))
                self._kept = (time.monotonic(), report)
            return self._kept[1]
        finally:
            self._lock.release()

    def status(self, actor: Actor) -> tuple[Report, Figures]:
        """The report and the figures behind it, for whoever may look. Raises StoreError when there is no store."""
        actor.require(Permission.VIEW)
        return self.report(), self.figures()

    def figures(self) -> Figures:
        """Counts only, nothing of what was measured: what /metrics gives out. Raises StoreError, SQLAlchemyError."""
        with self.store.read(archived=False) as cursor:
            counts = cursor.execute(
                "SELECT (SELECT count(*) FROM series), "
                "(SELECT count(*) FROM samples) + (SELECT coalesce(sum(count), 0) FROM archive_series), "
                "(SELECT count(*) FROM anomalies), (SELECT count(*) FROM anomalies WHERE end_ts IS NULL)"
            ).fetchall()[0]
        with self.database.session() as session:
            detectors = session.exec(select(func.count()).select_from(Detector).where(col(Detector.active).is_(True)))
            return Figures(
                series=int(counts[0]),
                samples=int(counts[1]),
                anomalies=int(counts[2]),
                anomalies_open=int(counts[3]),
                store_bytes=self.store.size_bytes,
                detectors=int(detectors.one()),
                scoring=self.scoring.distribution(),
                tasks=self._task_counts(),
                sources=tuple(self.sources()),
                providers=tuple(self.providers()),
            )

    def _store(self) -> Part:
        try:
            with self.store.read(archived=False) as cursor:
                cursor.execute("SELECT 1").fetchall()
            state, message = self.store.state, str(self.store.health()["message"])
            free = shutil.disk_usage(self.store.path.parent).free
        except AppError as error:
            return Part("store", PartState.DOWN, error.message)
        except (duckdb.Error, OSError) as error:
            return Part("store", PartState.DOWN, redact(str(error)))
        values = {"size_bytes": self.store.size_bytes, "disk_free_bytes": free, "writes": state is State.OK}
        if state is not State.OK:
            return Part("store", PartState.DEGRADED, message, values)
        if free < LOW_DISK_BYTES:
            return Part("store", PartState.DEGRADED, f"Only {free // 2**20} MiB are free on its disk.", values)
        return Part("store", PartState.OK, message, values)

    def _database(self) -> Part:
        try:
            with self.database.session() as session:
                session.exec(select(1)).one()
        except SQLAlchemyError as error:
            return Part("database", PartState.DOWN, redact(f"{type(error).__name__}: {error}".splitlines()[0]))
        return Part("database", PartState.OK, self.database.engine.dialect.name)

    def _tasks(self) -> Part:
        try:
            counts = self._task_counts()
        except SQLAlchemyError:
            return Part("tasks", PartState.DOWN, "The database does not answer.")
        running, pending = counts[TaskStatus.RUNNING], counts[TaskStatus.PENDING]
        values = {"running": running, "waiting": pending}
        return Part("tasks", PartState.OK, f"{running} running, {pending} waiting", values)

    def _task_counts(self) -> dict[str, int]:
        with self.database.session() as session:
            found = dict(session.exec(select(Task.status, func.count()).group_by(col(Task.status))).all())
        return {status.value: int(found.get(status.value, 0)) for status in TaskStatus}

    def _schedule(self) -> Part:
        runs = self.schedule.last_runs()
        now = self.clock()
        stuck = [run.name for run in runs if run.running and run.started_at and now - run.started_at > STUCK]
        failed = [run for run in runs if run.error]
        if stuck:
            return Part("schedule", PartState.DEGRADED, f"Running for more than 10 minutes: {', '.join(stuck)}.")
        if failed:
            told = "; ".join(f"{run.name}: {run.error}" for run in failed)
            return Part("schedule", PartState.DEGRADED, f"Failed last time: {told}")
        begun = sum(run.started_at is not None for run in runs)
        return Part("schedule", PartState.OK, f"{begun} of {len(runs)} have run")

    def _sources(self) -> Part:
        try:
            sources = [source for source in self.sources() if source.enabled]
        except (AppError, SQLAlchemyError, duckdb.Error):
            return Part("sources", PartState.DOWN, "The database or the store does not answer.")
        trouble = [one.name for one in sources if one.state in (SourceState.FAILING, SourceState.LATE)]
        values = {"enabled": len(sources), "in_trouble": len(trouble)}
        if trouble:
            return Part("sources", PartState.DEGRADED, f"Failing or late: {', '.join(trouble)}.", values)
        return Part("sources", PartState.OK, f"{len(sources)} enabled", values)

    def _providers(self) -> Part:
        states = {status.name: str(status.state) for status in self.providers()}
        values = {"mode": self.settings.llm_mode.value, "offline": "ready", **states}
        unwell = [name for name, state in states.items() if state != "ready"]
        if unwell:
            return Part("providers", PartState.DEGRADED, f"Not answering: {', '.join(unwell)}.", values)
        return Part("providers", PartState.OK, ", ".join([*states, "offline"]), values)
