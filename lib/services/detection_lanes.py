"""All groups over time at a glance: one lane a host, one cell a part of the window, worst lane first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from lib.anomaly.events import Severity
from lib.db.tables import Detector as DetectorRow
from lib.frames import Window

GRADES = list(Severity)


@dataclass(frozen=True)
class Lanes:
    """groups: source_id and host of each lane, worst first; left_out: how many lanes there was no room for.

    cells: lane, slot, start, end, score (highest evidence), severity ('' where nothing was called), anomaly_id of the
    worst (None), one row a cell in which something was scored.
    """

    window: Window
    slots: int
    groups: list[tuple[int, str]]
    cells: pd.DataFrame
    left_out: int = 0


def lay(
    window: Window,
    slots: int,
    detectors: Sequence[DetectorRow],
    scores: pd.DataFrame,
    anomalies: pd.DataFrame,
    most: int,
) -> Lanes:
    """detectors: of every version. scores: as `Findings.lanes` gives them. anomalies: those to be shown."""
    group_of = {d.id: (d.source_id, d.host) for d in detectors}
    scores = scores[scores["detector_id"].isin(list(group_of))]
    keys = [group_of[i] for i in scores["detector_id"]]
    worst: dict[tuple[tuple[int, str], int], float] = {}
    for key, slot, score in zip(keys, scores["slot"], scores["score"], strict=True):
        place = key, min(int(slot), slots - 1)
        worst[place] = max(float(score), worst.get(place, 0.0))
    called = _called(window, slots, anomalies)
    order: dict[tuple[int, str], tuple[int, float]] = {}
    for (key, slot), score in worst.items():
        grade, _ = called.get((key, slot), (-1, None))
        order[key] = max(order.get(key, (-1, 0.0)), (grade, score))
    groups = sorted(order, key=lambda key: (order[key], key), reverse=True)
    shown = {key: lane for lane, key in enumerate(groups[:most])}
    width = window.span / slots
    rows = []
    for (key, slot), score in worst.items():
        if key in shown:
            grade, anomaly_id = called.get((key, slot), (-1, None))
            start = window.start + slot * width
            severity = str(GRADES[grade]) if grade >= 0 else ""
            rows.append((shown[key], slot, start, start + width, score, severity, anomaly_id))
    cells = pd.DataFrame(rows, columns=["lane", "slot", "start", "end", "score", "severity", "anomaly_id"])
    cells = cells.sort_values(["lane", "slot"], ignore_index=True)
    return Lanes(window, slots, groups[:most], cells, max(len(groups) - most, 0))


def _called(
    window: Window, slots: int, anomalies: pd.DataFrame
) -> dict[tuple[tuple[int, str], int], tuple[int, int | None]]:
    """The worst severity, as a grade, and the anomaly it is of, by group and slot."""
    found: dict[tuple[tuple[int, str], int], tuple[int, int | None]] = {}
    for row in anomalies.itertuples():
        grade = GRADES.index(Severity(row.severity)) if row.severity in GRADES else 0
        end = window.end if pd.isna(row.end_ts) else row.end_ts
        for slot in range(_slot(window, slots, row.start_ts), _slot(window, slots, end) + 1):
            place = (row.source_id, row.host), slot
            if place not in found or grade > found[place][0]:
                found[place] = grade, int(row.id)
    return found


def _slot(window: Window, slots: int, moment: datetime) -> int:
    return int(np.clip((moment - window.start) / window.span * slots, 0, slots - 1))
