from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.frames import STALE_NAN_BITS
from lib.profiling import promfunctions
from lib.profiling.promfunctions import RELEASES, Function, Rules, histogram_quantile, over_time, steps, without_stale

STALE = np.array([STALE_NAN_BITS], np.int64).view(np.float64)[0]
INF = math.inf


def at(
    function: Function, value: list[float], moment_s: float, range_s: float, step_s: float = 300, release: int = 3
) -> float:
    """One value of a series with a sample each `step_s` from 0."""
    ts_ms = (np.arange(len(value)) * step_s * 1000).astype(np.int64)
    when = np.array([round(moment_s * 1000)])
    return float(over_time(function, ts_ms, np.array(value), when, round(range_s * 1000), RELEASES[release])[0])


# The first of promql/testdata/functions.test as each release has them: a sample each 5 minutes, asked at 50 minutes.
GROWING = [10.0 * n for n in range(11)]


@pytest.mark.parametrize(
    ("release", "expected"),
    [(2, 100.0), (3, 100.0)],
)
def test_increase_of_a_steady_counter_over_all_of_it(release: int, expected: float) -> None:
    assert at(Function.INCREASE, GROWING, 3000, 3000, release=release) == pytest.approx(expected)


def test_a_reset_adds_what_was_counted_before_it() -> None:
    value = [*[10.0 * n for n in range(6)], *[10.0 * n for n in range(5)]]
    assert at(Function.INCREASE, value, 3000, 3000, release=2) == pytest.approx(90.0)
    assert at(Function.RATE, value, 3000, 3000, release=2) == pytest.approx(90.0 / 3000)


def test_a_sample_at_the_windows_start_is_inside_until_release_3() -> None:
    value = [5.0, 1.0, 2.0]
    assert at(Function.MAX, value, 600, 600, release=2) == 5.0
    assert at(Function.MAX, value, 600, 600, release=3) == 2.0
    assert at(Function.COUNT, value, 600, 600, release=2) == 3.0
    assert at(Function.COUNT, value, 600, 600, release=3) == 2.0


def test_growth_is_drawn_out_to_edges_that_are_near_and_half_a_step_where_they_are_far() -> None:
    ts_ms, value = np.array([100_000, 110_000, 120_000]), np.array([1000.0, 1010.0, 1020.0])
    near = over_time(Function.INCREASE, ts_ms, value, np.array([125_000]), 30_000)
    assert near[0] == pytest.approx(20 * (20 + 5 + 5) / 20)
    far = over_time(Function.INCREASE, ts_ms, value, np.array([150_000]), 100_000)
    assert far[0] == pytest.approx(20 * (20 + 5 + 5) / 20)


def test_a_counter_is_never_drawn_out_below_zero() -> None:
    ts_ms, value = np.array([100_000, 110_000, 120_000]), np.array([2.0, 12.0, 22.0])
    for release in RELEASES:
        found = over_time(Function.INCREASE, ts_ms, value, np.array([120_000]), 29_000, RELEASES[release])
        assert found[0] == pytest.approx(22.0)


def test_zero_bounds_far_edges_only_since_release_3() -> None:
    ts_ms, value = np.array([100_000, 110_000, 120_000]), np.array([2.0, 12.0, 22.0])
    old, new = (over_time(Function.INCREASE, ts_ms, value, np.array([120_000]), 90_000, RELEASES[n])[0] for n in (2, 3))
    assert new == pytest.approx(22.0)  # two seconds back it was zero
    assert old == pytest.approx(22.0)
    value = np.array([6.0, 16.0, 26.0])  # six seconds back, half a step is five
    old, new = (over_time(Function.INCREASE, ts_ms, value, np.array([120_000]), 90_000, RELEASES[n])[0] for n in (2, 3))
    assert new == pytest.approx(20 * 25 / 20)
    assert old == pytest.approx(20 * 26 / 20)


@pytest.mark.parametrize("function", list(Function))
def test_nothing_and_one_sample(function: Function) -> None:
    empty = over_time(function, np.empty(0, np.int64), np.empty(0), np.array([1000, 2000]), 500)
    assert np.isnan(empty).all()
    one = at(function, [7.0], 0, 60)
    counting = function in promfunctions.COUNTING
    assert math.isnan(one) if counting else one == (1.0 if function is Function.COUNT else 7.0)
    assert over_time(function, np.array([1]), np.array([1.0]), np.empty(0, np.int64), 500).size == 0


def test_stale_markers_are_no_samples_and_other_nan_are() -> None:
    value = [1.0, float("nan"), 3.0, STALE, 5.0]
    assert at(Function.COUNT, value, 1200, 1500) == 4.0
    assert at(Function.MIN, value, 1200, 1500) == 1.0
    assert math.isnan(at(Function.AVG, value, 1200, 1500))
    assert at(Function.COUNT, [STALE], 0, 60) != 0.0, "nothing, not none"
    _, kept = without_stale(np.arange(5), np.array(value))
    assert np.isnan(kept).sum() == 1


@pytest.mark.parametrize("release", list(RELEASES))
def test_means_keep_what_cancels_and_do_not_overflow(release: int) -> None:
    assert at(Function.AVG, [1e308, 1e308, 1e308], 600, 901, release=release) == pytest.approx(1e308)
    assert at(Function.AVG, [INF, 1.0, 2.0], 600, 901, release=release) == INF
    assert math.isnan(at(Function.AVG, [INF, 1.0, -INF], 600, 901, release=release))
    assert at(Function.SUM, [1e16, 1.0, -1e16], 600, 901, release=release) == 1.0


def test_sums_are_as_exact_as_can_be() -> None:
    rng = np.random.default_rng(1)
    value = rng.normal(0, 1, 4000) * 10.0 ** rng.integers(-10, 14, 4000)
    ts_ms = np.arange(4000) * 1000
    when = np.arange(500_000, 4_000_000, 50_000)
    found = over_time(Function.SUM, ts_ms, value, when, 333_000)
    exact = [math.fsum(value[(ts_ms > t - 333_000) & (ts_ms <= t)]) for t in when]
    assert found == pytest.approx(exact, rel=1e-14)


def test_windows_larger_than_what_is_laid_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    ts_ms, value = np.cumsum(rng.integers(1, 5000, 500)), rng.normal(0, 1, 500)
    when = np.arange(0, int(ts_ms[-1]) + 50_000, 10_000)
    whole = {function: over_time(function, ts_ms, value, when, 100_000) for function in Function}
    monkeypatch.setattr(promfunctions, "_CELLS", 7)
    for function, expected in whole.items():
        assert np.array_equal(over_time(function, ts_ms, value, when, 100_000), expected, equal_nan=True)


@given(
    st.lists(st.one_of(st.floats(width=32), st.just(STALE), st.integers(0, 50).map(float)), max_size=40),
    st.lists(st.integers(1, 30_000), min_size=40, max_size=40),
    st.sampled_from([1, 15_000, 60_000]),
    st.sampled_from([RELEASES[2], RELEASES[3]]),
)
def test_every_function_is_what_its_definition_says(
    value: list[float], gaps: list[int], range_ms: int, rules: Rules
) -> None:
    """Against plain loops over each window."""
    ts_ms, numbers = np.cumsum(gaps)[: len(value)].astype(np.int64), np.array(value, dtype=np.float64)
    when = np.arange(0, 400_000, 7000)
    kept_ts, kept = without_stale(ts_ms, numbers)
    for function in (Function.MIN, Function.MAX, Function.COUNT, Function.QUANTILE):
        found = over_time(function, ts_ms, numbers, when, range_ms, rules, 0.3)
        for moment, one in zip(when, found, strict=True):
            left = kept_ts > moment - range_ms if rules.left_open else kept_ts >= moment - range_ms
            window = kept[left & (kept_ts <= moment)]
            expected = _plain(function, window)
            assert one == expected or (math.isnan(one) and math.isnan(expected)), (function, window)


def _plain(function: Function, window: np.ndarray) -> float:
    if not window.size:
        return math.nan
    numbers = [float(one) for one in window if not math.isnan(one)]
    if function is Function.COUNT:
        return float(window.size)
    if function is Function.QUANTILE:
        ordered = [math.nan] * (window.size - len(numbers)) + sorted(numbers)
        rank = 0.3 * (window.size - 1)
        low = math.floor(rank)
        high = min(low + 1, window.size - 1)
        with np.errstate(invalid="ignore"):
            return float(np.float64(ordered[low]) * (1 - (rank - low)) + np.float64(ordered[high]) * (rank - low))
    return (min if function is Function.MIN else max)(numbers, default=math.nan)


def test_steps_are_whole_multiples_inside_the_span() -> None:
    assert steps(61_000, 180_000, 60_000).tolist() == [120_000, 180_000]
    assert steps(61_000, 62_000, 60_000).tolist() == []


# --- histograms ------------------------------------------------------------------------------------

BOUNDS = np.array([0.1, 0.5, 1.0, INF])


def quantile(share: float, counts: list[float], bounds: np.ndarray = BOUNDS, release: int = 3) -> float:
    return float(histogram_quantile(share, bounds, np.array(counts)[:, None], RELEASES[release])[0])


def test_a_quantile_lies_inside_its_bucket_in_proportion() -> None:
    assert quantile(0.5, [10, 20, 30, 30]) == pytest.approx(0.1 + 0.4 * 5 / 10)
    assert quantile(0.1, [10, 20, 30, 30]) == pytest.approx(0.03)
    assert quantile(0.99, [10, 20, 30, 40]) == 1.0, "beyond the last bound nobody knows"


def test_what_cannot_be_told_is_not_a_number() -> None:
    assert math.isnan(quantile(0.5, [0, 0, 0, 0]))
    assert math.isnan(quantile(0.5, [1, 2, 3], BOUNDS[:3])), "no +Inf"
    assert math.isnan(quantile(0.5, [4], BOUNDS[3:])), "nothing but +Inf"
    assert math.isnan(quantile(math.nan, [10, 20, 30, 30]))
    assert math.isnan(quantile(0.5, [math.nan] * 4))
    assert quantile(-1, [10, 20, 30, 30]) == -INF
    assert quantile(2, [10, 20, 30, 30]) == INF
    assert histogram_quantile(0.5, np.empty(0), np.empty((0, 3))).shape == (3,)


def test_buckets_come_in_any_order_may_repeat_fall_or_miss() -> None:
    assert quantile(0.5, [30, 30, 10, 20], BOUNDS[[3, 2, 0, 1]]) == quantile(0.5, [10, 20, 30, 30])
    doubled = np.array([0.1, 0.5, 0.5, 1.0, INF])
    assert quantile(0.5, [10, 15, 5, 30, 30], doubled) == quantile(0.5, [10, 20, 30, 30])
    assert quantile(0.5, [10, 8, 30, 30]) == quantile(0.5, [10, 10, 30, 30])
    # Without the bucket at 0.5 its bound is no edge.
    assert quantile(0.5, [10, math.nan, 30, 30]) == pytest.approx(0.1 + 0.9 * 5 / 20)


def test_a_first_bucket_at_or_below_zero_is_its_bound() -> None:
    assert quantile(0.1, [10, 20], np.array([-1.0, INF])) == -1.0


def test_noise_between_buckets_is_none_since_release_3() -> None:
    counts = [10.0, 10.0 + 1e-13, 10.0 + 2e-13, 10.0 + 3e-13]
    assert quantile(1.0, counts, release=3) == pytest.approx(0.1)
    assert quantile(1.0, counts, release=2) == 1.0


def test_steps_may_miss_different_buckets() -> None:
    counts = np.array([[10, 10, np.nan], [20, np.nan, np.nan], [30, 30, np.nan], [30, 30, np.nan]])
    found = histogram_quantile(0.5, BOUNDS, counts)
    assert found[:2] == pytest.approx([0.3, 0.1 + 0.9 * 5 / 20])
    assert math.isnan(found[2])
