from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.errors import Invalid
from lib.services.pipelines import Opened
from lib.settings import TaskMode
from lib.training.plan import Plan, Step, replace
from lib.ui.pipeline_view import read_file
from tests.training.tables import churn

PAGE = "pages/learn/pipelines.py"
ANN = Actor("analyst", Role.ANALYST)


@pytest.fixture
def ready(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    return app


def bring(app: App, leaky: bool = False, **more: object) -> int:
    frame = churn(80).assign(**more)
    if leaky:
        frame["gone"] = frame.left.map({"yes": 1, "no": 0})
    task = app.datasets.upload(ANN, "churn.csv", io.BytesIO(frame.to_csv(index=False).encode()))
    return int(app.runner.wait(task.id or 0, 30).result["dataset"])


def kept(app: App, leaky: bool = False, **more: object) -> Opened:
    dataset = bring(app, leaky, **more)
    plan = app.pipelines.templates(ANN, dataset, None, "left")["First look"]
    return app.pipelines.save(ANN, replace(plan, families=("linear",), folds=3), dataset, name="Churn *bold*")


def kinds(app: App, number: int) -> list[str]:
    return [one.kind for one in app.pipelines.open(ANN, number).plan.steps]


def test_strangers_and_guests_are_refused(open_page: Callable) -> None:
    for role in (None, "guest"):
        assert len(open_page(PAGE, role).error) == 1


def test_empty_page_names_the_next_step(ready: App, open_page: Callable) -> None:
    page = open_page(PAGE, Role.ANALYST)
    assert not page.exception and "Bring one first" in page.info[0].value
    bring(ready)
    page = open_page(PAGE, Role.ANALYST)
    assert not page.exception and "Choose a dataset" in page.info[0].value
    assert "An analyst makes them" in open_page(PAGE, Role.VIEWER).info[0].value


def test_one_is_begun_changed_and_saved(ready: App, open_page: Callable) -> None:
    dataset = bring(ready)
    page = open_page(PAGE, Role.ANALYST, {"dataset": str(dataset)})
    page.selectbox(key=f"pipeline_target_{dataset}").set_value("left").run()
    page.button(key="pipeline_begin").click().run()
    assert not page.exception and "Nothing stands against" in page.success[0].value
    page.button(key="pipeline_down_step-0").click().run()
    page.button(key="pipeline_remove_step-4").click().run()
    page.selectbox(key="pipeline_add_kind").set_value("clip").run()
    page.button(key="pipeline_add").click().run()
    assert not page.exception
    page.button(key="pipeline_save").click().run()
    assert not page.exception and ready.pipelines.list(ANN)[0].name == "left of churn"
    number = ready.pipelines.list(ANN)[0].id
    assert kinds(ready, number) == ["text", "dates", "clip", "impute", "encode"]
    page.button(key="pipeline_undo").click().run()
    assert "Changed since" in page.success[0].value


def test_the_open_card_changes_method_columns_and_settings(ready: App, open_page: Callable) -> None:
    number = kept(ready).id
    page = open_page(PAGE, Role.ANALYST, {"pipeline": str(number)})
    page.button(key="pipeline_open_step-3").click().run()
    [method] = [one for one in page.selectbox if one.label == "Method"]
    method.set_value("target").run()
    [columns] = [one for one in page.multiselect if one.label == "Columns"]
    columns.set_value(["plan"]).run()
    page.button(key="pipeline_open_models").click().run()
    [budget] = [one for one in page.number_input if one.label == "Budget in seconds"]
    budget.set_value(25.0).run()
    page.button(key="pipeline_open_split").click().run()
    [group] = [one for one in page.selectbox if one.label == "Rows kept together, by"]
    group.set_value("visits").run()
    page.button(key="pipeline_open_scores").click().run()
    [metric] = [one for one in page.selectbox if one.label == "Metric"]
    metric.set_value("f1").run()
    page.button(key="pipeline_save").click().run()
    assert not page.exception
    plan = ready.pipelines.open(ANN, number).plan
    assert plan.steps[3] == Step("encode", ("plan",), "target")
    assert (plan.budget_s, plan.metric, plan.roles["visits"]) == (25.0, "f1", "group")


def test_errors_block_training_until_they_are_mended(ready: App, open_page: Callable) -> None:
    number = kept(ready, leaky=True).id
    page = open_page(PAGE, Role.ANALYST, {"pipeline": str(number)})
    assert "1 error" in page.error[0].value and "gone is the target" in page.error[1].value
    assert page.button(key="pipeline_train").disabled
    page.button(key="pipeline_mend_data_0").click().run()
    assert not page.error and not page.button(key="pipeline_train").disabled
    page.button(key="pipeline_train").click().run()
    assert not page.exception
    [run] = ready.pipelines.runs(ANN, number)
    assert ready.runner.wait(run.task_id, 60).status == "succeeded"
    assert "Newest training" in " ".join(one.value for one in page.run().markdown)


def test_warnings_do_not_block_training(ready: App, open_page: Callable) -> None:
    number = kept(ready, left_reason="why").id
    plan = replace(ready.pipelines.open(ANN, number).plan, steps=(Step("encode"), Step("encode", (), "target")))
    ready.pipelines.save(ANN, plan, 1, into=number)
    page = open_page(PAGE, Role.ANALYST, {"pipeline": str(number)})
    assert not page.error and "1 warning" in page.warning[0].value and not page.button(key="pipeline_train").disabled


def test_a_viewer_looks_and_changes_nothing(ready: App, open_page: Callable) -> None:
    number = kept(ready).id
    page = open_page(PAGE, Role.VIEWER, {"pipeline": str(number)})
    assert not page.exception
    assert not [one.key for one in page.button if "remove" in str(one.key) or "begin" in str(one.key)]
    for key in ("pipeline_save", "pipeline_train", "pipeline_add"):
        assert page.button(key=key).disabled, key
    page.button(key="pipeline_open_step-3").click().run()
    assert not page.exception and all(one.disabled for one in page.multiselect)


def test_versions_are_compared_and_opened_again(ready: App, open_page: Callable) -> None:
    first = kept(ready)
    ready.pipelines.save(ANN, replace(first.plan, seed=5), first.version.dataset_id, into=first.id)
    page = open_page(PAGE, Role.ANALYST, {"pipeline": str(first.id), "pipeline_part": "Versions"})
    assert not page.exception and page.dataframe[0].value["number"].tolist() == [2, 1]
    assert page.dataframe[1].value.iloc[0].tolist() == ["Setting", "Seed", "0", "5"]
    page.selectbox(key="pipeline_back").set_value(first.version.hash).run()
    page.button(key="pipeline_restore").click().run()
    page.button(key="pipeline_save").click().run()
    assert not page.exception and ready.pipelines.open(ANN, first.id).plan.seed == 0


def test_columns_and_export_show_the_plan(ready: App, open_page: Callable) -> None:
    number = kept(ready).id
    page = open_page(PAGE, Role.ANALYST, {"pipeline": str(number), "pipeline_part": "Export"})
    assert not page.exception and "PLAN = {" in page.code[0].value
    page.segmented_control(key="pipeline_part").set_value("Columns").run()
    assert not page.exception


def test_a_pipeline_whose_dataset_is_gone_is_still_shown(ready: App, open_page: Callable) -> None:
    one = kept(ready)
    ready.datasets.delete(ANN, one.version.dataset_id, anyway=True)
    page = open_page(PAGE, Role.ANALYST, {"pipeline": str(one.id)})
    assert not page.exception and "may have been deleted" in page.error[1].value
    assert page.button(key="pipeline_train").disabled
    page.segmented_control(key="pipeline_part").set_value("Columns").run()
    assert not page.exception


def test_a_newer_version_of_the_dataset_is_offered(ready: App, open_page: Callable) -> None:
    one = kept(ready)
    body = churn(90).drop(columns="income").to_csv(index=False).encode()
    task = ready.datasets.upload(ANN, "churn.csv", io.BytesIO(body), into=one.version.dataset_id)
    ready.runner.wait(task.id or 0, 30)
    page = open_page(PAGE, Role.ANALYST, {"pipeline": str(one.id)})
    page.button(key="pipeline_newest").click().run()
    assert not page.exception and "income" in page.error[1].value
    page.button(key="pipeline_mend_data_0").click().run()
    assert not page.error


def test_deleting_takes_a_second_look(ready: App, open_page: Callable) -> None:
    number = kept(ready).id
    page = open_page(PAGE, Role.ANALYST, {"pipeline": str(number), "pipeline_part": "Delete"})
    assert page.button(key="pipeline_delete").disabled
    page.checkbox(key=f"pipeline_sure_{number}").check().run()
    page.button(key="pipeline_delete").click().run()
    assert not page.exception and ready.pipelines.list(ANN) == []


def test_an_address_of_one_that_is_gone_says_so(ready: App, open_page: Callable) -> None:
    kept(ready)
    page = open_page(PAGE, Role.VIEWER, {"pipeline": "77"})
    assert not page.exception and "no pipeline 77" in page.warning[0].value


@dataclass(frozen=True)
class Suggestion:
    reason: str
    confidence: float
    tables: int
    step: Step = Step("balance")
    family: str = "forest"


@dataclass(frozen=True)
class Found:
    plan: Plan
    steps: list[Suggestion]
    models: list[Suggestion]


class Suggester:
    def of(self, actor: Actor, dataset_id: int, version: str | None, target: str) -> Found:
        if target != "left":
            raise Invalid("Nothing can be learnt from it.")
        one = Suggestion("classes are *uneven*, 9 : 1", 0.8, 12)
        return Found(Plan(target, {}), [one], [one])


def test_suggestions_are_accepted_one_by_one_with_their_reason(ready: App, open_page: Callable) -> None:
    ready.pipelines.suggestions = Suggester()
    number = kept(ready).id
    page = open_page(PAGE, Role.ANALYST, {"pipeline": str(number)})
    page.button(key="pipeline_suggest").click().run()
    told = " ".join(one.value for one in page.markdown)
    assert not page.exception and "80%" in told.replace("\\", "") and "uneven" in told
    page.button(key="pipeline_accept_step_0").click().run()
    page.button(key="pipeline_accept_model_0").click().run()
    assert page.button(key="pipeline_accept_step_0").disabled
    page.button(key="pipeline_save").click().run()
    plan = ready.pipelines.open(ANN, number).plan
    assert plan.steps[-1] == Step("balance") and plan.families == ("linear", "forest")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe", b'{"plan": 3}', b"[" * 100_000, b'{"target": "y"}'])
def test_a_file_that_is_no_pipeline_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        read_file(body)


def test_a_click_on_a_step_that_is_gone_is_told_and_the_page_stays(ready: App, open_page: Callable) -> None:
    opened = kept(ready)
    page = open_page(PAGE, Role.ANALYST, {"pipeline": str(opened.id)})
    draft = page.session_state["pipeline_drafts"][opened.id]
    for act in (lambda: draft.remove(9), lambda: draft.move(9, 0)):
        act()
        page.run()
        assert not page.exception and "no step 10" in page.error[0].value and page.button(key="pipeline_train")
    assert not page.run().error and draft.plan == opened.plan
