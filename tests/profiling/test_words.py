from __future__ import annotations

import math

import pytest

from lib.profiling.words import amount, duration


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
