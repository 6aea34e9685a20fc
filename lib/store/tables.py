"""A Parquet or CSV file described by DuckDB in a few passes: never loaded, two threads, a cap on memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from lib.errors import Invalid
from lib.profiling import relations, shape
from lib.profiling.gaps import find_gaps, missing_count, typical_interval_ms
from lib.profiling.relations import Relation
from lib.profiling.table_alerts import judged
from lib.profiling.tables import ColumnProfile, Kind, Rejected, TableProfile, TimeProfile, kind_of
from lib.store.engine import reason, spilling

MEMORY_MB, MORE_MEMORY_MB = 260, 700
# A share is at most 0.3 points off, 19 times in 20; 0.8 MB a column.
SAMPLE_ROWS = 100_000
# Enough for a coefficient of 0.02 to be no accident, few enough for 1,800 pairs in two seconds.
RELATED_ROWS, RELATED_COLUMNS = 20_000, 60
MOST_COLUMNS = 500
# A minute or two of two threads; a few kilobytes of Parquet can claim to be far more.
MOST_CELLS = 4_000_000_000
# Columns read in one pass: a thousand aggregates at once would not stay within the memory.
TOGETHER = 40
# Hashes of more rows would fill gigabytes of temporary files.
MOST_COMPARED, COMPARED_TOGETHER = 50_000_000, 1_500_000
# A column of fewer values than this is counted value by value.
COUNTED_DISTINCT = 10_000
TOP, LONGEST_TEXT = 10, 200
MOST_GAPS, TIME_BUCKETS, MOST_HOURS = 20, 1_000_000, 200_000
HOUR_MS = 3_600_000
EXACT_INTEGERS = 2**53
Progress = Callable[[float, str], None]


@dataclass
class _Column:
    """A column while it is being described: its name as SQL has it, its kind, and what the sample said."""

    index: int
    name: str
    type: str
    kind: Kind
    centre: float = 0.0
    spread: float = 1.0

    @property
    def sql(self) -> str:
        """As values are compared and counted: long texts are cut."""
        quoted = self.quoted
        return f"left({quoted}::VARCHAR, {LONGEST_TEXT})" if self.kind is Kind.TEXT else quoted

    @property
    def quoted(self) -> str:
        return '"' + self.name.replace('"', '""') + '"'

    @property
    def floating(self) -> bool:
        return self.type.upper() in ("FLOAT", "DOUBLE")

    @property
    def number(self) -> str:
        """As a double, NULL where it is no finite number."""
        if self.kind is Kind.MOMENT:
            return f"epoch_ms({self.quoted})::DOUBLE"
        if self.floating:
            return f"CASE WHEN isfinite({self.quoted}) THEN {self.quoted}::DOUBLE END"
        return f"{self.quoted}::DOUBLE"


def profile(
    path: Path,
    name: str,
    scratch: Path,
    *,
    size_bytes: int | None = None,
    rejected: Rejected | None = None,
    as_of: str = "",
    progress: Progress = lambda _fraction, _words: None,
) -> TableProfile:
    """Everything there is to say about a Parquet file. scratch: a folder for temporary files.

    Raises Invalid when it is no Parquet file, or a damaged one.
    """
    started = time.perf_counter()
    try:
        found = _read(path, scratch, progress)
    except duckdb.Error as error:
        raise Invalid(
            f"{name} cannot be read as Parquet: {reason(error, path)}. Export it again, or save it as CSV."
        ) from None
    size = size_bytes if size_bytes is not None else path.stat().st_size
    whole = replace(found, name=name, size_bytes=size, rejected=rejected or Rejected(0), as_of=as_of)
    return replace(judged(whole), took_s=round(time.perf_counter() - started, 3))


def _read(path: Path, scratch: Path, progress: Progress) -> TableProfile:
    """With little memory; where rows are so large that it does not do, once more with more and one thread."""
    with spilling(scratch, MEMORY_MB) as connection, suppress(duckdb.OutOfMemoryException):
        return _Reader(connection, path, progress).read()
    with spilling(scratch, MORE_MEMORY_MB) as connection:
        connection.execute("SET threads = 1")
        try:
            return _Reader(connection, path, progress).read()
        except duckdb.OutOfMemoryException:
            raise Invalid(
                f"Its rows are too large to be described within {MORE_MEMORY_MB} MB; leave out columns of long texts."
            ) from None


class _Reader:
    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path, progress: Progress) -> None:
        self.connection, self.progress = connection, progress
        self.file = "'" + str(path).replace("'", "''") + "'"
        described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({self.file})").fetchall()  # noqa: S608
        self.left_out = max(len(described) - MOST_COLUMNS, 0)
        # The last column is looked at whatever the width: it is the target more often than any other.
        looked_at = described if not self.left_out else [*described[: MOST_COLUMNS - 1], described[-1]]
        self.columns = [_Column(i, row[0], row[1], kind_of(row[1])) for i, row in enumerate(looked_at)]
        self.rows = int(self._rows(f"SELECT count(*) FROM read_parquet({self.file})")[0][0])  # noqa: S608
        self.sampled = 0

    def read(self) -> TableProfile:
        if self.rows * len(self.columns) > MOST_CELLS:
            raise Invalid(
                f"{self.rows:,} rows of {len(self.columns):,} columns are more than one profile takes "
                f"({MOST_CELLS:,} cells); choose fewer columns or rows."
            )
        if not self.rows or not self.columns:
            empty = tuple(ColumnProfile(c.name, c.type, c.kind, 0, 0, 0) for c in self.columns)
            return TableProfile("", self.rows, 0, empty, 0, 0, left_out=self.left_out)
        self.progress(0.05, "Taking a sample")
        self._take_sample()
        described = [self._from_sample(column) for column in self.columns]
        self.progress(0.3, "Counting")
        for start in range(0, len(self.columns), TOGETHER):
            part = slice(start, start + TOGETHER)
            described[part] = self._counted(self.columns[part], described[part])
        self.progress(0.5, "Counting values")
        described = [self._with_top(c, d) for c, d in zip(self.columns, described, strict=True)]
        self.progress(0.6, "Relating columns")
        related = self._relations(described)
        # What follows goes through all rows, and wants the room.
        self._rows("DROP TABLE sample")
        self.progress(0.7, "Looking for rhythm")
        described = self._with_resets(described)
        at, when = self._time(described)
        if at is not None:
            described = self._with_rhythm(described, at)
        self.progress(0.85, "Comparing rows")
        duplicates = self._duplicates()
        return TableProfile(
            name="",
            rows=self.rows,
            size_bytes=0,
            columns=tuple(described),
            duplicates=duplicates,
            sampled=self.sampled,
            relations=related,
            time=when,
            left_out=self.left_out,
        )

    # --- the sample -------------------------------------------------------------------------------

    def _take_sample(self) -> None:
        """Rows by the hash of their number: the same each time, in the order of the file."""
        described = [column for column in self.columns if column.kind is not Kind.OTHER]
        wanted = ", ".join(f"{column.sql} AS s{column.index}" for column in described) or "1 AS nothing"
        if self.rows <= SAMPLE_ROWS:
            source, where = f"read_parquet({self.file})", ""
        elif any(column.name.lower() == "file_row_number" for column in self.columns):
            source, where = f"read_parquet({self.file})", f"WHERE random() < {SAMPLE_ROWS / self.rows!r}"
        else:
            source = f"read_parquet({self.file}, file_row_number=true)"
            where = f"WHERE hash(file_row_number) < {int(2**64 * SAMPLE_ROWS / self.rows)}::UBIGINT"
        self.connection.execute(f"CREATE TEMP TABLE sample AS SELECT {wanted} FROM {source} {where}")  # noqa: S608
        self.sampled = int(self._rows("SELECT count(*) FROM sample")[0][0])

    def _of_sample(self, column: _Column) -> np.ndarray:
        """A number or moment as floats, NaN where missing."""
        held = replace(column, name=f"s{column.index}")
        return self._floats(f"SELECT {held.number} FROM sample")  # noqa: S608 (numbers)

    def _from_sample(self, column: _Column) -> ColumnProfile:
        found = ColumnProfile(column.name, column.type, column.kind, 0, 0, 0)
        if column.kind in (Kind.NUMBER, Kind.MOMENT):
            value = self._of_sample(column)
            spread = shape.distribution(value)
            # Sums are taken around these, so that they neither overflow nor cancel.
            # Between two values at opposite ends of what a double holds there is no middle.
            quantiles = {share: v for share, v in spread.quantiles.items() if np.isfinite(v)}
            edges = spread.edges if np.isfinite(spread.edges).all() else np.empty(0)
            column.centre = quantiles.get(0.5, 0.0)
            # Beyond these its reciprocal is 0 or infinite.
            column.spread = spread.std if spread.std and 1e-300 < spread.std < 1e300 else 1.0
            steps = np.sign(np.diff(value[np.isfinite(value)] / max(abs(column.centre), 1.0)))
            moving = int((steps != 0).sum())
            found = replace(
                found,
                quantiles={str(share): v for share, v in quantiles.items()},
                edges=tuple(edges.tolist()),
                counts=tuple(int(n) for n in spread.counts) if edges.size else (),
                increasing=float((steps > 0).sum()) / moving if moving >= 10 else None,
            )
        if column.kind is Kind.TEXT:
            s = f"s{column.index}"
            count, numbers, moments = self._rows(
                f"""SELECT count(*), count(try_cast({s} AS DOUBLE)), count(try_cast({s} AS TIMESTAMP))
                FROM sample WHERE trim({s}) <> ''"""  # noqa: S608 (numbers)
            )[0]
            reads, share = max((("number", numbers), ("moment", moments)), key=lambda one: one[1])
            if count and share:
                found = replace(found, reads_as=reads, reads_share=share / count)
        return found

    # --- all rows ---------------------------------------------------------------------------------

    def _counted(self, columns: Sequence[_Column], found: Sequence[ColumnProfile]) -> list[ColumnProfile]:
        """One pass over these columns."""
        wanted = {(c.index, what): sql for c in columns for what, sql in self._aggregates(c).items()}
        inner = ", ".join(f"{c.quoted} AS v{c.index}" + _as_number(c) for c in columns)
        aggregates = ", ".join(wanted.values())
        row = self._rows(f"SELECT {aggregates} FROM (SELECT {inner} FROM read_parquet({self.file}))")[0]  # noqa: S608
        values = dict(zip(wanted, row, strict=True))
        return [
            self._filled(c, p, {what: values[i, what] for i, what in wanted if i == c.index})
            for c, p in zip(columns, found, strict=True)
        ]

    def _aggregates(self, column: _Column) -> dict[str, str]:
        v, d = f"v{column.index}", f"d{column.index}"
        # A HyperLogLog is off by a few percent; what is all in the sample is counted there.
        found = {"count": f"count({v})", "distinct": f"approx_count_distinct({v})"}
        if column.kind is Kind.NUMBER:
            exact = d if column.floating else v
            # A multiplication: `** 2` takes four times as long.
            off = f"(({d} - {column.centre!r}::DOUBLE) * {1 / column.spread!r}::DOUBLE)"
            found |= {
                "min": f"min({exact})::VARCHAR",
                "max": f"max({exact})::VARCHAR",
                "mean": f"avg({off})",
                "square": f"avg({off} * {off})",
                "zeros": f"count_if({v} = 0)",
                "negative": f"count_if({d} < 0)",
            }
            if column.floating:
                found |= {"nan": f"count_if(isnan({v}))", "infinite": f"count_if(isinf({v}))"}
        elif column.kind is Kind.MOMENT:
            found |= {"min": f"min({v})::VARCHAR", "max": f"max({v})::VARCHAR"}
        elif column.kind is Kind.TEXT:
            found |= {
                "shortest": f"min(length({v}::VARCHAR))",
                "mean_length": f"avg(length({v}::VARCHAR))",
                "longest": f"max(length({v}::VARCHAR))",
                # Only what begins with a space, or is nothing, need be trimmed.
                "blank": f"count_if({v}::VARCHAR < '!' AND trim({v}::VARCHAR) = '')",
            }
        elif column.kind is Kind.BOOLEAN:
            found |= {"mean": f"avg({v}::INTEGER)", "zeros": f"count_if(NOT {v})"}
        return found

    def _filled(self, column: _Column, found: ColumnProfile, got: dict[str, Any]) -> ColumnProfile:
        count, distinct = int(got["count"]), int(got["distinct"])
        if self.sampled == self.rows and column.kind is not Kind.OTHER:
            distinct = int(self._rows(f"SELECT count(DISTINCT s{column.index}) FROM sample")[0][0])  # noqa: S608
        found = replace(
            found,
            count=count,
            missing=self.rows - count,
            distinct=min(distinct, count),
            least=got.get("min"),
            most=got.get("max"),
            zeros=int(got.get("zeros") or 0),
            negative=int(got.get("negative") or 0),
            nan=int(got.get("nan") or 0),
            infinite=int(got.get("infinite") or 0),
            blank=int(got.get("blank") or 0),
        )
        if column.kind is Kind.NUMBER and got["mean"] is not None:
            off, square = float(got["mean"]), float(got["square"])
            with np.errstate(all="ignore"):
                mean = np.float64(column.centre) + np.float64(column.spread) * off
                std = np.float64(column.spread) * np.sqrt(np.maximum(square - np.float64(off) ** 2, 0.0))
            exact = {"0.0": float(got["min"]), "1.0": float(got["max"])}
            found = replace(
                found,
                mean=_finite(mean),
                std=_finite(std),
                quantiles={**found.quantiles, **exact} if found.quantiles else {},
                beyond_exact=not column.floating and max(abs(v) for v in exact.values()) > EXACT_INTEGERS,
            )
        if column.kind is Kind.BOOLEAN and got["mean"] is not None:
            found = replace(found, mean=float(got["mean"]))
        if column.kind is Kind.TEXT and got["shortest"] is not None:
            found = replace(
                found, lengths=(int(got["shortest"]), round(float(got["mean_length"]), 3), int(got["longest"]))
            )
        return found

    def _with_top(self, column: _Column, found: ColumnProfile) -> ColumnProfile:
        few = found.distinct <= COUNTED_DISTINCT
        if column.kind is Kind.OTHER or not found.count or (column.kind is not Kind.TEXT and found.distinct > 100):
            return found
        if found.identifying:
            return found
        exact = few or self.sampled == self.rows
        what = column.sql if exact else f"s{column.index}"
        source = f"read_parquet({self.file})" if exact else "sample"
        rows = self._rows(
            f"""SELECT v::VARCHAR, n FROM (SELECT {what} AS v, count(*) AS n FROM {source} GROUP BY v)
            WHERE v IS NOT NULL ORDER BY n DESC, v LIMIT {TOP}"""  # noqa: S608 (quoted names and numbers)
        )
        scale = 1.0 if exact else self.rows / self.sampled
        top = tuple((str(value), round(n * scale)) for value, n in rows)
        return replace(found, top=top, top_exact=exact)

    def _with_resets(self, found: list[ColumnProfile]) -> list[ColumnProfile]:
        """Falls of what otherwise grows from row to row."""
        at = [i for i, one in enumerate(found) if one.kind is Kind.NUMBER and one.increasing_only]
        if not at:
            return found
        falls = ", ".join(f"count_if(v{i} < p{i})" for i in at)
        # Without an ORDER BY a window runs along the file; it needs no sorting.
        inner = ", ".join(
            f"{self.columns[i].number} AS v{i}, lag({self.columns[i].number}) OVER () AS p{i}" for i in at
        )
        row = self._rows(f"SELECT {falls} FROM (SELECT {inner} FROM read_parquet({self.file}))")[0]  # noqa: S608
        for i, count in zip(at, row, strict=True):
            # More falls than this and it is no counter, but lines of several mixed.
            found[i] = replace(found[i], resets=int(count) if count <= 0.05 * self.rows else None)
        return found

    def _duplicates(self) -> int | None:
        """Rows whose 64-bit hash was there before: exact but for one chance in ten thousand at fifty million rows."""
        if self.rows > MOST_COMPARED or self.left_out:
            return None
        hashed = ", ".join(column.quoted for column in self.columns)
        self._rows("SET preserve_insertion_order = false")
        self._rows(f"CREATE TEMP TABLE hashes AS SELECT hash({hashed}) AS h FROM read_parquet({self.file})")  # noqa: S608
        # Part by part: a hash table of all of them at once would not stay within the memory.
        parts = -(-self.rows // COMPARED_TOGETHER)
        different = sum(
            int(self._rows(f"SELECT count(DISTINCT h) FROM hashes WHERE h % {parts} = {part}")[0][0])  # noqa: S608
            for part in range(parts)
        )
        self._rows("DROP TABLE hashes")
        self._rows("SET preserve_insertion_order = true")
        return self.rows - different

    # --- time -------------------------------------------------------------------------------------

    def _time(self, found: Sequence[ColumnProfile]) -> tuple[_Column | None, TimeProfile | None]:
        moments = [c for c, p in zip(self.columns, found, strict=True) if p.kind is Kind.MOMENT and p.distinct > 1]
        if not moments:
            return None, None
        column = max(moments, key=lambda c: (found[c.index].count, found[c.index].distinct))
        t = f"epoch_ms({column.quoted})"
        first, last = self._rows(f"SELECT min({t}), max({t}) FROM read_parquet({self.file})")[0]  # noqa: S608
        if first is None or last == first:
            return None, None
        # There are no more moments than rows: of few rows, each is looked at.
        width = 1 if self.rows <= TIME_BUCKETS else max(1, -(-(last - first) // TIME_BUCKETS))
        at = self._floats(
            f"SELECT DISTINCT ({t} - {first}) // {width} AS slot FROM read_parquet({self.file}) "  # noqa: S608
            f"WHERE {t} IS NOT NULL ORDER BY slot"
        )
        ts_ms = first + at.astype(np.int64) * width
        interval_ms = typical_interval_ms(ts_ms)
        with suppress(OverflowError, ValueError):  # years no calendar here reaches
            gaps = sorted(find_gaps(ts_ms), key=lambda gap: -gap.seconds)
            return column, TimeProfile(
                column=column.name,
                first=str(found[column.index].least),
                last=str(found[column.index].most),
                interval_s=interval_ms / 1000 if interval_ms else None,
                resolution_s=width / 1000,
                gap_count=len(gaps),
                gaps=tuple((g.start.isoformat(" ")[:19], g.end.isoformat(" ")[:19]) for g in gaps[:MOST_GAPS]),
                missing=missing_count(ts_ms),
            )
        return column, None

    def _with_rhythm(self, found: list[ColumnProfile], at: _Column) -> list[ColumnProfile]:
        """How much of each number the clock and a straight line explain, by its hourly means."""
        hour = f"epoch_ms({at.quoted}) // {HOUR_MS}"
        span = self._rows(f"SELECT max({hour}) - min({hour}) FROM read_parquet({self.file})")[0][0]  # noqa: S608
        moving = [c for c in self.columns if c.kind is Kind.NUMBER and found[c.index].distinct > 1]
        moving = moving[:RELATED_COLUMNS]
        if not moving or not 6 <= span <= MOST_HOURS:
            return found
        means = ", ".join(f"avg({c.number}) AS m{c.index}" for c in moving)
        table = self.connection.execute(
            f"SELECT {hour} AS h, {means} FROM read_parquet({self.file}) "  # noqa: S608 (quoted names)
            "WHERE h IS NOT NULL GROUP BY h ORDER BY h"
        ).fetchnumpy()
        ts_ms = _filled_up(table["h"]).astype(np.int64) * HOUR_MS
        for column in moving:
            value = _filled_up(table[f"m{column.index}"])
            line, rhythm = shape.trend(ts_ms, value), shape.rhythm(ts_ms, value)
            found[column.index] = replace(
                found[column.index],
                daily=rhythm.daily,
                weekly=rhythm.weekly,
                trend=line.explained if line else None,
            )
        return found

    # --- relations --------------------------------------------------------------------------------

    def _relations(self, found: Sequence[ColumnProfile]) -> tuple[Relation, ...]:
        usable = [
            c
            for c in self.columns
            if c.kind is not Kind.OTHER and found[c.index].distinct > 1 and not found[c.index].identifying
        ][:RELATED_COLUMNS]
        step = max(1, self.sampled // RELATED_ROWS)
        numbers: list[np.ndarray | None] = []
        codes = []
        for column in usable:
            if column.kind in (Kind.NUMBER, Kind.MOMENT):
                value = self._of_sample(column)[::step]
                numbers.append(value)
                codes.append(relations.classes(value))
            else:
                numbers.append(None)
                codes.append(self._codes(column)[::step])
        return relations.strongest([c.name for c in usable], numbers, codes)

    def _codes(self, column: _Column) -> np.ndarray:
        """Texts as numbers: the most frequent ones each its own, one for the rest, -1 for missing."""
        s = f"s{column.index}"
        return self._floats(
            f"""WITH top AS (SELECT {s} AS v, row_number() OVER (ORDER BY count(*) DESC, {s}) AS n FROM sample
                WHERE {s} IS NOT NULL GROUP BY {s} QUALIFY n < 20)
            SELECT CASE WHEN {s} IS NULL THEN -1 ELSE coalesce(n, 0) END
            FROM sample LEFT JOIN top ON {s} = v ORDER BY sample.rowid"""  # noqa: S608 (numbers)
        ).astype(np.int16)

    # --- DuckDB -----------------------------------------------------------------------------------

    def _rows(self, query: str) -> list[Any]:
        return self.connection.execute(query).fetchall()

    def _floats(self, query: str) -> np.ndarray:
        """The one column of a query as floats, NaN for NULL."""
        (column,) = self.connection.execute(query).fetchnumpy().values()
        return _filled_up(column)


def _as_number(column: _Column) -> str:
    return f", {column.number} AS d{column.index}" if column.kind is Kind.NUMBER else ""


def _filled_up(column: Any) -> np.ndarray:
    """What DuckDB hands out as a masked array, as floats with NaN in the gaps."""
    return np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)


def _finite(value: np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None
