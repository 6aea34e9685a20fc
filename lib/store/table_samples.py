"""Rows of a dataset to judge it by, and figures over all of them, without loading it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import duckdb
import pandas as pd

from lib.datasets.schema import Column, ColumnType
from lib.errors import StoreError
from lib.store.engine import connect, reason

LONGEST_TEXT, MEMORY_MB = 200, 256
# So many cells are held at once, whatever the number of columns.
MOST_ROWS, MOST_CELLS = 5_000, 1_500_000
T = TypeVar("T")
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
    query = f"SELECT {_picked(columns)} FROM read_parquet(?, file_row_number = true) {some}"  # noqa: S608 (quoted)
    return _frame(path, query)


def in_order(path: Path, columns: Sequence[Column], by: str) -> pd.DataFrame:
    """Numbers of the rows that come first in this order."""
    numbers = [one for one in columns if one.type in _ORDERED]
    most = max(50, min(2_000, MOST_CELLS // max(1, len(numbers))))
    if not numbers:
        return pd.DataFrame()
    query = f"SELECT {_picked(numbers)} FROM read_parquet(?) ORDER BY {_q(by)} LIMIT {most}"  # noqa: S608 (quoted)
    return _frame(path, query)


def extents(path: Path, columns: Sequence[Column]) -> dict[str, Extent]:
    """For each column how many values it has, over all rows."""
    picked = []
    for column in columns:
        name = _q(column.name)
        ends = f"min({name}), max({name})" if column.type is ColumnType.INTEGER else "NULL, NULL"
        picked.append(f"count({name}), approx_count_distinct({name}), {ends}")
    query = f"SELECT {', '.join(picked)} FROM read_parquet(?)"  # noqa: S608 (quoted)
    row = _asked(path, query, lambda answer: answer.fetchone()) or ()
    return {one.name: Extent(*row[4 * n : 4 * n + 4]) for n, one in enumerate(columns)}


def _picked(columns: Sequence[Column]) -> str:
    return ", ".join(
        f"left({_q(c.name)}, {LONGEST_TEXT}) AS {_q(c.name)}" if c.type is ColumnType.TEXT else _q(c.name)
        for c in columns
    )


def _frame(path: Path, query: str) -> pd.DataFrame:
    return _asked(path, query, lambda answer: answer.df())


def _asked(path: Path, query: str, take: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    with connect(":memory:", MEMORY_MB) as connection:
        try:
            connection.execute("SET TimeZone = 'UTC'")
            return take(connection.execute(query, [str(path)]))
        except duckdb.Error as error:
            raise StoreError(f"The data cannot be read ({reason(error, path)}); bring it again.") from None


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
