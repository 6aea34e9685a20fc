from __future__ import annotations

import numpy as np
import pytest

from lib.forecast.capacity import Side, State, crossing, side_of

TS = np.arange(10, dtype=np.int64) * 60_000
RISING = np.arange(10.0)


def asked(limit: float, side: Side = Side.ABOVE, last: float = 0.0, rise: float = 1.0):
    return crossing(limit, side, last, TS, rise * RISING - 2, rise * RISING, rise * RISING + 2)


def test_rising_series_crosses_earliest_by_the_upper_edge_and_latest_by_the_lower() -> None:
    found = asked(5)
    assert (found.state, found.earliest_ms, found.likely_ms, found.latest_ms) == (
        State.CROSSES,
        3 * 60_000,
        5 * 60_000,
        7 * 60_000,
    )


def test_falling_series_crosses_below() -> None:
    found = asked(-5, Side.BELOW, rise=-1.0)
    assert (found.earliest_ms, found.likely_ms, found.latest_ms) == (3 * 60_000, 5 * 60_000, 7 * 60_000)


def test_dates_beyond_the_horizon_are_none() -> None:
    assert (asked(8).likely_ms, asked(8).latest_ms) == (8 * 60_000, None)
    assert (asked(10).state, asked(10).likely_ms) == (State.MAY, None)
    assert asked(10).earliest_ms == 8 * 60_000


@pytest.mark.parametrize("limit", [11.5, 1e300])
def test_limit_that_is_never_crossed(limit: float) -> None:
    found = asked(limit)
    assert (found.state, found.earliest_ms, found.likely_ms, found.latest_ms) == (State.NOT_WITHIN, None, None, None)


@pytest.mark.parametrize(("limit", "side", "last"), [(5, Side.ABOVE, 6), (5, Side.ABOVE, 5), (5, Side.BELOW, 4)])
def test_already_beyond(limit: float, side: Side, last: float) -> None:
    assert asked(limit, side, last).state is State.ALREADY


def test_side_is_where_the_limit_lies() -> None:
    assert side_of(5, 4) is Side.ABOVE and side_of(3, 4) is Side.BELOW
