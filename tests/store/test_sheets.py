"""Excel workbooks and Parquet files: read into the types of a dataset, or refused before they do harm."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from lib.datasets.schema import ColumnType
from lib.errors import Invalid
from lib.store import dataset_intake, sheets
from lib.store.dataset_intake import Caps, Wanted

CAPS = Caps(20 << 20, 1_000, 20)


def quiet(_fraction: float, _words: str) -> None:
    pass


def workbook(rows: list[list[object]], extra: str = "", **more: list[list[object]]) -> bytes:
    """A workbook as small as they come: inline texts, numbers, booleans. more: sheets behind the first."""

    def cell(value: object, place: str) -> str:
        if isinstance(value, bool):
            return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
        if isinstance(value, int | float):
            return f'<c r="{place}"><v>{value}</v></c>'
        return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'

    def lines_of(rows: list[list[object]]) -> str:
        return "".join(
            f'<row r="{i}">'
            + "".join(cell(v, f"{chr(65 + j)}{i}") for j, v in enumerate(row) if v is not None)
            + "</row>"
            for i, row in enumerate(rows, 1)
        )

    sheets = {"Data": lines_of(rows) + extra, **{name: lines_of(held) for name, held in more.items()}}
    main, rel = "http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://schemas.openxmlformats.org"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{rel}/package/2006/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
        'ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{rel}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{rel}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{rel}/officeDocument/2006/relationships"><sheets>'
        + "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, 1))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{rel}/package/2006/relationships">'
        + "".join(
            f'<Relationship Id="r{n}" Type="{rel}/officeDocument/2006/relationships/worksheet" '
            f'Target="worksheets/sheet{n}.xml"/>'
            for n in range(1, len(sheets) + 1)
        )
        + "</Relationships>",
    } | {
        f"xl/worksheets/sheet{n}.xml": f'<worksheet xmlns="{main}"><sheetData>{held}</sheetData></worksheet>'
        for n, held in enumerate(sheets.values(), 1)
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return out.getvalue()


def test_a_workbook_becomes_a_table(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "a.parquet"
    source.write_bytes(workbook([["n", "x", "ok", "word", "mix"], [1, 1.5, True, "a", 1], [2, None, False, "b", "z"]]))
    taken = sheets.from_workbook(source, target, CAPS, quiet)
    assert [str(type_) for _, type_ in taken.columns] == ["integer", "number", "boolean", "text", "text"]
    assert duckdb.sql(f"FROM '{target}'").fetchall() == [(1, 1.5, True, "a", "1"), (2, None, False, "b", "z")]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\x89PNG\r\n\x1a\n" * 9, "PNG image"),
        (workbook([["a", "b"]]), "no rows"),
        (workbook([["a", "b"], ["unit", "s"], ["x", 1], ["y", 2], ["z", 3]]), "two header lines"),
        (workbook([["a"], [1]], extra='<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'), "reaches to column"),
        (workbook([["a"], [1]], extra=" " * (70 << 20)), "compression bomb"),
        (workbook([["a"], [1]])[:-40], "damaged"),
    ],
    ids=["image", "no rows", "two headers", "far cell", "bomb", "cut short"],
)
def test_a_workbook_that_is_none_is_refused(tmp_path: Path, body: bytes, why: str) -> None:
    source, target = tmp_path / "a", tmp_path / "a.parquet"
    source.write_bytes(body)
    with pytest.raises(Invalid, match=why):
        sheets.from_workbook(source, target, Caps(200 << 20, 1_000, 20), quiet)
    assert not target.exists()


def put(path: Path, **columns: object) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_parquet_of_any_type_becomes_ours(tmp_path: Path) -> None:
    source = put(
        tmp_path / "a",
        a=pa.array([1, 2], pa.uint8()),
        b=pa.array([b"x", b"y"]),
        c=[[1, 2], []],
        d=pa.array([datetime(2026, 1, 1, tzinfo=UTC), None], pa.timestamp("ns", "Europe/Berlin")),
    )
    target = tmp_path / "out"
    taken = dataset_intake.from_parquet(source, target, tmp_path, CAPS, quiet)
    assert [(name, str(type_)) for name, type_ in taken.columns] == [("a", "integer"), ("c", "text"), ("d", "moment")]
    assert duckdb.sql(f"FROM read_parquet('{target}')").fetchall()[0][:2] == (1, "[1,2]")
    assert len(taken.notes) == 2


def test_parquet_is_counted_while_it_is_read(tmp_path: Path) -> None:
    target = tmp_path / "out"
    many = put(tmp_path / "a", a=pa.array([7] * 1_001))
    with pytest.raises(Invalid, match="more than 1,000 rows"):
        dataset_intake.from_parquet(many, target, tmp_path, CAPS, quiet)
    text = put(tmp_path / "b", a=pa.DictionaryArray.from_arrays(pa.array([0] * 900, pa.int8()), ["x" * 100_000]))
    assert text.stat().st_size < 200_000
    with pytest.raises(Invalid, match="compression bomb"):
        dataset_intake.from_parquet(text, target, tmp_path, CAPS, quiet)
    for body, why in ((many.read_bytes()[:-8], "cut short"), (b"PAR1" + b"\0" * 99 + b"PAR1", "cannot be read")):
        (tmp_path / "c").write_bytes(body)
        with pytest.raises(Invalid, match=why):
            dataset_intake.from_parquet(tmp_path / "c", target, tmp_path, CAPS, quiet)
    assert not target.exists()


def test_types_can_be_changed_and_what_is_lost_is_said(tmp_path: Path) -> None:
    source, target = put(tmp_path / "a", s=["1", "2.5", "x"], n=[0, 1_700_000_000, 1_700_000_000_000]), tmp_path / "out"
    wanted = [
        Wanted("n", ColumnType.INTEGER, "at", ColumnType.MOMENT),
        Wanted("s", ColumnType.TEXT, "s", ColumnType.NUMBER),
    ]
    notes, rows = dataset_intake.rewrite(source, target, wanted, tmp_path)
    held = duckdb.sql(f"FROM read_parquet('{target}')").fetchall()
    assert [str(at)[:10] for at, _ in held] == ["1970-01-01", "2023-11-14", "2023-11-14"]
    assert [s for _, s in held] == [1.0, 2.5, None] and "1 values of 's'" in notes[0]
    with pytest.raises(Invalid, match="Only 1 of 3 values"):
        dataset_intake.rewrite(source, target, [Wanted("s", ColumnType.TEXT, "s", ColumnType.INTEGER)], tmp_path)


def test_a_cover_sheet_is_passed_over_and_any_sheet_can_be_asked_for(tmp_path: Path) -> None:
    source, target = tmp_path / "book", tmp_path / "table.parquet"
    source.write_bytes(workbook([["Report"], ["made by hand"]], Sales=[["a", "b"], [1, 2]], Notes=[["n"], [7]]))
    taken = sheets.from_workbook(source, target, CAPS, quiet)
    assert [name for name, _ in taken.columns] == ["a", "b"] and "Sheet 'Sales' was read" in taken.notes[0]
    assert "Data, Notes" in taken.notes[0]
    taken = sheets.from_workbook(source, target, CAPS, quiet, "Notes")
    assert taken.columns == [("n", ColumnType.INTEGER)] and taken.rows == 1
    again = sheets.from_workbook(source, target, CAPS, quiet, "Sales")
    assert again.digest != taken.digest and again.digest == sheets.from_workbook(source, target, CAPS, quiet).digest
    with pytest.raises(Invalid, match="no sheet 'Costs'; there are 'Data', 'Sales', 'Notes'"):
        sheets.from_workbook(source, target, CAPS, quiet, "Costs")
