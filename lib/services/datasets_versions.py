"""Versions of datasets as rows and files: placed together, found again, never changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from lib.datasets.schema import Column, version_hash
from lib.db.database import Database
from lib.db.learning_tables import Dataset, DatasetRevision
from lib.errors import Invalid, NotFound
from lib.store.dataset_files import DatasetFiles

_Row = TypeVar("_Row")
# Enough of a hash to be typed by hand and to tell versions apart.
SHORT = 12


class Versions:
    """Takes open sessions: what is read and written here belongs into the caller's transaction."""

    def __init__(self, database: Database, files: DatasetFiles, clock: Callable[[], datetime]) -> None:
        self.database, self.files, self.clock = database, files, clock

    def base(self, session: Session, dataset_id: int, version: str) -> DatasetRevision:
        """The version that holds the data of this one as it was brought."""
        row = revision_of(session, dataset_of(session, dataset_id), version)
        first = (
            select(DatasetRevision)
            .where(DatasetRevision.dataset_id == dataset_id, DatasetRevision.content == row.content)
            .order_by(col(DatasetRevision.number))
        )
        return session.exec(first).first() or row

    def home(self, session: Session, params: dict[str, Any], made: str) -> int:
        """A new dataset; or the one of this name that already has this very version."""
        title, number = params["title"], 2
        while (held := session.exec(select(Dataset).where(Dataset.name == title)).first()) is not None:
            same = select(DatasetRevision.id).where(DatasetRevision.dataset_id == held.id, DatasetRevision.hash == made)
            if session.exec(same).first() is not None:
                return held.id or 0
            title, number = f"{params['title'][:100]} {number}", number + 1
        dataset = Dataset(name=title, created_by=params["by"], created_at=self.clock())
        session.add(dataset)
        session.flush()
        return dataset.id or 0

    def add(
        self,
        session: Session,
        dataset_id: int,
        parquet: Path,
        columns: Sequence[Column],
        content: str,
        rows: int,
        lineage: dict[str, Any],
        rejected: dict[str, Any],
        by: str,
    ) -> str:
        """Make a version the newest one; the same content as before is the same version."""
        dataset = dataset_of(session, dataset_id)
        made = version_hash(content, columns)
        known = select(DatasetRevision).where(DatasetRevision.dataset_id == dataset_id)
        if session.exec(known.where(DatasetRevision.hash == made)).first() is None:
            last = session.exec(known.order_by(col(DatasetRevision.number).desc())).first()
            row = DatasetRevision(
                dataset_id=dataset_id,
                number=last.number + 1 if last else 1,
                hash=made,
                content=content,
                rows=rows,
                columns=[one.as_json() for one in columns],
                lineage=lineage,
                rejected=rejected,
                created_by=by,
                created_at=self.clock(),
            )
            facts = row.model_dump(
                include={"hash", "content", "rows", "columns", "lineage", "created_by", "created_at"}
            )
            row.size_bytes = self.files.place(dataset_id, made, parquet, {"name": dataset.name, **facts})
            session.add(row)
        dataset.head = made
        session.add(dataset)
        return made

    def sweep(self) -> None:
        """Remove data a killed process left without a row."""
        with self.database.session() as session:
            known = {
                (int(one), made) for one, made in session.exec(select(DatasetRevision.dataset_id, DatasetRevision.hash))
            }
        self.files.sweep(known)


def dataset_of(session: Session, dataset_id: int) -> Dataset:
    found = session.get(Dataset, dataset_id)
    if found is None:
        raise NotFound(f"There is no dataset {dataset_id}; it may have been deleted.")
    return found


def revision_of(session: Session, dataset: Dataset, version: str | None) -> DatasetRevision:
    mine = select(DatasetRevision).where(DatasetRevision.dataset_id == dataset.id)
    return by_hash(session, mine, col(DatasetRevision.hash), version or dataset.head, dataset.name)


def by_hash(session: Session, rows: SelectOfScalar[_Row], column: Mapped[str], wanted: str, name: str) -> _Row:
    """The one of these rows whose hash is, or begins with, what is wanted. name: of what they are versions of.

    Raises Invalid for too few characters to tell, NotFound for those of none or of several.
    """
    if len(wanted) < 6:
        raise Invalid(f"{wanted!r} is too short to name a version; give at least 6 characters of its hash.")
    found = session.exec(rows.where(column.startswith(wanted, autoescape=True)).limit(2)).all()
    if len(found) != 1:
        said = "no version" if not found else "more than one version"
        raise NotFound(f"{name!r} has {said} {wanted[:SHORT]!r}; see its list of versions.")
    return found[0]
