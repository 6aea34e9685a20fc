"""Pipelines over the API: what the page does, and refusals in words for what was edited by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from lib.app import App
from lib.auth.actor import Role
from lib.settings import TaskMode
from tests.training.tables import churn

PATH = "/api/v1/pipelines"


@pytest.fixture
def analyst(app: App, client: TestClient, key_of: Callable[[Role], str]) -> TestClient:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    client.headers["Authorization"] = f"Bearer {key_of(Role.ANALYST)}"
    return client


@pytest.fixture
def wanted(analyst: TestClient) -> dict:
    frame = churn(120)
    frame["gone"] = frame.left.map({"yes": 1, "no": 0})
    made = analyst.post("/api/v1/datasets?name=churn.csv", content=frame.to_csv(index=False).encode()).json()
    roles = {"age": "numeric", "plan": "category", "gone": "ignore", "left": "target"}
    plan = {"target": "left", "roles": roles, "steps": [{"kind": "encode"}], "families": ["linear"], "trials": 0}
    return {"plan": {**plan, "folds": 3}, "dataset": made["dataset"], "name": "Churn"}


def test_a_pipeline_is_kept_read_compared_and_deleted(analyst: TestClient, wanted: dict) -> None:
    made = analyst.post(PATH, json=wanted)
    assert made.status_code == 201, made.text
    number, first = made.json()["id"], made.json()["version"]["hash"]
    assert [(one["name"], one["head"]["steps"]) for one in analyst.get(PATH).json()["items"]] == [("Churn", 1)]
    plan = made.json()["plan"]
    assert plan["steps"] == [{"kind": "encode", "columns": [], "method": "", "params": {}}] and plan["seed"] == 0
    change = {**wanted, "plan": {**plan, "seed": 7}, "name": "", "base": first}
    second = analyst.post(f"{PATH}/{number}", json=change).json()
    assert second["version"]["number"] == 2 and len(second["history"]) == 2 and second["name"] == "Churn"
    assert analyst.post(f"{PATH}/{number}", json={**change, "plan": {**plan, "seed": 8}}).status_code == 409
    assert analyst.get(f"{PATH}/{number}?version={first[:8]}").json()["plan"] == plan
    told = analyst.get(f"{PATH}/{number}/compare?before={first}&after={second['version']['hash']}").json()["items"]
    assert told == [{"part": "Setting", "what": "Seed", "before": "0", "after": "7"}]
    script = analyst.get(f"{PATH}/{number}/script")
    assert script.headers["content-type"].startswith("text/x-python")
    compile(script.text, "pipeline.py", "exec")
    assert analyst.delete(f"{PATH}/{number}").status_code == 204
    assert analyst.get(f"{PATH}/{number}").status_code == 404


def test_a_plan_is_judged_before_and_after_it_is_kept(analyst: TestClient, wanted: dict) -> None:
    assert analyst.post(f"{PATH}/validate", json=wanted).json() == {"ready": True, "findings": []}
    wanted["plan"]["roles"]["gone"] = "numeric"
    told = analyst.post(f"{PATH}/validate", json=wanted).json()
    assert told["ready"] is False and told["findings"][0]["columns"] == ["gone"]
    assert told["findings"][0]["node"] == "data" and "Leave the column out" in told["findings"][0]["remedy"]
    number = analyst.post(PATH, json=wanted).json()["id"]
    assert analyst.get(f"{PATH}/{number}/validate").json() == told
    for refused in (analyst.post(f"{PATH}/{number}/train"), analyst.get(f"{PATH}/{number}/script")):
        assert refused.status_code == 422 and "gone is the target" in refused.text


def test_a_pipeline_is_trained(app: App, analyst: TestClient, wanted: dict) -> None:
    number = analyst.post(PATH, json=wanted).json()["id"]
    run = analyst.post(f"{PATH}/{number}/train")
    assert run.status_code == 202, run.text
    assert app.runner.wait(run.json()["task"], 60).status == "succeeded"
    assert analyst.get(f"{PATH}/{number}").json()["dependants"] == [{"kind": "training", "name": "Churn"}]
    assert analyst.delete(f"{PATH}/{number}").status_code == 409


@pytest.mark.parametrize(
    "broken",
    [{"plan": {}}, {"plan": []}, {"plan": {"target": 1, "roles": {}, "steps": [], "families": []}}, {"dataset": 2**40}],
)
def test_what_is_no_pipeline_is_refused_and_not_kept(analyst: TestClient, wanted: dict, broken: dict) -> None:
    for path in (PATH, f"{PATH}/validate"):
        assert analyst.post(path, json={**wanted, **broken}).status_code == 422
    assert analyst.get(PATH).json()["items"] == []


def test_a_viewer_looks_and_a_stranger_does_not(
    analyst: TestClient, wanted: dict, key_of: Callable[[Role], str], no_guests: None
) -> None:
    number = analyst.post(PATH, json=wanted).json()["id"]
    viewer = {"Authorization": f"Bearer {key_of(Role.VIEWER)}"}
    assert analyst.get(f"{PATH}/{number}", headers=viewer).status_code == 200
    assert analyst.post(PATH, json={**wanted, "name": "x"}, headers=viewer).status_code == 403
    assert analyst.post(f"{PATH}/{number}/train", headers=viewer).status_code == 403
    assert analyst.get(PATH, headers={"Authorization": "Bearer nobody"}).status_code == 401
