"""From choices to a plan: roles, task, split, and every table nothing can be learnt from refused with its reason."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.datasets.schema import Role as ColumnRole
from lib.db.tables import TaskStatus
from lib.errors import ArtefactRefused, Conflict, Forbidden, Invalid
from lib.services import training_setup
from lib.services.training_setup import Wanted, slug
from lib.settings import TaskMode
from lib.training.schema import Task
from tests.training.tables import churn, prices

ANN, VIEWER = Actor("ann", Role.ANALYST), Actor("vera", Role.VIEWER)


@pytest.fixture
def bring(app: App) -> Callable[[pd.DataFrame], int]:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()

    def made(frame: pd.DataFrame) -> int:
        task = app.datasets.upload(ANN, "table.csv", io.BytesIO(frame.to_csv(index=False).encode()))
        return int(app.runner.wait(task.id or 0, 30).result["dataset"])

    return made


def rows(count: int = 200, **columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.normal(size=count), "y": rng.choice(["a", "b"], count), **columns})


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (rows(target=["same"] * 200), "single class, 'same'"),
        (rows(1, target=["no"]), "takes at least 20"),
        (rows(target=[3.5] * 200), "3.5 in each row"),
        (rows(target=[None] * 200), "0 of 200 rows"),
        (rows(target=[str(n) if n % 2 else f"word{n}" for n in range(200)]), "mixes 100 numbers with 100 texts"),
        (rows(11_000, target=[f"c{n % 10_000}" for n in range(11_000)]), "10,000 classes, the cap is 100"),
        (rows(target=["rare", *["p", "q"] * 99, "p"]), "'rare' of 'target' has a single row"),
        (rows(target=pd.date_range("2025-01-01", periods=200)), "is a date"),
        (pd.DataFrame({"e": [np.nan] * 60, "k": [1] * 60, "target": ["p", "q"] * 30}), "e: empty, k: the same"),
    ],
)
def test_a_table_nothing_can_be_learnt_from_is_refused_before_anything_runs(
    app: App, bring: Callable, frame: pd.DataFrame, why: str
) -> None:
    wanted = Wanted(bring(frame), "target")
    assert why in " ".join(app.training_setup.propose(VIEWER, wanted).fatal)
    with pytest.raises(Invalid, match=why.split("'")[0]):
        app.training_setup.start(ANN, wanted)
    assert app.training.list(ANN) == []


def test_many_categories_are_allowed_and_said(app: App, bring: Callable) -> None:
    rng = np.random.default_rng(0)
    frame = rows(12_000, c=[f"c{n % 10_000}" for n in range(12_000)], target=rng.choice(["p", "q"], 12_000))
    found = app.training_setup.propose(VIEWER, Wanted(bring(frame), "target"))
    assert not found.fatal and "more than 1,000 categories" in found.problems[0].message


def test_roles_come_from_the_values_and_from_the_dataset(app: App, bring: Callable) -> None:
    number = bring(churn(200).assign(row=range(200), empty=np.nan))
    found = app.training_setup.propose(VIEWER, Wanted(number, "left", leave_out=("income",)))
    assert found.task == Task.BINARY and not found.problems and "2 classes" in found.said
    assert found.left_out == {"row": "it names the row", "empty": "empty", "income": "not used"}
    assert found.plan.roles["age"] == "numeric" and found.plan.roles["plan"] == "category"
    app.datasets.set_roles(ANN, number, {"plan": ColumnRole.IGNORE, "left": ColumnRole.TARGET})
    again = app.training_setup.propose(VIEWER, Wanted(number))
    assert again.plan.target == "left" and again.plan.roles["plan"] == "ignore"


def test_a_row_number_is_seen_in_a_part_of_the_rows(app: App, bring: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_setup, "SAMPLE_ROWS", 500)
    rng = np.random.default_rng(0)
    number = bring(rows(2000, row=range(2000), size=rng.permutation(40_000)[:2000]))
    found = app.training_setup.propose(VIEWER, Wanted(number, "y"))
    assert found.plan.roles["row"] == "identifier" and found.plan.roles["size"] == "numeric"


def test_rows_are_split_by_time_or_group(app: App, bring: Callable) -> None:
    number = bring(prices(100).rename(columns={"day": "time"}))
    setup = app.training_setup
    assert setup.propose(VIEWER, Wanted(number, "price", split="time")).plan.roles["time"] == "time"
    by_place = setup.propose(VIEWER, Wanted(number, "price", split="group", by="place"))
    assert by_place.plan.roles["place"] == "group" and not by_place.fatal
    for split, by, why in (
        ("time", "place", "no time"),
        ("group", "", "belong together"),
        ("group", "gone", "no column 'gone'"),
        ("group", "price", "by what is predicted"),
        ("random", "place", "goes by no column"),
    ):
        assert why in " ".join(setup.propose(VIEWER, Wanted(number, "price", split=split, by=by)).fatal)
    with pytest.raises(Invalid, match="split is one of"):
        setup.propose(VIEWER, Wanted(number, "price", split="sideways"))


def test_it_begins_from_templates_kept_pipelines_and_json(app: App, bring: Callable) -> None:
    number = bring(churn(100))
    setup = app.training_setup
    assert setup.propose(VIEWER, Wanted(number, "left", start="First look")).plan.budget_s == 10
    kept = setup.propose(VIEWER, Wanted(number, "left", seed=9)).plan
    setup.pipelines.append(lambda _actor, opened: {f"mine of {opened.name}": kept})
    assert next(iter(setup.starts(VIEWER, number))) == "mine of table"
    assert setup.propose(VIEWER, Wanted(number, "left", start="mine of table")).plan.seed == 9
    given = setup.propose(VIEWER, Wanted(number, pipeline=kept.to_json(), budget_s=7.0)).plan
    assert (given.seed, given.budget_s, given.target) == (9, 7.0, "left")
    with pytest.raises(Invalid, match="to begin from"):
        setup.propose(VIEWER, Wanted(number, "left", start="nothing"))
    with pytest.raises(Invalid, match="to leave out"):
        setup.propose(VIEWER, Wanted(number, "left", leave_out=("nothing",)))


def test_a_finished_run_becomes_a_version_that_predicts(app: App, bring: Callable) -> None:
    number = bring(churn(150))
    with pytest.raises(Forbidden):
        app.training_setup.start(VIEWER, Wanted(number, "left"))
    run = app.training_setup.start(ANN, Wanted(number, "left", start="First look", families=("linear",)))
    assert app.runner.wait(run.task_id, 60).status == TaskStatus.SUCCEEDED
    with pytest.raises(Forbidden):
        app.training_setup.register(VIEWER, run.id)
    row = app.training_setup.register(ANN, run.id)
    assert (row.name, row.version, row.data_hash) == ("left-of-table", 1, run.data_hash)
    assert next(iter(row.metrics)) == "ROC AUC" and row.reference["target"]["shares"] and "How good" in row.card
    assert app.training.get(VIEWER, run.id).registered == (("left-of-table", 1),)
    given = {"age": 70.0, "income": 20_000.0, "plan": "basic", "visits": 1}
    said = app.prediction.predict(VIEWER, [given], model=row.name, version=1).predictions[0]
    assert said.label in said.probabilities and len(said.probabilities) == 2
    with pytest.raises(Conflict, match="table"):
        app.datasets.delete(ANN, number)


def test_a_run_without_a_model_cannot_be_registered(app: App, bring: Callable) -> None:
    number = bring(churn(60))
    app.runner.stop()
    run = app.training_setup.start(ANN, Wanted(number, "left"))
    with pytest.raises(ArtefactRefused, match="no model yet"):
        app.training_setup.register(ANN, run.id)


def test_any_name_makes_a_models_name() -> None:
    assert [slug(one) for one in ("Left of churn.csv", "Größe", "../../x", "", "日本")] == [
        "left-of-churn-csv", "groe", "x", "model", "model",
    ]  # fmt: skip
