from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lib.profiling.rates import rate

values = hnp.arrays(np.float64, st.integers(0, 60), elements=st.floats(allow_nan=True, allow_infinity=True))
steps = st.lists(st.integers(1, 10**7), min_size=60, max_size=60)


@given(values, steps)
def test_rate_is_never_negative_and_always_finite(value: np.ndarray, step: list[int]) -> None:
    ts_ms = np.cumsum(np.array(step, dtype=np.int64))[: value.size]
    at, per_second, resets = rate(ts_ms, value)
    assert at.size == per_second.size < max(value.size, 1)
    assert np.isfinite(per_second).all()
    assert (per_second >= 0).all()
    assert 0 <= resets < max(value.size, 1)


@given(
    st.lists(st.integers(0, 1000), min_size=3, max_size=80),
    st.sets(st.integers(1, 79), max_size=6),
)
def test_rates_add_up_to_what_was_counted_whatever_the_resets(increases: list[int], restarts: set[int]) -> None:
    """A counter that starts again at zero loses its total, never an increase."""
    total, counted = 0, []
    for position, increase in enumerate(increases):
        # A restart that is followed by as much as was there before cannot be told from no restart; count from 0 then.
        if position in restarts and increase < total:
            total = 0
        total += increase
        counted.append(total)
    ts_ms = np.arange(len(counted), dtype=np.int64) * 15_000
    _, per_second, _ = rate(ts_ms, np.array(counted, dtype=float))
    assert np.isclose(per_second.sum() * 15, sum(increases[1:]))


def test_reset_is_counted_and_its_increase_kept() -> None:
    at, per_second, resets = rate(np.array([0, 10_000, 20_000, 30_000]), np.array([100.0, 200.0, 30.0, 80.0]))
    assert resets == 1
    assert per_second.tolist() == [10.0, 3.0, 5.0]
    assert at.tolist() == [10_000, 20_000, 30_000]


def test_first_sample_after_a_gap_has_no_rate() -> None:
    ts_ms = np.array([0, 10, 20, 30, 400, 410, 420]) * 1000
    at, per_second, _ = rate(ts_ms, np.arange(7.0) * 10)
    assert 400_000 not in at
    assert np.allclose(per_second, 1.0)


def test_nan_between_samples_is_left_out_of_the_difference() -> None:
    at, per_second, resets = rate(np.arange(4) * 10_000, np.array([0.0, np.nan, 20.0, 30.0]))
    assert at.tolist() == [20_000, 30_000]
    assert per_second.tolist() == [1.0, 1.0]
    assert resets == 0


def test_one_sample_makes_no_rate() -> None:
    at, per_second, resets = rate(np.array([5]), np.array([1.0]))
    assert (at.size, per_second.size, resets) == (0, 0, 0)
