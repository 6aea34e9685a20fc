"""Rows of a dataset to judge it by, and figures over all of them, without loading it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from lib.datasets.schema import Column, ColumnType
from lib.errors import StoreError
from lib.store.engine import connect, reason

LONGEST_TEXT, MEMORY_MB = 200, 128
MOST_TOGETHER = 200
# So many cells are held at once, whatever the number of columns.
MOST_ROWS, MOST_CELLS = 5_000, 500_000
_ORDERED = (ColumnType.INTEGER, ColumnType.NUMBER)


@dataclass(frozen=True)
class Extent:
    """known: rows with a value; distinct: about how many different ones; low, high: of whole numbers."""

    known: int
    distinct: int
    low: int | None = None
    high: int | None = None


def sample(path: Path, columns: Sequence[Column], rows: int) -> pd.DataFrame:
    """The same rows each time, spread over the table; texts cut to 200 characters. rows: of the whole table."""
    most = max(50, min(MOST_ROWS, MOST_CELLS // max(1, len(columns))))
    # A hash rather than every nth row: what repeats every so many rows would be seen at one of its places only.
    some = f"WHERE hash(file_row_number) % {max(1, -(-rows // most))} = 0" if rows > most else ""
    if _takes_the_name(columns):
        return _frame(path, columns, f"FROM read_parquet(?) LIMIT {most}")
    return _frame(path, columns, f"FROM read_parquet(?, file_row_number = true) {some}")


def in_order(path: Path, columns: Sequence[Column], by: str) -> pd.DataFrame:
    """Numbers of the rows that come first in this order."""
    numbers = [one for one in columns if one.type in _ORDERED]
    most = max(50, min(2_000, MOST_CELLS // max(1, len(numbers))))
    # Rows of one moment come in the order of the file, whichever columns are read together.
    rest = f"FROM read_parquet(?, file_row_number = true) ORDER BY {_q(by)}, file_row_number LIMIT {most}"
    if _takes_the_name(columns):
        rest = f"FROM read_parquet(?) ORDER BY {_q(by)} LIMIT {most}"
    return _frame(path, numbers, rest)


def extents(path: Path, columns: Sequence[Column]) -> dict[str, Extent]:
    """For each column how many values it has, over all rows."""
    found: dict[str, Extent] = {}
    with _reading(path) as ask:
        for part in _parts(columns):
            picked = []
            for column in part:
                name = _q(column.name)
                ends = f"min({name}), max({name})" if column.type is ColumnType.INTEGER else "NULL, NULL"
                picked.append(f"count({name}), approx_count_distinct({name}), {ends}")
            row = ask(f"SELECT {', '.join(picked)} FROM read_parquet(?)").fetchone() or ()  # noqa: S608 (quoted)
            found |= {one.name: Extent(*row[4 * n : 4 * n + 4]) for n, one in enumerate(part)}
    return found


def _takes_the_name(columns: Sequence[Column]) -> bool:
    """Whether a column is called what DuckDB calls the number of a row, which it then refuses to give."""
    return any(one.name.casefold() == "file_row_number" for one in columns)


def _parts(columns: Sequence[Column]) -> list[Sequence[Column]]:
    """Columns in groups: DuckDB holds some thousand rows of each it reads at a time."""
    return [columns[start : start + MOST_TOGETHER] for start in range(0, len(columns), MOST_TOGETHER)]


def _frame(path: Path, columns: Sequence[Column], rest: str) -> pd.DataFrame:
    with _reading(path) as ask:
        frames = [ask(f"SELECT {_picked(part)} {rest}").df() for part in _parts(columns)]  # noqa: S608 (quoted)
    return pd.concat(frames, axis=1) if frames else pd.DataFrame()


def _picked(columns: Sequence[Column]) -> str:
    return ", ".join(
        f"left({_q(c.name)}, {LONGEST_TEXT}) AS {_q(c.name)}" if c.type is ColumnType.TEXT else _q(c.name)
        for c in columns
    )


@contextmanager
def _reading(path: Path) -> Iterator[Callable[[str], duckdb.DuckDBPyConnection]]:
    with connect(":memory:", MEMORY_MB) as connection:
        try:
            # One thread: each would hold a group of rows of every column, and return them in its own order.
            connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
            yield lambda query: connection.execute(query, [str(path)])
        except duckdb.Error as error:
            raise StoreError(f"The data cannot be read ({reason(error, path)}); bring it again.") from None


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
