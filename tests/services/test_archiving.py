"""Closed days are archived by tasks, each hour or when asked; rights are checked and what was done is audited."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from sqlmodel import select

from lib.app import App, build
from lib.auth.actor import SYSTEM, Actor, Role
from lib.db.tables import AuditEntry, TaskStatus
from lib.errors import Forbidden, StoreError
from lib.frames import Block, Window, from_ms, to_ms
from lib.services import archiving, archiving_jobs
from lib.settings import Settings, TaskMode
from lib.store import closing
from tests.conftest import FakeClock
from tests.s3 import Bucket

ADMIN, OPERATOR = Actor("ada", Role.ADMIN, id=1), Actor("olga", Role.OPERATOR, id=2)


def fill(app: App, days: int = 20) -> None:
    """An hourly sample of two series up to now."""
    ts = to_ms(app.clock()) - np.arange(days * 24)[::-1] * 3_600_000
    app.samples.append(
        1, [Block(name, {"host": "a"}, ts, np.arange(ts.size) / 4) for name in ("load", "requests_total")]
    )


def everything(app: App) -> list[tuple]:
    ids = [series.id for series in app.samples.find()]
    frame = app.samples.read(ids, Window(from_ms(0), app.clock().replace(year=2100)))
    return list(frame.itertuples(index=False, name=None))


@pytest.mark.parametrize("mode", list(TaskMode))
def test_each_hour_closed_days_are_archived_and_checked(app: App, mode: TaskMode) -> None:
    app.settings.task_mode = mode
    fill(app)
    before = everything(app)
    app.runner.start()
    app.archiving.tick()
    status = app.archiving.status(OPERATOR)
    assert (status.days, status.due, status.samples) == (13, 0, 598)
    assert status.first and status.first.isoformat() == "2026-02-22T00:00:00+00:00"
    assert status.last_run and status.last_run.words.startswith("13 days, 598 samples")
    assert status.last_verify and status.last_verify.words == "52 files as they were written"
    assert everything(app) == before
    assert app.health.figures().samples == len(before)
    assert app.exploration.overview(SYSTEM).samples == len(before)


def test_the_schedule_waits_for_the_start_to_be_over_and_then_an_hour(app: App, monkeypatch) -> None:
    now, ticks = [time.monotonic()], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(app.archiving, "tick", lambda: ticks.append(now[0]))
    for _ in range(130):
        app.archiving.on_schedule()
        now[0] += 60
    assert len(ticks) == 3 and ticks[0] >= now[0] - 129 * 60


def test_a_second_run_has_nothing_to_do(app: App, clock) -> None:
    fill(app)
    app.runner.start()
    app.archiving.tick()
    files = app.store.archive.place.names()
    clock.advance(hours=1)
    app.archiving.tick()
    assert app.store.archive.place.names() == files
    clock.advance(days=1)
    app.archiving.tick()
    assert app.archiving.status(SYSTEM).days == 14


def test_what_is_older_than_is_kept_leaves_by_itself(app: App, clock) -> None:
    app.settings.archive_raw_days = 10
    fill(app)
    app.runner.start()
    app.archiving.tick()
    clock.advance(hours=1)
    app.archiving.tick()
    status = app.archiving.status(SYSTEM)
    assert (status.days, status.due) == (3, 0) and status.tier_bytes["1h"] > 0
    assert len([name for name in app.store.archive.place.names() if "/raw-" in name]) == 3


def test_a_clock_that_ran_ahead_and_is_put_right_has_lost_nothing(app: App, clock) -> None:
    app.settings.archive_raw_days = 15
    fill(app)
    app.runner.start()
    app.archiving.tick()
    before = everything(app)
    clock.advance(days=365)
    for _ in range(3):
        app.archiving.tick()
        clock.advance(hours=1)
    held = app.archiving.status(SYSTEM).held
    assert held is not None and "the clock went from 2026-03-14 12:00 to 2027-03-14 12:00 UTC" in held.words
    assert everything(app) == before
    clock.advance(days=-365)
    app.archiving.tick()
    assert app.archiving.status(SYSTEM).held is None and everything(app) == before


def test_a_machine_that_was_off_for_long_lets_go_a_day_later(app: App, clock) -> None:
    app.settings.archive_raw_days = 15
    fill(app)
    app.runner.start()
    app.archiving.tick()
    before = app.archiving.status(SYSTEM).days
    clock.advance(days=5)
    app.archiving.tick()
    assert app.archiving.status(SYSTEM).days > before
    for _ in range(25):
        clock.advance(hours=1)
        closing.expire(app.store, archiving_jobs.retention(app.settings), app.clock())
    status = app.archiving.status(SYSTEM)
    assert status.held is None and status.first is not None
    assert status.first >= app.clock() - timedelta(days=16)


def test_nothing_is_archived_when_switched_off(app: App) -> None:
    app.settings.archive_hot_days = 0
    fill(app)
    app.archiving.tick()
    status = app.archiving.status(SYSTEM)
    assert (status.enabled, status.days, status.due) == (False, 0, 0)


def test_a_run_that_fails_leaves_everything_and_says_so(app: App, tmp_path: Path) -> None:
    fill(app)
    before = everything(app)
    (app.settings.data_dir / "archive").write_text("a file where a folder should be")
    app.runner.start()
    task = app.runner.wait(app.archiving.run(ADMIN).id or 0, 60)
    assert task.status == TaskStatus.FAILED and task.error
    assert everything(app) == before
    (app.settings.data_dir / "archive").unlink()
    app.archiving.tick()
    assert everything(app) == before and app.archiving.status(SYSTEM).days == 13


def test_only_administrators_run_check_and_restore(app: App) -> None:
    for call in (app.archiving.run, app.archiving.verify, app.archiving.check, app.archiving.restore):
        with pytest.raises(Forbidden):
            call(OPERATOR)
    assert app.archiving.status(OPERATOR).place == ""
    assert app.archiving.status(ADMIN).place == str(app.settings.data_dir / "archive")
    app.archiving.verify(ADMIN)
    app.archiving.restore(ADMIN)
    with app.database.session() as session:
        actions = [entry.action for entry in session.exec(select(AuditEntry)).all()]
    assert actions[-2:] == ["archive.verify", "archive.restore"]


@pytest.mark.parametrize("mode", list(TaskMode))
def test_a_check_is_a_task_that_sets_aside_what_is_damaged(app: App, mode: TaskMode) -> None:
    app.settings.task_mode = mode
    fill(app)
    app.runner.start()
    app.archiving.tick()
    assert app.archiving.newest_check(ADMIN) is None
    raw, gone = sorted((app.settings.data_dir / "archive").glob("*/raw-*.parquet"))[:2]
    raw.write_bytes(bytes(raw.stat().st_size))
    gone.unlink()
    task = app.runner.wait(app.archiving.check(ADMIN).id or 0, 60)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    assert task.result["files"] == 50
    assert [words.partition(": ")[2][:20] for words in task.result["damaged"]] == [
        "its bytes have chang",
        "it is no longer ther",
    ]
    assert app.archiving.status(SYSTEM).days == 11
    verified = app.archiving.status(SYSTEM).last_verify
    assert verified is not None and "its bytes have changed" in verified.words
    again = app.runner.wait(app.archiving.check(ADMIN).id or 0, 60)
    assert again.result["damaged"] == [] and again.result["files"] == 50


def test_a_check_without_the_place_fails_and_takes_nothing_off_the_list(app: App) -> None:
    fill(app)
    app.runner.start()
    app.archiving.tick()
    folder = app.settings.data_dir / "archive"
    folder.rename(folder.with_name("elsewhere"))
    task = app.runner.wait(app.archiving.check(ADMIN).id or 0, 60)
    assert task.status == TaskStatus.FAILED and "archive" in task.error
    folder.with_name("elsewhere").rename(folder)
    assert app.archiving.status(SYSTEM).days == 13


def test_a_bucket_in_the_settings_becomes_the_place(settings: Settings) -> None:
    settings.archive_url, settings.archive_endpoint = "s3://metrics/home", "http://127.0.0.1:9"
    app = build(settings)
    place = app.store.archive.place
    app.stop()
    assert getattr(place, "root", "") == "metrics/home"
    values = archiving_jobs._place_values(settings)
    assert values["endpoint"] == "http://127.0.0.1:9" and "archive" in values["folder"]


def in_bucket(settings: Settings, s3: Bucket) -> None:
    settings.archive_url, settings.archive_endpoint = s3.url, s3.endpoint
    settings.archive_key, settings.archive_secret = SecretStr(s3.key), SecretStr(s3.secret)


@pytest.mark.parametrize("mode", list(TaskMode))
def test_tasks_archive_to_a_bucket_and_leave_no_secret_anywhere(
    settings: Settings, clock: FakeClock, s3: Bucket, mode: TaskMode
) -> None:
    in_bucket(settings, s3)
    settings.task_mode = mode
    app = build(settings, clock)
    fill(app)
    before = everything(app)
    app.runner.start()
    app.archiving.tick()
    status = app.archiving.status(ADMIN)
    assert (status.days, status.due) == (13, 0) and len(s3.stored()) == 52
    assert status.place == f"{s3.url} at {s3.endpoint}"
    assert status.last_verify and status.last_verify.words == "52 files as they were written"
    assert everything(app) == before
    assert app.archiving.test(ADMIN) < 60 and len(s3.stored()) == 52
    checked = app.runner.wait(app.archiving.check(ADMIN).id or 0, 60)
    assert checked.result == {"files": 52, "damaged": [], "unknown": 0}
    app.stop()
    secrets = [s3.secret.encode(), s3.key.encode()]
    files = [path for path in settings.data_dir.rglob("*") if path.is_file()]
    assert files and not [path for path in files if any(secret in path.read_bytes() for secret in secrets)]


@pytest.mark.parametrize("mode", list(TaskMode))
def test_a_key_that_is_refused_is_said_by_the_task_without_telling_it(
    settings: Settings, clock: FakeClock, s3: Bucket, mode: TaskMode, capfd: pytest.CaptureFixture[str]
) -> None:
    in_bucket(settings, replace(s3, secret="wr0ng-secret-value"))
    settings.task_mode = mode
    app = build(settings, clock)
    fill(app)
    before = everything(app)
    app.runner.start()
    task = app.runner.wait(app.archiving.run(ADMIN).id or 0, 60)
    with pytest.raises(StoreError, match="the server refuses the key"):
        app.archiving.test(ADMIN)
    assert task.status == TaskStatus.FAILED and "the server refuses the key" in task.error
    log = "".join(path.read_text() for path in settings.data_dir.rglob("log.jsonl"))
    told = capfd.readouterr()
    assert log and not [one for one in (task.error, log, told.out, told.err) if "wr0ng" in one or s3.key in one]
    assert everything(app) == before
    app.stop()


def test_a_bucket_that_is_silent_does_not_hold_up_who_tests_it(
    settings: Settings, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "TEST_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        in_bucket(settings, Bucket(f"http://127.0.0.1:{silent.getsockname()[1]}", "key", "s3cret", "kept"))
        app = build(settings, clock)
        with pytest.raises(StoreError, match=r"s3://kept/archive at .* did not answer within 0.3 s"):
            app.archiving.test(ADMIN)
        app.stop()


def test_a_place_that_cannot_be_used_is_said(app: App) -> None:
    (app.settings.data_dir / "archive").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="archive cannot be used"):
        app.archiving.test(ADMIN)
    with pytest.raises(Forbidden):
        app.archiving.test(OPERATOR)
