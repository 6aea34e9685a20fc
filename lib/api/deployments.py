"""Exported versions over the API: make a folder, fetch it, say where it runs, look whether it does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from lib.app import App
from lib.auth.actor import Actor
from lib.db.learning_tables import Deployment

Name = Annotated[str, Path(max_length=64)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


class DeploymentRow(BaseModel):
    """sha256: of the zip; model_sha256: of the model's files, which /health of the deployment repeats."""

    id: int
    name: str
    version: int
    model_sha256: str
    sha256: str
    size_bytes: int
    code_version: str
    created_by: str
    created_at: datetime
    target: str
    url: str
    url_by: str
    note: str
    state: str = Field(description="up, other (something else answers), down, or empty: never asked.")
    told: str
    checked_at: datetime | None
    ended_at: datetime | None


class DeploymentRows(BaseModel):
    """Newest first."""

    items: list[DeploymentRow]


class ExportGiven(BaseModel):
    target: str = Field(default="", max_length=32, description="spaces, cloud-run, ecs, other, or empty.")
    note: str = Field(default="", max_length=500)


class WhereGiven(BaseModel):
    url: str = Field(max_length=512, description="Without /health. Empty: take it back.")
    target: str | None = Field(default=None, max_length=32)


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    @router.get("/deployments", tags=["Models"], summary="Versions that were exported, newest first")
    def deployments(
        model: Annotated[str | None, Query(max_length=64)] = None, actor: Actor = Depends(caller)
    ) -> DeploymentRows:
        return DeploymentRows(items=[_row(one) for one in get_app().deployments.all(actor, model)])

    @router.post(
        "/models/{name}/versions/{number}/deployments",
        tags=["Models"],
        summary="Export a version as a folder with an API",
        status_code=201,
    )
    def export(
        name: Name, number: Number, given: ExportGiven | None = None, actor: Actor = Depends(caller)
    ) -> DeploymentRow:
        wanted = given or ExportGiven()
        return _row(get_app().deployments.export(actor, name, number, target=wanted.target, note=wanted.note))

    @router.get("/deployments/{number}/folder", tags=["Models"], summary="The exported folder, as a zip")
    def folder(number: Number, actor: Actor = Depends(caller)) -> FileResponse:
        service = get_app().deployments
        row, path = service.get(actor, number), service.archive_of(actor, number)
        return FileResponse(path, media_type="application/zip", filename=f"{row.name}-{row.version}.zip")

    @router.put("/deployments/{number}/url", tags=["Models"], summary="Say where it runs")
    def where(number: Number, given: WhereGiven, actor: Actor = Depends(caller)) -> DeploymentRow:
        return _row(get_app().deployments.say_where(actor, number, given.url, given.target))

    @router.post("/deployments/{number}/check", tags=["Models"], summary="Ask its /health now")
    def check(number: Number, actor: Actor = Depends(caller)) -> DeploymentRow:
        return _row(get_app().deployments.check(actor, number))

    @router.post("/deployments/{number}/end", tags=["Models"], summary="Note that it no longer runs")
    def end(number: Number, actor: Actor = Depends(caller)) -> DeploymentRow:
        return _row(get_app().deployments.end(actor, number))


def _row(row: Deployment) -> DeploymentRow:
    return DeploymentRow(**row.model_dump(include=set(DeploymentRow.model_fields)))
