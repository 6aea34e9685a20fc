from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.tables import Detector, Source, Target, Task, TaskStatus
from lib.services import health
from lib.services.health import Health, PartState, Report, version
from lib.services.timings import Timings

VIEWER = Actor("viewer", Role.VIEWER)


@pytest.fixture(autouse=True)
def ask_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REPORT_KEPT_S", -1.0)


def part_of(report: Report, name: str) -> health.Part:
    return next(part for part in report.parts if part.name == name)


def health_of(app: App, sources: Callable = list, providers: Callable = list) -> Health:
    return Health(
        app.settings, app.database, app.store, app.schedule, app.clock, sources, Timings(), providers
    )  # fmt: skip


def add_source(app: App, name: str, *, enabled: bool = True, error: str = "", lag: timedelta = timedelta(0)) -> None:
    source = Source(name=name, kind="prometheus", url="http://127.0.0.1:9", interval_s=15, enabled=enabled)
    with app.database.session() as session:
        session.add(source)
    now = app.clock()
    success = None if error else now
    target = Target(source_id=source.id or 0, name="up", last_attempt_at=now, last_success_at=success, last_error=error)
    with app.database.session() as session:
        session.add(target)
    app.samples.append(source.id or 0, [], ("up", now - lag))


def test_a_fresh_app_is_well(app: App) -> None:
    report = app.health.report()
    assert report.able and report.state is PartState.OK
    assert report.version == version() and report.version[0].isdigit()
    assert report.at == app.clock()


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, PartState.OK),
        ({"error": "HTTP 500"}, PartState.DEGRADED),
        ({"lag": timedelta(hours=1)}, PartState.DEGRADED),
        ({"error": "HTTP 500", "enabled": False}, PartState.OK),
    ],
)
def test_a_failing_or_late_source_degrades_and_still_serves(app: App, changes: dict, state: PartState) -> None:
    add_source(app, "shop", **changes)
    report = app.health.report()
    assert part_of(report, "sources").state is state
    assert report.able and report.state is state
    if state is PartState.DEGRADED:
        assert "shop" in part_of(report, "sources").message


def test_without_the_store_or_the_database_nothing_can_be_served(app: App) -> None:
    app.store.close()
    report = app.health.report()
    assert not report.able and report.state is PartState.DOWN
    assert part_of(report, "store").message and part_of(report, "database").state is PartState.OK


def test_a_database_that_lost_its_tables_is_told_part_by_part(app: App) -> None:
    with app.database.session() as session:
        session.connection().exec_driver_sql("DROP TABLE tasks")
    report = app.health.report()
    assert part_of(report, "database").state is PartState.OK
    assert part_of(report, "tasks").state is PartState.DOWN
    assert report.state is PartState.DEGRADED and report.able


def test_scheduled_work_that_failed_or_hangs_is_told(app: App, clock) -> None:
    def fail() -> None:
        raise RuntimeError("token=abcdef broke")

    release = threading.Event()
    done = threading.Event()
    app.schedule.every(3600, "broken", lambda: (done.set(), fail())[0])
    app.schedule.start()
    assert done.wait(10)
    for _ in range(200):
        part = part_of(app.health.report(), "schedule")
        if part.state is PartState.DEGRADED:
            break
        threading.Event().wait(0.02)
    assert part.state is PartState.DEGRADED and "broken" in part.message and "abcdef" not in part.message

    started = threading.Event()
    app.schedule.every(3600, "broken", lambda: (started.set(), release.wait(10))[0])
    assert started.wait(10)
    clock.now = app.schedule.last_runs()[0].started_at + timedelta(minutes=11)
    assert "10 minutes" in part_of(app.health.report(), "schedule").message
    release.set()


def test_a_nearly_full_disk_is_told_before_it_is_full(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LOW_DISK_BYTES", 2**60)
    store = part_of(app.health.report(), "store")
    assert store.state is PartState.DEGRADED and "MiB" in store.message


def test_a_provider_that_rests_degrades_and_offline_is_always_there(app: App) -> None:
    resting = [SimpleNamespace(name="gemini", state="resting"), SimpleNamespace(name="openai", state="ready")]
    one = Health(
        app.settings, app.database, app.store, app.schedule, app.clock, lambda: [], Timings(), providers=lambda: resting
    )
    part = part_of(one.report(), "providers")
    assert part.state is PartState.DEGRADED and "gemini" in part.message and "openai" not in part.message
    assert part.values["offline"] == "ready"


def test_strangers_see_states_and_no_words(app: App) -> None:
    add_source(app, "secret-shop", error="HTTP 500 from http://10.0.0.7")
    told = app.health.report().as_json(detail=False)
    assert set(told) == {"state", "version", "at", "parts"}
    assert all(set(part) == {"state"} for part in told["parts"].values())
    assert "secret-shop" not in str(told) and "secret-shop" in str(app.health.report().as_json(detail=True))


def test_asked_often_the_parts_are_asked_once_a_second(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REPORT_KEPT_S", 60.0)
    first = app.health.report()
    app.store.close()
    assert app.health.report() is first


def test_a_look_that_hangs_does_not_hang_the_next(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWER_WITHIN_S", 0.05)
    hanging, release = threading.Event(), threading.Event()

    def hang() -> list:
        hanging.set()
        release.wait(10)
        return []

    one = Health(
        app.settings, app.database, app.store, app.schedule, app.clock, hang, Timings(), app.assistant.fallback.status
    )
    thread = threading.Thread(target=one.report)
    thread.start()
    assert hanging.wait(10)
    assert not one.report().able
    release.set()
    thread.join()
    assert one.report().able


def test_figures_count_tasks_detectors_and_anomalies(app: App) -> None:
    add_source(app, "shop", lag=timedelta(seconds=40))
    with app.database.session() as session:
        session.add(Task(kind="train", status=TaskStatus.FAILED))
        session.add(Task(kind="train", status=TaskStatus.FAILED, title="again"))
        session.add(Detector(source_id=1, host="a"))
        session.add(Detector(source_id=1, host="a", version=2, active=False))
    _, figures = app.health.status(VIEWER)
    assert figures.tasks["failed"] == 2 and figures.tasks["running"] == 0
    assert figures.detectors == 1
    assert figures.sources[0].lag_s == 40
    assert figures.store_bytes > 0


@pytest.mark.parametrize("secret", ["AIzaSecretSecretSecret", "sk-secretsecret"])
def test_no_key_reaches_the_report(app: App, secret: str) -> None:
    app.settings.gemini_api_key = type(app.settings.gemini_api_key)(secret)
    assert secret not in str(app.health.report().as_json(detail=True))
