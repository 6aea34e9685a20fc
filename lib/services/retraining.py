"""Training a served model again: its own plan on the newest version of its dataset, at a click or by itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from lib.audit.log import Audit
from lib.auth.actor import SYSTEM, Actor, Permission
from lib.db.database import Database
from lib.db.learning_tables import ModelVersion
from lib.db.tables import Setting
from lib.errors import AppError, Conflict, Invalid, NotFound
from lib.services.datasets import Datasets
from lib.services.drifting import Drifting
from lib.services.models import Models
from lib.services.training import Run, Table, Training
from lib.services.training_setup import TrainingSetup
from lib.tasks.runner import ACTIVE
from lib.training.plan import Plan

logger = logging.getLogger(__name__)

# Where the choices of all models are kept among the settings.
_KEY = "retraining"


class When(StrEnum):
    """When a model is trained again by itself, always on data its versions have not learnt from."""

    NEVER = "never"
    DRIFT = "drift"  # once its newest check suggests it
    DATA = "data"  # once its dataset has a newer version


@dataclass(frozen=True)
class Again:
    """What training again would do. newer: the dataset has a version this one has not learnt from; learnt: the newest
    version of the model that has."""

    plan: Plan
    dataset_id: int
    dataset: str
    hash: str
    rows: int
    newer: bool
    learnt: int | None


class Retraining:
    """A run it starts becomes the next version of its model when it is done; promoting stays a person's choice."""

    def __init__(
        self,
        models: Models,
        datasets: Datasets,
        setup: TrainingSetup,
        drifting: Drifting,
        audit: Audit,
        clock: Callable[[], datetime],
    ) -> None:
        self.models, self.datasets, self.setup, self.drifting = models, datasets, setup, drifting
        self.training: Training = setup.training
        self.database: Database = models.database
        self.audit, self.clock = audit, clock
        self.training.on_trained.append(self._keep)

    def offer(self, actor: Actor, row: ModelVersion) -> Again:
        """What training this version again would do. Raises Conflict with the reason when nobody can."""
        actor.require(Permission.MODELS)
        if row.format != "bundle":
            raise Conflict(f"Version {row.version} of {row.name} was made elsewhere: train it again there.")
        dataset_id = self._dataset_of(row)
        if dataset_id is None:
            raise Conflict(f"Version {row.version} of {row.name} learnt from a table that is no dataset here.")
        try:
            opened = self.datasets.open(SYSTEM, dataset_id)
        except NotFound:
            raise Conflict(f"The dataset version {row.version} of {row.name} learnt from was deleted.") from None
        plan = Plan.from_json(json.loads((self.models.unpack(row) / "plan.json").read_text()))
        newer = opened.hash != row.data_hash
        others = self.models.versions(actor, row.name) if newer else []
        learnt = next((one.version for one in others if one.data_hash == opened.hash), None)
        return Again(plan, dataset_id, opened.name, opened.hash, opened.rows, newer, learnt)

    def start(self, actor: Actor, name: str, version: int | str | None = None) -> Run:
        """Train a version (None: the champion) again on the newest version of its dataset. Raises Conflict when that
        is what it learnt from, when one is under way, or nobody can; Invalid when a column is gone."""
        actor.require(Permission.TRAIN)
        row = self.models.get(actor, name, version)
        again = self.offer(actor, row)
        if not again.newer:
            raise Conflict(
                f"Version {row.version} of {row.name} learnt from the newest version of {again.dataset}; bring newer "
                "rows as a version of it under Datasets first."
            )
        active = self.under_way(actor, row.name)
        if active is not None:
            raise Conflict(f"{active.name} is under way already; wait for it, or cancel it.")
        opened = self.datasets.open(actor, again.dataset_id, again.hash)
        table = Table(opened.path, opened.name, opened.hash, opened.dataset_id)
        run = self.training.start(actor, again.plan, table, f"{row.name} again", register_as=row.name)
        self.audit.record(actor, "model.retrain", f"{row.name} {row.version}", run=run.id, data=again.hash)
        return run

    def under_way(self, actor: Actor, name: str) -> Run | None:
        """The run that will be the next version of a model, while it waits or runs."""
        found = (one for one in self.training.list(actor) if one.register_as == name and one.status in ACTIVE)
        return next(found, None)

    # --- by itself --------------------------------------------------------------------------------

    def when(self, actor: Actor, name: str) -> When:
        actor.require(Permission.MODELS)
        return When(self._choices().get(name, {}).get("when", When.NEVER))

    def schedule(self, actor: Actor, name: str, when: str) -> When:
        """From now on train a model again by itself. Raises Invalid, NotFound."""
        actor.require(Permission.TRAIN)
        if when not in tuple(When):
            raise Invalid(f"{when[:40]!r} is no moment to train again; choose {', '.join(When)}.")
        self.models.versions(actor, name)
        self._choose(name, {"when": str(when), "by": actor.name}, by=actor.name)
        self.audit.record(actor, "model.retraining", name, when=str(when))
        return When(when)

    def on_schedule(self) -> None:
        """For the schedule: start what is due."""
        for name, chosen in self._choices().items():
            if chosen.get("when") == When.NEVER:
                continue
            try:
                self._look_at(name, chosen)
            except AppError as error:
                logger.info("model not trained again", extra={"model": name, "reason": error.message})

    # --- inside -----------------------------------------------------------------------------------

    def _look_at(self, name: str, chosen: dict[str, Any]) -> None:
        row = self.models.get(SYSTEM, name)
        again = self.offer(SYSTEM, row)
        # Data that was tried and failed is not tried again and again.
        done = not again.newer or again.learnt is not None or again.hash == chosen.get("tried")
        if done or self.under_way(SYSTEM, name):
            return
        if chosen["when"] == When.DRIFT:
            checks = (one for one in self.drifting.checks(SYSTEM, name, row.version) if one.kind == "asked")
            last = next(checks, None)
            if last is None or not last.report.get("retrain"):
                return
        self._choose(name, {**chosen, "tried": again.hash})
        self.start(SYSTEM, name, row.version)

    def _keep(self, run: Run) -> None:
        """A run that was started here and is done becomes the next version."""
        if run.register_as:
            self.setup.register(Actor(run.by, SYSTEM.role, SYSTEM.kind), run.id, run.register_as)

    def _dataset_of(self, row: ModelVersion) -> int | None:
        if "dataset" in row.facts:
            return int(row.facts["dataset"]) if row.facts["dataset"] is not None else None
        try:  # registered before it was noted
            return self.training.get(SYSTEM, str(row.facts.get("run", ""))).dataset_id
        except NotFound:
            return None

    def _choices(self) -> dict[str, dict[str, Any]]:
        with self.database.session() as session:
            row = session.get(Setting, _KEY)
        return dict(row.value) if row is not None and isinstance(row.value, dict) else {}

    def _choose(self, name: str, chosen: dict[str, Any], by: str = SYSTEM.name) -> None:
        with self.database.exclusive("settings") as session:
            row = session.get(Setting, _KEY) or Setting(key=_KEY, value={})
            row.value = {**(row.value or {}), name: chosen}
            row.changed_at, row.changed_by = self.clock(), by[:64]
            session.add(row)
