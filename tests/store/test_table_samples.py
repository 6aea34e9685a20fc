from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from lib.datasets.schema import Column, ColumnType
from lib.errors import StoreError
from lib.store import table_samples

COLUMNS = [
    Column("n", ColumnType.INTEGER),
    Column('te"xt', ColumnType.TEXT),
    Column("at", ColumnType.MOMENT),
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.parquet"
    duckdb.sql(
        'SELECT i AS n, repeat(\'x\', 500) || (i % 7) AS "te""xt", '
        "TIMESTAMPTZ '2026-01-01' - INTERVAL (i) HOUR AS at "
        "FROM range(40000) t(i)"
    ).write_parquet(str(path))
    return path


def test_a_sample_is_the_same_each_time_spread_over_the_table_and_short(table: Path) -> None:
    first, again = (table_samples.sample(table, COLUMNS, 40_000) for _ in range(2))
    assert first.equals(again) and 3_500 < len(first) <= 6_500
    assert first["n"].max() > 39_000 and first["n"].min() < 1_000 and first['te"xt'].str.len().max() == 200
    assert len(table_samples.sample(table, COLUMNS, 4_000)) == 40_000  # all rows of what is called small


def test_rows_in_order_are_numbers_from_the_beginning(table: Path) -> None:
    frame = table_samples.in_order(table, COLUMNS, "at")
    assert list(frame.columns) == ["n"] and frame["n"].tolist()[:2] == [39_999, 39_998]


def test_extents_are_of_all_rows(table: Path) -> None:
    found = table_samples.extents(table, COLUMNS)
    assert (found["n"].known, found["n"].low, found["n"].high) == (40_000, 0, 39_999)
    assert abs(found["n"].distinct - 40_000) < 8_000 and found["at"].distinct >= 5


def test_a_file_that_is_gone_or_torn_is_said_without_its_place(table: Path) -> None:
    table.write_bytes(table.read_bytes()[:100])
    with pytest.raises(StoreError) as raised:
        table_samples.sample(table, COLUMNS, 10)
    assert str(table) not in raised.value.message
