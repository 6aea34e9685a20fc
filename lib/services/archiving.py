"""The archive as people see it: how it stands, running it now, checking it, bringing it back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlmodel import col, select

from lib.audit.log import Audit
from lib.auth.actor import SYSTEM, Actor, Permission
from lib.db.tables import Task, TaskStatus
from lib.errors import AppError, StoreError
from lib.log import redact
from lib.services import archiving_jobs
from lib.settings import Settings
from lib.store import closing, restoring
from lib.store.archive import RAW
from lib.store.connection import State
from lib.store.places import trial
from lib.store.restoring import Restored, Verified
from lib.store.samples import Samples
from lib.store.schema import naive
from lib.store.tiers import TIERS
from lib.tasks.runner import Runner

logger = logging.getLogger(__name__)

# Bytes rot slowly; reading them all takes a second a gigabyte.
_VERIFY_EVERY = timedelta(days=1)
# A start takes memory and processor enough by itself.
_SETTLE_S, _EVERY_S = 120.0, 3600.0
# Tasks one after the other in one run of the schedule, after a long backfill say; then the next hour goes on.
_MOST_TASKS = 20
# Somebody waits for a test: a bucket across the world takes two seconds, one that is silent would take minutes.
TEST_S = 20.0


@dataclass(frozen=True)
class Event:
    """The last time something was done: when, and what came of it, in words."""

    at: datetime
    words: str


@dataclass(frozen=True)
class ArchiveStatus:
    """days: with samples archived, first to last. size_bytes: of their samples; tier_bytes: of each tier. due: closed
    days that wait. place: where it lies; empty for whoever may not manage settings. held: until when nothing expires,
    and why."""

    enabled: bool
    days: int
    first: datetime | None
    last: datetime | None
    samples: int
    size_bytes: int
    tier_bytes: dict[str, int]
    due: int
    last_run: Event | None
    last_verify: Event | None
    place: str
    as_of: datetime
    held: Event | None = None

    @property
    def bytes_per_sample(self) -> float | None:
        return self.size_bytes / self.samples if self.samples else None


class Archiving:
    """Closes days each hour, checks files once a day."""

    def __init__(
        self, settings: Settings, samples: Samples, runner: Runner, audit: Audit, clock: Callable[[], datetime]
    ) -> None:
        self.settings, self.samples, self.store = settings, samples, samples.store
        self.runner, self.audit, self.clock = runner, audit, clock
        self._running = threading.Lock()
        self._due_at = time.monotonic() + _SETTLE_S
        runner.register(archiving_jobs.kind_for(settings, self.store, clock, lambda words: self._note("run", words)))
        runner.register(archiving_jobs.verify_for(settings, self.store, self._note_verified))

    def status(self, actor: Actor) -> ArchiveStatus:
        """How the archive stands. Opens no archived file."""
        actor.require(Permission.VIEW)
        with self.store.read(archived=False) as cursor:
            parts = self.store.archive.look(cursor).parts
            rows = cursor.execute("SELECT kind, noted_at, words FROM archive_notes").fetchall()
        notes = {kind: Event(noted_at.replace(tzinfo=UTC), words) for kind, noted_at, words in rows}
        raw = [part for part in parts if part.tier == RAW]
        day = timedelta(days=1)
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return ArchiveStatus(
            enabled=self.settings.archive_hot_days > 0,
            days=len(raw),
            first=epoch + raw[0].day * day if raw else None,
            last=epoch + raw[-1].day * day if raw else None,
            samples=sum(part.rows for part in raw),
            size_bytes=sum(part.size_bytes for part in raw),
            tier_bytes={tier: sum(part.size_bytes for part in parts if part.tier == tier) for tier in TIERS},
            due=len(self._due()),
            last_run=notes.get("run"),
            last_verify=notes.get("verify"),
            place=self._place() if actor.may(Permission.MANAGE_SETTINGS) else "",
            as_of=self.clock(),
            held=notes.get("hold"),
        )

    def run(self, actor: Actor) -> Task:
        """Archive what is due, as a task; the one that runs already, if one does."""
        actor.require(Permission.MANAGE_SETTINGS)
        task = self._submit(actor)
        self.audit.record(actor, "archive.run", str(task.id))
        return task

    def verify(
        self, actor: Actor, *, deep: bool = False, said: Callable[[float, str], None] = lambda _share, _words: None
    ) -> Verified:
        """Check every file; deep: every sample. What is damaged is set aside. Deep takes Arrow's reader: for the
        command line, not the app."""
        actor.require(Permission.MANAGE_SETTINGS)
        found = self._verify(deep, said)
        self.audit.record(actor, "archive.verify", files=found.files, damaged=len(found.damaged))
        return found

    def check(self, actor: Actor) -> Task:
        """`verify`, but for deep, as a task; the one that runs already, if one does."""
        actor.require(Permission.MANAGE_SETTINGS)
        task = self.runner.submit(archiving_jobs.VERIFY, {}, by=actor.name, title="Check the archive's files")
        self.audit.record(actor, "archive.verify", str(task.id))
        return task

    def newest_check(self, actor: Actor) -> Task | None:
        """The newest of these tasks, however it stands; None: there was none."""
        actor.require(Permission.MANAGE_SETTINGS)
        wanted = select(Task).where(Task.kind == archiving_jobs.VERIFY).order_by(col(Task.id).desc()).limit(1)
        with self.runner.database.session() as session:
            return session.exec(wanted).first()

    def test(self, actor: Actor) -> float:
        """Store, read and remove a small file where the archive lies; seconds it took. Raises StoreError, which says
        what to change, also where it has not answered within TEST_S."""
        actor.require(Permission.MANAGE_SETTINGS)
        place, box = self._place(), list[float | Exception]()

        def attempt() -> None:
            try:
                box.append(trial(self.store.archive.place))
            except Exception as error:  # handed over to the thread that waits
                box.append(error)

        # A disk that hangs cannot be interrupted; left behind, the attempt still takes its file away again.
        thread = threading.Thread(target=attempt, name="archive test", daemon=True)
        thread.start()
        thread.join(TEST_S)
        found = box[0] if box else None
        if found is None:
            raise StoreError(
                f"{place} did not answer within {TEST_S:g} s. Check that it is reachable from this machine; archiving "
                "itself waits longer."
            )
        if isinstance(found, OSError):
            raise StoreError(f"{place} cannot be used: {found.strerror or found}.") from found
        if isinstance(found, Exception):
            raise found
        self.audit.record(actor, "archive.test", place)
        return found

    def restore(
        self,
        actor: Actor,
        folder: Path | None = None,
        said: Callable[[float, str], None] = lambda _share, _words: None,
    ) -> Restored:
        """Bring back samples from archived files the store does not know of, or from a copy. For the command line."""
        actor.require(Permission.MANAGE_SETTINGS)
        with self._running:
            restored = restoring.restore(self.samples, self.clock(), folder, said)
        self.audit.record(actor, "archive.restore", str(folder or ""), files=restored.files, samples=restored.samples)
        return restored

    def on_schedule(self) -> None:
        """`tick` each hour, the first time once the start is over. Called by the schedule."""
        if time.monotonic() >= self._due_at:
            self._due_at = time.monotonic() + _EVERY_S
            self.tick()

    def tick(self) -> None:
        """Archive the days that have closed, let go of what has expired, check."""
        if not self.settings.archive_hot_days or self.store.state is not State.OK:
            return
        if not self._running.acquire(blocking=False):
            return
        try:
            closing.sweep(self.store, self.clock())
            closing.expire(self.store, archiving_jobs.retention(self.settings), self.clock())
            self._close_days()
        finally:
            self._running.release()
        self._verify_sometimes()

    def _close_days(self) -> None:
        """One task after the other, as long as each gets somewhere."""
        waiting = self._due()
        for _ in range(_MOST_TASKS):
            if not waiting:
                return
            task = self.runner.wait(self._submit(SYSTEM).id or 0, self.settings.task_deadline_s + 60)
            left = self._due()
            if task.status != TaskStatus.SUCCEEDED or len(left) >= len(waiting):
                return
            waiting = left

    def _verify_sometimes(self) -> None:
        with self.store.read(archived=False) as cursor:
            if not self.store.archive.look(cursor).parts:
                return
            rows = cursor.execute("SELECT max(noted_at) FROM archive_notes WHERE kind = 'verify'").fetchall()
        last = rows[0][0]
        if last is None or self.clock() - last.replace(tzinfo=UTC) >= _VERIFY_EVERY:
            try:
                self._verify(deep=False)
            except AppError as error:
                logger.warning("archive not checked", extra={"reason": redact(error.message)})

    def _verify(self, deep: bool, said: Callable[[float, str], None] = lambda _share, _words: None) -> Verified:
        found = restoring.verify(self.store, deep=deep, said=said)
        self._note_verified(found)
        return found

    def _note_verified(self, found: Verified) -> None:
        words = f"{found.files:,} files as they were written" if not found.damaged else " ".join(found.damaged)
        if found.unknown:
            words += f"; {len(found.unknown)} files are not of this store: python -m lib archive restore"
        self._note("verify", words)

    def _submit(self, actor: Actor) -> Task:
        return self.runner.submit(archiving_jobs.KIND, {}, by=actor.name, title="Archive closed days")

    def _due(self) -> list[int]:
        return closing.due(self.store, archiving_jobs.retention(self.settings), self.clock())

    def _note(self, kind: str, words: str) -> None:
        with self.store.write() as cursor:
            cursor.execute("DELETE FROM archive_notes WHERE kind = ?", [kind])
            cursor.execute(
                "INSERT INTO archive_notes VALUES (?, ?::TIMESTAMP_MS, ?)", [kind, naive(self.clock()), words]
            )

    def _place(self) -> str:
        if not self.settings.archive_url:
            return str(self.settings.data_dir / "archive")
        return f"{self.settings.archive_url} at {redact(self.settings.archive_endpoint or 'Amazon')}"
