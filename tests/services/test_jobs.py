from __future__ import annotations

import json

import pytest
from sqlmodel import select

from lib.auth.actor import GUEST, Actor, ActorKind, Role
from lib.db.tables import AuditEntry, Task, TaskStatus
from lib.errors import Conflict, Forbidden, Invalid, NotFound
from lib.tasks.job import JobKind
from lib.tasks.journal import Journal

ADA = Actor("ada", Role.ANALYST, id=1)
BOB = Actor("bob", Role.ANALYST, id=2)
OPERATOR = Actor("olga", Role.OPERATOR, id=3)
VIEWER = Actor("vera", Role.VIEWER, id=4)
ADAS_KEY = Actor("ada/ci", Role.ANALYST, ActorKind.KEY, id=1)


@pytest.fixture
def jobs(app):
    app.runner.register(JobKind("train", "nowhere:train"))
    return app.jobs


def submit(jobs, n: int = 0, by: Actor = ADA) -> Task:
    return jobs.runner.submit("train", {"n": n}, by=by.name, title=f"Train {n}")


def audited(app) -> list[tuple[str, str, str, str]]:
    with app.database.session() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "cancel task"))
        return [(entry.actor, entry.target, entry.outcome, entry.details["owner"]) for entry in entries]


def test_list_is_newest_first_and_narrows_by_status(jobs) -> None:
    first, second, third = (submit(jobs, n) for n in range(3))
    jobs.runner.cancel(second.id)
    assert [task.id for task in jobs.list(GUEST)] == [third.id, second.id, first.id]
    assert [task.id for task in jobs.list(VIEWER, "cancelled")] == [second.id]
    assert [task.id for task in jobs.list(VIEWER, limit=2)] == [third.id, second.id]
    assert jobs.list(VIEWER, TaskStatus.FAILED) == []
    counts = jobs.counts(VIEWER)
    assert list(counts) == list(TaskStatus)
    assert (counts[TaskStatus.PENDING], counts[TaskStatus.CANCELLED], counts[TaskStatus.FAILED]) == (2, 1, 0)


def test_unknown_status_names_the_known_ones(jobs) -> None:
    with pytest.raises(Invalid, match="'baked'; known are pending, running"):
        jobs.list(VIEWER, "baked")


def test_unknown_task_is_not_found(jobs) -> None:
    for call in (jobs.get, jobs.log, jobs.cancel):
        with pytest.raises(NotFound, match="no task 99"):
            call(OPERATOR, 99)
    with pytest.raises(NotFound):
        jobs.log_file(OPERATOR, 99, as_text=True)


@pytest.mark.parametrize(("actor", "owner"), [(ADA, ADA), (OPERATOR, ADA), (ADAS_KEY, ADA), (ADA, ADAS_KEY)])
def test_own_tasks_and_with_the_right_those_of_others_can_be_cancelled(app, jobs, actor, owner) -> None:
    task = submit(jobs, by=owner)
    assert jobs.may_cancel(actor, task)
    jobs.cancel(actor, task.id)
    task = jobs.get(VIEWER, task.id)
    assert task.status == TaskStatus.CANCELLED and not jobs.may_cancel(actor, task)
    assert audited(app) == [(actor.name, f"task {task.id} train", "ok", owner.name)]


@pytest.mark.parametrize("actor", [BOB, VIEWER, GUEST])
def test_tasks_of_others_are_left_alone_and_the_attempt_is_audited(app, jobs, actor) -> None:
    task = submit(jobs)
    assert not jobs.may_cancel(actor, task)
    with pytest.raises(Forbidden):
        jobs.cancel(actor, task.id)
    assert jobs.get(VIEWER, task.id).status == TaskStatus.PENDING
    assert audited(app) == [(actor.name, f"task {task.id} train", "refused", "ada")]


def test_viewer_cannot_cancel_what_they_started_while_they_were_analyst(jobs) -> None:
    task = submit(jobs, by=VIEWER)
    assert not jobs.may_cancel(VIEWER, task)
    with pytest.raises(Forbidden, match="it takes the role analyst"):
        jobs.cancel(VIEWER, task.id)


def test_cancelling_twice_is_a_conflict_and_audited_once(app, jobs) -> None:
    task = submit(jobs)
    jobs.cancel(ADA, task.id)
    with pytest.raises(Conflict, match="already ended"):
        jobs.cancel(ADA, task.id)
    assert len(audited(app)) == 1


def test_log_comes_from_any_line_on_and_as_two_kinds_of_file(jobs) -> None:
    task = submit(jobs)
    assert jobs.log(VIEWER, task.id) == [] and jobs.log_file(VIEWER, task.id, as_text=False) == b"[]"
    log = Journal(jobs.runner.log_path(task.id))
    for n in range(5):
        log.write(f"fold {n}", "info", loss=0.5, name="a b")
    assert [line["n"] for line in jobs.log(GUEST, task.id, after=3)] == [3, 4]
    assert [line["n"] for line in jobs.log(GUEST, task.id, after=-2)] == [3, 4]
    assert [line["n"] for line in jobs.log(GUEST, task.id, after=-99, limit=1)] == [0]
    lines = json.loads(jobs.log_file(VIEWER, task.id, as_text=False))
    assert [line["message"] for line in lines] == [f"fold {n}" for n in range(5)]
    text = jobs.log_file(VIEWER, task.id, as_text=True).decode().splitlines()
    assert len(text) == 5 and text[2].endswith("  info     fold 2  loss=0.5 name=a b")
