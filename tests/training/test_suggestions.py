import numpy as np
import pandas as pd
import pytest

from lib.errors import Invalid, NotEnoughData
from lib.services.suggestions_jobs import REFERENCE, reference
from lib.store import tables
from lib.training.plan import validate
from lib.training.schema import Task, guess_roles
from lib.training.suggestions import Reference, Tried, advice, suggest
from lib.training.traits import MODELS, TRAITS, _straight, traits
from tests.training.tables import churn, prices


@pytest.fixture
def suggested(tmp_path):
    def made(frame, target, known=None):
        path = tmp_path / "table.parquet"
        frame.to_parquet(path)
        return suggest(tables.profile(path, "table", tmp_path), frame, target, known or reference())

    return made


def by_key(found):
    return {(one.step.kind, one.step.columns): one for one in found.steps}


def test_each_trouble_of_a_table_is_met_by_a_step_that_cites_it(suggested):
    rng = np.random.default_rng(0)
    frame = prices(600)
    frame["code"] = [f"C{n:05d}" for n in rng.permutation(600)]
    frame["still"] = "x"
    frame["settled"] = frame.price * 3 + 1
    frame["town"] = [f"town {n}" for n in rng.integers(0, 300, 600)]
    frame.loc[:3, "size"] = 90_000.0
    found = suggested(frame, "price")
    steps = by_key(found)
    assert "one value in every row" in steps["drop", ("still",)].reason
    assert "600 in 600" in steps["drop", ("code",)].reason
    assert "almost alone" in steps["drop", ("settled",)].reason
    assert steps["dates", ("day",)] and steps["text", ("text",)]
    assert "times as far" in steps["clip", ("size",)].reason
    assert f"{frame.town.nunique():,} different values" in steps["encode", ("town",)].reason
    assert f"{frame['size'].isna().mean():.1%}" in steps["impute", ()].reason
    assert {"settled", "code", "still"} <= {c for s in found.plan.steps if s.kind == "drop" for c in s.columns}
    assert validate(found.plan, guess_roles(frame, "price")) == []


def test_a_rare_class_is_told_and_clean_numbers_need_no_repair(suggested):
    frame = churn(900, rare=True)
    share = (frame.left == "yes").mean()
    assert f"{share:.1%}" in by_key(suggested(frame, "left"))["balance", ()].reason
    clean = pd.DataFrame(np.random.default_rng(1).normal(size=(300, 3)), columns=list("abc"))
    assert suggested(clean, "c").steps == []


def test_confidence_is_the_share_of_like_tables_pulled_to_all_where_few_are():
    here, far = dict.fromkeys(TRAITS, 0.0), dict.fromkeys(TRAITS, 9.0)
    won, lost = {"linear": 0.9, "forest": 0.8}, {"linear": 0.7, "forest": 0.8}
    near = [Tried(f"a{n}", "made", here, won, {"clip": (1.0, 1.0)}) for n in range(20)]
    away = [Tried(f"b{n}", "made", far, lost, {"clip": (1.0, 0.0)}) for n in range(20)]
    known = Reference((*near, *away))
    assert known.model("linear", here)[0] > 0.95 and known.model("forest", here)[0] < 0.05
    assert known.model("linear", here)[1] == 20
    assert known.step("clip", here, 1.0)[0] > 0.95 and known.step("clip", far, 1.0)[0] < 0.05
    unlike = dict.fromkeys(TRAITS, -9.0)
    assert known.model("linear", unlike) == (pytest.approx(0.5), 0)
    assert known.rank("linear", here) > known.rank("forest", here)
    assert Reference().model("linear", here) == (0.5, 0)


def test_a_table_left_out_takes_its_variants_with_it():
    names = {one.base for one in reference().tried}
    assert len(names) >= 100 and REFERENCE.stat().st_size < 200_000
    left = reference().without("titanic")
    assert {one.base for one in left.tried} == names - {"titanic"}
    assert len(reference().tried) - len(left.tried) >= 8


def test_what_was_kept_survives_json():
    known = replace_tried(reference())
    assert Reference.from_json(known.to_json()) == known


def replace_tried(known):
    return Reference(known.tried[:5], known.weights)


def test_what_straight_lines_tell_is_the_same_however_many_columns_there_are():
    rng = np.random.default_rng(2)
    few, known = rng.normal(size=(40, 6)), rng.normal(size=(40, 2))
    wide = np.hstack([few, np.zeros((40, 50))])  # columns that say nothing change nothing
    assert np.allclose(_straight(few, few, known), _straight(wide, wide, known))


def test_straight_and_curved_tables_are_told_apart():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 4))
    straight = pd.DataFrame(x, columns=list("abcd")).assign(y=x @ [1, 2, -1, 0.5] + rng.normal(0, 0.1, 500))
    steps = pd.DataFrame(x, columns=list("abcd")).assign(y=2.0 * (x[:, 0] > 0) * (x[:, 1] > 0) + (x[:, 2] > 1))
    found = [traits(one, "y", guess_roles(one, "y"), Task.REGRESSION) for one in (straight, steps)]
    assert found[0]["linear"] == 0.0 and found[0]["told"] > 0.95
    assert max(found[1][name] for name in ("trees", "boosted")) == 0.0 and found[1]["linear"] < -0.1
    assert all(-0.25 <= one[name] <= 0 for one in found for name in MODELS)


def test_ten_thousand_categories_and_columns_of_nothing_are_no_trouble(suggested):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"town": [f"t{n}" for n in rng.integers(0, 10_000, 30_000)], "n": rng.normal(size=30_000)})
    frame["empty"] = np.nan
    frame["y"] = np.where(frame.n + rng.normal(size=30_000) > 0, "a", "b")
    found = suggested(frame, "y")
    assert "empty in every row" in by_key(found)["drop", ("empty",)].reason
    assert "kernel" not in {one.family for one in found.models} and len(advice(found)) >= 3


@pytest.mark.parametrize(
    ("frame", "target", "error", "words"),
    [
        (churn(60), "gone", Invalid, "no column 'gone'"),
        (churn(1), "left", NotEnoughData, "at least 20"),
        (churn(60).assign(left="yes"), "left", Invalid, "single class"),
        (churn(60).assign(left=np.nan), "left", NotEnoughData, "0 of 60"),
        (churn(60)[["left"]].assign(a=1.0), "left", Invalid, "No column is left"),
    ],
)
def test_tables_nothing_can_be_learnt_from_are_refused(suggested, frame, target, error, words):
    with pytest.raises(error, match=words):
        suggested(frame, target)
