"""Forecasts for programs: make one, read it with its report card, ask when it crosses a limit."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from lib.app import App
from lib.auth.actor import Actor
from lib.db.tables import Task
from lib.errors import Invalid, NotFound
from lib.forecast import limits
from lib.forecast.capacity import Side
from lib.frames import Window
from lib.services import forecasting, forecasting_answer

Number = Annotated[int, Path(ge=1, le=2**53)]


class ForecastRow(BaseModel):
    """mase, vs_naive, vs_seasonal: error against others in forecasts of the past, below 1 is better.

    coverage: shares of what came that lay within. last: the newest value known when it was made."""

    id: int
    series_id: int
    source_id: int
    metric: str
    labels: dict[str, str]
    title: str
    unit: str
    made_at: datetime
    made_by: str
    start: datetime
    end: datetime
    step_s: int
    steps: int
    model: str
    last: float | None
    mase: float | None
    vs_naive: float | None
    vs_seasonal: float | None
    coverage80: float | None
    coverage95: float | None


class ForecastList(BaseModel):
    """Newest first."""

    items: list[ForecastRow]


class Point(BaseModel):
    ts: datetime = Field(description="The middle of the step.")
    low95: float | None
    low80: float | None
    middle: float | None
    high80: float | None
    high95: float | None


class WholeForecast(ForecastRow):
    card: dict[str, Any] = Field(description="Why this model, what it cannot know, and all that were tried.")
    outcome: dict[str, Any] | None = Field(description="How it did, as far as it has come; null: nothing has.")
    points: list[Point]


class CrossingAnswer(BaseModel):
    limit: float
    side: str
    state: str = Field(description="crosses, may, not within the horizon, or already beyond.")
    earliest: datetime | None = Field(description="Where the nearer edge of the 95% interval crosses.")
    likely: datetime | None
    latest: datetime | None
    horizon_end: datetime
    answer: str = Field(description="The same in a sentence.")


class Wanted(BaseModel):
    """Name series_ids, or a metric (and a host)."""

    series_ids: list[Annotated[int, Field(ge=1, le=2**31 - 1)]] = Field(
        default_factory=list, max_length=forecasting.MOST_SERIES
    )
    metric: str | None = Field(default=None, max_length=256)
    host: str | None = Field(default=None, max_length=256)
    horizon: str = Field(default="1d", max_length=20, description="10m to 366d.")
    window: str | None = Field(default=None, max_length=80, description="What to learn from; null: all that is of use.")
    country: str = Field(default="", max_length=2, description="ISO code whose holidays count.")
    prophet: bool = True


class Run(BaseModel):
    """A forecast being made. refused: series of which none could be made, with the reason."""

    task: int
    title: str
    status: str = Field(description="pending, running, succeeded, failed, cancelled or interrupted.")
    progress: float
    message: str
    error: str
    made: list[dict[str, Any]]
    refused: list[dict[str, Any]]


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    @router.get("/forecasts", tags=["Forecast"], summary="Forecasts that were made, newest first")
    def forecasts(
        series_id: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
        metric: Annotated[str | None, Query(max_length=256)] = None,
        host: Annotated[str | None, Query(max_length=256)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 60,
        actor: Actor = Depends(caller),
    ) -> ForecastList:
        found = get_app().forecasting.listed(actor, series_id=series_id, metric=metric, host=host, limit=limit)
        return ForecastList(items=[ForecastRow(**forecasting_answer.row(made, series)) for made, series in found])

    @router.post("/forecasts", tags=["Forecast"], summary="Have forecasts made; answers with the task", status_code=202)
    def make(wanted: Wanted, actor: Actor = Depends(caller)) -> Run:
        app = get_app()
        now = app.clock()
        task = app.forecasting.forecast(
            actor,
            wanted.series_ids,
            metric=wanted.metric,
            host=wanted.host,
            horizon=Window.parse(wanted.horizon, now).span,
            window=Window.parse(wanted.window, now) if wanted.window else None,
            country=wanted.country,
            prophet=wanted.prophet,
        )
        return _run(task)

    @router.get("/forecasts/runs/{number}", tags=["Forecast"], summary="How far a run of forecasts is")
    def run(number: Number, actor: Actor = Depends(caller)) -> Run:
        task = get_app().jobs.get(actor, number)
        if task.kind != forecasting.KIND:
            raise NotFound(f"Task {number} makes no forecast; see the Tasks page.")
        return _run(task)

    @router.get("/forecasts/{number}", tags=["Forecast"], summary="One forecast: points, report card, how it did")
    def forecast(number: Number, actor: Actor = Depends(caller)) -> WholeForecast:
        return WholeForecast(**forecasting_answer.whole(get_app().forecasting.view(actor, number)))

    @router.get("/forecasts/{number}/crossing", tags=["Forecast"], summary="When a forecast crosses a limit")
    def crossing(
        number: Number,
        limit: Annotated[str, Query(max_length=40, description="In the series' unit: 250, 1.5 TiB, 90 %.")],
        side: Annotated[Side | None, Query(description="Left out: whichever way the limit lies.")] = None,
        actor: Actor = Depends(caller),
    ) -> CrossingAnswer:
        service = get_app().forecasting
        view = service.view(actor, number)
        # A plus that was not escaped in the address arrives as a space.
        value = limits.parse(re.sub(r"e (\d)", r"e+\1", limit), view.unit)
        if value is None:
            raise Invalid("The limit is empty; write a number, such as 250, 1.5 TiB or 90 %.")
        return CrossingAnswer(**forecasting_answer.crossing(service.crossing(actor, view, value, side), view))

    @router.delete("/forecasts/{number}", tags=["Forecast"], summary="Remove a forecast", status_code=204)
    def remove(number: Number, actor: Actor = Depends(caller)) -> None:
        get_app().forecasting.remove(actor, number)


def _run(task: Task) -> Run:
    result = task.result or {}
    return Run(
        task=task.id or 0,
        title=task.title,
        status=task.status,
        progress=task.progress,
        message=task.message,
        error=task.error,
        made=result.get("made", []),
        refused=result.get("refused", []),
    )
