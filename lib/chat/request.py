"""What a question comes to: a request with nothing left open, or words to say instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lib.chat.picks import Pick
from lib.frames import Window


class Intent(StrEnum):
    """What an answer is about."""

    STATISTIC = "statistic"
    METRICS = "metrics"
    HOSTS = "hosts"
    SPAN = "span"
    ANOMALIES = "anomalies"
    ANOMALY_COUNT = "anomaly count"
    ANOMALY_HOSTS = "anomaly hosts"
    EXPLAIN = "explain"
    HELP = "help"
    GREETING = "greeting"
    THANKS = "thanks"
    COMPARE = "compare windows"
    ODD = "odd one out"
    CORRELATION = "correlation"
    RATIO = "ratio"
    BEYOND = "beyond a limit"
    QUALITY = "quality"
    FORECAST = "forecast"
    CROSSING = "crossing"
    CHANGED = "what changed"
    MODELS = "models"
    ALERTS = "alerts"
    AT_ONCE = "at once"
    MARKS = "marks"
    METRIC = "one metric"
    SOURCES = "sources"
    COMMAND = "command"
    SQL = "sql"
    STATUS = "status of hosts"


@dataclass(frozen=True)
class Request:
    """A question with nothing left open. windows: one, or two to compare. anomaly_ids: what "that one" may mean."""

    intent: Intent
    things: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    statistic: str = "summary"
    quantile: float = 0.95
    when: bool = False
    which_host: bool = False
    each_host: bool = False
    counting: bool = False
    lowest: bool = False
    windows: tuple[Window, ...] = ()
    time_given: bool = False
    top: int | None = None
    search: str = ""
    anomaly_id: int | None = None
    anomaly_order: str = "worst"
    one: bool = False
    severity: str = ""
    open_only: bool = False
    checks: tuple[str, ...] = ()
    limit: float | None = None
    side: str = ""
    ahead: Window | None = None
    moment: bool = False
    given: Mapping[str, Any] = field(default_factory=dict)
    sql: str = ""
    label: str = ""
    by_how_much: bool = False
    pick: Pick | None = None
    without: bool = False


@dataclass(frozen=True)
class Reply:
    """Words instead of an answer: a refusal, or a question back with options to choose from."""

    text: str
    options: tuple[str, ...] = ()
    pending: Request | None = None


@dataclass(frozen=True)
class Context:
    """What was said before. anomaly_ids: those the last answer spoke of, the first foremost."""

    request: Request | None = None
    anomaly_ids: tuple[int, ...] = ()
    options: tuple[str, ...] = ()
    pending: Request | None = None
