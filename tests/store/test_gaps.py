from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.frames import Window, from_ms
from lib.store.connection import Store
from lib.store.gaps import Gaps

NOW = from_ms(1_800_000_000_000)


def at(second: int):
    return from_ms(1_700_000_000_000) + timedelta(seconds=second)


def window(start: int, end: int) -> Window:
    return Window(at(start), at(end))


@pytest.fixture
def gaps(store: Store) -> Gaps:
    return Gaps(store)


def spans(gaps: Gaps, source_id: int | None = None) -> list[tuple[str, int, int, str]]:
    return [
        (row.target, round((row.start - at(0)).total_seconds()), round((row.end - at(0)).total_seconds()), row.reason)
        for row in gaps.open(source_id).itertuples()
    ]


def test_gaps_that_touch_become_one_with_the_newest_reason(gaps: Gaps) -> None:
    gaps.record(1, "up", window(0, 10), "source down")
    gaps.record(1, "up", window(20, 30), "source down")
    assert spans(gaps) == [("up", 0, 10, "source down"), ("up", 20, 30, "source down")]
    gaps.record(1, "up", window(10, 22), "too slow")
    assert spans(gaps) == [("up", 0, 30, "too slow")]


def test_gaps_of_other_targets_and_sources_are_left_alone(gaps: Gaps) -> None:
    gaps.record(1, "up", window(0, 10), "down")
    gaps.record(1, "load", window(5, 15), "down")
    gaps.record(2, "up", window(5, 15), "down")
    gaps.mark_filled(1, "up", window(0, 100), NOW)
    assert spans(gaps) == [("load", 5, 15, "down"), ("up", 5, 15, "down")]
    assert spans(gaps, 2) == [("up", 5, 15, "down")]


def test_filling_a_part_leaves_the_rest_open(gaps: Gaps) -> None:
    gaps.record(1, "up", window(0, 30), "down")
    gaps.mark_filled(1, "up", window(10, 20), NOW)
    assert spans(gaps) == [("up", 0, 10, "down"), ("up", 20, 30, "down")]
    history = gaps.history(1)
    assert history["start"].is_monotonic_decreasing
    filled = history[history["filled_at"].notna()]
    assert [(row.start, row.end, row.filled_at) for row in filled.itertuples()] == [(at(10), at(20), NOW)]


def test_what_was_filled_does_not_join_a_new_gap(gaps: Gaps) -> None:
    gaps.record(1, "up", window(0, 10), "down")
    gaps.mark_filled(1, "up", window(0, 10), NOW)
    gaps.record(1, "up", window(5, 8), "down again")
    assert spans(gaps) == [("up", 5, 8, "down again")]
    assert len(gaps.history(1)) == 2
    assert len(gaps.history(1, limit=1)) == 1


def test_an_empty_window_is_no_gap_and_no_gaps_is_an_empty_frame(gaps: Gaps) -> None:
    gaps.record(1, "up", window(5, 5), "down")
    assert list(gaps.open().columns) == ["source_id", "target", "start", "end", "reason"]
    assert gaps.open().empty and gaps.history(1).empty
    assert str(gaps.open()["start"].dtype) == "datetime64[ms, UTC]"


def test_hostile_text_survives(gaps: Gaps) -> None:
    text = "a'; DROP TABLE gaps; -- \0 ü \n"
    gaps.record(1, text, window(0, 10), text)
    assert spans(gaps) == [(text, 0, 10, text)]


edges = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.booleans(), edges), max_size=12))
def test_what_is_open_is_what_was_recorded_and_not_filled_since(store: Store, steps) -> None:
    gaps = Gaps(store)
    with store.write() as cursor:
        cursor.execute("DELETE FROM gaps")
    missing: set[int] = set()
    for recorded, (start, end) in steps:
        if recorded:
            gaps.record(1, "up", window(start, end), "down")
            missing |= set(range(start, end))
        else:
            gaps.mark_filled(1, "up", window(start, end), NOW)
            missing -= set(range(start, end))
    found = spans(gaps)
    assert {second for _, start, end, _ in found for second in range(start, end)} == missing
    assert sum(end - start for _, start, end, _ in found) == len(missing)
