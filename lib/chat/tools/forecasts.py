"""What is expected: the value at a time and when a limit is crossed, from forecasts that were made."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from lib.chat import measures
from lib.chat.measures import MEASURES, Measure
from lib.chat.tools.data import ROW_CAP, Data, Forecast, Outcome, Result, quoted
from lib.chat.tools.statistics import nearest, selector
from lib.forecast import capacity
from lib.forecast.capacity import Side, State
from lib.frames import Series, Window, from_ms
from lib.profiling.times import unix_ms

# More series than this in one answer nobody reads; with none made each is a look-up.
MOST_SERIES = 60
# How far back the size of a disk or of the memory is looked for.
LOOK_BACK = timedelta(days=2)


class Arguments(BaseModel):
    """What `forecast` takes."""

    model_config = ConfigDict(extra="forbid")

    metric: str = Field(min_length=1, max_length=200, description="Exact metric name, or a measure of one metric.")
    hosts: list[str] = Field(default_factory=list, max_length=50, description="Only these hosts. Empty: all.")
    labels: str = Field("", max_length=300, description='Only series with these labels, like mountpoint="/".')
    at: str = Field("", max_length=100, description="The moment, ISO 8601. Empty: the highest, lowest, mean of it all.")
    until: str = Field("", max_length=100, description="With `at`: the end of a period that begins there.")
    limit: float | None = Field(None, description="When this value is crossed, in the unit of the metric.")
    side: Literal["above", "below", ""] = Field("", description="Which way it is crossed. Empty: wherever it lies.")


def run(data: Data, asked: Arguments) -> Result:
    """One row a series that has a forecast; NO_DATA says what to do when nobody made one."""
    found = _series(data, asked)
    if isinstance(found, Result):
        return found
    measure = MEASURES.get(asked.metric)
    unit = measure.unit if measure else measures.plain(found[0].metric, found[0].kind).unit
    try:
        at, until = (_when(text) for text in (asked.at, asked.until))
    except ValueError:
        return Result(Outcome.ERROR, f"The moment {(asked.until or asked.at)!r} is not understood; write ISO 8601.")
    made = [(one, forecast) for one in found[:MOST_SERIES] if (forecast := data.forecast(one.id)) is not None]
    formula = f"rate({found[0].metric})" if found[0].kind == "counter" else found[0].metric
    if measure is not None and len(measure.parts) == 2:
        formula = f"{measure.formula}, with the newest {measure.parts[1].metric}"
        made = _of_whole(data, measure, made)
    about: dict[str, Any] = {
        "query": quoted("forecast", asked.model_dump()),
        "source": found[0].metric,
        "unit": unit,
        "formula": formula,
        "links": {
            "series_ids": [one.id for one in found[:20]],
            "hosts": asked.hosts,
            "metric": found[0].metric,
            "forecast": True,
        },
    }
    if not made:
        where = f" on {', '.join(asked.hosts)}" if asked.hosts else ""
        told = f"No forecast of {found[0].metric}{where} has been made."
        return Result(Outcome.NO_DATA, told, values={"series": [one.id for one in found]}, **about)
    rows = [row for one, forecast in made if (row := _row(one, forecast, asked, at, until)) is not None]
    window = Window(min(f.window.start for _, f in made), max(f.window.end for _, f in made))
    if not rows:
        told = (
            f"The newest forecast of {found[0].metric} reaches from {window.start:%Y-%m-%d %H:%M} to "
            f"{window.end:%Y-%m-%d %H:%M} UTC, not to {asked.at or 'that time'}."
        )
        return Result(Outcome.NO_DATA, told, window=window, values={"series": [one.id for one in found]}, **about)
    rows.sort(key=_urgency if asked.limit is not None else lambda row: -row["middle"])
    return Result(
        Outcome.OK,
        rows=tuple(rows[:ROW_CAP]),
        total=len(rows),
        values={"forecasts": len(rows), "confidence_percent": 95},
        samples=sum(row["points"] for row in rows),
        window=window,
        **about,
    )


def _series(data: Data, asked: Arguments) -> list[Series] | Result:
    names = set(data.metrics()["metric"])
    metric = asked.metric
    if metric in MEASURES:
        measure = MEASURES[metric]
        if measure.across or measure.share or measure.key == "disk_busy":
            told = f"{measure.title} is computed from several series of {' and '.join(measure.metrics)}"
            return Result(Outcome.ERROR, f"{told}; forecasts are of single stored series, like node_load1.")
        metric = measure.metrics[0]
    if metric not in names:
        hint = ", ".join(nearest(metric, names))
        return Result(Outcome.ERROR, f"No metric {metric!r} is stored. The nearest are: {hint}.")
    known = set(data.hosts()["host"])
    if unknown := [host for host in asked.hosts if host not in known]:
        return Result(Outcome.ERROR, f"No host {unknown[0]!r} is stored.")
    wanted = selector(asked.labels) or {}
    everywhere: list[str | None] = [None]
    found = [
        one
        for host in (asked.hosts or everywhere)
        for one in data.find(metric, host)
        if all(one.labels.get(k) == v for k, v in wanted.items())
    ]
    return found or Result(Outcome.NO_DATA, f"No series of {metric} like that is stored.")


def _of_whole(data: Data, measure: Measure, made: list[tuple[Series, Forecast]]) -> list[tuple[Series, Forecast]]:
    """Forecasts of what is left, as the share that is used of the whole as it is now."""
    turned = []
    for one, forecast in made:
        whole = [
            other
            for other in data.find(measure.parts[1].metric, one.host)
            if all(other.labels.get(key) == value for key, value in one.labels.items() if key != "__name__")
        ]
        frame = data.read(whole[:1], Window(data.now - LOOK_BACK, data.now)).frame if whole else None
        if frame is None or frame.empty or not (size := float(frame["value"].iloc[-1])):
            continue
        used = forecast.points.assign(
            middle=100 * (1 - forecast.points["middle"] / size),
            low95=100 * (1 - forecast.points["high95"] / size),
            high95=100 * (1 - forecast.points["low95"] / size),
        )
        turned.append((one, replace(forecast, points=used, last=100 * (1 - forecast.last / size))))
    return turned


def _when(text: str) -> datetime | None:
    return pd.Timestamp(text).tz_convert("UTC").to_pydatetime() if text else None


def _row(
    one: Series, forecast: Forecast, asked: Arguments, at: datetime | None, until: datetime | None
) -> dict[str, Any] | None:
    points, window = forecast.points, forecast.window
    told = {k: v for k, v in one.labels.items() if k in ("device", "mountpoint", "mode", "cpu", "code")}
    made: dict[str, Any] = {
        "host": one.host,
        "series": ", ".join(f'{k}="{v}"' for k, v in sorted(told.items())),
        "made_at": forecast.made_at,
        "model": forecast.model,
        "forecast_id": forecast.id,
        "points": len(points),
        "until": window.end,
    }
    if asked.limit is not None:
        return made | _crossing(forecast, asked.limit, asked.side)
    if at is not None and until is None:
        step = np.timedelta64(forecast.step_s * 1000, "ms")
        begins = points["ts"].to_numpy("datetime64[ms]")
        moment = np.datetime64(int(at.timestamp() * 1000), "ms")
        inside = np.flatnonzero((begins <= moment) & (moment < begins + step))
        if not inside.size:
            return None
        points = points.iloc[inside[:1]]
        made["at"] = at
    elif at is not None:
        points = points[(points["ts"] >= at) & (points["ts"] < (until or at))]
        if points.empty:
            return None
    highest, lowest = points.loc[points["middle"].idxmax()], points.loc[points["middle"].idxmin()]
    return made | {
        "middle": float(points["middle"].mean()),
        "low95": float(points["low95"].min()),
        "high95": float(points["high95"].max()),
        "max": float(highest["middle"]),
        "max_at": pd.Timestamp(highest["ts"]).to_pydatetime(),
        "min": float(lowest["middle"]),
        "min_at": pd.Timestamp(lowest["ts"]).to_pydatetime(),
        "start": pd.Timestamp(points["ts"].iloc[0]).to_pydatetime(),
    }


def _crossing(forecast: Forecast, limit: float, side: str) -> dict[str, Any]:
    points = forecast.points
    found = capacity.crossing(
        limit,
        Side(side) if side else capacity.side_of(limit, forecast.last),
        forecast.last,
        unix_ms(points["ts"]),
        *(points[name].to_numpy() for name in ("low95", "middle", "high95")),
    )
    moments = {"earliest": found.earliest_ms, "likely": found.likely_ms, "latest": found.latest_ms}
    return {
        "state": found.state.value,
        "side": found.side.value,
        "limit": limit,
        "last": forecast.last,
        **{name: None if ms is None else from_ms(ms) for name, ms in moments.items()},
    }


def _urgency(row: dict[str, Any]) -> tuple[int, float]:
    order = [State.ALREADY.value, State.CROSSES.value, State.MAY.value, State.NOT_WITHIN.value]
    soonest = row["likely"] or row["earliest"]
    return order.index(row["state"]), soonest.timestamp() if soonest else 0.0
