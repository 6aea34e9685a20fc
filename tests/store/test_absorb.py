"""Imported samples: sorted, each once, and taken in whole or not at all, killed where it may be."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.frames import Block
from lib.intake.convert import Samples as Part
from lib.store import absorb, closing
from lib.store.absorb import Incoming, Intake
from lib.store.archive import DAY_MS
from lib.store.connection import Store
from lib.store.samples import Samples
from tests.store.archive_parts import FIRST_DAY, KEEP, NOW, content, expected, run

START = FIRST_DAY * DAY_MS


def sorted_file(tmp_path: Path, blocks: list[Block], lines: list[np.ndarray] | None = None) -> tuple[Path, Any]:
    """A file of these blocks as a check leaves it, and what sorting said."""
    folder, scratch = tmp_path / "unsorted", tmp_path / "scratch"
    for one in (folder, scratch):
        one.mkdir(parents=True)
    parts = (
        Part(
            np.full(block.ts_ms.size, number, np.int32),
            block.ts_ms,
            block.value,
            lines[number] if lines else np.arange(block.ts_ms.size, dtype=np.int64),
        )
        for number, block in reversed(list(enumerate(blocks)))
    )
    absorb.write_unsorted(parts, folder)
    target = tmp_path / "samples.parquet"
    return target, absorb.sort(folder, target, scratch)


def incoming(blocks: list[Block], found: Any) -> list[Incoming]:
    return [Incoming(n, blocks[n].metric, dict(blocks[n].labels), *found.series[n]) for n in sorted(found.series)]


def history(count: int = 4000, metric: str = "power", hosts: int = 3, step_ms: int = 60_000) -> list[Block]:
    ts = START + np.arange(count, dtype=np.int64) * step_ms
    rng = np.random.default_rng(3)
    return [Block(metric, {"host": f"h{n}"}, ts, rng.normal(0, 1, count)) for n in range(hosts)]


@pytest.fixture
def taken(tmp_path: Path, samples: Samples) -> Any:
    def take(name: str, blocks: list[Block]) -> tuple[int, int]:
        path, found = sorted_file(tmp_path / name, blocks)
        added = Intake(samples).take(1, incoming(blocks, found), path)
        return added.written, added.known

    return take


def test_of_equal_times_the_last_row_counts_and_contradictions_are_told(tmp_path: Path) -> None:
    ts = np.array([5, 1, 5, 1, 3, 5], np.int64)
    value = np.array([1.0, 2.0, 9.0, 2.0, np.nan, 7.0])
    path, found = sorted_file(tmp_path, [Block("m", {}, ts, value)], [np.array([2, 3, 4, 5, 6, 7], np.int64)])
    assert (found.samples, found.repeated, found.conflicts) == (3, 1, 2)
    assert found.series == {0: (3, 1, 5)}
    assert found.examples == [(0, 5, 4, 2), (0, 5, 7, 4)]


def test_sorting_keeps_every_sample_across_its_pieces(tmp_path: Path, store: Store, samples: Samples) -> None:
    ts = np.random.default_rng(1).permutation(450_000).astype(np.int64)
    block = Block("m", {}, np.concatenate([ts, ts[:10]]), np.concatenate([ts, ts[:10]]).astype(np.float64))
    path, found = sorted_file(tmp_path, [block])
    assert (found.samples, found.repeated, found.conflicts) == (450_000, 10, 0)
    assert Intake(samples).take(1, incoming([block], found), path).written == 450_000
    with store.read() as cursor:
        assert cursor.execute("SELECT count(*), count(DISTINCT ts), sum(value) FROM samples").fetchall() == [
            (450_000, 450_000, float(ts.sum()))
        ]


def test_the_same_again_adds_nothing(taken: Any, samples: Samples) -> None:
    blocks = history()
    assert taken("a", blocks) == (12_000, 0)
    assert taken("b", blocks) == (0, 12_000)
    assert content(samples.store) == expected(*blocks)
    assert samples.stats([1])[0].count == 4000


def test_only_what_is_missing_is_added_and_stored_values_stay(tmp_path: Path, taken: Any, samples: Samples) -> None:
    blocks = history()
    samples.append(1, [Block("power", {"host": "h1"}, blocks[1].ts_ms[100:200], np.full(100, -5.0))])
    path, found = sorted_file(tmp_path / "look", blocks)
    compared = Intake(samples).compare(1, incoming(blocks, found), path)
    assert (compared.known, compared.different) == (100, 100)
    assert taken("a", blocks) == (11_900, 100)
    blocks[1].value[100:200] = -5.0
    assert content(samples.store) == expected(*blocks)


def test_samples_of_days_that_are_archived_are_there_once(tmp_path: Path, taken: Any, samples: Samples) -> None:
    blocks = history()
    half = [Block(b.metric, b.labels, b.ts_ms[::2], b.value[::2]) for b in blocks]
    samples.append(1, half)
    assert run(samples.store, tmp_path)
    path, found = sorted_file(tmp_path / "look", blocks)
    compared = Intake(samples).compare(1, incoming(blocks, found), path)
    assert (compared.known, compared.different) == (6000, 0)
    assert taken("a", blocks) == (6000, 6000)
    assert content(samples.store) == expected(*blocks)
    assert run(samples.store, tmp_path)
    assert closing.due(samples.store, KEEP, NOW) == []
    assert content(samples.store) == expected(*blocks)
    assert taken("b", blocks) == (0, 12_000)


def test_values_come_bit_for_bit(taken: Any, samples: Samples) -> None:
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, 2.0**60 + 256, 0.1])
    block = Block("odd", {"path": "a\nb", "x": "<b>&\"'\\"}, START + np.arange(odd.size, dtype=np.int64), odd)
    assert taken("a", [block]) == (7, 0)
    assert content(samples.store) == expected(block)
    assert taken("b", [block]) == (0, 7)


def test_what_fails_half_way_leaves_nothing(tmp_path: Path, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = history()
    monkeypatch.setattr(absorb, "_TOGETHER", 4000)
    path, found = sorted_file(tmp_path / "a", blocks)
    real, calls = Intake._insert, []

    def failing(self: Intake, *arguments: Any) -> int:
        calls.append(1)
        if len(calls) == 3:
            raise OSError("cut")
        return real(self, *arguments)

    monkeypatch.setattr(Intake, "_insert", failing)
    with pytest.raises(OSError, match="cut"):
        Intake(samples).take(1, incoming(blocks, found), path)
    assert content(samples.store) == []
    assert samples.find() == []
    monkeypatch.setattr(Intake, "_insert", real)
    assert Intake(samples).take(1, incoming(blocks, found), path).written == 12_000


def take_and_die(path: Path, file: Path, series: list[Incoming], step: str) -> None:
    store = Store(path)
    real_insert, real_write = Intake._insert, Store.write

    def dying_insert(self: Intake, *arguments: Any) -> int:
        done = real_insert(self, *arguments)
        os.kill(os.getpid(), signal.SIGKILL)
        return done

    @contextmanager
    def dying_write(self: Store) -> Any:
        with real_write(self) as cursor:
            yield cursor
            if step == "before commit":
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    if step == "in between":
        Intake._insert = dying_insert  # type: ignore[method-assign]
    else:
        Store.write = dying_write  # type: ignore[method-assign]
    absorb._TOGETHER = 4000
    Intake(Samples(store)).take(1, series, file)


@pytest.mark.parametrize("step", ["in between", "before commit", "after commit"])
def test_killed_at_a_step_all_or_nothing_is_there_and_repeating_completes(tmp_path: Path, step: str) -> None:
    blocks = history(20_000)
    file, found = sorted_file(tmp_path / "f", blocks)
    path = tmp_path / "metrics.duckdb"
    before = Block("power", {"host": "h1"}, blocks[1].ts_ms[:50], blocks[1].value[:50])
    first = Samples(Store(path))
    first.append(1, [before])
    first.store.close()
    process = multiprocessing.get_context("fork").Process(
        target=take_and_die, args=(path, file, incoming(blocks, found), step)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    samples = Samples(Store(path))
    assert content(samples.store) == (expected(*blocks) if step == "after commit" else expected(before))
    added = Intake(samples).take(1, incoming(blocks, found), file)
    assert added.written == (0 if step == "after commit" else 59_950)
    assert content(samples.store) == expected(*blocks)
    samples.store.close()


def take_again_and_again(path: Path, file: Path, series: list[Incoming]) -> None:
    store = Store(path)
    absorb._TOGETHER = 4000
    Intake(Samples(store)).take(1, series, file)
    time.sleep(60)


def test_killed_at_random_moments_all_or_nothing_is_there(tmp_path: Path) -> None:
    blocks = history(60_000)
    file, found = sorted_file(tmp_path / "f", blocks)
    series, chance = incoming(blocks, found), np.random.default_rng(4)
    for number in range(8):
        path = tmp_path / f"{number}.duckdb"
        process = multiprocessing.get_context("fork").Process(target=take_again_and_again, args=(path, file, series))
        process.start()
        time.sleep(float(chance.uniform(0.02, 0.5)))
        process.kill()
        process.join(60)
        samples = Samples(Store(path))
        with samples.store.read() as cursor:
            rows, of = cursor.execute("SELECT count(*), (SELECT count(*) FROM series) FROM samples").fetchall()[0]
        assert (rows, of) in ((0, 0), (180_000, 3))
        Intake(samples).take(1, series, file)
        assert sum(one.count for one in samples.stats([s.id for s in samples.find()])) == 180_000
        samples.store.close()
