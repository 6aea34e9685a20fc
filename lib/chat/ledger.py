"""The calls of one answer, numbered: each result becomes evidence that the words can cite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.chat.events import Evidence
from lib.chat.tools import toolbox
from lib.chat.tools.data import Data, Outcome, Result

# What a card shows of a result; a model and a page see no more rows than this.
_SHOWN = 20


class Ledger:
    """Runs tools for one answer and keeps what they gave."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.results: list[Result] = []
        self.evidence: list[Evidence] = []

    def call(self, name: str, arguments: Mapping[str, Any] | None) -> tuple[Result, Evidence | None]:
        """A result, and its evidence; a call that was not carried out has none."""
        result = toolbox.call(self.data, name, arguments)
        self.results.append(result)
        if result.outcome is Outcome.ERROR or not result.query:
            return result, None
        made = Evidence(
            number=len(self.evidence) + 1,
            tool=name,
            query=result.query,
            formula=result.formula,
            rows=result.samples or result.total,
            source=result.source,
            window_start=result.window.start if result.window else None,
            window_end=result.window.end if result.window else None,
            table=tuple(result.rows[:_SHOWN]),
            total=result.total,
            values=dict(result.values),
            links={**result.links, "call": {"name": name, "arguments": dict(arguments or {})}},
        )
        self.evidence.append(made)
        return result, made
