from __future__ import annotations

import io
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from lib.app import App
from lib.db.learning_tables import DriftCheck, Predicted
from lib.db.tables import TaskStatus
from lib.drift import reference
from lib.drift.shift import Thresholds
from lib.errors import Conflict, Forbidden, Invalid, NotFound
from lib.settings import TaskMode
from tests.conftest import FakeClock
from tests.registry.kept import ANALYST, FLOWERS, OPERATOR, VIEWER, register


def table(shift: float = 0.0, rows: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(shift, 1, (rows, 4)), columns=list(FLOWERS.names))


def labels(rows: int, share: float = 0.5) -> pd.Series:
    return pd.Series(np.where(np.arange(rows) % 100 < share * 100, "setosa", "virginica"))


@pytest.fixture
def watched(app: App) -> App:
    register(app, reference=reference.of_frame(table(), labels(600), labels(600)))
    app.models.promote(OPERATOR, "flowers", 1)
    return app


def asked(app: App, frame: pd.DataFrame, share: float = 0.5, actual: bool = False) -> None:
    rows = [
        Predicted(
            token=f"{app.clock().isoformat()}{number}"[-32:], name="flowers", version=1, at=app.clock(),
            features=row, value=0.9, label=label, actual=label if actual else None,
        )
        for number, (row, label) in enumerate(zip(frame.to_dict("records"), labels(len(frame), share), strict=True))
    ]  # fmt: skip
    with app.database.session() as session:
        session.add_all(rows)


def test_what_is_asked_as_in_training_is_ok_and_a_moved_world_is_an_event(watched: App, clock: FakeClock) -> None:
    told: list[DriftCheck] = []
    watched.drifting.on_event.append(told.append)
    asked(watched, table(seed=1), actual=True)
    watched.drifting.on_schedule()
    first = watched.drifting.checks(VIEWER, "flowers", 1)[0]
    assert (first.state, first.event, first.rows) == ("ok", False, 600)
    assert {one.role for one in watched.drifting.report(first).shifts} == {"feature", "prediction", "target"}
    clock.advance(hours=25)
    asked(watched, table(1.5, seed=2), share=0.95, actual=True)
    watched.drifting.on_schedule()
    check = watched.drifting.checks(VIEWER, "flowers", 1)[0]
    report = watched.drifting.report(check)
    assert (check.state, check.event, report.retrain) == ("drift", True, True)
    assert "what it predicts" in report.words
    assert [one.id for one in told] == [check.id]
    assert [one.id for one in watched.drifting.events(VIEWER, clock.now - timedelta(days=1))] == [check.id]
    # Still so an hour later: no second event; sooner, it is not even looked at.
    watched.drifting.on_schedule()
    clock.advance(hours=2)
    watched.drifting.on_schedule()
    assert [one.event for one in watched.drifting.checks(VIEWER, "flowers", 1)] == [False, True, False]


def test_a_file_is_compared_and_its_predictions_too(watched: App) -> None:
    watched.settings.task_mode = TaskMode.THREAD
    watched.runner.start()
    body = table(2.0, 300).assign(extra="x").to_csv(index=False).encode()
    task = watched.drifting.compare_file(ANALYST, "flowers", 1, "later.csv", io.BytesIO(body))
    done = watched.runner.wait(task.id or 0, 60)
    assert done.status == TaskStatus.SUCCEEDED, done.error
    check = watched.drifting.checks(VIEWER, "flowers", 1)[0]
    assert (check.kind, check.title, check.state, check.rows) == ("file", "later.csv", "drift", 300)
    assert not check.event  # it says something about the file, not about production
    assert "prediction" in {one.role for one in watched.drifting.report(check).shifts}


def test_a_dataset_is_compared_with_limits_of_ones_own(watched: App) -> None:
    watched.settings.task_mode = TaskMode.THREAD
    watched.runner.start()
    brought = (table(0.5, 300), table(0.0, 300, seed=4))
    first = dataset(watched, brought[0])
    dataset(watched, brought[1], into=first)
    versions = watched.datasets.get(VIEWER, first)[1]
    states = []
    for version, limits in ((versions[1].hash, None), (versions[1].hash, Thresholds(4, 5)), (None, None)):
        task = watched.drifting.compare_dataset(ANALYST, "flowers", 1, first, version, limits)
        assert watched.runner.wait(task.id or 0, 60).status == TaskStatus.SUCCEEDED
        check = watched.drifting.checks(VIEWER, "flowers", 1)[0]
        assert (check.kind, check.title, check.rows, check.event) == ("dataset", "later", 300, False)
        report = watched.drifting.report(check)
        states.append(({one.state for one in report.shifts if one.role == "feature"}, report.limits.watch))
    assert states == [({"drift"}, 0.1), ({"ok"}, 4.0), ({"ok"}, 0.1)]
    with pytest.raises(Invalid, match=FLOWERS.names[1]):
        watched.drifting.compare_dataset(ANALYST, "flowers", 1, dataset(watched, table()[[FLOWERS.names[0]]]))
    with pytest.raises(NotFound):
        watched.drifting.compare_dataset(ANALYST, "flowers", 1, 99)
    with pytest.raises(Invalid, match="do not go together"):
        watched.drifting.compare_dataset(ANALYST, "flowers", 1, first, None, Thresholds(0.5, 0.2))


def dataset(app: App, frame: pd.DataFrame, into: int | None = None) -> int:
    task = app.datasets.upload(ANALYST, "later.csv", io.BytesIO(frame.to_csv(index=False).encode()), into=into)
    return int(app.runner.wait(task.id or 0, 60).result["dataset"])


def test_limits_are_settings_and_a_check_with_others_is_a_trial(watched: App) -> None:
    asked(watched, table(0.5, seed=1))
    tried = watched.drifting.check(ANALYST, "flowers", 1, thresholds=Thresholds(4, 5))
    assert (tried.kind, tried.state, tried.event) == ("tried", "ok", False)
    check = watched.drifting.check(ANALYST, "flowers", 1)
    assert (check.kind, check.state, check.event) == ("asked", "drift", True)
    watched.settings.drift_watch = watched.settings.drift_limit = 5
    again = watched.drifting.check(ANALYST, "flowers", 1)
    assert (again.kind, again.state, again.event) == ("asked", "ok", True)


def test_a_version_made_elsewhere_learns_its_reference_once(app: App) -> None:
    register(app)
    with pytest.raises(Conflict, match="bring the table"):
        app.drifting.check(ANALYST, "flowers", 1)
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    body = table(0.0, 300).assign(species="setosa").to_csv(index=False).encode()
    task = app.drifting.learn_reference(ANALYST, "flowers", 1, "train.csv", io.BytesIO(body))
    assert app.runner.wait(task.id or 0, 60).status == TaskStatus.SUCCEEDED
    kept = app.models.get(VIEWER, "flowers", 1).reference
    assert set(kept) == {"rows", "columns", "prediction", "target"}
    with pytest.raises(Conflict, match="already"):
        app.drifting.learn_reference(ANALYST, "flowers", 1, "train.csv", io.BytesIO(body))


def test_nothing_asked_and_wrong_roles_are_told(watched: App) -> None:
    with pytest.raises(Invalid, match="not asked anything"):
        watched.drifting.check(ANALYST, "flowers", 1)
    with pytest.raises(Forbidden):
        watched.drifting.check(VIEWER, "flowers", 1)
    for name, words in (("../x.csv", "path"), ("x.exe", "save it as")):
        with pytest.raises(Invalid, match=words):
            watched.drifting.compare_file(ANALYST, "flowers", 1, name, io.BytesIO(b"x"))
