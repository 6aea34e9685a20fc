from __future__ import annotations

import numpy as np
import pytest

from lib.anomaly import peers
from lib.anomaly.peers import PEERS, Learnt, Peer

STEP_MS = 300_000
DAY = 288


def rhythm(days: int = 7, seed: int = 0, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    day = np.sin(2 * np.pi * np.arange(days * DAY) / DAY)
    return 50 + 20 * day + rng.normal(0, 1, (channels, days * DAY))


def split(values: np.ndarray, days: int = 5) -> tuple[np.ndarray, np.ndarray]:
    return values[:, : days * DAY], values[:, days * DAY :]


@pytest.mark.parametrize("peer", [p for p in PEERS if not p.control], ids=lambda p: p.name)
def test_each_sees_a_jump_beyond_all_it_has_learnt(peer: Peer) -> None:
    first, rest = split(rhythm())
    learnt = Learnt.from_channels(peer, first, STEP_MS)
    rest[:2, 400:420] += 200
    scores, spans = learnt.called(rest)
    assert scores.shape == (rest.shape[1],)
    assert any(a <= 419 and b >= 400 for a, b in spans)
    assert np.nanmax(scores[400:420]) > np.nanquantile(scores[300:390], 0.99)


@pytest.mark.parametrize("peer", PEERS, ids=lambda p: p.name)
def test_on_more_of_the_same_alerts_stay_few(peer: Peer) -> None:
    first, rest = split(rhythm(14), 10)
    _, spans = Learnt.from_channels(peer, first, STEP_MS).called(rest)
    assert len(spans) <= 12  # in four days; training was allowed an alert in two


@pytest.mark.parametrize("peer", PEERS, ids=lambda p: p.name)
def test_scores_of_a_moment_do_not_change_with_what_comes_later(peer: Peer) -> None:
    first, rest = split(rhythm())
    short, _ = Learnt.from_channels(peer, first, STEP_MS).called(rest[:, :300])
    whole, _ = Learnt.from_channels(peer, first, STEP_MS).called(rest)
    assert np.allclose(short, whole[:300], equal_nan=True)


@pytest.mark.parametrize("peer", PEERS, ids=lambda p: p.name)
def test_gaps_constant_channels_and_nothing_at_all_are_no_alarm(peer: Peer) -> None:
    first, rest = split(rhythm())
    first[1], rest[1] = 7.0, 7.0
    first[2, : 2 * DAY] = np.nan
    rest[:, 100:140] = np.nan
    scores, spans = Learnt.from_channels(peer, first, STEP_MS).called(rest)
    assert np.isnan(scores[100:140]).all()
    assert not any(a >= 100 and b < 140 for a, b in spans)
    nothing = np.full((2, 600), np.nan)
    for learnt_from, scored in ((nothing, nothing), (nothing, rest[:2])):
        _, none = Learnt.from_channels(peer, learnt_from, STEP_MS).called(scored)
        assert none == []


def test_yesterday_is_asked_only_once_there_are_two_days() -> None:
    scores, _ = peers.seasonal(rhythm(5), STEP_MS, 0)
    assert np.isnan(scores(rhythm(2, seed=1))[:DAY]).all()
    scores, _ = peers.seasonal(rhythm(1), STEP_MS, 0)
    assert np.isfinite(scores(rhythm(2, seed=1))[1:]).all()


def test_static_threshold_calls_only_what_leaves_the_range_by_its_margin() -> None:
    values = np.array([[0.0, 10.0, 5.0]])
    learnt = Learnt.from_channels(Peer("static threshold", peers.static), values, STEP_MS)
    _, spans = learnt.called(np.array([[5.0, 10.4, 5.0, *[5.0] * 9, 10.6]]))
    assert spans == [(12, 12)]


def test_calls_close_to_one_another_are_one() -> None:
    flags = np.zeros(40, dtype=bool)
    flags[[3, 4, 10, 30]] = True
    assert peers.merged(flags) == [(3, 10), (30, 30)]


def test_limit_allows_training_one_alert_in_two_days() -> None:
    scores = np.random.default_rng(3).random(10 * DAY)
    limit = peers.limit_of(scores, STEP_MS)
    assert 1 <= len(peers.merged(scores > limit)) <= 5
    assert len(peers.merged(scores > limit * 0.99)) > 5
    assert peers.limit_of(np.full(10, np.nan), STEP_MS) == np.inf


def test_the_control_knows_nothing() -> None:
    (control,) = [p for p in PEERS if p.control]
    first, rest = split(rhythm(14), 7)
    jumped = rest.copy()
    jumped[:, 500:700] += 1000
    plain, _ = Learnt.from_channels(control, first, STEP_MS, seed=4).called(rest)
    changed, _ = Learnt.from_channels(control, first, STEP_MS, seed=4).called(jumped)
    assert np.array_equal(plain, changed)
