"""The REST API, version 1: parse, call a service as the caller, answer JSON."""

from __future__ import annotations

import base64
import logging
import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import pandas as pd
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from lib.api import (
    batches,
    credentials,
    datasets,
    deployments,
    docs,
    feedback,
    forecasts,
    imports,
    language,
    models,
    pipelines,
    prediction,
    suggestions,
    trainings,
)
from lib.api.limits import BodyLimit, RateLimit, problem
from lib.api.metrics import requests
from lib.app import App
from lib.auth.actor import Actor, ActorKind
from lib.errors import AppError, Invalid, TooMany, Unauthenticated
from lib.frames import Window, from_ms, to_ms
from lib.services.health import Figures, version

log = logging.getLogger(__name__)

PAGE = 1000


class Problem(BaseModel):
    """code: stable, for programs. message: what happened and what to try, for people."""

    code: str
    message: str
    fields: list[dict[str, Any]] | None = Field(
        default=None, description="Predictions: each field that is wrong, with row, field, code and message."
    )


class Failure(BaseModel):
    """Every error of the API has this shape."""

    error: Problem


class SourceRow(BaseModel):
    name: str
    kind: str
    state: str = Field(description="ok, waiting, late, filling, failing or off.")
    lag_s: float | None = Field(description="Seconds since the target furthest behind was collected; null: never yet.")
    last_error: str
    open_gaps: int
    series: int
    targets: int


class Status(BaseModel):
    """How the app fares, and what it holds."""

    state: str = Field(description="ok, degraded or down.")
    version: str
    at: datetime
    parts: dict[str, dict[str, Any]]
    series: int
    samples: int
    store_bytes: int
    anomalies: int
    anomalies_open: int
    detectors: int
    tasks: dict[str, int]
    sources: list[SourceRow]


class MetricRow(BaseModel):
    metric: str
    kind: str = Field(description="counter or gauge.")
    unit: str
    series: int
    hosts: int
    first: datetime | None
    last: datetime | None


class MetricList(BaseModel):
    items: list[MetricRow]
    total: int


class AnomalyRow(BaseModel):
    """actual, expected, low, high: of the series that contributed most, at the peak, in its own unit."""

    id: int
    source_id: int
    host: str
    detector_id: int
    series_id: int | None
    start: datetime
    end: datetime | None = Field(description="null: still going on.")
    peak: datetime
    score: float = Field(description="Higher is stranger.")
    confidence: float = Field(description="0 to 1.")
    severity: str = Field(description="warning, minor, major or critical.")
    title: str = Field(description="What contributed most.")
    metric: str
    unit: str
    sentence: str = Field(description="The reason in words.")
    verdict: str = Field(description="real, false, expected, or empty: nobody said.")
    labelled_by: str
    muted: str = Field(description="Why it is muted; empty: it is not.")
    actual: float | None
    expected: float | None
    low: float | None
    high: float | None
    explanation: dict[str, Any]


class AnomalyPage(BaseModel):
    """Newest first. next: what to send as `cursor` for the page after this one; null on the last."""

    items: list[AnomalyRow]
    next: str | None
    window_start: datetime
    window_end: datetime


def cursor_of(row: AnomalyRow) -> str:
    return base64.urlsafe_b64encode(f"{to_ms(row.start)}.{row.id}".encode()).decode().rstrip("=")


def after_cursor(text: str) -> tuple[int, int]:
    """Start (Unix milliseconds) and id of the last anomaly of the page before."""
    try:
        start_ms, _, row_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(".")
        from_ms(int(start_ms))
        return int(start_ms), int(row_id)
    except (ValueError, OverflowError, OSError):
        raise Invalid("The cursor is not one this API gave out; leave it out to start from the newest.") from None


class Caller:
    """Finds out who is asking, and slows down who asks too often."""

    def __init__(self, get_app: Callable[[], App], limit: RateLimit) -> None:
        self.get_app, self.limit = get_app, limit

    def __call__(self, request: Request) -> Actor:
        app = self.get_app()
        address = f"address {credentials.address_of(request, app)}"
        self._spend(address, 0)
        try:
            actor = credentials.actor_of(request, app)
        except Unauthenticated:
            self._spend(address)
            raise
        self._spend(f"{actor.kind} {actor.name}" if actor.kind in (ActorKind.KEY, ActorKind.USER) else address)
        return actor

    def _spend(self, caller: str, tokens: int = 1) -> None:
        wait_s = self.limit.take(caller, tokens)
        if wait_s:
            raise TooMany(
                f"More than {self.limit.per_minute} requests a minute; try again in {math.ceil(wait_s)} s.",
                retry_after_s=wait_s,
            )


def build(get_app: Callable[[], App]) -> FastAPI:
    """The FastAPI application that is mounted under /api."""
    settings = get_app().settings
    caller = Caller(get_app, RateLimit(settings.api_rate_per_minute))
    api = FastAPI(
        title="AutoOps",
        version=version(),
        description="Metrics, anomalies and the app's own state. Send an API key as `Authorization: Bearer ao_…` or "
        '`X-API-Key: ao_…`, never in the address. Errors are `{"error": {"code", "message"}}`.',
        docs_url=None,
        redoc_url=None,
        routes=list(docs.ROUTES),
    )
    # The schemes only document; `caller` reads the headers, so that every refusal has the same shape.
    documented = [Depends(HTTPBearer(auto_error=False)), Depends(APIKeyHeader(name="X-API-Key", auto_error=False))]
    described: dict[int | str, dict[str, Any]] = {
        status: {"model": Failure, "description": words}
        for status, words in (
            (401, "No key, or one that is no longer good"),
            (403, "The role does not allow it"),
            (422, "A parameter cannot be read"),
            (429, "Too many requests; Retry-After says when to come back"),
        )
    }
    router = APIRouter(prefix="/v1", dependencies=documented, responses=described)

    @router.get("/status", tags=["Operate"], summary="How the app fares, and what it holds")
    def status(actor: Actor = Depends(caller)) -> Status:
        report, figures = get_app().health.status(actor)
        return _status(report.as_json(detail=True), figures)

    @router.get("/metrics", tags=["Observe"], summary="The metrics that are stored")
    def metrics(
        limit: Annotated[int, Query(ge=1, le=PAGE)] = 200,
        offset: Annotated[int, Query(ge=0, le=10**6)] = 0,
        actor: Actor = Depends(caller),
    ) -> MetricList:
        table = get_app().exploration.metrics(actor)
        rows = table.iloc[offset : offset + limit].to_dict("records")
        items = [MetricRow(**row | {"first": _moment(row["first"]), "last": _moment(row["last"])}) for row in rows]
        return MetricList(items=items, total=len(table))

    @router.get("/anomalies", tags=["Observe"], summary="What detectors found, newest first")
    def anomalies(
        window: Annotated[str, Query(max_length=80, description="24h, 7d, or ISO 8601 start/end.")] = "24h",
        host: Annotated[str | None, Query(max_length=256)] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE)] = 100,
        cursor: Annotated[str | None, Query(max_length=64, description="`next` of the page before.")] = None,
        muted: Annotated[bool, Query(description="Also what lies in maintenance and expected spans.")] = False,
        actor: Actor = Depends(caller),
    ) -> AnomalyPage:
        app = get_app()
        # A plus that was not escaped in the address arrives as a space.
        span = Window.parse(re.sub(r"(T[\d:.]+) (\d\d:?\d\d)", r"\1+\2", window), app.clock())
        return _anomaly_page(app, actor, span, host, limit, cursor, muted)

    feedback.add_routes(router, get_app, caller)
    language.add_routes(router, get_app, caller)
    imports.add_routes(router, get_app, caller)
    forecasts.add_routes(router, get_app, caller)
    datasets.add_routes(router, get_app, caller)
    suggestions.add_routes(router, get_app, caller)
    trainings.add_routes(router, get_app, caller)
    models.add_routes(router, get_app, caller)
    prediction.add_routes(router, get_app, caller)
    batches.add_routes(router, get_app, caller)
    deployments.add_routes(router, get_app, caller)
    pipelines.add_routes(router, get_app, caller)
    api.include_router(router)
    _answer_errors(api)
    larger = {
        # A file, and what a form wraps around it.
        "/v1/datasets": int(settings.dataset_max_mb * 2**20) + 2**16,
        batches.UPLOAD: int(settings.upload_max_mb * 2**20),
        models.UPLOAD: int(settings.model_max_mb * 2**20),
        imports.UPLOAD: int(settings.upload_max_mb * 2**20),
        language.ANALYZE: language.MOST_BYTES,
    }
    api.add_middleware(BodyLimit, most_bytes=int(settings.api_body_mb * 2**20), larger=larger)
    origins = [origin.strip().rstrip("/") for origin in settings.cors_origins.split(",") if origin.strip()]
    if origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET"],
            allow_headers=["Authorization", "X-API-Key"],
            expose_headers=["Retry-After"],
        )
    return api


def _unreadable(error: RequestValidationError) -> str:
    """What is wrong with a request, in words for who wrote it."""
    wrong = error.errors()
    if any(each["type"] == "json_invalid" for each in wrong):
        at = next(each["loc"][-1] for each in wrong if each["type"] == "json_invalid")
        return f"The body is not JSON (from character {at} on); send an object like those in /api/docs."
    if any(each["loc"] == ("body",) for each in wrong):
        return "The body must be a JSON object, sent with 'Content-Type: application/json'; see /api/docs."
    told = "; ".join(f"{'.'.join(str(step) for step in each['loc'][1:])}: {each['msg']}" for each in wrong)
    return f"A parameter cannot be read: {told}."


def _answer_errors(api: FastAPI) -> None:
    """One shape for every error, counted by its code; what was not raised on purpose is logged and not told."""

    def answer(error: AppError, headers: dict[str, str] | None = None) -> Response:
        requests().errors.labels(error.code).inc()
        wait_s = error.values.get("retry_after_s")
        retry = {"Retry-After": str(math.ceil(wait_s))} if isinstance(wait_s, int | float) else {}
        challenge = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
        return problem(error, {**retry, **challenge, **(headers or {})})

    @api.exception_handler(AppError)
    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, AppError)  # noqa: S101 (registered for nothing else)
        return answer(error)

    @api.exception_handler(RequestValidationError)
    async def unreadable(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return answer(Invalid(_unreadable(error)))

    @api.exception_handler(HTTPException)
    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        known_ones = {
            404: ("not_found", "There is nothing at this address; see /api/docs."),
            405: ("method_not_allowed", "This address does not take this method; see /api/docs."),
        }
        code, words = known_ones.get(error.status_code, ("error", str(error.detail)))
        failure = AppError(words)
        failure.code, failure.status = code, error.status_code
        return answer(failure, dict(error.headers or {}))

    @api.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> Response:
        log.error("request failed", exc_info=error, extra={"path": request.url.path})
        return answer(AppError("Something went wrong on this side; the log of the app has the details."))


def _status(report: dict[str, Any], figures: Figures) -> Status:
    return Status(
        **report,
        series=figures.series,
        samples=figures.samples,
        store_bytes=figures.store_bytes,
        anomalies=figures.anomalies,
        anomalies_open=figures.anomalies_open,
        detectors=figures.detectors,
        tasks=figures.tasks,
        sources=[
            SourceRow(
                name=source.name,
                kind=source.kind.value,
                state=source.state.value,
                lag_s=source.lag_s,
                last_error=source.last_error,
                open_gaps=source.open_gaps,
                series=source.series,
                targets=len(source.targets),
            )
            for source in figures.sources
        ],
    )


def _anomaly_page(
    app: App, actor: Actor, span: Window, host: str | None, limit: int, cursor: str | None, muted: bool
) -> AnomalyPage:
    """Keyset pages: an anomaly found meanwhile neither repeats nor hides another."""
    reach = span
    last = after_cursor(cursor) if cursor else None
    if last:
        edge = from_ms(last[0] + 1)
        if not span.start < edge:
            return AnomalyPage(items=[], next=None, window_start=span.start, window_end=span.end)
        reach = Window(span.start, min(span.end, edge))
    # Anomalies that begin in the very millisecond of the cursor come again; some room for them.
    table = app.detection.anomalies(actor, window=reach, host=host, limit=limit + 101, muted=muted)
    rows = [_anomaly(row) for row in table.to_dict("records")]
    if last:
        rows = [row for row in rows if (to_ms(row.start), row.id) < last]
    more = len(rows) > limit
    rows = rows[:limit]
    return AnomalyPage(
        items=rows, next=cursor_of(rows[-1]) if more else None, window_start=span.start, window_end=span.end
    )


def _anomaly(row: dict[Any, Any]) -> AnomalyRow:
    numbers = {name: _number(row[name]) for name in ("actual", "expected", "low", "high")}
    kept = (
        "id",
        "source_id",
        "host",
        "detector_id",
        "score",
        "confidence",
        "severity",
        "title",
        "metric",
        "unit",
        "sentence",
        "verdict",
        "labelled_by",
        "muted",
    )
    return AnomalyRow(
        **{name: row[name] for name in kept},
        **numbers,
        series_id=None if pd.isna(row["series_id"]) else int(row["series_id"]),
        start=row["start_ts"],
        end=_moment(row["end_ts"]),
        peak=row["peak_ts"],
        explanation=row["explanation"] or {},
    )


def _moment(value: Any) -> datetime | None:
    return None if value is None or pd.isna(value) else pd.Timestamp(value).to_pydatetime()


def _number(value: Any) -> float | None:
    """JSON has no NaN and no infinity."""
    return None if value is None or not math.isfinite(value) else float(value)
