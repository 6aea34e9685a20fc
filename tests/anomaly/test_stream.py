"""A moment at a time, in chunks, or all at once: one and the same score."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.anomaly import training
from lib.anomaly.detector import Detector, Scored
from lib.anomaly.options import Options
from lib.anomaly.stream import LATE, Stream
from lib.errors import Invalid
from lib.features.channels import Channels
from lib.frames import Series

MINUTE_MS = 60_000
START_MS = 1_772_323_200_000
# All that is decided differently: which options there are, one series or several, a short history or a long one.
KINDS = {
    "several": (4, 2600, Options()),
    "one": (1, 900, Options(smooth=1)),
    "short": (3, 320, Options(smooth=5)),
    "missing": (3, 900, Options(missing="signal", trees=20)),
    "above": (3, 900, Options(direction="above", least={"metric_0": 1.0}, trees=20)),
    "weekly": (3, 21 * 96, Options(trees=20)),
}
WEEK_MS = 7 * 86_400_000


def moments(kind: str, first: int, n: int) -> np.ndarray:
    step_ms = 15 * MINUTE_MS if kind == "weekly" else MINUTE_MS
    return START_MS + step_ms * (first + np.arange(n, dtype=np.int64))


def history(kind: str, seed: int, n: int, offset: int = 0) -> np.ndarray:
    rng, channels = np.random.default_rng(seed), KINDS[kind][0]
    slow = np.sin(2 * np.pi * (np.arange(n) + offset) / 1440) * 3
    values = slow * rng.uniform(0.5, 2, (channels, 1)) + rng.normal(20, 1, (channels, n))
    if kind == "weekly":  # what is full by Sunday is emptied at three, an hour of the first moments that are scored
        values[0] += 40 * ((moments(kind, offset, n) - START_MS - 3 * 3_600_000) % WEEK_MS) / WEEK_MS
    return values


@functools.cache
def detector(kind: str) -> Detector:
    import pandas as pd

    channels, n, options = KINDS[kind]
    values = history(kind, 1, n)
    series = [Series(i + 1, 1, f"metric_{i}", {}, "h", "gauge") for i in range(channels)]
    ts = pd.to_datetime(moments(kind, 0, n), unit="ms", utc=True)
    frame = pd.concat([pd.DataFrame({"series_id": i + 1, "ts": ts, "value": row}) for i, row in enumerate(values)])
    return training.fit(series, frame, options=options).detector


def damaged(kind: str, seed: int, n: int) -> Channels:
    """New samples with what happens to samples: gaps of one channel and of all, constant stretches, spikes, shifts,
    resets, a start with nothing."""
    rng = np.random.default_rng(seed)
    c, taught, _ = KINDS[kind]
    values = history(kind, seed + 1, n, taught)
    for _ in range(rng.integers(0, 6)):
        start, length = int(rng.integers(0, n)), int(rng.integers(1, 60))
        rows, part = slice(start, start + length), int(rng.integers(0, c))
        match rng.integers(0, 6):
            case 0:
                values[part, rows] = np.nan
            case 1:
                values[:, rows] = np.nan
            case 2:
                values[part, rows] = values[part, start]
            case 3:
                values[part, start] += 10.0 ** rng.integers(1, 5)
            case 4:
                values[part, rows] += 8
            case 5:
                values[:, : length % 12] = np.nan
    return Channels(detector(kind).plan, moments(kind, taught, n), values, rng.random((c, n)) < 0.01)


def same(one: Scored, other: Scored) -> None:
    for name in ("evidence", "confidence", "expected", "low", "high", "parts", "shares"):
        a, b = getattr(one, name), getattr(other, name)
        assert np.array_equal(np.isnan(a), np.isnan(b)), name
        assert a == pytest.approx(b, rel=1e-9, abs=1e-9, nan_ok=True), name


def streamed(stream: Stream, channels: Channels, sizes: list[int]) -> Scored:
    parts, start, turn = [], 0, 0
    while start < channels.ts_ms.size:
        size = sizes[turn % len(sizes)]
        parts.append(stream.take(channels.rows(slice(start, start + size))))
        start, turn = start + size, turn + 1
    return Scored.joined(parts)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 10_000),
    st.integers(1, 120),
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
def test_chunks_of_any_size_score_as_the_whole(kind: str, seed: int, n: int, sizes: list[int]) -> None:
    channels = damaged(kind, seed, n)
    same(streamed(Stream(detector(kind)), channels, sizes), detector(kind).score(channels))


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("seed", [1, 2])
def test_moment_by_moment_scores_as_the_whole_beyond_every_look_back(kind: str, seed: int) -> None:
    channels = damaged(kind, seed, detector(kind).lookback + 250)
    same(streamed(Stream(detector(kind)), channels, [1]), detector(kind).score(channels))


def test_a_long_history_in_blocks_scores_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = damaged("several", 5, 900)
    whole = detector("several").score(channels)
    monkeypatch.setattr("lib.anomaly.detector.AT_ONCE", 130)
    same(detector("several").score(channels), whole)
    since = 700
    same(detector("several").score(channels, since).rows(slice(since, None)), whole.rows(slice(since, None)))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, LATE), st.integers(0, 12)), min_size=1, max_size=12),
)
def test_moments_that_come_again_replace_what_was_known_from_them_on(
    seed: int, first: int, takes: list[tuple[int, int]]
) -> None:
    now = damaged("several", seed, first)
    stream, rng = Stream(detector("several")), np.random.default_rng(seed)
    stream.take(now)
    for back, more in takes:
        start = max(now.ts_ms.size - back, 0)
        whole = damaged("several", seed, now.ts_ms.size + more)
        newer = whole.rows(slice(start, None))
        newer = Channels(newer.plan, newer.ts_ms, newer.values + rng.normal(0, 2, newer.values.shape), newer.resets)
        now = now.rows(slice(0, start)).followed_by(newer)
        found = stream.take(now.rows(slice(start, None)))
        same(found, detector("several").score(now).rows(slice(start, None)))


def test_a_stream_begun_anew_from_stored_samples_gives_what_a_batch_over_them_gives() -> None:
    """After a restart: state is rebuilt from the look-back, and goes on as if it had never stopped."""
    channels = damaged("several", 9, 1500)
    lookback = detector("several").lookback
    first = 1500 - 100 - lookback
    stored = channels.rows(slice(first, None))
    again = Stream(detector("several"))
    again.take(stored.rows(slice(0, lookback)), since=lookback)
    later = streamed(again, stored.rows(slice(lookback, None)), [1, 3])
    same(later, detector("several").score(stored, lookback).rows(slice(lookback, None)))
    # Against one that never stopped an EWMA has forgotten a millionth of what it once saw; a tree may turn on that.
    lasting = streamed(Stream(detector("several")), channels, [300, 7]).rows(slice(1400, None))
    assert np.nanmedian(np.abs(later.evidence - lasting.evidence)) < 1e-6
    assert later.evidence == pytest.approx(lasting.evidence, abs=0.02, nan_ok=True)


def test_moments_that_do_not_follow_are_refused_and_change_nothing() -> None:
    channels = damaged("several", 11, 60)
    stream = Stream(detector("several"))
    stream.take(channels.rows(slice(0, 15)))
    stream.take(channels.rows(slice(15, 30)))
    for start in (10, 31):
        assert not stream.follows(int(channels.ts_ms[start]))
        with pytest.raises(Invalid, match="do not follow"):
            stream.take(channels.rows(slice(start, 40)))
    same(stream.take(channels.rows(slice(30, 60))), detector("several").score(channels).rows(slice(30, 60)))
    assert stream.take(channels.rows(slice(60, 60))).evidence.size == 0
