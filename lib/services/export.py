"""Samples as files for other programs: CSV that cannot run formulas, and Parquet."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from enum import StrEnum

import pandas as pd

from lib.frames import Series

# Spreadsheets run a cell that begins with one of these; the full-width forms count as well (OWASP, CSV injection).
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "＝", "＋", "－", "＠")  # noqa: RUF001

# Prometheus 3 takes any label name; one that is no word is written in quotes.
_PLAIN_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Format(StrEnum):
    """What samples can be downloaded as."""

    CSV = "csv"
    PARQUET = "parquet"


def neutral(text: str) -> str:
    """A text cell no spreadsheet runs: an apostrophe goes before anything that could begin a formula."""
    return f"'{text}" if text.startswith(_DANGEROUS) or text.lstrip().startswith(_DANGEROUS) else text


def labels_of(series: Series) -> str:
    """All of a series' labels as Prometheus' text format writes them, `{host="a",job="node"}`, which Import reads back:
    what is on screen leaves some out and escapes nothing."""
    inside = ",".join(f'{_name(name)}="{_escaped(value)}"' for name, value in sorted(series.labels.items()))
    return f"{{{inside}}}" if inside else ""


def _name(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else f'"{_escaped(name)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def write(frame: pd.DataFrame, series: Sequence[Series], format_: Format) -> bytes:
    """frame: series_id, ts, value as stored (counters are not turned into rates). Adds metric, host and labels."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    names = pd.DataFrame(
        {
            "series_id": pd.Series([one.id for one in series], dtype=frame["series_id"].dtype),
            "metric": pd.Series([one.metric for one in series], dtype="str"),
            "host": pd.Series([one.host for one in series], dtype="str"),
            "labels": pd.Series([labels_of(one) for one in series], dtype="str"),
        }
    )
    if format_ is Format.CSV:
        for column in ("metric", "host", "labels"):
            names[column] = names[column].map(neutral)
        frame = frame.assign(ts=frame["ts"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str[:-3] + "Z")
    joined = frame.merge(names, on="series_id", how="left")[["ts", "metric", "host", "labels", "value", "series_id"]]
    table = pa.Table.from_pandas(joined, preserve_index=False)
    # pandas reads NaN as missing; a stored NaN is a value and stays one.
    values = pa.array(joined["value"].to_numpy(dtype="float64"), from_pandas=False)
    table = table.set_column(table.schema.get_field_index("value"), "value", values)
    out = io.BytesIO()
    if format_ is Format.CSV:
        csv.write_csv(table, out)
    else:
        parquet.write_table(table, out, compression="zstd")
    return out.getvalue()
