"""What leaves the machine for an answer: the names that are covered, and the very words, to be seen before."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lib.chat.pseudonyms import HOST, PLAIN_LABELS, Pseudonyms
from lib.frames import Series
from lib.llm.provider import Message

# Aliases of one run of the app cannot be told from those of another.
_SECRET = secrets.token_bytes(32)
_NAMED_BY = "host"


@dataclass(frozen=True)
class Preview:
    """What would be sent with a question. messages: (who says it, words). aliases: alias -> real name, those in it.

    tools: names of what a model may ask for; what they return is sent as well, covered in the same way. declared: how
    they are described to it, as JSON.
    """

    to: str
    messages: tuple[tuple[str, str], ...]
    aliases: dict[str, str]
    tools: tuple[str, ...] = ()
    declared: str = ""


def cover(series: Sequence[Series], conversation: str) -> Pseudonyms:
    """Aliases for every host and label value that is stored; the same throughout one conversation, no longer."""
    key = hmac.new(_SECRET, conversation.encode(), hashlib.sha256).digest()
    return Pseudonyms(_names(series), key, _plain(series))


def as_sent(messages: Iterable[Message]) -> tuple[tuple[str, str], ...]:
    """Messages as people read them: a call as its name and arguments."""
    return tuple((message.role.value, _words(message)) for message in messages)


def _words(message: Message) -> str:
    asked = [f"{call.name}({json.dumps(dict(call.arguments or {}), ensure_ascii=False)})" for call in message.calls]
    return "\n".join(part for part in (message.text, *asked) if part)


def _names(series: Sequence[Series]) -> Iterator[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    for one in series:
        for kind, name in ((HOST, one.host), *one.labels.items()):
            if name and kind not in PLAIN_LABELS and (kind, name) not in seen:
                seen.add((kind, name))
                yield (HOST if kind in ("instance", "nodename", _NAMED_BY) else kind), name


def _plain(series: Sequence[Series]) -> set[str]:
    """Words that are sent anyway, in the names of metrics, and values that read like settings."""
    words = {word for one in series for word in one.metric.lower().split("_")}
    return words | {"true", "false", "none", "unknown", "total", "all"}
