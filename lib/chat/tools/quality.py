"""Whether the data can be trusted: gaps, counters that began anew, flat lines, silence, moments stored twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from lib.chat import times
from lib.chat.measures import MEASURES
from lib.chat.tools.data import ROW_CAP, Data, Outcome, Result, quoted
from lib.chat.tools.statistics import nearest
from lib.frames import Series, Window

Check = Literal["gaps", "resets", "constant", "stale", "duplicates", "interval"]
# A series is silent when it has missed this many of its own intervals, and a minute at least.
STALE_INTERVALS, STALE_LEAST_S = 5.0, 60.0
_RULES = {
    "gaps": "a pause of more than 2.5 typical intervals; pauses of one host that overlap are one",
    "resets": "samples of a counter that are smaller than the one before",
    "constant": "series with two samples or more that are all equal",
    "stale": "series whose last sample is more than 5 of their intervals before the end of the window",
    "duplicates": "samples with the same moment in one series",
    "interval": "median time between two samples",
}


class Arguments(BaseModel):
    """What `quality` takes."""

    model_config = ConfigDict(extra="forbid")

    check: Check = Field(description="; ".join(f"{name}: {rule}" for name, rule in _RULES.items()))
    metric: str = Field("", max_length=200, description="Only this metric. Empty: all.")
    hosts: list[str] = Field(default_factory=list, max_length=50, description="Only these hosts. Empty: all.")
    period: str = Field(
        "last 24 hours",
        max_length=100,
        description="Like 'yesterday', 'last 6 hours', or two ISO moments joined by a slash.",
    )


def run(data: Data, asked: Arguments) -> Result:
    """One row a finding, the worst first, and how many there are; OK with count 0 when all is well."""
    window = times.window_of(asked.period, data.now)
    if window is None:
        return Result(Outcome.ERROR, f"The period {asked.period!r} is not understood, or lies in the future.")
    found = _series(data, asked)
    if isinstance(found, Result):
        return found
    series = {one.id: one for one in found}
    # What stopped before the window began is silent in it, too.
    looked = (
        Window(min(window.start, window.end - timedelta(days=30)), window.end) if asked.check == "stale" else window
    )
    frame = data.quality(found, looked)
    about: dict[str, Any] = {
        "window": window,
        "query": quoted("quality", {**asked.model_dump(), "period": times.iso(window)}),
        "formula": _RULES[asked.check],
        "source": asked.metric or "all metrics",
        "samples": int(frame["count"].sum()) if len(frame) else 0,
        "links": {
            "series_ids": list(series)[:20],
            "hosts": asked.hosts,
            **({"metric": found[0].metric} if asked.metric else {}),
        },
    }
    if frame.empty:
        told = (
            f"No samples between {window.start:%Y-%m-%d %H:%M} and {window.end:%Y-%m-%d %H:%M} UTC, so none to check."
        )
        return Result(Outcome.NO_DATA, told, **about)
    rows, values = _CHECKS[asked.check](data, frame, series, window)
    values = {"count": len(rows), "series_checked": len(frame), **values}
    return Result(Outcome.OK, rows=tuple(rows[:ROW_CAP]), total=len(rows), values=values, **about)


def _series(data: Data, asked: Arguments) -> list[Series] | Result:
    known = set(data.hosts()["host"])
    if unknown := [host for host in asked.hosts if host not in known]:
        return Result(Outcome.ERROR, f"No host {unknown[0]!r} is stored.")
    metrics: Sequence[str | None] = [None]
    if asked.metric:
        metrics = MEASURES[asked.metric].metrics if asked.metric in MEASURES else (asked.metric,)
        names = set(data.metrics()["metric"])
        if missing := [name for name in metrics if name not in names]:
            hint = ", ".join(nearest(str(missing[0]), names))
            return Result(Outcome.ERROR, f"No metric {missing[0]!r} is stored. The nearest are: {hint}.")
    everywhere: list[str | None] = [None]
    found = [one for metric in metrics for host in (asked.hosts or everywhere) for one in data.find(metric, host)]
    return found or Result(Outcome.NO_DATA, "No such series is stored.")


def _gaps(
    data: Data, frame: pd.DataFrame, series: dict[int, Series], window: Window
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    pauses = data.pauses(list(series.values()), window)
    by_host: dict[str, list[list[Any]]] = {}
    for row in pauses.to_dict("records"):
        start, end = _moment(row["start"]), _moment(row["end"])
        known = by_host.setdefault(series[int(row["series_id"])].host, [])
        if known and start < known[-1][1]:
            known[-1][1] = max(known[-1][1], end)
            known[-1][2] += 1
        else:
            known.append([start, end, 1])
    rows: list[dict[str, Any]] = [
        {"host": host, "start": start, "end": end, "seconds": (end - start).total_seconds(), "series": count}
        for host, found in by_host.items()
        for start, end, count in found
    ]
    rows.sort(key=lambda row: (-row["seconds"], row["host"], row["start"]))
    hosts = len(by_host)
    return rows, {"hosts": hosts, "longest_s": rows[0]["seconds"] if rows else 0.0}


def _resets(
    data: Data, frame: pd.DataFrame, series: dict[int, Series], window: Window
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    counting = np.array([series[int(i)].kind == "counter" for i in frame["series_id"]], dtype=bool)
    counters = frame[counting & (frame["resets"] > 0)]
    rows = [
        {
            **_named(series[int(row["series_id"])]),
            "resets": int(row["resets"]),
            "last_at": _moment(row["reset_at"]),
        }
        for row in counters.to_dict("records")
    ]
    rows.sort(key=lambda row: (-row["resets"], row["host"], row["series"]))
    by_host: Counter[str] = Counter()
    for row in rows:
        by_host[row["host"]] += row["resets"]
    found = {"resets": sum(by_host.values()), "hosts": len(by_host), "by_host": dict(by_host.most_common())}
    return rows, found


def _constant(
    data: Data, frame: pd.DataFrame, series: dict[int, Series], window: Window
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    flat = frame[(frame["count"] > 1) & (frame["low"] == frame["high"])]
    rows = [{**_named(series[int(row["series_id"])]), "value": row["low"]} for row in flat.to_dict("records")]
    rows.sort(key=lambda row: (row["series"], row["host"]))
    by_metric = pd.Series([series[int(i)].metric for i in flat["series_id"]], dtype=object).value_counts()
    counts = {str(metric): int(count) for metric, count in by_metric.items()}
    return rows, {"metrics": len(counts), "by_metric": dict(sorted(counts.items()))}


def _stale(
    data: Data, frame: pd.DataFrame, series: dict[int, Series], window: Window
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rows = []
    for row in frame.to_dict("records"):
        interval = 0.0 if pd.isna(row["interval_s"]) else float(row["interval_s"])
        silent = (window.end - _moment(row["last"])).total_seconds()
        if silent > max(STALE_INTERVALS * interval, STALE_LEAST_S):
            rows.append({**_named(series[int(row["series_id"])]), "last": _moment(row["last"]), "silent_s": silent})
    rows.sort(key=lambda row: (-row["silent_s"], row["host"], row["series"]))
    whole = pd.Series([series[int(i)].host for i in frame["series_id"]]).value_counts()
    silent_of = pd.Series([row["host"] for row in rows], dtype=object).value_counts()
    gone = sorted(str(host) for host, count in silent_of.items() if count == whole[host])
    return rows, {"hosts": len(gone), "silent_hosts": ", ".join(gone[:20])}


def _duplicates(
    data: Data, frame: pd.DataFrame, series: dict[int, Series], window: Window
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    twice = frame[frame["repeated"] > 0]
    rows = [
        {**_named(series[int(row["series_id"])]), "repeated": int(row["repeated"])} for row in twice.to_dict("records")
    ]
    rows.sort(key=lambda row: (-row["repeated"], row["host"], row["series"]))
    return rows, {"repeated": int(frame["repeated"].sum())}


def _interval(
    data: Data, frame: pd.DataFrame, series: dict[int, Series], window: Window
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    known = frame[frame["interval_s"].notna()]
    rows = [
        {**_named(series[int(row["series_id"])]), "interval_s": float(row["interval_s"]), "samples": int(row["count"])}
        for row in known.to_dict("records")
    ]
    rows.sort(key=lambda row: (-row["interval_s"], row["host"], row["series"]))
    return rows, {"interval_s": float(known["interval_s"].median()) if len(known) else None}


_CHECKS: dict[str, Any] = {
    "gaps": _gaps,
    "resets": _resets,
    "constant": _constant,
    "stale": _stale,
    "duplicates": _duplicates,
    "interval": _interval,
}


def _named(one: Series) -> dict[str, Any]:
    told = {k: v for k, v in one.labels.items() if k not in ("__name__", "job", "instance", "host")}
    inside = ", ".join(f'{k}="{v}"' for k, v in sorted(told.items()))
    return {"host": one.host, "series": f"{one.metric}{{{inside}}}" if inside else one.metric}


def _moment(value: Any) -> datetime:
    return pd.Timestamp(value).to_pydatetime()
