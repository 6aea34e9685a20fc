from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from lib.api import imports
from lib.app import App
from lib.auth.actor import Role
from lib.settings import TaskMode

CSV = b"time,host,cpu\n2026-03-01 10:00,a,1\n2026-03-01 10:01,a,2\n2026-03-01 10:02,a,oops\n"
URL = "/api/v1/imports"


@pytest.fixture
def operator(app: App, client: TestClient, key_of: Callable[[Role], str]) -> TestClient:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    client.headers["Authorization"] = f"Bearer {key_of(Role.OPERATOR)}"
    return client


def settled(app: App, client: TestClient, import_id: str) -> dict[str, Any]:
    for task in app.importing._tasks(import_id):
        app.runner.wait(task.id or 0, 60)
    return client.get(f"{URL}/{import_id}").json()


def test_a_program_brings_checks_and_stores_a_file(app: App, operator: TestClient) -> None:
    made = operator.post(f"{URL}?name=a.csv", content=CSV, headers={"Content-Type": "text/csv"})
    assert made.status_code == 202, made.text
    import_id = made.json()["id"]
    looked = settled(app, operator, import_id)
    assert (looked["state"], [one["role"] for one in looked["mapping"]["columns"]]) == (
        "looked",
        ["time", "label", "value"],
    )
    mapping = looked["mapping"] | {"labels": {"job": "x"}}
    assert operator.post(f"{URL}/{import_id}/check", json={"mapping": mapping}).status_code == 202
    checked = settled(app, operator, import_id)
    assert (checked["state"], checked["check"]["new"], checked["check"]["reasons"]) == (
        "checked",
        2,
        {"is no number": 1},
    )
    assert "4,cpu,oops,is no number" in operator.get(f"{URL}/{import_id}/errors").text
    assert operator.post(f"{URL}/{import_id}/store").status_code == 202
    stored = settled(app, operator, import_id)
    assert (stored["state"], stored["stored"]["written"]) == ("stored", 2)
    assert app.samples.find()[0].labels == {"host": "a", "job": "x"}
    assert operator.post(f"{URL}/{import_id}/store").status_code == 409


def test_wrong_requests_are_refused_in_the_usual_shape(app: App, operator: TestClient) -> None:
    assert operator.post(f"{URL}?name=a.exe", content=CSV, headers={"Content-Type": "text/csv"}).status_code == 422
    assert operator.post(f"{URL}?file=../../etc/passwd").status_code == 404
    assert operator.get(f"{URL}/{'0' * 16}").status_code == 404
    assert operator.get(f"{URL}/nonsense").status_code == 422
    made = operator.post(f"{URL}?name=a.csv", content=CSV, headers={"Content-Type": "text/csv"}).json()["id"]
    looked = settled(app, operator, made)
    for mapping in (
        looked["mapping"] | {"columns": looked["mapping"]["columns"][:2]},
        looked["mapping"] | {"columns": []},
        looked["mapping"] | {"zone": "Mars"},
        looked["mapping"] | {"decimal": "x"},
        looked["mapping"] | {"time_format": "soon"},
    ):
        answer = operator.post(f"{URL}/{made}/check", json={"mapping": mapping})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
    assert operator.delete(f"{URL}/{made}").status_code == 204
    assert operator.get(f"{URL}/{made}").status_code == 404


def test_only_operators_may(client: TestClient, key_of: Callable[[Role], str]) -> None:
    client.headers["Authorization"] = f"Bearer {key_of(Role.ANALYST)}"
    headers = {"Content-Type": "text/csv"}
    assert client.post(f"{URL}?name=a.csv", content=CSV, headers=headers).status_code == 403
    assert client.get(f"{URL}/{'0' * 16}").status_code == 403


def test_a_file_may_be_as_large_as_an_upload_and_other_requests_may_not(
    app: App, client: TestClient, key_of: Callable[[Role], str]
) -> None:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    client.headers["Authorization"] = f"Bearer {key_of(Role.OPERATOR)}"
    rows = b"".join(b"2026-03-01 10:%02d:%02d,a,%d\n" % (n // 60, n % 60, n) for n in range(3600))
    body = b"time,host,cpu\n" + rows + b"\n" * (int(app.settings.api_body_mb * 2**20) + 1 - len(rows))
    made = client.post(f"{URL}?name=a.csv", content=body)
    assert made.status_code == 202, made.text
    assert settled(app, client, made.json()["id"])["state"] == "looked"
    assert client.post(f"{URL}/{made.json()['id']}/check", content=body).status_code == 413
    most = int(app.settings.upload_max_mb * 2**20)
    said = client.post(f"{URL}?name=a.csv", content=b"", headers={"Content-Length": str(most + 1)})
    assert said.status_code == 413 and f"{app.settings.upload_max_mb:g} MiB" in said.json()["error"]["message"]


def test_a_body_is_not_taken_in_from_whoever_may_not_import(
    client: TestClient, key_of: Callable[[Role], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_spool", lambda folder: pytest.fail("the body was taken in"))
    for key, status in (("", 401), (key_of(Role.VIEWER), 403)):
        client.headers["Authorization"] = f"Bearer {key}"
        assert client.post(f"{URL}?name=a.csv", content=CSV).status_code == status
