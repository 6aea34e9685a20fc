"""Anomalies picked by their size."""

from __future__ import annotations

import pytest

from lib.chat import picks
from lib.chat.masked import Masked


@pytest.mark.parametrize(
    ("text", "of", "above", "below"),
    [
        ("anomalies with a score over 14", "score", 14.0, None),
        ("incidents that scored less than 5.5 this week", "score", None, 5.5),
        ("anomalies with confidence above 95 %", "confidence", 0.95, None),
        ("which incidents lasted longer than 2 hours", "duration", 7200.0, None),
        ("anomalies shorter than an hour", "duration", None, 3600.0),
        ("only those with score of 10 or more", "score", 10.0, None),
    ],
)
def test_size_is_found_and_taken_out(text: str, of: str, above: float | None, below: float | None) -> None:
    masked = Masked(text)
    pick = picks.find(masked, False)
    assert pick is not None
    assert (pick.of, pick.above, pick.below) == (of, above, below)
    assert not any(character.isdigit() for character in masked.text)


@pytest.mark.parametrize(
    "text", ["cpu above 14", "anomalies of the last 2 hours", "anomaly 14", "how often was it over 14"]
)
def test_limits_of_metrics_and_spans_are_no_size(text: str) -> None:
    assert picks.find(Masked(text), False) is None


def test_a_limit_beside_a_metric_is_its_own() -> None:
    assert picks.find(Masked("anomalies where score over 14"), True) is None
