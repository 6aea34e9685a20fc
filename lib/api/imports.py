"""History from files by program: bring a file, see what it would become, store it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path as FilePath
from typing import Annotated, Any, BinaryIO, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from lib.app import App
from lib.auth.actor import Actor, Permission
from lib.errors import Unavailable
from lib.frames import from_ms
from lib.intake.mapping import Mapping
from lib.services import importing
from lib.services.importing_staged import Staged

Id = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
# The address that takes a file; see `BodyLimit`.
UPLOAD = "/v1/imports"
_STATES = {importing.LOOKING: "looking", importing.CHECKING: "checking", importing.STORING: "storing"}


class Check(BaseModel):
    """What storing would do. reasons: errors by reason."""

    samples: int
    new: int
    known: int = Field(description="Samples that are stored already.")
    different: int = Field(description="Those of them with another value; the stored value stays.")
    series: int
    first: datetime | None
    last: datetime | None
    bad: int = Field(description="Rows or cells that cannot be read.")
    reasons: dict[str, int]
    repeated: int
    conflicts: int
    expired: int
    source: str


class ImportState(BaseModel):
    id: str
    name: str
    state: str = Field(description="looking, looked, checking, checked, storing, stored or failed.")
    error: str = Field(description="Why the last step did not succeed.")
    mapping: Mapping | None = Field(description="As guessed, or as it was checked; send it back changed to /check.")
    notes: list[str]
    check: Check | None
    stored: dict[str, Any] | None = Field(description="source_id, source, written, known.")


class CheckGiven(BaseModel):
    """mapping: null for what was guessed."""

    mapping: Mapping | None = None
    into: int | None = Field(default=None, description="Number of the source that gets the samples; null: its own.")
    name: str = Field(default="", max_length=64, description="Of its own source; empty: after the file.")


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    def state(actor: Actor, import_id: str) -> ImportState:
        return _state(get_app().importing.get(actor, import_id))

    binary = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}

    @router.post(
        "/imports",
        tags=["Import"],
        summary="Bring a file, or pick one of the server's",
        status_code=202,
        openapi_extra={"requestBody": binary},
    )
    async def bring(
        request: Request,
        name: Annotated[str, Query(max_length=256, description="Of the file in the body, such as power.csv.")] = "",
        file: Annotated[str, Query(max_length=256, description="A file in the folder `files` of the server.")] = "",
        actor: Actor = Depends(caller),
    ) -> ImportState:
        service = get_app().importing
        if file:
            return await run_in_threadpool(lambda: state(actor, service.pick(actor, file)))
        # Nobody who may not bring files makes the server take in as much as a file may have.
        actor.require(Permission.MANAGE_SOURCES)
        with _spool(service.folder) as body:
            try:
                async for piece in request.stream():
                    body.write(piece)
            except OSError as error:
                raise Unavailable(f"The file could not be taken in ({error.strerror or error}); make room.") from error
            body.seek(0)
            return await run_in_threadpool(lambda: state(actor, service.upload(actor, name, body)))

    @router.get("/imports/{import_id}", tags=["Import"], summary="How far an import is")
    def look(import_id: Id, actor: Actor = Depends(caller)) -> ImportState:
        return state(actor, import_id)

    @router.post(
        "/imports/{import_id}/check", tags=["Import"], summary="Read all of it; nothing is stored", status_code=202
    )
    def check(import_id: Id, given: CheckGiven, actor: Actor = Depends(caller)) -> ImportState:
        service = get_app().importing
        mapping = given.mapping or service.guessed(actor, import_id)
        service.check(actor, import_id, mapping, into=given.into, name=given.name)
        return state(actor, import_id)

    @router.post("/imports/{import_id}/store", tags=["Import"], summary="Store what was checked", status_code=202)
    def store(import_id: Id, actor: Actor = Depends(caller)) -> ImportState:
        get_app().importing.store(actor, import_id)
        return state(actor, import_id)

    @router.get("/imports/{import_id}/errors", tags=["Import"], summary="Rows that cannot be read, as CSV")
    def errors(import_id: Id, actor: Actor = Depends(caller)) -> Response:
        return Response(get_app().importing.errors(actor, import_id), media_type="text/csv")

    @router.delete(
        "/imports/{import_id}", tags=["Import"], summary="Put a file away; what was stored stays", status_code=204
    )
    def discard(import_id: Id, actor: Actor = Depends(caller)) -> None:
        get_app().importing.discard(actor, import_id)


def _spool(folder: FilePath) -> BinaryIO:
    """A nameless file beside the imports: small bodies stay in memory, large ones never do."""
    folder.mkdir(parents=True, exist_ok=True)
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=2**20, dir=str(folder)))


def _state(staged: Staged) -> ImportState:
    look, report = staged.look, staged.report
    if staged.running is not None:
        state = _STATES[staged.running.kind]
    elif staged.done is not None:
        state = "stored"
    elif staged.failed:
        state = "failed"
    else:
        state = "checked" if report is not None else "looked"
    return ImportState(
        id=staged.about.id,
        name=staged.about.name,
        state=state,
        error=staged.failed,
        mapping=report.mapping if report is not None else (look.mapping if look is not None else None),
        notes=look.notes if look is not None else [],
        check=None
        if report is None
        else Check(
            samples=report.samples,
            new=report.new,
            known=report.known,
            different=report.different,
            series=report.series,
            first=None if report.first_ms is None else from_ms(report.first_ms),
            last=None if report.last_ms is None else from_ms(report.last_ms),
            bad=report.bad,
            reasons=report.reasons,
            repeated=report.repeated,
            conflicts=report.conflicts,
            expired=report.expired,
            source=report.source_name,
        ),
        stored=staged.done,
    )
