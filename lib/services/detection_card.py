"""What a detector is: what it watches and leaves out, what it learnt from, what it cannot know yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lib.anomaly.events import Rule
from lib.anomaly.options import Options
from lib.db.tables import Detector as DetectorRow
from lib.features.baseline import MIN_DAYS, MIN_DAYS_WEEK, MIN_DAYS_WEEKEND
from lib.features.channels import Channel
from lib.services.detection_scoring import Loaded, rule_of


@dataclass(frozen=True)
class Card:
    """left_out: (title, reason) of what is not watched. limits: what it cannot know yet, and from when it can, in
    sentences."""

    id: int
    source_id: int
    host: str
    version: int
    created_by: str
    created_at: datetime
    trained_from: datetime | None
    trained_until: datetime | None
    channels: tuple[Channel, ...]
    left_out: tuple[tuple[str, str], ...]
    options: Options
    rule: Rule
    metrics: dict[str, Any]
    step_s: float
    limits: tuple[str, ...]


def card(row: DetectorRow, one: Loaded) -> Card:
    """row: as the database has it; one: its files."""
    plan = one.detector.plan
    assert row.id is not None
    return Card(
        row.id,
        row.source_id,
        row.host,
        row.version,
        row.created_by,
        row.created_at,
        row.trained_from,
        row.trained_until,
        plan.channels,
        plan.left_out,
        one.detector.options,
        rule_of(row),
        dict(row.metrics),
        plan.grid.step_s,
        tuple(_limits(row, one)),
    )


def _limits(row: DetectorRow, one: Loaded) -> list[str]:
    days = one.detector.spec.days
    said = []
    if days < MIN_DAYS:
        said.append(
            f"It saw {days:.1f} days: a daily rhythm takes {MIN_DAYS:g}, and until then each busy hour may look odd."
        )
    elif days < MIN_DAYS_WEEKEND:
        said.append(
            f"It saw {days:.1f} days: weekends are told from weekdays from {MIN_DAYS_WEEKEND:g} days on; until then a "
            "quiet Sunday may look odd."
        )
    elif days < MIN_DAYS_WEEK:
        said.append(f"It saw {days:.1f} days: what each weekday does apart is learnt from {MIN_DAYS_WEEK:g} days on.")
    constant = [title for title, reason in one.detector.plan.left_out if reason == "constant"]
    if constant:
        more = f" and {len(constant) - 2} more" if len(constant) > 2 else ""
        said.append(
            f"Never changed while it learnt, so not watched: {', '.join(constant[:2])}{more}. Train again once that "
            "changes."
        )
    strange, points = row.metrics.get("left_out_as_strange", 0), row.metrics.get("points", 0)
    if points and strange > 0.2 * points:
        said.append(
            f"{strange / points:.0%} of the span looked strange and was not learnt from; a quieter span, or a longer "
            "one, makes a better detector."
        )
    return said
