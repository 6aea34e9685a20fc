from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from lib.anomaly import backtest, comparison, measures
from lib.anomaly.backtest import Backtest, Design
from lib.anomaly.comparison import OURS, Called, Fault, Figures, Tally, tally, verdict
from lib.errors import Invalid, NotEnoughData

FEW = Design(kinds=("spike", "level shift", "drop to zero"), strengths=(5.0, 10.0), cases=3)


@pytest.fixture(scope="module")
def found() -> Backtest:
    from tests.hosts import host

    made = host.__wrapped__()(7)
    return backtest.run(made.series, made.frame, FEW)


def of(found: Backtest, name: str) -> Figures:
    return next(one for one in found.figures if one.name == name)


def test_ours_and_every_peer_are_measured_on_the_same_faults(found: Backtest) -> None:
    assert [one.name for one in found.figures][0] == OURS
    assert [one.control for one in found.figures] == [False] * 5 + [True]
    kinds = {kind: row["cases"] for kind, row in of(found, OURS).by_kind.items()}
    assert kinds == {"spike": 6, "level shift": 6, "drop to zero": 3}
    for one in found.figures:
        assert {kind: row["cases"] for kind, row in one.by_kind.items()} == kinds
        assert list(one.by_strength) == ["5", "10"]
        assert one.f1_low <= one.f1 <= one.f1_high
        assert 0 <= one.recall <= 1
        met = [row["found"][one.name] is not None for row in found.found]
        assert one.recall == pytest.approx(np.mean(met))
    assert of(found, OURS).f1 > of(found, "random").f1


def test_result_is_json_without_numbers_that_are_none(found: Backtest) -> None:
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["winner"] in [one["name"] for one in plain["figures"]]
    assert len(plain["found"]) == 15
    assert plain["verdict"] and plain["notes"]
    nothing = replace(of(found, "random"), precision=float("nan"), delay_s=float("nan"))
    assert nothing.to_json()["precision"] is None


def test_the_same_seed_gives_the_same_and_nothing_is_learnt_from_the_test(found: Backtest, host) -> None:
    made = host(7)
    again = backtest.run(made.series, made.frame, FEW)
    assert again.to_json() == found.to_json()
    edge, until = backtest.edges(made.frame, (0.6, 1.0))
    assert found.trained_until_ms < edge <= found.trained_until_ms + 300_000
    stage = backtest.prepare(made.series, made.frame, edge, until)
    later = made.ts_ms >= edge
    other = made.values.copy()
    other[:4, later] *= 3
    changed = backtest.prepare(made.series, replace(made, values=other).frame, edge, until)
    assert np.array_equal(stage.size, changed.size)
    before, after = stage.fitted.detector.arrays(), changed.fitted.detector.arrays()
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)


def test_faults_keep_out_of_spans_that_are_busy_and_alerts_there_count_for_nobody(host) -> None:
    made = host(10)
    # An incident nobody has put in, on the last day but one.
    first, last = 288 * 8, 288 * 8 + 60
    made.values[:3, first:last] *= 4
    busy = [(int(made.ts_ms[first]), int(made.ts_ms[last]))]
    design = Design(kinds=("level shift",), strengths=(10.0,), cases=8)
    open_ = backtest.run(made.series, made.frame, design)
    kept = backtest.run(made.series, made.frame, design, busy=busy)
    # The one that remembers nothing of an incident once it is over.
    assert of(open_, "static threshold").false_alerts_per_day > of(kept, "static threshold").false_alerts_per_day
    assert all(row["end_ms"] < busy[0][0] or row["start_ms"] > busy[0][1] for row in kept.found)
    # On the untouched history it is still counted.
    assert of(kept, OURS).alerts_untouched_per_day > 0
    assert any("kept free" in note for note in kept.notes)


def test_what_was_found_in_the_part_that_is_learnt_from_is_spoken_of_until_somebody_says_what_it_was(host) -> None:
    made = host(10)
    span = (int(made.ts_ms[288]), int(made.ts_ms[300]))
    few = Design(kinds=("level shift",), strengths=(10.0,), cases=8)
    unsaid = backtest.run(made.series, made.frame, few, busy=[span])
    said = backtest.run(made.series, made.frame, few, busy=[span], leave_out=[span])
    assert any(note.startswith("1 known anomaly lies") and "it will be left out" in note for note in unsaid.notes)
    assert not any("known anomaly" in note for note in said.notes)


def test_a_fault_is_in_the_series_and_shows_in_a_channel(host) -> None:
    made = host(7)
    stage = backtest.prepare(made.series, made.frame, *backtest.edges(made.frame, (0.6, 1.0)))
    clean = stage.channels()
    for one in backtest.rounds(stage, Design(cases=1)):
        differs = np.zeros(len(stage.table.ts_ms), dtype=bool)
        differs[stage.context :] = (
            ~np.isclose(one.channels.values, clean.values, equal_nan=True, rtol=1e-9, atol=0)
        ).any(axis=0)
        inside = np.zeros_like(differs)
        for fault in one.faults:
            inside[fault.first : fault.last + 1] = True
            assert differs[fault.first : fault.last + 1].any()
            assert stage.free[fault.first : fault.last + 1].all()
        assert not (differs & ~inside).any()
        assert inside[stage.since :].mean() <= 0.2


def test_too_few_points_says_how_many_it_takes(host) -> None:
    made = host(1.5)
    with pytest.raises(NotEnoughData, match=r"432 usable points .* at least 500, which is 41\.7 hours"):
        backtest.run(made.series, made.frame, FEW)


def test_nothing_but_gaps_is_not_enough(host) -> None:
    made = host(7)
    made.values[:] = np.nan
    with pytest.raises(NotEnoughData, match="0 usable points"):
        backtest.run(made.series, made.frame, FEW)
    with pytest.raises(NotEnoughData):
        backtest.run(made.series, made.frame[:0], FEW)


def test_one_constant_series_is_not_enough(host) -> None:
    made = host(7)
    only = made.frame[made.frame["series_id"] == 1].assign(value=5.0)
    with pytest.raises(NotEnoughData, match="None of the 1 series here varies"):
        backtest.run(made.series[:1], only, FEW)


def test_one_series_alone_is_enough(host) -> None:
    made = host(7)
    only = made.frame[made.frame["series_id"] == 1]
    assert len(backtest.run(made.series[:1], only, FEW).found) == 15


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_series_that_appears_midway_disturbs_nothing(host, share: float) -> None:
    made = host(7)
    made.values[1, : int(share * made.ts_ms.size)] = np.nan
    result = backtest.run(made.series, made.frame.dropna(), FEW)
    assert len(result.found) == 15
    assert of(result, OURS).recall > 0.5


def test_a_test_that_is_all_busy_says_so(host) -> None:
    made = host(7)
    whole = [(int(made.ts_ms[0]), int(made.ts_ms[-1]) + 1_000_000)]
    with pytest.raises(NotEnoughData, match="0 points"):
        backtest.run(made.series, made.frame, FEW, busy=whole)
    most = [(int(made.ts_ms[0]), int(made.ts_ms[-60]))]
    with pytest.raises(NotEnoughData, match="60 points"):
        backtest.run(made.series, made.frame, FEW, busy=most)


def test_design_refuses_what_means_nothing() -> None:
    for given, words in (
        ({"kinds": ("explosion",)}, "no fault called 'explosion'"),
        ({"kinds": ()}, "at least one kind"),
        ({"strengths": (0.0,)}, "above 0"),
        ({"strengths": (float("nan"),)}, "above 0"),
        ({"cases": 0}, "0 cases"),
        ({"share": 0.99}, "0.99"),
    ):
        with pytest.raises(Invalid, match=words):
            Design(**given)


# --- measuring and saying ------------------------------------------------------------------------


def test_tally_agrees_with_the_measures() -> None:
    rng = np.random.default_rng(5)
    faults = [Fault("spike", 3.0, 100 * n, 100 * n + 10) for n in range(1, 9)]
    labels = np.zeros(1000, dtype=int)
    for fault in faults:
        labels[fault.first : fault.last + 1] = 1
    for _ in range(20):
        flags = rng.random(1000) > 0.99
        spans = [(a, b) for a, b in measures.runs(flags) if labels[a] or not labels[a : b + 1].any()]
        counted = tally(faults, Called(np.zeros(1000), 0, spans, 0), np.ones(1000, dtype=bool), 3)
        incidents, met, false = measures.alerts(labels, spans, 3)
        assert (len(counted.met), counted.met.sum(), counted.false.sum()) == (incidents, met, false)
        assert counted.hits.sum() + false == len(spans)
        assert counted.f1() == pytest.approx(measures.alert_f1(labels, spans, 3))


def test_delay_counts_from_the_start_of_a_fault_to_the_call() -> None:
    faults = [Fault("drift", 3.0, 100, 150), Fault("drift", 3.0, 300, 350), Fault("drift", 3.0, 500, 550)]
    spans = [(110, 112), (120, 125), (300, 310)]
    counted = tally(faults, Called(np.zeros(600), 0, spans, 1), np.ones(600, dtype=bool), 0)
    assert counted.delay[:2].tolist() == [11, 1]
    assert np.isnan(counted.delay[2])
    assert counted.hits.tolist() == [2, 1, 0]


def test_an_alert_that_was_on_before_has_found_nothing() -> None:
    faults = [Fault("drift", 3.0, 100, 150), Fault("drift", 3.0, 300, 350)]
    always = tally(faults, Called(np.zeros(600), 0, [(0, 599)], 0), np.ones(600, dtype=bool), 6)
    assert always.met.tolist() == [0, 0] and always.false.sum() == 1
    assert always.f1() == 0


def test_alerts_in_rows_that_do_not_count_are_no_false_ones() -> None:
    free = np.ones(600, dtype=bool)
    free[200:250] = False
    counted = tally([Fault("spike", 3.0, 100, 102)], Called(np.zeros(600), 0, [(240, 260), (400, 401)], 0), free, 0)
    assert counted.false.tolist() == [1]


def figures(name: str, f1: float, ahead: tuple[float, float] | None = None, **values: object) -> Figures:
    row = {"cases": 10.0, "found": 5.0, "recall": 0.5}
    usual = {
        **dict.fromkeys(("precision", "recall", "false_alerts_per_day", "alerts_untouched_per_day", "vus_pr"), 0.5),
        **dict.fromkeys(("auc_pr", "delay_steps", "delay_s"), 0.5),
        "by_kind": {"spike": row},
        "by_strength": {},
        "control": name == "random",
    }
    return Figures(name=name, f1=f1, f1_low=f1, f1_high=f1, ahead=ahead, **(usual | values))


def test_verdict_names_the_winner_and_what_cannot_be_told_apart() -> None:
    ours, control = figures(OURS, 0.8), figures("random", 0.1, (0.5, 0.9))
    won = verdict([ours, figures("static threshold", 0.6, (0.1, 0.3)), control])
    assert won == (
        "AutoOps wins: F1 of alerts 0.80 against 0.60 of a static threshold, the best simple detector; the difference "
        "is 95% sure to be between +0.10 and +0.30.",
    )
    even = verdict([ours, figures("static threshold", 0.78, (-0.1, 0.14)), control])
    assert even[0].startswith("A static threshold suffices here")
    lost = verdict([ours, figures("isolation forest on raw values", 0.9, (-0.2, -0.05)), control])
    assert lost[0].startswith("AutoOps loses") and "An isolation forest on raw values is the better choice" in lost[0]


def test_verdict_hides_no_loss() -> None:
    better = figures(
        "moving z-score",
        0.6,
        (0.1, 0.3),
        by_kind={"spike": {"cases": 10.0, "found": 9.0, "recall": 0.9}},
        false_alerts_per_day=0.2,
        delay_s=0.0,
        vus_pr=0.9,
    )
    said = verdict([figures(OURS, 0.8), better, figures("random", 0.1, (0.5, 0.9))])
    assert len(said) == 5
    assert "finds fewer of kind spike: 5 of 10, a moving z-score 9" in said[1]
    assert "fewer false alerts: 0.20 a day against 0.50" in said[2]
    assert "quicker" in said[3] and "ranks moments better" in said[4]


def test_verdict_says_when_chance_does_as_well() -> None:
    said = verdict(
        [figures(OURS, 0.3), figures("static threshold", 0.2, (0.01, 0.2)), figures("random", 0.25, (-0.1, 0.2))]
    )
    assert said[1] == "AutoOps is not clearly better than random scores, which reach 0.25."
    nothing = verdict(
        [figures(OURS, 0.05), figures("static threshold", 0.1, (-0.1, -0.01)), figures("random", 0.11, (-0.1, 0.1))]
    )
    assert nothing[0].startswith("Nothing here is clearly better than chance")


def test_more_faults_make_the_interval_narrower() -> None:
    rng = np.random.default_rng(0)

    def width(cases: int) -> float:
        met = (rng.random(cases) < 0.7).astype(float)
        one = Tally(met, np.zeros(cases), met, (rng.random(cases) < 0.3).astype(float))
        low, high = comparison.interval(comparison.resampled(one))
        assert low <= one.f1() <= high
        return high - low

    assert width(400) < 0.5 * width(25)


def test_shares_learn_and_judge_by_what_was_seen_not_by_the_calendar(host) -> None:
    made = host(10)
    gap = np.ones(made.ts_ms.size, dtype=bool)
    gap[288:2016] = False  # six days without a sample
    kept = replace(made, ts_ms=made.ts_ms[gap], values=made.values[:, gap]).frame
    edge, until = backtest.edges(kept, (0.6, 1.0))
    ts = kept["ts"].to_numpy(dtype="datetime64[ms]").astype(np.int64)
    assert (ts < edge).mean() == pytest.approx(0.6, abs=0.01)
    assert until > ts.max()
