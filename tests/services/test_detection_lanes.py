from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd

from lib.db.tables import Detector
from lib.frames import Window
from lib.services.detection_lanes import lay

START = datetime(2026, 3, 14, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(hours=10))
DETECTORS = [Detector(id=1, source_id=1, host="a"), Detector(id=2, source_id=1, host="b", active=False)]
DETECTORS += [Detector(id=3, source_id=1, host="b"), Detector(id=4, source_id=2, host="b")]


def scores(*rows: tuple[int, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["detector_id", "slot", "score"])


def anomalies(*rows: tuple[int, int, str, float, float | None, str]) -> pd.DataFrame:
    """id, source, host, start and end in hours, severity."""
    made = [
        (i, s, h, START + timedelta(hours=a), pd.NaT if b is None else START + timedelta(hours=b), v)
        for i, s, h, a, b, v in rows
    ]
    frame = pd.DataFrame(made, columns=["id", "source_id", "host", "start_ts", "end_ts", "severity"])
    return frame.assign(end_ts=pd.to_datetime(frame["end_ts"], utc=True))


def test_lanes_are_of_groups_whatever_their_version_and_the_gravest_comes_first() -> None:
    given = lay(
        WINDOW,
        10,
        DETECTORS,
        scores((1, 0, 9.0), (2, 0, 1.0), (3, 1, 2.0), (4, 5, 3.0)),
        anomalies((7, 2, "b", 5, 5.5, "minor")),
        most=10,
    )
    assert given.groups == [(2, "b"), (1, "a"), (1, "b")]
    assert [(c.lane, c.slot, c.score) for c in given.cells.itertuples()] == [
        (0, 5, 3.0),
        (1, 0, 9.0),
        (2, 0, 1.0),
        (2, 1, 2.0),
    ]


def test_cell_holds_the_worst_anomaly_that_meets_it_and_an_open_one_goes_on_to_the_end() -> None:
    given = lay(
        WINDOW,
        10,
        DETECTORS,
        scores(*((1, slot, 1.0) for slot in range(10))),
        anomalies((1, 1, "a", 1.2, 3.1, "warning"), (2, 1, "a", 2.5, 2.6, "critical"), (3, 1, "a", 8.0, None, "major")),
        most=10,
    )
    found = {
        c.slot: (c.severity, None if pd.isna(c.anomaly_id) else int(c.anomaly_id)) for c in given.cells.itertuples()
    }
    assert found[0] == ("", None)
    assert [found[n] for n in (1, 2, 3)] == [("warning", 1), ("critical", 2), ("warning", 1)]
    assert found[8] == found[9] == ("major", 3)


def test_what_there_is_no_room_for_is_counted_and_the_end_of_the_window_is_a_cell_too() -> None:
    given = lay(WINDOW, 10, DETECTORS, scores((1, 10, 1.0), (3, 0, 2.0), (4, 0, 3.0)), anomalies(), most=2)
    assert (given.groups, given.left_out) == ([(2, "b"), (1, "b")], 1)
    whole = lay(WINDOW, 10, DETECTORS, scores((1, 10, 1.0)), anomalies(), most=2)
    assert whole.cells["slot"].tolist() == [9]
    assert (whole.cells["end"] == WINDOW.end).all()


def test_nothing_scored_gives_no_lanes() -> None:
    assert lay(WINDOW, 10, DETECTORS, scores(), anomalies(), most=2).groups == []
    assert lay(WINDOW, 10, [], scores((1, 0, 1.0)), anomalies(), most=2).groups == []
