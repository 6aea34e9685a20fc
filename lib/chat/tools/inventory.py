"""What is stored: metrics, hosts, how many series and samples, since when."""

from __future__ import annotations

import re
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from lib.chat.tools.data import ROW_CAP, Data, Outcome, Result, quoted
from lib.chat.tools.statistics import nearest


class Arguments(BaseModel):
    """What `list_metrics` takes."""

    model_config = ConfigDict(extra="forbid")

    of: Literal["metrics", "hosts", "sources"] = Field("metrics", description="List metrics, hosts or sources.")
    search: str = Field(
        "", max_length=100, description="Only metrics whose name holds all these words, like 'network drop'."
    )
    host: str = Field("", max_length=200, description="Only metrics this host has.")
    among: list[str] = Field(default_factory=list, max_length=50, description="Of hosts: only these.")


def run(data: Data, asked: Arguments) -> Result:
    """One row a metric (kind, series, hosts, span) or a host (series, span), and totals."""
    query = "list_metrics(" + ", ".join(f'{k}="{v}"' for k, v in asked.model_dump().items() if v) + ")"
    if asked.of == "sources":
        return _sources(data, query)
    return _hosts(data, query, asked.among) if asked.of == "hosts" else _metrics(data, asked, query)


def _sources(data: Data, query: str) -> Result:
    frame = data.sources()
    if frame.empty:
        return Result(Outcome.NO_DATA, "No source is connected yet; add one on the Sources page.", query=query)
    rows = [{"source": row["name"], "kind": row["kind"], "state": row["state"]} for row in frame.to_dict("records")]
    values = {"sources": len(rows)}
    return Result(Outcome.OK, rows=tuple(rows[:ROW_CAP]), total=len(rows), values=values, query=query, source="sources")


def _metrics(data: Data, asked: Arguments, query: str) -> Result:
    catalogue = data.metrics()
    if asked.host:
        if asked.host not in set(data.hosts()["host"]):
            return Result(Outcome.ERROR, f"No host {asked.host!r} is stored.")
        series = data.find(None, asked.host)
        counts = pd.Series([s.metric for s in series], dtype=object).value_counts()
        catalogue = catalogue[catalogue["metric"].isin(counts.index)]
        catalogue = catalogue.assign(series=[int(counts[m]) for m in catalogue["metric"]], hosts=1)
    words = re.findall(r"[a-z0-9]+", asked.search.lower())
    if words:
        catalogue = catalogue[
            [all(re.sub("s$", "", word) in name.lower() for word in words) for name in catalogue["metric"]]
        ]
    if catalogue.empty:
        what = f" with {asked.search!r} in its name" if words else ""
        return Result(
            Outcome.NO_DATA, f"No metric{what}{f' on {asked.host}' if asked.host else ''} is stored.", query=query
        )
    catalogue = catalogue.sort_values("metric")
    return Result(
        Outcome.OK,
        rows=tuple(_row(row, ("metric", "kind", "series", "hosts", "first", "last")) for row in _records(catalogue)),
        total=len(catalogue),
        values={
            "metrics": len(catalogue),
            "series": int(catalogue["series"].sum()),
            "first": _moment(catalogue["first"].min()),
            "last": _moment(catalogue["last"].max()),
        },
        query=query,
        source="series catalogue",
        links={"hosts": [asked.host] if asked.host else []},
    )


def _hosts(data: Data, query: str, among: list[str]) -> Result:
    hosts = data.hosts()
    hosts = hosts[hosts["host"].isin(among) if among else hosts["host"] != ""]
    if hosts.empty:
        return Result(Outcome.NO_DATA, "No host is stored yet.", query=query)
    # One host may be seen by several sources.
    joined = hosts.groupby("host", as_index=False).agg(
        series=("series", "sum"), first=("first", "min"), last=("last", "max")
    )
    return Result(
        Outcome.OK,
        rows=tuple(_row(row, ("host", "series", "first", "last")) for row in _records(joined)),
        total=len(joined),
        values={
            "hosts": len(joined),
            "series": int(joined["series"].sum()),
            "first": _moment(joined["first"].min()),
            "last": _moment(joined["last"].max()),
        },
        query=query,
        source="series catalogue",
    )


class MetricArguments(BaseModel):
    """What `describe_metric` takes."""

    model_config = ConfigDict(extra="forbid")

    metric: str = Field(min_length=1, max_length=200, description="Exact metric name.")
    host: str = Field("", max_length=200, description="Only this host's series.")
    label: str = Field("", max_length=100, description="Only the values of this label.")


def run_metric(data: Data, asked: MetricArguments) -> Result:
    """Kind, unit, span, series and hosts of one metric; a row a label with its values."""
    catalogue = data.metrics()
    known = catalogue[catalogue["metric"] == asked.metric]
    if known.empty:
        hint = ", ".join(nearest(asked.metric, list(catalogue["metric"])))
        return Result(Outcome.ERROR, f"No metric {asked.metric!r} is stored. The nearest are: {hint}.")
    if asked.host and asked.host not in set(data.hosts()["host"]):
        return Result(Outcome.ERROR, f"No host {asked.host!r} is stored.")
    series = data.find(asked.metric, asked.host or None)
    query = quoted("describe_metric", asked.model_dump())
    if not series:
        return Result(Outcome.NO_DATA, f"{asked.host} has no series of {asked.metric}.", query=query)
    found: dict[str, set[str]] = {}
    for one in series:
        for name, value in one.labels.items():
            found.setdefault(name, set()).add(value)
    rows = [
        {"label": name, "count": len(values), "values": ", ".join(sorted(values)[:ROW_CAP])}
        for name, values in sorted(found.items())
        if not asked.label or name == asked.label
    ]
    row = known.iloc[0]
    hosts = sorted({one.host for one in series if one.host})
    return Result(
        Outcome.OK,
        rows=tuple(rows[:ROW_CAP]),
        total=len(rows),
        values={
            "series": len(series),
            "hosts": len(hosts),
            "host_names": ", ".join(hosts[:ROW_CAP]),
            "labels": len(found),
            "kind": str(row["kind"]),
            "first": _moment(row["first"]),
            "last": _moment(row["last"]),
        },
        samples=len(series),
        query=query,
        source=asked.metric,
        links={"metric": asked.metric, "hosts": [asked.host] if asked.host else []},
    )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.head(ROW_CAP).to_dict("records")]


def _row(row: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    made = {column: row[column] for column in columns}
    for column in ("first", "last"):
        made[column] = _moment(made[column])
    if made["first"] and made["last"]:
        made["span_s"] = (made["last"] - made["first"]).total_seconds()
    for column in ("series", "hosts"):
        if column in made:
            made[column] = int(made[column])
    return made


def _moment(value: Any) -> Any:
    return None if value is None or pd.isna(value) else pd.Timestamp(value).to_pydatetime()
