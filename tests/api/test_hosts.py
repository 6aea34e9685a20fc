"""Host names: a page elsewhere cannot point its own name here and talk to us."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from lib.api import hosts
from lib.settings import Settings


def _settings(**values: str) -> Settings:
    return Settings(**{"public_url": "http://localhost:8501", **values})


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8501", "127.0.0.1:8501", "192.168.1.20", "[::1]:8501", "[fe80::1]"),
        *("autoops", "ops-server:80", "LOCALHOST", "app.localhost:8501"),
    ],
)
def test_names_that_cannot_be_rebound_are_let_through(host: str) -> None:
    assert hosts.allowed(hosts.host_name(host), _settings())


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8501", "localhost.evil.example", "127.0.0.1.nip.io", "a@localhost", ""),
        *("localhost/evil", "evil.example.", "localhost:port", "[::1", "1.2.3.4.5", "user:pass@evil.example"),
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not hosts.allowed(hosts.host_name(host), _settings())


def test_configured_names_are_let_through() -> None:
    settings = _settings(public_url="https://ops.example.com/x", allowed_hosts=" Ops2.example.com., *.corp.example ")
    for name in ("ops.example.com", "OPS.example.com.:443", "ops2.example.com", "a.b.corp.example"):
        assert hosts.allowed(hosts.host_name(name), settings)
    for name in ("corp.example", "evilcorp.example", "example.com", "ops.example.com.evil.example"):
        assert not hosts.allowed(hosts.host_name(name), settings)
    assert hosts.allowed("anything.example", _settings(allowed_hosts="*"))


def test_pages_and_their_connections_are_both_guarded() -> None:
    async def page(_: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    app = Starlette(
        routes=[Route("/", page), WebSocketRoute("/stream", stream)], middleware=hosts.middleware(lambda: _settings())
    )
    ours, theirs = TestClient(app, "http://localhost"), TestClient(app, "http://evil.example")
    assert ours.get("/").text == "hello"
    refused = theirs.get("/")
    assert refused.status_code == 421
    assert "AUTOOPS_ALLOWED_HOSTS" in refused.text
    with ours.websocket_connect("ws://localhost:8501/stream") as socket:
        assert socket.receive_text() == "hello"
    with pytest.raises(WebSocketDisconnect), theirs.websocket_connect("ws://evil.example/stream"):
        pass
