"""Jobs that keep what they finished go on after a restart; others that say it is safe are tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.db.tables import TaskStatus
from lib.errors import Invalid, TooMany
from lib.settings import TaskMode
from lib.tasks.checkpoints import Checkpoints
from lib.tasks.job import JobKind

BOTH = pytest.mark.parametrize("mode", list(TaskMode))
FOLDS = JobKind("folds", "jobs_for_tests:folds", resumes=True)


def test_a_checkpoint_is_there_whole_or_not(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "kept")
    assert kept.load("fold") is None
    kept.save("fold", {"score": 0.5})
    kept.save("fold", {"score": 0.7})
    kept.save("model", b"\0\1")
    assert kept.load("fold") == {"score": 0.7} and kept.load("model") == b"\0\1"
    assert sorted(path.name for path in kept.folder.iterdir()) == ["fold.json", "model.bin"]
    for name, value in (("../up", 1), ("", 1), ("ok", object()), ("ok", float("nan"))):
        with pytest.raises(Invalid):
            kept.save(name, value)
    assert len(list(kept.folder.iterdir())) == 2


@BOTH
def test_a_job_goes_on_from_its_last_checkpoint(make_runner, until, messages, tmp_path: Path, mode: TaskMode) -> None:
    gate = tmp_path / "gate"
    runner = make_runner(FOLDS, task_mode=mode)
    runner.start()
    task = runner.submit("folds", {"gate": str(gate)}, by="ada")
    until(lambda: "fold 1 learnt" in messages(runner, task.id))
    until(lambda: (runner.log_path(task.id).parent / "checkpoints" / "model-1.bin").exists())
    runner.stop()
    waiting = runner.get(task.id)
    assert waiting.status == TaskStatus.PENDING and waiting.active_key is not None
    gate.touch()
    again = make_runner(FOLDS, task_mode=mode)
    assert again.submit("folds", {"gate": str(gate)}, by="ada").id == task.id
    again.start()
    done = again.wait(task.id, 20)
    assert done.status == TaskStatus.SUCCEEDED and done.result == {"done": [0, 1, 2], "first": "weights"}
    said = messages(again, task.id)
    assert [said.count(f"fold {fold} learnt") for fold in range(3)] == [1, 1, 1] and done.attempts == 2
    assert not (again.log_path(task.id).parent / "checkpoints").exists()


def test_a_job_that_takes_the_app_down_is_not_taken_up_for_ever(make_runner, until, messages, tmp_path: Path) -> None:
    task = None
    for _ in range(5):
        runner = make_runner(FOLDS, task_mode=TaskMode.THREAD)
        runner.start()
        task = task or runner.submit("folds", {"gate": str(tmp_path / "never")}, by="ada")
        until(lambda runner=runner, number=task.id: runner.get(number).status == TaskStatus.RUNNING)
        runner.stop()
    assert runner.get(task.id).status == TaskStatus.INTERRUPTED


@pytest.mark.parametrize("how", ["killed", "raised"])
def test_a_safe_job_is_tried_again(make_runner, messages, how: str) -> None:
    runner = make_runner(JobKind("flaky", "jobs_for_tests:flaky", retries=1))
    runner.start()
    done = runner.wait(runner.submit("flaky", {"how": how}, by="ada").id, 20)
    assert (done.status, done.result) == (TaskStatus.SUCCEEDED, {"attempt": 2})
    assert any("Attempt 2 of 2 follows" in said for said in messages(runner, done.id))


def test_a_job_that_does_not_say_so_is_not_tried_again_nor_one_that_was_refused(make_runner, messages) -> None:
    runner = make_runner("flaky", JobKind("refuses", "jobs_for_tests:refuses", retries=3))
    runner.start()
    assert runner.wait(runner.submit("flaky", {"how": "raised"}, by="ada").id, 20).status == TaskStatus.FAILED
    refused = runner.wait(runner.submit("refuses", {}, by="ada").id, 20)
    assert "Only 3 points" in refused.error and not any("follows" in said for said in messages(runner, refused.id))


def test_the_urgent_comes_first_and_a_full_queue_says_so(make_runner, until, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    runner = make_runner(
        "wait_for",
        "echo",
        JobKind("urgent", "jobs_for_tests:echo", priority=5),
        task_mode=TaskMode.THREAD,
        task_concurrency=1,
        task_queue_limit=3,
    )
    runner.start()
    first = runner.submit("wait_for", {"gate": str(gate)}, by="ada")
    until(lambda: runner.get(first.id).status == TaskStatus.RUNNING)
    tasks = [
        runner.submit("echo", {"n": 1}, by="ada"),
        runner.submit("urgent", {}, by="ada"),
        runner.submit("echo", {"n": 2}, by="ada", priority=9),
    ]
    with pytest.raises(TooMany, match="3 tasks wait already"):
        runner.submit("echo", {"n": 3}, by="ada")
    assert runner.submit("echo", {"n": 1}, by="ada").id == tasks[0].id
    gate.touch()
    ended = [runner.wait(task.id, 20) for task in tasks]
    order = sorted(ended, key=lambda task: task.started_at)
    assert [task.id for task in order] == [tasks[2].id, tasks[1].id, tasks[0].id]
