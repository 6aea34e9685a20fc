from __future__ import annotations

import numpy as np
import pytest

from lib.training import board, plan, trainer, words
from lib.training.results import baseline, of
from tests.training.tables import Clock, churn, prices


def results(value: float, low: float, high: float, usual: float, linear: float, error: bool = False) -> dict:
    name = "neg_rmse" if error else "r2"
    chosen = {
        "name": name, "label": "score", "value": value, "low": low, "high": high, "chosen": True,
        "smaller_is_better": error, "baseline": usual,
    }  # fmt: skip
    line = {"family": "linear", "score": -linear if error else linear}
    return {
        "task": "regression", "rows": 500, "held_out": False, "metrics": [chosen], "board": [line],
        "members": [{"family": "xgboost"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (results(0.8, 0.7, 0.9, 0.0, 0.5), ("has learnt something", "the rest is worth having")),
        (results(0.8, 0.7, 0.9, 0.75, 0.85), ("not clear that anything", "level or ahead")),
        (results(0.8, 0.7, 0.9, 0.95, 0.95), ("worse than that", "wins: use it instead")),
        (results(2.0, 1.5, 2.5, 4.0, 2.2, error=True), ("has learnt something", "a little behind")),
        (results(2.0, 1.5, 2.5, 1.0, 1.0, error=True), ("worse than that", "wins")),
    ],
)
def test_a_result_is_held_against_simple_answers(given: dict, said: tuple[str, str]) -> None:
    first, usual, linear = words.verdict(given)
    assert "95% sure it lies between" in first
    assert said[0] in usual and said[1] in linear


def test_errors_are_shown_as_they_are() -> None:
    assert words.shown("neg_rmse", -2.5) == 2.5 and words.shown("r2", 0.5) == 0.5 and words.shown("r2", None) is None


def test_every_family_and_metric_has_words() -> None:
    from lib.training.metrics import METRICS
    from lib.training.portfolio import LABELS

    assert set(words.METRICS) == set(METRICS) and set(LABELS) | {"ensemble"} == set(words.FAMILIES)


@pytest.mark.parametrize(("frame", "target"), [(churn(200), "left"), (churn(200), "plan"), (prices(150), "price")])
def test_always_the_same_answer_is_beside_each_metric(frame, target) -> None:
    quick = plan.begin(frame, target, trials=0, folds=3, families=("linear",))
    outcome = trainer.train(frame, quick, now=Clock())
    usual = baseline(outcome)
    for one in of(outcome, frame)["metrics"]:
        assert one["baseline"] == usual[one["name"]]
    if target == "price":
        assert usual["r2"] == pytest.approx(0, abs=1e-9) and usual["neg_rmse"] == pytest.approx(
            outcome.target.std(), rel=1e-5
        )
    else:
        share = np.bincount(outcome.target).max() / len(outcome.target)
        assert usual["accuracy"] == pytest.approx(share, rel=1e-5)
    assert usual.get("roc_auc", 0.5) == 0.5
    for row in outcome.board:
        assert row["family"] == "ensemble" or row["low"] < row["score"] < row["high"]


def test_an_interval_takes_three_folds_and_narrows_with_agreement() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=300)
    fold = np.arange(300) % 5
    near, far = (target + rng.normal(0, spread, 300) for spread in (0.1, 2.0))
    assert board.half_width("neg_rmse", target, near[:, None], np.minimum(fold, 1)) is None
    narrow, wide = (board.half_width("neg_rmse", target, out[:, None], fold) for out in (near, far))
    assert 0 < narrow < wide
