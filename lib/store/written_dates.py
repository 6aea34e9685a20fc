"""Dates people wrote their own way, found in columns of text and made dates; several ways in one column, too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from lib.datasets.schema import ColumnType
from lib.store import dataset_intake
from lib.store.dataset_intake import Taken, literal, quoted

_DAYS_FIRST = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y")
_MONTHS_FIRST = ("%m/%d/%Y", "%m-%d-%Y", "%m.%d.%Y")
_NAMED = ("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%b %d, %Y", "%B %d, %Y")
DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", *_DAYS_FIRST, *_MONTHS_FIRST, *_NAMED)
CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %H:%M")
# A few odd words among dates are errors to be told; with more of them it is a column of words.
SHARE, LEAST, LOOKED_AT, TRIED_ON, MOST_WAYS = 0.95, 20, 1_000, 5_000, 3
_LOOKS = re.compile(r"\s*(\d{1,4}[-/. ][\w]{1,9}[-/. ,]+\d{1,4}|[A-Za-z]{3,9} \d{1,2}, \d{4})\b.{0,16}", re.DOTALL)


def typed(taken: Taken, path: Path, scratch: Path) -> Taken:
    """The table at `path` with dates for texts that are dates; what was lost or could be meant otherwise, as notes."""
    texts = [name for name, type_ in taken.columns if type_ is ColumnType.TEXT]
    if not texts:
        return taken
    with dataset_intake.instance(scratch) as connection:
        group = dataset_intake.suited(connection, len(taken.columns))
        file = f"read_parquet({literal(path)})"
        found, notes = {}, []
        for name in _likely(connection, file, texts):
            ways, note = _ways(connection, file, name)
            notes += [note] if note else []
            if ways:
                found[name] = ways
        if not found:
            return replace(taken, notes=[*taken.notes, *notes])
        # In order, threads that are ahead would hold what they read.
        connection.execute("SET threads = 1")
        columns = [(name, _type(found[name]) if name in found else type_) for name, type_ in taken.columns]
        picked = ", ".join(
            f"{_cast(name, found[name], type_)} AS {quoted(name)}" if name in found else quoted(name)
            for name, type_ in columns
        )
        made = path.with_suffix(".dated")
        connection.sql(f"SELECT {picked} FROM {file}").write_parquet(  # noqa: S608 (quoted)
            str(made), compression="snappy", row_group_size=group
        )
    made.replace(path)
    return replace(taken, columns=columns, notes=[*taken.notes, *notes])


def _likely(connection: duckdb.DuckDBPyConnection, file: str, texts: Sequence[str]) -> list[str]:
    """Columns nearly all of whose first values look like dates."""
    found = []
    for first in range(0, len(texts), 200):
        names = texts[first : first + 200]
        picked = ", ".join(f"left({quoted(name)}, 40)" for name in names)
        rows = connection.execute(f"SELECT {picked} FROM {file} LIMIT {LOOKED_AT}").fetchall()  # noqa: S608 (quoted)
        for name, values in zip(names, zip(*rows, strict=True), strict=False):
            held = [value for value in values if value]
            if held and sum(bool(_LOOKS.fullmatch(value)) for value in held) >= SHARE * len(held):
                found.append(name)
    return found


def _ways(connection: duckdb.DuckDBPyConnection, file: str, name: str) -> tuple[list[str], str]:
    """Formats that together read a column, the most frequent first, and what is to be said of it; none when it is no
    column of dates, or it cannot be told whether days or months come first."""
    cell, formats = _cell(name), [day + clock for clock in CLOCKS for day in DATES]
    # Rows from all over, for of the first all days may be below 13; by one thread, so that they are the same again.
    connection.execute("SET threads = 1")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE tried AS SELECT * FROM (SELECT {quoted(name)} FROM {file} "  # noqa: S608 (quoted)
        f"WHERE {quoted(name)} IS NOT NULL) USING SAMPLE reservoir({TRIED_ON} ROWS) REPEATABLE (1)"
    )
    connection.execute(f"SET threads = {dataset_intake.THREADS}")
    counts = ", ".join(f"count(try_strptime({cell}, {literal(one)}))" for one in formats)
    held, *read = connection.execute(f"SELECT count(*), {counts} FROM tried").fetchall()[0]  # noqa: S608 (quoted)
    ways: list[str] = []
    covered = 0
    for number in sorted(range(len(formats)), key=lambda n: -read[n])[: 2 * MOST_WAYS]:
        other = _other_way(formats[number])
        if other and other in formats and read[formats.index(other)] == read[number]:
            if read[number] >= _most(held):
                return (
                    [],
                    f"Column {name!r} is text: {formats[number]} and {other} read its dates alike; write YYYY-MM-DD.",
                )
            continue
        if covered >= held or len(ways) == MOST_WAYS or not read[number] or (other and other in ways):
            continue
        tried = _read(connection, "tried", name, [*ways, formats[number]])[1]
        if tried > covered:
            ways, covered = [*ways, formats[number]], tried
    if not held or covered < _most(held):
        return [], ""
    held, covered = _read(connection, file, name, ways)
    if covered < _most(held):
        return [], ""
    lost = held - covered
    said = f"Column {name!r}: dates written as {' and '.join(ways)}."
    return ways, f"{said} {lost:,} values are none and empty now." if lost else said


def _most(held: int) -> float:
    """How many of so many values must be dates."""
    return SHARE * held if held >= LEAST else held


def _other_way(written: str) -> str | None:
    """The same format with day and month the other way round."""
    for one, other in (("%d", "%m"), ("%m", "%d")):
        for sign in "./-":
            if written.startswith(f"{one}{sign}{other}"):
                return f"{other}{sign}{one}{written[5:]}"
    return None


def _read(connection: duckdb.DuckDBPyConnection, rows: str, name: str, ways: Sequence[str]) -> tuple[int, int]:
    """How many values there are, and how many of them these formats read."""
    told = _cast(name, ways, ColumnType.MOMENT)
    held, read = connection.execute(f"SELECT count({quoted(name)}), count({told}) FROM {rows}").fetchall()[0]  # noqa: S608
    return int(held), int(read)


def _cell(name: str) -> str:
    """The text, if it holds a year of four digits: to DuckDB 1.2.3 would be a day of the year 3."""
    return f"CASE WHEN regexp_matches({quoted(name)}, '\\b[12]\\d{{3}}\\b') THEN trim({quoted(name)}) END"


def _cast(name: str, ways: Sequence[str], type_: ColumnType) -> str:
    listed = ", ".join(map(literal, ways))
    return f"try_strptime({_cell(name)}, [{listed}])::{dataset_intake.SQL_TYPES[type_]}"


def _type(ways: Sequence[str]) -> ColumnType:
    return ColumnType.DATE if all(one in DATES for one in ways) else ColumnType.MOMENT
