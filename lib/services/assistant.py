"""Questions answered from the data: tools as the same actor, a language model only for the words."""

from __future__ import annotations

from collections.abc import Callable

from lib.audit.log import Audit
from lib.db.database import Database
from lib.services.detection import Detection
from lib.services.exploration import Exploration
from lib.settings import Settings


class Assistant:
    def __init__(
        self, settings: Settings, database: Database, exploration: Exploration, detection: Detection, audit: Audit, clock: Callable
    ) -> None:
        self.settings, self.database, self.audit, self.clock = settings, database, audit, clock
        self.exploration, self.detection = exploration, detection
