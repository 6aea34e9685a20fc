"""CSV, TSV and JSON lines made Parquet: dialect, types and dates found out, every line that cannot be read told."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from lib.datasets.schema import unique
from lib.errors import Invalid
from lib.store import dataset_intake, encodings
from lib.store.dataset_intake import Caps, Said, Taken, literal, longer_than_numbers, quoted
from lib.store.engine import reason, spilling

# A line may be half of a buffer; longer ones are read in a second attempt with larger buffers.
BUFFER_BYTES, LARGE_BUFFER_BYTES = 1_000_000, 32_000_000
ORDERED_BYTES, LARGE_MEMORY_MB = 64 << 20, 100
SAMPLE_ROWS, SNIFF_BYTES = 20_480, 4_000_000
SAMPLE_CELLS, SAMPLE_COLUMNS = 4_000_000, 200
# A column of numbers with a few words in it is one with errors; with more it is a column of words.
CLEAN_SHARE, LEAST_CLEAN = 0.95, 20
TAKEN = "CSV, TSV or JSON lines in UTF-8, Excel or Parquet"
NOTHING = ("", "NA", "N/A", "#N/A", "NULL", "null", "None")
HEADER_LINES = 60
MOST_COLUMNS = 10_000
_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*%?\s*")
_DATE = re.compile(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?")
_KINDS = {
    "CAST": "a value is not of its column's type",
    "MISSING COLUMNS": "too few fields",
    "TOO MANY COLUMNS": "too many fields",
    "UNQUOTED VALUE": "a quote is not closed",
    "LINE SIZE OVER MAXIMUM": "the line is too long",
    "INVALID ENCODING": "not UTF-8",
    "INVALID STATE": "quotes are not as they should be",
}


@dataclass(frozen=True)
class _Dialect:
    """How a file is to be read, explicitly: nothing is left to be guessed a second time."""

    delimiter: str
    quote: str
    skip: int
    header: bool
    names: list[str]
    types: dict[str, str]
    date_format: str | None
    moment_format: str | None
    comma: bool = False
    buffer_bytes: int = BUFFER_BYTES

    def query(self, path: Path) -> str:
        columns = ", ".join(f"{literal(name)}: {literal(self.types[name])}" for name in self.names)
        given = [
            "auto_detect=false, store_rejects=true, strict_mode=true, null_padding=false",
            f"rejects_limit={dataset_intake.MOST_REJECTED}",
            f"delim={literal(self.delimiter)}, quote={literal(self.quote)}, escape={literal(self.quote)}",
            f"header={str(self.header).lower()}, skip={self.skip}, columns={{{columns}}}",
            f"nullstr=[{', '.join(literal(one) for one in NOTHING)}]",
            f"buffer_size={self.buffer_bytes}, max_line_size={self.buffer_bytes // 2}",
        ]
        if self.comma:
            given.append("decimal_separator=','")
        if self.date_format and "DATE" in self.types.values():
            given.append(f"dateformat={literal(self.date_format)}")
        if self.moment_format and any(one.startswith("TIMESTAMP") for one in self.types.values()):
            given.append(f"timestampformat={literal(self.moment_format)}")
        return f"SELECT * FROM read_csv({literal(path)}, {', '.join(given)})"  # noqa: S608 (quoted)


def from_delimited(
    source: Path, target: Path, delimiter: str | None, encoding: str | None, scratch: Path, caps: Caps, said: Said
) -> Taken:
    """CSV or TSV. delimiter, encoding: None to find them out. Raises Invalid for what is no table of text."""
    return _in_utf8(source, encoding, scratch, lambda path: _delimited(path, target, delimiter, scratch, caps, said))


def lines_of(source: Path, target: Path, delimiter: str | None, scratch: Path) -> Taken:
    """CSV or TSV that becomes no dataset: of any size, in the order of its lines, which is what DuckDB then reads."""
    any_size = Caps(source.stat().st_size, sys.maxsize, MOST_COLUMNS)
    return _in_utf8(
        source,
        None,
        scratch,
        lambda path: _delimited(path, target, delimiter, scratch, any_size, lambda _share, _what: None, ordered=True),
        "CSV or TSV in UTF-8, or Parquet",
    )


def from_json_lines(source: Path, target: Path, encoding: str | None, scratch: Path, caps: Caps, said: Said) -> Taken:
    """One JSON object a line; lists and records within stay as JSON text."""
    return _in_utf8(source, encoding, scratch, lambda path: _json_lines(path, target, scratch, caps, said))


def _in_utf8(source: Path, encoding: str | None, scratch: Path, convert: Any, takes: str = TAKEN) -> Taken:
    """Convert while a second thread sees whether the file is UTF-8 at all; if it is not, recode it and start again."""
    head = encodings.beginning(source)
    encodings.refuse_binary(head, takes)
    plain = scratch / "utf-8"
    if encoding and encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
        encodings.recode(source, plain, encoding)
        return _noted(convert(plain), encodings.look(plain).digest, f"Read as {encoding}.")
    wide = encodings.wide(head)
    if wide and not encoding:
        encodings.recode(source, plain, wide)
        return _noted(convert(plain), encodings.look(plain).digest, f"Read as {wide}.")
    with ThreadPoolExecutor(1) as aside:
        looking = aside.submit(encodings.look, source)
        try:
            taken, failed = convert(source), None
        except Invalid as error:
            taken, failed = None, error
        seen = looking.result()
    if seen.bad_byte is None:
        if failed:
            raise failed
        return replace(taken, digest=seen.digest)
    if encoding:
        line, bad = encodings.line_of(source, seen.bad_byte)
        raise Invalid(f"The text is not UTF-8: line {line:,} holds {bad!r}. Choose its encoding, or save it as UTF-8.")
    told = encodings.found_out(source, seen)
    encodings.recode(source, plain, told)
    return _noted(
        convert(plain), encodings.look(plain).digest, f"Read as {told}; save it as UTF-8 if letters look odd."
    )


def _noted(taken: Taken, digest: str, note: str) -> Taken:
    return replace(taken, digest=digest, notes=[note, *taken.notes])


# --- CSV ---------------------------------------------------------------------------------------------


def _delimited(
    source: Path,
    target: Path,
    delimiter: str | None,
    scratch: Path,
    caps: Caps,
    said: Said,
    ordered: bool = False,
) -> Taken:
    said(0.02, "Finding out delimiter, header and types")
    with dataset_intake.instance(scratch) as connection:
        try:
            try:
                dialect, notes = _dialect(connection, source, delimiter, caps)
            except duckdb.OutOfMemoryException:
                dataset_intake.widen(connection)
                dialect, notes = _dialect(connection, source, delimiter, caps)
            said(0.1, "Reading the lines")
            group = dataset_intake.suited(connection, len(dialect.names))
            if source.stat().st_size > ORDERED_BYTES and not ordered and group == dataset_intake.ROW_GROUP:
                # In order, threads that are ahead hold what they read until its turn has come: 200 MB and more.
                connection.execute("SET preserve_insertion_order = false")
                connection.execute(f"SET memory_limit = '{LARGE_MEMORY_MB}MB'")
                notes.append("The file is large: rows are nearly, not exactly, in the order of its lines.")
            try:
                told, counted = _read(connection, source, target, dialect)
            except duckdb.OutOfMemoryException:  # rows so wide that a row group of them does not fit
                dataset_intake.widen(connection)
                told, counted = _read(connection, source, target, dialect)
            if any(why.startswith(_KINDS["LINE SIZE OVER MAXIMUM"]) for _, why in told):
                dialect = replace(dialect, buffer_bytes=LARGE_BUFFER_BYTES)
                told, counted = _read(connection, source, target, dialect)
            rows = _count(connection, target)
            wordy = _wordy(connection, rows)
            if wordy:
                notes += [f"Column {name!r} is text: many of its values are no {kind}." for name, kind in wordy]
                types = dialect.types | {name: "VARCHAR" for name, _ in wordy}
                dialect = replace(dialect, types=types)
                told, counted = _read(connection, source, target, dialect)
                rows = _count(connection, target)
        except duckdb.OutOfMemoryException:
            raise dataset_intake.too_wide() from None
        except duckdb.Error as error:
            raise Invalid(
                f"The file cannot be read as a table: {reason(error, source)}. Save it as CSV in UTF-8, one header "
                "line, the same number of fields in each line."
            ) from None
        _enough(rows, counted, told, caps)
        names, renamed = unique(dialect.names, caps.columns)
        found = [dataset_intake.type_of(dialect.types[old]) for old in dialect.names]
        _no_second_table(connection, target, dialect)
    return Taken(list(zip(names, found, strict=True)), rows, "", counted, told, notes + renamed)


def _dialect(
    connection: duckdb.DuckDBPyConnection, source: Path, delimiter: str | None, caps: Caps
) -> tuple[_Dialect, list[str]]:
    nothing = ", ".join(literal(one) for one in NOTHING)
    given = f"sample_size={SAMPLE_ROWS}, store_rejects=true, nullstr=[{nothing}], buffer_size={SNIFF_BYTES}"
    given += f", max_line_size={SNIFF_BYTES // 2}"
    given += f", delim={literal(delimiter)}" if delimiter else ""
    try:
        row = connection.execute(
            "SELECT Delimiter, Quote, SkipRows, HasHeader, Columns, DateFormat, TimestampFormat "  # noqa: S608 (quoted)
            f"FROM sniff_csv({literal(source)}, {given})"
        ).fetchone()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        row = None
    if row is None:
        raise Invalid(
            "No delimiter (comma, semicolon, tab, bar) gives lines with the same number of fields. Save it as CSV with "
            "one header line and quotes around text that holds the delimiter."
        )
    delim, quote, skip, header, columns, date_format, moment_format = row
    quote = '"' if quote in ("(empty)", None, "") else quote
    names, types = [one["name"] for one in columns], {one["name"]: one["type"] for one in columns}
    if len(names) > caps.columns:
        raise Invalid(f"It has {len(names):,} columns; a dataset may have {caps.columns:,}. Leave some out.")
    notes = [] if header else ["It has no header line; columns are numbered."]
    if skip:
        notes.append(f"The first {skip} lines are not part of the table and were left out.")
    _one_header(source, delim, quote, int(skip), bool(header))
    # Dates as ISO 8601 has them are read fast, unless their format is said.
    date_format = None if date_format == "%Y-%m-%d" else date_format
    dialect = _Dialect(delim, quote, int(skip), bool(header), names, types, date_format, moment_format)
    return _typed(connection, source, dialect, notes), notes


def _typed(connection: duckdb.DuckDBPyConnection, source: Path, dialect: _Dialect, notes: list[str]) -> _Dialect:
    """Types by nearly all values of the sample instead of by all: one odd word is an error to be told, not a type."""
    types, comma = dict(dialect.types), False
    for name, sniffed in _sampled(connection, source, dialect):
        cell = quoted(name)
        if sniffed in ("BIGINT", "HUGEINT"):
            padded = f"SELECT count(*) FROM sample WHERE regexp_matches({cell}, '^0\\d')"  # noqa: S608 (quoted)
            if connection.execute(padded).fetchall()[0][0]:
                types[name] = "VARCHAR"
                notes.append(f"Column {name!r} is text: some of its numbers begin with 0, as codes do.")
        elif sniffed == "TIME":
            types[name] = "VARCHAR"
        elif sniffed in ("HUGEINT", "UBIGINT", "BIGNUM"):
            types[name] = "DOUBLE"
        elif sniffed == "VARCHAR":
            points = f"replace({cell}, ',', '.')"
            held, whole, number, with_comma, day, moment, padded = connection.execute(
                f"SELECT count({cell}), count(try_cast({cell} AS BIGINT)), count(try_cast({cell} AS DOUBLE)), "  # noqa: S608
                f"count(*) FILTER (regexp_matches({cell}, '^[+-]?\\d+,\\d+$') "
                f"OR try_cast({points} AS DOUBLE) IS NOT NULL), "
                f"count(try_cast({cell} AS DATE)) FILTER (length({cell}) <= 10), "
                f"count(try_cast({cell} AS TIMESTAMP)), count(*) FILTER (regexp_matches({cell}, '^0\\d')) FROM sample"
            ).fetchall()[0]
            most = max(CLEAN_SHARE * held, 1) if held >= LEAST_CLEAN else max(held, 1)
            if padded:
                continue
            if number >= most:
                dotted = f"SELECT count(*) FROM sample WHERE {cell} LIKE '%.%' OR lower({cell}) LIKE '%e%'"  # noqa: S608
                types[name] = "DOUBLE" if connection.execute(dotted).fetchall()[0][0] or whole < most else "BIGINT"
            elif with_comma >= most and dialect.delimiter != ",":
                types[name], comma = "DOUBLE", True
            elif day >= most:
                types[name] = "DATE"
            elif moment >= most:
                types[name] = "TIMESTAMP"
        if types[name] in ("DOUBLE", "HUGEINT") and longer_than_numbers(connection, cell):
            types[name] = "VARCHAR"
            notes.append(f"Column {name!r} is text: its whole numbers are longer than a number keeps apart.")
    # With a comma as the sign of decimals, numbers written with a point are none.
    if comma and any(types[name] == "DOUBLE" and dialect.types[name] == "DOUBLE" for name in types):
        comma = False
        types = {n: "VARCHAR" if (t, dialect.types[n]) == ("DOUBLE", "VARCHAR") else t for n, t in types.items()}
    if comma:
        notes.append("Decimals are written with a comma.")
    for kind, written in (("Dates", dialect.date_format), ("Times", dialect.moment_format)):
        if written:
            notes.append(f"{kind} are read as {written}.")
    return replace(dialect, types=types, comma=comma)


def _sampled(connection: duckdb.DuckDBPyConnection, source: Path, dialect: _Dialect) -> Iterator[tuple[str, str]]:
    """Each column and its sniffed type, while the table `sample` holds it as text. Some columns at a time: a table in
    memory takes a quarter of a megabyte a column, however few its rows are."""
    texts = replace(dialect, types=dict.fromkeys(dialect.names, "VARCHAR"))
    rows = max(1_000, min(SAMPLE_ROWS, SAMPLE_CELLS // len(dialect.names)))
    for first in range(0, len(dialect.names), SAMPLE_COLUMNS):
        names = dialect.names[first : first + SAMPLE_COLUMNS]
        picked = f"SELECT {', '.join(map(quoted, names))} FROM ({texts.query(source)}) LIMIT {rows}"  # noqa: S608
        connection.execute(f"CREATE OR REPLACE TEMP TABLE sample AS {picked}")
        _forget_rejects(connection)
        yield from ((name, dialect.types[name]) for name in names)
    connection.execute("DROP TABLE sample")


def _read(
    connection: duckdb.DuckDBPyConnection, source: Path, target: Path, dialect: _Dialect
) -> tuple[list[tuple[int, str]], int]:
    """Write the Parquet file; (line, reason) of the first lines that could not be read, and how many there are."""
    _forget_rejects(connection)
    inner = dialect.query(source)
    names, _ = unique(dialect.names, len(dialect.names))
    picked = [
        f"{dataset_intake.cell(old, dialect.types[old])} AS {quoted(new)}"
        for old, new in zip(dialect.names, names, strict=True)
    ]
    target.unlink(missing_ok=True)
    connection.sql(f"SELECT {', '.join(picked)} FROM ({inner})").write_parquet(  # noqa: S608 (quoted)
        str(target), compression="snappy", row_group_size=dataset_intake.suited(connection, len(names))
    )
    rows = connection.execute(
        "SELECT line, min(error_type::VARCHAR), min(column_name), min(error_message) "  # noqa: S608 (constant)
        f"FROM reject_errors GROUP BY line ORDER BY line LIMIT {dataset_intake.MOST_TOLD}"
    ).fetchall()
    counted = connection.execute("SELECT count(DISTINCT line) FROM reject_errors").fetchall()[0][0]
    return [(int(line), _why(kind, name, message)) for line, kind, name, message in rows], int(counted)


def _forget_rejects(connection: duckdb.DuckDBPyConnection) -> None:
    for table in ("reject_errors", "reject_scans"):
        connection.execute(f"DROP TABLE IF EXISTS {table}")


def _why(kind: str, column: str | None, message: str | None) -> str:
    words = _KINDS.get(kind, kind.lower())
    place = f" (column {column[:60]!r})" if column and kind == "CAST" else ""
    said = (message or "").splitlines()[0] if message else ""
    said = said.partition("Could not convert string ")[2] or said
    return f"{words}{place}: {said[:160]}" if said else f"{words}{place}"


def _wordy(connection: duckdb.DuckDBPyConnection, rows: int) -> list[tuple[str, str]]:
    """Columns in which so many values are of another type that the type was wrong, not the values."""
    most = max(10, 0.01 * rows)
    found = connection.execute(
        "SELECT column_name, count(DISTINCT line), any_value(error_message) FROM reject_errors "
        "WHERE error_type = 'CAST' GROUP BY column_name"
    ).fetchall()
    return [(name, str(said).rpartition("to ")[2].strip("'.\" ").lower()) for name, n, said in found if n > most]


def _count(connection: duckdb.DuckDBPyConnection, target: Path) -> int:
    return int(connection.execute(f"SELECT count(*) FROM read_parquet({literal(target)})").fetchall()[0][0])  # noqa: S608


def _enough(rows: int, rejected: int, told: list[tuple[int, str]], caps: Caps) -> None:
    if rows > caps.rows:
        raise Invalid(f"It has {rows:,} rows; a dataset may have {caps.rows:,}.")
    first = "; ".join(f"line {line:,}: {why}" for line, why in told[:3])
    if rejected >= dataset_intake.MOST_REJECTED or rejected > dataset_intake.REJECTED_SHARE * (rows + rejected):
        most = "at least " if rejected >= dataset_intake.MOST_REJECTED else ""
        raise Invalid(f"{most}{rejected:,} of its {rows + rejected:,} lines cannot be read: {first}. Nothing was kept.")
    if not rows:
        raise Invalid("It has a header and no rows." if not rejected else f"None of its lines can be read: {first}.")


# --- headers -----------------------------------------------------------------------------------------


def _one_header(source: Path, delimiter: str, quote: str, skip: int, header: bool) -> None:
    """Raises Invalid when the second line is a header too (units, or names below groups)."""
    with source.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        text = file.read(1 << 20)
    lines = text.splitlines(keepends=True)[skip:]
    try:
        rows = [row for row in csv.reader(lines[:HEADER_LINES], delimiter=delimiter, quotechar=quote) if row]
    except csv.Error:
        return
    if second_header(rows) and (header or rows[0] != rows[1]):
        line = skip + 2
        shown = ", ".join(cell for cell in rows[1][:4])[:80]
        raise Invalid(
            f"It has two header lines: line {line} ({shown}) is one as well. Leave one line of names, and try again."
        )


def second_header(rows: list[list[Any]]) -> bool:
    """Whether the row below the names is another one of names: words above columns that hold numbers or dates."""
    if len(rows) < 2:
        return False
    first, second, body = rows[0], rows[1], rows[2:HEADER_LINES]
    if [str(cell).strip() for cell in first] == [str(cell).strip() for cell in second]:
        return True
    if len(body) < 2 or len(second) < 2:
        return False
    if any(_measured(cell) for cell in (*first, *second)):
        return False
    words = [str(cell).strip() for cell in second]
    if not all(word and word not in NOTHING or number == 0 for number, word in enumerate(words)):
        return False
    width = min(len(second), *(len(row) for row in body))
    measured = [j for j in range(width) if all(_measured(row[j]) for row in body if str(row[j]).strip())]
    measured = [j for j in measured if any(str(row[j]).strip() for row in body)]
    again = any(str(row[j]).strip() == words[j] for j in range(width) for row in body)
    return bool(measured) and not again


def _measured(cell: Any) -> bool:
    """A number or a date, as people write them."""
    if isinstance(cell, str):
        return bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell))
    return cell is not None and not isinstance(cell, str)


def _no_second_table(connection: duckdb.DuckDBPyConnection, target: Path, dialect: _Dialect) -> None:
    """Raises Invalid when the names stand again further down: two tables, one below the other."""
    refused = Invalid(
        "The header line stands in it again further down: these are two tables one below the other. Bring them apart."
    )
    if not dialect.header:
        return
    held = connection.execute(
        "SELECT count(*) FROM reject_errors WHERE rtrim(csv_line, chr(13) || chr(10)) = ?",
        [dialect.delimiter.join(dialect.names)],
    ).fetchall()[0][0]
    if held:
        raise refused
    if all(one == "VARCHAR" for one in dialect.types.values()):
        names, _ = unique(dialect.names, len(dialect.names))
        same = " AND ".join(f"{quoted(new)} = {literal(old)}" for old, new in zip(dialect.names, names, strict=True))
        if connection.execute(f"SELECT count(*) FROM read_parquet({literal(target)}) WHERE {same}").fetchall()[0][0]:  # noqa: S608
            raise refused


# --- JSON lines --------------------------------------------------------------------------------------


def _json_lines(source: Path, target: Path, scratch: Path, caps: Caps, said: Said) -> Taken:
    """Each line is checked first, so that what cannot be read is told by line; then types are told by all of them."""
    good = scratch / "checked.jsonl"
    keys: dict[str, None] = {}
    told: list[tuple[int, str]] = []
    rejected = rows = place = odd = 0
    size = source.stat().st_size
    with source.open("rb") as file, good.open("wb") as out:
        # A line without an end is not read into memory for its sake.
        for number, line in enumerate(iter(lambda: file.readline(LARGE_BUFFER_BYTES), b""), 1):
            place += len(line)
            if number % 20_000 == 0:
                said(0.6 * place / size, f"Checked {number:,} lines")
            if not line.strip():
                continue
            record, why = _checked(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, keys)
            if record is not None:
                out.write(record + b"\n")
                rows, odd = rows + 1, odd + bool(why)
            else:
                rejected += 1
                if len(told) < dataset_intake.MOST_TOLD:
                    told.append((number, why))
            if len(keys) > caps.columns:
                raise Invalid(f"Its records have more than {caps.columns:,} keys, the most columns a dataset may have.")
    _enough(rows, rejected, told, caps)
    if not keys:
        raise Invalid("Its records are empty.")
    said(0.6, "Finding out types")
    wide = len(keys) * dataset_intake.LEAST_GROUP > dataset_intake.GROUP_CELLS
    with spilling(scratch, dataset_intake.WIDE_MEMORY_MB if wide else 400) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        dataset_intake.suited(connection, len(keys))
        query = (
            f"SELECT * FROM read_json({literal(good)}, format='newline_delimited', "  # noqa: S608 (quoted)
            f"sample_size=-1, maximum_depth=2, maximum_object_size={LARGE_BUFFER_BYTES}, map_inference_threshold=-1)"
        )
        try:
            relation = connection.sql(query)
            names, notes = unique(list(relation.columns), caps.columns)
            kept, picked = dataset_intake.selected(
                list(relation.columns), [str(one) for one in relation.types], names, notes
            )
            connection.sql(f"SELECT {', '.join(picked)} FROM ({query})").write_parquet(  # noqa: S608 (quoted)
                str(target), compression="snappy", row_group_size=dataset_intake.suited(connection, len(names))
            )
        except duckdb.OutOfMemoryException:
            raise dataset_intake.too_wide() from None
        except duckdb.Error as error:
            raise Invalid(f"Its lines make no table: {reason(error, good)}.") from None
    good.unlink()
    if odd:
        notes.append(f"{odd:,} lines hold NaN or Infinity, which JSON has not: they are missing values.")
    return Taken(kept, rows, "", rejected, told, notes)


def _checked(line: bytes, keys: dict[str, None]) -> tuple[bytes | None, str]:
    """A line as JSON has it, or None and why it is no record. NaN and Infinity, which some programs write, are null."""
    odd: list[str] = []
    try:
        record = json.loads(line, parse_constant=odd.append)
    except (ValueError, RecursionError) as error:
        return None, f"not JSON: {str(error)[:120]}"
    if not isinstance(record, dict):
        return None, f"a {type(record).__name__} instead of a record"
    for key in record:
        keys[key] = None
    return (json.dumps(record).encode() if odd else line.rstrip(b"\r\n")), ", ".join(odd)
