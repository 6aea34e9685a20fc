"""Timestamps of frames as plain numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd


def unix_ms(column: pd.Series | pd.DatetimeIndex | np.ndarray) -> np.ndarray:
    """Unix milliseconds, int64, of timestamps with or without zone (then UTC); numbers are taken as such already."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "iuf":
        return column.astype(np.int64)
    index = pd.DatetimeIndex(column)
    if index.tz is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    return index.to_numpy().astype("datetime64[ms]").astype(np.int64)
