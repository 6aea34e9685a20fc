"""A small app to kill: `python app_for_tests.py DATA_DIR` submits a job that starts a process, and prints their ids."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from lib.db.database import Database
from lib.settings import Settings
from lib.tasks.job import JobKind
from lib.tasks.runner import Runner


def main() -> None:
    settings = Settings(data_dir=Path(sys.argv[1]), database_url=sys.argv[2], task_concurrency=2)
    database = Database(settings.resolved_database_url)
    database.migrate()
    runner = Runner(settings, database)
    for name in ("family", "busy_in_c", "echo"):
        runner.register(JobKind(name, f"jobs_for_tests:{name}"))
    runner.start()
    for name in ("family", "busy_in_c", "echo"):
        runner.submit(name, {}, by="ada")
    while len(runner.log(1)) < 2 or len(runner.log(2)) < 2:
        time.sleep(0.01)
    print("ready", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()
