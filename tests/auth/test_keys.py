"""API keys: shown once, no stronger than their owner, ended at once."""

from __future__ import annotations

import pytest
from sqlmodel import select

from lib.auth.actor import ActorKind, Role
from lib.auth.keys import Keys
from lib.db.database import Database
from lib.db.tables import ApiKey, User
from tests.conftest import FakeClock


@pytest.fixture
def keys(database: Database, clock: FakeClock) -> Keys:
    return Keys(database, clock)


def _change(database: Database, user: User, **values: object) -> None:
    with database.session() as session:
        row = session.get(User, user.id)
        for name, value in values.items():
            setattr(row, name, value)


def test_a_key_is_an_actor(keys: Keys, ann: User) -> None:
    text, _ = keys.create(ann.id, "report", Role.VIEWER, 90)
    actor = keys.actor_of(text, "10.0.0.1")
    assert (actor.name, actor.role, actor.kind, actor.id, actor.address) == (
        "ann/report",
        Role.VIEWER,
        ActorKind.KEY,
        ann.id,
        "10.0.0.1",
    )


def test_only_the_hash_and_a_beginning_are_stored(keys: Keys, ann: User, database: Database) -> None:
    text, _ = keys.create(ann.id, "report", Role.VIEWER, 90)
    with database.session() as session:
        row = session.exec(select(ApiKey)).one()
    assert text.startswith("ao_")
    assert text.startswith(row.prefix)
    assert len(row.prefix) < 12
    assert text not in repr(row)


def test_a_key_shrinks_with_its_owner(keys: Keys, ann: User, database: Database) -> None:
    text, _ = keys.create(ann.id, "report", Role.ANALYST, None)
    _change(database, ann, role="viewer")
    assert keys.actor_of(text).role is Role.VIEWER
    _change(database, ann, role="admin")
    assert keys.actor_of(text).role is Role.ANALYST


def test_a_disabled_owners_key_is_nobody(keys: Keys, ann: User, database: Database) -> None:
    text, _ = keys.create(ann.id, "report", Role.VIEWER, None)
    _change(database, ann, disabled=True)
    assert keys.actor_of(text) is None


def test_a_key_expires(keys: Keys, ann: User, clock: FakeClock) -> None:
    text, _ = keys.create(ann.id, "report", Role.VIEWER, 1)
    forever, _ = keys.create(ann.id, "forever", Role.VIEWER, None)
    clock.advance(days=1)
    assert keys.actor_of(text) is None
    assert keys.actor_of(forever)


def test_a_revoked_key_is_nobody_at_once(keys: Keys, ann: User) -> None:
    text, key = keys.create(ann.id, "report", Role.VIEWER, None)
    assert keys.revoke(key.id, user_id=ann.id + 1) is None
    assert keys.actor_of(text)
    assert keys.revoke(key.id, user_id=ann.id)
    assert keys.actor_of(text) is None


@pytest.mark.parametrize("text", ["", "ao_", "ao_guess", "Bearer ao_x", "\x00", "ao_" + "A" * 43])
def test_a_made_up_key_is_nobody(text: str, keys: Keys, ann: User) -> None:
    keys.create(ann.id, "report", Role.VIEWER, None)
    assert keys.actor_of(text) is None


def test_use_is_noted_but_not_written_at_each_request(keys: Keys, ann: User, clock: FakeClock) -> None:
    text, _ = keys.create(ann.id, "report", Role.VIEWER, None)
    first = clock()
    keys.actor_of(text)
    clock.advance(seconds=30)
    keys.actor_of(text)
    assert keys.list(ann.id)[0][0].last_used_at == first
    clock.advance(seconds=31)
    keys.actor_of(text)
    assert keys.list(ann.id)[0][0].last_used_at == clock()
