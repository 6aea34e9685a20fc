"""What is known of a dataset and what to try with it, for programs: profile, story, suggested steps and models."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from lib.api.datasets import Number, Version
from lib.app import App
from lib.auth.actor import Actor
from lib.profiling.story import story
from lib.services.suggestions_jobs import PROFILE
from lib.training.portfolio import LABELS

Target = Annotated[
    str | None,
    Query(max_length=200, description="The column to predict; left out: the dataset's own, else a likely one."),
]


class StepRow(BaseModel):
    kind: str = Field(description="drop, dates, text, clip, impute, encode, scale or balance.")
    columns: list[str] = Field(description="Empty: all that suit.")
    method: str
    params: dict[str, Any]
    label: str
    reason: str = Field(description="Why, with figures of the profile.")
    confidence: float = Field(description="Share of reference tables like this one on which it helped, 0 to 1.")
    tables: int = Field(description="How many those tables are.")
    in_plan: bool


class ModelRow(BaseModel):
    family: str
    label: str
    reason: str
    confidence: float = Field(
        description="Share of reference tables like this one on which it came within 1% of the best."
    )
    tables: int


class SuggestionsAnswer(BaseModel):
    dataset: int
    version: str
    target: str
    task: str
    plan: dict[str, Any] = Field(description="Ready for POST /pipelines or POST /pipelines/validate.")
    steps: list[StepRow]
    models: list[ModelRow] = Field(description="The one to begin with first.")
    notes: list[str]


class StoryAnswer(BaseModel):
    dataset: int
    version: str
    verdict: str = Field(description="good, fair or poor to learn from.")
    what: list[str]
    quality: list[str]
    stands_out: list[str]
    profile: dict[str, Any] = Field(description="Figures of every column, relations between them, alerts.")


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    @router.get(
        "/datasets/{number}/suggestions", tags=["Learn"], summary="Steps and models to try, with reason and confidence"
    )
    def suggestions(
        number: Number, version: Version = None, target: Target = None, actor: Actor = Depends(caller)
    ) -> SuggestionsAnswer:
        """Worked out the first time, within a minute; 503 while that goes on: ask again. 422 says why nothing can be
        learnt."""
        app = get_app()
        opened = app.datasets.open(actor, number, version)
        found = app.suggestions.of(actor, number, opened.hash, target)
        steps = [
            StepRow(
                **one.step.to_json(),
                label=one.step.label,
                reason=one.reason,
                confidence=one.confidence,
                tables=one.tables,
                in_plan=one.step in found.plan.steps,
            )
            for one in found.steps
        ]
        models = [
            ModelRow(
                family=one.family,
                label=LABELS.get(one.family, one.family),
                reason=one.reason,
                confidence=one.confidence,
                tables=one.tables,
            )
            for one in found.models
        ]
        return SuggestionsAnswer(
            dataset=number,
            version=opened.hash,
            target=found.plan.target,
            task=str(found.plan.task or ""),
            plan=found.plan.to_json(),
            steps=steps,
            models=models,
            notes=found.notes,
        )

    @router.get("/datasets/{number}/profile", tags=["Learn"], summary="What a dataset is like: its story and figures")
    def profile(number: Number, version: Version = None, actor: Actor = Depends(caller)) -> StoryAnswer:
        """Worked out the first time, within a minute; 503 while that goes on: ask again."""
        app = get_app()
        opened = app.datasets.open(actor, number, version)
        found = app.suggestions.profile(actor, number, opened.hash)
        told = story(found, found.target.column if found.target else "", ())
        return StoryAnswer(
            dataset=number,
            version=opened.hash,
            verdict=told.verdict,
            what=list(told.what),
            quality=list(told.quality),
            stands_out=list(told.stands_out),
            # What is no number becomes null.
            profile=json.loads(PROFILE.dump_json(found)),
        )
