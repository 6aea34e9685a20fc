from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from lib.app import App
from lib.audit.log import Filter
from lib.auth.actor import GUEST, Actor, Role
from lib.db.tables import Source, SourceKind, Task, TaskStatus
from lib.errors import Forbidden, Invalid, NotFound
from lib.forecast.capacity import State
from lib.frames import Block, Window, to_ms
from lib.services import forecasting
from lib.settings import TaskMode

ANALYST = Actor("ann", Role.ANALYST)
VIEWER = Actor("vic", Role.VIEWER)
DAY_MS = 86_400_000


@pytest.fixture
def running(app: App) -> Iterator[App]:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    yield app


def stamps(app: App, days: float, step_s: int = 600, ahead: float = 0) -> np.ndarray:
    end = to_ms(app.clock()) + int(ahead * DAY_MS)
    return end - step_s * 1000 * np.arange(int(days * 86_400 / step_s), 0, -1, dtype=np.int64)


def rhythm(ts: np.ndarray, seed: int = 0) -> np.ndarray:
    return 50 + 20 * np.sin(2 * np.pi * (ts % DAY_MS) / DAY_MS) + np.random.default_rng(seed).normal(0, 2, len(ts))


def store(app: App, metric: str, ts: np.ndarray, values: np.ndarray, host: str = "web-1", source_id: int = 1) -> int:
    app.samples.append(source_id, [Block(metric, {"instance": host}, ts, np.asarray(values, dtype=float))])
    return app.samples.find(metric=metric, host=host)[0].id


def queue(app: App, days: float = 10) -> int:
    ts = stamps(app, days)
    return store(app, "queue_depth", ts, rhythm(ts))


def made(app: App, *ids: int, **asked) -> Task:
    asked = {"prophet": False, **asked}
    return app.runner.wait(app.forecasting.forecast(ANALYST, list(ids), **asked).id, 60)


def test_forecast_is_made_kept_and_shown(running: App) -> None:
    series_id = queue(running)
    task = made(running, series_id)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    one = running.forecasting.latest(VIEWER, series_id)
    assert one is not None and (one.made_by, one.step_s, one.steps) == ("ann", 600, 144)
    assert one.start_at == running.clock()
    view = running.forecasting.view(VIEWER, one.id)
    assert view.card.vs_seasonal < 0.9 and view.outcome is None
    expected = 50 + 20 * np.sin(2 * np.pi * np.arange(0.5, 144) / 144 + np.pi)  # begins at noon
    assert np.abs(view.points["middle"] - expected).mean() < 3
    assert view.past[0][-1] == to_ms(one.start_at) - 300_000
    (entry,) = running.audit.entries(Filter(action="forecast.make"))
    assert entry.actor == "ann" and "queue_depth" in entry.target


def test_in_a_child_process_prophet_is_tried_too(app: App) -> None:
    app.runner.start()
    series_id = queue(app)
    task = made(app, series_id, prophet=True, country="de")
    assert task.status == TaskStatus.SUCCEEDED, task.error
    one = app.forecasting.latest(VIEWER, series_id)
    (told,) = [c for c in one.card["candidates"] if c["name"] == "Prophet"]
    assert told["error"] is not None
    assert one.asked["country"] == "DE"
    assert any("Holidays" in c for c in one.card["cautions"])  # ten days say nothing of them


def test_counter_is_forecast_as_rate(running: App) -> None:
    ts = stamps(running, 10)
    series_id = store(running, "requests_total", ts, np.cumsum(rhythm(ts)) * 600)
    made(running, series_id)
    view = running.forecasting.view(VIEWER, running.forecasting.latest(VIEWER, series_id).id)
    assert view.unit == "/s" and 25 < view.points["middle"].mean() < 75


def test_what_came_is_held_against_it(running: App, clock) -> None:
    series_id = queue(running)
    made(running, series_id)
    one = running.forecasting.latest(VIEWER, series_id)
    clock.advance(hours=12)
    later = stamps(running, 0.5)
    store(running, "queue_depth", later, rhythm(later, 1))
    half = running.forecasting.view(VIEWER, one.id)
    assert half.outcome.steps == 72 and half.outcome.against_naive < 0.5
    clock.advance(hours=14)
    later = stamps(running, 26 / 24)
    store(running, "queue_depth", later, rhythm(later, 2))
    running.forecasting.maintain()
    kept = running.forecasting.latest(VIEWER, series_id)
    assert kept.outcome["steps"] == 144 and kept.outcome["within80"] > 0.5
    # The samples may go; how it did stays.
    ((again, outcome),) = running.forecasting.outcomes(VIEWER, series_id)
    assert again.id == one.id and outcome.steps == 144
    table = running.forecasting.export(VIEWER, one.id).decode().splitlines()
    assert table[0] == "ts,low95,low80,middle,high80,high95,actual"
    assert len(table) == 145 and not table[1].endswith(",")


def test_daily_forecast_is_made_anew_every_day_and_not_more_often(running: App, clock) -> None:
    series_id = queue(running)
    kept = running.forecasting.keep(ANALYST, series_id, horizon=timedelta(hours=6), prophet=False)

    def renewed() -> int:
        running.forecasting.maintain()
        task = running.forecasting.last_task(VIEWER, series_id)
        assert running.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
        return len(running.forecasting.made(VIEWER, series_id))

    assert renewed() == 1
    clock.advance(hours=2)
    assert renewed() == 1
    clock.advance(hours=23)
    assert renewed() == 2
    newest = running.forecasting.latest(VIEWER, series_id)
    assert (newest.standing_id, newest.made_by) == (kept, "system")
    ((row, series),) = running.forecasting.standing(VIEWER)
    assert (row.id, series.id, row.created_by) == (kept, series_id, "ann")
    running.forecasting.drop(ANALYST, kept)
    assert running.forecasting.standing(VIEWER) == []
    with pytest.raises(NotFound):
        running.forecasting.drop(ANALYST, kept)


def test_old_series_is_forecast_from_where_it_ended_and_says_so(running: App, clock) -> None:
    series_id = queue(running)
    ended = running.clock()
    clock.advance(days=2)
    made(running, series_id)
    one = running.forecasting.latest(VIEWER, series_id)
    assert one.start_at == ended
    assert any("old; the forecast begins there" in c for c in one.card["cautions"])


def test_window_is_what_is_learnt_from(running: App) -> None:
    series_id = queue(running, days=14)
    end = running.clock() - timedelta(days=2)
    made(running, series_id, window=Window(end - timedelta(days=5), end))
    one = running.forecasting.latest(VIEWER, series_id)
    assert one.start_at == end
    view = running.forecasting.view(VIEWER, one.id)
    assert view.outcome.steps == 144  # it had come already


def test_limit_is_answered_from_the_stored_forecast(running: App) -> None:
    ts = stamps(running, 20)
    falling = 100e9 - 2e9 * (ts - ts[0]) / DAY_MS + np.random.default_rng(0).normal(0, 1e8, len(ts))
    series_id = store(running, "node_filesystem_avail_bytes", ts, falling)
    made(running, series_id, horizon=timedelta(days=10))
    service = running.forecasting
    view = service.view(VIEWER, service.latest(VIEWER, series_id).id)
    found = service.crossing(VIEWER, view, 50e9)
    assert found.state is State.CROSSES and found.side == "below"
    days = (found.likely_ms - to_ms(running.clock())) / DAY_MS
    assert days == pytest.approx(5, abs=1)
    assert found.earliest_ms <= found.likely_ms <= (found.latest_ms or 2**62)
    assert service.crossing(VIEWER, view, 1e9).state is State.NOT_WITHIN
    assert service.crossing(VIEWER, view, 70e9, "below").state is State.ALREADY
    for limit, side in ((float("nan"), None), (5.0, "sideways")):
        with pytest.raises(Invalid):
            service.crossing(VIEWER, view, limit, side)


def test_series_nothing_can_be_said_of_are_refused_in_words(running: App) -> None:
    ts = stamps(running, 10)
    cases = {
        "one_sample": (ts[-1:], np.ones(1), "one sample"),
        "all_nan": (ts, np.full(len(ts), np.nan), "all NaN or infinite"),
        "too_few": (ts[-10:], np.ones(10), "at least 24"),
        "ancient": (ts[:1], np.full(1, np.inf), "at least 24"),
    }
    for metric, (moments, values, words) in cases.items():
        task = made(running, store(running, metric, moments, values))
        assert task.status == TaskStatus.FAILED and words in task.error, (metric, task.error)
    task = made(running, store(running, "constant", ts, np.full(len(ts), 3.0)))
    assert task.status == TaskStatus.SUCCEEDED
    short = made(running, store(running, "short", ts[-50:], rhythm(ts[-50:])), horizon=timedelta(days=30))
    assert short.status == TaskStatus.FAILED and ("shorter horizon" in short.error or "at least" in short.error)


def test_of_several_series_those_that_can_are_forecast(running: App) -> None:
    ts = stamps(running, 10)
    good = queue(running)
    bad = store(running, "queue_depth", ts[-3:], np.ones(3), host="web-2")
    task = running.forecasting.forecast(ANALYST, metric="queue_depth", prophet=False)
    done = running.runner.wait(task.id, 60)
    assert done.status == TaskStatus.SUCCEEDED
    assert [one["series_id"] for one in done.result["made"]] == [good]
    assert [one["series_id"] for one in done.result["refused"]] == [bad]
    assert running.forecasting.latest(VIEWER, bad) is None


def test_metric_of_too_many_series_asks_for_a_choice(app: App) -> None:
    ts = stamps(app, 0.01)
    blocks = [Block("wide", {"instance": f"h{i}"}, ts, np.ones(len(ts))) for i in range(forecasting.MOST_SERIES + 1)]
    app.samples.append(1, blocks)
    with pytest.raises(Invalid, match="25 series.*choose a host or a series"):
        app.forecasting.forecast(ANALYST, metric="wide")
    assert app.forecasting.forecast(ANALYST, metric="wide", host="h3").params["series_ids"]


def test_who_may_not_and_what_means_nothing_is_refused(app: App) -> None:
    series_id = queue(app, days=1)
    service = app.forecasting
    for actor in (VIEWER, GUEST):
        for call in (
            lambda a: service.forecast(a, [series_id]),
            lambda a: service.keep(a, series_id),
            lambda a: service.drop(a, 1),
            lambda a: service.remove(a, 1),
        ):
            with pytest.raises(Forbidden):
                call(actor)
    for asked in ({"horizon": timedelta(seconds=1)}, {"horizon": timedelta(days=4000)}, {"country": "Atlantis"}):
        with pytest.raises(Invalid):
            service.forecast(ANALYST, [series_id], **asked)
    with pytest.raises(Invalid, match="Name the series"):
        service.forecast(ANALYST)
    for call in (lambda: service.forecast(ANALYST, [999]), lambda: service.forecast(ANALYST, metric="none")):
        with pytest.raises(NotFound):
            call()
    for call in (
        lambda: service.view(VIEWER, 9),
        lambda: service.remove(ANALYST, 9),
        lambda: service.export(VIEWER, 9),
    ):
        with pytest.raises(NotFound):
            call()
    assert service.latest(VIEWER, 999) is None and service.outcomes(VIEWER, 999) == []


def test_twice_asked_is_one_task(app: App) -> None:
    series_id = queue(app, days=1)
    first = app.forecasting.forecast(ANALYST, [series_id])
    assert app.forecasting.forecast(ANALYST, [series_id]).id == first.id
    assert app.forecasting.forecast(ANALYST, [series_id], horizon=timedelta(hours=6)).id != first.id


def test_forecasts_go_with_their_source_also_while_one_is_made(running: App) -> None:
    with running.database.session() as session:
        source = Source(name="prod", kind=SourceKind.PROMETHEUS)
        session.add(source)
    ts = stamps(running, 10)
    series_id = store(running, "queue_depth", ts, rhythm(ts), source_id=source.id)
    made(running, series_id)
    running.forecasting.keep(ANALYST, series_id)
    running.collection.remove(Actor("root", Role.ADMIN), source.id)
    assert running.forecasting.made(VIEWER) == [] and running.forecasting.standing(VIEWER) == []
    running.forecasting.maintain()
    values = {
        "series_id": series_id,
        "start_ms": 0,
        "step_s": 600,
        "steps": 1,
        "model": "naive",
        "last": 1.0,
        "card": {},
    }
    running.forecasting._receive({"by": "ann", "standing": {}}, running.settings.data_dir / "gone", values)
    assert running.forecasting.made(VIEWER) == []


def test_removed_forecast_is_gone(running: App) -> None:
    series_id = queue(running)
    made(running, series_id)
    running.forecasting.remove(ANALYST, running.forecasting.latest(VIEWER, series_id).id)
    assert running.forecasting.latest(VIEWER, series_id) is None


def test_horizon_longer_than_the_history_is_foreseen_from_all_of_it(running: App) -> None:
    ts = stamps(running, 10)
    falling = 100e9 - 3e9 * (ts - ts[0]) / DAY_MS + np.random.default_rng(0).normal(0, 1e9, len(ts))
    series_id = store(running, "node_filesystem_avail_bytes", ts, falling)
    made(running, series_id, horizon=timedelta(days=20))
    view = running.forecasting.view(VIEWER, running.forecasting.latest(VIEWER, series_id).id)
    assert view.card.model != "naive" and any("could be tried" in c for c in view.card.cautions)
    likely = running.forecasting.crossing(VIEWER, view, 30e9).likely_ms
    assert (likely - to_ms(running.clock())) / DAY_MS == pytest.approx(40 / 3, abs=1)


def test_samples_of_the_unfinished_step_are_left_out(running: App, clock) -> None:
    series_id = queue(running)
    clock.advance(minutes=7)
    store(running, "queue_depth", np.array([to_ms(clock()) - 60_000]), np.array([1e6]))
    made(running, series_id)
    view = running.forecasting.view(VIEWER, running.forecasting.latest(VIEWER, series_id).id)
    assert view.made.last < 100 and view.points["ts"][0] < pd.Timestamp(clock())
