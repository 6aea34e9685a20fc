"""What detectors found: which anomalies there were, the worst, how many, by host; and why one is one."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from lib.chat import times
from lib.chat.tools.data import ROW_CAP, Data, Outcome, Result
from lib.errors import NotFound
from lib.frames import Window

# Worst first: severity, then how sure the detector is, then the score, which is comparable within a detector only.
SEVERITIES = ("critical", "major", "minor", "warning")
DAY = timedelta(days=1)
WORST = "highest severity, then confidence, then score"


class Arguments(BaseModel):
    """What `anomalies` takes."""

    model_config = ConfigDict(extra="forbid")

    order: Literal["worst", "newest", "oldest", "longest", "shortest", "score", "confidence"] = Field(
        "worst", description="Which rows come first."
    )
    period: str = Field(
        "last 24 hours",
        max_length=100,
        description="Like 'yesterday', 'last 6 hours', or two ISO moments joined by a slash.",
    )
    hosts: list[str] = Field(default_factory=list, max_length=50, description="Only these hosts. Empty: all.")
    metrics: list[str] = Field(
        default_factory=list, max_length=20, description="Only those these metrics caused most of."
    )
    severity: str = Field("", max_length=20, description="Only this severity.")
    by: Literal["", "score", "confidence", "duration"] = Field(
        "", description="Only those whose score, confidence (0 to 1) or duration (seconds) is above or below a limit."
    )
    above: float | None = Field(None, description="At least this; for `by`.")
    below: float | None = Field(None, description="At most this; for `by`.")
    open_only: bool = Field(False, description="Only those still going on.")
    top: int = Field(10, ge=1, le=ROW_CAP, description="How many rows to return.")


class ExplainArguments(BaseModel):
    """What `explain_anomaly` takes."""

    model_config = ConfigDict(extra="forbid")

    id: int = Field(ge=1, description="The anomaly's id, as `anomalies` gives it.")


def run(data: Data, asked: Arguments) -> Result:
    """Anomalies that overlap the window, one a row, and counts over all of them by host and severity."""
    window = times.window_of(asked.period, data.now)
    if window is None:
        return Result(Outcome.ERROR, f"The period {asked.period!r} is not understood, or lies in the future.")
    shown = {k: v for k, v in asked.model_dump().items() if k != "period" and v not in ("", False, [], None)}
    query = f'anomalies(period="{times.iso(window)}", ' + ", ".join(f"{k}={_quoted(v)}" for k, v in shown.items()) + ")"
    about: dict[str, Any] = {
        "window": window,
        "query": query,
        "formula": f"worst: {WORST}" if asked.order == "worst" else "",
        "source": "anomalies found by the detectors",
        "links": {"hosts": list(asked.hosts)},
    }
    known = {str(host) for host in data.hosts()["host"] if host}
    if unknown := [host for host in asked.hosts if host not in known]:
        return Result(Outcome.ERROR, f"No host {unknown[0]!r} is stored.")
    frame = data.anomalies(window, asked.hosts[0] if len(asked.hosts) == 1 else None)
    if asked.hosts:
        frame = frame[frame["host"].isin(asked.hosts)]
    if asked.metrics:
        frame = frame[frame["metric"].isin(asked.metrics)]
    if asked.severity:
        frame = frame[frame["severity"] == asked.severity]
    if asked.open_only:
        frame = frame[frame["end_ts"].isna()]
    if asked.by:
        size = _size(frame, asked.by, data.now)
        frame = frame[size.between(_or(asked.above, -math.inf), _or(asked.below, math.inf))]
    if frame.empty:
        where = f" on {', '.join(asked.hosts)}" if asked.hosts else ""
        message = f"No anomaly{where} between {window.start:%Y-%m-%d %H:%M} and {window.end:%Y-%m-%d %H:%M} UTC."
        detectors = data.detectors()
        if not detectors:
            message = "No detector is trained, so nobody has looked for anomalies. Train one on the Anomalies page."
        return Result(
            Outcome.NO_DATA, message, values={"count": 0, "detectors": detectors, "hosts_without": len(known)}, **about
        )
    rows = _sorted([_row(row, data.now) for row in frame.to_dict("records")], asked.order)
    hosts = frame["host"].value_counts()
    about["links"] = {"anomaly_ids": [row["id"] for row in rows[:20]], "hosts": about["links"]["hosts"]}
    return Result(
        Outcome.OK,
        rows=tuple(rows[: asked.top]),
        total=len(rows),
        values={
            "count": len(rows),
            "hosts": {str(host): int(count) for host, count in hosts.items()},
            "hosts_without": len(known - {str(host) for host in hosts.index}),
            "severities": {str(k): int(v) for k, v in frame["severity"].value_counts().items()},
            "open": int(frame["end_ts"].isna().sum()),
            **_concurrent(rows, window, data.now),
        },
        samples=len(rows),
        **about,
    )


def run_explain(data: Data, asked: ExplainArguments) -> Result:
    """Why one anomaly is one: the sentence, what was expected and seen, and what contributed."""
    try:
        given = dict(data.explain(asked.id))
    except NotFound as error:
        return Result(Outcome.ERROR, error.message)
    contributors = [dict(c) for c in given.pop("contributors", ())][:ROW_CAP]
    nearby = [dict(one) for one in given.get("nearby") or ()]
    row = _row(given, data.now)
    end = row["end_at"] or data.now
    labels = {"verdict": str(given.get("verdict") or ""), "note": str(given.get("note") or "")}
    return Result(
        Outcome.OK,
        rows=tuple(contributors),
        total=len(contributors),
        values={**row, "nearby": nearby, "peers": str(given.get("peers") or ""), "labels": labels},
        unit=row["unit"],
        samples=1,
        window=Window(row["start_at"], max(end, row["start_at"])),
        query=f"explain_anomaly(id={asked.id})",
        source="anomalies found by the detectors",
        links={
            "anomaly_ids": [asked.id],
            "series_ids": [row["series_id"]] if row["series_id"] else [],
            "hosts": [row["host"]],
        },
    )


def _size(frame: pd.DataFrame, of: str, now: datetime) -> pd.Series:
    if of == "duration":
        return (frame["end_ts"].fillna(pd.Timestamp(now)) - frame["start_ts"]).dt.total_seconds()
    return frame[of].astype(float)


def _or(limit: float | None, otherwise: float) -> float:
    return otherwise if limit is None else limit


def _row(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    start, end = _moment(row["start_ts"]), _moment(row["end_ts"])
    made = {
        "id": int(row["id"]),
        "host": str(row["host"]),
        "metric": str(row.get("metric") or ""),
        "title": str(row.get("title") or row.get("metric") or ""),
        "severity": str(row["severity"]),
        "confidence": float(row["confidence"]),
        "score": float(row["score"]),
        "start_at": start,
        "end_at": end,
        "peak_at": _moment(row["peak_ts"]),
        "duration_s": ((end or now) - start).total_seconds() if start else None,
        "unit": str(row.get("unit") or ""),
        "sentence": str(row.get("sentence") or ""),
        "series_id": None if pd.isna(row.get("series_id")) else int(row["series_id"]),
    }
    for column in ("actual", "expected", "low", "high"):
        value = row.get(column)
        made[column] = None if value is None or pd.isna(value) else float(value)
    return made


def _sorted(rows: list[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    if order == "newest":
        return sorted(rows, key=lambda row: row["start_at"], reverse=True)
    if order == "oldest":
        return sorted(rows, key=lambda row: row["start_at"])
    if order == "score":
        return sorted(rows, key=lambda row: (-row["score"], row["start_at"]))
    if order == "confidence":
        return sorted(rows, key=lambda row: (-row["confidence"], row["start_at"]))
    if order == "shortest":
        return sorted(rows, key=lambda row: (row["duration_s"], row["start_at"]))
    if order == "longest":
        return sorted(rows, key=lambda row: row["duration_s"], reverse=True)
    return sorted(rows, key=lambda row: (_rank(row["severity"]), -row["confidence"], -row["score"], row["start_at"]))


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _concurrent(rows: list[dict[str, Any]], window: Window, now: datetime) -> dict[str, Any]:
    """When most hosts had an anomaly at once, and which."""
    events = sorted(
        [(max(row["start_at"], window.start), 1, row["host"]) for row in rows]
        + [(row["end_at"] or now + DAY, 0, row["host"]) for row in rows]
    )
    going: Counter[str] = Counter()
    best: list[str] = []
    at = None
    # Ends come before starts of the same moment: what follows at once is not at the same time.
    for moment, begins, host in events:
        going[host] += 1 if begins else -1
        if begins and sum(1 for count in going.values() if count > 0) > len(best):
            best, at = sorted(name for name, count in going.items() if count > 0), moment
    return {"most_at_once": len(best), "at_once_at": at, "at_once_hosts": ", ".join(best)}


def _moment(value: Any) -> Any:
    return None if value is None or pd.isna(value) else pd.Timestamp(value).to_pydatetime()


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
