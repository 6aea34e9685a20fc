"""The child that checks and serves models: `python -m lib.registry.worker FOLDER MEMORY_MB`, started by
`lib.registry.serving`.

Requests come as JSON, one a line, on standard input; answers go out the same way. Loaded models stay. It sees no
environment, writes no file, and where the kernel has Landlock it reads nothing but FOLDER and its own libraries and
reaches no network: a model file is somebody's input, and the libraries that read it are large.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import queue
import sys
import sysconfig
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from lib.errors import AppError
from lib.registry import answers, loaders, schema
from lib.settings import ROOT
from lib.sql import confine

MOST_MODELS = 8
# Threads and allocators of numpy, XGBoost and onnxruntime map this beside what they use.
UNTOUCHED_MB = 1536
# Past its time the app ends this process; should the app be gone or stuck, the process ends itself this much later.
GRACE_S = 2.0


class Worker:
    def __init__(self, folder: Path, memory_mb: int) -> None:
        self.folder, self.memory_mb = folder, memory_mb
        self._models: OrderedDict[str, loaders.Served] = OrderedDict()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            match request["op"]:
                case "check":
                    from lib.registry import checks

                    return {
                        "event": "checked",
                        **checks.check(request["format"], Path(request["path"]), request["given"]),
                    }
                case "predict":
                    return self._predict(request)
                case _:
                    self._model(request["model"])
                    return {"event": "loaded"}
        except AppError as error:
            return {"event": "refused", "type": type(error).__name__, "message": error.message}
        except MemoryError:
            self._models.clear()
            return {"event": "memory"}
        except Exception as error:  # whatever a library makes of somebody's file
            return {"event": "failed", "message": f"{type(error).__name__}: {str(error)[:300]}"}

    def _model(self, wanted: dict[str, Any]) -> loaders.Served:
        key = wanted["key"]
        if key in self._models:
            self._models.move_to_end(key)
            return self._models[key]
        made = loaders.load(wanted["format"], self.folder / key, schema.from_json(wanted["schema"]))
        self._models[key] = made
        while len(self._models) > MOST_MODELS or (len(self._models) > 1 and _resident_mb() > self.memory_mb * 0.7):
            self._models.popitem(last=False)
            gc.collect()
        return made

    def _predict(self, request: dict[str, Any]) -> dict[str, Any]:
        served = self._model(request["model"])
        return {"event": "predicted", **answers.say(served, request["columns"], bool(request.get("explain")))}


def _resident_mb() -> float:
    """0 where the system does not say it this way."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, ValueError):
        return 0.0


def _limit(memory_mb: int) -> None:
    """As `confine.limit`, but for RLIMIT_DATA: see lib/tasks/child.py on why not the address space."""
    import resource

    size = (memory_mb + UNTOUCHED_MB) * 2**20
    for what, value in ((resource.RLIMIT_DATA, size), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (value, value))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900")


def _readable(folder: Path) -> list[Path]:
    """What libraries are imported from, and what they ask of the machine."""
    places = [folder, ROOT / "lib", Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("stdlib"))]
    places += [Path(entry) for entry in sys.path if "site-packages" in entry or "dist-packages" in entry]
    places += [
        Path(name)
        for name in ("/usr/lib", "/lib", "/lib64", "/etc/ld.so.cache", "/sys/devices/system", "/proc/cpuinfo")
    ]
    places += [Path(name) for name in ("/usr/share/zoneinfo", "/etc/localtime", "/proc/meminfo", "/proc/self")]
    return [place.resolve() for place in dict.fromkeys(places) if place.exists()]


def _listen(requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        requests.put(json.loads(line))
    os._exit(0)


def _send(fd: int, event: dict[str, Any]) -> None:
    data = memoryview((json.dumps(event) + "\n").encode("utf-8", "backslashreplace"))
    while data:
        data = data[os.write(fd, data) :]


def main() -> None:
    folder, memory_mb = Path(sys.argv[1]), int(sys.argv[2])
    # What libraries print must not get between the answers.
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    import pandas  # noqa: F401 (every model takes a frame; better before the first request than within it)

    _limit(memory_mb)
    locked = confine.lock(*_readable(folder))
    worker = Worker(folder, memory_mb)
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    _send(out, {"event": "ready", "locked": locked})
    while True:
        request = requests.get()
        # In C, so that it works even while something holds the interpreter.
        faulthandler.dump_traceback_later(request["seconds"] + GRACE_S, exit=True)
        try:
            _send(out, worker.answer(request))
        finally:
            faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main()
