"""How channels go together, and which of them no longer does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lib.anomaly import training
from lib.anomaly.backtest import watch
from lib.anomaly.detector import PARTS
from lib.anomaly.explain import explain
from lib.anomaly.relations import TOGETHER, Company, beyond_usual, lonely
from lib.features import channels as channel_plans
from lib.features.grid import tabulate
from lib.frames import Series

TAUGHT, ALL = 3000, 4000
LEFT = slice(3500, 3560)  # while the last channel goes its own way


def together(seed: int = 1, leaves: bool = True) -> np.ndarray:
    """Five channels that follow one course, each with some noise of its own; shape (5, ALL)."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 1, ALL)
    rows = common * np.array([[1.0], [2.0], [1.5], [0.5], [1.0]])
    if leaves:  # as far as ever, at other moments
        rows[4, LEFT] = rows[4, 1000 : 1000 + LEFT.stop - LEFT.start]
    return rows + rng.normal(0, 0.3, rows.shape)


def company() -> Company:
    return Company.fit(together(leaves=False) / 2, np.arange(ALL) < TAUGHT)


def test_the_channel_that_leaves_its_company_is_the_furthest_from_it() -> None:
    left = company().left(together() / 2)
    at = LEFT.start + TOGETHER
    assert left[:, at].argmax() == 4
    assert left[4, at] > 3 * left[:, :TAUGHT].max()
    assert lonely(left)[at] > 2 * lonely(left)[TOGETHER:TAUGHT].max()


def test_gaps_are_no_parting() -> None:
    rows = together(leaves=False) / 2
    rows[:, 3500:3600] = np.nan
    rows[2, 3700:3800] = np.nan
    left = company().left(rows)
    assert np.isfinite(left).all()
    assert left[2, 3740:3790].max() < 3


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_few_channels_there_is_no_company(count: int) -> None:
    assert np.isnan(lonely(np.ones((count, 4)))).all() == (count < 3)


@pytest.mark.parametrize("last", [1, 3, 50, 700])
def test_the_newest_are_what_they_are_among_all(last: int) -> None:
    rows = together() / 2
    left = company().left(rows)
    assert company().left(rows, last) == pytest.approx(left[:, -last:], rel=1e-9, abs=1e-9)
    whole = beyond_usual(lonely(left), 288, ALL)
    known = lonely(left)[-last - 288 :]
    assert beyond_usual(known, 288, last) == pytest.approx(whole[-last:], rel=1e-9, abs=1e-9)


def test_what_has_become_usual_is_no_news() -> None:
    scores = np.concatenate([np.full(400, 0.1), np.full(800, 5.0)])
    news = beyond_usual(scores, 288, scores.size)
    assert news[400:500] == pytest.approx(4.8)
    assert (news[700:] < 0).all()


def test_a_broken_correlation_no_value_shows_is_told_with_the_channel_that_left() -> None:
    names = ("alpha", "beta", "gamma", "delta", "epsilon")
    series = [Series(i + 1, 1, name, {}, "h", "gauge") for i, name in enumerate(names)]
    values = 50 + 5 * together()
    ts = pd.to_datetime(1_772_323_200_000 + 60_000 * np.arange(ALL), unit="ms", utc=True)
    frame = pd.concat([pd.DataFrame({"series_id": i + 1, "ts": ts, "value": row}) for i, row in enumerate(values)])
    fitted = training.fit(series, frame[frame["ts"] < ts[TAUGHT]])
    plan = fitted.detector.plan
    scored, events = watch(fitted, channel_plans.assemble(plan, tabulate(series, frame, plan.grid)), TAUGHT)
    at, epsilon = LEFT.start + TOGETHER, [one.series_id for one in plan.channels].index(5)
    assert scored.parts[PARTS.index("company"), at] < 1e-6
    assert scored.shares[:, at].argmax() == epsilon
    found = [one for one in events if one.first < LEFT.stop and one.last >= LEFT.start + TOGETHER]
    assert len(found) == 1
    told = explain(found[0], scored, plan, "h")
    assert told["contributors"][0]["title"] == plan.channels[epsilon].title
    assert told["sentence"].startswith("epsilon on h")
