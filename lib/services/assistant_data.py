"""What chat's tools may see, bound to the use cases as the person who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from lib.auth.actor import Actor, Permission
from lib.chat.tools.data import Data, Reading
from lib.frames import Series, Window
from lib.services.detection import Detection
from lib.services.exploration import Exploration

# About half a second of reading and 50 MB; beyond it samples are averaged over buckets first.
MAX_SAMPLES = 1_500_000
# More anomalies than this in one window nobody reads; counts would be wrong beyond it, so it is large.
MAX_ANOMALIES = 100_000
_STEPS_S = (30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)


def bind(exploration: Exploration, detection: Detection, actor: Actor, now: datetime) -> Data:
    """Tools' callables; each checks the actor's rights again where it reads."""

    def read(series: Sequence[Series], window: Window) -> Reading:
        actor.require(Permission.VIEW)
        ids = [one.id for one in series]
        extent = exploration.readings.extent(ids, window)
        rows = int(extent["count"].sum())
        if rows <= MAX_SAMPLES:
            return Reading(exploration.samples.read(ids, window))
        span_s = (extent["last"].max() - extent["first"].min()).total_seconds()
        step_s = next((s for s in _STEPS_S if span_s / s * len(ids) <= MAX_SAMPLES), _STEPS_S[-1])
        frame = exploration.samples.buckets(ids, window, step_s)
        counters = {one.id for one in series if one.kind == "counter"}
        value = frame["mean"].where(~frame["series_id"].isin(counters), frame["last"])
        return Reading(frame[["series_id", "ts"]].assign(value=value), step_s)

    def explain(anomaly_id: int) -> Mapping[str, Any]:
        return detection.explain(actor, anomaly_id)

    def anomalies(window: Window, host: str | None) -> pd.DataFrame:
        return detection.anomalies(actor, window, host=host, limit=MAX_ANOMALIES)

    return Data(
        now=now,
        metrics=lambda: exploration.metrics(actor),
        hosts=lambda: exploration.hosts(actor),
        find=lambda metric, host: exploration.find(actor, metric=metric, host=host),
        read=read,
        anomalies=anomalies,
        explain=explain,
        detectors=lambda: len(detection.detectors(actor)),
    )
