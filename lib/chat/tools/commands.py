"""Commands: what changes something is proposed with exact arguments, and done by nobody but the person who approves."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lib.chat import times
from lib.chat.tools.data import Data, Outcome, Result, quoted
from lib.chat.tools.statistics import nearest

Action = Literal["collect", "detect", "forecast", "label", "silence"]
NO_SILENCE = (
    "There are no alerts here to silence. To keep anomalies of a planned time out of sight, mark it as maintenance on "
    "the Anomalies page."
)
# Longer horizons are for the Forecast page, where what they rest on can be seen.
MOST_HORIZON_H = 24 * 31


class Arguments(BaseModel):
    """What `command` takes. Which fields count depends on the action."""

    model_config = ConfigDict(extra="forbid")

    action: Action = Field(
        description="collect: fetch from a source now. detect: train and score a host's detector anew. forecast: make "
        "a forecast of a metric. label: give an anomaly a verdict. silence: not available."
    )
    source: str = Field("", max_length=64, description="collect: the source's name. Empty: every enabled one.")
    host: str = Field("", max_length=200, description="detect: which host. forecast: which host, empty for all.")
    metric: str = Field("", max_length=200, description="forecast: exact metric name.")
    hours: float = Field(24, gt=0, le=MOST_HORIZON_H, description="forecast: how far ahead.")
    anomaly: int = Field(0, ge=0, description="label: the anomaly's id.")
    verdict: Literal["real", "false", "expected", ""] = Field("", description="label: what the anomaly was.")


def run(data: Data, asked: Arguments) -> Result:
    """APPROVAL_REQUIRED with what would be done; nothing is done here."""
    checked = _CHECKS[asked.action](data, asked)
    if isinstance(checked, Result):
        return checked
    arguments, summary = checked
    proposal = data.propose(asked.action, arguments, summary)
    return Result(
        Outcome.APPROVAL_REQUIRED,
        summary,
        rows=({"action": asked.action, **{key: str(value) for key, value in arguments.items()}},),
        total=1,
        values={"proposal": proposal.id, "expires_at": proposal.expires_at},
        query=quoted(asked.action, arguments),
        source="waits for approval",
        links={"proposal": proposal.id, "digest": proposal.digest, "summary": summary},
    )


def _collect(data: Data, asked: Arguments) -> tuple[dict[str, Any], str] | Result:
    sources = data.sources()
    if not asked.source:
        return {}, "Collect from every enabled source now."
    found = sources[sources["name"].str.lower() == asked.source.lower()]
    if found.empty:
        near = ", ".join(nearest(asked.source, list(sources["name"]))) or ", ".join(sources["name"][:5])
        return Result(Outcome.ERROR, f"There is no source {asked.source!r}; there are: {near}.")
    name = str(found["name"].iloc[0])
    return {"source_id": int(found["id"].iloc[0]), "source": name}, f"Collect from {name} now."


def _detect(data: Data, asked: Arguments) -> tuple[dict[str, Any], str] | Result:
    hosts = data.hosts()
    if not asked.host:
        return Result(Outcome.ERROR, "Say for which host, like: run detection on " + _some(list(hosts["host"])) + ".")
    found = hosts[hosts["host"] == asked.host]
    if found.empty:
        return _no_host(asked.host, list(hosts["host"]))
    arguments = {"source_id": int(found["source_id"].iloc[0]), "host": asked.host}
    return (
        arguments,
        f"Train the detector of {asked.host} anew on the last month and look through it for anomalies.",
    )


def _forecast(data: Data, asked: Arguments) -> tuple[dict[str, Any], str] | Result:
    names = list(data.metrics()["metric"])
    if asked.metric not in names:
        hint = ", ".join(nearest(asked.metric, names)) if asked.metric else _some(names)
        return Result(Outcome.ERROR, f"Say which stored metric to forecast; the nearest are: {hint}.")
    hosts = list(data.hosts()["host"])
    if asked.host and asked.host not in hosts:
        return _no_host(asked.host, hosts)
    where = f" on {asked.host}" if asked.host else ""
    if not data.find(asked.metric, asked.host or None):
        return Result(Outcome.NO_DATA, f"No series of {asked.metric}{where} is stored.")
    arguments: dict[str, Any] = {"metric": asked.metric, "host": asked.host, "hours": math.ceil(asked.hours)}
    return arguments, f"Make a forecast of {asked.metric}{where} for the next {math.ceil(asked.hours)} hours."


def _label(data: Data, asked: Arguments) -> tuple[dict[str, Any], str] | Result:
    if not asked.anomaly:
        return Result(Outcome.ERROR, "Say which anomaly, by its number, like: label anomaly 12 as false.")
    if not asked.verdict:
        return Result(Outcome.ERROR, "Say what it was: real, false (a false alarm) or expected.")
    known = data.explain(asked.anomaly)
    start = times.iso_moment(known["start_ts"])
    summary = (
        f"Label anomaly {asked.anomaly} on {known['host']} ({known['start_ts']:%Y-%m-%d %H:%M} UTC) as {asked.verdict}."
    )
    # Numbers of anomalies change when they are found anew; the moment makes sure it is the same one.
    return {"anomaly": asked.anomaly, "verdict": asked.verdict, "start": start}, summary


def _silence(data: Data, asked: Arguments) -> Result:
    return Result(Outcome.ERROR, NO_SILENCE)


_CHECKS: dict[str, Any] = {
    "collect": _collect,
    "detect": _detect,
    "forecast": _forecast,
    "label": _label,
    "silence": _silence,
}


def _some(names: list[str]) -> str:
    return str(names[0]) if names else "a host"


def _no_host(host: str, hosts: list[str]) -> Result:
    hint = ", ".join(nearest(host, hosts)) or ", ".join(hosts[:3])
    return Result(Outcome.ERROR, f"No host {host!r} is stored. The nearest are: {hint}.")
