from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from lib.frames import Window, from_ms
from lib.store.connection import Store
from lib.store.findings import Anomaly, Findings

T0 = from_ms(1_700_000_000_000)


def at(second: float):
    return T0 + timedelta(seconds=second)


def window(start: float, end: float) -> Window:
    return Window(at(start), at(end))


def scores(seconds, score=0.5) -> pd.DataFrame:
    ts = pd.to_datetime([at(second) for second in seconds], utc=True)
    return pd.DataFrame({"ts": ts, "score": score, "confidence": 0.9, "threshold": 1.0})


def expectations(seconds, series_id: int = 7, expected: float = 5.0) -> pd.DataFrame:
    ts = pd.to_datetime([at(second) for second in seconds], utc=True)
    return pd.DataFrame({"series_id": series_id, "ts": ts, "low": 1.0, "expected": expected, "high": 9.0})


def anomaly(start: float, **values) -> Anomaly:
    wanted = {
        "detector_id": 1,
        "source_id": 1,
        "host": "web1",
        "start_ts": at(start),
        "peak_ts": at(start + 1),
        "score": 3.0,
        "confidence": 0.9,
        "severity": "critical",
        "explanation": {"sentence": "CPU is high"},
    }
    return Anomaly(**{**wanted, **values})


@pytest.fixture
def findings(store: Store) -> Findings:
    return Findings(store)


def test_scores_come_back_by_time_with_zone(findings: Findings) -> None:
    findings.append_scores(1, scores([30, 10, 20]))
    findings.append_scores(2, scores([15]))
    found = findings.scores(1, window(0, 30))
    assert list(found["ts"]) == [at(10), at(20)]
    assert list(found.columns) == ["ts", "score", "confidence", "threshold"]
    assert str(found["ts"].dtype) == "datetime64[ms, UTC]"


def test_a_moment_scored_again_has_the_later_score_once(findings: Findings) -> None:
    findings.append_scores(1, scores([10, 20, 30], 0.1))
    findings.append_scores(1, scores([20, 40], 0.7))
    assert list(findings.scores(1, window(0, 100))["score"]) == [0.1, 0.7, 0.1, 0.7]
    findings.append_expectations(1, expectations([10], 7, 5.0))
    findings.append_expectations(1, expectations([10], 8, 6.0))
    findings.append_expectations(1, expectations([10], 7, 4.0))
    assert list(findings.expectations(1, 7, window(0, 100))["expected"]) == [4.0]
    assert list(findings.expectations(1, 8, window(0, 100))["expected"]) == [6.0]


def test_an_unknown_score_or_threshold_stays_nan(findings: Findings) -> None:
    findings.append_scores(1, scores([10], np.nan))
    assert findings.scores(1, window(0, 100))["score"].isna().all()


def test_no_peak_disappears_from_fewer_points(findings: Findings) -> None:
    score = np.random.default_rng(3).normal(size=5000)
    frame = scores(range(5000), score)
    frame["confidence"] = np.arange(5000.0)
    findings.append_scores(1, frame)
    few = findings.scores(1, window(0, 5000), max_points=100)
    assert len(few) == 100
    assert list(few["score"]) == list(score.reshape(100, 50).max(axis=1))
    peak = few.loc[few["score"].idxmax()]
    assert peak["confidence"] == score.argmax()
    assert peak["ts"] == at(int(score.argmax()))
    assert len(findings.scores(1, window(0, 50), max_points=100)) == 50


def test_expectations_of_a_bucket_span_what_was_expected_in_it(findings: Findings) -> None:
    frame = expectations(range(0, 120, 10))
    frame["low"], frame["high"] = np.arange(12.0), np.arange(12.0) + 100
    frame.loc[0, ["low", "expected", "high"]] = np.nan
    findings.append_expectations(1, frame)
    start = T0.timestamp() % 60
    found = findings.expectations(1, 7, window(0, 120), step_s=60)
    assert all(moment.timestamp() % 60 == 0 for moment in found["ts"])
    assert len(found) == (3 if start else 2)
    assert found["low"].min() == 1.0
    assert found["high"].max() == 111.0
    assert set(found["expected"]) == {5.0}


def test_replacing_a_range_twice_is_replacing_it_once(findings: Findings) -> None:
    findings.append_scores(1, scores([5, 10, 50]))
    findings.save_anomalies([anomaly(2), anomaly(12), anomaly(12, detector_id=2)])
    first = findings.replace(1, window(10, 50), scores([20], 9.0), expectations([20]), [anomaly(20), anomaly(30)])
    second = findings.replace(1, window(10, 50), scores([20], 9.0), expectations([20]), [anomaly(20), anomaly(30)])
    assert [found.id for found in second] == [found.id for found in first]
    assert list(findings.scores(1, window(0, 100))["score"]) == [0.5, 9.0, 0.5]
    assert len(findings.expectations(1, 7, window(0, 100))) == 1
    assert list(findings.anomalies(detector_id=1)["start_ts"]) == [at(30), at(20), at(2)]
    assert len(findings.anomalies(detector_id=2)) == 1


def test_a_failed_replacement_changes_nothing(findings: Findings) -> None:
    findings.append_scores(1, scores([10]))
    with pytest.raises(TypeError):
        findings.replace(1, window(0, 50), scores([20]), expectations([20]), [anomaly(3, explanation={"x": object()})])
    assert list(findings.scores(1, window(0, 100))["ts"]) == [at(10)]
    assert findings.expectations(1, 7, window(0, 100)).empty


def test_an_anomaly_comes_back_as_it_was_saved(findings: Findings) -> None:
    explanation = {"sentence": "ü '; -- <b>", "top": [{"metric": 'a"b', "weight": 0.5}]}
    (saved,) = findings.save_anomalies(
        [anomaly(1, end_ts=at(9), series_id=4, actual=1.0, expected=2.0, low=0.0, high=3.0, explanation=explanation)]
    )
    assert saved.id > 0
    assert findings.anomaly(saved.id) == saved
    assert findings.anomaly(saved.id + 1) is None


def test_saving_with_an_id_rewrites(findings: Findings) -> None:
    (saved,) = findings.save_anomalies([anomaly(1)])
    findings.save_anomalies([replace(saved, end_ts=at(60), severity="warning")])
    frame = findings.anomalies()
    assert list(frame["end_ts"]) == [at(60)]
    assert list(frame["severity"]) == ["warning"]


def test_numbers_that_are_none_become_null(findings: Findings) -> None:
    explanation = {"weight": np.float64("nan"), "count": np.int64(3), "peak": float("inf"), "when": at(0)}
    (saved,) = findings.save_anomalies([anomaly(1, actual=float("nan"), explanation=explanation)])
    found = findings.anomaly(saved.id)
    assert found is not None
    assert found.actual is None
    assert found.explanation == {"weight": None, "count": 3, "peak": None, "when": at(0).isoformat()}


def test_anomalies_are_found_by_each_of_their_sides(findings: Findings) -> None:
    findings.save_anomalies(
        [
            anomaly(0, end_ts=at(10), host="a", severity="info", confidence=0.3, series_id=1),
            anomaly(20, end_ts=at(30), host="b", severity="warning", confidence=0.6, source_id=2, series_id=2),
            anomaly(40, host="c", detector_id=2),
        ]
    )

    def hosts(**wanted) -> list[str]:
        return list(findings.anomalies(**wanted)["host"])

    assert hosts() == ["c", "b", "a"]
    assert hosts(limit=2) == ["c", "b"]
    assert hosts(host="b") == ["b"]
    assert hosts(source_id=2) == ["b"]
    assert hosts(detector_id=2) == ["c"]
    assert hosts(series_id=1) == ["a"]
    assert hosts(min_confidence=0.6) == ["c", "b"]
    assert hosts(severity="info") == ["a"]
    assert hosts(severity=["info", "warning"]) == ["b", "a"]
    assert hosts(window=window(5, 20)) == ["a"]
    assert hosts(window=window(10, 21)) == ["b", "a"]
    assert hosts(window=window(100, 200)) == ["c"]  # still going on
    assert hosts(host="'; DROP TABLE anomalies; --") == []


def test_no_anomalies_is_a_frame_with_the_same_columns(findings: Findings) -> None:
    empty = findings.anomalies()
    findings.save_anomalies([anomaly(0)])
    full = findings.anomalies()
    assert list(empty.columns) == list(full.columns)
    for column in ("id", "series_id", "start_ts", "end_ts", "peak_ts", "score", "explanation"):
        assert empty[column].dtype == full[column].dtype


def test_a_detector_that_is_deleted_leaves_nothing(findings: Findings) -> None:
    for detector_id in (1, 2):
        findings.replace(
            detector_id, window(0, 50), scores([20]), expectations([20]), [anomaly(20, detector_id=detector_id)]
        )
    findings.delete_detector(1)
    assert findings.scores(1, window(0, 100)).empty
    assert findings.expectations(1, 7, window(0, 100)).empty
    assert list(findings.anomalies()["detector_id"]) == [2]
    assert len(findings.scores(2, window(0, 100))) == 1


def test_moments_without_zone_are_refused(findings: Findings) -> None:
    frame = scores([10])
    frame["ts"] = frame["ts"].dt.tz_localize(None)
    with pytest.raises(ValueError, match="time zone"):
        findings.append_scores(1, frame)
