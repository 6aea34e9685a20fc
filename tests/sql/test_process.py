"""The child: what it cannot do even where the guard would let it, how it ends, and how it is lent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import psutil
import pytest

from lib.settings import ROOT
from lib.sql.process import Child, End, Ended, Pool

MEMORY_MB = 512
ENDLESS = "SELECT count(*) FROM range(9000000) a(i), range(9000000) b(j) WHERE i * j = -1"
# Runs statements in a confined worker without asking the guard; prints what each gave.
UNGUARDED = """
import json, sys, socket
from pathlib import Path
from lib.sql import confine
from lib.sql.worker import Worker
folder = Path(sys.argv[1])
confine.limit(512)
worker = Worker(folder, 512)
locked = confine.lock(folder)
for sql in json.loads(sys.stdin.read()):
    try:
        print(json.dumps([True, repr(worker.instance.cursor().execute(sql).fetchall())]))
    except Exception as error:
        print(json.dumps([False, str(error)]))
for attempt in (lambda: open("/etc/hostname").read(), lambda: open(folder / "x", "w").write("x"),
                lambda: socket.create_connection(("127.0.0.1", 1), 1)):
    try:
        print(json.dumps([True, repr(attempt())]))
    except OSError as error:
        print(json.dumps([False, type(error).__name__]))
print(json.dumps(locked))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "sql"
    made.mkdir()
    duckdb.execute(f"COPY (SELECT 42 AS n) TO '{made}/n.parquet'")
    return made


@pytest.fixture
def pool(folder: Path) -> Iterator[Pool]:
    made = Pool(folder, MEMORY_MB)
    yield made
    made.close()


def ask(child: Child, sql: str, *, views: tuple[str, ...] = (), seconds: float = 10, stop=None, **more) -> list[dict]:
    request = {"op": "run", "sql": sql, "tables": ["n"], "views": views, "rows": 100, "cells": 9999, "bytes": 99_999}
    return list(child.ask(request | more, seconds, stop or threading.Event()))


def view(folder: Path) -> tuple[str, ...]:
    return (f"CREATE TEMP VIEW n AS SELECT * FROM read_parquet('{folder.resolve()}/n.parquet')",)


def test_it_reads_the_snapshot_and_answers_in_order(pool: Pool, folder: Path) -> None:
    with pool.lend(5) as child:
        events = ask(child, "SELECT n, n / 4 AS q, 'ä' AS t, NULL AS e FROM n", views=view(folder))
    assert [event["event"] for event in events] == ["columns", "rows", "done"]
    assert events[0]["kinds"][:3] == ["integer", "number", "text"]
    assert events[1]["rows"] == [[42, 10.5, "ä", None]]


def test_views_of_one_query_are_gone_for_the_next(pool: Pool, folder: Path) -> None:
    with pool.lend(5) as child:
        ask(child, "FROM n", views=view(folder))
        assert ask(child, "FROM n")[-1]["event"] == "failed"


def test_without_the_guard_the_child_still_reaches_nothing(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("canary")
    statements = [
        f"SELECT * FROM read_text('{secret}')",
        f"SELECT * FROM '{secret}'",
        "SELECT * FROM glob('/*')",
        f"COPY (SELECT 1) TO '{folder}/out.csv'",
        f"ATTACH '{tmp_path}/x.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
    ]
    done = subprocess.run(
        [sys.executable, "-c", UNGUARDED, str(folder.resolve())],
        cwd=ROOT,
        env={"MALLOC_ARENA_MAX": "1"},
        input=json.dumps(statements),
        capture_output=True,
        text=True,
        timeout=60,
    )
    *answers, locked = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(statements) + 3, done.stderr
    refused = answers if locked else answers[: len(statements)]
    assert not [answer for answer in refused if answer[0]]
    assert "canary" not in done.stdout
    assert sorted(file.name for file in folder.iterdir() if file.stat().st_size) == ["n.parquet"]


def test_it_sees_nothing_of_the_apps_environment(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "canary")
    with pool.lend(5) as child:
        assert "canary" not in str(psutil.Process(child.pid).environ())


def test_late_is_ended_and_the_next_query_runs(pool: Pool) -> None:
    with pool.lend(5) as child, pytest.raises(Ended) as caught:
        ask(child, ENDLESS, seconds=0.3)
    assert caught.value.why is End.LATE
    assert not child.alive
    psutil.wait_procs([psutil.Process(child.pid)] if psutil.pid_exists(child.pid) else [], timeout=10)
    assert not psutil.pid_exists(child.pid)
    with pool.lend(5) as fresh:
        assert ask(fresh, "SELECT 1")[-1]["event"] == "done"


def test_stopped_from_another_thread(pool: Pool) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pool.lend(5) as child, pytest.raises(Ended) as caught:
        ask(child, ENDLESS, stop=stop)
    assert caught.value.why is End.STOPPED


def test_a_killed_child_is_told_and_replaced(pool: Pool) -> None:
    with pool.lend(5) as child:
        threading.Timer(0.3, os.kill, (child.pid, signal.SIGKILL)).start()
        with pytest.raises(Ended) as caught:
            ask(child, ENDLESS)
    assert caught.value.why is End.DIED
    with pool.lend(5) as fresh:
        assert fresh.pid != child.pid
        assert ask(fresh, "SELECT 1")[-1]["event"] == "done"


def test_one_that_ran_out_of_memory_is_not_lent_again(pool: Pool) -> None:
    with pool.lend(5) as child:
        assert ask(child, "SELECT list_sum(range(2000000000))")[-1]["event"] == "memory"
    assert child.pid not in pool.pids


def test_what_sends_more_than_it_may_is_ended(pool: Pool) -> None:
    with pool.lend(5) as child, pytest.raises(Ended) as caught:
        request = {"op": "run", "sql": "SELECT repeat('x', 500000)", "tables": [], "views": []}
        list(child.ask(request | {"rows": 9, "cells": 9, "bytes": 999_999}, 5, threading.Event(), most_bytes=1000))
    assert caught.value.why is End.UNRULY


def test_it_is_kept_warm_and_ends_when_idle(pool: Pool) -> None:
    with pool.lend(5) as first:
        ask(first, "SELECT 1")
    with pool.lend(5) as second:
        ask(second, "SELECT 1")
    assert second.pid == first.pid
    pool.tidy(idle_s=60)
    assert pool.pids == [first.pid]
    pool.tidy(idle_s=0)
    assert pool.pids == []
    assert not first.alive


def test_no_more_than_two_run_at_a_time(pool: Pool) -> None:
    with pool.lend(5) as one, pool.lend(5) as two:
        assert one.pid != two.pid
        with pytest.raises(TimeoutError), pool.lend(0.05):
            pass


def test_it_ends_with_the_app(folder: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom lib.sql.process import Child\n"
        f"child = Child(Path({str(folder)!r}), {MEMORY_MB})\nprint(child.pid, flush=True)\ntime.sleep(60)"
    )
    app = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert app.stdout
    child = psutil.Process(int(app.stdout.readline()))
    app.kill()
    app.wait()
    app.stdout.close()
    child.wait(10)
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_an_answer_stops_at_its_rows_cells_and_bytes(pool: Pool) -> None:
    def rows(**limits: int) -> tuple[int, bool]:
        with pool.lend(5) as child:
            events = ask(child, "SELECT i, i AS j FROM range(1000000) t(i)", **limits)
        return sum(len(event.get("rows", ())) for event in events), events[-1]["truncated"]

    assert rows(rows=300) == (300, True)
    assert rows(rows=300, cells=100) == (50, True)
    count, truncated = rows(rows=10_000, cells=999_999, bytes=1000)
    assert 0 < count < 200 and truncated
