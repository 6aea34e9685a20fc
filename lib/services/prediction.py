"""Asking a served model: one row or some, by the champion or a version of one's choice, with why."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from lib.auth.actor import SYSTEM, Actor, Permission
from lib.db.learning_tables import Experiment, ModelVersion, Predicted
from lib.errors import AppError, Invalid, NotFound
from lib.registry.answers import MOST_EXPLAINED, Answer, One, ones, refused, require_few
from lib.registry.schema import Checked, check_rows
from lib.services.models import CHAMPION, Models
from lib.services.prediction_log import MOST_TEXT, PredictionLog

logger = logging.getLogger(__name__)

# What was asked within this time is loaded when the app starts, if it is among so many.
LATELY, MOST_AHEAD = timedelta(days=1), 3


class Splitting(Protocol):
    """What decides on the version while a test runs (`services.experiments`)."""

    def running(self, name: str) -> Experiment | None: ...

    def arm(self, experiment: Experiment, key: str) -> str: ...


class Prediction:
    """experiments: set by whoever wires; None without tests."""

    def __init__(self, models: Models, log: PredictionLog, clock: Callable[[], datetime]) -> None:
        self.models, self.log, self.clock = models, log, clock
        self.experiments: Splitting | None = None
        self._serves = False

    def predict(
        self,
        actor: Actor,
        rows: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        version: int | str | None = None,
        key: str = "",
        explain: bool = False,
        keep: bool = True,
    ) -> Answer:
        """key: whom or what the rows are about, so that a test gives it the same version each time. keep: whether it
        counts as asked; somebody's tries in a form do not.

        Raises Invalid with `values["fields"]` naming every field that is wrong; NotFound for no such model or version;
        Unavailable when the process that serves does not answer.
        """
        began = time.perf_counter()
        actor.require(Permission.MODELS)
        require_few(rows, key)
        name = model or self._only_model(actor)
        row, test, arm = self._version(actor, name, version, key)
        schema = self.models.schema_of(row)
        checked = check_rows(schema, rows)
        if checked.problems:
            raise refused(checked)
        why = explain and len(rows) <= MOST_EXPLAINED
        answer = self.models.serving.predict(
            self.models.model_for(row), checked.columns, explain=why, unpack=lambda: _done(self.models.unpack(row))
        )
        made = ones(schema, checked, answer, len(rows))
        took_ms = (time.perf_counter() - began) * 1000
        if keep:
            self._keep(row, checked, made, took_ms / len(rows), test, arm, key)
        reasons = answer.get("why") or {}
        return Answer(
            name,
            row.version,
            made,
            answer["seconds"] * 1000,
            took_ms,
            reasons.get("method", ""),
            reasons.get("unit", ""),
            test.id if test else None,
            arm,
        )

    def start(self) -> None:
        """For a server: from now on a champion is loaded when it is promoted, and those that were asked lately are
        loaded now, so that nobody's first request waits for it. Returns at once."""
        self._serves = True
        lately = self.log.lately(self.clock() - LATELY, MOST_AHEAD)
        for name in dict.fromkeys(name for name, _ in lately):
            with contextlib.suppress(NotFound):  # no champion
                lately.append((name, self.models.get(SYSTEM, name).version))
        for name, version in dict.fromkeys(lately):
            with contextlib.suppress(NotFound):
                self.prepare(SYSTEM, self.models.get(SYSTEM, name, version))

    def warm(self, name: str, alias: str, version: int | None) -> None:
        """Have a champion loaded before the first request for it; for `Models.on_promoted`."""
        if version is not None and (self.models.serving.pid is not None or (self._serves and alias == CHAMPION)):
            self.prepare(SYSTEM, self.models.get(SYSTEM, name, version))

    def prepare(self, actor: Actor, row: ModelVersion) -> None:
        """Load a version while nobody waits yet: the first request would take a second or two. Returns at once."""
        actor.require(Permission.MODELS)
        if self.models.serving.holds(row.sha256):
            return

        def load() -> None:
            try:
                self.models.serving.warm(self.models.model_for(row), lambda: _done(self.models.unpack(row)))
            except AppError as error:
                logger.info("model not loaded ahead", extra={"model": row.name, "reason": error.message})

        threading.Thread(target=load, name="load model", daemon=True).start()

    def _only_model(self, actor: Actor) -> str:
        found = [one.name for one in self.models.all(actor)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise NotFound("There is no model yet: train or upload one, and promote a version.")
        raise Invalid(f"Say which model: {', '.join(found[:20])}.")

    def _version(
        self, actor: Actor, name: str, version: int | str | None, key: str
    ) -> tuple[ModelVersion, Experiment | None, str]:
        test = self.experiments.running(name) if self.experiments is not None and version is None else None
        if test is None or self.experiments is None:
            return self.models.get(actor, name, version), None, ""
        # Without a key each request is somebody new.
        arm = self.experiments.arm(test, key or secrets.token_hex(8))
        return self.models.get(actor, name, test.version_b if arm == "b" else test.version_a), test, arm

    def _keep(
        self,
        row: ModelVersion,
        checked: Checked,
        made: Sequence[One],
        latency_ms: float,
        test: Experiment | None,
        arm: str,
        key: str,
    ) -> None:
        if self.models.settings.predictions_logged == 0 and test is None:
            return
        now = self.clock()
        hashed = hashed_key(test.salt, key) if test is not None and key else ""
        self.log.add(
            [
                Predicted(
                    token=one.id,
                    name=row.name,
                    version=row.version,
                    at=now,
                    features={name: _short(values[number]) for name, values in checked.columns.items()},
                    value=one.value if one.label is None else max(one.probabilities.values()),
                    label=None if one.label is None else one.label[:256],
                    latency_ms=latency_ms,
                    experiment_id=test.id if test else None,
                    arm=arm,
                    key_hash=hashed,
                )
                for number, one in enumerate(made)
            ],
            always=test is not None,
        )


def hashed_key(salt: str, key: str) -> str:
    """Keys may name people: only this is kept, and only while a test needs it."""
    return hashlib.sha256(f"{salt}\0{key}".encode("utf-8", "replace")).hexdigest()


def _short(value: Any) -> Any:
    return value[:MOST_TEXT] if isinstance(value, str) else value


def _done(_: object) -> None: ...
