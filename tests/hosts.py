"""A host with a daily rhythm, and faults on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from lib.frames import Series

START_MS = 1_772_323_200_000  # 2026-03-01 00:00 UTC, a Sunday


@dataclass
class Host:
    series: list[Series]
    ts_ms: np.ndarray
    values: np.ndarray  # (series, n)

    @property
    def frame(self) -> pd.DataFrame:
        n = self.ts_ms.size
        return pd.DataFrame(
            {
                "series_id": np.repeat(np.array([s.id for s in self.series], dtype=np.int32), n),
                "ts": pd.Series(np.tile(self.ts_ms, len(self.series)).astype("datetime64[ms]")).dt.tz_localize("UTC"),
                "value": self.values.ravel(),
            }
        )


@pytest.fixture
def host() -> Callable[..., Host]:
    """host(days=7, step_s=300, seed=1): four gauges that follow one load, a counter of requests, one of errors."""

    def make(days: float = 7, step_s: int = 300, seed: int = 1) -> Host:
        rng = np.random.default_rng(seed)
        n = int(days * 86400 / step_s)
        ts = START_MS + np.arange(n, dtype=np.int64) * step_s * 1000
        load = 50 + 30 * np.sin(2 * np.pi * (ts % 86_400_000) / 86_400_000) + rng.normal(0, 2, n)
        names = ["node_load1", "queue_depth", "latency_milliseconds", "node_memory_Cached_bytes"]
        rows = [
            load / 20 + rng.normal(0, 0.1, n),
            np.abs(load / 5 + rng.normal(0, 1, n)),
            20 + load / 10 + rng.normal(0, 0.5, n),
            4e9 + rng.normal(0, 5e7, n),
        ]
        for name, rate in (("http_requests_total", load * 10), ("http_errors_total", np.full(n, 0.5))):
            names.append(name)
            rows.append(np.cumsum(np.maximum(rate + rng.normal(0, 0.05, n) * rate, 0)) * step_s)
        series = [
            Series(i + 1, 1, m, {"instance": "web-01"}, "web-01", "counter" if m.endswith("_total") else "gauge")
            for i, m in enumerate(names)
        ]
        return Host(series, ts, np.array(rows))

    return make
