from __future__ import annotations

import io
from collections.abc import Callable

import pandas as pd
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.tables import TaskStatus
from lib.services.training import Run
from lib.services.training_setup import Wanted
from lib.settings import TaskMode
from tests.training.tables import churn, prices

PAGE = "pages/learn/training.py"
ANN = Actor("analyst", Role.ANALYST)
PARTS = ("Result", "Why", "Weak spots", "Leaderboard", "Compare", "Card", "Log")


@pytest.fixture
def ready(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    return app


def bring(app: App, frame: pd.DataFrame, name: str = "*churn*.csv") -> int:
    task = app.datasets.upload(ANN, name, io.BytesIO(frame.to_csv(index=False).encode()))
    return int(app.runner.wait(task.id or 0, 30).result["dataset"])


def trained(app: App, number: int, target: str = "left", **chosen: object) -> Run:
    run = app.training_setup.start(
        ANN, Wanted(number, target, start="First look", families=("linear",), name="**bold**", **chosen)
    )
    task = app.runner.wait(run.task_id, 60)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    return run


def words(page: object) -> str:
    held = [*page.markdown, *page.caption, *page.info, *page.warning, *page.error, *page.success]
    return " ".join(str(one.value) for one in held)


def test_strangers_and_guests_are_refused(open_page: Callable) -> None:
    for role in (None, "guest"):
        assert len(open_page(PAGE, role).error) == 1


def test_empty_page_names_the_next_step(open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception and "Bring a table first" in page.info[0].value


def test_a_training_is_chosen_started_and_watched(ready: App, open_page: Callable) -> None:
    number = bring(ready, churn(120))
    page = open_page(PAGE, Role.ANALYST)
    assert not page.exception and "Choose the column" in words(page)
    page.selectbox(key=f"train_target_{number}").set_value("left").run()
    assert not page.exception and "2 classes" in words(page), words(page)
    page.selectbox(key="train_start").set_value("First look").run()
    page.pills(key="train_families_First look").set_value(["linear"]).run()
    page.button(key="train_go").click().run()
    assert not page.exception and not page.error
    run = ready.training.list(ANN)[0]
    assert run.plan.families == ("linear",) and run.plan.budget_s == 10.0 and run.dataset_id == number
    assert ready.runner.wait(run.task_id, 60).status == TaskStatus.SUCCEEDED
    page.run()
    assert not page.exception and "ROC AUC" in words(page)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_a_finished_run_opens(ready: App, open_page: Callable, part: str) -> None:
    run = trained(ready, bring(ready, churn(120)))
    page = open_page(PAGE, Role.VIEWER, {"run": run.id, "train_part": part})
    assert not page.exception and not page.error, words(page)
    assert page.subheader[0].value == r"\*\*bold\*\*"


def test_results_begin_with_a_sentence_and_hold_it_against_simple_answers(ready: App, open_page: Callable) -> None:
    run = trained(ready, bring(ready, churn(120)))
    page = open_page(PAGE, Role.VIEWER, {"run": run.id})
    assert page.markdown[1].value.startswith("**On 120 rows it had not seen the model reaches ROC AUC")
    assert "Always saying the usual class reaches" in words(page)
    table = page.dataframe[0].value
    assert table.loc[table["metric"] == "★ ROC AUC", "usual"].item() == 0.5


def test_a_number_has_residuals_and_dates_a_dependence(ready: App, open_page: Callable) -> None:
    run = trained(ready, bring(ready, prices(120), "prices.csv"), "price", leave_out=("text",))
    page = open_page(PAGE, Role.VIEWER, {"run": run.id})
    assert not page.exception and "nine in ten by at most" in words(page)
    for column in ("place", "day"):
        task = ready.training.explain(ANN, run.id, "dependence", column)
        assert ready.runner.wait(task.id or 0, 60).status == TaskStatus.SUCCEEDED
        page = open_page(PAGE, Role.VIEWER, {"run": run.id, "train_part": "Why", "result_column": column})
        assert not page.exception and "middle half of rows" in words(page)


def test_shares_are_made_when_they_are_looked_at_and_not_for_viewers(ready: App, open_page: Callable) -> None:
    run = trained(ready, bring(ready, churn(120)))
    page = open_page(PAGE, Role.VIEWER, {"run": run.id, "train_part": "Why"})
    assert "takes the role analyst" in words(page) and ready.training.viewing(ANN, run.id, "shap") is None
    page = open_page(PAGE, Role.ANALYST, {"run": run.id, "train_part": "Why"})
    for _ in range(2):  # the dependence of the first column, then the shares
        for what, column in (("dependence", page.selectbox(key="result_column").value), ("shap", "")):
            task = ready.training.viewing(ANN, run.id, what, column)
            if task is not None:
                ready.runner.wait(task.id or 0, 60)
        page.run()
    assert not page.exception and "was said" in words(page)
    assert page.number_input(key="result_row").value == 1


def test_a_view_that_failed_is_not_begun_again_by_itself(ready: App, open_page: Callable) -> None:
    run = trained(ready, bring(ready, churn(120)))
    (ready.training.folder / run.id / "outcome.npz").unlink()
    for what, column in (("shap", ""), ("dependence", "age")):
        ready.runner.wait(ready.training.explain(ANN, run.id, what, column).id or 0, 60)
    page = open_page(PAGE, Role.ANALYST, {"run": run.id, "train_part": "Why", "result_column": "age"})
    assert not page.exception and page.button(key="result_ask_shap").label == "Try again"
    assert not ready.jobs.counts(ANN)[TaskStatus.RUNNING] and not ready.jobs.counts(ANN)[TaskStatus.PENDING]


def test_runs_are_compared_replayed_registered_and_removed(ready: App, open_page: Callable) -> None:
    number = bring(ready, churn(120))
    first, second = trained(ready, number), trained(ready, number, seed=5)
    page = open_page(PAGE, Role.ANALYST, {"run": first.id, "train_part": "Compare"})
    page.multiselect(key=f"result_others_{first.id}").set_value([second.id]).run()
    assert not page.exception and "intervals overlap" in words(page) and len(page.dataframe[0].value) == 7
    page = open_page(PAGE, Role.ANALYST, {"run": first.id})
    page.text_input(key=f"register_name_{first.id}").set_value("Bad Name").run()
    page.button(key=f"register_go_{first.id}").click().run()
    assert "no name for a model" in words(page).replace("\\", "")
    page.text_input(key=f"register_name_{first.id}").set_value("churn").run()
    page.button(key=f"register_go_{first.id}").click().run()
    assert not page.exception and not page.error and ready.models.get(ANN, "churn", 1).data_hash == first.data_hash
    page.button(key="train_again").click().run()
    again = ready.training.list(ANN)[0]
    assert again.plan == first.plan and again.id not in (first.id, second.id)
    assert ready.runner.wait(again.task_id, 60).status == TaskStatus.SUCCEEDED
    assert ready.training.results(ANN, again.id)["metrics"] == ready.training.results(ANN, first.id)["metrics"]
    page = open_page(PAGE, Role.ANALYST, {"run": second.id})
    page.button(key=f"train_remove_{second.id}").click().run()
    assert not page.exception and not page.error, words(page)
    assert {one.id for one in ready.training.list(ANN)} == {first.id, again.id}


def test_what_cannot_be_learnt_says_why_before_it_is_started(ready: App, open_page: Callable) -> None:
    number = bring(ready, churn(60).assign(left="yes"))
    page = open_page(PAGE, Role.ANALYST)
    page.selectbox(key=f"train_target_{number}").set_value("left").run()
    assert not page.exception and "single class" in words(page) and page.button(key="train_go").disabled


def test_a_run_that_failed_shows_its_reason_and_log(app: App, open_page: Callable) -> None:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    number = bring(app, churn(60))
    app.runner.stop()
    run = app.training_setup.start(ANN, Wanted(number, "left", start="First look"))
    app.datasets.delete(ANN, number, anyway=True)
    app.runner.start()
    assert app.runner.wait(run.task_id, 60).status == TaskStatus.FAILED
    page = open_page(PAGE, Role.ANALYST, {"run": run.id})
    assert not page.exception and "is gone" in page.error[0].value
    assert "No model was finished" in words(page) and not page.button(key="train_on").disabled
