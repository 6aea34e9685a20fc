from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.datasets.schema import Role as ColumnRole
from lib.frames import Block, to_ms
from lib.services.datasets import Dependant
from lib.settings import TaskMode
from tests.store.test_sheets import workbook
from tests.training.tables import churn

PAGE = "pages/learn/datasets.py"
ANN = Actor("analyst", Role.ANALYST)


@pytest.fixture
def ready(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    return app


def bring(app: App, body: bytes = b"n,word\n1,a\n2,b\n3,\n", name: str = "*bold*.csv") -> int:
    task = app.datasets.upload(ANN, name, io.BytesIO(body))
    return app.runner.wait(task.id or 0, 30).result.get("dataset", 0)


def test_strangers_and_guests_are_refused(open_page: Callable) -> None:
    for role in (None, "guest"):
        assert len(open_page(PAGE, role).error) == 1


def test_empty_page_names_the_next_step(open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception and "Bring a CSV" in page.info[0].value


def test_a_dataset_is_shown_with_its_rows_columns_and_versions(ready: App, open_page: Callable) -> None:
    number = bring(ready)
    page = open_page(PAGE, Role.VIEWER, {"dataset": str(number)})
    assert not page.exception
    assert {one.label: one.value for one in page.metric}["Rows"] == "3"
    assert page.dataframe[0].value["word"].tolist()[:2] == ["a", "b"]
    page.segmented_control(key="dataset_part").set_value("Versions").run()
    assert not page.exception and page.dataframe[0].value["number"].tolist() == [1]
    page.segmented_control(key="dataset_part").set_value("Columns").run()
    assert not page.exception and page.button(key="dataset_save").disabled


def test_a_file_that_was_refused_says_why(ready: App, open_page: Callable) -> None:
    bring(ready, b"\x89PNG\r\n\x1a\n\0\0", "a.csv")
    page = open_page(PAGE, Role.ANALYST)
    assert not page.exception and "PNG image" in page.error[0].value


def test_a_sheet_of_a_workbook_on_the_server_is_picked(ready: App, open_page: Callable) -> None:
    home = ready.settings.data_dir / "files"
    home.mkdir()
    rows = [["a", "b"], [1, 2], [3, 4]]
    (home / "two.xlsx").write_bytes(workbook(rows, Q3=[["c", "d", "e"], [1, 2, 3], [4, 5, 6]]))
    page = open_page(PAGE, Role.ANALYST)
    page.button(key="dataset_send").click().run()
    assert "Choose a file first" in page.warning[0].value
    page.selectbox(key="dataset_offered").set_value("two.xlsx")
    page.text_input(key="dataset_sheet").set_value("Q3")
    page.button(key="dataset_send").click().run()
    assert not page.exception and not page.error
    made = ready.runner.wait(ready.datasets.making(ANN).id or 0, 30)  # type: ignore[union-attr]
    assert made.result["columns"] == 3
    page.run()
    page.selectbox(key="dataset_offered").set_value("two.xlsx")
    page.file_uploader[0].set_value(("a.csv", b"a,b\n1,2\n", "text/csv"))
    page.button(key="dataset_send").click().run()
    assert "Choose one file" in page.warning[0].value


def test_deleting_names_what_depends_on_it(ready: App, open_page: Callable) -> None:
    number = bring(ready)
    ready.datasets.dependants.append(lambda _one: [Dependant("model", "churn")])
    page = open_page(PAGE, Role.ANALYST, {"dataset_part": "Delete"})
    assert not page.exception and "churn" in page.warning[0].value
    page.checkbox(key=f"dataset_sure_{number}").check().run()
    page.button(key="dataset_delete").click().run()
    assert not page.exception and ready.datasets.list(ANN) == []


def test_a_dataset_is_made_of_metrics(ready: App, open_page: Callable) -> None:
    ts_ms = to_ms(ready.clock()) - np.arange(600)[::-1] * 60_000
    ready.samples.append(1, [Block("node_load1", {"instance": "web-1"}, ts_ms, np.arange(600.0))])
    page = open_page(PAGE, Role.ANALYST, {"dataset_from": "Metrics"})
    page.multiselect(key="gather_metrics").set_value(["node_load1"]).run()
    page.selectbox(key="gather_target").set_value("value").run()
    page.button(key="gather_send").click().run()
    assert not page.exception
    task = ready.datasets.making(ANN)
    assert task is not None and ready.runner.wait(task.id or 0, 30).result["rows"] > 500, task.error


def test_the_profile_tells_its_story_and_what_to_try(ready: App, open_page: Callable) -> None:
    body = churn(150).to_csv(index=False).encode()
    number = bring(ready, body, "customers.csv")
    query = {"dataset": str(number), "dataset_part": "Profile"}
    page = open_page(PAGE, Role.VIEWER, query)
    assert not page.exception and not page.error
    assert any("150 rows of 5 columns" in one.value for one in page.markdown)
    tables = [one.value for one in page.dataframe]
    steps = next(one for one in tables if "helped" in one)
    assert "Fill gaps" in steps["step"].tolist() and steps["helped"].between(0, 1).all()
    assert "Linear" in next(one for one in tables if "close" in one)["model"].tolist()


def test_a_dataset_nothing_can_be_learnt_from_says_why(ready: App, open_page: Callable) -> None:
    number = bring(ready, b"n,y\n1,a\n2,b\n", "two.csv")
    ready.datasets.set_roles(ANN, number, {"y": ColumnRole.TARGET})
    page = open_page(PAGE, Role.VIEWER, {"dataset": str(number), "dataset_part": "Profile"})
    assert not page.exception and "at least 20" in page.warning[0].value


def test_a_dataset_leads_from_its_story_to_a_pipeline_and_a_training(ready: App, open_page: Callable) -> None:
    number = bring(ready, churn(150).to_csv(index=False).encode(), "customers.csv")
    ready.datasets.set_roles(ANN, number, {"left": ColumnRole.TARGET})
    query = {"dataset": str(number), "dataset_part": "Profile"}
    page = open_page(PAGE, Role.ANALYST, query)
    assert not page.exception and any("Build a pipeline" in one.value for one in page.markdown)
    page.button(key="story_pipeline").click().run()
    draft = page.session_state["pipeline_drafts"][None]
    assert not page.exception and (draft.dataset_id, draft.plan.target) == (number, "left")
    assert {"impute", "encode", "scale"} <= {step.kind for step in draft.plan.steps}
    page = open_page(PAGE, Role.ANALYST, query)
    page.button(key="story_train").click().run()
    assert not page.exception and ready.pipelines.list(ANN)[0].name == "left of customers"
    (run,) = ready.training.list(ANN)
    ready.runner.cancel(run.task_id)
    assert open_page(PAGE, Role.VIEWER, query).button(key="story_train").disabled


def test_training_opens_its_form_for_the_dataset_somebody_came_with(ready: App, open_page: Callable) -> None:
    first = bring(ready, churn(60).to_csv(index=False).encode(), "first.csv")
    bring(ready, churn(70).to_csv(index=False).encode(), "second.csv")
    page = open_page("pages/learn/training.py", Role.ANALYST, {"dataset": str(first)})
    assert not page.exception and page.selectbox(key=f"train_target_{first}").value is None
