from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lib.profiling.gaps import break_lines, find_gaps, is_gap, missing_count, typical_interval_ms


def test_two_missed_samples_are_a_gap_and_one_is_none() -> None:
    assert is_gap(np.array([0, 10, 20, 40, 50, 60]) * 1000).tolist() == [False] * 5
    assert is_gap(np.array([0, 10, 20, 50, 60, 70]) * 1000).tolist() == [False, False, True, False, False]


def test_a_changed_scrape_interval_breaks_once_and_not_at_every_slow_step() -> None:
    slow, fast = np.arange(20) * 300_000, 19 * 300_000 + 15_000 + np.arange(200) * 15_000
    assert np.flatnonzero(is_gap(np.concatenate((slow, fast)))).tolist() == [18]


def test_gap_inside_the_slow_part_is_still_found() -> None:
    slow = np.concatenate((np.arange(10), np.arange(20, 30))) * 300_000
    fast = slow[-1] + (1 + np.arange(200)) * 15_000
    gaps = find_gaps(np.concatenate((slow, fast)))
    assert 3300 in [gap.seconds for gap in gaps]
    assert len(gaps) == 2


def test_a_known_interval_tells_a_gap_of_few_points() -> None:
    hour = 3_600_000
    assert not is_gap(np.array([0, 4 * hour])).any(), "nobody knows how often it was to come"
    assert is_gap(np.array([0, 4 * hour]), usual_ms=hour / 2).tolist() == [True]
    assert is_gap(np.array([0, 4 * hour, 5 * hour]), usual_ms=hour).tolist() == [True, False]
    assert not is_gap(np.array([0, 2 * hour]), usual_ms=hour).any()


def test_missing_counts_what_the_gap_would_have_held() -> None:
    assert missing_count(np.array([0, 10, 20, 60, 70, 80]) * 1000) == 3


def test_lines_break_in_the_middle_of_a_gap() -> None:
    ts_ms, value = break_lines(np.array([0, 10, 20, 80, 90]) * 1000, np.arange(5.0))
    assert ts_ms.tolist() == [0, 10_000, 20_000, 50_000, 80_000, 90_000]
    assert np.isnan(value).tolist() == [False, False, False, True, False, False]


@given(st.lists(st.integers(1, 10**9), max_size=50))
def test_breaking_keeps_every_sample_and_the_order(step: list[int]) -> None:
    ts_ms = np.cumsum(np.array(step, dtype=np.int64))
    value = np.arange(ts_ms.size, dtype=float)
    broken_ts, broken = break_lines(ts_ms, value)
    assert broken[~np.isnan(broken)].tolist() == value.tolist()
    assert (np.diff(broken_ts) >= 0).all()
    assert np.isnan(broken).sum() == is_gap(ts_ms).sum()


def test_too_few_samples_have_no_interval() -> None:
    assert typical_interval_ms(np.array([1])) is None
    assert missing_count(np.array([], dtype=np.int64)) == 0
