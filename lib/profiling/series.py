"""What one series is like: when it was seen, how it behaves, and what about it deserves attention."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd

from lib.frames import Series, Window, from_ms
from lib.profiling import shape
from lib.profiling.alerts import of_series
from lib.profiling.gaps import find_gaps, missing_count, typical_interval_ms
from lib.profiling.profiles import SeriesProfile
from lib.profiling.rates import rate
from lib.profiling.times import unix_ms
from lib.profiling.units import unit_of


def is_stale(age_s: float, interval_s: float | None) -> bool:
    """Two missed samples and a bit of patience: more than three intervals, and more than two minutes."""
    return age_s > max(3 * (interval_s or 0.0), 120.0)


def profile(
    series: Series, frame: pd.DataFrame, window: Window, now: datetime, *, truncated: bool = False
) -> SeriesProfile:
    """Everything there is to say about the samples of one series.

    frame: series_id, ts, value of this series in `window`, sorted by ts. truncated: older samples were left out.
    """
    unit = unit_of(series.metric, series.kind)
    if frame.empty:
        found = SeriesProfile(series, unit, window, 0)
        return replace(found, alerts=of_series(found))
    ts_ms = unix_ms(frame["ts"])
    value = frame["value"].to_numpy(dtype=np.float64)
    repeated = np.concatenate(([False], np.diff(ts_ms) == 0))
    ts_ms, value = ts_ms[~repeated], value[~repeated]
    finite = np.isfinite(value)
    interval_ms = typical_interval_ms(ts_ms)
    age_s = (now - from_ms(int(ts_ms[-1]))).total_seconds()
    if series.kind == "counter":
        shown_ts, shown, resets = rate(ts_ms, value)
    else:
        shown_ts, shown, resets = ts_ms[finite], value[finite], 0
    found = SeriesProfile(
        series=series,
        unit=unit,
        window=window,
        count=int(ts_ms.size),
        first=from_ms(int(ts_ms[0])),
        last=from_ms(int(ts_ms[-1])),
        last_value=float(value[finite][-1]) if finite.any() else None,
        interval_s=interval_ms / 1000 if interval_ms else None,
        age_s=age_s,
        stale=is_stale(age_s, interval_ms / 1000 if interval_ms else None),
        gaps=tuple(find_gaps(ts_ms)),
        missing=missing_count(ts_ms),
        nan=int(np.isnan(value).sum()),
        infinite=int(np.isinf(value).sum()),
        duplicates=int(repeated.sum()),
        resets=resets,
        constant=bool(finite.sum() > 1 and np.ptp(value[finite]) == 0),
        distribution=shape.distribution(shown),
        trend=shape.trend(shown_ts, shown),
        rhythm=shape.rhythm(shown_ts, shown),
        truncated=truncated,
    )
    return replace(found, alerts=of_series(found))
