"""The bundled simulated history at a fixed moment: 30 days of 10 hosts, with anomalies, forecasts and marks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from lib.app import App
from lib.auth.actor import SYSTEM
from lib.db.tables import Annotation, AnnotationKind, Detector, Source, SourceKind, User
from lib.demo import history
from lib.frames import Block, Window
from lib.store.findings import Anomaly, Findings
from lib.store.forecasts import Made

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)  # a Saturday
NAME = "simulated"
# What people marked: two deploys, a maintenance window.
MARKS = (
    (AnnotationKind.DEPLOY, "2026-03-11T11:00", None, "api 2.3", ""),
    (AnnotationKind.DEPLOY, "2026-03-13T15:00", None, "web 4.1", ""),
    (AnnotationKind.MAINTENANCE, "2026-03-02T03:00", "2026-03-02T05:00", "new certificate", "db-02"),
)
# Forecasts that were made at noon: metric, host, further labels, change a day in its unit, band.
FORECASTS = (
    ("node_filesystem_avail_bytes", "db-01", {"mountpoint": "/var/lib/db"}, -2.0e10, 4.0e9),
    ("node_filesystem_avail_bytes", "web-01", {"mountpoint": "/"}, -1.0e8, 1.0e8),
    ("node_load1", "web-01", {}, 0.05, 0.3),
    ("node_load1", "db-02", {}, -0.02, 0.4),
    ("queue_depth", "batch-01", {}, 3.0, 6.0),
    ("node_memory_MemAvailable_bytes", "cache-01", {}, -2.0e8, 3.0e8),
)
STEP_S, STEPS = 3600, 7 * 24
_SEVERITIES = ("critical", "major", "minor", "warning")


@dataclass(frozen=True)
class DemoWorld:
    """blocks: exactly what was stored. anomalies: with their ids. forecasts: one row a point, as it was stored."""

    app: App
    blocks: tuple[Block, ...]
    anomalies: tuple[Anomaly, ...]
    forecasts: pd.DataFrame
    operator: int


def build_demo(app: App, scratch: Path) -> DemoWorld:
    """Fill an app's store. scratch: a folder for what is handed over as Parquet."""
    with app.database.session() as session:
        source = Source(name="demo", kind=SourceKind.DEMO, url=NAME, enabled=False)
        person = User(username="operator", password_hash="", role="operator")
        session.add_all([source, person])
        session.flush()
        source_id, operator = source.id or 0, person.id or 0
    blocks = tuple(_until_now(block) for block in history.blocks(NAME, NOW))
    app.samples.append(source_id, blocks)
    hosts = sorted(app.samples.hosts()["host"])
    with app.database.session() as session:
        for number, host in enumerate(hosts):
            series = [one.id for one in app.samples.find(host=host)]
            at = NOW - timedelta(days=1, hours=number)
            session.add(
                Detector(
                    source_id=source_id,
                    host=host,
                    name=host,
                    version=1 + number % 3,
                    series_ids=series,
                    created_at=at,
                    trained_from=NOW - timedelta(days=30),
                    trained_until=at,
                )
            )
        for kind, start, end, text, host in MARKS:
            session.add(
                Annotation(
                    source_id=None,
                    host=host,
                    kind=kind,
                    start_at=_utc(start),
                    end_at=_utc(end) if end else None,
                    text=text,
                    created_by="operator",
                    created_at=_utc(start),
                )
            )
    anomalies = tuple(Findings(app.store).save_anomalies(_anomalies(app, source_id)))
    forecasts = _forecasts(app, source_id, scratch)
    return DemoWorld(app, blocks, anomalies, forecasts, operator)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _until_now(block: Block) -> Block:
    kept = int(np.searchsorted(block.ts_ms, int(NOW.timestamp() * 1000)))
    return Block(block.metric, block.labels, block.ts_ms[:kept], block.value[:kept])


def _anomalies(app: App, source_id: int) -> list[Anomaly]:
    """Every incident that is written into the history, as a detector that finds them all would report it."""
    made = []
    for number, incident in enumerate(history.incidents(NAME, NOW)):
        found = app.samples.find(metric=incident.metrics[0], host=incident.host)
        span = incident.end - incident.start
        actual, low, high = 80.0 + number, 20.0 + number, 41.0 + number
        title = incident.metrics[0]
        most = {"title": title, "metric": title, "unit": "", "share": 0.5 + number / 100, "actual": actual}
        most |= {"expected": (low + high) / 2, "low": low, "high": high, "outside": True}
        made.append(
            Anomaly(
                detector_id=1,
                source_id=source_id,
                host=incident.host,
                start_ts=incident.start,
                peak_ts=incident.start + span / 3,
                end_ts=incident.end if incident.end < NOW else None,
                score=3.0 + number * 0.7,
                confidence=0.90 + number / 250,
                severity=_SEVERITIES[(number * 7) % 4],
                series_id=found[0].id if found else None,
                actual=actual,
                expected=(low + high) / 2,
                low=low,
                high=high,
                explanation={"sentence": f"{title} was unusual.", "contributors": [most]},
            )
        )
    return made


def _forecasts(app: App, source_id: int, scratch: Path) -> pd.DataFrame:
    frames = []
    for number, (metric, host, labels, slope, band) in enumerate(FORECASTS):
        series = next(
            one
            for one in app.samples.find(metric=metric, host=host)
            if all(one.labels.get(key) == value for key, value in labels.items())
        )
        last = float(app.samples.read([series.id], Window(NOW - timedelta(hours=6), NOW))["value"].iloc[-1])
        hours = np.arange(STEPS)
        middle = last + slope * (hours + 1) / 24
        wide = band * np.sqrt(1 + hours / 24)
        ts = pd.to_datetime(NOW) + pd.to_timedelta(hours, unit="h")
        points = pd.DataFrame({"ts": ts, "middle": middle, "low95": middle - wide, "high95": middle + wide})
        path = scratch / f"forecast{number}.parquet"
        rows = points.assign(
            ts_ms=[int(moment.timestamp() * 1000) for moment in ts],
            low80=middle - wide / 1.5,
            high80=middle + wide / 1.5,
        )
        # DuckDB writes it, so that nothing here depends on how our own jobs do.
        with duckdb.connect() as writer:
            writer.register("rows", rows[["ts_ms", "low95", "low80", "middle", "high80", "high95"]])
            writer.execute(f"COPY rows TO '{path}' (FORMAT parquet)")
        made = Made(
            source_id=source_id,
            series_id=series.id,
            made_at=NOW - timedelta(minutes=5),
            made_by=SYSTEM.name,
            start_at=NOW,
            step_s=STEP_S,
            steps=STEPS,
            model="seasonal",
            last=last,
            asked={},
            card={},
        )
        app.forecasting.store.save(made, path)
        frames.append(points.assign(metric=metric, host=host, mountpoint=labels.get("mountpoint", ""), last=last))
    return pd.concat(frames, ignore_index=True)
