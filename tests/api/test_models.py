"""Served models over the API as programs see it."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from lib.app import App
from lib.auth.actor import Role
from lib.drift import reference
from lib.settings import TaskMode
from tests.registry.kept import ANALYST, FLOWERS, OPERATOR, ROW, register
from tests.registry.make_models import torch_like


@pytest.fixture
def ask(client: TestClient, key_of: Callable[[Role], str]) -> Callable:
    keys = {role: key_of(role) for role in (Role.VIEWER, Role.ANALYST, Role.OPERATOR)}

    def send(method: str, path: str, role: Role = Role.OPERATOR, **more: object):  # type: ignore[no-untyped-def]
        headers = {"X-API-Key": keys[role], "Content-Type": "application/json"}
        return client.request(method, f"/api/v1{path}", headers=headers, **more)

    return send


def upload(ask: Callable, body: bytes, file_name: str = "net.onnx", role: Role = Role.ANALYST, **query: str):  # type: ignore[no-untyped-def]
    return ask("POST", "/models/net/versions", role, params={"file_name": file_name, **query}, content=body)


def test_from_an_upload_to_a_prediction_and_its_outcome(app: App, ask: Callable) -> None:
    made = upload(ask, torch_like(), fields="a,b,c,d", classes="x,y,z", target="kind")
    assert made.status_code == 201
    assert made.json()["version"] == 1
    assert ask("POST", "/predict", Role.VIEWER, json={"rows": [{}]}).status_code == 404  # no champion yet
    assert ask("PUT", "/models/net/aliases/champion", Role.ANALYST, json={"version": 1}).status_code == 403
    assert ask("PUT", "/models/net/aliases/champion", json={"version": 1, "note": "go"}).json()["version"] == 1
    row = dict.fromkeys("abcd", 1.0)
    found = ask("POST", "/predict", Role.VIEWER, json={"rows": [row, row], "explain": True})
    assert found.status_code == 200
    body = found.json()
    assert (body["model"], body["version"], len(body["predictions"])) == ("net", 1, 2)
    one = body["predictions"][0]
    assert one["label"] == "z"
    assert one["probability"] == one["probabilities"]["z"]
    assert len(one["why"]) == 4
    told = ask("POST", "/outcomes", Role.ANALYST, json={"id": one["id"], "actual": "z"})
    assert (told.status_code, told.json()["actual"]) == (201, "z")
    refused = ask("POST", "/outcomes", Role.ANALYST, json={"id": one["id"], "actual": True})
    assert refused.status_code == 422
    assert "'True'; version 1 of net knows the classes x, y, z" in refused.json()["error"]["message"]
    assert ask("GET", "/models", Role.VIEWER).json()["items"][0]["champion"] == 1
    files = ask("GET", "/models/net/versions/1/files", Role.VIEWER)
    assert files.content[:2] == b"PK"


def test_every_field_that_is_wrong_is_named(app: App, ask: Callable) -> None:
    register(app)
    answer = ask("POST", "/predict", json={"rows": [ROW, {"length": "x", "colour": 1}], "version": 1})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid"
    assert {(one["row"], one["field"], one["code"]) for one in error["fields"]} == {
        (1, "length", "type"),
        (1, "colour", "unknown"),
        (1, "width", "missing"),
        (1, "height", "missing"),
        (1, "weight", "missing"),
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"rows": []}', 422),
        (b'{"rows": [{"length": NaN, "width": 1, "height": 1, "weight": 1}], "version": 1}', 422),
        (b'{"rows": [[1, 2]]}', 422),
        (b'{"rows": [{}], "version": "newest"}', 422),
        (b'{"rows": [{}], "model": "nobody"}', 404),
        (b"not json", 422),
        (b'{"rows": [{"length": 1' + b"0" * 400 + b', "width": 1, "height": 1, "weight": 1}], "version": 1}', 422),
        (b'{"rows": [' + b"{}," * 1000 + b"{}]}", 422),
    ],
    ids=range(8),
)
def test_what_cannot_be_read_is_refused_in_words(app: App, ask: Callable, body: bytes, status: int) -> None:
    register(app)
    answer = ask("POST", "/predict", content=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("file_name", "body", "words"),
    [
        ("a.onnx", pickle.dumps([1]), "pickle"),
        ("../a.onnx", b"x", "path"),
        ("a.pkl", b"x", "pickle"),
        ("a.onnx", b"", "empty"),
    ],
    ids=range(4),
)
def test_a_file_that_is_no_model_is_refused_and_nothing_kept(
    app: App, ask: Callable, file_name: str, body: bytes, words: str
) -> None:
    answer = upload(ask, body, file_name)
    assert answer.status_code == 422
    assert words in answer.json()["error"]["message"]
    assert ask("GET", "/models").json()["items"] == []
    assert app.models.packages.place.names() == []


def test_only_uploads_may_be_larger_than_other_bodies_and_they_have_a_cap(app: App, ask: Callable) -> None:
    large = b"x" * (2 << 20)
    assert ask("POST", "/predict", content=large).status_code == 413
    assert upload(ask, large).status_code == 422  # read, and found to be no model
    assert ask("POST", "/models/net/versions?file_name=a.onnx", Role.VIEWER, content=b"x").status_code == 403


def test_history_says_what_was_in_production_when(app: App, ask: Callable, clock) -> None:  # type: ignore[no-untyped-def]
    register(app)
    register(app)
    for version in (1, 2):
        clock.advance(hours=1)
        ask("PUT", "/models/flowers/aliases/champion", json={"version": version})
    between = ask("GET", "/models/flowers/aliases", params={"at": "2026-03-14T13:30:00Z"}).json()["items"]
    assert [one["version"] for one in between] == [1]
    assert ask("POST", "/models/flowers/rollback").json()["version"] == 1
    changes = ask("GET", "/models/flowers/aliases").json()["items"]
    assert [one["change"] for one in changes] == ["rollback", "promote", "promote"]
    assert ask("GET", "/models/flowers/aliases", params={"at": "2026-03-14T13:30:00"}).status_code == 422


def test_a_test_of_two_versions_over_the_api(app: App, ask: Callable) -> None:
    register(app)
    register(app)
    begun = ask("POST", "/experiments", json={"model": "flowers", "version_a": 1, "version_b": 2, "metric": "accuracy"})
    assert begun.status_code == 201
    number = begun.json()["id"]
    found = ask("POST", "/predict", Role.VIEWER, json={"rows": [ROW], "key": "ann"}).json()
    assert found["experiment"] == number
    told = ask("POST", "/outcomes", Role.ANALYST, json={"experiment": number, "key": "ann", "actual": "virginica"})
    assert told.json()["arm"] == found["arm"]
    standing = ask("GET", f"/experiments/{number}", Role.VIEWER).json()
    assert standing["call"] == "few"
    assert standing[found["arm"]]["outcomes"] == 1
    assert ask("POST", f"/experiments/{number}/end", json={"promote": True}).status_code == 409
    assert ask("POST", f"/experiments/{number}/end", json={}).json()["ended_at"]
    assert ask("GET", "/models/flowers/versions/1/drift").json() == {"items": [], "comparison": None}


def test_drift_of_a_dataset_with_limits_of_ones_own(app: App, ask: Callable) -> None:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 4)), columns=list(FLOWERS.names))
    register(app, reference=reference.of_frame(frame))
    body = io.BytesIO(frame.to_csv(index=False).encode())
    number = app.runner.wait(app.datasets.upload(ANALYST, "a.csv", body).id or 0, 60).result["dataset"]
    address = "/models/flowers/versions/1/drift"
    begun = ask("POST", address, Role.ANALYST, json={"dataset": number, "watch": 0.5, "drift": 0.6})
    assert begun.status_code == 202
    app.runner.wait(begun.json()["task"], 60)
    told = ask("GET", address).json()
    assert told["comparison"]["status"] == "succeeded"
    assert (told["items"][0]["kind"], told["items"][0]["state"]) == ("dataset", "ok")
    assert told["items"][0]["report"]["limits"][:2] == [0.5, 0.6]
    for given, code, words in (
        ({"dataset": 99}, 404, "dataset 99"),
        ({"dataset": number, "watch": 0.9, "drift": 0.2}, 422, "do not go together"),
        ({"watch": -1}, 422, "watch"),
        ({"limit": 1}, 422, "limit"),
        ({}, 422, "not asked anything"),
    ):
        refused = ask("POST", address, Role.ANALYST, json=given)
        assert (refused.status_code, words in refused.text) == (code, True), refused.text
    assert ask("POST", address, Role.VIEWER).status_code == 403


def test_a_file_and_a_dataset_are_predicted_as_tasks(app: App, ask: Callable) -> None:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    register(app)
    app.models.promote(OPERATOR, "flowers", 1)
    rows = b"length,width,height,weight\n1,1,1,1\n1,x,1,1\n"
    begun = ask("POST", "/models/flowers/batches", Role.ANALYST, params={"file_name": "a.csv"}, content=rows)
    assert (begun.status_code, begun.json()["version"]) == (202, 1)
    number = begun.json()["task"]
    app.runner.wait(number, 60)
    done = ask("GET", f"/batches/{number}", Role.ANALYST).json()
    assert (done["status"], done["progress"], done["rows"], done["problems"]) == ("succeeded", 1.0, 2, 1)
    assert ask("GET", f"/batches/{number}/result", Role.ANALYST).text.startswith(
        "length,width,height,weight,prediction"
    )
    assert ask("GET", f"/batches/{number}/result", Role.VIEWER).status_code == 403
    made = app.runner.wait(app.datasets.upload(ANALYST, "a.csv", io.BytesIO(rows)).id or 0, 60)
    begun = ask("POST", "/models/flowers/batches", Role.ANALYST, params={"dataset": made.result["dataset"]})
    assert (begun.status_code, begun.json()["source"]) == (202, "a")
    for params, code in (
        ({}, 422),
        ({"dataset": 99}, 404),
        ({"file_name": "../a.csv"}, 422),
        ({"file_name": "a.pkl"}, 422),
        ({"file_name": "a.csv", "version": "7"}, 404),
    ):
        refused = ask("POST", "/models/flowers/batches", Role.ANALYST, params=params, content=rows)
        assert (refused.status_code, bool(refused.json()["error"]["message"])) == (code, True)
    assert ask("GET", f"/batches/{made.id}", Role.ANALYST).status_code == 404
