"""Which release each source's server runs, learnt once a process beside a collection."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from lib.db.tables import SourceKind
from lib.errors import AppError
from lib.frames import Window
from lib.services.collection import Collection

logger = logging.getLogger(__name__)

# A server is upgraded now and then, and one that did not answer may do so later.
AGAIN = timedelta(hours=6)
_TIMEOUT_S, _MOST_BYTES = 5.0, 1 << 16
_RELEASE = re.compile(r"(?:prometheus )?v?(\d+)\.\d", re.I)


class Releases:
    """Told of each collection; asks the server at the first, and every few hours."""

    def __init__(self, collection: Collection, clock: Callable[[], datetime]) -> None:
        self.collection, self.clock = collection, clock
        self._known: dict[int, tuple[datetime, str]] = {}

    def learn(self, source_id: int, window: Window) -> None:
        """For `Collection.on_collected`: never raises, since a collection does not hang on it."""
        now = self.clock()
        at, before = self._known.get(source_id, (None, ""))
        if at is not None and now - at < AGAIN:
            return
        self._known[source_id] = now, before
        try:
            source = self.collection.sources.get(source_id)
            if source.kind == SourceKind.PROMETHEUS:
                from lib.prometheus.probe import version

                with self.collection.opened(source, _TIMEOUT_S, _MOST_BYTES) as reader:
                    self._known[source_id] = now, version(reader)
        except (AppError, KeyError, TypeError, ValueError, AttributeError) as error:
            logger.info("release of a source not told", extra={"source": source_id, "reason": type(error).__name__})

    def of(self, source_id: int) -> str:
        """`2.42.0` or `VictoriaMetrics v1.96`; empty while it is not known."""
        return self._known.get(source_id, (None, ""))[1]


def major(version: str) -> int | None:
    """2 or 3 for a Prometheus; None for another server, or an unknown one."""
    found = _RELEASE.match(version)
    return int(found[1]) if found else None
