"""Seeded series for profiling tests."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from lib.frames import Series, to_ms

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def gauge() -> Series:
    return Series(1, 1, "node_load1", {"instance": "web-1"}, "web-1", "gauge")


@pytest.fixture
def counter() -> Series:
    return Series(2, 1, "node_network_receive_bytes_total", {"instance": "web-1"}, "web-1", "counter")


@pytest.fixture
def frame_of():
    """frame_of(value, step_s=60) ends at now; frame_of(value, ts_ms=…) takes timestamps."""

    def make(
        value: np.ndarray, step_s: float = 60, ts_ms: np.ndarray | None = None, series_id: int = 1
    ) -> pd.DataFrame:
        value = np.asarray(value, dtype=float)
        if ts_ms is None:
            ts_ms = to_ms(NOW) - (np.arange(value.size)[::-1] * step_s * 1000).astype(np.int64)
        ts = pd.to_datetime(np.asarray(ts_ms, dtype=np.int64), unit="ms", utc=True).astype("datetime64[ms, UTC]")
        return pd.DataFrame({"series_id": np.int32(series_id), "ts": ts, "value": value})

    return make
