"""Commands in plain words: "collect now", "train a detector for web-01", "label anomaly 12 as a false alarm"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PLEASE = (
    r"(?:(?:please|pls|ok|okay|now|hey|then|kindly|go ahead and|go and|go|just|i want you to|i would like you to"
    r"|i'd like (?:you )?to|(?:can|could|would|will) you|you should|let's|let us),? )*"
)
_NOW = r"(?: (?:right )?now| immediately| again| anew| at once| please)*"
_ORDERS: list[tuple[str, re.Pattern[str]]] = [
    (
        "silence",
        re.compile(rf"^{_PLEASE}(?:silence|mute|snooze|acknowledge|ack|suppress|unsilence|unmute)\b.*$"),
    ),
    (
        "label",
        re.compile(
            rf"^{_PLEASE}(?:label|mark|flag|tag|classify|rate|call|set|treat|confirm|declare|register"
            rf"|consider) (?:the )?(?:anomaly"
            rf"|incident)?.*?(?:as|to be|to|:|a) ?(?:an? )?"
            r"(?P<verdict>real|true|genuine|false(?: alarm| positive)?|expected|planned|normal|not real)\b.*$"
        ),
    ),
    (
        "label",
        re.compile(
            r"^(?:the )?(?:(?:anomaly|incident)\b|(?:no\.? ?|number )?#?\d+\b|(?:that|this"
            r"|it)(?: one)?\b).*?\b(?:was|is|looks like) "
            r"(?:just |only )?(?:an? )?(?P<verdict>false(?: alarm| positive)"
            r"|expected|planned|real|genuine)(?: work| maintenance| downtime| change| activity)?"
            r"(?:[,.;]? (?:so |and )?(?:please )?(?:label|mark|flag|tag|note) (?:it|that|this|them)(?: so| as such"
            r"| accordingly)?)?\W*$"
        ),
    ),
    (
        "forecast",
        re.compile(
            rf"^{_PLEASE}(?:make|create|run|compute|calculate|start|build|produce|generate|prepare|renew"
            rf"|refresh|update|kick off|fire off|trigger|launch|schedule|redo|re-?run|do|set off|get) "
            r"(?:me )?(?:an? |the |another |new |fresh )*(?:forecast|prediction|projection)s?\b(?P<rest>.*)$"
        ),
    ),
    (
        "detect",
        re.compile(
            rf"^{_PLEASE}(?:(?:re)?train|(?:re)?build|(?:re)?fit|detect|score|rescore|run|start|launch|trigger"
            r"|kick off|fire off|schedule|redo|re-?run|do"
            rf"|look for|search for|find|create|make|set up)\b"
            r"(?=.*\b(?:detector|detectors|detection|train|retrain|model|models|score|rescore|new anomalies"
            r"|detect)\b)(?P<rest>.*)$"
        ),
    ),
    ("detect", re.compile(rf"^{_PLEASE}(?:detect|(?:re-?)?train)\b(?P<rest>.*)$")),
    (
        "collect",
        re.compile(
            rf"^{_PLEASE}(?:(?:start|run|trigger|kick off|launch|do|begin) (?:an? |the |another "
            rf"|new )*(?:collection|scrape"
            rf"|scraping|fetch|pull)|collect|scrape(?! (?:interval|frequency|rate|period|step|every|time"
            rf"|duration))|fetch|pull|poll|refresh|gather|start collecting|get (?:me |us )?(?:the "
            rf"|some )?(?:fresh|new|newest|latest) (?:data|metrics|samples)|run (?:a "
            rf"|the )?collection|update (?:the )?(?:data|metrics|samples))\b(?P<rest>.*)$"
        ),
    ),
]
_VERDICTS = {"tru": "real", "gen": "real", "rea": "real", "fal": "false", "not": "false", "exp": "expected"}
_VERDICTS |= {"pla": "expected", "nor": "expected"}
_SOURCE = re.compile(
    r"\b(?:from|of|source"
    r"|on) (?:the )?(?:source )?[\"'`]?(?P<name>[\w .:-]{1,60}?)[\"'`]?(?: source)?(?: (?:now|again|please))?[.!?]*$"
)
_GENERAL = re.compile(
    r"^(?:all|every|everything|everywhere|all sources|every source|now|metrics|data|samples|it|them|all metrics"
    r"|new data)?$"
)
_NO_QUESTION = re.compile(
    r"^(?:which|what|when|how|why|who|where|is|are|was|were|did|does|do|has|have|any|show|list)\b"
)


@dataclass(frozen=True)
class Order:
    """A command as far as its verb says. given: what else was in the words; hosts and metrics are found elsewhere."""

    action: str
    given: Mapping[str, Any] = field(default_factory=dict)


def find(text: str) -> Order | None:
    """The command a text gives, if it gives one. text: lower case, one line."""
    text = text.strip().rstrip(".!")
    if _NO_QUESTION.match(text):
        return None
    for action, pattern in _ORDERS:
        match = pattern.match(text)
        if match is None:
            continue
        given: dict[str, Any] = {}
        if action == "label":
            given["verdict"] = _VERDICTS[match["verdict"][:3]]
        if action == "collect" and (named := _SOURCE.search(match["rest"])):
            name = named["name"].strip()
            given["source"] = "" if _GENERAL.match(name) else name
        return Order(action, given)
    return None
