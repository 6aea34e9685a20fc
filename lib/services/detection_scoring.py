"""Trained detectors at work in the app's own process: read what they need, score, decide, keep."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import col, select

from lib.anomaly.detector import Detector, Scored
from lib.anomaly.events import Past, Rule
from lib.anomaly.stream import LATE
from lib.anomaly.training import HELD_OUT
from lib.db.database import Database
from lib.db.tables import Detector as DetectorRow
from lib.errors import ArtefactRefused, NotEnoughData, NotFound
from lib.features.channels import Channels
from lib.frames import Series, Window, from_ms, to_ms
from lib.registry.files import Registry
from lib.services.detection_findings import anomaly_of, findings, up_to
from lib.services.detection_jobs import load, series_of
from lib.services.detection_live import Live, read
from lib.services.timings import Timings
from lib.store.findings import Findings
from lib.store.samples import Samples
from lib.store.summaries import expired_until

log = logging.getLogger(__name__)

# Detectors held ready; each takes a few MB. Beyond it the one used longest ago is read again when needed.
_HELD = 24
# Steps scored in one go at most, so that coming back after days does not block collection.
MOST_STEPS = 2880
# An event that has gone on for longer than this many steps is no longer looked back to its start.
_LONGEST_EVENT = 2016


@dataclass(frozen=True)
class Loaded:
    """A detector ready to score, with the series it was trained on."""

    row: DetectorRow
    detector: Detector
    series: tuple[Series, ...]

    @property
    def step(self) -> timedelta:
        return timedelta(milliseconds=self.detector.plan.grid.step_ms)


def rule_of(row: DetectorRow) -> Rule:
    """How this detector's evidence becomes events: the usual rule with what people chose for it."""
    return Rule(**row.params.get("rule", {}))


class Scoring:
    """One at a time: a range is read, scored and replaced as one."""

    def __init__(self, database: Database, samples: Samples, registry: Registry) -> None:
        self.database, self.samples, self.registry = database, samples, registry
        self.findings = Findings(samples.store)
        self.timings = Timings()
        self.lock = threading.RLock()
        self._held: OrderedDict[str, Loaded] = OrderedDict()
        self._live: dict[str, Live] = {}
        # Artefacts that could not be used: lost, changed, or made by another version.
        self.refused: set[str] = set()
        self._scored_until: dict[int, datetime] = {}

    def active(self, source_id: int | None = None) -> list[DetectorRow]:
        wanted = select(DetectorRow).where(col(DetectorRow.active).is_(True)).order_by(col(DetectorRow.id))
        if source_id is not None:
            wanted = wanted.where(DetectorRow.source_id == source_id)
        with self.database.session() as session:
            return list(session.exec(wanted).all())

    def get(self, detector_id: int) -> DetectorRow:
        with self.database.session() as session:
            row = session.get(DetectorRow, detector_id)
        if row is None:
            raise NotFound(f"There is no detector {detector_id}; it may have been retired. Open Anomalies to see them.")
        return row

    def loaded(self, row: DetectorRow) -> Loaded:
        """Raises ArtefactRefused when its files were changed or another version made them, NotFound without them."""
        with self.lock:
            held = self._held.pop(row.artefact, None)
            if held is None:
                try:
                    artefact = self.registry.open(row.artefact)
                    held = Loaded(row, load(artefact), tuple(series_of(artefact.metadata["series"])))
                except (ArtefactRefused, NotFound):
                    self.refused.add(row.artefact)
                    raise
            self._held[row.artefact] = held
            while len(self._held) > _HELD:
                gone, _ = self._held.popitem(last=False)
                self._live.pop(gone, None)
            return held

    def forget(self, row: DetectorRow) -> None:
        with self.lock:
            self._held.pop(row.artefact, None)
            self._live.pop(row.artefact, None)
            if row.id is not None:
                self._scored_until.pop(row.id, None)

    def scored_until(self, row: DetectorRow, now: datetime) -> datetime | None:
        """The newest moment this detector has scored."""
        assert row.id is not None
        if row.id not in self._scored_until:
            since = min(row.trained_from or now, now) - timedelta(days=1)
            scores = self.findings.scores(row.id, Window(since, now + timedelta(days=1)))
            if scores.empty:
                return None
            self._scored_until[row.id] = scores["ts"].iloc[-1].to_pydatetime()
        return self._scored_until[row.id]

    def score(self, row: DetectorRow, window: Window, *, live: bool = False) -> int:
        """Score a range anew and keep what was found; the number of anomalies that start in what was replaced.

        The range is extended back to the start of an event that reaches into it, so that one event stays one.
        live: it is what was just collected; what scoring it takes is held for the next time. Where samples have expired
        what was found stays as it is. Raises NotEnoughData when all of them have.
        """
        assert row.id is not None
        window = window if live else self._kept(window)
        rule = rule_of(row)
        with self.lock, self.timings.measured():
            one = self.loaded(row)
            start = self._from(row.id, window, one.step, rule)
            scored = self._scored(row, one, start, window, rule, live)
            since = int((scored.ts_ms < to_ms(start)).sum()) if scored else 0
            if scored is None or since >= scored.ts_ms.size:
                return 0

            def looked(moment_ms: int) -> Channels:
                end = from_ms(moment_ms) + one.step
                found = read(self.samples, one.series, one.detector, end - one.step * (one.detector.lookback + 2), end)
                assert found is not None  # it was scored from there
                return up_to(found)(moment_ms)

            found = findings(scored, looked, one.detector, row.host, rule, since, self._past(row, start, rule))
            # Scores stand at the middle of their bin, which may lie past the newest sample.
            end = (
                max(window.end, found.scores["ts"].iloc[-1].to_pydatetime() + one.step)
                if len(found.scores)
                else window.end
            )
            saved = self.findings.replace(
                row.id,
                Window(start, end),
                found.scores,
                found.expectations,
                [anomaly_of(a, row.id, row.source_id) for a in found.anomalies],
            )
            if len(found.scores):
                newest = found.scores["ts"].iloc[-1].to_pydatetime()
                self._scored_until[row.id] = max(newest, self._scored_until.get(row.id, newest))
            if row.artefact in self._live:
                near = window.end - one.step * (2 * (rule.merge + rule.open_for) + LATE)
                # What goes on, or may yet be gone on with, is decided from its start.
                going_on = [a.start_ts - one.step * LATE for a in saved if a.end_ts is None or a.end_ts > near]
                self._live[row.artefact].forget_before(to_ms(min([near, *going_on])))
            return len(saved)

    def _kept(self, window: Window) -> Window:
        """The part of a window whose samples have not expired."""
        until = expired_until(self.samples.store, window)
        if until and until >= window.end:
            raise NotEnoughData(
                f"The samples before {until:%Y-%m-%d} UTC have expired and only their sums are kept, which cannot be "
                "scored; choose a later window. What was found there before is kept.",
                points=0,
            )
        return Window(until, window.end) if until else window

    def _scored(
        self, row: DetectorRow, one: Loaded, start: datetime, window: Window, rule: Rule, live: bool
    ) -> Scored | None:
        """The range from a few moments before `start` on; None when nothing was collected in it."""
        context = rule.merge + rule.open_for
        held = self._live.pop(row.artefact, None)
        reaches = live and held and held.scored.ts_ms[0] <= to_ms(start - one.step * context)
        if held and reaches and held.go_on(self.samples, one.series, window.start, window.end):
            self._live[row.artefact] = held
            return held.scored
        before = one.step * (one.detector.lookback + context)
        channels = read(self.samples, one.series, one.detector, start - before, window.end)
        if channels is None:
            return None
        since = max(0, int((channels.ts_ms < to_ms(start)).sum()) - context)
        if not live or since >= channels.ts_ms.size:
            return one.detector.score(channels, since).rows(slice(since, None))
        held = self._live[row.artefact] = Live.begin(one.detector, channels, since)
        return held.scored

    def _past(self, row: DetectorRow, until: datetime, rule: Rule) -> Past:
        """What says whether normal has moved: evidence since the part of the training span that calibrated."""
        assert row.id is not None
        since = until - timedelta(days=rule.drift_days)
        if row.trained_from and row.trained_until:
            since = max(since, row.trained_until - HELD_OUT * (row.trained_until - row.trained_from))
        known = self.findings.scores(row.id, Window(min(since, until), until))
        return Past(known["ts"].to_numpy(dtype="datetime64[ms]").astype("int64"), known["score"].to_numpy(dtype=float))

    def _from(self, detector_id: int, window: Window, step: timedelta, rule: Rule) -> datetime:
        """Where to begin so that an event on the edge is decided from its start."""
        # The last moment scored so far may have been half full.
        start = window.start - step
        near = self.findings.anomalies(
            detector_id=detector_id, window=Window(start - step * (rule.merge + rule.open_for + 1), window.end)
        )
        if len(near):
            start = min(start, near["start_ts"].min().to_pydatetime())
        return max(start, window.start - step * _LONGEST_EVENT)
