from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from lib.app import App
from lib.auth.actor import SYSTEM, Role
from lib.errors import StoreError
from lib.frames import Block, to_ms
from lib.store.findings import Anomaly, Findings
from lib.ui.text import plain

PAGE = "pages/observe/explore.py"
HOSTILE = "<img src=x onerror=alert(1)> **b** [x](http://evil.example) %{y} =1+1"


def fill(app: App, hosts: tuple[str, ...] = ("web-1", "web-2"), count: int = 300) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(count)[::-1] * 60_000 - 1000
    blocks = []
    for number, host in enumerate(hosts):
        labels = {"instance": host, "job": "node"}
        blocks.append(Block("node_load1", labels, ts_ms, np.sin(np.arange(count)) + number))
        for cpu in ("0", "1"):
            blocks.append(Block("node_cpu_seconds_total", {**labels, "cpu": cpu}, ts_ms, np.arange(count) * 30.0))
    app.samples.append(1, blocks)


def chart(page) -> dict:
    return json.loads(page.get("plotly_chart")[0].proto.spec)


def names(page) -> list[str]:
    return [trace["name"] for trace in chart(page)["data"] if trace["mode"] == "lines"]


def said(page) -> str:
    """The line under the chart."""
    return next(one.value for one in page.caption if "As of" in one.value)


def test_stranger_is_sent_to_sign_in(open_page: Callable) -> None:
    page = open_page(PAGE)
    assert "Sign in" in page.error[0].value
    assert not page.title


def test_empty_store_names_the_next_step(open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "Connect your Prometheus" in page.info[0].value


def test_guest_sees_a_chart_numbers_and_when_they_are_from(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, "guest")
    assert not page.exception
    assert page.selectbox(key="metric").value == "node_load1"
    assert names(page) == ["web-1", "web-2"]
    table = page.dataframe[0].value
    assert table["series"].tolist() == ["web-1", "web-2"]
    assert table["count"].tolist() == [300, 300]
    assert "As of 2026-03-14 12:00:00 UTC" in said(page)


def test_link_restores_metric_host_labels_and_range(app: App, open_page: Callable) -> None:
    fill(app)
    query = {"metric": "node_cpu_seconds_total", "host": "web-2", "label": "cpu=1", "range": "1h"}
    page = open_page(PAGE, Role.VIEWER, query)
    assert page.multiselect(key="label").value == ["cpu=1"]
    assert len(names(page)) == 1
    assert page.dataframe[0].value["count"].tolist() == [59]
    assert "rate per second" in said(page)
    assert chart(page)["layout"]["yaxis"]["tickformat"] == "~%"


def test_changing_the_metric_drops_labels_it_does_not_have(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, Role.VIEWER, {"metric": "node_cpu_seconds_total", "label": "cpu=1"})
    page.selectbox(key="metric").set_value("node_load1").run()
    assert not page.exception
    assert page.multiselect(key="label").value == []
    assert names(page) == ["web-1", "web-2"]


def test_thousands_of_series_are_capped_with_a_word(app: App, open_page: Callable) -> None:
    ts_ms = np.array([to_ms(app.clock()) - 1000])
    app.samples.append(1, [Block("many", {"id": f"{n:04}"}, ts_ms, np.ones(1)) for n in range(2000)])
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "Showing 12 of 2,000 series" in page.info[0].value
    page.multiselect(key="label").set_value(["id=1999"]).run()
    assert not page.exception
    assert len(page.dataframe[0].value) == 1


def test_range_without_samples_says_what_to_do(app: App, open_page: Callable) -> None:
    fill(app)
    query = {"range": "custom", "range_from": "2025-01-01T00:00", "range_to": "2025-01-02T00:00"}
    page = open_page(PAGE, Role.VIEWER, query)
    assert not page.exception
    assert "Choose a longer range" in page.info[0].value
    assert not page.get("plotly_chart")


@pytest.mark.parametrize(
    ("metric", "value", "why"),
    [("load", [np.nan, np.inf, np.nan], "are no numbers"), ("hits_total", [5.0], "A rate takes two samples")],
)
def test_samples_that_make_no_line_say_why(
    app: App, open_page: Callable, metric: str, value: list[float], why: str
) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(len(value))[::-1] * 60_000 - 1000
    app.samples.append(1, [Block(metric, {}, ts_ms, np.array(value))])
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert why in page.info[0].value


def test_anomalies_of_the_series_are_marked(app: App, open_page: Callable) -> None:
    fill(app)
    load = app.samples.find(metric="node_load1", host="web-1")[0].id
    moment = app.clock() - timedelta(hours=1)
    explanation = {"sentence": "Load on web-1 was odd.", "contributors": [{"series_ids": [load]}]}
    found = Anomaly(1, 1, "web-1", moment, moment, 9.0, 0.99, "major", explanation, series_id=load)
    Findings(app.store).save_anomalies([found])
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert len(chart(page)["layout"]["shapes"]) == 1
    assert any("1 anomaly marked" in one.value for one in page.markdown)
    page.selectbox(key="host").set_value("web-2").run()
    assert "shapes" not in chart(page)["layout"]


def test_hostile_labels_do_nothing(app: App, open_page: Callable) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(9)[::-1] * 60_000
    for path in (HOSTILE, "b"):
        app.samples.append(1, [Block("hits", {"path": path}, ts_ms, np.ones(9))])
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    spec = page.get("plotly_chart")[0].proto.spec
    assert "<img" not in spec and "%{y} =1" not in spec
    assert f"path={HOSTILE}" in page.dataframe[0].value["series"].tolist()


def test_failing_store_is_told_and_not_remembered(
    app: App, open_page: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(app)

    def broken(*args: object, **more: object) -> pd.DataFrame:
        raise StoreError("The data file does not answer; try again.")

    with monkeypatch.context() as patch:
        patch.setattr(app.exploration, "chart", broken)
        page = open_page(PAGE, Role.VIEWER)
        assert page.error[0].value == plain("The data file does not answer; try again.")
    page.run()
    assert not page.error
    assert page.get("plotly_chart")


def test_the_day_before_is_drawn_faint_under_the_same_hours(app: App, open_page: Callable) -> None:
    fill(app, ("web-1",), count=2000)
    page = open_page(PAGE, Role.VIEWER, {"range": "1h", "compare": "yesterday"})
    assert not page.exception
    today, before = [trace for trace in chart(page)["data"] if trace["mode"] == "lines" and not trace.get("fill")]
    assert before["name"] == "a day earlier"
    assert before["opacity"] < 1
    assert before["line"]["color"] == today["line"]["color"]
    assert "Faint and dotted: from 2026-03-13 11:00 UTC" in said(page)
    x = np.frombuffer(base64.b64decode(before["x"]["bdata"]))
    assert x[0] == pytest.approx(to_ms(app.clock()) - 3_600_000, abs=60_000)
    # The value of then, not of now: the sample 1,440 minutes before the first one of today.
    y = np.frombuffer(base64.b64decode(before["y"]["bdata"]))
    assert y[-1] == pytest.approx(np.sin(1999 - 1440))


def test_a_day_that_is_not_stored_is_said(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, Role.VIEWER, {"range": "1h", "compare": "last week"})
    assert not page.exception
    assert "Nothing is stored of the time to compare with" in said(page)


def test_marks_are_drawn_on_the_charts_they_are_about(app: App, open_page: Callable) -> None:
    fill(app)
    at = app.clock() - timedelta(hours=1)
    add = app.detection.annotations.add
    add(SYSTEM, "deploy", at, text=HOSTILE, host="web-1")
    add(SYSTEM, "maintenance", at, at + timedelta(minutes=20), text="disks", host="elsewhere")
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    layout = chart(page)["layout"]
    assert [one["type"] for one in layout["shapes"]] == ["line"]
    assert layout["annotations"][0]["text"].startswith("deploy: &lt;img")


def test_only_who_may_label_is_offered_to_mark(app: App, open_page: Callable) -> None:
    fill(app)
    assert "explore_mark" not in [one.key for one in open_page(PAGE, Role.VIEWER).button]
    page = open_page(PAGE, Role.ANALYST)
    page.button(key="explore_mark").click().run()
    assert not page.exception
    assert page.text_input(key="mark_text").label == "What it is"


def test_other_metrics_share_the_time_axis_a_panel_for_each_unit(app: App, open_page: Callable) -> None:
    fill(app)
    query = {"metric": "node_load1", "with": "node_cpu_seconds_total", "host": "web-1"}
    page = open_page(PAGE, Role.VIEWER, query)
    assert not page.exception
    below = json.loads(page.get("plotly_chart")[1].proto.spec)
    assert len([trace for trace in below["data"] if trace["mode"] == "lines"]) == 2
    assert below["layout"]["yaxis"]["tickformat"] == "~%"
    assert below["layout"]["xaxis"]["range"] == chart(page)["layout"]["xaxis"]["range"]


def test_a_label_gives_each_of_its_values_a_panel(app: App, open_page: Callable) -> None:
    fill(app)
    query = {"metric": "node_cpu_seconds_total", "split": "cpu", "with": "node_load1"}
    page = open_page(PAGE, Role.VIEWER, query)
    assert not page.exception
    split, below = (json.loads(one.proto.spec) for one in page.get("plotly_chart")[1:])
    assert [one["text"] for one in split["layout"]["annotations"]] == ["cpu=0", "cpu=1"]
    assert {trace["yaxis"] for trace in split["data"]} == {"y", "y2"}
    first, second = (split["layout"][name]["domain"] for name in ("yaxis", "yaxis2"))
    assert first[0] > second[1] > second[0] == 0.0
    assert [one["text"] for one in below["layout"]["annotations"]] == ["Load (1 min)"]


def test_a_link_to_a_metric_or_label_that_is_gone_shows_the_rest(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, Role.VIEWER, {"with": "no_such_metric", "split": "nothing", "compare": "never"})
    assert not page.exception
    assert len(page.get("plotly_chart")) == 1


def test_exports_stop_at_the_cap(app: App, open_page: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(app)
    page = open_page(PAGE, Role.VIEWER)
    assert [one.proto.disabled for one in page.get("download_button")] == [False, False, False]
    monkeypatch.setattr("lib.ui.explore_view.MAX_EXPORT_ROWS", 10)
    page = open_page(PAGE, Role.VIEWER)
    assert [one.proto.disabled for one in page.get("download_button")] == [True, True, False]


def test_metrics_of_one_unit_share_a_panel_fairly_and_what_is_left_out_is_said(app: App, open_page: Callable) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(30)[::-1] * 60_000 - 1000
    blocks = [
        Block(name, {"instance": f"h{number:02}"}, ts_ms, np.full(30, number * 2.0**30))
        for name in ("node_load1", "node_memory_MemFree_bytes", "node_memory_Cached_bytes")
        for number in range(14)
    ]
    app.samples.append(1, blocks)
    both = ["node_memory_MemFree_bytes", "node_memory_Cached_bytes"]
    page = open_page(PAGE, Role.VIEWER, query={"metric": "node_load1", "with": both})
    assert not page.exception
    panel = json.loads(page.get("plotly_chart")[1].proto.spec)
    drawn = [trace["name"] for trace in panel["data"] if trace["mode"] == "lines"]
    assert sum("MemFree" in name for name in drawn) == sum("Cached" in name for name in drawn) == 6
    told = next(one.value for one in page.caption if "Showing" in one.value)
    assert told.replace("\\", "").count("6 of 14 series of") == 2


def test_every_value_of_a_label_gets_its_panel_though_the_chart_shows_the_first_series(
    app: App, open_page: Callable
) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(30)[::-1] * 60_000 - 1000
    series = [{"instance": f"h{number:02}", "mode": mode} for number in range(13) for mode in ("idle", "user")]
    app.samples.append(1, [Block("busy", labels, ts_ms, np.ones(30)) for labels in series])
    page = open_page(PAGE, Role.VIEWER, query={"metric": "busy", "split": "mode"})
    assert not page.exception
    panel = json.loads(page.get("plotly_chart")[1].proto.spec)
    assert [note["text"] for note in panel["layout"]["annotations"]][:2] == ["mode=idle", "mode=user"]
    assert any("at most 12 of up to 13 series a panel" in one.value for one in page.caption)


def test_the_way_to_what_changed_takes_the_time_and_host_along(
    app: App, open_page: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(app)
    taken: dict[str, dict] = {}
    monkeypatch.setattr("lib.ui.links.to", lambda page, label, *, query=None, **_: taken.update({label: query}))
    custom = {"range": "custom", "range_from": "2026-03-14T10:00", "range_to": "2026-03-14T11:00"}
    for chosen in ({"range": "6h"}, custom):
        page = open_page(PAGE, Role.VIEWER, query={"metric": "node_load1", "host": "web-1", **chosen})
        assert not page.exception
        assert taken["What changed?"] == {**chosen, "host": "web-1"}
