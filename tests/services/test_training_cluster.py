"""Trainings on a real Dask cluster of two worker processes: the same model as here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.tables import TaskStatus
from lib.registry.bundles import load_bundle
from lib.services.training import Run, Table
from lib.services.training_cluster import Elsewhere
from lib.tasks.cluster import connected
from lib.training import learners, portfolio, trainer
from lib.training import plan as plans
from lib.training.model import Model
from lib.training.schema import Task
from tests.tasks.conftest import until
from tests.training.tables import churn

ANN, VIEWER = Actor("ann", Role.ANALYST), Actor("vera", Role.VIEWER)
FAMILIES = ("linear", "forest", "histogram", "xgboost")


@pytest.fixture
def table(tmp_path: Path) -> Table:
    path = tmp_path / "data" / "churn.parquet"
    path.parent.mkdir(exist_ok=True)
    churn(240).to_parquet(path)
    return Table(path, "churn", "abc123", 7)


def trained(app: App, table: Table, **chosen: Any) -> tuple[Run, Model, list[str]]:
    quick = {"trials": 0, "folds": 2, "families": FAMILIES, "budget_s": 60.0, **chosen}
    run = app.training.start(ANN, plans.begin(churn(240), "left", **quick), table)
    task = app.runner.wait(run.task_id, 90)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    lines = [line["message"] for line in app.runner.log(run.task_id)]
    return app.training.get(VIEWER, run.id), load_bundle(app.training.bundle(VIEWER, run.id)), lines


def test_a_training_on_the_cluster_gives_the_model_it_gives_here(app: App, table: Table, cluster: Any) -> None:
    app.runner.start()
    _run, here, _lines = trained(app, table)
    app.settings.dask_scheduler_address = cluster.scheduler_address
    run, there, lines = trained(app, table)
    assert any("candidates are fitted on 2 workers" in line for line in lines)
    assert not any("is fitted here" in line for line in lines)
    fresh = churn(100, seed=5)
    assert [m.name for m in there.members] == [m.name for m in here.members]
    assert np.array_equal(there.probabilities(fresh), here.probabilities(fresh))
    assert there.scores == here.scores
    assert [one["kind"] for one in app.training.live(VIEWER, run.id)][-1] == "done"


class Quiet:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        self.lines.append(message)


def elsewhere(client: Any, table: Table, plan: plans.Plan, rows: int) -> Elsewhere:
    return Elsewhere(client, Quiet(), table.path, plan, {}, lambda *_: None, rows)  # type: ignore[arg-type]


def test_a_worker_lost_with_a_candidate_changes_nothing_and_what_is_not_needed_ends(table: Table, cluster: Any) -> None:
    frame = churn(240)
    plan = plans.begin(frame, "left", trials=0, folds=3, families=("network",), budget_s=60.0)
    here = trainer.train(frame, plan, now=time.monotonic).model
    with connected(cluster.scheduler_address, 10) as client:
        far = elsewhere(client, table, plan, rows=10**6)
        begin, pids = far.ahead, client.run(os.getpid)

        def ahead(*told: Any) -> None:
            begin(*told)
            until(lambda: any(client.processing().values()))
            busy = next(worker for worker, fits in client.processing().items() if fits)
            os.kill(pids[busy], signal.SIGKILL)

        far.ahead = ahead  # type: ignore[method-assign]
        there = trainer.train(frame, plan, now=time.monotonic, elsewhere=far).model
        assert not any("fitted here" in line for line in far.context.lines)  # type: ignore[attr-defined]
        far.ahead = begin  # type: ignore[method-assign]
        far.kept.clear()
        far.ahead(portfolio.first(Task.BINARY, 240, 4, False, ("network",)), 240, 60.0)
        far.enough()
        until(lambda: not any(client.processing().values()))
        client.wait_for_workers(2, timeout=20)
    fresh = churn(50, seed=9)
    assert np.array_equal(there.probabilities(fresh), here.probabilities(fresh))


def test_large_tables_are_boosted_by_all_workers_together(table: Table, cluster: Any) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(600, 4)).astype(np.float32)
    target = (values[:, 0] - values[:, 1] + rng.logistic(0, 0.3, 600) > 0).astype(int)
    with connected(cluster.scheduler_address, 10) as client, client.as_current():
        far = elsewhere(client, table, plans.begin(churn(60), "left"), rows=500)
        spread, alone = (learners.Setting(Task.BINARY, 2, 0, lambda: 60.0, 1, one) for one in (far, None))
        before = client.run_on_scheduler(_transitions)
        few, rounds = learners.fit("xgboost", values, target, np.ones(600), {"rounds": 60}, spread)
        assert rounds == 60
        assert client.run_on_scheduler(_transitions) > before
        stopped, best = learners.fit("xgboost", values, target, None, {"rate": 0.3, "patience": 8}, spread)
        assert 1 <= best < 200
        before = client.run_on_scheduler(_transitions)
        learners.fit("xgboost", values[:400], target[:400], None, {"rounds": 5}, spread)
        assert client.run_on_scheduler(_transitions) == before  # few rows stay here
    here, _ = learners.fit("xgboost", values, target, np.ones(600), {"rounds": 60}, alone)
    assert np.corrcoef(here.predict(values)[:, 0], few.predict(values)[:, 0])[0, 1] > 0.97
    assert ((stopped.predict(values)[:, 0] > 0.5) == target).mean() > 0.85


def test_trees_of_a_forest_are_grown_on_the_workers(table: Table, cluster: Any) -> None:
    import joblib

    plan = plans.begin(churn(240), "left", trials=0, folds=2, families=("forest",), budget_s=60.0)
    here = trainer.train(churn(240), plan, now=time.monotonic).model
    with connected(cluster.scheduler_address, 10) as client, client.as_current():
        far = elsewhere(client, table, plan, rows=10**6)
        far.ahead = lambda *_: None  # type: ignore[method-assign]
        far.forest_rows = 50
        before = client.run_on_scheduler(_transitions)
        with joblib.parallel_config(backend="dask", n_jobs=1):
            there = trainer.train(churn(240), plan, now=time.monotonic, elsewhere=far).model
        assert client.run_on_scheduler(_transitions) > before + 50
    assert np.array_equal(there.probabilities(churn(50, seed=9)), here.probabilities(churn(50, seed=9)))


def _transitions(dask_scheduler: Any) -> int:
    return int(dask_scheduler.transition_counter)


def test_a_table_the_workers_do_not_see_is_shipped_and_what_fails_there_is_fitted_here(
    table: Table, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = churn(240)
    plan = plans.begin(frame, "left", trials=0, folds=2, families=("linear",), budget_s=30.0)
    with connected(cluster.scheduler_address, 10) as client:
        far = elsewhere(client, table, plan, rows=10**6)
        far.client.run = lambda *_: {"a": "", "b": "x"}  # type: ignore[method-assign]
        there = trainer.train(frame, plan, now=time.monotonic, elsewhere=far)
        assert any("shipped" in line for line in far.context.lines)  # type: ignore[attr-defined]
        assert not any("fitted here" in line for line in far.context.lines)  # type: ignore[attr-defined]
        lost = elsewhere(client, Table(table.path.with_name("none.parquet"), "x", "y", 1), plan, rows=10**6)
        monkeypatch.setattr(lost, "_data", lambda: "/nowhere/none.parquet")
        again = trainer.train(frame, plan, now=time.monotonic, elsewhere=lost)
        assert any("fitted here" in line for line in lost.context.lines)  # type: ignore[attr-defined]
    assert there.model.scores == again.model.scores
