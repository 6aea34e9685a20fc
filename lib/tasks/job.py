"""What a long job is: a function in a child process, and what the app does before and after it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lib.errors import Invalid

# Rows of the app's database: what is larger belongs in a file.
MAX_JSON_BYTES = 1_000_000
# Tells a job's process, in its environment, of the cluster it may hand work to.
CLUSTER = "AUTOOPS_JOB_CLUSTER"


class Cancelled(BaseException):
    """Raised inside a job that was ended from outside; no Exception, so that a broad `except` cannot eat it."""


class JobContext(Protocol):
    """What a job's function is handed in its own process (or thread)."""

    workdir: Path

    def progress(self, fraction: float, message: str = "") -> None:
        """0..1 and a few words. Raises Cancelled when someone ended the task (thread mode)."""

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        """One structured line, shown live on the Tasks page."""

    def deliver(self, path: Path, **values: Any) -> None:
        """Hand a finished Parquet file to the app while running. Returns once the app has taken it (its
        `receive` returned, so what it stored is committed) or raises what receiving raised. The file, which
        lies in `workdir`, is removed then."""

    def checkpoint(self, name: str, value: Any) -> None:
        """Keep what is finished (bytes, or JSON) under a name. It outlives this process and the app's."""

    def restore(self, name: str) -> Any:
        """What an earlier attempt kept under a name; None when there is nothing."""


@dataclass(frozen=True)
class JobKind:
    """A registered kind of job.

    run: "lib.services.detection_jobs:train", called as run(context, **params) in the child; returns JSON-able results.
        It must not open the DuckDB file: it reads what `prepare` exported and leaves files in `context.workdir`.
    prepare: in the app, before the child starts: prepare(params, workdir) -> params for `run`. What it adds (a
        source's password) reaches the child through a pipe and is never written down.
    receive: in the app, for each delivered file: receive(params, path, values). Here and in `finish`, `params` are
        those that were submitted, without what `prepare` added.
    finish: in the app, after success: finish(params, result, workdir) -> result to keep. Raising fails the task.
        `workdir` is removed afterwards, so it moves what should stay.
    resumes: taken up again when the app stopped while it ran, with its checkpoints. `prepare`, `receive` and `finish`
        must then bear being called a second time for the same thing.
    retries: how often it is tried again after its process died or it failed for a reason that is none of ours.
    priority: higher ones are taken from the queue first.
    cluster: may run on a Dask cluster, where one is configured: it needs no files but those below the data and models
        directories that its parameters name, and no secrets.
    """

    name: str
    run: str
    prepare: Callable[[dict[str, Any], Path], dict[str, Any]] | None = None
    receive: Callable[[dict[str, Any], Path, dict[str, Any]], None] | None = None
    finish: Callable[[dict[str, Any], dict[str, Any], Path], dict[str, Any]] | None = None
    memory_mb: int | None = None  # None: the setting's cap
    deadline_s: float | None = None
    resumes: bool = False
    retries: int = 0
    priority: int = 0
    cluster: bool = False


def as_json(values: dict[str, Any], what: str) -> dict[str, Any]:
    """`values` as a JSON column gives them back (tuples become lists). Raises Invalid when they are not JSON-able."""
    try:
        text = json.dumps(values, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"The {what} cannot be written as JSON ({error}); use numbers, text and lists.") from None
    if len(text) > MAX_JSON_BYTES:
        raise Invalid(f"The {what} take {len(text):,} bytes as JSON, the cap is {MAX_JSON_BYTES:,}; use a file.")
    plain = json.loads(text)
    if not isinstance(plain, dict):
        raise Invalid(f"The {what} must be a mapping of names to values, not {type(values).__name__}.")
    return plain


def storable(text: str, length: int) -> str:
    """`text` as every database takes it (no NUL, no half characters), cut to `length`."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:length]


def load(run: str) -> Callable[..., dict[str, Any] | None]:
    """The function that `run` ("package.module:function") names. Raises Invalid when there is none."""
    module, _, name = run.partition(":")
    function = getattr(importlib.import_module(module), name, None)
    if not callable(function):
        raise Invalid(f"No job function {name!r} in {module}; a job names it as 'package.module:function'.")
    return function
