"""The Tasks page's view of long jobs: list, log, cancel, with rights checked."""

from __future__ import annotations

import json
from typing import Any

from sqlmodel import col, func, select

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.db.database import Database
from lib.db.tables import Task, TaskStatus
from lib.errors import Forbidden, Invalid
from lib.tasks.runner import ACTIVE, Runner

LogLines = list[dict[str, Any]]


class Jobs:
    """Anybody who may look may see tasks and their logs; ending one takes the right to start it, or to manage."""

    def __init__(self, database: Database, runner: Runner, audit: Audit) -> None:
        self.database, self.runner, self.audit = database, runner, audit

    def list(self, actor: Actor, status: str | None = None, limit: int = 200) -> list[Task]:
        """Newest first; `status` as in TaskStatus, or None for all."""
        actor.require(Permission.VIEW)
        wanted = select(Task).order_by(col(Task.id).desc()).limit(max(limit, 0))
        if status is not None:
            wanted = wanted.where(Task.status == _known(status))
        with self.database.session() as session:
            return [*session.exec(wanted)]

    def counts(self, actor: Actor) -> dict[TaskStatus, int]:
        """How many tasks each status has; every status is there."""
        actor.require(Permission.VIEW)
        with self.database.session() as session:
            found = dict(session.exec(select(Task.status, func.count()).group_by(col(Task.status))).all())
        return {status: found.get(status, 0) for status in TaskStatus}

    def get(self, actor: Actor, task_id: int) -> Task:
        """One task as it is now. Raises NotFound."""
        actor.require(Permission.VIEW)
        return self.runner.get(task_id)

    def log(self, actor: Actor, task_id: int, after: int = 0, limit: int | None = None) -> LogLines:
        """Log lines from number `after` on (negative: the last so many): {n, ts, level, message, values}."""
        actor.require(Permission.VIEW)
        self.runner.get(task_id)
        return self.runner.log(task_id, after, limit)

    def log_file(self, actor: Actor, task_id: int, as_text: bool) -> bytes:
        """The whole log to take along: as lines people read, or as a JSON list of {n, ts, level, message, values}."""
        actor.require(Permission.VIEW)
        self.runner.get(task_id)
        if as_text:
            return "".join(as_line(entry) + "\n" for entry in self.runner.log(task_id)).encode()
        return json.dumps(self.runner.log(task_id), indent=0, ensure_ascii=False).encode()

    def may_cancel(self, actor: Actor, task: Task) -> bool:
        """Whether it still runs or waits, and this actor may end it."""
        right = Permission.RUN_TASKS if person(task.created_by) == person(actor.name) else Permission.MANAGE_TASKS
        return task.status in ACTIVE and actor.may(right)

    def cancel(self, actor: Actor, task_id: int) -> None:
        """End a task within 2 seconds. Raises Forbidden, NotFound, or Conflict when it has ended by itself."""
        task = self.runner.get(task_id)
        target = f"task {task_id} {task.kind}"
        try:
            actor.require(Permission.RUN_TASKS)
            if person(task.created_by) != person(actor.name):
                actor.require(Permission.MANAGE_TASKS)
        except Forbidden:
            self.audit.record(actor, "cancel task", target, "refused", owner=task.created_by)
            raise
        self.runner.cancel(task_id)
        self.audit.record(actor, "cancel task", target, owner=task.created_by)


def as_line(entry: dict[str, Any]) -> str:
    """One log line for people: time (UTC), level, message and values."""
    values = " ".join(f"{name}={_short(value)}" for name, value in entry["values"].items())
    when = entry["ts"].replace("T", " ").replace("+00:00", "")
    return "  ".join(part for part in (when, f"{entry['level']:<7}", entry["message"], values) if part).rstrip()


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def person(name: str) -> str:
    """Who stands behind a name: a key is called `owner/key`, and no user name has a slash."""
    return name.partition("/")[0]


def _known(status: str) -> TaskStatus:
    try:
        return TaskStatus(status)
    except ValueError:
        raise Invalid(f"There is no status {status[:32]!r}; known are {', '.join(TaskStatus)}.") from None
