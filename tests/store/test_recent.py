"""What is kept of the newest samples says what the file says, whatever is written meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from lib import frames
from lib.frames import Block, Window
from lib.store import recent
from lib.store.connection import Store
from lib.store.readings import Readings
from lib.store.samples import Samples
from tests.store.archive_parts import FIRST_DAY, STALE, content, filled, run
from tests.store.conftest import START, START_MS

HOUR = Window(START, START + timedelta(hours=1))


def told(samples: Samples, ids: list[int], window: Window) -> list[tuple[int, int, int]]:
    frame = samples.read(ids, window)
    times = frame["ts"].dt.as_unit("ms").astype("int64")
    bits = np.ascontiguousarray(frame["value"]).view(np.int64)
    return list(zip(frame["series_id"], times, bits.tolist(), strict=True))


def stored(samples: Samples, ids: list[int], window: Window) -> list[tuple[int, int, int]]:
    with samples.store.read() as cursor:
        rows = cursor.execute(
            "SELECT series_id, epoch_ms(ts) AS t, value FROM samples WHERE list_contains(?, series_id) "
            "AND epoch_ms(ts) >= ? AND epoch_ms(ts) < ? ORDER BY 1, 2",
            [ids, frames.to_ms(window.start), frames.to_ms(window.end)],
        ).fetchnumpy()
    bits = np.ascontiguousarray(rows["value"]).view(np.int64)
    return list(zip(rows["series_id"].tolist(), rows["t"].tolist(), bits.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_every_read_says_what_the_file_says(samples: Samples, seed: int) -> None:
    """New, late, repeated and out-of-window samples of four series, read by windows that begin and end anywhere."""
    rng = np.random.default_rng(seed)
    now = served = 0
    for _ in range(80):
        batch = []
        for name in rng.choice(4, rng.integers(1, 5)):
            at = now - int(rng.integers(0, 400)) if rng.random() < 0.3 else now
            ts = START_MS + np.sort(rng.choice(np.arange(at, at + 200), rng.integers(1, 12), replace=False)) * 1000
            value = rng.normal(size=ts.size)
            value[rng.random(ts.size) < 0.1] = STALE
            batch.append(Block("load", {"host": str(name)}, ts, value))
        samples.append(1, batch)
        now += int(rng.integers(0, 200))
        known = [series.id for series in samples.find()]
        for _ in range(3):
            ids = rng.choice(known, rng.integers(1, len(known) + 1), replace=False).tolist()
            start = START + timedelta(seconds=int(rng.integers(-100, now + 100)))
            window = Window(start, start + timedelta(seconds=int(rng.choice([rng.integers(0, 900), now + 1000]))))
            edges = frames.to_ms(window.start), frames.to_ms(window.end)
            served += samples.store.catalog.recent.get(ids, *edges) is not None
            assert told(samples, ids, window) == stored(samples, ids, window)
    assert served > 20, "memory was hardly asked, so that hardly anything was tested"


def test_second_look_asks_no_database(samples: Samples, block: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    samples.append(1, [block(np.arange(10.0)), block(np.arange(5.0), instance="b:1")])
    ids = [series.id for series in samples.find()]
    first = samples.read(ids, HOUR)
    samples.append(1, [block([99.0], at=300)])
    monkeypatch.setattr(samples.store, "read", None)
    again = samples.read(ids, HOUR)
    assert len(again) == len(first) + 1 and 99.0 in again["value"].to_numpy()
    assert Readings(samples.store, 2.0).few(ids, HOUR, 16) is not None
    assert Readings(samples.store, 2.0).few(ids, HOUR, 15) is None


def test_what_a_caller_changes_in_its_frame_stays_its_own(samples: Samples, block: Callable) -> None:
    samples.append(1, [block(np.arange(10.0))])
    one = samples.find()[0].id
    for _ in range(2):
        frame = samples.read([one], HOUR)
        frame.loc[0, "value"] = -1.0
    assert samples.read([one], HOUR)["value"].tolist() == list(range(10))


def test_removed_source_is_forgotten(samples: Samples, block: Callable) -> None:
    samples.append(1, [block(np.arange(10.0))])
    one = samples.find()[0].id
    samples.read([one], HOUR)
    samples.forget_source(1)
    assert samples.read([one], HOUR).empty


def test_failed_write_leaves_no_trace(samples: Samples, block: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    samples.append(1, [block(np.arange(10.0))])
    one = samples.find()[0].id
    samples.read([one], HOUR)
    monkeypatch.setattr("lib.store.samples._move_watermark", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        samples.append(1, [block([5.0], at=400)], ("all", START))
    assert told(samples, [one], HOUR) == stored(samples, [one], HOUR)


def test_archiving_and_expiring_show_at_once(tmp_path: Path) -> None:
    samples = filled(tmp_path / "metrics.duckdb")
    ids = [series.id for series in samples.find()]
    start = frames.from_ms(FIRST_DAY * 86_400_000)
    window = Window(start, start + timedelta(days=4))
    before = told(samples, ids[:3], window)
    run(samples.store, tmp_path)
    assert told(samples, ids[:3], window) == before == stored(samples, ids[:3], window)
    with samples.store.write() as cursor:
        name = cursor.execute("SELECT name FROM archive_parts WHERE tier = 'raw' ORDER BY day").fetchall()[0][0]
    samples.store.archive.set_aside(
        next(part for part in samples.store.archive._seen.parts if part.name == name), "a test says so"
    )
    assert told(samples, ids[:3], window) == stored(samples, ids[:3], window) != before
    assert content(samples.store)
    samples.store.close()


def test_what_was_acknowledged_is_seen_and_nothing_twice(store: Store) -> None:
    """Three readers beside a writer."""
    samples = Samples(store)
    samples.append(1, [Block("load", {"host": "a"}, np.array([START_MS]), np.zeros(1))])
    one, acknowledged, wrong = samples.find()[0].id, [1], []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            sure = acknowledged[0]
            values = samples.read([one], HOUR)["value"].tolist()
            if len(values) < sure or values != list(range(len(values))):
                wrong.append((sure, values))
            if len(values) % 7 == 0:
                store.catalog.recent.clear()

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 200):
        ts = np.array([START_MS + number * 1000])
        samples.append(1, [Block("load", {"host": "a"}, ts, np.array([float(number)]))])
        acknowledged[0] = number + 1
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_memory_is_bounded() -> None:
    kept = recent.Recent()
    for one in range(200):
        kept.keep(kept.mark(), one, 0, np.arange(4_000), np.zeros(4_000))
    assert kept._size == sum(run.ts_ms.size for run in kept._runs.values()) <= recent._MOST
    assert kept.get([0], 0, 10) is None and kept.get([199], 0, 10) is not None
    longest = np.arange(recent._MOST_OF_ONE + 1)
    kept.keep(kept.mark(), 7, 0, longest, np.zeros(longest.size))
    assert kept.get([7], 0, 10) is None
    kept.grow(np.array([199]), np.array([0]), np.array([4_000]), np.arange(4_000, 8_000), np.ones(4_000))
    assert kept.get([199], 0, 10) is None, "its oldest samples are no longer kept"
    [(ts_ms, value)] = kept.get([199], 3_990, 4_010) or []
    assert ts_ms.tolist() == list(range(3_990, 4_010)) and value.sum() == 10
