from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import NotEnoughData
from lib.features.grid import Grid, choose_grid, tabulate
from lib.frames import Series

GAUGE = Series(1, 1, "load", {}, "h", "gauge")
COUNTER = Series(2, 1, "requests_total", {}, "h", "counter")


def frame(series_id: int, ts_s: list[float], value: list[float]) -> pd.DataFrame:
    ts = pd.to_datetime((np.array(ts_s) * 1000).astype("int64"), unit="ms", utc=True)
    return pd.DataFrame({"series_id": series_id, "ts": ts, "value": value})


def test_counter_becomes_a_rate_and_a_reset_counts_from_zero() -> None:
    samples = frame(2, [0, 10, 20, 30, 40], [100, 200, 300, 50, 150])
    table = tabulate([COUNTER], samples, Grid(10_000))
    assert table.values[0, 1:].tolist() == [10, 10, 5, 10]
    assert np.isnan(table.values[0, 0])
    assert table.resets[0].tolist() == [False, False, False, True, False]


def test_gap_stays_a_gap_and_no_rate_is_told_across_a_long_one() -> None:
    samples = frame(2, [0, 10, 20, 200, 210], [0, 10, 20, 200, 210])
    table = tabulate([COUNTER], samples, Grid(10_000))
    assert table.ts_ms.size == 22
    seen = np.flatnonzero(np.isfinite(table.values[0]))
    assert seen.tolist() == [1, 2, 21]


def test_order_duplicates_and_infinity_do_not_matter() -> None:
    clean = tabulate([GAUGE], frame(1, [0, 10, 20], [1, 2, 3]), Grid(10_000))
    messy = tabulate([GAUGE], frame(1, [20, 0, 10, 10, 30], [3, 1, 9, 2, np.inf]), Grid(10_000))
    assert messy.values.tolist() == clean.values.tolist()


def test_listed_series_without_samples_is_all_missing_and_unlisted_ones_are_left_out() -> None:
    table = tabulate([GAUGE, COUNTER], pd.concat([frame(1, [0, 10], [1, 2]), frame(9, [0, 10], [5, 5])]), Grid(10_000))
    assert np.isnan(table.values[1]).all()
    assert table.ids.tolist() == [1, 2]


def test_nothing_at_all_is_an_empty_table() -> None:
    table = tabulate([GAUGE], frame(1, [], []), Grid(10_000))
    assert table.values.shape == (1, 0)


def test_grid_follows_the_scrape_so_that_jitter_empties_no_bin() -> None:
    rng = np.random.default_rng(0)
    # Scrapes fall just around the full minute: bins that begin there would be empty or double by turns.
    ts = np.arange(500) * 60 + rng.normal(0, 3, 500) + 60
    samples = frame(1, list(ts), list(rng.normal(0, 1, 500)))
    grid = choose_grid(samples)
    assert grid.step_s == 60
    assert np.isfinite(tabulate([GAUGE], samples, grid).values).all()


def test_long_span_is_coarsened() -> None:
    ts = list(range(0, 3600 * 50, 10))
    assert choose_grid(frame(1, ts, [0.0] * len(ts)), max_rows=1000).step_s == 300


def test_single_samples_are_not_enough_to_tell_a_step() -> None:
    with pytest.raises(NotEnoughData, match="two samples"):
        choose_grid(frame(1, [0], [1]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1e15), min_size=2, max_size=40))
def test_rates_are_never_negative(values: list[float]) -> None:
    table = tabulate([COUNTER], frame(2, [10.0 * i for i in range(len(values))], values), Grid(10_000))
    assert (table.values[np.isfinite(table.values)] >= 0).all()
