from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from lib.settings import ROOT
from lib.tasks.schedule import Schedule


@pytest.fixture
def schedule():
    made = Schedule()
    yield made
    made.stop()


def test_work_runs_at_once_and_again(schedule) -> None:
    runs = threading.Semaphore(0)
    schedule.every(0.05, "beat", runs.release)
    assert schedule.last_runs()[0].started_at is None
    schedule.start()
    for _ in range(3):
        assert runs.acquire(timeout=10)


def test_work_added_after_the_start_runs_too(schedule) -> None:
    ran = threading.Event()
    schedule.start()
    schedule.every(3600, "late", ran.set)
    assert ran.wait(10)


def test_name_given_again_replaces_the_work(schedule) -> None:
    first, second = threading.Event(), threading.Event()
    schedule.every(3600, "work", first.set)
    schedule.every(3600, "work", second.set)
    schedule.start()
    assert second.wait(10) and not first.is_set()
    assert [run.name for run in schedule.last_runs()] == ["work"]


def test_what_work_raises_is_noted_and_the_next_run_comes(schedule, until) -> None:
    runs = threading.Semaphore(0)

    def work() -> None:
        runs.release()
        raise ValueError("no such password=hunter2")

    schedule.every(0.05, "broken", work)
    schedule.start()
    assert runs.acquire(timeout=10) and runs.acquire(timeout=10)
    run = until(lambda: next((run for run in schedule.last_runs() if run.error), None))
    assert run.error == "ValueError: no such password=***" and run.started_at is not None


def test_leaving_the_interpreter_in_work_does_not_end_the_schedule(schedule, until) -> None:
    schedule.every(3600, "leaves", lambda: sys.exit(1))
    schedule.start()
    run = until(lambda: next((run for run in schedule.last_runs() if run.duration_s is not None), None))
    assert run.error == "SystemExit: 1" and not run.running


def test_run_that_goes_on_is_not_started_again(schedule, until) -> None:
    entered, leave, most, now = threading.Semaphore(0), threading.Event(), [0], [0]

    def work() -> None:
        now[0] += 1
        most[0] = max(most[0], now[0])
        entered.release()
        leave.wait(10)
        now[0] -= 1

    beats = threading.Semaphore(0)
    schedule.every(0.02, "long", work)
    schedule.every(0.02, "beat", beats.release)
    schedule.start()
    for _ in range(10):
        assert beats.acquire(timeout=10)
    assert entered.acquire(timeout=10) and not entered.acquire(blocking=False)
    assert schedule.last_runs()[0].running and schedule.last_runs()[0].duration_s is None
    leave.set()
    assert entered.acquire(timeout=10)
    assert most == [1]


def test_stop_waits_for_what_is_running_and_start_begins_again(schedule) -> None:
    entered, done = threading.Semaphore(0), []

    def work() -> None:
        entered.release()
        threading.Event().wait(0.2)
        done.append(1)

    schedule.every(3600, "work", work)
    schedule.start()
    assert entered.acquire(timeout=10)
    schedule.stop()
    assert done == [1]
    schedule.start()
    assert entered.acquire(timeout=10)


def test_stop_before_start_and_twice_is_fine() -> None:
    schedule = Schedule()
    schedule.stop()
    schedule.start()
    schedule.stop()
    schedule.stop()


def test_endless_work_does_not_keep_the_process_from_leaving() -> None:
    code = (
        "import threading, time\n"
        "from lib.tasks.schedule import Schedule\n"
        "entered = threading.Event()\n"
        "s = Schedule()\n"
        "s.every(1, 'endless', lambda: (entered.set(), time.sleep(600)))\n"
        "s.start()\n"
        "entered.wait(10)\n"
        "print('leaving')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=25)
    assert (done.returncode, done.stdout) == (0, "leaving\n")
