"""Excel workbooks made Parquet: the sheet that is asked for, else the first that is a table, checked beforehand."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib import disk
from lib.datasets.schema import ColumnType, unique
from lib.errors import Invalid
from lib.store import dataset_intake, encodings
from lib.store.dataset_intake import Caps, Said, Taken
from lib.store.text_tables import second_header

if TYPE_CHECKING:
    import pyarrow as pa

# A sheet is held whole while it is read, about 100 bytes a cell.
MOST_CELLS, MOST_UNPACKED = 5_000_000, 512 << 20
_CELL = re.compile(rb'<c[^>]{0,200}? r="([A-Z]{1,3})(\d{1,7})"')
_PIECE = 1 << 20


def from_workbook(source: Path, target: Path, caps: Caps, said: Said, wanted: str | None = None) -> Taken:
    """wanted: a sheet's name. Raises Invalid for what is no workbook, one too large to be held, a sheet it has not."""
    with source.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"PK\x03\x04"):
        _check(source, caps)
    elif not head.startswith(b"\xd0\xcf\x11\xe0"):
        kind = encodings.kind_of_binary(head)
        raise Invalid(f"It is {kind or 'no Excel workbook'}. Save it as .xlsx, or bring CSV.")
    said(0.1, "Opening the workbook")
    name, others, rows = _sheet(source, wanted)
    notes = [f"Sheet {name!r} was read; {len(others)} more were not: {', '.join(others[:5])}."] if others else []
    header, body = _table(rows)
    names, renamed = unique(header, caps.columns)
    if len(body) > caps.rows:
        raise Invalid(f"It has {len(body):,} rows; a dataset may have {caps.rows:,}.")
    said(0.6, "Writing")
    columns = []
    for j, column in enumerate(names):
        type_, mixed = _type([row[j] for row in body])
        columns.append((column, type_))
        if mixed:
            notes.append(f"Column {column!r} is text: it holds values of several types.")
    dataset_intake.write(_batches(columns, body), target)
    digest = disk.sha256(source)
    if others:  # two sheets of one workbook may have the same columns, and are not the same
        digest = hashlib.sha256(f"{digest} {name}".encode()).hexdigest()
    return Taken(columns, len(body), digest, notes=notes + renamed)


def _check(source: Path, caps: Caps) -> None:
    """Unpack every part once while counting: what a ZIP archive says of itself is not believed."""
    most, size = min(caps.size_bytes, MOST_UNPACKED), 0
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.namelist()
            if not any(one.startswith("xl/") for one in members):
                raise Invalid("It is a ZIP archive, not an Excel workbook. Save it as .xlsx, or bring CSV.")
            for member in members:
                sheet = member.startswith("xl/worksheets/")
                right = bottom = 0
                with archive.open(member) as part:
                    rest = b""
                    while piece := part.read(_PIECE):
                        size += len(piece)
                        if size > most or size > max(encodings.RATIO_FROM_BYTES, 400 * source.stat().st_size):
                            raise Invalid(
                                f"Unpacked it is larger than {size / 2**20:,.0f} MB: too large for a workbook, or a "
                                "compression bomb. Save the sheet as CSV."
                            )
                        if sheet:
                            for letters, number in _CELL.findall(rest + piece):
                                right, bottom = max(right, _number(letters)), max(bottom, int(number))
                            rest = piece[-256:]
                if right * bottom > MOST_CELLS:
                    raise Invalid(
                        f"A sheet reaches to column {right:,} and row {bottom:,}; workbooks may have {MOST_CELLS:,} "
                        "cells. Save the sheet as CSV."
                    )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise Invalid(f"The workbook is damaged or locked ({error}). Save it again without a password.") from None


def _number(letters: bytes) -> int:
    """A is 1, Z is 26, AA is 27."""
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number


def _sheet(source: Path, wanted: str | None) -> tuple[str, list[str], list[list[Any]]]:
    """The sheet that is asked for, else the first with two columns and two rows, else the first with cells: its name,
    the names of the others, its rows without empty ones around."""
    import python_calamine

    try:
        # The suffix decides how calamine reads it; the content has decided what it is.
        with source.open("rb") as file:
            workbook = python_calamine.CalamineWorkbook.from_filelike(file)
            known = workbook.sheet_names
            if wanted is not None and wanted not in known:
                raise Invalid(f"There is no sheet {wanted[:80]!r}; there are {', '.join(map(repr, known[:20]))}.")
            first: tuple[str, list[list[Any]]] | None = None
            for name in known if wanted is None else [wanted]:
                sheet = workbook.get_sheet_by_name(name)
                if sheet.height * sheet.width > MOST_CELLS:
                    raise Invalid(f"Sheet {name!r} has more than {MOST_CELLS:,} cells; save it as CSV.")
                rows = [row for row in sheet.to_python(skip_empty_area=True) if any(cell != "" for cell in row)]
                first = first or ((name, rows) if rows else None)
                if len(rows) > 1 and len(rows[0]) > 1:
                    first = name, rows
                    break
            if first is not None:
                return first[0], [one for one in known if one != first[0]], first[1]
    except Invalid:
        raise
    except Exception as error:  # a damaged workbook raises whatever its parser meets first
        raise Invalid(f"The workbook cannot be read ({str(error)[:200]}). Save it again, or as CSV.") from None
    raise Invalid(f"Sheet {wanted!r} holds nothing." if wanted else "The workbook has no sheet with values.")


def _table(rows: list[list[Any]]) -> tuple[list[str], list[list[Any]]]:
    """Names and the rows below them. Raises Invalid for two lines of names, and for names alone."""
    header = [str(cell) for cell in rows[0]]
    if second_header(rows[:60]):
        raise Invalid("It has two header lines: the second row holds names as well. Leave one row of names.")
    if len(rows) < 2:
        raise Invalid("It has a header and no rows.")
    return header, [[None if cell == "" else cell for cell in row] for row in rows[1:]]


def _type(cells: Sequence[Any]) -> tuple[ColumnType, bool]:
    """The type all cells of a column share, and whether they share none."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if not kinds:
        return ColumnType.TEXT, False
    if kinds == {bool}:
        return ColumnType.BOOLEAN, False
    if kinds <= {int, float}:
        # Excel knows no whole numbers; those that all are, were meant so.
        whole = all(float(cell).is_integer() and abs(cell) < 2**53 for cell in cells if cell is not None)
        return (ColumnType.INTEGER if whole else ColumnType.NUMBER), False
    if kinds == {date}:
        return ColumnType.DATE, False
    if kinds <= {date, datetime}:
        return ColumnType.MOMENT, False
    return ColumnType.TEXT, kinds != {str} and not kinds <= {time, timedelta}


def _batches(columns: list[tuple[str, ColumnType]], body: list[list[Any]]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    types = {
        ColumnType.INTEGER: pa.int64(),
        ColumnType.NUMBER: pa.float64(),
        ColumnType.BOOLEAN: pa.bool_(),
        ColumnType.TEXT: pa.string(),
        ColumnType.DATE: pa.date32(),
        ColumnType.MOMENT: pa.timestamp("us"),
    }
    for start in range(0, len(body), dataset_intake.BATCH_ROWS):
        part = body[start : start + dataset_intake.BATCH_ROWS]
        arrays = [
            pa.array([_cell(row[j], type_) for row in part], types[type_]) for j, (_name, type_) in enumerate(columns)
        ]
        yield pa.record_batch(arrays, names=[name for name, _ in columns])


def _cell(value: Any, type_: ColumnType) -> Any:
    if value is None:
        return None
    match type_:
        case ColumnType.INTEGER:
            return int(value)
        case ColumnType.NUMBER:
            return float(value)
        case ColumnType.MOMENT:
            return value if isinstance(value, datetime) else datetime.combine(value, time())
        case ColumnType.TEXT:
            return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return value
