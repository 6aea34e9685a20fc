"""Numbers of one metric or measure over a window: latest, mean, extremes and when, quantiles, growth of a counter."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from lib.chat import measures, times
from lib.chat.measures import MEASURES, Measure
from lib.chat.tools import sums
from lib.chat.tools.data import ROW_CAP, Data, Outcome, Result
from lib.frames import Series, Window, from_ms

Statistic = Literal[
    "summary", "latest", "mean", "min", "max", "median", "quantile", "stddev", "above", "below", "increase"
]
_SELECTOR = re.compile(r'\s*([A-Za-z_]\w*)\s*=\s*"([^"]{0,200})"\s*(?:,|$)')


class Arguments(BaseModel):
    """What `statistics` takes."""

    model_config = ConfigDict(extra="forbid")

    metric: str = Field(
        min_length=1, max_length=200, description="Exact metric name, or one of: " + ", ".join(MEASURES)
    )
    statistic: Statistic = Field(
        "summary",
        description="What to compute. increase: growth of a counter over the window. above, below: the share of "
        "readings beyond `limit`, in percent.",
    )
    limit: float | None = Field(None, description="For above and below, in the metric's unit.")
    quantile: float = Field(0.95, ge=0, le=1, description="For statistic quantile: 0.95 is the 95th percentile.")
    period: str = Field(
        "last 24 hours",
        max_length=100,
        description="Like 'yesterday', 'last 6 hours', or two ISO moments joined by a slash.",
    )
    hosts: list[str] = Field(default_factory=list, max_length=50, description="Only these hosts. Empty: all.")
    labels: str = Field(
        "", max_length=300, description='Only series with these labels, like device="sda", mode="user".'
    )
    order: Literal["highest", "lowest"] = Field("highest", description="Which rows come first.")
    top: int = Field(20, ge=1, le=ROW_CAP, description="How many rows to return.")


def run(data: Data, asked: Arguments) -> Result:
    """One row a host (and series, where a host has several), and values over all of them."""
    window = times.window_of(asked.period, data.now)
    if window is None:
        return Result(Outcome.ERROR, f"The period {asked.period!r} is not understood, or lies in the future.")
    query = _query(asked, window)
    found = find(data, asked)
    if asked.statistic in ("above", "below") and asked.limit is None:
        return Result(Outcome.ERROR, f"{asked.statistic} needs a limit.")
    if isinstance(found, Result):
        return found
    measure, series = found
    if asked.statistic == "increase":
        return _increase(data, asked, measure, series, window, query)
    about: dict[str, Any] = {
        "window": window,
        "query": query,
        "formula": measure.formula,
        "source": ", ".join(measure.metrics),
        "unit": measure.unit,
        "links": {"series_ids": [s.id for s in series[:20]], "hosts": asked.hosts, "metric": measure.metrics[0]},
    }
    key = {"summary": "mean", "median": "q", "quantile": "q"}.get(asked.statistic, asked.statistic)
    if (summed := sums.known(data, measure, asked.statistic, series, window)) is not None:
        rows = sums.rows(summed, series)
        values, count = sums.overall(rows, key), sum(row["count"] for row in rows)
        about |= sums.about(summed, window, asked.statistic, measure.formula)
        return _ranked(asked, rows, key, values, count, about)
    reading = data.read(series, window)
    frame = measures.values(measure, series, reading.frame)
    if reading.step_s:
        about["formula"] += f", averaged over {reading.step_s:g} s"
    if frame.empty:
        return nothing(data, measure, window, about)
    if asked.limit is not None and asked.statistic in ("above", "below"):
        return _beyond(asked, measure, frame, asked.limit, len(reading.frame), about)
    quantile = 0.5 if asked.statistic == "median" else asked.quantile
    values = _overall(frame, quantile, key)
    return _ranked(asked, _rows(frame, quantile, "q"), key, values, len(reading.frame), about)


def _ranked(
    asked: Arguments,
    rows: list[dict[str, Any]],
    key: str,
    values: dict[str, Any],
    samples: int,
    about: dict[str, Any],
) -> Result:
    rows = sorted(rows, key=lambda row: row[key], reverse=asked.order == "highest")
    about["links"]["series_ids"] = [row.pop("series_id") for row in rows][:20]
    shown = tuple(rows[: asked.top])
    return Result(Outcome.OK, rows=shown, total=len(rows), values=values, samples=samples, **about)


def _rows(frame: pd.DataFrame, quantile: float, q: str) -> list[dict[str, Any]]:
    rows = []
    for (host, part), group in frame.groupby(["host", "part"], sort=True):
        value, ts = group["value"].to_numpy(), group["ts"].to_numpy()
        rows.append(
            {
                "host": host,
                "series": part,
                "latest": float(value[-1]),
                "latest_at": from_ms(int(ts[-1])),
                "mean": float(value.mean()),
                "min": float(value.min()),
                "min_at": from_ms(int(ts[value.argmin()])),
                "max": float(value.max()),
                "max_at": from_ms(int(ts[value.argmax()])),
                "stddev": float(value.std()),
                q: float(np.quantile(value, quantile)),
                "quantile": quantile,
                "count": len(value),
                "series_id": int(group["series_id"].iloc[0]),
            }
        )
    return rows


def _overall(frame: pd.DataFrame, quantile: float, key: str) -> dict[str, Any]:
    value = frame["value"].to_numpy()
    highest, lowest = frame.iloc[int(value.argmax())], frame.iloc[int(value.argmin())]
    made = {
        "mean": float(value.mean()),
        "min": float(value.min()),
        "min_at": from_ms(int(lowest["ts"])),
        "min_host": lowest["host"],
        "max": float(value.max()),
        "max_at": from_ms(int(highest["ts"])),
        "max_host": highest["host"],
        "stddev": float(value.std()),
        "q": float(np.quantile(value, quantile)),
        "quantile": quantile,
        "count": len(value),
        "hosts": int(frame["host"].nunique()),
    }
    if key == "latest":
        newest = frame.loc[frame.groupby(["host", "part"])["ts"].idxmax()]
        made["latest"] = float(newest["value"].mean())
        made["latest_at"] = from_ms(int(newest["ts"].max()))
    return made


def _increase(
    data: Data, asked: Arguments, measure: Measure, series: Sequence[Series], window: Window, query: str
) -> Result:
    """Growth with resets handled: what `rate` says, multiplied back by the time it says it for."""
    if not measure.grows:
        return Result(
            Outcome.ERROR, f"{measure.title} is not a counter, so it has no increase; ask for its mean or max."
        )
    summed = sums.known(data, measure, asked.statistic, series, window)
    if summed is not None:
        hosts = sums.by_host(summed, series)
        per_host, samples = hosts["increase"].to_dict(), int(hosts["count"].sum())
    else:
        reading = data.read(series, window)
        per_host, samples = _growth(series, reading.frame), len(reading.frame)
    ranked = sorted(per_host.items(), key=lambda pair: pair[1], reverse=asked.order == "highest")
    rows = [{"host": host, "increase": grown} for host, grown in ranked]
    about: dict[str, Any] = {
        "window": window,
        "query": query,
        "formula": f"increase({measure.metrics[0]}), summed by host",
        "source": ", ".join(measure.metrics),
        "unit": measure.unit.removesuffix("/s") if measure.unit != "ratio" else "s",
        "links": {"series_ids": [s.id for s in series[:20]], "hosts": asked.hosts, "metric": measure.metrics[0]},
    }
    if summed is not None:
        about |= sums.about(summed, window, asked.statistic, about["formula"])
    if not rows:
        return nothing(data, measure, window, about)
    return Result(
        Outcome.OK,
        rows=tuple(rows[: asked.top]),
        total=len(rows),
        values={"increase": sum(per_host.values()), "hosts": len(rows)},
        samples=samples,
        **about,
    )


def _growth(series: Sequence[Series], samples: pd.DataFrame) -> dict[str, float]:
    groups = dict(tuple(samples.groupby("series_id", sort=False))) if len(samples) else {}
    per_host: dict[str, float] = {}
    for one in series:
        if one.id not in groups:
            continue
        value = groups[one.id]["value"].to_numpy(np.float64)
        value = value[np.isfinite(value)]
        steps = np.diff(value)
        per_host[one.host] = per_host.get(one.host, 0.0) + float(np.where(steps < 0, value[1:], steps).sum())
    return per_host


def _beyond(
    asked: Arguments, measure: Measure, frame: pd.DataFrame, limit: float, samples: int, about: dict[str, Any]
) -> Result:
    """Of how many readings a limit was left behind, by host; in percent of all there are."""
    sign = 1.0 if asked.statistic == "above" else -1.0
    beyond = sign * frame["value"] > sign * limit
    rows: list[dict[str, Any]] = []
    for host, group in beyond.groupby(frame["host"]):
        at = frame.loc[group.index[group.to_numpy()], "ts"]
        moments = {"first_at": from_ms(int(at.min())), "last_at": from_ms(int(at.max()))} if len(at) else {}
        rows.append(
            {"host": host, "share": 100.0 * float(group.mean()), "count": int(group.sum()), "of": len(group), **moments}
        )
    rows.sort(key=lambda row: (-row["share"], row["host"]))
    about["formula"] = f"share of readings of {measure.formula} {'>' if sign > 0 else '<'} {limit:g}"
    hosts = sum(1 for row in rows if row["count"])
    values = {"share": 100.0 * float(beyond.mean()), "count": int(beyond.sum()), "hosts": hosts, "limit": limit}
    values["of"] = len(beyond)
    return Result(Outcome.OK, rows=tuple(rows[: asked.top]), total=len(rows), values=values, samples=samples, **about)


def nothing(data: Data, measure: Measure, window: Window, about: dict[str, Any]) -> Result:
    """NO_DATA with the span in which there is some."""
    catalogue = data.metrics()
    known = catalogue[catalogue["metric"].isin(measure.metrics)]
    span = ""
    if len(known) and pd.notna(known["last"].max()):
        span = f" There is data from {known['first'].min():%Y-%m-%d %H:%M} to {known['last'].max():%Y-%m-%d %H:%M} UTC."
    needs = f" It takes series of every kind of {measure.metrics[0]}." if measure.share else ""
    return Result(
        Outcome.NO_DATA,
        f"No samples of {measure.title} between {window.start:%Y-%m-%d %H:%M} and {window.end:%Y-%m-%d %H:%M} UTC."
        f"{span}{needs}",
        **about,
    )


def find(data: Data, asked: Arguments) -> tuple[Measure, list[Series]] | Result:
    """The measure a call is about and its series; a Result where a name is unknown or nothing is stored of it."""
    catalogue = data.metrics()
    kinds = dict(zip(catalogue["metric"], catalogue["kind"], strict=True))
    if asked.metric in kinds:
        measure = measures.plain(asked.metric, kinds[asked.metric])
    elif asked.metric in MEASURES:
        measure = MEASURES[asked.metric]
    else:
        near = nearest(asked.metric, kinds)
        hint = f" The nearest are: {', '.join(near)}." if near else ""
        return Result(
            Outcome.ERROR, f"No metric {asked.metric!r} is stored.{hint}", rows=tuple({"metric": n} for n in near)
        )
    missing = [name for name in measure.metrics if name not in kinds]
    if missing:
        return Result(Outcome.ERROR, f"{measure.title} needs {' and '.join(missing)}, which is not collected.")
    known_hosts = set(data.hosts()["host"])
    unknown = [host for host in asked.hosts if host not in known_hosts]
    if unknown:
        near = nearest(unknown[0], known_hosts)
        hint = f" The nearest are: {', '.join(near)}." if near else ""
        return Result(Outcome.ERROR, f"No host {unknown[0]!r} is stored.{hint}")
    wanted = selector(asked.labels)
    if wanted is None:
        return Result(Outcome.ERROR, f'The labels {asked.labels!r} are not understood; write them like device="sda".')
    everywhere: list[str | None] = [None]
    series = [
        one
        for metric in measure.metrics
        for host in (asked.hosts or everywhere)
        for one in data.find(metric, host)
        if any(part.fits(one) for part in measure.parts) and all(one.labels.get(k) == v for k, v in wanted.items())
    ]
    if not series:
        where = (f" on {', '.join(asked.hosts)}" if asked.hosts else "") + (f" with {asked.labels}" if wanted else "")
        return Result(Outcome.NO_DATA, f"No series of {measure.title}{where} is stored.")
    return measure, series


def selector(labels: str) -> dict[str, str] | None:
    """`device="sda", mode="user"` as a dictionary; None when it is not of that form."""
    labels = labels.strip().strip("{}")
    made, position = {}, 0
    while position < len(labels):
        match = _SELECTOR.match(labels, position)
        if not match:
            return None
        made[match[1]] = match[2]
        position = match.end()
    return made


def nearest(name: str, names: Sequence[str] | set[str] | dict[str, str], count: int = 3) -> list[str]:
    """The names that look most like one nobody has: by shared words, then by spelling."""
    words = set(re.findall(r"[a-z0-9]+", name.lower()))
    shared = sorted(
        (n for n in names if words & set(re.findall(r"[a-z0-9]+", n.lower())) - {"node", "total"}),
        key=lambda n: (-len(words & set(re.findall(r"[a-z0-9]+", n.lower()))), n),
    )
    close = difflib.get_close_matches(name, list(names), n=count, cutoff=0.6)
    return list(dict.fromkeys([*close, *shared]))[:count]


def _query(asked: Arguments, window: Window) -> str:
    parts = [f'metric="{asked.metric}"', f'statistic="{asked.statistic}"']
    if asked.statistic == "quantile":
        parts.append(f"quantile={asked.quantile:g}")
    parts.append(f'period="{times.iso(window)}"')
    if asked.limit is not None:
        parts.append(f"limit={asked.limit:g}")
    if asked.hosts:
        parts.append("hosts=[" + ", ".join(f'"{host}"' for host in asked.hosts) + "]")
    if asked.labels:
        parts.append(f"labels={asked.labels!r}")
    if asked.order != "highest":
        parts.append(f'order="{asked.order}"')
    return f"statistics({', '.join(parts)})"
