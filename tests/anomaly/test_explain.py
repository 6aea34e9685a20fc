from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from lib.anomaly.detector import Scored
from lib.anomaly.events import Event, Severity
from lib.anomaly.explain import explain
from lib.features.channels import Channel, Plan
from lib.features.grid import Grid

START_MS = int(datetime(2026, 11, 20, 14, 5, tzinfo=UTC).timestamp() * 1000)
CPU = Channel("CPU busy", "node_cpu_seconds_total", "%", (1, 2), (1, 2, 3), True, 100.0)
LOAD = Channel("node_load1", "node_load1", "", (4,))
UP = Channel("up", "up", "", (5,))


def made(actual: float, low: float, high: float, *channels: Channel, still: bool = False):
    n = 5
    ones = np.ones((len(channels), n))
    scored = Scored(
        START_MS + np.arange(n, dtype=np.int64) * 300_000,
        np.full(n, 6.0),
        np.full(n, 0.999999),
        ones / len(channels),
        np.full((5, n), 1e-5),
        ones * actual,
        ones * (low + high) / 2,
        ones * low,
        ones * high,
        np.full(n, 6.0),
    )
    shares = tuple((i, 1 / len(channels)) for i in range(len(channels)))
    event = Event(0, 4, 2, 6.0, 0.999999, Severity.MAJOR, shares, still)
    return explain(event, scored, Plan(Grid(300_000), channels), "web-03")


def test_sentence_says_what_where_how_much_and_how_long() -> None:
    reason = made(97, 20, 45, CPU)
    assert reason["sentence"] == (
        "CPU busy on web-03 was 97 % where 20 % to 45 % was expected, for 25 minutes from 14:05 UTC on 20 November."
    )
    first = reason["contributors"][0]
    assert (first["series_id"], first["series_ids"], first["outside"]) == (1, [1, 2, 3], True)
    assert (first["actual"], first["low"], first["high"]) == (97, 20, 45)


def test_others_that_left_their_range_are_named() -> None:
    assert "Also unusual: node_load1 97 (expected 32.5)." in made(97, 20, 45, CPU, LOAD)["sentence"]


def test_open_event_is_still_going_on() -> None:
    assert "and still going on" in made(97, 20, 45, CPU, still=True)["sentence"]


def test_broken_pattern_inside_the_band_does_not_claim_the_band_was_left() -> None:
    sentence = made(30, 20, 45, CPU, LOAD)["sentence"]
    assert "did not move with node_load1 the way it usually does" in sentence
    assert "was expected" not in sentence


def test_target_that_is_down_is_said_so() -> None:
    assert made(0, 0.7, 1, UP)["sentence"].startswith("web-03 did not answer (up was 0)")


def test_unknown_figures_are_not_made_up() -> None:
    reason = made(np.nan, 20, 45, CPU)
    assert reason["contributors"][0]["actual"] is None
    assert "behaved unlike its past" in reason["sentence"]
