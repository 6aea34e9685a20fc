from __future__ import annotations

import time

import psutil
import pytest
from sqlalchemy import event

from lib.db.tables import TaskStatus
from lib.errors import NotEnoughData, StoreFull
from lib.settings import TaskMode
from lib.tasks.job import JobKind

BOTH = pytest.mark.parametrize("mode", list(TaskMode))


def run(runner, job: str, timeout_s: float = 25, **params):
    runner.start()
    return runner.wait(runner.submit(job, params, by="ada").id, timeout_s)


# --- failing alone -----------------------------------------------------------------------------


@pytest.mark.parametrize(("job", "params"), [("bomb", {}), ("big_bite", {"gigabytes": 64}), ("cpp_allocation", {})])
def test_job_out_of_memory_dies_alone_and_says_the_cap(make_runner, job, params) -> None:
    runner = make_runner(job, "echo", task_memory_mb=256)
    task = run(runner, job, **params)
    assert task.status == TaskStatus.FAILED
    assert "cap of 256 MB" in task.error and "AUTOOPS_TASK_MEMORY_MB" in task.error
    assert run(runner, "echo").status == TaskStatus.SUCCEEDED


def test_cap_of_the_kind_wins_over_the_setting(make_runner) -> None:
    runner = make_runner(JobKind("bomb", "jobs_for_tests:bomb", memory_mb=300), task_memory_mb=4096)
    error = run(runner, "bomb").error
    assert "cap of 300 MB" in error and "AUTOOPS_TASK_MEMORY_MB" not in error


def test_numeric_libraries_with_their_threads_fit_the_smallest_useful_cap(make_runner) -> None:
    task = run(make_runner("learns", task_memory_mb=512), "learns")
    assert (task.error, task.result) == ("", {"rows": 500_000, "scores": 20_000})


@pytest.mark.parametrize("mode", list(TaskMode))
def test_deadline_ends_a_job(make_runner, tmp_path, mode) -> None:
    runner = make_runner("wait_for", task_mode=mode, task_deadline_s=0.5)
    task = run(runner, "wait_for", gate=str(tmp_path / "never"))
    assert task.status == TaskStatus.FAILED
    assert "deadline of 0.5 s" in task.error and "AUTOOPS_TASK_DEADLINE_S" in task.error
    assert not (runner.log_path(task.id).parent / "exchange").exists()


def test_deadline_of_the_kind_holds_against_a_busy_interpreter(make_runner) -> None:
    task = run(make_runner(JobKind("busy_in_c", "jobs_for_tests:busy_in_c", deadline_s=0.5)), "busy_in_c")
    assert task.status == TaskStatus.FAILED and "deadline of 0.5 s" in task.error


@pytest.mark.parametrize(
    ("name", "words"), [("SIGSEGV", "SIGSEGV"), ("SIGABRT", "SIGABRT"), ("SIGKILL", "machine ran")]
)
def test_crash_ends_the_job_and_not_the_app(make_runner, messages, name, words) -> None:
    runner = make_runner("crash", "echo")
    task = run(runner, "crash", signal_name=name)
    assert task.status == TaskStatus.FAILED and words in task.error
    assert "about to crash" in messages(runner, task.id)
    assert run(runner, "echo").status == TaskStatus.SUCCEEDED


def test_trace_of_a_native_crash_is_in_the_log(make_runner, messages) -> None:
    runner = make_runner("crash")
    task = run(runner, "crash", signal_name="SIGSEGV")
    assert any("in crash" in line for line in messages(runner, task.id))


def test_job_that_leaves_is_a_job_that_failed(make_runner) -> None:
    runner = make_runner("leave", "exits")
    assert "exit code 0 before it was done" in run(runner, "leave", code=0).error
    assert run(runner, "exits").error == "SystemExit: enough"


def test_job_that_does_not_let_go_is_made_to(make_runner, until) -> None:
    runner = make_runner("hangs_at_exit")
    task = run(runner, "hangs_at_exit")
    assert task.status == TaskStatus.SUCCEEDED
    until(lambda: not psutil.pid_exists(task.result["orphan"]) or _is_zombie(task.result["orphan"]))


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@BOTH
def test_our_errors_speak_for_themselves_others_are_named_and_redacted(make_runner, messages, mode) -> None:
    runner = make_runner("refuses", "breaks", task_mode=mode)
    assert run(runner, "refuses").error == "Only 3 points where 100 are needed; widen the range."
    task = run(runner, "breaks")
    assert task.error == "ValueError: bad password=*** in row 7"
    text = "\n".join(messages(runner, task.id))
    assert "Traceback" in text and "in breaks" in text and "hunter2" not in text
    assert "hunter2" not in runner.log_path(task.id).read_text()


@BOTH
def test_result_that_json_cannot_hold_fails_with_words(make_runner, mode) -> None:
    task = run(make_runner("odd_result", task_mode=mode), "odd_result")
    assert task.status == TaskStatus.FAILED and "cannot be written as JSON" in task.error


def test_function_that_is_not_there_fails_with_words(make_runner) -> None:
    runner = make_runner(JobKind("a", "jobs_for_tests:missing"), JobKind("b", "no_such_module:run"))
    assert "No job function 'missing'" in run(runner, "a").error
    assert "no_such_module" in run(runner, "b").error


# --- prepare, deliver, finish ------------------------------------------------------------------


def prepared_kind(seen: list) -> JobKind:
    def prepare(params, workdir):
        path = workdir / "export.txt"
        path.write_text(f"rows of {params['host']}")
        return {"exported": str(path), "secret": "tell-nobody"}

    def finish(params, result, workdir):
        seen.append((params, (workdir / "model.bin").read_bytes()))
        return {**result, "kept": True}

    return JobKind("reads_prepared", "jobs_for_tests:reads_prepared", prepare=prepare, finish=finish)


@BOTH
def test_prepare_and_finish_run_in_the_app_around_the_job(make_runner, mode) -> None:
    seen: list = []
    runner = make_runner(prepared_kind(seen), task_mode=mode)
    task = run(runner, "reads_prepared", host="web-1")
    assert (task.error, task.result) == ("", {"text": "rows of web-1", "kept": True})
    assert seen == [({"host": "web-1"}, b"model")]
    assert task.params == {"host": "web-1"}


def test_what_prepare_adds_is_never_written_down(make_runner, settings) -> None:
    runner = make_runner(prepared_kind([]))
    run(runner, "reads_prepared", host="web-1")
    runner.stop()
    written = b"".join(path.read_bytes() for path in settings.data_dir.rglob("*") if path.is_file())
    assert b"web-1" in written and b"tell-nobody" not in written


@BOTH
@pytest.mark.parametrize("stage", ["prepare", "finish"])
def test_failing_before_or_after_fails_the_task(make_runner, mode, stage) -> None:
    def fail(*_):
        raise NotEnoughData("No samples for web-1; collect some first.")

    runner = make_runner(JobKind("echo", "jobs_for_tests:echo", **{stage: fail}), task_mode=mode)
    task = run(runner, "echo")
    assert (task.status, task.error) == (TaskStatus.FAILED, "No samples for web-1; collect some first.")
    assert task.result == {} and task.active_key is None


@BOTH
def test_delivery_returns_after_the_app_received(make_runner, mode) -> None:
    received = []

    def receive(params, path, values) -> None:
        received.append((params["files"], path.read_text(), values["number"], values["words"]))

    runner = make_runner(JobKind("delivers", "jobs_for_tests:delivers", receive=receive), task_mode=mode)
    task = run(runner, "delivers", files=3, words='"\n\u2028')
    assert task.result == {"taken": [0, 1, 2], "left": []}
    assert received == [(3, f"rows of {n}", n, '"\n\u2028') for n in range(3)]


@BOTH
def test_delivery_raises_what_receiving_raised(make_runner, mode) -> None:
    def receive(params, path, values) -> None:
        if values["number"] == 1:
            raise StoreFull("The disk is full; free some space.")

    runner = make_runner(JobKind("delivers", "jobs_for_tests:delivers", receive=receive), task_mode=mode)
    result = run(runner, "delivers", files=3).result
    assert result["taken"] == [0]
    assert (result["error"], result["message"]) == ("StoreFull", "The disk is full; free some space.")


def test_unexpected_error_of_receiving_is_named_to_the_job(make_runner) -> None:
    def receive(params, path, values) -> None:
        raise ZeroDivisionError("by zero")

    runner = make_runner(JobKind("delivers", "jobs_for_tests:delivers", receive=receive))
    assert run(runner, "delivers", files=1).result["message"] == "ZeroDivisionError: by zero"


@BOTH
def test_only_files_of_the_job_can_be_delivered(make_runner, tmp_path, mode) -> None:
    outside = tmp_path / "outside.parquet"
    outside.write_text("not yours")
    kind = JobKind("delivers_elsewhere", "jobs_for_tests:delivers_elsewhere", receive=lambda *_: None)
    task = run(make_runner(kind, task_mode=mode), "delivers_elsewhere", path=str(outside))
    assert task.status == TaskStatus.FAILED and "no file in the job's own folder" in task.error
    assert outside.exists()


# --- log and progress --------------------------------------------------------------------------


def test_prints_of_libraries_become_lines_of_the_log(make_runner, messages) -> None:
    runner = make_runner("prints")
    task = run(runner, "prints")
    said = messages(runner, task.id)
    assert {"plain out", "first", "second", "from C \ufffd", "no line end"} <= set(said)
    assert next(line for line in runner.log(task.id) if line["message"] == "no line end")["level"] == "warning"


@pytest.mark.parametrize("job", ["chatters", "shouts"])
def test_endless_log_is_bounded_and_ends_with_the_outcome(make_runner, monkeypatch, job) -> None:
    from lib.tasks import journal

    monkeypatch.setattr(journal, "MAX_LINES", 2_000)
    runner = make_runner(job)
    task = run(runner, job, lines=50_000)
    lines = runner.log(task.id)
    assert task.status == TaskStatus.SUCCEEDED
    assert 2_000 <= len(lines) < 2_010
    assert any("The log is full" in line["message"] for line in lines)
    assert lines[-1]["message"] == "Succeeded."
    assert job == "shouts" or "the last warning" in [line["message"] for line in lines[-3:]]


def test_very_long_lines_are_cut(make_runner, messages) -> None:
    runner = make_runner("long_line")
    task = run(runner, "long_line")
    assert task.status == TaskStatus.SUCCEEDED
    assert max(len(line) for line in messages(runner, task.id)) <= 8_000
    assert "after" in messages(runner, task.id)


@BOTH
def test_hurried_progress_writes_few_rows(make_runner, database, mode) -> None:
    updates = []

    def note(connection, cursor, statement, parameters, context, many) -> None:
        if statement.startswith("UPDATE tasks"):
            updates.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    runner = make_runner("hurries", task_mode=mode)
    began = time.monotonic()
    task = run(runner, "hurries", steps=100_000)
    took_s = time.monotonic() - began
    assert task.status == TaskStatus.SUCCEEDED and task.message == "odd  ? text"
    assert len(updates) <= 3 + took_s * 5


def test_newest_progress_is_shown_while_the_job_is_quiet(make_runner, until, tmp_path) -> None:
    gate = tmp_path / "gate"
    runner = make_runner("wait_for")
    runner.start()
    task = runner.submit("wait_for", {"gate": str(gate)}, by="ada")
    until(lambda: (runner.get(task.id).progress, runner.get(task.id).message) == (0.1, "waiting"))
    gate.touch()
    assert runner.wait(task.id, 20).progress == 1.0
