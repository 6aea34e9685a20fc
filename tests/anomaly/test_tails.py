from __future__ import annotations

import numpy as np
import pytest

from lib.anomaly.tails import Tail


def test_probability_is_the_share_of_normal_moments_that_score_as_high() -> None:
    rng = np.random.default_rng(0)
    tail = Tail.fit(rng.exponential(1, 5000))
    fresh = rng.exponential(1, 200_000)
    for share in (0.5, 0.1, 0.01, 0.001):
        assert (tail.probability(fresh) <= share).mean() == pytest.approx(share, rel=0.5)


def test_probability_falls_with_the_score_and_stays_within_bounds() -> None:
    tail = Tail.fit(np.random.default_rng(1).normal(0, 1, 300))
    p = tail.probability(np.linspace(-10, 1000, 500))
    assert (np.diff(p) <= 0).all()
    assert p.min() > 0
    assert p.max() <= 1


def test_a_few_incidents_among_the_calibration_rows_do_not_hide_the_next_one() -> None:
    rng = np.random.default_rng(2)
    clean = rng.exponential(1, 3000)
    tainted = np.concatenate([clean, np.full(15, 60.0)])
    assert Tail.fit(tainted).probability(np.array([30.0]))[0] < 1e-6


def test_unknown_scores_are_ordinary_and_constant_ones_do_not_break() -> None:
    assert Tail.fit(np.ones(100)).probability(np.array([np.nan]))[0] == 1
    assert np.isfinite(Tail.fit(np.ones(100)).probability(np.array([1.0, 2.0]))).all()
    assert Tail.fit(np.full(5, np.nan)).probability(np.array([3.0]))[0] > 0.04


def test_arrays_bring_it_back() -> None:
    tail = Tail.fit(np.random.default_rng(1).normal(0, 1, 300))
    scores = np.linspace(-3, 9, 50)
    assert np.array_equal(Tail.from_arrays(tail.arrays()).probability(scores), tail.probability(scores))


@pytest.mark.parametrize("known", [np.arange(2300) ** 1.5, np.repeat([1.0, 2, 2, 5], 300), np.ones(3), np.zeros(1)])
def test_many_scores_are_looked_up_as_few_are(known: np.ndarray) -> None:
    tail = Tail(known, float(known.max()), 1.0)
    scores = np.concatenate([np.random.default_rng(0).normal(50, 100, 3000), known, [-np.inf, np.nan, np.inf]])
    one_by_one = np.array([tail.probability(np.array([s]))[0] for s in scores])
    assert tail.probability(scores) == pytest.approx(one_by_one, rel=1e-12)
