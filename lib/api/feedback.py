"""What programs and people tell back: labels of anomalies, and marks on the time line such as deploys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from lib.app import App
from lib.auth.actor import Actor
from lib.db.tables import AnnotationKind, Repeat, Verdict
from lib.frames import Window
from lib.services.annotations import MOST_TEXT, Mark
from lib.services.detection_labels import MOST_NOTE

Number = Annotated[int, Path(ge=1, le=2**53)]


class LabelGiven(BaseModel):
    """What somebody says of an anomaly."""

    verdict: Verdict = Field(description="real, false or expected.")
    note: str = Field(default="", max_length=MOST_NOTE)


class LabelRow(BaseModel):
    source_id: int
    host: str
    start: datetime
    end: datetime
    verdict: str
    note: str
    created_by: str
    created_at: datetime


class MarkGiven(BaseModel):
    """A deploy, a note, or a span that is muted. Moments are ISO 8601 with a time zone."""

    kind: AnnotationKind = Field(description="deploy, note, maintenance or expected; the last two mute.")
    text: str = Field(default="", max_length=MOST_TEXT)
    start: datetime | None = Field(default=None, description="null: now.")
    end: datetime | None = Field(default=None, description="null: a moment; spans that mute need one.")
    source_id: int | None = Field(default=None, description="null: all sources.")
    host: str = Field(default="", max_length=256, description="Empty: all hosts.")
    repeat: Repeat = Repeat.NEVER


class MarkRow(BaseModel):
    id: int
    kind: str
    text: str
    start: datetime
    end: datetime | None
    source_id: int | None
    host: str
    created_by: str


class MarkList(BaseModel):
    """Every occurrence in the window, by time: a mark that repeats has several with one id."""

    items: list[MarkRow]


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    @router.post(
        "/anomalies/{number}/label", tags=["Correct"], summary="Say whether an anomaly was real", status_code=201
    )
    def label(number: Number, given: LabelGiven, actor: Actor = Depends(caller)) -> LabelRow:
        row = get_app().detection.labels.give(actor, number, given.verdict, given.note)
        return LabelRow(start=row.start_at, end=row.end_at, **row.model_dump(include=set(LabelRow.model_fields)))

    @router.get("/annotations", tags=["Correct"], summary="What was marked on the time line")
    def annotations(
        window: Annotated[str, Query(max_length=80, description="24h, 7d, or ISO 8601 start/end.")] = "7d",
        host: Annotated[str | None, Query(max_length=256)] = None,
        actor: Actor = Depends(caller),
    ) -> MarkList:
        app = get_app()
        found = app.detection.annotations.marks(actor, Window.parse(window, app.clock()), host=host)
        return MarkList(items=[_row(mark) for mark in found])

    @router.post("/annotations", tags=["Correct"], summary="Mark a deploy, a note or a maintenance", status_code=201)
    def annotate(given: MarkGiven, actor: Actor = Depends(caller)) -> MarkRow:
        app = get_app()
        row = app.detection.annotations.add(
            actor,
            given.kind,
            given.start or app.clock(),
            given.end,
            text=given.text,
            source_id=given.source_id,
            host=given.host,
            repeat=given.repeat,
        )
        return MarkRow(start=row.start_at, end=row.end_at, **row.model_dump(include=set(MarkRow.model_fields)))

    @router.delete("/annotations/{number}", tags=["Correct"], summary="Take a mark away", status_code=204)
    def remove(number: Number, actor: Actor = Depends(caller)) -> None:
        get_app().detection.annotations.remove(actor, number)


def _row(mark: Mark) -> MarkRow:
    return MarkRow(
        id=mark.annotation_id,
        kind=mark.kind,
        text=mark.text,
        start=mark.start,
        end=mark.end,
        source_id=mark.source_id,
        host=mark.host,
        created_by=mark.created_by,
    )
