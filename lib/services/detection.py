"""Detectors over groups of series: train as a task, score a range, score on after each collection."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from sqlmodel import col, select

from lib.anomaly.options import Options
from lib.audit.log import Audit
from lib.auth.actor import SYSTEM, Actor, Permission
from lib.db.database import Database
from lib.db.tables import Detector as DetectorRow
from lib.db.tables import Source, SourceKind, Task
from lib.demo import history as demo
from lib.errors import AppError, ArtefactRefused, Invalid, NotFound
from lib.frames import Window
from lib.registry.files import Registry
from lib.services import detection_history, detection_lanes
from lib.services.annotations import Annotations
from lib.services.detection_card import Card, card
from lib.services.detection_context import Context
from lib.services.detection_history import History
from lib.services.detection_labels import COLUMNS, Labels
from lib.services.detection_lanes import Lanes
from lib.services.detection_scoring import MOST_STEPS, Loaded, Scoring
from lib.services.detection_threshold import Thresholds
from lib.services.detection_training import Training
from lib.services.detection_trials import Trials
from lib.settings import Settings
from lib.store.findings import Findings
from lib.store.samples import Samples
from lib.tasks.runner import Runner

log = logging.getLogger(__name__)

# After each collection at most this long is spent on scoring; detectors left over are first the next time.
_BUDGET_S = 2.0
_RETRAIN_AFTER = timedelta(days=1)
# What failed to train is not tried again at once.
_TRY_AGAIN_S = 900.0
_CHART_POINTS, _CHART_SCORES = 180, 160
_MOST_FOUND = 100_000


class Detection:
    """App must call `maintain` every minute or so: it trains where nobody has to ask, and retrains daily."""

    def __init__(
        self, settings: Settings, database: Database, samples: Samples, runner: Runner, audit: Audit, clock: Callable
    ) -> None:
        self.settings, self.database, self.samples = settings, database, samples
        self.runner, self.audit, self.clock = runner, audit, clock
        self.registry = Registry(settings.models_dir)
        self.findings = Findings(samples.store)
        self.scoring = Scoring(database, samples, self.registry)
        self.annotations = Annotations(database, audit, clock)
        self.labels = Labels(database, self.findings, self.annotations, audit, clock)
        self.thresholds = Thresholds(database, samples, self.scoring, self.labels, self.annotations, audit, clock)
        self.context = Context(samples, self.scoring, self.annotations)
        self.training = Training(
            database, samples, runner, self.registry, self.scoring, self.labels, self.annotations, clock
        )
        self.trials = Trials(settings, self.training, self.scoring, runner, audit, clock)
        self._asked: dict[tuple[int, str], float] = {}
        self._last_turn: dict[int, float] = {}

    # --- groups and detectors ---------------------------------------------------------------------

    def groups(self, actor: Actor) -> pd.DataFrame:
        """source_id, source, host, series, first, last, state, detector_id, version, trained_at: one row a group.

        state: 'trained', 'training', or 'no detector'.
        """
        actor.require(Permission.VIEW)
        names = {s.id: s.name for s in self._sources()}
        active = {(d.source_id, d.host): d for d in self.scoring.active()}
        training = {
            (int(t.params["source_id"]), host) for t in self.training.running() for host in t.params.get("hosts", ())
        }
        rows = []
        for group in self.samples.hosts().to_dict("records"):
            key = (int(group["source_id"]), str(group["host"]))
            detector = active.get(key)
            rows.append(
                {
                    **group,
                    "source": names.get(key[0], f"source {key[0]}"),
                    "state": "training" if key in training else "trained" if detector else "no detector",
                    "detector_id": detector.id if detector else None,
                    "version": detector.version if detector else None,
                    "trained_at": detector.created_at if detector else None,
                }
            )
        columns = [
            *("source_id", "source", "host", "series", "first", "last", "state", "detector_id", "version", "trained_at")
        ]
        return pd.DataFrame(rows, columns=columns)

    def detectors(self, actor: Actor, *, every_version: bool = False) -> list[DetectorRow]:
        """The detectors at work, newest first; with every_version also those that were replaced."""
        actor.require(Permission.VIEW)
        wanted = select(DetectorRow).order_by(col(DetectorRow.id).desc())
        if not every_version:
            wanted = wanted.where(col(DetectorRow.active).is_(True))
        with self.database.session() as session:
            return list(session.exec(wanted).all())

    def card(self, actor: Actor, detector_id: int) -> Card:
        """What one detector is. Raises NotFound, ArtefactRefused."""
        actor.require(Permission.VIEW)
        row = self.scoring.get(detector_id)
        return card(row, self.scoring.loaded(row))

    def train(
        self,
        actor: Actor,
        source_id: int,
        host: str | Sequence[str],
        window: Window | None = None,
        *,
        rescore: bool = True,
        options: Mapping[str, Any] | None = None,
        rule: Mapping[str, Any] | None = None,
    ) -> Task:
        """Queue training for one host or several; the last 30 days unless a window is given.

        rescore: also look through the training span and replace what earlier versions had found in it.
        options: of `lib.anomaly.options.Options`, rule: of `lib.anomaly.events.Rule`; None: as the version before.
        Raises NotFound for a source or host nothing is stored of, Invalid for options that mean nothing.
        """
        actor.require(Permission.DETECT)
        hosts = [host] if isinstance(host, str) else list(host)
        if not hosts:
            raise Invalid("Name at least one host to train for.")
        stored = set(self.samples.hosts(source_id)["host"])
        if unknown := [h for h in hosts if h not in stored]:
            raise NotFound(f"Nothing is stored of {unknown[0]!r} from source {source_id}; collect from it first.")
        chosen = Options.from_json(options).to_json() if options is not None else None
        task = self.training.submit(actor, source_id, hosts, window, rescore, chosen, dict(rule) if rule else None)
        self.audit.record(actor, "detector.train", ", ".join(hosts), source_id=source_id, task=task.id)
        return task

    def training_tasks(self, actor: Actor, source_id: int | None = None) -> list[Task]:
        """Training that waits or runs now."""
        actor.require(Permission.VIEW)
        return self.training.running(source_id)

    def last_training(self, actor: Actor, source_id: int | None = None) -> Task | None:
        """The newest training task, whatever became of it."""
        actor.require(Permission.VIEW)
        return next(iter(self.training.tasks(source_id, limit=20)), None)

    def retire(self, actor: Actor, detector_id: int) -> None:
        """Stop a detector and forget what it found."""
        actor.require(Permission.DETECT)
        self._retire(self.scoring.get(detector_id))
        self.audit.record(actor, "detector.retire", str(detector_id))

    def forget(self, source_id: int) -> None:
        """Every detector of a source that is removed, with what it found and its files."""
        with self.database.session() as session:
            rows = list(session.exec(select(DetectorRow).where(DetectorRow.source_id == source_id)).all())
        for row in rows:
            self._retire(row)
        self.labels.forget(source_id)
        self.annotations.forget(source_id)
        self.trials.forget(source_id)

    def _retire(self, row: DetectorRow) -> None:
        assert row.id is not None
        with self.database.session() as session:
            current = session.get(DetectorRow, row.id)
            if current is not None:
                session.delete(current)
        self.scoring.forget(row)
        self.findings.delete_detector(row.id)
        if row.artefact:
            self.registry.remove(row.artefact)

    # --- scoring ----------------------------------------------------------------------------------

    def score(self, actor: Actor, detector_id: int, window: Window) -> int:
        """Score a range anew; doing it twice leaves what doing it once left. The number of anomalies in it."""
        actor.require(Permission.DETECT)
        found = self.scoring.score(self.scoring.get(detector_id), window)
        span = f"{window.start.isoformat()}/{window.end.isoformat()}"
        self.audit.record(actor, "detector.score", str(detector_id), window=span, anomalies=found)
        return found

    def update(self, source_id: int, window: Window) -> None:
        """Score what was just collected with every active detector of the source.

        Called by collection: takes two seconds at most, and what goes wrong is logged, never raised.
        """
        try:
            self._train_demo(source_id)
            began = time.monotonic()
            rows = sorted(self.scoring.active(source_id), key=lambda d: self._last_turn.get(d.id or 0, 0.0))
            for row in rows:
                if time.monotonic() - began > _BUDGET_S:
                    log.info("scoring goes on at the next collection", extra={"source": source_id})
                    break
                self._last_turn[row.id or 0] = time.monotonic()
                self._update(row, window)
        except Exception:
            log.exception("scoring after collection failed", extra={"source": source_id})

    def _update(self, row: DetectorRow, window: Window) -> None:
        try:
            one = self.scoring.loaded(row)
            until = self.scoring.scored_until(row, window.end)
            start = window.start if until is None else min(window.start, until)
            start = max(start, window.end - one.step * MOST_STEPS)
            self.scoring.score(row, Window(min(start, window.end), window.end), live=True)
        except AppError as error:
            log.warning("detector cannot score", extra={"detector": row.id, "host": row.host, "reason": error.message})

    # --- training where nobody has to ask ----------------------------------------------------------

    def maintain(self) -> None:
        """Train this machine's detector once it has enough points, retrain detectors of live sources daily and those
        whose files cannot be used, and retire those whose source is gone. For the schedule."""
        sources = {s.id: s for s in self._sources()}
        active = self.scoring.active()
        for row in active:
            source = sources.get(row.source_id)
            if source is None:
                self._retire(row)
            elif source.kind != SourceKind.DEMO and source.enabled and self.clock() - row.created_at > _RETRAIN_AFTER:
                self._ask(row.source_id, [row.host], rescore=False)
            elif source.enabled and row.artefact in self.scoring.refused:
                self._ask(row.source_id, [row.host], rescore=True)
        have = {(d.source_id, d.host) for d in active}
        for source_id, source in sources.items():
            if source_id is None or not source.enabled:
                continue
            if source.kind == SourceKind.DEMO:
                self._train_demo(source_id)
            if source.kind == SourceKind.MACHINE:
                for host in self.samples.hosts(source_id)["host"]:
                    if (source_id, host) not in have and self._enough(source_id, host):
                        self._ask(source_id, [host], rescore=True)

    def _enough(self, source_id: int, host: str) -> bool:
        from lib.anomaly.training import MIN_POINTS

        ids = [s.id for s in self.samples.find(source_id=source_id, host=host)[:20]]
        # A few more than the least: some fall away where the first rates and gaps are.
        return max((s.count for s in self.samples.stats(ids)), default=0) > MIN_POINTS + 10

    def _train_demo(self, source_id: int) -> None:
        """The demo is trained once, all hosts in one task, and again when its history was loaded anew."""
        with self.database.session() as session:
            source = session.get(Source, source_id)
        if source is None or source.kind != SourceKind.DEMO:
            return
        known = {d.host: d for d in self.scoring.active(source_id)}
        missing = []
        for host in self.samples.hosts(source_id)["host"]:
            detector = known.get(host)
            if detector is None or not self.samples.find(ids=detector.series_ids[:1]):
                missing.append(str(host))
        if missing:
            self._ask(source_id, missing, rescore=True)

    def _ask(self, source_id: int, hosts: list[str], *, rescore: bool) -> None:
        """Submit training as the system, unless that was done a moment ago."""
        key = (source_id, "|".join(hosts))
        now = time.monotonic()
        if now - self._asked.get(key, -_TRY_AGAIN_S) < _TRY_AGAIN_S or self.training.running(source_id):
            return
        self._asked[key] = now
        self.training.submit(SYSTEM, source_id, hosts, None, rescore)

    # --- what was found ---------------------------------------------------------------------------

    def anomalies(
        self,
        actor: Actor,
        window: Window,
        *,
        source_id: int | None = None,
        host: str | None = None,
        severity: str | Sequence[str] | None = None,
        min_confidence: float | None = None,
        limit: int = 1000,
        muted: bool = False,
    ) -> pd.DataFrame:
        """Anomalies that overlap the window, newest first: the fields of `Anomaly`, and sentence, title, metric, unit,
        verdict, note, labelled_by, labelled_at, muted (why, or empty).

        title, metric and unit are those of what contributed most; actual, expected, low and high are in that unit.
        muted: also those inside maintenance and expected spans.
        """
        actor.require(Permission.VIEW)
        hides = not muted and any(mark.mutes for mark in self.annotations.between(window))
        frame = self.findings.anomalies(
            window=window,
            source_id=source_id,
            host=host,
            severity=severity,
            min_confidence=min_confidence,
            # What is hidden must not count towards the limit.
            limit=_MOST_FOUND if hides else limit,
        )
        first = [_most(e) for e in frame["explanation"]]
        frame["sentence"] = [str(e.get("sentence", "")) for e in frame["explanation"]]
        for column in ("title", "metric", "unit"):
            frame[column] = [str(c.get(column, "")) for c in first]
        frame = self.labels.attach(frame)
        return frame[frame["muted"] == ""].head(limit).reset_index(drop=True) if hides else frame

    def lanes(
        self,
        actor: Actor,
        window: Window,
        found: pd.DataFrame,
        *,
        source_id: int | None = None,
        host: str | None = None,
        slots: int = 60,
        most: int = 24,
    ) -> Lanes:
        """Each host over the window, worst first. found: the anomalies to show, as `anomalies` gave them."""
        rows = [d for d in self.detectors(actor, every_version=True) if source_id in (None, d.source_id)]
        rows = [d for d in rows if host in (None, d.host)]
        return detection_lanes.lay(window, slots, rows, self.findings.lanes(window, slots), found, most)

    def anomaly(self, actor: Actor, anomaly_id: int) -> dict[str, Any]:
        """One anomaly: its fields, and sentence, title, metric, unit. Raises NotFound."""
        actor.require(Permission.VIEW)
        found = self.findings.anomaly(anomaly_id)
        if found is None:
            raise NotFound(f"There is no anomaly {anomaly_id}; it may have been found anew under another number.")
        first = _most(found.explanation)
        row = asdict(found)
        row["sentence"] = str(found.explanation.get("sentence", ""))
        said = self.labels.attach(self.findings.anomalies(ids=[anomaly_id]))
        row |= {name: said[name].iloc[0] for name in COLUMNS} if len(said) else dict.fromkeys(COLUMNS, "")
        return row | {column: str(first.get(column, "")) for column in ("title", "metric", "unit")}

    def explain(self, actor: Actor, anomaly_id: int) -> dict[str, Any]:
        """Why one anomaly is one: what `anomaly` gives, contributors and forest (most first), nearby (events, nearest
        first) and peers. Raises NotFound."""
        row = self.anomaly(actor, anomaly_id)
        contributors = list(row["explanation"].get("contributors") or ())
        end = row["end_ts"] or self.clock()
        told: dict[str, Any] = {
            "contributors": contributors,
            "forest": list(row["explanation"].get("forest") or ()),
            "nearby": self.context.nearby(row["source_id"], row["host"], row["start_ts"], end),
            "peers": None,
        }
        if contributors and "channel" in contributors[0]:
            channel, span = int(contributors[0]["channel"]), Window(row["start_ts"], max(end, row["start_ts"]))
            try:
                told["peers"] = self.context.peers(
                    row["source_id"], row["host"], row["detector_id"], channel, span, row["peak_ts"]
                )
            except (NotFound, ArtefactRefused):
                log.info("peers unknown: the detector is gone", extra={"anomaly": anomaly_id})
        return row | told

    def history(
        self, actor: Actor, detector_id: int, series_id: int, window: Window, max_points: int = _CHART_POINTS
    ) -> History:
        """Chart data of one watched quantity. Raises NotFound when the detector does not watch that series."""
        actor.require(Permission.VIEW)
        row = self.scoring.get(detector_id)
        one = self.scoring.loaded(row)
        number = detection_history.channel_number(one.detector.plan.channels, series_id)
        if number is None:
            raise NotFound(f"The detector {row.name} does not watch series {series_id}.")
        return self._history(row, one, number, window, max_points)

    def history_of(self, actor: Actor, anomaly_id: int, contributor: int = 0, window: Window | None = None) -> History:
        """Chart data of what contributed to an anomaly (0: most), around it unless a window is given."""
        found = self.anomaly(actor, anomaly_id)
        contributors = found["explanation"].get("contributors") or []
        if contributor >= len(contributors):
            raise NotFound(
                f"Anomaly {anomaly_id} has {len(contributors)} contributors; there is no number {contributor}."
            )
        row = self.scoring.get(found["detector_id"])
        one = self.scoring.loaded(row)
        number = int(contributors[contributor]["channel"])
        shown = window or detection_history.around(found["start_ts"], found["end_ts"] or self.clock())
        return self._history(row, one, number, shown, _CHART_POINTS)

    def _history(self, row: DetectorRow, one: Loaded, number: int, window: Window, most: int) -> History:
        assert row.id is not None
        return History(
            channel=one.detector.plan.channels[number],
            host=row.host,
            window=window,
            points=detection_history.points(one, number, self.samples, window, most),
            scores=self.findings.scores(row.id, window, _CHART_SCORES),
            anomalies=self.findings.anomalies(source_id=row.source_id, host=row.host, window=window, limit=200),
            incidents=self._incidents(row.source_id, row.host, window),
            events=self._events(row.source_id, row.host, window),
            marks=self.annotations.between(window, row.source_id, row.host),
            gaps=self.context.gaps_in(row.source_id, window),
            trained=Window(row.trained_from, row.trained_until) if row.trained_from and row.trained_until else None,
        )

    def incidents(self, actor: Actor, source_id: int | None, host: str | None, window: Window) -> list[demo.Incident]:
        """Known incidents of the demo histories that overlap the window; none for any other source."""
        actor.require(Permission.VIEW)
        ids = [s.id for s in self._sources() if s.kind == SourceKind.DEMO and s.id is not None]
        return [i for one in ids if source_id in (None, one) for i in self._incidents(one, host, window)]

    def _incidents(self, source_id: int, host: str | None, window: Window) -> list[demo.Incident]:
        known = self._known(source_id)
        found = demo.incidents(*known) if known else []
        return [i for i in found if host in (None, i.host) and i.start < window.end and i.end > window.start]

    def _events(self, source_id: int, host: str, window: Window) -> list[demo.Event]:
        known = self._known(source_id)
        found = demo.events(*known) if known else []
        return [e for e in found if host in e.hosts and e.start < window.end and e.end > window.start]

    def _known(self, source_id: int) -> tuple[str, datetime, int] | None:
        """Which bundled history a source is, and by how much it was moved in time; None for other sources."""
        from lib.services.collection_demo import DemoFeed

        with self.database.session() as session:
            source = session.get(Source, source_id)
        if source is None or source.kind != SourceKind.DEMO:
            return None
        shift = DemoFeed(self.samples).shift_of(source, self.clock())
        return None if shift is None else (source.url, self.clock(), shift)

    def _sources(self) -> list[Source]:
        with self.database.session() as session:
            return list(session.exec(select(Source).order_by(col(Source.id))).all())


def _most(explanation: dict[str, Any]) -> dict[str, Any]:
    """What contributed most, as `anomaly.explain` wrote it; empty when nothing is known."""
    contributors = explanation.get("contributors") or []
    return dict(contributors[0]) if contributors else {}
