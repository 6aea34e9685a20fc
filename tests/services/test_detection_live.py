from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.tables import Detector, TaskStatus
from lib.frames import Block, Window, to_ms
from lib.services.detection_live import Live
from lib.services.detection_scoring import Scoring
from lib.settings import TaskMode
from tests.conftest import FakeClock
from tests.services.test_detection import STEP, blocks, make_source, train

ANALYST = Actor("ann", Role.ANALYST)
HELD_BACK = timedelta(hours=14)  # of samples, with the fault in them, that come one by one


@pytest.fixture
def trained(app: App, clock: FakeClock) -> Iterator[tuple[App, int, list[Block]]]:
    """A host learnt from before the fault; what comes after is still to be collected."""
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    source_id = make_source(app)
    every = blocks(clock(), "web-01")
    edge = to_ms(clock() - HELD_BACK)
    app.samples.append(source_id, [_part(b, b.ts_ms < edge) for b in every])
    clock.advance(hours=-HELD_BACK.total_seconds() / 3600)
    assert train(app, source_id).status == TaskStatus.SUCCEEDED
    yield app, source_id, every


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each time that scoring had to begin from what is stored."""
    rows: list[int] = []
    begin = Live.begin.__func__

    def counted(cls: type[Live], detector, channels, since: int) -> Live:
        rows.append(int(channels.ts_ms.size))
        return begin(cls, detector, channels, since)

    monkeypatch.setattr(Live, "begin", classmethod(counted))
    return rows


def _part(block: Block, which: np.ndarray) -> Block:
    return Block(block.metric, block.labels, block.ts_ms[which], block.value[which])


def collect(app: App, source_id: int, every: list[Block], start: datetime, end: datetime, late: float = 0) -> None:
    """What lies in a span is stored, and scored, as after a collection."""
    a, b = to_ms(start), to_ms(end)
    app.samples.append(source_id, [_part(one, (one.ts_ms >= a) & (one.ts_ms < b)) for one in every])
    app.detection.update(source_id, Window(start - timedelta(seconds=late), end))


def come(app: App, clock: FakeClock, source_id: int, every: list[Block], steps: int) -> None:
    for _ in range(steps):
        before = clock()
        clock.advance(seconds=STEP.total_seconds())
        collect(app, source_id, every, before, clock())


def row_of(app: App, source_id: int) -> Detector:
    (row,) = app.detection.scoring.active(source_id)
    return row


def stored(app: App, row: Detector, start: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    window = Window(start, app.clock() + timedelta(days=1))
    return app.detection.findings.scores(row.id, window), app.detection.findings.anomalies(window=window)


def anew(app: App, row: Detector, start: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As a process that was just started scores the same samples at once."""
    app.detection.scoring.__dict__.update(Scoring(app.database, app.samples, app.detection.registry).__dict__)
    app.detection.scoring.score(row, Window(start, app.clock() + STEP))
    return stored(app, row, start)


def alike(one: pd.DataFrame, other: pd.DataFrame) -> None:
    assert one["ts"].tolist() == other["ts"].tolist()
    away = np.abs(one["score"] - other["score"])
    # An average that remembers for ever begins anew with weights below a millionth.
    assert away.median() < 1e-6 and away.max() < 0.05


def test_sample_by_sample_gives_what_all_at_once_gives_and_begins_once(
    trained: tuple, clock: FakeClock, begun: list[int]
) -> None:
    app, source_id, every = trained
    start = clock()
    come(app, clock, source_id, every, 120)
    assert len(begun) == 1
    row = row_of(app, source_id)
    scores, found = stored(app, row, start)
    assert len(scores) >= 119
    assert (found["severity"] != "warning").any()
    scores_anew, found_anew = anew(app, row, start)
    alike(scores, scores_anew)
    assert found[["start_ts", "end_ts", "severity"]].equals(found_anew[["start_ts", "end_ts", "severity"]])
    assert all(e["forest"] for e in found["explanation"])


def test_restart_in_the_middle_of_the_fault_goes_on_from_what_is_stored(
    trained: tuple, clock: FakeClock, begun: list[int]
) -> None:
    app, source_id, every = trained
    start = clock()
    come(app, clock, source_id, every, 53)  # into the fault
    app.detection.scoring.__dict__.update(Scoring(app.database, app.samples, app.detection.registry).__dict__)
    come(app, clock, source_id, every, 40)
    assert len(begun) == 2
    row = row_of(app, source_id)
    scores, found = stored(app, row, start)
    scores_anew, found_anew = anew(app, row, start)
    alike(scores, scores_anew)
    assert len(found) == len(found_anew)


def test_samples_that_come_late_and_gaps_are_scored_as_if_they_had_always_been_there(
    trained: tuple, clock: FakeClock
) -> None:
    app, source_id, every = trained
    start = clock()
    come(app, clock, source_id, every, 20)
    clock.advance(hours=2)  # nothing comes for two hours, then all at once
    collect(app, source_id, every, clock() - timedelta(hours=1), clock())
    come(app, clock, source_id, every, 10)
    late = start + 20 * STEP
    collect(app, source_id, every, late, late + timedelta(hours=1))
    app.detection.update(source_id, Window(late, clock()))
    come(app, clock, source_id, every, 10)
    row = row_of(app, source_id)
    scores, _ = stored(app, row, start)
    scores_anew, _ = anew(app, row, start)
    alike(scores, scores_anew)


def test_retired_detector_holds_nothing(trained: tuple, clock: FakeClock) -> None:
    app, source_id, every = trained
    come(app, clock, source_id, every, 3)
    assert app.detection.scoring._live
    app.detection.retire(ANALYST, row_of(app, source_id).id or 0)
    assert not app.detection.scoring._live
