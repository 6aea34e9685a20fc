from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from lib.db.tables import AnnotationKind
from lib.features.channels import Channel
from lib.frames import Window
from lib.services.annotations import Mark
from lib.services.detection_history import History
from lib.services.detection_lanes import Lanes
from lib.ui import anomaly_charts, lane_chart

START = datetime(2026, 3, 14, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(hours=10))
HOUR = timedelta(hours=1)
HOSTILE = "<img src=x onerror=alert(1)> %{x}"


def history(**more: object) -> History:
    ts = pd.Series(pd.date_range(START, periods=20, freq="30min"))
    ones = np.ones(20)
    points = pd.DataFrame({"ts": ts, "actual": ones, "low": 0 * ones, "expected": ones, "high": 2 * ones})
    scores = pd.DataFrame({"ts": ts, "score": ones, "confidence": 0 * ones, "threshold": 3 * ones})
    anomalies = pd.DataFrame({name: [] for name in ("id", "start_ts", "end_ts")})
    return History(Channel("CPU", "cpu", "%", (1,)), "web-01", WINDOW, points, scores, anomalies, **more)  # type: ignore[arg-type]


def words(figure) -> list[str]:
    return [a.text for a in figure.layout.annotations]


def mark(kind: AnnotationKind, start: datetime, end: datetime | None, text: str = "") -> Mark:
    return Mark(1, kind, None, "", start, end, text, "ann")


def test_maintenance_deploys_gaps_and_training_are_drawn_and_named() -> None:
    figure = anomaly_charts.timeline(
        history(
            marks=[
                mark(AnnotationKind.MAINTENANCE, START - HOUR, START + HOUR, "disks"),
                mark(AnnotationKind.DEPLOY, START + 3 * HOUR, None, "shop 4.2"),
            ],
            gaps=[Window(START + 5 * HOUR, START + 6 * HOUR)],
            trained=Window(START - 100 * HOUR, START + 2 * HOUR),
        )
    )
    assert {"maintenance: disks", "deploy: shop 4.2", "nothing collected", "in training"} <= set(words(figure))
    first_ms, last_ms = WINDOW.start.timestamp() * 1000, WINDOW.end.timestamp() * 1000
    assert all(first_ms <= shape.x0 <= shape.x1 <= last_ms for shape in figure.layout.shapes)


def test_nothing_marked_draws_nothing_more() -> None:
    assert words(anomaly_charts.timeline(history())) == []
    before = Window(START - 9 * HOUR, START - HOUR)
    assert words(anomaly_charts.timeline(history(trained=before))) == []


def test_text_of_a_mark_is_inert() -> None:
    (text,) = words(anomaly_charts.timeline(history(marks=[mark(AnnotationKind.NOTE, START + HOUR, None, HOSTILE)])))
    assert "<img" not in text


def lanes(severities: list[str]) -> Lanes:
    starts = [START + n * HOUR for n in range(len(severities))]
    cells = pd.DataFrame(
        {
            "lane": [0] * len(starts),
            "slot": range(len(starts)),
            "start": starts,
            "end": [s + HOUR for s in starts],
            "score": [3.0] * len(starts),
            "severity": severities,
            "anomaly_id": range(len(starts)),
        }
    )
    return Lanes(WINDOW, 10, [(1, HOSTILE)], cells)


def test_lanes_tell_severities_apart_by_symbol_as_well_as_colour() -> None:
    figure = lane_chart.lanes(lanes(["critical", "major", "minor", "warning", ""]))
    called = [trace for trace in figure.data if trace.name != "watched"]
    assert len({trace.marker.symbol for trace in called}) == 4
    assert len({trace.marker.color for trace in called}) == 4
    # What a click hands back is the cell's own number.
    assert [int(trace.customdata[0][0]) for trace in called] == [0, 1, 2, 3]


def test_lanes_name_hosts_inertly_and_say_in_words_what_they_show() -> None:
    figure = lane_chart.lanes(lanes(["critical", ""]))
    assert "<img" not in figure.layout.yaxis.ticktext[0]
    assert all("<img" not in text for trace in figure.data for text in trace.text or ())
    assert "1 of 2 watched cells" in figure.layout.meta["alt"]
