"""Time expressions: each becomes the UTC window a person means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.times import LOOKBACK, TimeKind, find_all, iso, window_of
from lib.frames import Window

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)  # a Saturday


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("yesterday", "2026-03-13", "2026-03-14"),
        ("today", "2026-03-14", "2026-03-14T12:00"),
        ("the day before yesterday", "2026-03-12", "2026-03-13"),
        ("last 24 hours", "2026-03-13T12:00", "2026-03-14T12:00"),
        ("in the past 90 minutes", "2026-03-14T10:30", "2026-03-14T12:00"),
        ("the last hour", "2026-03-14T11:00", "2026-03-14T12:00"),
        ("last 7d", "2026-03-07T12:00", "2026-03-14T12:00"),
        ("last week", "2026-03-02", "2026-03-09"),
        ("the past week", "2026-03-07T12:00", "2026-03-14T12:00"),
        ("this week", "2026-03-09", "2026-03-14T12:00"),
        ("last month", "2026-02-01", "2026-03-01"),
        ("this month", "2026-03-01", "2026-03-14T12:00"),
        ("yesterday 14:00 to 16:00", "2026-03-13T14:00", "2026-03-13T16:00"),
        ("between 2pm and 4pm yesterday", "2026-03-13T14:00", "2026-03-13T16:00"),
        ("between 2 and 4pm yesterday", "2026-03-13T14:00", "2026-03-13T16:00"),
        ("yesterday from 23:00 to 01:00", "2026-03-13T23:00", "2026-03-14T01:00"),
        ("14:00 to 16:00", "2026-03-13T14:00", "2026-03-13T16:00"),
        ("from 9:00 to 10:30 utc", "2026-03-14T09:00", "2026-03-14T10:30"),
        ("last Tuesday", "2026-03-10", "2026-03-11"),
        ("on Saturday", "2026-03-14", "2026-03-14T12:00"),
        ("last Saturday", "2026-03-07", "2026-03-08"),
        ("on 2026-03-01", "2026-03-01", "2026-03-02"),
        ("2026-03-01 to 2026-03-03", "2026-03-01", "2026-03-04"),
        ("2026-03-13T10:00:00Z/2026-03-13T11:30:00Z", "2026-03-13T10:00", "2026-03-13T11:30"),
        ("from Monday to Wednesday", "2026-03-09", "2026-03-12"),
        ("March 3rd", "2026-03-03", "2026-03-04"),
        ("on 5 December", "2025-12-05", "2025-12-06"),
        ("in February", "2026-02-01", "2026-03-01"),
        ("december 2025", "2025-12-01", "2026-01-01"),
        ("since 10:00", "2026-03-14T10:00", "2026-03-14T12:00"),
        ("since 18:00", "2026-03-13T18:00", "2026-03-14T12:00"),
        ("since yesterday at 18:00", "2026-03-13T18:00", "2026-03-14T12:00"),
        ("since Monday", "2026-03-09", "2026-03-14T12:00"),
        ("this morning", "2026-03-14T06:00", "2026-03-14T12:00"),
        ("yesterday evening", "2026-03-13T18:00", "2026-03-14"),
        ("last night", "2026-03-13T18:00", "2026-03-14T06:00"),
        ("last weekend", "2026-03-07", "2026-03-09"),
        ("3 days ago", "2026-03-11", "2026-03-12"),
        ("yesterday before 10:00", "2026-03-13", "2026-03-13T10:00"),
        ("from 6 March 08:00 to 6 March 20:00", "2026-03-06T08:00", "2026-03-06T20:00"),
        ("between 22:00 yesterday and 06:00 today", "2026-03-13T22:00", "2026-03-14T06:00"),
        ("the previous week", "2026-03-02", "2026-03-09"),
        ("since Monday morning", "2026-03-09T06:00", "2026-03-14T12:00"),
        ("the night from Monday to Tuesday", "2026-03-09T18:00", "2026-03-10T06:00"),
        ("in the first week of March", "2026-03-01", "2026-03-08"),
        ("the last week of February", "2026-02-22", "2026-03-01"),
        ("a couple of hours", None, None),
    ],
)
def test_span_is_what_a_person_means(text: str, start: str | None, end: str | None) -> None:
    window = window_of(f"load {text} on web-03", NOW)
    assert window == (Window(at(start), at(end)) if start and end else None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("at 14:00 yesterday", "2026-03-13T14:00"),
        ("yesterday at 9am", "2026-03-13T09:00"),
        ("at noon", "2026-03-14T12:00"),
        ("at 23:00", "2026-03-13T23:00"),
        ("2 hours ago", "2026-03-14T10:00"),
        ("2026-03-12 08:15", "2026-03-12T08:15"),
    ],
)
def test_moment_looks_back_as_an_instant_query_does(text: str, moment: str) -> None:
    (found,) = find_all(text, NOW)
    assert found.kind is TimeKind.MOMENT and found.window is not None
    assert found.window.start == at(moment) - LOOKBACK
    assert abs(found.window.end - at(moment)) <= timedelta(milliseconds=1)


@pytest.mark.parametrize("text", ["tomorrow", "next week", "on 2026-04-01", "in 2027-01-01", "on march 20", "tonight"])
def test_what_is_to_come_has_no_window(text: str) -> None:
    assert [f.kind for f in find_all(text, NOW)] == [TimeKind.FUTURE]


@pytest.mark.parametrize("text", ["2026-02-30", "03/04/2026", "at 25:99", "2026-13-01 to 2026-14-01"])
def test_what_is_no_date_is_unclear(text: str) -> None:
    assert [f.kind for f in find_all(text, NOW)] == [TimeKind.UNCLEAR]


@pytest.mark.parametrize(
    "text", ["node_load1", "p95 of load", "web-03", "top 3 hosts", "may I ask", "node_disk_12:00x"]
)
def test_names_and_numbers_are_no_times(text: str) -> None:
    assert find_all(text, NOW) == []


def test_two_expressions_are_both_found() -> None:
    assert [f.text for f in find_all("cpu today vs yesterday", NOW)] == ["today", "yesterday"]


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2026, 3, 14)),  # noqa: DTZ001 (hypothesis takes bounds without a zone)
    st.timedeltas(timedelta(milliseconds=1), timedelta(days=40)),
)
def test_written_window_reads_back(start: datetime, span: timedelta) -> None:
    first = start.replace(microsecond=start.microsecond // 1000 * 1000, tzinfo=UTC)
    last = min(first + timedelta(milliseconds=span // timedelta(milliseconds=1)), NOW)
    if first < last:
        assert window_of(iso(Window(first, last)), NOW) == Window(first, last)


@given(st.text(max_size=80))
def test_no_text_breaks_it(text: str) -> None:
    for found in find_all(text, NOW):
        assert found.window is None or found.window.end <= NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("13/3/2026", "2026-03-13", "2026-03-14"),
        ("3/13/26", "2026-03-13", "2026-03-14"),
        ("on 10/03/2026", "2026-03-10", "2026-03-11"),
        ("13.3.2026", "2026-03-13", "2026-03-14"),
        ("2026/03/10", "2026-03-10", "2026-03-11"),
        ("from 1 to 5 March", "2026-03-01", "2026-03-06"),
        ("March 1-5", "2026-03-01", "2026-03-06"),
        ("on the 11th", "2026-03-11", "2026-03-12"),
        ("the week before last", "2026-02-23", "2026-03-02"),
    ],
)
def test_dates_of_many_countries_are_read(text: str, start: str, end: str) -> None:
    window = window_of(text, datetime(2026, 3, 14, 12, tzinfo=UTC))
    assert window is not None
    assert (f"{window.start:%Y-%m-%d}", f"{window.end:%Y-%m-%d}") == (start, end)


def test_a_date_that_may_be_two_days_is_asked_back() -> None:
    (found,) = find_all("on 03/04/2026", datetime(2026, 3, 14, 12, tzinfo=UTC))
    assert found.kind is TimeKind.UNCLEAR
