"""Datasets for programs: bring a file, see what came of it, read rows, delete."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from lib.app import App
from lib.auth.actor import Actor
from lib.datasets.schema import Change
from lib.db.tables import Task, TaskStatus
from lib.errors import Invalid
from lib.services.datasets import Listed, Revision

Number = Annotated[int, Path(ge=1, le=2**53)]
Version = Annotated[
    str | None, Query(max_length=64, pattern=r"^[0-9a-f]+$", description="A hash, or its start; left out: the newest.")
]


class ColumnRow(BaseModel):
    name: str
    type: str = Field(description="integer, number, boolean, text, date or moment.")
    role: str = Field(description="feature, target, identifier, time or ignore.")
    origin: str = Field(description="What it was called in the data that was brought.")


class VersionRow(BaseModel):
    hash: str
    number: int
    rows: int
    size_bytes: int
    columns: list[ColumnRow]
    lineage: dict[str, Any]
    rejected: dict[str, Any] = Field(description="count, and rows: [line, reason] of the first 1,000.")
    created_by: str
    created_at: datetime


class DatasetRow(BaseModel):
    id: int
    name: str
    versions: int
    created_by: str
    created_at: datetime
    head: VersionRow


class DatasetList(BaseModel):
    items: list[DatasetRow]


class DatasetAnswer(DatasetRow):
    history: list[VersionRow]
    dependants: list[dict[str, str]] = Field(description="What was made of it.")


class MakingRow(BaseModel):
    """How the making of a dataset goes; dataset and version once it is there."""

    task: int
    status: str
    progress: float
    message: str
    error: str
    dataset: int | None = None
    version: str | None = None
    rejected: int | None = None
    unchanged: bool | None = Field(default=None, description="The content was there already: the same version.")


class ColumnGiven(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=1000, description="Its new name.")
    type: str | None = Field(None, max_length=100, description="integer, number, boolean, text, date or moment.")
    role: str | None = Field(None, max_length=100, description="feature, target, identifier, time or ignore.")
    keep: bool = Field(True, description="false: left out. It comes back from an older version.")


class ColumnsGiven(BaseModel):
    """Columns that are not named stay as they are."""

    model_config = ConfigDict(extra="forbid")

    columns: dict[str, ColumnGiven] = Field(
        description="By the name a column has now.", examples=[{"age": {"type": "integer"}, "note": {"keep": False}}]
    )
    version: str | None = Field(
        None, max_length=64, pattern=r"^[0-9a-f]+$", description="What it is made from: a hash, or its start."
    )
    distinct: bool = Field(False, description="Leave out rows that repeat an earlier one in every column.")


class RowsAnswer(BaseModel):
    columns: list[str]
    rows: list[list[Any]]
    offset: int


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    @router.get("/datasets", tags=["Learn"], summary="The datasets that are there, newest first")
    def listed(actor: Actor = Depends(caller)) -> DatasetList:
        return DatasetList(items=[DatasetRow(**_dataset(one)) for one in get_app().datasets.list(actor)])

    @router.post("/datasets", tags=["Learn"], summary="Make a dataset of a file", status_code=201)
    async def upload(
        request: Request,
        response: Response,
        name: Annotated[str, Query(max_length=1000, description="The file's name; not needed with a form.")] = "",
        into: Annotated[int | None, Query(ge=1, le=2**53, description="Make it a version of this dataset.")] = None,
        encoding: Annotated[str | None, Query(max_length=40, description="Left out: found out.")] = None,
        delimiter: Annotated[str | None, Query(max_length=1, description="Left out: found out.")] = None,
        sheet: Annotated[
            str | None, Query(max_length=200, description="Of a workbook; left out: the first table.")
        ] = None,
        wait_s: Annotated[float, Query(ge=0, le=120, description="How long to wait for it to be made.")] = 30,
        actor: Actor = Depends(caller),
    ) -> MakingRow:
        """The body is the file, or a form with a field `file`. Answers 201 once it is made, 202 when it is not yet."""
        app = get_app()
        await run_in_threadpool(app.datasets.admit, actor)
        options: dict[str, Any] = {"into": into, "encoding": encoding, "delimiter": delimiter, "sheet": sheet}
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            async with request.form(max_files=1, max_fields=10) as form:
                file = form.get("file")
                if not isinstance(file, UploadFile):
                    raise Invalid("The form has no file in a field called `file`.")
                task = await run_in_threadpool(
                    app.datasets.upload, actor, name or file.filename or "", file.file, **options
                )
        else:
            app.datasets.incoming.check(name)
            with tempfile.TemporaryFile(dir=app.settings.data_dir) as held:
                async for piece in request.stream():
                    await run_in_threadpool(held.write, piece)
                held.seek(0)
                task = await run_in_threadpool(app.datasets.upload, actor, name, held, **options)
        task = await run_in_threadpool(app.datasets.outcome, actor, task.id or 0, wait_s)
        return _made(task, response)

    @router.get("/datasets/tasks/{number}", tags=["Learn"], summary="How the making of a dataset goes")
    def making(
        number: Number,
        wait_s: Annotated[float, Query(ge=0, le=120)] = 0,
        actor: Actor = Depends(caller),
    ) -> MakingRow:
        return _making(get_app().datasets.outcome(actor, number, wait_s))

    @router.get("/datasets/{number}", tags=["Learn"], summary="One dataset, its versions, and what was made of it")
    def get(number: Number, actor: Actor = Depends(caller)) -> DatasetAnswer:
        app = get_app()
        one, history = app.datasets.get(actor, number)
        depending = [{"kind": each.kind, "name": each.name} for each in app.datasets.depending(actor, number)]
        return DatasetAnswer(
            **_dataset(one), history=[VersionRow(**_version(each)) for each in history], dependants=depending
        )

    @router.post(
        "/datasets/{number}/columns", tags=["Learn"], summary="Make a version with other columns", status_code=201
    )
    def change(
        number: Number,
        given: ColumnsGiven,
        response: Response,
        wait_s: Annotated[float, Query(ge=0, le=120, description="How long to wait for it to be made.")] = 30,
        actor: Actor = Depends(caller),
    ) -> MakingRow:
        """Rename columns, give them another type or role, or leave them out. What is wrong is named by column and field
        in `error.fields`. Answers 201 once the version is made, 202 when it is not yet."""
        datasets = get_app().datasets
        changes = {name: Change(**one.model_dump()) for name, one in given.columns.items()}
        task = datasets.change(actor, number, changes, given.version, distinct=given.distinct)
        return _made(datasets.outcome(actor, task.id or 0, wait_s), response)

    @router.get("/datasets/{number}/rows", tags=["Learn"], summary="Rows of a dataset, in their order")
    def preview(
        number: Number,
        version: Version = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
        actor: Actor = Depends(caller),
    ) -> RowsAnswer:
        frame = get_app().datasets.preview(actor, number, version, limit, offset)
        # pandas writes moments in ISO 8601 and what is no number as null.
        told = json.loads(frame.to_json(orient="split", date_format="iso", date_unit="us"))
        return RowsAnswer(columns=[str(one) for one in told["columns"]], rows=told["data"], offset=offset)

    @router.get("/datasets/{number}/data", tags=["Learn"], summary="A dataset as Parquet, or its first rows as CSV")
    def data(
        number: Number,
        version: Version = None,
        format: Annotated[str, Query(pattern="^(parquet|csv)$")] = "parquet",
        actor: Actor = Depends(caller),
    ) -> Response:
        app = get_app()
        if format == "csv":
            return Response(app.datasets.as_csv(actor, number, version), media_type="text/csv")
        opened = app.datasets.open(actor, number, version)
        return FileResponse(opened.path, media_type="application/vnd.apache.parquet", filename=f"{opened.hash}.parquet")

    @router.delete("/datasets/{number}", tags=["Learn"], summary="Delete a dataset with its versions", status_code=204)
    def delete(
        number: Number,
        anyway: Annotated[bool, Query(description="Also when something was made of it.")] = False,
        actor: Actor = Depends(caller),
    ) -> None:
        get_app().datasets.delete(actor, number, anyway)


def _made(task: Task, response: Response) -> MakingRow:
    if task.status in (TaskStatus.PENDING, TaskStatus.RUNNING):
        response.status_code = 202
    elif task.status != TaskStatus.SUCCEEDED:
        raise Invalid(task.error or f"The task was {task.status}.", task=task.id)
    return _making(task)


def _making(task: Task) -> MakingRow:
    kept = {name: task.result.get(name) for name in ("dataset", "version", "rejected", "unchanged")}
    return MakingRow(
        task=task.id or 0, status=task.status, progress=task.progress, message=task.message, error=task.error, **kept
    )


def _dataset(one: Listed) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "versions": one.versions,
        "created_by": one.by,
        "created_at": one.at,
        "head": VersionRow(**_version(one.head)),
    }


def _version(one: Revision) -> dict[str, Any]:
    return {
        "hash": one.hash,
        "number": one.number,
        "rows": one.rows,
        "size_bytes": one.size_bytes,
        "columns": [ColumnRow(**column.as_json()) for column in one.columns],
        "lineage": one.lineage,
        "rejected": one.rejected,
        "created_by": one.by,
        "created_at": one.at,
    }
