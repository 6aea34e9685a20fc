from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psutil
import pytest
from sqlmodel import select

from lib.db.tables import Task, TaskStatus
from lib.errors import Conflict, Invalid, NotFound
from lib.settings import TaskMode
from lib.tasks.job import JobKind
from lib.tasks.process import GRACE_S
from lib.tasks.runner import SETTLE_WITHIN_S

BOTH = pytest.mark.parametrize("mode", list(TaskMode))


def folder(runner, task):
    return runner.log_path(task.id).parent


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


# --- submitting --------------------------------------------------------------------------------


@BOTH
def test_job_runs_and_its_row_and_log_tell_of_it(make_runner, mode) -> None:
    runner = make_runner("echo", task_mode=mode)
    runner.start()
    task = runner.wait(runner.submit("echo", {"span": (1, 2)}, by="ada", title="Echo a span").id, 20)
    assert (task.status, task.progress, task.error) == (TaskStatus.SUCCEEDED, 1.0, "")
    assert (task.title, task.created_by, task.active_key) == ("Echo a span", "ada", None)
    assert task.result["params"] == {"span": [1, 2]}
    assert (task.result["pid"] == os.getpid()) is (mode is TaskMode.THREAD)
    assert task.created_at <= task.started_at <= task.finished_at
    lines = runner.log(task.id)
    assert [line["n"] for line in lines] == [0, 1, 2]
    assert lines[1]["message"] == "echoing" and lines[1]["values"] == {"count": 1} and lines[1]["level"] == "info"
    assert runner.log(task.id, after=2) == runner.log(task.id, after=-1) == lines[2:]
    assert lines[2]["message"] == "Succeeded."


def test_child_is_set_apart_from_the_app(make_runner) -> None:
    runner = make_runner("where")
    runner.start()
    task = runner.wait(runner.submit("where", {}, by="ada").id, 20)
    assert task.result["session"] == task.result["pid"] != os.getsid(0)
    assert task.result["nice"] > os.nice(0)
    assert task.result["scratch"].startswith(task.result["workdir"])
    assert not Path(task.result["workdir"]).exists()


@BOTH
def test_job_without_results_succeeds(make_runner, mode) -> None:
    runner = make_runner("nothing", task_mode=mode)
    runner.start()
    task = runner.wait(runner.submit("nothing", {}, by="ada").id, 20)
    assert (task.status, task.result) == (TaskStatus.SUCCEEDED, {})


def test_unknown_kind_names_the_known_ones(make_runner) -> None:
    with pytest.raises(Invalid, match="'bake'; known are echo, nothing"):
        make_runner("nothing", "echo").submit("bake", {}, by="ada")


@pytest.mark.parametrize("params", [{"x": object()}, {"x": float("nan")}, {"x": {1, 2}}, {"x": "y" * 2_000_000}])
def test_params_that_json_cannot_hold_are_refused(make_runner, params) -> None:
    with pytest.raises(Invalid, match="parameters of echo"):
        make_runner("echo").submit("echo", params, by="ada")


def test_same_submission_from_16_threads_is_one_task(make_runner, database) -> None:
    runner = make_runner("echo")
    barrier = threading.Barrier(16)

    def submit(n: int) -> int:
        barrier.wait()
        return runner.submit("echo", {"b": 2, "a": 1} if n % 2 else {"a": 1, "b": 2}, by=f"user {n}").id

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(submit, range(16)))
    with database.session() as session:
        assert {task.id for task in session.exec(select(Task))} == ids
    assert len(ids) == 1


def test_key_says_what_counts_as_the_same(make_runner) -> None:
    runner = make_runner("echo", "nothing")
    first = runner.submit("echo", {"a": 1}, by="ada", key="host web-1")
    assert runner.submit("echo", {"a": 2}, by="bob", key="host web-1").id == first.id
    assert runner.submit("echo", {"a": 1}, by="ada").id != first.id
    assert runner.submit("nothing", {}, by="ada", key="host web-1").id != first.id
    assert (
        runner.submit("echo", {}, by="ada", key="k" * 500).id == runner.submit("echo", {}, by="ada", key="k" * 500).id
    )


def test_ended_task_makes_way_for_the_same_submission(make_runner) -> None:
    runner = make_runner("echo")
    runner.start()
    first = runner.wait(runner.submit("echo", {}, by="ada").id, 20)
    assert runner.submit("echo", {}, by="ada").id != first.id


def test_hostile_title_and_name_are_stored(make_runner) -> None:
    runner = make_runner("echo")
    task = runner.submit("echo", {"text": "\x00\ud800'; --"}, by="a\x00" * 99, title="<b>\ud800\x00</b>" * 99)
    runner.start()
    task = runner.wait(task.id, 20)
    assert task.status == TaskStatus.SUCCEEDED and len(task.title) <= 256 and "\x00" not in task.title


# --- queue -------------------------------------------------------------------------------------


@BOTH
def test_tasks_start_in_order_and_no_more_than_allowed(make_runner, until, tmp_path, mode, database) -> None:
    runner = make_runner("wait_for", task_mode=mode, task_concurrency=2)
    gates = [tmp_path / f"gate-{n}" for n in range(5)]
    ids = [runner.submit("wait_for", {"gate": str(gate)}, by="ada").id for gate in gates]
    runner.start()

    def running() -> list[int]:
        with database.session() as session:
            return list(session.exec(select(Task.id).where(Task.status == TaskStatus.RUNNING).order_by(Task.id)))

    for n, gate in enumerate(gates):
        until(partial(lambda expected: running() == expected, ids[n : n + 2]))
        gate.touch()
        assert runner.wait(ids[n], 20).status == TaskStatus.SUCCEEDED


def test_wait_gives_up_in_time(make_runner) -> None:
    runner = make_runner("echo")
    task = runner.submit("echo", {}, by="ada")
    with pytest.raises(TimeoutError, match="still pending"):
        runner.wait(task.id, 0.05)


def test_wait_for_a_task_that_is_not_there(make_runner) -> None:
    with pytest.raises(NotFound, match="no task 99"):
        make_runner().wait(99, 1)


# --- cancelling --------------------------------------------------------------------------------


def test_pending_task_is_cancelled_at_once(make_runner) -> None:
    runner = make_runner("echo")
    task = runner.submit("echo", {}, by="ada")
    runner.cancel(task.id)
    task = runner.wait(task.id, 0.01)
    assert (task.status, task.started_at) == (TaskStatus.CANCELLED, None)
    assert runner.submit("echo", {}, by="ada").id != task.id


@pytest.mark.parametrize(
    ("mode", "job"),
    [
        (TaskMode.CHILD, "wait_for"),
        (TaskMode.CHILD, "stubborn"),
        (TaskMode.CHILD, "busy_in_c"),
        (TaskMode.CHILD, "busy_in_numpy"),
        (TaskMode.THREAD, "wait_for"),
        (TaskMode.THREAD, "swallows"),
    ],
)
def test_running_task_is_cancelled_with_all_it_started_and_made(make_runner, until, tmp_path, mode, job) -> None:
    runner = make_runner(job, task_mode=mode)
    runner.start()
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    params = {"gate": str(tmp_path / "never")} if "busy" not in job else {}
    task = runner.submit(job, params, by="ada")
    until(lambda: "under way" in [line["message"] for line in runner.log(task.id)])
    runner.cancel(task.id)
    task = runner.wait(task.id, 0.01)
    assert (task.status, task.active_key, task.result) == (TaskStatus.CANCELLED, None, {})
    until(lambda: not runner._active)
    assert [path.name for path in folder(runner, task).iterdir()] == ["log.jsonl"]
    assert runner.log(task.id)[-1]["message"] == "Cancelled."
    if mode is TaskMode.CHILD:
        left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before and alive(p.pid)]
        assert left == []


def test_cancel_waits_less_than_the_two_seconds_it_promises() -> None:
    assert GRACE_S + SETTLE_WITHIN_S < 2.0


def test_cancel_during_receive_keeps_what_was_taken_and_nothing_more(make_runner, until) -> None:
    entered, leave, taken = threading.Event(), threading.Event(), []

    def receive(params, path, values) -> None:
        entered.set()
        leave.wait(20)
        taken.append(values["number"])

    runner = make_runner(JobKind("delivers", "jobs_for_tests:delivers", receive=receive))
    runner.start()
    task = runner.submit("delivers", {"files": 3}, by="ada")
    entered.wait(20)
    runner.cancel(task.id)
    assert runner.wait(task.id, 0.01).status == TaskStatus.CANCELLED
    leave.set()
    until(lambda: not runner._active)
    assert taken == [0]
    assert runner.wait(task.id, 0.01).status == TaskStatus.CANCELLED


def test_cancel_is_too_late_once_the_result_is_being_kept(make_runner) -> None:
    entered, leave = threading.Event(), threading.Event()

    def finish(params, result, workdir):
        entered.set()
        leave.wait(20)
        return result

    runner = make_runner(JobKind("echo", "jobs_for_tests:echo", finish=finish))
    runner.start()
    task = runner.submit("echo", {}, by="ada")
    entered.wait(20)
    with pytest.raises(Conflict, match="can no longer be cancelled"):
        runner.cancel(task.id)
    leave.set()
    assert runner.wait(task.id, 20).status == TaskStatus.SUCCEEDED


@BOTH
def test_cancel_racing_with_the_end_has_one_winner(make_runner, mode) -> None:
    """Whoever wins, row, log and what `finish` kept tell the same story."""
    kept = []
    kind = JobKind("echo", "jobs_for_tests:echo", finish=lambda params, result, workdir: kept.append(params["n"]) or {})
    runner = make_runner(kind, task_mode=mode)
    runner.start()
    for n in range(12):
        task = runner.submit("echo", {"n": n}, by="ada")
        time.sleep(n * (0.008 if mode is TaskMode.CHILD else 0.0005))
        try:
            runner.cancel(task.id)
            won = True
        except Conflict:
            won = False
        task = runner.wait(task.id, 20)
        assert task.status == (TaskStatus.CANCELLED if won else TaskStatus.SUCCEEDED)
        assert (n in kept) is not won


def test_cancel_of_ended_or_unknown_task_says_so(make_runner) -> None:
    runner = make_runner("echo")
    runner.start()
    task = runner.wait(runner.submit("echo", {}, by="ada").id, 20)
    with pytest.raises(Conflict, match=r"already ended \(succeeded\)"):
        runner.cancel(task.id)
    with pytest.raises(NotFound):
        runner.cancel(10_000)


# --- restart -----------------------------------------------------------------------------------


def test_stop_interrupts_and_the_next_start_takes_the_pending(make_runner, until, tmp_path) -> None:
    first = make_runner("wait_for", "echo", task_concurrency=1)
    first.start()
    running = first.submit("wait_for", {"gate": str(tmp_path / "never")}, by="ada")
    pending = first.submit("echo", {}, by="ada")
    until(lambda: len(first.log(running.id)) > 1)
    first.stop()
    task = first.wait(running.id, 0.01)
    assert task.status == TaskStatus.INTERRUPTED and "app stopped" in task.error
    assert [path.name for path in folder(first, task).iterdir()] == ["log.jsonl"]
    assert first.get(pending.id).status == TaskStatus.PENDING
    second = make_runner("wait_for", "echo")
    second.start()
    assert second.wait(pending.id, 20).status == TaskStatus.SUCCEEDED
    assert second.submit("wait_for", {"gate": str(tmp_path / "never")}, by="ada").id != running.id


def test_task_of_a_kind_that_is_gone_fails_with_words(make_runner) -> None:
    task = make_runner("echo").submit("echo", {}, by="ada")
    runner = make_runner()
    runner.start()
    assert "no kind of task called 'echo'" in runner.wait(task.id, 20).error


def test_unwritable_folder_fails_the_task_and_not_the_queue(make_runner, settings) -> None:
    runner = make_runner("echo")
    settings.tasks_dir.parent.mkdir(parents=True, exist_ok=True)
    settings.tasks_dir.write_text("a file where the folder should be")
    runner.start()
    assert "could not be started" in runner.wait(runner.submit("echo", {}, by="ada").id, 20).error
    settings.tasks_dir.unlink()
    assert runner.wait(runner.submit("echo", {}, by="ada").id, 20).status == TaskStatus.SUCCEEDED


def test_folder_of_an_older_database_is_not_mixed_in(make_runner, settings) -> None:
    old = settings.tasks_dir / "1"
    old.mkdir(parents=True)
    (old / "log.jsonl").write_text('{"ts": "", "level": "info", "message": "of old", "values": {}}\n')
    runner = make_runner("echo")
    runner.start()
    task = runner.wait(runner.submit("echo", {}, by="ada").id, 20)
    assert task.id == 1 and "of old" not in [line["message"] for line in runner.log(1)]


# --- tidying -----------------------------------------------------------------------------------


def test_prune_removes_what_is_old_or_beyond_500_and_keeps_the_active(make_runner, database) -> None:
    now = datetime(2026, 3, 14, tzinfo=UTC)
    runner = make_runner(task_keep_days=30)
    runner.clock = lambda: now
    with database.session() as session:
        for n in range(510):
            age = timedelta(days=31) if 100 <= n < 105 else timedelta(days=1)
            session.add(Task(id=n + 1, kind="echo", status=TaskStatus.SUCCEEDED, created_at=now - age))
        session.add(Task(id=9000, kind="echo", status=TaskStatus.RUNNING, created_at=now - timedelta(days=99)))
    for task_id in (1, 11, 101, 9000):
        runner.log_path(task_id).parent.mkdir(parents=True)
        runner.log_path(task_id).write_text("")
    runner.prune()
    with database.session() as session:
        left = set(session.exec(select(Task.id)))
    assert left == {*range(11, 101), *range(106, 511), 9000}
    assert [runner.log_path(i).exists() for i in (1, 11, 101, 9000)] == [False, True, False, True]


def test_app_keeps_nothing_of_ended_jobs(make_runner) -> None:
    """200 MB in each child, and its log, are gone from the app's memory."""
    runner = make_runner("big_bite", "chatters")
    runner.start()
    process = psutil.Process()
    runner.wait(runner.submit("chatters", {"lines": 1000}, by="ada").id, 20)
    before = process.memory_info().rss
    for n in range(5):
        big = runner.submit("big_bite", {"gigabytes": 1}, by="ada", key=str(n))
        chat = runner.submit("chatters", {"lines": 5000 + n}, by="ada")
        assert {runner.wait(task.id, 25).status for task in (big, chat)} == {TaskStatus.SUCCEEDED}
    assert process.memory_info().rss - before < 20 * 2**20
    assert not runner._active
