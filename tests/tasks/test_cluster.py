"""Jobs on a real Dask cluster of two worker processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lib.db.tables import TaskStatus
from lib.errors import Unavailable
from lib.settings import Settings
from lib.tasks import remote
from lib.tasks.cluster import connected
from lib.tasks.job import JobKind
from lib.tasks.runner import Runner

Make = Callable[..., Runner]


@pytest.fixture
def on_cluster(cluster: Any, make_runner: Make) -> Make:
    def make(*jobs: str, address: str = "", **changes: Any) -> Runner:
        kinds = [
            JobKind(job, f"jobs_for_tests:{job}", cluster=True, receive=changes.pop("receive", None)) for job in jobs
        ]
        runner = make_runner(*kinds, dask_scheduler_address=address or cluster.scheduler_address, **changes)
        runner.start()
        return runner

    return make


def test_a_job_runs_in_a_process_of_a_worker_with_its_log(cluster: Any, on_cluster: Make, messages: Callable) -> None:
    runner = on_cluster("echo")
    task = runner.wait(runner.submit("echo", {"x": [1, 2]}, by="ann").id or 0, 30)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    assert task.result["params"] == {"x": [1, 2]}
    assert task.result["pid"] != os.getpid()
    assert "echoing" in messages(runner, task.id)
    assert not (runner.log_path(task.id or 0).parent / "exchange").exists()


def test_cancelling_ends_the_process_on_the_worker_within_two_seconds(
    on_cluster: Make, tmp_path: Path, until: Callable, messages: Callable
) -> None:
    runner = on_cluster("stubborn")
    task = runner.submit("stubborn", {"gate": str(tmp_path / "gate")}, by="ann")
    until(lambda: "under way" in messages(runner, task.id or 0))
    folder = str(runner.log_path(task.id or 0).parent.resolve())

    def left() -> list[int]:
        found = []
        for process in psutil.process_iter():
            try:
                found += [process.pid] if process.environ().get("AUTOOPS_TASK_FOLDER") == folder else []
            except psutil.Error:
                continue
        return found

    assert len(left()) >= 2
    began = time.monotonic()
    runner.cancel(task.id or 0)
    assert runner.get(task.id or 0).status == TaskStatus.CANCELLED
    assert time.monotonic() - began < 2
    until(lambda: not left(), 5)


def test_errors_and_deadlines_are_told_as_here(on_cluster: Make, tmp_path: Path) -> None:
    runner = on_cluster("refuses", "wait_for", task_deadline_s=2)
    refused = runner.wait(runner.submit("refuses", {}, by="ann").id or 0, 30)
    late = runner.wait(runner.submit("wait_for", {"gate": str(tmp_path / "never")}, by="ann").id or 0, 30)
    assert refused.status == late.status == TaskStatus.FAILED
    assert "Only 3 points" in refused.error
    assert "deadline of 2 s" in late.error


def test_delivered_files_are_taken_while_it_runs(on_cluster: Make) -> None:
    taken: list[tuple[str, bytes, dict]] = []
    runner = on_cluster(
        "delivers", receive=lambda params, path, values: taken.append((path.name, path.read_bytes(), values))
    )
    task = runner.wait(runner.submit("delivers", {"files": 3}, by="ann").id or 0, 30)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    assert len(taken) == 3


def test_files_are_shipped_where_workers_do_not_see_them(
    on_cluster: Make, settings: Settings, monkeypatch: pytest.MonkeyPatch, messages: Callable
) -> None:
    home = settings.data_dir / "training" / "one"
    (home / "folds").mkdir(parents=True)
    table = settings.data_dir / "tables" / "t.parquet"
    table.parent.mkdir()
    table.write_bytes(b"rows")
    monkeypatch.setattr(remote, "MARK", ".elsewhere")  # the workers, other processes, look for another name
    runner = on_cluster("copies")
    task = runner.wait(runner.submit("copies", {"folder": str(home), "table": str(table)}, by="ann").id or 0, 30)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    assert (home / "out" / "copy.bin").read_bytes() == b"rows"
    assert task.result["folder"] != str(home)
    assert any("shipped" in line for line in messages(runner, task.id))
    small = on_cluster("copies", dask_ship_mb=1)
    table.write_bytes(b"x" * 2_000_000)
    task = small.wait(small.submit("copies", {"folder": str(home), "table": str(table)}, by="ann").id or 0, 30)
    assert "AUTOOPS_DASK_SHIP_MB" in task.error


def test_a_scheduler_that_does_not_answer_is_said_or_done_without(
    on_cluster: Make, make_runner: Make, messages: Callable
) -> None:
    runner = on_cluster("echo", address="tcp://127.0.0.1:9", dask_timeout_s=1)
    task = runner.wait(runner.submit("echo", {}, by="ann").id or 0, 30)
    assert task.status == TaskStatus.FAILED
    assert "tcp://127.0.0.1:9 does not answer within 1 s" in task.error
    runner.stop()
    runner = on_cluster("echo", address="tcp://127.0.0.1:9", dask_timeout_s=1, dask_fallback=True)
    task = runner.wait(runner.submit("echo", {}, by="ann").id or 0, 30)
    assert task.status == TaskStatus.SUCCEEDED
    assert any("runs here instead" in line for line in messages(runner, task.id))


@pytest.fixture
def silent() -> Iterator[str]:
    """Something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_whatever_else_an_address_leads_to_is_said_and_never_waited_for(silent: str) -> None:
    for address, words in (
        (silent, "does not answer within 1 s"),
        ("tcp://nohost.invalid:8786", "does not answer within 1 s"),
        ("tcp://127.0.0.1:port", "is no address of a Dask scheduler"),
        ("tls://127.0.0.1:9", "takes certificates"),
    ):
        with pytest.raises(Unavailable, match=words), connected(address, 1):
            pass


SERVER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1",
                      scheduler_port=int(sys.argv[1])) as made:
        print(made.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def mortal() -> Iterator[Callable[[int], subprocess.Popen]]:
    """mortal(port): a cluster in a session of its own, to be killed."""
    made: list[subprocess.Popen] = []

    def start(port: int) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        made.append(process)
        assert process.stdout
        process.address = process.stdout.readline().strip()  # type: ignore[attr-defined]
        return process

    yield start
    for process in made:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def test_a_job_whose_cluster_was_lost_is_tried_once_more(
    mortal: Callable, on_cluster: Make, tmp_path: Path, until: Callable, messages: Callable
) -> None:
    first = mortal(0)
    port = int(first.address.rpartition(":")[2])
    runner = on_cluster("wait_for", address=first.address, dask_timeout_s=15)
    task = runner.submit("wait_for", {"gate": str(tmp_path / "gate")}, by="ann")
    until(lambda: "under way" in messages(runner, task.id or 0), 30)
    kill(first)
    threading.Timer(0.5, lambda: (tmp_path / "gate").write_text("open")).start()
    mortal(port)
    ended = runner.wait(task.id or 0, 60)
    assert ended.status == TaskStatus.SUCCEEDED, ended.error
    assert any("lost" in line and "Attempt 2 of 2" in line for line in messages(runner, task.id or 0))


def test_a_worker_killed_twice_fails_the_job_with_the_reason(
    mortal: Callable, on_cluster: Make, tmp_path: Path, until: Callable, messages: Callable
) -> None:
    server = mortal(0)
    runner = on_cluster("wait_for", address=server.address)
    task = runner.submit("wait_for", {"gate": str(tmp_path / "never")}, by="ann")
    for attempt in (1, 2):
        until(lambda n=attempt: messages(runner, task.id or 0).count("under way") == n, 40)
        # The worker is the parent of the job's process.
        for process in psutil.Process(server.pid).children(recursive=True):
            if any("lib.tasks.child" in word for word in process.cmdline()):
                os.kill(process.ppid(), signal.SIGKILL)
    ended = runner.wait(task.id or 0, 60)
    assert ended.status == TaskStatus.FAILED
    assert "worker that ran this was lost" in ended.error


def test_a_scheduler_that_hangs_is_lost_and_the_job_goes_on_here(
    mortal: Callable, on_cluster: Make, tmp_path: Path, until: Callable, messages: Callable
) -> None:
    server = mortal(0)
    runner = on_cluster("wait_for", address=server.address, dask_timeout_s=2, dask_fallback=True)
    task = runner.submit("wait_for", {"gate": str(tmp_path / "gate")}, by="ann")
    until(lambda: "under way" in messages(runner, task.id or 0), 40)
    os.kill(server.pid, signal.SIGSTOP)
    until(lambda: any("runs here instead" in line for line in messages(runner, task.id or 0)), 40)
    (tmp_path / "gate").write_text("open")
    ended = runner.wait(task.id or 0, 30)
    assert ended.status == TaskStatus.SUCCEEDED, ended.error


def test_a_job_on_a_scheduler_that_hangs_can_be_cancelled_and_the_next_one_runs(
    mortal: Callable, on_cluster: Make, tmp_path: Path, until: Callable, messages: Callable
) -> None:
    server = mortal(0)
    runner = on_cluster(
        "wait_for", "echo", address=server.address, dask_timeout_s=2, dask_fallback=True, task_concurrency=1
    )
    task = runner.submit("wait_for", {"gate": str(tmp_path / "never")}, by="ann")
    until(lambda: "under way" in messages(runner, task.id or 0), 40)
    os.kill(server.pid, signal.SIGSTOP)
    runner.cancel(task.id or 0)
    assert runner.get(task.id or 0).status == TaskStatus.CANCELLED
    after = runner.wait(runner.submit("echo", {}, by="ann").id or 0, 40)
    assert after.status == TaskStatus.SUCCEEDED, after.error


def test_dask_is_imported_only_with_an_address() -> None:
    code = (
        "import sys, tempfile, pathlib; from lib.app import build; from lib.settings import Settings;"
        "d = pathlib.Path(tempfile.mkdtemp()); a = build(Settings(data_dir=d, models_dir=d / 'm', demo=False));"
        "print('dask' in sys.modules, 'distributed' in sys.modules); a.stop()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split()[-2:] == ["False", "False"]
