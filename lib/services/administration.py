"""People and what they may do: sign-in, sessions, users, API keys, the audit log, settings."""

from __future__ import annotations

from collections.abc import Callable

from lib.audit.log import Audit
from lib.auth.actor import Actor, Role
from lib.auth.sessions import Sessions
from lib.db.database import Database
from lib.settings import Settings


class Administration:
    def __init__(self, settings: Settings, database: Database, audit: Audit, clock: Callable) -> None:
        self.settings, self.database, self.audit, self.clock = settings, database, audit, clock
        self.sessions = Sessions(database, clock, settings.session_hours)

    def actor_of(self, session_token: str, address: str = "") -> Actor | None:
        """The person behind a session token; None when it is unknown, expired, revoked or the user is disabled."""
        user = self.sessions.user_of(session_token)
        return Actor(user.username, Role[user.role.upper()], id=user.id, address=address) if user else None

    def ensure_administrator(self) -> str | None:
        """First start: make the administrator. Returns a one-time sign-in link when no password was configured."""
        return None
