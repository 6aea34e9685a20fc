"""Marks on the time line: deploys and notes that may explain, maintenance and expected spans that mute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import col, or_, select

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.db.database import Database
from lib.db.tables import MUTING, Annotation, AnnotationKind, Repeat
from lib.errors import Invalid, NotFound
from lib.frames import Window

MOST_TEXT = 500
LONGEST = timedelta(days=90)
_PERIODS = {Repeat.DAILY: timedelta(days=1), Repeat.WEEKLY: timedelta(days=7)}


@dataclass(frozen=True)
class Mark:
    """One occurrence of an annotation: those that repeat have many. end: None for a moment."""

    annotation_id: int
    kind: AnnotationKind
    source_id: int | None
    host: str
    start: datetime
    end: datetime | None
    text: str
    created_by: str

    @property
    def mutes(self) -> bool:
        return self.kind in MUTING

    def covers(self, source_id: int, host: str) -> bool:
        """Whether it is about this group."""
        return self.source_id in (None, source_id) and self.host in ("", host)

    def meets(self, start: datetime, end: datetime) -> bool:
        return self.start < end and (self.end or self.start) >= start


class Annotations:
    """Who marked what, when. Everybody may look; marking takes the right to label."""

    def __init__(self, database: Database, audit: Audit, clock: Callable[[], datetime]) -> None:
        self.database, self.audit, self.clock = database, audit, clock

    def add(
        self,
        actor: Actor,
        kind: str,
        start: datetime,
        end: datetime | None = None,
        *,
        text: str = "",
        source_id: int | None = None,
        host: str = "",
        repeat: str = Repeat.NEVER,
    ) -> Annotation:
        """Mark a moment or a span. Raises Invalid when what mutes has no end, or the span makes no sense."""
        actor.require(Permission.LABEL)
        if kind not in list(AnnotationKind):
            raise Invalid(f"The kind {kind!r} is none of {', '.join(AnnotationKind)}.")
        if repeat not in list(Repeat):
            raise Invalid(f"The repetition {repeat!r} is none of {', '.join(Repeat)}.")
        if start.tzinfo is None or (end is not None and end.tzinfo is None):
            raise Invalid("A mark needs moments with a time zone, such as 2026-03-14T12:00Z.")
        if end is None and AnnotationKind(kind) in MUTING:
            raise Invalid(f"A span of {kind} needs an end: nothing may be muted for ever by mistake.")
        if end is not None and not timedelta(0) < end - start <= LONGEST:
            raise Invalid(f"The end must come after the start, by {LONGEST.days} days at most.")
        if end is not None and repeat != Repeat.NEVER and end - start >= _PERIODS[Repeat(repeat)]:
            raise Invalid(f"What repeats {repeat} must be shorter than the time between two of it.")
        if len(text) > MOST_TEXT:
            raise Invalid(f"The text has {len(text)} characters; {MOST_TEXT} are room for.")
        row = Annotation(
            source_id=source_id,
            host=host,
            kind=kind,
            start_at=start,
            end_at=end,
            repeat=repeat,
            text=text.replace("\0", "").strip(),
            created_by=actor.name,
            created_at=self.clock(),
        )
        with self.database.session() as session:
            session.add(row)
        self.audit.record(actor, "annotation.add", kind, host=host, start=start.isoformat(), repeat=repeat)
        return row

    def remove(self, actor: Actor, annotation_id: int) -> None:
        """Raises NotFound."""
        actor.require(Permission.LABEL)
        with self.database.session() as session:
            row = session.get(Annotation, annotation_id)
            if row is None:
                raise NotFound(f"There is no annotation {annotation_id}; somebody may have removed it.")
            session.delete(row)
        self.audit.record(actor, "annotation.remove", str(annotation_id), kind=row.kind)

    def all(self, actor: Actor) -> list[Annotation]:
        """Every annotation, newest first."""
        actor.require(Permission.VIEW)
        with self.database.session() as session:
            return list(session.exec(select(Annotation).order_by(col(Annotation.start_at).desc())).all())

    def marks(self, actor: Actor, window: Window, source_id: int | None = None, host: str | None = None) -> list[Mark]:
        """Every occurrence that meets the window, by time; of all groups unless one is named."""
        actor.require(Permission.VIEW)
        return self.between(window, source_id, host)

    def between(self, window: Window, source_id: int | None = None, host: str | None = None) -> list[Mark]:
        """As `marks`, for the app's own parts."""
        wanted = select(Annotation).where(col(Annotation.start_at) < window.end)
        wanted = wanted.where(
            or_(
                col(Annotation.repeat) != Repeat.NEVER,
                col(Annotation.end_at) >= window.start,
                col(Annotation.start_at) >= window.start,
            )
        )
        with self.database.session() as session:
            rows = list(session.exec(wanted).all())
        found = [mark for row in rows for mark in _occurrences(row, window)]
        if source_id is not None:
            found = [m for m in found if m.source_id in (None, source_id)]
        if host is not None:
            found = [m for m in found if m.host in ("", host)]
        return sorted(found, key=lambda m: m.start)

    def forget(self, source_id: int) -> None:
        """What was marked on a source that is removed."""
        with self.database.session() as session:
            for row in session.exec(select(Annotation).where(Annotation.source_id == source_id)):
                session.delete(row)


def muting(marks: Sequence[Mark], source_id: int, host: str, start: datetime, end: datetime) -> Mark | None:
    """The mark that mutes a span of a group, if any."""
    return next((m for m in marks if m.mutes and m.covers(source_id, host) and m.meets(start, end)), None)


def _occurrences(row: Annotation, window: Window) -> list[Mark]:
    assert row.id is not None
    period = _PERIODS.get(Repeat(row.repeat))
    length = (row.end_at - row.start_at) if row.end_at else timedelta(0)
    first = 0 if period is None else max(0, (window.start - length - row.start_at) // period)
    last = 0 if period is None else max(0, (window.end - row.start_at) // period)
    made = []
    for number in range(first, last + 1):
        start = row.start_at + number * (period or timedelta(0))
        end = row.end_at and start + length
        mark = Mark(row.id, AnnotationKind(row.kind), row.source_id, row.host, start, end, row.text, row.created_by)
        if mark.meets(window.start, window.end):
            made.append(mark)
    return made
