"""What a file's columns mean as series: who says when, who carries values, who tells series apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping as Pairs
from dataclasses import dataclass, field
from enum import StrEnum
from zoneinfo import ZoneInfo

from lib.errors import Invalid

MOST_SERIES = 50_000
MOST_COLUMNS = 2_000
LONGEST_LABEL = 2_000
_METRIC, _LABEL = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*"), re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_WORDS = {"%": " percent ", "°": " deg ", "µ": "u", "μ": "u"}
_PAIR = re.compile(r'\s*([^=\s"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",]*))\s*(?:,|$)')


class Kind(StrEnum):
    """What a file is."""

    TABLE = "table"  # rows and columns: CSV, TSV
    PARQUET = "parquet"  # rows and columns that know their types
    OPENMETRICS = "openmetrics"  # Prometheus' text format or OpenMetrics: a line a sample


class Role(StrEnum):
    """What a column is for."""

    TIME = "time"
    VALUE = "value"  # numbers; the column's name, or the metric column, names the series
    METRIC = "metric"  # names the metric of its row's value
    LABEL = "label"
    LABELS = "labels"  # several labels as text: {host="a", disk="b"}
    SKIP = "leave out"


class TimeFormat(StrEnum):
    """How moments are written."""

    SECONDS = "s"  # since 1970
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"
    ISO = "iso"  # 2026-03-14 12:00:00, with or without an offset
    DAY_FIRST = "dmy"  # 14.03.2026 12:00
    MONTH_FIRST = "mdy"  # 03/14/2026 12:00 PM


class BadRows(StrEnum):
    """What becomes of a file with rows that cannot be read."""

    SKIP = "skip"  # they are left out, the rest is imported
    REFUSE = "refuse"  # nothing is imported


@dataclass(frozen=True)
class Reading:
    """How text becomes rows. delimiter: empty for what has none. header: row of the names, from 1; 0: there is none.
    first: the first row of data."""

    encoding: str = "utf-8"
    delimiter: str = ","
    header: int = 1
    first: int = 2


@dataclass(frozen=True)
class Column:
    """source: its name in the file. becomes: the metric (of a value) or the label it turns into."""

    source: str
    role: Role = Role.SKIP
    becomes: str = ""


@dataclass(frozen=True)
class Mapping:
    """columns: all of the file's, in its order; empty for OpenMetrics. zone: of moments that do not name theirs.
    labels: given to every series."""

    columns: tuple[Column, ...] = ()
    time_format: TimeFormat = TimeFormat.ISO
    zone: str = "UTC"
    decimal: str = "."
    labels: dict[str, str] = field(default_factory=dict)
    bad_rows: BadRows = BadRows.SKIP

    def of(self, role: Role) -> list[int]:
        """Positions of the columns with a role."""
        return [position for position, column in enumerate(self.columns) if column.role is role]


@dataclass(frozen=True)
class RowError:
    """row: line of the file, from 1 (of Parquet: row). column: empty for the row as a whole."""

    row: int
    column: str
    value: str
    reason: str


def check(mapping: Mapping, kind: Kind) -> None:
    """Raises Invalid for what cannot be imported, with what to choose instead."""
    zone_of(mapping.zone)
    for name, value in mapping.labels.items():
        if not _LABEL.fullmatch(name) or name == "__name__":
            raise Invalid(f"“{name[:60]}” cannot name a label; use letters, digits and _, not starting with a digit.")
        if len(value) > LONGEST_LABEL:
            raise Invalid(f"The label {name[:60]} is longer than {LONGEST_LABEL:,} characters.")
    if mapping.decimal not in (".", ","):
        raise Invalid(f"Decimals are written with . or , and not with {mapping.decimal[:5]!r}.")
    if kind is Kind.OPENMETRICS:
        if mapping.time_format not in (TimeFormat.SECONDS, TimeFormat.MILLISECONDS):
            raise Invalid("Times in this format are seconds (OpenMetrics) or milliseconds (Prometheus' text format).")
        return
    times, values, metrics = mapping.of(Role.TIME), mapping.of(Role.VALUE), mapping.of(Role.METRIC)
    if len(times) != 1:
        raise Invalid(f"One column says when; {len(times)} are chosen. Give exactly one column the role time.")
    if not values:
        raise Invalid("No column carries values; give at least one the role value.")
    if len(metrics) > 1 or len(mapping.of(Role.LABELS)) > 1:
        raise Invalid("Only one column can name the metric, and one hold labels as text.")
    if metrics and len(values) > 1:
        raise Invalid("Where a column names the metric, one column carries the values; leave the others out.")
    named = [(position, _METRIC, "metric") for position in values if not metrics]
    named += [(position, _LABEL, "label") for position in mapping.of(Role.LABEL)]
    for position, pattern, what in named:
        column = mapping.columns[position]
        if not pattern.fullmatch(column.becomes) or column.becomes == "__name__":
            raise Invalid(
                f"“{column.becomes[:60]}” cannot name a {what} (column {column.source[:60]!r}); use letters, digits "
                "and _, not starting with a digit."
            )
    for what, role in (("metric", Role.VALUE), ("label", Role.LABEL)):
        names = Counter(
            mapping.columns[position].becomes for position in mapping.of(role) if not metrics or what != "metric"
        )
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise Invalid(f"Two columns would become the {what} {twice[0][:60]}; rename one of them.")
    both = {mapping.columns[position].becomes for position in mapping.of(Role.LABEL)} & set(mapping.labels)
    if both:
        raise Invalid(f"The label {min(both)[:60]} comes from a column and is given to all; take one of them away.")


def zone_of(name: str) -> ZoneInfo:
    """Raises Invalid for a name the time zone database does not have."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Invalid(f"There is no time zone {name[:60]!r}; use a name such as UTC or Europe/Berlin.") from None


def metric_name(text: str) -> str:
    """A metric name of any text: "CPU usage (%)" becomes CPU_usage_percent. Empty when nothing of it can be used."""
    return text if _METRIC.fullmatch(text) else _sanitised(text)


def label_name(text: str) -> str:
    """The same for the name of a label."""
    return text if _LABEL.fullmatch(text) and text != "__name__" else _sanitised(text)


def fixed_labels(text: str) -> dict[str, str]:
    """`job=node, dc="eu 1"` as labels. Raises Invalid."""
    found: dict[str, str] = {}
    at, text = 0, text.strip()
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            raise Invalid(f"Labels are written as name=value, name=value; “{text[at : at + 40]}” is not.")
        found[pair[1]] = re.sub(r"\\(.)", r"\1", pair[2]) if pair[2] is not None else (pair[3] or "").strip()
        at = pair.end()
    return {name: value for name, value in found.items() if value}


def labels_text(labels: Pairs[str, str]) -> str:
    """What `fixed_labels` reads."""
    quoted = ((name, value.replace("\\", "\\\\").replace('"', '\\"')) for name, value in labels.items())
    return ", ".join(f'{name}="{value}"' for name, value in quoted)


def _sanitised(text: str) -> str:
    for sign, word in _WORDS.items():
        text = text.replace(sign, word)
    words = re.sub(r"[^a-zA-Z0-9_]+", "_", text.strip()).strip("_")[:200]
    return f"_{words}" if words[:1].isdigit() else words
