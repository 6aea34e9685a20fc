"""Tiny jobs the runner's tests start, in child processes that find this module by the app's own import path."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lib.errors import AppError, NotEnoughData
from lib.tasks.job import JobContext


def echo(context: JobContext, **params: Any) -> dict[str, Any]:
    context.log("echoing", count=len(params))
    context.progress(0.5, "half way")
    return {"params": params, "pid": os.getpid()}


def nothing(context: JobContext) -> None:
    """Returns no results at all."""


def where(context: JobContext) -> dict[str, Any]:
    """How the process is set apart from the app."""
    return {
        "session": os.getsid(0),
        "pid": os.getpid(),
        "nice": os.nice(0),
        "scratch": os.environ.get("TMPDIR", ""),
        "workdir": str(context.workdir),
    }


def wait_for(context: JobContext, gate: str) -> dict[str, Any]:
    """Leaves a half-made file, says it is under way, then waits until the gate opens."""
    (context.workdir / "half-made.parquet").write_bytes(b"half")
    context.log("under way")
    while not Path(gate).exists():
        context.progress(0.1, "waiting")
        time.sleep(0.01)
    return {"opened": gate}


def stubborn(context: JobContext, gate: str) -> dict[str, Any]:
    """Ignores SIGTERM, with a child of its own that does the same."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(
        [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
    )
    return swallows(context, gate)


def swallows(context: JobContext, gate: str) -> dict[str, Any]:
    """Goes on whatever a step raises."""
    context.log("under way")
    while not Path(gate).exists():
        try:
            context.progress(0.2, "busy")
            time.sleep(0.01)
        except Exception:
            context.log("swallowed")
    return {}


def busy_in_c(context: JobContext) -> None:
    """Holds the interpreter inside one C call for far longer than any test waits."""
    context.log("under way")
    pow(3, 10**9)


def busy_in_numpy(context: JobContext) -> None:
    import numpy as np

    context.log("under way")
    matrix = np.ones((8_000, 8_000), dtype=np.float32)
    while True:
        matrix = matrix @ matrix


def bomb(context: JobContext) -> None:
    """Takes memory in bites until it is stopped."""
    eaten = []
    while True:
        eaten.append(bytearray(32 * 1024 * 1024))


def big_bite(context: JobContext, gigabytes: int) -> None:
    import numpy as np

    np.ones(gigabytes * 2**27)


def cpp_allocation(context: JobContext) -> None:
    """Dies as C++ libraries do when an allocation fails, without a word in Python."""
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def learns(context: JobContext) -> dict[str, Any]:
    """What real jobs do: numpy, DuckDB in memory, Arrow and scikit-learn on all cores; needs no false alarm."""
    import duckdb
    import numpy as np
    from sklearn.ensemble import IsolationForest

    data = np.random.default_rng(0).normal(size=(20_000, 20))
    scores = IsolationForest(n_estimators=50, max_samples=2048, n_jobs=-1, random_state=0).fit(data).score_samples(data)
    path = context.workdir / "scores.parquet"
    with duckdb.connect(config={"threads": 4}) as connection:
        connection.execute(f"COPY (SELECT range AS n FROM range(500000)) TO '{path}' (FORMAT parquet)")
        rows = connection.execute(f"SELECT count(*) FROM '{path}'").fetchone()
    return {"rows": rows[0], "scores": len(scores)}


def crash(context: JobContext, signal_name: str) -> None:
    print("about to crash", flush=True)
    os.kill(os.getpid(), signal.Signals[signal_name])
    time.sleep(60)


def leave(context: JobContext, code: int) -> None:
    os._exit(code)


def exits(context: JobContext) -> None:
    sys.exit("enough")


def hangs_at_exit(context: JobContext) -> dict[str, Any]:
    """Leaves a thread that would keep an ordinary interpreter from leaving, and a process that holds the pipes."""
    import threading

    threading.Thread(target=time.sleep, args=(600,)).start()
    orphan = os.fork()
    if orphan == 0:
        time.sleep(600)
        os._exit(0)
    return {"orphan": orphan}


def refuses(context: JobContext) -> None:
    raise NotEnoughData("Only 3 points where 100 are needed; widen the range.", points=3)


def breaks(context: JobContext) -> None:
    raise ValueError("bad password=hunter2 in row 7")


def odd_result(context: JobContext) -> dict[str, Any]:
    return {"value": object()}


def prints(context: JobContext) -> None:
    print("plain out")
    print("first\rsecond", flush=True)
    os.write(2, b"from C \xff\n")
    sys.stderr.write("no line end")


def chatters(context: JobContext, lines: int) -> None:
    for n in range(lines):
        context.log("again", n=n)
    context.log("the last warning", "warning")


def shouts(context: JobContext, lines: int) -> None:
    print("x" * 99 + "\n", end="")
    sys.stdout.write(("y" * 99 + "\n") * lines)


def long_line(context: JobContext) -> None:
    context.log("m" * 100_000, much="v" * 100_000)
    print("p" * 6_000_000)
    context.log("after")


def hurries(context: JobContext, steps: int) -> None:
    for n in range(steps):
        context.progress(n / steps, f"step {n}")
    context.progress(float("nan"), "odd \x00 \ud800 text")


def delivers(context: JobContext, files: int, words: str = "") -> dict[str, Any]:
    taken = []
    for n in range(files):
        path = context.workdir / f"part-{n}.parquet"
        path.write_text(f"rows of {n}")
        try:
            context.deliver(path, number=n, words=words)
            taken.append(n)
        except AppError as error:
            return {"taken": taken, "error": type(error).__name__, "message": error.message, "values": error.values}
    return {"taken": taken, "left": [p.name for p in context.workdir.glob("part-*")]}


def delivers_elsewhere(context: JobContext, path: str) -> None:
    context.deliver(Path(path))


def reads_prepared(context: JobContext, exported: str, secret: str) -> dict[str, Any]:
    context.log("reading", secret_length=len(secret))
    (context.workdir / "model.bin").write_bytes(b"model")
    return {"text": Path(exported).read_text()}


def family(context: JobContext) -> None:
    """Starts a process in another session's way of living on, and waits."""
    (context.workdir / "half-made.parquet").write_bytes(b"half")
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    context.log("under way", started=started.pid)
    time.sleep(600)


def folds(context: JobContext, gate: str) -> dict[str, Any]:
    """Three folds, each kept when it is finished; before the last one it waits for the gate."""
    done = context.restore("folds") or []
    for fold in range(3):
        if fold in done:
            continue
        while fold == 2 and not Path(gate).exists():
            time.sleep(0.01)
        context.log(f"fold {fold} learnt")
        done.append(fold)
        context.checkpoint("folds", done)
        context.checkpoint(f"model-{fold}", b"weights")
    return {"done": done, "first": (context.restore("model-0") or b"").decode()}


def flaky(context: JobContext, how: str) -> dict[str, Any]:
    """Dies once, then does its work."""
    attempt = (context.restore("attempts") or 0) + 1
    context.checkpoint("attempts", attempt)
    if attempt == 1 and how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if attempt == 1:
        raise RuntimeError("the network hiccuped")
    return {"attempt": attempt}


def copies(context: JobContext, folder: str, table: str) -> dict[str, Any]:
    """Leaves a copy of a file in a folder its parameters name."""
    out = Path(folder) / "out"
    out.mkdir()
    (out / "copy.bin").write_bytes(Path(table).read_bytes())
    return {"folder": folder}
