from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from lib.app import App
from lib.auth.actor import Actor, Role
from tests.api.test_v1 import add_anomalies
from tests.conftest import FakeClock

VIEWER = Actor("vic", Role.VIEWER)


@pytest.fixture
def analyst(client: TestClient, key_of: Callable[[Role], str]) -> TestClient:
    client.headers["Authorization"] = f"Bearer {key_of(Role.ANALYST)}"
    return client


def test_deploy_is_marked_listed_and_taken_away(app: App, clock: FakeClock, analyst: TestClient) -> None:
    made = analyst.post("/api/v1/annotations", json={"kind": "deploy", "text": "shop 4.2", "host": "web-01"})
    assert made.status_code == 201
    assert made.json()["start"].startswith(app.clock().isoformat()[:19])
    clock.advance(minutes=1)
    listed = analyst.get("/api/v1/annotations?window=24h&host=web-01").json()["items"]
    assert [(m["kind"], m["text"], m["id"]) for m in listed] == [("deploy", "shop 4.2", made.json()["id"])]
    assert analyst.get("/api/v1/annotations?window=24h&host=web-02").json()["items"] == []
    assert analyst.delete(f"/api/v1/annotations/{made.json()['id']}").status_code == 204
    assert analyst.delete(f"/api/v1/annotations/{made.json()['id']}").status_code == 404


def test_label_is_seen_with_its_anomaly(app: App, analyst: TestClient) -> None:
    add_anomalies(app, 2)
    number = analyst.get("/api/v1/anomalies").json()["items"][0]["id"]
    said = analyst.post(f"/api/v1/anomalies/{number}/label", json={"verdict": "false", "note": "a backup"})
    assert said.status_code == 201 and said.json()["verdict"] == "false"
    first, second = analyst.get("/api/v1/anomalies").json()["items"]
    assert (first["verdict"], second["verdict"]) == ("false", "")
    assert first["labelled_by"] == said.json()["created_by"]


def test_muted_anomalies_come_when_asked_and_never_shorten_a_page(app: App, analyst: TestClient) -> None:
    add_anomalies(app, 300)
    end = app.clock()
    span = {"start": (end - timedelta(hours=20)).isoformat(), "end": end.isoformat()}
    assert analyst.post("/api/v1/annotations", json={"kind": "maintenance", **span}).status_code == 201
    page = analyst.get("/api/v1/anomalies?window=7d&limit=50").json()
    assert len(page["items"]) == 50 and page["next"]
    assert not any(row["muted"] for row in page["items"])
    every = analyst.get("/api/v1/anomalies?window=7d&limit=300&muted=true").json()["items"]
    assert len(every) == 300 and sum(bool(row["muted"]) for row in every) > 100


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/annotations", {"kind": "party"}),
        ("/api/v1/annotations", {"kind": "maintenance"}),
        ("/api/v1/annotations", {"kind": "note", "text": "x" * 501}),
        ("/api/v1/annotations", {"kind": "note", "start": "2026-03-14T12:00:00"}),
        ("/api/v1/annotations", {"kind": "note", "start": "yesterday"}),
        ("/api/v1/anomalies/1/label", {"verdict": "maybe"}),
        ("/api/v1/anomalies/0/label", {"verdict": "real"}),
        ("/api/v1/annotations", None),
    ],
)
def test_nonsense_is_refused_with_words(analyst: TestClient, path: str, body: dict | None) -> None:
    answer = analyst.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


def test_label_of_an_anomaly_that_is_gone_is_not_found(analyst: TestClient) -> None:
    assert analyst.post("/api/v1/anomalies/99/label", json={"verdict": "real"}).status_code == 404


def test_reading_rights_and_cookies_cannot_write(app: App, client: TestClient, key_of: Callable[[Role], str]) -> None:
    add_anomalies(app, 1)
    key = {"X-API-Key": key_of(Role.VIEWER)}
    for path, body in (
        ("/api/v1/annotations", {"kind": "note"}),
        ("/api/v1/anomalies/1/label", {"verdict": "real"}),
    ):
        assert client.post(path, json=body).status_code == 401
        answer = client.post(path, json=body, headers=key)
        assert answer.status_code == 403
    assert client.delete("/api/v1/annotations/1", headers=key).status_code == 403
    assert app.detection.annotations.all(VIEWER) == []
