"""Checking the archive against what was noted of it, and bringing back what the store does not know of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from lib.disk import sha256
from lib.errors import StoreError
from lib.frames import Block, Series
from lib.store import partition
from lib.store.archive import RAW, Part, date_of
from lib.store.closing import KEPT, SERIES
from lib.store.connection import Store
from lib.store.places import LocalPlace, Place
from lib.store.samples import Samples
from lib.store.schema import naive

logger = logging.getLogger(__name__)

Said = Callable[[float, str], None]


def _unsaid(_share: float, _words: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Verified:
    """files, rows, size_bytes: found as noted. damaged: what was set aside, in words. unknown: files of samples that
    lie there and the store does not know of."""

    files: int
    rows: int
    size_bytes: int
    damaged: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Restored:
    """samples: new to the store; known: there already. unreadable: row groups that could not be read, by file."""

    files: int
    samples: int
    known: int
    unreadable: dict[str, str]


def verify(store: Store, *, deep: bool, said: Said = _unsaid) -> Verified:
    """Compare every file with its noted size and hash, of a bucket with the size only; deep: read the bucket's, and
    decode each sample as well and compare counts and digests. What does not agree is set aside.

    Raises StoreError when the place cannot be asked, and, but for deep, when nothing at all is there.
    """
    return settle(store, doubts(store.archive.place, listed(store), deep=deep, said=said))


def listed(store: Store) -> tuple[Part, ...]:
    """The files the store knows of."""
    with store.read(archived=False) as cursor:
        return store.archive.look(cursor).parts


def doubts(place: Place, parts: Sequence[Part], *, deep: bool = False, said: Said = _unsaid) -> dict[str, str]:
    """What is wrong with which of these files, by name: `verify` without the store, for a process of its own."""
    sizes = place.sizes()
    if parts and not sizes and not deep:
        place.fetch(parts[0].name)
    found = {}
    for number, part in enumerate(parts):
        said(number / len(parts), f"{date_of(part.day)} {part.tier}")
        if reason := _fault(place, part, sizes.get(part.name), deep):
            found[part.name] = reason
    return found


def settle(store: Store, doubtful: Mapping[str, str]) -> Verified:
    """Set aside what was found damaged and is listed still; how the archive stands then."""
    sound: list[Part] = []
    damaged: list[str] = []
    for part in listed(store):
        if part.name not in doubtful:
            sound.append(part)
        elif told := store.archive.set_aside(part, doubtful[part.name]):
            damaged.append(told)
    rows = sum(part.rows for part in sound if part.tier == RAW)
    return Verified(len(sound), rows, sum(part.size_bytes for part in sound), tuple(damaged), tuple(unknown(store)))


def unknown(store: Store) -> list[str]:
    """Files of samples in the archive's place that are neither listed nor on their way out."""
    with store.read(archived=False) as cursor:
        known = {part.name for part in store.archive.look(cursor).parts}
        known |= {row[0] for row in cursor.execute("SELECT name FROM archive_gone").fetchall()}
    return [name for name in store.archive.place.names() if _is_raw(name) and name not in known]


def restore(
    samples: Samples,
    now: datetime,
    folder: Path | None = None,
    said: Said = _unsaid,
) -> Restored:
    """Bring samples back from archived files the store does not know of: after its file was lost, or (folder) from a
    copy of the archive or from quarantine. Sources keep their numbers; series are found by their labels.

    They come back as hot samples, once each however often this is repeated, and are archived again by the next run.
    """
    store = samples.store
    place: Place = LocalPlace(folder) if folder else store.archive.place
    names = _raw_in(folder) if folder else unknown(store)
    written = known = 0
    unreadable: dict[str, str] = {}
    for number, name in enumerate(names):
        said(number / len(names), name)
        try:
            path = place.fetch(name)
            series = _series(samples, place, name)
            for source_id, blocks in _groups(path, series, unreadable, name):
                appended = samples.append(source_id, blocks)
                written, known = written + appended.written, known + appended.known
        except (OSError, ValueError) as error:  # what pyarrow raises for a damaged file
            unreadable[name] = str(error).splitlines()[0] if str(error) else type(error).__name__
            continue
        if folder is None and name not in unreadable:
            with store.write() as cursor:
                rows = [[one, naive(now)] for one in (_beside(name, tier) for tier in KEPT)]
                cursor.executemany("INSERT INTO archive_gone VALUES (?, ?::TIMESTAMP_MS)", rows)
    logger.info("archive restored", extra={"files": len(names), "samples": written, "unreadable": len(unreadable)})
    return Restored(len(names), written, known, unreadable)


def _fault(place: Place, part: Part, size_bytes: int | None, deep: bool) -> str:
    """What is wrong with a file; empty when nothing is."""
    if size_bytes is None:
        return "it is no longer there"
    if size_bytes != part.size_bytes:
        return f"it has {size_bytes:,} bytes, not {part.size_bytes:,}"
    if place.far and not deep:
        return ""
    path = place.refetch(part.name)
    if sha256(path) != part.sha256:
        return "its bytes have changed"
    if deep and part.tier == RAW:
        found = partition.check(path)
        if found != (part.rows, part.digest):
            return f"its {found[0]:,} samples are not the {part.rows:,} that were archived"
    return ""


def _is_raw(name: str) -> bool:
    return Path(name).name.startswith(f"{RAW}-")


def _raw_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise StoreError(f"{folder} is no folder; name the copy of an archive, or a folder of quarantine.")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(f"{RAW}-*.parquet"))


def _beside(name: str, tier: str) -> str:
    path = Path(name)
    return str(path.with_name(path.name.replace(f"{RAW}-", f"{tier}-", 1)))


def _series(samples: Samples, place: Place, name: str) -> dict[int, Series]:
    """Who a file's numbers are: from the list beside it, else as the store has them."""
    from pyarrow import parquet

    try:
        path = place.fetch(_beside(name, SERIES))
    except FileNotFoundError:
        return {series.id: series for series in samples.find()}
    with parquet.ParquetFile(path) as file:
        rows = file.read(use_threads=False).to_pylist()
    return {
        row["id"]: Series(row["id"], row["source_id"], row["metric"], dict(row["labels"]), "", row["kind"])
        for row in rows
    }


def _groups(
    path: Path, series: dict[int, Series], unreadable: dict[str, str], name: str
) -> Iterator[tuple[int, list[Block]]]:
    """Blocks of one source at a time, row group by row group; those that cannot be read are noted and left out."""
    lost: list[str] = []
    for series_id, ts_ms, value in partition.samples(path, lambda error: lost.append(str(error).splitlines()[0])):
        edges = np.append(np.flatnonzero(np.append(True, np.diff(series_id) != 0)), series_id.size)
        by_source: dict[int, list[Block]] = {}
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            one = series.get(int(series_id[start]))
            if one is None:
                lost.append(f"series {series_id[start]} is not listed")
                continue
            block = Block(one.metric, one.labels, ts_ms[start:end], value[start:end])
            by_source.setdefault(one.source_id, []).append(block)
        yield from by_source.items()
    if lost:
        unreadable[name] = f"{len(lost)} parts of it: {lost[0]}"
