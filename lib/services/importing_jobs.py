"""What an import does in child processes: look at a file, turn all of it into sorted samples, hand those over."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lib.errors import Conflict, Invalid
from lib.frames import from_ms
from lib.intake import guess
from lib.intake.convert import MOST_LISTED, Converter, Samples
from lib.intake.mapping import LONGEST_LABEL, MOST_COLUMNS, Kind, Mapping, Reading, Role, RowError, TimeFormat
from lib.prometheus import exposition
from lib.services.export import neutral
from lib.store import absorb, incoming
from lib.store.absorb import Incoming
from lib.tasks.job import JobContext

LOOK, SAMPLES, SERIES, REPORT, ERRORS = "look.json", "samples.parquet", "series.json", "report.json", "errors.csv"
# Rows that are looked at to guess, and those shown for a preview.
LOOKED_AT, SHOWN, SHOWN_ERRORS, SHOWN_METRICS = 500, 60, 200, 500
PAGE = (
    "Its samples have no times: it is a page as an exporter shows it now, and no history. Connect the exporter as a "
    "metrics page under Sources; then it is collected."
)
CONTRADICTED = "is contradicted by a later row, which counts"


@dataclass(frozen=True)
class Look:
    """What a file is, as far as its first rows tell. rows: the first rows of data as text, and lines where each lies.
    claimed: rows a Parquet file says it has."""

    kind: Kind
    reading: Reading
    names: list[str]
    types: list[str]
    rows: list[list[str]]
    lines: list[int]
    mapping: Mapping
    notes: list[str] = field(default_factory=list)
    claimed: int | None = None


@dataclass(frozen=True)
class Report:
    """What an import would do. repeated, conflicts: rows of the file that say again, or otherwise, what another row
    says. known, different: samples that are stored already, and those of them with another value, which stays."""

    mapping: Mapping
    kind: Kind
    samples: int
    series: int
    first_ms: int | None
    last_ms: int | None
    metrics: list[tuple[str, int, int]]
    bad: int
    reasons: dict[str, int]
    errors: list[RowError]
    repeated: int = 0
    conflicts: int = 0
    missing: int = 0
    expired: int = 0
    ambiguous: int = 0
    inexact: int = 0
    sha256: str = ""
    source_id: int | None = None
    source_name: str = ""
    known: int = 0
    different: int = 0

    @property
    def new(self) -> int:
        return self.samples - self.known


LOOKS, REPORTS = TypeAdapter(Look), TypeAdapter(Report)
MAPPINGS, READINGS = TypeAdapter(Mapping), TypeAdapter(Reading)
SERIES_LIST = TypeAdapter(list[Incoming])


# --- look -----------------------------------------------------------------------------------------


def look(context: JobContext, *, path: str, name: str, reading: dict[str, Any] | None, **_rest: Any) -> dict[str, Any]:
    """Leaves `look.json`. reading: how the file is to be read; None to find it out. Raises Invalid for what is no
    file of samples."""
    found = _look(Path(path), name, READINGS.validate_python(reading) if reading else None)
    (context.workdir / LOOK).write_bytes(LOOKS.dump_json(found))
    return {"kind": found.kind.value, "columns": len(found.names)}


def _look(path: Path, name: str, wanted: Reading | None) -> Look:
    kind, encoding = incoming.kind_of(path)
    if kind is Kind.PARQUET:
        return _look_parquet(path)
    encoding = wanted.encoding if wanted else encoding
    lines = incoming.first_lines(path, encoding, LOOKED_AT)
    if guess.is_exposition(lines) and not wanted:
        kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
        mapping = guess.lines_mapping([line for _, line in kept], guess.is_openmetrics(name, lines))
        rows, places = [[line[: 4 * LONGEST_LABEL]] for _, line in kept[:SHOWN]], [number for number, _ in kept[:SHOWN]]
        notes = [PAGE] if guess.without_times([line for _, line in kept]) else []
        return Look(Kind.OPENMETRICS, Reading(encoding, "", 0, 1), ["line"], ["text"], rows, places, mapping, notes)
    delimiter = wanted.delimiter if wanted else guess.delimiter_of(lines)
    rows = incoming.first_rows(path, encoding, delimiter, LOOKED_AT)
    reading, notes = guess.reading_of(rows, encoding, delimiter)
    if wanted:
        reading, notes = wanted, []
    if encoding == "cp1252" and not wanted:
        notes.append("The file is not in UTF-8; it was read as Windows-1252 (Latin). Check names with accents.")
    header = rows[reading.header - 1] if 0 < reading.header <= len(rows) else []
    data = [(number, row) for number, row in enumerate(rows, 1) if number >= reading.first and row]
    width = len(header) or max((len(row) for _, row in data), default=0)
    if not width:
        raise Invalid("The file has no rows; check the export that made it.")
    if width > MOST_COLUMNS:
        raise Invalid(f"The file has {width:,} columns, more than the {MOST_COLUMNS:,} one import may bring.")
    full = [(number, row[:width]) for number, row in data if len(row) >= width]
    if not full:
        notes.append("No row of data follows the names.")
    names = guess.names_of(header, width)
    columns = [[row[i] for _, row in full] for i in range(width)]
    mapping = guess.mapping_of(names, columns, reading.delimiter)
    shown = full[:SHOWN]
    return Look(
        kind, reading, names, ["text"] * width, [_cut(row) for _, row in shown], [n for n, _ in shown], mapping, notes
    )


def _cut(row: list[str]) -> list[str]:
    """Cells as they are shown: what is longer than a label may be is an error at any length."""
    return [cell[: 4 * LONGEST_LABEL] for cell in row]


def _look_parquet(path: Path) -> Look:
    names, types, claimed = incoming.parquet_columns(path)
    shown = guess.names_of(names, len(names))
    batch = next((batch for _, batch in incoming.parquet(path, list(range(len(names))))), None)
    rows = incoming.as_text(batch, LOOKED_AT) if batch else []
    columns = [[row[i] for row in rows] for i in range(len(names))]
    moments = [i for i, kind in enumerate(types) if kind.startswith(("timestamp", "date"))]
    mapping = guess.mapping_of(shown, columns, ",", moments)
    notes = [] if rows else ["The file has no rows."]
    lines = list(range(1, min(len(rows), SHOWN) + 1))
    return Look(
        Kind.PARQUET,
        Reading("", "", 0, 1),
        shown,
        types,
        [_cut(row) for row in rows[:SHOWN]],
        lines,
        mapping,
        notes,
        claimed,
    )


# --- check ----------------------------------------------------------------------------------------


def check(
    context: JobContext,
    *,
    path: str,
    kind: str,
    reading: dict[str, Any],
    mapping: dict[str, Any],
    now_ms: int,
    oldest_ms: int,
    **_rest: Any,
) -> dict[str, Any]:
    """Leaves the samples, sorted and each once, who they are of, the report and the rows with an error."""
    chosen = MAPPINGS.validate_python(mapping)
    converter = Converter(chosen, now_ms, oldest_ms, exposition.sample)
    unsorted, scratch = context.workdir / "unsorted", context.workdir / "tmp"
    unsorted.mkdir()
    scratch.mkdir(exist_ok=True)
    absorb.write_unsorted(
        _converted(context, Path(path), Kind(kind), READINGS.validate_python(reading), converter), unsorted
    )
    target = context.workdir / SAMPLES
    found = absorb.sort(unsorted, target, scratch, lambda share: context.progress(0.7 + 0.3 * share, "Sorting"))
    series = [
        Incoming(number, converter.series[number][0], dict(converter.series[number][1]), *found.series[number])
        for number in sorted(found.series)
    ]
    (context.workdir / SERIES).write_bytes(SERIES_LIST.dump_json(series))
    metrics: dict[str, tuple[int, int]] = {}
    for one in series:
        count, samples = metrics.get(one.metric, (0, 0))
        metrics[one.metric] = count + 1, samples + one.count
    told = [*converter.errors, *_contradicted(converter, found.examples)]
    listed = sorted(told, key=lambda one: one.row)
    _write_errors(context.workdir / ERRORS, listed, converter.counts.bad)
    counts = converter.counts
    report = Report(
        mapping=chosen,
        kind=Kind(kind),
        samples=found.samples,
        series=len(series),
        first_ms=min((one.first_ms for one in series), default=None),
        last_ms=max((one.last_ms for one in series), default=None),
        metrics=[(name, *both) for name, both in sorted(metrics.items())][:SHOWN_METRICS],
        bad=counts.bad,
        reasons=dict(counts.reasons.most_common()),
        errors=listed[:SHOWN_ERRORS],
        repeated=found.repeated,
        conflicts=found.conflicts,
        missing=counts.missing,
        expired=counts.expired,
        ambiguous=counts.ambiguous,
        inexact=counts.inexact,
        sha256=_sha256(target),
    )
    (context.workdir / REPORT).write_bytes(REPORTS.dump_json(report))
    context.log(f"{found.samples:,} samples of {len(series):,} series; {counts.bad:,} rows or cells with an error")
    return {"samples": found.samples, "series": len(series), "bad": counts.bad}


def _converted(
    context: JobContext, path: Path, kind: Kind, reading: Reading, converter: Converter
) -> Iterator[Samples]:
    mapping = converter.mapping
    if kind is Kind.OPENMETRICS:
        ends = mapping.time_format is TimeFormat.SECONDS
        for share, lines in incoming.line_batches(path, reading.encoding, converter.bad, ends):
            yield converter.add_lines(lines)
            context.progress(0.7 * share, f"{converter.counts.samples:,} samples read")
        return
    if kind is Kind.PARQUET:
        used = [i for i, column in enumerate(mapping.columns) if column.role is not Role.SKIP]
        batches = incoming.parquet(path, used)
    else:
        batches = incoming.table(path, reading, len(mapping.columns), converter.bad)
    for share, batch in batches:
        yield converter.add(batch)
        context.progress(0.7 * share, f"{converter.counts.samples:,} samples read")


def _contradicted(converter: Converter, examples: list[tuple[int, int, int, int]]) -> Iterator[RowError]:
    for number, ts_ms, counts, not_counts in examples:
        metric, labels = converter.series[number]
        inside = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
        at = f"{from_ms(ts_ms).isoformat()} {metric}{{{inside}}}, row {counts}"
        yield RowError(not_counts, "", at[:200], CONTRADICTED)


def _write_errors(path: Path, errors: list[RowError], bad: int) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "column", "value", "reason"])
        for one in errors:
            writer.writerow([one.row, *(neutral(text) for text in (one.column, one.value, one.reason))])
        if bad > MOST_LISTED:
            writer.writerow(["", "", "", f"{bad - MOST_LISTED:,} more are counted and not listed"])


# --- commit ---------------------------------------------------------------------------------------


def commit(context: JobContext, *, sha256: str, **_rest: Any) -> dict[str, Any]:
    """Hands the samples over to the app, if they are still what was checked."""
    path = context.workdir / SAMPLES
    context.progress(0.1, "Looking whether the samples are what was checked")
    if _sha256(path) != sha256:
        raise Conflict("The checked samples have changed on the disk since; check the file again.")
    context.progress(0.3, "Storing")
    context.deliver(path)
    return {}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
