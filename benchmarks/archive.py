"""How small archived samples are, bit by bit what they were, against Prometheus' compacted blocks of the same data."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.ingest import METRICS, STEP_S, History, values_of, write_openmetrics
from benchmarks.prometheus import binary, running
from benchmarks.report import Figure, note
from lib.demo import history as demo
from lib.frames import Block, Window, to_ms
from lib.store import closing
from lib.store.closing import Retention
from lib.store.connection import Store
from lib.store.samples import Samples

DAY = timedelta(days=1)
# Prometheus looks for blocks to compact a minute after its start, then does all there is to do.
_COMPACTS_WITHIN_S = 180


def run(quick: bool, arguments: list[str]) -> Iterator[Figure]:
    now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    span = Window(now - (1 if quick else 7) * DAY, now)
    for name, blocks in (("", mixed(span)), ("_recorded", list(demo.blocks("recorded", now)))):
        with tempfile.TemporaryDirectory(prefix="archive-") as folder:
            yield from compare(name, blocks, Path(folder), compact=not quick and not name)


def compare(name: str, blocks: Sequence[Block], folder: Path, compact: bool) -> Iterator[Figure]:
    count = sum(block.ts_ms.size for block in blocks)
    note(f"{count:,} samples of {len(blocks)} series")
    peer = prometheus_bytes(blocks, folder, compact) / count
    store = Store(folder / "metrics.duckdb")
    samples = Samples(store)
    samples.append(1, blocks)
    hot = content(store)
    began = time.perf_counter()
    archive(store, folder, datetime.now(UTC) + DAY)
    seconds = time.perf_counter() - began
    with store.read(archived=False) as cursor:
        sizes = dict(cursor.execute("SELECT tier, sum(size_bytes)::BIGINT FROM archive_parts GROUP BY tier").fetchall())
        left = cursor.execute("SELECT count(*) FROM samples").fetchall()[0][0]
    own = (sizes["raw"] + sizes["series"]) / count
    ratio = round(own / peer, 4)
    words = f"Prometheus blocks{', compacted' if compact else ''}, chunks and index: {peer:.3f} B a sample"
    same = left == 0 and all(np.array_equal(a, b) for a, b in zip(hot, content(store), strict=True))
    store.close()
    yield Figure("archive", f"bytes_per_sample{name}", round(own, 3), "B", words, ratio)
    yield Figure("archive", f"size_ratio{name}", ratio, "times", words, ratio)
    yield Figure("archive", f"bit_exact{name}", int(same), "1 = every sample, in order, bit by bit")
    tiers = (sizes["5m"] + sizes["1h"]) / count
    yield Figure("archive", f"tier_bytes_per_sample{name}", round(tiers, 3), "B")
    yield Figure("archive", f"archived_per_s{name}", round(count / seconds), "samples/s")


def mixed(span: Window) -> list[Block]:
    """Ten hosts of every shape `ingest` has; a seventh of it random doubles, which nobody can make small."""
    count = round(span.span.total_seconds() / STEP_S)
    ts = to_ms(span.start) + np.arange(count, dtype=np.int64) * STEP_S * 1000
    return [
        Block(
            name,
            {"instance": f"host-{series:02d}:9100", "job": "node"},
            ts + round(math.modf(series * 0.377)[0] * STEP_S * 1000),
            np.array([float(one) for one in values_of(kind, series, count)]),
        )
        for name, kind in METRICS
        for series in range(10)
    ]


def archive(store: Store, folder: Path, until: datetime) -> None:
    """The days before a moment, as the app does it day by day, but in this process."""
    now = until + 7 * DAY
    for day in closing.due(store, Retention(hot=7), now):
        workdir = folder / "work" / str(day)
        plan = closing.prepare(store, day, workdir, now)
        made = closing.pack(workdir, store.archive.place)
        if not closing.commit(store, plan, made, workdir / closing.SPANS, now):
            raise RuntimeError(f"Day {day} changed while nobody was writing.")
        shutil.rmtree(workdir)


def content(store: Store) -> list[np.ndarray]:
    """Series, time and the bits of each value, in order."""
    with store.read() as cursor:
        rows = cursor.execute("SELECT series_id, epoch_ms(ts) AS t, value FROM samples ORDER BY 1, 2").fetchnumpy()
    return [rows["series_id"], rows["t"], np.ascontiguousarray(rows["value"]).view(np.int64)]


def prometheus_bytes(blocks: Sequence[Block], folder: Path, compact: bool) -> int:
    """Chunks and indexes of a Prometheus that has the same samples."""
    text, data = folder / "history.om", folder / "tsdb"
    with text.open("w") as out:
        for metric in sorted({block.metric for block in blocks}):
            for block in (block for block in blocks if block.metric == metric):
                labels = ",".join(f'{name}="{value}"' for name, value in block.labels.items())
                pairs = zip(block.value.tolist(), block.ts_ms.tolist(), strict=True)
                out.writelines(f"{metric}{{{labels}}} {value!r} {ts / 1000:.3f}\n" for value, ts in pairs)
        out.write("# EOF\n")
    make_blocks(text, data)
    if compact:
        compact_blocks(folder)
    return sum(file.stat().st_size for file in [*data.glob("*/chunks/*"), *data.glob("*/index")])


def make_blocks(text: Path, data: Path) -> None:
    command = [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, data]
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)
    text.unlink()


def compact_blocks(folder: Path) -> None:
    """Have Prometheus join its blocks of two hours into such of up to a day, as it does by itself with time."""
    limits = ("--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=1d")
    with running(folder, "global: {}\n", "--storage.tsdb.retention.time=10y", *limits):
        before = levels = compaction(folder)
        until = time.monotonic() + _COMPACTS_WITHIN_S
        still = 0
        # Done when blocks have been joined and nothing has happened for six seconds.
        while still < 3 and time.monotonic() < until:
            time.sleep(2)
            found = compaction(folder)
            still = still + 1 if found == levels and found != before else 0
            levels = found
    if levels == before:
        raise RuntimeError(f"Prometheus compacted nothing within {_COMPACTS_WITHIN_S} s.")
    note(f"{len(before)} blocks compacted to {len(levels)}")


def compaction(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in (folder / "tsdb").glob("*/meta.json"))


def filled_prometheus(history: History, folder: Path) -> None:
    """Blocks of a history in folder/tsdb, compacted."""
    write_openmetrics(folder / "history.om", history)
    make_blocks(folder / "history.om", folder / "tsdb")
    compact_blocks(folder)
