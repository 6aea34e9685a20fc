"""Predictions over the API, what came of them, and A/B tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from lib.app import App
from lib.auth.actor import Actor
from lib.db.tables import Experiment
from lib.services.experiments import Standing
from lib.services.prediction import MOST_KEY, MOST_ROWS, Answer

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


class Asked(BaseModel):
    """Rows for a model: each an object of its fields. `GET /models/{name}/versions` says which a version takes."""

    rows: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_ROWS)
    model: str | None = Field(default=None, max_length=64, description="May be left out while there is one model.")
    version: int | str | None = Field(default=None, description="A number, champion or challenger. null: the champion.")
    key: str = Field(default="", max_length=MOST_KEY, description="Whom it is about: an A/B test keeps them apart.")
    explain: bool = Field(default=False, description="Also why, for up to 20 rows.")


class WhyRow(BaseModel):
    field: str
    value: Any
    contribution: float = Field(description="Towards what was predicted, in `why_unit`.")


class PredictionRow(BaseModel):
    """value: of a regression. label, probabilities: of a classification. id: to report the outcome with."""

    id: str
    value: float | None = None
    label: str | None = None
    probability: float | None = Field(default=None, description="Of the label.")
    probabilities: dict[str, float] | None = None
    why: list[WhyRow] | None = None


class Predictions(BaseModel):
    model: str
    version: int
    predictions: list[PredictionRow]
    model_ms: float = Field(description="Of the model itself.")
    took_ms: float = Field(description="Of all of it, but for the network.")
    why_method: str | None = None
    why_unit: str | None = None
    experiment: int | None = Field(default=None, description="The A/B test that chose the version.")
    arm: str | None = None


class OutcomeGiven(BaseModel):
    """What came of a prediction. Named by `id`, or by `experiment` and `key`."""

    id: str = Field(default="", max_length=32)
    experiment: int | None = None
    key: str = Field(default="", max_length=MOST_KEY)
    actual: str | float = Field(description="The right class, the right number, or a reward.")


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
        return _predictions(answer)

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


def _predictions(answer: Answer) -> Predictions:
    rows = [
        PredictionRow(
            id=one.id,
            value=one.value,
            label=one.label,
            probability=one.probabilities.get(one.label) if one.label is not None else None,
            probabilities=one.probabilities or None,
            why=[WhyRow(field=why.field, value=why.value, contribution=why.contribution) for why in one.why] or None,
        )
        for one in answer.predictions
    ]
    return Predictions(
        model=answer.model,
        version=answer.version,
        predictions=rows,
        model_ms=answer.model_ms,
        took_ms=answer.took_ms,
        why_method=answer.why_method or None,
        why_unit=answer.why_unit or None,
        experiment=answer.experiment,
        arm=answer.arm or None,
    )


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
