"""What chat's tools may see, bound to the use cases as the person who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from lib.auth.actor import Actor, Permission
from lib.chat.tools.data import Changed, Data, Forecast, Proposal, Reading, Summed
from lib.frames import Series, Window
from lib.services.assistant_commands import Commands
from lib.services.changes import Changes
from lib.services.collection import Collection
from lib.services.detection import Detection
from lib.services.exploration import Exploration
from lib.services.forecasting import Forecasting
from lib.services.querying import Limits, Querying

# About half a second of reading and 50 MB; beyond it samples are averaged over buckets first.
MAX_SAMPLES = 1_500_000
# More anomalies than this in one window nobody reads; counts would be wrong beyond it, so it is large.
MAX_ANOMALIES = 100_000
MOST_CHANGES = 50
# A chat answer shows a handful of rows, and somebody waits for it.
SQL_LIMITS = Limits(seconds=10.0, rows=1000)
_STEPS_S = (30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)


@dataclass(frozen=True)
class Sight:
    """The use cases chat answers from."""

    exploration: Exploration
    detection: Detection
    collection: Collection
    changes: Changes
    forecasting: Forecasting
    querying: Querying
    commands: Commands

    def bind(self, actor: Actor, now: datetime) -> Data:
        """Tools' callables; each checks the actor's rights again where it reads."""
        exploration, detection = self.exploration, self.detection

        def explain(anomaly_id: int) -> Mapping[str, Any]:
            told = detection.explain(actor, anomaly_id)
            nearby = [
                {"at": n.at, "kind": n.kind, "text": n.text, "when": n.when(told["start_ts"])} for n in told["nearby"]
            ]
            peers = told["peers"]
            sentence = peers.sentence(told["actual"], told["unit"]) if peers is not None else ""
            return {**told, "nearby": nearby, "peers": sentence}

        def anomalies(window: Window, host: str | None) -> pd.DataFrame:
            return detection.anomalies(actor, window, host=host, limit=MAX_ANOMALIES)

        def quality(series: Sequence[Series], window: Window) -> pd.DataFrame:
            actor.require(Permission.VIEW)
            return exploration.readings.quality([one.id for one in series], window)

        def pauses(series: Sequence[Series], window: Window) -> pd.DataFrame:
            actor.require(Permission.VIEW)
            return exploration.readings.pauses([one.id for one in series], window)

        def query(sql: str) -> tuple[pd.DataFrame, bool]:
            found = self.querying.run(actor, sql, SQL_LIMITS)
            return found.frame, found.truncated

        def propose(action: str, arguments: Mapping[str, Any], summary: str) -> Proposal:
            row = self.commands.propose(actor, action, arguments, summary)
            return Proposal(row.id or 0, row.digest, row.expires_at)

        return Data(
            now=now,
            metrics=lambda: exploration.metrics(actor),
            hosts=lambda: exploration.hosts(actor),
            sources=lambda: self._sources(actor),
            find=lambda metric, host: exploration.find(actor, metric=metric, host=host),
            read=lambda series, window: self._read(actor, series, window),
            quality=quality,
            pauses=pauses,
            anomalies=anomalies,
            explain=explain,
            detectors=lambda: len(detection.detectors(actor)),
            models=lambda: self._models(actor),
            marks=lambda window: self._marks(actor, window),
            forecast=lambda series_id: self._forecast(actor, series_id),
            changed=lambda window, host: self._changed(actor, window, host),
            query=query,
            propose=propose,
            expired=lambda window: exploration.expired_until(actor, window),
            summed=lambda series, window: self._summed(actor, series, window),
        )

    def _read(self, actor: Actor, series: Sequence[Series], window: Window) -> Reading:
        actor.require(Permission.VIEW)
        ids = [one.id for one in series]
        extent = self.exploration.readings.extent(ids, window)
        rows = int(extent["count"].sum())
        if rows <= MAX_SAMPLES:
            return Reading(self.exploration.samples.read(ids, window))
        span_s = (extent["last"].max() - extent["first"].min()).total_seconds()
        step_s = next((s for s in _STEPS_S if span_s / s * len(ids) <= MAX_SAMPLES), _STEPS_S[-1])
        frame = self.exploration.samples.buckets(ids, window, step_s)
        counters = {one.id for one in series if one.kind == "counter"}
        value = frame["mean"].where(~frame["series_id"].isin(counters), frame["last"])
        return Reading(frame[["series_id", "ts"]].assign(value=value), step_s)

    def _summed(self, actor: Actor, series: Sequence[Series], window: Window) -> Summed | None:
        found = self.exploration.totals(actor, series, window)
        return Summed(found.table, found.window, found.slot_ms / 1000, found.until) if found is not None else None

    def _sources(self, actor: Actor) -> pd.DataFrame:
        rows = [(one.id, one.name, str(one.kind), str(one.state)) for one in self.collection.status(actor)]
        return pd.DataFrame(rows, columns=["id", "name", "kind", "state"])

    def _models(self, actor: Actor) -> pd.DataFrame:
        rows = [
            {
                "id": row.id,
                "host": row.host,
                "version": row.version,
                "trained_at": row.created_at,
                "trained_from": row.trained_from,
                "trained_until": row.trained_until,
                "series": len(row.series_ids),
            }
            for row in self.detection.detectors(actor)
        ]
        columns = ["id", "host", "version", "trained_at", "trained_from", "trained_until", "series"]
        return pd.DataFrame(rows, columns=columns)

    def _marks(self, actor: Actor, window: Window) -> list[dict[str, Any]]:
        return [
            {"start": m.start, "end": m.end, "kind": str(m.kind), "host": m.host, "text": m.text}
            for m in self.detection.annotations.marks(actor, window)
        ]

    def _forecast(self, actor: Actor, series_id: int) -> Forecast | None:
        made = self.forecasting.latest(actor, series_id)
        if made is None:
            return None
        return Forecast(
            id=made.id,
            series_id=series_id,
            made_at=made.made_at,
            model=made.model,
            window=Window(made.start_at, made.end_at),
            step_s=made.step_s,
            last=made.last,
            points=self.forecasting.store.points(made.id)[["ts", "low95", "middle", "high95"]],
        )

    def _changed(self, actor: Actor, window: Window, host: str | None) -> Changed:
        found = self.changes.compare(actor, window, host=host, limit=MOST_CHANGES, drawn=0)
        rows = [
            {
                "host": one.series.host,
                "metric": one.series.metric,
                "title": one.title,
                "before": one.before,
                "now": one.now,
                "unit": one.unit,
                "score": one.score,
                "reason": one.reason,
                "series_id": one.series.id,
            }
            for one in found.changes
        ]
        return Changed(rows, found.before, found.compared, found.above)
