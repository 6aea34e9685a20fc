"""What is understood and turned down, so that no answer leaves out half of what was asked."""

from __future__ import annotations

import pytest

from lib.chat.refusals import turned_down


@pytest.mark.parametrize(
    "text",
    [
        "average load per day this week",
        "daily peak of cpu",
        "which hour had the most requests",
        "cpu on mondays",
        "load in the mornings",
        "the second worst anomaly",
        "3rd highest load",
    ],
)
def test_parts_of_a_period_and_places_of_a_ranking_are_turned_down(text: str) -> None:
    assert turned_down(text)


@pytest.mark.parametrize(
    "text", ["requests per second", "load by host", "on which day was the load highest", "cpu on monday", "top 3 hosts"]
)
def test_what_can_be_answered_is_not(text: str) -> None:
    assert turned_down(text) == ""
