"""Commands from chat: proposed with exact arguments, and done only when the same person approves exactly those."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import update
from sqlmodel import col, select

from lib.audit.log import Audit
from lib.auth.actor import Actor, ActorKind, Permission
from lib.chat.times import iso_moment
from lib.db.database import Database
from lib.db.tables import Proposal, ProposalStatus
from lib.errors import AppError, Conflict, Forbidden, Invalid, NotFound
from lib.services.collection import Collection
from lib.services.detection import Detection
from lib.services.forecasting import Forecasting

log = logging.getLogger(__name__)

# Long enough to read and think, short enough that what was true then still is.
VALID = timedelta(minutes=15)
NEEDS: Mapping[str, Permission] = {
    "collect": Permission.COLLECT,
    "detect": Permission.DETECT,
    "forecast": Permission.RUN_TASKS,
    "label": Permission.LABEL,
}


class Commands:
    """Whoever asked decides, within a quarter of an hour, once. Rights are checked when asked and when approved."""

    def __init__(
        self,
        database: Database,
        collection: Collection,
        detection: Detection,
        forecasting: Forecasting,
        audit: Audit,
        clock: Callable[[], datetime],
    ) -> None:
        self.database, self.audit, self.clock = database, audit, clock
        self.collection, self.detection, self.forecasting = collection, detection, forecasting

    def propose(self, actor: Actor, action: str, arguments: Mapping[str, Any], summary: str) -> Proposal:
        """Keep a command for approval; nothing is done. Raises Forbidden for who may not, or has no account."""
        self._require(actor, action)
        now = self.clock()
        given = dict(arguments)
        row = Proposal(
            user_id=actor.id or 0,
            action=action,
            arguments=given,
            digest=digest(action, given, actor.id or 0),
            summary=summary,
            created_at=now,
            expires_at=now + VALID,
        )
        with self.database.session() as session:
            session.add(row)
        self.audit.record(actor, "command.propose", action, proposal=row.id, **_told(given))
        return row

    def of(self, actor: Actor, ids: Sequence[int]) -> list[Proposal]:
        """One's own among these, as they stand now. Others' are not found."""
        if actor.kind is not ActorKind.USER or actor.id is None or not ids:
            return []
        with self.database.session() as session:
            wanted = select(Proposal).where(col(Proposal.id).in_(list(ids)), Proposal.user_id == actor.id)
            rows = list(session.exec(wanted.order_by(col(Proposal.id))))
        for row in rows:
            if row.status == ProposalStatus.WAITING and self.clock() >= row.expires_at:
                row.status = ProposalStatus.EXPIRED
        return rows

    def approve(self, actor: Actor, proposal_id: int, shown: str) -> Proposal:
        """Carry it out, once. shown: the digest of what the person saw.

        What fails is kept as the outcome, not raised. Raises NotFound, Forbidden, Invalid for other than shown,
        Conflict when it was decided before or expired.
        """
        row = self._own(actor, proposal_id)
        self._require(actor, row.action)
        if shown != row.digest or digest(row.action, row.arguments, row.user_id) != row.digest:
            self.audit.record(actor, "command.approve", row.action, "refused", proposal=proposal_id)
            raise Invalid("What would be done is not what was shown; ask for it again.")
        self._claim(row, ProposalStatus.RUNNING)
        try:
            row.outcome, row.status = self._do(actor, row.action, row.arguments), ProposalStatus.DONE
        except AppError as error:
            row.outcome, row.status = error.message, ProposalStatus.FAILED
        except Exception:
            log.exception("an approved command failed", extra={"proposal": proposal_id})
            row.outcome, row.status = "It failed inside; the log of the app says more.", ProposalStatus.FAILED
        self._keep(row)
        done = "ok" if row.status == ProposalStatus.DONE else "failed"
        self.audit.record(actor, "command.approve", row.action, done, proposal=proposal_id, **_told(row.arguments))
        return row

    def reject(self, actor: Actor, proposal_id: int) -> Proposal:
        """Never do it. Raises NotFound, Conflict."""
        row = self._own(actor, proposal_id)
        self._claim(row, ProposalStatus.REJECTED)
        row.status = ProposalStatus.REJECTED
        self.audit.record(actor, "command.reject", row.action, proposal=proposal_id)
        return row

    def _require(self, actor: Actor, action: str) -> None:
        if action not in NEEDS:
            raise Invalid(f"There is no command {action!r}; there are {', '.join(NEEDS)}.")
        actor.require(NEEDS[action])
        if actor.kind is not ActorKind.USER or actor.id is None:
            raise Forbidden(
                "Commands are for people who are signed in: somebody has to press Approve.",
                permission=NEEDS[action].name,
            )

    def _own(self, actor: Actor, proposal_id: int) -> Proposal:
        found = self.of(actor, [proposal_id])
        if not found:
            raise NotFound(f"There is no command {proposal_id} of yours that waits.")
        return found[0]

    def _claim(self, row: Proposal, status: ProposalStatus) -> None:
        """Decide, unless somebody did: of two at the same time one wins."""
        now = self.clock()
        waiting = (
            update(Proposal)
            .where(
                col(Proposal.id) == row.id,
                col(Proposal.status) == ProposalStatus.WAITING.value,
                col(Proposal.expires_at) > now,
            )
            .values(status=status.value, decided_at=now)
        )
        with self.database.session() as session:
            claimed = session.connection().execute(waiting).rowcount
        if not claimed:
            if now >= row.expires_at:
                raise Conflict(f"This waited longer than {VALID.seconds // 60} minutes and expired; ask for it again.")
            raise Conflict("This was decided before; it is done once at most.")

    def _keep(self, row: Proposal) -> None:
        with self.database.session() as session:
            current = session.get(Proposal, row.id)
            if current is not None:
                current.status, current.outcome = str(row.status), row.outcome
                session.add(current)

    def _do(self, actor: Actor, action: str, given: Mapping[str, Any]) -> str:
        if action == "collect":
            outcomes = self.collection.collect_now(actor, given.get("source_id"))
            return f"Collected from {', '.join(outcomes) or 'no source'}."
        if action == "detect":
            task = self.detection.train(actor, int(given["source_id"]), str(given["host"]))
            return f"Task {task.id} trains the detector; see the Tasks page."
        if action == "forecast":
            horizon = timedelta(hours=int(given["hours"]))
            task = self.forecasting.forecast(
                actor, metric=str(given["metric"]), host=str(given["host"]) or None, horizon=horizon
            )
            return f"Task {task.id} makes the forecast; ask again when it is done."
        found = self.detection.anomaly(actor, int(given["anomaly"]))
        if iso_moment(found["start_ts"]) != given["start"]:
            raise Conflict(f"Anomaly {given['anomaly']} is another one by now; ask for it again.")
        self.detection.labels.give(actor, int(given["anomaly"]), str(given["verdict"]))
        return f"Anomaly {given['anomaly']} is labelled {given['verdict']}."


def digest(action: str, arguments: Mapping[str, Any], user_id: int) -> str:
    """What stands for exactly this command of exactly this person."""
    text = json.dumps([action, dict(arguments), user_id], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _told(arguments: Mapping[str, Any]) -> dict[str, str]:
    return {"arguments": json.dumps(dict(arguments), sort_keys=True)}
