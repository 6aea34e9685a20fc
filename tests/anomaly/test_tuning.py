from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lib.anomaly.backtest import Design
from lib.anomaly.events import Rule
from lib.anomaly.options import Options
from lib.anomaly.tuning import SPACE, Trial, propose, tune
from lib.errors import NotEnoughData

FEW = Design(kinds=("spike", "level shift"), strengths=(6.0,), cases=3)


class Stopped(Exception):
    """Somebody cancelled."""


@pytest.fixture(scope="module")
def made():
    from tests.hosts import host

    return host.__wrapped__()(7)


@pytest.fixture(scope="module")
def whole(made):
    return tune(made.series, made.frame, FEW, trials=4)


def test_the_default_is_the_first_trial_and_the_best_is_never_worse(whole) -> None:
    assert Options.from_json(whole.trials[0].options) == Options()
    assert len(whole.trials) == 4
    assert len({tuple(trial.choice.values()) for trial in whole.trials}) == 4
    assert whole.default.score == whole.trials[0].scores[Rule().open_at]
    assert whole.best.score == max(whole.default.score, max(trial.score for trial in whole.trials))
    assert whole.best.score >= whole.default.score


def test_what_it_says_to_use_can_be_used_and_holds_on_the_last_part(whole) -> None:
    plain = json.loads(json.dumps(whole.to_json(), allow_nan=False))
    Options.from_json(plain["options"])
    rule = Rule(**plain["rule"])
    assert rule.keep_at <= rule.open_at
    used = whole.best if whole.better else whole.default
    assert (whole.options, whole.rule) == (used.options, used.rule)
    assert used.held_out >= whole.default.held_out
    assert whole.chosen_by_ms[1] == whole.judged_by_ms[0] < whole.judged_by_ms[1]
    assert whole.verdict


def test_cancelled_and_gone_on_with_gives_what_one_run_gives(made, whole) -> None:
    kept: list[Trial] = []

    def made_one(trial: Trial) -> None:
        kept.append(trial)
        if len(kept) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        tune(made.series, made.frame, FEW, trials=4, made=made_one)
    known = [Trial.from_json(json.loads(json.dumps(trial.to_json()))) for trial in kept]
    again: list[Trial] = []
    found = tune(made.series, made.frame, FEW, trials=4, known=known, made=again.append)
    assert len(again) == 2 and found.resumed == 2
    assert replace(found, resumed=0) == whole


def test_when_the_budget_is_used_up_the_default_is_still_there(made) -> None:
    found = tune(made.series, made.frame, FEW, spent=lambda: 1.0)
    assert len(found.trials) == 1
    assert not found.better or found.rule["open_at"] != Rule().open_at
    assert found.best.score >= found.default.score


def test_what_cannot_be_chosen_stays_and_options_in_use_are_tried(made) -> None:
    own = Options(direction="above", least={"node_load1": 0.2}, smooth=6, trees=50)
    found = tune(made.series, made.frame, FEW, options=own, trials=2)
    first, second = (Options.from_json(trial.options) for trial in found.trials)
    assert first == replace(Options(), direction="above", least={"node_load1": 0.2})
    assert second == own


def test_trials_that_began_with_other_options_are_not_gone_on_with(made) -> None:
    other = Trial(Options(direction="below").to_json(), {Rule().open_at: 1.0})
    assert tune(made.series, made.frame, FEW, trials=1, known=[other]).resumed == 0


def test_too_few_points_says_how_many_it_takes(host) -> None:
    short = host(3)
    with pytest.raises(NotEnoughData, match="864 usable points .* at least 1000"):
        tune(short.series, short.frame, FEW)


def test_nothing_but_gaps_and_one_constant_series_are_not_enough(host) -> None:
    gaps = host(7)
    gaps.values[:] = np.nan
    with pytest.raises(NotEnoughData, match="0 usable points"):
        tune(gaps.series, gaps.frame, FEW)
    flat = host(7)
    only = flat.frame[flat.frame["series_id"] == 1].assign(value=5.0)
    with pytest.raises(NotEnoughData, match="varies"):
        tune(flat.series[:1], only, FEW)


def test_a_series_that_appears_midway_disturbs_nothing(host) -> None:
    late = host(7)
    late.values[1, : late.ts_ms.size // 2] = np.nan
    found = tune(late.series, late.frame.dropna(), FEW, trials=1)
    assert found.faults >= 10


# --- what to try next ------------------------------------------------------------------------------


def trials(count: int, score: Callable[[Trial], float] = lambda _trial: 0.1) -> list[Trial]:
    done = [Trial(Options().to_json(), {2.7: 0.5})]
    while len(done) < count:
        chosen = propose(done, Options(), seed=1)
        assert chosen is not None
        blank = Trial(chosen.to_json(), {2.7: 0.0})
        done.append(Trial(blank.options, {2.7: score(blank)}))
    return done


def test_nothing_is_tried_twice_and_the_same_past_gives_the_same_proposal() -> None:
    done = trials(40)
    assert len({tuple(one.choice.values()) for one in done}) == 40
    assert propose(done, Options(), seed=1) == propose(done, Options(), seed=1)
    assert propose(done, Options(), seed=1) != propose(done, Options(), seed=2)
    for one in done[1:]:
        assert all(one.choice[name] in values for name, values in SPACE.items())


def test_proposals_go_where_scores_were_better() -> None:
    """The more weight the forest had, the better: by chance alone the middle of its five places would be proposed."""
    places = SPACE["forest"]
    done = trials(24, lambda one: places.index(one.choice["forest"]) / 10)
    chosen = [propose(done, Options(), seed=seed) for seed in range(30)]
    assert np.mean([places.index(one.forest) for one in chosen if one]) > 2.8


def test_options_in_use_need_not_be_among_those_that_may_be_chosen() -> None:
    done = [Trial(Options(trees=77, forest=0.33).to_json(), {2.7: 0.5})]
    chosen = propose(done, Options(direction="above"))
    assert chosen is not None and chosen.direction == "above" and chosen.trees in SPACE["trees"]
