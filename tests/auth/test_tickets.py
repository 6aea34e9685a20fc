"""Tickets work once, soon, and for what they were made for."""

from __future__ import annotations

import threading

import pytest

from lib.auth.tickets import Purpose, Tickets
from lib.db.database import Database
from lib.db.tables import User
from tests.conftest import FakeClock


@pytest.fixture
def tickets(database: Database, clock: FakeClock) -> Tickets:
    return Tickets(database, clock)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_ticket_works_once(purpose: Purpose, tickets: Tickets, ann: User) -> None:
    ticket = tickets.issue(ann.id, purpose)
    assert tickets.redeem(ticket, purpose)[0].username == "ann"
    assert tickets.redeem(ticket, purpose) is None


@pytest.mark.parametrize(("purpose", "lasts_s"), [(Purpose.COOKIE, 60), (Purpose.LINK, 3600)])
def test_a_ticket_expires(purpose: Purpose, lasts_s: int, tickets: Tickets, ann: User, clock: FakeClock) -> None:
    early, late = tickets.issue(ann.id, Purpose.COOKIE), tickets.issue(ann.id, purpose)
    clock.advance(seconds=lasts_s)
    assert tickets.redeem(late, purpose) is None
    assert tickets.redeem(early, Purpose.COOKIE) is None


def test_a_ticket_just_in_time(tickets: Tickets, ann: User, clock: FakeClock) -> None:
    ticket = tickets.issue(ann.id, Purpose.COOKIE)
    clock.advance(seconds=59)
    assert tickets.redeem(ticket, Purpose.COOKIE)


def test_a_ticket_is_not_good_for_something_else(tickets: Tickets, ann: User) -> None:
    cookie = tickets.issue(ann.id, Purpose.COOKIE)
    assert tickets.redeem(cookie, Purpose.LINK) is None
    assert tickets.redeem(cookie, Purpose.COOKIE)


@pytest.mark.parametrize("ticket", ["", "nonsense", "A" * 43, "\x00", "' OR 1=1 --", "ä" * 500])
def test_a_made_up_ticket_opens_nothing(ticket: str, tickets: Tickets, ann: User) -> None:
    tickets.issue(ann.id, Purpose.LINK)
    assert tickets.redeem(ticket, Purpose.LINK) is None


def test_a_new_link_voids_the_earlier_one(tickets: Tickets, ann: User) -> None:
    first, second = tickets.issue(ann.id, Purpose.LINK), tickets.issue(ann.id, Purpose.LINK)
    assert tickets.redeem(first, Purpose.LINK) is None
    assert tickets.redeem(second, Purpose.LINK)


def test_a_disabled_users_ticket_opens_nothing(tickets: Tickets, ann: User, database: Database) -> None:
    ticket = tickets.issue(ann.id, Purpose.LINK)
    with database.session() as session:
        session.get(User, ann.id).disabled = True
    assert tickets.redeem(ticket, Purpose.LINK) is None


def test_void_takes_them_all(tickets: Tickets, ann: User) -> None:
    cookie, link = tickets.issue(ann.id, Purpose.COOKIE), tickets.issue(ann.id, Purpose.LINK)
    tickets.void(ann.id)
    assert tickets.redeem(cookie, Purpose.COOKIE) is None
    assert tickets.redeem(link, Purpose.LINK) is None


def test_of_many_at_the_same_time_one_gets_in(tickets: Tickets, ann: User) -> None:
    ticket = tickets.issue(ann.id, Purpose.LINK)
    gate = threading.Barrier(8)
    found: list[object] = []

    def try_it() -> None:
        gate.wait()
        found.append(tickets.redeem(ticket, Purpose.LINK))

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert sum(one is not None for one in found) == 1
