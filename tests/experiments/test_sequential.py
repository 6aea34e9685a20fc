from __future__ import annotations

import math

import numpy as np
import pytest

from lib.experiments import sequential
from lib.experiments.sequential import Call

ALPHA = 0.05


def looked_at(a: np.ndarray, b: np.ndarray, every: int = 20, *, binary: bool = True) -> sequential.Result:
    """Look after each `every` outcomes, stop at the first call."""
    sums = [(x.cumsum(), (x * x).cumsum()) for x in (a, b)]
    result = None
    for n in range(sequential.LEAST, len(a) + 1, every):
        arms = [sequential.arm(float(s[n - 1]), float(q[n - 1]), n, binary=binary) for s, q in sums]
        result = sequential.test(*arms, ALPHA)
        if result.call in (Call.A, Call.B):
            return result
    assert result is not None
    return result


@pytest.mark.parametrize("kind", ["half", "rare", "normal"])
def test_looking_a_hundred_times_calls_a_false_difference_rarely_enough(kind: str) -> None:
    rng = np.random.default_rng(1)
    share = {"half": 0.5, "rare": 0.03}.get(kind, 0)
    wrong, runs = 0, 400
    for _ in range(runs):
        a, b = (rng.random((2, 2000)) < share).astype(float) if share else rng.normal(size=(2, 2000))
        wrong += looked_at(a, b, binary=bool(share)).call in (Call.A, Call.B)
    # Three standard errors above 5 % would be 8.3 %; a fixed-sample test looked at so often is wrong in a third.
    assert wrong / runs <= ALPHA


def test_a_real_difference_is_called_for_the_better_one() -> None:
    rng = np.random.default_rng(2)
    calls = []
    for _ in range(60):
        a, b = rng.random(4000) < 0.70, rng.random(4000) < 0.78
        result = looked_at(a.astype(float), b.astype(float))
        calls.append(result.call)
        assert result.low <= result.difference <= result.high
    assert calls.count(Call.B) >= 55
    assert Call.A not in calls


def test_the_interval_holds_the_truth_at_every_look() -> None:
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(200):
        a, b = rng.normal(0, 1, 1500), rng.normal(0.2, 1, 1500)
        sums = [(x.cumsum(), (x * x).cumsum()) for x in (a, b)]
        for n in range(50, 1501, 50):
            arms = [sequential.arm(float(s[n - 1]), float(q[n - 1]), n) for s, q in sums]
            found = sequential.test(*arms, ALPHA)
            if not found.low <= 0.2 <= found.high:
                missed += 1
                break
    assert missed / 200 <= ALPHA


def test_nothing_is_called_before_there_are_enough_nor_without_spread() -> None:
    few = sequential.test(sequential.arm(0, 0, 10, binary=True), sequential.arm(10, 10, 10, binary=True), ALPHA)
    assert few.call is Call.FEW
    same = sequential.test(sequential.arm(500, 500, 500), sequential.arm(1000, 2000, 500), ALPHA)
    assert same.call is Call.OPEN
    empty = sequential.arm(0, 0, 0)
    assert math.isnan(empty.mean)
    assert sequential.test(empty, empty, ALPHA).call is Call.FEW


def test_a_key_is_always_in_the_same_arm_and_arms_have_their_shares() -> None:
    keys = [f"user {n}" for n in range(20_000)]
    arms = [sequential.arm_of(key, "salt", 0.2) for key in keys]
    assert arms == [sequential.arm_of(key, "salt", 0.2) for key in keys]
    assert arms.count("b") / len(arms) == pytest.approx(0.2, abs=0.01)
    assert arms != [sequential.arm_of(key, "pepper", 0.2) for key in keys]


def test_the_verdict_is_a_sentence() -> None:
    a, b = sequential.arm(600, 600, 1000, binary=True), sequential.arm(750, 750, 1000, binary=True)
    words = sequential.words(sequential.test(a, b, ALPHA), ("version 1", "version 2"), "accuracy", ALPHA)
    assert words.startswith("version 2 is better than version 1 by 15 points of accuracy")
    assert "95%" in words
    even = sequential.words(sequential.test(a, a, ALPHA), ("version 1", "version 2"), "reward", ALPHA)
    assert even.startswith("No difference shown yet")
