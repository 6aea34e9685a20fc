"""Training over the API: the same refusals as on the page, with their reason; from a table to a prediction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from lib.app import App
from lib.auth.actor import Role
from lib.settings import TaskMode
from tests.training.tables import churn

PATH = "/api/v1/trainings"
QUICK = {"target": "left", "start": "First look", "models": ["linear"]}


@pytest.fixture
def analyst(app: App, client: TestClient, key_of: Callable[[Role], str]) -> TestClient:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    client.headers["Authorization"] = f"Bearer {key_of(Role.ANALYST)}"
    return client


def bring(client: TestClient, frame: pd.DataFrame) -> int:
    made = client.post("/api/v1/datasets?name=table.csv", content=frame.to_csv(index=False).encode())
    assert made.status_code == 201, made.text
    return int(made.json()["dataset"])


def test_from_a_table_to_a_served_prediction(app: App, analyst: TestClient) -> None:
    number = bring(analyst, churn(120))
    wish = {"dataset": number, **QUICK, "seed": 4, "name": "first"}
    checked = analyst.post(f"{PATH}/check", json=wish).json()
    assert checked["ok"] and checked["task"] == "binary" and checked["plan"]["seed"] == 4
    made = analyst.post(PATH, json=wish)
    assert made.status_code == 202, made.text
    run, task = made.json()["id"], made.json()["task"]
    app.runner.wait(task, 60)
    one = analyst.get(f"{PATH}/{run}").json()
    assert one["status"] == "succeeded" and one["progress"] == 1.0 and 0 < one["used_s"] <= 10.5
    assert one["verdict"][0].startswith("On 120 rows") and one["board"][0]["family"] == "linear"
    assert any(row["usable"] for row in one["board"]) and one["results"]["confusion"]["classes"] == ["False", "True"]
    assert analyst.get(f"{PATH}/{run}/card").text.startswith("# first")
    assert analyst.get(f"{PATH}/{run}/log").json()[0]["n"] == 0
    assert "Linear 1" in analyst.get(f"{PATH}/{run}/log?format=text").text
    begun = analyst.get(f"{PATH}/{run}/views/dependence?column=age")
    assert begun.status_code == 202 and not begun.json()["ready"]
    app.runner.wait(begun.json()["task"], 60)
    assert analyst.get(f"{PATH}/{run}/views/dependence?column=age").json()["view"]["column"] == "age"
    kept = analyst.post(f"{PATH}/{run}/register", json={"name": "churn"})
    assert kept.status_code == 201 and kept.json() == {"model": "churn", "version": 1}
    row = {"age": 60, "income": 20_000, "plan": "basic", "visits": 3}
    said = analyst.post("/api/v1/predict", json={"model": "churn", "version": 1, "rows": [row]})
    assert said.status_code == 200 and said.json()["predictions"][0]["label"] in ("True", "False")
    again = analyst.post(f"{PATH}/{run}/replay").json()
    app.runner.wait(again["task"], 60)
    both = analyst.get(f"{PATH}/compare?run={run}&run={again['id']}").json()
    assert both["same_task"] and not any(one["clear"] for one in both["rows"])
    assert analyst.get(f"{PATH}/{again['id']}").json()["score"] == one["score"]
    assert analyst.delete(f"{PATH}/{run}").status_code == 204
    assert [each["id"] for each in analyst.get(PATH).json()["items"]] == [again["id"]]


def test_a_view_that_cannot_be_made_says_why_once(app: App, analyst: TestClient) -> None:
    made = analyst.post(PATH, json={"dataset": bring(analyst, churn(80)), **QUICK}).json()
    app.runner.wait(made["task"], 60)
    (app.training.folder / made["id"] / "outcome.npz").unlink()
    view = f"{PATH}/{made['id']}/views/shap"
    app.runner.wait(analyst.get(view).json()["task"], 60)
    assert analyst.get(view).status_code == 409
    assert analyst.get(f"{PATH}/{made['id']}/views/magic").status_code == 422


def test_it_is_cancelled_at_once_and_goes_on(app: App, analyst: TestClient) -> None:
    app.runner.stop()
    made = analyst.post(PATH, json={"dataset": 1, **QUICK})
    assert made.status_code == 404  # no such dataset
    app.runner.start()
    number = bring(analyst, churn(80))
    app.runner.stop()
    run = analyst.post(PATH, json={"dataset": number, **QUICK}).json()
    ended = analyst.post(f"{PATH}/{run['id']}/cancel")
    assert ended.status_code == 200 and ended.json()["status"] == "cancelled"
    assert analyst.post(f"{PATH}/{run['id']}/cancel").status_code == 409
    assert analyst.get(f"{PATH}/{run['id']}").json()["results"] is None
    assert analyst.get(f"{PATH}/{run['id']}/card").status_code >= 400
    assert analyst.post(f"{PATH}/{run['id']}/register", json={}).status_code >= 400
    app.runner.start()
    again = analyst.post(f"{PATH}/{run['id']}/resume")
    assert again.status_code == 202 and app.runner.wait(again.json()["task"], 60).status == "succeeded"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"target": "gone"}, "no column 'gone'"),
        ({"target": ""}, "Choose what to predict"),
        ({"metric": "r2"}, "does not suit"),
        ({"budget_s": 1}, "not between 5 s"),
        ({"budget_s": "NaN"}, "budget_s"),
        ({"models": ["magic"]}, "no model family 'magic'"),
        ({"models": []}, "No model family"),
        ({"split": "time"}, "orders the rows"),
        ({"pipeline": {"a": 1}}, "no pipeline"),
        ({"holdout": 0.9}, "hold out"),
        ({"seed": -1}, "seed"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(app: App, analyst: TestClient, change: dict, why: str) -> None:
    number = bring(analyst, churn(60))
    answer = analyst.post(PATH, json={"dataset": number, **QUICK, **change})
    assert answer.status_code == 422 and why in answer.json()["error"]["message"], answer.text
    assert analyst.get(PATH).json() == {"items": []} and not list(app.training.folder.glob("*"))


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (["one"] * 60, "single class"),
        ([str(n) if n % 2 else f"w{n}" for n in range(60)], "mixes"),
        ([None] * 60, "0 of"),
    ],
)
def test_tables_nothing_can_be_learnt_from_are_refused(analyst: TestClient, target: list, why: str) -> None:
    number = bring(analyst, pd.DataFrame({"x": np.arange(60.0) ** 2, "left": target}))
    answer = analyst.post(PATH, json={"dataset": number, **QUICK})
    assert answer.status_code == 422 and why in answer.json()["error"]["message"], answer.text


def test_rights_and_names_are_checked(client: TestClient, key_of: Callable[[Role], str], no_guests: None) -> None:
    assert client.get(PATH).status_code == 401
    client.headers["Authorization"] = f"Bearer {key_of(Role.VIEWER)}"
    assert client.get(PATH).json() == {"items": []}
    assert client.post(PATH, json={"dataset": 1, **QUICK}).status_code == 403
    assert client.get(f"{PATH}/{'a' * 16}").status_code == 404
    assert client.get(f"{PATH}/..%2F..%2Fetc").status_code in (404, 422)
