from __future__ import annotations

import numpy as np
import pytest

from lib.anomaly.detector import PARTS, Scored
from lib.anomaly.events import Rule, Severity, decide, severity

RULE = Rule(open_at=3, keep_at=2, open_for=2, merge=3, drift_window=100)


def scored(evidence: list[float]) -> Scored:
    e = np.array(evidence, dtype=float)
    n = e.size
    shares = np.stack([np.full(n, 0.7), np.full(n, 0.3)])
    actual = np.stack([np.nan_to_num(e), np.zeros(n)])
    parts = np.full((len(PARTS), n), 1e-3)
    bounds = np.zeros((2, n)), np.zeros((2, n)), np.ones((2, n))
    low, expected, high = bounds
    return Scored(np.arange(n, dtype=np.int64) * 60_000, e, 1 - 10**-e, shares, parts, actual, expected, low, high)


def spans(evidence: list[float], since: int = 0) -> list[tuple[int, int]]:
    return [(e.first, e.last) for e in decide(scored(evidence), RULE, 60, since)[0]]


def test_two_strange_moments_open_an_event_and_one_does_not() -> None:
    assert spans([0, 0, 5, 0, 0, 0, 0, 0]) == []
    assert spans([0, 0, 5, 5, 0, 0, 0, 0]) == [(2, 3)]


def test_event_goes_on_above_the_lower_threshold() -> None:
    assert spans([0, 5, 5, 2.5, 2.5, 1, 0, 0, 0, 0]) == [(1, 4)]


def test_events_a_short_pause_apart_are_one() -> None:
    assert spans([0, 5, 5, 0, 0, 5, 5, 0, 0, 0, 0, 0, 5, 5, 0]) == [(1, 6), (12, 13)]


def test_event_that_reaches_the_newest_moment_is_open() -> None:
    found, _ = decide(scored([0, 0, 0, 5, 5]), RULE, 60)
    assert found[0].open
    found, _ = decide(scored([0, 5, 5, 0, 0, 0, 0, 0, 0]), RULE, 60)
    assert not found[0].open


def test_missing_moments_are_not_strange_and_pieces_before_since_are_not_decided() -> None:
    assert spans([0, 5, 5, np.nan, np.nan, 5, 5, 0]) == [(1, 6)]
    assert spans([np.nan] * 5) == []
    assert spans([0, 5, 5, 0, 0, 0, 0, 0, 5, 5, 0], since=5) == [(8, 9)]


def test_later_moments_never_take_an_event_back() -> None:
    rng = np.random.default_rng(4)
    evidence = list(np.where(rng.random(400) < 0.06, 6.0, rng.exponential(0.4, 400)))
    whole = {first for first, _ in spans(evidence)}
    for end in range(20, 400, 20):
        begun = {first for first, _ in spans(evidence[:end])}
        assert begun <= whole


def test_threshold_follows_drift_from_the_past_only() -> None:
    calm, noisy = [0.3] * 300, [2.9] * 300
    threshold = RULE.threshold(np.array(calm + noisy))
    assert threshold[:300] == pytest.approx(3)
    assert threshold[599] == pytest.approx(3 + 2.4)
    changed = RULE.threshold(np.array(calm + [9.0] * 300))
    assert changed[300] == threshold[300]


def test_aftermath_of_rolling_features_is_cut_off() -> None:
    given = scored([0, 5, 5, 4, 4, 4, 0, 0, 0, 0])
    given.parts[:, 3:] = 0.5
    assert [(e.first, e.last) for e in decide(given, RULE, 60)[0]] == [(1, 2)]


def test_contributors_are_ranked_and_the_peak_is_where_the_first_strayed_furthest() -> None:
    event = decide(scored([0, 5, 9, 5, 0, 0, 0, 0]), RULE, 60)[0][0]
    assert [c for c, _ in event.contributors] == [0, 1]
    assert sum(share for _, share in event.contributors) == pytest.approx(1)
    assert event.peak == 2
    assert event.evidence == 9


def test_severity_grows_with_evidence_and_duration() -> None:
    assert severity(4, 600) is Severity.WARNING
    assert severity(4, 3 * 3600) is Severity.MINOR
    assert severity(6, 600) is Severity.MINOR
    assert severity(9, 600) is Severity.MAJOR
    assert severity(12, 600) is Severity.CRITICAL
    assert severity(12, 30) is Severity.MAJOR


def test_nothing_scored_is_nothing_found() -> None:
    found, threshold = decide(scored([]), RULE, 60)
    assert found == []
    assert threshold.shape == (0,)
