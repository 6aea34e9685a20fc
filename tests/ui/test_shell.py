"""The shell: what a stranger, a guest and each role see around a page, and how they come and go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlmodel import select
from streamlit.runtime.context import ContextProxy
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.auth.actor import Role
from lib.auth.tickets import Purpose
from lib.db.tables import Source, SourceKind, User
from lib.ui.text import plain
from tests.conftest import signed_in
from tests.databases import cheap_passwords

PASSWORD = "correct horse battery"
__all__ = ["cheap_passwords"]
pytestmark = pytest.mark.usefixtures("cheap_passwords")


def _buttons(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def _sign_in(page: AppTest, username: str, password: str) -> AppTest:
    page.text_input(key="sign_in_username").set_value(username)
    page.text_input(key="sign_in_password").set_value(password)
    return next(button for button in page.button if button.label == "Sign in").click().run()


@pytest.fixture
def ann(app: App) -> str:
    app.administration.ensure_administrator()
    root = app.administration.actor_of(app.administration.sign_in("admin", PASSWORD))
    app.administration.create_user(root, "ann", Role.ANALYST, PASSWORD)
    return "ann"


def test_a_stranger_sees_what_it_is_and_two_ways_in(open_page: Callable) -> None:
    page = open_page("Home.py")
    assert not page.exception
    assert page.title[0].value == "AutoOps"
    assert _buttons(page) == ["Look around", "Sign in"]


def test_looking_around_is_one_click(open_page: Callable) -> None:
    page = open_page("Home.py").button(key="look_around").click().run()
    assert not page.exception
    assert page.title[0].value.endswith("Overview")
    assert any("guest" in caption.value for caption in page.sidebar.caption)


@pytest.mark.parametrize("why", ["the setting", "a real source"])
def test_guests_are_out_at_once_when_no_longer_allowed(why: str, app: App, open_page: Callable) -> None:
    page = open_page("Home.py").button(key="look_around").click().run()
    if why == "the setting":
        app.settings.guests = False
    else:
        with app.database.session() as session:
            session.add(Source(name="real", kind=SourceKind.PROMETHEUS))
    page.run()
    assert _buttons(page) == ["Sign in"]
    assert page.title[0].value == "AutoOps"


def test_the_right_password_opens_the_app(ann: str, open_page: Callable) -> None:
    page = _sign_in(open_page("Home.py"), "ann", PASSWORD)
    assert not page.exception
    assert page.title[0].value.endswith("Overview")
    assert any("Role: analyst" in caption.value for caption in page.sidebar.caption)


def test_a_wrong_password_is_told_and_leaves_nothing_behind(ann: str, open_page: Callable) -> None:
    page = _sign_in(open_page("Home.py"), "ann", "wrong wrong wrong")
    (error,) = page.error
    assert error.value == plain("That user name and password do not match. Check both and try again.")
    assert "session_token" not in page.session_state
    for note in ("name", "username", "authentication_status", "roles"):
        assert note not in page.session_state


def test_nothing_of_the_person_before_stays_in_the_tab(ann: str, open_page: Callable) -> None:
    page = open_page("Home.py")
    page.session_state["draft_of_somebody"] = "secret"
    page.session_state["session_token"] = "planted"
    page.run()
    page = _sign_in(page, "ann", PASSWORD)
    assert "draft_of_somebody" not in page.session_state
    assert page.session_state["session_token"] != "planted"


def test_signing_out_ends_the_session_everywhere(app: App, ann: str, open_page: Callable) -> None:
    page = _sign_in(open_page("Home.py"), "ann", PASSWORD)
    token = page.session_state["session_token"]
    assert app.administration.actor_of(token)
    page.session_state["left_over"] = 1
    page.menu_button(key="account_menu").click("Sign out").run()
    assert app.administration.actor_of(token) is None
    assert page.title[0].value == "AutoOps"
    assert "left_over" not in page.session_state


def test_a_one_time_link_in_the_address_signs_in_once(app: App, open_page: Callable) -> None:
    app.settings.admin_password = type(app.settings.admin_password)("")
    link = app.administration.ensure_administrator()
    ticket = link.partition("ticket=")[2]
    page = open_page("Home.py", query={"ticket": ticket})
    assert page.title[0].value.endswith("Overview")
    assert "ticket" not in page.query_params
    assert any("no password yet" in warning.value for warning in page.main.warning)

    again = open_page("Home.py", query={"ticket": ticket})
    assert "used already or has expired" in again.error[0].value
    assert again.title[0].value == "AutoOps"


def test_a_revoked_session_ends_with_the_next_run(app: App, open_page: Callable) -> None:
    page = open_page("Home.py", role=Role.OPERATOR)
    assert page.title[0].value.endswith("Overview")
    with app.database.session() as session:
        user_id = session.exec(select(User.id).where(User.username == "operator")).one()
    app.administration.sessions.end_all(user_id)
    assert page.run().title[0].value == "AutoOps"


def test_the_cookie_keeps_a_reload_signed_in(app: App, open_page: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    token = signed_in(app, Role.VIEWER)
    cookie = app.administration.enter(app.administration.ticket_for(token), Purpose.COOKIE)
    monkeypatch.setattr(ContextProxy, "cookies", {"autoops_session": cookie})
    page = open_page("Home.py")
    monkeypatch.setattr(ContextProxy, "cookies", {"autoops_session": cookie})
    assert page.run().title[0].value.endswith("Overview")


@pytest.mark.parametrize("forged", ["", "x", "A" * 43, "'; DROP TABLE sessions; --", "\x00"])
def test_a_forged_cookie_is_a_stranger(forged: str, open_page: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_page("Home.py")
    monkeypatch.setattr(ContextProxy, "cookies", {"autoops_session": forged})
    assert page.run().title[0].value == "AutoOps"


def test_a_newcomers_first_start_is_told_where_the_link_is(app: App, open_page: Callable) -> None:
    assert any("First start?" in caption.value for caption in open_page("Home.py").caption)
    app.administration.ensure_administrator()  # with the configured password
    assert not any("First start?" in caption.value for caption in open_page("Home.py").caption)
