from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lib.app import App
from lib.auth.actor import Role
from lib.frames import Block, to_ms

PAGE = "pages/observe/profile.py"


def fill(app: App, behind_s: float = 1) -> None:
    count = 5 * 24 * 12
    ts_ms = to_ms(app.clock()) - np.arange(count)[::-1] * 300_000 - int(behind_s * 1000)
    wave = np.sin(ts_ms / 86_400_000 * 2 * np.pi)
    for host in ("web-1", "web-2"):
        app.samples.append(1, [Block("node_load1", {"instance": host, "job": "node"}, ts_ms, 3 + wave)])


def test_stranger_is_sent_to_sign_in(open_page: Callable) -> None:
    page = open_page(PAGE)
    assert "Sign in" in page.error[0].value


def test_empty_store_names_the_next_step(open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "Connect your Prometheus" in page.info[0].value


def test_metric_comes_with_its_labels_and_says_it_is_well(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, "guest")
    assert not page.exception
    assert "Nothing stands out" in page.success[0].value
    assert {one.label: one.value for one in page.metric}["Series"] == "2"
    assert page.dataframe[0].value["label"].tolist() == ["instance"]
    assert page.code[0].value == 'job="node"'


def test_silent_metric_says_so_first(app: App, open_page: Callable) -> None:
    fill(app, behind_s=3 * 3600)
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "Sources page" in page.error[0].value


def test_series_is_shown_with_histogram_and_usual_day(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, Role.VIEWER, {"host": "web-1", "series": "node_load1 web-1"})
    assert not page.exception
    assert len(page.get("plotly_chart")) == 2
    tiles = {one.label: one.value for one in page.metric}
    assert tiles["Interval"] == "5 min"
    assert float(tiles["Daily rhythm"].rstrip("%")) > 90
    assert tiles["Weekly rhythm"] == "too short"
    assert any("time of day explains" in one.value for one in page.markdown)


def test_range_without_samples_says_what_to_do(app: App, open_page: Callable) -> None:
    fill(app)
    query = {"span": "custom", "span_from": "2025-01-01T00:00", "span_to": "2025-01-02T00:00"}
    for choice in ({}, {"host": "web-1", "series": "node_load1 web-1"}):
        page = open_page(PAGE, Role.VIEWER, {**query, **choice})
        assert not page.exception
        assert "Widen the range" in page.warning[0].value


def test_every_kind_of_series_can_be_profiled(app: App, open_page: Callable) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(50)[::-1] * 60_000
    shapes = {
        "constant": np.ones(50),
        "nothing_but_nan": np.full(50, np.nan),
        "resets_total": np.arange(50) % 7.0,
        "huge": np.tile([-1.7e308, 1.7e308], 25),
    }
    for metric, value in shapes.items():
        app.samples.append(1, [Block(metric, {"instance": "web-1"}, ts_ms, value)])
    app.samples.append(1, [Block("single_total", {"instance": "web-1"}, ts_ms[:1], np.ones(1))])
    for metric in (*shapes, "single_total"):
        page = open_page(PAGE, Role.VIEWER, {"metric": metric, "series": f"{metric} web-1"})
        assert not page.exception, metric
        assert page.metric, metric
