"""Slips of the finger, and words that only look like one."""

from __future__ import annotations

import pytest

from lib.chat.spelling import corrected


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("laod", "load"),
        ("uasge", "usage"),
        ("avergae", "average"),
        ("memroy", "memory"),
        ("anomolies", "anomalies"),
        ("yesterdy", "yesterday"),
        ("correlaton", "correlation"),
    ],
)
def test_what_is_a_slip_away_is_put_right(typed: str, meant: str) -> None:
    assert corrected(typed) == meant


@pytest.mark.parametrize(
    "word",
    ["swap", "heap", "pods", "threads", "sessions", "connections", "commits", "inodes", "gpu", "users", "tickets"],
)
def test_other_things_are_never_read_as_one_that_is_stored(word: str) -> None:
    assert corrected(word) == word
