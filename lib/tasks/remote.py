"""The worker's side of a job on a Dask cluster: `run` is what the app submits (see `lib.tasks.cluster`).

The job gets a process of its own there, too, so that it can be capped and killed; the worker passes on what it says.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lib.tasks.process import Process

MARK = ".shared"
LOOK_AT_MEMORY_EVERY_S = 0.5


def run(start: dict[str, Any], shipped: bytes | None = None) -> dict[str, Any]:
    """Run a job as `start` describes it: {run, params, folder, workdir, roots, memory_mb, path, token, environment}.

    shipped: the files it needs, where this machine does not see the app's. How it ended: {event: result, error, died,
    too_big, cancelled or unshared}, and the files it changed, where they were shipped.
    """
    from distributed import get_worker, secede

    worker, wanted = get_worker(), still_wanted()
    topic = f"autoops-{start['token']}"
    secede()  # what the job itself hands out needs this worker's place

    def tell(event: dict[str, Any]) -> None:
        worker.log_event(topic, event)

    here = Path(start["workdir"])
    seen = here / MARK
    shared = shipped is None and seen.is_file() and seen.read_text() == start["token"]
    if shipped is None and not shared:
        return {"event": "unshared"}
    tell({"event": "begun", "worker": worker.address})
    if shared:
        return _supervise(start, tell, wanted, topic)
    with tempfile.TemporaryDirectory(prefix="autoops-job-") as root:
        moved = unpack(shipped or b"", Path(root), start["roots"])
        before = _stamps(moved.values())
        told = {**start, **{name: replaced(start[name], moved) for name in ("params", "folder", "workdir")}}
        ended = _supervise(told, tell, wanted, topic)
        after = _stamps(moved.values())
        scratch = Path(told["workdir"]) / "tmp"
        changed = [
            path for path, stamp in after.items() if before.get(path) != stamp and not path.is_relative_to(scratch)
        ]
        return {**ended, "files": packed({old: Path(new) for old, new in moved.items()}, only=changed)}


def still_wanted() -> Callable[[], bool]:
    """On a worker: whether anybody still waits for what is being done. No longer once the caller took it back, or is
    gone itself: the scheduler then lets go of its futures."""
    from distributed import get_worker
    from distributed.worker import thread_state

    worker, key = get_worker(), thread_state.key

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state not in ("cancelled", "released", "forgotten")

    return wanted


def _supervise(
    start: dict[str, Any], tell: Callable[[dict[str, Any]], None], wanted: Callable[[], bool], topic: str
) -> dict[str, Any]:
    workdir, scratch = Path(start["workdir"]), Path(start["workdir"]) / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    process = Process(Path(start["folder"]), scratch, start["environment"])
    outcome: dict[str, Any] | None = None
    printed, look_at = "", 0.0
    try:
        path = [one for one in start["path"] if Path(one).exists()]
        process.begin(start["run"], start["params"], workdir, start["memory_mb"], path)
        for event in process.events():
            match event["event"]:
                case "tick" if outcome is None:
                    if not wanted():
                        outcome = {"event": "cancelled"}
                        process.kill()
                    elif time.monotonic() >= look_at:
                        look_at = time.monotonic() + LOOK_AT_MEMORY_EVERY_S
                        if process.memory_mb() > start["memory_mb"]:
                            outcome = {"event": "too_big"}
                            process.kill()
                case "tick":
                    pass
                case "result" | "error":
                    outcome = outcome or event
                case "deliver":
                    file = Path(event["path"])
                    data = None if start["shared"] else file.read_bytes()
                    tell({**event, "path": str(file.relative_to(workdir)), "data": data})
                    process.answer(_answer(topic, wanted))
                    if data is not None:
                        file.unlink(missing_ok=True)
                case "print":
                    printed = (printed + event["message"])[-4000:]
                    tell(event)
                case _:
                    tell(event)
    finally:
        process.close()
        tell({"event": "gone"})
    return outcome or {"event": "died", "code": process.returncode or 0, "printed": printed}


def _answer(topic: str, wanted: Callable[[], bool]) -> dict[str, Any]:
    """What the app says to a delivery."""
    from distributed import Queue

    answers = Queue(f"{topic}-answers")
    while wanted():
        try:
            return dict(answers.get(timeout=1))
        except TimeoutError:
            continue
    return {"ok": False, "type": "Conflict", "message": "The task was cancelled.", "app": True}


# --- files -----------------------------------------------------------------------------------------


def packed(roots: Mapping[str, Path], only: list[Path] | None = None) -> bytes:
    """Files as bytes: of each root (its name for both sides -> where it lies here) all of them, or those named."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, path in enumerate(roots.values()):
            files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
            for file in files:
                if only is None or file in only:
                    inside = file.relative_to(path).as_posix() if file != path else "."
                    archive.add(file, f"{number}/{inside}" if inside != "." else f"{number}.file", recursive=False)
    return buffer.getvalue()


def unpack(data: bytes, into: Path, roots: list[str]) -> dict[str, str]:
    """Put packed files below a folder; where each root lies there."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(into, filter="data")
    moved = {}
    for number, root in enumerate(roots):
        single, folder = into / f"{number}.file", into / str(number)
        if single.is_file():
            folder.mkdir()
            single.replace(folder / Path(root).name)
            moved[root] = str(folder / Path(root).name)
        else:
            folder.mkdir(exist_ok=True)
            moved[root] = str(folder)
    return moved


def put_back(data: bytes, roots: list[str]) -> None:
    """Bring files a worker changed to where they belong here, each by renaming."""
    with tempfile.TemporaryDirectory(prefix="autoops-back-") as near:
        for root, lies in unpack(data, Path(near), roots).items():
            source = Path(lies)
            for file in [source] if source.is_file() else [one for one in source.rglob("*") if one.is_file()]:
                target = Path(root) if file == source else Path(root) / file.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f".{target.name}.part")
                shutil.copyfile(file, part)
                part.replace(target)


def replaced(value: Any, moved: Mapping[str, str]) -> Any:
    """JSON with every path below a root brought to where the root lies now."""
    if isinstance(value, dict):
        return {key: replaced(one, moved) for key, one in value.items()}
    if isinstance(value, list):
        return [replaced(one, moved) for one in value]
    if isinstance(value, str):
        for root, lies in moved.items():
            if value == root or value.startswith(root + os.sep):
                return lies + value[len(root) :]
    return value


def _stamps(places: Any) -> dict[Path, tuple[int, int]]:
    found = {}
    for place in map(Path, places):
        for file in [place] if place.is_file() else [one for one in place.rglob("*") if one.is_file()]:
            about = file.stat()
            found[file] = (about.st_mtime_ns, about.st_size)
    return found


def path_here() -> list[str]:
    """Where this process imports from."""
    return [entry or str(Path.cwd()) for entry in sys.path]
