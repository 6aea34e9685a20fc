from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.tables import Source, SourceKind, TaskStatus
from lib.frames import Block, Window, to_ms
from lib.settings import TaskMode

PAGE = "pages/observe/anomalies.py"
ANALYST = Actor("ann", Role.ANALYST)


def store(app: App, host: str = "web-01", days: float = 4) -> int:
    with app.database.session() as session:
        source = Source(name="prod", kind=SourceKind.PROMETHEUS)
        session.add(source)
    rng = np.random.default_rng(0)
    n = int(days * 288)
    ts = to_ms(app.clock()) - 300_000 * np.arange(n, 0, -1, dtype=np.int64)
    load, queue = 2 + rng.normal(0, 0.1, n), 10 + rng.normal(0, 1, n)
    load[-100:-88] += 8
    queue[-100:-88] += 60
    named = (("node_load1", load), ("queue_depth", queue), ("node_memory_Cached_bytes", 4e9 + rng.normal(0, 1e7, n)))
    assert source.id is not None
    app.samples.append(source.id, [Block(metric, {"instance": host}, ts, value) for metric, value in named])
    return source.id


@pytest.fixture
def found(app: App) -> int:
    """A host with a detector and an anomaly eight hours ago; the anomaly's number."""
    source_id = store(app)
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    task = app.detection.train(ANALYST, source_id, "web-01")
    assert app.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
    frame = app.detection.anomalies(ANALYST, Window.last(timedelta(days=7), app.clock()))
    return int(frame.sort_values("score")["id"].iloc[-1])


def words(page) -> str:
    return " ".join(str(e.value) for e in [*page.markdown, *page.caption, *page.info, *page.warning])


def test_anomaly_is_shown_with_its_sentence_its_chart_and_the_table(found: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.VIEWER)
    assert not page.exception
    assert "was expected" in words(page).replace("\\", "")
    assert len(page.get("plotly_chart")) == 2  # the lanes, and the quantity over time
    table = page.dataframe[0].value
    columns = {"severity", "start", "lasted", "host", "what", "actual", "expected", "confidence", "label"}
    assert columns == set(table.columns)
    assert table["severity"].str.match(r"[◆▲●○] ").all()
    assert "As of 2026" in words(page)


def test_link_opens_its_anomaly_whatever_the_range(found: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.VIEWER, query={"anomaly": str(found), "range": "15m"})
    assert not page.exception
    assert page.get("plotly_chart")
    assert "Nothing unusual" in [i.proto.title for i in page.info]


@pytest.mark.parametrize("number", ["999999", "abc", "-1", "1e9", "9" * 40, "<b>1</b>"])
def test_link_to_nothing_is_said_and_breaks_nothing(found: int, open_page: Callable, number: str) -> None:
    page = open_page(PAGE, role=Role.VIEWER, query={"anomaly": number})
    assert not page.exception


def test_reasons_events_and_other_hosts_stand_beside_the_chart(found: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.VIEWER)
    shown = words(page)
    assert "What the forest saw" in shown and "What happened nearby" in shown
    assert "No other host was unusual" in shown
    assert page.get("progress")


def test_only_who_may_label_sees_the_buttons(found: int, open_page: Callable) -> None:
    for role in (Role.VIEWER, "guest"):
        page = open_page(PAGE, role=role)
        assert not page.exception
        assert not [b for b in page.button if b.key.startswith("label_")]
        assert not [c for table in page.dataframe for c in table.value.columns if c.startswith("say_")]
    page = open_page(PAGE, role=Role.ANALYST)
    assert {b.key for b in page.button} >= {"label_real", "label_false", "label_expected"}
    assert {"say_real", "say_false", "say_expected"} <= set(page.dataframe[0].value.columns)


def test_one_click_labels_and_the_same_click_takes_it_back(app: App, found: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.ANALYST, query={"anomaly": str(found)})
    page.button(key="label_false").click().run()
    assert not page.exception
    assert app.detection.anomaly(ANALYST, found)["verdict"] == "false"
    assert "analyst called it false" in words(page).replace("\\", "")
    page.button(key="label_false").click().run()
    assert app.detection.anomaly(ANALYST, found)["verdict"] == ""


def test_muted_anomaly_is_hidden_until_asked_for(app: App, found: int, open_page: Callable) -> None:
    one = app.detection.anomaly(ANALYST, found)
    start = one["start_ts"] - timedelta(hours=1)
    app.detection.annotations.add(ANALYST, "maintenance", start, start + timedelta(hours=2), text="<i>disks</i>")
    many = len(open_page(PAGE, role=Role.VIEWER, query={"muted": "true"}).dataframe[0].value)
    page = open_page(PAGE, role=Role.VIEWER)
    assert not page.exception
    assert (len(page.dataframe[0].value) if page.dataframe else 0) == many - 1
    page = open_page(PAGE, role=Role.VIEWER, query={"anomaly": str(found)})
    assert "Muted, maintenance" in words(page).replace("\\", "")
    assert "<i>" not in page.get("plotly_chart")[1].proto.spec


def test_host_filter_can_be_left_again(found: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.VIEWER, query={"host": "web-01", "range": "30d"})
    page.button(key="widen").click().run()
    assert not page.exception
    assert page.selectbox(key="host").value is None


def test_nothing_collected_yet_names_the_next_step(open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.VIEWER)
    assert not page.exception
    assert "Nothing collected yet" in str([i.proto for i in page.info])


def test_a_host_nobody_watches_is_not_called_usual(found: int, app: App, open_page: Callable) -> None:
    ts = to_ms(app.clock()) - 300_000 * np.arange(9, 0, -1, dtype=np.int64)
    app.samples.append(1, [Block("node_load1", {"instance": "new-01"}, ts, np.ones(9))])
    page = open_page(PAGE, role=Role.VIEWER, query={"host": "new-01"})
    assert not page.exception
    assert [i.proto.title.replace("\\", "") for i in page.info] == ["No detector for new-01 yet"]


def test_stranger_is_refused(found: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=None)
    assert page.error
    assert not page.dataframe
    assert not page.get("plotly_chart")


def test_host_name_with_markup_stays_text(app: App, open_page: Callable) -> None:
    host = "<img src=x onerror=alert(1)> **bold** $x$ :smile:"
    source_id = store(app, host)
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    task = app.detection.train(ANALYST, source_id, host)
    assert app.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
    page = open_page(PAGE, role=Role.VIEWER)
    assert not page.exception
    shown = [m.value for m in page.markdown]
    assert not any("**bold**" in text for text in shown)
    assert "<img" not in page.get("plotly_chart")[0].proto.spec


def test_severity_filter_narrows_the_table(found: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.VIEWER)
    severities = set(page.dataframe[0].value["severity"].str[2:])
    other = next(s for s in ("critical", "major", "minor", "warning") if s not in severities)
    page = open_page(PAGE, role=Role.VIEWER, query={"severity": other})
    assert not page.exception
    assert "Nothing unusual" in [i.proto.title for i in page.info]


@pytest.mark.parametrize(
    ("first", "last"), [("2031-01-01T00:00", "2031-01-02T00:00"), ("2025-12-01T00:00", "2025-12-02T00:00")]
)
def test_a_time_nobody_watched_is_not_called_usual(found: int, open_page: Callable, first: str, last: str) -> None:
    page = open_page(PAGE, role=Role.VIEWER, query={"range": "custom", "range_from": first, "range_to": last})
    assert not page.exception and [i.proto.title for i in page.info] == ["Nothing to look at"]
    assert f"No samples from {first[:4]}" in page.info[0].value.replace("\\", "")
