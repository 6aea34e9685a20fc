import ast
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lib.errors import Invalid
from lib.training import plan as plans
from lib.training import trainer
from lib.training.plan import Plan, Problem, Step, validate
from lib.training.schema import Role, Task, detect_task, guess_roles
from lib.training.script import script
from tests.training.tables import Clock, churn, prices

ROLES = {"age": "numeric", "plan": "category", "left": "target"}


def messages(plan, columns=None, fatal=True):
    return " ".join(p.message for p in validate(plan, columns or ROLES) if p.fatal is fatal)


def test_a_plan_survives_json():
    plan = Plan("left", ROLES, Task.BINARY, (Step("clip", ("age",), "", {"share": 0.01}), *plans.USUAL_STEPS), folds=4)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize("held", [{}, {"target": "x"}, {**Plan("a", {}).to_json(), "more": 1}])
def test_what_is_no_plan_is_refused(held):
    with pytest.raises(Invalid, match="This is no pipeline"):
        Plan.from_json(held)


def test_a_good_plan_has_no_problems_nor_have_templates():
    plan = plans.begin(churn(100), "left", task=Task.BINARY)
    roles = guess_roles(churn(100), "left")
    assert validate(plan, roles) == []
    assert all(validate(one, roles) == [] for one in plans.templates(plan).values())


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan("gone", {"age": "numeric"}), "The target 'gone' is no column"),
        (Plan("left", {**ROLES, "left": "category"}), "both target and feature"),
        (Plan("left", {"left": "target"}), "No column is left to learn from; give one a role"),
        (Plan("left", ROLES, steps=(Step("drop", ("age", "plan")),)), "No column is left"),
        (Plan("left", ROLES, steps=(Step("impute", ("left",)),)), "the target is no feature"),
        (Plan("left", ROLES, steps=(Step("drop", ("age",)), Step("clip", ("age",)))), "left out by an earlier step"),
        (Plan("left", ROLES, steps=(Step("encode", ("age",)),)), "age is numeric, not category"),
        (Plan("left", ROLES, steps=(Step("scale", ("plan",)),)), "plan is category, not numeric"),
        (Plan("left", ROLES, steps=(Step("impute", (), "best"),)), "'best' is none of auto"),
        (Plan("left", ROLES, steps=(Step("magic"),)), "There is no step 'magic'"),
        (Plan("left", ROLES, steps=(Step("clip", (), "", {"share": 2}),)), "share must be between"),
        (Plan("left", ROLES, Task.REGRESSION, (Step("balance"),)), "a number has no classes"),
        (Plan("left", ROLES, Task.BINARY, metric="r2"), "does not suit a binary task"),
        (Plan("left", {**ROLES, "plan": "time", "age": "time"}), "Only one column can be the time"),
        (Plan("left", ROLES, families=("magic",)), "no model family 'magic'"),
        (Plan("left", ROLES, budget_s=0.5), "not between 5 s and 6 h"),
        (Plan("left", {**ROLES, "other": "numeric"}), "Not in this table: other"),
    ],
)
def test_what_keeps_a_plan_from_running_is_said(plan, words):
    assert words in messages(plan)
    with pytest.raises(Invalid):
        plans.require_valid(plan, ROLES)


def test_identifiers_and_words_called_numbers_are_warned_of():
    columns = {**ROLES, "id": Role.IDENTIFIER, "note": Role.TEXT}
    warned = messages(Plan("left", {**ROLES, "id": "numeric", "note": "numeric"}), columns, fatal=False)
    assert "id seems to name rows" in warned and "note is called a number but holds text" in warned


def test_problems_name_their_step():
    plan = Plan("left", ROLES, steps=(Step("impute"), Step("encode", ("gone",))))
    assert Problem("Encode categories of gone: not in this table: gone.", True, 1, ("gone",)) in validate(plan, ROLES)


def test_roles_are_read_from_values():
    frame = prices(200).assign(
        number=range(200), code=[f"X{n:05d}" for n in range(200)], same=1, flag=[True, False] * 100
    )
    frame["day"] = frame["day"].dt.strftime("%Y-%m-%d")
    roles = guess_roles(frame, "price")
    assert {n: roles[n] for n in ("size", "place", "day", "text", "number", "code", "same", "flag", "price")} == {
        "size": "numeric", "place": "category", "day": "date", "text": "text", "number": "identifier",
        "code": "identifier", "same": "ignore", "flag": "category", "price": "target",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1] * 50, Task.BINARY),
        (["yes", "no"] * 50, Task.BINARY),
        ([True, False] * 50, Task.BINARY),
        ([0, 1, 2, 3] * 25, Task.MULTICLASS),
        (["a", "b", "c"] * 30, Task.MULTICLASS),
        ([n / 7 for n in range(100)], Task.REGRESSION),
        (list(range(100)), Task.REGRESSION),
        ([str(n / 3) for n in range(100)], Task.REGRESSION),
    ],
)
def test_the_task_is_read_from_the_target(values, task):
    assert detect_task(pd.Series(values, name="target")) == task


def run_script(folder, text, frame):
    """What a script says, and its predictions of the table it fits."""
    (folder / "pipeline.py").write_text(text)
    frame.to_parquet(folder / "table.parquet")
    done = subprocess.run(
        [sys.executable, "-I", "pipeline.py", "table.parquet", "table.parquet"], cwd=folder, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Warning" not in done.stderr
    return done.stdout, pd.read_csv(folder / "predictions.csv", float_precision="round_trip")


def alike(model, frame, predicted):
    target = model.schema.target
    if model.task == Task.REGRESSION:
        return np.allclose(predicted[target], model.predict(frame), rtol=1e-9)
    same = np.allclose(predicted.iloc[:, 1:], model.probabilities(frame), atol=1e-9)
    return same and predicted[target].tolist() == model.predict(frame).tolist()


@pytest.mark.parametrize("family", ["linear", "forest", "histogram", "xgboost", "network", "kernel"])
@pytest.mark.parametrize(("frame", "target", "by"), [(churn(200), "left", None), (prices(200), "price", "day")])
def test_an_exported_script_runs_by_itself_and_predicts_as_the_model_does(tmp_path, family, frame, target, by):
    roles = {**guess_roles(frame, target), **({by: "time"} if by else {})}
    # One model alone: the score of several is of weights found without the fold.
    plan = Plan(target, roles, trials=0, folds=3, families=(family,), ensemble=False, calibrate=False)
    model = trainer.train(frame, plan, now=Clock()).model
    told, predicted = run_script(tmp_path, script(model.plan, model), frame)
    assert alike(model, frame, predicted)
    name, metric = ("ROC AUC", "roc_auc") if target == "left" else ("R2", "r2")
    score = f"{model.scores[metric]:.4f}"
    assert f"{name} on rows not seen: {score} ({score} in the app)" in told


@pytest.mark.parametrize(
    ("rows", "chosen", "step", "roles"),
    [
        (300, {"tune_threshold": True, "holdout": 0.2}, "undersample", {}),
        (300, {"threads": 2, "families": ("linear", "forest", "xgboost")}, "oversample", {"visits": "group"}),
        # Of more rows than these the first fold's model is the one that looked when to stop.
        (4000, {"families": ("xgboost", "histogram", "network"), "metric": "neg_log_loss"}, "weights", {}),
    ],
)
def test_the_script_of_an_ensemble_weighs_calibrates_and_decides_as_it_does(tmp_path, rows, chosen, step, roles):
    frame = churn(rows, rare=True)
    if rows > 1000:
        frame.loc[frame.visits > 6, "left"] = "many visits"
    steps = (Step("balance", method=step), *plans.USUAL_STEPS)
    plan = Plan("left", {**guess_roles(frame, "left"), **roles}, None, steps, trials=0, folds=2, **chosen)
    model = trainer.train(frame, plan, now=Clock()).model
    assert len(model.members) > 1
    told, predicted = run_script(tmp_path, script(model.plan, model), frame)
    assert alike(model, frame, predicted)
    if plan.holdout:
        score = f"{model.scores['roc_auc']:.4f}"
        assert f"ROC AUC on rows not seen: {score} ({score} in the app)" in told


def test_a_script_has_no_name_twice_nothing_of_the_app_and_says_what_may_differ():
    frame = churn(60)
    plan = plans.begin(frame, "left", trials=0, folds=2, families=("linear",))
    model = trainer.train(frame, plan, now=Clock()).model
    text = script(model.plan, model)
    names = [n.name for n in ast.parse(text).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    assert len(names) == len(set(names))
    assert "lib.training" not in text
    assert "its predictions are the app's when" in text.replace("\n", " ")
    before = plans.replace(model, members=tuple(plans.replace(one, fits=()) for one in model.members))
    assert "its predictions differ a little" in script(model.plan, before).replace("\n", " ")


def test_a_table_of_the_target_alone_is_told_so():
    assert "more than the target" in messages(Plan("left", {"left": "target"}), {"left": "target"})


def test_a_plan_never_trained_exports_one_model_of_each_family():
    plan = plans.begin(churn(100), "left", task=Task.BINARY)
    text = script(plan)
    compile(text, "pipeline.py", "exec")
    assert "its predictions differ from these" in text.replace("\n", " ")
    with pytest.raises(Invalid, match="Choose the task"):
        script(plans.replace(plan, task=None))


def test_nothing_is_said_of_an_identifier_that_a_step_leaves_out():
    plan = Plan("left", {**ROLES, "id": "numeric"}, steps=(Step("drop", ("id",)), *plans.USUAL_STEPS))
    assert messages(plan, {**ROLES, "id": Role.IDENTIFIER}, fatal=False) == ""
