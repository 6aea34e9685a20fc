from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlmodel import select

from lib.app import App
from lib.auth.actor import GUEST, Actor, Role
from lib.datasets.schema import Role as ColumnRole
from lib.db.tables import AuditEntry, TaskStatus
from lib.errors import AppError, Conflict, Forbidden, Invalid, NotFound
from lib.settings import TaskMode
from lib.training import editing
from lib.training.plan import Plan, Step, replace
from lib.training.review import mend
from tests.training.tables import churn, prices

ANN, BOB = Actor("ann", Role.ANALYST), Actor("bob", Role.ANALYST)
VIEWER, OPERATOR = Actor("vera", Role.VIEWER), Actor("olga", Role.OPERATOR)


@pytest.fixture
def ready(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    return app


def brought(app: App, frame: pd.DataFrame, name: str = "churn.csv", into: int | None = None) -> int:
    body = frame.to_csv(index=False).encode()
    task = app.datasets.upload(ANN, name, io.BytesIO(body), into=into)
    task = app.runner.wait(task.id or 0, 60)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    return int(task.result["dataset"])


def plan_of(app: App, dataset: int, target: str = "left") -> Plan:
    quick = app.pipelines.templates(ANN, dataset, None, target)["First look"]
    return replace(quick, families=("linear",), folds=3)


def test_each_save_is_a_version_and_the_same_content_the_same_one(ready: App) -> None:
    dataset = brought(ready, churn(60))
    plan = plan_of(ready, dataset)
    first = ready.pipelines.save(ANN, plan, dataset, name="Churn")
    second = ready.pipelines.save(BOB, editing.moved(plan, 0, 2), dataset, into=first.id, base=first.version.hash)
    assert (second.id, second.version.number, second.version.by) == (first.id, 2, "bob")
    assert ready.pipelines.open(VIEWER, first.id).plan == editing.moved(plan, 0, 2)
    assert ready.pipelines.open(VIEWER, first.id, first.version.hash[:8]).plan == plan
    told = ready.pipelines.compare(VIEWER, first.id, first.version.hash, second.version.hash)
    assert [(one.what, one.before, one.after) for one in told] == [("Split dates into parts", "place 1", "place 3")]
    back = ready.pipelines.save(ANN, plan, dataset, into=first.id)
    listed, history = ready.pipelines.get(VIEWER, first.id)
    assert back.version == first.version and listed.head.number == 1 and [one.number for one in history] == [2, 1]
    assert [one.name for one in ready.pipelines.list(VIEWER)] == ["Churn"]
    with ready.database.session() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "pipeline.save")).all()
    assert [one.actor for one in entries] == ["ann", "bob", "ann"]


def test_a_change_somebody_else_saved_meanwhile_is_not_overwritten(ready: App) -> None:
    dataset = brought(ready, churn(60))
    plan = plan_of(ready, dataset)
    first = ready.pipelines.save(ANN, plan, dataset, name="Churn")
    ready.pipelines.save(BOB, editing.removed(plan, 0), dataset, into=first.id, base=first.version.hash)
    with pytest.raises(Conflict, match="bob saved another version"):
        ready.pipelines.save(ANN, editing.removed(plan, 1), dataset, into=first.id, base=first.version.hash)
    with pytest.raises(Conflict, match="called 'Churn' already"):
        ready.pipelines.save(ANN, plan, dataset, name=" Churn ")


def test_many_saving_at_once_lose_and_double_nothing(ready: App) -> None:
    dataset = brought(ready, churn(60))
    plan = plan_of(ready, dataset)
    first = ready.pipelines.save(ANN, plan, dataset, name="Churn")

    def save(seed: int) -> None:
        for _ in range(2):
            ready.pipelines.save(ANN, replace(plan, seed=seed), dataset, into=first.id)

    threads = [threading.Thread(target=save, args=(seed,)) for seed in range(1, 9)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    _, history = ready.pipelines.get(ANN, first.id)
    assert [one.number for one in history] == list(range(9, 0, -1)) and len({one.hash for one in history}) == 9


def test_roles_of_the_dataset_come_before_what_values_suggest(ready: App) -> None:
    frame = churn(80)
    frame["number"], frame["at"] = range(80), pd.date_range("2026-01-01", periods=80).astype(str)
    dataset = brought(ready, frame)
    version = ready.datasets.set_roles(ANN, dataset, {"visits": ColumnRole.IGNORE, "left": ColumnRole.TARGET})
    plan = ready.pipelines.templates(ANN, dataset, version)["Balanced"]
    assert plan.target == "left" and plan.roles["visits"] == "ignore" and plan.roles["at"] == "time"
    assert plan.roles["number"] == "identifier" and plan.roles["plan"] == "category"
    assert ready.pipelines.check(VIEWER, plan, dataset).findings == ()
    with pytest.raises(Invalid, match="no column 'nothing'"):
        ready.pipelines.templates(ANN, dataset, None, "nothing")


def test_leaks_in_the_data_keep_a_pipeline_from_being_trained(ready: App) -> None:
    frame = churn(100)
    frame["gone"] = frame.left.map({"yes": "j", "no": "n"})
    dataset = brought(ready, frame)
    plan = plan_of(ready, dataset)
    found = ready.pipelines.check(VIEWER, plan, dataset)
    assert [(one.columns, one.fatal) for one in found.findings] == [(("gone",), True)]
    kept = ready.pipelines.save(ANN, plan, dataset, name="leaky")
    for refused in (ready.pipelines.train, ready.pipelines.script):
        with pytest.raises(Invalid, match="gone is the target in other words"):
            refused(ANN, kept.id)
    assert found.facts is not None
    assert ready.pipelines.check(VIEWER, mend(plan, found.findings[0], found.facts), dataset).ready


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["x"] * 60, "single class"),
        ([""] * 50 + ["x", "y"] * 5, "at least 20"),
        ([1.0] * 60, "the same|single class|1 in each row"),
        (["1.5", "2.5", "3.5", "x", "y", "z", "4.5", "5.5", "6.5", "a", "b", "c"] * 5, "mixes"),
    ],
)
def test_a_target_that_cannot_be_learnt_says_why(ready: App, values: list[object], why: str) -> None:
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=60), "y": values})
    dataset = brought(ready, frame)
    found = ready.pipelines.check(VIEWER, Plan("y", {"a": "numeric", "y": "target"}), dataset)
    assert not found.ready and re.search(why, found.findings[0].message), found.findings


def test_the_script_scores_as_the_training_does(ready: App, tmp_path: Path) -> None:
    frame = churn(240)
    dataset = brought(ready, frame)
    kept = ready.pipelines.save(ANN, plan_of(ready, dataset), dataset, name="Churn")
    run = ready.pipelines.train(ANN, kept.id)
    assert ready.runner.wait(run.task_id, 60).status == TaskStatus.SUCCEEDED
    trained = ready.training.get(VIEWER, run.id)
    assert [one.id for one in ready.pipelines.runs(VIEWER, kept.id)] == [run.id]
    (tmp_path / "pipeline.py").write_text(ready.pipelines.script(VIEWER, kept.id))
    table = ready.datasets.open(VIEWER, dataset).path
    done = subprocess.run(
        [sys.executable, "pipeline.py", str(table)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = re.search(r"ROC AUC on rows not seen: ([\d.]+)", done.stdout)
    assert told and trained.metric == "roc_auc" and abs(float(told[1]) - (trained.score or 0)) < 0.03, done.stdout


def test_a_deleted_dataset_is_said_and_its_pipelines_can_still_be_kept(ready: App) -> None:
    dataset = brought(ready, churn(60))
    plan = plan_of(ready, dataset)
    kept = ready.pipelines.save(ANN, plan, dataset, name="Churn")
    assert [(one.kind, one.name) for one in ready.datasets.depending(ANN, dataset)] == [("pipeline", "Churn")]
    with pytest.raises(Conflict, match="pipeline Churn"):
        ready.datasets.delete(ANN, dataset)
    ready.datasets.delete(ANN, dataset, anyway=True)
    found = ready.pipelines.check(VIEWER, plan, dataset, kept.version.dataset_hash)
    assert not found.ready and "may have been deleted" in found.findings[0].message
    with pytest.raises(Invalid, match="may have been deleted"):
        ready.pipelines.train(ANN, kept.id)
    assert ready.pipelines.newer(ANN, dataset, kept.version.dataset_hash) is None
    again = ready.pipelines.save(ANN, editing.removed(plan, 0), dataset, kept.version.dataset_hash, into=kept.id)
    assert again.version.number == 2 and again.version.dataset == "churn"
    with pytest.raises(NotFound):
        ready.pipelines.save(ANN, plan, dataset, name="another")


def test_a_column_gone_in_a_newer_version_is_said_where_it_is_used(ready: App) -> None:
    dataset = brought(ready, churn(60))
    plan = replace(plan_of(ready, dataset), steps=(Step("clip", ("income",)), Step("encode")))
    kept = ready.pipelines.save(ANN, plan, dataset, name="Churn")
    brought(ready, churn(60).drop(columns="income").assign(fresh=1), into=dataset)
    newest = ready.pipelines.newer(VIEWER, dataset, kept.version.dataset_hash)
    assert newest and ready.pipelines.check(VIEWER, plan, dataset, kept.version.dataset_hash).ready
    rebased = ready.pipelines.rebased(ANN, plan, dataset, newest)
    assert rebased.roles["fresh"] == "ignore" and rebased.roles["income"] == "numeric"
    found = ready.pipelines.check(VIEWER, rebased, dataset, newest)
    assert {one.node for one in found.findings} == {"data", "step-0"} and found.facts is not None
    made = mend(rebased, found.findings[0], found.facts)
    assert ready.pipelines.check(VIEWER, made, dataset, newest).ready and len(made.steps) == 1


def edited(plan: Plan, **changed: object) -> dict[str, object]:
    return json.loads(json.dumps(plan.to_json())) | changed


@pytest.mark.parametrize(
    "changed",
    [
        {"steps": "all"},
        {"steps": [{"method": "x"}]},
        {"steps": [{"kind": ["a"]}]},
        {"steps": [{"kind": "clip", "columns": [1]}]},
        {"steps": [{"kind": "clip", "params": {"share": "0.1"}}]},
        {"steps": [{"kind": "clip", "params": {"share": float("nan")}}]},
        {"steps": [{"kind": "clip"}] * 61},
        {"roles": ["a"]},
        {"roles": {"a": 1}},
        {"roles": {"a\0": "numeric"}},
        {"roles": {"\ud800": "numeric"}},
        {"target": None},
        {"target": "x" * 300},
        {"task": "sorcery"},
        {"families": None},
        {"families": [3]},
        {"budget_s": "long"},
        {"budget_s": float("inf")},
        {"folds": 2.5},
        {"folds": True},
        {"seed": -1},
        {"trials": -1},
        {"ensemble": "yes"},
        {"surprise": 1},
    ],
)
def test_a_plan_edited_by_hand_is_refused_with_the_reason(changed: dict[str, object]) -> None:
    plan = Plan("y", {"a": "numeric", "y": "target"})
    assert Plan.from_json(edited(plan)) == plan
    with pytest.raises(Invalid, match=r"This is no pipeline: .{5}"):
        Plan.from_json(edited(plan, **changed))


def test_hostile_column_names_pass_through_untouched(ready: App, tmp_path: Path) -> None:
    hostile = [
        '"; DROP TABLE x; --',
        "'''+exit(1)+'''",
        "<img src=x onerror=alert(1)>",
        "a\\",
        "file_row_number",
        "{0!r}",
        "**b** $x$",
    ]
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=80) for name in hostile})
    frame["ta\"rg'et"] = np.where(frame.iloc[:, 0] + rng.normal(size=80) > 0, "yes", "no")
    dataset = brought(ready, frame)
    plan = plan_of(ready, dataset, "ta\"rg'et")
    kept = ready.pipelines.save(ANN, plan, dataset, name="<b>x</b>")
    assert ready.pipelines.check(VIEWER, plan, dataset).ready and set(hostile) < set(plan.roles)
    (tmp_path / "pipeline.py").write_text(ready.pipelines.script(VIEWER, kept.id))
    table = str(ready.datasets.open(VIEWER, dataset).path)
    done = subprocess.run(
        [sys.executable, "pipeline.py", table], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "ROC AUC" in done.stdout, done.stderr


def test_two_thousand_columns_are_judged_and_kept(ready: App) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 1999)).round(3), columns=[f"c{n}" for n in range(1999)])
    frame["y"] = rng.normal(size=60)
    dataset = brought(ready, frame)
    plan = plan_of(ready, dataset, "y")
    assert ready.pipelines.check(VIEWER, plan, dataset).findings == () and len(plan.roles) == 2000
    kept = ready.pipelines.save(ANN, plan, dataset, name="wide")
    assert ready.pipelines.open(VIEWER, kept.id).plan == plan


def test_deleting_shows_first_what_was_made_from_it(ready: App) -> None:
    dataset = brought(ready, churn(120))
    kept = ready.pipelines.save(ANN, plan_of(ready, dataset), dataset, name="Churn")
    run = ready.pipelines.train(ANN, kept.id, name="first try")
    with pytest.raises(Forbidden):
        ready.pipelines.delete(BOB, kept.id)
    with pytest.raises(Conflict, match="training first try"):
        ready.pipelines.delete(ANN, kept.id)
    ready.runner.wait(run.task_id, 60)
    ready.pipelines.delete(OPERATOR, kept.id, anyway=True)
    assert ready.pipelines.list(VIEWER) == [] and ready.training.get(VIEWER, run.id).name == "first try"
    with pytest.raises(NotFound):
        ready.pipelines.open(VIEWER, kept.id)
    with ready.database.session() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "pipeline.delete")).all()
    assert [one.outcome for one in entries] == ["refused", "ok"]


def test_who_may_do_what(ready: App) -> None:
    dataset = brought(ready, prices(60))
    plan = plan_of(ready, dataset, "price")
    kept = ready.pipelines.save(ANN, plan, dataset, name="Prices")
    assert ready.pipelines.check(VIEWER, plan, dataset).ready
    for asked in (
        lambda actor: ready.pipelines.save(actor, plan, dataset, name="mine"),
        lambda actor: ready.pipelines.train(actor, kept.id),
        lambda actor: ready.pipelines.delete(actor, kept.id),
    ):
        with pytest.raises(Forbidden):
            asked(VIEWER)
    for looked in (
        lambda: ready.pipelines.list(GUEST),
        lambda: ready.pipelines.open(GUEST, kept.id),
        lambda: ready.pipelines.check(GUEST, plan, dataset),
        lambda: ready.pipelines.script(GUEST, kept.id),
    ):
        with pytest.raises(Forbidden):
            looked()
    for number in (0, -1, 99, 2**40):
        with pytest.raises(NotFound):
            ready.pipelines.open(ANN, number)
    with pytest.raises(AppError):
        ready.pipelines.open(ANN, kept.id, "ab")
    with pytest.raises(Invalid, match="a name of 1"):
        ready.pipelines.save(ANN, plan, dataset, name="\n \u200b")
