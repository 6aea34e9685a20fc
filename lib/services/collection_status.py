"""How collection stands, for pages, the API and the metrics endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from lib.db.tables import SourceKind


class SourceState(StrEnum):
    """One word for a source."""

    OK = "ok"  # the last collection succeeded
    WAITING = "waiting"  # nothing collected yet, or nothing chosen to collect
    LATE = "late"  # it succeeds, but has not for several intervals
    FILLING = "filling"  # up to date, while gaps of the past are still being filled
    FAILING = "failing"  # the last collection, or that of a target, did not succeed
    OFF = "off"  # switched off


@dataclass(frozen=True)
class TargetStatus:
    """lag_s: now less what has been collected and committed; None before the first time."""

    id: int
    name: str
    expression: str
    enabled: bool
    series: int
    max_series: int
    lag_s: float | None
    last_success: datetime | None
    last_error: str
    open_gaps: int


@dataclass(frozen=True)
class SourceStatus:
    """lag_s: of its slowest enabled target. url: empty for whoever may not manage sources."""

    id: int
    name: str
    kind: SourceKind
    state: SourceState
    enabled: bool
    interval_s: float
    url: str
    lag_s: float | None
    last_success: datetime | None
    last_error: str
    open_gaps: int
    missing_s: float
    series: int
    busy: bool
    targets: tuple[TargetStatus, ...] = field(default=())


def state_of(
    enabled: bool, targets: list[TargetStatus], interval_s: float, lag_s: float | None, open_gaps: int, error: str
) -> SourceState:
    """The one word, from the facts. Late: five intervals, and never less than a minute, behind."""
    if not enabled:
        return SourceState.OFF
    if error:
        return SourceState.FAILING
    if not targets or lag_s is None:
        return SourceState.WAITING
    if lag_s > max(60.0, 5 * interval_s):
        return SourceState.LATE
    return SourceState.FILLING if open_gaps else SourceState.OK
