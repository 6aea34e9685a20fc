"""What an answer is made of while it streams: words, calls, the evidence of each number, errors, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Text:
    """Markdown to append to the answer; foreign text in it is inert already."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """A tool is about to be asked."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """Where the numbers marked [number] came from.

    query: the call that gives them again. formula: what was computed, as PromQL, where it is more than a look-up.
    rows: samples (or anomalies, or metrics) it was computed from. table: the result itself, capped. values: its numbers
    over all rows.
    links: what a page can open: series_ids, host, anomaly_id.
    """

    number: int
    tool: str
    query: str
    rows: int
    source: str
    formula: str = ""
    window_start: datetime | None = None
    window_end: datetime | None = None
    table: tuple[Mapping[str, Any], ...] = ()
    total: int = 0
    links: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For the messages table: moments become ISO text."""
        made = asdict(self)
        for key in ("window_start", "window_end"):
            made[key] = made[key].isoformat() if made[key] else None
        made["table"] = [{k: _plain(v) for k, v in row.items()} for row in self.table]
        made["links"] = dict(self.links)
        made["values"] = {k: _plain(v) for k, v in self.values.items()}
        return made

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Evidence:
        known = {key: given[key] for key in cls.__dataclass_fields__ if key in given}
        for key in ("window_start", "window_end"):
            if known.get(key):
                known[key] = datetime.fromisoformat(known[key])
        return cls(**{**known, "table": tuple(known.get("table", ()))})


@dataclass(frozen=True)
class Error:
    """The answer stops here; the message says why and what to try. Never becomes history."""

    message: str
    code: str = "error"


@dataclass(frozen=True)
class Done:
    """The answer is complete.

    provider: gemini, openai or offline. unsupported: numbers in a model's words that no tool gave. notice: why it
    was not the preferred engine. conversation_id: None where nothing is stored. sent: what left this machine for it,
    (who said it, words) as they left; empty for nothing. instead: questions that may have been meant, where this one
    was not understood.
    """

    provider: str
    conversation_id: int | None = None
    unsupported: tuple[str, ...] = ()
    notice: str = ""
    sent: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    instead: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waiting:
    """Nothing new; comes about twice a second while a provider is silent, so that a reader can be let go."""


Event = Text | ToolCall | Evidence | Error | Done | Waiting


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return value.isoformat() if isinstance(value, datetime) else value
