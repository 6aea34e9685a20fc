"""Whether the world is still the one a model learnt from: what it is asked, what it predicts, what is right."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
from sqlalchemy import delete
from sqlmodel import col, select

from lib.audit.log import Audit
from lib.auth.actor import SYSTEM, Actor, Permission
from lib.db.learning_tables import DriftCheck, ModelVersion
from lib.db.tables import Task
from lib.drift import shift, verdict
from lib.drift.shift import Shift, State, Thresholds
from lib.errors import AppError, Conflict, Invalid
from lib.registry.schema import Kind, ModelSchema
from lib.services.datasets import Datasets
from lib.services.models import Models
from lib.services.prediction_files import Intake
from lib.services.prediction_jobs import need_columns
from lib.services.prediction_log import PredictionLog
from lib.tasks.job import JobKind, storable
from lib.tasks.runner import ACTIVE, Runner

logger = logging.getLogger(__name__)

KIND, REFERENCE_KIND = "drift.file", "drift.reference"
SPAN = timedelta(hours=24)
# A champion is looked at this often by itself, once it was asked often enough for a verdict.
EVERY = timedelta(hours=1)
MOST_CHECKS = 1000


@dataclass(frozen=True)
class Report:
    """One check, ready to be shown."""

    check: DriftCheck
    shifts: tuple[Shift, ...]
    words: str
    retrain: bool
    limits: Thresholds


class Drifting:
    def __init__(
        self,
        models: Models,
        datasets: Datasets,
        log: PredictionLog,
        runner: Runner,
        audit: Audit,
        clock: Callable[[], datetime],
    ) -> None:
        self.models, self.datasets, self.log = models, datasets, log
        self.runner, self.audit, self.clock = runner, audit, clock
        self.database = models.database
        self.intake = Intake(models.settings.data_dir / "drift_incoming", models.settings.upload_max_mb)
        # Told when a model's state changed: alerts may want to know.
        self.on_event: list[Callable[[DriftCheck], None]] = []
        jobs = "lib.services.drifting_jobs"
        runner.register(JobKind(KIND, f"{jobs}:compare", prepare=self._prepare, finish=self._keep, memory_mb=1024))
        runner.register(
            JobKind(REFERENCE_KIND, f"{jobs}:learn", prepare=self._prepare, finish=self._keep_reference, memory_mb=1024)
        )

    @property
    def usual(self) -> Thresholds:
        """From where on a column is watched or has drifted, unless somebody tries others."""
        held = self.models.settings
        return Thresholds(min(held.drift_watch, held.drift_limit), held.drift_limit)

    # --- looking --------------------------------------------------------------------------------

    def checks(self, actor: Actor, name: str, version: int, limit: int = 200) -> list[DriftCheck]:
        """Of a version, newest first."""
        actor.require(Permission.MODELS)
        wanted = select(DriftCheck).where(DriftCheck.name == name, DriftCheck.version == version)
        with self.database.session() as session:
            return list(session.exec(wanted.order_by(col(DriftCheck.id).desc()).limit(limit)))

    def events(self, actor: Actor, since: datetime, limit: int = 200) -> list[DriftCheck]:
        """Checks at which a model's state changed, newest first; of all models."""
        actor.require(Permission.MODELS)
        wanted = select(DriftCheck).where(col(DriftCheck.event), col(DriftCheck.at) >= since)
        with self.database.session() as session:
            return list(session.exec(wanted.order_by(col(DriftCheck.id).desc()).limit(limit)))

    def report(self, check: DriftCheck) -> Report:
        """What a check found, column by column, the farthest moved first."""
        shifts = [Shift(**{**one, "state": State(one["state"])}) for one in check.report.get("shifts", [])]
        shifts.sort(key=lambda one: (one.role == "feature", -one.psi))
        limits = Thresholds(*check.report.get("limits", ()))
        words, retrain = str(check.report.get("words", "")), bool(check.report.get("retrain"))
        return Report(check, tuple(shifts), words, retrain, limits)

    def asked(self, actor: Actor, name: str, version: int) -> int:
        """How many predictions of a version are kept."""
        actor.require(Permission.MODELS)
        return self.log.counts(name).get(version, 0)

    def last_task(self, actor: Actor, name: str, version: int) -> Task | None:
        """The newest comparison of a file with a version."""
        actor.require(Permission.MODELS)
        wanted = select(Task).where(col(Task.kind).in_((KIND, REFERENCE_KIND))).order_by(col(Task.id).desc()).limit(50)
        with self.runner.database.session() as session:
            found = session.exec(wanted).all()
        mine = (one for one in found if (one.params.get("model"), one.params.get("version")) == (name, version))
        return next(mine, None)

    def running(self, actor: Actor, name: str, version: int) -> Task | None:
        last = self.last_task(actor, name, version)
        return last if last is not None and last.status in ACTIVE else None

    # --- checking -------------------------------------------------------------------------------

    def check(
        self, actor: Actor, name: str, version: int, span: timedelta = SPAN, thresholds: Thresholds | None = None
    ) -> DriftCheck:
        """Compare what a version was asked in the last `span` with what it learnt from. thresholds: None for the usual
        ones; others are a trial, from which neither an event nor a training follows. Raises Conflict without a
        reference, Invalid when nothing was asked."""
        actor.require(Permission.TRAIN)
        limits = self._limits(thresholds)
        row = self._with_reference(actor, name, version)
        since = self.clock() - span
        kept = self.log.read(name, version, since)
        kept = kept[kept["features"].map(bool)] if len(kept) else kept
        if not len(kept):
            raise Invalid(
                f"Version {version} of {name} was not asked anything in this time that was kept; choose longer."
            )
        schema = self.models.schema_of(row)
        actual = kept["actual"].dropna()
        target: pd.Series | None = actual if schema.classes else pd.to_numeric(actual, errors="coerce")
        shifts = shift.compare(
            row.reference,
            asked_frame(schema, list(kept["features"])),
            prediction=kept["prediction"],
            target=target if len(actual) else None,
            thresholds=limits,
        )
        kind = "asked" if limits == self.usual else "tried"
        return self._add(actor, row, kind, "", shifts, len(kept), since, limits)

    def on_schedule(self) -> None:
        """For the schedule: each champion that has a reference and was asked enough since its last check."""
        for one in self.models.all(SYSTEM):
            if one.champion is None:
                continue
            try:
                self._look_at(one.name, one.champion)
            except AppError as error:
                logger.info("drift not checked", extra={"model": one.name, "reason": error.message})

    def _look_at(self, name: str, version: int) -> None:
        row = self.models.get(SYSTEM, name, version)
        last = next((one for one in self.checks(SYSTEM, name, version, 50) if one.kind == "asked"), None)
        if not row.reference or (last is not None and self.clock() - last.at < EVERY):
            return
        if len(self.log.read(name, version, self.clock() - SPAN)) >= shift.LEAST_ROWS:
            self.check(SYSTEM, name, version)

    def compare_file(
        self,
        actor: Actor,
        name: str,
        version: int,
        file_name: str,
        stream: BinaryIO,
        thresholds: Thresholds | None = None,
    ) -> Task:
        """Queue a comparison of a CSV, TSV or Parquet file with what a version learnt from."""
        actor.require(Permission.RUN_TASKS)
        self._with_reference(actor, name, version)
        limits = astuple(self._limits(thresholds))
        return self._queue(actor, KIND, name, version, file_name, stream, "Drift of", limits=limits)

    def compare_dataset(
        self,
        actor: Actor,
        name: str,
        version: int,
        dataset_id: int,
        dataset_version: str | None = None,
        thresholds: Thresholds | None = None,
    ) -> Task:
        """Queue a comparison of a stored dataset (dataset_version: a hash or its start; None: the newest) with what a
        version learnt from. Raises NotFound, Invalid when it lacks a column the model needs."""
        actor.require(Permission.RUN_TASKS)
        row = self._with_reference(actor, name, version)
        opened = self.datasets.open(actor, dataset_id, dataset_version)
        need_columns(self.models.schema_of(row), [one.name for one in opened.schema], "dataset")
        about = {"dataset": dataset_id, "hash": opened.hash, "file": opened.name, "format": "parquet"}
        return self._submit(actor, KIND, name, version, "Drift of", limits=astuple(self._limits(thresholds)), **about)

    def learn_reference(self, actor: Actor, name: str, version: int, file_name: str, stream: BinaryIO) -> Task:
        """For a version made elsewhere: take the table it was trained on as what later data is held against. Raises
        Conflict when it has a reference: what a model learnt from does not change."""
        actor.require(Permission.TRAIN)
        if self.models.get(actor, name, version).reference:
            raise Conflict(f"Version {version} of {name} has its reference already.")
        return self._queue(actor, REFERENCE_KIND, name, version, file_name, stream, "Reference from")

    # --- around the jobs ------------------------------------------------------------------------

    def _limits(self, thresholds: Thresholds | None) -> Thresholds:
        limits = thresholds or self.usual
        if not 0 < limits.watch <= limits.drift <= 10:
            raise Invalid(
                f"Watching from {limits.watch:g} and drift from {limits.drift:g} do not go together: both lie above 0 "
                "and up to 10, and drift is not below watching."
            )
        return limits

    def _queue(
        self,
        actor: Actor,
        kind: str,
        name: str,
        version: int,
        file_name: str,
        stream: BinaryIO,
        words: str,
        **more: Any,
    ) -> Task:
        taken = self.intake.take(file_name, stream)
        about = {"id": taken.id, "file": taken.shown, "format": taken.format, **more}
        try:
            return self._submit(actor, kind, name, version, words, **about)
        except BaseException:
            (self.intake.folder / taken.id).unlink(missing_ok=True)
            raise

    def _submit(self, actor: Actor, kind: str, name: str, version: int, words: str, **about: Any) -> Task:
        params = {**about, "model": name, "version": version, "by": actor.name}
        title = storable(f"{words} {about['file']} for {name} {version}", 200)
        task = self.runner.submit(kind, params, by=actor.name, title=title)
        held = {"dataset": about["dataset"]} if "dataset" in about else {}
        self.audit.record(actor, kind, about["file"], model=name, version=version, task=task.id, **held)
        return task

    def _prepare(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        if "dataset" in params:
            path = self.datasets.open(SYSTEM, params["dataset"], params["hash"]).path
        else:
            path = self.intake.hand_over(params["id"], workdir)
        row = self.models.get(SYSTEM, params["model"], params["version"])
        return {
            "path": str(path),
            "format": params["format"],
            "model": self.models.model_for(row),
            "folder": str(self.models.unpack(row).parent),
            "memory_mb": self.models.settings.serve_memory_mb,
            "reference": row.reference,
            "limits": params.get("limits"),
        }

    def _keep(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        row = self.models.get(SYSTEM, params["model"], params["version"])
        shifts = [Shift(**{**one, "state": State(one["state"])}) for one in result["shifts"]]
        by = Actor(params["by"], SYSTEM.role, SYSTEM.kind)
        kind, limits = "dataset" if "dataset" in params else "file", Thresholds(*params.get("limits", ()))
        check = self._add(by, row, kind, params["file"], shifts, result["rows"], None, limits)
        return {"check": check.id, "rows": result["rows"], "state": check.state}

    def _keep_reference(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        row = self.models.get(SYSTEM, params["model"], params["version"])
        with self.database.exclusive(f"model {row.name}") as session:
            kept = session.get(ModelVersion, row.id)
            assert kept is not None
            if kept.reference:
                raise Conflict(f"Version {row.version} of {row.name} has its reference already.")
            kept.reference = result["reference"]
            session.add(kept)
        return {"rows": result["reference"]["rows"]}

    def _with_reference(self, actor: Actor, name: str, version: int) -> ModelVersion:
        row = self.models.get(actor, name, version)
        if not row.reference:
            raise Conflict(
                f"Version {version} of {name} came without the distributions it learnt from; bring the table it was "
                "trained on first."
            )
        return row

    def _add(
        self,
        actor: Actor,
        row: ModelVersion,
        kind: str,
        title: str,
        shifts: list[Shift],
        rows: int,
        since: datetime | None,
        limits: Thresholds,
    ) -> DriftCheck:
        found = verdict.of(shifts)
        before = next((c for c in self.checks(actor, row.name, row.version, 50) if c.kind == kind), None)
        known = before.state if before is not None else State.OK
        check = DriftCheck(
            name=row.name,
            version=row.version,
            kind=kind,
            title=title[:256],
            at=self.clock(),
            from_at=since,
            rows=rows,
            state=found.state,
            # A file says something about the file; only what a model is asked can turn.
            event=kind == "asked" and found.state != known and found.state is not State.FEW,
            report={
                "shifts": [one.to_json() for one in shifts],
                "words": found.words,
                "retrain": found.retrain,
                "limits": astuple(limits),
            },
            by=actor.name[:64],
        )
        with self.database.session() as session:
            session.add(check)
            session.flush()
            edge = session.exec(
                select(DriftCheck.id)
                .where(DriftCheck.name == row.name)
                .order_by(col(DriftCheck.id).desc())
                .offset(MOST_CHECKS)
                .limit(1)
            ).first()
            if edge is not None:
                session.exec(delete(DriftCheck).where(col(DriftCheck.name) == row.name, col(DriftCheck.id) <= edge))
        if check.event:
            self.audit.record(actor, "drift.event", f"{row.name} {row.version}", was=known, state=check.state)
            for told in self.on_event:
                told(check)
        return check


def asked_frame(schema: ModelSchema, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Kept inputs as a table whose columns have the types the reference was made of."""
    frame = pd.DataFrame(rows, columns=list(schema.names))
    for field in schema.fields:
        if field.kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN):
            frame[field.name] = pd.to_numeric(frame[field.name], errors="coerce").astype("float64")
        elif field.kind is Kind.TIME:
            frame[field.name] = pd.to_datetime(frame[field.name], utc=True, errors="coerce", format="ISO8601")
        else:
            frame[field.name] = frame[field.name].astype("string")
    return frame
