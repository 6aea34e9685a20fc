"""Tables to learn from: brought as files or made of stored metrics, kept as versions that never change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, func, select

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.datasets.schema import Column, DatasetVersion, from_json
from lib.db.database import Database
from lib.db.tables import Dataset, DatasetRevision
from lib.errors import Conflict, Forbidden, Invalid, NotFound
from lib.settings import Settings
from lib.store.dataset_files import DatasetFiles
from lib.tasks.runner import Runner

logger = logging.getLogger(__name__)
# Enough of a hash to be typed by hand and to tell versions apart.
SHORT = 12
# Names for what `Datasets` answers, whose own `list` hides the word there.
Revisions = list["Revision"]
Dependants = list["Dependant"]


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
        self, settings: Settings, database: Database, runner: Runner, audit: Audit, clock: Callable[[], datetime]
    ) -> None:
        self.settings, self.database, self.runner, self.audit, self.clock = settings, database, runner, audit, clock
        self.files = DatasetFiles(settings.data_dir / "datasets")
        self.dependants: list[Callable[[int], Sequence[Dependant]]] = []

    # --- reading ------------------------------------------------------------------------------------

    def open(self, actor: Actor, dataset_id: int, version: str | None = None) -> DatasetVersion:
        """The data of a version to work with. version: a hash or its first characters; None: the newest.

        Raises NotFound.
        """
        actor.require(Permission.DATASETS)
        with self.database.session() as session:
            dataset = _dataset(session, dataset_id)
            row = _revision(session, dataset, version)
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
            dataset = _dataset(session, dataset_id)
            newest_first = col(DatasetRevision.number).desc()
            rows = session.exec(
                select(DatasetRevision).where(DatasetRevision.dataset_id == dataset_id).order_by(newest_first)
            ).all()
        head = next((row for row in rows if row.hash == dataset.head), rows[0])
        return _listed(dataset, head, len(rows)), [_shown(row) for row in rows]

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
            dataset = _dataset(session, dataset_id)
        target = f"dataset {dataset_id} {dataset.name}"
        if _person(dataset.created_by) != _person(actor.name):
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


def _dataset(session: Session, dataset_id: int) -> Dataset:
    found = session.get(Dataset, dataset_id)
    if found is None:
        raise NotFound(f"There is no dataset {dataset_id}; it may have been deleted.")
    return found


def _revision(session: Session, dataset: Dataset, version: str | None) -> DatasetRevision:
    wanted = version or dataset.head
    if len(wanted) < 6:
        raise Invalid(f"{wanted!r} is too short to name a version; give at least 6 characters of its hash.")
    rows = session.exec(
        select(DatasetRevision)
        .where(DatasetRevision.dataset_id == dataset.id, col(DatasetRevision.hash).startswith(wanted, autoescape=True))
        .limit(2)
    ).all()
    if len(rows) != 1:
        said = "no version" if not rows else "more than one version"
        raise NotFound(f"{dataset.name!r} has {said} {wanted[:SHORT]!r}; see its list of versions.")
    return rows[0]


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


def _person(name: str) -> str:
    """Who stands behind a name: a key is called `owner/key`."""
    return name.partition("/")[0]
