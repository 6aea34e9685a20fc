"""API keys: shown once, kept as SHA-256, never stronger than their owner."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlmodel import col, select, update

from lib.auth.actor import Actor, ActorKind, Role
from lib.auth.sessions import digest
from lib.db.database import Database
from lib.db.tables import ApiKey, User

PREFIX = "ao_"
SHOWN = 11
# Noting each use would be a write a request; once a minute is enough to see that a key is alive.
USE_NOTED_EVERY = timedelta(minutes=1)


class Keys:
    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self.database, self.clock = database, clock

    def create(self, user_id: int, name: str, role: Role, days: int | None) -> tuple[str, ApiKey]:
        """The key's text, this once, and its row. days: None never expires."""
        text = PREFIX + secrets.token_urlsafe(32)
        now = self.clock()
        key = ApiKey(
            name=name,
            prefix=text[:SHOWN],
            key_hash=digest(text),
            user_id=user_id,
            role=role.name.lower(),
            created_at=now,
            expires_at=now + timedelta(days=days) if days else None,
        )
        with self.database.session() as session:
            session.add(key)
        return text, key

    def actor_of(self, text: str, address: str = "") -> Actor | None:
        """None when unknown, expired or revoked, or its owner is disabled. The role shrinks with the owner's."""
        if not text.startswith(PREFIX):
            return None
        now = self.clock()
        with self.database.session() as session:
            found = session.exec(
                select(ApiKey, User)
                .join(User, col(User.id) == col(ApiKey.user_id))
                .where(
                    ApiKey.key_hash == digest(text),
                    col(ApiKey.revoked_at).is_(None),
                    col(ApiKey.expires_at).is_(None) | (col(ApiKey.expires_at) > now),
                    col(User.disabled).is_(False),
                )
            ).first()
            if found is None:
                return None
            key, owner = found
            if key.last_used_at is None or now - key.last_used_at > USE_NOTED_EVERY:
                session.exec(update(ApiKey).where(col(ApiKey.id) == key.id).values(last_used_at=now))
        role = min(Role[key.role.upper()], Role[owner.role.upper()])
        return Actor(f"{owner.username}/{key.name}"[:64], role, ActorKind.KEY, owner.id, address)

    def list(self, user_id: int | None = None) -> list[tuple[ApiKey, str]]:
        """Keys and their owners' names, newest first; of one user, or all."""
        query = select(ApiKey, User.username).join(User, col(User.id) == col(ApiKey.user_id))
        if user_id is not None:
            query = query.where(ApiKey.user_id == user_id)
        with self.database.session() as session:
            return [(key, name) for key, name in session.exec(query.order_by(col(ApiKey.id).desc()))]

    def revoke(self, key_id: int, user_id: int | None = None) -> ApiKey | None:
        """At once. None when there is no such key, or it is not this user's."""
        with self.database.session() as session:
            key = session.get(ApiKey, key_id)
            if key is None or (user_id is not None and key.user_id != user_id):
                return None
            if key.revoked_at is None:
                key.revoked_at = self.clock()
                session.add(key)
        return key
