from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.anomaly import measures


def slow_vus_pr(labels: np.ndarray, scores: np.ndarray, window: int, thresholds: int) -> float:
    """The definition, threshold by threshold and row by row."""
    n, segments, volume = len(labels), measures.runs(labels), []
    for buffer in range(window + 1):
        half = buffer // 2
        soft = labels.astype(float)
        for first, last in segments:
            for i in range(last + 1, min(last + half + 1, n)):
                soft[i] += math.sqrt(1 - (i - last) / buffer)
            for i in range(max(first - half, 0), first):
                soft[i] += math.sqrt(1 - (first - i) / buffer)
        soft = np.minimum(soft, 1)
        zones = [[max(segments[0][0] - half, 0), segments[0][1] + half]]
        for first, last in segments[1:]:
            if zones[-1][1] < first - half:
                zones.append([first - half, last + half])
            else:
                zones[-1][1] = last + half
        area, before = 0.0, 0.0
        for at in np.linspace(0, n - 1, thresholds).astype(int):
            called = scores >= np.sort(scores)[::-1][at]
            found = float(soft[called].sum())
            owed = labels.sum() + float((soft - labels)[called].sum()) / 2
            met = sum(called[a : b + 1].any() for a, b in zones) / len(zones)
            recall = min(found / owed, 1) * met
            area += (recall - before) * found / called.sum()
            before = recall
        volume.append(area)
    return float(np.mean(volume))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("window", [0, 1, 8, 25])
def test_volume_is_what_its_definition_says(seed: int, window: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros(120, dtype=int)
    for at in rng.integers(0, 118, 4):
        labels[at : at + rng.integers(1, 7)] = 1
    scores = np.round(labels * rng.random(120) + rng.normal(0, 0.6, 120), seed % 3)
    assert measures.vus_pr(labels, scores, window, 20) == pytest.approx(
        slow_vus_pr(labels, scores, window, 20), rel=1e-9
    )


def test_perfect_scores_are_one_and_random_ones_about_the_share_of_anomalies() -> None:
    labels = np.zeros(4000, dtype=int)
    labels[1000:1200] = 1
    assert measures.vus_pr(labels, labels.astype(float), 0) == pytest.approx(1)
    assert measures.auc_pr(labels, labels.astype(float)) == 1
    noise = np.random.default_rng(0).random(4000)
    assert measures.auc_pr(labels, noise) == pytest.approx(0.05, abs=0.02)
    assert measures.best_f1(labels, noise) < 0.15


def test_without_an_anomaly_there_is_nothing_to_measure() -> None:
    nothing = np.zeros(50, dtype=int)
    scores = np.arange(50.0)
    for value in (
        measures.vus_pr(nothing, scores, 5),
        measures.auc_pr(nothing, scores),
        measures.best_f1(nothing, scores),
        measures.f1(nothing, scores > 3),
        measures.alert_f1(nothing, [(1, 2)]),
    ):
        assert math.isnan(value)


@given(st.lists(st.booleans(), max_size=40))
def test_runs_are_where_flags_are(flags: list[bool]) -> None:
    again = np.zeros(len(flags), dtype=bool)
    for first, last in measures.runs(np.array(flags, dtype=bool)):
        assert first <= last
        again[first : last + 1] = True
    assert again.tolist() == flags


def test_alerts_are_counted_once_and_points_are_not_adjusted() -> None:
    labels = np.zeros(100, dtype=int)
    labels[[*range(10, 20), *range(50, 60)]] = 1
    assert measures.alerts(labels, [(12, 13), (15, 16), (30, 31)]) == (2, 1, 1)
    assert measures.alert_f1(labels, [(12, 13), (50, 70)]) == 1
    assert measures.alerts(labels, [(61, 62)], tolerance=2) == (2, 1, 0)
    flags = np.zeros(100, dtype=bool)
    flags[12] = True
    assert measures.f1(labels, flags) == pytest.approx(2 / 21)


def test_claims_that_hold_are_calibrated() -> None:
    rng = np.random.default_rng(3)
    claimed = rng.random(20_000)
    assert measures.calibration_error(claimed, rng.random(20_000) < claimed) < 0.02
    assert measures.calibration_error(np.full(100, 0.9), np.zeros(100)) == pytest.approx(0.9)
