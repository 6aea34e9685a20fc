import json

import numpy as np
import pytest
from sklearn import metrics as reference

from lib.errors import Invalid
from lib.training import explain, metrics, results, trainer
from lib.training import plan as plans
from lib.training.card import card
from tests.training.tables import Clock, churn, prices

QUICK = {"trials": 0, "folds": 3, "families": ("linear", "kernel")}


@pytest.fixture(scope="module")
def classes():
    frame = churn(400)
    return frame, trainer.train(frame, plans.begin(frame, "left", **QUICK), now=Clock())


@pytest.fixture(scope="module")
def number():
    frame = prices(400)
    return frame, trainer.train(frame, plans.begin(frame, "price", **QUICK), now=Clock())


def test_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, 300)
    chance = np.round(np.clip(target * 0.3 + rng.random(300) * 0.7, 0, 1), 1)  # many ties
    out = chance[:, None]
    said = chance >= 0.5
    expected = {
        "roc_auc": reference.roc_auc_score(target, chance),
        "average_precision": reference.average_precision_score(target, chance),
        "f1": reference.f1_score(target, said),
        "accuracy": reference.accuracy_score(target, said),
        "balanced_accuracy": reference.balanced_accuracy_score(target, said),
        "neg_log_loss": -reference.log_loss(target, chance),
        "neg_brier": -reference.brier_score_loss(target, chance),
    }
    assert {name: metrics.score(name, target, out) for name in expected} == pytest.approx(expected, abs=1e-9)


def test_results_are_json_and_agree_with_each_other(classes):
    frame, outcome = classes
    found = results.of(outcome, frame)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    by_name = {one["name"]: one for one in found["metrics"]}
    chosen = by_name["roc_auc"]
    assert chosen["chosen"] and chosen["low"] < chosen["value"] < chosen["high"]
    assert chosen["value"] == pytest.approx(outcome.model.scores["roc_auc"], abs=1e-5)
    assert found["curves"][0]["auc"] == pytest.approx(chosen["value"], abs=1e-5)
    counts = np.array(found["confusion"]["counts"])
    assert counts.sum() == len(outcome.target)
    assert np.trace(counts) / counts.sum() == pytest.approx(by_name["accuracy"]["value"], abs=1e-5)
    assert sum(found["calibration"]["count"]) == len(outcome.target) and found["calibration"]["ece"] < 0.15


def test_residuals_of_a_number(number):
    frame, outcome = number
    found = results.of(outcome, frame)
    assert json.dumps(found, allow_nan=False)
    assert sum(found["residuals"]["histogram"]["counts"]) == len(outcome.target)
    assert found["residuals"]["half_within"] < found["residuals"]["nine_in_ten_within"]
    rmse = next(one for one in found["metrics"] if one["name"] == "neg_rmse")
    assert rmse["smaller_is_better"] and 0 < rmse["low"] < rmse["high"]


def test_a_slice_that_errs_is_found_and_chance_is_not_called_sure(number):
    frame, outcome = number
    noise = np.random.default_rng(1).normal(0, 100, len(outcome.target))
    outcome = plans.replace(outcome, out=(outcome.target + noise)[:, None])
    assert not any(one["sure"] for one in results.slices(outcome, frame))
    out = outcome.out.copy()
    out[(frame["place"] == "north").to_numpy()[outcome.rows]] *= 3
    spoiled = results.slices(plans.replace(outcome, out=out), frame)
    assert spoiled[0]["sure"] and (spoiled[0]["column"], spoiled[0]["value"]) == ("place", "north")


def test_importance_dependence_and_shares_tell_what_matters(classes):
    frame, outcome = classes
    ranked = explain.importance(outcome.model, frame, repeats=2)
    assert {ranked[0]["column"], ranked[1]["column"]} == {"age", "plan"} and ranked[0]["drop"] > 0.05
    grows = explain.dependence(outcome.model, frame, "age")["mean"]["yes"]
    assert grows[-1] > grows[0] + 0.2
    assert explain.dependence(outcome.model, frame, "plan")["values"] == ["basic", "plus", "pro"]
    told = explain.shap_values(outcome.model, frame, frame.head(2), background=5)
    for one in told:
        assert one["base"] + sum(share["share"] for share in one["shares"]) == pytest.approx(one["said"], abs=1e-3)
    assert explain.shap_summary(told)[0]["column"] in ("age", "plan")
    assert json.dumps([ranked, told], allow_nan=False)


def test_wide_tables_are_explained_as_far_as_time_goes(classes, monkeypatch):
    frame, outcome = classes
    monkeypatch.setattr(explain, "_AT_ONCE_CELLS", 1)
    one_by_one = explain.importance(outcome.model, frame, repeats=2)
    assert {one["column"] for one in one_by_one} == set(outcome.model.schema.roles)
    few = explain.importance(outcome.model, frame, repeats=2, left_s=lambda: 0.0)
    assert [one["column"] for one in few] == ["plan"] and few[0]["drop"] > 0.02
    monkeypatch.setattr(explain, "MOST_EXPLAINED", 2)
    with pytest.raises(Invalid, match="would take hours"):
        explain.shap_values(outcome.model, frame, frame.head(1))


def test_more_rows_help_and_the_curve_says_so():
    curve = results.learning_curve(churn(800), plans.begin(churn(800), "left", folds=3), Clock(), (0.05, 0.3, 1.0))
    assert [one["rows"] for one in curve] == [40, 240, 800] and curve[-1]["value"] > curve[0]["value"] - 0.05
    assert curve[-1]["high"] - curve[-1]["low"] < curve[0]["high"] - curve[0]["low"]


def test_runs_side_by_side_name_the_better_one_and_whether_that_is_clear(classes):
    frame, outcome = classes
    good = results.of(outcome, frame)
    rng = np.random.default_rng(0)
    bad = results.of(plans.replace(outcome, out=rng.random(outcome.out.shape)), frame)
    row = next(one for one in results.compare({"a": good, "b": bad})["rows"] if one["metric"] == "roc_auc")
    assert row["best"] == "a" and row["clear"]
    same = next(one for one in results.compare({"a": good, "b": good})["rows"] if one["metric"] == "neg_log_loss")
    assert not same["clear"]


def test_a_card_says_it_all_and_names_from_files_stay_text(classes):
    frame, outcome = classes
    told = card(outcome.model, results.of(outcome, frame), name="<b>churn</b>\n# x", facts={"Data": "abc"})
    for words in ("Predicts `left`", "ROC AUC", "95% interval", "Where it errs", "- Data: abc", "| age | numeric |"):
        assert words in told
    assert "<b>" not in told.replace("\\<b\\>", "") and "\n# x" not in told
