"""Language over the API: ask in chat, write, analyse; which model answers, and whether it does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from lib.app import App
from lib.auth.actor import Actor
from lib.chat.events import Done, Error, Event, Evidence, Text, ToolCall, Waiting
from lib.errors import AppError
from lib.services.assistant import MAX_CHARACTERS
from lib.services.conversations import Entry
from lib.services.texts import MOST_CHARACTERS, MOST_LABELS, MOST_PROMPT
from lib.settings import LlmMode
from lib.text.analysis import Wanted

log = logging.getLogger(__name__)

ANALYZE = "/llm/analyze"
# Characters take up to four bytes, and JSON writes line breaks and marks as two.
MOST_BYTES = 4 * MOST_CHARACTERS
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_MOST_HISTORY = 20
# Of what an answer ended with; anything else is a provider that could not.
_STATUS = {"invalid": 422, "forbidden": 403, "not_found": 404}
_SSE: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}, "description": "Events, or JSON."}}


class Said(BaseModel):
    """One turn before this question."""

    role: str = Field(pattern="^(user|assistant)$")
    text: str = Field(max_length=20_000)


class Question(BaseModel):
    question: str = Field(max_length=MAX_CHARACTERS * 10, description=f"At most {MAX_CHARACTERS:,} characters.")
    conversation_id: int | None = Field(default=None, ge=1, description="One of your own, to go on with.")
    history: list[Said] = Field(default_factory=list, max_length=_MOST_HISTORY, description="Where nothing is kept.")
    stream: bool = Field(default=True, description="true: server-sent events. false: one JSON object at the end.")


class Prompt(BaseModel):
    prompt: str = Field(max_length=MOST_PROMPT * 2)
    stream: bool = True


class TextGiven(BaseModel):
    text: str = Field(max_length=MOST_CHARACTERS * 2)
    wanted: list[Wanted] = Field(default_factory=lambda: list(Wanted), min_length=1, max_length=len(Wanted))
    labels: list[str] = Field(
        default_factory=list, max_length=MOST_LABELS * 5, description="For classes, at least two."
    )
    offline: bool = Field(default=False, description="Nothing leaves the machine, whatever is configured.")
    most: int = Field(default=10, ge=1, le=100, description="Of phrases and kinds of log line.")


class Switch(BaseModel):
    mode: LlmMode = Field(description="auto, gemini, openai or offline.")


class Switched(BaseModel):
    mode: LlmMode


class Tried(BaseModel):
    name: str
    ok: bool
    message: str
    seconds: float


class TriedList(BaseModel):
    items: list[Tried]


def add_routes(router: APIRouter, get_app: Callable[[], App], caller: Callable[..., Actor]) -> None:
    """Put these addresses onto the router of a version."""

    @router.post(
        "/llm/chat", tags=["Ask"], summary="Ask about the data; every number with its evidence", responses=_SSE
    )
    def chat(given: Question, actor: Actor = Depends(caller)) -> Response:
        app = get_app()
        now = app.clock()
        before = [Entry(one.role, one.text, now) for one in given.history]
        return _answer(app.assistant.answer(actor, given.question, given.conversation_id, before), given.stream)

    @router.post("/llm/generate", tags=["Ask"], summary="Write a text from a prompt", responses=_SSE)
    def generate(given: Prompt, actor: Actor = Depends(caller)) -> Response:
        return _answer(get_app().texts.generate(actor, given.prompt), given.stream)

    @router.post(ANALYZE, tags=["Ask"], summary="Tone, summary, phrases, names, labels and log lines of a text")
    def analyze(given: TextGiven, actor: Actor = Depends(caller)) -> dict[str, Any]:
        read = get_app().texts.analyse(
            actor, given.text, given.wanted, given.labels, offline=given.offline, most=given.most
        )
        return read.to_json()

    @router.post("/ai/switch", tags=["Operate"], summary="Choose which language model answers, for everybody")
    def switch(given: Switch, actor: Actor = Depends(caller)) -> Switched:
        get_app().assistant.switch(actor, given.mode)
        return Switched(mode=given.mode)

    @router.post("/ai/test", tags=["Operate"], summary="Ask every configured provider one small question")
    def test(actor: Actor = Depends(caller)) -> TriedList:
        return TriedList(items=[Tried(**asdict(one)) for one in get_app().assistant.test_all(actor)])


def _answer(events: Iterator[Event], stream: bool) -> Response:
    if stream:
        first = next(events, None)
        if isinstance(first, Error) and first.code == "invalid":
            # Nothing has begun yet, so that the status can say it.
            return _whole([first])
        events = chain([first] if first else [], events)
        return StreamingResponse(_lines(events), media_type="text/event-stream", headers=_STREAM_HEADERS)
    return _whole(list(events))


def _lines(events: Iterator[Event]) -> Iterator[str]:
    """Server-sent events: text, tool, evidence, error, done; each with JSON. A comment while nothing comes."""
    try:
        for event in events:
            if isinstance(event, Waiting):
                # Whoever went away is noticed by it, and a proxy sees that the answer is still to come.
                yield ": waiting\n\n"
            else:
                yield _line(*_told(event))
    except AppError as error:
        yield _line("error", {"code": error.code, "message": error.message})
    except Exception:
        # The answer has begun, so that no status can say it any more.
        log.exception("an answer broke off")
        yield _line("error", {"code": "internal", "message": "It failed inside; the log of the app says more."})


def _line(name: str, told: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(told, ensure_ascii=False, default=str)}\n\n"


def _told(event: Event) -> tuple[str, dict[str, Any]]:
    match event:
        case Text(text):
            return "text", {"text": text}
        case ToolCall(name, arguments):
            return "tool", {"name": name, "arguments": dict(arguments)}
        case Evidence():
            return "evidence", event.to_json()
        case Error(message, code):
            return "error", {"code": code, "message": message}
        case Done():
            return "done", asdict(event)
        case Waiting():
            return "waiting", {}


def _whole(events: list[Event]) -> Response:
    done = next((event for event in events if isinstance(event, Done)), None)
    failed = next((event for event in events if isinstance(event, Error)), None)
    if failed is not None:
        error = AppError(failed.message)
        error.code, error.status = failed.code, _STATUS.get(failed.code, 503)
        raise error
    return JSONResponse(
        {
            "text": "".join(event.text for event in events if isinstance(event, Text)),
            "evidence": [json.loads(json.dumps(e.to_json(), default=str)) for e in events if isinstance(e, Evidence)],
            **(asdict(done) if done else {}),
        }
    )
