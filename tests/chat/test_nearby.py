"""Questions offered instead of one that was not understood: close, answerable, and about all that was said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lib.chat import nearby
from lib.chat.dialog import resolve
from lib.chat.question import Vocabulary, parse
from lib.chat.request import Context, Request

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
HOSTS = ["web-01", "web-02", "db-01"]
KNOWN = Vocabulary(
    {"node_load1": "gauge", "node_cpu_seconds_total": "counter", "queue_depth": "gauge"}, HOSTS, lambda metric, host: []
)


def understood(question: str) -> bool:
    return isinstance(resolve(parse(question, KNOWN, NOW), Context(), KNOWN, NOW), Request)


def offered(question: str) -> list[str]:
    return nearby.alternatives(question, KNOWN, NOW, understood)


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("zorp the average load of web-01 yesterday", "average load on web-01 yesterday"),
        ("blorbed peak load on db-01 this week when", "highest load on db-01 this week, and when?"),
        ("zorp a forecast for node_load1 on web-02", "make a forecast of node_load1 for web-02"),
        ("were gaps flurbed on web-01 yesterday", "were there gaps on web-01 yesterday?"),
        ("worst anomaly flurbed this week", "what was the worst anomaly this week?"),
        ("glorp load above 6 on db-01 today how often", "how often was load on db-01 above 6 today?"),
    ],
)
def test_the_question_that_was_meant_is_among_those_offered(question: str, meant: str) -> None:
    assert meant in offered(question)


def test_only_questions_that_are_understood_are_offered() -> None:
    assert nearby.alternatives("zorp the average load of web-01", KNOWN, NOW, lambda question: False) == []
    assert all(understood(one) for one in offered("zorp the average load of web-01 yesterday"))


def test_each_offer_keeps_every_host_time_and_number() -> None:
    for one in offered("zorp load on web-01 above 6 in the last 3 hours"):
        assert "web-01" in one and "6" in one and "last 3 hours" in one
    for one in offered("zorp load web-01 db-01 yesterday"):
        assert "web-01" in one and "db-01" in one and "yesterday" in one


@pytest.mark.parametrize("question", ["", "zorp", "?" * 2000, "<img src=x>", "a" * 2000, "\\g<1> \\1"])
def test_nothing_is_offered_where_nothing_is_close(question: str) -> None:
    assert offered(question) == []


def test_at_most_three_are_offered_and_none_twice() -> None:
    made = offered("zorp anomalies web-01 yesterday")
    assert 0 < len(made) <= 3 and len(set(made)) == len(made)
