"""Predictions that were given, kept for drift and for tests: sampled, bounded, written a batch at a time."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import delete, func
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from lib.db.database import Database
from lib.db.learning_tables import Experiment, Predicted
from lib.log import redact
from lib.settings import Settings

logger = logging.getLogger(__name__)

# Beyond this many waiting rows the newest are let go: a database that is down must not fill the memory.
MOST_WAITING, BATCH = 5000, 200
# Of one request with many rows, so that one caller does not push everybody else's out.
MOST_A_REQUEST = 100
MOST_READ = 50_000
# Wide rows are kept less often and long texts shortened, so that the newest 20,000 never fill a disk.
FULL_FIELDS, MOST_TEXT = 300, 256


class PredictionLog:
    """A crash loses what was not yet written, two seconds of it: good for drift, and an outcome for one of those says
    that it is not known."""

    def __init__(self, settings: Settings, database: Database, clock: Callable[[], datetime]) -> None:
        self.settings, self.database, self.clock = settings, database, clock
        self._waiting: list[Predicted] = []
        self._lock, self._writing = threading.Lock(), threading.Lock()
        # Sampling need not be unpredictable.
        self._random = random.Random()  # noqa: S311

    def add(self, rows: Sequence[Predicted], *, always: bool) -> None:
        """Keep a share of them. always: all of them, though inputs only of the share (a test needs who was where)."""
        kept = []
        for row in rows[:MOST_A_REQUEST]:
            share = self.settings.predictions_logged * min(1.0, FULL_FIELDS / max(len(row.features), 1))
            lucky = self._random.random() < share
            if lucky or always:
                if not lucky:
                    row.features = {}
                kept.append(row)
        with self._lock:
            self._waiting += kept[: MOST_WAITING - len(self._waiting)]

    def flush(self) -> None:
        """Write what waits; for the schedule, and before anybody reads."""
        with self._writing:
            while True:
                with self._lock:
                    batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                if not batch:
                    return
                with self.database.session() as session:
                    session.add_all(batch)

    def close(self) -> None:
        """Write what waits at the end; a database that is down loses it."""
        try:
            self.flush()
        except SQLAlchemyError as error:
            logger.warning("predictions not written", extra={"reason": redact(str(error))})

    def prune(self) -> None:
        """Keep the newest of each model, and all of a test that runs."""
        running = select(Experiment.id).where(col(Experiment.ended_at).is_(None))
        free = col(Predicted.experiment_id).is_(None) | col(Predicted.experiment_id).not_in(running)
        with self.database.session() as session:
            for name in session.exec(select(Predicted.name).distinct()).all():
                edge = session.exec(
                    select(Predicted.id)
                    .where(Predicted.name == name, free)
                    .order_by(col(Predicted.id).desc())
                    .offset(self.settings.predictions_kept)
                    .limit(1)
                ).first()
                if edge is not None:
                    session.exec(delete(Predicted).where(col(Predicted.name) == name, col(Predicted.id) <= edge, free))

    def read(self, name: str, version: int, since: datetime) -> pd.DataFrame:
        """What a version was asked from a moment on, oldest first. Columns: at, features (name -> value), prediction
        (a number or a class), actual (None: nobody said)."""
        self.flush()
        with self.database.session() as session:
            rows = session.exec(
                select(Predicted)
                .where(Predicted.name == name, Predicted.version == version, col(Predicted.at) >= since)
                .order_by(col(Predicted.id).desc())
                .limit(MOST_READ)
            ).all()[::-1]
        found: list[dict[str, Any]] = [
            {
                "at": row.at,
                "features": row.features,
                "prediction": row.value if row.label is None else row.label,
                "actual": row.actual,
            }
            for row in rows
        ]
        return pd.DataFrame(found, columns=["at", "features", "prediction", "actual"])

    def lately(self, since: datetime, most: int) -> list[tuple[str, int]]:
        """Models and versions that were asked from a moment on, the one asked last first."""
        with self.database.session() as session:
            last = func.max(col(Predicted.id))
            wanted = select(Predicted.name, Predicted.version).where(col(Predicted.at) >= since)
            found = session.exec(wanted.group_by(Predicted.name, col(Predicted.version)).order_by(last.desc()))
            return [(name, int(version)) for name, version in found.fetchmany(most)]

    def counts(self, name: str) -> dict[int, int]:
        """Kept predictions by version."""
        self.flush()
        with self.database.session() as session:
            wanted = select(Predicted.version, func.count(col(Predicted.id))).where(Predicted.name == name)
            return {
                int(version): int(count) for version, count in session.exec(wanted.group_by(col(Predicted.version)))
            }
