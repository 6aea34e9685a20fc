from __future__ import annotations

import io
from collections.abc import Callable

from lib.app import App
from lib.auth.actor import Role
from lib.registry.schema import Field, Kind, ModelSchema, Task
from lib.settings import TaskMode
from tests.registry.kept import ANALYST, FLOWERS, MIXED, OPERATOR, register

PAGE = "pages/learn/predict.py"


def test_without_a_model_it_names_the_next_step(open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "No model yet" in str(page.info[0].proto)


def test_the_form_comes_from_the_schema_and_the_answer_says_why(app: App, open_page: Callable) -> None:
    register(app)
    app.models.promote(OPERATOR, "flowers", 1)
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert [one.label for one in page.number_input] == list(FLOWERS.names)
    page.number_input[0].set_value(2.0)
    page.button(key="predict_send").click().run()
    assert not page.exception
    metrics = {one.label: one.value for one in page.metric}
    assert metrics["species"] in FLOWERS.classes
    assert metrics["Probability"].endswith("%")
    assert metrics["Took"].endswith("ms")
    assert len(page.get("plotly_chart")) == 1
    assert any("usual value" in one.value for one in page.caption)


def test_each_kind_of_field_has_its_widget_and_what_is_missing_is_named(app: App, open_page: Callable) -> None:
    schema = ModelSchema(Task.CLASSIFICATION, (*MIXED.fields, Field("note", Kind.TEXT)), ("no", "yes"))
    register(app, "binary.json", schema, name="mixed")
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert [one.label for one in page.selectbox][2:] == ["shop", "member"]
    page.button(key="predict_send").click().run()
    assert not page.exception
    assert any("note is missing" in one.value for one in page.error)


def test_a_file_is_predicted_and_its_result_offered(app: App, open_page: Callable) -> None:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    register(app)
    app.models.promote(OPERATOR, "flowers", 1)
    page = open_page(PAGE, Role.ANALYST, {"predict_from": "File"})
    page.file_uploader[0].set_value(("a.csv", b"length,width,height,weight\n1,1,1,1\n1,x,1,1\n", "text/csv"))
    page.button(key="predict_file_send").click().run()
    task = app.prediction_files.tasks(ANALYST, "flowers")[0]
    app.runner.wait(task.id or 0, 60)
    page.run()
    assert not page.exception
    assert any("1 of 2 rows predicted" in one.value for one in page.caption)
    assert [one.proto.label for one in page.get("download_button")] == ["CSV"]
    page = open_page(PAGE, Role.VIEWER, {"predict_from": "File"})
    assert page.button(key="predict_file_send").disabled


def test_a_dataset_is_predicted_and_what_it_lacks_is_said(app: App, open_page: Callable) -> None:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    register(app)
    page = open_page(PAGE, Role.ANALYST, {"predict_from": "Dataset"})
    assert "No dataset yet" in str(page.info[0].proto)
    body = io.BytesIO(b"length,width,height,weight\n1,1,1,1\n2,1,1,1\n")
    app.runner.wait(app.datasets.upload(ANALYST, "new.csv", body).id or 0, 60)
    page = page.run()
    page.button(key="predict_dataset_send").click().run()
    app.runner.wait(app.prediction_files.tasks(ANALYST, "flowers")[0].id or 0, 60)
    page.run()
    assert not page.exception
    assert any("2 of 2 rows predicted" in one.value for one in page.caption)
    app.runner.wait(app.datasets.upload(ANALYST, "other.csv", io.BytesIO(b"a,b\n1,2\n2,3\n")).id or 0, 60)
    page = open_page(PAGE, Role.ANALYST, {"predict_from": "Dataset"})
    page.button(key="predict_dataset_send").click().run()
    assert any("The dataset lacks length" in one.value for one in page.error)
    assert open_page(PAGE, Role.VIEWER, {"predict_from": "Dataset"}).button(key="predict_dataset_send").disabled


def test_usual_values_move_nothing_and_the_page_says_so(app: App, open_page: Callable) -> None:
    register(app)
    page = open_page(PAGE, Role.VIEWER)
    page.button(key="predict_send").click().run()
    assert not page.exception
    assert not page.get("plotly_chart")
    assert any("every field has its usual value" in one.value for one in page.caption)
