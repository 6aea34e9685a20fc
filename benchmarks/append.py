"""Append 2,000-sample batches to a store that holds 2 M samples: time a batch, bytes a sample on the disk."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.report import Figure
from lib import frames
from lib.frames import Block
from lib.store.connection import Store
from lib.store.samples import Samples

_HELD = 2_000_000
_SERIES = 500
_STEP_MS = 15_000
_START_MS = frames.to_ms(datetime(2026, 1, 1, tzinfo=UTC))
# A batch of a live collection: 500 series, 4 scrapes each.
_SCRAPES = 4


def blocks(values: np.random.Generator, first: int, scrapes: int) -> list[Block]:
    """Readings as a node exporter gives them: half counters with a fraction, half noisy gauges, all full doubles."""
    ts = _START_MS + (first + np.arange(scrapes, dtype=np.int64)) * _STEP_MS
    made = []
    for i in range(_SERIES):
        if i % 2:
            value, metric = values.normal(50, 20, scrapes), "node_load1"
        else:
            value, metric = first * 3.0 + np.cumsum(values.gamma(2, 1.5, scrapes)), "node_cpu_seconds_total"
        made.append(Block(metric, {"instance": f"host{i // 10}:9100", "cpu": str(i % 10)}, ts, value))
    return made


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """p50_ms and p99_ms of an append, watermark and commit included; bytes_per_sample after a checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks append")
    parser.add_argument("--batches", type=int, default=200 if quick else 1000)
    options = parser.parse_args(args)
    values = np.random.default_rng(20260101)
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "append.duckdb")
        samples = Samples(store)
        held = _HELD // _SERIES
        samples.append(1, blocks(values, 0, held))
        took = []
        for number in range(options.batches):
            batch = blocks(values, held + number * _SCRAPES, _SCRAPES)
            started = time.perf_counter()
            samples.append(1, batch, ("everything", frames.from_ms(int(batch[0].ts_ms[-1]))))
            took.append((time.perf_counter() - started) * 1000)
        # The log holds the last batches uncompressed until it is folded in.
        store.checkpoint()
        stored = (held + options.batches * _SCRAPES) * _SERIES
        size_bytes = store.size_bytes
        store.close()
    yield Figure("append", "p50_ms", round(float(np.percentile(took, 50)), 3), "ms")
    yield Figure("append", "p99_ms", round(float(np.percentile(took, 99)), 3), "ms")
    yield Figure("append", "bytes_per_sample", round(size_bytes / stored, 3), "B")
