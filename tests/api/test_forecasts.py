"""Forecasts over the API: made, listed, read, asked about a limit, removed; who may, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from starlette.testclient import TestClient

from lib.app import App
from lib.auth.actor import Role
from lib.frames import Block, to_ms
from lib.settings import TaskMode


@pytest.fixture
def analyst(client: TestClient, key_of: Callable[[Role], str]) -> TestClient:
    client.headers["Authorization"] = f"Bearer {key_of(Role.ANALYST)}"
    return client


def disk(app: App, days: float = 6) -> int:
    """A disk whose free share falls by 5 % a day, from 60 %."""
    ts = to_ms(app.clock()) - 600_000 * np.arange(int(days * 144), 0, -1)
    value = 0.6 - 0.05 * np.arange(ts.size) / 144 + np.random.default_rng(1).normal(0, 0.001, ts.size)
    app.samples.append(1, [Block("disk_free_ratio", {"instance": "db-01"}, ts, value)])
    return app.samples.find(metric="disk_free_ratio")[0].id


def made(app: App, analyst: TestClient, **wanted: object) -> dict:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    began = analyst.post("/api/v1/forecasts", json={"prophet": False, **wanted})
    assert began.status_code == 202, began.text
    app.runner.wait(began.json()["task"], 60)
    return analyst.get(f"/api/v1/forecasts/runs/{began.json()['task']}").json()


def test_forecast_is_made_listed_and_read(app: App, analyst: TestClient) -> None:
    series_id = disk(app)
    run = made(app, analyst, metric="disk_free_ratio", host="db-01", horizon="3d")
    assert run["status"] == "succeeded" and run["made"][0]["series_id"] == series_id and run["refused"] == []
    for query in ("", f"?series_id={series_id}", "?metric=disk_free_ratio&host=db-01"):
        (row,) = analyst.get(f"/api/v1/forecasts{query}").json()["items"]
        assert (row["metric"], row["labels"], row["unit"]) == ("disk_free_ratio", {"instance": "db-01"}, "ratio")
    assert analyst.get("/api/v1/forecasts?metric=other").json()["items"] == []
    one = analyst.get(f"/api/v1/forecasts/{row['id']}").json()
    assert len(one["points"]) == one["steps"] and one["points"][0]["low80"] <= one["points"][0]["high80"]
    assert (
        one["card"]["model"] == one["model"] and one["outcome"] is None and one["made_by"].startswith("analyst-person")
    )
    assert analyst.delete(f"/api/v1/forecasts/{row['id']}").status_code == 204
    assert analyst.get(f"/api/v1/forecasts/{row['id']}").status_code == 404


def test_limit_is_answered_with_dates_or_that_it_is_not_reached(app: App, analyst: TestClient) -> None:
    disk(app)
    made(app, analyst, metric="disk_free_ratio", horizon="3d")
    (row,) = analyst.get("/api/v1/forecasts").json()["items"]
    address = f"/api/v1/forecasts/{row['id']}/crossing"
    near = analyst.get(address, params={"limit": "25 %", "side": "below"}).json()
    assert near["state"] == "crosses" and near["earliest"] <= near["likely"] and "falls below 25 %" in near["answer"]
    never = analyst.get(address, params={"limit": "0.99"}).json()
    assert (never["state"], never["side"], never["likely"]) == ("not within the horizon", "above", None)
    assert never["horizon_end"] in (row["end"],) and "Not within the horizon" in never["answer"]
    beyond = analyst.get(address, params={"limit": "50 %", "side": "below"}).json()
    assert beyond["state"] == "already beyond"


@pytest.mark.parametrize("limit", ["", "soon", "1e999", "nan", "9" * 41])
def test_limit_that_is_no_number_is_refused(app: App, analyst: TestClient, limit: str) -> None:
    disk(app)
    made(app, analyst, metric="disk_free_ratio")
    (row,) = analyst.get("/api/v1/forecasts").json()["items"]
    answer = analyst.get(f"/api/v1/forecasts/{row['id']}/crossing", params={"limit": limit})
    assert answer.status_code == 422 and "limit" in answer.json()["error"]["message"].lower()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, "Name the series"),
        ({"metric": "disk_free_ratio", "horizon": "1s"}, "horizon"),
        ({"metric": "disk_free_ratio", "horizon": "never"}, "window"),
        ({"metric": "disk_free_ratio", "country": "XX"}, "XX"),
        ({"series_ids": [0]}, "series_ids"),
        ({"series_ids": list(range(1, 100))}, "series_ids"),
    ],
)
def test_question_that_means_nothing_is_refused(app: App, analyst: TestClient, wanted: dict, words: str) -> None:
    disk(app)
    answer = analyst.post("/api/v1/forecasts", json=wanted)
    assert answer.status_code == 422 and words in answer.json()["error"]["message"]


def test_series_of_which_nothing_can_be_foreseen_says_why(app: App, analyst: TestClient) -> None:
    disk(app, days=0.01)
    run = made(app, analyst, metric="disk_free_ratio")
    assert run["status"] == "failed" and "one sample" in run["error"]
    assert analyst.get("/api/v1/forecasts/runs/999").status_code == 404


def test_viewer_reads_and_makes_none_and_strangers_do_neither(
    app: App, client: TestClient, key_of: Callable[[Role], str]
) -> None:
    disk(app)
    app.settings.guests = False
    assert client.get("/api/v1/forecasts").status_code == 401
    client.headers["X-API-Key"] = key_of(Role.VIEWER)
    assert client.get("/api/v1/forecasts").json() == {"items": []}
    assert client.post("/api/v1/forecasts", json={"metric": "disk_free_ratio"}).status_code == 403
    assert client.delete("/api/v1/forecasts/1").status_code == 403
