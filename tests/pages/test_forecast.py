from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.tables import TaskStatus
from lib.frames import Block, to_ms
from lib.settings import TaskMode
from lib.ui import controls

PAGE = "pages/observe/forecast.py"
ANALYST = Actor("ann", Role.ANALYST)
DAY_MS = 86_400_000


def words(page) -> str:
    parts = [*page.markdown, *page.caption, *page.info, *page.warning, *page.success, *page.error, *page.subheader]
    return " ".join(part.value for part in parts).replace("\\", "").replace("\u2060", "")


def fill(app: App, metric: str = "queue_depth", days: float = 10, hosts: tuple[str, ...] = ("web-1",)) -> list[int]:
    ts = to_ms(app.clock()) - 600_000 * np.arange(int(days * 144), 0, -1, dtype=np.int64)
    values = 50 + 20 * np.sin(2 * np.pi * (ts % DAY_MS) / DAY_MS) + np.random.default_rng(0).normal(0, 2, len(ts))
    app.samples.append(1, [Block(metric, {"instance": host}, ts, values) for host in hosts])
    return [one.id for one in app.samples.find(metric=metric)]


@pytest.fixture
def made(app: App) -> int:
    """A series with a forecast of a day; its id."""
    (series_id,) = fill(app)
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    task = app.forecasting.forecast(ANALYST, [series_id], prophet=False)
    assert app.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
    return series_id


def test_stranger_is_refused(made: int, open_page: Callable) -> None:
    page = open_page(PAGE)
    assert "Sign in" in page.error[0].value and not page.get("plotly_chart")


def test_empty_store_names_the_next_step(open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "Connect your Prometheus" in page.info[0].value


def test_before_the_first_forecast_it_says_how_to_make_one(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, Role.ANALYST)
    assert not page.exception
    assert "press Forecast" in words(page)
    assert not page.button(key="forecast_make").disabled


def test_a_limit_that_is_none_is_said_before_there_is_a_forecast(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, Role.ANALYST, query={"limit": "banana"})
    assert not page.exception
    assert "'banana' is no limit" in words(page)


@pytest.mark.parametrize("role", [Role.VIEWER, "guest"])
def test_viewer_sees_forecasts_and_cannot_make_any(made: int, open_page: Callable, role: object) -> None:
    page = open_page(PAGE, role)
    assert not page.exception
    assert len(page.get("plotly_chart")) == 1
    assert page.button(key="forecast_make").disabled and page.button(key="forecast_keep").disabled


def test_forecast_comes_with_card_candidates_and_history(made: int, open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER)
    said = words(page)
    assert "Report card:" in said and "Why this one" in said and "least off in" in said
    assert "Weekends are not told from weekdays" in said and "As of 2026" in said
    tiles = {one.label: one.value for one in page.metric}
    assert int(tiles["Error against naive"].rstrip("%")) < 30 and tiles["Tried"] == "12 times"
    candidates = page.dataframe[0].value
    assert candidates["model"].str.startswith("★").sum() == 1
    assert (candidates["reason"].str.contains("seen three times")).any()
    assert page.dataframe[1].value["horizon"].tolist() == ["1 d"]


def test_a_limit_far_beyond_leaves_the_picture_readable(made: int, open_page: Callable) -> None:
    for limit, far in (("9000k", True), ("90", False)):
        page = open_page(PAGE, Role.VIEWER, {"limit": limit})
        spec = json.loads(page.get("plotly_chart")[0].proto.spec)
        assert ("The limit lies far beyond the picture" in words(page)) is far
        assert ("range" in spec["layout"]["yaxis"]) is far
        assert not far or spec["layout"]["yaxis"]["range"][1] < 1000


@pytest.mark.parametrize(
    ("limit", "side", "expected"),
    [
        ("65", "", "It goes above 65 around 2026-03-1"),
        ("35", "below", "It falls below 35 around"),
        ("500", "", "Not within the horizon"),
        ("40", "above", "already beyond 40"),
        ("soon", "", "write a number"),
    ],
)
def test_limit_is_answered(made: int, open_page: Callable, limit: str, side: str, expected: str) -> None:
    query = {"limit": limit} | ({"side": side} if side else {})
    page = open_page(PAGE, Role.VIEWER, query)
    assert not page.exception
    assert expected in words(page)
    assert len(page.get("plotly_chart")) == 1


def test_button_makes_a_forecast_of_what_is_chosen(app: App, open_page: Callable) -> None:
    (series_id,) = fill(app)
    page = open_page(PAGE, Role.ANALYST, {"horizon": "6h", "country": "Germany"})
    page.button(key="forecast_make").click().run()
    assert not page.exception
    task = app.forecasting.last_task(ANALYST, series_id)
    assert (task.params["horizon_s"], task.params["country"], task.params["prophet"]) == (21_600, "DE", True)
    assert "waiting for a free place" in str(page.get("progress")[0].proto)


def test_daily_forecast_is_kept_listed_and_dropped(made: int, app: App, open_page: Callable) -> None:
    page = open_page(PAGE, Role.ANALYST, {"horizon": "3d"})
    page.button(key="forecast_keep").click().run()
    assert not page.exception
    ((row, _),) = app.forecasting.standing(ANALYST)
    assert row.asked["horizon_s"] == 3 * 86_400
    assert "queue_depth" in str(page.dataframe[-1].value["series"].tolist())
    page.button(key="forecast_drop").click().run()
    assert not page.exception
    assert app.forecasting.standing(ANALYST) == []


def test_forecast_that_is_removed_is_gone_from_the_page(made: int, app: App, open_page: Callable) -> None:
    page = open_page(PAGE, Role.ANALYST)
    page.button(key="forecast_remove").click().run()
    assert not page.exception
    assert app.forecasting.made(ANALYST, made) == []
    assert "press Forecast" in words(page)


def test_why_the_last_one_failed_is_said(app: App, open_page: Callable) -> None:
    ts = np.array([to_ms(app.clock()) - 1000])
    app.samples.append(1, [Block("one_sample", {"instance": "a"}, ts, np.ones(1))])
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    task = app.forecasting.forecast(ANALYST, metric="one_sample")
    assert app.runner.wait(task.id, 60).status == TaskStatus.FAILED
    page = open_page(PAGE, Role.ANALYST, {"metric": "one_sample"})
    assert not page.exception
    assert "one sample" in words(page) and "No forecast of this series yet" in str([i.proto for i in page.info])


def test_metric_of_very_many_series_lists_some_and_says_so(app: App, open_page: Callable, monkeypatch) -> None:
    monkeypatch.setattr(controls, "MOST_OPTIONS", 5)
    fill(app, "wide", days=0.1, hosts=tuple(f"h{i}" for i in range(9)))
    page = open_page(PAGE, Role.ANALYST)
    assert not page.exception
    assert "first 5 of 9 series" in words(page)
    assert len(page.selectbox(key="series").options) == 5


def test_earlier_forecast_is_opened_by_its_number_and_a_stranger_number_is_not(
    made: int, app: App, open_page: Callable, clock
) -> None:
    first = app.forecasting.latest(ANALYST, made)
    clock.advance(hours=1)
    task = app.forecasting.forecast(ANALYST, [made], horizon=timedelta(hours=6), prophet=False)
    assert app.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
    assert "Forecast of 6 h" in words(open_page(PAGE, Role.VIEWER))
    assert "Forecast of 1 d" in words(open_page(PAGE, Role.VIEWER, {"forecast": str(first.id)}))
    for odd in ("999", "x", "١"):
        assert "Forecast of 6 h" in words(open_page(PAGE, Role.VIEWER, {"forecast": odd}))


def test_hostile_names_do_nothing(app: App, open_page: Callable) -> None:
    (series_id,) = fill(app, "queue_depth", hosts=("<img src=x onerror=alert(1)>[a](http://b)",))
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    task = app.forecasting.forecast(ANALYST, [series_id], prophet=False)
    app.runner.wait(task.id, 60)
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    for part in (*page.markdown, *page.caption, *page.subheader):
        assert "](http" not in part.value and "<img" not in part.value
