from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from lib.errors import Invalid, NotEnoughData
from lib.forecast import history
from lib.forecast.countries import COUNTRIES, require_country
from lib.forecast.forecaster import Card, forecast
from lib.forecast.history import History
from lib.forecast.models import SeasonalNaive
from lib.forecast.prophet_model import ProphetModel

DAY = 48


def test_bounds_lie_around_the_middle_in_order(daily: Callable[..., History]) -> None:
    found = forecast(daily(), DAY)
    order = (found.low95, found.low80, found.middle, found.high80, found.high95)
    assert all((a <= b).all() for a, b in zip(order, order[1:], strict=False))
    assert found.ts_ms[0] == daily().end_ms + 900_000 and len(found.ts_ms) == DAY


def test_intervals_hold_what_comes_and_the_error_is_smaller_than_seasonal_naive(daily: Callable[..., History]) -> None:
    inside80, inside95, ratios = [], [], []
    for seed in range(10):
        whole = daily(noise=3, seed=seed)
        known, came = whole.until(len(whole) - DAY), whole.values[-DAY:]
        found = forecast(known, DAY)
        inside80.append(((came >= found.low80) & (came <= found.high80)).mean())
        inside95.append(((came >= found.low95) & (came <= found.high95)).mean())
        naive = np.abs(came - SeasonalNaive().path(known, DAY, DAY)).mean()
        ratios.append(np.abs(came - found.middle).mean() / naive)
    assert 0.74 < np.mean(inside80) < 0.88 and np.mean(inside95) > 0.91
    assert np.mean(ratios) < 0.85


def test_what_cannot_be_negative_or_more_than_all_is_not_forecast_to_be() -> None:
    rng = np.random.default_rng(0)
    busy = np.clip(0.9 + 0.2 * np.sin(np.arange(700) / DAY * 2 * np.pi) + rng.normal(0, 0.1, 700), 0, 1)
    found = forecast(history.of_bins(np.arange(700), busy, 1800, "ratio"), DAY)
    assert found.high95.max() <= 1.0
    free = np.maximum(100 - np.arange(700) * 0.15 + rng.normal(0, 1, 700), 0)
    found = forecast(history.of_bins(np.arange(700), free, 1800, "B"), 300)
    assert found.low95.min() >= 0 and found.middle.min() >= 0


def test_card_says_why_and_what_it_cannot_know_and_survives_json(daily: Callable[..., History]) -> None:
    card = forecast(daily(), DAY).card
    assert card.mase < 1 and card.vs_naive < 0.2 and card.vs_seasonal < 0.9
    assert 0.7 < card.coverage80 < 0.9 <= card.coverage95
    assert card.origins >= 8 and card.tested == card.steps == DAY
    assert "least off" in card.reasons[0] and any("smaller than that of naive" in r for r in card.reasons)
    assert any("Weekends are not told from weekdays" in c for c in card.cautions)
    assert sum(one["chosen"] for one in card.candidates) == 1
    assert {"naive", "seasonal naive", "weekly pattern"} <= {one["name"] for one in card.candidates}
    assert Card.from_json(json.loads(json.dumps(card.to_json(), allow_nan=False))) == card


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_series_is_bounds_are_finite_and_in_order_or_it_is_refused(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, step_s = int(rng.integers(1, 700)), int(rng.choice(history.STEPS_S))
    slots = np.sort(rng.choice(int(n * rng.uniform(1, 4)), n, replace=False)) + 1_700_000_000 // step_s
    values = (
        rng.normal(size=n) * 1e130,
        np.where(rng.random(n) < 0.01, 1e12, 0.0),
        rng.integers(0, 2, n).astype(float),
        np.arange(n) * 1e-300,
        np.where(rng.random(n) < 0.5, np.nan, rng.normal(size=n).cumsum()),
    )[seed % 5]
    unit = ("", "B", "ratio", "%", "°C")[int(rng.integers(5))]
    try:
        found = forecast(history.of_bins(slots, values, step_s, unit), int(rng.integers(1, 300)))
    except (NotEnoughData, Invalid) as refused:
        assert len(refused.message) > 40
        return
    order = (found.low95, found.low80, found.middle, found.high80, found.high95)
    assert all(np.isfinite(one).all() for one in order)
    assert all((a <= b).all() for a, b in zip(order, order[1:], strict=False))
    json.dumps(found.card.to_json(), allow_nan=False)


def test_constant_series_says_that_nothing_is_known(daily: Callable[..., History]) -> None:
    found = forecast(history.of_bins(np.arange(300), np.full(300, 7.0), 1800), DAY, costly=[ProphetModel()])
    assert (found.middle == 7).all() and (found.low95 == 7).all() and (found.high95 == 7).all()
    assert "always been the same" in found.card.reasons[0] and "never changed" in found.card.cautions[0]
    assert "Prophet" not in {one["name"] for one in found.card.candidates}
    json.dumps(found.card.to_json(), allow_nan=False)


def test_horizon_beyond_what_could_be_tried_says_so_and_widens(daily: Callable[..., History]) -> None:
    found = forecast(daily(4), 6 * DAY)
    assert any("could be tried" in c for c in found.card.cautions)
    width = found.high95 - found.low95
    assert width[-1] > width[DAY - 1]


def test_horizon_far_beyond_the_history_is_refused(daily: Callable[..., History]) -> None:
    with pytest.raises(Invalid, match="at most 4 d"):
        forecast(daily(2), 5 * DAY)


def test_series_with_many_holes_says_how_much_is_missing(daily: Callable[..., History]) -> None:
    made = daily(14)
    keep = np.random.default_rng(0).random(len(made)) > 0.4
    keep[[0, -1]] = True
    slots = np.flatnonzero(keep)
    found = forecast(history.of_bins(slots, made.values[slots], 1800), DAY)
    assert any("of the history is missing" in c for c in found.card.cautions)
    assert np.isfinite(found.middle).all()


def test_prophet_itself_takes_part_and_is_told_apart(daily: Callable[..., History]) -> None:
    made = daily(21, weekend=10)
    path = ProphetModel("DE").path(made, DAY, DAY)
    assert path.shape == (DAY,) and np.abs(path - 50).max() < 40
    card = forecast(made, DAY, costly=[ProphetModel("DE")]).card
    (told,) = [one for one in card.candidates if one["name"] == "Prophet"]
    assert told["error"] is not None and told["origins"] >= 4
    assert told["chosen"] or any("Prophet" in line for line in card.reasons)


def test_countries_are_those_whose_holidays_are_known() -> None:
    from holidays import list_supported_countries

    assert set(COUNTRIES) == set(list_supported_countries(include_aliases=False))
    assert require_country("de") == "DE" and require_country("") == ""
    with pytest.raises(Invalid, match="two letters"):
        require_country("Atlantis")
