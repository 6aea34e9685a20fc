from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lib.app import App
from lib.audit.log import Filter
from lib.auth.actor import GUEST, Actor, Role
from lib.db.tables import AnnotationKind
from lib.errors import Forbidden, Invalid, NotFound
from lib.frames import Window
from lib.services.annotations import muting

ANALYST = Actor("ann", Role.ANALYST)
VIEWER = Actor("vic", Role.VIEWER)
HOUR = timedelta(hours=1)
MONDAY = datetime(2026, 3, 9, 3, tzinfo=UTC)


def test_mark_is_seen_by_everybody_in_its_window_and_group_only(app: App) -> None:
    made = app.detection.annotations.add(ANALYST, "deploy", MONDAY, text="v2", source_id=1, host="web-01")
    assert (made.created_by, made.created_at) == ("ann", app.clock())
    window = Window(MONDAY - HOUR, MONDAY + HOUR)
    (mark,) = app.detection.annotations.marks(VIEWER, window, 1, "web-01")
    assert (mark.kind, mark.start, mark.end, mark.text, mark.mutes) == ("deploy", MONDAY, None, "v2", False)
    assert app.detection.annotations.marks(VIEWER, window, 1, "web-02") == []
    assert app.detection.annotations.marks(VIEWER, window, 2, "web-01") == []
    assert app.detection.annotations.marks(VIEWER, Window(MONDAY + HOUR, MONDAY + 2 * HOUR)) == []


def test_weekly_maintenance_mutes_each_week_from_its_first_on(app: App) -> None:
    add = app.detection.annotations.add
    add(ANALYST, "maintenance", MONDAY, MONDAY + HOUR, repeat="weekly", text="log rotation")
    marks = app.detection.annotations.between(Window(MONDAY - timedelta(days=30), MONDAY + timedelta(days=30)))
    assert [m.start - MONDAY for m in marks] == [timedelta(weeks=n) for n in range(5)]
    third = MONDAY + timedelta(weeks=2)
    assert muting(marks, 7, "any", third + HOUR / 2, third + 2 * HOUR) is not None
    assert muting(marks, 7, "any", third + 2 * HOUR, third + 3 * HOUR) is None
    assert muting(marks, 7, "any", MONDAY - timedelta(weeks=1), MONDAY - timedelta(weeks=1) + HOUR) is None


def test_window_in_the_middle_of_a_long_repeating_span_shows_it(app: App) -> None:
    app.detection.annotations.add(ANALYST, "expected", MONDAY, MONDAY + 20 * HOUR, repeat="daily")
    inside = MONDAY + timedelta(days=50, hours=10)
    (mark,) = app.detection.annotations.between(Window(inside, inside + HOUR))
    assert mark.start == MONDAY + timedelta(days=50)


@pytest.mark.parametrize(
    ("kind", "end", "more", "words"),
    [
        ("party", MONDAY + HOUR, {}, "none of"),
        ("maintenance", None, {}, "needs an end"),
        ("expected", None, {}, "needs an end"),
        ("note", MONDAY - HOUR, {}, "after the start"),
        ("maintenance", MONDAY + timedelta(days=91), {}, "90 days"),
        ("maintenance", MONDAY + timedelta(days=2), {"repeat": "daily"}, "shorter"),
        ("note", None, {"repeat": "hourly"}, "repetition"),
        ("note", None, {"text": "x" * 501}, "501"),
        ("note", (MONDAY + HOUR).replace(tzinfo=None), {}, "time zone"),
    ],
)
def test_mark_that_makes_no_sense_is_refused(app: App, kind: str, end: datetime | None, more: dict, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        app.detection.annotations.add(ANALYST, kind, MONDAY, end, **more)
    assert app.detection.annotations.all(VIEWER) == []


def test_marking_takes_the_right_to_label_and_is_written_down(app: App) -> None:
    for stranger in (VIEWER, GUEST):
        with pytest.raises(Forbidden):
            app.detection.annotations.add(stranger, "note", MONDAY)
    made = app.detection.annotations.add(ANALYST, AnnotationKind.NOTE, MONDAY, text="<b>x</b>\0")
    assert made.text == "<b>x</b>"
    with pytest.raises(Forbidden):
        app.detection.annotations.remove(VIEWER, made.id or 0)
    app.detection.annotations.remove(ANALYST, made.id or 0)
    with pytest.raises(NotFound):
        app.detection.annotations.remove(ANALYST, made.id or 0)
    actions = [e.action for e in app.audit.entries(Filter())]
    assert {"annotation.add", "annotation.remove"} <= set(actions)
