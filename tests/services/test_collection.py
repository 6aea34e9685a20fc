"""Sources, targets, schedule and backfill as a service, over a real server that speaks Prometheus' API."""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlmodel import select

from lib.app import build
from lib.auth.actor import GUEST, SYSTEM, Actor, Role
from lib.db.tables import AuditEntry, Detector, Source, SourceKind, Target, TaskStatus
from lib.errors import Conflict, Forbidden, Invalid, NotFound, SourceTooLarge, UrlRefused
from lib.frames import Block, Window, to_ms
from lib.prometheus.history import Part
from lib.prometheus.parse import Matrix
from lib.prometheus.query import Wanted
from lib.services.collection_jobs import _Meter, _time_left
from lib.services.collection_sources import Auth, SourceDraft
from lib.services.collection_status import SourceState
from lib.settings import Settings, TaskMode
from tests.faults.conftest import FaultServer
from tests.prometheus import remote

VIEWER = Actor("viewer", Role.VIEWER)
ANALYST = Actor("analyst", Role.ANALYST)
OPERATOR = Actor("operator", Role.OPERATOR)


@pytest.fixture
def server(clock):
    made = FaultServer(clock)
    now = clock()
    for name in ("node_load1", "up"):
        made.steady(name, now - timedelta(days=4), now + timedelta(hours=6), step_s=60)
    yield made
    made.stop()


@pytest.fixture
def source(app, server) -> Source:
    return app.collection.add(OPERATOR, SourceDraft("Main", server.url))


def count(app, source_id: int) -> int:
    return sum(s.count for s in app.samples.stats([s.id for s in app.samples.find(source_id=source_id)]))


@pytest.mark.parametrize("actor", [GUEST, VIEWER, ANALYST])
def test_only_operators_change_sources(app, source, server, actor) -> None:
    collection, draft = app.collection, SourceDraft("x", server.url)
    window = Window.last(timedelta(days=1), app.clock())
    for attempt in (
        lambda: collection.add(actor, draft),
        lambda: collection.update(actor, source.id, draft),
        lambda: collection.remove(actor, source.id),
        lambda: collection.remove_demo(actor),
        lambda: collection.enable(actor, source.id, False),
        lambda: collection.test(actor, draft),
        lambda: collection.draft(actor, source.id),
        lambda: collection.search_metrics(actor, source.id, ""),
        lambda: collection.count_expression(actor, source.id, "up"),
        lambda: collection.add_metrics(actor, source.id, ["up"]),
        lambda: collection.add_expression(actor, source.id, "a", "up"),
        lambda: collection.remove_target(actor, 1),
        lambda: collection.enable_target(actor, 1, False),
        lambda: collection.backfill(actor, source.id, window),
        lambda: collection.collect_now(actor),
    ):
        with pytest.raises(Forbidden):
            attempt()
    [status] = collection.status(actor)
    assert status.url == "" and collection.status(OPERATOR)[0].url == server.url


def test_changes_are_in_the_audit_log_without_secrets(app, server) -> None:
    made = app.collection.add(OPERATOR, SourceDraft("A", server.url, auth=Auth.BEARER, secret="hunter2"))
    app.collection.update(OPERATOR, made.id, SourceDraft("B", server.url, auth=Auth.BEARER, secret="hunter3"))
    app.collection.add_metrics(OPERATOR, made.id, ["up"])
    app.collection.enable(OPERATOR, made.id, False)
    app.collection.remove(OPERATOR, made.id)
    with app.database.session() as session:
        entries = session.exec(select(AuditEntry).order_by(AuditEntry.id)).all()
    actions = [e.action for e in entries if e.actor == "operator"]
    assert actions == ["source.add", "source.update", "target.add", "source.disable", "source.remove"]
    assert "hunter" not in str(entries)


def test_secret_is_sealed_and_stays_with_its_server(app, server) -> None:
    draft = SourceDraft("A", server.url, auth=Auth.BASIC, username="me", secret="hunter2")
    made = app.collection.add(OPERATOR, draft)
    stored = app.collection.sources.get(made.id)
    assert "hunter2" not in stored.secret and app.collection.sources.vault.open(stored.secret) == "hunter2"
    assert app.collection.draft(OPERATOR, made.id).secret is None
    kept = app.collection.draft(OPERATOR, made.id)
    app.collection.update(OPERATOR, made.id, kept)
    assert app.collection.sources.vault.open(app.collection.sources.get(made.id).secret) == "hunter2"
    for changed in (
        {"url": "http://127.0.0.1:1"},
        {"verify_tls": False},
        {"ca_file": "/tmp/mine.pem"},
        {"auth": Auth.BEARER},
    ):
        elsewhere = SourceDraft(**{**vars(kept), **changed})
        with pytest.raises(Invalid, match="again"):
            app.collection.update(OPERATOR, made.id, elsewhere)
        with pytest.raises(Invalid, match="again"):
            app.collection.test(OPERATOR, elsewhere, made.id)
    app.collection.update(OPERATOR, made.id, SourceDraft("A", server.url))
    assert app.collection.sources.get(made.id).secret == "", "no authentication, no secret"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"name": ""}, Invalid),
        ({"name": "x" * 65}, Invalid),
        ({"name": "a\x00b"}, Invalid),
        ({"url": "http://169.254.169.254"}, UrlRefused),
        ({"interval_s": 0.1}, Invalid),
        ({"interval_s": 1e9}, Invalid),
        ({"auth": Auth.BASIC, "username": ""}, Invalid),
        ({"auth": Auth.BASIC, "username": "a:b"}, Invalid),
        ({"auth": Auth.BEARER, "secret": "a\r\nX-Evil: 1"}, Invalid),
        ({"auth": Auth.BEARER, "secret": "ключ"}, Invalid),
        ({"tenant": "a\r\nb"}, Invalid),
        ({"tenant": "a", "tenant_header": "X Evil"}, Invalid),
        ({"tenant": "a", "tenant_header": "Host"}, Invalid),
    ],
)
def test_drafts_that_cannot_work_are_refused(app, changes, kind) -> None:
    draft = SourceDraft(**{"name": "ok", "url": "http://127.0.0.1:9090", **changes})
    with pytest.raises(kind):
        app.collection.add(OPERATOR, draft)
    assert not app.collection.status(OPERATOR)


def test_two_sources_cannot_have_one_name(app, source, server) -> None:
    with pytest.raises(Conflict, match="Main"):
        app.collection.add(OPERATOR, SourceDraft(" Main ", server.url))
    other = app.collection.add(OPERATOR, SourceDraft("Other", server.url))
    with pytest.raises(Conflict):
        app.collection.update(OPERATOR, other.id, SourceDraft("Main", server.url))


def test_removing_a_source_takes_everything_with_it_and_its_number_starts_clean(app, source, server) -> None:
    app.collection.add_metrics(OPERATOR, source.id, ["up"])
    app.collection.collect_now(OPERATOR, source.id)
    with app.database.session() as session:
        session.add(Detector(source_id=source.id, host="host-0"))
    assert count(app, source.id)
    app.collection.remove(OPERATOR, source.id)
    again = app.collection.add(OPERATOR, SourceDraft("Next", server.url))
    assert count(app, again.id) == 0 and app.samples.watermark(again.id, "up") is None
    with app.database.session() as session:
        assert not session.exec(select(Detector)).all() and not session.exec(select(Target)).all()
    with pytest.raises(NotFound):
        app.collection.remove(OPERATOR, 999)


def test_source_removed_while_it_is_collected_leaves_nothing_behind(app, source, server) -> None:
    app.collection.add_metrics(OPERATOR, source.id, ["up"])
    reading, go_on = threading.Event(), threading.Event()

    def wait(request) -> None:
        if request.is_read:
            reading.set()
            go_on.wait(10)
        request.answer()

    server.fault = wait
    run = threading.Thread(target=app.collection.collect_now, args=(SYSTEM, source.id))
    run.start()
    assert reading.wait(10)
    app.collection.remove(OPERATOR, source.id)
    go_on.set()
    run.join(10)
    assert not run.is_alive()
    assert not app.samples.find(source_id=source.id)
    assert app.collection._collector.gaps.open(source.id).empty


def test_test_tells_what_a_server_holds_and_keeps_nothing(app, server, clock) -> None:
    found = app.collection.test(OPERATOR, SourceDraft("x", server.url))
    assert found.metrics == 2 and found.version is None and found.series is None
    assert "The server does not tell its version." in found.notes
    assert abs(found.skew_s) < 2
    assert not app.collection.status(OPERATOR)


def test_search_finds_by_part_and_by_expression(app, source, server) -> None:
    server.steady("other", app.clock(), app.clock() + timedelta(hours=1), series=5)
    search = app.collection.search_metrics
    assert search(OPERATOR, source.id, "LOAD").metrics == (("node_load1", 2),)
    assert search(OPERATOR, source.id, "o.*r", regex=True).metrics == (("other", 5),)
    everything = search(OPERATOR, source.id, "", limit=2)
    assert len(everything.metrics) == 2 and everything.total == 3


def test_metric_above_the_cap_is_not_taken(app, source, server) -> None:
    server.steady("wide", app.clock(), app.clock() + timedelta(hours=1), series=30)
    with pytest.raises(SourceTooLarge, match="30 series"):
        app.collection.add_metrics(OPERATOR, source.id, ["up", "wide"], max_series=20)
    assert not app.collection.status(OPERATOR)[0].targets
    app.collection.add_metrics(OPERATOR, source.id, ["up", "wide"], max_series=30)
    app.collection.add_metrics(OPERATOR, source.id, ["up", "wide"])
    assert [t.name for t in app.collection.status(OPERATOR)[0].targets] == ["up", "wide"]


@pytest.mark.parametrize("name", ["", "1a", "a b", "a-b", 'a"', "é"])
def test_expression_needs_a_name_that_is_one(app, source, name) -> None:
    with pytest.raises(Invalid, match="cannot name a metric"):
        app.collection.add_expression(OPERATOR, source.id, name, "up")


def test_status_tells_lag_and_lateness(app, source, clock) -> None:
    assert app.collection.status(VIEWER)[0].state is SourceState.WAITING
    app.collection.add_metrics(OPERATOR, source.id, ["up"])
    app.collection.collect_now(OPERATOR)
    assert app.collection.status(VIEWER)[0].state is SourceState.OK
    clock.advance(minutes=3)
    late = app.collection.status(VIEWER)[0]
    assert late.state is SourceState.LATE and late.lag_s == 180
    app.collection.enable(OPERATOR, source.id, False)
    assert app.collection.status(VIEWER)[0].state is SourceState.OFF


def test_listeners_hear_of_new_samples_and_a_broken_one_harms_nobody(app, source, clock) -> None:
    heard = []

    def broken(source_id: int, window: Window) -> None:
        raise RuntimeError("boom")

    app.collection.on_collected[:] = [broken, lambda source_id, window: heard.append((source_id, window))]
    app.collection.add_metrics(OPERATOR, source.id, ["up"])
    app.collection.collect_now(OPERATOR)
    [(source_id, window)] = heard
    assert source_id == source.id and clock() - timedelta(hours=1) <= window.start < window.end <= clock()
    app.collection.collect_now(OPERATOR)
    assert len(heard) == 1, "nothing new, nothing said"


def test_tick_collects_what_is_due_in_the_background(app, source, server) -> None:
    app.collection.add_metrics(OPERATOR, source.id, ["up"])
    slow = threading.Event()
    server.fault = lambda request: (slow.wait(10), request.answer())
    began = time.monotonic()
    for _ in range(5):
        app.collection.tick()
    assert time.monotonic() - began < 2, "a tick never waits for a source"
    slow.set()
    until = time.monotonic() + 10
    while not count(app, source.id) and time.monotonic() < until:
        time.sleep(0.02)
        app.collection.tick()
    assert count(app, source.id)
    counting = [r for r in server.requests if "count" in r]
    assert len(counting) <= 3, "a source that runs, or was just collected, is not started again"


# --- backfill ------------------------------------------------------------------------------------


@pytest.fixture(params=[TaskMode.CHILD, TaskMode.THREAD])
def running(request, app, source):
    app.settings.task_mode = request.param
    app.runner.start()
    app.collection.add_metrics(OPERATOR, source.id, ["up", "node_load1"])
    return app


def test_backfill_fetches_the_span_and_tells_how_fast(running, source, clock) -> None:
    heard = []
    running.collection.on_collected[:] = [lambda *args: heard.append(args)]
    window = Window(clock() - timedelta(days=3), clock())
    task = running.collection.backfill(OPERATOR, source.id, window)
    done = running.runner.wait(task.id, 60)
    assert done.status == TaskStatus.SUCCEEDED, done.error
    assert done.result["samples"] == count(running, source.id) == 2 * 2 * 3 * 1440
    assert done.result["samples_per_s"] > 0 and done.progress == 1
    assert heard == [(source.id, window)]
    # The same again: all of it was acknowledged, nothing is asked for.
    again = running.runner.wait(running.collection.backfill(OPERATOR, source.id, window).id, 60)
    assert again.status == TaskStatus.SUCCEEDED and again.result["samples"] == 0


def test_backfill_comes_by_remote_read_where_there_is_one(running, source, server, clock) -> None:
    server.remote = remote.streams
    window = Window(clock() - timedelta(days=3), clock())
    done = running.runner.wait(running.collection.backfill(OPERATOR, source.id, window).id, 60)
    assert done.status == TaskStatus.SUCCEEDED, done.error
    assert done.result["remote_read"] is True
    assert not any("ms%5D" in path for path in server.requests), "nothing was asked for as text"
    assert done.result["samples"] == count(running, source.id) == 2 * 2 * 3 * 1440


def test_backfill_goes_on_where_it_broke_off(running, source, server, clock) -> None:
    window = Window(clock() - timedelta(days=3), clock())

    def breaks(request) -> None:
        if request.is_read and '"up"' in request.query["query"]:
            until = time.monotonic() + 20
            while not count(running, source.id) and time.monotonic() < until:
                time.sleep(0.02)  # the other target's history is stored first
            request.send(b"", 401)
        else:
            request.answer()

    server.fault = breaks
    failed = running.runner.wait(running.collection.backfill(OPERATOR, source.id, window).id, 60)
    assert failed.status == TaskStatus.FAILED and "credentials" in failed.error
    there = count(running, source.id)
    assert there
    server.fault = None
    server.requests.clear()
    done = running.runner.wait(running.collection.backfill(OPERATOR, source.id, window).id, 60)
    assert done.status == TaskStatus.SUCCEEDED
    assert count(running, source.id) == 2 * 2 * 3 * 1440
    assert done.result["samples"] == 2 * 2 * 3 * 1440 - there


def test_backfill_goes_on_by_itself_when_the_app_is_back(running, source, server, settings, clock) -> None:
    heard = threading.Event()

    def hangs(request) -> None:
        if request.is_read and '"up"' in request.query["query"]:
            heard.wait(20)
            request.send(b"", 503)
        else:
            request.answer()

    server.fault = hangs
    task = running.collection.backfill(OPERATOR, source.id, Window(clock() - timedelta(days=3), clock()))
    until = time.monotonic() + 20
    while not count(running, source.id) and time.monotonic() < until:
        time.sleep(0.02)
    there = count(running, source.id)
    running.stop()
    heard.set()
    server.fault = None
    back = build(settings, clock)
    try:
        back.runner.start()
        done = back.runner.wait(task.id, 60)
        assert done.status == TaskStatus.SUCCEEDED, done.error
        assert 0 < there < count(back, source.id) == 2 * 2 * 3 * 1440
    finally:
        back.stop()


def test_backfill_says_how_far_it_is_how_fast_and_how_long_it_will_take() -> None:
    said: list[tuple[float, str]] = []

    class Context:
        def progress(self, fraction: float, message: str = "") -> None:
            said.append((fraction, message))

        def log(self, message: str, **values: object) -> None: ...

    now = datetime(2026, 3, 1, tzinfo=UTC)
    meter = _Meter(Context())
    meter.started -= 10
    for name in ("up", "gone", "late"):
        meter.expect(name, 4)
    block = Block("up", {}, np.arange(1000), np.zeros(1000))
    meter.add(Part(Wanted("up"), Window(now, now + timedelta(days=2)), Matrix([block])))
    assert said[-1][0] == 2 / 12
    assert re.fullmatch(r"up, 2026-03-01: 1,000 samples, \d+ a second, about 5\d s left", said[-1][1])
    meter.skip("gone")
    meter.skip("late")
    meter.add(Part(Wanted("up"), Window(now, now + timedelta(days=2)), Matrix()))
    assert said[-1][0] == 1 and "left" not in said[-1][1]
    assert [_time_left(s) for s in (0.2, 200, 9000)] == ["about 1 s left", "about 3 min left", "about 2.5 h left"]


def test_backfill_is_cancelled_within_two_seconds(running, source, server, clock) -> None:
    asked = threading.Event()

    def hang(request) -> None:
        asked.set()
        time.sleep(6)

    server.fault = hang
    task = running.collection.backfill(OPERATOR, source.id, Window(clock() - timedelta(days=3), clock()))
    assert asked.wait(20)
    began = time.monotonic()
    running.runner.cancel(task.id)
    assert running.runner.wait(task.id, 5).status == TaskStatus.CANCELLED
    assert time.monotonic() - began < 2
    assert count(running, source.id) == 0


def test_removing_a_source_ends_its_backfill(running, source, server, clock) -> None:
    asked = threading.Event()
    server.fault = lambda request: (asked.set(), time.sleep(3), request.answer())
    task = running.collection.backfill(OPERATOR, source.id, Window(clock() - timedelta(days=3), clock()))
    assert asked.wait(20)
    running.collection.remove(OPERATOR, source.id)
    assert running.runner.wait(task.id, 5).status == TaskStatus.CANCELLED
    assert not running.samples.find(source_id=source.id)


def test_backfill_leaves_out_what_the_server_does_not_accept(running, source, server, clock) -> None:
    error = b'{"status":"error","error":"no such thing"}'
    server.fault = lambda r: r.send(error) if r.is_read and "node_load1" in r.query["query"] else r.answer()
    window = Window(clock() - timedelta(days=1), clock())
    done = running.runner.wait(running.collection.backfill(OPERATOR, source.id, window).id, 60)
    assert done.status == TaskStatus.SUCCEEDED
    assert "no such thing" in done.result["skipped"]["node_load1"] and done.result["targets"] == 1
    assert count(running, source.id) == 2 * 1440


def test_secret_is_in_no_task_row_or_file(running, source, server, clock) -> None:
    draft = SourceDraft("Main", server.url, auth=Auth.BEARER, secret="hunter2-hunter2")
    running.collection.update(OPERATOR, source.id, draft)
    window = Window(clock() - timedelta(days=1), clock())
    task = running.collection.backfill(OPERATOR, source.id, window)
    running.runner.wait(task.id, 60)
    assert server.headers[-1]["Authorization"] == "Bearer hunter2-hunter2"
    for path in running.settings.data_dir.rglob("*"):
        if path.is_file():
            assert b"hunter2" not in path.read_bytes(), path


def test_backfill_that_cannot_be_is_refused(app, source, clock) -> None:
    now = clock()
    with pytest.raises(Invalid, match="choose metrics first"):
        app.collection.backfill(OPERATOR, source.id, Window(now - timedelta(days=1), now))
    app.collection.add_metrics(OPERATOR, source.id, ["up"])
    for window in (Window(now, now), Window(now + timedelta(days=1), now + timedelta(days=2))):
        with pytest.raises(Invalid, match="empty or lies in the future"):
            app.collection.backfill(OPERATOR, source.id, window)
    with pytest.raises(Invalid, match="400"):
        app.collection.backfill(OPERATOR, source.id, Window(now - timedelta(days=999), now))
    first = app.collection.backfill(OPERATOR, source.id, Window(now - timedelta(days=1), now))
    assert app.collection.backfill(OPERATOR, source.id, Window(now - timedelta(days=1), now)).id == first.id
    assert first.params["end_ms"] == to_ms(now)


# --- defaults ------------------------------------------------------------------------------------


def test_demo_is_the_default_and_is_loaded_once(app, clock) -> None:
    app.settings.demo = True
    app.collection.ensure_defaults()
    statuses = {s.name: s for s in app.collection.status(VIEWER)}
    assert set(statuses) == {"Simulated fleet", "Recorded incident", "This machine"}
    assert all(s.state is SourceState.OK for s in statuses.values())
    fleet = statuses["Simulated fleet"].id
    loaded = count(app, fleet)
    assert loaded > 1_000_000
    newest = max(s.last for s in app.samples.stats([s.id for s in app.samples.find(source_id=fleet)]))
    assert clock() - timedelta(minutes=10) < newest <= clock(), "it ends now"
    app.collection.ensure_defaults()
    app.collection.collect_now(SYSTEM, fleet)
    assert count(app, fleet) == loaded
    incidents = app.collection.demo_incidents(VIEWER)
    assert len(incidents) > 12 and all(i.start <= clock() for _, i in incidents)

    clock.advance(hours=2)
    app.collection.collect_now(SYSTEM, fleet)
    assert count(app, fleet) > loaded, "time passes in the demo too"

    recorded = statuses["Recorded incident"].id
    before = app.samples.watermark(recorded, "history")
    size = count(app, recorded)
    clock.advance(days=8)
    app.collection.collect_now(SYSTEM)
    assert app.samples.watermark(recorded, "history") - before >= timedelta(days=8)
    assert count(app, recorded) == size, "moved, not added"
    oldest = min(s.first for s in app.samples.stats([s.id for s in app.samples.find(source_id=fleet)]))
    assert clock() - oldest <= timedelta(days=31), "a new week begins with the old samples forgotten"

    assert app.collection.remove_demo(OPERATOR) == 2
    app.collection.ensure_defaults()
    assert [s.name for s in app.collection.status(VIEWER)] == ["This machine"], "what was removed stays removed"


def test_restart_goes_on_with_the_demo(settings: Settings, clock) -> None:
    from lib.app import build

    first = build(settings.model_copy(update={"demo": True}), clock)
    first.collection.ensure_defaults()
    fleet = next(s.id for s in first.collection.status(VIEWER) if s.name == "Simulated fleet")
    loaded = count(first, fleet)
    first.stop()
    clock.advance(hours=1)
    second = build(settings.model_copy(update={"demo": True}), clock)
    second.collection.ensure_defaults()
    second.collection.collect_now(SYSTEM, fleet)
    grown = count(second, fleet)
    second.stop()
    assert loaded < grown < loaded * 1.01


def test_server_from_the_environment_comes_instead_of_the_demo(app, server) -> None:
    app.settings.demo, app.settings.prometheus_url = True, server.url + "/"
    app.collection.ensure_defaults()
    app.collection.ensure_defaults()
    [status] = app.collection.status(OPERATOR)
    assert status.kind is SourceKind.PROMETHEUS and status.url == server.url
    assert {"up", "node_cpu_seconds_total"} <= {t.name for t in status.targets}
    app.collection.collect_now(SYSTEM)
    assert app.collection.status(OPERATOR)[0].state is SourceState.OK


def test_bad_server_in_the_environment_is_logged_and_harms_nothing(app, caplog) -> None:
    import logging

    app.settings.prometheus_url = "http://169.254.169.254"
    logging.getLogger("lib").propagate = True
    app.collection.ensure_defaults()
    logging.getLogger("lib").propagate = False
    assert not app.collection.status(OPERATOR)
    assert "AUTOOPS_PROMETHEUS_URL not used" in caplog.text


def test_bundled_sources_are_added_once_and_need_no_server(app) -> None:
    machine = app.collection.add(OPERATOR, SourceDraft("Mine", kind=SourceKind.MACHINE, interval_s=5))
    app.collection.collect_now(SYSTEM, machine.id)
    assert count(app, machine.id) > 10
    with pytest.raises(Conflict):
        app.collection.add(OPERATOR, SourceDraft("Mine too", kind=SourceKind.MACHINE))
    with pytest.raises(Invalid, match="no bundled history"):
        app.collection.add(OPERATOR, SourceDraft("Odd", "../../etc/passwd", SourceKind.DEMO))
    with pytest.raises(Invalid, match="collected already"):
        app.collection.search_metrics(OPERATOR, machine.id, "")
