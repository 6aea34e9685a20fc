"""What a table says of itself: a profile of each column and of the whole, ready to be written as JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from lib.profiling.profiles import Alert
from lib.profiling.relations import Relation


class Kind(StrEnum):
    """What a column holds, as far as its profile cares."""

    NUMBER = "number"
    TEXT = "text"
    MOMENT = "moment"  # a date, or a date with a time
    BOOLEAN = "boolean"
    OTHER = "other"  # lists, structures, bytes: counted, not described


_KEY = re.compile(r"(?i)(?:^|[_\W])(?:id|key|uuid|no|nr)$")
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BIGNUM")


def kind_of(type_: str) -> Kind:
    """The kind of a DuckDB type as DESCRIBE names it."""
    name = type_.upper()
    if name.endswith("]") or name.startswith(("STRUCT", "MAP", "UNION")):
        return Kind.OTHER
    if name.startswith((*_NUMBERS, *(f"U{number}" for number in _NUMBERS))):
        return Kind.NUMBER
    if name == "DATE" or name.startswith("TIMESTAMP"):
        return Kind.MOMENT
    if name == "BOOLEAN":
        return Kind.BOOLEAN
    return Kind.TEXT if name.startswith(("VARCHAR", "ENUM", "UUID")) else Kind.OTHER


@dataclass(frozen=True)
class ColumnProfile:
    """One column. Counts are exact; quantiles, histogram, `top` unless `top_exact`, and shares come from a sample.

    distinct: within a few percent (HyperLogLog), exact below the size of the sample. least, most: as text, exact.
    edges, counts: a histogram. top: value -> rows, most frequent first. lengths: shortest, mean, longest text.
    blank: texts of nothing but spaces. reads_as: what most texts would parse as ("number", "moment"), and the share
    that does. increasing: share of steps that go up, in the order of the rows. resets: steps down of what else only
    goes up. daily, weekly, trend: share of movement explained by the clock and by a line, by the table's time column.
    """

    name: str
    type: str
    kind: Kind
    count: int
    missing: int
    distinct: int
    least: str | None = None
    most: str | None = None
    mean: float | None = None
    std: float | None = None
    nan: int = 0
    infinite: int = 0
    zeros: int = 0
    negative: int = 0
    beyond_exact: bool = False
    quantiles: dict[str, float] = field(default_factory=dict)
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    top: tuple[tuple[str, int], ...] = ()
    top_exact: bool = False
    lengths: tuple[int, float, int] | None = None
    blank: int = 0
    reads_as: str = ""
    reads_share: float = 0.0
    increasing: float | None = None
    resets: int | None = None
    daily: float | None = None
    weekly: float | None = None
    trend: float | None = None

    @property
    def rows(self) -> int:
        return self.count + self.missing

    @property
    def missing_share(self) -> float:
        return self.missing / self.rows if self.rows else 0.0

    @property
    def constant(self) -> bool:
        """One value, in more than one row."""
        return self.count > 1 and self.distinct == 1

    @property
    def increasing_only(self) -> bool:
        """It goes up from row to row, resets aside: a counter, a running number, a clock."""
        return self.increasing is not None and self.increasing >= 0.95

    @property
    def identifying(self) -> bool:
        """Nearly every row has its own value, and it is no measurement: a key, not a property."""
        whole = self.type.upper().endswith(("INT", "INTEGER")) and (
            self.increasing_only or bool(_KEY.search(self.name))
        )
        key = self.kind is Kind.TEXT or (self.kind is Kind.NUMBER and whole)
        return key and self.count >= 50 and self.distinct >= 0.9 * self.count


@dataclass(frozen=True)
class TimeProfile:
    """The table's time column: how even it runs. resolution_s: gaps shorter than this were not looked for.

    gaps: the longest ones as (from, to) in ISO 8601, longest first.
    """

    column: str
    first: str
    last: str
    interval_s: float | None
    resolution_s: float
    gap_count: int
    gaps: tuple[tuple[str, str], ...]
    missing: int


@dataclass(frozen=True)
class Target:
    """What one would most likely want to predict. task: classification or regression. others: next in line."""

    column: str
    task: str
    reasons: tuple[str, ...]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rejected:
    """Lines of a text file that could not be read. examples: (line, why)."""

    count: int
    examples: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class TableProfile:
    """A whole table. duplicates: rows that repeat an earlier one; None when there were too many to compare.

    sampled: rows the shares, quantiles and relations were worked out on. left_out: columns beyond the cap.
    """

    name: str
    rows: int
    size_bytes: int
    columns: tuple[ColumnProfile, ...]
    duplicates: int | None
    sampled: int
    relations: tuple[Relation, ...] = ()
    time: TimeProfile | None = None
    rejected: Rejected = Rejected(0)
    left_out: int = 0
    target: Target | None = None
    alerts: tuple[Alert, ...] = ()
    as_of: str = ""
    took_s: float = 0.0

    @property
    def missing_share(self) -> float:
        cells = sum(column.rows for column in self.columns)
        return sum(column.missing for column in self.columns) / cells if cells else 0.0
