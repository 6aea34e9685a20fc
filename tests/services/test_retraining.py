from __future__ import annotations

import io

import pandas as pd
import pytest

from lib.app import App
from lib.auth.actor import SYSTEM
from lib.db.learning_tables import DriftCheck
from lib.db.tables import TaskStatus
from lib.errors import Conflict, Forbidden, Invalid
from lib.services.retraining import When
from lib.services.training_setup import Wanted
from lib.settings import TaskMode
from tests.registry.kept import ANALYST, OPERATOR, VIEWER, register
from tests.training.tables import churn


def brought(app: App, frame: pd.DataFrame, into: int | None = None) -> int:
    body = io.BytesIO(frame.to_csv(index=False).encode())
    task = app.runner.wait(app.datasets.upload(ANALYST, "churn.csv", body, into=into).id or 0, 60)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    return int(task.result["dataset"])


def in_production(app: App) -> int:
    """A model trained on a dataset, whose number this is."""
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    number = brought(app, churn(120))
    wanted = Wanted(number, "left", start="First look", families=("linear",), budget_s=5.0)
    run = app.training_setup.start(ANALYST, wanted)
    assert app.runner.wait(run.task_id, 60).status == TaskStatus.SUCCEEDED
    app.training_setup.register(ANALYST, run.id, "churn")
    app.models.promote(OPERATOR, "churn", 1)
    return number


@pytest.fixture
def served(app: App) -> tuple[App, int]:
    return app, in_production(app)


def finished(app: App) -> None:
    run = app.retraining.under_way(VIEWER, "churn") or app.training.list(VIEWER)[0]
    assert app.runner.wait(run.task_id, 60).status == TaskStatus.SUCCEEDED


def test_a_click_trains_on_the_newest_version_and_the_model_gets_its_next(served: tuple[App, int]) -> None:
    app, number = served
    first = app.models.get(VIEWER, "churn")
    with pytest.raises(Conflict, match="learnt from the newest version of churn; bring newer rows"):
        app.retraining.start(ANALYST, "churn")
    brought(app, churn(160), into=number)
    with pytest.raises(Forbidden):
        app.retraining.start(VIEWER, "churn")
    app.retraining.start(ANALYST, "churn")
    finished(app)
    second = app.models.get(VIEWER, "churn", 2)
    assert second.data_hash == app.datasets.open(VIEWER, number).hash != first.data_hash
    assert (second.created_by, app.models.get(VIEWER, "churn").version) == (ANALYST.name, 1)
    assert app.retraining.offer(VIEWER, second).newer is False


def test_by_itself_only_when_chosen_and_once_for_the_same_data(served: tuple[App, int]) -> None:
    app, number = served
    brought(app, churn(160), into=number)
    app.retraining.on_schedule()
    assert len(app.training.list(SYSTEM)) == 1
    app.retraining.schedule(ANALYST, "churn", "drift")
    app.retraining.on_schedule()  # no check has suggested it
    assert len(app.training.list(SYSTEM)) == 1
    with app.database.session() as session:
        session.add(DriftCheck(name="churn", version=1, kind="asked", state="drift", report={"retrain": True}))
    app.retraining.on_schedule()
    finished(app)
    app.retraining.on_schedule()
    assert len(app.training.list(SYSTEM)) == 2
    assert [row.version for row in app.models.versions(VIEWER, "churn")] == [2, 1]
    app.retraining.schedule(ANALYST, "churn", "data")
    app.retraining.on_schedule()  # version 2 has learnt from it
    assert len(app.training.list(SYSTEM)) == 2
    assert app.retraining.when(VIEWER, "churn") is When.DATA
    with pytest.raises(Invalid, match="no moment"):
        app.retraining.schedule(ANALYST, "churn", "sometimes")
    with pytest.raises(Forbidden):
        app.retraining.schedule(VIEWER, "churn", "data")


def test_what_cannot_be_trained_again_says_why(served: tuple[App, int]) -> None:
    app, number = served
    with pytest.raises(Conflict, match="made elsewhere"):
        app.retraining.start(ANALYST, "flowers", register(app).version)
    brought(app, churn(160).drop(columns=["age"]), into=number)
    with pytest.raises(Invalid, match="age"):
        app.retraining.start(ANALYST, "churn")
    app.datasets.delete(OPERATOR, number, anyway=True)
    with pytest.raises(Conflict, match="was deleted"):
        app.retraining.start(ANALYST, "churn")
