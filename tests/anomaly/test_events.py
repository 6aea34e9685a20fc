from __future__ import annotations

import numpy as np
import pytest

from lib.anomaly.detector import PARTS, Scored
from lib.anomaly.events import Past, Rule, Severity, decide, severity

RULE = Rule(open_at=3, keep_at=2, open_for=2, merge=3)


def scored(evidence: list[float]) -> Scored:
    e = np.array(evidence, dtype=float)
    n = e.size
    shares = np.stack([np.full(n, 0.7), np.full(n, 0.3)])
    actual = np.stack([np.nan_to_num(e), np.zeros(n)])
    parts = np.full((len(PARTS), n), 1e-3)
    bounds = np.zeros((2, n)), np.zeros((2, n)), np.ones((2, n))
    low, expected, high = bounds
    return Scored(
        np.arange(n, dtype=np.int64) * 60_000,
        e,
        1 - 10**-e,
        shares,
        parts,
        actual,
        expected,
        low,
        high,
        np.full(n, 3.0),
    )


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
    rng = np.random.default_rng(1)
    calm, noisy = rng.exponential(0.4343, 600), 1.5 + 2 * rng.exponential(0.4343, 2400)
    threshold = decide(scored([*calm, *noisy]), RULE, 60)[1]
    assert threshold[:600] == pytest.approx(3, abs=0.35)
    # Normal now has its middle at 2.1 and its 90% at 3.5: three such steps further is as rare as 3 was.
    assert threshold[-1] == pytest.approx(1.5 + 2 * 3, abs=0.8)
    changed = decide(scored([*calm, *[9.0] * 2400]), RULE, 60)[1]
    assert changed[600] == threshold[600]


def test_quiet_times_do_not_lower_the_threshold() -> None:
    assert decide(scored([0.01] * 900), RULE, 60)[1] == pytest.approx(3)


def test_thresholds_are_the_same_however_a_range_is_cut() -> None:
    rng = np.random.default_rng(2)
    given = scored(list(1 + 2 * rng.exponential(0.4343, 1500)))
    whole = decide(given, RULE, 60)[1]
    for cut in (311, 400, 1199):
        past = Past(given.ts_ms[:cut], given.evidence[:cut])
        assert np.array_equal(decide(given, RULE, 60, cut, past)[1][cut:], whole[cut:])


def test_aftermath_of_rolling_features_is_cut_off() -> None:
    given = scored([0, 5, 5, 4, 4, 4, 0, 0, 0, 0])
    given.alone[3:] = 0.3
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
