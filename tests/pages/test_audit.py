"""The audit page: entries, filters, export, the check, and failed sign-ins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lib.app import App
from lib.auth.actor import SYSTEM, Actor, Role
from lib.errors import Unauthenticated
from tests.conftest import FakeClock
from tests.databases import cheap_passwords

__all__ = ["cheap_passwords"]
pytestmark = pytest.mark.usefixtures("cheap_passwords")
PAGE = "pages/operate/audit.py"


@pytest.fixture(autouse=True)
def one_clock(app: App, clock: FakeClock) -> None:
    app.audit.clock = clock


def test_entries_newest_first_with_what_and_where(app: App, open_page: Callable) -> None:
    app.audit.record(SYSTEM, "start")
    app.audit.record(Actor("ann", Role.ADMIN, address="10.0.0.1"), "change role", "ben", "refused", after="admin")
    table = open_page(PAGE, role=Role.ADMIN).dataframe[0].value
    assert list(table["What"]) == ["change role", "start"]
    assert list(table["Outcome"]) == ["✕ refused", "✓ ok"]
    assert table.iloc[0][["Who", "On", "From", "Details"]].tolist() == ["ann", "ben", "10.0.0.1", "after: admin"]


def test_filters_narrow_and_nothing_found_says_what_to_do(app: App, clock: FakeClock, open_page: Callable) -> None:
    app.audit.record(SYSTEM, "old")
    clock.advance(days=10)
    app.audit.record(SYSTEM, "new")
    page = open_page(PAGE, role=Role.ADMIN)
    assert list(page.dataframe[0].value["What"]) == ["new"]
    page.selectbox(key="audit_span").set_value("All time").run()
    assert list(page.dataframe[0].value["What"]) == ["new", "old"]
    page.selectbox(key="audit_outcome").set_value("refused").run()
    assert "Nothing matches" in page.info[0].value


def test_an_empty_log_is_no_error(open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.ADMIN)
    assert not page.exception
    assert len(page.info) == 2


def test_the_check_tells_of_tampering(app: App, open_page: Callable) -> None:
    app.audit.record(SYSTEM, "start")
    page = open_page(PAGE, role=Role.ADMIN)
    assert "none is missing" in page.button(key="audit_verify").click().run().success[0].value
    with app.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_refuses_update")
        connection.exec_driver_sql("UPDATE audit SET actor = 'somebody else'")
    assert "Entry 1 was changed" in page.button(key="audit_verify").click().run().error[0].value


def test_failed_sign_ins_are_listed_without_what_was_typed(app: App, open_page: Callable) -> None:
    app.administration.create_user(SYSTEM, "ann", Role.VIEWER, "correct horse battery")
    for name in ("ann", "typed-my-password"):
        with pytest.raises(Unauthenticated):
            app.administration.sign_in(name, "wrong wrong", "10.0.0.1")
    table = open_page(PAGE, role=Role.ADMIN).dataframe[1].value
    assert set(table["User name"]) == {"ann", "(no such user)"}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.OPERATOR, "guest", None])
def test_others_are_refused(role: Role | str | None, app: App, open_page: Callable) -> None:
    app.audit.record(SYSTEM, "start")
    page = open_page(PAGE, role=role)
    assert len(page.error) == 1
    assert not page.dataframe
