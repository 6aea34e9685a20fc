"""Statistics of times whose samples have expired, where the sums that are kept of them say them exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lib.chat.measures import Measure, told_apart
from lib.chat.tools.data import Data, Outcome, Result, Summed
from lib.frames import Series, Window
from lib.profiling.words import duration

# What count, least, most and sum of some values say of them all; no quantile, deviation or share is among it.
EXACT = ("summary", "latest", "mean", "min", "max")


def known(data: Data, measure: Measure, statistic: str, series: Sequence[Series], window: Window) -> Summed | None:
    """Sums that answer exactly; None where no sample has expired, and where samples alone could tell."""
    if statistic != "increase" and (statistic not in EXACT or not measure.stored):
        return None
    return data.summed(series, window)


def honest(data: Data, result: Result) -> Result:
    """The result, which says so when samples of its time have expired: a number is then of those that are left."""
    if result.expiry_told or result.window is None or result.outcome is Outcome.ERROR:
        return result
    until = data.expired(result.window)
    if until is None:
        return result
    left = "this is of those after." if result.outcome is Outcome.OK else "charts on Explore show their sums."
    message = f"{result.message} Samples before {until:%Y-%m-%d %H:%M} UTC have expired; {left}".strip()
    return replace(result, message=message, expiry_told=True)


def about(summed: Summed, window: Window, statistic: str, formula: str) -> dict[str, Any]:
    """What a result says of numbers that come from sums: message, formula, and that with it all is told."""
    formula += f", from samples and sums of {duration(summed.slot_s)}"
    return {"message": _said(summed, window, statistic), "formula": formula, "expiry_told": True}


def _said(summed: Summed, window: Window, statistic: str) -> str:
    words = f"Samples before {summed.until:%Y-%m-%d %H:%M} UTC have expired; this is exact, from their sums"
    if summed.window != window:
        words += f", of {summed.window.start:%Y-%m-%d %H:%M} to {summed.window.end:%Y-%m-%d %H:%M} UTC"
    if statistic == "increase":
        return f"{words}: growth since the last sample before."
    if statistic in ("summary", "min", "max"):
        return f"{words}. Of an extreme in them the moment given is where its {duration(summed.slot_s)} begin."
    return f"{words}."


def rows(summed: Summed, series: Sequence[Series]) -> list[dict[str, Any]]:
    """One row a series that has numbers, as `statistics` has them, but for what sums do not know."""
    names, by_id = told_apart(series), {one.id: one for one in series}
    made = []
    for row in summed.table.itertuples():
        one = by_id[int(row.series_id)]
        made.append(
            {
                "host": one.host,
                "series": names[one.id],
                "latest": float(row.last),
                "latest_at": row.last_ts.to_pydatetime(),
                "mean": float(np.clip(row.total / row.count, row.min, row.max)),
                "min": float(row.min),
                "min_at": row.min_ts.to_pydatetime(),
                "max": float(row.max),
                "max_at": row.max_ts.to_pydatetime(),
                "count": int(row.count),
                "series_id": one.id,
            }
        )
    return sorted(made, key=lambda one: (one["host"], one["series"]))


def overall(found: Sequence[dict[str, Any]], statistic: str) -> dict[str, Any]:
    """The same over all of them."""
    table = pd.DataFrame(found)
    highest, lowest = table.loc[table["max"].idxmax()], table.loc[table["min"].idxmin()]
    made = {
        "mean": float((table["mean"] * table["count"]).sum() / table["count"].sum()),
        "min": float(lowest["min"]),
        "min_at": lowest["min_at"].to_pydatetime(),
        "min_host": lowest["host"],
        "max": float(highest["max"]),
        "max_at": highest["max_at"].to_pydatetime(),
        "max_host": highest["host"],
        "count": int(table["count"].sum()),
        "hosts": int(table["host"].nunique()),
    }
    if statistic == "latest":
        made["latest"] = float(table["latest"].mean())
        made["latest_at"] = table["latest_at"].max().to_pydatetime()
    return made


def by_host(summed: Summed, series: Sequence[Series]) -> pd.DataFrame:
    """host -> total and count of all samples of these series, increase of their counters."""
    hosts = {one.id: one.host for one in series}
    table = summed.table[summed.table["series_id"].isin(list(hosts))]
    return table.groupby(table["series_id"].map(hosts))[["total", "count", "increase"]].sum()
