"""The Tasks page's view of long jobs: list, log, cancel, with rights checked."""

from __future__ import annotations

from lib.audit.log import Audit
from lib.db.database import Database
from lib.tasks.runner import Runner


class Jobs:
    def __init__(self, database: Database, runner: Runner, audit: Audit) -> None:
        self.database, self.runner, self.audit = database, runner, audit
