"""What to try with a dataset, over the API: what the page shows, and refusals in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from lib.app import App
from lib.auth.actor import Role
from lib.settings import TaskMode
from tests.training.tables import churn


@pytest.fixture
def analyst(app: App, client: TestClient, key_of: Callable[[Role], str]) -> TestClient:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    client.headers["Authorization"] = f"Bearer {key_of(Role.ANALYST)}"
    return client


def bring(client: TestClient, body: bytes) -> int:
    return int(client.post("/api/v1/datasets?name=churn.csv", content=body).json()["dataset"])


def test_what_is_suggested_can_be_made_a_pipeline(analyst: TestClient) -> None:
    number = bring(analyst, churn(150).to_csv(index=False).encode())
    told = analyst.get(f"/api/v1/datasets/{number}/suggestions?target=left")
    assert told.status_code == 200, told.text
    found = told.json()
    assert (found["target"], found["task"]) == ("left", "binary")
    gaps = next(one for one in found["steps"] if one["kind"] == "impute")
    assert "age" in gaps["reason"] and 0 <= gaps["confidence"] <= 1 and gaps["in_plan"] and gaps["tables"] >= 0
    assert {"linear", "histogram"} <= {one["family"] for one in found["models"]}
    wanted = {"plan": found["plan"], "dataset": number, "dataset_version": found["version"], "name": "Suggested"}
    assert analyst.post("/api/v1/pipelines/validate", json=wanted).json()["ready"]
    assert analyst.post("/api/v1/pipelines", json=wanted).status_code == 201


def test_the_story_and_figures_of_a_dataset_are_told(analyst: TestClient) -> None:
    number = bring(analyst, churn(150).to_csv(index=False).encode())
    told = analyst.get(f"/api/v1/datasets/{number}/profile").json()
    assert told["verdict"] in ("good", "fair", "poor") and "150 rows of 5 columns" in " ".join(told["what"])
    assert [one["name"] for one in told["profile"]["columns"]] == ["age", "income", "plan", "visits", "left"]


def test_refusals_say_why(analyst: TestClient, key_of: Callable[[Role], str]) -> None:
    number = bring(analyst, b"n,y\n1,a\n2,b\n3,a\n")
    path = f"/api/v1/datasets/{number}/suggestions"
    few = analyst.get(f"{path}?target=y")
    assert few.status_code == 422 and "at least 20" in few.json()["error"]["message"]
    assert "no column 'z'" in analyst.get(f"{path}?target=z").json()["error"]["message"]
    assert analyst.get("/api/v1/datasets/999/suggestions").status_code == 404
    assert analyst.get("/api/v1/datasets/999/profile").status_code == 404
    analyst.headers["Authorization"] = "Bearer ao_nonsense"
    assert analyst.get(path).status_code == 401
