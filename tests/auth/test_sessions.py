"""Sessions: random tokens that only the browser knows, ended at once."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from lib.auth.sessions import Sessions, digest
from lib.db.database import Database
from lib.db.tables import User, UserSession
from tests.conftest import FakeClock


@pytest.fixture
def sessions(database: Database, clock: FakeClock) -> Sessions:
    return Sessions(database, clock, hours=12)


def test_a_token_names_its_user_until_it_expires(sessions: Sessions, ann: User, clock: FakeClock) -> None:
    token = sessions.open(ann.id)
    clock.advance(hours=11, minutes=59)
    assert sessions.find(token)[0].username == "ann"
    clock.advance(minutes=1)
    assert sessions.find(token) is None


def test_only_the_hash_is_stored(sessions: Sessions, ann: User, database: Database) -> None:
    token = sessions.open(ann.id)
    with database.session() as session:
        row = session.exec(select(UserSession)).one()
    assert row.token_hash == digest(token)
    assert token not in repr(row)
    assert sessions.find(row.token_hash) is None


def test_each_sign_in_has_a_token_of_its_own(sessions: Sessions, ann: User) -> None:
    tokens = {sessions.open(ann.id) for _ in range(20)}
    assert len(tokens) == 20
    assert all(len(token) >= 43 for token in tokens)  # 256 bits


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(forged=st.text(max_size=80) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_a_forged_token_is_nobody(forged: str, sessions: Sessions, ann: User) -> None:
    assert sessions.find(forged) is None
    assert not sessions.end_all(ann.id, but_token=forged)


def test_a_token_with_one_letter_changed_is_nobody(sessions: Sessions, ann: User) -> None:
    token = sessions.open(ann.id)
    for place in range(0, len(token), 7):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert sessions.find(changed) is None


def test_a_disabled_user_is_nobody(sessions: Sessions, ann: User, database: Database) -> None:
    token = sessions.open(ann.id)
    with database.session() as session:
        session.get(User, ann.id).disabled = True
    assert sessions.find(token) is None


def test_the_cookies_token_opens_and_ends_the_same_session(sessions: Sessions, ann: User) -> None:
    token = sessions.open(ann.id)
    row = sessions.find(token)[1]
    cookie = sessions.cookie_token(row.id)
    assert cookie != token
    assert sessions.find(cookie)[1].id == row.id
    assert sessions.end(row.id, ann.id)
    assert sessions.find(token) is None
    assert sessions.find(cookie) is None
    assert sessions.cookie_token(row.id) is None


def test_ending_all_but_ones_own(sessions: Sessions, ann: User) -> None:
    here, there = sessions.open(ann.id), sessions.open(ann.id)
    assert sessions.end_all(ann.id, but_token=here) == 1
    assert sessions.find(here)
    assert sessions.find(there) is None


def test_ending_all_but_the_one_of_a_cookie(sessions: Sessions, ann: User) -> None:
    here, there = sessions.open(ann.id), sessions.open(ann.id)
    cookie = sessions.cookie_token(sessions.find(here)[1].id)
    assert sessions.end_all(ann.id, but_token=cookie) == 1
    assert sessions.find(cookie)
    assert sessions.find(there) is None


def test_one_cannot_end_anothers_session(sessions: Sessions, ann: User) -> None:
    token = sessions.open(ann.id)
    assert not sessions.end(sessions.find(token)[1].id, user_id=ann.id + 1)
    assert sessions.find(token)


def test_expired_sessions_are_swept(sessions: Sessions, ann: User, clock: FakeClock, database: Database) -> None:
    sessions.open(ann.id)
    clock.advance(hours=13)
    sessions.open(ann.id)
    with database.session() as session:
        assert len(session.exec(select(UserSession)).all()) == 1
