"""The bundled history as a source: loaded once, then let out as time passes; and what a first start begins with."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from lib import memory
from lib.db.tables import Source, Target
from lib.demo import history
from lib.frames import Block, Window, from_ms, to_ms, validate
from lib.store.samples import Samples

log = logging.getLogger(__name__)

# A recording ends where it ends: it is shown as if it had just been made, anew each day.
_RECORDED_KEPT = timedelta(days=1)
# Samples a transaction: keeps other writers waiting for a moment, not for the whole history.
_BATCH = 100_000
# How far ahead of now samples are held, ready to be let out: a megabyte instead of a week's five.
_HELD = timedelta(hours=6)

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


@dataclass(frozen=True)
class _Ahead:
    """What happens next, until a moment (Unix ms), in a history moved by `shift`."""

    shift: int
    until_ms: int
    blocks: list[Block]


class DemoFeed:
    """Keeps the next hours in memory; what comes after them is read again from the files when it is their turn."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self._ahead: dict[int, _Ahead] = {}

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
        known = self._ahead.get(source.id)
        if until is None or until > now + timedelta(days=1):
            self._ahead.pop(source.id, None)
            self.samples.forget_source(source.id)
            log.info("loading the demo history", extra={"history": source.url})
            until = None
        elif known is not None and known.shift == shift and to_ms(now) < known.until_ms:
            return self._store(source.id, mark, known.blocks, known, now)
        blocks = history.blocks(source.url, now, shift)
        if until is not None:
            since_ms = to_ms(until)
            blocks = (_after(block, since_ms) for block in blocks)
        released = self._store(source.id, mark, blocks, _Ahead(shift, to_ms(now + _HELD), []), now)
        # What is in the log only takes twice the room in memory.
        self.samples.store.checkpoint()
        self.samples.store.give_back()
        memory.give_back()
        return released

    def forget(self, source_id: int) -> None:
        self._ahead.pop(source_id, None)

    def _recorded(self, source_id: int, now: datetime) -> Released:
        loaded = self.samples.watermark(source_id, "history")
        if loaded and timedelta() <= now - loaded < _RECORDED_KEPT:
            return Released(None, len(self.samples.find(source_id=source_id)))
        self.samples.forget_source(source_id)
        blocks = list(history.blocks("recorded", now))
        self.samples.append(source_id, [validate(b, now)[0] for b in blocks], ("history", now))
        return Released(_span(blocks), len(blocks))

    def _store(self, source_id: int, mark: str, blocks: Iterable[Block], ahead: _Ahead, now: datetime) -> Released:
        """Store what is due of these blocks, keep what is ahead."""
        edge = to_ms(now)
        due: list[Block] = []
        later: list[Block] = []
        window: Window | None = None
        for batch in _batches(blocks):
            if due:
                self.samples.append(source_id, due)
            due = [block for block in (_until(block, edge) for block in batch) if block.ts_ms.size]
            window = _wider(window, _span(due))
            # Copies, so that the weeks that lie behind are not held by the hours ahead.
            rest = [_until(_after(block, edge), ahead.until_ms, copy=True) for block in batch]
            later += [block for block in rest if block.ts_ms.size]
        # The mark comes with the last batch: killed before it, the history counts as not loaded.
        self.samples.append(source_id, due, (mark, now))
        self._ahead[source_id] = _Ahead(ahead.shift, ahead.until_ms, later)
        return Released(window, len(self.samples.find(source_id=source_id)))


def history_target(source_id: int) -> Target:
    return Target(source_id=source_id, name="history")


def _until(block: Block, edge_ms: int, copy: bool = False) -> Block:
    cut = int(np.searchsorted(block.ts_ms, edge_ms, side="right"))
    ts, value = block.ts_ms[:cut], block.value[:cut]
    return Block(block.metric, block.labels, ts.copy() if copy else ts, value.copy() if copy else value)


def _after(block: Block, edge_ms: int) -> Block:
    cut = int(np.searchsorted(block.ts_ms, edge_ms, side="right"))
    return Block(block.metric, block.labels, block.ts_ms[cut:], block.value[cut:])


def _span(blocks: list[Block]) -> Window | None:
    filled = [b for b in blocks if b.ts_ms.size]
    if not filled:
        return None
    return Window(from_ms(min(int(b.ts_ms[0]) for b in filled)), from_ms(max(int(b.ts_ms[-1]) for b in filled) + 1))


def _wider(window: Window | None, more: Window | None) -> Window | None:
    if window is None or more is None:
        return window or more
    return Window(min(window.start, more.start), max(window.end, more.end))


def _batches(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    batch: list[Block] = []
    size = 0
    for block in blocks:
        batch.append(block)
        size += block.ts_ms.size
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
