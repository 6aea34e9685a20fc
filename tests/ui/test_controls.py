from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from streamlit.testing.v1 import AppTest

NOW = datetime(2026, 3, 14, 12, 0, 30, tzinfo=UTC)


def range_page() -> None:
    from datetime import UTC, datetime

    import streamlit as st

    from lib.ui import controls

    window = controls.window_picker(datetime(2026, 3, 14, 12, 0, 30, tzinfo=UTC))
    st.session_state["window"] = (window.start, window.end)


def pickers_page() -> None:
    import streamlit as st

    from lib.frames import Series
    from lib.ui import controls

    series = [Series(n, n, "m", {"cpu": "0"}, "web-1", "gauge") for n in (3, 4)]
    st.session_state["chosen"] = (
        controls.source_picker({1: "one", 2: "two"}),
        controls.metric_picker({"a": "", "b": ""}, default="b"),
        controls.host_picker(["web-1", "web-2"]),
        controls.label_picker({"cpu": ["0", "1"], "path": ["a=b"]}),
        controls.series_picker(series),
        controls.refresh_picker(),
    )


def window_of(query: dict[str, str]) -> tuple[datetime, datetime]:
    page = AppTest.from_function(range_page)
    for name, value in query.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page.session_state["window"]


def test_without_a_choice_the_last_day_is_shown() -> None:
    assert window_of({}) == (NOW - timedelta(days=1), NOW)


@pytest.mark.parametrize(("name", "span"), [("15m", timedelta(minutes=15)), ("30d", timedelta(days=30))])
def test_link_with_a_relative_range_restores_it(name: str, span: timedelta) -> None:
    assert window_of({"range": name}) == (NOW - span, NOW)


def test_link_with_an_absolute_range_restores_it_in_utc() -> None:
    start, end = window_of({"range": "custom", "range_from": "2026-03-10T10:07", "range_to": "2026-03-10T11:30"})
    assert start == datetime(2026, 3, 10, 10, 7, tzinfo=UTC)
    assert end == datetime(2026, 3, 10, 11, 30, tzinfo=UTC)


def test_range_turned_round_is_turned_back() -> None:
    start, end = window_of({"range": "custom", "range_from": "2026-03-10T11:00", "range_to": "2026-03-10T10:00"})
    assert (start.hour, end.hour) == (10, 11)


def test_half_an_absolute_range_is_completed() -> None:
    start, end = window_of({"range": "custom", "range_from": "2026-03-10T11:00"})
    assert (start.day, end) == (10, NOW)
    start, end = window_of({"range": "custom"})
    assert end - start == timedelta(days=1)


def test_range_of_no_length_gets_a_minute() -> None:
    start, end = window_of({"range": "custom", "range_from": "2026-03-10T11:00", "range_to": "2026-03-10T11:00"})
    assert end - start == timedelta(minutes=1)


@pytest.mark.parametrize(
    "query",
    [
        {"range": "<script>"},
        {"range": "custom", "range_from": "yesterday", "range_to": "9999-99-99"},
        {"range": ""},
        {"range_from": "2026-03-10T11:00"},
    ],
)
def test_nonsense_in_the_address_falls_back_to_the_default(query: dict[str, str]) -> None:
    start, end = window_of(query)
    assert end - start == timedelta(days=1)


def test_choosing_custom_starts_from_what_was_shown() -> None:
    page = AppTest.from_function(range_page).run()
    page.segmented_control(key="range").set_value("6h").run()
    page.segmented_control(key="range").set_value("custom").run()
    start, end = page.session_state["window"]
    assert end == NOW.replace(second=0)
    assert end - start == timedelta(hours=6)


def chosen(**query: object) -> tuple:
    page = AppTest.from_function(pickers_page)
    for name, value in query.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page.session_state["chosen"]


def test_pickers_start_with_everything() -> None:
    assert chosen() == (None, "b", None, {}, None, None)


def test_link_restores_every_choice() -> None:
    found = chosen(source="two", metric="a", host="web-2", label=["cpu=1", "path=a=b"], refresh="15s")
    assert found == (2, "a", "web-2", {"cpu": ["1"], "path": ["a=b"]}, None, 15)


def test_series_of_one_title_can_be_told_apart() -> None:
    assert chosen(series="m web-1")[4] == 3
    assert chosen(series="m web-1 #4")[4] == 4


@pytest.mark.parametrize(("metric", "toasts"), [("gone", 1), ("a", 0)])
def test_a_link_to_a_metric_that_is_gone_says_so(metric: str, toasts: int) -> None:
    page = AppTest.from_function(pickers_page)
    page.query_params["metric"] = metric
    page.run()
    assert len(page.toast) == toasts
    assert all("No metric gone is stored" in one.value for one in page.toast)
    assert not page.run().exception and len(page.toast) == 0, "said once"


def test_choices_nobody_offers_are_dropped() -> None:
    assert chosen(source="gone", metric="gone", host="gone", label="gone=1", refresh="1ms") == chosen()
