"""Guessing passwords made slow: after some failures an account and an address have to wait."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlmodel import Session, col, delete, select

from lib.auth.address import network_of
from lib.db.database import Database
from lib.db.tables import SignInFailure
from lib.errors import TooMany


class Lockout:
    """Counts by the name as typed, whether or not there is such a user, so that the wait tells nothing."""

    def __init__(self, database: Database, clock: Callable[[], datetime], failures: int, minutes: float) -> None:
        self.database, self.clock = database, clock
        self.failures, self.span = failures, timedelta(minutes=minutes)

    def attempt(self, username: str, address: str) -> int:
        """Count an attempt as failed before the password is checked: many at once get no more guesses than one by
        one. Raises TooMany while locked. Returns what `succeeded` takes back."""
        now = self.clock()
        with self.database.exclusive("sign-in") as session:
            session.exec(delete(SignInFailure).where(col(SignInFailure.at) <= now - 2 * self.span))
            until = max(
                (
                    locked
                    for locked in (
                        self._locked_until(session, col(SignInFailure.username) == username[:64]),
                        self._locked_until(session, col(SignInFailure.address) == network_of(address))
                        if address
                        else None,
                    )
                    if locked
                ),
                default=None,
            )
            if until and until > now:
                wait_s = math.ceil((until - now).total_seconds())
                raise TooMany(
                    f"Too many failed sign-ins. Try again in {_spoken(wait_s)}, at {until:%H:%M:%S} UTC.",
                    retry_after_s=wait_s,
                )
            failure = SignInFailure(at=now, username=username[:64], address=network_of(address))
            session.add(failure)
            session.flush()
            return int(failure.id or 0)

    def succeeded(self, attempt: int, username: str, address: str) -> None:
        """Forget this attempt, and what this person mistyped here before. Other accounts' failures from this address
        stay: else one's own account would be a way to go on guessing."""
        with self.database.session() as session:
            session.exec(
                delete(SignInFailure).where(
                    (col(SignInFailure.id) == attempt)
                    | (
                        (col(SignInFailure.username) == username[:64])
                        & (col(SignInFailure.address) == network_of(address))
                    )
                )
            )

    def release(self, username: str) -> int:
        """An administrator lifts an account's lockout; how many failures were forgotten."""
        with self.database.session() as session:
            return int(session.exec(delete(SignInFailure).where(col(SignInFailure.username) == username[:64])).rowcount)

    def recent(self, limit: int = 200) -> list[SignInFailure]:
        """Failures still remembered, newest first."""
        with self.database.session() as session:
            return list(session.exec(select(SignInFailure).order_by(col(SignInFailure.at).desc()).limit(limit)))

    def _locked_until(self, session: Session, whose: object) -> datetime | None:
        latest = session.exec(
            select(SignInFailure.at)
            .where(whose)  # type: ignore[arg-type]
            .order_by(col(SignInFailure.at).desc(), col(SignInFailure.id).desc())
            .limit(self.failures)
        ).all()
        if len(latest) < self.failures or latest[0] - latest[-1] >= self.span:
            return None
        return latest[0] + self.span


def _spoken(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return " ".join(part for part in (f"{minutes} min" if minutes else "", f"{rest} s" if rest else "") if part)
