"""Archiving killed with SIGKILL at each step and at random moments: every sample is there, once."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.frames import Block
from lib.store import closing, partition
from lib.store.archive import DAY_MS
from lib.store.connection import Store
from lib.store.places import BucketPlace, LocalPlace
from lib.store.samples import Samples
from tests.s3 import Bucket
from tests.store.archive_parts import FIRST_DAY, KEEP, NOW, blocks, content, expected, filled, run

LATER = NOW + timedelta(hours=1)
LATE = Block("load", {"host": "a"}, np.array([FIRST_DAY * DAY_MS + 5, FIRST_DAY * DAY_MS + 377]), np.array([1.5, 9.0]))
# Of a late sample that was there already the first value counts.
WANTED = expected(*blocks(), Block("load", {}, LATE.ts_ms[:1], LATE.value[:1]))


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(owner: Any, name: str, calls: int = 1) -> None:
    """Have the process die as soon as a function has returned so often."""
    real, count = getattr(owner, name), itertools.count(1)

    def dying(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        if next(count) == calls:
            die()
        return result

    setattr(owner, name, dying)


def before_commit() -> None:
    """Have the process die when everything in `commit`'s transaction is done but the end of it."""
    real = Store.write

    @contextmanager
    def dying(store: Store) -> Iterator[Any]:
        with real(store) as cursor:
            yield cursor
            if cursor.execute("SELECT 1 FROM archive_parts LIMIT 1").fetchall():
                die()

    Store.write = dying  # type: ignore[method-assign, assignment]


STEPS: dict[str, Callable[[], None]] = {
    "begun": lambda: after(Store, "drained"),
    "exported": lambda: after(closing, "prepare"),
    "exported the second day": lambda: after(closing, "prepare", 2),
    "packed": lambda: after(partition, "write_day"),
    "first file placed": lambda: after(LocalPlace, "put"),
    "third file placed": lambda: after(LocalPlace, "put", 3),
    "all files placed": lambda: after(closing, "pack"),
    "before the commit": before_commit,
    "after the commit": lambda: after(closing, "commit"),
    "after the second day": lambda: after(closing, "commit", 2),
    "while expiring": lambda: after(closing, "_retire", 5),
    "while sweeping": lambda: after(LocalPlace, "remove"),
    "after sweeping": lambda: after(LocalPlace, "remove", 4),
}


FAR_STEPS: dict[str, Callable[[], None]] = {
    "sixth file placed": lambda: after(BucketPlace, "put", 6),
    "stored, its size not asked": lambda: after(BucketPlace, "_ask", 3),
    "all files placed": STEPS["all files placed"],
    "before the commit": before_commit,
    "after the second day": STEPS["after the second day"],
    "while sweeping": lambda: after(BucketPlace, "remove", 2),
}


def archive_until(step: str, path: Path, s3: Bucket | None = None) -> None:
    """What the killed process does: archive three days, then one again for a late sample, then sweep."""
    (FAR_STEPS if s3 else STEPS)[step]()
    store = Store(path, place=s3.place(path.parent / "cache") if s3 else None)
    run(store, path.parent)
    Samples(store).append(1, [LATE])
    run(store, path.parent)
    closing.sweep(store, LATER)


def killed(
    target: Callable[..., None], *arguments: Any, within_s: float | None = None, once: Path | None = None
) -> None:
    """Run until it kills itself, or kill it some time after a file has begun to grow."""
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    size = once.stat().st_size if once and once.exists() else 0
    process.start()
    if within_s is not None and once is not None:
        while process.is_alive() and (not once.exists() or once.stat().st_size == size):
            time.sleep(0.01)
        time.sleep(within_s)
        assert process.exitcode is None, f"ended by itself with {process.exitcode}"
        process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_every_sample_is_there_once_and_the_next_run_ends_the_work(tmp_path: Path, step: str) -> None:
    kill_and_end(tmp_path, step)


@pytest.mark.parametrize("step", FAR_STEPS)
def test_killed_while_it_archives_to_a_bucket_likewise(tmp_path: Path, s3: Bucket, step: str) -> None:
    kill_and_end(tmp_path, step, s3)
    assert len(s3.stored()) == 12


def kill_and_end(tmp_path: Path, step: str, s3: Bucket | None = None) -> None:
    path = tmp_path / "metrics.duckdb"
    filled(path).store.close()
    killed(archive_until, step, path, s3)
    samples = Samples(Store(path, place=s3.place(tmp_path / "cache") if s3 else None))
    assert content(samples.store) in (expected(*blocks()), WANTED)
    samples.append(1, [LATE])
    assert content(samples.store) == WANTED
    run(samples.store, tmp_path)
    assert content(samples.store) == WANTED
    assert closing.due(samples.store, KEEP, NOW) == []
    closing.sweep(samples.store, LATER)
    with samples.store.read(archived=False) as cursor:
        listed = sorted(part.name for part in samples.store.archive.look(cursor).parts)
        assert cursor.execute("SELECT count(*) FROM archive_gone").fetchall() == [(0,)]
    assert samples.store.archive.place.names() == listed and len(listed) == 12
    samples.store.close()


def batch(number: int) -> list[Block]:
    """Spread over four days, so that each run finds new and late samples."""
    ts = (FIRST_DAY + number % 4) * DAY_MS + number * 1000 + np.arange(40, dtype=np.int64) * 10
    return [Block("crash_total", {"host": str(host)}, ts, np.full(40, float(number))) for host in range(5)]


def live(path: Path, acknowledged: Path) -> None:
    """Collect, archive and sweep without end."""
    store = Store(path)
    samples = Samples(store)
    last = max((int(line) for line in acknowledged.read_bytes().split()), default=0) if acknowledged.exists() else 0
    with acknowledged.open("ab", buffering=0) as file:
        for number in itertools.count(max(1, last)):  # the last one again, as a collector would
            samples.append(1, batch(number))
            file.write(b"%d\n" % number)
            if number % 3 == 0:
                run(store, path.parent, now=NOW + timedelta(hours=number))
                closing.sweep(store, NOW + timedelta(hours=number))
            if number % 7 == 0:
                store.checkpoint()


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_no_sample_is_lost_or_doubled(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path, acknowledged = tmp_path / "metrics.duckdb", tmp_path / "acknowledged"
    for _ in range(15):
        killed(live, path, acknowledged, within_s=chance.uniform(0.0, 0.5), once=acknowledged)
        last = max(int(line) for line in acknowledged.read_bytes().split())
        store = Store(path)
        with store.read() as cursor:
            found = cursor.execute(
                "SELECT value::INTEGER, count(*), count(DISTINCT (series_id, ts)) FROM samples GROUP BY 1 ORDER BY 1"
            ).fetchall()
        assert store.health()["quarantined"] == []
        store.close()
        numbers = [row[0] for row in found]
        assert numbers == list(range(1, numbers[-1] + 1)) and numbers[-1] in (last, last + 1)
        assert {row[1:] for row in found} == {(200, 200)}
    assert last > 5  # on a busy machine a life is a batch
