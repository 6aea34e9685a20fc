"""Predictions as JSON, in and out: one shape for the app's API and for that of an exported folder."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from lib.registry.answers import MOST_KEY, MOST_ROWS, Answer


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


def predictions(answer: Answer) -> Predictions:
    """An answer as it is sent."""
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
