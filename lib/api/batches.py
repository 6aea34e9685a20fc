"""Many rows over the API: a file or a stored dataset predicted as a task, its progress, and the result."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from lib.app import App
from lib.auth.actor import Actor
from lib.db.tables import Task
from lib.errors import Invalid

# This address takes a file; see `BodyLimit`.
UPLOAD = "/batches"
Name = Annotated[str, Path(max_length=64)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


class BatchRow(BaseModel):
    """rows, problems: how many there were, and how many of them could not be predicted; told: why, of the first."""

    task: int
    model: str
    version: int
    source: str
    status: str
    progress: float
    message: str
    error: str
    rows: int | None
    problems: int | None
    told: list[str]


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    @router.post(
        "/models/{name}/batches",
        tags=["Models"],
        summary="Predict a file or a dataset",
        status_code=202,
        openapi_extra={"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}},
    )
    async def start(
        request: Request,
        name: Name,
        version: Annotated[str | None, Query(max_length=20, description="Left out: the champion.")] = None,
        file_name: Annotated[str, Query(max_length=256, description="rows.csv, .tsv or .parquet: the body.")] = "",
        dataset: Annotated[int | None, Query(ge=1, le=2**53, description="A dataset instead of a body.")] = None,
        dataset_version: Annotated[str | None, Query(max_length=64, description="A hash, or its start.")] = None,
        actor: Actor = Depends(caller),
    ) -> BatchRow:
        """Asked of every row as a task: look at it under `/batches/{task}`, then fetch the result."""
        app = get_app()
        files: Any = app.prediction_files
        if (dataset is None) == (not file_name):
            raise Invalid("Give either file_name, with the file as the body, or dataset.")
        if dataset is not None:
            task = await run_in_threadpool(files.start_dataset, actor, name, version, dataset, dataset_version)
            return _batch(task)
        with tempfile.TemporaryFile(dir=app.settings.data_dir) as held:
            async for piece in request.stream():
                await run_in_threadpool(held.write, piece)
            held.seek(0)
            return _batch(await run_in_threadpool(files.start, actor, name, version, file_name, held))

    @router.get("/batches/{task}", tags=["Models"], summary="How the prediction of a file or dataset goes")
    def how(task: Number, actor: Actor = Depends(caller)) -> BatchRow:
        return _batch(get_app().prediction_files.task(actor, task))

    @router.get("/batches/{task}/result", tags=["Models"], summary="The predicted rows, as CSV")
    def result(task: Number, actor: Actor = Depends(caller)) -> FileResponse:
        path = get_app().prediction_files.result(actor, task)
        return FileResponse(path, media_type="text/csv", filename=f"predictions-{task}.csv")


def _batch(task: Task) -> BatchRow:
    return BatchRow(
        task=task.id or 0,
        model=task.params["model"],
        version=task.params["version"],
        source=task.params["file"],
        status=task.status,
        progress=task.progress,
        message=task.message,
        error=task.error,
        rows=task.result.get("rows"),
        problems=task.result.get("problems"),
        told=list(task.result.get("told", ())),
    )
