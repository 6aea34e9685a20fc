"""What people did, append-only and hash-chained, so that a change to the past shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlmodel import col, select

from lib import frames
from lib.auth.actor import Actor
from lib.db.database import Database
from lib.db.tables import AuditEntry

GENESIS = "0" * 64


def chain(previous: str, entry: AuditEntry) -> str:
    """The digest of `entry` after one with digest `previous`. Everything a reader sees is in it, the id too."""
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


class Audit:
    def __init__(self, database: Database, clock: Callable[[], datetime] = frames.utcnow) -> None:
        self.database, self.clock = database, clock

    def record(self, actor: Actor, action: str, target: str = "", outcome: str = "ok", **details: object) -> None:
        """Append one entry. `details` must be JSON-able and never hold secrets."""
        plain = json.loads(json.dumps(details, default=str), parse_constant=str)
        with self.database.exclusive("audit") as session:
            last = session.exec(select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(1)).first()
            entry = AuditEntry(
                id=(last.id or 0) + 1 if last else 1,
                at=self.clock(),
                actor=_storable(actor.name)[:64],
                action=action[:64],
                target=_storable(target)[:256],
                outcome=outcome[:16],
                address=_storable(actor.address)[:64],
                details=_storable_values(plain),
                digest="",
            )
            entry.digest = chain(last.digest if last else GENESIS, entry)
            session.add(entry)

    def verify(self) -> int | None:
        """The id of the first entry that was changed, or that follows a removed one; None when all is as written."""
        previous, expected = GENESIS, 1
        with self.database.session() as session:
            rows = session.exec(select(AuditEntry).order_by(col(AuditEntry.id)).execution_options(yield_per=1000))
            for entry in rows:
                if entry.id != expected or entry.digest != chain(previous, entry):
                    return entry.id
                previous, expected = entry.digest, expected + 1
        return None


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
