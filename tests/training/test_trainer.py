import numpy as np
import pandas as pd
import pytest

from lib.errors import Invalid, NotEnoughData
from lib.registry.bundles import load_bundle, save_bundle
from lib.training import plan as plans
from lib.training import trainer
from lib.training.plan import Step
from lib.training.schema import Role, Task
from tests.training.tables import Clock, churn, prices

QUICK = {"trials": 0, "folds": 3, "families": ("linear", "kernel")}


def run(frame, target="target", clock=None, **chosen):
    return trainer.train(frame, plans.begin(frame, target, **{**QUICK, **chosen}), now=clock or Clock())


def test_two_classes_are_told_apart_and_read_back_the_same(tmp_path):
    frame = churn(300)
    outcome = run(frame, "left", families=plans.FAMILIES, folds=2)
    assert outcome.model.task == Task.BINARY and outcome.model.schema.classes == ("no", "yes")
    assert outcome.model.scores["roc_auc"] > 0.8
    fresh = churn(200, seed=5)
    save_bundle(outcome.model, tmp_path / "bundle")
    again = load_bundle(tmp_path / "bundle")
    assert np.array_equal(again.probabilities(fresh), outcome.model.probabilities(fresh))
    assert (again.predict(fresh) == outcome.model.predict(fresh)).all()
    assert (again.predict(fresh) == fresh["left"]).mean() > 0.7
    one_by_one = np.vstack([again.probabilities(fresh.iloc[[row]]) for row in range(20)])
    assert np.allclose(one_by_one, again.probabilities(fresh)[:20], atol=1e-6)


def test_a_skewed_number_with_gaps_dates_and_words():
    outcome = run(prices(400), "price", families=("linear", "histogram"))
    assert outcome.model.task == Task.REGRESSION and outcome.model.scores["r2"] > 0.7
    unseen = prices(200, seed=9)
    assert np.corrcoef(outcome.model.predict(unseen), unseen["price"])[0, 1] > 0.8


def test_several_classes_sum_to_one():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300)})
    frame["target"] = np.select([frame.a > 0.5, frame.b > 0.3], ["up", "side"], "down")
    model = run(frame).model
    chance = model.probabilities(frame)
    assert model.schema.classes == ("down", "side", "up") and np.allclose(chance.sum(axis=1), 1)
    assert model.scores["accuracy"] > 0.9


def test_chance_stays_chance_however_much_is_tried():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(300, 10)), columns=[f"c{n}" for n in range(10)])
    frame["word"] = rng.choice([f"w{n}" for n in range(80)], 300)
    frame["target"] = rng.integers(0, 2, 300)
    outcome = run(frame, trials=6, families=("linear", "xgboost", "kernel"))
    assert abs(outcome.model.scores["roc_auc"] - 0.5) < 0.08


def test_by_time_only_earlier_rows_are_learnt_from():
    rng = np.random.default_rng(1)
    at = pd.date_range("2026-01-01", periods=400, freq="h")
    frame = pd.DataFrame({"at": at, "a": rng.normal(size=400)})
    frame["target"] = frame.a * np.where(np.arange(400) < 200, 1, -1) + rng.normal(0, 0.1, 400)
    plan = plans.begin(frame, "target", **QUICK)
    outcome = trainer.train(frame, plans.replace(plan, roles={**plan.roles, "at": Role.TIME}), now=Clock())
    assert outcome.rows.min() >= 200
    # The relation turns round in the middle: shuffled folds would have hidden that the first stretches fail.
    first = outcome.fold == outcome.fold.min()
    assert np.corrcoef(outcome.out[first, 0], outcome.target[first])[0, 1] < 0


def test_groups_stay_on_one_side():
    frame = churn(300).assign(customer=np.arange(300) // 5)
    plan = plans.begin(frame, "left", **QUICK)
    outcome = trainer.train(frame, plans.replace(plan, roles={**plan.roles, "customer": Role.GROUP}), now=Clock())
    sides = pd.DataFrame({"customer": frame["customer"].iloc[outcome.rows].to_numpy(), "fold": outcome.fold})
    assert (sides.groupby("customer")["fold"].nunique() == 1).all()


def test_the_budget_ends_the_search_on_a_clock():
    clock = Clock(step=0.02)
    outcome = run(churn(300), "left", clock=clock, trials=None, budget_s=30.0, families=("linear",))
    assert 20 < outcome.took_s <= 31.5 and len(outcome.board) > 10


def test_a_first_usable_model_is_said_before_the_first_candidate_is_done():
    said = []
    frame = churn(200)
    trainer.train(frame, plans.begin(frame, "left", **QUICK), now=Clock(), event=lambda one: said.append(one["kind"]))
    assert said.index("usable") < said.index("candidate") < said.index("done")


def test_finished_folds_are_not_fitted_again():
    frame, kept = churn(300), {}
    plan = plans.begin(frame, "left", **QUICK)

    def keep(name, meta, arrays):
        kept[name] = (meta, arrays)
        if len(kept) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(frame, plan, now=Clock(), checkpoint=keep)
    again = []
    resumed = trainer.train(
        frame, plan, now=Clock(), restored=dict(kept), checkpoint=lambda name, *_rest: again.append(name)
    )
    whole = trainer.train(frame, plan, now=Clock())
    assert not set(again) & set(kept) and again
    assert np.allclose(resumed.out, whole.out)


def test_an_end_asked_for_gives_what_is_done_or_says_there_is_nothing():
    frame = churn(200)
    plan = plans.begin(frame, "left", **QUICK)
    with pytest.raises(trainer.Stopped):
        trainer.train(frame, plan, now=Clock(), stop=lambda: True)
    done = []
    outcome = trainer.train(
        frame, plan, now=Clock(), event=lambda one: done.append(one["kind"]), stop=lambda: "candidate" in done
    )
    assert done.count("candidate") == 1 and len(outcome.board) == 1


def test_held_out_rows_are_scored_once_at_the_end():
    outcome = run(churn(400), "left", holdout=0.25)
    assert outcome.held_out and 90 <= len(outcome.rows) <= 110


@pytest.mark.parametrize("how", ["weights", "oversample", "undersample"])
def test_balanced_classes_find_more_of_a_rare_one(how):
    frame = churn(600, rare=True)
    chosen = {"families": ("linear",), "tune_threshold": False, "calibrate": False}
    plain = run(frame, "left", **chosen)
    balanced = run(frame, "left", **chosen, steps=(*plans.USUAL_STEPS, plans.Step("balance", method=how)))
    assert balanced.model.scores["balanced_accuracy"] > plain.model.scores["balanced_accuracy"]


def test_a_copy_of_the_target_is_said():
    frame = churn(200)
    frame["closed"] = frame["left"].map({"yes": "gone", "no": "here"})
    assert any(note.startswith("closed gives left away") for note in run(frame, "left").notes)
    numbers = prices(200)
    numbers["taxed"] = numbers["price"] * 1.19
    assert any("taxed" in note for note in run(numbers, "price").notes)
    assert not run(churn(200), "left").notes


def test_odd_columns_are_left_out_or_lived_with():
    frame = churn(300)
    frame["empty"], frame["same"] = np.nan, 1
    frame["infinite"] = np.where(np.arange(300) % 7 == 0, np.inf, np.random.default_rng(0).normal(size=300))
    frame["many"] = [f"id-{n % 290}" for n in range(300)]
    model = run(frame, "left").model
    assert model.schema.left_out["empty"] == "empty" and model.schema.left_out["same"] == "the same in each row"
    assert np.isfinite(model.raw(frame.assign(many="never seen", infinite=-np.inf))).all()


def test_ten_thousand_categories_fit_in_memory_and_say_nothing():
    rng = np.random.default_rng(0)
    who = [f"user {n}-{n * 7919 % 10_007}" for n in rng.permutation(10_000)]
    frame = pd.DataFrame({"who": who, "a": rng.normal(size=10_000)})
    frame["target"] = (frame.a > 0).astype(int)
    plan = plans.begin(frame, "target", **{**QUICK, "families": ("linear",)})
    outcome = trainer.train(frame, plans.replace(plan, roles={**plan.roles, "who": Role.CATEGORY}), now=Clock())
    assert outcome.model.scores["roc_auc"] > 0.95


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda f: f.assign(left="yes"), Invalid, "single class, 'yes'"),
        (lambda f: f.head(1), NotEnoughData, "1 of 1 rows"),
        (lambda f: f.head(0), NotEnoughData, "0 of 0 rows"),
        (lambda f: f.assign(left=None), NotEnoughData, "0 of 200 rows"),
        (lambda f: f.assign(left=[*["a lot"] * 20, *map(str, range(180))]), Invalid, "mixes 180 numbers with 20 texts"),
        (lambda f: f.assign(left=[*f["left"][:-1], "maybe"]), NotEnoughData, "'maybe' of 'left' has a single row"),
        (lambda f: f.assign(left=[f"c{n // 2} x" for n in range(200)][:198] + ["z", "z"]), None, ""),
        (lambda f: f.assign(left=[np.inf] * 200), NotEnoughData, "Only 0 rows"),
        (lambda f: f.assign(left=3.5), Invalid, "3.5 in each row"),
        (lambda f: pd.concat([f, f["age"]], axis=1), Invalid, "Two columns are named 'age'"),
        (lambda f: f[["left"]].assign(x=1), Invalid, "No column is left to learn from"),
    ],
)
def test_what_cannot_be_learnt_is_refused_with_the_reason(change, error, words):
    frame = change(churn(200))
    if error is None:
        assert run(frame, "left", families=("linear",), folds=2).model.task == Task.MULTICLASS
        return
    with pytest.raises(error, match=words):
        run(frame, "left")


def test_a_row_that_does_not_fit_is_said_field_by_field():
    frame = churn(300)
    model = run(frame, "left", families=("linear",)).model
    row = pd.DataFrame({"age": ["old"], "income": [1e9], "plan": ["platinum"], "visits": [3]})
    faults = {fault.column: fault for fault in model.faults(row)}
    assert faults["age"].fatal and "'old' is no finite number" in faults["age"].message
    assert not faults["income"].fatal and not faults["plan"].fatal and "visits" not in faults
    with pytest.raises(Invalid, match="Missing columns: income"):
        model.predict(row.drop(columns="income"))


def test_only_the_steps_of_the_plan_run_and_a_model_asks_for_nothing_else():
    frame = prices(150)
    steps = (Step("drop", ("size",)), Step("encode"))
    model = run(frame, "price", families=("linear",), trials=0, folds=3, steps=steps).model
    assert list(model.schema.roles) == ["place"]
    names = {name for member in model.members for part in member.parts for name in part.preparation.names}
    assert names and all(name.startswith("place = ") for name in names)
    assert np.isfinite(model.raw(frame[["place"]])).all()


def test_gaps_no_step_fills_and_numbers_none_scales_stay_so_and_are_predicted_all_the_same():
    frame = churn(200)
    steps = (Step("encode"),)
    model = run(frame, "left", families=("linear", "histogram"), trials=0, folds=3, steps=steps).model
    kinds = [step["kind"] for member in model.members for step in member.parts[0].preparation.steps]
    assert set(kinds) == {"encode", "impute"}
    names = {name for member in model.members for part in member.parts for name in part.preparation.names}
    assert "age" in names and "age missing" not in names
    assert np.isfinite(model.probabilities(frame.assign(age=np.nan))).all()
