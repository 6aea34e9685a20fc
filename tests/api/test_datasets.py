"""Datasets over the API: the same refusals as on the page, with their reason, and nothing kept of what was refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from lib.app import App
from lib.auth.actor import Actor, Role
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


def test_columns_are_changed_over_the_api_as_on_the_page(analyst: TestClient) -> None:
    body = b"n,word,when\n" + b"".join(b"%d,w%d,2025-01-%02d\n" % (i, i % 3, i + 1) for i in range(20))
    made = analyst.post(f"{PATH}?name=table.csv", content=body + b"0,w0,2025-01-01\n").json()
    address = f"{PATH}/{made['dataset']}/columns"
    changes = {"n": {"type": "number", "role": "target"}, "word": {"name": " Wort "}, "when": {"keep": False}}
    edited = analyst.post(address, json={"columns": changes, "distinct": True})
    assert edited.status_code == 201, edited.text
    head = analyst.get(f"{PATH}/{made['dataset']}").json()["head"]
    assert (head["hash"], head["rows"]) == (edited.json()["version"], 20)
    assert [tuple(one.values()) for one in head["columns"]] == [
        ("n", "number", "target", "n"), ("Wort", "text", "feature", "word")
    ]  # fmt: skip
    same = analyst.post(address, json={"columns": {}, "version": made["version"][:8]}).json()
    assert (same["version"], same["unchanged"]) == (made["version"], False)
    assert analyst.post(address, json={"columns": {}}).json()["unchanged"] is True


def test_what_is_wrong_with_changed_columns_is_said_by_column_and_field(
    app: App, analyst: TestClient, key_of: Callable[[Role], str]
) -> None:
    number = analyst.post(f"{PATH}?name=table.csv", content=CSV).json()["dataset"]
    for changes, wrong in (
        ({"gone": {"type": "text"}}, [("gone", "")]),
        ({"n": {"type": "float", "role": "label"}}, [("n", "type"), ("n", "role")]),
        ({"n": {"name": " "}, "word": {"role": "time"}}, [("n", "name"), ("word", "role")]),
        ({"n": {"name": "Word"}}, [("word", "name")]),
        ({"n": {"name": "x" * 121}}, [("n", "name")]),
        ({"n": {"role": "target"}, "word": {"role": "target"}}, [("word", "role")]),
    ):
        refused = analyst.post(f"{PATH}/{number}/columns", json={"columns": changes})
        told = refused.json()["error"]
        assert refused.status_code == 422 and [(f["column"], f["field"]) for f in told["fields"]] == wrong, told
        assert all(one["message"] in told["message"] for one in told["fields"])
    both_gone = {name: {"keep": False} for name in ("n", "word")}
    for given, words in (
        ({"columns": both_gone}, "at least one column"),
        ({"columns": {"n": {"kind": "text"}}}, "kind"),
        ({"columns": {}, "version": "abc"}, "at least 6"),
        ({"columns": {"word": {"type": "integer"}}}, "word"),
        ({}, "columns"),
    ):
        refused = analyst.post(f"{PATH}/{number}/columns", json=given)
        assert refused.status_code == 422 and words in refused.text, refused.text
    assert analyst.post(f"{PATH}/99/columns", json={"columns": {}}).status_code == 404
    assert len(app.datasets.get(Actor("ann", Role.ANALYST), number)[1]) == 1
    viewer = {"Authorization": f"Bearer {key_of(Role.VIEWER)}"}
    assert analyst.post(f"{PATH}/{number}/columns", json={"columns": {}}, headers=viewer).status_code == 403


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
