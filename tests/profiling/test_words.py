from __future__ import annotations

import math
from datetime import timedelta

import pytest

from lib.profiling.words import amount, between, duration, spelt


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (1.3e9, "B/s", "1.21 GiB/s"),
        (0.374, "ratio", "37.4 %"),
        (12345, "", "12.3k"),
        (0.00012, "s", "120 µs"),
        (3700, "s", "1 h 1 min"),
        (3, "/s", "3/s"),
        (-5, "", "-5"),
        (0, "B", "0 B"),
        (2e-5, "", "2.00e-05"),
        (21.5, "°C", "21.5 °C"),
        (None, "B", "–"),
        (math.nan, "", "–"),
        (-math.inf, "B", "-∞"),
    ],
)
def test_amounts_carry_their_unit(value: float | None, unit: str, words: str) -> None:
    assert amount(value, unit) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.25, "250 ms"), (3.4, "3.4 s"), (61, "1 min 1 s"), (90000, "1 d 1 h"), (None, "–"), (-60, "-1 min")],
)
def test_durations_name_their_two_largest_parts(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=90), "90 seconds"),
        (timedelta(minutes=25), "25 minutes"),
        (timedelta(minutes=61), "1 hour 1 minute"),
        (timedelta(hours=2), "2 hours"),
        (timedelta(days=2, hours=3, minutes=5), "2 days 3 hours"),
    ],
)
def test_a_span_is_spelt_out_inside_a_sentence(span: timedelta, words: str) -> None:
    assert spelt(span) == words


def test_range_that_reads_the_same_at_both_ends_is_said_once() -> None:
    assert between(1.0001, 1.0002, "") == "1"
