"""What another threshold would call: tried on stored scores before it is switched on, advised by labels, then used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from sqlmodel import col, select

from lib.anomaly import events, labels
from lib.anomaly.events import NOTHING, Past, Rule, Trace
from lib.anomaly.labels import LEVELS, Advice
from lib.anomaly.training import HELD_OUT
from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.db.database import Database
from lib.db.tables import Detector as DetectorRow
from lib.db.tables import Verdict
from lib.errors import Invalid, NotFound
from lib.frames import Window, from_ms, to_ms
from lib.services.annotations import Annotations, muting
from lib.services.detection_findings import anomaly_of, row_of, up_to
from lib.services.detection_labels import Labels
from lib.services.detection_live import read
from lib.services.detection_scoring import Loaded, Scoring, rule_of
from lib.store.findings import Anomaly, Findings
from lib.store.samples import Samples

WEEK = timedelta(days=7)
MOST_WEEKS = 12
# New anomalies put into words at once: each takes a look at its samples.
MOST_NEW = 300


@dataclass(frozen=True)
class Simulation:
    """level: the threshold tried. now: the one in force, None where groups differ. weeks: how many were looked at.

    curve: level, a_week: alerts a week at each level. fired: host, source_id, start, end, score, anomaly_id (None
    for what is not marked today), verdict, muted; newest first. learnt: part of the time that was in training, in
    which the detector looked back on what it knew.
    """

    level: float
    now: float | None
    weeks: float
    curve: pd.DataFrame
    fired: pd.DataFrame
    learnt: float = 0.0

    @property
    def a_week(self) -> float:
        return len(self.fired) / self.weeks if self.weeks else 0.0


@dataclass(frozen=True)
class _Group:
    """The scores of one group, whichever of its versions gave them."""

    row: DetectorRow
    versions: tuple[int, ...]
    trace: Trace
    seen: np.ndarray
    step_s: float
    since: int  # first row that was asked for
    learnt: int  # rows of those that were in training
    spans: dict[float, list[tuple[int, int]]] = field(default_factory=dict)

    def moments(self, level: float) -> list[tuple[int, int]]:
        """First and last moment of each event at a level, in Unix milliseconds, from the first row asked for."""
        if level not in self.spans:
            found, _ = events.spans(self.trace, rule_at(self.row, level), self.step_s, seen=self.seen)
            ts = self.trace.ts_ms
            self.spans[level] = [(int(ts[a]), int(ts[b])) for a, b in found if b >= self.since]
        return self.spans[level]


def rule_at(row: DetectorRow, level: float) -> Rule:
    """The rule of a detector with another threshold; what ends an event moves with what opens it."""
    rule, usual = rule_of(row), Rule()
    return replace(rule, open_at=level, keep_at=usual.keep_at * max(level / usual.open_at, 0.5))


class Thresholds:
    """Everything here reads stored scores; only `move` changes something."""

    def __init__(
        self,
        database: Database,
        samples: Samples,
        scoring: Scoring,
        given: Labels,
        annotations: Annotations,
        audit: Audit,
        clock: Callable[[], datetime],
    ) -> None:
        self.database, self.samples, self.scoring = database, samples, scoring
        self.labels, self.annotations, self.audit, self.clock = given, annotations, audit, clock
        self.findings: Findings = scoring.findings

    def simulate(
        self, actor: Actor, level: float, *, source_id: int | None = None, host: str | None = None, weeks: float = 4
    ) -> Simulation:
        """What would have fired over the last weeks at this threshold. Raises NotFound where nothing was scored."""
        actor.require(Permission.VIEW)
        _check(level)
        if not 0 < weeks <= MOST_WEEKS:
            raise Invalid(f"Look at up to {MOST_WEEKS} weeks, not {weeks:g}.")
        window = Window(self.clock() - weeks * WEEK, self.clock() + timedelta(days=1))
        groups = self._groups(source_id, host, window)
        if not groups:
            raise NotFound("Nothing was scored in these weeks; train a detector first, or look further back.")
        rows = [row for group in groups for row in self._fired(group, level)]
        fired = pd.DataFrame(rows, columns=["host", "source_id", "start", "end", "score", "detector_id"])
        fired = self._known(fired.sort_values("start", ascending=False, ignore_index=True), window)
        seen = max(g.trace.ts_ms[-1] - g.trace.ts_ms[g.since] for g in groups) / 1000 / WEEK.total_seconds()
        shown = max(min(weeks, seen), 1 / 7)
        marks = self.annotations.between(window)
        counts = [
            sum(
                muting(marks, g.row.source_id, g.row.host, from_ms(a), from_ms(b)) is None
                for g in groups
                for a, b in g.moments(float(at))
            )
            for at in LEVELS[::2]
        ]
        rows_seen = sum(len(g.trace.ts_ms) - g.since for g in groups)
        levels_now = {rule_of(g.row).open_at for g in groups}
        return Simulation(
            level=level,
            now=levels_now.pop() if len(levels_now) == 1 else None,
            weeks=shown,
            curve=pd.DataFrame({"level": LEVELS[::2], "a_week": np.array(counts) / shown}),
            fired=fired[fired["muted"] == ""].reset_index(drop=True),
            learnt=sum(g.learnt for g in groups) / max(rows_seen, 1),
        )

    def advice(self, actor: Actor, source_id: int, host: str | None = None) -> tuple[Advice | None, int, int]:
        """What labels of a host (or of all) say of the threshold, and how many real and false ones there are.

        None while there are too few of either kind, or nothing of that time is stored any more.
        """
        actor.require(Permission.VIEW)
        said = [one for one in self.labels.of(source_id, host) if one.verdict != Verdict.EXPECTED]
        real = np.array([one.verdict == Verdict.REAL for one in said], dtype=bool)
        counts = int(real.sum()), int((~real).sum())
        if min(counts) < labels.ENOUGH:
            return None, *counts
        window = Window(min(o.start_at for o in said) - WEEK, max(o.end_at for o in said) + timedelta(days=1))
        groups = {g.row.host: g for g in self._groups(source_id, host, window)}
        known = np.array([one.host in groups for one in said], dtype=bool)
        said, real = [one for one, is_known in zip(said, known, strict=True) if is_known], real[known]
        fired = np.zeros((len(LEVELS), len(said)), dtype=bool)
        for name, group in groups.items():
            here = np.array([one.host == name for one in said], dtype=bool)
            starts = np.array([to_ms(one.start_at) for one in said])[here]
            ends = np.array([to_ms(one.end_at) for one in said])[here]
            for number, level in enumerate(LEVELS) if here.any() else ():
                fired[number, here] = labels.touched(group.moments(float(level)), starts, ends)
        levels = [rule_of(g.row).open_at for g in groups.values()]
        return labels.advise(fired, real, float(np.median(levels)) if levels else Rule().open_at), *counts

    def move(self, actor: Actor, level: float, source_id: int, host: str | None = None) -> tuple[int, int]:
        """Use another threshold from now on, and decide anew about what is stored: (anomalies gone, anomalies new).

        Anomalies that remain are left as they are. Raises NotFound without a detector.
        """
        actor.require(Permission.DETECT)
        _check(level)
        groups = self._groups(source_id, host, Window(self.clock() - MOST_WEEKS * WEEK, self.clock() + WEEK))
        if not groups:
            raise NotFound("There is no detector with scores here; train one first.")
        gone = new = 0
        for group in groups:
            with self.scoring.lock:
                a, b = self._decide_anew(group, level)
            gone, new = gone + a, new + b
        self.audit.record(
            actor, "detector.threshold", host or "all hosts", source_id=source_id, level=level, gone=gone, new=new
        )
        return gone, new

    # --- from stored scores ------------------------------------------------------------------------

    def _groups(self, source_id: int | None, host: str | None, window: Window) -> list[_Group]:
        """The scores of every active detector in scope, with what came before the window for the threshold's drift."""
        wanted = select(DetectorRow).where(col(DetectorRow.active).is_(True)).order_by(col(DetectorRow.id))
        with self.database.session() as session:
            active = [d for d in session.exec(wanted) if source_id in (None, d.source_id) and host in (None, d.host)]
            every = [(d.source_id, d.host, d.id) for d in session.exec(select(DetectorRow))]
        made = []
        for row in active:
            versions = tuple(v for *group, v in every if group == [row.source_id, row.host] and v is not None)
            reach = Window(window.start - timedelta(days=Rule().drift_days), window.end)
            found = self.findings.trace(versions, reach)
            ts = found["ts_ms"].astype(np.int64)
            since = int(np.searchsorted(ts, to_ms(window.start)))
            if ts.size - since < 2:
                continue
            step_s = float(np.median(np.diff(ts[-500:]))) / 1000
            trace = Trace(ts, found["score"].astype(float), found["alone"].astype(float))
            learnt = int(np.searchsorted(ts, to_ms(row.trained_until))) if row.trained_until else 0
            made.append(_Group(row, versions, trace, _usual(row, trace, step_s), step_s, since, max(learnt - since, 0)))
        return made

    def _fired(self, group: _Group, level: float) -> list[tuple[str, int, datetime, datetime, float, int]]:
        ts, score = group.trace.ts_ms, group.trace.evidence
        rows = []
        for first, last in group.moments(level):
            inside = slice(int(np.searchsorted(ts, first)), int(np.searchsorted(ts, last)) + 1)
            end = from_ms(last) + timedelta(seconds=group.step_s)
            assert group.row.id is not None
            rows.append(
                (group.row.host, group.row.source_id, from_ms(first), end, float(score[inside].max()), group.row.id)
            )
        return rows

    def _known(self, fired: pd.DataFrame, window: Window) -> pd.DataFrame:
        """With the number of the anomaly that is marked today, what was said of it, and whether it is muted."""
        today = self.findings.anomalies(window=window, limit=100_000)
        ids: list[int | None] = []
        for row in fired.itertuples():
            same = today[(today["host"] == row.host) & (today["source_id"] == row.source_id)]
            ends = same["end_ts"].fillna(pd.Timestamp(window.end))
            met = same[(same["start_ts"] <= row.end) & (ends >= row.start)]
            ids.append(int(met["id"].iloc[0]) if len(met) else None)
        spans = fired.rename(columns={"start": "start_ts", "end": "end_ts"})
        for name in ("start_ts", "end_ts"):
            spans[name] = pd.to_datetime(spans[name], utc=True)
        said = self.labels.attach(spans).rename(columns={"start_ts": "start", "end_ts": "end"})
        return said.assign(anomaly_id=pd.Series(ids, index=said.index, dtype="Int64"))

    def _decide_anew(self, group: _Group, level: float) -> tuple[int, int]:
        row, rule = group.row, rule_at(group.row, level)
        assert row.id is not None
        found, threshold = events.spans(group.trace, rule, group.step_s, seen=group.seen)
        ts = group.trace.ts_ms
        moments = [(int(ts[a]), int(ts[b])) for a, b in found]
        span = Window(from_ms(int(ts[0])), from_ms(int(ts[-1]) + 1))
        stored = pd.concat([self.findings.anomalies(detector_id=v, window=span, limit=100_000) for v in group.versions])
        starts = np.array([to_ms(t.to_pydatetime()) for t in stored["start_ts"]], dtype=np.int64)
        ends = np.array(
            [int(ts[-1]) if pd.isna(t) else to_ms(t.to_pydatetime()) for t in stored["end_ts"]], dtype=np.int64
        )
        stays = labels.touched(moments, starts, ends)
        new = [m for m in moments if not ((starts <= m[1]) & (ends >= m[0])).any()][-MOST_NEW:]
        one = self.scoring.loaded(row) if new else None
        made = [self._put_into_words(one, row, rule, *span) for span in new if one]
        self.findings.redecide(
            group.versions, ts, threshold, [int(i) for i in stored["id"][~stays]], [m for m in made if m]
        )
        with self.database.session() as session:
            current = session.get(DetectorRow, row.id)
            assert current is not None
            current.params = {**current.params, "rule": asdict(rule)}
        return int((~stays).sum()), len(new)

    def _put_into_words(self, one: Loaded, row: DetectorRow, rule: Rule, first_ms: int, last_ms: int) -> Anomaly | None:
        """An anomaly of a span that was found in stored scores: its samples are looked at again for the reason."""
        step = one.step
        begin = from_ms(first_ms) - step * (one.detector.lookback + rule.merge)
        channels = read(self.samples, one.series, one.detector, begin, from_ms(last_ms) + step)
        if channels is None:
            return None
        rows = np.flatnonzero((channels.ts_ms >= first_ms) & (channels.ts_ms <= last_ms))
        if not rows.size:
            return None
        scored = one.detector.score(channels, int(rows[0]))
        if not np.isfinite(scored.evidence[rows]).any():
            return None
        event = events.event_of(scored, int(rows[0]), int(rows[-1]), rule, step.total_seconds())
        assert row.id is not None
        # Whether it goes on is for the next scoring to say.
        made = row_of(replace(event, open=False), scored, up_to(channels), one.detector, row.host)
        return anomaly_of(made, row.id, row.source_id)


def _usual(row: DetectorRow, trace: Trace, step_s: float) -> np.ndarray:
    """What was usual at each moment, as it was seen when it was scored: the training span was looked back on by itself,
    what came later against the part of it that calibrated."""
    step_ms, days = round(step_s * 1000), Rule().drift_days
    if row.trained_from is None or row.trained_until is None:
        return events.usual(trace.ts_ms, trace.evidence, NOTHING, days, step_ms)
    edge = int(np.searchsorted(trace.ts_ms, to_ms(row.trained_until), side="right"))
    calibrated = row.trained_until - HELD_OUT * (row.trained_until - row.trained_from)
    known = slice(int(np.searchsorted(trace.ts_ms, to_ms(calibrated))), edge)
    past = Past(trace.ts_ms[known], trace.evidence[known])
    return np.concatenate(
        [
            events.usual(trace.ts_ms[:edge], trace.evidence[:edge], NOTHING, days, step_ms),
            events.usual(trace.ts_ms[edge:], trace.evidence[edge:], past, days, step_ms),
        ],
        axis=1,
    )


def _check(level: float) -> None:
    if not LEVELS[0] <= level <= LEVELS[-1]:
        raise Invalid(f"The threshold {level:g} is not between {LEVELS[0]:g} and {LEVELS[-1]:g}.")
