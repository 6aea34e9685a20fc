"""What is held for speed goes back to the system when nobody reads, and never in the way of who does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

from lib.frames import Block, Window
from lib.store.connection import Store
from lib.store.samples import Samples

ALL = Window(datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))


def _held(store: Store) -> int:
    with store.read() as cursor:
        return cursor.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchall()[0][0]


def _limit(store: Store) -> str:
    with store.read() as cursor:
        return str(cursor.execute("SELECT current_setting('memory_limit')").fetchall()[0][0])


def test_what_is_held_goes_back_and_reading_goes_on(samples: Samples, block: Callable[..., Block]) -> None:
    store = samples.store
    samples.append(1, [block(np.random.default_rng(0).normal(0, 1, 500_000))])
    store.checkpoint()
    before = samples.read([1], ALL)
    held, limit = _held(store), _limit(store)
    store.give_back()
    assert _held(store) < held / 2
    assert samples.read([1], ALL).equals(before)
    assert _limit(store) == limit


def test_nothing_is_taken_from_who_reads(samples: Samples, block: Callable[..., Block]) -> None:
    samples.append(1, [block(np.arange(100_000.0))])
    samples.store.checkpoint()
    done = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                assert len(samples.read([1], ALL)) == 100_000
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(300):
        samples.store.give_back()
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []


def test_a_store_with_all_in_its_log_or_closed_gives_nothing_back_and_says_nothing(
    samples: Samples, block: Callable[..., Block]
) -> None:
    samples.append(1, [block(np.arange(50_000.0))])
    samples.store.give_back()
    assert len(samples.read([1], ALL)) == 50_000
    samples.store.close()
    samples.store.give_back()


def test_a_full_disk_keeps_what_is_held_and_reading_goes_on(
    samples: Samples, block: Callable[..., Block], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB moves what it cannot drop to temporary files, for which there may be no room."""
    store = samples.store
    samples.append(1, [block(np.arange(50_000.0))])
    limit, real = _limit(store), store._connection

    class Full:
        def __init__(self) -> None:
            self.cursor_ = real.cursor()

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.cursor_.close()

        def execute(self, sql: str) -> None:
            if "'1MB'" in sql:
                raise duckdb.IOException('Could not write file "x.tmp": No space left on device')
            self.cursor_.execute(sql)

    monkeypatch.setattr(store, "_connection", SimpleNamespace(cursor=Full))
    store.give_back()
    monkeypatch.undo()
    assert _limit(store) == limit and len(samples.read([1], ALL)) == 50_000
