from __future__ import annotations

import math

import numpy as np
import pytest

from lib.anomaly.labels import LEVELS, Judgement, advise, judge, touched


def at_level(evidence: list[float]) -> np.ndarray:
    """Which labels an event of each level meets, when a label's event is as strange as given."""
    return LEVELS[:, None] <= np.array(evidence)[None, :]


def test_judgement_counts_what_was_real_and_what_was_called() -> None:
    one = judge(np.array([True, False, True, False]), np.array([True, True, False, False]))
    assert one == Judgement(real=2, false=2, found=1, called=1)
    assert (one.precision, one.recall, one.f1) == (0.5, 0.5, 0.5)
    nothing = judge(np.zeros(2, dtype=bool), np.array([False, False]))
    assert math.isnan(nothing.precision) and math.isnan(nothing.recall) and nothing.f1 == 0.0


def test_label_is_met_by_a_span_that_only_touches_it() -> None:
    starts, ends = np.array([10, 50, 90]), np.array([20, 60, 95])
    assert touched([(0, 10), (61, 89)], starts, ends).tolist() == [True, False, False]
    assert touched([], starts, ends).tolist() == [False] * 3


def test_advice_moves_between_the_false_and_the_real_and_holds_for_labels_held_back() -> None:
    real = np.array([True] * 6 + [False] * 6)
    advice = advise(at_level([5.0, 5.4, 4.8, 5.6, 5.2, 6.0, 2.9, 3.1, 3.3, 2.8, 3.0, 3.2]), real, 2.7)
    assert advice is not None
    assert 3.3 < advice.level < 4.8
    assert advice.before == Judgement(6, 6, 6, 6)
    assert advice.after == Judgement(6, 6, 6, 0)


def test_threshold_that_is_already_best_stays() -> None:
    advice = advise(at_level([5.0, 5.4, 2.0, 2.1]), np.array([True, True, False, False]), 2.7)
    assert advice is not None and advice.level == pytest.approx(2.7)
    assert advice.before == advice.after


def test_labels_that_contradict_evidence_promise_nothing() -> None:
    """False alarms stranger than real faults: no threshold helps, and the figures say so."""
    rng = np.random.default_rng(0)
    real = rng.random(40) < 0.5
    advice = advise(at_level(list(rng.uniform(2, 6, 40))), real, 2.7)
    assert advice is not None
    assert advice.after.f1 < 0.75


@pytest.mark.parametrize("real", [[], [True], [True, True, False], [False] * 9])
def test_too_few_labels_of_a_kind_give_no_advice(real: list[bool]) -> None:
    assert advise(at_level([4.0] * len(real)), np.array(real, dtype=bool), 2.7) is None
