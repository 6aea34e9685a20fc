"""Many rows from a file or a dataset: predicted as a task, the result kept for a while to be fetched."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from sqlmodel import col, select

from lib.audit.log import Audit
from lib.auth.actor import SYSTEM, Actor, Permission
from lib.db.learning_tables import ModelVersion
from lib.db.tables import Task, TaskStatus
from lib.errors import Forbidden, Invalid, NotFound, Unavailable
from lib.services.datasets import Datasets
from lib.services.jobs import person
from lib.services.models import Models
from lib.services.prediction_jobs import RESULT, need_columns
from lib.tasks.job import JobKind, storable
from lib.tasks.runner import Runner

KIND = "predict.file"
FORMATS = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
PIECE_BYTES = 1 << 20
MOST_KEPT = 50
_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Incoming:
    """A file that was taken in: id names it until its task takes it over."""

    id: str
    shown: str
    format: str


class Intake:
    """Files people bring for a task about a model: streamed in under a name of ours, removed when the task ends."""

    def __init__(self, folder: Path, most_mb: float) -> None:
        self.folder, self.most_mb = folder, most_mb
        # Nothing is under way yet: what lies here was left by a process that ended.
        shutil.rmtree(folder, ignore_errors=True)

    def take(self, name: str, stream: BinaryIO) -> Incoming:
        """Raises Invalid for another kind of file, a name with path parts, an empty one or one above the cap."""
        if any(part in name for part in ("/", "\\", "\0")) or ".." in name:
            raise Invalid(f"{name[:80]!r} is a path, not the name of a file; send the name alone.")
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in FORMATS:
            raise Invalid(f"{name[:80] or 'The file'} is no {', '.join(FORMATS)} file; save it as one of these.")
        self.folder.mkdir(parents=True, exist_ok=True)
        made = Incoming(secrets.token_hex(12), storable(" ".join(name.split()), 100), FORMATS[suffix])
        path, size = self.folder / made.id, 0
        try:
            with path.open("wb") as out:
                while piece := stream.read(PIECE_BYTES):
                    size += len(piece)
                    if size > self.most_mb * 2**20:
                        raise Invalid(f"{made.shown} is larger than the {self.most_mb:g} MB an upload may have.")
                    out.write(piece)
            if not size:
                raise Invalid(f"{made.shown} is empty; check the export that made it.")
        except OSError as error:
            path.unlink(missing_ok=True)
            raise Unavailable(f"{made.shown} could not be stored ({error.strerror or error}); make room.") from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return made

    def hand_over(self, file_id: str, workdir: Path) -> Path:
        """Move it to a task's own folder. Raises NotFound."""
        target = workdir / "upload"
        try:
            (self.folder / file_id).replace(target)
        except FileNotFoundError:
            raise NotFound("The uploaded file is gone; upload it again.") from None
        return target


class PredictionFiles:
    def __init__(
        self, models: Models, datasets: Datasets, runner: Runner, audit: Audit, clock: Callable[[], datetime]
    ) -> None:
        self.models, self.datasets, self.runner, self.audit, self.clock = models, datasets, runner, audit, clock
        self.kept = models.settings.data_dir / "predictions"
        self.intake = Intake(self.kept / "incoming", models.settings.upload_max_mb)
        runner.register(
            JobKind(
                KIND, "lib.services.prediction_jobs:run", prepare=self._prepare, finish=self._finish, memory_mb=1024
            )
        )

    def start(self, actor: Actor, name: str, version: int | str | None, file_name: str, stream: BinaryIO) -> Task:
        """Queue the prediction of a CSV, TSV or Parquet file by a version (None: the champion). Raises Invalid."""
        actor.require(Permission.RUN_TASKS)
        row = self.models.get(actor, name, version)
        taken = self.intake.take(file_name, stream)
        try:
            return self._submit(actor, row, taken.shown, {"id": taken.id, "format": taken.format})
        except BaseException:
            (self.intake.folder / taken.id).unlink(missing_ok=True)
            raise

    def start_dataset(
        self, actor: Actor, name: str, version: int | str | None, dataset_id: int, dataset_version: str | None = None
    ) -> Task:
        """Queue the prediction of a stored dataset (dataset_version: a hash or its start; None: the newest). Raises
        NotFound, Invalid when it lacks a column the model needs."""
        actor.require(Permission.RUN_TASKS)
        row = self.models.get(actor, name, version)
        opened = self.datasets.open(actor, dataset_id, dataset_version)
        need_columns(self.models.schema_of(row), [one.name for one in opened.schema], "dataset")
        about = {"id": secrets.token_hex(12), "format": "parquet", "dataset": dataset_id, "hash": opened.hash}
        return self._submit(actor, row, opened.name, about)

    def _submit(self, actor: Actor, row: ModelVersion, shown: str, about: dict[str, Any]) -> Task:
        params = {**about, "model": row.name, "version": row.version, "file": shown, "by": actor.name}
        title = storable(f"Predict {shown} with {row.name} {row.version}", 200)
        task = self.runner.submit(KIND, params, by=actor.name, title=title)
        held = {"dataset": about["dataset"]} if "dataset" in about else {}
        self.audit.record(actor, "predict.file", shown, model=row.name, version=row.version, task=task.id, **held)
        return task

    def tasks(self, actor: Actor, name: str, limit: int = 10) -> list[Task]:
        """Predictions of files by this model, newest first; one's own, or everybody's for those who manage tasks."""
        actor.require(Permission.MODELS)
        wanted = select(Task).where(Task.kind == KIND).order_by(col(Task.id).desc()).limit(200)
        with self.runner.database.session() as session:
            found = session.exec(wanted).all()
        return [task for task in found if task.params.get("model") == name and _may(actor, task)][:limit]

    def task(self, actor: Actor, task_id: int) -> Task:
        """How a prediction of a file or dataset goes. Raises NotFound, or Forbidden for somebody else's."""
        actor.require(Permission.MODELS)
        task = self.runner.get(task_id)
        if task.kind != KIND:
            raise NotFound(f"Task {task_id} predicted no file.")
        if not _may(actor, task):
            raise Forbidden("The predictions of somebody else's file are theirs.")
        return task

    def result(self, actor: Actor, task_id: int) -> Path:
        """The file of a finished task. Raises NotFound, or Forbidden for somebody else's."""
        task = self.task(actor, task_id)
        if task.status != TaskStatus.SUCCEEDED:
            raise NotFound(f"Task {task_id} has no result: it is {task.status}. {task.error}".strip())
        file_id = str(task.result.get("id", ""))
        path = self.kept / f"{file_id}.csv"
        if not _ID.fullmatch(file_id) or not path.is_file():
            raise NotFound(f"The result is gone: the newest {MOST_KEPT} are kept. Predict the file again.")
        return path

    def _prepare(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        if "dataset" in params:
            path = self.datasets.open(SYSTEM, params["dataset"], params["hash"]).path
        else:
            path = self.intake.hand_over(params["id"], workdir)
        row = self.models.get(SYSTEM, params["model"], params["version"])
        folder = self.models.unpack(row).parent
        return {
            "path": str(path),
            "format": params["format"],
            "model": self.models.model_for(row),
            "folder": str(folder),
            "memory_mb": self.models.settings.serve_memory_mb,
        }

    def _finish(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        self.kept.mkdir(parents=True, exist_ok=True)
        (workdir / RESULT).replace(self.kept / f"{params['id']}.csv")
        for old in sorted(self.kept.glob("*.csv"), key=lambda one: one.stat().st_mtime)[:-MOST_KEPT]:
            old.unlink(missing_ok=True)
        return {**result, "id": params["id"]}


def _may(actor: Actor, task: Task) -> bool:
    return person(task.created_by) == person(actor.name) or actor.may(Permission.MANAGE_TASKS)
