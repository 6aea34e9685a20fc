"""The audit log as CSV: complete, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.audit.export import as_csv, inert
from lib.db.tables import AuditEntry


def _entry(**values: object) -> AuditEntry:
    given = {"id": 7, "at": datetime(2026, 3, 14, 12, tzinfo=UTC), "actor": "ann", "action": "act", "digest": "d"}
    return AuditEntry(**{"target": "", "outcome": "ok", "address": "", "details": {}, **given, **values})


def _rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))


def test_each_entry_is_a_row_with_all_it_says() -> None:
    rows = _rows(as_csv([_entry(target="be,n", details={"after": "ä"}, address="10.0.0.1")]))
    assert rows[1] == [
        *("7", "2026-03-14 12:00:00", "ann", "act", "be,n", "ok", "10.0.0.1"),
        *('{"after": "ä"}', "d"),
    ]
    assert len(rows[0]) == len(rows[1])


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "=cmd|' /C calc'!A0"])
def test_a_formula_becomes_text(cell: str) -> None:
    row = _rows(as_csv([_entry(actor=cell)]))[1]
    assert row[2].startswith("'")


@given(st.text())
def test_no_cell_begins_as_a_formula_does(cell: str) -> None:
    assert not inert(cell).lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert inert(cell).removeprefix("'") == cell or inert(cell) == cell
