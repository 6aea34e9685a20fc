"""The account page: one's password, sessions and keys, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.auth.actor import Role
from tests.conftest import signed_in
from tests.databases import cheap_passwords

__all__ = ["cheap_passwords"]
pytestmark = pytest.mark.usefixtures("cheap_passwords")
PAGE = "pages/operate/account.py"
NEW = "correct horse battery"


def _press(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()


def _set_password(page: AppTest, new: str, again: str, current: str | None = None) -> AppTest:
    if current is not None:
        page.text_input(key="password_current").set_value(current)
    page.text_input(key="password_new").set_value(new)
    page.text_input(key="password_again").set_value(again)
    return _press(page, "Save password")


def test_who_came_by_link_chooses_a_password(app: App, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.ANALYST)
    other = signed_in(app, Role.ANALYST)
    assert "password_current" not in {field.key for field in page.text_input}
    page = _set_password(page, NEW, NEW)
    assert "Password saved" in page.success[0].value
    assert app.administration.sign_in("analyst", NEW)
    assert app.administration.actor_of(other) is None
    assert app.administration.actor_of(page.session_state["session_token"])


def test_a_changed_password_takes_the_current_one(app: App, open_page: Callable) -> None:
    page = _set_password(open_page(PAGE, role=Role.ANALYST), NEW, NEW)
    page.run()
    page = _set_password(page, "another password", "another password", current="wrong wrong")
    assert "does not match" in page.error[0].value
    page = _set_password(page, "another password", "another password", current=NEW)
    assert page.success
    assert app.administration.sign_in("analyst", "another password")


@pytest.mark.parametrize(("new", "again", "word"), [("short", "short", "at least 10"), (NEW, NEW + "x", "differ")])
def test_what_is_wrong_with_a_password_is_said(new: str, again: str, word: str, open_page: Callable) -> None:
    page = _set_password(open_page(PAGE, role=Role.ANALYST), new, again)
    assert word in page.error[0].value
    assert not page.success


def test_a_session_is_ended(app: App, open_page: Callable) -> None:
    other = signed_in(app, Role.VIEWER)
    page = open_page(PAGE, role=Role.VIEWER)
    ends = [button for button in page.button if button.label == "End"]
    assert len(ends) == 2
    ends[1].click().run()  # newest first: the other one
    assert app.administration.actor_of(other) is None
    assert not page.exception


def test_a_key_is_shown_once_and_revoked(app: App, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.OPERATOR)
    assert "no API keys" in page.info[0].value
    page.text_input(key="key_name").set_value("report")
    page = _press(page, "Create key")
    key = page.code[0].value
    assert app.administration.actor_of_key(key).name == "operator/report"
    page.run()
    assert not page.code
    page = _press(page, "Revoke")
    assert app.administration.actor_of_key(key) is None
    assert not page.exception


def test_a_key_offers_no_role_above_ones_own(open_page: Callable) -> None:
    assert open_page(PAGE, role=Role.ANALYST).selectbox(key="key_role").options == ["viewer", "analyst"]


def test_a_guest_has_none(open_page: Callable) -> None:
    page = open_page(PAGE, role="guest")
    assert "Sign in to have an account" in page.info[0].value
    assert not page.button
