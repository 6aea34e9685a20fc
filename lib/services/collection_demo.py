"""The bundled history as a source: loaded once, then let out as time passes; and what a first start begins with."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from lib.db.tables import Source, Target
from lib.demo import history
from lib.frames import Block, Window, from_ms, to_ms, validate
from lib.store.samples import Samples

log = logging.getLogger(__name__)

# A recording ends where it ends: it is shown as if it had just been made, anew each day.
_RECORDED_KEPT = timedelta(days=1)
# Samples a transaction: keeps other writers waiting for a moment, not for the whole history.
_BATCH = 100_000

# What most node exporters have and most questions are about; taken when a server comes from the environment.
DEFAULT_METRICS = (
    "up",
    "node_boot_time_seconds",
    "node_context_switches_total",
    "node_cpu_seconds_total",
    "node_disk_io_time_seconds_total",
    "node_disk_read_bytes_total",
    "node_disk_written_bytes_total",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
    "node_load1",
    "node_load5",
    "node_memory_MemAvailable_bytes",
    "node_memory_MemTotal_bytes",
    "node_network_receive_bytes_total",
    "node_network_transmit_bytes_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
)


@dataclass(frozen=True)
class Released:
    """window: of what was new; None when nothing was."""

    window: Window | None
    series: int


class DemoFeed:
    """Keeps what has not happened yet in memory; a restart reads it again from the files."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self._ahead: dict[int, tuple[int, list[Block]]] = {}

    def shift_of(self, source: Source, now: datetime) -> int | None:
        """The shift its samples were loaded with, to find the labelled incidents; None while it is not loaded."""
        assert source.id is not None
        if source.url == "recorded":
            loaded = self.samples.watermark(source.id, "history")
            return history.shift_ms("recorded", loaded) if loaded else None
        shift = history.shift_ms(source.url, now)
        return shift if self.samples.watermark(source.id, f"history@{shift}") else None

    def release(self, source: Source, now: datetime) -> Released:
        """Store what has happened by `now` and was not stored yet; load anew when the history moved on."""
        assert source.id is not None
        if source.url == "recorded":
            return self._recorded(source.id, now)
        shift = history.shift_ms(source.url, now)
        # The shift is in the mark's name: a history stored under another one is another history.
        mark = f"history@{shift}"
        until = self.samples.watermark(source.id, mark)
        if until is None or until > now + timedelta(days=1):
            self._ahead.pop(source.id, None)
            self.samples.forget_source(source.id)
            blocks = history.blocks(source.url, now, shift)
            log.info("loading the demo history", extra={"history": source.url, "series": len(blocks)})
            released = self._store(source.id, mark, blocks, shift, now)
            del blocks
            _give_memory_back()
            return released
        known = self._ahead.get(source.id)
        if known is None or known[0] != shift:
            blocks = [_after(block, to_ms(until)) for block in history.blocks(source.url, now, shift)]
        else:
            blocks = known[1]
        return self._store(source.id, mark, blocks, shift, now)

    def forget(self, source_id: int) -> None:
        self._ahead.pop(source_id, None)

    def _recorded(self, source_id: int, now: datetime) -> Released:
        loaded = self.samples.watermark(source_id, "history")
        if loaded and timedelta() <= now - loaded < _RECORDED_KEPT:
            return Released(None, len(self.samples.find(source_id=source_id)))
        self.samples.forget_source(source_id)
        blocks = history.blocks("recorded", now)
        self.samples.append(source_id, [validate(b, now)[0] for b in blocks], ("history", now))
        return Released(_span(blocks), len(blocks))

    def _store(self, source_id: int, mark: str, blocks: list[Block], shift: int, now: datetime) -> Released:
        edge = to_ms(now)
        due = [_until(block, edge) for block in blocks]
        # Copies, so that the weeks that lie behind are not held by the days ahead.
        ahead = [_after(block, edge, copy=True) for block in blocks]
        self._ahead[source_id] = (shift, [b for b in ahead if b.ts_ms.size])
        window = _span(due)
        batches = list(_batches(due))
        for batch in batches[:-1]:
            self.samples.append(source_id, batch)
        # The mark comes with the last batch: killed before it, the history counts as not loaded.
        self.samples.append(source_id, batches[-1] if batches else [], (mark, now))
        return Released(window, len(self.samples.find(source_id=source_id)))


def history_target(source_id: int) -> Target:
    return Target(source_id=source_id, name="history")


def _give_memory_back() -> None:
    """Loading is the most this process ever holds at once; allocators would keep some 60 MB of it for good."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)


def _until(block: Block, edge_ms: int) -> Block:
    cut = int(np.searchsorted(block.ts_ms, edge_ms, side="right"))
    return Block(block.metric, block.labels, block.ts_ms[:cut], block.value[:cut])


def _after(block: Block, edge_ms: int, copy: bool = False) -> Block:
    cut = int(np.searchsorted(block.ts_ms, edge_ms, side="right"))
    ts, value = block.ts_ms[cut:], block.value[cut:]
    return Block(block.metric, block.labels, ts.copy() if copy else ts, value.copy() if copy else value)


def _span(blocks: list[Block]) -> Window | None:
    filled = [b for b in blocks if b.ts_ms.size]
    if not filled:
        return None
    return Window(from_ms(min(int(b.ts_ms[0]) for b in filled)), from_ms(max(int(b.ts_ms[-1]) for b in filled) + 1))


def _batches(blocks: list[Block]) -> Iterator[list[Block]]:
    batch: list[Block] = []
    size = 0
    for block in blocks:
        if not block.ts_ms.size:
            continue
        batch.append(block)
        size += block.ts_ms.size
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
