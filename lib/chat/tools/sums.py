"""Statistics of times whose samples have expired, where the sums that are kept of them say them exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib.chat.measures import Measure, told_apart
from lib.chat.tools.data import Data, Summed
from lib.frames import Series, Window
from lib.profiling.words import duration

# What count, least, most and sum of some values say of them all; no quantile, deviation or share is among it.
EXACT = ("summary", "latest", "mean", "min", "max")


def known(data: Data, measure: Measure, statistic: str, series: Sequence[Series], window: Window) -> Summed | None:
    """Sums that answer exactly; None where no sample has expired, and where samples alone could tell."""
    if statistic != "increase" and (statistic not in EXACT or not measure.stored):
        return None
    return data.summed(series, window)


def said(summed: Summed, window: Window, growth: bool = False) -> str:
    """What a reader has to know of numbers that come from sums."""
    words = f"Samples before {summed.until:%Y-%m-%d %H:%M} UTC have expired; this is exact, from their sums"
    if summed.window != window:
        words += f", of {summed.window.start:%Y-%m-%d %H:%M} to {summed.window.end:%Y-%m-%d %H:%M} UTC"
    if growth:
        return f"{words}: growth since the last sample before."
    return f"{words}. Of an extreme in them the moment given is where its {duration(summed.slot_s)} begin."


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


def growth(summed: Summed, series: Sequence[Series]) -> dict[str, float]:
    """How much counters grew, by host."""
    hosts = {one.id: one.host for one in series}
    by_host = summed.table["increase"].groupby(summed.table["series_id"].map(hosts)).sum()
    return {str(host): float(grown) for host, grown in by_host.items()}
