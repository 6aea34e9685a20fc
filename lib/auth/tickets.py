"""One-time tickets: exchanged within a minute for the cookie, or sent to a person as a sign-in link."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import col, delete, select, update

from lib.auth.sessions import digest
from lib.db.database import Database
from lib.db.tables import SignInTicket, User


class Purpose(StrEnum):
    COOKIE = "cookie"  # carries a sign-in just made on the page over to the cookie
    LINK = "link"  # signs in whoever holds it: the first administrator, or a user whose password was reset


LIFETIME = {Purpose.COOKIE: timedelta(seconds=60), Purpose.LINK: timedelta(hours=1)}


class Tickets:
    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self.database, self.clock = database, clock

    def issue(self, user_id: int, purpose: Purpose, session_id: int | None = None) -> str:
        """A new ticket. A new link voids the user's earlier ones, so that one forgotten in a log opens nothing."""
        ticket = secrets.token_urlsafe(32)
        now = self.clock()
        with self.database.session() as session:
            session.exec(delete(SignInTicket).where(col(SignInTicket.expires_at) <= now))
            if purpose is Purpose.LINK:
                session.exec(
                    delete(SignInTicket).where(
                        col(SignInTicket.user_id) == user_id, col(SignInTicket.purpose) == Purpose.LINK
                    )
                )
            session.add(
                SignInTicket(
                    ticket_hash=digest(ticket),
                    user_id=user_id,
                    session_id=session_id,
                    purpose=purpose,
                    expires_at=now + LIFETIME[purpose],
                )
            )
        return ticket

    def redeem(self, ticket: str, purpose: Purpose) -> tuple[User, SignInTicket] | None:
        """Whose it is, once: of two at the same time one gets it. None when unknown, used, expired, for
        something else, or the user is disabled."""
        now = self.clock()
        with self.database.session() as session:
            # One statement decides, so that no lock is needed.
            taken = session.exec(
                update(SignInTicket)
                .where(
                    col(SignInTicket.ticket_hash) == digest(ticket),
                    col(SignInTicket.purpose) == purpose,
                    col(SignInTicket.used_at).is_(None),
                    col(SignInTicket.expires_at) > now,
                )
                .values(used_at=now)
            )
            if not taken.rowcount:
                return None
            return session.exec(
                select(User, SignInTicket)
                .join(SignInTicket, col(SignInTicket.user_id) == col(User.id))
                .where(SignInTicket.ticket_hash == digest(ticket), col(User.disabled).is_(False))
            ).first()

    def void(self, user_id: int) -> None:
        """All of a user's tickets, links too: their password or rights changed."""
        with self.database.session() as session:
            session.exec(delete(SignInTicket).where(col(SignInTicket.user_id) == user_id))
