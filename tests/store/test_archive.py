"""Days go to Parquet and come back to every query, once each, whatever comes late or is taken away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib.errors import StoreCorrupt, StoreFull
from lib.frames import Block, Window, from_ms
from lib.profiling.gaps import GAP_FACTOR
from lib.store import closing
from lib.store.archive import DAY_MS, RAW
from lib.store.closing import Retention
from lib.store.connection import State, Store
from lib.store.readings import Readings
from lib.store.samples import Samples
from tests.store.archive_parts import FIRST_DAY, KEEP, NOW, blocks, content, expected, filled, run

WHOLE = Window(from_ms(FIRST_DAY * DAY_MS), NOW)


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[Samples]:
    made = filled(tmp_path / "metrics.duckdb")
    yield made
    made.store.close()


def hot_rows(store: Store) -> int:
    with store.read(archived=False) as cursor:
        return int(cursor.execute("SELECT count(*) FROM samples").fetchall()[0][0])


def parts(store: Store, tier: str = RAW) -> list[str]:
    with store.read(archived=False) as cursor:
        return [part.name for part in store.archive.look(cursor).of(tier)]


def test_every_sample_is_there_once_and_bit_by_bit_after_archiving(samples: Samples, tmp_path: Path) -> None:
    assert run(samples.store, tmp_path) == [FIRST_DAY, FIRST_DAY + 1, FIRST_DAY + 2]
    assert hot_rows(samples.store) == 0
    assert content(samples.store) == expected(*blocks())


def test_only_closed_days_are_archived(samples: Samples, tmp_path: Path) -> None:
    assert run(samples.store, tmp_path, Retention(hot=8)) == [FIRST_DAY, FIRST_DAY + 1]
    assert run(samples.store, tmp_path, Retention(hot=0)) == []
    assert 0 < hot_rows(samples.store) < len(expected(*blocks())) / 2
    assert content(samples.store) == expected(*blocks())


def test_queries_answer_the_same_before_and_after(samples: Samples, tmp_path: Path) -> None:
    ids = [series.id for series in samples.find()]
    counters = [series.id for series in samples.find() if series.kind == "counter"]
    gauges = [one for one in ids if one not in counters]
    readings = Readings(samples.store, GAP_FACTOR)
    part = Window(WHOLE.start + timedelta(hours=13), WHOLE.start + timedelta(hours=50))

    def answers() -> list[pd.DataFrame]:
        found = [samples.read(ids, window) for window in (WHOLE, part)]
        found += [samples.buckets(ids, window, 7200) for window in (WHOLE, part)]
        found += [samples.metrics(), samples.hosts(), readings.extent(ids, part), readings.missing(ids, part)]
        found += [readings.points(counters, part, counters=True), readings.statistics(gauges, part, counters=False)]
        found[-1] = found[-1].drop(columns="peak_ts")  # of a constant any moment is the peak
        found += [readings.buckets(gauges, WHOLE, 3_600_000, counters=False)]
        return found

    before, totals = answers(), readings.totals()
    stats = [(one.count, one.first, one.last) for one in samples.stats(ids)]
    run(samples.store, tmp_path)
    for was, now in zip(before, answers(), strict=True):
        pd.testing.assert_frame_equal(was, now)
    assert readings.totals() == totals
    assert [(one.count, one.first, one.last) for one in samples.stats(ids)] == stats
    assert samples.export(ids, part, tmp_path / "exported") == len(before[1])


def test_a_quantile_is_that_of_the_finite_samples_hot_or_archived(samples: Samples, tmp_path: Path) -> None:
    ids = [series.id for series in samples.find() if series.kind == "gauge"]
    readings = Readings(samples.store, GAP_FACTOR)
    frame = samples.read(ids, WHOLE)
    finite = frame[np.isfinite(frame["value"])]
    wanted = finite.groupby("series_id")["value"].quantile(0.95)
    run(samples.store, tmp_path, Retention(hot=8))
    found = readings.quantile(ids, WHOLE, 0.95).set_index("series_id")["value"]
    pd.testing.assert_series_equal(found, wanted, check_index_type=False)
    samples.append(1, [Block("never", {"host": "c"}, np.array([FIRST_DAY * DAY_MS]), np.array([np.nan]))])
    assert readings.quantile([samples.find(metric="never")[0].id], WHOLE, 0.95).empty


def test_samples_that_come_late_join_the_archived_day_once(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    ts = FIRST_DAY * DAY_MS + 377 + np.arange(0, DAY_MS, 150_000)
    late = Block("load", {"host": "a"}, ts, np.full(ts.size, 42.0))
    assert (samples.append(1, [late]).written, samples.append(1, [late]).written) == (288, 0)
    first = [block for block in blocks() if block.metric == "load"][0]
    new = ~np.isin(ts, first.ts_ms)
    wanted = expected(*blocks(), Block("load", {}, ts[new], late.value[new]))
    assert content(samples.store) == wanted
    assert run(samples.store, tmp_path) == [FIRST_DAY]
    assert hot_rows(samples.store) == 0 and content(samples.store) == wanted
    assert samples.append(1, [late]).written == 0
    assert closing.due(samples.store, KEEP, NOW) == []


def test_a_day_that_changes_while_it_is_packed_waits_for_the_next_run(samples: Samples, tmp_path: Path) -> None:
    plan = closing.prepare(samples.store, FIRST_DAY, tmp_path / "w", NOW)
    made = closing.pack(tmp_path / "w", samples.store.archive.place)
    late = Block("load", {"host": "a"}, np.array([FIRST_DAY * DAY_MS + 5]), np.array([1.0]))
    samples.append(1, [late])
    assert closing.commit(samples.store, plan, made, tmp_path / "w" / closing.SPANS, NOW) is False
    assert parts(samples.store) == []
    run(samples.store, tmp_path)
    assert content(samples.store) == expected(*blocks(), late)
    # What the first attempt left behind goes once nobody can be reading it.
    assert closing.sweep(samples.store, NOW) == 0
    assert closing.sweep(samples.store, NOW + timedelta(hours=1)) == len(plan.names)
    left = samples.store.archive.place.names()
    assert not set(plan.names.values()) & set(left) and set(parts(samples.store)) <= set(left)


def test_a_reader_sees_one_moment_while_a_day_is_swapped(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path, Retention(hot=9))
    count = "SELECT count(*) FROM samples"
    with samples.store.read() as cursor:
        before = cursor.execute(count).fetchall()
        other = threading.Thread(target=run, args=(samples.store, tmp_path))
        other.start()
        other.join()
        assert cursor.execute(count).fetchall() == before
    assert len(parts(samples.store)) == 3
    with samples.store.read() as cursor:
        assert cursor.execute(count).fetchall() == before


def test_a_removed_source_is_gone_from_the_archive_at_once_and_from_its_files_after_a_run(
    samples: Samples, tmp_path: Path
) -> None:
    other = [Block("other", {"host": "c"}, block.ts_ms, block.value) for block in blocks()[:1]]
    samples.append(2, other)
    run(samples.store, tmp_path)
    samples.forget_source(1)
    assert content(samples.store) == expected(*other)
    assert samples.metrics()["metric"].tolist() == ["other"]
    assert Readings(samples.store, GAP_FACTOR).totals()[0] == other[0].ts_ms.size
    assert len(run(samples.store, tmp_path)) == 3
    with samples.store.read(archived=False) as cursor:
        assert sum(part.rows for part in samples.store.archive.look(cursor).of(RAW)) == other[0].ts_ms.size
    samples.forget_source(2)
    run(samples.store, tmp_path)
    assert content(samples.store) == [] and parts(samples.store) == []


def test_each_tier_is_kept_for_its_days(samples: Samples, tmp_path: Path) -> None:
    keep = Retention(hot=7, raw=9, tiers={"5m": 10})
    run(samples.store, tmp_path, keep)  # the days are 10, 9 and 8 days ago
    assert [len(parts(samples.store, tier)) for tier in (RAW, "5m", "1h")] == [2, 3, 3]
    assert content(samples.store) == [row for row in expected(*blocks()) if row[1] >= (FIRST_DAY + 1) * DAY_MS]
    first = samples.metrics().set_index("metric").loc["load", "first"]
    assert first == pd.Timestamp((FIRST_DAY + 1) * DAY_MS + 377, unit="ms", tz="UTC")
    run(samples.store, tmp_path, keep, NOW + timedelta(days=1))
    assert [len(parts(samples.store, tier)) for tier in (RAW, "5m", "1h")] == [1, 2, 3]
    closing.sweep(samples.store, NOW + timedelta(days=2))
    assert len([name for name in samples.store.archive.place.names() if RAW in name]) == 1


def test_what_comes_late_for_an_expired_day_does_not_spoil_its_tiers(samples: Samples, tmp_path: Path) -> None:
    keep = Retention(hot=7, raw=8)
    run(samples.store, tmp_path, keep)
    tiers, whole = parts(samples.store, "1h"), content(samples.store)
    samples.append(1, [Block("load", {"host": "a"}, np.array([FIRST_DAY * DAY_MS + 5]), np.array([1.0]))])
    assert run(samples.store, tmp_path, keep) == []
    assert parts(samples.store, "1h") == tiers and content(samples.store) == whole


def test_a_damaged_file_is_set_aside_and_said_and_the_rest_is_read(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    name = parts(samples.store)[1]
    file = tmp_path / "archive" / name
    data = bytearray(file.read_bytes())
    data[-200:] = bytes(200)
    file.write_bytes(data)
    with pytest.raises(StoreCorrupt, match="2026-03-11 .* damaged"):
        content(samples.store)
    rest = [row for row in expected(*blocks()) if row[1] // DAY_MS != FIRST_DAY + 1]
    assert content(samples.store) == rest
    assert samples.stats([1])[0].count == 2 * 288
    told = samples.store.health()
    assert "2026-03-11" in told["message"] and any("2026-03-11" in one["reason"] for one in told["quarantined"])


def test_a_missing_file_is_said_and_the_rest_is_read(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    (tmp_path / "archive" / parts(samples.store)[0]).unlink()
    with pytest.raises(Exception, match="2026-03-10 is gone"):
        content(samples.store)
    assert content(samples.store) == [row for row in expected(*blocks()) if row[1] // DAY_MS != FIRST_DAY]


def test_the_archive_is_there_after_the_store_is_opened_again(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    samples.store.close()
    again = Samples(Store(tmp_path / "metrics.duckdb"))
    assert content(again.store) == expected(*blocks())
    assert again.append(1, blocks()).written == 0
    again.store.close()


@pytest.mark.parametrize("leave_bytes", [1_000, 60_000, 160_000, 260_000, 500_000])
def test_a_disk_that_fills_up_in_the_middle_loses_nothing_and_the_next_run_goes_on(small_disk, leave_bytes) -> None:
    samples = filled(small_disk.path / "metrics.duckdb")
    samples.store.checkpoint()
    small_disk.fill(leave_bytes)
    try:
        run(samples.store, small_disk.path)
    except (StoreFull, OSError) as error:
        assert "room" in str(error) or "full" in str(error) or "space" in str(error)
    assert content(samples.store) == expected(*blocks())
    small_disk.free()
    samples.store.retry_s = 0.0
    assert samples.store.state is State.OK
    run(samples.store, small_disk.path)
    assert content(samples.store) == expected(*blocks()) and hot_rows(samples.store) == 0
    samples.store.close()
