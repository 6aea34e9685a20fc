"""Detectors at work, what changed, marks on the time line, alerts, and people's own SQL."""

from __future__ import annotations

from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from lib.chat import times
from lib.chat.tools.data import ROW_CAP, Data, Outcome, Result, quoted
from lib.errors import SqlError

NO_ALERTS = (
    "There are no alert rules in this app, so nobody knows of firing or past alerts here. Anomalies are what I know: "
    "ask for those of the same time."
)
_PERIOD = "Like 'yesterday', 'last 6 hours', or two ISO moments joined by a slash."


class ModelArguments(BaseModel):
    """What `detectors` takes."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field("", max_length=200, description="Only this host's. Empty: all.")


class ChangedArguments(BaseModel):
    """What `what_changed` takes."""

    model_config = ConfigDict(extra="forbid")

    period: str = Field("last 1 hour", max_length=100, description=_PERIOD)
    host: str = Field("", max_length=200, description="Only this host. Empty: all.")
    top: int = Field(10, ge=1, le=ROW_CAP)


class MarkArguments(BaseModel):
    """What `marks` takes."""

    model_config = ConfigDict(extra="forbid")

    period: str = Field("last 30 days", max_length=100, description=_PERIOD)
    host: str = Field("", max_length=200, description="Only those about this host. Empty: all.")
    kind: str = Field("", max_length=20, description="deploy, note, maintenance or expected. Empty: all.")


class AlertArguments(BaseModel):
    """What `alerts` takes."""

    model_config = ConfigDict(extra="forbid")

    period: str = Field("last 24 hours", max_length=100, description=_PERIOD)


class SqlArguments(BaseModel):
    """What `sql` takes."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(
        min_length=1,
        max_length=4000,
        description="One SELECT in DuckDB's SQL over the published tables (samples, series, anomalies and others of "
        "the SQL page). ts is UTC.",
    )


def run_models(data: Data, asked: ModelArguments) -> Result:
    """One row a detector at work, the newest first."""
    if asked.host and asked.host not in set(data.hosts()["host"]):
        return Result(Outcome.ERROR, f"No host {asked.host!r} is stored.")
    frame = data.models()
    if asked.host:
        frame = frame[frame["host"] == asked.host]
    about: dict[str, Any] = {"query": quoted("detectors", asked.model_dump()), "source": "detectors at work"}
    if frame.empty:
        where = f" for {asked.host}" if asked.host else ""
        return Result(Outcome.NO_DATA, f"No detector is trained{where}.", values={"detectors": 0}, **about)
    rows = [
        {
            **{key: str(row[key]) for key in ("host",)},
            **{key: int(row[key]) for key in ("id", "version", "series")},
            **{key: _moment(row[key]) for key in ("trained_at", "trained_from", "trained_until")},
        }
        for row in frame.to_dict("records")
    ]
    rows.sort(key=lambda row: (-row["trained_at"].timestamp(), row["host"]))
    values = {"detectors": len(rows), "newest": rows[0]["trained_at"], "oldest": rows[-1]["trained_at"]}
    return Result(Outcome.OK, rows=tuple(rows[:ROW_CAP]), total=len(rows), values=values, **about)


def run_changed(data: Data, asked: ChangedArguments) -> Result:
    """Series that differ in the window from the time before, the strongest first."""
    window = times.window_of(asked.period, data.now)
    if window is None:
        return Result(Outcome.ERROR, f"The period {asked.period!r} is not understood, or lies in the future.")
    if asked.host and asked.host not in set(data.hosts()["host"]):
        return Result(Outcome.ERROR, f"No host {asked.host!r} is stored.")
    found = data.changed(window, asked.host or None)
    about: dict[str, Any] = {
        "window": window,
        "query": quoted("what_changed", {**asked.model_dump(), "period": times.iso(window)}),
        "source": "every series of the window, against the time before it and earlier days",
        "formula": "score: 1 is what one test reaches by chance in one series of a hundred",
        "samples": found.compared,
        "links": {"hosts": [asked.host] if asked.host else []},
    }
    values = {"compared": found.compared, "above": found.above, "count": len(found.rows)}
    if not found.rows:
        return Result(Outcome.NO_DATA, "Nothing changed that chance would not explain.", values=values, **about)
    rows = tuple(found.rows[: asked.top])
    return Result(Outcome.OK, rows=rows, total=len(found.rows), values=values, **about)


def run_marks(data: Data, asked: MarkArguments) -> Result:
    """What people marked on the time line, the newest first."""
    window = times.window_of(asked.period, data.now)
    if window is None:
        return Result(Outcome.ERROR, f"The period {asked.period!r} is not understood, or lies in the future.")
    rows = [dict(row) for row in data.marks(window) if asked.kind in ("", row["kind"])]
    rows = [row for row in rows if not asked.host or row["host"] in ("", asked.host)]
    about: dict[str, Any] = {
        "window": window,
        "query": quoted("marks", {**asked.model_dump(), "period": times.iso(window)}),
        "source": "annotations",
    }
    if not rows:
        what = asked.kind or "event"
        return Result(Outcome.NO_DATA, f"No {what} is marked in that time.", values={"count": 0}, **about)
    rows.sort(key=lambda row: row["start"], reverse=True)
    return Result(Outcome.OK, rows=tuple(rows[:ROW_CAP]), total=len(rows), values={"count": len(rows)}, **about)


def run_alerts(data: Data, asked: AlertArguments) -> Result:
    """An honest no: nothing here keeps alerts."""
    return Result(Outcome.ERROR, NO_ALERTS)


def run_sql(data: Data, asked: SqlArguments) -> Result:
    """The first rows of a query that only reads."""
    try:
        frame, more = data.query(asked.query)
    except SqlError as error:
        return Result(Outcome.ERROR, f"{error.message} {error.values.get('hint', '')}".strip())
    rows = tuple({str(k): _cell(v) for k, v in row.items()} for row in frame.head(ROW_CAP).to_dict("records"))
    about: dict[str, Any] = {"query": asked.query, "source": "SQL"}
    if not rows:
        return Result(Outcome.NO_DATA, "The query gave no rows.", values={"rows": 0}, **about)
    values = {"rows": len(frame), "columns": len(frame.columns), "more": more}
    return Result(Outcome.OK, rows=rows, total=len(frame), values=values, samples=len(frame), **about)


def _moment(value: Any) -> Any:
    return None if value is None or pd.isna(value) else pd.Timestamp(value).to_pydatetime()


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict | tuple):
        return str(value)
    if value is None or pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if hasattr(value, "item") else value
