"""What a chart of one watched quantity shows: values, expected band, scores, anomalies and, in the demo, the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from lib.demo import history as demo
from lib.features import channels as channel_plans
from lib.features.channels import Channel
from lib.features.grid import tabulate
from lib.frames import Window
from lib.services.annotations import Mark
from lib.services.detection_scoring import Loaded
from lib.store.samples import Samples


@dataclass(frozen=True)
class History:
    """points: ts, actual, low, expected, high, one row a bucket: its furthest moment, so that no peak is lost;
    NaN where nothing was seen. scores: ts, score, confidence, threshold. incidents: known in the demo only. marks: what
    people marked. gaps: where nothing was collected. trained: the span the detector learnt from."""

    channel: Channel
    host: str
    window: Window
    points: pd.DataFrame
    scores: pd.DataFrame
    anomalies: pd.DataFrame
    incidents: list[demo.Incident] = field(default_factory=list)
    events: list[demo.Event] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    gaps: list[Window] = field(default_factory=list)
    trained: Window | None = None


def points(one: Loaded, number: int, samples: Samples, window: Window, most: int) -> pd.DataFrame:
    """ts, actual, low, expected, high of one channel, at most `most` rows."""
    plan = one.detector.plan.only(number)
    lookback = one.step * (one.detector.spec.level_window + 2)
    frame = samples.read(list(plan.series_ids), Window(window.start - lookback, window.end))
    wanted = set(plan.series_ids)
    table = tabulate([s for s in one.series if s.id in wanted], frame, plan.grid)
    channels = channel_plans.assemble(plan, table)
    low, expected, high = one.detector.expect(number, channels)
    inside = (channels.ts_ms >= window.start.timestamp() * 1000) & (channels.ts_ms < window.end.timestamp() * 1000)
    columns = [channels.values[0], low, expected, high]
    kept = _furthest(columns[0][inside], columns[2][inside], most)
    made = {n: c[inside][kept] for n, c in zip(("actual", "low", "expected", "high"), columns, strict=True)}
    ts = pd.Series(channels.ts_ms[inside][kept].astype("datetime64[ms]")).dt.tz_localize("UTC")
    return pd.DataFrame({"ts": ts, **made})


def _furthest(actual: np.ndarray, expected: np.ndarray, most: int) -> np.ndarray:
    """Row numbers, one a bucket: where the value is furthest from what was expected; a bucket that is mostly gap
    stays a gap."""
    n = actual.size
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, most + 1).astype(int)
    away = np.abs(actual - expected)
    kept = []
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        part = away[a:b]
        if np.isfinite(part).mean() >= 0.5:
            kept.append(a + int(np.nanargmax(part)))
        else:
            missing = np.flatnonzero(~np.isfinite(actual[a:b]))
            kept.append(a + int(missing[0] if missing.size else 0))
    return np.array(kept)


def around(start: datetime, end: datetime) -> Window:
    """The span that shows an anomaly with enough of what came before to see the difference."""
    before = min(max((end - start) * 3, timedelta(minutes=15)), timedelta(days=2))
    after = min(max((end - start), timedelta(minutes=5)), timedelta(days=1))
    return Window(start - before, end + after)


def channel_number(channels: Sequence[Channel], series_id: int) -> int | None:
    """The channel a series belongs to: its own if it has one, else one it is part of."""
    own = [i for i, c in enumerate(channels) if c.members == (series_id,)]
    led = [i for i, c in enumerate(channels) if c.series_id == series_id]
    member = [i for i, c in enumerate(channels) if series_id in c.members]
    return next(iter(own + led + member), None)
