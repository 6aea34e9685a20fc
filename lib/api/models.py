"""Served models over the API: what there is, what is in production and was, promoting, uploading, drift."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from lib.app import App
from lib.auth.actor import Actor
from lib.db.learning_tables import DriftCheck, ModelAlias, ModelVersion
from lib.db.tables import Task
from lib.drift.shift import Thresholds
from lib.errors import Invalid

# The one address that takes a file; see `BodyLimit`.
UPLOAD = "/versions"
Name = Annotated[str, Path(max_length=64)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


class ModelRow(BaseModel):
    name: str
    task: str
    versions: int
    newest: int
    champion: int | None
    challenger: int | None


class ModelRows(BaseModel):
    items: list[ModelRow]


class VersionRow(BaseModel):
    """model_schema: what a prediction takes and gives."""

    name: str
    version: int
    format: str
    origin: str
    sha256: str
    size_bytes: int
    created_by: str
    created_at: datetime
    archived_at: datetime | None
    metrics: dict[str, Any]
    params: dict[str, Any]
    facts: dict[str, Any]
    data_hash: str
    code_version: str
    environment: dict[str, Any]
    model_schema: dict[str, Any]
    card: str


class VersionRows(BaseModel):
    """Newest first."""

    items: list[VersionRow]


class AliasRow(BaseModel):
    alias: str
    version: int | None = Field(description="null: it means nothing from then on.")
    change: str
    note: str
    by: str
    at: datetime


class AliasRows(BaseModel):
    """Newest first."""

    items: list[AliasRow]


class AliasGiven(BaseModel):
    version: int = Field(ge=1, le=2**31 - 1)
    note: str = Field(default="", max_length=500)


class NoteGiven(BaseModel):
    note: str = Field(default="", max_length=500)


class DriftRow(BaseModel):
    """report: shifts of each column, the verdict in words, and whether training again is suggested."""

    id: int
    name: str
    version: int
    kind: str
    title: str
    at: datetime
    from_at: datetime | None
    rows: int
    state: str
    event: bool
    report: dict[str, Any]


class ComparisonRow(BaseModel):
    """A comparison of a file or dataset: once it succeeded, its check is among the items."""

    task: int
    title: str
    status: str
    progress: float
    error: str


class DriftRows(BaseModel):
    """comparison: the newest one, if any."""

    items: list[DriftRow]
    comparison: ComparisonRow | None


class DriftGiven(BaseModel):
    """What to compare, and from which PSI or KS on a column is watched and has drifted; those left out are as set."""

    model_config = ConfigDict(extra="forbid")

    hours: float = Field(24, gt=0, le=24 * 366, description="Of what was asked.")
    dataset: int | None = Field(None, ge=1, le=2**53, description="A dataset instead of what was asked.")
    dataset_version: str | None = Field(None, max_length=64, description="A hash, or its start; else the newest.")
    watch: float | None = Field(None, gt=0, le=10)
    drift: float | None = Field(None, gt=0, le=10)


class RetrainRow(BaseModel):
    """The training that becomes the next version of the model; see `/trainings/{training}`."""

    training: str
    task: int
    status: str


class RetrainingRow(BaseModel):
    when: str = Field(max_length=16, description="never, drift or data.")


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    @router.get("/models", tags=["Models"], summary="The models that are served")
    def models(actor: Actor = Depends(caller)) -> ModelRows:
        rows = [ModelRow(**{k: getattr(one, k) for k in ModelRow.model_fields}) for one in get_app().models.all(actor)]
        return ModelRows(items=rows)

    @router.get("/models/{name}/versions", tags=["Models"], summary="Versions of a model, newest first")
    def versions(name: Name, actor: Actor = Depends(caller)) -> VersionRows:
        return VersionRows(items=[_version(row) for row in get_app().models.versions(actor, name)])

    @router.post(
        "/models/{name}/versions",
        tags=["Models"],
        summary="Upload an ONNX, XGBoost JSON or skops file as the next version",
        status_code=201,
        openapi_extra={"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}},
    )
    async def upload(
        request: Request,
        name: Name,
        file_name: Annotated[str, Query(max_length=256, description="model.onnx, model.json or model.skops.")],
        fields: Annotated[str, Query(max_length=20_000, description="Names of the inputs, comma-separated.")] = "",
        classes: Annotated[str, Query(max_length=20_000, description="Names of the classes, comma-separated.")] = "",
        task: Annotated[str, Query(max_length=32, description="classification or regression.")] = "",
        target: Annotated[str, Query(max_length=256)] = "",
        model_schema: Annotated[str, Query(max_length=100_000, description="All of it as JSON instead.")] = "",
        actor: Actor = Depends(caller),
    ) -> VersionRow:
        app = get_app()
        with tempfile.TemporaryFile() as held:
            async for piece in request.stream():
                await anyio.to_thread.run_sync(held.write, piece)
            held.seek(0)
            row = await anyio.to_thread.run_sync(
                lambda: app.model_uploads.upload(
                    actor,
                    name,
                    file_name,
                    held,
                    fields=_names(fields),
                    classes=_names(classes),
                    task=task,
                    target=target,
                    model_schema=model_schema,
                )
            )
        return _version(row)

    @router.get("/models/{name}/versions/{number}/files", tags=["Models"], summary="The files of a version, as a zip")
    def files(name: Name, number: Number, actor: Actor = Depends(caller)) -> FileResponse:
        path = get_app().models.archive_of(actor, name, number)
        return FileResponse(path, media_type="application/zip", filename=f"{name}-{number}.zip")

    @router.get("/models/{name}/aliases", tags=["Models"], summary="What was in production when")
    def history(
        name: Name,
        at: Annotated[datetime | None, Query(description="Only what was in force at this moment (ISO 8601).")] = None,
        actor: Actor = Depends(caller),
    ) -> AliasRows:
        service = get_app().models
        service.versions(actor, name)
        if at is None:
            return AliasRows(items=[_alias(row) for row in service.history(actor, name)])
        if at.tzinfo is None:
            raise Invalid("The moment needs a time zone: 2026-03-14T12:00:00Z.")
        moment = at.astimezone(UTC)
        found = [service.at(actor, name, moment, alias) for alias in ("champion", "challenger")]
        return AliasRows(items=[_alias(row) for row in found if row is not None])

    @router.put("/models/{name}/aliases/{alias}", tags=["Models"], summary="Promote a version")
    def promote(name: Name, alias: Name, given: AliasGiven, actor: Actor = Depends(caller)) -> AliasRow:
        return _alias(get_app().models.promote(actor, name, given.version, alias, given.note))

    @router.post("/models/{name}/rollback", tags=["Models"], summary="Back to the champion before this one")
    def rollback(name: Name, given: NoteGiven | None = None, actor: Actor = Depends(caller)) -> AliasRow:
        return _alias(get_app().models.roll_back(actor, name, given.note if given else ""))

    @router.get("/models/{name}/versions/{number}/drift", tags=["Models"], summary="Drift checks, newest first")
    def drift(name: Name, number: Number, actor: Actor = Depends(caller)) -> DriftRows:
        app = get_app()
        app.models.get(actor, name, number)
        last = app.drifting.last_task(actor, name, number)
        items = [_drift(row) for row in app.drifting.checks(actor, name, number, 50)]
        return DriftRows(items=items, comparison=_comparison(last) if last else None)

    @router.post(
        "/models/{name}/versions/{number}/drift",
        tags=["Models"],
        summary="Check what it was asked, or compare a dataset",
        status_code=201,
        responses={202: {"model": ComparisonRow, "description": "A dataset is compared by a task."}},
    )
    def check(
        response: Response, name: Name, number: Number, given: DriftGiven | None = None, actor: Actor = Depends(caller)
    ) -> DriftRow | ComparisonRow:
        drifting, given = get_app().drifting, given or DriftGiven()
        usual = drifting.usual
        limits = Thresholds(given.watch or usual.watch, given.drift or usual.drift)
        if given.dataset is None:
            return _drift(drifting.check(actor, name, number, timedelta(hours=given.hours), limits))
        response.status_code = 202
        return _comparison(drifting.compare_dataset(actor, name, number, given.dataset, given.dataset_version, limits))

    @router.post(
        "/models/{name}/versions/{number}/retrain",
        tags=["Models"],
        summary="Train it again on the newest version of its dataset",
        status_code=202,
    )
    def retrain(name: Name, number: Number, actor: Actor = Depends(caller)) -> RetrainRow:
        run = get_app().retraining.start(actor, name, number)
        return RetrainRow(training=run.id, task=run.task_id, status=run.status)

    @router.get("/models/{name}/retraining", tags=["Models"], summary="When it is trained again by itself")
    def retraining(name: Name, actor: Actor = Depends(caller)) -> RetrainingRow:
        app = get_app()
        app.models.versions(actor, name)
        return RetrainingRow(when=app.retraining.when(actor, name))

    @router.put("/models/{name}/retraining", tags=["Models"], summary="Have it trained again by itself")
    def reschedule(name: Name, given: RetrainingRow, actor: Actor = Depends(caller)) -> RetrainingRow:
        return RetrainingRow(when=get_app().retraining.schedule(actor, name, given.when))


def _names(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _version(row: ModelVersion) -> VersionRow:
    return VersionRow(**row.model_dump(include=set(VersionRow.model_fields)))


def _alias(row: ModelAlias) -> AliasRow:
    return AliasRow(**row.model_dump(include=set(AliasRow.model_fields)))


def _comparison(task: Task) -> ComparisonRow:
    return ComparisonRow(
        task=task.id or 0, title=task.title, status=task.status, progress=task.progress, error=task.error
    )


def _drift(row: DriftCheck) -> DriftRow:
    return DriftRow(**row.model_dump(include=set(DriftRow.model_fields)))
