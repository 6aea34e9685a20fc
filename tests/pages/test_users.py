"""The users page: who there is, one change each, and refusals where they were asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.auth.actor import SYSTEM, Role
from lib.auth.tickets import Purpose
from tests.databases import cheap_passwords

__all__ = ["cheap_passwords"]
pytestmark = pytest.mark.usefixtures("cheap_passwords")
PAGE = "pages/operate/users.py"


@pytest.fixture
def page(app: App, open_page: Callable) -> AppTest:
    app.administration.create_user(SYSTEM, "ann", Role.ANALYST, "correct horse battery")
    app.administration.create_user(SYSTEM, "zoe", Role.VIEWER)
    return open_page(PAGE, role=Role.ADMIN)


def _choose(page: AppTest, username: str) -> AppTest:
    box = page.selectbox(key="user")
    return box.select_index(box.options.index(username)).run()


def _user(app: App, username: str) -> object:
    return next((user for user in app.administration.users(SYSTEM) if user.username == username), None)


def test_everybody_is_listed_with_role_and_state(page: AppTest) -> None:
    table = page.dataframe[0].value
    assert list(table["User name"]) == ["admin", "ann", "zoe"]
    assert list(table["Role"]) == ["admin", "analyst", "viewer"]
    assert list(table["State"])[1:] == ["✓ active", "… has not chosen a password"]
    assert list(table["Open sessions"]) == [1, 0, 0]


def test_a_role_is_changed(page: AppTest, app: App) -> None:
    _choose(page, "ann")
    next(box for box in page.selectbox if (box.key or "").startswith("role_")).set_value(Role.OPERATOR).run()
    page.button(key="save_role").click().run()
    assert not page.exception
    assert _user(app, "ann").role is Role.OPERATOR


def test_a_user_is_disabled_and_enabled(page: AppTest, app: App) -> None:
    _choose(page, "ann").button(key="disable").click().run()
    assert _user(app, "ann").disabled
    assert page.button(key="disable").label == "Enable"
    page.button(key="disable").click().run()
    assert not _user(app, "ann").disabled


def test_the_last_administrators_own_role_is_refused_in_words(page: AppTest, app: App) -> None:
    _choose(page, "admin")
    next(box for box in page.selectbox if (box.key or "").startswith("role_")).set_value(Role.VIEWER).run()
    page.button(key="save_role").click().run()
    assert "last administrator" in page.error[0].value
    assert _user(app, "admin").role is Role.ADMIN


def test_resetting_a_password_hands_out_a_link_that_works(page: AppTest, app: App) -> None:
    _choose(page, "ann").button(key="reset_password").click().run()
    ticket = page.code[0].value.partition("ticket=")[2]
    assert app.administration.actor_of(app.administration.enter(ticket, Purpose.LINK)).name == "ann"
    page.run()
    assert not page.code  # not shown again


def test_a_user_is_added_with_a_link(page: AppTest, app: App) -> None:
    page.text_input(key="add_username").set_value("Ben")
    page.selectbox(key="add_role").set_value(Role.OPERATOR)
    next(button for button in page.button if button.label == "Add").click().run()
    assert not page.exception
    assert _user(app, "ben").role is Role.OPERATOR
    assert "ticket=" in page.code[0].value


def test_a_hostile_user_name_is_refused_and_shown_inert(page: AppTest, app: App) -> None:
    page.text_input(key="add_username").set_value("<img src=x onerror=alert(1)>")
    next(button for button in page.button if button.label == "Add").click().run()
    assert "cannot be a user name" in page.error[0].value
    assert len(app.administration.users(SYSTEM)) == 3


def test_a_user_is_deleted_after_asking(page: AppTest, app: App) -> None:
    _choose(page, "ann")
    page.button(key="confirm_delete").click().run()
    assert _user(app, "ann") is None


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.OPERATOR, "guest", None])
def test_others_are_refused(role: Role | str | None, open_page: Callable) -> None:
    page = open_page(PAGE, role=role)
    assert len(page.error) == 1
    assert not page.dataframe
    assert not page.button
