"""A table of series holds what was known at each moment, and its target what came after: nothing leaks back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lib.datasets import windowing
from lib.datasets.schema import Role
from lib.datasets.windowing import Recipe, TargetKind
from lib.errors import Invalid, NotEnoughData

STEP = 60


def buckets(values: list[float | None], series_id: int = 1, first: int = 100) -> pd.DataFrame:
    rows = [(series_id, first + i, v - 0.5, v, v + 0.5) for i, v in enumerate(values) if v is not None]
    return pd.DataFrame(rows, columns=["series_id", "slot", "min", "mean", "max"])


def made(values: list[float | None], recipe: Recipe, starts: tuple[int, ...] = ()) -> pd.DataFrame:
    end = (100 + len(values)) * STEP * 1000
    return windowing.table(buckets(values), {1: "load"}, 100 * STEP * 1000, end, recipe, starts)[0]


def minute(n: int) -> int:
    """The end of interval n, in milliseconds: the time of its row."""
    return (100 + n + 1) * STEP * 1000


def test_time_is_the_end_of_what_is_in_the_row() -> None:
    frame = made([1.0, 2.0, 3.0], Recipe(STEP))
    assert (frame["time"].astype("int64") // 1000).tolist() == [minute(0), minute(1), minute(2)]
    assert frame["load"].tolist() == pytest.approx([1, 2, 3])


def test_the_value_so_long_after_is_the_target() -> None:
    frame = made([1.0, 2.0, None, 4.0, 5.0], Recipe(STEP, target=TargetKind.VALUE, target_series=1, horizon_s=61))
    # Two intervals ahead; where nothing was then, or it has not come yet, there is no row.
    assert frame["target"].tolist() == pytest.approx([4.0]) and frame["load"].tolist() == pytest.approx([2.0])


def test_a_limit_is_crossed_within_the_horizon_or_not_known() -> None:
    recipe = Recipe(STEP, target=TargetKind.ABOVE, target_series=1, horizon_s=120, limit=9.0)
    frame = made([1.0, 1.0, 1.0, 9.0, 1.0, None, 1.0], recipe)
    told = dict(zip(frame["time"].astype("int64") // 1000, frame["target"], strict=True))
    # The most of interval 3 is 9.5; row 3 itself does not count, and rows before a hole are not known to be quiet.
    assert told == {minute(0): False, minute(1): True, minute(2): True}


def test_an_anomaly_counts_from_just_after_the_row_to_the_end_of_the_horizon() -> None:
    recipe = Recipe(STEP, target=TargetKind.ANOMALY, horizon_s=120)
    frame = made([1.0] * 8, recipe, (minute(4),))
    assert frame["target"].tolist() == [False, False, True, True, False, False]


def test_nothing_of_the_future_is_in_the_features() -> None:
    seen = np.random.default_rng(7).normal(size=60).tolist()
    recipe = Recipe(STEP, lags=(1, 5), rolling=(3, 10), target=TargetKind.VALUE, target_series=1, horizon_s=300)
    whole = made(seen, recipe)
    for cut in (20, 41):
        changed = made(seen[:cut] + [99.0] * (60 - cut), recipe)
        before = whole["time"].astype("int64") // 1000 <= minute(cut - 1)
        features = [name for name in whole.columns if name != "target"]
        pd.testing.assert_frame_equal(whole.loc[before, features], changed.loc[before, features])


def test_lags_and_rolling_windows_look_back() -> None:
    frame = made([1.0, 2.0, 3.0, 4.0], Recipe(STEP, lags=(2,), rolling=(2,)))
    lagged = frame["load 2 min before"]
    assert np.isnan(lagged[0]) and lagged[3] == pytest.approx(2.0)
    assert frame["load mean of 2 min"].tolist() == pytest.approx([1, 1.5, 2.5, 3.5])


def test_roles_say_time_and_target() -> None:
    recipe = Recipe(STEP, target=TargetKind.ANOMALY, horizon_s=60)
    _frame, columns, notes = windowing.table(buckets([1.0] * 5), {1: "load"}, 6_000_000, 6_300_000, recipe)
    assert {one.name: one.role for one in columns if one.role is not Role.FEATURE} == {
        "time": Role.TIME,
        "target": Role.TARGET,
    }
    assert any("false in every row" in note for note in notes)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(0),
        Recipe(STEP, lags=(0,)),
        Recipe(STEP, rolling=(10**6,)),
        Recipe(STEP, target=TargetKind.VALUE, target_series=2, horizon_s=60),
        Recipe(STEP, target=TargetKind.VALUE, target_series=1, horizon_s=1),
        Recipe(STEP, target=TargetKind.ABOVE, target_series=1, horizon_s=60),
    ],
)
def test_what_cannot_be_made_is_refused(recipe: Recipe) -> None:
    with pytest.raises(Invalid):
        recipe.check([1])


def test_too_much_and_too_little_are_refused() -> None:
    with pytest.raises(NotEnoughData):
        made([1.0, 2.0], Recipe(STEP, target=TargetKind.ANOMALY, horizon_s=600))
    with pytest.raises(Invalid, match="longer interval"):
        windowing.table(buckets([1.0]), {1: "load"}, 0, 10**13, Recipe(1))
