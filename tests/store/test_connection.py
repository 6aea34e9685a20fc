from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from lib.errors import AppError, StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreReadOnly
from lib.frames import Block, Window, from_ms
from lib.store import copying
from lib.store.connection import State, Store
from lib.store.samples import Samples

ROOT = Path(__file__).resolve().parents[2]
SERIES = 20
WHOLE = 400  # samples a series in one batch of the disk tests


def batch(number: int, samples: int = WHOLE) -> list[Block]:
    ts = number * 1_000_000 + np.arange(samples, dtype=np.int64)
    noise = np.random.default_rng(number).normal(size=samples)
    return [Block("load", {"instance": str(i)}, ts, noise) for i in range(SERIES)]


def stored_batches(store: Store) -> dict[int, int]:
    """Samples by batch; fails when one is there twice."""
    with store.read() as cursor:
        rows = cursor.execute(
            "SELECT epoch_ms(ts) // 1000000, count(*), count(DISTINCT (series_id, ts)) FROM samples GROUP BY 1"
        ).fetchall()
    assert all(count == distinct for _, count, distinct in rows)
    return {number: count for number, count, _ in rows}


# --- transactions and threads --------------------------------------------------------------------


def test_write_is_rolled_back_when_the_block_raises(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.write() as cursor:
        cursor.execute("INSERT INTO watermarks VALUES (1, 'x', '2026-01-01')")
        raise ZeroDivisionError
    with store.read() as cursor:
        assert cursor.execute("SELECT count(*) FROM watermarks").fetchall() == [(0,)]
    assert store.state is State.OK


def test_a_mistake_in_a_query_stays_a_mistake(store: Store) -> None:
    with pytest.raises(duckdb.CatalogException), store.read() as cursor:
        cursor.execute("SELECT * FROM nowhere")
    with pytest.raises(duckdb.CatalogException), store.write() as cursor:
        cursor.execute("INSERT INTO nowhere VALUES (1)")
    assert store.health()["message"] == ""


def test_a_query_beyond_the_memory_limit_says_so_and_the_store_goes_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "m.duckdb", memory_mb=64)
    with pytest.raises(StoreError, match="64 MB"), store.read() as cursor:
        # One value is never spilled to disk.
        cursor.execute("SELECT length(list(i)::VARCHAR) FROM range(50000000) AS t(i)").fetchall()
    assert Samples(store).append(1, batch(1)).written == SERIES * WHOLE
    store.close()


def test_many_threads_read_and_write_at_once(store: Store) -> None:
    samples = Samples(store)
    failures: list[BaseException] = []
    done = threading.Event()

    def write(writer: int) -> None:
        # Every second batch is written by two writers.
        for number in range(20):
            samples.append(
                1, batch(number if number % 2 else 100 * writer + number, 50), (f"w{writer}", from_ms(number))
            )

    def read() -> None:
        while not done.is_set():
            known = samples.find(metric="load")
            counted = sum(row.count for row in samples.stats([series.id for series in known]))
            # A batch is there for all series or for none.
            assert counted % 50 == 0

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=guarded, args=(lambda i=i: write(i),)) for i in range(6)]
    readers = [threading.Thread(target=guarded, args=(read,)) for _ in range(6)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert failures == []
    wanted = {number for number in range(20) if number % 2}
    wanted |= {100 * writer + number for writer in range(6) for number in range(0, 20, 2)}
    assert stored_batches(store) == dict.fromkeys(wanted, 50 * SERIES)
    assert len(samples.find()) == SERIES


def test_closing_twice_is_closing_once_and_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "m.duckdb")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"), store.read():
        pass
    with pytest.raises(StoreError, match="closed"), store.write():
        pass
    Store(tmp_path / "m.duckdb").close()


def test_closing_waits_for_a_read_that_is_going(tmp_path: Path) -> None:
    store = Store(tmp_path / "m.duckdb")
    Samples(store).append(1, batch(1))
    reading, seen = threading.Event(), []

    def read() -> None:
        with store.read() as cursor:
            reading.set()
            seen.extend(cursor.execute("SELECT count(*) FROM samples, range(3000)").fetchall())

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait()
    store.close()
    thread.join()
    assert seen == [(SERIES * WHOLE * 3000,)]


# --- one process ---------------------------------------------------------------------------------


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    code = (
        "import sys; from pathlib import Path; from lib.store.connection import Store; "
        "store = Store(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        with pytest.raises(StoreBusy) as refused:
            Store(path)
        child.kill()
    assert refused.value.values["pid"] == child.pid
    assert str(child.pid) in refused.value.message
    assert not (tmp_path / "quarantine").exists()
    Store(path).close()


def test_a_second_store_in_this_process_is_refused(store: Store) -> None:
    with pytest.raises(StoreBusy, match="this process"):
        Store(store.path)


# --- damage --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A file with 400,000 samples in it and its log with 10 more batches, as a killed process leaves them."""
    path = tmp_path_factory.mktemp("written") / "m.duckdb"
    code = """
import os, sys
sys.path.insert(0, "tests/store")
from pathlib import Path
from lib.frames import from_ms
from lib.store.connection import Store
from lib.store.samples import Samples
from test_connection import batch
store = Store(Path(sys.argv[1]))
samples = Samples(store)
samples.append(1, batch(0, 20_000), ("all", from_ms(1)))
store.checkpoint()
for number in range(1, 11):
    samples.append(1, batch(number), ("all", from_ms(number * 1_000_000)))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True)
    return path.read_bytes(), path.with_name("m.duckdb.wal").read_bytes()


def lay(directory: Path, database: bytes, log: bytes) -> Path:
    path = directory / "m.duckdb"
    path.write_bytes(database)
    path.with_name("m.duckdb.wal").write_bytes(log)
    return path


def until_it_works(store: Store) -> dict[int, int]:
    """What is stored, after as many attempts as it takes for damage to be met and mended."""
    for _ in range(3):
        try:
            with store.read() as cursor:
                cursor.execute("SELECT sum(value) FROM samples").fetchall()
            return stored_batches(store)
        except StoreCorrupt as error:
            assert "quarantine" in error.message
    raise AssertionError("The store met damage again and again.")


def test_what_a_killed_process_had_committed_is_there(tmp_path: Path, written: tuple[bytes, bytes]) -> None:
    store = Store(lay(tmp_path, *written))
    assert stored_batches(store) == {0: 20_000 * SERIES, **dict.fromkeys(range(1, 11), WHOLE * SERIES)}
    assert store.health()["message"] == ""
    store.close()


@pytest.mark.parametrize(
    "database", [b"", b"\0" * 5000, b"garbage" * 5000, None], ids=["empty", "zeros", "garbage", "cut"]
)
def test_a_file_that_is_none_is_set_aside_and_a_fresh_one_begun(
    tmp_path: Path, written: tuple[bytes, bytes], database: bytes | None
) -> None:
    database = written[0][: len(written[0]) // 2] if database is None else database
    store = Store(lay(tmp_path, database, written[1]))
    health = store.health()
    assert health["state"] == "ok"
    (event,) = health["quarantined"]
    assert Path(event["path"], "m.duckdb").read_bytes() == database
    assert Path(event["path"], "m.duckdb.wal").exists()
    assert "lost" in event["lost"]
    assert event["path"] in health["message"]
    assert stored_batches(store) == {}
    assert Samples(store).append(1, batch(1)).written == SERIES * WHOLE
    store.close()
    again = Store(tmp_path / "m.duckdb")
    assert again.health()["message"] == ""
    assert again.health()["quarantined"] == [event]
    assert stored_batches(again) == {1: SERIES * WHOLE}
    again.close()


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bits_cost_no_more_than_the_blocks_they_are_in(
    tmp_path: Path, written: tuple[bytes, bytes], seed: int
) -> None:
    chance = random.Random(seed)
    damaged = bytearray(written[0])
    # Past the first blocks, where the description of everything else lies.
    place = chance.randrange(len(damaged) // 3, len(damaged))
    damaged[place] ^= 1 << chance.randrange(8)
    store = Store(lay(tmp_path, bytes(damaged), written[1]))
    found = until_it_works(store)
    health = store.health()
    events = health["quarantined"]
    assert health["state"] == "ok"
    assert len(events) <= 1
    whole = {0: 20_000 * SERIES, **dict.fromkeys(range(1, 11), WHOLE * SERIES)}
    if not events:
        assert found == whole  # the bit lay where nothing is
    else:
        assert "m.duckdb was damaged" in events[0]["reason"]
        assert all(found[number] <= whole[number] for number in found)
        lost = sum(whole.values()) - sum(found.values())
        assert f"{lost:,} rows of samples" in events[0]["lost"] or not found or lost == 0
    # What was lost is collected again: the watermark is not where nothing is.
    samples = Samples(store)
    assert samples.watermark(1, "all") is None or found == whole
    samples.append(1, batch(0, 20_000))
    for number in range(1, 11):
        samples.append(1, batch(number))
    assert stored_batches(store) == whole
    store.close()


def test_damage_met_while_running_is_mended_at_once(tmp_path: Path, written: tuple[bytes, bytes]) -> None:
    path = lay(tmp_path, *written)
    store = Store(path)
    store.checkpoint()
    with store.read() as cursor:
        blocks = cursor.execute(
            "SELECT DISTINCT block_id FROM pragma_storage_info('samples') "
            "WHERE column_name = 'value' AND segment_type = 'DOUBLE' AND persistent ORDER BY 1"
        ).fetchall()
    store.close()
    with path.open("r+b") as file:
        # DuckDB's three headers come first, 4 KiB each; its blocks are 256 KiB.
        file.seek(3 * 4096 + blocks[len(blocks) // 2][0] * 262_144 + 1000)
        file.write(bytes(500))
    store = Store(path)
    samples = Samples(store)
    ids = [series.id for series in samples.find()]
    with pytest.raises(StoreCorrupt, match="Brought back"):
        samples.read(ids, Window(from_ms(0), from_ms(10**9)))
    # What memory held of the old file is gone with it.
    assert not store.catalog.loaded
    assert 0 < len(samples.read(ids, Window(from_ms(0), from_ms(10**9)))) < 24_000 * SERIES
    assert store.state is State.OK
    store.close()


def test_ids_of_series_go_on_after_those_brought_back(tmp_path: Path, written: tuple[bytes, bytes]) -> None:
    damaged = bytearray(written[0])
    middle = 2 * len(damaged) // 3
    damaged[middle : middle + 262_144] = bytes(262_144)
    store = Store(lay(tmp_path, bytes(damaged), written[1]))
    until_it_works(store)
    assert len(store.health()["quarantined"]) == 1
    samples = Samples(store)
    before = {series.id for series in samples.find()}
    assert len(before) == SERIES
    samples.append(1, [Block("new", {"instance": "x"}, np.array([1]), np.array([1.0]))])
    assert {series.id for series in samples.find(metric="new")}.isdisjoint(before)
    store.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_bit_in_the_log_costs_only_what_comes_after_it(
    tmp_path: Path, written: tuple[bytes, bytes], seed: int
) -> None:
    damaged = bytearray(written[1])
    place = len(damaged) * (seed * 2 + 1) // 8
    damaged[place] ^= 4
    store = Store(lay(tmp_path, written[0], bytes(damaged)))
    found = stored_batches(store)
    kept = sorted(found)
    assert kept == list(range(len(kept)))
    assert abs(len(kept) - 1 - 10 * (seed * 2 + 1) / 8) <= 1.5
    assert all(found[number] == WHOLE * SERIES for number in kept[1:])
    reached = Samples(store).watermark(1, "all")
    assert reached == from_ms(max(1, kept[-1] * 1_000_000))
    (event,) = store.health()["quarantined"]
    assert Path(event["path"], "m.duckdb.wal").read_bytes() == bytes(damaged)
    store.close()


@pytest.mark.parametrize("part", [1, 7, 300, 0.3, 0.7])
def test_of_a_log_cut_short_the_committed_part_is_kept(
    tmp_path: Path, written: tuple[bytes, bytes], part: float
) -> None:
    length = int(part * len(written[1])) if part < 1 else int(part)
    store = Store(lay(tmp_path, written[0], written[1][:length]))
    found = stored_batches(store)
    assert sorted(found) == list(range(len(found)))
    assert all(found[number] == WHOLE * SERIES for number in range(1, len(found)))
    assert abs(len(found) - 1 - 10 * length / len(written[1])) <= 1
    Samples(store).append(1, batch(50))
    store.close()
    again = Store(tmp_path / "m.duckdb")
    assert stored_batches(again) == {**found, 50: WHOLE * SERIES}
    again.close()


def test_a_log_of_garbage_is_noticed_and_what_follows_is_kept(tmp_path: Path, written: tuple[bytes, bytes]) -> None:
    store = Store(lay(tmp_path, written[0], b"garbage" * 500))
    assert stored_batches(store) == {0: 20_000 * SERIES}
    health = store.health()
    assert "held no log" in health["message"]
    (event,) = health["quarantined"]
    assert Path(event["path"], "m.duckdb.wal").read_bytes() == b"garbage" * 500
    assert json.loads(Path(event["path"], "note.json").read_text())["lost"] == event["lost"]
    store.close()


def test_the_log_of_another_file_does_not_get_in(tmp_path: Path, written: tuple[bytes, bytes]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    code = (
        "import os, sys; from pathlib import Path; from lib.store.connection import Store; "
        "store = Store(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(other / "m.duckdb")], cwd=ROOT, capture_output=True)
    store = Store(lay(tmp_path, (other / "m.duckdb").read_bytes(), written[1]))
    assert stored_batches(store) == {}
    assert Samples(store).append(1, batch(1)).written == SERIES * WHOLE
    assert len(store.health()["quarantined"]) == 1
    store.close()


# --- full disk -----------------------------------------------------------------------------------


@pytest.mark.parametrize("leave_bytes", [6_000_000, 22_000_000], ids=["in the log", "in the checkpoint"])
def test_a_full_disk_pauses_writing_and_nothing_acknowledged_is_lost(disk, leave_bytes: int) -> None:
    store = Store(disk.path / "m.duckdb")
    store.retry_s = 3600
    samples = Samples(store)
    samples.append(1, batch(0), ("all", from_ms(0)))
    disk.fill(leave_bytes)
    acknowledged, number = [0], 1
    with pytest.raises(StoreFull, match="resumes by itself") as full:
        for number in range(1, 1000):
            samples.append(1, batch(number), ("all", from_ms(number * 1_000_000)))
            acknowledged.append(number)
    assert full.value.status == 503
    assert len(acknowledged) > 3
    assert store.state is State.PAUSED
    assert "full" in store.health()["message"]
    # Reading goes on, and finds all that was acknowledged.
    found = stored_batches(store)
    assert found == dict.fromkeys(acknowledged, SERIES * WHOLE)
    assert samples.watermark(1, "all") == from_ms(acknowledged[-1] * 1_000_000)
    assert len(samples.find()) == SERIES
    # Writing stays paused while there is no room.
    with pytest.raises(StoreFull):
        samples.append(1, batch(number))
    disk.free()
    store.retry_s = 0
    # It resumes by itself, and the batch that failed may come again.
    assert store.state is State.OK
    again = samples.append(1, batch(number), ("all", from_ms(number * 1_000_000)))
    assert again.written + again.known == SERIES * WHOLE
    assert stored_batches(store) == dict.fromkeys(range(number + 1), SERIES * WHOLE)
    assert store.health()["message"] == ""
    store.close()
    reopened = Store(disk.path / "m.duckdb")
    assert stored_batches(reopened) == dict.fromkeys(range(number + 1), SERIES * WHOLE)
    reopened.close()


def test_a_commit_that_held_is_no_failure_though_the_checkpoint_after_it_failed(small_disk) -> None:
    store = Store(small_disk.path / "m.duckdb")
    store.retry_s = 3600
    samples = Samples(store)
    samples.append(1, batch(0, 100))
    # Room for the log to reach the 16 MiB at which DuckDB checkpoints, and too little for the checkpoint.
    small_disk.fill(leave_bytes=17_500_000)
    number = 0
    while store.state is State.OK:
        number += 1
        samples.append(1, batch(number, 100), ("all", from_ms(number)))
    assert stored_batches(store) == dict.fromkeys(range(number + 1), SERIES * 100)
    with pytest.raises(StoreFull):
        samples.append(1, batch(number + 1, 100))
    small_disk.free()
    store.retry_s = 0
    assert samples.append(1, batch(number + 1, 100)).written == SERIES * 100
    store.close()


def test_a_batch_larger_than_the_room_is_refused_whole(disk) -> None:
    store = Store(disk.path / "m.duckdb")
    store.retry_s = 3600
    samples = Samples(store)
    samples.append(1, batch(0), ("all", from_ms(0)))
    disk.fill(leave_bytes=6_000_000)
    with pytest.raises(StoreFull):
        samples.append(1, batch(1, 100_000), ("all", from_ms(1_000_000)))
    assert stored_batches(store) == {0: SERIES * WHOLE}
    assert samples.watermark(1, "all") == from_ms(0)
    disk.free()
    store.retry_s = 0
    assert samples.append(1, batch(1, 100_000)).written == SERIES * 100_000
    assert stored_batches(store) == {0: SERIES * WHOLE, 1: SERIES * 100_000}
    store.close()


def test_readers_in_other_threads_outlive_a_full_disk(disk) -> None:
    store = Store(disk.path / "m.duckdb")
    store.retry_s = 3600
    samples = Samples(store)
    samples.append(1, batch(0))
    done, failures, reads = threading.Event(), [], [0]

    def read() -> None:
        while not done.is_set():
            try:
                assert stored_batches(store)[0] == SERIES * WHOLE
                reads[0] += 1
            except AppError:
                pass  # met the moment of reopening; the next one has to work
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    disk.fill(leave_bytes=6_000_000)
    with pytest.raises(StoreFull):
        for number in range(1, 1000):
            samples.append(1, batch(number))
    before = reads[0]
    while reads[0] < before + 20 and not failures:
        done.wait(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    disk.free()
    store.close()


def test_a_disk_that_is_full_at_the_start_still_opens(disk) -> None:
    path = disk.path / "m.duckdb"
    store = Store(path)
    Samples(store).append(1, batch(0))
    store.close()
    disk.fill(leave_bytes=0)
    store = Store(path)
    assert stored_batches(store) == {0: SERIES * WHOLE}
    with pytest.raises(StoreFull):
        for number in range(1, 1000):
            Samples(store).append(1, batch(number))
    disk.free()
    store.retry_s = 0
    Samples(store).append(1, batch(5000))
    assert stored_batches(store)[5000] == SERIES * WHOLE
    store.close()


# --- read-only -----------------------------------------------------------------------------------


def test_a_read_only_directory_can_be_looked_at(open_directory: Path, read_only: Callable) -> None:
    path = open_directory / "m.duckdb"
    store = Store(path)
    Samples(store).append(1, batch(0), ("all", from_ms(0)))
    store.close()
    with read_only(open_directory):
        store = Store(path)
        store.retry_s = 0
        assert store.state is State.READ_ONLY
        assert "cannot be written" in store.health()["message"]
        assert stored_batches(store) == {0: SERIES * WHOLE}
        with pytest.raises(StoreReadOnly, match="cannot be written"):
            Samples(store).append(1, batch(1))
        assert len(Samples(store).find()) == SERIES
    # Made writable, it writes.
    assert Samples(store).append(1, batch(1)).written == SERIES * WHOLE
    assert store.state is State.OK
    store.close()


def test_a_log_in_a_read_only_directory_is_read_too(
    open_directory: Path, read_only: Callable, written: tuple[bytes, bytes]
) -> None:
    path = lay(open_directory, *written)
    with read_only(open_directory):
        store = Store(path)
        assert len(stored_batches(store)) == 11
        store.close()
    assert path.with_name("m.duckdb.wal").read_bytes() == written[1]


def test_a_read_only_directory_without_a_file_opens_empty(open_directory: Path, read_only: Callable) -> None:
    with read_only(open_directory):
        store = Store(open_directory / "m.duckdb")
        assert store.state is State.READ_ONLY
        assert Samples(store).find() == []
        with pytest.raises(StoreReadOnly):
            Samples(store).append(1, batch(1))
        store.close()


def test_damage_in_a_read_only_directory_is_said_and_nothing_is_touched(
    open_directory: Path, read_only: Callable
) -> None:
    path = open_directory / "m.duckdb"
    path.write_bytes(b"garbage" * 5000)
    with read_only(open_directory):
        store = Store(path)
        assert store.state is State.READ_ONLY
        assert "cannot be read either" in store.health()["message"]
        store.close()
    assert path.read_bytes() == b"garbage" * 5000


# --- copies --------------------------------------------------------------------------------------


def test_a_backup_made_while_writing_opens_and_holds_whole_batches(store: Store, tmp_path: Path) -> None:
    samples = Samples(store)
    samples.append(1, batch(0), ("all", from_ms(0)))
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            samples.append(1, batch(number), ("all", from_ms(number * 1_000_000)))

    writer = threading.Thread(target=write)
    writer.start()
    copying.copy(store, tmp_path / "it's a backup.duckdb")
    stop.set()
    writer.join()
    copy = Store(tmp_path / "it's a backup.duckdb")
    found = stored_batches(copy)
    assert set(found.values()) == {SERIES * WHOLE}
    assert sorted(found) == list(range(len(found)))
    assert Samples(copy).watermark(1, "all") == from_ms(max(found) * 1_000_000)
    assert Samples(copy).append(2, batch(0)).written == SERIES * WHOLE
    assert len({series.id for series in Samples(copy).find()}) == 2 * SERIES
    copy.close()


def test_a_backup_never_overwrites(store: Store, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(StoreError, match="exists"):
        copying.copy(store, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "precious"
