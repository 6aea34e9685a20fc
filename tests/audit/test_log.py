"""The audit log: nothing lost under many writers, nothing changed unseen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from lib.audit.log import HEAD, Audit, Filter
from lib.auth.actor import SYSTEM, Actor, Role
from lib.db.database import Database
from lib.db.tables import AuditEntry, Setting
from tests.conftest import FakeClock

ANN = Actor("ann", Role.ADMIN, id=1, address="10.0.0.1")


@pytest.fixture
def audit(database: Database, clock: FakeClock) -> Audit:
    return Audit(database, clock)


def _tamper(database: Database, *statements: str) -> None:
    """As somebody who owns the database would, who can also take the triggers away."""
    with database.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("DROP TRIGGER IF EXISTS audit_refuses_update")
            connection.exec_driver_sql("DROP TRIGGER IF EXISTS audit_refuses_delete")
        else:
            connection.exec_driver_sql("DROP TRIGGER IF EXISTS audit_append_only ON audit")
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_an_entry_says_who_did_what_to_what_from_where(audit: Audit, clock: FakeClock) -> None:
    audit.record(ANN, "change role", "ben", before="viewer", after="analyst")
    (entry,) = audit.entries(Filter())
    assert (entry.actor, entry.action, entry.target, entry.outcome, entry.address, entry.at) == (
        *("ann", "change role", "ben", "ok", "10.0.0.1"),
        clock(),
    )
    assert entry.details == {"before": "viewer", "after": "analyst"}


def test_an_untouched_log_holds(audit: Audit) -> None:
    assert audit.verify() is None
    for number in range(30):
        audit.record(ANN, "act", str(number), values=[1.5, None, {"deep": "ä"}], n=number)
    assert audit.verify() is None


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE audit SET actor = 'ben' WHERE id = 3", 3),
        ("UPDATE audit SET target = 'else' WHERE id = 1", 1),
        ("UPDATE audit SET outcome = 'refused' WHERE id = 2", 2),
        ("UPDATE audit SET address = '' WHERE id = 4", 4),
        ("UPDATE audit SET details = '{\"n\": 99}' WHERE id = 5", 5),
        ("UPDATE audit SET at = '2020-01-01 00:00:00+00:00' WHERE id = 2", 2),
        ("UPDATE audit SET digest = 'a' WHERE id = 4", 4),
        ("DELETE FROM audit WHERE id = 3", 3),
        ("DELETE FROM audit WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id = 6", 6),  # the newest
        ("DELETE FROM audit", 1),
        ("UPDATE audit SET id = 7 WHERE id = 6", 6),
    ],
)
def test_tampering_shows(change: str, broken: int, audit: Audit, database: Database) -> None:
    for number in range(6):
        audit.record(ANN, "act", str(number), n=number)
    assert audit.verify() is None
    _tamper(database, change.replace("'2020-01-01 00:00:00+00:00'", "'2020-01-01 00:00:00.000000'"))
    assert audit.verify() == broken


def test_an_entry_put_in_afterwards_shows(audit: Audit, database: Database) -> None:
    for number in range(3):
        audit.record(ANN, "act", str(number))
    columns = "id, at, actor, action, target, outcome, address, details, digest"
    _tamper(
        database,
        f"INSERT INTO audit ({columns}) SELECT 4, at, 'ben', action, target, outcome, address, details, digest "
        "FROM audit WHERE id = 3",
    )
    assert audit.verify() == 4


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'ben'", "DELETE FROM audit"])
def test_the_database_itself_refuses_to_change_entries(change: str, audit: Audit, database: Database) -> None:
    audit.record(ANN, "act")
    with pytest.raises(DBAPIError, match="append-only"), database.engine.begin() as connection:
        connection.exec_driver_sql(change)
    assert audit.verify() is None


def test_writers_of_two_processes_make_one_unbroken_chain(
    open_database: Callable[[], Database], clock: FakeClock
) -> None:
    databases = [open_database(), open_database()]
    databases[0].migrate()
    failures: list[BaseException] = []

    def write(audit: Audit, name: str) -> None:
        try:
            for number in range(12):
                audit.record(Actor(name, Role.VIEWER), "act", str(number))
        except BaseException as error:
            failures.append(error)

    audits = [Audit(database, clock) for database in databases]
    threads = [threading.Thread(target=write, args=(audits[n % 2], f"w{n}")) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    entries = audits[0].entries(Filter(), limit=None)
    assert [entry.id for entry in entries] == list(range(72, 0, -1))
    assert audits[1].verify() is None


@pytest.mark.parametrize(
    "text", ["nul\x00inside", "lone \ud800 surrogate", "\\u0000", "'; DROP TABLE audit; --", "🐎" * 400]
)
def test_hostile_text_is_recorded_and_holds(text: str, audit: Audit) -> None:
    audit.record(Actor(text, Role.VIEWER, address=text), "act", text, detail=text, deep=[{text: float("nan")}])
    assert audit.verify() is None
    assert len(audit.entries(Filter())) == 1


def test_filters(audit: Audit, clock: FakeClock) -> None:
    audit.record(ANN, "sign in")
    clock.advance(hours=1)
    audit.record(SYSTEM, "start")
    audit.record(ANN, "sign in", outcome="refused")
    assert [entry.id for entry in audit.entries(Filter(actor="ann"))] == [3, 1]
    assert [entry.id for entry in audit.entries(Filter(action="start"))] == [2]
    assert [entry.id for entry in audit.entries(Filter(outcome="refused"))] == [3]
    assert [entry.id for entry in audit.entries(Filter(since=clock()))] == [3, 2]
    assert [entry.id for entry in audit.entries(Filter(until=clock() - timedelta(minutes=1)))] == [1]
    assert [entry.id for entry in audit.entries(Filter(), limit=2)] == [3, 2]
    assert audit.values() == (["ann", "system"], ["sign in", "start"])


def test_the_end_of_the_chain_is_kept_beside_it(audit: Audit, database: Database) -> None:
    audit.record(ANN, "act")
    with database.session() as session:
        head = session.get(Setting, HEAD).value
        entry = session.exec(select(AuditEntry)).one()
    assert head == {"id": 1, "digest": entry.digest}
