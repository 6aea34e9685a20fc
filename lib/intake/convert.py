"""Rows of a file as samples of series, batch by batch: what cannot be one is told with its row, column and value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lib.errors import Invalid
from lib.frames import AHEAD_S
from lib.intake import numbers
from lib.intake.mapping import LONGEST_LABEL, MOST_SERIES, Role, RowError, TimeFormat, metric_name
from lib.intake.mapping import Mapping as Chosen
from lib.intake.moments import NO_TIME, Moments

FUTURE, BEFORE_1970 = "lies in the future", "lies before 1970"
NO_METRIC, NO_LABELS, LONG_LABEL = (
    "names no metric",
    "is no list of labels",
    f"is longer than {LONGEST_LABEL:,} characters",
)
CANNOT_BE_READ = "cannot be read as a sample"
# Rows with an error that are listed one by one; all of them are counted.
MOST_LISTED = 100_000
MOST_REASONS = 50
EXACT_INTEGERS = 2**53
Labels = Mapping[str, str]
# A line of the text format as (name, labels, value, milliseconds or None). Raises ValueError.
Parse = Callable[[str, bool], tuple[str, dict[str, str], float, int | None]]


@dataclass(frozen=True)
class Batch:
    """Some rows. lines: where each lies in the file, shape (n,). columns: text cells, or a masked array of a type.
    local: positions of columns whose datetimes have no zone."""

    lines: np.ndarray
    columns: Sequence[Sequence[str] | np.ma.MaskedArray]
    local: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Samples:
    """Four columns of one length, in the order of the file: number of the series, milliseconds, value, line."""

    series: np.ndarray
    ts_ms: np.ndarray
    value: np.ndarray
    line: np.ndarray


@dataclass
class Counts:
    """What became of the cells that became no sample, and of some that did.

    missing: empty ones. expired: older than samples are kept. ambiguous: in the hour that comes twice. inexact:
    integers beyond what a double holds exactly.
    """

    samples: int = 0
    bad: int = 0
    missing: int = 0
    expired: int = 0
    ambiguous: int = 0
    inexact: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class Converter:
    """Holds the series found so far. now_ms: what lies after it is in the future. oldest_ms: what lies before it is
    not kept."""

    def __init__(self, mapping: Chosen, now_ms: int, oldest_ms: int = 0, parse: Parse | None = None) -> None:
        self.mapping, self.parse = mapping, parse
        self.until_ms, self.oldest_ms = now_ms + int(AHEAD_S * 1000), oldest_ms
        self.moments = Moments(mapping.time_format, mapping.zone)
        self.series: list[tuple[str, Labels]] = []
        self.errors: list[RowError] = []
        self.counts = Counts()
        self._ids: dict[tuple[str, frozenset[tuple[str, str]]], int] = {}
        self._groups: dict[tuple[str, ...], int] = {}
        # For each group of equal labels the number of the series of each value column, or why it is none.
        self._group_ids: list[list[int]] = []
        self._group_wrong: list[tuple[int, str, str] | None] = []
        self._heads: dict[str, int] = {}
        self._time = mapping.of(Role.TIME)
        self._values, self._labels = mapping.of(Role.VALUE), mapping.of(Role.LABEL)
        self._metric, self._texts = mapping.of(Role.METRIC), mapping.of(Role.LABELS)

    # --- tables -----------------------------------------------------------------------------------

    def add(self, batch: Batch) -> Samples:
        """The samples of some rows of a table. Raises Invalid beyond the cap on series."""
        n = batch.lines.size
        at = self._time[0]
        cells = batch.columns[at]
        if at in batch.local and isinstance(cells, np.ma.MaskedArray):
            ts, wrong = self.moments.local(cells)
        else:
            ts, wrong = self.moments.read(cells)
        self.counts.ambiguous = self.moments.ambiguous
        usable, expired = self._in_time(ts, wrong, lambda i: (int(batch.lines[i]), self._name(at), _cell(cells, i)), n)
        codes = self._codes(batch, n)
        if codes is not None:
            broken = np.array([one is not None for one in self._group_wrong])[codes]
            for i in np.flatnonzero(broken & usable).tolist():
                column, value, reason = self._group_wrong[codes[i]] or (0, "", "")
                self.bad(RowError(int(batch.lines[i]), self._name(column), value, reason))
            usable &= ~broken
        parts = []
        for order, position in enumerate(self._values):
            column = batch.columns[position]
            values, there, odd = numbers.read(column, self.mapping.decimal)
            for i, reason in odd.items():
                if usable[i]:
                    self.bad(RowError(int(batch.lines[i]), self._name(position), _cell(column, i), reason))
            if isinstance(column, np.ma.MaskedArray) and column.dtype.kind in "iu" and there.any():
                self.counts.inexact += int((np.abs(column.data[there].astype(np.float64)) > EXACT_INTEGERS).sum())
            said = np.ones(n, dtype=bool)
            said[list(odd)] = False
            self.counts.missing += int((usable & said & ~there).sum())
            self.counts.expired += int((expired & there).sum())
            kept = usable & there
            if codes is None:
                ids = np.full(n, self._group_ids[0][order], np.int32)
            else:
                ids = np.array([row[order] for row in self._group_ids], np.int32)[codes]
            parts.append(Samples(ids[kept], ts[kept], values[kept], batch.lines[kept]))
        found = Samples(
            np.concatenate([one.series for one in parts]),
            np.concatenate([one.ts_ms for one in parts]),
            np.concatenate([one.value for one in parts]),
            np.concatenate([one.line for one in parts]),
        )
        self.counts.samples += found.ts_ms.size
        return found

    def _codes(self, batch: Batch, n: int) -> np.ndarray | None:
        """The number of each row's group; None where all rows are of one."""
        by = [*self._metric, *self._texts, *self._labels]
        if not by:
            if not self._groups:
                self._group((), by)
            return None
        columns = [_texts(batch.columns[position]) for position in by]
        groups, codes = self._groups, np.empty(n, np.int64)
        for i, key in enumerate(zip(*columns, strict=True)):
            code = groups.get(key)
            codes[i] = self._group(key, by) if code is None else code
        return codes

    def _group(self, key: tuple[str, ...], by: list[int]) -> int:
        """A number for a new combination of labels, and its series."""
        code = self._groups[key] = len(self._groups)
        if code > MOST_SERIES:
            raise self._too_many(by)
        cells = dict(zip(by, key, strict=True))
        labels, metric = dict(self.mapping.labels), ""
        wrong: tuple[int, str, str] | None = None
        for position in self._texts:
            told = self._labels_of(cells[position])
            if told is None:
                wrong = position, cells[position], NO_LABELS
            else:
                labels |= told
        for position in self._labels:
            if cells[position].strip():
                labels[self.mapping.columns[position].becomes] = cells[position].strip()
        for position in self._metric:
            text = cells[position].strip()
            named, told = self._series_of(text)
            metric = metric_name(named)
            labels |= told
            if not metric:
                wrong = position, text, NO_METRIC
        for position in by:
            # A cell that holds all labels is as long as they are together; each of them is held to the cap.
            text = "" if position in self._texts else cells[position]
            if len(text) > LONGEST_LABEL:
                wrong = position, text, LONG_LABEL
        if wrong is None and any(len(value) > LONGEST_LABEL for value in labels.values()):
            wrong = by[0], cells[by[0]], LONG_LABEL
        names = [metric] if self._metric else [self.mapping.columns[position].becomes for position in self._values]
        self._group_wrong.append(wrong)
        self._group_ids.append([0] * len(names) if wrong else [self._id(name, labels, by) for name in names])
        return code

    def _series_of(self, text: str) -> tuple[str, dict[str, str]]:
        """`node_load1{host="a"}` as a metric and its labels."""
        if self.parse is not None and text.endswith("}") and "{" in text:
            try:
                name, labels, _, _ = self.parse(f"{text} 0", True)
            except (ValueError, OverflowError):
                return text, {}
            return name, labels
        return text, {}

    def _labels_of(self, text: str) -> dict[str, str] | None:
        text = text.strip()
        if not text or text == "{}":
            return {}
        inside = text if text.startswith("{") else f"{{{text}}}"
        try:
            return self.parse(f"m{inside} 0", True)[1] if self.parse is not None else None
        except (ValueError, OverflowError):
            return None

    def _id(self, metric: str, labels: Labels, by: list[int]) -> int:
        kept = {name: value for name, value in labels.items() if value and name != "__name__"}
        key = metric, frozenset(kept.items())
        found = self._ids.get(key)
        if found is None:
            if len(self.series) >= MOST_SERIES:
                raise self._too_many(by)
            found = self._ids[key] = len(self.series)
            self.series.append((metric, kept))
        return found

    def _too_many(self, by: list[int]) -> Invalid:
        words = f"The file has more than the {MOST_SERIES:,} series one import may bring. "
        if not by:
            return Invalid(words + "Import it in parts.")
        distinct = [len({key[i] for key in self._groups}) for i in range(len(by))]
        most = max(range(len(by)), key=lambda i: distinct[i])
        column = self._name(by[most])
        return Invalid(
            words + f"The column {column[:60]!r} alone has {distinct[most]:,} different values or more: leave it out "
            "if it does not say where a value was measured, or import the file in parts."
        )

    # --- Prometheus' text format, OpenMetrics -----------------------------------------------------

    def add_lines(self, lines: Iterable[tuple[int, str]]) -> Samples:
        """The samples of some lines; comments and empty ones are left out. Raises Invalid beyond the cap on series."""
        assert self.parse is not None
        seconds = self.mapping.time_format is TimeFormat.SECONDS
        ids: list[int] = []
        times: list[int] = []
        values: list[float] = []
        places: list[int] = []
        for number, raw in lines:
            line = raw.strip(" \t\r\n")
            if not line or line.startswith("#"):
                continue
            try:
                series_id, value, ts = self._line(line, seconds)
            except (ValueError, OverflowError) as error:
                self.bad(RowError(number, "", line, f"{CANNOT_BE_READ}: {_why(error)}"))
                continue
            if ts is None:
                self.bad(RowError(number, "", line, NO_TIME))
                continue
            ids.append(series_id)
            times.append(max(-1, min(ts, 2**62)))
            values.append(value)
            places.append(number)
        ts_ms, line_of = np.array(times, np.int64), np.array(places, np.int64)
        usable, expired = self._in_time(ts_ms, {}, lambda i: (places[i], "time", str(times[i])), ts_ms.size)
        self.counts.expired += int(expired.sum())
        found = Samples(np.array(ids, np.int32)[usable], ts_ms[usable], np.array(values)[usable], line_of[usable])
        self.counts.samples += found.ts_ms.size
        return found

    def _line(self, line: str, seconds: bool) -> tuple[int, float, int | None]:
        # Most lines are of a series that was seen: only what follows its labels is read.
        head, brace, tail = line.rpartition("}") if "{" in line else line.partition(" ")
        known = self._heads.get(head + brace) if " # " not in line and "_" not in tail else None
        words = tail.split()
        if known is not None and len(words) == 2:
            ts = round(float(words[1]) * 1000) if seconds else int(words[1])
            return known, float(words[0]), ts
        assert self.parse is not None
        name, labels, value, moment = self.parse(line, seconds)
        if any(len(one) > LONGEST_LABEL for one in labels.values()):
            raise ValueError("a label is too long")
        series_id = self._id(name, {**self.mapping.labels, **labels}, [])
        if " # " not in line:
            self._heads[head + brace] = series_id
        return series_id, value, moment

    # --- both -------------------------------------------------------------------------------------

    def bad(self, error: RowError) -> None:
        """Count a row that gives no sample, and list it while there is room."""
        counts = self.counts
        counts.bad += 1
        reason = (
            error.reason if error.reason in counts.reasons or len(counts.reasons) < MOST_REASONS else "other reasons"
        )
        counts.reasons[reason] += 1
        if len(self.errors) < MOST_LISTED:
            self.errors.append(RowError(error.row, error.column, error.value[:200], error.reason))

    def _in_time(
        self, ts: np.ndarray, wrong: Mapping[int, str], where: Callable[[int], tuple[int, str, str]], n: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows whose moment is fine, and rows that are older than samples are kept; the others are told."""
        usable = np.ones(n, dtype=bool)
        usable[list(wrong)] = False
        told = dict(wrong)
        told |= dict.fromkeys(np.flatnonzero(usable & (ts > self.until_ms)).tolist(), FUTURE)
        told |= dict.fromkeys(np.flatnonzero(usable & (ts < 0)).tolist(), BEFORE_1970)
        for i in sorted(told):
            self.bad(RowError(*where(i), told[i]))
        usable[list(told)] = False
        expired = usable & (ts < self.oldest_ms)
        return usable & ~expired, expired

    def _name(self, position: int) -> str:
        return self.mapping.columns[position].source


def _texts(column: Sequence[str] | np.ma.MaskedArray) -> Sequence[str]:
    if not isinstance(column, np.ma.MaskedArray):
        return column
    return [
        "" if missing else str(value)
        for value, missing in zip(column.data.tolist(), np.ma.getmaskarray(column), strict=True)
    ]


def _cell(column: Sequence[str] | np.ma.MaskedArray, i: int) -> str:
    if isinstance(column, np.ma.MaskedArray):
        return "" if np.ma.getmaskarray(column)[i] else str(column.data[i])
    return column[i]


def _why(error: Exception) -> str:
    """Our parser's own words; Python's would name the value, and each line would be a reason of its own."""
    words = str(error)
    return (
        "a number is malformed"
        if words.startswith(("invalid literal", "could not convert", "cannot convert"))
        else words
    )
