"""Training over the API: start, watch, take the results, end, again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from lib.app import App
from lib.auth.actor import Actor
from lib.db.tables import TaskStatus
from lib.errors import Conflict
from lib.services.training import Run
from lib.services.training_setup import Proposal, Wanted
from lib.tasks.runner import ACTIVE
from lib.training.words import verdict

RunId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="A run, as the list names it.")]


class TrainingWish(BaseModel):
    """What to train. What is left out is found out, or taken from where it begins."""

    model_config = ConfigDict(extra="forbid")
    dataset: int = Field(ge=1, le=2**53)
    target: str = Field(default="", max_length=200, description="Left out: the dataset's target.")
    version: str | None = Field(
        default=None, max_length=64, pattern=r"^[0-9a-f]+$", description="A hash, or its start."
    )
    start: str = Field(default="", max_length=120, description="A template or kept pipeline, by name.")
    pipeline: dict[str, Any] | None = Field(default=None, description="A pipeline as JSON instead.")
    split: str = Field(default="random", description="random, time or group.")
    by: str = Field(default="", max_length=200, description="The column of a time or group split.")
    kind: str = Field(default="", description="number or classes; left out: found out.")
    metric: str | None = Field(default=None, max_length=40)
    budget_s: float | None = Field(default=None, allow_inf_nan=False)
    models: list[str] | None = Field(default=None, max_length=20, description="Families, such as linear and xgboost.")
    seed: int | None = Field(default=None, ge=0, le=2**31 - 1)
    holdout: float | None = Field(
        default=None, allow_inf_nan=False, description="Share of rows scored once, at the end."
    )
    leave_out: list[str] = Field(default_factory=list, max_length=10_000)
    name: str = Field(default="", max_length=120)


class ProblemRow(BaseModel):
    message: str
    fatal: bool = Field(description="It cannot run like this.")
    columns: list[str]


class CheckAnswer(BaseModel):
    """The plan as it would run, and all that stands against it."""

    ok: bool
    task: str | None = Field(description="binary, multiclass or regression.")
    said: str = Field(description="The target in a sentence.")
    problems: list[ProblemRow]
    left_out: dict[str, str]
    plan: dict[str, Any]


class TrainingRow(BaseModel):
    id: str
    name: str
    table: str
    dataset: int | None
    data_hash: str
    status: str
    target: str
    metric: str
    score: float | None = Field(description="Greater is better; errors have their sign turned round.")
    budget_s: float
    seed: int
    by: str
    at: datetime
    task: int = Field(description="The task that runs it; its log is under /log.")
    error: str


class TrainingList(BaseModel):
    items: list[TrainingRow]


class BoardRow(BaseModel):
    """value, low, high: as people read them, errors as they are; score: greater is better."""

    name: str
    family: str
    params: dict[str, Any]
    score: float | None
    value: float | None
    low: float | None
    high: float | None
    took_s: float
    at_s: float | None
    usable: bool = Field(description="The first model that could be used.")
    weight: float | None = Field(description="In the ensemble.")


class TrainingAnswer(TrainingRow):
    progress: float
    message: str
    used_s: float = Field(description="Of the budget.")
    verdict: list[str] = Field(description="What came of it, in words.")
    board: list[BoardRow]
    results: dict[str, Any] | None
    plan: dict[str, Any]


class ViewAnswer(BaseModel):
    ready: bool
    task: int | None = None
    view: Any = None


class RegisterWish(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(default="", max_length=63, description="Of the model; left out: made of the run's name.")


class RegisteredRow(BaseModel):
    model: str
    version: int


class Comparison(BaseModel):
    runs: list[str]
    names: dict[str, str]
    same_task: bool
    rows: list[dict[str, Any]]


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    @router.post("/trainings", tags=["Learn"], summary="Train a model", status_code=202)
    def start(wish: TrainingWish, actor: Actor = Depends(caller)) -> TrainingRow:
        return _row(get_app().training_setup.start(actor, _wanted(wish)))

    @router.post("/trainings/check", tags=["Learn"], summary="What would be trained, and what stands against it")
    def check(wish: TrainingWish, actor: Actor = Depends(caller)) -> CheckAnswer:
        return _checked(get_app().training_setup.propose(actor, _wanted(wish)))

    @router.get("/trainings", tags=["Learn"], summary="Trainings, newest first")
    def listed(actor: Actor = Depends(caller)) -> TrainingList:
        return TrainingList(items=[_row(one) for one in get_app().training.list(actor)])

    @router.get("/trainings/compare", tags=["Learn"], summary="Results of 2 to 6 finished trainings side by side")
    def compare(run: Annotated[list[str], Query(max_length=6)], actor: Actor = Depends(caller)) -> Comparison:
        return Comparison(**get_app().training.compare(actor, run))

    @router.get("/trainings/{run_id}", tags=["Learn"], summary="One training: status, leaderboard, results")
    def get(run_id: RunId, actor: Actor = Depends(caller)) -> TrainingAnswer:
        app = get_app()
        run, results = app.training.get(actor, run_id), app.training.results(actor, run_id)
        # A task is removed after a while; its run stays.
        task = app.runner.get(run.task_id) if run.status in ACTIVE else None
        return TrainingAnswer(
            **_row(run).model_dump(),
            progress=task.progress if task else float(results is not None),
            message=task.message if task else "",
            used_s=app.training.used_s(actor, run_id),
            verdict=verdict(results) if results else [],
            board=[BoardRow(**one) for one in app.training.board(actor, run_id)],
            results=results,
            plan=run.plan.to_json(),
        )

    @router.post("/trainings/{run_id}/cancel", tags=["Learn"], summary="End a training; what is done stays")
    def cancel(run_id: RunId, actor: Actor = Depends(caller)) -> TrainingRow:
        app = get_app()
        run = app.training.get(actor, run_id)
        if run.status not in ACTIVE:
            raise Conflict(f"{run.name} is not under way; it is {run.status}.")
        app.jobs.cancel(actor, run.task_id)
        return _row(app.training.get(actor, run_id))

    @router.post(
        "/trainings/{run_id}/resume", tags=["Learn"], summary="Go on with a training that ended", status_code=202
    )
    def resume(run_id: RunId, actor: Actor = Depends(caller)) -> TrainingRow:
        return _row(get_app().training.resume(actor, run_id))

    @router.post("/trainings/{run_id}/replay", tags=["Learn"], summary="The same plan and seed again", status_code=202)
    def replay(run_id: RunId, actor: Actor = Depends(caller)) -> TrainingRow:
        return _row(get_app().training.replay(actor, run_id))

    @router.get(
        "/trainings/{run_id}/views/{what}", tags=["Learn"], summary="shap, dependence, importance, learning_curve"
    )
    def view(
        run_id: RunId,
        what: Annotated[str, Path(max_length=40)],
        response: Response,
        column: Annotated[str, Query(max_length=200, description="Of dependence.")] = "",
        actor: Actor = Depends(caller),
    ) -> ViewAnswer:
        """The first call begins the work and answers 202; a later one has it."""
        app = get_app()
        found = app.training.view(actor, run_id, what, column)
        if found is not None:
            return ViewAnswer(ready=True, view=found)
        response.status_code = 202
        last = app.training.viewing(actor, run_id, what, column)
        if last is not None and last.status == TaskStatus.FAILED:
            raise Conflict(f"{last.title} failed: {last.error}", task=last.id)
        return ViewAnswer(ready=False, task=app.training.explain(actor, run_id, what, column).id)

    @router.get("/trainings/{run_id}/card", tags=["Learn"], summary="The model card", response_class=PlainTextResponse)
    def card(run_id: RunId, actor: Actor = Depends(caller)) -> PlainTextResponse:
        return PlainTextResponse(get_app().training.card(actor, run_id), media_type="text/markdown; charset=utf-8")

    @router.get("/trainings/{run_id}/log", tags=["Learn"], summary="The log, as JSON or text")
    def log(
        run_id: RunId,
        format: Annotated[str, Query(pattern="^(json|text)$")] = "json",
        actor: Actor = Depends(caller),
    ) -> Response:
        app, text = get_app(), format == "text"
        body = app.jobs.log_file(actor, app.training.get(actor, run_id).task_id, as_text=text)
        return Response(body, media_type="text/plain; charset=utf-8" if text else "application/json")

    @router.post(
        "/trainings/{run_id}/register", tags=["Learn"], summary="Put its model into the registry", status_code=201
    )
    def register(run_id: RunId, wish: RegisterWish, actor: Actor = Depends(caller)) -> RegisteredRow:
        row = get_app().training_setup.register(actor, run_id, wish.name)
        return RegisteredRow(model=row.name, version=row.version)

    @router.delete("/trainings/{run_id}", tags=["Learn"], summary="Delete a training with its model", status_code=204)
    def delete(run_id: RunId, actor: Actor = Depends(caller)) -> None:
        get_app().training.remove(actor, run_id)


def _wanted(wish: TrainingWish) -> Wanted:
    held = wish.model_dump(exclude={"dataset", "models", "leave_out"})
    families = None if wish.models is None else tuple(wish.models)
    return Wanted(dataset_id=wish.dataset, families=families, leave_out=tuple(wish.leave_out), **held)


def _checked(found: Proposal) -> CheckAnswer:
    rows = [ProblemRow(message=one.message, fatal=one.fatal, columns=list(one.columns)) for one in found.problems]
    task = str(found.task) if found.task else None
    plan = found.plan.to_json()
    return CheckAnswer(
        ok=not found.fatal, task=task, said=found.said, problems=rows, left_out=found.left_out, plan=plan
    )


def _row(run: Run) -> TrainingRow:
    return TrainingRow(
        id=run.id,
        name=run.name,
        table=run.table,
        dataset=run.dataset_id,
        data_hash=run.data_hash,
        status=run.status,
        target=run.plan.target,
        metric=run.metric or run.plan.metric,
        score=run.score,
        budget_s=run.plan.budget_s,
        seed=run.plan.seed,
        by=run.by,
        at=run.at,
        task=run.task_id,
        error=run.error,
    )
