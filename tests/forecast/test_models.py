from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lib.forecast import history
from lib.forecast.backtest import SIMPLE
from lib.forecast.history import History
from lib.forecast.models import Drift, Model, Naive, RecentLevel, SeasonalNaive, season
from lib.forecast.pattern import Pattern
from lib.forecast.smoothing import Smoothing, Trend, holt

DAY = 48


def off(model: Model, whole: History, ahead: int = DAY) -> float:
    """Mean absolute error of the last day, foreseen from all before it."""
    before = whole.until(len(whole) - ahead)
    return float(np.abs(model.path(before, ahead, ahead) - whole.values[-ahead:]).mean())


@pytest.mark.parametrize("model", SIMPLE, ids=lambda m: m.name)
def test_each_model_goes_as_far_as_asked_and_further_than_it_was_tried(model: Model, daily) -> None:
    made = daily(28)
    assert model.fits(made, DAY)
    path = model.path(made, 5 * DAY, DAY)
    assert path.shape == (5 * DAY,) and np.isfinite(path).all()


@pytest.mark.parametrize("model", SIMPLE, ids=lambda m: m.name)
def test_holes_and_extremes_do_not_break_a_model(model: Model) -> None:
    rng = np.random.default_rng(1)
    slots = np.sort(rng.choice(2000, 900, replace=False))
    values = rng.normal(size=900)
    values[::97] = 1e200
    made = history.of_bins(slots, values, 1800)
    assert np.isfinite(model.path(made, DAY, DAY)).all()


def test_naive_repeats_the_last_value_and_seasonal_naive_the_last_day(daily: Callable[..., History]) -> None:
    made = daily(5)
    assert set(Naive().path(made, 9, 9)) == {made.values[-1]}
    assert SeasonalNaive().path(made, 2 * DAY, DAY) == pytest.approx(np.tile(made.values[-DAY:], 2))


def test_season_is_a_week_only_where_weeks_repeat_better(daily: Callable[..., History]) -> None:
    assert season(daily(1)) == 0
    assert season(daily(14, weekend=30)) == DAY
    assert season(daily(28, weekend=30)) == 7 * DAY


def test_pattern_is_far_less_off_than_a_repetition_of_noise(daily: Callable[..., History]) -> None:
    noisy = daily(14, noise=5)
    assert off(Pattern(), noisy) < 0.85 * off(SeasonalNaive(), noisy)
    assert off(Pattern(), noisy) == pytest.approx(4, abs=1)  # the mean absolute value of the noise itself


def test_weekly_pattern_knows_weekends(daily: Callable[..., History]) -> None:
    made = daily(42, weekend=30)  # the last day is a Sunday
    friday = made.until(len(made) - DAY)
    assert off(Pattern("week"), friday) < 0.5 * off(Pattern("day"), friday)


def test_level_moves_with_the_series(daily: Callable[..., History]) -> None:
    made = daily(14)
    moved = history.of_bins(made.first + np.arange(len(made)), made.values + 40 * (np.arange(len(made)) > 480), 1800)
    for model in (Pattern(), Smoothing(), RecentLevel()):
        assert np.median(model.path(moved, DAY, DAY)) == pytest.approx(90, abs=8)


def test_trend_and_drift_go_on_rising(daily: Callable[..., History]) -> None:
    made = daily(20, rise=5)
    ends = {m.name: m.path(made, 5 * DAY, DAY)[-DAY:].mean() - made.values[-DAY:].mean() for m in (Trend(), Drift())}
    assert ends["straight trend"] == pytest.approx(25, abs=3)
    assert ends["drift"] == pytest.approx(25, abs=15)


def test_filters_are_the_recursion_of_holt() -> None:
    values = np.random.default_rng(0).normal(size=300).cumsum()
    alpha, beta, damping = 0.3, 0.05, 0.9
    level, trend = float(np.median(values[:12])), 0.0
    expected = []
    for value in values:
        error = value - level - damping * trend
        level, trend = level + damping * trend + alpha * error, damping * trend + beta * error
        expected.append((level, trend))
    got = np.array(holt(values, alpha, beta, damping)).T
    assert got == pytest.approx(np.array(expected), abs=1e-9)


@pytest.mark.parametrize("model", SIMPLE, ids=lambda m: m.name)
def test_a_forecast_knows_nothing_of_what_comes(model: Model, daily: Callable[..., History]) -> None:
    made = daily(28)
    other = History(np.concatenate((made.values[:1000], made.values[1000:] * 7)), made.first, made.step_s)
    assert model.path(made.until(1000), DAY, DAY) == pytest.approx(model.path(other.until(1000), DAY, DAY))
