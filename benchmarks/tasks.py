"""Cancel a busy task; kill app and child again and again while versions of a dataset are made, and count what is amiss.

A round: an app in a process of its own is asked for a version, then it or its child is killed at a random moment; the
next app goes on. Afterwards every version asked for must be there once, with its checksum, and nothing else.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from benchmarks.report import Figure, note

ROWS = 400_000
APP = """
import sys
from dataclasses import replace
from pathlib import Path
from lib.app import build
from lib.auth.actor import SYSTEM
from lib.settings import Settings
home = Path(sys.argv[1])
app = build(Settings(data_dir=home / "data", models_dir=home / "models", demo=False, log_level="ERROR"))
app.runner.start()
print("ready", flush=True)
for line in sys.stdin:
    word, _, name = line.strip().partition(" ")
    if word == "edit":
        opened = app.datasets.open(SYSTEM, 1)
        columns = [replace(opened.schema[0], name=name), *opened.schema[1:]]
        print(app.datasets.edit(SYSTEM, 1, columns).id, flush=True)
    elif word == "wait":
        print(app.runner.wait(int(name), 120).status, flush=True)
"""


class AppProcess:
    """An app to be killed."""

    def __init__(self, home: Path) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", APP, str(home)],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._hear()

    def _hear(self) -> str:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline().strip()
        if not line:
            raise RuntimeError("the app left")
        return line

    def ask(self, words: str) -> str:
        assert self.popen.stdin is not None
        self.popen.stdin.write(words + "\n")
        self.popen.stdin.flush()
        return self._hear()

    def children(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.popen.pid).children()]

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(10)
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream:
                stream.close()


def busy(context: object) -> None:
    """A job that hears nothing for a minute: one call inside the interpreter."""
    context.log("under way")  # type: ignore[attr-defined]
    pow(3, 10**9)


def cancelled(home: Path, times: int) -> float:
    """Seconds from asking until the row says so and the process is gone; the worst of some."""
    from lib.db.database import Database
    from lib.settings import Settings
    from lib.tasks.job import JobKind
    from lib.tasks.runner import Runner

    settings = Settings(data_dir=home / "cancel", demo=False)
    database = Database(settings.resolved_database_url)
    database.migrate()
    runner = Runner(settings, database)
    runner.register(JobKind("busy", "benchmarks.tasks:busy"))
    runner.start()
    worst = 0.0
    for number in range(times):
        task_id = runner.submit("busy", {}, by="bench", title=f"busy {number}").id or 0
        while len(runner.log(task_id)) < 2:
            time.sleep(0.01)
        children = [child.pid for child in psutil.Process().children() if child.is_running()]
        began = time.perf_counter()
        runner.cancel(task_id)
        while any(psutil.pid_exists(one) and psutil.Process(one).status() != "zombie" for one in children):
            time.sleep(0.005)
        worst = max(worst, time.perf_counter() - began)
    runner.stop()
    database.close()
    return worst


def made(home: Path) -> None:
    """The dataset whose versions are asked for."""
    import io

    from lib.app import build
    from lib.auth.actor import SYSTEM
    from lib.settings import Settings

    app = build(Settings(data_dir=home / "data", models_dir=home / "models", demo=False, log_level="ERROR"))
    app.runner.start()
    body = b"a,b,c\n" + b"".join(b"%d,%d.5,w%d\n" % (i, i, i % 9) for i in range(ROWS))
    task = app.runner.wait(app.datasets.upload(SYSTEM, "bench.csv", io.BytesIO(body)).id or 0, 120)
    app.stop()
    if task.status != "succeeded":
        raise RuntimeError(task.error)


def checked(home: Path, asked: list[str]) -> tuple[int, int]:
    """(half written, lost or doubled) of everything that lies there."""
    from lib.app import build
    from lib.auth.actor import SYSTEM
    from lib.settings import Settings

    folder = home / "data" / "datasets" / "1"
    app = build(Settings(data_dir=home / "data", models_dir=home / "models", demo=False, log_level="ERROR"))
    try:
        _one, history = app.datasets.get(SYSTEM, 1)
        half = sum(not app.datasets.files.whole(1, version.hash) for version in history)
        known = {f"{version.hash}{suffix}" for version in history for suffix in (".parquet", ".json")}
        half += sum(path.name not in known for path in folder.iterdir())
        half += sum(1 for path in (home / "data" / "tasks").glob("*/exchange"))
        names = [version.columns[0].name for version in history]
        return half, sum(names.count(name) != 1 for name in asked) + (len(names) != len(asked) + 1)
    finally:
        app.stop()


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """cancel_s (worst of five), half_written and lost_or_doubled after the kills."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks tasks")
    parser.add_argument("--kills", type=int, default=6 if quick else 30)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(args)
    chance = random.Random(options.seed)  # noqa: S311 (moments to kill at)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        yield Figure("tasks", "cancel_s", round(cancelled(home, 2 if quick else 5), 2), "s")
        made(home)
        asked: list[str] = []
        tasks: list[str] = []
        app = AppProcess(home)
        for number in range(options.kills):
            asked.append(f"round {number}")
            tasks.append(app.ask(f"edit {asked[-1]}"))
            time.sleep(chance.uniform(0.0, 1.5))
            if number % 2 and (children := app.children()):
                os.kill(chance.choice(children), signal.SIGKILL)
            else:
                app.kill()
                app = AppProcess(home)
            note(f"kill {number + 1}: task {tasks[-1]} {app.ask(f'wait {tasks[-1]}')}")
        app.kill()
        half, amiss = checked(home, asked)
    yield Figure("tasks", "kills", options.kills, "kills")
    yield Figure("tasks", "half_written", half, "files")
    yield Figure("tasks", "lost_or_doubled", amiss, "versions")
