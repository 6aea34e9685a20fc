"""Training as a task: what the app does before the child starts and after it has left a detector behind."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from sqlmodel import col, select

from lib.auth.actor import Actor
from lib.db.database import Database
from lib.db.tables import Detector as DetectorRow
from lib.db.tables import Source, Task, TaskStatus
from lib.errors import NotEnoughData, NotFound
from lib.frames import Series, Window, to_ms
from lib.registry.files import Registry
from lib.services.annotations import Annotations
from lib.services.detection_findings import anomaly_of
from lib.services.detection_jobs import FOUND, GROUPS, SAMPLES
from lib.services.detection_labels import Labels
from lib.services.detection_scoring import Scoring
from lib.store.findings import Anomaly
from lib.store.samples import Samples
from lib.store.summaries import expired_until
from lib.tasks.job import JobKind
from lib.tasks.runner import Runner

log = logging.getLogger(__name__)

KIND = "detect.train"
DEFAULT_SPAN = timedelta(days=30)
# Samples of one group a child reads at most: about 300 MB while they are put on a grid. Longer spans are shortened.
MOST_SAMPLES = 6_000_000
KEPT_VERSIONS = 3
MOST_SERIES = 10_000


class Training:
    """Submits training and takes what it leaves: the artefact into the registry, the findings into the store."""

    def __init__(
        self,
        database: Database,
        samples: Samples,
        runner: Runner,
        registry: Registry,
        scoring: Scoring,
        labels: Labels,
        annotations: Annotations,
        clock: Callable,
    ) -> None:
        self.database, self.samples, self.runner = database, samples, runner
        self.registry, self.scoring, self.clock = registry, scoring, clock
        self.labels, self.annotations = labels, annotations
        runner.register(
            JobKind(KIND, "lib.services.detection_jobs:train", prepare=self.prepare, receive=self.receive, cluster=True)
        )

    def submit(
        self,
        by: Actor,
        source_id: int,
        hosts: Sequence[str],
        window: Window | None,
        rescore: bool,
        options: dict[str, Any] | None = None,
        rule: dict[str, Any] | None = None,
    ) -> Task:
        """Queue one task for these groups; while the same is queued or running, that one is returned.

        options, rule: None for those of the version before."""
        with self.database.session() as session:
            source = session.get(Source, source_id)
        name = source.name if source else f"source {source_id}"
        what = (hosts[0] or "all series") if len(hosts) == 1 else f"{len(hosts)} hosts"
        params = {
            "source_id": source_id,
            "hosts": list(hosts),
            "start": window.start.isoformat() if window else None,
            "end": window.end.isoformat() if window else None,
            "rescore": rescore,
            "options": options,
            "rule": rule,
            "by": by.name,
        }
        key = f"{source_id}:{'|'.join(sorted(hosts))}"
        return self.runner.submit(KIND, params, by=by.name, title=f"Learn what is normal for {what} ({name})", key=key)

    def tasks(self, source_id: int | None = None, limit: int = 50) -> list[Task]:
        """Training tasks, newest first."""
        with self.database.session() as session:
            rows = session.exec(select(Task).where(Task.kind == KIND).order_by(col(Task.id).desc()).limit(limit)).all()
        return [t for t in rows if source_id is None or t.params.get("source_id") == source_id]

    def running(self, source_id: int | None = None) -> list[Task]:
        return [t for t in self.tasks(source_id) if t.status in (TaskStatus.PENDING, TaskStatus.RUNNING)]

    # --- in the app, around the child --------------------------------------------------------------

    def prepare(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        """Export the samples of all groups as Parquet, and what people said and chose about them.

        Raises NotFound or NotEnoughData.
        """
        groups = []
        for host in params["hosts"]:
            series = self.samples.find(source_id=params["source_id"], host=host)[:MOST_SERIES]
            if series:
                groups.append({"host": host, "series": [_plain(s) for s in series]})
        if not groups:
            hosts = ", ".join(repr(h) for h in params["hosts"])
            raise NotFound(f"No series are stored for {hosts}; collect from the source first.")
        window = self._window(params, groups)
        ids = [s["id"] for g in groups for s in g["series"]]
        rows = self.samples.export(ids, window, workdir / SAMPLES)
        # A child is about to want memory, too.
        self.samples.store.give_back()
        if not rows:
            until = expired_until(self.samples.store, window)
            raise NotEnoughData(
                f"No samples between {window.start:%Y-%m-%d %H:%M} and {window.end:%Y-%m-%d %H:%M} UTC; "
                + (
                    f"those before {until:%Y-%m-%d} have expired and only their sums are kept: choose a later window, "
                    "or keep samples for longer (AUTOOPS_ARCHIVE_RAW_DAYS)."
                    if until
                    else "choose a longer window."
                ),
                points=0,
            )
        for group in groups:
            group |= self.told(params["source_id"], group["host"], window) | self._chosen(params, group["host"])
        (workdir / GROUPS).write_text(json.dumps(groups))
        return {**params, "start": window.start.isoformat(), "end": window.end.isoformat()}

    def told(self, source_id: int, host: str, window: Window) -> dict[str, Any]:
        """labels: start, end (Unix ms), verdict and whether an anomaly met it; muted: spans [start, end)."""
        said = [
            one for one in self.labels.of(source_id, host) if one.start_at < window.end and one.end_at > window.start
        ]
        found = self.scoring.findings.anomalies(source_id=source_id, host=host, window=window, limit=10_000)
        ends = found["end_ts"].fillna(pd.Timestamp(window.end))
        marks = self.annotations.between(window, source_id, host)
        return {
            "labels": [
                {
                    "start": to_ms(one.start_at),
                    "end": to_ms(one.end_at) + 1,
                    "verdict": one.verdict,
                    "found": bool(((found["start_ts"] <= one.end_at) & (ends >= one.start_at)).any()),
                }
                for one in said
            ],
            "muted": [[to_ms(m.start), to_ms(m.end)] for m in marks if m.mutes and m.end],
        }

    def _chosen(self, params: dict[str, Any], host: str) -> dict[str, Any]:
        """options and rule of the group: those asked for, else those of the version at work."""
        current = next((d for d in self._versions(params["source_id"], host) if d.active), None)
        before = current.params if current else {}
        return {
            "options": params.get("options") or before.get("options", {}),
            "rule": params.get("rule") or before.get("rule", {}),
        }

    def receive(self, params: dict[str, Any], path: Path, made: dict[str, Any]) -> None:
        """Register a detector as soon as it is there, keep what it found, and let it take over from the version
        before it: on a source of many hosts the first is at work while the others are still being trained."""
        if self.samples.find(ids=made["series_ids"][:1]):
            self._take(params, made, path.parent)
        else:
            log.info("group is gone since training began", extra={"host": made["host"]})

    def _take(self, params: dict[str, Any], made: dict[str, Any], workdir: Path) -> None:
        source_id, host = int(params["source_id"]), made["host"]
        earlier = self._versions(source_id, host)
        version = max((d.version for d in earlier), default=0) + 1
        artefact = f"s{source_id}-{_slug(host)}-v{version}"
        self.registry.remove(artefact)  # left by a run that was killed between the files and the row
        extra = {"version": version, "source_id": source_id, "created_by": params["by"], "created_at": self.clock()}
        path = self.registry.adopt(workdir / made["folder"], artefact, extra)
        data = json.loads((path / "metadata.json").read_text())["data"]
        row = DetectorRow(
            source_id=source_id,
            host=host,
            series_ids=made["series_ids"],
            name=f"{host or 'all series'} v{version}",
            version=version,
            active=False,
            artefact=artefact,
            params={"options": made["options"], "rule": made["rule"]},
            metrics=made["metrics"],
            created_by=params["by"],
            created_at=self.clock(),
            trained_from=pd.Timestamp(data["first"]).to_pydatetime(),
            trained_until=pd.Timestamp(data["last"]).to_pydatetime(),
        )
        with self.database.session() as session:
            session.add(row)
        assert row.id is not None
        if params["rescore"]:
            self._keep(row, made, workdir, earlier)
        with self.database.session() as session:
            for old in session.exec(select(DetectorRow).where(col(DetectorRow.id).in_([d.id for d in earlier]))):
                old.active = False
            current = session.get(DetectorRow, row.id)
            assert current is not None
            current.active = True
        for old in earlier:
            self.scoring.forget(old)
            if old.version <= version - KEPT_VERSIONS:
                self.registry.remove(old.artefact)

    def _keep(self, row: DetectorRow, made: dict[str, Any], workdir: Path, earlier: Sequence[DetectorRow]) -> None:
        """What was found over the training span, in place of what earlier versions had found there."""
        found = json.loads((workdir / f"{made['folder']}.{FOUND}").read_text())
        assert row.id is not None and row.trained_from is not None
        scores = self.scoring.findings.read_file(workdir / f"{made['folder']}.scores.parquet")
        expectations = self.scoring.findings.read_file(workdir / f"{made['folder']}.expectations.parquet")
        end = max(
            pd.Timestamp(found["end_ms"], unit="ms", tz="UTC").to_pydatetime(), row.trained_until or row.trained_from
        )
        window = Window(row.trained_from - timedelta(days=1), end + timedelta(days=1))
        anomalies = [anomaly_of(a, row.id, row.source_id) for a in found["anomalies"]]
        known = []
        for old in earlier:
            assert old.id is not None
            known += self.scoring.findings.anomalies(detector_id=old.id, window=window).to_dict("records")
            self.scoring.findings.replace(old.id, window, scores[:0], expectations[:0], [])
        named = [_same_id(a, known) for a in anomalies]
        self.scoring.findings.replace(row.id, window, scores, expectations, named)

    def _versions(self, source_id: int, host: str) -> list[DetectorRow]:
        wanted = select(DetectorRow).where(DetectorRow.source_id == source_id, DetectorRow.host == host)
        with self.database.session() as session:
            return list(session.exec(wanted).all())

    def _window(self, params: dict[str, Any], groups: list[dict[str, Any]]) -> Window:
        """The span asked for, or the last 30 days; shortened when a group has more samples than a child should read."""
        end = datetime.fromisoformat(params["end"]) if params["end"] else self.clock() + timedelta(seconds=1)
        start = datetime.fromisoformat(params["start"]) if params["start"] else end - DEFAULT_SPAN
        for group in groups:
            stats = self.samples.stats([s["id"] for s in group["series"]])
            first = min((s.first for s in stats if s.first), default=start)
            stored = (end - min(first, end)) or timedelta(seconds=1)
            rate = sum(s.count for s in stats) / max(stored.total_seconds(), 1.0)
            if rate * (end - max(start, first)).total_seconds() > MOST_SAMPLES:
                start = max(start, end - timedelta(seconds=MOST_SAMPLES / rate))
        return Window(min(start, end), end)


def _same_id(anomaly: Anomaly, known: list[dict[str, Any]]) -> Anomaly:
    """An anomaly the version before had found too keeps its id, so that links to it still lead there."""
    for number, old in enumerate(known):
        ends = [t for t in (old["end_ts"], anomaly.end_ts) if t is not None and not pd.isna(t)]
        if all(t > max(old["start_ts"], anomaly.start_ts) for t in ends):
            del known[number]
            return replace(anomaly, id=int(old["id"]))
    return anomaly


def _plain(series: Series) -> dict[str, Any]:
    return {**asdict(series), "labels": dict(series.labels)}


def _slug(host: str) -> str:
    """A host as part of a file name; hosts that differ only in odd characters are told apart by their hash."""
    import hashlib

    plain = re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")[:40] or "all"
    return plain if plain == host else f"{plain}-{hashlib.sha256(host.encode()).hexdigest()[:8]}"
