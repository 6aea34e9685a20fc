"""Changes of one host, of one kind and at one moment are one event."""

from __future__ import annotations

import numpy as np

from lib.profiling.changes import Test
from lib.profiling.together import onsets, owner, stills, together

A, B = (1, ("", "web-1")), (1, ("", "web-2"))


def grouped(owners: list, tests: list[Test], at_s: list[float], tolerance_s: float = 15) -> list[tuple[int, ...]]:
    at_ms = np.array(at_s, dtype=float) * 1000
    return [one.rows for one in together(owners, tests, at_ms, np.full(len(at_s), tolerance_s * 1000.0))]


def test_series_of_a_host_that_stop_together_are_one_event_in_the_place_of_the_strongest() -> None:
    gone, level = Test.DISAPPEARED, Test.LEVEL
    rows = grouped([B, A, B, A, A], [level, gone, gone, gone, gone], [5, 60, 61, 70, 80])
    assert rows == [(0,), (1, 3, 4), (2,)]


def test_moments_further_apart_than_a_collection_are_two_events() -> None:
    gone = [Test.DISAPPEARED] * 5
    assert grouped([A] * 5, gone, [10, 20, 300, 310, 900]) == [(0, 1), (2, 3), (4,)]


def test_two_levels_at_one_moment_are_chance_and_three_are_not() -> None:
    assert grouped([A, A], [Test.LEVEL] * 2, [10, 10]) == [(0,), (1,)]
    assert grouped([A, A, A], [Test.LEVEL] * 3, [10, 10, 10]) == [(0, 1, 2)]
    # A trend has no moment.
    assert grouped([A, A, A], [Test.TREND] * 3, [10, 10, 10]) == [(0,), (1,), (2,)]


def test_what_is_nobodys_or_without_a_moment_stays_by_itself() -> None:
    assert grouped([None, None], [Test.APPEARED] * 2, [1, 1]) == [(0,), (1,)]
    assert grouped([A, A, A], [Test.APPEARED] * 3, [1, np.nan, 1]) == [(0, 2), (1,)]
    assert together([], [], np.empty(0), np.empty(0)) == []


def test_the_owner_is_the_host_else_a_label_that_names_one() -> None:
    assert owner("web-1", {"job": "api"}) == ("", "web-1")
    assert owner("", {"namespace": "shop", "job": "api"}) == ("job", "api")
    assert owner("", {"path": "/"}) is None


def test_a_step_has_a_moment_and_a_slope_or_a_spike_has_none() -> None:
    before = np.tile([5.0, 5.2, 4.9, np.nan], (7, 2))
    now = np.full((7, 8), 5.0)
    now[0, 3:] = 9.0
    now[1] = 9.0
    now[2, 2], now[2, 3:] = 6.5, 9.0  # in the middle of a slot
    now[3] = np.linspace(5, 9, 8)
    now[4, 2] = 9.0
    now[5] = np.nan
    now[6, 3:], now[6, 5] = 1.0, np.nan
    assert onsets(before, now)[[0, 1, 2, 6]].tolist() == [3, 0, 2, 3]
    assert np.isnan(onsets(before, now)[3:6]).all()
    assert np.isnan(onsets(np.empty((1, 0)), now[:1])).all()


def test_standing_still_begins_after_the_last_other_value() -> None:
    now = np.array([[1.0, 2.0, 3.0, 3.0, np.nan, 3.0], [4.0] * 6])
    assert stills(now).tolist() == [2, 0]
