from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lib.profiling.shape import distribution, rhythm, trend

HOURS = np.arange(28 * 24) * 3_600_000 + 20_000 * 86_400_000
any_values = hnp.arrays(np.float64, st.integers(0, 50), elements=st.floats(allow_nan=True, allow_infinity=True))


def noise(seed: int = 0, size: int = HOURS.size) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size)


def test_daily_rhythm_is_strong_for_a_daily_wave_and_weak_for_noise() -> None:
    wave = np.sin(HOURS / 3_600_000 / 24 * 2 * np.pi)
    assert rhythm(HOURS, wave + 0.1 * noise()).daily > 0.9
    assert rhythm(HOURS, noise()).daily < 0.1


def test_weekly_rhythm_is_what_the_days_add_to_the_hours() -> None:
    weekend = (HOURS // 86_400_000 % 7 >= 5).astype(float)
    wave = np.sin(HOURS / 3_600_000 / 24 * 2 * np.pi)
    found = rhythm(HOURS, wave - 2 * weekend + 0.1 * noise())
    assert found.weekly > 0.8
    assert rhythm(HOURS, wave + 0.3 * noise(1)).weekly < 0.1


def test_a_steady_trend_is_no_rhythm() -> None:
    found = rhythm(HOURS, np.arange(HOURS.size) + 0.1 * noise())
    assert found.daily < 0.1


def test_short_history_says_nothing_about_days_or_weeks() -> None:
    short = rhythm(HOURS[:48], noise(size=48))
    assert (short.daily, short.weekly) == (None, None)
    assert rhythm(HOURS[: 10 * 24], noise(size=240)).weekly is None


def test_hours_hold_the_mean_and_its_spread() -> None:
    hour = HOURS // 3_600_000 % 24
    found = rhythm(HOURS, hour.astype(float))
    assert found.hours[:, 0].tolist() == list(range(24))


def test_trend_gives_the_slope_a_day() -> None:
    found = trend(HOURS, 3.0 * np.arange(HOURS.size) / 24)
    assert np.isclose(found.per_day, 3.0)
    assert found.explained > 0.999
    assert trend(HOURS, noise()).explained < 0.05


def test_trend_of_a_flat_or_short_line() -> None:
    assert trend(HOURS, np.full(HOURS.size, 7.0)).per_day == 0
    assert trend(HOURS[:3], np.arange(3.0)) is None


def test_histogram_counts_every_finite_value() -> None:
    value = np.concatenate((noise(), [np.nan, np.inf, 1e6]))
    found = distribution(value)
    assert found.counts.sum() == HOURS.size + 1
    assert found.edges[-1] < 1e6
    assert found.quantiles[1.0] == 1e6
    assert abs(found.quantiles[0.5]) < 0.1


@given(any_values)
def test_no_value_breaks_a_profile(value: np.ndarray) -> None:
    found = distribution(value)
    assert found.counts.sum() == np.isfinite(value).sum()
    ts_ms = np.arange(value.size) * 3_600_000
    line, clock = trend(ts_ms, value), rhythm(ts_ms, value)
    assert line is None or (np.isfinite(line.per_day) and 0 <= line.explained <= 1)
    assert clock.daily is None or 0 <= clock.daily <= 1
