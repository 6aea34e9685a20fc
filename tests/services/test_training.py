from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import GUEST, Actor, Role
from lib.db.tables import TaskStatus
from lib.errors import ArtefactRefused, Conflict, Forbidden, Invalid, NotFound
from lib.registry.bundles import load_bundle
from lib.services import training_jobs
from lib.services.training import Table
from lib.settings import TaskMode
from lib.training import plan as plans
from tests.training.tables import churn

ANN, BOB, VIEWER = Actor("ann", Role.ANALYST), Actor("bob", Role.ANALYST), Actor("vera", Role.VIEWER)


@pytest.fixture
def ready(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    return app


@pytest.fixture
def table(tmp_path: Path) -> Table:
    path = tmp_path / "churn.parquet"
    churn(200).to_parquet(path)
    return Table(path, "churn", "abc123", 7)


def plan(**chosen: object) -> plans.Plan:
    quick = {"trials": 0, "folds": 2, "families": ("linear",), "budget_s": 30.0, **chosen}
    return plans.begin(churn(200), "left", **quick)


def test_a_run_leaves_a_model_results_and_a_card(ready: App, table: Table) -> None:
    run = ready.training.start(ANN, plan(), table, "Churn")
    task = ready.runner.wait(run.task_id, 60)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    run = ready.training.get(VIEWER, run.id)
    assert run.status == "succeeded" and run.metric == "roc_auc" and (run.score or 0) > 0.7
    kinds = [one["kind"] for one in ready.training.live(VIEWER, run.id)]
    assert kinds[0] == "start" and kinds[-1] == "done" and "usable" in kinds
    scores = [row["score"] for row in ready.training.board(VIEWER, run.id) if row["family"] != "ensemble"]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    assert ready.training.card(VIEWER, run.id).startswith("# Churn")
    model = load_bundle(ready.training.bundle(VIEWER, run.id))
    assert model.predict(churn(5)).shape == (5,)
    compile(ready.training.script(VIEWER, run.id), "pipeline.py", "exec")
    task = ready.training.explain(ANN, run.id, "dependence", "age")
    assert ready.runner.wait(task.id or 0, 60).status == TaskStatus.SUCCEEDED
    assert ready.training.view(VIEWER, run.id, "dependence", "age")["column"] == "age"
    assert ready.training.view(VIEWER, run.id, "dependence", "income") is None
    with pytest.raises(Conflict, match="running or done"):
        ready.training.resume(ANN, run.id)
    with pytest.raises(Forbidden):
        ready.training.remove(BOB, run.id)
    ready.training.remove(ANN, run.id)
    assert ready.training.list(VIEWER) == []
    with pytest.raises(NotFound):
        ready.training.get(VIEWER, run.id)


def test_a_killed_child_goes_on_from_its_finished_folds(app: App, table: Table) -> None:
    app.settings.task_mode = TaskMode.CHILD
    app.runner.start()
    run = app.training.start(ANN, plan(families=("linear", "network"), trials=None, budget_s=600.0), table)
    home = app.training.folder / run.id / training_jobs.FOLDS
    waited = 0
    while len(list(home.glob("*.npz")) if home.is_dir() else []) < 3 and waited < 600:
        time.sleep(0.1)
        waited += 1
    app.runner.cancel(run.task_id)
    app.runner.wait(run.task_id, 20)
    kept = {path.name for path in home.glob("*.npz")}
    assert len(kept) >= 3 and app.training.get(VIEWER, run.id).status == "cancelled"
    with pytest.raises(ArtefactRefused, match="no model yet"):
        app.training.bundle(VIEWER, run.id)
    again = app.training.resume(ANN, run.id)
    assert again.id == run.id and again.task_id != run.task_id
    for _ in range(600):
        lines = [one["message"] for one in app.runner.log(again.task_id)]
        if any("folds of an earlier run" in line for line in lines):
            break
        time.sleep(0.1)
    app.runner.cancel(again.task_id)
    app.runner.wait(again.task_id, 20)
    assert any(f"Going on after {len(kept)} folds" in line for line in lines)


def test_kept_folds_of_another_plan_or_torn_ones_are_not_taken_up(tmp_path: Path) -> None:
    first = training_jobs._Kept(tmp_path, {"plan": 1})
    first.write("Linear 1 fold 0", {"rounds": 0}, {"weight0": np.ones((2, 1))})
    first.write("Linear 1 fold 1", {"rounds": 0}, {"weight0": np.ones((2, 1))})
    torn = sorted(tmp_path.glob("*.npz"))[0]
    torn.write_bytes(torn.read_bytes()[:40])
    assert len(first.read()) == 1
    assert training_jobs._Kept(tmp_path, {"plan": 2}).read() == {}


def test_rights_and_names_are_checked(ready: App, table: Table) -> None:
    with pytest.raises(Forbidden):
        ready.training.start(VIEWER, plan(), table)
    with pytest.raises(Forbidden):
        ready.training.list(GUEST)
    for name in ("../../etc", "a" * 16, ""):
        with pytest.raises(NotFound):
            ready.training.get(VIEWER, name)
    with pytest.raises(Invalid, match="no column of this table"):
        ready.training.start(ANN, plans.replace(plan(), target="gone"), table)
    assert not list(ready.training.folder.glob("*"))


def test_a_table_nothing_can_be_learnt_from_fails_with_the_reason(ready: App, tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    churn(200).assign(left="yes").to_parquet(path)
    run = ready.training.start(ANN, plan(), Table(path, "one"))
    task = ready.runner.wait(run.task_id, 60)
    assert task.status == TaskStatus.FAILED and "single class, 'yes'" in task.error
    assert ready.training.results(VIEWER, run.id) is None
    assert ready.training.resume(ANN, run.id).status in ("pending", "running", "failed")
    ready.runner.wait(ready.training.get(VIEWER, run.id).task_id, 60)


def test_runs_are_compared_side_by_side(ready: App, table: Table) -> None:
    runs = [ready.training.start(ANN, plan(seed=seed), table, f"seed {seed}") for seed in (0, 1)]
    for run in runs:
        task = ready.runner.wait(run.task_id, 60)
        assert task.status == TaskStatus.SUCCEEDED, task.error
    found = ready.training.compare(VIEWER, [run.id for run in runs])
    assert json.dumps(found) and found["same_task"] and set(found["names"].values()) == {"seed 0", "seed 1"}
    with pytest.raises(Invalid, match="Choose 2 to 6"):
        ready.training.compare(VIEWER, [runs[0].id])
