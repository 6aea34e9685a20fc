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
    assert len(page.get("plotly_chart")) == 1
    table = page.dataframe[0].value
    assert {"severity", "start", "lasted", "host", "what", "actual", "expected", "confidence"} == set(table.columns)
    assert table["severity"].str.match(r"[◆▲●○] ").all()
    assert "As of 2026" in words(page)


def test_link_opens_its_anomaly_whatever_the_range(found: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.VIEWER, query={"anomaly": str(found), "range": "15m"})
    assert not page.exception
    assert len(page.get("plotly_chart")) == 1
    assert "Nothing unusual" in [i.proto.title for i in page.info]


@pytest.mark.parametrize("number", ["999999", "abc", "-1", "1e9", "9" * 40, "<b>1</b>"])
def test_link_to_nothing_is_said_and_breaks_nothing(found: int, open_page: Callable, number: str) -> None:
    page = open_page(PAGE, role=Role.VIEWER, query={"anomaly": number})
    assert not page.exception


def test_only_who_may_train_sees_the_button(found: int, open_page: Callable) -> None:
    for role in (Role.VIEWER, "guest"):
        page = open_page(PAGE, role=role)
        assert not page.exception
        assert not [b for b in page.button if b.label == "Train"]
    page = open_page(PAGE, role=Role.ANALYST)
    assert [b for b in page.button if b.label == "Train"]


def test_train_button_queues_training_and_progress_shows(app: App, open_page: Callable) -> None:
    source_id = store(app)
    page = open_page(PAGE, role=Role.ANALYST)
    assert "No detector yet" in str([i.proto for i in page.info])
    next(b for b in page.button if b.label == "Train").click().run()
    assert not page.exception
    (task,) = app.detection.training.tasks(source_id)
    assert task.status == TaskStatus.PENDING
    assert "Learning what is normal" in str([i.proto for i in page.info])


def test_nothing_collected_yet_names_the_next_step(open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.VIEWER)
    assert not page.exception
    assert "Nothing collected yet" in str([i.proto for i in page.info])


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
