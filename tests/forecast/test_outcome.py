from __future__ import annotations

import numpy as np
import pytest

from lib.forecast.outcome import compare

MIDDLE = np.array([1.0, 2.0, 3.0, 4.0])


def judged(actual: list[float], last: float = 1.0):
    return compare(np.array(actual), last, MIDDLE - 2, MIDDLE - 1, MIDDLE, MIDDLE + 1, MIDDLE + 2)


def test_what_came_is_held_against_middle_and_intervals() -> None:
    found = judged([1.5, 2.0, 4.5, 9.0])
    assert found is not None
    assert (found.steps, found.within80, found.within95) == (4, 0.5, 0.75)
    assert found.error == pytest.approx((0.5 + 0 + 1.5 + 5) / 4)
    assert found.bias == found.error
    assert found.against_naive == pytest.approx(7 / (0.5 + 1 + 3.5 + 8))


def test_what_has_not_come_yet_does_not_count() -> None:
    found = judged([1.0, np.nan, np.nan, np.nan])
    assert found is not None and (found.steps, found.error) == (1, 0.0)
    assert found.against_naive is None  # nothing moved
    assert judged([np.nan] * 4) is None


def test_on_the_bound_is_within() -> None:
    found = judged([2.0, 3.0, 4.0, 5.0])
    assert found is not None and found.within80 == 1.0
