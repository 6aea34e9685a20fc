"""Tables to learn from: brought as files or made of stored metrics, kept as versions that never change."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Unpack

import pandas as pd
from sqlmodel import col, func, select

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.datasets.schema import (
    Change,
    Column,
    DatasetVersion,
    Role,
    changed,
    checked,
    from_json,
    unique,
    version_hash,
)
from lib.datasets.windowing import Recipe
from lib.db.database import Database
from lib.db.learning_tables import Dataset, DatasetRevision
from lib.db.tables import Task, TaskStatus
from lib.errors import Conflict, Forbidden, Invalid, NotFound
from lib.frames import Window
from lib.services.datasets_incoming import Incoming, Reading, asked, title_of
from lib.services.datasets_jobs import TABLE
from lib.services.datasets_metrics import Gathering, Starts
from lib.services.datasets_versions import SHORT, Versions, dataset_of, revision_of
from lib.services.export import neutral
from lib.services.jobs import person
from lib.settings import Settings
from lib.store import previews
from lib.store.dataset_files import DatasetFiles
from lib.store.samples import Samples
from lib.tasks.job import JobKind
from lib.tasks.runner import Runner

logger = logging.getLogger(__name__)
# Names for what `Datasets` answers, whose own `list` hides the word there.
BRING, GATHER, EDIT = "dataset.bring", "dataset.gather", "dataset.edit"
KINDS = (BRING, GATHER, EDIT)
MEMORY_MB, DEADLINE_S = 1536, 1800.0
Revisions = list["Revision"]
Dependants = list["Dependant"]
Names = list[str]


@dataclass(frozen=True)
class Dependant:
    """Something that was made from a dataset: kind ("pipeline", "model"), its name, and the page where it is seen."""

    kind: str
    name: str
    page: str = ""


@dataclass(frozen=True)
class Revision:
    """A version as lists show it. lineage: where it came from; rejected: {count, rows: [[line, reason]]}."""

    hash: str
    number: int
    rows: int
    size_bytes: int
    columns: list[Column]
    lineage: dict[str, Any]
    rejected: dict[str, Any]
    by: str
    at: datetime


@dataclass(frozen=True)
class Listed:
    """A dataset with its newest facts; head: the version that is meant when none is named."""

    id: int
    name: str
    by: str
    at: datetime
    versions: int
    head: Revision


class Datasets:
    """dependants: whoever makes something of datasets adds a function that tells what is made of this one."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        samples: Samples,
        runner: Runner,
        audit: Audit,
        clock: Callable[[], datetime],
        starts: Starts,
    ) -> None:
        self.settings, self.database, self.runner, self.audit, self.clock = settings, database, runner, audit, clock
        self.files = DatasetFiles(settings.data_dir / "datasets")
        self.versions, self.incoming = Versions(database, self.files, clock), Incoming(settings)
        self.gathering = Gathering(samples, starts)
        self.dependants: list[Callable[[int], Sequence[Dependant]]] = []
        # A killed process may have left data that nothing refers to; nothing is under way yet.
        with database.session() as session:
            waiting = session.exec(
                select(Task.params).where(Task.kind == BRING, Task.status == TaskStatus.PENDING)
            ).all()
        self.versions.sweep()
        self.incoming.sweep({str(params.get("id")) for params in waiting})
        for name, run, prepare in (
            (BRING, "bring", self.incoming.prepare),
            (GATHER, "gather", self.gathering.prepare),
            (EDIT, "rebuild", self._prepare_edit),
        ):
            runner.register(
                JobKind(
                    name,
                    f"lib.services.datasets_jobs:{run}",
                    prepare=prepare,
                    finish=self._keep,
                    memory_mb=MEMORY_MB,
                    deadline_s=DEADLINE_S,
                    # An upload is moved into the job's folder and goes with it; the others can be made again.
                    resumes=name is not BRING,
                    retries=0 if name is BRING else 2,
                )
            )

    # --- making -------------------------------------------------------------------------------------

    def admit(self, actor: Actor) -> None:
        """Whether somebody may bring files at all, before any of theirs is taken in. Raises Forbidden."""
        actor.require(Permission.MAKE_DATASETS)

    def upload(
        self,
        actor: Actor,
        name: str,
        stream: BinaryIO,
        *,
        into: int | None = None,
        **reading: Unpack[Reading],
    ) -> Task:
        """Take a file in and queue what makes a dataset of it; into: a dataset it becomes a new version of.

        Raises Invalid for a name with path parts, a kind of file that is none of ours, an empty file or one above the
        cap; then nothing of it is kept.
        """
        actor.require(Permission.MAKE_DATASETS)
        asked = self._asked(actor, name, into, reading)
        try:
            size = self.incoming.take(stream, asked["id"], asked["name"])
            task = self._submit(actor, BRING, asked, f"Dataset from {asked['name']}")
        except BaseException:
            self.incoming.drop(asked["id"])
            raise
        self.audit.record(actor, "dataset.upload", asked["name"], size_bytes=size, task=task.id)
        return task

    def offered(self, actor: Actor) -> Names:
        """Names of the files in the folder `files` of the data directory that a dataset can be made of, sorted."""
        actor.require(Permission.DATASETS)
        return self.incoming.names()

    def pick(
        self,
        actor: Actor,
        name: str,
        *,
        into: int | None = None,
        **reading: Unpack[Reading],
    ) -> Task:
        """Make a dataset of a file that is offered; the file stays where it is. Raises NotFound."""
        actor.require(Permission.MAKE_DATASETS)
        if name not in self.offered(actor):
            raise NotFound(f"No file {name[:80]!r} is in {self.incoming.offered}; put it there, or upload it.")
        asked = self._asked(actor, name, into, reading) | {"file": name}
        task = self._submit(actor, BRING, asked, f"Dataset from {asked['name']}")
        self.audit.record(actor, "dataset.pick", asked["name"], task=task.id)
        return task

    def gather(
        self,
        actor: Actor,
        name: str,
        series_ids: Sequence[int],
        window: Window,
        recipe: Recipe,
        *,
        host: str | None = None,
        into: int | None = None,
    ) -> Task:
        """Queue a dataset made of stored series. host: whose anomalies are the target; None: those of every host of the
        series. Raises Invalid for a recipe that cannot be."""
        actor.require(Permission.MAKE_DATASETS)
        title = title_of(name)
        if into is not None:
            self.get(actor, into)
        params = self.gathering.params(series_ids, window, recipe, host)
        params |= {"title": title, "into": into, "by": actor.name}
        task = self._submit(actor, GATHER, params, f"Dataset {title} from metrics")
        self.audit.record(actor, "dataset.gather", title, series=len(series_ids), task=task.id)
        return task

    def edit(
        self,
        actor: Actor,
        dataset_id: int,
        columns: Sequence[Column],
        version: str | None = None,
        *,
        distinct: bool = False,
    ) -> Task:
        """Queue a version with these columns: other names, types and roles, another order, some left out. Each is told
        by its `origin`. distinct: without rows that repeat an earlier one in every column. Raises Invalid for columns
        that make no sense, or an origin the data has not."""
        actor.require(Permission.MAKE_DATASETS)
        wanted, opened = checked(columns), self.open(actor, dataset_id, version)
        self._same_origins(dataset_id, opened.hash, wanted)
        params = {
            "into": dataset_id,
            "version": opened.hash,
            "columns": [one.as_json() for one in wanted],
            "distinct": distinct,
            "by": actor.name,
        }
        task = self._submit(actor, EDIT, params, f"New version of {opened.name}")
        self.audit.record(actor, "dataset.edit", f"dataset {dataset_id} {opened.name}", task=task.id)
        return task

    def change(
        self,
        actor: Actor,
        dataset_id: int,
        changes: Mapping[str, Change],
        version: str | None = None,
        *,
        distinct: bool = False,
    ) -> Task:
        """Queue a version with some columns renamed, of another type or role, or left out; those that are not named
        stay as they are. Raises Invalid, naming each column and field that is wrong; NotFound."""
        actor.require(Permission.MAKE_DATASETS)
        opened = self.open(actor, dataset_id, version)
        wanted = changed(opened.schema, changes)
        return self.edit(actor, dataset_id, wanted, opened.hash, distinct=distinct)

    def set_roles(self, actor: Actor, dataset_id: int, roles: Mapping[str, Role], version: str | None = None) -> str:
        """Make a version that differs in roles only, at once; its hash. Raises Invalid, NotFound."""
        actor.require(Permission.MAKE_DATASETS)
        opened = self.open(actor, dataset_id, version)
        unknown = sorted(roles.keys() - {one.name for one in opened.schema})
        if unknown:
            raise Invalid(f"{opened.name!r} has no column {unknown[0]!r}.")
        wanted = checked([replace(one, role=roles.get(one.name, one.role)) for one in opened.schema])
        scratch = self.incoming.folder / secrets.token_hex(8)
        scratch.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.files.share(dataset_id, opened.hash, scratch)
            lineage = {"from": "edit", "version": opened.hash}
            with self.database.exclusive("datasets") as session:
                before = revision_of(session, dataset_of(session, dataset_id), opened.hash)
                made = self.versions.add(
                    session,
                    dataset_id,
                    scratch,
                    wanted,
                    before.content,
                    before.rows,
                    lineage,
                    before.rejected,
                    actor.name,
                )
        finally:
            scratch.unlink(missing_ok=True)
        self.audit.record(actor, "dataset.edit", f"dataset {dataset_id} {opened.name}", version=made[:SHORT])
        return made

    # --- reading ------------------------------------------------------------------------------------

    def open(self, actor: Actor, dataset_id: int, version: str | None = None) -> DatasetVersion:
        """The data of a version to work with. version: a hash or its first characters; None: the newest.

        Raises NotFound.
        """
        actor.require(Permission.DATASETS)
        with self.database.session() as session:
            dataset = dataset_of(session, dataset_id)
            row = revision_of(session, dataset, version)
        path = self.files.find(dataset_id, row.hash, row.size_bytes)
        return DatasetVersion(dataset_id, dataset.name, row.hash, path, from_json(row.columns), row.rows)

    def list(self, actor: Actor) -> list[Listed]:
        """Every dataset, the newest first."""
        actor.require(Permission.DATASETS)
        with self.database.session() as session:
            heads = (DatasetRevision.dataset_id == Dataset.id) & (DatasetRevision.hash == Dataset.head)
            pairs = session.exec(
                select(Dataset, DatasetRevision).join(DatasetRevision, heads).order_by(col(Dataset.id).desc())  # type: ignore[arg-type]
            ).all()
            counted = session.exec(
                select(DatasetRevision.dataset_id, func.count()).group_by(col(DatasetRevision.dataset_id))
            ).all()
        counts = dict(counted)
        return [_listed(dataset, row, counts.get(row.dataset_id, 1)) for dataset, row in pairs]

    def get(self, actor: Actor, dataset_id: int) -> tuple[Listed, Revisions]:
        """One dataset and its versions, the newest first. Raises NotFound."""
        actor.require(Permission.DATASETS)
        with self.database.session() as session:
            dataset = dataset_of(session, dataset_id)
            newest_first = col(DatasetRevision.number).desc()
            rows = session.exec(
                select(DatasetRevision).where(DatasetRevision.dataset_id == dataset_id).order_by(newest_first)
            ).all()
        head = next((row for row in rows if row.hash == dataset.head), rows[0])
        return _listed(dataset, head, len(rows)), [_shown(row) for row in rows]

    def preview(
        self, actor: Actor, dataset_id: int, version: str | None = None, limit: int = 100, offset: int = 0
    ) -> pd.DataFrame:
        """Rows in their order, at most 1,000; texts cut to 300 characters. Raises NotFound."""
        opened = self.open(actor, dataset_id, version)
        return previews.rows(opened.path, opened.schema, limit, offset)

    def as_csv(self, actor: Actor, dataset_id: int, version: str | None = None) -> bytes:
        """The first 100,000 rows for spreadsheets: text that would be run as a formula gets an apostrophe."""
        opened = self.open(actor, dataset_id, version)
        header, _ = unique([neutral(one.name) for one in opened.schema], len(opened.schema))
        self.incoming.folder.mkdir(parents=True, exist_ok=True)
        target = self.incoming.folder / secrets.token_hex(8)
        try:
            previews.write_csv(opened.path, opened.schema, header, target)
            return target.read_bytes()
        finally:
            target.unlink(missing_ok=True)

    def making(self, actor: Actor) -> Task | None:
        """The newest task that makes a dataset or a version, whatever became of it."""
        actor.require(Permission.DATASETS)
        newest = select(Task).where(col(Task.kind).in_(KINDS)).order_by(col(Task.id).desc()).limit(1)
        with self.database.session() as session:
            return session.exec(newest).first()

    def outcome(self, actor: Actor, task_id: int, wait_s: float = 0.0) -> Task:
        """A task of this service, waited for a while. Raises NotFound for another kind of task."""
        actor.require(Permission.DATASETS)
        task = self.runner.get(task_id)
        if task.kind not in KINDS:
            raise NotFound(f"Task {task_id} makes no dataset.")
        with suppress(TimeoutError):
            task = self.runner.wait(task_id, wait_s)
        return task

    # --- deleting -----------------------------------------------------------------------------------

    def depending(self, actor: Actor, dataset_id: int) -> Dependants:
        """What was made of it, for the person about to delete it."""
        actor.require(Permission.DATASETS)
        return [one for told in self.dependants for one in told(dataset_id)]

    def delete(self, actor: Actor, dataset_id: int, anyway: bool = False) -> None:
        """Remove a dataset with all its versions. Raises Conflict, naming what depends on it, unless `anyway`;
        Forbidden for somebody else's dataset; NotFound."""
        actor.require(Permission.MAKE_DATASETS)
        with self.database.session() as session:
            dataset = dataset_of(session, dataset_id)
        target = f"dataset {dataset_id} {dataset.name}"
        if person(dataset.created_by) != person(actor.name):
            try:
                actor.require(Permission.MANAGE_TASKS)
            except Forbidden:
                self.audit.record(actor, "dataset.delete", target, "refused", owner=dataset.created_by)
                raise
        depending = self.depending(actor, dataset_id)
        if depending and not anyway:
            named = ", ".join(f"{one.kind} {one.name}" for one in depending[:5])
            raise Conflict(
                f"{len(depending)} things were made of {dataset.name!r}: {named}. Delete them first, or say that it is "
                "to go all the same; then they stay without the data they came from."
            )
        with self.database.exclusive("datasets") as session:
            gone = session.get(Dataset, dataset_id)
            if gone is not None:
                session.delete(gone)
        self.files.remove(dataset_id)
        self.audit.record(actor, "dataset.delete", target, dependants=len(depending))

    # --- around the jobs ----------------------------------------------------------------------------

    def _asked(self, actor: Actor, name: str, into: int | None, reading: Reading) -> dict[str, Any]:
        if into is not None:
            self.get(actor, into)
        return {**asked(name, **reading), "into": into, "by": actor.name}

    def _submit(self, actor: Actor, kind: str, params: dict[str, Any], title: str) -> Task:
        return self.runner.submit(kind, params, by=actor.name, title=title)

    def _prepare_edit(self, params: dict[str, Any], _workdir: Path) -> dict[str, Any]:
        """An edited version is made of the data as it was brought, so that nothing is lost that comes back."""
        with self.database.session() as session:
            base = self.versions.base(session, params["into"], params["version"])
        path = self.files.find(params["into"], base.hash, base.size_bytes)
        return {**params, "path": str(path), "held": base.columns}

    def _same_origins(self, dataset_id: int, version: str, wanted: Sequence[Column]) -> None:
        with self.database.session() as session:
            held = {one["origin"] for one in self.versions.base(session, dataset_id, version).columns}
        strange = [one.origin for one in wanted if one.origin not in held]
        if strange:
            raise Invalid(f"The data has no column {strange[0]!r}; each column tells by its origin which one it is.")

    def _keep(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        """File and rows in one transaction: killed anywhere, the version is there whole, or nothing of it is."""
        columns, into = from_json(result["columns"]), params["into"]
        rows, content, rejected = result["rows"], result["content"], result["rejected"]
        with self.database.exclusive("datasets") as session:
            if "version" in params:
                base = self.versions.base(session, into, params["version"])
                content, rejected = base.content, base.rejected
                if rows < base.rows:
                    content = hashlib.sha256(f"{content} without repeated rows".encode()).hexdigest()
                lineage = {"from": "edit", "version": params["version"], "notes": result["notes"]}
            elif "recipe" in params:
                kept = ("series", "recipe", "start_ms", "end_ms", "host", "target")
                lineage = {"from": "metrics", **{one: params[one] for one in kept}, "notes": result["notes"]}
            else:
                told = ("name", "format", "encoding", "delimiter", "sheet")
                lineage = {"from": "file", **{one: params.get(one) for one in told}, "notes": result["notes"]}
            if into is None:
                into = self.versions.home(session, params, version_hash(content, columns))
            before = session.get(Dataset, into)
            head = before.head if before else ""
            made = self.versions.add(
                session, into, workdir / TABLE, columns, content, rows, lineage, rejected, params["by"]
            )
        return {
            "dataset": into,
            "version": made,
            "rows": rows,
            "columns": len(columns),
            "rejected": rejected["count"],
            "unchanged": made == head,
        }


def _shown(row: DatasetRevision) -> Revision:
    return Revision(
        row.hash,
        row.number,
        row.rows,
        row.size_bytes,
        from_json(row.columns),
        row.lineage,
        row.rejected,
        row.created_by,
        row.created_at,
    )


def _listed(dataset: Dataset, head: DatasetRevision, versions: int) -> Listed:
    return Listed(dataset.id or 0, dataset.name, dataset.created_by, dataset.created_at, versions, _shown(head))
