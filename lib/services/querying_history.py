"""What each user ran on the SQL page, kept until they remove it or a hundred newer ones have come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session, col, delete, select

from lib.auth.actor import Actor, ActorKind
from lib.db.database import Database
from lib.db.tables import Query
from lib.errors import NotFound

KEPT = 100


class History:
    """Rows of `queries`, always through their owner: another user's are not found."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self.database, self.clock = database, clock

    def of(self, actor: Actor) -> list[Query]:
        """Pinned ones first, then the newest. Guests and API keys have none."""
        if not _keeps(actor):
            return []
        order = (col(Query.pinned).desc(), col(Query.ran_at).desc(), col(Query.id).desc())
        with self.database.session() as session:
            return list(session.exec(select(Query).where(Query.user_id == actor.id).order_by(*order)))

    def note(self, actor: Actor, sql: str, outcome: str, rows: int, seconds: float) -> None:
        """Remember that it ran, or ran again."""
        text = sql.replace("\x00", "").encode("utf-8", "replace").decode().strip()
        if not _keeps(actor) or actor.id is None or not text:
            return
        digest = hashlib.sha256(text.encode()).hexdigest()
        with self.database.exclusive("queries") as session:
            found = session.exec(select(Query).where(Query.user_id == actor.id, Query.digest == digest)).first()
            row = found or Query(user_id=actor.id, sql=text, digest=digest)
            row.outcome, row.rows, row.seconds, row.ran_at = outcome[:16], rows, seconds, self.clock()
            session.add(row)
            session.flush()
            order = (col(Query.ran_at).desc(), col(Query.id).desc())
            mine = select(Query.id).where(Query.user_id == actor.id, col(Query.pinned).is_(False))
            old = session.exec(mine.order_by(*order).offset(KEPT)).all()
            if old:
                session.exec(delete(Query).where(col(Query.id).in_(old)))

    def pin(self, actor: Actor, query_id: int, pinned: bool) -> None:
        """Raises NotFound."""
        with self.database.session() as session:
            row = _owned(session, actor, query_id)
            row.pinned = pinned
            session.add(row)

    def forget(self, actor: Actor, query_id: int) -> None:
        """Raises NotFound."""
        with self.database.session() as session:
            session.delete(_owned(session, actor, query_id))


def _keeps(actor: Actor) -> bool:
    return actor.kind is ActorKind.USER and actor.id is not None


def _owned(session: Session, actor: Actor, query_id: int) -> Query:
    row = session.get(Query, query_id) if _keeps(actor) else None
    if row is None or row.user_id != actor.id:
        raise NotFound(f"There is no query {query_id} of yours; it may have been removed.")
    return row
