"""Predictions over the API, what came of them, and A/B tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from lib.api.prediction_shapes import Asked, Predictions, predictions
from lib.app import App
from lib.auth.actor import Actor
from lib.db.learning_tables import Experiment
from lib.registry.answers import MOST_KEY
from lib.services.experiments import Standing

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


class OutcomeGiven(BaseModel):
    """What came of a prediction. Named by `id`, or by `experiment` and `key`."""

    id: str = Field(default="", max_length=32)
    experiment: int | None = None
    key: str = Field(default="", max_length=MOST_KEY)
    actual: bool | str | float = Field(description="The right class, the right number, or a reward.")


class OutcomeRow(BaseModel):
    id: str
    model: str
    version: int
    arm: str
    actual: str | None


class TestGiven(BaseModel):
    model: str = Field(max_length=64)
    version_a: int = Field(ge=1, le=2**31 - 1)
    version_b: int = Field(ge=1, le=2**31 - 1)
    metric: str = Field(max_length=16, description="accuracy, error or reward.")
    share_b: float = 0.5
    alpha: float = Field(default=0.05, description="The chance of calling a difference that is not there.")


class ArmRow(BaseModel):
    version: int
    predictions: int
    outcomes: int
    mean: float | None
    low: float | None = Field(description="With `high`, an interval for one look.")
    high: float | None
    latency_ms: float | None


class TestRow(BaseModel):
    """call: few, open, a or b. low, high: of the difference, b less a; they hold at every look."""

    id: int
    model: str
    metric: str
    alpha: float
    share_b: float
    created_at: datetime
    ended_at: datetime | None
    a: ArmRow
    b: ArmRow
    call: str
    words: str
    difference: float | None
    low: float | None
    high: float | None
    p_value: float


class EndGiven(BaseModel):
    promote: bool = Field(default=False, description="Make the better version champion.")


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    @router.post("/predict", tags=["Models"], summary="Predict rows", response_model_exclude_none=True)
    def predict(asked: Asked, actor: Actor = Depends(caller)) -> Predictions:
        answer = get_app().prediction.predict(
            actor, asked.rows, model=asked.model, version=asked.version, key=asked.key, explain=asked.explain
        )
        return predictions(answer)

    @router.post("/outcomes", tags=["Models"], summary="Say what came of a prediction", status_code=201)
    def outcome(given: OutcomeGiven, actor: Actor = Depends(caller)) -> OutcomeRow:
        row = get_app().experiments.outcome(
            actor, given.id, experiment_id=given.experiment, key=given.key, actual=given.actual
        )
        return OutcomeRow(id=row.token, model=row.name, version=row.version, arm=row.arm, actual=row.actual)

    @router.post("/experiments", tags=["Models"], summary="Begin an A/B test of two versions", status_code=201)
    def begin(given: TestGiven, actor: Actor = Depends(caller)) -> TestRow:
        tests = get_app().experiments
        made = tests.begin(
            actor,
            given.model,
            given.version_a,
            given.version_b,
            metric=given.metric,
            share_b=given.share_b,
            alpha=given.alpha,
        )
        return _test(tests.standing(actor, made.id or 0))

    @router.get("/experiments/{number}", tags=["Models"], summary="How an A/B test stands")
    def standing(number: Number, actor: Actor = Depends(caller)) -> TestRow:
        return _test(get_app().experiments.standing(actor, number))

    @router.post("/experiments/{number}/end", tags=["Models"], summary="End an A/B test")
    def end(number: Number, given: EndGiven, actor: Actor = Depends(caller)) -> TestRow:
        tests = get_app().experiments
        tests.end(actor, number, promote=given.promote)
        return _test(tests.standing(actor, number))


def _test(standing: Standing) -> TestRow:
    test: Experiment = standing.experiment
    result = standing.result

    def arm(which: str, version: int) -> ArmRow:
        found = result.a if which == "a" else result.b
        return ArmRow(
            version=version,
            predictions=standing.predictions[which],
            outcomes=found.count,
            mean=_number(found.mean),
            low=_number(found.low),
            high=_number(found.high),
            latency_ms=_number(standing.latency_ms[which]),
        )

    return TestRow(
        id=test.id or 0,
        model=test.name,
        metric=test.metric,
        alpha=test.alpha,
        share_b=test.share_b,
        created_at=test.created_at,
        ended_at=test.ended_at,
        a=arm("a", test.version_a),
        b=arm("b", test.version_b),
        call=result.call.value,
        words=standing.words,
        difference=_number(result.difference),
        low=_number(result.low),
        high=_number(result.high),
        p_value=result.p_value,
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
