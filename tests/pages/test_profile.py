from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.frames import Block, to_ms
from lib.settings import TaskMode

ANALYST = Actor("analyst", Role.ANALYST)

PAGE = "pages/observe/profile.py"


def fill(app: App, behind_s: float = 1) -> None:
    count = 5 * 24 * 12
    ts_ms = to_ms(app.clock()) - np.arange(count)[::-1] * 300_000 - int(behind_s * 1000)
    wave, rng = np.sin(ts_ms / 86_400_000 * 2 * np.pi), np.random.default_rng(1)
    for host in ("web-1", "web-2"):
        value = 3 + wave + rng.normal(0, 0.05, count)
        app.samples.append(1, [Block("node_load1", {"instance": host, "job": "node"}, ts_ms, value)])


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
    assert page.dataframe[1].value["label"].tolist() == ["instance"]
    assert page.code[0].value == 'job="node"'


def test_metric_shows_values_series_and_what_moves_together(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, Role.VIEWER)
    tiles = {one.label: one.value for one in page.metric}
    assert (tiles["Mean"], tiles["Missing"]) == ("3", "0.0%")
    tables = [one.value for one in page.dataframe]
    assert tables[0]["share"].tolist() == ["0%", "1%", "5%", "25%", "50%", "75%", "95%", "99%", "100%"]
    (series,) = [table for table in tables if "daily" in table]
    assert series["series"].tolist() == ["web-1", "web-2"] and series["state"].tolist() == ["✓ alive"] * 2
    (related,) = [table for table in tables if "pearson" in table]
    assert related["pearson"].item() > 0.9
    assert len(page.get("plotly_chart")) == 1
    one = open_page(PAGE, Role.VIEWER, {"host": "web-2"})
    assert {tile.label: tile.value for tile in one.metric}["Series"] == "1", "of the host that was chosen"


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


# --- hosts ----------------------------------------------------------------------------------------


def test_host_shows_its_series_and_what_is_worth_predicting(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, "guest", {"profile_of": "Host", "profile_host": "web-2"})
    assert not page.exception
    assert page.subheader[0].value == "web\\-2"
    assert {one.label: one.value for one in page.metric}["Series"] == "1"
    assert page.dataframe[0].value["series"].tolist() == ["node_load1 web-2"]
    assert any("Most worth predicting" in str(one.proto) for one in page.info)


def test_host_without_samples_in_the_range_says_what_to_do(app: App, open_page: Callable) -> None:
    fill(app)
    query = {"host_span": "custom", "host_span_from": "2025-01-01T00:00", "host_span_to": "2025-01-02T00:00"}
    page = open_page(PAGE, Role.VIEWER, {"profile_of": "Host", **query})
    assert not page.exception
    assert "Widen the range" in page.warning[0].value


def test_every_profile_can_be_taken_along(app: App, open_page: Callable) -> None:
    fill(app)
    for query in ({}, {"host": "web-1", "series": "node_load1 web-1"}, {"profile_of": "Host"}):
        page = open_page(PAGE, Role.VIEWER, query)
        assert not page.exception
        assert [one.proto.label for one in page.get("download_button")] == ["JSON", "HTML"]


# --- files ----------------------------------------------------------------------------------------

FILE = {"profile_of": "File"}
CSV = b"day,shop,price,<b>note\n" + b"".join(
    b"2026-01-%02d,%s,%d.5,=1+1 <script>alert(1)</script>\n" % (i % 28 + 1, b"ab"[i % 2 : i % 2 + 1], i % 17)
    for i in range(300)
)


@pytest.fixture
def at_work(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    return app


def upload(page: AppTest, name: str, body: bytes, app: App) -> AppTest:
    page.file_uploader[0].set_value((name, body, "application/octet-stream"))
    page.button(key="table_send").click().run()
    last = app.tables.last(ANALYST)
    if last is None:
        return page
    app.runner.wait(last.id or 0, 60)
    return page.run()


def test_file_is_uploaded_and_its_profile_shown(at_work: App, open_page: Callable) -> None:
    page = upload(open_page(PAGE, Role.ANALYST, FILE), "a [1](http:x).csv", CSV, at_work)
    assert not page.exception
    assert not page.error
    assert {one.label: one.value for one in page.metric}["Rows"] == "300"
    assert page.dataframe[0].value["column"].tolist() == ["day", "shop", "price", "<b>note"]
    assert page.subheader[0].value.startswith("a \\[1\\]\\(http")
    assert len(page.get("plotly_chart")) == 1
    assert [one.proto.label for one in page.get("download_button")] == ["JSON", "HTML"]
    page.button(key="table_remove").click().run()
    assert "No file profiled yet" in str([one.proto for one in page.info])


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", bytes(range(256)) * 9, "bytes that no text has"),
        ("a.parquet", CSV, "no Parquet file"),
    ],
)
def test_file_that_is_no_table_is_refused_in_words(
    at_work: App, open_page: Callable, name: str, body: bytes, words: str
) -> None:
    page = upload(open_page(PAGE, Role.ANALYST, FILE), name, body, at_work)
    assert not page.exception
    assert words in str([*(one.value for one in page.error), *(one.value for one in page.warning)])
    assert at_work.tables.list(ANALYST) == []


def test_each_column_of_a_file_can_be_looked_at(at_work: App, open_page: Callable) -> None:
    page = upload(open_page(PAGE, Role.ANALYST, FILE), "a.csv", CSV, at_work)
    for name in ("day", "shop", "price", "<b>note"):
        page = open_page(PAGE, Role.VIEWER, {**FILE, "table_column": name})
        assert not page.exception, name
        assert page.get("plotly_chart"), name


def test_file_on_the_server_can_be_picked(at_work: App, open_page: Callable) -> None:
    at_work.tables.files.mkdir(parents=True)
    (at_work.tables.files / "here.csv").write_bytes(CSV)
    page = open_page(PAGE, Role.ANALYST, FILE)
    page.button(key="table_pick").click().run()
    last = at_work.tables.last(ANALYST)
    assert last is not None
    at_work.runner.wait(last.id or 0, 60)
    page.run()
    assert page.subheader[0].value == "here\\.csv"


def test_running_profile_shows_how_far_it_is(app: App, open_page: Callable) -> None:
    app.tables.upload(ANALYST, "a.csv", io.BytesIO(CSV))  # nothing works on it: the runner was not started
    page = open_page(PAGE, Role.ANALYST, FILE)
    assert not page.exception
    assert "waiting for a free place" in str(page.get("progress")[0].proto)
    assert not page.file_uploader


def test_viewer_reads_files_and_brings_none_and_a_guest_does_neither(at_work: App, open_page: Callable) -> None:
    upload(open_page(PAGE, Role.ANALYST, FILE), "a.csv", CSV, at_work)
    page = open_page(PAGE, Role.VIEWER, FILE)
    assert page.dataframe
    assert page.file_uploader[0].proto.disabled
    assert page.button(key="table_send").disabled
    page = open_page(PAGE, "guest", FILE)
    assert not page.exception
    assert not page.dataframe
    assert "Sign in" in page.info[0].value
