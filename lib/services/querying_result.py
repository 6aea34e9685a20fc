"""What came of a query: rows as a frame and as files, or an error that says where and what to try."""

from __future__ import annotations

import difflib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from lib.errors import AppError, SqlError, SqlLimit
from lib.services.export import Format, neutral
from lib.sql.tables import Table

# What DuckDB says of files, networks and its own insides is nothing to act on, and may name folders.
_HUSHED = {"IO", "Permission", "INTERNAL", "FATAL", "HTTP", "Missing Extension", "Autoload", "Dependency", "Settings"}


@dataclass(frozen=True)
class ResultColumn:
    """type: DuckDB's. kind: integer, number, boolean, time or text."""

    name: str
    type: str
    kind: str


@dataclass(frozen=True)
class Result:
    """frame: one column each of `columns`, in their order; times in UTC. as_of: of the snapshot that was read.

    truncated: there were more rows than may be shown.
    """

    sql: str
    columns: tuple[ResultColumn, ...]
    frame: pd.DataFrame
    truncated: bool
    seconds: float
    as_of: datetime
    tables: tuple[str, ...]


def result(
    sql: str,
    head: Mapping[str, Any],
    rows: Sequence[Sequence[Any]],
    truncated: bool,
    seconds: float,
    as_of: datetime,
    read: Sequence[Table],
) -> Result:
    """Rows as the child sends them (see worker.cell) as a frame."""
    names = _distinct(head["names"])
    columns = tuple(ResultColumn(*one) for one in zip(names, head["types"], head["kinds"], strict=True))
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    frame = pd.DataFrame(
        {column.name: _series(cells, column.kind) for column, cells in zip(columns, values, strict=True)}
    )
    return Result(sql, columns, frame, truncated, seconds, as_of, tuple(table.name for table in read))


def _series(cells: Sequence[Any], kind: str) -> pd.Series:
    match kind:
        case "integer":
            return pd.Series(pd.array(cells, dtype="Int64"))
        case "number":
            return pd.Series(np.array([np.nan if one is None else one for one in cells], dtype="float64"))
        case "boolean":
            return pd.Series(pd.array(cells, dtype="boolean"))
        case "time":
            least = np.iinfo("int64").min  # NaT
            stamps = np.array([least if one is None else one for one in cells], dtype="int64").view("datetime64[us]")
            return pd.Series(stamps).dt.tz_localize("UTC")
    return pd.Series(list(cells), dtype="str")


def _distinct(names: Sequence[str]) -> list[str]:
    """A frame's columns are told apart by name; those of a query need not be."""
    made: list[str] = []
    for name in names:
        known, number = name, 2
        while known in made:
            known, number = f"{name}_{number}", number + 1
        made.append(known)
    return made


def write(found: Result, format_: Format) -> bytes:
    """The rows as a file. In CSV, texts and column names no spreadsheet runs."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    frame = found.frame
    if format_ is Format.CSV:
        texts = {column.name: frame[column.name].map(neutral, na_action="ignore") for column in _of(found, "text")}
        times = {
            column.name: frame[column.name].dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str[:-3] + "Z"
            for column in _of(found, "time")
        }
        frame = frame.assign(**texts, **times).rename(columns=neutral)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    out = io.BytesIO()
    if format_ is Format.CSV:
        csv.write_csv(table, out)
    else:
        parquet.write_table(table, out, compression="zstd")
    return out.getvalue()


def _of(found: Result, kind: str) -> list[ResultColumn]:
    return [column for column in found.columns if column.kind == kind]


# --- errors --------------------------------------------------------------------------------------


def refused(sql: str, message: str, position: int | None, hint: str) -> SqlError:
    """An error with its place. position: byte in the text, as DuckDB counts."""
    if position is None:
        return SqlError(message, hint=hint)
    before = sql.encode("utf-8", "replace")[:position].decode("utf-8", "ignore")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return SqlError(message, line=line, column=column, hint=hint)


def out_of_memory(memory_mb: int) -> SqlLimit:
    return SqlLimit(
        f"The query took more memory than one may ({memory_mb} MB) and was ended. Narrow it by time, metric or host, "
        "select fewer columns, or let approx_quantile and approx_count_distinct stand for the exact ones."
    )


def error_of(sql: str, event: Mapping[str, Any], read: Sequence[Table], memory_mb: int) -> AppError:
    """What the child answered in place of rows, for a person."""
    if event["event"] == "refused":
        return refused(sql, event["message"], event["position"], event["hint"])
    if event["event"] == "memory":
        return out_of_memory(memory_mb)
    text = str(event.get("error", ""))
    try:
        told = json.loads(text[text.index("{") :])
    except ValueError:
        told = {"exception_type": "INTERNAL"}
    if told.get("exception_type") in _HUSHED or ".parquet" in text:
        return SqlError("DuckDB could not run this query; run it again, or put it another way.")
    if told.get("exception_type") == "Out of Memory":
        return out_of_memory(memory_mb)
    position = str(told.get("position", ""))
    place = int(position) if position.isdigit() else None
    message, hint = str(told.get("exception_message", "")).split("\n")[0].strip(), _hint(told, read)
    if message and message[-1] not in ".!?":
        message += "."
    if told.get("error_subtype") == "COLUMN_NOT_FOUND":
        message = f"There is no column {told.get('name')!r} in what is read."
        if place is not None and sql.encode("utf-8", "replace")[place : place + 1] == b'"':
            hint = f"{hint} Texts take single quotes.".strip()
    return refused(sql, message, place, hint)


def _hint(told: Mapping[str, Any], read: Sequence[Table]) -> str:
    """The name that was most likely meant."""
    subtype, name = told.get("error_subtype"), str(told.get("name", ""))
    message = str(told.get("exception_message", ""))
    if subtype == "COLUMN_NOT_FOUND":
        offered = [one.strip() for one in str(told.get("candidates", "")).split(",") if one.strip()]
        columns = [column.name for table in read for column in table.columns]
        close = difflib.get_close_matches(name.lower(), dict.fromkeys([*columns, *offered]), 1, 0.6)
        if close:
            return f"Did you mean {close[0]}?"
        if columns:
            return "There are " + ", ".join(dict.fromkeys(columns)) + "."
    meant = re.search(r"Did you mean \"?([^\"?\n]+)", message)
    return f"Did you mean {meant[1]}?" if meant else ""
