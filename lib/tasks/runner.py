"""Runs long jobs outside the app's own process and keeps a row and a log of each."""

from __future__ import annotations

from typing import Any

from lib.db.database import Database
from lib.db.tables import Task
from lib.settings import Settings
from lib.tasks.job import JobKind


class Runner:
    """Queue, child processes (or threads), cancel, deadline, memory cap, restart."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self.kinds: dict[str, JobKind] = {}

    def register(self, kind: JobKind) -> None:
        self.kinds[kind.name] = kind

    def submit(self, kind: str, params: dict[str, Any], *, by: str, title: str = "", key: str | None = None) -> Task:
        """Queue a job. While one with the same `key` (default: kind and params) is pending or running, that one
        is returned instead."""

    def cancel(self, task_id: int) -> None:
        """End it within 2 seconds; half-made files are removed."""

    def wait(self, task_id: int, timeout_s: float) -> Task:
        """Block until it ended; for tests and the command line. Raises TimeoutError."""

    def log(self, task_id: int, after: int = 0) -> list[dict[str, Any]]:
        """Log lines from number `after` on: {n, ts, level, message, values}."""

    def start(self) -> None:
        """Mark what was running as interrupted, then begin taking from the queue."""

    def stop(self) -> None:
        """End children; their tasks become interrupted."""
