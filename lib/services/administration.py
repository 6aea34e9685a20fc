"""People and what they may do: users, passwords, sessions, API keys, the audit log."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from sqlmodel import Session, col, func, select

from lib.audit import export
from lib.audit.log import Audit, Filter
from lib.auth import passwords
from lib.auth.actor import Actor, ActorKind, Permission, Role
from lib.auth.tickets import Purpose
from lib.db.database import Database
from lib.db.tables import ApiKey, AuditEntry, SignInFailure, User, UserSession
from lib.errors import Conflict, Forbidden, Invalid, NotFound
from lib.services.access import Access
from lib.services.configuration import Configuration
from lib.settings import Settings

USERNAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
KEY_NAME = re.compile(r"[\w][\w .-]{0,31}")
LONGEST_KEY_DAYS = 3650


@dataclass(frozen=True)
class Person:
    """A user as the users page shows them. `has_password`: False until the one-time link was used to set one."""

    id: int
    username: str
    role: Role
    disabled: bool
    has_password: bool
    created_at: datetime
    last_sign_in_at: datetime | None
    sessions: int


class Administration(Access):
    """What signed-in people may call; each method checks that they may, and what changes something leaves a trace."""

    def __init__(self, settings: Settings, database: Database, audit: Audit, clock: Callable[[], datetime]) -> None:
        super().__init__(settings, database, audit, clock)
        self.configuration = Configuration(settings, database, audit, clock)

    def ensure_administrator(self) -> str | None:
        """First start: make the administrator. Returns a one-time sign-in link when no password was configured, and
        again at each start until an administrator has a password: nobody is locked out by a link they missed."""
        configured = self.settings.admin_password.get_secret_value()
        with self.database.exclusive("users") as session:
            admins = self._enabled_admins(session)
            if any(admin.password_hash for admin in admins):
                return None
            admin = admins[0] if admins else self._first_administrator(session)
            if configured:
                try:
                    passwords.validate(configured, admin.username)
                except Invalid as error:
                    raise Invalid(f"AUTOOPS_ADMIN_PASSWORD cannot be used. {error.message}") from None
                admin.password_hash = passwords.hashed(configured)
            session.add(admin)
            session.flush()
        return None if configured else self._link(admin)

    # --- users -----------------------------------------------------------------------------------

    def users(self, actor: Actor) -> list[Person]:
        """Everybody, by name."""
        actor.require(Permission.MANAGE_USERS)
        with self.database.session() as session:
            people = session.exec(select(User).order_by(User.username)).all()
            open_sessions = dict(
                session.exec(
                    select(UserSession.user_id, func.count())
                    .where(col(UserSession.expires_at) > self.clock())
                    .group_by(col(UserSession.user_id))
                ).all()
            )
        return [_person(user, open_sessions.get(user.id or 0, 0)) for user in people]

    def create_user(self, actor: Actor, username: str, role: Role, password: str = "") -> str | None:
        """Without a password, returns a one-time link to hand to the new user: they choose their own."""
        actor.require(Permission.MANAGE_USERS)
        username = username.strip().lower()
        if not USERNAME.fullmatch(username):
            raise Invalid(
                f"'{username[:64]}' cannot be a user name; use up to 64 letters a-z, digits and . _ @ + -, "
                "beginning with a letter or digit."
            )
        if password:
            passwords.validate(password, username)
        user = User(
            username=username,
            role=role.name.lower(),
            password_hash=passwords.hashed(password) if password else "",
            created_at=self.clock(),
        )
        with self.database.exclusive("users") as session:
            if session.exec(select(User).where(User.username == username)).first():
                raise Conflict(f"There is a user '{username}' already; choose another name.")
            session.add(user)
        self.audit.record(actor, "create user", username, role=role.name.lower())
        return None if password else self._link(user)

    def set_role(self, actor: Actor, user_id: int, role: Role) -> None:
        """Takes effect with the user's next click; the last administrator stays one."""
        actor.require(Permission.MANAGE_USERS)
        with self.database.exclusive("users") as session:
            user = _get(session, user_id)
            before = user.role
            if role is not Role.ADMIN:
                self._keep_an_administrator(session, user)
            user.role = role.name.lower()
            session.add(user)
        self.audit.record(actor, "change role", user.username, before=before, after=user.role)

    def set_disabled(self, actor: Actor, user_id: int, disabled: bool) -> None:
        """A disabled user is out at once: sessions, links and API keys stop working."""
        actor.require(Permission.MANAGE_USERS)
        with self.database.exclusive("users") as session:
            user = _get(session, user_id)
            if disabled:
                self._not_oneself(actor, user, "disable")
                self._keep_an_administrator(session, user)
            user.disabled = disabled
            session.add(user)
        if disabled:
            self.sessions.end_all(user_id)
            self.tickets.void(user_id)
        self.audit.record(actor, "disable user" if disabled else "enable user", user.username)

    def delete_user(self, actor: Actor, user_id: int) -> None:
        """With sessions, API keys and conversations; the audit log keeps the name."""
        actor.require(Permission.MANAGE_USERS)
        with self.database.exclusive("users") as session:
            user = _get(session, user_id)
            self._not_oneself(actor, user, "delete")
            self._keep_an_administrator(session, user)
            session.delete(user)
        self.audit.record(actor, "delete user", user.username)

    def reset_password(self, actor: Actor, user_id: int) -> str:
        """The old password and all sessions stop working; returns a one-time link to hand to the user."""
        actor.require(Permission.MANAGE_USERS)
        with self.database.exclusive("users") as session:
            user = _get(session, user_id)
            if user.disabled:
                raise Conflict(f"'{user.username}' is disabled; enable the user first.")
            user.password_hash = ""
            session.add(user)
        self.sessions.end_all(user_id)
        self.lockout.release(user.username)
        self.audit.record(actor, "reset password", user.username)
        return self._link(user)

    def unlock(self, actor: Actor, user_id: int) -> None:
        """Lift the lockout of an account."""
        actor.require(Permission.MANAGE_USERS)
        with self.database.session() as session:
            user = _get(session, user_id)
        self.audit.record(actor, "unlock user", user.username, failures=self.lockout.release(user.username))

    def failed_sign_ins(self, actor: Actor) -> list[SignInFailure]:
        """Failures that still count towards a lockout, newest first."""
        actor.require(Permission.READ_AUDIT)
        return self.lockout.recent()

    # --- oneself ---------------------------------------------------------------------------------

    def has_password(self, actor: Actor) -> bool:
        """False for who came by a one-time link and has not chosen a password yet."""
        return bool(self._oneself(actor).password_hash)

    def change_password(self, actor: Actor, current: str, new: str, session_token: str = "") -> None:
        """One's own. All other sessions end; the one of `session_token` stays."""
        user = self._oneself(actor)
        passwords.validate(new, user.username)
        if user.password_hash:
            # The same lockout as at sign-in: a session left open is not a place to guess at leisure.
            attempt = self.lockout.attempt(user.username, actor.address)
            if not passwords.check(current, user.password_hash):
                self.audit.record(actor, "change password", user.username, "refused")
                raise Forbidden("The current password does not match; nothing was changed.")
            self.lockout.succeeded(attempt, user.username, actor.address)
        with self.database.exclusive("users") as session:
            row = _get(session, user.id or 0)
            row.password_hash = passwords.hashed(new)
            session.add(row)
        ended = self.sessions.end_all(user.id or 0, but_token=session_token)
        self.tickets.void(user.id or 0)
        self.audit.record(actor, "change password", user.username, other_sessions_ended=ended)

    def own_sessions(self, actor: Actor) -> list[UserSession]:
        """Where one is signed in, newest first."""
        return self.sessions.of_user(self._oneself(actor).id or 0)

    def end_own_session(self, actor: Actor, session_id: int) -> None:
        user = self._oneself(actor)
        if not self.sessions.end(session_id, user.id or 0):
            raise NotFound("That session has ended already.")
        self.audit.record(actor, "end session", user.username)

    def end_sessions(self, actor: Actor, user_id: int) -> int:
        """Sign a user out everywhere; how many sessions ended."""
        actor.require(Permission.MANAGE_USERS)
        with self.database.session() as session:
            user = _get(session, user_id)
        ended = self.sessions.end_all(user_id)
        self.audit.record(actor, "end sessions", user.username, ended=ended)
        return ended

    # --- API keys --------------------------------------------------------------------------------

    def create_key(self, actor: Actor, name: str, role: Role, days: int | None = 90) -> str:
        """The key's text, shown this once. Its role is at most one's own, today and later; days None: no expiry."""
        user = self._oneself(actor)
        if not KEY_NAME.fullmatch(name.strip()):
            raise Invalid(f"'{name[:64]}' cannot be a key's name; use up to 32 letters, digits, spaces and . _ -.")
        if role > actor.role:
            raise Forbidden(
                f"A key may not have the role {role.name.lower()}: yours is {actor.role.name.lower()}.",
                permission=role.name,
            )
        if days is not None and not 1 <= days <= LONGEST_KEY_DAYS:
            raise Invalid(f"A key may last 1 to {LONGEST_KEY_DAYS} days, not {days}.")
        text, key = self.keys.create(user.id or 0, name.strip(), role, days)
        self.audit.record(actor, "create API key", f"{user.username}/{key.name}", prefix=key.prefix, role=key.role)
        return text

    def own_keys(self, actor: Actor) -> list[ApiKey]:
        return [key for key, _ in self.keys.list(self._oneself(actor).id)]

    def all_keys(self, actor: Actor) -> list[tuple[ApiKey, str]]:
        """Everybody's keys with their owners' names."""
        actor.require(Permission.MANAGE_USERS)
        return self.keys.list()

    def revoke_key(self, actor: Actor, key_id: int) -> None:
        """One's own, or anybody's for who manages users. At once."""
        whose = None if actor.may(Permission.MANAGE_USERS) else self._oneself(actor).id
        key = self.keys.revoke(key_id, whose)
        if key is None:
            raise NotFound("There is no such API key of yours.")
        self.audit.record(actor, "revoke API key", key.name, prefix=key.prefix)

    # --- the audit log ---------------------------------------------------------------------------

    def audit_entries(self, actor: Actor, wanted: Filter | None = None, limit: int = 500) -> list[AuditEntry]:
        """Newest first."""
        actor.require(Permission.READ_AUDIT)
        return self.audit.entries(wanted or Filter(), limit)

    def audit_values(self, actor: Actor) -> tuple[list[str], list[str]]:
        """The names and the actions that occur, to choose from."""
        actor.require(Permission.READ_AUDIT)
        return self.audit.values()

    def audit_csv(self, actor: Actor, wanted: Filter | None = None) -> bytes:
        """All entries that match, oldest first; cells a spreadsheet would run as formulas are made text."""
        actor.require(Permission.READ_AUDIT)
        content = export.as_csv(reversed(self.audit.entries(wanted or Filter(), None)))
        self.audit.record(actor, "export audit log")
        return content

    def verify_audit(self, actor: Actor) -> int | None:
        """The first entry that was tampered with, None when the chain holds."""
        actor.require(Permission.READ_AUDIT)
        return self.audit.verify()

    # --- within ----------------------------------------------------------------------------------

    def _oneself(self, actor: Actor) -> User:
        """The actor's row. Guests, the system and API keys have no account of their own to change."""
        if actor.kind is not ActorKind.USER or actor.id is None:
            raise Forbidden("Sign in with a user name of your own to do this.", permission="own account")
        with self.database.session() as session:
            return _get(session, actor.id)

    def _link(self, user: User) -> str:
        ticket = self.tickets.issue(user.id or 0, Purpose.LINK)
        return f"{self.settings.public_url.rstrip('/')}/auth/enter?{urlencode({'ticket': ticket})}"

    def _first_administrator(self, session: Session) -> User:
        name = self.settings.admin_username.strip().lower()
        if not USERNAME.fullmatch(name):
            raise Invalid(
                f"AUTOOPS_ADMIN_USERNAME '{name[:64]}' cannot be a user name; use letters, digits and . _ @ + -."
            )
        taken = session.exec(select(User).where(User.username == name)).first()
        if taken is not None:
            # No administrator is left, which only a change from outside can do: this account is the way back in.
            taken.role, taken.disabled = Role.ADMIN.name.lower(), False
            return taken
        return User(username=name, role=Role.ADMIN.name.lower(), password_hash="", created_at=self.clock())

    def _enabled_admins(self, session: Session) -> list[User]:
        return list(
            session.exec(
                select(User)
                .where(User.role == Role.ADMIN.name.lower(), col(User.disabled).is_(False))
                .order_by(col(User.id))
            )
        )

    def _keep_an_administrator(self, session: Session, user: User) -> None:
        if [admin.id for admin in self._enabled_admins(session)] == [user.id]:
            raise Conflict(f"'{user.username}' is the last administrator; make another user administrator first.")

    @staticmethod
    def _not_oneself(actor: Actor, user: User, verb: str) -> None:
        if actor.kind is ActorKind.USER and actor.id == user.id:
            raise Conflict(f"You cannot {verb} yourself; ask another administrator.")


def _get(session: Session, user_id: int) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise NotFound(f"There is no user with number {user_id}; someone may have deleted them.")
    return user


def _person(user: User, sessions: int) -> Person:
    return Person(
        id=user.id or 0,
        username=user.username,
        role=Role[user.role.upper()],
        disabled=user.disabled,
        has_password=bool(user.password_hash),
        created_at=user.created_at,
        last_sign_in_at=user.last_sign_in_at,
        sessions=sessions,
    )
