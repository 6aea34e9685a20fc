"""Times to come, limits and commands: what a person means by them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lib.chat import limits, orders
from lib.chat.ahead import find_ahead
from lib.chat.anchors import find_all

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)  # a Saturday
MARKS = [
    {"start": datetime(2026, 3, 13, 15, 0, tzinfo=UTC), "end": None, "kind": "deploy", "host": "", "text": "web 4.1"},
    {"start": datetime(2026, 3, 12, 9, 0, tzinfo=UTC), "end": None, "kind": "deploy", "host": "db-01", "text": "db"},
]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("tomorrow at 14:00", "2026-03-15T14:00"),
        ("at 2pm tomorrow", "2026-03-15T14:00"),
        ("tomorrow", "2026-03-15"),
        ("in 6 hours", "2026-03-14T18:00"),
        ("next week", "2026-03-16"),
        ("on Monday at noon", "2026-03-16T12:00"),
        ("at 18:00 today", "2026-03-14T18:00"),
        ("2026-04-01", "2026-04-01"),
        ("the next 3 days", "2026-03-14T12:00"),
    ],
)
def test_future_time_begins_when_a_person_means(text: str, start: str) -> None:
    (found,) = find_ahead(text, NOW)
    assert found.window is not None and found.window.start == datetime.fromisoformat(start).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["cpu on web-01", "2024-01-01", ""])
def test_what_is_no_future_time_is_none(text: str) -> None:
    assert find_ahead(text, NOW) == []


@pytest.mark.parametrize(
    ("text", "hosts", "windows"),
    [
        ("peak cpu since the deploy", [], [("2026-03-13T15:00", "2026-03-14T12:00")]),
        ("peak cpu since the deploy of db", [], [("2026-03-12T09:00", "2026-03-14T12:00")]),
        (
            "cpu before and after the last deploy",
            [],
            [("2026-03-13T14:00", "2026-03-13T15:00"), ("2026-03-13T15:00", "2026-03-13T16:00")],
        ),
        (
            "load 30 minutes before and after 10:00",
            [],
            [("2026-03-14T09:30", "2026-03-14T10:00"), ("2026-03-14T10:00", "2026-03-14T10:30")],
        ),
    ],
)
def test_times_told_by_something_else(text: str, hosts: list[str], windows: list[tuple[str, str]]) -> None:
    found = [one.window for one in find_all(text, NOW, MARKS, hosts, False) if one.window is not None]
    spans = [(f"{one.start:%Y-%m-%dT%H:%M}", f"{one.end:%Y-%m-%dT%H:%M}") for one in found if one.start.year > 1970]
    assert spans == windows


@pytest.mark.parametrize(
    ("text", "value", "side"),
    [
        ("how often was cpu above 80% today", 80.0, "above"),
        ("below 2 GiB", 2.0 * 1024**3, "below"),
        ("latency more than 200 ms", 0.2, "above"),
        ("fell under 5", 5.0, "below"),
        ("greater than 1,500", 1500.0, "above"),
    ],
)
def test_limit_in_base_units(text: str, value: float, side: str) -> None:
    found = limits.find(text.lower(), ahead=False)
    assert found is not None and found.side == side
    assert limits.scaled(found.value, found.unit, ["cpu_busy"]) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("collect now", "collect"),
        ("could you please retrain the detector for db-02?", "detect"),
        ("label anomaly 3 as a false alarm", "label"),
        ("make a forecast of node_load1", "forecast"),
        ("mute web-01 for an hour", "silence"),
        ("which hosts had anomalies yesterday?", None),
        ("when was the last collection?", None),
        ("restart web-01", None),
    ],
)
def test_command_is_told_from_a_question(text: str, action: str | None) -> None:
    found = orders.find(text.rstrip("?"))
    assert (found.action if found else None) == action
