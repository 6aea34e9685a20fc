"""Datasets over the API: the same refusals as on the page, with their reason, and nothing kept of what was refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from lib.app import App
from lib.auth.actor import Role
from lib.services.datasets import Dependant
from lib.settings import TaskMode

CSV = b"n,word\n" + b"".join(b"%d,w%d\n" % (i, i) for i in range(30))
PATH = "/api/v1/datasets"


@pytest.fixture
def analyst(app: App, client: TestClient, key_of: Callable[[Role], str]) -> TestClient:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    client.headers["Authorization"] = f"Bearer {key_of(Role.ANALYST)}"
    return client


def test_a_file_is_brought_read_and_deleted(app: App, analyst: TestClient) -> None:
    made = analyst.post(f"{PATH}?name=table.csv", content=CSV)
    assert made.status_code == 201, made.text
    number, version = made.json()["dataset"], made.json()["version"]
    listed = analyst.get(PATH).json()["items"]
    assert [(one["name"], one["head"]["rows"]) for one in listed] == [("table", 30)]
    one = analyst.get(f"{PATH}/{number}").json()
    assert one["history"][0]["hash"] == version and one["history"][0]["columns"][0]["type"] == "integer"
    rows = analyst.get(f"{PATH}/{number}/rows?limit=2&offset=1&version={version[:8]}").json()
    assert rows["columns"] == ["n", "word"] and rows["rows"] == [[1, "w1"], [2, "w2"]]
    assert analyst.get(f"{PATH}/{number}/data").content[:4] == b"PAR1"
    assert analyst.get(f"{PATH}/{number}/data?format=csv").text.splitlines()[:2] == ["n,word", "0,w0"]
    app.datasets.dependants.append(lambda _one: [Dependant("pipeline", "p")])
    assert analyst.delete(f"{PATH}/{number}").status_code == 409
    assert analyst.delete(f"{PATH}/{number}?anyway=true").status_code == 204
    assert analyst.get(f"{PATH}/{number}").status_code == 404


def test_a_form_and_packed_text_do_as_well_and_are_the_same_version(analyst: TestClient) -> None:
    first = analyst.post(PATH, files={"file": ("table.csv", CSV)}).json()
    packed = analyst.post(f"{PATH}?name=table.csv.gz", content=gzip.compress(CSV)).json()
    assert (first["dataset"], first["version"]) == (packed["dataset"], packed["version"])
    assert packed["unchanged"] is True
    assert analyst.get(f"{PATH}/tasks/{packed['task']}").json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("../up.csv", CSV, "parts of a path"),
        ("..%5Cup.csv", CSV, "parts of a path"),
        ("", CSV, "none of"),
        ("a.png", CSV, "none of"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "PNG image"),
        ("a.xlsx", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "PNG image"),
        ("a.csv", b"t,cpu,mem\ns,percent,MB\n1,2.5,3\n2,2.5,4\n3,2.5,4\n", "two header lines"),
        ("a.csv", "a,b\n1,für\n".encode("latin-1") + "2,für\n".encode(), "mixes two encodings"),
        ("a.csv.gz", gzip.compress(b"a,b\n" + b"0" * (80 << 20), 9), "compression bomb"),
        ("a.csv&encoding=klingon", CSV, "no encoding"),
    ],
)
def test_bad_files_are_refused_with_the_reason(app: App, analyst: TestClient, name: str, body: bytes, why: str) -> None:
    answer = analyst.post(f"{PATH}?name={name}", content=body)
    assert answer.status_code == 422 and why in answer.json()["error"]["message"], answer.text
    assert analyst.get(PATH).json()["items"] == []
    assert [p for p in (app.settings.data_dir / "datasets").rglob("*") if p.is_file()] == []


def test_a_body_above_the_cap_is_ended(app: App, analyst: TestClient) -> None:
    assert analyst.post(f"{PATH}?name=a.csv", content=b"x" * (2 << 20)).status_code == 422
    app.settings.dataset_max_mb = 1
    answer = analyst.post(f"{PATH}?name=a.csv", content=b"a,b\n" + b"1,2\n" * 500_000)
    assert answer.status_code == 422 and "larger than the 1 MB" in answer.json()["error"]["message"]


def test_rights_are_asked_before_anything_is_taken_in(
    client: TestClient, key_of: Callable[[Role], str], no_guests: None
) -> None:
    assert client.post(f"{PATH}?name=a.csv", content=CSV).status_code == 401
    client.headers["Authorization"] = f"Bearer {key_of(Role.VIEWER)}"
    assert client.post(f"{PATH}?name=a.csv", content=CSV).status_code == 403
    assert client.get(PATH).json() == {"items": []}
