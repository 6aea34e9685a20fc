"""Served models seen from the app: one warm child that keeps them loaded, and a fresh one for each uploaded file."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from lib import errors
from lib.errors import AppError, ArtefactRefused, Unavailable
from lib.tasks.warm import End, Ended, WarmChild

START_WITHIN_S, CHECK_WITHIN_S = 30.0, 60.0
# The first request for a model also loads it, and the library that reads it.
LOAD_WITHIN_S, ANSWER_WITHIN_S = 60.0, 10.0
MOST_BYTES = 64 << 20
_LOOK_AT_MEMORY_EVERY_S = 1.0


class Serving:
    """folder: holds a folder for each model, by key. unpack: sees to it that the folder of a key is there."""

    def __init__(self, folder: Path, memory_mb: int) -> None:
        self.folder, self.memory_mb = folder, memory_mb
        self._lock = threading.Lock()
        self._child: WarmChild | None = None
        self._loaded: set[str] = set()
        self._looked_at = 0.0
        self._closed = threading.Event()

    @property
    def pid(self) -> int | None:
        """Of the warm child, when there is one."""
        return self._child.pid if self._child is not None and self._child.alive else None

    def holds(self, key: str) -> bool:
        """Whether a model is loaded."""
        return self.pid is not None and key in self._loaded

    def predict(
        self, model: dict[str, Any], columns: dict[str, list[Any]], *, explain: bool, unpack: Callable[[], None]
    ) -> dict[str, Any]:
        """The worker's answer. model: key, format, schema. Raises Unavailable when the child is busy, late or died
        twice, or what the model says of the rows."""
        return self._ask(model, {"op": "predict", "columns": columns, "explain": explain}, unpack)

    def warm(self, model: dict[str, Any], unpack: Callable[[], None]) -> None:
        """Load a model before anybody asks for it."""
        self._ask(model, {"op": "load"}, unpack)

    def tidy(self, idle_s: float) -> None:
        """End the child when nobody has asked this long: it takes a few hundred megabytes."""
        if self._lock.acquire(blocking=False):
            try:
                if self._child is not None and time.monotonic() - self._child.idle_since > idle_s:
                    self._end()
            finally:
                self._lock.release()

    def close(self) -> None:
        self._closed.set()
        child = self._child
        if child is not None:
            child.kill()
        with self._lock:
            self._end()

    def _ask(self, model: dict[str, Any], request: dict[str, Any], unpack: Callable[[], None]) -> dict[str, Any]:
        # Somebody's first request may be loading a model.
        if not self._lock.acquire(timeout=LOAD_WITHIN_S if request["op"] == "load" else ANSWER_WITHIN_S):
            raise Unavailable("The models are busy with other questions; try again in a moment.", retry_after_s=2)
        try:
            for attempt in (1, 2):
                try:
                    return self._ask_once(model, request, unpack)
                except Ended as ended:
                    self._end()
                    if self._closed.is_set():
                        raise Unavailable("The app is stopping.") from None
                    if ended.why is End.LATE:
                        raise Unavailable(
                            f"The model did not answer within {ANSWER_WITHIN_S:g} s and was stopped; ask for fewer "
                            "rows, or predict a file."
                        ) from None
                    if attempt == 2:
                        raise Unavailable(
                            "The process that serves models died twice over this request; its memory cap is "
                            f"{self.memory_mb} MB (AUTOOPS_SERVE_MEMORY_MB)."
                        ) from None
        finally:
            self._lock.release()
        raise AssertionError("unreachable")

    def _ask_once(self, model: dict[str, Any], request: dict[str, Any], unpack: Callable[[], None]) -> dict[str, Any]:
        child = self._child
        if child is None or not child.alive:
            self._end()
            self.folder.mkdir(parents=True, exist_ok=True)
            child = self._child = start(self.folder, self.memory_mb)
        new = model["key"] not in self._loaded
        if new:
            unpack()
        seconds = LOAD_WITHIN_S if new else ANSWER_WITHIN_S
        answer = next(iter(child.ask({**request, "model": model}, seconds, self._closed, MOST_BYTES)))
        self._loaded.add(model["key"])
        self._watch(child)
        return answered(answer)

    def _watch(self, child: WarmChild) -> None:
        """One that has grown over its cap goes; the next request starts another."""
        now = time.monotonic()
        if now - self._looked_at > _LOOK_AT_MEMORY_EVERY_S:
            self._looked_at = now
            with contextlib.suppress(psutil.Error):
                if psutil.Process(child.pid).memory_info().rss / 2**20 > self.memory_mb:
                    self._end()

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
        self._child = None
        self._loaded.clear()


def start(folder: Path, memory_mb: int) -> WarmChild:
    """A child of its own. Raises Unavailable when it does not come up."""
    try:
        arguments = (str(folder.resolve()), str(memory_mb))
        # A row is no work for threads, and starting them costs more than it.
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        return WarmChild("lib.registry.worker", arguments, start_within_s=START_WITHIN_S, environment=one)
    except (Ended, OSError) as error:
        raise Unavailable(f"The process that serves models could not be started ({error}); try again.") from None


def check(format_: str, path: Path, given: dict[str, Any], memory_mb: int) -> dict[str, Any]:
    """Have a fresh child look at an uploaded file: schema and facts. Raises ArtefactRefused or Invalid with the
    reason; a file that is too large for the memory, too slow or that kills the child is refused as well."""
    child = start(path.parent, memory_mb)
    watch = _Cap(child.pid, memory_mb)
    try:
        with watch:
            request = {"op": "check", "format": format_, "path": str(path.resolve()), "given": given}
            answer = next(iter(child.ask(request, CHECK_WITHIN_S, threading.Event(), MOST_BYTES)))
        if watch.over:
            raise Ended(End.DIED)
    except Ended as ended:
        reasons = {End.LATE: f"loading it took longer than {CHECK_WITHIN_S:g} s", End.UNRULY: "it said too much"}
        why = reasons.get(ended.why, "reading it crashed the process that looked at it")
        if watch.over:
            why = f"loading it takes more than {memory_mb} MB of memory"
        raise ArtefactRefused(f"The model is refused: {why}. Nothing of it is kept.") from None
    finally:
        child.close()
    return answered(answer)


class _Cap:
    """Kills a process that really uses more than its cap (see lib/tasks/process.py on why a limit is not enough)."""

    def __init__(self, pid: int, memory_mb: int) -> None:
        self.pid, self.memory_mb, self.over = pid, memory_mb, False
        self._done = threading.Event()

    def __enter__(self) -> None:
        threading.Thread(target=self._watch, name="cap of a model check", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._look()  # what was quicker than the thread

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self._look()

    def _look(self) -> None:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if process.memory_info().rss / 2**20 > self.memory_mb:
                self.over = True
                process.kill()


def answered(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, or the error it carries."""
    match answer["event"]:
        case "refused":
            kind = getattr(errors, answer["type"], AppError)
            raise kind(answer["message"])
        case "failed":
            raise ArtefactRefused(f"The model cannot be used: {answer['message']}")
        case "memory":
            raise ArtefactRefused("The model takes more memory than it may (AUTOOPS_SERVE_MEMORY_MB).")
    return answer
