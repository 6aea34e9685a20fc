"""Asking a served model: one row or some, by the champion or a version of one's choice, with why."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from lib.auth.actor import SYSTEM, Actor, Permission
from lib.db.tables import Experiment, ModelVersion, Predicted
from lib.errors import AppError, Invalid, NotFound
from lib.registry.schema import Checked, check_rows
from lib.services.models import Models
from lib.services.prediction_log import MOST_TEXT, PredictionLog

logger = logging.getLogger(__name__)

MOST_ROWS, MOST_EXPLAINED, MOST_KEY = 1000, 20, 256
_TOLD = 5


@dataclass(frozen=True)
class Reason:
    """How much a field moved the prediction. value: what was given."""

    field: str
    value: Any
    contribution: float


@dataclass(frozen=True)
class One:
    """One row's prediction. value: of a regression. label, probabilities (by class): of a classification.
    id: what an outcome is reported with."""

    id: str
    value: float | None
    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    why: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Answer:
    """predictions: in the order of the rows. model_ms: of the model itself. took_ms: of all of it. why_method,
    why_unit: how the reasons came about, and in what they are. arm: a or b while an A/B test chooses the version."""

    model: str
    version: int
    predictions: tuple[One, ...]
    model_ms: float
    took_ms: float
    why_method: str = ""
    why_unit: str = ""
    experiment: int | None = None
    arm: str = ""


class Splitting(Protocol):
    """What decides on the version while a test runs (`services.experiments`)."""

    def running(self, name: str) -> Experiment | None: ...

    def arm(self, experiment: Experiment, key: str) -> str: ...


class Prediction:
    """experiments: set by whoever wires; None without tests."""

    def __init__(self, models: Models, log: PredictionLog, clock: Callable[[], datetime]) -> None:
        self.models, self.log, self.clock = models, log, clock
        self.experiments: Splitting | None = None

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
        if not 1 <= len(rows) <= MOST_ROWS:
            raise Invalid(
                f"{len(rows):,} rows were sent; 1 to {MOST_ROWS:,} are predicted at a time, more from a file."
            )
        if len(key) > MOST_KEY:
            raise Invalid(f"The key has {len(key):,} characters; at most {MOST_KEY} are taken.")
        name = model or self._only_model(actor)
        row, test, arm = self._version(actor, name, version, key)
        checked = check_rows(self.models.schema_of(row), rows)
        if checked.problems:
            raise refused(checked)
        why = explain and len(rows) <= MOST_EXPLAINED
        answer = self.models.serving.predict(
            self.models.model_for(row), checked.columns, explain=why, unpack=lambda: _done(self.models.unpack(row))
        )
        made = tuple(_one(row, checked, answer, number) for number in range(len(rows)))
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

    def warm(self, name: str, alias: str, version: int | None) -> None:
        """Have a champion loaded before the first request for it; for `Models.on_promoted`."""
        if version is not None and self.models.serving.pid is not None:
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


def refused(checked: Checked) -> Invalid:
    """Rows that cannot be predicted, as one error that names every field."""
    told = "; ".join(
        f"row {one.row + 1}, {one.message}" if len(checked.bad_rows) > 1 else one.message
        for one in checked.problems[:_TOLD]
    )
    more = len(checked.problems) - _TOLD
    fields = [
        {"row": one.row, "field": one.field, "code": one.code, "message": one.message} for one in checked.problems
    ]
    return Invalid(f"{told}{f'; and {more} more' if more > 0 else ''}", fields=fields)


def _one(row: ModelVersion, checked: Checked, answer: dict[str, Any], number: int) -> One:
    probabilities: dict[str, float] = {}
    label = None
    if answer["labels"] is not None:
        label = answer["labels"][number]
        probabilities = dict(zip(row.model_schema["classes"], answer["probabilities"][number], strict=True))
    why: list[Reason] = []
    if answer.get("why"):
        values = answer["why"]["values"][number]
        pairs = zip(checked.columns, values, strict=True)
        why = [Reason(name, checked.columns[name][number], value or 0.0) for name, value in pairs]
        why.sort(key=lambda one: -abs(one.contribution))
    value = answer["values"][number]
    return One(secrets.token_hex(12), value if label is None else None, label, probabilities, tuple(why))


def _short(value: Any) -> Any:
    return value[:MOST_TEXT] if isinstance(value, str) else value


def _done(_: object) -> None: ...
