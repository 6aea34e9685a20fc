"""Who is signed in: random tokens, only their SHA-256 kept, ended by deleting the row."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlmodel import col, delete, select, update

from lib.db.database import Database
from lib.db.tables import User, UserSession

# The browser's copy of a session, set by a route as HttpOnly.
COOKIE = "autoops_session"


def digest(secret: str) -> str:
    """What is stored of a random secret. A plain hash is enough: 256 random bits cannot be guessed."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


class Sessions:
    def __init__(self, database: Database, clock: Callable[[], datetime], hours: float) -> None:
        self.database, self.clock, self.lifetime = database, clock, timedelta(hours=hours)

    def open(self, user_id: int, address: str = "") -> str:
        """A new token for each sign-in, never one the browser brought along (fixation)."""
        token = secrets.token_urlsafe(32)
        now = self.clock()
        with self.database.session() as session:
            session.exec(delete(UserSession).where(col(UserSession.expires_at) <= now))
            session.add(
                UserSession(
                    token_hash=digest(token),
                    user_id=user_id,
                    created_at=now,
                    expires_at=now + self.lifetime,
                    address=address[:64],
                )
            )
        return token

    def find(self, token: str) -> tuple[User, UserSession] | None:
        """None when the token is unknown, expired or revoked, or its user is disabled."""
        with self.database.session() as session:
            return session.exec(
                select(User, UserSession)
                .join(UserSession, col(UserSession.user_id) == col(User.id))
                .where(
                    (UserSession.token_hash == digest(token)) | (UserSession.cookie_hash == digest(token)),
                    col(UserSession.expires_at) > self.clock(),
                    col(User.disabled).is_(False),
                )
            ).first()

    def cookie_token(self, session_id: int) -> str | None:
        """A second token for the same session, for the cookie; replaces an earlier one. None when it has ended."""
        token = secrets.token_urlsafe(32)
        with self.database.session() as session:
            done = session.exec(
                update(UserSession)
                .where(col(UserSession.id) == session_id, col(UserSession.expires_at) > self.clock())
                .values(cookie_hash=digest(token))
            )
            return token if done.rowcount else None

    def of_user(self, user_id: int) -> list[UserSession]:
        """Sessions still open, newest first."""
        with self.database.session() as session:
            return list(
                session.exec(
                    select(UserSession)
                    .where(UserSession.user_id == user_id, col(UserSession.expires_at) > self.clock())
                    .order_by(col(UserSession.created_at).desc(), col(UserSession.id).desc())
                )
            )

    def end(self, session_id: int, user_id: int) -> bool:
        """False when this user has no such session."""
        with self.database.session() as session:
            ended = session.exec(
                delete(UserSession).where(col(UserSession.id) == session_id, col(UserSession.user_id) == user_id)
            )
            return bool(ended.rowcount)

    def end_all(self, user_id: int, but_token: str = "") -> int:
        """How many ended. The session of `but_token` stays: one's own, when changing one's password."""
        kept = digest(but_token)
        with self.database.session() as session:
            ended = session.exec(
                delete(UserSession).where(
                    col(UserSession.user_id) == user_id,
                    col(UserSession.token_hash) != kept,
                    col(UserSession.cookie_hash).is_distinct_from(kept),
                )
            )
            return int(ended.rowcount)
