from __future__ import annotations

import csv
import io
from datetime import timedelta

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import SYSTEM, Actor, Role
from lib.errors import Invalid
from lib.frames import Block, Window, to_ms
from lib.profiling.changes import Test
from lib.services import changes as service
from lib.services.changes import Changed

VIEWER = Actor("vera", Role.VIEWER)
HOUR = timedelta(hours=1)
STEP_S = 60


def fill(app: App, days: int = 3, series: int = 30) -> np.ndarray:
    """Noise about 50 with an evening of twenty more that begins in the last hour of each day; counters beside it."""
    rng = np.random.default_rng(5)
    end = to_ms(app.clock())
    ts_ms = end - np.arange(days * 1440)[::-1] * STEP_S * 1000 - 1000
    evening = (end - ts_ms) % 86_400_000 < 3_600_000
    blocks = []
    for number in range(series):
        value = 50 + rng.normal(0, 1, ts_ms.size) + 20 * evening
        labels = {"instance": f"h{number:02}"}
        if number == 3:
            value[-60:] += 60
        if number == 4:
            value[-60:] = value[-61]
        kept = slice(None, -40) if number == 5 else slice(-50, None) if number == 6 else slice(None)
        blocks.append(Block("load", labels, ts_ms[kept], value[kept]))
        blocks.append(Block("work_total", labels, ts_ms, np.cumsum(np.maximum(value, 0))))
    app.samples.append(1, blocks)
    return ts_ms


def last_hour(app: App) -> Window:
    return Window.last(HOUR, app.clock())


def hosts(found: Changed, metric: str) -> dict[str, Test]:
    return {one.series.host: one.test for one in found.changes if one.series.metric == metric}


def test_changes_are_found_and_the_evening_every_series_has_is_not(app: App) -> None:
    fill(app)
    found = app.changes.compare(VIEWER, last_hour(app))
    assert found.earlier == (1, 2)
    assert found.compared == 60
    expected = {"h03": Test.LEVEL, "h04": Test.FLAT, "h05": Test.DISAPPEARED, "h06": Test.APPEARED}
    first = found.changes[: found.above]
    assert {one.series.host: one.test for one in first if one.series.metric == "load"} == expected
    # The counters of two of them go with them.
    assert {one.series.host: one.test for one in first if one.series.metric == "work_total"} == {
        "h03": Test.LEVEL,
        "h04": Test.FLAT,
    }


def test_without_earlier_days_the_evening_is_a_change(app: App) -> None:
    fill(app, days=1)
    found = app.changes.compare(VIEWER, last_hour(app))
    assert found.earlier == ()
    assert found.above > 20


def test_a_reason_names_both_figures_and_a_counter_is_a_rate(app: App) -> None:
    fill(app)
    found = app.changes.compare(VIEWER, last_hour(app), limit=1000)
    reasons = {(one.series.metric, one.series.host): one for one in found.changes}
    load, work = reasons["load", "h03"], reasons["work_total", "h03"]
    assert "from 50" in load.reason
    assert "to 130" in load.reason
    assert work.unit == "/s"
    assert work.now == pytest.approx(130 / STEP_S, rel=0.05)
    assert "Gone silent" in reasons["load", "h05"].reason
    assert "New" in reasons["load", "h06"].reason


def test_the_foremost_carry_their_course_and_that_of_the_day_before(app: App) -> None:
    fill(app)
    found = app.changes.compare(VIEWER, last_hour(app), drawn=2)
    one = found.changes[0]
    assert one.ts_ms.size == one.value.size == one.earlier.size
    assert one.ts_ms[0] >= to_ms(found.before.start)
    assert one.ts_ms[-1] < to_ms(found.window.end)
    assert np.isfinite(one.earlier).all()
    assert [change.ts_ms.size > 0 for change in found.changes[:3]] == [True, True, False]


def down(app: App, host: str, at: timedelta, many: int = 150, alive: int = 40) -> None:
    """A host whose series all end so long before now, each a second later than the one before, and one that goes on."""
    rng = np.random.default_rng(8)
    ts_ms = to_ms(app.clock()) - np.arange(900)[::-1] * 60_000 - 1000
    stopped = ts_ms[ts_ms <= to_ms(app.clock() - at)]
    blocks = [
        Block(f"gone_{n:03}", {"instance": host}, stopped + n * 50, rng.normal(5, 1, stopped.size)) for n in range(many)
    ]
    blocks += [Block(f"calm_{n}", {"instance": "alive"}, ts_ms, rng.normal(5, 1, ts_ms.size)) for n in range(alive)]
    app.samples.append(1, blocks)


def test_a_host_that_goes_down_is_one_event_with_its_moment_and_all_its_series(app: App) -> None:
    down(app, "web-03", timedelta(minutes=28))
    found = app.changes.compare(VIEWER, last_hour(app), limit=20, drawn=3)
    event = found.events[0]
    assert (event.owner, event.test, event.series) == (("", "web-03"), Test.DISAPPEARED, 150)
    assert event.at and abs(event.at - (app.clock() - timedelta(minutes=28))) < timedelta(minutes=1.1)
    assert len(event.changes) == service.MOST_MEMBERS and event.changes[0].ts_ms.size and event.score > found.chance
    assert len(found.changes) == 20  # the table keeps to series
    assert not any(one.series.host == "web-03" for other in found.events[1:] for one in other.changes)


def test_levels_of_a_host_that_jump_together_are_one_event_and_others_stay_apart(app: App) -> None:
    rng = np.random.default_rng(8)
    ts_ms = to_ms(app.clock()) - np.arange(900)[::-1] * 60_000 - 1000
    blocks = []
    for n in range(30):
        value = rng.normal(5, 1, ts_ms.size)
        value[-30:] += 40 if n < 6 else 0
        value[-52:] += 40 if n == 29 else 0
        blocks.append(Block(f"load_{n:02}", {"instance": "db-1" if n < 6 or n == 29 else f"h{n}"}, ts_ms, value))
    app.samples.append(1, blocks)
    found = app.changes.compare(VIEWER, last_hour(app), drawn=4)
    whole = next(one for one in found.events if one.series > 1)
    assert (whole.owner, whole.test) == (("", "db-1"), Test.LEVEL)
    assert {one.series.metric for one in whole.changes} == {f"load_{n:02}" for n in range(6)}
    assert whole.at and abs(whole.at - (app.clock() - timedelta(minutes=30))) <= timedelta(minutes=3)
    assert [one.changes[0].series.metric for one in found.events if one.series == 1][:1] == ["load_29"]


def test_chunks_and_pieces_change_nothing(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(app)
    whole = app.changes.compare(VIEWER, last_hour(app), limit=1000)
    monkeypatch.setattr(service, "CHUNK", 7)
    parts = app.changes.compare(VIEWER, last_hour(app), limit=1000)
    assert [(one.series.id, one.score, one.reason) for one in parts.changes] == [
        (one.series.id, one.score, one.reason) for one in whole.changes
    ]


def test_a_choice_of_host_compares_that_host_only(app: App) -> None:
    fill(app)
    found = app.changes.compare(VIEWER, last_hour(app), host="h03")
    assert found.series == 2
    assert {one.series.host for one in found.changes} == {"h03"}


def test_too_many_series_are_left_out_evenly_and_counted(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(app)
    monkeypatch.setattr(service, "MOST_SERIES", 10)
    found = app.changes.compare(VIEWER, last_hour(app))
    assert (found.series, found.left_out, found.compared) == (60, 50, 10)


def test_a_range_of_too_many_samples_leaves_series_out(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(app)
    monkeypatch.setattr(service, "MOST_SAMPLES", 6000)
    found = app.changes.compare(VIEWER, last_hour(app))
    assert found.samples <= 6000
    assert found.left_out > 0


def test_empty_store_one_sample_constants_and_nan_are_no_changes(app: App) -> None:
    empty = app.changes.compare(VIEWER, last_hour(app))
    assert (empty.series, empty.compared, empty.changes) == (0, 0, ())
    ts_ms = to_ms(app.clock()) - np.arange(300)[::-1] * 60_000 - 1000
    app.samples.append(
        1,
        [
            Block("one", {}, ts_ms[-1:], np.ones(1)),
            Block("constant", {}, ts_ms, np.full(300, 7.0)),
            Block("nothing", {}, ts_ms, np.full(300, np.nan)),
            Block("endless", {}, ts_ms, np.full(300, np.inf)),
        ],
    )
    found = app.changes.compare(VIEWER, last_hour(app))
    assert found.series == 4
    assert {one.series.metric for one in found.changes} <= {"one"}


@pytest.mark.parametrize(("span", "times"), [(timedelta(seconds=5), 4), (timedelta(days=40), 4), (HOUR, 0)])
def test_windows_that_make_no_sense_are_refused_with_a_word(app: App, span: timedelta, times: int) -> None:
    with pytest.raises(Invalid, match="choose|times as long"):
        app.changes.compare(SYSTEM, Window.last(span, app.clock()), times=times)


def test_export_is_a_csv_that_runs_no_formulas(app: App) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(300)[::-1] * 60_000 - 1000
    value = np.where(np.arange(300) < 250, 1.0, 9.0)
    app.samples.append(1, [Block("load", {"instance": "=cmd()"}, ts_ms, value)])
    rows = list(csv.DictReader(io.StringIO(app.changes.export(VIEWER, last_hour(app)).decode())))
    assert [row["host"] for row in rows] == ["'=cmd()"]
    assert float(rows[0]["score"]) > 1
    assert float(rows[0]["now"]) == 9.0
