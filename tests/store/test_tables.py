"""Odd tables: whatever a file holds, its profile is true and can be written as JSON."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from lib.errors import Invalid
from lib.profiling.report import to_html, to_json
from lib.profiling.tables import ColumnProfile, Kind, Rejected, TableProfile
from lib.store import tables, text_tables

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


def described(tmp_path: Path, **columns: Any) -> TableProfile:
    path = tmp_path / "table.parquet"
    parquet.write_table(pa.table(columns), path)
    return tables.profile(path, "table.parquet", tmp_path)


def column(profile: TableProfile, name: str) -> ColumnProfile:
    return next(one for one in profile.columns if one.name == name)


def codes(profile: TableProfile) -> set[str]:
    return {alert.code for alert in profile.alerts}


def test_counts_are_exact_and_moments_agree_with_numpy(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    value = rng.normal(1e9, 1, 5000)
    one = column(described(tmp_path, x=pa.array(value), y=pa.array([1, None] * 2500)), "x")
    assert (one.count, one.missing, one.distinct) == (5000, 0, np.unique(value).size)
    assert one.mean == pytest.approx(value.mean(), rel=1e-12)
    assert one.std == pytest.approx(value.std(), rel=1e-6)
    assert one.quantiles["0.5"] == pytest.approx(np.median(value), rel=1e-9)
    assert sum(one.counts) == 5000


def test_a_sample_of_a_large_table_comes_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SAMPLE_ROWS", 20_000)
    value = np.random.default_rng(2).exponential(size=200_000)
    found = described(tmp_path, x=value, kind=pa.array(np.where(value > 1, "high", "low")))
    assert 18_000 < found.sampled < 22_000
    x = column(found, "x")
    assert x.count == 200_000
    assert x.mean == pytest.approx(value.mean(), rel=1e-9)
    assert x.quantiles["0.5"] == pytest.approx(np.median(value), rel=0.05)
    assert x.quantiles["1.0"] == value.max()
    assert dict(column(found, "kind").top) == {"high": int((value > 1).sum()), "low": int((value <= 1).sum())}
    assert found.relations[0].shared == pytest.approx(1, abs=0.1)


def test_what_a_careful_reader_would_remark_is_said_with_a_remedy(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    n = 400
    x = rng.normal(size=n)
    found = described(
        tmp_path,
        order_id=pa.array(range(n)),
        nothing=pa.array([None] * n, pa.float64()),
        same=pa.array(["always"] * n),
        mostly_gone=pa.array([1.0 if i % 10 == 0 else None for i in range(n)]),
        numbers_as_text=pa.array([f"{i % 7}.5" for i in range(n)]),
        mixed=pa.array(["n/a" if i % 5 == 0 else str(i % 9) for i in range(n)]),
        blank=pa.array([" " if i % 3 == 0 else "b" for i in range(n)]),
        broken=pa.array([float("nan") if i % 9 == 0 else float("inf") if i % 9 == 1 else 1.5 * i for i in range(n)]),
        huge=pa.array([2**60 + i % 5 for i in range(n)]),
        far=pa.array([1e9 if i == 5 else float(v) for i, v in enumerate(x)]),
        x=x,
        twice=2 * x,
    )
    expected = {"identifier", "all_missing", "constant", "missing", "stored_as_text", "mixed", "blank", "non_finite"}
    assert expected | {"beyond_exact", "heavy_tail", "same"} <= codes(found)
    assert all(alert.remedy.endswith(".") for alert in found.alerts)


def test_of_a_table_too_wide_the_last_column_is_looked_at_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    profile = described(tmp_path, **{f"f{n}": rng.normal(size=60) for n in range(600)}, y=rng.integers(0, 2, 60))
    assert (len(profile.columns), profile.left_out, profile.columns[-1].name) == (500, 101, "y")
    assert profile.target is not None and profile.target.column == "y"
    assert any("the first 499 and the last" in alert.sentence for alert in profile.alerts)


def test_repeated_rows_are_counted(tmp_path: Path) -> None:
    found = described(tmp_path, a=[1, 1, 2, None, None] * 20, b=["x", "x", "y", "z", "z"] * 20)
    assert found.duplicates == 97
    assert "duplicates" in codes(found)


def test_gaps_resets_and_rhythm_are_found_by_the_time_column(tmp_path: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = [i for i in range(24 * 10) if not 100 <= i < 110]
    found = described(
        tmp_path,
        at=[start + timedelta(hours=i) for i in hours],
        wave=[float(np.sin(i / 24 * 2 * np.pi)) for i in hours],
        counter=[float(i % 90) for i in hours],
        line=[0.1 * i + (i % 3) * 0.01 for i in hours],
    )
    assert found.time is not None
    assert (found.time.interval_s, found.time.gap_count, found.time.missing) == (3600, 1, 10)
    assert found.time.gaps[0] == ("2026-01-05 03:00:00", "2026-01-05 14:00:00")
    assert (column(found, "wave").daily or 0) > 0.9
    assert column(found, "counter").resets == 2
    assert (column(found, "line").trend or 0) > 0.95


def test_target_is_the_column_named_so_and_never_an_identifier(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=500)
    found = described(
        tmp_path,
        churned=np.where(x + rng.normal(size=500) > 0, "yes", "no"),
        x=x,
        customer_id=[f"c{i}" for i in range(500)],
    )
    assert found.target is not None
    assert (found.target.column, found.target.task) == ("churned", "classification")
    assert "customer_id" not in found.target.others


ODD: dict[str, dict[str, Any]] = {
    "one row": {"a": [1], "b": ["x"], "c": [date(2026, 1, 1)]},
    "no rows": {"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())},
    "all null": {"a": pa.nulls(100), "b": pa.nulls(100, pa.string()), "c": pa.nulls(100, pa.timestamp("us"))},
    "constant": {"a": [3.0] * 100, "b": [0] * 100, "c": [1e-320] * 100},
    "not finite": {"a": [float("nan")] * 60, "b": [float("inf"), float("-inf")] * 30},
    "huge": {"a": [1.7e308, -1.7e308] * 60, "b": [2**63 - 1, -(2**63)] * 60},
    "unsigned and decimal": {
        "a": pa.array([2**64 - 1] * 60, pa.uint64()),
        "b": pa.array([Decimal("9" * 30), None] * 30, pa.decimal128(38, 2)),
    },
    "dates far away": {
        "a": pa.array([date(1, 1, 1), date(9999, 12, 31)] * 30),
        "b": pa.array([-(2**62), 2**62] * 30, pa.timestamp("us")),
        "c": pa.array([0, 1] * 30, pa.timestamp("ms", "UTC")),
    },
    "nested": {"a": [[1, 2], None] * 30, "b": [{"x": 1}] * 60, "c": [b"\x00\xff"] * 60},
    "times of day": {"a": pa.array([1] * 60, pa.time32("s"))},
    "names": {'"; DROP TABLE x; --': [1, 2], "": [1, 2], "d0": [1, 2], "file_row_number": [1, 2], "A": [1, 2]},
    "same but for case": {"A": [1, 2], "a": [3, 4]},
    "long texts": {"a": ["ä" * 100_000, "b"] * 30, "b": ["\u202e<script>\x00"] * 60},
    "half characters": {"a": ["🤷", "\U0010ffff", "e\u0301"] * 30},
    "booleans": {"a": [True, False, None] * 30},
    "dictionary": {"a": pa.array(["x", "y", None] * 30).dictionary_encode()},
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_table_is_described_and_exported(tmp_path: Path, odd: str) -> None:
    found = described(tmp_path, **ODD[odd])
    assert len(found.columns) == len(ODD[odd])
    for one in found.columns:
        assert one.rows == found.rows
        assert one.distinct <= one.count
    assert json.loads(to_json(found, NOW))["rows"] == found.rows
    assert b"<script>" not in to_html(found, NOW)
    if found.rows < 50:
        assert codes(found) & {"empty", "few_rows"}


_CELLS = {
    "number": (st.floats(), pa.float64()),
    "whole": (st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "text": (st.text(st.characters(exclude_categories=["Cs"]), max_size=20), pa.string()),
    "moment": (st.datetimes(), pa.timestamp("us")),
    "yes": (st.booleans(), pa.bool_()),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_table_is_described_and_adds_up(tmp_path: Path, data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 80))
    columns = {}
    for i, kind in enumerate(data.draw(st.lists(st.sampled_from(sorted(_CELLS)), min_size=1, max_size=4))):
        cells, type_ = _CELLS[kind]
        columns[f"c{i}"] = pa.array(data.draw(st.lists(st.none() | cells, min_size=rows, max_size=rows)), type_)
    found = described(tmp_path, **columns)
    assert found.rows == rows
    for name, values in columns.items():
        one = column(found, name)
        assert one.missing == values.null_count
        known = [v for v in values.to_pylist() if v is not None]
        if one.kind is not Kind.NUMBER and known and all(isinstance(v, str) for v in known):
            assert one.lengths is not None
            assert one.lengths[2] == max(len(v) for v in known)
    json.loads(to_json(found, NOW))


def test_csv_keeps_its_lines_and_tells_which_it_could_not_read(tmp_path: Path) -> None:
    source, target = tmp_path / "a.csv", tmp_path / "a.parquet"
    source.write_text("a,b\n" + "1,x\n" * 20 + "2,y,z\n" + "3,v\n" * 10 + "many,q\n" + "4,w\n" * 20)
    taken = text_tables.lines_of(source, target, None, tmp_path)
    rejected = Rejected(taken.rejected, tuple(taken.told))
    assert {line for line, _ in rejected.examples} == {22, 33}
    found = tables.profile(target, "a.csv", tmp_path, rejected=rejected)
    assert found.rows == 50
    assert "rejected" in codes(found)


def test_utf_16_is_read(tmp_path: Path) -> None:
    source, target = tmp_path / "a.csv", tmp_path / "a.parquet"
    source.write_bytes("name,n\nJürgen,1\nÅsa,2\n".encode("utf-16"))
    text_tables.lines_of(source, target, None, tmp_path)
    assert column(tables.profile(target, "a", tmp_path), "name").lengths == (3, 4.5, 6)


@pytest.mark.parametrize("body", [bytes(range(256)) * 40, b"\x89PNG\r\n\x1a\n\0\0\0"])
def test_what_is_no_text_is_refused_in_words(tmp_path: Path, body: bytes) -> None:
    source = tmp_path / "a.csv"
    source.write_bytes(body)
    with pytest.raises(Invalid, match="not a table of text"):
        text_tables.lines_of(source, tmp_path / "a.parquet", None, tmp_path)


@pytest.mark.parametrize("keep", [4, 8, 200])
def test_damaged_parquet_is_refused_without_naming_where_it_lies(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "whole.parquet"
    parquet.write_table(pa.table({"a": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[:keep] + b"PAR1")
    with pytest.raises(Invalid, match="cannot be read as Parquet") as refused:
        tables.profile(path, "mine.parquet", tmp_path)
    assert str(tmp_path) not in refused.value.message


def test_a_table_that_claims_more_than_can_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_CELLS", 100)
    with pytest.raises(Invalid, match="more than one profile takes"):
        described(tmp_path, a=list(range(101)))


def test_rows_too_large_for_little_memory_get_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"a": [f"{i}" + "x" * 20_000 for i in range(3000)], "b": list(range(3000))}
    monkeypatch.setattr(tables, "MEMORY_MB", 20)
    assert column(described(tmp_path, **columns), "a").lengths == (20_001, 20_003.63, 20_004)
    monkeypatch.setattr(tables, "MORE_MEMORY_MB", 20)
    with pytest.raises(Invalid, match="too large to be described"):
        described(tmp_path, **columns)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.text('a1,";\t\n\r é\ufeff', max_size=200).map(lambda text: text.encode()))
def test_any_bytes_are_a_table_or_refused_in_words(tmp_path: Path, body: bytes) -> None:
    source, target = tmp_path / "a.csv", tmp_path / "a.parquet"
    source.write_bytes(body)
    try:
        text_tables.lines_of(source, target, None, tmp_path)
        found = tables.profile(target, "a.csv", tmp_path)
    except Invalid as refused:
        assert str(tmp_path) not in refused.message
        return
    json.loads(to_json(found, NOW))
    assert all(one.rows == found.rows for one in found.columns)
