"""Who is signed in: random tokens, only their SHA-256 kept, ended by deleting the row."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlmodel import col, delete, select

from lib.db.database import Database
from lib.db.tables import User, UserSession


def digest(secret: str) -> str:
    """What is stored of a random secret. A plain hash is enough: 256 random bits cannot be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


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

    def user_of(self, token: str) -> User | None:
        """None when the token is unknown, expired or revoked, or its user is disabled."""
        with self.database.session() as session:
            return session.exec(
                select(User)
                .join(UserSession, col(UserSession.user_id) == col(User.id))
                .where(
                    UserSession.token_hash == digest(token),
                    col(UserSession.expires_at) > self.clock(),
                    col(User.disabled).is_(False),
                )
            ).first()

    def of_user(self, user_id: int) -> list[UserSession]:
        """Sessions still open, newest first."""
        with self.database.session() as session:
            return list(
                session.exec(
                    select(UserSession)
                    .where(UserSession.user_id == user_id, col(UserSession.expires_at) > self.clock())
                    .order_by(col(UserSession.created_at).desc())
                )
            )

    def end(self, token: str) -> None:
        with self.database.session() as session:
            session.exec(delete(UserSession).where(col(UserSession.token_hash) == digest(token)))

    def end_one(self, session_id: int, user_id: int) -> bool:
        """False when this user has no such session."""
        with self.database.session() as session:
            ended = session.exec(
                delete(UserSession).where(col(UserSession.id) == session_id, col(UserSession.user_id) == user_id)
            )
            return bool(ended.rowcount)

    def end_all(self, user_id: int, but_token: str = "") -> int:
        """How many ended. `but_token` stays: one's own, when changing one's password."""
        with self.database.session() as session:
            ended = session.exec(
                delete(UserSession).where(
                    col(UserSession.user_id) == user_id, col(UserSession.token_hash) != digest(but_token)
                )
            )
            return int(ended.rowcount)
