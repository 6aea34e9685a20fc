"""A real runner over a real database, its children real processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.db.database import Database
from lib.settings import Settings
from lib.tasks.job import JobKind
from lib.tasks.runner import Runner
from tests.clusters import cluster  # noqa: F401

MakeRunner = Callable[..., Runner]


@pytest.fixture(autouse=True)
def importable_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the app can import, its children can: so the jobs of the tests need no place in the project."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    made = Database(settings.resolved_database_url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def make_runner(settings: Settings, database: Database) -> Iterator[MakeRunner]:
    """make_runner(job, job, ..., task_mode=...) registers functions of jobs_for_tests under their names; JobKinds
    are taken as they are. Not started."""
    made: list[Runner] = []

    def make(*jobs: str | JobKind, **changes: Any) -> Runner:
        runner = Runner(settings.model_copy(update=changes), database)
        for job in jobs:
            runner.register(job if isinstance(job, JobKind) else JobKind(job, f"jobs_for_tests:{job}"))
        made.append(runner)
        return runner

    yield make
    for runner in made:
        runner.stop()


def until(met: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """What `met` returns once it is true."""
    end = time.monotonic() + timeout_s
    while not (found := met()):
        if time.monotonic() > end:
            raise TimeoutError(f"Not within {timeout_s:g} s.")
        time.sleep(0.01)
    return found


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Any]:
    return until


def messages(runner: Runner, task_id: int) -> list[str]:
    return [line["message"] for line in runner.log(task_id)]


@pytest.fixture(name="messages")
def messages_fixture() -> Callable[[Runner, int], list[str]]:
    return messages
