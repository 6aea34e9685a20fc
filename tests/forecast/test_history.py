from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from lib.errors import NotEnoughData
from lib.forecast import history
from lib.forecast.history import History


@pytest.mark.parametrize(
    ("horizon_s", "sampled_s", "step_s"),
    [
        (3600, 15, 20),
        (86_400, 15, 600),
        (86_400, 3600, 3600),
        (7 * 86_400, 60, 3600),
        (30 * 86_400, 60, 21_600),
        (366 * 86_400, 60, 2 * 86_400),
    ],
)
def test_step_suits_the_horizon_and_is_never_finer_than_the_samples(horizon_s, sampled_s, step_s) -> None:
    assert history.step_of(horizon_s, sampled_s) == step_s


def test_seasons_are_carried_only_where_they_were_seen_often_enough(daily: Callable[..., History]) -> None:
    assert not daily(1.9).has_day
    assert daily(2).has_day and not daily(20).has_week
    assert daily(21).has_week
    # Steps of a day have no time of day.
    coarse = history.of_bins(np.arange(100), np.arange(100.0), 86_400)
    assert not coarse.has_day and not coarse.has_week


def test_holes_stay_holes_and_are_filled_from_the_day_before(daily: Callable[..., History]) -> None:
    slots = np.delete(np.arange(200), [60, 61, 3])
    made = history.of_bins(slots, slots.astype(float), 1800)
    assert np.flatnonzero(np.isnan(made.values)).tolist() == [3, 60, 61]
    assert made.filled[[3, 60, 61]].tolist() == [2.0, 12.0, 13.0]


@pytest.mark.parametrize("values", [[1.0], [], [np.nan] * 50, [np.inf] * 50, [1.0] * 23])
def test_too_few_usable_values_are_refused_with_what_it_takes(values: list[float]) -> None:
    with pytest.raises(NotEnoughData, match="at least 24"):
        history.of_bins(np.arange(len(values)), np.array(values), 60)


def test_only_the_newest_part_of_a_long_history_is_learnt_from() -> None:
    n = history.MOST_ROWS + 500
    made = history.of_bins(np.arange(n), np.arange(float(n)), 60)
    assert len(made) == history.MOST_ROWS and made.values[-1] == n - 1


@pytest.mark.parametrize(
    ("values", "unit", "low", "high"),
    [
        ([0.0, 5.0], "B", 0.0, math.inf),
        ([0.0, 5.0], "", 0.0, math.inf),
        ([-1.0, 5.0], "", -math.inf, math.inf),
        ([3.0, 5.0], "°C", -math.inf, math.inf),
        ([0.1, 0.9], "ratio", 0.0, 1.0),
        ([0.1, 4.0], "ratio", 0.0, math.inf),
        ([10.0, 99.0], "%", 0.0, 100.0),
    ],
)
def test_bounds_follow_unit_and_past(values, unit, low, high) -> None:
    assert history.bounds(np.array(values), unit) == (low, high)


def test_what_was_known_ends_with_a_value() -> None:
    slots = np.delete(np.arange(100), range(50, 60))
    made = history.of_bins(slots, slots.astype(float), 1800)
    assert len(made.until(57)) == 50
    assert made.until(57).end_ms == 50 * 1_800_000
