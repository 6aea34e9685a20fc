from __future__ import annotations

import pickle
from collections.abc import Callable

from lib.app import App
from lib.auth.actor import Role
from tests.registry.kept import OPERATOR, VIEWER, register
from tests.registry.make_models import torch_like

PAGE = "pages/learn/models.py"


def test_without_a_model_it_names_the_next_step_and_takes_an_upload(app: App, open_page: Callable) -> None:
    page = open_page(PAGE, Role.ANALYST)
    assert not page.exception
    assert "No model yet" in str(page.info[0].proto)
    page.text_input(key="upload_name").set_value("net")
    page.text_input(key="upload_classes").set_value("x, y, z")
    page.file_uploader[0].set_value(("net.onnx", torch_like(), "application/octet-stream"))
    page.button(key="upload_send").click().run()
    assert not page.exception
    assert not page.error
    assert app.models.get(VIEWER, "net", 1).model_schema["classes"] == ["x", "y", "z"]


def test_a_pickle_is_refused_with_the_reason_and_nothing_kept(app: App, open_page: Callable) -> None:
    page = open_page(PAGE, Role.ANALYST)
    page.text_input(key="upload_name").set_value("net")
    page.file_uploader[0].set_value(("net.onnx", pickle.dumps([1]), "application/octet-stream"))
    page.button(key="upload_send").click().run()
    assert not page.exception
    assert "pickle" in page.error[0].value
    assert app.models.all(VIEWER) == []


def test_an_operator_promotes_and_rolls_back_and_others_cannot(app: App, open_page: Callable) -> None:
    register(app, metrics={"accuracy": 0.91}, card="# <b>Flowers</b> ![x](http://evil)")
    register(app, metrics={"accuracy": 0.93})
    page = open_page(PAGE, Role.OPERATOR)
    assert not page.exception
    assert page.dataframe[0].value["version"].tolist() == [2, 1]
    page.button(key="model_promote_champion").click().run()
    assert app.models.aliases(VIEWER, "flowers") == {"champion": 2}
    page = open_page(PAGE, Role.OPERATOR, {"version": "1"})
    assert page.code[0].value.startswith("# <b>Flowers</b>")  # as text, never drawn
    page.text_input(key="model_note").set_value("calmer")
    page.button(key="model_promote_champion").click().run()
    page.button(key="model_rollback").click().run()
    assert not page.exception
    assert app.models.aliases(VIEWER, "flowers") == {"champion": 2}
    page = open_page(PAGE, Role.ANALYST)
    assert page.button(key="model_promote_champion").disabled
    assert page.button(key="model_archive").disabled


def test_a_link_opens_its_version_whatever_it_is_called(app: App, open_page: Callable) -> None:
    for _ in range(3):
        register(app)
    app.models.promote(OPERATOR, "flowers", 1)
    app.models.promote(OPERATOR, "flowers", 3, "challenger")
    page = open_page(PAGE, Role.VIEWER, {"version": "3"})
    assert [one.value for one in page.subheader] == ["flowers 3"]
    assert page.selectbox[1].options == ["3 ☆ challenger", "2", "1 ★ champion"]
    page.selectbox[1].set_value(2).run()
    assert [one.value for one in page.subheader] == ["flowers 2"]
    assert page.query_params["version"] == "2"
    assert [one.value for one in open_page(PAGE, Role.VIEWER, {"version": "9"}).subheader] == ["flowers 1"]


def test_production_says_what_was_champion_at_a_moment(app: App, open_page: Callable, clock) -> None:  # type: ignore[no-untyped-def]
    register(app)
    app.models.promote(OPERATOR, "flowers", 1)
    clock.advance(hours=2)
    query = {"model_part": "Production", "model_at": "2026-03-14T13:00"}
    page = open_page(PAGE, Role.VIEWER, query)
    assert not page.exception
    assert "version 1 was champion" in page.success[0].value
    page = open_page(PAGE, Role.VIEWER, {**query, "model_at": "2026-03-14T11:00"})
    assert "no version" in page.info[0].value


def test_two_versions_stand_side_by_side(app: App, open_page: Callable) -> None:
    register(app, metrics={"accuracy": 0.91}, params={"depth": 2}, data_hash="a")
    register(app, metrics={"accuracy": 0.93}, params={"depth": 3}, data_hash="b")
    page = open_page(PAGE, Role.VIEWER, {"model_part": "Compare"})
    assert not page.exception
    assert page.dataframe[0].value.to_numpy().tolist() == [["accuracy", "0.91", "0.93"]]
    assert any("different data" in one.value for one in page.caption)


def test_a_test_is_begun_shown_and_ended(app: App, open_page: Callable) -> None:
    register(app)
    register(app)
    page = open_page(PAGE, Role.OPERATOR, {"model_part": "A/B test"})
    assert not page.exception
    page.button(key="test_begin").click().run()
    assert not page.exception
    assert not page.error
    assert "Too early" in page.info[0].value
    assert page.button(key="test_promote").disabled
    page.button(key="test_end").click().run()
    assert not page.exception
    assert app.experiments.running("flowers") is None


def test_a_guest_is_refused(open_page: Callable) -> None:
    page = open_page(PAGE, "guest")
    assert "may not look at models" in page.error[0].value


def test_a_version_is_exported_and_its_place_kept(app: App, open_page: Callable) -> None:
    register(app)
    query = {"model_part": "Deploy"}
    page = open_page(PAGE, Role.OPERATOR, query)
    assert not page.exception
    assert "Nothing was exported yet" in str(page.info[0].proto)
    page.selectbox(key="deploy_target").set_value("spaces")
    page.button(key="deploy_export").click().run()
    assert not page.exception
    assert page.dataframe[0].value["state"].tolist() == ["– never asked"]
    page.text_input(key="deploy_url_1").set_value("http://169.254.169.254/")
    page.button(key="deploy_keep").click().run()
    assert "metadata" in page.error[0].value
    page.text_input(key="deploy_url_1").set_value("http://127.0.0.1:9/")
    page.button(key="deploy_keep").click().run()
    page.button(key="deploy_check").click().run()
    assert not page.exception
    assert page.dataframe[0].value["state"].tolist() == ["○ down"]
    page.button(key="deploy_end").click().run()
    assert page.dataframe[0].value["state"].tolist() == ["▣ ended"]
    page = open_page(PAGE, Role.ANALYST, query)
    assert page.button(key="deploy_export").disabled and page.button(key="deploy_check").disabled
