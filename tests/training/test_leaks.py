from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lib.training.leaks import leaks
from tests.training.tables import churn, prices


def kinds(frame: pd.DataFrame, target: str, ordered: pd.DataFrame | None = None, **roles: str) -> dict[str, str]:
    told = {name: roles.get(name, "numeric") for name in frame.columns}
    return {one.column: one.kind for one in leaks(frame, target, told, ordered)}


def test_honest_tables_have_no_leaks() -> None:
    assert kinds(churn(400), "left") == {}
    assert kinds(prices(400), "price") == {}


def test_the_target_in_other_words_is_a_copy() -> None:
    frame = churn(200)
    frame["gone"] = frame.left.map({"yes": 1, "no": 0})
    frame["since"] = np.where(frame.left == "yes", np.arange(200) % 9, -1)
    frame["score"] = np.where(frame.left == "yes", 1.0, 0.0) + np.random.default_rng(0).uniform(0, 0.9, 200)
    assert kinds(frame, "left") == {"gone": "copy", "since": "tells", "score": "tells"}


@pytest.mark.parametrize(("made", "kind"), [(lambda y: y, "copy"), (lambda y: 2 * y + 1, "tells"), (np.log, "tells")])
def test_a_number_made_of_the_target_is_seen(made, kind: str) -> None:
    frame = prices(200)
    frame["derived"] = made(frame.price)
    assert kinds(frame, "price") == {"derived": kind}


def test_moments_after_the_rows_own_are_known_too_late() -> None:
    day = pd.date_range("2026-01-01", periods=100, tz="UTC")
    frame = pd.DataFrame({"day": day, "before": day - pd.Timedelta("3D"), "closed": day + pd.Timedelta("3D")})
    frame["y"] = np.random.default_rng(1).normal(size=100)
    assert kinds(frame, "y", day="time", before="date", closed="date") == {"closed": "later"}


def test_the_target_of_later_rows_is_the_future_and_of_earlier_ones_is_not() -> None:
    values = np.random.default_rng(2).normal(size=300).cumsum()
    frame = pd.DataFrame({"y": values, "past": np.roll(values, 2), "ahead": np.roll(values, -2)})
    assert kinds(frame.iloc[::3], "y", frame) == {"ahead": "ahead"}
    still = pd.DataFrame({"y": np.r_[np.arange(40.0), np.zeros(260)], "z": np.zeros(300)})
    assert kinds(still, "y", still) == {}


def test_columns_called_after_the_target_are_pointed_at() -> None:
    frame = churn(60).rename(columns={"visits": "left_reason", "age": "leftover"})
    assert kinds(frame, "left") == {"left_reason": "named"}


def test_a_handful_of_rows_or_an_empty_column_proves_nothing() -> None:
    frame = pd.DataFrame({"a": [1, 2] * 5, "y": ["x", "z"] * 5})
    assert kinds(frame, "y") == {}
    assert kinds(pd.DataFrame({"a": [None] * 50, "y": ["x", "z"] * 25}), "y") == {}
    assert leaks(frame, "nothing", {"a": "numeric"}) == []
