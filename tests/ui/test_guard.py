"""Who a browser session is: looked up anew each time, believed for nothing it merely says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.runtime.context import ContextProxy
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.auth.actor import Role
from lib.ui import guard, runtime
from tests.conftest import signed_in


def _page() -> None:
    import streamlit as st

    from lib.auth.actor import Permission
    from lib.ui import guard

    actor = guard.require(Permission.MANAGE_SOURCES)
    st.text(f"{actor.name} from {actor.address}")


@pytest.fixture
def run(app: App, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    monkeypatch.setattr(runtime, "app", lambda: app)

    def run_(
        token: str | None = None,
        cookies: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        ip: str | None = None,
    ) -> AppTest:
        for name, value in (("cookies", cookies or {}), ("headers", headers or {}), ("ip_address", ip)):
            monkeypatch.setattr(ContextProxy, name, value)
        page = AppTest.from_function(_page)
        if token is not None:
            page.session_state["session_token"] = token
        return page.run()

    return run_


def test_the_role_decides(run: Callable[..., AppTest], app: App) -> None:
    assert run(signed_in(app, Role.OPERATOR)).text[0].value == "operator from 127.0.0.1"
    refused = run(signed_in(app, Role.ANALYST))
    assert (
        refused.error[0].value == "The role analyst may not add, change and remove sources; it takes the role operator."
    )
    assert not refused.text


def test_the_cookie_is_enough(run: Callable[..., AppTest], app: App) -> None:
    assert run(cookies={guard.COOKIE: signed_in(app, Role.ADMIN)}).text[0].value.startswith("admin")


def test_a_dead_token_in_the_tab_does_not_hide_a_live_cookie(run: Callable[..., AppTest], app: App) -> None:
    assert run("dead", cookies={guard.COOKIE: signed_in(app, Role.ADMIN)}).text[0].value.startswith("admin")


def test_the_address_is_the_connections(run: Callable[..., AppTest], app: App) -> None:
    spoofed = {"X-Forwarded-For": "6.6.6.6"}
    token = signed_in(app, Role.ADMIN)
    assert run(token, headers=spoofed, ip="192.0.2.1").text[0].value == "admin from 192.0.2.1"
    app.settings.trusted_proxies = 1
    assert run(token, headers=spoofed, ip="192.0.2.1").text[0].value == "admin from 6.6.6.6"


def test_only_the_state_module_knows_where_the_token_is_kept() -> None:
    # A page that read it would decide for itself who is there.
    root = Path(__file__).resolve().parents[2]
    holders = [
        path.name
        for path in (*root.glob("pages/**/*.py"), *root.glob("lib/ui/*.py"), root / "Home.py")
        if '"session_token"' in path.read_text()
    ]
    assert holders == ["state.py"]
