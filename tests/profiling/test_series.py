from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.frames import Series, Window
from lib.profiling.series import profile

RNG = np.random.default_rng(3)


def whole(now: datetime) -> Window:
    return Window(now - timedelta(days=60), now + timedelta(days=1))


def codes(found) -> set[str]:
    return {alert.code for alert in found.alerts}


def test_healthy_series_has_nothing_to_say(gauge: Series, frame_of, now: datetime) -> None:
    found = profile(gauge, frame_of(RNG.normal(size=600)), whole(now), now)
    assert found.alerts == ()
    assert (found.interval_s, found.count, found.stale, found.missing) == (60, 600, False, 0)


def test_silent_series_is_stale_and_says_for_how_long(gauge: Series, frame_of, now: datetime) -> None:
    found = profile(gauge, frame_of(RNG.normal(size=600)), whole(now), now + timedelta(hours=3))
    assert found.stale
    assert found.alerts[0].code == "stale"
    assert "No sample for 3 h" in found.alerts[0].sentence
    assert "Sources" in found.alerts[0].remedy


def test_slow_series_is_not_stale_between_its_samples(gauge: Series, frame_of, now: datetime) -> None:
    found = profile(gauge, frame_of(RNG.normal(size=50), step_s=3600), whole(now), now + timedelta(hours=2))
    assert not found.stale


def test_gaps_and_their_share(gauge: Series, frame_of, now: datetime) -> None:
    frame = frame_of(RNG.normal(size=1000))
    found = profile(gauge, frame.drop(index=range(400, 700)), whole(now), now)
    assert len(found.gaps) == 1
    assert found.longest_gap_s == 301 * 60
    assert found.missing == 300
    assert found.missing_share == pytest.approx(0.3)
    assert "gaps" in codes(found)


def test_values_that_are_no_number_are_counted_and_left_out(gauge: Series, frame_of, now: datetime) -> None:
    value = np.ones(100)
    value[::2] = 2
    value[[3, 5]], value[7] = np.nan, np.inf
    found = profile(gauge, frame_of(value), whole(now), now)
    assert (found.nan, found.infinite) == (2, 1)
    assert found.distribution.counts.sum() == 97
    assert "non_finite" in codes(found)


def test_constant_series_says_so(gauge: Series, frame_of, now: datetime) -> None:
    found = profile(gauge, frame_of(np.full(100, 7.0)), whole(now), now)
    assert found.constant
    assert "constant" in codes(found)


def test_counter_is_profiled_as_its_rate(counter: Series, frame_of, now: datetime) -> None:
    value = np.arange(600) * 120.0
    value[300:] -= value[300]
    found = profile(counter, frame_of(value), whole(now), now)
    assert found.resets == 1
    assert found.unit == "B/s"
    assert found.distribution.quantiles[0.5] == pytest.approx(2.0)
    assert "resets" in codes(found)


def test_duplicates_are_used_once(gauge: Series, frame_of, now: datetime) -> None:
    frame = frame_of(RNG.normal(size=10))
    frame.loc[5, "ts"] = frame.loc[4, "ts"]
    found = profile(gauge, frame, whole(now), now)
    assert (found.duplicates, found.count) == (1, 9)
    assert "duplicates" in codes(found)


def test_samples_ahead_of_the_clock_are_told(gauge: Series, frame_of, now: datetime) -> None:
    found = profile(gauge, frame_of(RNG.normal(size=100)), whole(now), now - timedelta(minutes=10))
    assert "future" in codes(found)


def test_daily_wave_and_steady_growth_are_told(gauge: Series, frame_of, now: datetime) -> None:
    minutes = np.arange(10 * 24 * 12)
    wave = profile(gauge, frame_of(np.sin(minutes / 288 * 2 * np.pi), step_s=300), whole(now), now)
    growth = profile(gauge, frame_of(minutes / 288.0, step_s=300), whole(now), now)
    assert "daily" in codes(wave)
    assert "trend" in codes(growth)
    assert growth.trend.per_day == pytest.approx(1.0, rel=1e-3)


def test_no_samples_is_a_result(gauge: Series, frame_of, now: datetime) -> None:
    found = profile(gauge, frame_of(np.empty(0)), whole(now), now)
    assert found.count == 0
    assert codes(found) == {"empty"}


def test_every_alert_has_a_remedy(gauge: Series, frame_of, now: datetime) -> None:
    value = np.where(np.arange(300) % 7 == 0, np.nan, 5.0)
    found = profile(
        gauge, frame_of(value).drop(index=range(50, 150)), whole(now), now + timedelta(days=2), truncated=True
    )
    assert {"stale", "gaps", "non_finite", "constant", "truncated"} <= codes(found)
    assert all(alert.sentence.endswith(".") and alert.remedy.endswith(".") for alert in found.alerts)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40),
    steps=st.lists(st.integers(0, 10**8), min_size=40, max_size=40),
    kind=st.sampled_from(["gauge", "counter"]),
)
def test_no_series_breaks_a_profile(frame_of, now: datetime, value: list[float], steps: list[int], kind: str) -> None:
    ts_ms = 1_700_000_000_000 + np.cumsum(np.array(steps, dtype=np.int64))[: len(value)]
    series = Series(1, 1, "x", {}, "", kind)
    found = profile(series, frame_of(np.array(value), ts_ms=ts_ms), whole(now), now)
    assert found.count + found.duplicates == len(value)
    assert 0 <= found.missing_share < 1
