"""Numbers of a few series whose readings are in memory, faster than a query for them is planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib.frames import Series
from lib.profiling.gaps import missing_count
from lib.profiling.rates import rate
from lib.profiling.times import unix_ms
from lib.profiling.units import unit_of


def at_hand(series: Sequence[Series], readings: pd.DataFrame) -> pd.DataFrame:
    """What the store's queries for statistics and for what is missing say, of readings at hand; a test compares.

    readings: series_id, ts, value, sorted. Counters as rate per second.
    """
    parts = dict(iter(readings.groupby("series_id", sort=False)))
    rows = [_summary(one, parts[one.id]) if one.id in parts else {} for one in series]
    peaks = np.array([row.get("peak_ts", "NaT") for row in rows], dtype="datetime64[ms]")
    return pd.DataFrame(
        {
            "series_id": np.array([one.id for one in series], dtype=np.int32),
            "count": np.array([row.get("count", 0) for row in rows], dtype=np.int64),
            **{
                name: np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
                for name in ("min", "mean", "max", "last", "p50", "p95")
            },
            "peak_ts": pd.DatetimeIndex(peaks).tz_localize("UTC"),
            "missing": np.array([row.get("missing", 0) for row in rows], dtype=np.int64),
            "unit": pd.Series([unit_of(one.metric, one.kind) for one in series], dtype="str"),
        }
    )


def _summary(series: Series, part: pd.DataFrame) -> dict[str, Any]:
    """What there is to say of one series' readings; without a reading only what is missing."""
    ts_ms, value = unix_ms(part["ts"]), part["value"].to_numpy(dtype=np.float64)
    finite = np.isfinite(value)
    missing = missing_count(ts_ms) + int((~finite).sum())
    ts_ms, value = ts_ms[finite], value[finite]
    weight = np.ones(value.size)
    if series.kind == "counter":
        known, value, _ = rate(ts_ms, value)
        # A rate stands for the step that ends at it.
        weight = np.diff(ts_ms)[np.searchsorted(ts_ms[1:], known)]
        ts_ms = known
    if not value.size:
        return {"missing": missing}
    least, most = float(value.min()), float(value.max())
    with np.errstate(over="ignore"):
        mean = float((value * weight).sum() / weight.sum())
    p50, p95 = np.quantile(value, (0.5, 0.95)).tolist()
    return {
        "count": value.size,
        "min": least,
        "mean": min(max(mean, least), most),
        "max": most,
        "last": float(value[-1]),
        "p50": p50,
        "p95": p95,
        "peak_ts": np.datetime64(int(ts_ms[value.argmax()]), "ms"),
        "missing": missing,
    }
