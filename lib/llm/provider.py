"""What a language model is to the rest of the project: messages in, a stream of words and tool calls out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from lib.errors import ProviderTimeout
from lib.log import redact

# As people write them.
TITLES = {"gemini": "Gemini", "openai": "OpenAI"}


class MessageRole(StrEnum):
    """Who a message is from."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"  # the result of a call the assistant asked for


@dataclass(frozen=True)
class Text:
    """Words of an answer, as they arrive."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """A call the model asks for. arguments: None when what it sent was not a JSON object (`raw` holds it)."""

    id: str
    name: str
    arguments: Mapping[str, Any] | None
    raw: str = ""


@dataclass(frozen=True)
class Done:
    """The end of a reply that is complete, with the tokens it cost."""

    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Waiting:
    """Nothing has come for a moment: whoever listens may look whether anybody still does."""


Chunk = Text | ToolCall | Done | Waiting


@dataclass(frozen=True)
class Message:
    """One turn. A tool's result carries the `call_id` and `name` of the call it answers."""

    role: MessageRole
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    name: str = ""


@dataclass(frozen=True)
class ToolSpec:
    """What a model is told of a tool. parameters: JSON schema of an object with plain properties (no $ref)."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Provider(Protocol):
    """One language model behind one client library."""

    name: str
    model: str
    host: str  # where questions go, for the notice of what leaves the machine

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec], deadline: float) -> Iterator[Chunk]:
        """Text and calls as they arrive, then Done. deadline: a moment of `time.monotonic()`.

        Raises ProviderRefused, ProviderTimeout or ProviderError; a reply without words and calls is a ProviderError.
        """


def remaining_s(deadline: float, who: str) -> float:
    """Seconds left until a deadline. Raises ProviderTimeout when none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise ProviderTimeout(f"{who} did not answer within the deadline.")
    return left


def bounded(chunks: Iterable[bytes], deadline: float, who: str) -> Iterator[bytes]:
    """The body of a response, given up at the deadline however slowly its bytes trickle.

    A client's own timeout starts anew with each byte.
    """
    for chunk in chunks:
        remaining_s(deadline, who)
        yield chunk


def said(error: Exception, secrets: Iterable[str], limit: int = 200) -> str:
    """What a server said, fit for a message: one line, short, without credentials."""
    text = " ".join(str(getattr(error, "message", "") or error).split())
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = redact(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
