"""One thing against another: two windows, before and after a time, the host that differs, two metrics together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from lib.chat import measures, times
from lib.chat.measures import Measure
from lib.chat.tools import statistics
from lib.chat.tools.data import ROW_CAP, Data, Outcome, Result, quoted
from lib.frames import Window

# With fewer moments in common a correlation says nothing.
LEAST_MOMENTS = 10
_KEY = {"median": "q", "quantile": "q"}
_PERIOD = "Like 'yesterday', 'last 6 hours', or two ISO moments joined by a slash."


class WindowsArguments(BaseModel):
    """What `compare_windows` takes."""

    model_config = ConfigDict(extra="forbid")

    metric: str = Field(min_length=1, max_length=200, description="Exact metric name or measure, as for `statistics`.")
    statistic: Literal["mean", "min", "max", "median", "quantile", "stddev", "increase"] = "mean"
    quantile: float = Field(0.95, ge=0, le=1)
    first: str = Field(max_length=100, description="The earlier period. " + _PERIOD)
    second: str = Field(max_length=100, description="The later period. " + _PERIOD)
    hosts: list[str] = Field(default_factory=list, max_length=50, description="Only these hosts. Empty: all.")
    labels: str = Field("", max_length=300, description='Only series with these labels, like device="sda".')


class OddArguments(BaseModel):
    """What `odd_one_out` takes."""

    model_config = ConfigDict(extra="forbid")

    metric: str = Field(min_length=1, max_length=200, description="Exact metric name or measure, as for `statistics`.")
    period: str = Field("last 24 hours", max_length=100, description=_PERIOD)
    hosts: list[str] = Field(default_factory=list, max_length=50, description="Among these hosts. Empty: all.")


class CorrelationArguments(BaseModel):
    """What `correlation` takes."""

    model_config = ConfigDict(extra="forbid")

    metric: str = Field(min_length=1, max_length=200)
    other: str = Field(min_length=1, max_length=200)
    period: str = Field("last 24 hours", max_length=100, description=_PERIOD)
    hosts: list[str] = Field(default_factory=list, max_length=50, description="Only these hosts. Empty: all.")


class RatioArguments(CorrelationArguments):
    """What `ratio` takes: the mean of `metric` divided by the mean of `other`."""


def run_windows(data: Data, asked: WindowsArguments) -> Result:
    """The statistic in each window, how much it changed and by how much of the first; a row a host."""
    results = []
    for period in (asked.first, asked.second):
        one = statistics.Arguments(
            metric=asked.metric,
            statistic=asked.statistic,
            quantile=asked.quantile,
            period=period,
            hosts=asked.hosts,
            labels=asked.labels,
            top=ROW_CAP,
        )
        results.append(statistics.run(data, one))
    for result in results:
        if result.outcome is not Outcome.OK:
            return result
    first, second = results
    assert first.window is not None and second.window is not None
    key = _KEY.get(asked.statistic, asked.statistic)
    then, now = float(first.values[key]), float(second.values[key])
    by_host = [{row["host"]: row[key] for row in result.rows if not row.get("series")} for result in results]
    rows = [
        {"host": host, "first": by_host[0][host], "second": by_host[1][host], "change": by_host[1][host] - value}
        for host, value in by_host[0].items()
        if host in by_host[1]
    ]
    return Result(
        Outcome.OK,
        rows=tuple(sorted(rows, key=lambda row: -abs(row["change"]))[:ROW_CAP]),
        total=len(rows),
        values={
            "first": then,
            "second": now,
            "change": now - then,
            "change_percent": 100 * (now - then) / abs(then) if then else None,
            "first_start": first.window.start,
            "first_end": first.window.end,
            "second_start": second.window.start,
            "second_end": second.window.end,
        },
        unit=first.unit,
        samples=first.samples + second.samples,
        window=second.window,
        query=quoted(
            "compare_windows",
            {**asked.model_dump(), "first": times.iso(first.window), "second": times.iso(second.window)}
            | ({"quantile": None} if asked.statistic != "quantile" else {}),
        ),
        formula=f"{asked.statistic} of {first.formula} in each window",
        source=first.source,
        links={**first.links},
    )


def run_odd(data: Data, asked: OddArguments) -> Result:
    """Hosts by how far their mean is from the middle of all hosts' means, the farthest first."""
    got = _values(data, asked.metric, asked.period, asked.hosts)
    if isinstance(got, Result):
        return got
    measure, frame, window, about = got
    means = frame.groupby("host")["value"].mean()
    about["query"] = quoted("odd_one_out", {**asked.model_dump(), "period": times.iso(window)})
    about["formula"] = f"distance of each host's mean of {measure.formula} from the median of the hosts' means"
    if len(means) < 3:
        told = f"Only {len(means)} of the hosts have {measure.title} then; telling the odd one out takes three."
        return Result(Outcome.NO_DATA, told, **about)
    middle = float(means.median())
    away = (means - middle).abs().sort_values(ascending=False, kind="stable")
    spread = float((means - middle).abs().median())
    rows = [{"host": host, "mean": float(means[host]), "away": float(means[host]) - middle} for host in away.index]
    return Result(
        Outcome.OK,
        rows=tuple(rows[:ROW_CAP]),
        total=len(rows),
        values={"middle": middle, "hosts": len(means), "times": float(away.iloc[0] / spread) if spread else None},
        unit=measure.unit,
        samples=len(frame),
        **about,
    )


def run_correlation(data: Data, asked: CorrelationArguments) -> Result:
    """Pearson's r of two things at the same moments, a row a host, the strongest first."""
    pair = _pair(data, asked)
    if isinstance(pair, Result):
        return pair
    joined, _, about = pair
    about["query"] = quoted("correlation", {**asked.model_dump(), "period": times.iso(about["window"])})
    about["formula"] = f"Pearson's r of {about.pop('formula')}"
    rows = []
    for host, group in joined.groupby("host"):
        a, b = group["value"].to_numpy(), group["other"].to_numpy()
        if len(group) < LEAST_MOMENTS or not a.std() or not b.std():
            continue
        rows.append({"host": host, "r": float(np.corrcoef(a, b)[0, 1]), "moments": len(group)})
    if not rows:
        return Result(Outcome.NO_DATA, "There is too little in common, or one of the two never changes.", **about)
    rows.sort(key=lambda row: -abs(row["r"]))
    return Result(
        Outcome.OK,
        rows=tuple(rows[:ROW_CAP]),
        total=len(rows),
        values={"r": rows[0]["r"] if len(rows) == 1 else float(np.median([row["r"] for row in rows]))},
        samples=len(joined),
        **about,
    )


def run_ratio(data: Data, asked: RatioArguments) -> Result:
    """The mean of one thing divided by the mean of another, a row a host, the highest first."""
    pair = _pair(data, asked)
    if isinstance(pair, Result):
        return pair
    joined, units, about = pair
    about["query"] = quoted("ratio", {**asked.model_dump(), "period": times.iso(about["window"])})
    about["formula"] = "mean({}) / mean({})".format(*about.pop("formula").split(" and ", 1))
    means = joined.groupby("host")[["value", "other"]].mean()
    rows = [
        {"host": host, "ratio": float(row["value"] / row["other"]), "first": row["value"], "second": row["other"]}
        for host, row in means.iterrows()
        if row["other"]
    ]
    if not rows:
        return Result(Outcome.NO_DATA, "The second of the two is zero then, so there is no ratio.", **about)
    rows.sort(key=lambda row: -row["ratio"])
    whole = joined["other"].mean()
    return Result(
        Outcome.OK,
        rows=tuple(rows[:ROW_CAP]),
        total=len(rows),
        values={"ratio": float(joined["value"].mean() / whole) if whole else None, "same_unit": units[0] == units[1]},
        samples=len(joined),
        **about,
    )


def _values(
    data: Data, metric: str, period: str, hosts: Sequence[str]
) -> tuple[Measure, pd.DataFrame, Window, dict[str, Any]] | Result:
    window = times.window_of(period, data.now)
    if window is None:
        return Result(Outcome.ERROR, f"The period {period!r} is not understood, or lies in the future.")
    found = statistics.find(data, statistics.Arguments(metric=metric, hosts=list(hosts)))
    if isinstance(found, Result):
        return found
    measure, series = found
    frame = measures.values(measure, series, data.read(series, window).frame)
    about: dict[str, Any] = {
        "window": window,
        "source": ", ".join(measure.metrics),
        "links": {"series_ids": [s.id for s in series[:20]], "hosts": list(hosts), "metric": measure.metrics[0]},
    }
    if frame.empty:
        return statistics.nothing(data, measure, window, about)
    return measure, frame, window, about


def _pair(data: Data, asked: CorrelationArguments) -> tuple[pd.DataFrame, tuple[str, str], dict[str, Any]] | Result:
    """host, ts, value, other at moments both have; series of one host averaged."""
    sides = []
    for metric in (asked.metric, asked.other):
        got = _values(data, metric, asked.period, asked.hosts)
        if isinstance(got, Result):
            return got
        sides.append(got)
    (first, left, window, about), (second, right, _, _) = sides
    step = _step(left), _step(right)
    # Scrapes of two exporters differ by seconds: what falls into one step belongs together.
    frames = [_floored(frame, max(step)) for frame in (left, right)]
    joined = frames[0].merge(frames[1].rename(columns={"value": "other"}), on=["host", "ts"])
    about["formula"] = f"{first.formula} and {second.formula}"
    about["source"] = ", ".join(dict.fromkeys([*first.metrics, *second.metrics]))
    if joined.empty:
        told = f"No host has {first.title} and {second.title} at the same time."
        return Result(Outcome.NO_DATA, told, **{**about, "query": "correlation"})
    return joined, (first.unit, second.unit), about


def _step(frame: pd.DataFrame) -> int:
    steps = frame.groupby(["host", "part"])["ts"].diff().dropna()
    return max(int(steps.median()), 1) if len(steps) else 1


def _floored(frame: pd.DataFrame, step_ms: int) -> pd.DataFrame:
    slotted = frame.assign(ts=frame["ts"] // step_ms)
    return slotted.groupby(["host", "ts"], as_index=False)["value"].mean()
