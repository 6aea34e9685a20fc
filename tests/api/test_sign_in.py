"""The cookie's routes: once, from our own pages, and leading nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lib.api import sign_in
from lib.app import App
from lib.auth.actor import Role
from lib.auth.sessions import COOKIE
from lib.auth.tickets import Purpose
from tests.conftest import signed_in

OURS = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def client(app: App) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=sign_in.routes(lambda: app)), follow_redirects=False) as made:
        yield made


def _link_ticket(app: App) -> str:
    signed_in(app, Role.ADMIN)
    return app.administration.tickets.issue(1, Purpose.LINK)


def _page_ticket(app: App) -> tuple[str, str]:
    token = signed_in(app, Role.VIEWER)
    return token, app.administration.ticket_for(token) or ""


def test_a_link_sets_a_cookie_scripts_cannot_read_and_leads_to_the_app(client: TestClient, app: App) -> None:
    answer = client.get("/auth/enter", params={"ticket": _link_ticket(app)})
    assert (answer.status_code, answer.headers["location"]) == (303, "../")
    parts = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= parts
    assert "secure" not in parts
    assert app.administration.actor_of(answer.cookies[COOKIE]).role is Role.ADMIN
    assert answer.headers["cache-control"] == "no-store"


def test_over_https_the_cookie_is_secure(client: TestClient, app: App) -> None:
    app.settings.public_url = "https://ops.example.com"
    answer = client.get("/auth/enter", params={"ticket": _link_ticket(app)})
    assert "secure" in answer.headers["set-cookie"].lower()


def test_a_used_link_sets_nothing_and_lets_the_page_say_why(client: TestClient, app: App) -> None:
    ticket = _link_ticket(app)
    client.get("/auth/enter", params={"ticket": ticket})
    client.cookies.clear()
    again = client.get("/auth/enter", params={"ticket": ticket})
    assert (again.status_code, again.headers["location"]) == (303, f"../?ticket={ticket}")
    assert "set-cookie" not in again.headers


def test_what_only_looks_at_a_link_does_not_use_it_up(client: TestClient, app: App) -> None:
    ticket = _link_ticket(app)
    assert "set-cookie" not in client.head("/auth/enter", params={"ticket": ticket}).headers
    assert "set-cookie" in client.get("/auth/enter", params={"ticket": ticket}).headers


@pytest.mark.parametrize(
    ("wanted", "location"),
    [
        ("anomalies", "../anomalies"),
        ("explore?metric=node_load1&range=1h", "../explore?metric=node_load1&range=1h"),
        ("//evil.example", "../"),
        ("https://evil.example", "../"),
        ("/\\evil.example", "../"),
        ("../../evil", "../"),
        ("a\r\nSet-Cookie: x=y", "../"),
        ("javascript:alert(1)", "../"),
    ],
)
def test_a_link_leads_to_our_pages_only(wanted: str, location: str, client: TestClient, app: App) -> None:
    answer = client.get("/auth/enter", params={"ticket": _link_ticket(app), "to": wanted})
    assert answer.headers["location"] == location
    assert "x=y" not in str(answer.headers.get_list("set-cookie"))


def test_a_page_fetches_the_cookie_of_its_session_once(client: TestClient, app: App) -> None:
    token, ticket = _page_ticket(app)
    answer = client.get("/auth/cookie", params={"ticket": ticket}, headers=OURS)
    assert answer.status_code == 204
    cookie = answer.cookies[COOKIE]
    assert cookie != token
    assert app.administration.actor_of(cookie).role is Role.VIEWER
    client.cookies.clear()
    again = client.get("/auth/cookie", params={"ticket": ticket}, headers=OURS)
    assert again.status_code == 401
    assert "set-cookie" not in again.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {},
        {"Referer": "http://evil.example/"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/auth/cookie", "/auth/leave"])
def test_other_sites_can_neither_sign_a_visitor_in_nor_out(
    path: str, headers: dict[str, str], client: TestClient, app: App
) -> None:
    token, ticket = _page_ticket(app)
    client.cookies.set(COOKIE, token)
    answer = client.get(path, params={"ticket": ticket}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert app.administration.actor_of(token)


@pytest.mark.parametrize(
    "headers", [{"Referer": "http://testserver/anomalies"}, {"Origin": "http://testserver"}], ids=str
)
def test_browsers_that_say_less_are_known_by_where_they_come_from(
    headers: dict[str, str], client: TestClient, app: App
) -> None:
    _, ticket = _page_ticket(app)
    assert client.get("/auth/cookie", params={"ticket": ticket}, headers=headers).status_code == 204


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_leaving_ends_the_session_and_clears_the_cookie(method: str, client: TestClient, app: App) -> None:
    token, ticket = _page_ticket(app)
    client.get("/auth/cookie", params={"ticket": ticket}, headers=OURS)
    answer = client.request(method, "/auth/leave", headers=OURS)
    assert answer.status_code == 204
    assert app.administration.actor_of(token) is None
    assert COOKIE not in client.cookies


@pytest.mark.parametrize("ticket", ["", "x", "A" * 43, "%00", "<script>", "x" * 5000])
def test_made_up_tickets_open_nothing(ticket: str, client: TestClient, app: App) -> None:
    signed_in(app, Role.ADMIN)
    for path in ("/auth/enter", "/auth/cookie"):
        answer = client.get(path, params={"ticket": ticket}, headers=OURS)
        assert "set-cookie" not in answer.headers
        assert "<script>" not in answer.headers.get("location", "")
        assert len(answer.headers.get("location", "")) < 400
