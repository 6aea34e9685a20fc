from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.features import kernels


def naive_ewma(row: np.ndarray, span: float) -> np.ndarray:
    decay, total, weight, out = 1 - 2 / (span + 1), 0.0, 0.0, []
    for value in row:
        total, weight = total * decay, weight * decay
        if np.isfinite(value):
            total, weight = total + value, weight + 1
        out.append(total / weight if weight > 1e-12 else np.nan)
    return np.array(out)


def test_ewma_in_blocks_is_the_recursion_gaps_included() -> None:
    row = np.random.default_rng(1).normal(5, 2, 700)
    row[:5] = np.nan
    row[300:340] = np.nan
    made, _ = kernels.ewma(row[None, :], 12)
    assert made[0] == pytest.approx(naive_ewma(row, 12), nan_ok=True, rel=1e-9)


def test_difference_and_flat_and_missing() -> None:
    row = np.array([[1.0, 2.0, 4.0, 4.0, 4.0, np.nan, 7.0]])
    assert kernels.difference(row, 1)[0, 1:5].tolist() == [1, 2, 0, 0]
    rolled = kernels.rolling(row, (3, 2))
    assert kernels.flat(row, rolled[3], 3)[0].tolist() == [0, 0, 0, 0, 1, 0, 0]
    assert kernels.missing(rolled[2], 7, 2)[0].tolist() == [0, 0, 0, 0, 0, 0.5, 0.5]
    assert kernels.missing_share(row, 2)[0].tolist() == [0, 0, 0, 0, 0, 0.5, 0.5]


def test_rolling_matches_numpy() -> None:
    row = np.random.default_rng(2).normal(0, 1, 50)
    made = kernels.rolling(row[None, :], (10,))[10]
    last = row[-10:]
    slope = last[-5:].mean() - last.mean()
    expected = {"mean": last.mean(), "slope": slope, "std": last.std(), "min": last.min(), "max": last.max()}
    expected["count"] = 10
    assert {k: v[0, -1] for k, v in made.items()} == pytest.approx(expected)


def test_unchanged_counts_from_the_last_move_and_a_gap_begins_anew() -> None:
    rows = np.array([[1.0, 1, 1, 2, 2, np.nan, 2, 2, 2]])
    assert kernels.unchanged(rows).tolist() == [[0, 1, 2, 0, 1, 0, 0, 1, 2]]


def rows_with_gaps(seed: int, n: int) -> np.ndarray:
    """Noise with gaps, a constant stretch, and a spike that a running sum would not forget."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(5, 2, (3, n))
    rows[0, rng.random(n) < 0.2] = np.nan
    start = int(rng.integers(0, n))
    rows[1, start : start + 40] = rows[1, start]
    rows[2, start : start + 1] = 1e9
    rows[:, : int(rng.integers(0, 4))] = np.nan
    return rows


def alike(one: np.ndarray, other: np.ndarray) -> None:
    assert one.shape == other.shape
    assert one == pytest.approx(other, rel=1e-9, abs=1e-9, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 120), st.integers(1, 40), st.integers(1, 12))
def test_newest_moments_come_out_as_they_do_among_all(seed: int, n: int, window: int, last: int) -> None:
    rows = rows_with_gaps(seed, n)
    last = min(last, n)
    alike(kernels.difference(rows, window, last), kernels.difference(rows, window)[:, -last:])
    whole, newest = kernels.rolling(rows, (window, 7)), kernels.rolling(rows, (window, 7), last)
    for length, made in newest.items():
        for name, row in made.items():
            alike(row, whole[length][name][:, -last:])
    least = min(2, window)
    for statistic in ("mean", "min", "max", "median"):
        whole_move = kernels.move(statistic, rows, window, least)
        alike(kernels.move(statistic, rows, window, least, last), whole_move[:, -last:])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 90), min_size=1, max_size=6))
def test_pieces_are_gone_on_from_exactly(seed: int, sizes: list[int]) -> None:
    rows = rows_with_gaps(seed, sum(sizes))
    rows[1] = np.round(rows[1] / 4)  # often the same as before
    averages, same, before, run = [], [], None, None
    for start, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
        piece = rows[:, start : start + size]
        average, before = kernels.ewma(piece, 12, before)
        averages.append(average)
        same.append(kernels.unchanged(piece, run))
        run = piece[:, -1], same[-1][:, -1]
    alike(np.concatenate(averages, axis=1), kernels.ewma(rows, 12)[0])
    assert np.array_equal(np.concatenate(same, axis=1), kernels.unchanged(rows))


def test_rolling_statistics_in_one_sweep_are_those_of_each_window() -> None:
    rows = rows_with_gaps(3, 400)
    made = kernels.rolling(rows, (12, 48))
    for window, by_name in made.items():
        for end in (1, 5, 30, 200, 399):
            for number, row in enumerate(rows):
                looked = row[max(0, end + 1 - window) : end + 1]
                seen = looked[np.isfinite(looked)]
                assert by_name["count"][number, end] == seen.size
                if seen.size >= window // 3:
                    assert by_name["std"][number, end] == pytest.approx(seen.std(), rel=1e-9, abs=1e-12)
                    assert by_name["min"][number, end] == seen.min()
                else:
                    assert np.isnan(by_name["mean"][number, end])


def test_quantiles_of_evenly_spaced_values_and_time_at_the_limits() -> None:
    rows = np.arange(24.0)[None, :]
    found = kernels.spread_out(rows, 12)
    assert found["q10"][0, -1] == 13 and found["q90"][0, -1] == 22 and found["q50"][0, -1] in (17, 18)
    assert np.isnan(found["q50"][0, 2]) and np.isfinite(found["q50"][0, 3])
    limited = np.minimum(np.arange(12.0), 8.0)[None, :]
    found = kernels.spread_out(limited, 12)
    assert found["top"][0, -1] == pytest.approx(4 / 12) and found["bottom"][0, -1] == pytest.approx(1 / 12)
    wide = np.arange(600.0)[None, :]
    assert kernels.spread_out(wide, 288)["q90"][0, -1] == pytest.approx(599 - 24, abs=1)


def test_quantiles_of_the_newest_moments_are_those_of_the_whole_history() -> None:
    rng = np.random.default_rng(0)
    rows = np.where(rng.random((2, 400)) < 0.2, np.nan, rng.normal(size=(2, 400)))
    for window in (6, 12, 48, 288):
        whole, newest = kernels.spread_out(rows, window), kernels.spread_out(rows, window, last=3)
        for name, found in newest.items():
            assert np.array_equal(found, whole[name][:, -3:], equal_nan=True)
