from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from lib.errors import NotEnoughData
from lib.forecast import backtest, history
from lib.forecast.backtest import BY_MARGIN, LEAST_ORIGINS, choose, repeats_weekly
from lib.forecast.history import History

DAY = 48


@dataclass
class Costly:
    """Foresees a sine of 20 around 50, more or less well."""

    off: float = 0.0
    fails: Exception | None = None
    name: str = "Prophet"
    asked: int = 0

    def fits(self, given: History, tested: int) -> bool:
        return True

    def path(self, given: History, steps: int, tested: int) -> np.ndarray:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        at = np.arange(len(given), len(given) + steps)
        return 50 + 20 * np.sin(2 * np.pi * at / DAY) + self.off


def test_rhythm_is_found_and_naive_loses(daily: Callable[..., History]) -> None:
    trial = choose(daily(), DAY)
    errors = {one.name: one.error for one in trial.candidates}
    assert "daily pattern" in trial.chosen.members
    assert trial.chosen.error < 0.85 * errors["seasonal naive"] < 0.85 * errors["naive"]
    assert len(trial.origins) >= 8 and trial.errors.shape == (len(trial.origins), DAY)


def test_of_random_walks_nothing_is_foreseen(walk: Callable[[int], History]) -> None:
    ratios = []
    for seed in range(12):
        whole = walk(seed)
        known = whole.until(len(whole) - DAY)
        came = whole.values[-DAY:]
        ratios.append(np.abs(came - choose(known, DAY).middle).mean() / np.abs(came - known.values[-1]).mean())
    assert np.exp(np.mean(np.log(ratios))) > 0.85


def test_costly_model_that_loses_is_tried_a_little_and_never_chosen(daily: Callable[..., History]) -> None:
    poor = Costly(off=15)
    trial = choose(daily(), DAY, costly=[poor])
    assert "Prophet" not in trial.chosen.members
    (told,) = [one for one in trial.candidates if one.name == "Prophet"]
    assert told.error > trial.chosen.error and told.origins == backtest.FIRST_LOOK
    assert poor.asked == backtest.FIRST_LOOK + 1


def test_costly_model_is_chosen_only_when_it_is_clearly_better_at_every_origin(daily: Callable[..., History]) -> None:
    trial = choose(daily(noise=5), DAY, costly=[Costly()])
    simple = min(one.error for one in trial.candidates if one.error and one.name != "Prophet")
    assert trial.chosen.name == "Prophet" and trial.chosen.origins == len(trial.origins)
    assert trial.chosen.error < BY_MARGIN * simple
    assert np.abs(trial.errors).mean() == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize("error", [RuntimeError("Stan gave up\nat length"), ValueError("nan"), TimeoutError()])
def test_costly_model_that_fails_is_left_out_with_the_reason(daily: Callable[..., History], error: Exception) -> None:
    trial = choose(daily(), DAY, costly=[Costly(fails=error)])
    (told,) = [one for one in trial.candidates if one.name == "Prophet"]
    assert told.error is None and "could not be fitted" in told.reason and "\n" not in told.reason
    assert "Prophet" not in trial.chosen.members


def test_costly_model_whose_time_is_up_is_left_out(daily: Callable[..., History]) -> None:
    trial = choose(daily(), DAY, costly=[Costly()], spent=lambda: True)
    (told,) = [one for one in trial.candidates if one.name == "Prophet"]
    assert told.error is None and "time was up" in told.reason


def test_history_too_short_for_three_origins_is_refused() -> None:
    values = np.full(200, np.nan)
    values[:30] = np.arange(30)
    values[-1] = 1
    slots = np.flatnonzero(np.isfinite(values))
    with pytest.raises(NotEnoughData, match=f"it takes {LEAST_ORIGINS}"):
        choose(history.of_bins(slots, values[slots], 1800), 40)


def test_a_week_the_history_carries_takes_part(daily: Callable[..., History]) -> None:
    trial = choose(daily(30, weekend=30), DAY)
    assert trial.origins[0] >= 21 * DAY
    assert "weekly pattern" in trial.chosen.members


def test_a_week_seen_twice_takes_part_where_it_repeats_and_moves_no_origin_where_it_does_not(
    daily: Callable[..., History],
) -> None:
    trial = choose(daily(20, weekend=30), DAY)
    assert trial.origins[0] >= 14 * DAY and "weekly pattern" in trial.chosen.members
    plain = choose(daily(20), DAY)
    assert plain.origins[0] < 14 * DAY
    assert "weekly pattern" not in {one.name for one in plain.candidates if one.error}
    assert not repeats_weekly(daily(13, weekend=30))


def test_short_history_is_tried_as_far_as_it_goes(daily: Callable[..., History]) -> None:
    trial = choose(daily(3), 4 * DAY)
    assert trial.tested == 3 * DAY // 4
    assert trial.middle.shape == (4 * DAY,)
    reasons = {one.name: one.reason for one in trial.candidates if one.error is None}
    assert "seen three times" in reasons["weekly pattern"]


def test_least_that_is_accepted_gives_a_forecast() -> None:
    made = history.of_bins(np.arange(24), np.arange(24.0), 60)
    assert np.isfinite(choose(made, 6).middle).all()
