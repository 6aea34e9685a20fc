from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import parity
from benchmarks.browser import free_port
from lib.app import App
from lib.auth.actor import SYSTEM, Role
from lib.db.tables import Source, SourceKind
from lib.frames import Block, to_ms
from lib.services.collection_sources import SourceDraft

PAGE = "pages/observe/explore.py"


def fill(app: App, count: int = 300) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(count)[::-1] * 60_000 - 1000
    blocks = [Block("hits_total", {"instance": host}, ts_ms, np.arange(count) * 60.0) for host in ("web-1", "web-2")]
    for path in ("/", "/slow"):
        for le, growth in (("0.1", 5.0), ("1", 10.0), ("+Inf", 10.0)):
            labels = {"path": path, "le": le, "instance": "web-1"}
            blocks.append(Block("wait_seconds_bucket", labels, ts_ms, np.arange(count) * growth))
    app.samples.append(1, blocks)


def chart(page, number: int = 0) -> dict:
    return json.loads(page.get("plotly_chart")[number].proto.spec)


def said(page) -> str:
    return next(one.value for one in page.caption if "As of" in one.value)


def test_a_function_of_the_link_is_drawn_with_its_expression(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, Role.VIEWER, {"metric": "hits_total", "fn": "increase", "over": "15m", "range": "1h"})
    assert not page.exception
    assert "increase\\(hits\\_total\\[15m\\]\\)" in said(page)
    assert page.dataframe[0].value["mean"].tolist() == pytest.approx([900.0, 900.0])
    assert "By the rules of Prometheus 3. " in said(page)
    app.evaluation.release_of = lambda source_id: "2.42.0+ds"
    page.run()
    assert "the source runs 2\\.42\\.0\\+ds" in said(page) and "`AUTOOPS_PROMQL_RELEASE=2`" in said(page)
    page.selectbox(key="fn").set_value(None).run()
    assert "rate per second" in said(page)


def test_a_histograms_quantile_is_offered_of_buckets_alone(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, Role.VIEWER, {"metric": "wait_seconds_bucket", "fn": "histogram_quantile", "q": "0.5"})
    assert not page.exception
    assert page.dataframe[0].value["mean"].tolist() == pytest.approx([0.1])
    page.multiselect(key="by").set_value(["path"]).run()
    assert page.dataframe[0].value["series"].tolist() == ["path=/", "path=/slow"]
    page.selectbox(key="metric").set_value("hits_total").run()
    assert not page.exception
    assert "histogram_quantile" not in page.selectbox(key="fn").options
    assert page.selectbox(key="fn").value is None


def test_comparing_and_splitting_follow_the_function(app: App, open_page: Callable) -> None:
    fill(app, 2000)
    query = {"metric": "hits_total", "fn": "increase", "over": "1h", "range": "1h", "compare": "yesterday"}
    page = open_page(PAGE, Role.VIEWER, {**query, "split": "instance"})
    assert not page.exception
    assert len([trace for trace in chart(page)["data"] if trace["mode"] == "lines"]) == 4
    assert [one["text"] for one in chart(page, 1)["layout"]["annotations"]] == ["instance=web-1", "instance=web-2"]


def test_a_window_without_values_says_what_to_do(app: App, open_page: Callable) -> None:
    fill(app, 3)
    page = open_page(PAGE, Role.VIEWER, {"metric": "hits_total", "fn": "rate", "over": "1m"})
    assert not page.exception
    assert "Choose a longer window" in page.info[0].value


def test_fifty_thousand_buckets_are_refused_with_words(app: App, open_page: Callable) -> None:
    ts_ms = np.array([to_ms(app.clock()) - 1000])
    blocks = [Block("wait_seconds_bucket", {"le": str(n)}, ts_ms, np.ones(1)) for n in range(50_000)]
    app.samples.append(1, blocks)
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "Showing 12 of 50,000 series" in page.info[0].value
    page.selectbox(key="fn").set_value("histogram_quantile").run()
    assert not page.exception
    assert "2,000 series and 50,000 were asked for" in page.error[0].value.replace("\\", "")


# --- PromQL ----------------------------------------------------------------------------------------


def test_promql_takes_the_role_analyst(app: App, open_page: Callable) -> None:
    for who in ("guest", Role.VIEWER):
        page = open_page(PAGE, who, {"mode": "PromQL"})
        assert not page.exception
        assert "takes the role analyst" in page.info[0].value
        assert not page.text_area


def test_without_a_server_the_page_says_which_sources_cannot_be_asked(app: App, open_page: Callable) -> None:
    with app.database.session() as session:
        session.add(Source(name="demo", kind=SourceKind.DEMO))
    page = open_page(PAGE, Role.ANALYST, {"mode": "PromQL"})
    assert not page.exception
    assert "Nothing to ask" in page.info[0].proto.title
    assert any("demo cannot be asked" in one.value for one in page.caption)


def test_a_link_fills_the_editor_and_asks_nothing(app: App, open_page: Callable) -> None:
    app.collection.add(SYSTEM, SourceDraft(name="gone", url=f"http://127.0.0.1:{free_port()}"))
    page = open_page(PAGE, Role.ANALYST, {"mode": "PromQL", "promql": "up"})
    assert not page.exception and not page.error
    assert page.text_area(key="promql").value == "up"
    page.button(key="promql_run").click().run()
    assert "connection refused" in page.error[0].value.replace("\\", "")


def test_run_takes_the_click_that_leaves_the_editor_and_says_when_there_is_nothing(
    app: App, open_page: Callable
) -> None:
    app.collection.add(SYSTEM, SourceDraft(name="gone", url=f"http://127.0.0.1:{free_port()}"))
    page = open_page(PAGE, Role.ANALYST, {"mode": "PromQL"})
    assert not page.button(key="promql_run").disabled
    page.button(key="promql_run").click().run()
    assert "Enter a PromQL expression" in page.error[0].value


def test_an_expression_is_answered_by_a_real_server(app: App, open_page: Callable, tmp_path: Path) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(240)[::-1] * 15_000
    given = [Block("hits_total", {"instance": host}, ts_ms, np.arange(240) * 15.0) for host in ("<b>a</b>", "b")]
    with parity.served(tmp_path, given) as url:
        app.collection.add(SYSTEM, SourceDraft(name="live", url=url))
        page = open_page(PAGE, Role.ANALYST, {"mode": "PromQL", "range": "1h", "promql": "rate(hits_total[5m])"})
        page.button(key="promql_run").click().run()
        assert not page.exception and not page.error
        assert "live answered in" in said(page) and "Not stored" in said(page)
        assert page.dataframe[0].value["last"].tolist() == pytest.approx([1.0, 1.0])
        assert "<b>" not in page.get("plotly_chart")[0].proto.spec
        assert len(page.get("download_button")) == 3
        page.text_area(key="promql").set_value("rate(hits_total[5m)").run()
        page.button(key="promql_run").click().run()
        assert "(line 1, column 19)" in page.error[0].value
        assert page.code[-1].value == "rate(hits_total[5m)\n                  ^"
    page.text_area(key="promql").set_value("up").run()
    assert not page.error, "nothing is asked before Run"


def test_wider_goes_back_from_a_span_and_the_address_follows(app: App, open_page: Callable) -> None:
    fill(app)
    query = {"range": "custom", "range_from": "2026-03-14T11:00", "range_to": "2026-03-14T11:30"}
    page = open_page(PAGE, Role.VIEWER, {"metric": "hits_total", **query})
    assert "explore_wider" not in [one.key for one in open_page(PAGE, Role.VIEWER, {"metric": "hits_total"}).button]
    page.button(key="explore_wider").click().run()
    assert not page.exception
    assert page.query_params["range_from"] == "2026-03-14T10:45"
    assert page.query_params["range_to"] == "2026-03-14T11:45"
    for _ in range(3):
        page.button(key="explore_wider").click().run()
    assert page.query_params["range_to"] == "2026-03-14T12:00", "never beyond now"
