"""Sources and what is collected from them: test, choose, backfill, schedule, gaps."""

from __future__ import annotations

from collections.abc import Callable

from lib.audit.log import Audit
from lib.db.database import Database
from lib.frames import Window
from lib.settings import Settings
from lib.store.samples import Samples
from lib.tasks.runner import Runner


class Collection:
    def __init__(
        self, settings: Settings, database: Database, samples: Samples, runner: Runner, audit: Audit, clock: Callable
    ) -> None:
        self.settings, self.database, self.samples = settings, database, samples
        self.runner, self.audit, self.clock = runner, audit, clock
        # Called after samples of a source were committed: (source_id, window of the new samples).
        self.on_collected: list[Callable[[int, Window], None]] = []

    def tick(self) -> None:
        """Collect every enabled source that is due. Called by the schedule."""

    def ensure_defaults(self) -> None:
        """First start: the source from AUTOOPS_PROMETHEUS_URL, or the demo and this machine."""
