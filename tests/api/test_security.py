from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
import streamlit
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from lib.api.security import SecurityHeaders, content_policy
from lib.settings import Settings


async def page(request: Request) -> Response:
    return PlainTextResponse("page")


async def own_policy(request: Request) -> Response:
    return PlainTextResponse("page", headers={"Content-Security-Policy": "default-src 'none'"})


async def broken(request: Request) -> Response:
    raise RuntimeError("broken")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


def client_of(settings: Settings, base_url: str = "http://testserver") -> TestClient:
    routes = [
        Route("/", page),
        Route("/own", own_policy),
        Route("/broken", broken),
        WebSocketRoute("/socket", socket),
    ]
    return TestClient(
        SecurityHeaders(Starlette(routes=routes), lambda: settings), base_url=base_url, raise_server_exceptions=False
    )


def directives(policy: str) -> dict[str, str]:
    return dict(part.strip().split(" ", 1) for part in policy.split(";"))


@pytest.mark.parametrize("path", ["/", "/own", "/broken", "/missing"])
def test_every_answer_carries_the_headers(settings: Settings, path: str) -> None:
    headers = client_of(settings).get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Content-Security-Policy" in headers
    assert "Strict-Transport-Security" not in headers


def test_an_answers_own_policy_wins(settings: Settings) -> None:
    assert client_of(settings).get("/own").headers["Content-Security-Policy"] == "default-src 'none'"


def test_https_is_remembered_only_under_https(settings: Settings) -> None:
    assert "Strict-Transport-Security" in client_of(settings, "https://testserver").get("/").headers
    settings.public_url = "https://ops.example"
    assert "Strict-Transport-Security" in client_of(settings).get("/").headers


def test_web_sockets_pass_untouched(settings: Settings) -> None:
    with client_of(settings).websocket_connect("/socket") as connection:
        connection.send_text("hello")
        assert connection.receive_text() == "hello"


def test_policy_lets_streamlits_own_inline_script_run_and_no_other() -> None:
    page_text = (Path(streamlit.__file__).parent / "static" / "index.html").read_text()
    inline = re.findall(r"<script>(.*?)</script>", page_text, re.DOTALL)
    policy = directives(content_policy("localhost:8501"))
    assert inline
    for script in inline:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy["script-src"]
    assert "unsafe-inline" not in policy["script-src"]
    assert policy["object-src"] == "'none'" and policy["default-src"] == "'self'"


@pytest.mark.parametrize(
    "host", ["evil.example; script-src *", "a b", "x\r\nSet-Cookie: a=b", "localhost:8501/path", "", "[::1", "a,b"]
)
def test_a_hostile_host_header_adds_nothing_to_the_policy(host: str) -> None:
    assert content_policy(host) == content_policy("")


def test_policy_names_the_socket_of_this_host_only() -> None:
    assert directives(content_policy("[::1]:8501"))["connect-src"] == "'self' ws://[::1]:8501 wss://[::1]:8501"


def test_frame_ancestors_come_from_the_setting_and_cannot_end_the_directive(settings: Settings) -> None:
    settings.frame_ancestors = "https://intranet.example; script-src *\n'self'"
    policy = client_of(settings).get("/").headers["Content-Security-Policy"]
    assert directives(policy)["frame-ancestors"].startswith("https://intranet.example script-src")
    assert policy.count("script-src ") == 2 and policy.endswith("'self'")
    settings.frame_ancestors = ""
    assert client_of(settings).get("/").headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")
