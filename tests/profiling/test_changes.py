from __future__ import annotations

import numpy as np
import pytest

from lib.profiling import changes
from lib.profiling.changes import FLOORS, ORDER, Slots, Test
from lib.profiling.rates import rate

S, TIMES, N = 24, 4, 40


def slots(mean: np.ndarray) -> Slots:
    return Slots(mean, mean.copy(), mean.copy())


def quiet(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """before, window, one earlier day: noise of deviation 1 about 50."""
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(50, 1, (N, k)) for k in (S * TIMES, S, S))  # type: ignore[return-value]


def strengths(before: np.ndarray, window: np.ndarray, days: list[np.ndarray]) -> np.ndarray:
    compared = changes.compare(slots(before), slots(window), [slots(one) for one in days])
    return compared.statistic / np.array([FLOORS[test] for test in ORDER])


def strongest(row: np.ndarray) -> Test:
    return ORDER[int(np.nanargmax(row))]


def test_noise_that_goes_on_passes_no_test() -> None:
    before, window, day = quiet()
    assert np.nanmax(strengths(before, window, [day])) < 1


def changed(kind: Test, before: np.ndarray, window: np.ndarray, day: np.ndarray) -> None:
    rng = np.random.default_rng(7)
    if kind is Test.LEVEL:
        window[0] += 20
    elif kind is Test.SPREAD:
        window[0] += rng.normal(0, 8, S)
    elif kind is Test.SHAPE:
        # Two places, where before it was mostly between them.
        before[0], day[0] = 50 + rng.normal(0, 0.1, S * TIMES), 50 + rng.normal(0, 0.1, S)
        before[0, ::4], day[0, ::4] = 52.0, 52.0
        window[0] = 50 + np.where(np.arange(S) // 4 % 2, 1.0, -1.0) + rng.normal(0, 0.1, S)
    elif kind is Test.TREND:
        window[0] += np.linspace(-10, 10, S)
    elif kind is Test.PEAK:
        window[0, 5:9] -= 30
    elif kind is Test.FLAT:
        window[0] = 50.2


@pytest.mark.parametrize("kind", [Test.LEVEL, Test.SPREAD, Test.SHAPE, Test.TREND, Test.PEAK, Test.FLAT])
def test_each_kind_of_change_is_told_from_nothing(kind: Test) -> None:
    before, window, day = quiet()
    changed(kind, before, window, day)
    found = strengths(before, window, [day])
    assert found[0, ORDER.index(kind)] > 1
    assert strongest(found[0]) is kind or kind is Test.SHAPE
    assert np.nanmax(found[1:]) < 1


def test_an_hour_out_of_a_day_is_a_change_and_names_how_far_it_went() -> None:
    before, window, day = quiet()
    window[0, 3:6] += 40
    window[1, 7] += 40
    before[2, 50:52] += 40
    window[2, 3:6] += 41
    compared = changes.compare(slots(before), slots(window), [slots(day)])
    found = compared.statistic[:, ORDER.index(Test.PEAK)] / FLOORS[Test.PEAK]
    assert found[0] > 2 and strongest(strengths(before, window, [day])[0]) is Test.PEAK
    assert found[1] < 1, "a single slot is none"
    assert found[2] < 1, "it went as far before"
    assert 88 < compared.peak_now[0] < 93 and 51 < compared.peak_before[0] < 55


def test_an_evening_like_yesterdays_is_no_change() -> None:
    before, window, day = quiet()
    window += 20
    alone = strengths(before, window, [])
    beside = strengths(before, window, [day + 20])
    level = ORDER.index(Test.LEVEL)
    assert alone[:, level].min() > 3
    assert beside[:, level].max() < 1


def test_a_level_that_came_back_from_earlier_in_the_day_is_no_change() -> None:
    before, window, _ = quiet()
    before[:, :S] += 20
    window += 20
    assert strengths(before, window, [])[:, ORDER.index(Test.LEVEL)].max() < 1


def test_steady_growth_is_no_change_and_its_end_is_one() -> None:
    before, window, _ = quiet()
    line = np.arange(S * (TIMES + 1)) * 0.5
    before, window = before * 0.02 + line[: S * TIMES], window * 0.02 + line[S * TIMES :]
    window[0] = window[0, 0]
    found = strengths(before, window, [])
    assert np.nanmax(found[1:]) < 1
    assert np.nanmax(found[0]) > 1


def test_a_constant_that_moves_counts_much_and_one_that_stays_not_at_all() -> None:
    before, window = np.full((3, S * TIMES), 100.0), np.full((3, S), 100.0)
    window[0] = 103
    found = strengths(before, window, [])
    assert found[0, ORDER.index(Test.LEVEL)] > 5
    assert np.nanmax(found[1:]) == 0


def test_zero_forever_and_enormous_values_give_finite_numbers() -> None:
    before, window = np.zeros((3, S * TIMES)), np.zeros((3, S))
    window[1] = 1.0
    before[2], window[2] = 1e308, -1e308
    with np.errstate(over="ignore"):
        found = strengths(before, window, [])
    ranked = changes.rank(found, np.ones(len(ORDER)))
    assert np.isfinite(ranked.score).all()
    assert ranked.score[0] == 0
    assert ranked.score[1] > 5
    assert ranked.score[2] > 5


def test_nothing_but_nan_cannot_be_compared() -> None:
    before, window, day = quiet()
    before[0], window[1], window[2, 2:] = np.nan, np.nan, np.nan
    found = strengths(before, window, [day])
    assert np.isnan(found[:3]).all()
    assert np.isfinite(found[3:, 0]).all()


def test_no_series_at_all_is_no_error() -> None:
    compared = changes.compare(slots(np.empty((0, S * TIMES))), slots(np.empty((0, S))), [])
    ranked = changes.rank(compared.statistic, changes.limits(compared.statistic))
    assert ranked.score.shape == (0,)


def test_gaps_leave_the_other_slots_to_speak() -> None:
    before, window, day = quiet()
    window[0] += 20
    window[:, ::2], before[:, 1::3] = np.nan, np.nan
    found = strengths(before, window, [day])
    assert strongest(found[0]) is Test.LEVEL
    assert np.nanmax(found[1:, [ORDER.index(Test.LEVEL), ORDER.index(Test.FLAT)]]) < 1


def test_limits_rise_with_what_the_control_does_by_itself() -> None:
    control = np.zeros((1000, len(ORDER)))
    control[:20, 0] = 30.0
    control[:5, 1] = 30.0
    limit = changes.limits(control)
    assert limit[0] == 30.0
    assert limit[1] == FLOORS[ORDER[1]]


def test_the_strongest_test_counts_whole_and_others_a_tenth() -> None:
    statistic = np.array([[4.0, 2.0, 0.5, 0, 0, 0, np.nan], [4.0, 0, 0, 0, 0, 0, 0], [1000.0, 0, 0, 0, 0, 0, 0]])
    ranked = changes.rank(statistic, np.ones(7))
    assert ranked.score.tolist() == pytest.approx([4.2, 4.0, 30.0])


def test_rates_are_those_of_the_raw_samples_where_a_slot_holds_one_each() -> None:
    value = np.array([5.0, 8.0, 20.0, 3.0, 4.0, 10.0])
    ts_ms = np.arange(6) * 15_000
    same = dict.fromkeys(("first", "last", "low", "high"), value[None])
    same |= {name: ts_ms[None].astype(float) for name in ("first_ms", "last_ms")}
    found = changes.rates(same)[0]
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], rate(ts_ms, value)[1])


def test_rates_handle_a_reset_within_a_slot_and_never_fall_below_zero() -> None:
    #                     0, 10, 2, 6 within one slot: ten up, then six from zero
    parts = {"first": 0.0, "last": 6.0, "low": 0.0, "high": 10.0, "first_ms": 0.0, "last_ms": 16_000.0}
    found = changes.rates({name: np.array([[value]]) for name, value in parts.items()})
    assert found[0, 0] == 1.0


def test_a_rate_after_an_empty_slot_takes_only_what_lies_within() -> None:
    first, last = np.array([[0.0, np.nan, 100.0]]), np.array([[10.0, np.nan, 130.0]])
    begin, end = np.array([[0.0, np.nan, 200_000.0]]), np.array([[10_000.0, np.nan, 210_000.0]])
    parts = {"first": first, "last": last, "low": first, "high": last, "first_ms": begin, "last_ms": end}
    found = changes.rates(parts)[0]
    assert found[0] == 1.0
    assert np.isnan(found[1])
    assert found[2] == 3.0


def there(*rows: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Which slots hold a value: from, to of each row; before and window."""
    whole = np.zeros((len(rows), S * (TIMES + 1)), dtype=bool)
    for row, (start, end) in zip(whole, rows, strict=True):
        row[start:end] = True
    return whole[:, : S * TIMES], whole[:, S * TIMES :]


def test_who_appears_and_who_goes_silent_are_told_from_who_stays() -> None:
    end = S * (TIMES + 1)
    before, window = there((0, end), (S * TIMES + 2, end), (0, S * TIMES + 5))
    appeared, gone = changes.presence(before, window, [], np.array([1, 1, 1]))
    assert (appeared > FLOORS[Test.APPEARED]).tolist() == [False, True, False]
    assert (gone > FLOORS[Test.DISAPPEARED]).tolist() == [False, False, True]


def test_a_source_that_was_not_collected_is_no_disappearance() -> None:
    end = S * (TIMES + 1)
    before, window = there((0, S * TIMES), (0, S * TIMES), (0, end))
    _, gone = changes.presence(before, window, [], np.array([1, 1, 2]))
    assert gone.tolist() == [0, 0, 0]


def test_what_is_away_at_this_time_every_day_is_no_disappearance() -> None:
    end = S * (TIMES + 1)
    before, window = there((0, S * TIMES), (0, S * TIMES), (0, end))
    day = np.ones((3, S), dtype=bool)
    day[0] = False
    _, gone = changes.presence(before, window, [day], np.array([1, 1, 1]))
    assert (gone > 0).tolist() == [False, True, False]
