"""What the first rows of a file suggest: how it is read, which column says when, which ones carry values."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence

from lib.errors import Invalid
from lib.intake import numbers
from lib.intake.mapping import Column, Mapping, Reading, Role, TimeFormat, label_name, metric_name
from lib.intake.moments import Moments

DELIMITERS = (",", ";", "\t", "|")
_TIME_NAMES = re.compile(
    r"^(_?time|ts|timestamp|date|datetime|zeit|datum|zeitpunkt|moment|epoch|when|at)\b|time|date", re.I
)
_METRIC_NAMES = re.compile(r"^(__name__|metric|metric_?name|name|measurement|counter|series|key|_field|item)$", re.I)
_VALUE_NAMES = re.compile(r"^(value|val|_value|wert|reading|sample|measure)s?$", re.I)
_LABELS_NAMES = re.compile(r"^(labels?|tags?|dimensions)$", re.I)
_IDS = re.compile(r"^(id|series_?id|row|index|nr|no|#|unnamed: 0|)$", re.I)
_SAMPLE = re.compile(r"[a-zA-Z_:][\w:.]*(\{.*\})?\s+[+-]?[0-9.infa]\S*(\s+-?[0-9.]+)?(\s+#.*)?", re.I)
_TIMED = re.compile(r"[a-zA-Z_:][\w:.]*\s*(?>\{.*\})?\s*[^\s{]\S*\s+(-?\d+(?:\.\d*)?)")
_SECONDS = re.compile(r"-?\d{1,11}(\.\d*)?")
# Of the first rows, so many must agree.
_MOST = 0.8
_LEAST = 0.05


def is_exposition(lines: Sequence[str]) -> bool:
    """Whether lines look like Prometheus' text format: a name, labels, a value, perhaps a time."""
    said = [line.strip() for line in lines if line.strip()]
    if not said:
        return False
    if any(line.startswith(("# HELP ", "# TYPE ", "# UNIT ", "# EOF")) for line in said):
        return True
    samples = [line for line in said if not line.startswith("#")]
    return bool(samples) and sum(bool(_SAMPLE.fullmatch(line)) for line in samples) >= _MOST * len(samples)


def lines_mapping(lines: Sequence[str], openmetrics: bool) -> Mapping:
    """For the text format: whether its times are seconds or milliseconds."""
    times = [found[1] for line in lines if (found := _timed(line))]
    short = sum(bool(_SECONDS.fullmatch(one)) for one in times)
    seconds = openmetrics or (bool(times) and short > len(times) / 2)
    return Mapping(time_format=TimeFormat.SECONDS if seconds else TimeFormat.MILLISECONDS)


def without_times(lines: Sequence[str]) -> bool:
    """Whether samples of the text format have no times, as on the page of an exporter."""
    samples = [line for line in lines if line.strip() and not line.startswith("#")]
    return bool(samples) and not any(_timed(line) for line in samples)


def _timed(line: str) -> re.Match[str] | None:
    """A sample with its time; None for one without, a comment, or what is neither."""
    return None if line.startswith("#") else _TIMED.fullmatch(line.split(" # ")[0].strip())


def delimiter_of(lines: Sequence[str]) -> str:
    """The sign that splits the most rows into the same number of fields; a comma when none does."""
    best, found = (0.0, 0), ","
    for sign in DELIMITERS:
        widths = _widths(lines, sign)
        if not widths:
            continue
        width, count = Counter(widths).most_common(1)[0]
        score = (count / len(widths), width)
        if width > 1 and score > best:
            best, found = score, sign
    return found


def _widths(lines: Sequence[str], sign: str) -> list[int]:
    """The number of fields of each row that can be taken apart."""
    reader = csv.reader(lines, delimiter=sign)
    widths: list[int] = []
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return widths
        except csv.Error:  # a quote that is not closed
            continue
        if row:
            widths.append(len(row))


def reading_of(rows: Sequence[Sequence[str]], encoding: str, delimiter: str) -> tuple[Reading, list[str]]:
    """Where the names are and where the data begins, and what about that is worth saying. rows: the file's first
    ones, empty ones as empty lists."""
    notes: list[str] = []
    widths = Counter(len(row) for row in rows if row)
    if not widths:
        raise Invalid("The file has no rows; check the export that made it.")
    width = max(widths, key=lambda one: (widths[one], one))
    like_data = [_numeric(row) if len(row) == width else 0 for row in rows]
    most = max(like_data)
    first = next((i for i, count in enumerate(like_data) if count and count >= most / 2), None)
    if first is None:  # nothing is a number: the first full row is taken for the names
        first = next(i for i, row in enumerate(rows) if len(row) == width) + 1
    above = [i for i in range(first) if len(rows[i]) == width and any(cell.strip() for cell in rows[i])]
    header = above[0] + 1 if above else 0
    if header > 1 and any(rows[i] for i in range(header - 1)):
        notes.append(f"What lies above row {header} looked like a title and was left out.")
    if len(above) > 1:
        notes.append(
            f"Row {above[1] + 1} looked like a second header (units, say) and was left out; the names are those of row "
            f"{header}."
        )
    if not header:
        notes.append("No row of names was found; the columns are numbered.")
    return Reading(encoding, delimiter, header, first + 1), notes


def names_of(row: Sequence[str], width: int) -> list[str]:
    """A name for each column, none twice."""
    names: list[str] = []
    seen: Counter[str] = Counter()
    for position in range(width):
        name = " ".join(row[position].split())[:200] if position < len(row) else ""
        name = name or f"column {position + 1}"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def decimal_of(columns: Sequence[Sequence[str]], delimiter: str) -> str:
    """A comma where numbers are written with one."""
    if delimiter == ",":
        return "."
    cells = [cell.strip() for column in columns for cell in column]
    comma = sum(bool(re.fullmatch(r"[+-]?\d+,\d+|[+-]?\d{1,3}(\.\d{3})+,\d+", cell)) for cell in cells)
    point = sum(bool(re.fullmatch(r"[+-]?\d+\.\d+", cell)) for cell in cells)
    return "," if comma > point else "."


def mapping_of(
    names: Sequence[str], columns: Sequence[Sequence[str]], delimiter: str, typed_times: Sequence[int] = ()
) -> Mapping:
    """The likeliest meaning. columns: the first rows' cells of each column. typed_times: positions of columns that are
    moments by their type."""
    decimal = decimal_of(columns, delimiter)
    at, format_ = _time(names, columns, typed_times)
    numeric = {i for i, cells in enumerate(columns) if i != at and _share_of_numbers(cells, decimal) >= 0.5}
    # A remark here and there tells no series apart.
    empty = {i for i, cells in enumerate(columns) if sum(bool(cell.strip()) for cell in cells) < _LEAST * len(cells)}
    empty |= {i for i, cells in enumerate(columns) if not any(cell.strip() for cell in cells)}
    roles = dict.fromkeys(range(len(names)), Role.SKIP)
    if at is not None:
        roles[at] = Role.TIME
    named = [i for i, name in enumerate(names) if _METRIC_NAMES.match(name) and i not in numeric | empty and i != at]
    wanted = [i for i in sorted(numeric) if _VALUE_NAMES.match(names[i])]
    for i in range(len(names)):
        if i == at or i in empty:
            continue
        if i in numeric:
            roles[i] = Role.SKIP if _IDS.match(names[i]) else Role.VALUE
        elif _LABELS_NAMES.match(names[i]) and any("=" in cell for cell in columns[i]):
            roles[i] = Role.LABELS
        else:
            roles[i] = Role.LABEL
    if named and (wanted or sum(role is Role.VALUE for role in roles.values()) == 1):
        roles[named[0]] = Role.METRIC
        keep = wanted[:1] or [i for i in sorted(numeric) if roles[i] is Role.VALUE][:1]
        for i in numeric - set(keep):
            roles[i] = Role.SKIP
        if Role.LABELS in roles.values():  # what those say of the host is said there
            roles |= {i: Role.SKIP for i, name in enumerate(names) if roles[i] is Role.LABEL and name.lower() == "host"}
    taken: dict[Role, set[str]] = {Role.VALUE: set(), Role.LABEL: set()}
    made = []
    for i, name in enumerate(names):
        role = roles[i]
        becomes = label_name(name) if role is Role.LABEL else metric_name(name)
        becomes = _free(becomes or f"column_{i + 1}", taken[Role.LABEL if role is Role.LABEL else Role.VALUE], role)
        made.append(Column(name, role, becomes))
    return Mapping(tuple(made), format_, decimal=decimal)


def _free(name: str, taken: set[str], role: Role) -> str:
    if role not in (Role.VALUE, Role.LABEL):
        return name
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    taken.add(found)
    return found


def _time(
    names: Sequence[str], columns: Sequence[Sequence[str]], typed: Sequence[int]
) -> tuple[int | None, TimeFormat]:
    """The column whose cells are all moments; of several the one that is named so, or the first."""
    if typed:
        return max(typed, key=lambda i: bool(_TIME_NAMES.search(names[i]))), TimeFormat.ISO
    found: list[tuple[bool, int, TimeFormat]] = []
    for i, cells in enumerate(columns):
        said = [cell.strip() for cell in cells if cell.strip()]
        for format_ in _formats(said) if said else ():
            _, wrong = Moments(format_, "UTC").read(said)
            if len(wrong) <= (1 - _MOST) * len(said):
                found.append((bool(_TIME_NAMES.search(names[i])), i, format_))
                break
    # A bare number is a time only when it is called one, or lies in this century.
    found = [one for one in found if one[0] or one[2] is TimeFormat.ISO or _this_century(columns[one[1]], one[2])]
    if not found:
        return None, TimeFormat.ISO
    best = max(found, key=lambda one: (one[0], -one[1]))
    return best[1], best[2]


def _formats(cells: Sequence[str]) -> list[TimeFormat]:
    sizes = sorted(abs(value) for cell in cells if isinstance(value := numbers.one(cell), float) and value == value)
    if len(sizes) >= _MOST * len(cells):
        middle = sizes[len(sizes) // 2]
        if re.fullmatch(r"(19|20)\d{6}", cells[0]):
            return [TimeFormat.ISO]
        by_size = [(1e11, TimeFormat.SECONDS), (1e14, TimeFormat.MILLISECONDS), (1e17, TimeFormat.MICROSECONDS)]
        return [next((one for limit, one in by_size if middle < limit), TimeFormat.NANOSECONDS)]
    # 03/14/2026 can only be American; 14/03/2026 cannot be. Where nothing tells, the day comes first.
    return [TimeFormat.ISO, TimeFormat.DAY_FIRST, TimeFormat.MONTH_FIRST]


def _this_century(cells: Sequence[str], format_: TimeFormat) -> bool:
    if format_ in (TimeFormat.DAY_FIRST, TimeFormat.MONTH_FIRST):
        return True
    ts, wrong = Moments(format_, "UTC").read([cell for cell in cells if cell.strip()])
    return not wrong and bool(((ts > 946_684_800_000) & (ts < 4_102_444_800_000)).all())


def _share_of_numbers(cells: Sequence[str], decimal: str) -> float:
    said = [cell.strip() for cell in cells if cell.strip().lower() not in numbers.MISSING]
    return sum(isinstance(numbers.one(cell, decimal), float) for cell in said) / len(said) if said else 0.0


def _numeric(row: Sequence[str]) -> int:
    """How many cells of a row are numbers or moments."""
    said = [cell.strip() for cell in row if cell.strip()]
    written = (TimeFormat.ISO, TimeFormat.DAY_FIRST, TimeFormat.MONTH_FIRST)
    return sum(
        any(isinstance(numbers.one(cell, decimal), float) for decimal in ".,")
        or any(not Moments(one, "UTC").read([cell])[1] for one in written)
        for cell in said
    )


def is_openmetrics(name: str, lines: Sequence[str]) -> bool:
    """Whether a file claims to be OpenMetrics, whose times are seconds and which has an end."""
    stem = name.lower().removesuffix(".gz")
    return stem.endswith((".om", ".openmetrics")) or any(
        line.strip() == "# EOF" or line.startswith("# UNIT ") for line in lines
    )
