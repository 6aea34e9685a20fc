from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lib.anomaly import training
from lib.anomaly.autoregression import RidgeAR
from lib.anomaly.detector import PARTS, Detector
from lib.anomaly.events import Rule, decide
from lib.anomaly.options import Options
from lib.anomaly.relations import Relations
from lib.anomaly.training import MIN_POINTS
from lib.errors import Invalid, NotEnoughData
from lib.features import channels
from lib.features.grid import tabulate
from lib.frames import Series


def score(detector: Detector, made):
    return detector.score(channels.assemble(detector.plan, tabulate(made.series, made.frame, detector.plan.grid)))


def inject(made, kind: str, at: int, length: int) -> None:
    rows = slice(at, at + length)
    if kind == "level":
        made.values[0, rows] += 4
        made.values[2, rows] += 12
    elif kind == "broken relation":
        made.values[2, rows] = 25.0
    elif kind == "errors":
        extra = np.zeros(made.ts_ms.size)
        extra[rows] = 20 * 300
        made.values[5] += np.cumsum(extra)
    elif kind == "flat":
        made.values[:, rows] = made.values[:, at : at + 1]


def covers(events, first: int, length: int) -> bool:
    return any(e.first <= first + length and e.last >= first for e in events)


@pytest.mark.parametrize("kind", ["level", "errors", "flat", "broken relation"])
def test_fault_after_training_is_found_and_little_else(host, kind: str) -> None:
    trained = host(days=10, seed=1)
    fitted = training.fit(trained.series, trained.frame)
    made = host(days=14, seed=1)
    fault = 12 * 288 + 150
    inject(made, kind, fault, 24)
    scored = score(fitted.detector, made)
    found, _ = decide(scored, Rule(), 300, since=10 * 288)
    assert covers(found, fault, 24), [(e.first, e.last, e.evidence) for e in found]
    # Rolling features remember a fault for a few hours; what follows it closely is an echo, not another alarm.
    assert len([e for e in found if not fault - 1 <= e.first <= fault + 144]) <= 1


def test_incidents_inside_the_training_span_are_found_in_it(host) -> None:
    made = host(days=14, seed=3)
    faults = [700, 1500, 2900, 3600]
    for at in faults:
        inject(made, "level", at, 20)
    fitted = training.fit(made.series, made.frame)
    found, _ = decide(fitted.scored, Rule(), 300, since=48)
    assert fitted.metrics["left_out_as_strange"] >= 40
    assert all(covers(found, at, 20) for at in faults)
    assert len(found) <= len(faults) + 2


def test_clean_history_raises_few_alarms_and_confidence_is_not_flattered(host) -> None:
    trained = host(days=10, seed=1)
    fitted = training.fit(trained.series, trained.frame)
    unseen = host(days=24, seed=99)
    scored = score(fitted.detector, unseen)
    later = slice(10 * 288, None)
    found, _ = decide(scored, Rule(), 300, since=10 * 288)
    assert len(found) <= 3  # in 14 days
    confident = scored.confidence[later]
    # Of normal moments about one in a hundred is as strange as the strangest hundredth of calibration.
    assert (confident >= 0.99).mean() < 0.03
    assert np.nanmedian(confident) < 0.85


@pytest.mark.parametrize("fault", [False, True])
def test_what_is_emptied_each_sunday_alarms_no_more_after_two_and_a_fault_just_then_does(host, fault: bool) -> None:
    made = host(days=23, step_s=900, seed=5)
    week_ms, three_ms = 7 * 86_400_000, 3 * 3_600_000
    made.values[3] *= 1 + (made.ts_ms - made.ts_ms[0] - three_ms) % week_ms / week_ms
    known = (made.frame["ts"].dt.day >= 2) & (made.frame["ts"].dt.day <= 21)  # Monday to Saturday, 20 days
    detector = training.fit(made.series, made.frame[known]).detector
    third = 21 * 96 + 12  # three o'clock of the Sunday that follows
    if fault:
        inject(made, "level", third + 2, 6)
    found, _ = decide(score(detector, made), Rule(), 900, since=21 * 96)
    assert covers(found, third, 8) == fault, [(e.first - third, e.last - third, e.evidence) for e in found]


def test_scores_beat_a_random_control(host) -> None:
    from sklearn.metrics import average_precision_score

    trained = host(days=10, seed=1)
    fitted = training.fit(trained.series, trained.frame)
    made = host(days=14, seed=1)
    truth = np.zeros(made.ts_ms.size, dtype=bool)
    for at in (3000, 3300, 3700):
        inject(made, "level", at, 20)
        truth[at : at + 20] = True
    scored = score(fitted.detector, made)
    later = slice(10 * 288, None)
    ours = average_precision_score(truth[later], np.nan_to_num(scored.evidence[later]))
    control = average_precision_score(truth[later], np.random.default_rng(0).random(truth[later].size))
    # The moments after a fault still carry it in rolling features and count against us here.
    assert ours > 0.5
    assert control < 0.15


def test_newest_moments_score_as_the_whole_history_does(host) -> None:
    made = host(days=7)
    detector = training.fit(made.series, made.frame).detector
    whole = score(detector, made)
    together = channels.assemble(detector.plan, tabulate(made.series, made.frame, detector.plan.grid))
    part = detector.score(together.rows(slice(-(detector.lookback + 12), None)))
    assert part.evidence[-12:] == pytest.approx(whole.evidence[-12:], rel=1e-3)


def test_arrays_bring_it_back_bit_for_bit(host) -> None:
    made = host(days=3)
    fitted = training.fit(made.series, made.frame)
    again = Detector.from_arrays(
        fitted.detector.arrays(), fitted.detector.plan, fitted.detector.spec, fitted.detector.options
    )
    assert np.array_equal(score(again, made).evidence, score(fitted.detector, made).evidence, equal_nan=True)


def test_training_twice_gives_the_same_detector(host) -> None:
    made = host(days=3)
    one, two = (training.fit(made.series, made.frame).detector.arrays() for _ in range(2))
    assert all(np.array_equal(one[k], two[k]) for k in one)


def test_too_few_points_says_how_many_there_are_and_how_many_it_takes(host) -> None:
    made = host(days=0.5)
    with pytest.raises(NotEnoughData, match=rf"144 usable points.*at least {MIN_POINTS}") as refused:
        training.fit(made.series, made.frame)
    assert refused.value.values == {"points": 144, "needed": MIN_POINTS}


def test_the_least_there_may_be_is_enough(host) -> None:
    made = host(days=MIN_POINTS / 288 + 0.02)
    assert training.fit(made.series, made.frame).metrics["points"] >= MIN_POINTS


def test_constant_and_missing_series_are_refused_with_the_reason() -> None:
    n = 400
    ts = pd.Series(pd.date_range("2026-03-01", periods=n, freq="60s", tz="UTC"))
    series = [Series(1, 1, "still", {}, "h", "gauge"), Series(2, 1, "gone", {}, "h", "gauge")]
    still = pd.DataFrame({"series_id": 1, "ts": ts, "value": 5.0})
    with pytest.raises(NotEnoughData, match="constant"):
        training.fit(series, still)
    with pytest.raises(NotEnoughData, match="0 usable points"):
        training.fit(series, pd.DataFrame({"series_id": 2, "ts": ts, "value": np.nan}))
    with pytest.raises(NotEnoughData, match="two samples"):
        training.fit(series, still[:0])


def test_one_series_alone_can_be_watched() -> None:
    rng = np.random.default_rng(0)
    n = 2000
    value = rng.normal(10, 1, n)
    value[1800:1815] = 40
    ts = pd.Series(pd.date_range("2026-03-01", periods=n, freq="60s", tz="UTC"))
    frame = pd.DataFrame({"series_id": 1, "ts": ts, "value": value})
    fitted = training.fit([Series(1, 1, "load", {}, "h", "gauge")], frame)
    found, _ = decide(fitted.scored, Rule(), 60, since=48)
    assert covers(found, 1800, 15)


def test_a_series_that_appears_midway_and_a_gap_do_not_break_it(host) -> None:
    made = host(days=7)
    made.values[1, :1000] = np.nan
    frame = made.frame.dropna()
    frame = frame[(frame["ts"] < made_ts(made, 1200)) | (frame["ts"] > made_ts(made, 1300))]
    fitted = training.fit(made.series, frame)
    assert np.isnan(fitted.scored.evidence[1250])
    assert np.isfinite(fitted.scored.evidence[1400])


def made_ts(made, row: int) -> pd.Timestamp:
    return pd.Timestamp(int(made.ts_ms[row]), unit="ms", tz="UTC")


def test_autoregression_is_surprised_by_a_jump_and_not_by_its_own_pattern() -> None:
    rng = np.random.default_rng(0)
    rows = np.cumsum(rng.normal(0, 0.1, (1000, 2)), axis=0)
    model = RidgeAR.fit(rows, np.ones(1000, dtype=bool))
    rows[900, 0] += 5
    residual = np.abs(model.residual(rows))
    assert np.median(residual[:900]) < 2
    assert residual[900, 0] > 10


def test_relations_notice_what_no_channel_shows_alone() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(0, 1, 3000)
    rows = np.stack([common, common, common]) + rng.normal(0, 0.1, (3, 3000))
    model = Relations.fit(rows, np.ones(3000, dtype=bool))
    rows[2, 2500:2540] = rng.normal(0, 1, 40) + 0.8
    residual = np.abs(model.residual(rows))
    assert residual[:, 2520:2540].max() > 2 * np.quantile(residual[:, :2400], 0.99)


def test_a_side_that_does_not_matter_opens_nothing(host) -> None:
    made = host(days=14, seed=1)
    inject(made, "level", 12 * 288 + 150, 24)
    metrics = {one.metric for one in made.series}

    def found(**chosen) -> bool:
        before = made.frame[made.frame["ts"] < pd.Timestamp(int(made.ts_ms[10 * 288]), unit="ms", tz="UTC")]
        detector = training.fit(made.series, before, options=Options(**chosen)).detector
        return covers(decide(score(detector, made), Rule(), 300, since=10 * 288)[0], 12 * 288 + 150, 24)

    assert found() and found(direction="above")
    assert not found(direction="below")
    assert not found(least=dict.fromkeys(metrics, 1e9))


def test_samples_that_stop_are_a_sign_only_when_asked(host) -> None:
    made = host(days=12, seed=1)
    gone = slice(11 * 288, 11 * 288 + 60)
    ids = made.series[0].id, made.series[2].id
    first, last = (pd.Timestamp(int(made.ts_ms[n]), unit="ms", tz="UTC") for n in (gone.start, gone.stop))
    frame = made.frame
    left = frame[~(frame["series_id"].isin(ids) & (frame["ts"] >= first) & (frame["ts"] < last))]
    known = left[left["ts"] < pd.Timestamp(int(made.ts_ms[10 * 288]), unit="ms", tz="UTC")]
    peaks = {}
    for missing in ("ignore", "signal"):
        detector = training.fit(made.series, known, options=Options(missing=missing)).detector
        table = tabulate(made.series, left, detector.plan.grid)
        scored = detector.score(channels.assemble(detector.plan, table))
        peaks[missing] = float(np.nanmax(-np.log10(scored.parts[PARTS.index("strongest")])[gone]))
    assert peaks["signal"] > peaks["ignore"] + 2


@pytest.mark.parametrize(
    "wrong", [{"trees": 1}, {"direction": "up"}, {"missing": "?"}, {"least": {"m": -1}}, {"forest": 1}, {"colour": 1}]
)
def test_options_that_mean_nothing_are_refused(wrong: dict) -> None:
    with pytest.raises(Invalid):
        Options.from_json(wrong)


def test_span_known_to_be_normal_is_learnt_however_strange_it_looks(host) -> None:
    """What a person called a false alarm stays in training, and is no alarm to the detector that learnt it."""
    made = host(days=6)
    frame = made.frame.copy()
    ts, one = frame["ts"], frame["series_id"] == made.series[0].id
    start = ts.min() + (ts.max() - ts.min()) / 3
    end = start + pd.Timedelta(hours=6)
    odd = one & (ts >= start) & (ts < end)
    frame.loc[odd, "value"] += 50 * frame.loc[one & ~odd, "value"].std()
    span = (int(start.timestamp() * 1000), int(end.timestamp() * 1000))
    plain, told = training.fit(made.series, frame), training.fit(made.series, frame, keep=[span])
    assert told.metrics["left_out_as_strange"] < plain.metrics["left_out_as_strange"]

    def strangest(fitted: training.Fitted) -> float:
        inside = training.within(fitted.scored.ts_ms, [span])
        return float(np.nanmedian(fitted.scored.evidence[inside]))

    assert strangest(told) < strangest(plain) - 1


def test_that_a_channel_moves_at_all_is_news_where_it_hardly_ever_does(host) -> None:
    made = host(days=8)
    rng = np.random.default_rng(0)
    made.values[1] = 3.0
    for at in rng.integers(0, 6 * 288, 8):
        made.values[1, at : at + 2] = 4.0  # rare, and twenty times what follows
    known = made.frame[made.frame["ts"] < made_ts(made, 6 * 288)]
    detector = training.fit(made.series, known).detector
    at = 7 * 288
    calm = score(detector, made).parts[PARTS.index("whitened")][at : at + 6]
    made.values[1, at : at + 2] = 3.05
    moved = score(detector, made).parts[PARTS.index("whitened")][at : at + 6]
    assert np.median(moved) < 0.02 < 0.05 < calm.min()


def test_duplicated_and_unsorted_samples_teach_what_clean_ones_do(host) -> None:
    made = host(days=4)
    again = pd.concat([made.frame, made.frame.iloc[::3]]).sample(frac=1.0, random_state=0)
    one, other = training.fit(made.series, made.frame), training.fit(made.series, again)
    assert one.metrics == other.metrics
    assert np.array_equal(one.scored.evidence, other.scored.evidence, equal_nan=True)


def test_ten_thousand_series_become_what_can_be_watched_and_the_rest_is_said() -> None:
    n, count = 320, 10_000
    rng = np.random.default_rng(0)
    ts = np.tile(1_772_323_200_000 + 60_000 * np.arange(n), count).astype("datetime64[ms]")
    frame = pd.DataFrame(
        {
            "series_id": np.repeat(np.arange(1, count + 1, dtype=np.int32), n),
            "ts": pd.Series(ts).dt.tz_localize("UTC"),
            "value": rng.normal(size=count * n),
        }
    )
    series = [Series(i + 1, 1, f"metric_{i}", {}, "h", "gauge") for i in range(count)]
    fitted = training.fit(series, frame)
    assert fitted.metrics["channels"] == channels.MAX_CHANNELS
    assert len(fitted.detector.plan.left_out) == count - channels.MAX_CHANNELS
    assert all(reason for _, reason in fitted.detector.plan.left_out)
    assert np.isfinite(fitted.scored.evidence).any()
