from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from lib.app import App
from lib.auth.actor import Actor, ActorKind, Role
from lib.datasets.schema import Role as ColumnRole
from lib.errors import Forbidden, Invalid
from lib.settings import TaskMode
from lib.training.plan import validate
from tests.training.tables import churn

ANN, BOB = Actor("ann", Role.ANALYST), Actor("bob", Role.VIEWER)


@pytest.fixture
def ready(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    return app


def bring(app: App, frame: pd.DataFrame, name: str = "churn.csv") -> int:
    body = frame.to_csv(index=False).encode()
    task = app.datasets.upload(ANN, name, io.BytesIO(body))
    return app.runner.wait(task.id or 0, 60).result["dataset"]


def test_steps_models_and_a_plan_that_can_run(ready: App) -> None:
    frame = churn(400)
    frame.insert(0, "customer", [f"C{n:05d}" for n in range(400)])
    number = bring(ready, frame)
    found = ready.suggestions.of(BOB, number, target="left")
    steps = {one.step.kind: one for one in found.steps}
    assert steps["drop"].step.columns == ("customer",)
    missing = f"{frame.age.isna().mean():.1%}"
    assert missing in steps["impute"].reason
    assert all(0 < one.confidence < 1 for one in [*found.steps, *found.models])
    assert [p for p in validate(found.plan, list(frame.columns)) if p.fatal] == []
    assert found.plan.families[0] == found.models[0].family and found.plan.target == "left"


def test_what_was_worked_out_is_kept_and_goes_with_the_dataset(ready: App) -> None:
    number = bring(ready, churn(200))
    first = ready.suggestions.of(ANN, number, target="left")
    folder = ready.settings.data_dir / "datasets" / str(number)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(before) == 4  # data and facts, profile and suggestions
    assert ready.suggestions.of(ANN, number, target="left") == first
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert ready.suggestions.profile(ANN, number).rows == 200
    ready.datasets.delete(ANN, number)
    assert not folder.exists()


def test_target_and_roles_of_the_dataset_are_kept(ready: App) -> None:
    number = bring(ready, churn(200))
    ready.datasets.set_roles(ANN, number, {"left": ColumnRole.TARGET, "income": ColumnRole.IGNORE})
    found = ready.suggestions.of(ANN, number)
    assert found.plan.target == "left" and found.plan.roles["income"] == "ignore"


@pytest.mark.parametrize(
    ("frame", "target", "words"),
    [
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), "b", "at least 20"),
        (pd.DataFrame({"a": np.arange(100), "b": 1.5}), "b", "nothing to learn"),
        (pd.DataFrame({"a": [7.0] * 100, "b": ["u", "v"] * 50}), "b", "No column is left"),
        (pd.DataFrame({"a": np.arange(100) % 7, "b": [f"class {n}" for n in range(100)]}), "a b", "has no column"),
        (pd.DataFrame({"a": np.arange(30) % 7, "z": np.arange(30) % 5}), None, "choose the one"),
    ],
)  # fmt: skip
def test_what_nothing_can_be_learnt_from_is_refused_and_still_described(
    ready: App, frame: pd.DataFrame, target: str | None, words: str
) -> None:
    number = bring(ready, frame)
    with pytest.raises(Invalid, match=words):
        ready.suggestions.of(ANN, number, target=target)
    assert ready.suggestions.profile(ANN, number).rows == len(frame)


def test_guests_are_refused(ready: App) -> None:
    number = bring(ready, churn(60))
    with pytest.raises(Forbidden):
        ready.suggestions.of(Actor("guest", Role.VIEWER, ActorKind.GUEST), number)
