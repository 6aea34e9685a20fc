from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from lib.db.tables import TaskStatus
from lib.settings import ROOT

HERE = Path(__file__).parent


def members(settings) -> list[int]:
    """Processes that belong to tasks of this data directory."""
    found = []
    for process in psutil.process_iter():
        try:
            folder = process.environ().get("AUTOOPS_TASK_FOLDER", "")
            if folder.startswith(str(settings.tasks_dir)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_killed_app_leaves_no_child_and_the_next_start_says_so(settings, make_runner, until, messages) -> None:
    """Also a child that is inside a C call, and a process that a child had started."""
    app = subprocess.Popen(
        [sys.executable, str(HERE / "app_for_tests.py"), str(settings.data_dir), settings.database_url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"},
        stdout=subprocess.PIPE,
    )
    try:
        assert app.stdout and app.stdout.readline() == b"ready\n"
        children = [child.pid for child in psutil.Process(app.pid).children()]
        assert len(children) == 2 and len(members(settings)) == 3
        app.send_signal(signal.SIGKILL)
        app.wait(10)
        until(lambda: not set(children) & set(members(settings)))
    finally:
        app.kill()
        app.wait(10)
        app.stdout.close()

    runner = make_runner("family", "busy_in_c", "echo")
    assert runner.get(1).status == runner.get(2).status == TaskStatus.RUNNING
    runner.start()
    for task_id in (1, 2):
        task = runner.wait(task_id, 0.01)
        assert (task.status, task.active_key) == (TaskStatus.INTERRUPTED, None)
        assert "app stopped" in task.error and messages(runner, task_id)[-1] == task.error
        assert not (runner.log_path(task_id).parent / "exchange").exists()
    assert runner.wait(3, 20).status == TaskStatus.SUCCEEDED
    until(lambda: members(settings) == [])
