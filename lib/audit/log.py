"""What people did, append-only and hash-chained, so that a change to the past shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session, col, select

from lib import frames
from lib.auth.actor import Actor
from lib.db.database import Database
from lib.db.tables import AuditEntry, Setting

GENESIS = "0" * 64
# Where the chain ends, kept beside it: without this, the newest entries could be cut off unseen.
HEAD = "audit_head"


@dataclass(frozen=True)
class Filter:
    """Which entries to show; None or empty: all. Times are half-open: since <= at < until."""

    actor: str | None = None
    action: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Audit:
    def __init__(self, database: Database, clock: Callable[[], datetime] = frames.utcnow) -> None:
        self.database, self.clock = database, clock

    def record(self, actor: Actor, action: str, target: str = "", outcome: str = "ok", **details: object) -> None:
        """Append one entry. `details` must be JSON-able and never hold secrets."""
        plain = json.loads(json.dumps(details, default=str), parse_constant=str)
        with self.database.exclusive("audit") as session:
            head = session.get(Setting, HEAD) or Setting(key=HEAD, value={"id": 0, "digest": GENESIS})
            entry = AuditEntry(
                id=head.value["id"] + 1,
                at=self.clock(),
                actor=_storable(actor.name)[:64],
                action=action[:64],
                target=_storable(target)[:256],
                outcome=outcome[:16],
                address=_storable(actor.address)[:64],
                details=_storable_values(plain),
                digest="",
            )
            entry.digest = chain(head.value["digest"], entry)
            head.value, head.changed_at = {"id": entry.id, "digest": entry.digest}, entry.at
            session.add_all([entry, head])

    def entries(self, wanted: Filter, limit: int | None = 500) -> list[AuditEntry]:
        """What matches, newest first."""
        query = select(AuditEntry).order_by(col(AuditEntry.id).desc())
        if wanted.actor:
            query = query.where(AuditEntry.actor == wanted.actor)
        if wanted.action:
            query = query.where(AuditEntry.action == wanted.action)
        if wanted.outcome:
            query = query.where(AuditEntry.outcome == wanted.outcome)
        if wanted.since:
            query = query.where(col(AuditEntry.at) >= wanted.since)
        if wanted.until:
            query = query.where(col(AuditEntry.at) < wanted.until)
        with self.database.session() as session:
            return list(session.exec(query.limit(limit) if limit else query))

    def values(self) -> tuple[list[str], list[str]]:
        """The names and the actions that occur, sorted."""
        with self.database.session() as session:
            actors = session.exec(select(AuditEntry.actor).distinct().order_by(AuditEntry.actor)).all()
            actions = session.exec(select(AuditEntry.action).distinct().order_by(AuditEntry.action)).all()
        return list(actors), list(actions)

    def verify(self) -> int | None:
        """The number of the first entry that was changed or is missing; None when all is as written."""
        previous, number = GENESIS, 0
        with self.database.session() as session:
            # The end is read first: entries written meanwhile follow it.
            head = self._head(session)
            rows = session.exec(select(AuditEntry).order_by(col(AuditEntry.id)).execution_options(yield_per=1000))
            for entry in rows:
                number += 1
                if entry.id != number or entry.digest != chain(previous, entry):
                    return number
                if number == head["id"] and entry.digest != head["digest"]:
                    return number
                previous = entry.digest
        return number + 1 if number < head["id"] else None

    @staticmethod
    def _head(session: Session) -> dict[str, Any]:
        row = session.get(Setting, HEAD)
        return row.value if row else {"id": 0, "digest": GENESIS}


def chain(previous: str, entry: AuditEntry) -> str:
    """The digest of `entry` after one with digest `previous`. Everything a reader sees is in it, the number too."""
    row = [
        previous,
        entry.id,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.actor,
        entry.action,
        entry.target,
        entry.outcome,
        entry.address,
        entry.details,
    ]
    canonical = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _storable(text: str) -> str:
    """PostgreSQL keeps neither NUL nor lone surrogates; what a stranger typed as a user name may hold both."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _storable_values(value: Any) -> Any:
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, list):
        return [_storable_values(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable_values(item) for key, item in value.items()}
    return value
