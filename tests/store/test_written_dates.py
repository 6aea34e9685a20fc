"""Texts that are dates become dates, in whatever way they were written; others stay text."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lib.datasets.schema import ColumnType
from lib.store import written_dates
from lib.store.dataset_intake import Taken

DAYS = pd.date_range("2024-01-03", periods=60, freq="9D")


@pytest.fixture
def typed(tmp_path: Path):  # type: ignore[no-untyped-def]
    def make(values: list[str | None]) -> tuple[ColumnType, list, list[str]]:
        path = tmp_path / "table.parquet"
        pd.DataFrame({"a b": values, "n": range(len(values))}).to_parquet(path)
        before = Taken([("a b", ColumnType.TEXT), ("n", ColumnType.INTEGER)], len(values), "")
        taken = written_dates.typed(before, path, tmp_path)
        held = pd.read_parquet(path)
        assert held["n"].tolist() == list(range(len(values)))
        return taken.columns[0][1], held["a b"].tolist(), taken.notes

    return make


@pytest.mark.parametrize("written", ["%d.%m.%Y", "%m/%d/%Y", "%d-%b-%Y", "%B %d, %Y", "%Y/%m/%d"])
def test_days_are_read_as_they_were_written(typed, written: str) -> None:  # type: ignore[no-untyped-def]
    type_, held, notes = typed([None, *DAYS.strftime(written)])
    assert type_ is ColumnType.DATE and held[1:] == list(DAYS.date) and pd.isna(held[0])
    assert written in notes[0] and "empty now" not in notes[0]


def test_moments_without_seconds_and_two_ways_in_one_column_are_read(typed) -> None:  # type: ignore[no-untyped-def]
    moments = DAYS + pd.Timedelta(hours=13, minutes=5)
    type_, held, _ = typed(list(moments.strftime("%d.%m.%Y %H:%M")))
    assert type_ is ColumnType.MOMENT and held == list(moments)
    mixed = [f"{day:%m/%d/%Y}" if number % 2 else f"{day:%Y-%m-%d}" for number, day in enumerate(DAYS)]
    type_, held, notes = typed(mixed)
    assert type_ is ColumnType.DATE and held == list(DAYS.date) and "%Y-%m-%d and %m/%d/%Y" in notes[0]


def test_a_few_odd_values_are_told_and_many_leave_it_text(typed) -> None:  # type: ignore[no-untyped-def]
    days = list(DAYS.strftime("%d.%m.%Y"))
    type_, held, notes = typed([*days, "31.02.2024"])
    assert type_ is ColumnType.DATE and pd.isna(held[-1]) and "1 values are none" in notes[0]
    assert typed([*days, *["unknown"] * 10])[0] is ColumnType.TEXT
    assert typed(["1.2.3", "10.20.30"] * 20)[0] is ColumnType.TEXT


def test_days_that_may_be_months_stay_text_and_say_so(typed) -> None:  # type: ignore[no-untyped-def]
    type_, held, notes = typed(["01/02/2024", "03/04/2024"] * 15)
    assert type_ is ColumnType.TEXT and held[0] == "01/02/2024" and "alike" in notes[0]
