from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lib.drift import reference, shift, verdict
from lib.drift.shift import Shift, State

DAYS = pd.date_range("2026-01-01", periods=500, tz="UTC")


def one(before: object, now: object) -> Shift:
    kept = json.loads(json.dumps(reference.of_frame(pd.DataFrame({"x": before}))))
    return shift.compare(kept, pd.DataFrame({"x": now}))[0]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_same_table_has_not_moved(rng: np.random.Generator) -> None:
    x = rng.normal(size=2000)
    found = one(x, x)
    assert found.state is State.OK
    assert found.psi == pytest.approx(0, abs=1e-6)
    assert found.ks == 0
    assert found.jensen_shannon == pytest.approx(0, abs=1e-6)


def test_measures_agree_with_scipy_on_a_moved_column(rng: np.random.Generator) -> None:
    from scipy import stats

    before, now = rng.normal(size=5000), rng.normal(0.8, 1.2, 3000)
    found = one(before, now)
    assert found.state is State.DRIFT
    assert found.ks == pytest.approx(stats.ks_2samp(before, now).statistic, abs=0.01)
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(before, now) / before.std(), rel=0.03)


def test_chance_alone_is_no_drift_even_with_few_rows(rng: np.random.Generator) -> None:
    wrong = 0
    for _ in range(200):
        kept = reference.of_frame(pd.DataFrame(rng.normal(size=(1000, 10))))
        found = shift.compare(kept, pd.DataFrame(rng.normal(size=(150, 10))))
        wrong += any(each.state in (State.WATCH, State.DRIFT) for each in found)
    assert wrong <= 2


def test_too_few_rows_say_nothing(rng: np.random.Generator) -> None:
    assert one(rng.normal(size=1000), rng.normal(9, 1, 50)).state is State.FEW
    assert verdict.of([one(rng.normal(size=1000), rng.normal(9, 1, 50))]).state is State.FEW


def test_texts_that_were_never_seen_are_told(rng: np.random.Generator) -> None:
    found = one(rng.choice(["a", "b"], 1000), rng.choice(["a", "b", "new"], 1000))
    assert found.state is State.DRIFT
    assert found.unseen == pytest.approx(1 / 3, abs=0.06)
    assert found.ks is None


def test_values_going_missing_are_drift(rng: np.random.Generator) -> None:
    now = rng.normal(size=1000)
    now[rng.random(1000) < 0.4] = np.nan
    found = one(rng.normal(size=1000), now)
    assert found.state is State.DRIFT
    assert (found.missing_before, found.missing_now) == (0, pytest.approx(0.4, abs=0.06))


@pytest.mark.parametrize(
    ("before", "now", "state"),
    [
        ([5.0] * 500, [5.0] * 500, State.OK),
        ([5.0] * 500, [6.0] * 500, State.DRIFT),
        ([0.0, 1.0] * 250, [0.0, 1.0] * 250, State.OK),
        ([0.0, 1.0] * 250, [1.0] * 500, State.DRIFT),
        ([True, False] * 250, [False, True] * 250, State.OK),
        ([np.nan] * 500, [np.nan] * 500, State.OK),
        ([np.nan] * 500, [1.0] * 500, State.DRIFT),
        ([1.0, np.inf] * 250, [1.0, np.inf] * 250, State.OK),
        ([None, "a"] * 250, ["a", None] * 250, State.OK),
        (
            pd.date_range("2026-01-01", periods=500, tz="UTC"),
            pd.date_range("2026-09-01", periods=500, tz="UTC"),
            State.DRIFT,
        ),
    ],
    ids=str,
)
def test_columns_of_few_values_constants_and_times(before: object, now: object, state: State) -> None:
    assert one(before, now).state is state


def test_columns_one_side_lacks_are_left_out(rng: np.random.Generator) -> None:
    kept = reference.of_frame(pd.DataFrame({"x": rng.normal(size=200), "y": 1.0}))
    assert [each.name for each in shift.compare(kept, pd.DataFrame({"x": rng.normal(size=200), "z": 1.0}))] == ["x"]


def made(role: str, state: State, name: str = "x", psi: float = 0.5) -> Shift:
    return Shift(name, role, state, 1000, psi, 0.3)


def test_one_moved_feature_is_worth_a_look_but_moved_predictions_are_drift() -> None:
    still = [made("feature", State.OK, f"f{n}", 0) for n in range(9)]
    found = verdict.of([*still, made("feature", State.DRIFT)])
    assert (found.state, found.retrain) == (State.WATCH, False)
    assert "x (PSI 0.50)" in found.words
    found = verdict.of([*still, made("prediction", State.DRIFT)])
    assert (found.state, found.retrain) == (State.DRIFT, True)
    found = verdict.of([made("feature", State.DRIFT, f"f{n}") for n in range(5)] + still)
    assert (found.state, found.retrain) == (State.DRIFT, True)
    assert verdict.of(still).state is State.OK
