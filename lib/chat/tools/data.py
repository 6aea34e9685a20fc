"""What tools may see: callables the service binds to its use cases as the person who asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import pandas as pd

from lib.frames import Series, Window

# Rows of a result that a model reads and a person sees; the count says how many there were.
ROW_CAP = 50


@dataclass(frozen=True)
class Reading:
    """Samples for a tool. step_s: None for raw samples; else the width of buckets they were averaged over."""

    frame: pd.DataFrame
    step_s: float | None = None


@dataclass(frozen=True)
class Summed:
    """Exact numbers of a window whose older samples have expired, from samples and sums.

    table: series_id, count, min, min_ts, max, max_ts, total, last, last_ts, increase (from the last sample before the
    window; NaN for gauges). window: what of the one asked for whole slots fill; until: samples before have expired.
    slot_s: how wide sums are: of them, a moment is where one begins.
    """

    table: pd.DataFrame
    window: Window
    slot_s: float
    until: datetime


@dataclass(frozen=True)
class Forecast:
    """A forecast that was made. points: ts, low95, middle, high95, each the mean of the step that begins at ts."""

    id: int
    series_id: int
    made_at: datetime
    model: str
    window: Window
    step_s: int
    last: float
    points: pd.DataFrame


@dataclass(frozen=True)
class Changed:
    """What differs in a window from before. rows: host, metric, title, before, now, unit, score, reason, series_id."""

    rows: Sequence[Mapping[str, Any]]
    before: Window
    compared: int
    above: int


@dataclass(frozen=True)
class Proposal:
    """Something that waits for a person: exactly these arguments, until then."""

    id: int
    digest: str
    expires_at: datetime


@dataclass(frozen=True)
class Data:
    """Every way a tool can reach data; each call carries the rights of the actor it was bound to.

    metrics: metric, kind, series, hosts, first, last. hosts: host, series, first, last. sources: id, name, kind, state.
    find(metric, host): series. read(series, window): samples of them. summed(series, window): numbers that samples and
    the sums of expired ones give exactly; None where none have expired or sums do not say.
    quality(series, window) and pauses(series, window): as `Readings` names their columns.
    anomalies(window, host): id, host, series_id, title, metric, unit, start_ts, end_ts, peak_ts, score, confidence,
    severity, actual, expected, low, high, sentence; those that overlap the window.
    explain(anomaly_id): the same fields of one, contributors, nearby (at, kind, text, when) and peers (a sentence or
    ''); raises NotFound. detectors: how many look for any. models: id, host, version, trained_at, trained_from,
    trained_until, series. marks(window): start, end, kind, host, text.
    forecast(series_id): the newest of a series. changed(window, host). query(sql): a frame, and whether there were more
    rows. propose(action, arguments, summary): keeps a command for approval; raises Forbidden. expired(window): before
    when its samples have expired; None: none have.
    """

    now: datetime
    metrics: Callable[[], pd.DataFrame]
    hosts: Callable[[], pd.DataFrame]
    sources: Callable[[], pd.DataFrame]
    find: Callable[[str | None, str | None], Sequence[Series]]
    read: Callable[[Sequence[Series], Window], Reading]
    quality: Callable[[Sequence[Series], Window], pd.DataFrame]
    pauses: Callable[[Sequence[Series], Window], pd.DataFrame]
    anomalies: Callable[[Window, str | None], pd.DataFrame]
    explain: Callable[[int], Mapping[str, Any]]
    detectors: Callable[[], int]
    models: Callable[[], pd.DataFrame]
    marks: Callable[[Window], Sequence[Mapping[str, Any]]]
    forecast: Callable[[int], Forecast | None]
    changed: Callable[[Window, str | None], Changed]
    query: Callable[[str], tuple[pd.DataFrame, bool]]
    propose: Callable[[str, Mapping[str, Any], str], Proposal]
    expired: Callable[[Window], datetime | None]
    summed: Callable[[Sequence[Series], Window], Summed | None]


class Outcome(StrEnum):
    """How a tool call ended."""

    OK = "ok"
    NO_DATA = "no_data"  # understood, and there is nothing: a result, not a failure
    ERROR = "error"  # not understood, not allowed or not possible; the message says what to try
    APPROVAL_REQUIRED = "approval_required"  # nothing was done; a person has to press Approve


@dataclass(frozen=True)
class Result:
    """What a call gave.

    rows: at most ROW_CAP, of `total`. values: the few numbers that answer the question. samples: what it was computed
    from. query and formula: how to get it again. expiry_told: the message says what became of expired samples.
    """

    outcome: Outcome
    message: str = ""
    rows: tuple[Mapping[str, Any], ...] = ()
    total: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    unit: str = ""
    samples: int = 0
    window: Window | None = None
    query: str = ""
    formula: str = ""
    source: str = ""
    links: Mapping[str, Any] = field(default_factory=dict)
    expiry_told: bool = False

    def to_json(self) -> dict[str, Any]:
        """What a model is given."""
        made: dict[str, Any] = {"outcome": self.outcome.value}
        if self.message:
            made["message"] = self.message
        if self.window:
            made["window"] = {"start": _iso(self.window.start), "end": _iso(self.window.end)}
        if self.unit:
            made["unit"] = self.unit
        if self.values:
            made["values"] = {k: _iso(v) for k, v in self.values.items()}
        if self.rows:
            made["rows"] = [{k: _iso(v) for k, v in row.items()} for row in self.rows]
            made["rows_in_total"] = self.total
        if self.samples:
            made["computed_from_samples"] = self.samples
        if self.formula:
            made["formula"] = self.formula
        return made


def quoted(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as evidence shows it: `quality(check="gaps", hosts=["web-01"])`, without what is empty."""
    parts = []
    for key, value in arguments.items():
        if value in ("", None, [], {}, False):
            continue
        if isinstance(value, list):
            parts.append(f"{key}=[" + ", ".join(f'"{one}"' for one in value) + "]")
        else:
            parts.append(f'{key}="{value}"' if isinstance(value, str) else f"{key}={value}")
    return f"{name}({', '.join(parts)})"


def _iso(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return float(f"{value:.6g}") if isinstance(value, float) else value
