from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.tables import TaskStatus
from lib.frames import Block, Window, to_ms
from lib.settings import TaskMode
from tests.pages.test_anomalies import store, words

PAGE = "pages/learn/detectors.py"
ANALYST = Actor("ann", Role.ANALYST)
PARTS = ("Training", "Threshold", "Labels", "Backtest", "Tuning", "Marks")


@pytest.fixture
def trained(app: App) -> int:
    """A host with a detector; its source."""
    source_id = store(app)
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    task = app.detection.train(ANALYST, source_id, "web-01")
    assert app.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
    return source_id


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST])
def test_each_part_opens_for_each_role(trained: int, open_page: Callable, part: str, role: Role) -> None:
    page = open_page(PAGE, role=role, query={"detector_part": part})
    assert not page.exception
    assert not page.error
    assert "As of 2026" in words(page)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_opens_before_anything_was_trained_or_stored(app: App, open_page: Callable, part: str) -> None:
    page = open_page(PAGE, role=Role.ANALYST, query={"detector_part": part})
    assert not page.exception
    assert "Nothing collected yet" in str([i.proto for i in page.info])
    store(app)
    page = open_page(PAGE, role=Role.ANALYST, query={"detector_part": part})
    assert not page.exception
    if part != "Marks":
        assert "No detector yet" in str([i.proto for i in page.info])


def test_the_page_opens_with_a_host_that_is_watched(app: App, trained: int, open_page: Callable) -> None:
    ts = to_ms(app.clock()) - 60_000 * np.arange(10, 0, -1, dtype=np.int64)
    app.samples.append(trained, [Block("node_load1", {"instance": "aaa-first"}, ts, np.ones(10))])
    page = open_page(PAGE, role=Role.VIEWER)
    assert page.selectbox(key="detector").options[0].startswith("aaa-first")
    assert page.selectbox(key="detector").value.startswith("web-01")
    assert [one.label for one in page.metric][:1] == ["Version"]


def test_stranger_is_refused(trained: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=None)
    assert page.error
    assert not page.dataframe


def test_what_it_cannot_know_yet_is_said(trained: int, open_page: Callable) -> None:
    said = words(open_page(PAGE, role=Role.VIEWER))
    assert "weekends are told from weekdays from 14 days on" in said.replace("\\", "")


def test_train_form_hands_on_what_was_chosen(app: App, trained: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.ANALYST)
    page.selectbox(key="train_direction").select("above")
    page.selectbox(key="train_missing").select("signal")
    page.number_input(key="train_trees").set_value(60)
    page.button(key="train").click().run()
    assert not page.exception
    task = next(iter(app.detection.training.tasks(trained)))
    assert app.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
    row = app.detection.scoring.active(trained)[0]
    options = app.detection.card(ANALYST, row.id or 0).options
    assert (options.direction, options.missing, options.trees) == ("above", "signal", 60)
    # And the next training keeps to it.
    task = app.detection.train(ANALYST, trained, "web-01")
    assert app.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
    assert app.detection.card(ANALYST, app.detection.scoring.active(trained)[0].id or 0).options == options


def test_viewer_sees_the_form_but_cannot_train(trained: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.VIEWER)
    assert page.button(key="train").disabled


def test_threshold_is_tried_then_used(app: App, trained: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.ANALYST, query={"detector_part": "Threshold"})
    assert page.button(key="threshold_use").disabled  # it is in force already
    page.slider[0].set_value(6.0).run()
    assert not page.exception
    (metric,) = [m for m in page.metric if m.label == "Alerts a week"]
    assert float(metric.value) >= 0
    page.button(key="threshold_use").click().run()
    assert not page.exception
    assert app.detection.scoring.active(trained)[0].params["rule"]["open_at"] == 6.0


def test_viewer_may_try_a_threshold_but_not_use_it(trained: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.VIEWER, query={"detector_part": "Threshold"})
    page.slider[0].set_value(5.0).run()
    assert not page.exception
    assert page.button(key="threshold_use").disabled


def test_labels_are_listed_with_who_and_can_train_again(app: App, trained: int, open_page: Callable) -> None:
    found = app.detection.anomalies(ANALYST, Window.last(timedelta(days=7), app.clock()))
    app.detection.labels.give(ANALYST, int(found["id"].iloc[0]), "real", "<b>full</b>")
    page = open_page(PAGE, role=Role.ANALYST, query={"detector_part": "Labels"})
    assert "Too few labels" in str([i.proto for i in page.info])
    table = page.dataframe[0].value
    assert table["by"].tolist() == ["ann"] and table["label"].tolist() == ["✓ real"]
    before = len(app.detection.training.tasks(trained))
    page.button(key="labels_train").click().run()
    assert not page.exception
    assert len(app.detection.training.tasks(trained)) == before + 1


def test_mark_is_added_listed_and_a_senseless_one_refused(app: App, trained: int, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.ANALYST, query={"detector_part": "Marks"})
    page.button(key="mark_add").click().run()
    assert "needs an end" in page.error[0].value.replace("\\", "")
    page.selectbox(key="mark_kind").select("deploy")
    page.text_input(key="mark_text").set_value("shop <b>4.2</b>")
    page.button(key="mark_add").click().run()
    assert not page.exception and not page.error
    (mark,) = app.detection.annotations.all(ANALYST)
    assert (mark.kind, mark.text, mark.created_by) == ("deploy", "shop <b>4.2</b>", "analyst")
    assert page.dataframe[0].value["text"].tolist() == ["shop <b>4.2</b>"]


def test_viewer_reads_marks_and_is_told_what_marking_takes(app: App, trained: int, open_page: Callable) -> None:
    app.detection.annotations.add(ANALYST, "note", app.clock(), text="hello")
    page = open_page(PAGE, role=Role.VIEWER, query={"detector_part": "Marks"})
    assert page.dataframe[0].value["text"].tolist() == ["hello"]
    assert "remove" not in page.dataframe[0].value
    assert "takes the role analyst" in words(page)
