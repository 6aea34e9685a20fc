"""A store with a few days of every shape of series, and one run of the archive without tasks."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lib import frames
from lib.frames import Block
from lib.store import closing
from lib.store.archive import DAY_MS
from lib.store.closing import Retention
from lib.store.connection import Store
from lib.store.samples import Samples

NOW = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
FIRST_DAY = frames.to_ms(datetime(2026, 3, 10, tzinfo=UTC)) // DAY_MS
KEEP = Retention(hot=7)
STALE = np.array([frames.STALE_NAN_BITS], dtype=np.int64).view(np.float64)[0]


def blocks(days: int = 3, step_s: int = 300, first_day: int = FIRST_DAY, seed: int = 1) -> list[Block]:
    """A counter with a reset, bytes, decimals, long fractions, a constant, and one with all that is no number."""
    rng = np.random.default_rng(seed)
    ts = first_day * DAY_MS + np.arange(days * 86_400 // step_s, dtype=np.int64) * step_s * 1000 + 377
    n = ts.size
    total = np.cumsum(rng.integers(0, 900, n)).astype(np.float64)
    total[n // 2 :] -= total[n // 2]
    odd = np.round(rng.normal(0, 5, n), 1)
    odd[::50], odd[7::60], odd[9::70], odd[11::80] = np.nan, np.inf, -np.inf, -0.0
    odd[3::40] = STALE
    odd[5::90] = 2.0**60 + 256
    return [
        Block("requests_total", {"host": "a"}, ts, total),
        Block("memory_bytes", {"host": "a"}, ts, np.floor(rng.normal(8e9, 3e7, n) / 4096) * 4096),
        Block("load", {"host": "a"}, ts, np.round(np.abs(rng.normal(2, 1, n)), 2)),
        Block("ratio", {"host": "b"}, ts, rng.random(n)),
        Block("up", {"host": "b"}, ts, np.ones(n)),
        Block("odd", {"host": "b"}, ts + rng.integers(0, 200, n), odd),
        Block("once", {"host": "b"}, ts[5:6], np.array([0.1])),
    ]


def run(store: Store, folder: Path, keep: Retention = KEEP, now: datetime = NOW) -> list[int]:
    """Archive what is due and let go of what has expired; the days that were archived."""
    done = []
    for day in closing.due(store, keep, now):
        workdir = folder / "work" / str(day)
        shutil.rmtree(workdir, ignore_errors=True)
        plan = closing.prepare(store, day, workdir, now)
        if closing.commit(store, plan, closing.pack(workdir, store.archive.place), workdir / closing.SPANS, now):
            done.append(day)
    closing.expire(store, keep, now)
    return done


def content(store: Store) -> list[tuple[str, int, int]]:
    """All there is, as (metric, Unix milliseconds, the value's bits), sorted; doubles show as two rows."""
    with store.read() as cursor:
        rows = cursor.execute(
            "SELECT metric, epoch_ms(ts) AS t, value FROM samples JOIN series ON series.id = series_id ORDER BY ALL"
        ).fetchnumpy()
    bits = np.ascontiguousarray(rows["value"]).view(np.int64)
    return sorted(zip(rows["metric"].tolist(), rows["t"].tolist(), bits.tolist(), strict=True))


def expected(*given: Block) -> list[tuple[str, int, int]]:
    """The same of blocks."""
    return sorted(
        (block.metric, t, bits)
        for block in given
        for t, bits in zip(block.ts_ms.tolist(), block.value.view(np.int64).tolist(), strict=True)
    )


def filled(path: Path, days: int = 3) -> Samples:
    samples = Samples(Store(path))
    samples.append(1, blocks(days))
    return samples
