"""What people said of anomalies: who, when, and of which span; found again whatever scored it since."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pandas as pd
from sqlmodel import Session, col, select

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.db.database import Database
from lib.db.tables import AnomalyLabel, Verdict
from lib.errors import Invalid, NotFound
from lib.frames import Window
from lib.services.annotations import Annotations, muting
from lib.store.findings import Findings

MOST_NOTE = 500
LONGEST = timedelta(days=30)
COLUMNS = ("verdict", "note", "labelled_by", "labelled_at", "muted")


class Labels:
    """One label a span of a group: saying something else of it replaces what was said."""

    def __init__(
        self,
        database: Database,
        findings: Findings,
        annotations: Annotations,
        audit: Audit,
        clock: Callable[[], datetime],
    ) -> None:
        self.database, self.findings, self.annotations = database, findings, annotations
        self.audit, self.clock = audit, clock

    def give(self, actor: Actor, anomaly_id: int, verdict: str, note: str = "") -> AnomalyLabel:
        """Label an anomaly. Raises NotFound for one that is gone, Invalid for a verdict there is not."""
        actor.require(Permission.LABEL)
        found = self.findings.anomaly(anomaly_id)
        if found is None:
            raise NotFound(f"There is no anomaly {anomaly_id}; it may have been found anew under another number.")
        end = found.end_ts or max(self.clock(), found.start_ts)
        return self.give_span(actor, found.source_id, found.host, Window(found.start_ts, end), verdict, note)

    def toggle(self, actor: Actor, anomaly_id: int, verdict: str) -> str:
        """Label an anomaly, or take back the same label; what was done, in words."""
        actor.require(Permission.LABEL)
        found = self.findings.anomaly(anomaly_id)
        if found is not None:
            said = self.attach(self.findings.anomalies(ids=[anomaly_id]))
            if len(said) and said["verdict"].iloc[0] == verdict:
                end = found.end_ts or max(self.clock(), found.start_ts)
                self.take_back(actor, found.source_id, found.host, Window(found.start_ts, end))
                return "Taken back."
        self.give(actor, anomaly_id, verdict)
        return f"Called {verdict}. The next training and the advice on thresholds heed it."

    def give_span(
        self, actor: Actor, source_id: int, host: str, window: Window, verdict: str, note: str = ""
    ) -> AnomalyLabel:
        """Label a span of a group, also one in which nothing was found: a fault that was missed is worth knowing."""
        actor.require(Permission.LABEL)
        if verdict not in list(Verdict):
            raise Invalid(f"The verdict {verdict!r} is none of {', '.join(Verdict)}.")
        if len(note) > MOST_NOTE:
            raise Invalid(f"The note has {len(note)} characters; {MOST_NOTE} are room for.")
        if not timedelta(0) <= window.span <= LONGEST:
            raise Invalid(f"A labelled span is at most {LONGEST.days} days long.")
        row = AnomalyLabel(
            source_id=source_id,
            host=host,
            start_at=window.start,
            end_at=window.end,
            verdict=verdict,
            note=note.replace("\0", "").strip(),
            created_by=actor.name,
            created_at=self.clock(),
        )
        with self.database.exclusive("labels") as session:
            before = [self._drop(session, old) for old in self._meeting(session, source_id, host, window)]
            session.add(row)
        said = {"verdict": verdict, "start": window.start.isoformat(), "end": window.end.isoformat()}
        self.audit.record(actor, "anomaly.label", host, source_id=source_id, **said, instead_of=", ".join(before))
        return row

    def take_back(self, actor: Actor, source_id: int, host: str, window: Window) -> int:
        """Remove what was said of a span; how many labels that were."""
        actor.require(Permission.LABEL)
        with self.database.exclusive("labels") as session:
            gone = [self._drop(session, old) for old in self._meeting(session, source_id, host, window)]
        if gone:
            self.audit.record(actor, "anomaly.unlabel", host, source_id=source_id, verdicts=", ".join(gone))
        return len(gone)

    def all(self, actor: Actor, source_id: int | None = None, host: str | None = None) -> list[AnomalyLabel]:
        """Labels of a source and host, or of all, newest span first."""
        actor.require(Permission.VIEW)
        return self.of(source_id, host)

    def of(self, source_id: int | None = None, host: str | None = None) -> list[AnomalyLabel]:
        """As `all`, for the app's own parts."""
        wanted = select(AnomalyLabel).order_by(col(AnomalyLabel.start_at).desc())
        if source_id is not None:
            wanted = wanted.where(AnomalyLabel.source_id == source_id)
        if host is not None:
            wanted = wanted.where(AnomalyLabel.host == host)
        with self.database.session() as session:
            return list(session.exec(wanted).all())

    def attach(self, found: pd.DataFrame) -> pd.DataFrame:
        """Anomalies with what was said of them: verdict, note, labelled_by, labelled_at, and muted (why, or empty)."""
        found = found.copy()
        if found.empty:
            return found.assign(**{name: pd.Series(dtype=object) for name in COLUMNS})
        now = pd.Timestamp(self.clock())
        ends = found["end_ts"].fillna(max(now, found["start_ts"].max()))
        span = Window(found["start_ts"].min().to_pydatetime(), ends.max().to_pydatetime() + timedelta(seconds=1))
        marks = self.annotations.between(span)
        by_group: dict[tuple[int, str], list[AnomalyLabel]] = {}
        for one in self.of():
            by_group.setdefault((one.source_id, one.host), []).append(one)
        rows = []
        for row, end in zip(found.itertuples(), ends, strict=True):
            label = _furthest_over(by_group.get((row.source_id, row.host), []), row.start_ts, end)
            mark = muting(marks, row.source_id, row.host, row.start_ts, end)
            rows.append(
                (
                    label.verdict if label else "",
                    label.note if label else "",
                    label.created_by if label else "",
                    label.created_at if label else None,
                    f"{mark.kind}{': ' + mark.text if mark.text else ''}" if mark else "",
                )
            )
        for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True):
            found[name] = pd.Series(column, index=found.index, dtype=object)
        return found

    def forget(self, source_id: int) -> None:
        """What was said of a source that is removed."""
        with self.database.session() as session:
            for row in session.exec(select(AnomalyLabel).where(AnomalyLabel.source_id == source_id)):
                session.delete(row)

    def _meeting(self, session: Session, source_id: int, host: str, window: Window) -> Sequence[AnomalyLabel]:
        wanted = select(AnomalyLabel).where(
            AnomalyLabel.source_id == source_id,
            AnomalyLabel.host == host,
            col(AnomalyLabel.start_at) <= window.end,
            col(AnomalyLabel.end_at) >= window.start,
        )
        return session.exec(wanted).all()

    def _drop(self, session: Session, label: AnomalyLabel) -> str:
        session.delete(label)
        return label.verdict


def _furthest_over(labels: Sequence[AnomalyLabel], start: datetime, end: datetime) -> AnomalyLabel | None:
    """The label that shares most time with a span."""
    meeting = [label for label in labels if label.start_at <= end and label.end_at >= start]
    return max(meeting, key=lambda label: min(label.end_at, end) - max(label.start_at, start), default=None)
