"""What the runner asks of a database, on PostgreSQL; everything else in this folder runs on SQLite."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import select

from lib.db.database import Database
from lib.db.tables import Task, TaskStatus
from lib.errors import Conflict
from tests.databases import postgres_server, postgres_url  # noqa: F401


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:  # noqa: F811
    made = Database(postgres_url)
    made.migrate()
    yield made
    made.close()


def test_same_submission_from_16_threads_is_one_task(make_runner, database) -> None:
    runner = make_runner("echo")
    barrier = threading.Barrier(16)

    def submit(n: int) -> int:
        barrier.wait()
        return runner.submit("echo", {"a": 1}, by=f"user {n}").id

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(submit, range(16)))
    with database.session() as session:
        assert {task.id for task in session.exec(select(Task))} == ids and len(ids) == 1


def test_hostile_text_runs_through_every_column(make_runner) -> None:
    runner = make_runner("echo", "hurries", "breaks")
    runner.start()
    odd = "\x00\ud800'; DROP TABLE tasks; --"
    task = runner.wait(runner.submit("echo", {odd: odd}, by=odd, title=odd, key=odd).id, 20)
    assert (task.status, task.error) == (TaskStatus.SUCCEEDED, "")
    assert runner.wait(runner.submit("hurries", {"steps": 100}, by="ada").id, 20).message == "odd  ? text"
    assert runner.wait(runner.submit("breaks", {}, by="ada").id, 20).status == TaskStatus.FAILED


def test_cancel_restart_and_tidying(make_runner, until, tmp_path, database) -> None:
    first = make_runner("wait_for", "echo", task_concurrency=1)
    first.start()
    running = first.submit("wait_for", {"gate": str(tmp_path / "never")}, by="ada")
    pending, dropped = first.submit("echo", {"n": 1}, by="ada"), first.submit("echo", {"n": 2}, by="ada")
    until(lambda: first.get(running.id).message == "waiting")
    first.cancel(dropped.id)
    with pytest.raises(Conflict):
        first.cancel(dropped.id)
    first.stop()
    second = make_runner("wait_for", "echo")
    second.start()
    assert second.wait(pending.id, 20).status == TaskStatus.SUCCEEDED
    assert second.get(running.id).status == TaskStatus.INTERRUPTED
    later = second.clock() + timedelta(days=365)
    second.clock = lambda: later
    second.prune()
    with database.session() as session:
        assert session.exec(select(Task)).all() == []
