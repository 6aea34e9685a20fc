"""Imported samples on their way into the store: sorted and made unique in a child process, then taken in whole or not
at all by the app, straight from the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from lib import frames
from lib.frames import Block, Window
from lib.store.archive import RAW
from lib.store.catalog import Span
from lib.store.engine import spilling
from lib.store.samples import Appended, Samples
from lib.store.schema import naive

# Rows of the file that are written or compared at a time, within one transaction.
_TOGETHER = 500_000
_MEMORY_MB = 400
MOST_CONFLICTS = 1_000


@dataclass(frozen=True)
class Incoming:
    """A series of a sorted file: its number there, who it is, and how many samples from when to when it has."""

    number: int
    metric: str
    labels: dict[str, str]
    count: int
    first_ms: int
    last_ms: int

    @property
    def span(self) -> Span:
        return self.first_ms, self.last_ms


@dataclass
class Sorted:
    """What sorting found. repeated: rows that say again what another row said. conflicts: rows that say otherwise; the
    last row of the file counts. series: count, first and last milliseconds of each number. examples: (series,
    milliseconds, line that counts, line that does not)."""

    samples: int = 0
    repeated: int = 0
    conflicts: int = 0
    series: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    examples: list[tuple[int, int, int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Compared:
    """Of the samples of a file: how many are stored already, and how many of those with another value."""

    known: int
    different: int


def write_unsorted(parts: Iterator[Any], folder: Path) -> int:
    """Write `lib.intake.convert.Samples` as Parquet, one file a batch of them; the number of rows."""
    from pyarrow import parquet

    rows = 0
    for number, part in enumerate(parts):
        columns = {"series": part.series, "ts_ms": part.ts_ms, "value": part.value, "line": part.line}
        parquet.write_table(
            pa.table(columns), folder / f"{number:06}.parquet", compression="snappy", use_dictionary=False
        )
        rows += part.ts_ms.size
    return rows


def sort(folder: Path, target: Path, scratch: Path, progress: Callable[[float], None] = lambda _share: None) -> Sorted:
    """One file, sorted by series and time, of all in `folder`; of equal times the last line's value. In a child."""
    from pyarrow import parquet

    found = Sorted()
    schema = pa.schema([("series", pa.int32()), ("ts_ms", pa.int64()), ("value", pa.float64())])
    ordered = scratch / "ordered.parquet"
    files = str(folder / "*.parquet").replace("'", "''")
    with parquet.ParquetWriter(target, schema, compression="zstd", use_dictionary=False) as out:
        if not any(folder.iterdir()):
            return found
        with spilling(scratch, _MEMORY_MB) as connection:
            # Named, since DuckDB quotes no path in COPY.
            connection.sql(f"SELECT * FROM read_parquet('{files}') ORDER BY series, ts_ms, line").write_parquet(  # noqa: S608
                str(ordered), compression="snappy"
            )
        progress(0.5)
        held: dict[str, np.ndarray] | None = None
        with parquet.ParquetFile(ordered) as file:
            rows, done = max(file.metadata.num_rows, 1), 0
            for piece in file.iter_batches(200_000, use_threads=False):
                columns = {name: piece.column(name).to_numpy() for name in ("series", "ts_ms", "value", "line")}
                if held is not None:
                    columns = {name: np.concatenate([held[name], column]) for name, column in columns.items()}
                # The last row may be contradicted by the next piece.
                held = {name: column[-1:] for name, column in columns.items()}
                _keep(out, columns, found, schema)
                done += piece.num_rows
                progress(0.5 + 0.5 * done / rows)
        if held is not None:
            end = {name: np.append(column, column[-1:]) for name, column in held.items()}
            end["ts_ms"][-1] += 1  # a row that differs, so that the last one is kept
            _keep(out, end, found, schema)
    ordered.unlink()
    return found


def _keep(out: Any, columns: dict[str, np.ndarray], found: Sorted, schema: pa.Schema) -> None:
    """Write all rows but the last, without those that the row after them replaces."""
    series, ts, value, line = (columns[name] for name in ("series", "ts_ms", "value", "line"))
    replaced = (np.diff(series) == 0) & (np.diff(ts) == 0)
    bits = np.ascontiguousarray(value).view(np.int64)
    otherwise = replaced & (np.diff(bits) != 0)
    found.repeated += int((replaced & ~otherwise).sum())
    found.conflicts += int(otherwise.sum())
    for i in np.flatnonzero(otherwise)[: max(MOST_CONFLICTS - len(found.examples), 0)].tolist():
        found.examples.append((int(series[i]), int(ts[i]), int(line[i + 1]), int(line[i])))
    kept = ~replaced
    series, ts, value = series[:-1][kept], ts[:-1][kept], value[:-1][kept]
    if not ts.size:
        return
    out.write_table(pa.table([pa.array(series, pa.int32()), pa.array(ts), pa.array(value)], schema=schema))
    found.samples += int(ts.size)
    numbers, starts, sizes = np.unique(series, return_index=True, return_counts=True)
    for number, start, size in zip(numbers.tolist(), starts.tolist(), sizes.tolist(), strict=True):
        count, first, _ = found.series.get(number, (0, int(ts[start]), 0))
        found.series[number] = count + size, first, int(ts[start + size - 1])


class Intake:
    """The app's side: compares a sorted file with what is stored, and takes it in."""

    def __init__(self, samples: Samples) -> None:
        self.samples, self.store = samples, samples.store

    def compare(self, source_id: int, series: Sequence[Incoming], path: Path) -> Compared:
        """How many samples of a file are there already. Changes nothing."""
        known = self.samples.known()
        found = self.samples.identified(source_id, [(one.metric, one.labels) for one in series])
        ids = {one.number: i for one, i in zip(series, found, strict=True) if i}
        stored = {number: known.spans[i] for number, i in ids.items() if i in known.spans}
        there = [one for one in series if one.number in stored and _overlap(stored[one.number], one.span)]
        total = different = 0
        with self.store.read() as cursor:
            for part in _parts(there):
                with _mapped(cursor, part, ids, stored):
                    row = cursor.execute(
                        f"SELECT count(*), count_if(stored.value <> f.value) FROM {_FILE} JOIN samples AS stored ON "  # noqa: S608
                        "stored.series_id = named.id AND stored.ts = make_timestamp_ms(f.ts_ms) "
                        f"WHERE {_RANGE} AND stored.series_id IN ({_ids(part, ids)}) "
                        "AND stored.ts >= ?::TIMESTAMP_MS AND stored.ts <= ?::TIMESTAMP_MS",
                        [str(path), part[0].number, part[-1].number, *_common(part, stored)],
                    ).fetchall()[0]
                    total, different = total + int(row[0]), different + int(row[1])
        return Compared(total, different)

    def take(self, source_id: int, series: Sequence[Incoming], path: Path) -> Appended:
        """Add what is not there yet in one transaction: returning means all of it is committed, raising that none is.

        A sample that is there already keeps its value. Raises StoreFull, StoreReadOnly.
        """
        blocks = [Block(one.metric, one.labels, np.empty(0, np.int64), np.empty(0)) for one in series]
        with self.store.lock:
            known = self.samples.known()
            with self.store.write() as cursor:
                found, made = self.samples.identify(cursor, source_id, blocks)
                ids = {one.number: i for one, i in zip(series, found, strict=True)}
                stored = {number: known.spans[i] for number, i in ids.items() if i in known.spans}
                written = 0
                for part in _parts(series):
                    with _mapped(cursor, part, ids, stored):
                        written += self._insert(cursor, path, part, ids, stored)
            known.add(made)
            for one in series:
                known.widen(ids[one.number], *one.span)
        return Appended(written, sum(one.count for one in series) - written)

    def _insert(
        self,
        cursor: duckdb.DuckDBPyConnection,
        path: Path,
        part: list[Incoming],
        ids: dict[int, int],
        stored: dict[int, Span],
    ) -> int:
        """What lies beside a series' stored span is new; only the rest is compared with what is there."""
        row = f"SELECT named.id, make_timestamp_ms(f.ts_ms), f.value FROM {_FILE} WHERE {_RANGE}"  # noqa: S608
        given = [str(path), part[0].number, part[-1].number]
        beside = "(named.first IS NULL OR f.ts_ms < named.first OR f.ts_ms > named.last)"
        written = cursor.execute(f"INSERT INTO samples {row} AND {beside}", given).fetchall()[0][0]
        overlapping = [one for one in part if one.number in stored and _overlap(stored[one.number], one.span)]
        if not overlapping:
            return int(written)
        first, last = _common(overlapping, stored)
        archive = self.store.archive
        view = archive.look(cursor)
        window = Window(first.replace(tzinfo=UTC), last.replace(tzinfo=UTC) + timedelta(milliseconds=1))
        there = archive.union(view, view.of(RAW, window))
        late = cursor.execute(
            f"INSERT INTO samples {row} AND NOT {beside} AND NOT EXISTS (SELECT 1 FROM ({there}) AS s WHERE "  # noqa: S608
            "s.series_id = named.id AND s.ts = make_timestamp_ms(f.ts_ms) AND "
            f"s.series_id IN ({_ids(overlapping, ids)}) AND s.ts >= ?::TIMESTAMP_MS AND s.ts <= ?::TIMESTAMP_MS)",
            [*given, first, last],
        ).fetchall()[0][0]
        return int(written) + int(late)


_FILE = "read_parquet(?) AS f JOIN named_series AS named ON named.series = f.series"
_RANGE = "f.series BETWEEN ? AND ?"


def _parts(series: Sequence[Incoming]) -> Iterator[list[Incoming]]:
    """In runs of so few samples that comparing them takes little memory; numbers rise."""
    part: list[Incoming] = []
    size = 0
    for one in series:
        if part and size + one.count > _TOGETHER:
            yield part
            part, size = [], 0
        part.append(one)
        size += one.count
    if part:
        yield part


@contextmanager
def _mapped(
    cursor: duckdb.DuckDBPyConnection, part: list[Incoming], ids: dict[int, int], stored: dict[int, Span]
) -> Iterator[None]:
    """`named_series`: number in the file, id in the store, and how far its stored samples reach."""
    edges = [stored.get(one.number) for one in part]
    cursor.register(
        "named_series",
        pa.table(
            {
                "series": pa.array([one.number for one in part], pa.int32()),
                "id": pa.array([ids[one.number] for one in part], pa.int32()),
                "first": pa.array([edge and edge[0] for edge in edges], pa.int64()),
                "last": pa.array([edge and edge[1] for edge in edges], pa.int64()),
            }
        ),
    )
    try:
        yield
    finally:
        cursor.unregister("named_series")


def _ids(part: Sequence[Incoming], ids: dict[int, int]) -> str:
    return ",".join(str(int(ids[one.number])) for one in part)


def _common(part: Sequence[Incoming], stored: dict[int, Span]) -> tuple[datetime, datetime]:
    """From when to when samples of the file and stored ones can be the same."""
    first = min(max(stored[one.number][0], one.first_ms) for one in part)
    last = max(min(stored[one.number][1], one.last_ms) for one in part)
    return naive(frames.from_ms(first)), naive(frames.from_ms(last))


def _overlap(one: Span, other: Span) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
