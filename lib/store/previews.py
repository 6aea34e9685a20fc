"""A few rows of a dataset, for people and other programs: long texts cut, nothing a spreadsheet would run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pandas as pd

from lib.datasets.schema import Column, ColumnType
from lib.errors import StoreError
from lib.store.engine import connect, reason

LONGEST_TEXT, MOST_ROWS, MOST_COLUMNS, MEMORY_MB = 300, 1_000, 200, 128
EXPORT_ROWS = 100_000
# What begins a formula, as services.export.neutral has it; said in SQL for cells, a test compares.
_DANGEROUS = r"^\s*[=+\-@|\t\r\n＝＋－＠]"  # noqa: RUF001


def rows(path: Path, columns: Sequence[Column], limit: int, offset: int = 0) -> pd.DataFrame:
    """Rows in their order, at most 1,000 of the first 200 columns; texts cut to 300 characters."""
    shown = list(columns)[:MOST_COLUMNS]
    picked = ", ".join(
        f"CASE WHEN length({_q(c.name)}) > {LONGEST_TEXT} THEN left({_q(c.name)}, {LONGEST_TEXT}) || '…' "
        f"ELSE {_q(c.name)} END AS {_q(c.name)}"
        if c.type is ColumnType.TEXT
        else _q(c.name)
        for c in shown
    )
    query = f"SELECT {picked} FROM read_parquet(?) LIMIT {min(limit, MOST_ROWS)} OFFSET {max(offset, 0)}"  # noqa: S608
    with connect(":memory:", MEMORY_MB) as connection:
        try:
            return connection.execute(query, [str(path)]).df()
        except duckdb.Error as error:
            raise StoreError(f"The data cannot be read ({reason(error, path)}); bring it again.") from None


def write_csv(path: Path, columns: Sequence[Column], header: Sequence[str], target: Path) -> None:
    """The first 100,000 rows as CSV. header: the names as they are to stand there."""
    picked = []
    for column, name in zip(columns, header, strict=True):
        cell = _q(column.name)
        if column.type is ColumnType.TEXT:
            cell = f"CASE WHEN regexp_matches({cell}, '{_DANGEROUS}') THEN chr(39) || {cell} ELSE {cell} END"
        picked.append(f"{cell} AS {_q(name)}")
    query = f"SELECT {', '.join(picked)} FROM read_parquet('{_s(path)}') LIMIT {EXPORT_ROWS}"  # noqa: S608 (quoted)
    with connect(":memory:", MEMORY_MB) as connection:
        try:
            connection.sql(query).write_csv(str(target), header=True)
        except duckdb.Error as error:
            raise StoreError(f"The data cannot be read ({reason(error, path)}); bring it again.") from None


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _s(path: Path) -> str:
    return str(path).replace("'", "''")


def sample(path: Path, columns: Sequence[Column], rows: int, most: int) -> pd.DataFrame:
    """About `most` of a table's `rows`, spread evenly and the same each time, in their order; all of a smaller one."""
    picked = ", ".join(_q(one.name) for one in columns)
    share = min(1.0, most / max(1, rows))
    where = "" if share == 1.0 else f"WHERE hash(file_row_number) < {int(2**64 * share)}::UBIGINT"
    query = f"SELECT {picked} FROM read_parquet(?, file_row_number=true) {where}"  # noqa: S608 (quoted)
    with connect(":memory:", 4 * MEMORY_MB) as connection:
        try:
            return connection.execute(query, [str(path)]).df()
        except duckdb.Error as error:
            raise StoreError(f"The data cannot be read ({reason(error, path)}); bring it again.") from None
