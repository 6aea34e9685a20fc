"""A training outlives the process it was started in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lib.app import build
from lib.auth.actor import SYSTEM
from lib.db.tables import TaskStatus
from lib.settings import LlmMode, Settings
from tests.training.tables import churn

ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_training_goes_on_after_its_app_was_killed(tmp_path: Path) -> None:
    churn(400).to_csv(tmp_path / "churn.csv", index=False)
    values = {"AUTOOPS_DATA_DIR": str(tmp_path / "data"), "AUTOOPS_MODELS_DIR": str(tmp_path / "models")}
    begun = subprocess.Popen(
        [sys.executable, "-m", "lib", "train", str(tmp_path / "churn.csv"), "--target", "left", "--budget", "9s",
         "--models", "linear,network"],
        cwd=ROOT, env={**os.environ, **values, "AUTOOPS_DEMO": "false", "DATABASE_URL": ""},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while len(list((tmp_path / "data").glob("training/*/folds/*.npz"))) < 3 and time.monotonic() < until:
            time.sleep(0.02)
    finally:
        os.kill(begun.pid, signal.SIGKILL)
        begun.wait()
    app = build(
        Settings(
            data_dir=tmp_path / "data",
            models_dir=tmp_path / "models",
            demo=False,
            database_url="",
            llm_mode=LlmMode.OFFLINE,
            log_level="ERROR",
        )
    )
    try:
        (run,) = app.training.list(SYSTEM)
        assert app.training.results(SYSTEM, run.id) is None
        app.runner.start()
        assert app.runner.wait(run.task_id, 60).status == TaskStatus.SUCCEEDED
        said = [line["message"] for line in app.runner.log(run.task_id)]
        assert any("goes on from its last checkpoint" in line for line in said)
        assert any("folds of an earlier run" in line for line in said)
        names = [row["name"] for row in app.training.board(SYSTEM, run.id)]
        assert len(names) == len(set(names)) and app.training.used_s(SYSTEM, run.id) <= 9.5
    finally:
        app.stop()
