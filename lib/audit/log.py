"""What people did, append-only and hash-chained, so that a change to the past shows."""

from __future__ import annotations

from lib.auth.actor import Actor
from lib.db.database import Database


class Audit:
    def __init__(self, database: Database) -> None:
        self.database = database

    def record(self, actor: Actor, action: str, target: str = "", outcome: str = "ok", **details: object) -> None:
        """Append one entry. `details` must be JSON-able and never hold secrets."""
