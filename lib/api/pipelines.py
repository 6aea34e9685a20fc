"""Pipelines for programs: list, read, judge, save and compare them, take one as a script, train it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from lib.app import App
from lib.auth.actor import Actor
from lib.services.pipelines import Listed, Opened, Revision
from lib.training.plan import Plan
from lib.training.review import Review

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Hash = Annotated[
    str | None, Query(max_length=64, pattern=r"^[0-9a-f]+$", description="A hash, or its start; left out: the newest.")
]


class Wanted(BaseModel):
    """A plan for a version of a dataset, as `plan` of GET /pipelines/{number} gives it."""

    plan: dict[str, Any] = Field(description="target, roles, steps, families and the settings of the run.")
    dataset: int = Field(ge=1, le=2**31 - 1)
    dataset_version: str | None = Field(default=None, max_length=64, pattern=r"^[0-9a-f]+$")


class Saved(Wanted):
    name: str = Field(default="", max_length=200, description="Of a new pipeline, or its new name.")
    base: str | None = Field(
        default=None, max_length=64, description="The version it was made from: refused when there is a newer one."
    )


class VersionRow(BaseModel):
    hash: str
    number: int
    dataset: int
    dataset_name: str
    dataset_version: str
    target: str
    steps: int
    created_by: str
    created_at: datetime


class PipelineRow(BaseModel):
    id: int
    name: str
    versions: int
    created_by: str
    created_at: datetime
    head: VersionRow


class PipelineList(BaseModel):
    items: list[PipelineRow]


class PipelineAnswer(BaseModel):
    id: int
    name: str
    version: VersionRow
    plan: dict[str, Any]
    history: list[VersionRow]
    dependants: list[dict[str, str]] = Field(description="What was made from it.")


class FindingRow(BaseModel):
    message: str
    remedy: str
    fatal: bool = Field(description="It cannot be trained; other findings are warnings.")
    node: str = Field(description="Where it shows: data, split, models, scores, or step-0, step-1 …")
    columns: list[str]


class ReviewAnswer(BaseModel):
    ready: bool
    findings: list[FindingRow]


class DifferenceRow(BaseModel):
    part: str
    what: str
    before: str
    after: str


class DifferenceList(BaseModel):
    items: list[DifferenceRow]


class RunRow(BaseModel):
    run: str
    task: int
    name: str
    status: str


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    @router.get("/pipelines", tags=["Learn"], summary="The pipelines that are there, newest first")
    def listed(actor: Actor = Depends(caller)) -> PipelineList:
        return PipelineList(items=[_row(one) for one in get_app().pipelines.list(actor)])

    @router.post("/pipelines", tags=["Learn"], summary="Keep a plan as a new pipeline", status_code=201)
    def save(wanted: Saved, actor: Actor = Depends(caller)) -> PipelineAnswer:
        """It need not be without faults; see /pipelines/validate."""
        return _saved(get_app(), actor, wanted, None)

    @router.post("/pipelines/validate", tags=["Learn"], summary="What is wrong with a plan, and what mends it")
    def validate(wanted: Wanted, actor: Actor = Depends(caller)) -> ReviewAnswer:
        plan = Plan.from_json(wanted.plan)
        return _review(get_app().pipelines.check(actor, plan, wanted.dataset, wanted.dataset_version))

    @router.get(
        "/pipelines/{number}", tags=["Learn"], summary="One version of a pipeline with its plan, and all others"
    )
    def get(number: Number, version: Hash = None, actor: Actor = Depends(caller)) -> PipelineAnswer:
        app = get_app()
        return _answer(app, actor, app.pipelines.open(actor, number, version))

    @router.post("/pipelines/{number}", tags=["Learn"], summary="Make a plan the newest version of a pipeline")
    def change(number: Number, wanted: Saved, actor: Actor = Depends(caller)) -> PipelineAnswer:
        return _saved(get_app(), actor, wanted, number)

    @router.get("/pipelines/{number}/validate", tags=["Learn"], summary="What is wrong with a pipeline as it is kept")
    def judged(number: Number, version: Hash = None, actor: Actor = Depends(caller)) -> ReviewAnswer:
        app = get_app()
        opened = app.pipelines.open(actor, number, version)
        held = opened.version
        return _review(app.pipelines.check(actor, opened.plan, held.dataset_id, held.dataset_hash))

    @router.get("/pipelines/{number}/script", tags=["Learn"], summary="A pipeline as a Python file that runs by itself")
    def script(number: Number, version: Hash = None, actor: Actor = Depends(caller)) -> Response:
        text = get_app().pipelines.script(actor, number, version)
        named = {"Content-Disposition": f'attachment; filename="pipeline-{number}.py"'}
        return Response(text, media_type="text/x-python", headers=named)

    @router.get("/pipelines/{number}/compare", tags=["Learn"], summary="What differs between two versions")
    def compare(
        number: Number,
        before: Annotated[str, Query(min_length=6, max_length=64, pattern=r"^[0-9a-f]+$")],
        after: Annotated[str, Query(min_length=6, max_length=64, pattern=r"^[0-9a-f]+$")],
        actor: Actor = Depends(caller),
    ) -> DifferenceList:
        found = get_app().pipelines.compare(actor, number, before, after)
        return DifferenceList(items=[DifferenceRow(**asdict(one)) for one in found])

    @router.post("/pipelines/{number}/train", tags=["Learn"], summary="Train a version on its dataset", status_code=202)
    def train(number: Number, version: Hash = None, actor: Actor = Depends(caller)) -> RunRow:
        run = get_app().pipelines.train(actor, number, version)
        return RunRow(run=run.id, task=run.task_id, name=run.name, status=run.status)

    @router.delete(
        "/pipelines/{number}", tags=["Learn"], summary="Delete a pipeline with its versions", status_code=204
    )
    def delete(
        number: Number,
        anyway: Annotated[bool, Query(description="Also when something was made from it.")] = False,
        actor: Actor = Depends(caller),
    ) -> None:
        get_app().pipelines.delete(actor, number, anyway)


def _saved(app: App, actor: Actor, wanted: Saved, into: int | None) -> PipelineAnswer:
    plan = Plan.from_json(wanted.plan)
    kept = app.pipelines.save(
        actor, plan, wanted.dataset, wanted.dataset_version, name=wanted.name, into=into, base=wanted.base
    )
    return _answer(app, actor, kept)


def _answer(app: App, actor: Actor, opened: Opened) -> PipelineAnswer:
    _, history = app.pipelines.get(actor, opened.id)
    depending = [{"kind": one.kind, "name": one.name} for one in app.pipelines.depending(actor, opened.id)]
    return PipelineAnswer(
        id=opened.id,
        name=opened.name,
        version=_version(opened.version),
        plan=opened.plan.to_json(),
        history=[_version(one) for one in history],
        dependants=depending,
    )


def _row(one: Listed) -> PipelineRow:
    return PipelineRow(
        id=one.id,
        name=one.name,
        versions=one.versions,
        created_by=one.by,
        created_at=one.at,
        head=_version(one.head),
    )


def _version(one: Revision) -> VersionRow:
    return VersionRow(
        hash=one.hash,
        number=one.number,
        dataset=one.dataset_id,
        dataset_name=one.dataset,
        dataset_version=one.dataset_hash,
        target=one.target,
        steps=one.steps,
        created_by=one.by,
        created_at=one.at,
    )


def _review(found: Review) -> ReviewAnswer:
    rows = [
        FindingRow(
            message=one.message, remedy=one.remedy, fatal=one.fatal, node=one.node, columns=list(one.columns[:100])
        )
        for one in found.findings
    ]
    return ReviewAnswer(ready=found.ready, findings=rows)
