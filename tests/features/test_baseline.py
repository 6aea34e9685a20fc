from __future__ import annotations

import numpy as np
import pytest

from lib.features import baseline
from lib.features.baseline import Baseline

STEP_MS = 300_000


def days(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    ts = 1_772_323_200_000 + np.arange(n * 288, dtype=np.int64) * STEP_MS
    row = 40 + 20 * np.sin(2 * np.pi * (ts % 86_400_000) / 86_400_000)
    return ts, (row + np.random.default_rng(seed).normal(0, 1, ts.size))[None, :]


def fitted(ts: np.ndarray, rows: np.ndarray) -> Baseline:
    return baseline.fit(ts, rows, np.ones(ts.size, dtype=bool), STEP_MS, 288)


def test_daily_rhythm_is_expected_and_the_band_holds_what_is_normal() -> None:
    ts, rows = days(14)
    learnt = fitted(ts[:-288], rows[:, :-288])
    expected = learnt.expected(ts, rows)
    low, high = learnt.band(ts, expected)
    last = slice(-288, None)
    assert np.abs(expected - rows)[0, last].mean() < 1.5
    assert ((rows >= low) & (rows <= high))[0, last].mean() > 0.97
    assert (high - low)[0, last].mean() < 14


def test_weekend_has_a_day_of_its_own_after_two_weeks() -> None:
    ts, rows = days(28)
    weekend = (ts // 86_400_000 + 3) % 7 >= 5
    rows[0, weekend] = 10 + np.random.default_rng(3).normal(0, 1, weekend.sum())
    learnt = fitted(ts, rows)
    residual = rows - learnt.expected(ts, rows)
    assert np.abs(residual[0, weekend][288:]).mean() < 3


def test_a_fault_does_not_move_what_is_expected_and_coming_home_is_no_surprise() -> None:
    ts, rows = days(14)
    learnt = fitted(ts, rows)
    broken = rows.copy()
    broken[0, -400:-100] += 60  # longer than half the level's window: the level follows
    expected = learnt.expected(ts, broken)
    low, high = learnt.band(ts, expected)
    assert (broken > high)[0, -400:-300].all()
    after = slice(-95, None)
    assert ((broken >= low) & (broken <= high))[0, after].mean() > 0.95


def test_short_history_has_no_rhythm_but_a_level() -> None:
    ts, rows = days(2)
    learnt = fitted(ts[:200], rows[:, :200])
    assert not learnt.day.any()
    assert learnt.home[0] == pytest.approx(np.median(rows[0, :200]))


def test_robust_scale_ignores_outliers_and_never_is_zero() -> None:
    row = np.random.default_rng(0).normal(0, 1, 1000)
    row[:40] = 1e6
    assert baseline.robust_scale(row[None, :])[0] == pytest.approx(1, abs=0.15)
    assert (baseline.robust_scale(np.array([[5.0] * 20, [np.nan] * 20])) > 0).all()


def test_arrays_bring_it_back() -> None:
    ts, rows = days(4)
    learnt = fitted(ts, rows)
    again = Baseline.from_arrays(learnt.arrays())
    assert np.array_equal(again.expected(ts, rows), learnt.expected(ts, rows), equal_nan=True)


def on_sundays(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Days with an hour of rotation each Sunday at three, and which moments those are."""
    ts, rows = days(n)
    hour = (ts // 3_600_000) % 24
    rotation = ((ts // 86_400_000 + 3) % 7 == 6) & (hour >= 3) & (hour < 5)
    rows[0, rotation] += 30
    return ts, rows, rotation


def test_what_happens_each_sunday_is_expected_after_a_month_and_not_after_two_weeks() -> None:
    for n, expected in ((35, True), (14, False)):
        ts, rows, rotation = on_sundays(n)
        learnt = fitted(ts, rows)
        inside = rotation & (ts >= ts[0] + 7 * 86_400_000)
        residual = (rows - learnt.expected(ts, rows))[0, inside]
        assert (np.median(residual) < 8) == expected


def test_what_two_sundays_did_alike_is_expected_of_the_third() -> None:
    ts, rows, rotation = on_sundays(22)
    learnt = fitted(ts[288:-288], rows[:, 288:-288])  # from Monday on
    newest = rotation & (ts >= ts[-288])
    assert newest.any()
    assert np.abs((rows - learnt.expected(ts, rows))[0, newest]).mean() < 5


@pytest.mark.parametrize("sign", [0.0, -1.0])
def test_what_one_of_two_sundays_did_is_no_habit(sign: float) -> None:
    ts, rows, rotation = on_sundays(21)
    second = rotation & (ts >= ts[0] + 10 * 86_400_000)
    rows[0, second] += -30 + sign * 30
    learnt = fitted(ts[288:], rows[:, 288:])  # from Monday on
    assert np.abs(learnt.day[0, 6] - learnt.day[0, 5])[12:20].max() < 2


def emptied_on_sundays(n: int) -> tuple[np.ndarray, np.ndarray]:
    """What fills up all week and is emptied on Sundays at three."""
    ts, rows = days(n)
    return ts, rows + 60 * ((ts - 3 * 3_600_000 + 4 * 86_400_000) % (7 * 86_400_000)) / (7 * 86_400_000)


def test_where_the_week_jumps_is_known() -> None:
    ts, rows = emptied_on_sundays(21)
    learnt = fitted(ts[288:], rows[:, 288:])  # from Monday on
    hours = (ts - ts[0]) % (7 * 86_400_000) / 3_600_000
    emptied = (hours >= 2.75) & (hours < 3.25)
    assert learnt.jumps(ts)[emptied].all()
    assert learnt.jumps(ts)[~emptied].mean() < 0.02
    assert not fitted(*days(21)).jumps(ts).any()


def test_one_odd_sunday_is_no_weekly_season() -> None:
    ts, rows = days(35)
    odd = (ts >= ts[0] + 7 * 86_400_000) & (ts < ts[0] + 7 * 86_400_000 + 7_200_000)
    rows[0, odd] += 30
    learnt = fitted(ts, rows)
    assert np.abs(learnt.day[0, 6] - learnt.day[0, 5]).max() < 1.5
