"""Coming in and going out: sign-in, one-time links, the cookie, guests, API keys in use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlmodel import col, select

from lib.audit.log import Audit
from lib.auth import passwords
from lib.auth.actor import Actor, ActorKind, Role
from lib.auth.keys import Keys
from lib.auth.lockout import Lockout
from lib.auth.sessions import Sessions, digest
from lib.auth.tickets import Purpose, Tickets
from lib.db.database import Database
from lib.db.tables import Source, User
from lib.errors import Invalid, Unauthenticated
from lib.services.collection_sources import REMOTE
from lib.settings import Settings

# What audit shows for someone who has not said who they are, or not proved it.
STRANGER = "stranger"


class Access:
    """What a stranger may call: everything here answers for itself, nothing takes an `actor`."""

    def __init__(self, settings: Settings, database: Database, audit: Audit, clock: Callable[[], datetime]) -> None:
        self.settings, self.database, self.audit, self.clock = settings, database, audit, clock
        self.sessions = Sessions(database, clock, settings.session_hours)
        self.tickets = Tickets(database, clock)
        self.keys = Keys(database, clock)
        self.lockout = Lockout(database, clock, settings.lockout_failures, settings.lockout_minutes)

    def actor_of(self, session_token: str, address: str = "") -> Actor | None:
        """The person behind a session token; None when it is unknown, expired, revoked or the user is disabled."""
        found = self.sessions.find(session_token)
        return _actor(found[0], address) if found else None

    def actor_of_key(self, text: str, address: str = "") -> Actor | None:
        """The actor behind an API key; None when it is unknown, expired or revoked, or its owner is disabled."""
        return self.keys.actor_of(text, address)

    def guests_allowed(self) -> bool:
        """Whether strangers may look around: the setting allows it, and all there is to see is demo and machine."""
        if not self.settings.guests:
            return False
        with self.database.session() as session:
            real = select(Source.id).where(col(Source.kind).in_(REMOTE), col(Source.enabled).is_(True)).limit(1)
            return session.exec(real).first() is None

    def waits_for_first_password(self) -> bool:
        """Whether no administrator has a password yet: the one-time link is the way in."""
        admin = select(User.id).where(
            User.role == Role.ADMIN.name.lower(), col(User.disabled).is_(False), User.password_hash != ""
        )
        with self.database.session() as session:
            return session.exec(admin.limit(1)).first() is None

    def sign_in(self, username: str, password: str, address: str = "") -> str:
        """A new session's token. Raises Unauthenticated with the same words, after the same time, whether the user is
        unknown, disabled, without a password or mistyped it; TooMany while locked out."""
        username = "".join(letter for letter in username.strip().lower() if letter.isprintable())[:64]
        if not username or not password:
            raise Invalid("Enter a user name and a password.")
        with self.database.session() as session:
            user = session.exec(select(User).where(User.username == username)).first()
        name = username if user else digest(username)
        attempt = self.lockout.attempt(name, address)
        usable = user is not None and not user.disabled and bool(user.password_hash)
        matches = passwords.check(password, user.password_hash if user and usable else None)
        if user is None or not matches:
            who = Actor(STRANGER, Role.VIEWER, ActorKind.GUEST, address=address)
            self.audit.record(who, "sign in", username if user else "unknown user", "refused")
            raise Unauthenticated("That user name and password do not match. Check both and try again.")
        self.lockout.succeeded(attempt, name, address)
        return self._open(user, address, by="password")

    def ticket_for(self, session_token: str) -> str | None:
        """A ticket that sets the cookie of this session, within a minute, once. None when it has ended."""
        found = self.sessions.find(session_token)
        if found is None:
            return None
        user, session = found
        return self.tickets.issue(user.id or 0, Purpose.COOKIE, session.id)

    def enter(self, ticket: str, purpose: Purpose, address: str = "") -> str:
        """The token to sign in with: of a session that exists (cookie), or of a new one (link).

        Raises Unauthenticated when the ticket is not, or no longer, good for that.
        """
        found = self.tickets.redeem(ticket, purpose)
        token = None
        if found and purpose is Purpose.COOKIE:
            token = self.sessions.cookie_token(found[1].session_id or 0)
        elif found:
            token = self._open(found[0], address, by="one-time link")
        if token is None:
            raise Unauthenticated(
                "This sign-in link was used already or has expired. Sign in with a password, ask an administrator "
                "for a new link, or start the app again to have one printed."
            )
        return token

    def leave(self, session_token: str, address: str = "") -> None:
        """End the session, in the tab and in the cookie. Unknown tokens are none of our business."""
        found = self.sessions.find(session_token)
        if found and self.sessions.end(found[1].id or 0, found[0].id or 0):
            self.audit.record(_actor(found[0], address), "sign out", found[0].username)

    def _open(self, user: User, address: str, by: str) -> str:
        token = self.sessions.open(user.id or 0, address)
        with self.database.session() as session:
            row = session.get(User, user.id)
            if row is not None:
                row.last_sign_in_at = self.clock()
                session.add(row)
        self.audit.record(_actor(user, address), "sign in", user.username, by=by)
        return token


def _actor(user: User, address: str) -> Actor:
    return Actor(user.username, Role[user.role.upper()], id=user.id, address=address)
