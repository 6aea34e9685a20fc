"""Exported versions over the API as programs see them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from lib.app import App
from lib.auth.actor import Role
from tests.registry.kept import register


@pytest.fixture
def ask(client: TestClient, key_of: Callable[[Role], str]) -> Callable:
    keys = {role: key_of(role) for role in (Role.VIEWER, Role.ANALYST, Role.OPERATOR)}

    def send(method: str, path: str, role: Role = Role.OPERATOR, **more: object):  # type: ignore[no-untyped-def]
        return client.request(method, f"/api/v1{path}", headers={"X-API-Key": keys[role]}, **more)

    return send


def test_a_version_is_exported_fetched_and_listed(app: App, ask: Callable) -> None:
    register(app)
    path = "/models/flowers/versions/1/deployments"
    assert ask("POST", path, Role.ANALYST).status_code == 403
    made = ask("POST", path, json={"target": "ecs", "note": "for the shop"})
    assert made.status_code == 201
    number = made.json()["id"]
    folder = ask("GET", f"/deployments/{number}/folder", Role.VIEWER)
    assert folder.content[:2] == b"PK"
    assert 'filename="flowers-1.zip"' in folder.headers["content-disposition"]
    assert ask("PUT", f"/deployments/{number}/url", json={"url": "http://169.254.169.254"}).status_code == 422
    kept = ask("PUT", f"/deployments/{number}/url", json={"url": "https://shop.example/model/"}).json()
    assert (kept["url"], kept["target"], kept["state"]) == ("https://shop.example/model", "ecs", "")
    assert ask("POST", f"/deployments/{number}/check", Role.VIEWER).status_code == 403
    assert ask("POST", f"/deployments/{number}/end").json()["ended_at"] is not None
    rows = ask("GET", "/deployments?model=flowers", Role.VIEWER).json()["items"]
    assert [(one["id"], one["created_by"]) for one in rows] == [(number, "operator-person/test")]
    assert ask("GET", "/deployments/99/folder", Role.VIEWER).status_code == 404
    assert ask("POST", "/models/flowers/versions/9/deployments").status_code == 404
