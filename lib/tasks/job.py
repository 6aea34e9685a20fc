"""What a long job is: a function in a child process, and what the app does before and after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class JobContext(Protocol):
    """What a job's function is handed in its own process (or thread)."""

    workdir: Path

    def progress(self, fraction: float, message: str = "") -> None:
        """0..1 and a few words. Raises Cancelled when someone ended the task (thread mode)."""

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        """One structured line, shown live on the Tasks page."""

    def deliver(self, path: Path, **values: Any) -> None:
        """Hand a finished Parquet file to the app while running. Returns once the app has taken it (its
        `receive` returned, so what it stored is committed) or raises what receiving raised."""


@dataclass(frozen=True)
class JobKind:
    """A registered kind of job.

    run: "lib.services.detection_jobs:train", called as run(context, **params) in the child; returns JSON-able results.
        It must not open the DuckDB file: it reads what `prepare` exported and leaves files in `context.workdir`.
    prepare: in the app, before the child starts: prepare(params, workdir) -> params for `run`.
    receive: in the app, for each delivered file: receive(params, path, values).
    finish: in the app, after success: finish(params, result, workdir) -> result to keep. Raising fails the task.
    """

    name: str
    run: str
    prepare: Callable[[dict[str, Any], Path], dict[str, Any]] | None = None
    receive: Callable[[dict[str, Any], Path, dict[str, Any]], None] | None = None
    finish: Callable[[dict[str, Any], dict[str, Any], Path], dict[str, Any]] | None = None
    memory_mb: int | None = None  # None: the setting's cap
    deadline_s: float | None = None
