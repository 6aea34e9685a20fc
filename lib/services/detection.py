"""Detectors over groups of series: train as a task, score a range, score on after each collection."""

from __future__ import annotations

from collections.abc import Callable

from lib.audit.log import Audit
from lib.db.database import Database
from lib.frames import Window
from lib.settings import Settings
from lib.store.samples import Samples
from lib.tasks.runner import Runner


class Detection:
    def __init__(
        self, settings: Settings, database: Database, samples: Samples, runner: Runner, audit: Audit, clock: Callable
    ) -> None:
        self.settings, self.database, self.samples = settings, database, samples
        self.runner, self.audit, self.clock = runner, audit, clock

    def update(self, source_id: int, window: Window) -> None:
        """Score what was just collected with every active detector of the source."""
