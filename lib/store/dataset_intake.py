"""Files people bring made Parquet of the six types a dataset has, piece by piece, within caps read from the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from lib.datasets.schema import ColumnType, unique
from lib.disk import sha256
from lib.errors import Invalid
from lib.store import encodings
from lib.store.engine import reason, spilling

if TYPE_CHECKING:
    import pyarrow as pa

# Small row groups keep what the threads hold small.
ROW_GROUP = 10_240
BATCH_ROWS, BATCH_CELLS = 10_240, 500_000
# The writer holds back the faster threads at about a quarter of the limit; less costs time, more costs memory.
MEMORY_MB, THREADS = 500, 4
# Each thread holds a row group of every column; a group of fewer rows than this costs as much.
GROUP_CELLS, LEAST_GROUP, WIDE_MEMORY_MB = 2_000_000, 2_048, 900
MOST_REJECTED, MOST_TOLD, REJECTED_SHARE = 10_000, 1_000, 0.2
SQL_TYPES = {
    ColumnType.INTEGER: "BIGINT",
    ColumnType.NUMBER: "DOUBLE",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.TEXT: "VARCHAR",
    ColumnType.DATE: "DATE",
    ColumnType.MOMENT: "TIMESTAMP",
}
_WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
Said = Callable[[float, str], None]


@dataclass(frozen=True)
class Caps:
    """What a dataset may be at most: bytes of data (unpacked), rows, columns."""

    size_bytes: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Taken:
    """What came of a file. rejected: how many rows could not be read; told: (line, reason) of the first of them."""

    columns: list[tuple[str, ColumnType]]
    rows: int
    digest: str
    rejected: int = 0
    told: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def type_of(sql_type: str) -> ColumnType:
    """The type a dataset gives to values of this DuckDB type."""
    plain = sql_type.upper()
    if plain in _WHOLE:
        return ColumnType.INTEGER
    if plain in ("DOUBLE", "FLOAT", "HUGEINT", "UHUGEINT", "UBIGINT", "BIGNUM") or plain.startswith("DECIMAL"):
        return ColumnType.NUMBER
    if plain.startswith("TIMESTAMP"):
        return ColumnType.MOMENT
    return {"BOOLEAN": ColumnType.BOOLEAN, "DATE": ColumnType.DATE}.get(plain, ColumnType.TEXT)


def longer_than_numbers(connection: duckdb.DuckDBPyConnection, cell: str) -> bool:
    """Whether different whole numbers of the sample would become the same one, as long identifiers do."""
    long = f"count(*) FILTER (regexp_matches({cell}, '^[+-]?\\d{{16,}}$'))"
    whole = f"count(*) FILTER (NOT regexp_matches({cell}, '^[+-]?\\d+$'))"
    found, other = connection.execute(f"SELECT {long}, {whole} FROM sample").fetchall()[0]  # noqa: S608 (quoted)
    if not found or other:
        return False
    kept = f"SELECT count(DISTINCT {cell}), count(DISTINCT try_cast({cell} AS DOUBLE)) FROM sample"  # noqa: S608
    texts, numbers = connection.execute(kept).fetchall()[0]
    return bool(texts > numbers)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def cell(name: str, sql_type: str) -> str:
    """A column of a file in the type a dataset gives it, as SQL."""
    plain, ours = sql_type.upper(), type_of(sql_type)
    if plain.startswith("TIMESTAMP") and ("ZONE" in plain or "TZ" in plain):
        # A cast would be pushed into the reader of CSV, which then drops the offset.
        return f"timezone('UTC', {quoted(name)}::TIMESTAMPTZ)"
    if plain == "JSON":  # of several types; text among them loses its quotes
        return f"({quoted(name)}->>'$')"
    if plain.endswith("]") or plain.startswith(("STRUCT", "MAP", "UNION")):
        return f"to_json({quoted(name)})::VARCHAR"
    return quoted(name) if plain == SQL_TYPES[ours] else f"{quoted(name)}::{SQL_TYPES[ours]}"


def instance(scratch: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB that works hard and stays small, in a process of its own."""
    connection = spilling(scratch, MEMORY_MB)
    connection.execute(f"SET threads = {THREADS}")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def suited(connection: duckdb.DuckDBPyConnection, width: int) -> int:
    """How many rows a row group of so many columns has, after telling the instance how many threads may hold one."""
    rows = max(LEAST_GROUP, min(ROW_GROUP, GROUP_CELLS // max(width, 1) // LEAST_GROUP * LEAST_GROUP))
    if rows < ROW_GROUP:
        connection.execute("SET threads = 1")
    return rows


def widen(connection: duckdb.DuckDBPyConnection) -> None:
    """Give an instance all the memory there is, for rows of which few would not fit otherwise."""
    connection.execute(f"SET memory_limit = '{WIDE_MEMORY_MB}MB'")
    connection.execute("SET threads = 1")


def too_wide() -> Invalid:
    """What to say of a table whose rows do not fit into memory."""
    return Invalid(
        f"Its rows are so wide that {LEAST_GROUP:,} of them do not fit into the {WIDE_MEMORY_MB} MB there are to read "
        "them with. Leave out columns of long text, or bring fewer columns at a time."
    )


def from_parquet(source: Path, target: Path, scratch: Path, caps: Caps, said: Said) -> Taken:
    """Parquet of whatever types to ours. Rows and bytes are counted as they are read: a footer can say anything."""
    with source.open("rb") as file:
        head = file.read(4)
        file.seek(max(source.stat().st_size - 4, 0))
        tail = file.read(4)
    if head != b"PAR1" or tail != b"PAR1":
        kind = encodings.kind_of_binary(head) if head != b"PAR1" else "a Parquet file that was cut short"
        raise Invalid(f"It is {kind or 'no Parquet file'}. Export it again, or bring it as CSV.")
    with spilling(scratch, 400) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            relation = connection.sql(f"SELECT * FROM read_parquet({literal(source)})")  # noqa: S608 (quoted)
            names, notes = unique(list(relation.columns), caps.columns)
            types = [str(one) for one in relation.types]
            claimed = connection.execute(
                f"SELECT sum(num_rows) FROM parquet_file_metadata({literal(source)})"  # noqa: S608 (quoted)
            ).fetchall()[0][0]
            kept, picked = selected(list(relation.columns), types, names, notes)
            query = f"SELECT {', '.join(picked)} FROM read_parquet({literal(source)})"  # noqa: S608 (quoted)
            rows = _copy(
                connection, query, len(kept), target, caps, lambda n: said(n / max(claimed or 1, 1), "Reading")
            )
        except duckdb.Error as error:
            raise Invalid(f"It cannot be read as Parquet: {reason(error, source)}. Export it again.") from None
    return Taken(kept, rows, sha256(source), notes=notes)


def selected(
    given: list[str], types: list[str], names: list[str], notes: list[str]
) -> tuple[list[tuple[str, ColumnType]], list[str]]:
    """The columns that stay, and how each is read. Bytes are left out; lists and records become JSON text."""
    kept, picked = [], []
    for old, type_, name in zip(given, types, names, strict=True):
        if type_.upper() in ("BLOB", "BIT"):
            notes.append(f"Column {name!r} holds bytes and was left out.")
            continue
        ours = type_of(type_)
        nested = type_.endswith("]") or type_.upper().startswith(("STRUCT", "MAP", "UNION"))
        if nested:
            notes.append(f"Column {name!r} holds lists or records; they are kept as JSON text.")
        picked.append(f"{cell(old, type_)} AS {quoted(name)}")
        kept.append((name, ours))
    if not kept:
        raise Invalid("It has no column that a dataset can hold.")
    return kept, picked


def _copy(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    width: int,
    target: Path,
    caps: Caps,
    said: Callable[[int], None],
) -> int:
    """Write what a query gives, batch by batch, while counting; the number of rows."""
    rows = size = 0

    def counted(reader: Any) -> Iterator[pa.RecordBatch]:
        nonlocal rows, size
        for batch in reader:
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows > caps.rows:
                raise Invalid(f"It has more than {caps.rows:,} rows, the most a dataset may have.")
            if size > caps.size_bytes:
                raise Invalid(
                    f"Unpacked it is larger than {caps.size_bytes / 2**20:,.0f} MB, the most a dataset may be; a file "
                    "that small with so much in it may be a compression bomb."
                )
            said(rows)
            yield batch

    batch_rows = max(256, min(BATCH_ROWS, BATCH_CELLS // max(width, 1)))
    write(counted(connection.sql(query).to_arrow_reader(batch_rows)), target)
    if not rows:
        raise Invalid("It has columns and no rows.")
    return rows


def write(batches: Iterator[pa.RecordBatch], target: Path) -> int:
    """Write batches as Parquet, each a row group; how many rows. Nothing is left of a file that was not finished."""
    from pyarrow import parquet

    writer, rows = None, 0
    try:
        for batch in batches:
            if writer is None:
                writer = parquet.ParquetWriter(str(target), batch.schema, compression="snappy")
            writer.write_batch(batch)
            rows += batch.num_rows
    except BaseException:
        if writer is not None:
            writer.close()
        target.unlink(missing_ok=True)
        raise
    if writer is not None:
        writer.close()
    return rows


@dataclass(frozen=True)
class Wanted:
    """A column of a version that is made from another: its name and type there, and here."""

    origin: str
    held: ColumnType
    name: str
    type: ColumnType

    @property
    def sql(self) -> str:
        """The values in their new type; NULL where they cannot be read so."""
        if self.held is self.type:
            return quoted(self.origin)
        text = f"{quoted(self.origin)}::VARCHAR"
        number = f"try_cast({text} AS DOUBLE)"
        match self.type:
            case ColumnType.INTEGER:
                # 1.0 is whole, 1.5 is not; beyond 2**53 a double would not do.
                whole = f"coalesce(try_cast({text} AS BIGINT), try_cast({number} AS BIGINT))"
                truth = f"try_cast({text} AS BOOLEAN)::BIGINT" if self.held is ColumnType.BOOLEAN else "NULL"
                return f"CASE WHEN {number} = floor({number}) THEN {whole} ELSE {truth} END"
            case ColumnType.NUMBER if self.held is ColumnType.BOOLEAN:
                return f"{quoted(self.origin)}::INTEGER::DOUBLE"
            case ColumnType.NUMBER:
                return number
            case ColumnType.MOMENT if self.held in (ColumnType.INTEGER, ColumnType.NUMBER):
                # Seconds or milliseconds since 1970, as they come from programs.
                seconds = f"CASE WHEN abs({number}) > 1e11 THEN {number} / 1000 ELSE {number} END"
                return f"make_timestamp(({seconds} * 1e6)::BIGINT)"
            case _:
                return f"try_cast({text} AS {SQL_TYPES[self.type]})"


def rewrite(
    source: Path, target: Path, wanted: Sequence[Wanted], scratch: Path, distinct: bool = False
) -> tuple[list[str], int]:
    """Make the data of a version with other names and types: what was lost on the way, in words, and how many rows are
    left. distinct: without rows that repeat an earlier one in every column of the source.

    Raises Invalid for a type that less than half of a column's values can take.
    """
    with instance(scratch) as connection:
        group = suited(connection, len(wanted))
        file = f"read_parquet({literal(source)})"
        counts = ", ".join(f"count({quoted(one.origin)}), count({one.sql})" for one in wanted)
        try:
            found = connection.execute(f"SELECT {counts} FROM {file}").fetchall()[0]  # noqa: S608 (quoted)
            notes = []
            for one, held, cast in zip(wanted, found[::2], found[1::2], strict=True):
                if cast < held / 2:
                    raise Invalid(
                        f"Only {cast:,} of {held:,} values of {one.origin!r} can be read as {one.type}; choose another "
                        "type for it."
                    )
                if cast < held:
                    notes.append(f"{held - cast:,} values of {one.name!r} cannot be read as {one.type}: empty now.")
            columns = ", ".join(f"{one.sql} AS {quoted(one.name)}" for one in wanted)
            before, rows = f"SELECT count(*) FROM {file}", file  # noqa: S608 (quoted)
            if distinct:
                every = ", ".join(map(quoted, connection.sql(f"FROM {file}").columns))
                rows = (
                    f"(FROM read_parquet({literal(source)}, file_row_number=true) QUALIFY row_number() OVER "  # noqa: S608
                    f"(PARTITION BY {every} ORDER BY file_row_number) = 1 ORDER BY file_row_number)"
                )
            connection.sql(f"SELECT {columns} FROM {rows}").write_parquet(  # noqa: S608 (quoted)
                str(target), compression="snappy", row_group_size=group
            )
            there = int(connection.execute(before).fetchall()[0][0])
            left = int(connection.execute(f"SELECT count(*) FROM read_parquet({literal(target)})").fetchall()[0][0])  # noqa: S608
            if there > left:
                notes.append(f"{there - left:,} rows that repeat an earlier one were left out.")
        except duckdb.OutOfMemoryException:
            raise too_wide() from None
        except duckdb.Error as error:
            raise Invalid(f"The version cannot be made: {reason(error, source)}.") from None
    return notes, left
