"""One thing against another: two windows, before and after a time, the host that differs, two metrics together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from lib.chat import measures, times
from lib.chat.measures import Measure
from lib.chat.tools import statistics, sums
from lib.chat.tools.data import ROW_CAP, Data, Outcome, Result, quoted
from lib.frames import Series, Window

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


@dataclass(frozen=True)
class _Side:
    """What a name stands for: a measure, and its series."""

    measure: Measure
    series: list[Series]


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
        results.append(sums.honest(data, statistics.run(data, one)))
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
    told = zip(("first", "second"), (one.message for one in results), strict=True)
    return Result(
        Outcome.OK,
        " ".join(f"Of the {name} period: {message}" for name, message in told if message),
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
        formula=f"{asked.statistic} of {first.formula}"
        + (f"; {second.formula}" if second.formula != first.formula else " in each window"),
        source=first.source,
        links={**first.links},
        expiry_told=True,
    )


def run_odd(data: Data, asked: OddArguments) -> Result:
    """Hosts by how far their mean is from the middle of all hosts' means, the farthest first."""
    found = _found(data, asked.period, asked.hosts, asked.metric)
    if isinstance(found, Result):
        return found
    (side,), window, about = found
    measure = side.measure
    about["query"] = quoted("odd_one_out", {**asked.model_dump(), "period": times.iso(window)})
    about["formula"] = f"distance of each host's mean of {measure.formula} from the median of the hosts' means"
    if (summed := sums.known(data, measure, "mean", side.series, window)) is not None:
        hosts = sums.by_host(summed, side.series)
        means, samples = hosts["total"] / hosts["count"], int(hosts["count"].sum())
        about |= sums.about(summed, window, "mean", about["formula"])
    else:
        frame = _values(data, side, window, about)
        if isinstance(frame, Result):
            return frame
        means, samples = frame.groupby("host")["value"].mean(), len(frame)
    if len(means) < 3:
        told = f"Only {len(means)} of the hosts have {measure.title} then; telling the odd one out takes three."
        return Result(Outcome.NO_DATA, **{**about, "message": f"{told} {about.get('message', '')}".strip()})
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
        samples=samples,
        **about,
    )


def run_correlation(data: Data, asked: CorrelationArguments) -> Result:
    """Pearson's r of two things at the same moments, a row a host, the strongest first."""
    found = _found(data, asked.period, asked.hosts, asked.metric, asked.other)
    if isinstance(found, Result):
        return found
    (left, right), window, about = found
    about["query"] = quoted("correlation", {**asked.model_dump(), "period": times.iso(window)})
    about["formula"] = f"Pearson's r of {left.measure.formula} and {right.measure.formula}"
    joined = _joined(data, left, right, window, about)
    if isinstance(joined, Result):
        return joined
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
    found = _found(data, asked.period, asked.hosts, asked.metric, asked.other)
    if isinstance(found, Result):
        return found
    (left, right), window, about = found
    about["query"] = quoted("ratio", {**asked.model_dump(), "period": times.iso(window)})
    about["formula"] = f"mean({left.measure.formula}) / mean({right.measure.formula})"
    totals = _totals(data, left, right, window, about)
    if isinstance(totals, Result):
        return totals
    first, second = totals["total"] / totals["count"], totals["other_total"] / totals["other_count"]
    rows = [
        {"host": host, "ratio": float(first[host] / second[host]), "first": first[host], "second": second[host]}
        for host in totals.index
        if second[host]
    ]
    if not rows:
        return Result(Outcome.NO_DATA, "The second of the two is zero then, so there is no ratio.", **about)
    rows.sort(key=lambda row: -row["ratio"])
    whole = totals.sum()
    overall = whole["other_total"] / whole["other_count"]
    ratio = float(whole["total"] / whole["count"] / overall) if overall else None
    return Result(
        Outcome.OK,
        rows=tuple(rows[:ROW_CAP]),
        total=len(rows),
        values={"ratio": ratio, "same_unit": left.measure.unit == right.measure.unit},
        **about,
    )


def _found(
    data: Data, period: str, hosts: Sequence[str], *metrics: str
) -> tuple[list[_Side], Window, dict[str, Any]] | Result:
    window = times.window_of(period, data.now)
    if window is None:
        return Result(Outcome.ERROR, f"The period {period!r} is not understood, or lies in the future.")
    sides: list[_Side] = []
    for metric in metrics:
        found = statistics.find(data, statistics.Arguments(metric=metric, hosts=list(hosts)))
        if isinstance(found, Result):
            return found
        sides.append(_Side(*found))
    first = sides[0]
    about: dict[str, Any] = {
        "window": window,
        "source": ", ".join(dict.fromkeys(name for side in sides for name in side.measure.metrics)),
        "links": {
            "series_ids": [one.id for one in first.series[:20]],
            "hosts": list(hosts),
            "metric": first.measure.metrics[0],
        },
    }
    return sides, window, about


def _values(data: Data, side: _Side, window: Window, about: dict[str, Any]) -> pd.DataFrame | Result:
    reading = data.read(side.series, window)
    frame = measures.values(side.measure, side.series, reading.frame)
    if frame.empty:
        return statistics.nothing(data, side.measure, window, about)
    averaged = f", averaged over {reading.step_s:g} s" if reading.step_s else ""
    if averaged not in about["formula"]:
        about["formula"] += averaged
    return frame


def _joined(data: Data, left: _Side, right: _Side, window: Window, about: dict[str, Any]) -> pd.DataFrame | Result:
    """host, ts, value, other at moments both have; series of one host averaged."""
    frames = []
    for side in (left, right):
        frame = _values(data, side, window, about)
        if isinstance(frame, Result):
            return frame
        frames.append(frame)
    step = max(_step(frame) for frame in frames)
    # Scrapes of two exporters differ by seconds: what falls into one step belongs together.
    first, second = (_floored(frame, step) for frame in frames)
    joined = first.merge(second.rename(columns={"value": "other"}), on=["host", "ts"])
    return joined if len(joined) else _apart(left, right, about)


def _apart(left: _Side, right: _Side, about: dict[str, Any]) -> Result:
    told = f"No host has {left.measure.title} and {right.measure.title} at the same time."
    return Result(Outcome.NO_DATA, told, **about)


def _totals(data: Data, left: _Side, right: _Side, window: Window, about: dict[str, Any]) -> pd.DataFrame | Result:
    """host -> total and count of the one, other_total and other_count of the other: where samples have expired of all
    there were, by their sums; else of moments both have."""
    grows = left.measure.grows and right.measure.grows
    exact = grows or (left.measure.stored and right.measure.stored)
    summed = data.summed([*left.series, *right.series], window) if exact else None
    if summed is None:
        joined = _joined(data, left, right, window, about)
        if isinstance(joined, Result):
            return joined
        about["samples"] = len(joined)
        grouped = joined.groupby("host")
        totals, sizes = grouped[["value", "other"]].sum(), grouped.size()
        totals = totals.rename(columns={"value": "total", "other": "other_total"})
        return totals.assign(count=sizes, other_count=sizes)
    formula = f"{about['formula']}, each of all its samples"
    if grows:
        # Of two counters it is the ratio of their growth, which sums know: the time it took is the same.
        formula = f"{left.measure.formula} / {right.measure.formula}".replace("rate(", "increase(")
    about |= sums.about(summed, window, "increase" if grows else "mean", formula)
    about["samples"] = int(summed.table["count"].sum())
    first, second = (sums.by_host(summed, side.series) for side in (left, right))
    totals = first.join(second.add_prefix("other_"), how="inner")
    if grows:
        totals = totals.assign(total=totals["increase"], other_total=totals["other_increase"], count=1, other_count=1)
    return totals if len(totals) else _apart(left, right, about)


def _step(frame: pd.DataFrame) -> int:
    steps = frame.groupby(["host", "part"])["ts"].diff().dropna()
    return max(int(steps.median()), 1) if len(steps) else 1


def _floored(frame: pd.DataFrame, step_ms: int) -> pd.DataFrame:
    slotted = frame.assign(ts=frame["ts"] // step_ms)
    return slotted.groupby(["host", "ts"], as_index=False)["value"].mean()
