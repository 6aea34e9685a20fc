"""Views of Explore kept by name: one's own, and what others share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, or_, select

from lib.audit.log import Audit
from lib.auth.actor import Actor, ActorKind, Permission, Role
from lib.db.database import Database
from lib.db.tables import User, View
from lib.errors import Conflict, Forbidden, Invalid, NotFound

MOST_NAME, MOST_DESCRIPTION = 80, 500
# Of one person; a list longer than this nobody finds anything in.
MOST_VIEWS = 200
# A page's choices as JSON; a few hundred labels, or a long expression.
MOST_CHOICES = 16_000


@dataclass(frozen=True)
class Saved:
    """choices: every choice of the page by the name it has in the address. mine: of whoever asks. changeable: by
    whoever asks."""

    id: int
    name: str
    description: str
    owner: str
    shared: bool
    choices: Mapping[str, Any]
    changed_at: datetime
    mine: bool
    changeable: bool


class Views:
    """Everybody opens their own and shared ones; changing takes the owner, or an administrator where it is shared.
    Private ones of others are not there for anybody else."""

    def __init__(self, database: Database, audit: Audit, clock: Callable[[], datetime]) -> None:
        self.database, self.audit, self.clock = database, audit, clock

    def all(self, actor: Actor) -> list[Saved]:
        """What this actor may open: their own first, each by name."""
        actor.require(Permission.VIEW)
        wanted = select(View, User.username).join(User, col(User.id) == View.owner_id)
        wanted = wanted.where(or_(col(View.shared).is_(True), View.owner_id == _owner(actor)))
        with self.database.session() as session:
            found = [_saved(row, owner, actor) for row, owner in session.exec(wanted)]
        return sorted(found, key=lambda one: (not one.mine, one.name.casefold(), one.id))

    def get(self, actor: Actor, view_id: int) -> Saved:
        """Raises NotFound for one that is gone, or another's own."""
        actor.require(Permission.VIEW)
        with self.database.session() as session:
            row = _visible(session, actor, view_id)
            owner = session.get(User, row.owner_id)
            return _saved(row, owner.username if owner else "", actor)

    def save(
        self, actor: Actor, name: str, choices: Mapping[str, Any], description: str = "", shared: bool = False
    ) -> Saved:
        """A new view. Raises Conflict for a name this actor has already, Invalid for what is no name or too much."""
        actor.require(Permission.SAVE_VIEWS)
        owner_id = _owner(actor)
        if owner_id is None:
            raise Forbidden("Only a signed-in person keeps views; sign in first.")
        name, description = _name(name), _description(description)
        row = View(
            owner_id=owner_id,
            name=name,
            description=description,
            shared=shared,
            choices=_choices(choices),
            created_at=self.clock(),
            changed_at=self.clock(),
        )
        with _named_once(name), self.database.exclusive("views") as session:
            if len(session.exec(select(View.id).where(View.owner_id == owner_id)).all()) >= MOST_VIEWS:
                raise Conflict(f"You have {MOST_VIEWS} views; delete one that is no longer needed.")
            session.add(row)
            session.flush()
        self.audit.record(actor, "view.save", name, view=row.id, shared=shared)
        return _saved(row, actor.name, actor)

    def change(
        self,
        actor: Actor,
        view_id: int,
        *,
        name: str | None = None,
        description: str | None = None,
        shared: bool | None = None,
        choices: Mapping[str, Any] | None = None,
    ) -> Saved:
        """Rename, describe, share or overwrite; what is None stays. Raises NotFound, Forbidden, Conflict, Invalid."""
        actor.require(Permission.SAVE_VIEWS)
        given: dict[str, Any] = {}
        if name is not None:
            given["name"] = _name(name)
        if description is not None:
            given["description"] = _description(description)
        if shared is not None:
            given["shared"] = shared
        if choices is not None:
            given["choices"] = _choices(choices)
        with _named_once(given.get("name", "")), self.database.session() as session:
            row = _changeable(session, actor, view_id)
            for key, value in given.items():
                setattr(row, key, value)
            row.changed_at = self.clock()
            session.add(row)
            session.flush()
            owner = session.get(User, row.owner_id)
            made = _saved(row, owner.username if owner else "", actor)
        self.audit.record(actor, "view.change", made.name, view=view_id, changed=sorted(given), shared=made.shared)
        return made

    def remove(self, actor: Actor, view_id: int) -> None:
        """Raises NotFound, Forbidden."""
        actor.require(Permission.SAVE_VIEWS)
        with self.database.session() as session:
            row = _changeable(session, actor, view_id)
            name = row.name
            session.delete(row)
        self.audit.record(actor, "view.remove", name, view=view_id)


def _owner(actor: Actor) -> int | None:
    """Whose views these are; guests, keys and the system have none."""
    return actor.id if actor.kind is ActorKind.USER else None


def _may_change(actor: Actor, row: View) -> bool:
    if not actor.may(Permission.SAVE_VIEWS):
        return False
    return row.owner_id == _owner(actor) or (row.shared and actor.role >= Role.ADMIN)


def _visible(session: Session, actor: Actor, view_id: int) -> View:
    row = session.get(View, view_id) if 0 < view_id < 2**31 else None
    if row is None or not (row.shared or row.owner_id == _owner(actor)):
        raise NotFound(f"There is no view number {view_id} for you; it may have been deleted, or is no longer shared.")
    return row


def _changeable(session: Session, actor: Actor, view_id: int) -> View:
    row = _visible(session, actor, view_id)
    if not _may_change(actor, row):
        raise Forbidden("Only its owner or an administrator may change a shared view; save a copy of your own.")
    return row


def _saved(row: View, owner: str, actor: Actor) -> Saved:
    assert row.id is not None
    return Saved(
        id=row.id,
        name=row.name,
        description=row.description,
        owner=owner,
        shared=row.shared,
        choices=dict(row.choices),
        changed_at=row.changed_at,
        mine=row.owner_id == _owner(actor),
        changeable=_may_change(actor, row),
    )


def _name(text: str) -> str:
    """Without what cannot be seen: two names that look alike are one."""
    name = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not name or len(name) > MOST_NAME:
        raise Invalid(f"Give the view a name of 1 to {MOST_NAME} characters.")
    return name


def _description(text: str) -> str:
    words = text.replace("\0", "").encode("utf-8", "replace").decode().strip()
    if len(words) > MOST_DESCRIPTION:
        raise Invalid(f"The description has {len(words):,} characters; {MOST_DESCRIPTION} are room for.")
    return words


def _choices(given: Mapping[str, Any]) -> dict[str, Any]:
    """Names with plain values or lists of words, as an address could carry them. Raises Invalid."""
    for name, value in given.items():
        plain = value is None or isinstance(value, str | int | float)
        words = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if not isinstance(name, str) or len(name) > 32 or not (plain or words):
            raise Invalid(f"The choice {str(name)[:40]!r} is nothing a view can keep.")
    # PostgreSQL's JSON takes no NUL.
    cleaned = {
        name: [_stored(one) for one in value] if isinstance(value, list) else _stored(value)
        for name, value in given.items()
    }
    try:
        size = len(json.dumps(cleaned, allow_nan=False))
    except ValueError:
        raise Invalid("A view keeps finite numbers only.") from None
    if size > MOST_CHOICES:
        raise Invalid("These are more choices than a view keeps; choose fewer labels, or a shorter expression.")
    return cleaned


def _stored(value: Any) -> Any:
    return value.replace("\0", "").encode("utf-8", "replace").decode() if isinstance(value, str) else value


@contextmanager
def _named_once(name: str) -> Iterator[None]:
    """Turns the database's refusal of a second view of one name into words."""
    try:
        yield
    except IntegrityError:
        raise Conflict(f"You have a view called “{name}” already; overwrite it, or choose another name.") from None
