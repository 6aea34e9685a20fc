"""Makes the data of a dataset in a child process: from a file, from stored metrics, or from an earlier version."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lib.datasets.schema import Column, checked, from_json, guessed
from lib.errors import Invalid
from lib.store import encodings, written_dates
from lib.store.dataset_intake import Caps, Taken
from lib.tasks.job import JobContext

TABLE, BUCKETS, SERIES = "table.parquet", "buckets.parquet", "series.json"
# The bytes of told lines that still fit into a row of the app's database.
MOST_TOLD = 1000


def bring(
    context: JobContext,
    *,
    path: str,
    name: str,
    format: str,
    packed: bool,
    encoding: str | None,
    delimiter: str | None,
    caps: dict[str, int],
    sheet: str | None = None,
    **_rest: Any,
) -> dict[str, Any]:
    """A file made Parquet. Raises Invalid, and leaves nothing, when it is no table."""
    scratch, most = context.workdir / "tmp", Caps(**caps)
    scratch.mkdir(exist_ok=True)
    # A name of our own: DuckDB would read stars and brackets as patterns.
    source = context.workdir / "source"
    source.symlink_to(Path(path).resolve())
    context.progress(0.01, "Looking at the file")
    if source.stat().st_size > most.size_bytes:
        raise Invalid(f"{name} is larger than the {most.size_bytes / 2**20:,.0f} MB a dataset may be.")
    if packed:
        plain = scratch / "unpacked"
        encodings.unpack(source, plain, most.size_bytes)
        source = plain
    taken = _taken(context, source, format, encoding, delimiter, sheet, scratch, most)
    taken = written_dates.typed(taken, context.workdir / TABLE, scratch)
    for note in taken.notes:
        context.log(note)
    for line, why in taken.told[:100]:
        context.log(f"Line {line:,}: {why}", level="warning")
    context.log(f"{taken.rows:,} rows, {len(taken.columns):,} columns, {taken.rejected:,} lines left out")
    columns = checked(guessed(taken.columns))
    return _made(taken.rows, columns, taken.digest, taken.notes, taken.rejected, taken.told)


def _taken(
    context: JobContext,
    source: Path,
    format: str,
    encoding: str | None,
    delimiter: str | None,
    sheet: str | None,
    scratch: Path,
    caps: Caps,
) -> Taken:
    target = context.workdir / TABLE
    if format == "parquet":
        from lib.store.dataset_intake import from_parquet

        return from_parquet(source, target, scratch, caps, context.progress)
    if format == "excel":
        from lib.store.sheets import from_workbook

        return from_workbook(source, target, caps, context.progress, sheet)
    from lib.store import text_tables

    if format == "jsonl":
        return text_tables.from_json_lines(source, target, encoding, scratch, caps, context.progress)
    return text_tables.from_delimited(source, target, delimiter, encoding, scratch, caps, context.progress)


def rebuild(
    context: JobContext,
    *,
    path: str,
    held: list[dict[str, Any]],
    columns: list[dict[str, Any]],
    distinct: bool = False,
    **_: Any,
) -> dict:
    """A version with other names or types, always made from the data as it was brought, so that nothing wears off."""
    from lib.store.dataset_intake import Wanted, rewrite

    scratch = context.workdir / "tmp"
    scratch.mkdir(exist_ok=True)
    types = {one.origin: one.type for one in from_json(held)}
    wanted = checked(from_json(columns))
    asked = [Wanted(one.origin, types[one.origin], one.name, one.type) for one in wanted]
    context.progress(0.1, "Making the version")
    notes, rows = rewrite(Path(path), context.workdir / TABLE, asked, scratch, distinct)
    for note in notes:
        context.log(note, level="warning")
    return _made(rows, wanted, "", notes)


def gather(context: JobContext, *, recipe: dict[str, Any], start_ms: int, end_ms: int, **_rest: Any) -> dict[str, Any]:
    """A table of series, with what came after each moment as its target."""
    import pyarrow as pa
    from pyarrow import parquet

    from lib.datasets import windowing
    from lib.datasets.windowing import Aggregate, Recipe, TargetKind

    told = json.loads((context.workdir / SERIES).read_text())
    names = {int(key): name for key, name in told["names"].items()}
    asked = Recipe(
        **{
            **recipe,
            "aggregate": Aggregate(recipe["aggregate"]),
            "target": TargetKind(recipe["target"]),
            "lags": tuple(recipe["lags"]),
            "rolling": tuple(recipe["rolling"]),
        }
    )
    context.progress(0.2, "Laying the series side by side")
    buckets = parquet.read_table(context.workdir / BUCKETS).to_pandas()
    frame, columns, notes = windowing.table(buckets, names, start_ms, end_ms, asked, told["anomalies"])
    digest = hashlib.sha256(json.dumps([one.as_json() for one in columns]).encode())
    for name in frame.columns:
        digest.update(frame[name].to_numpy().tobytes())
    context.progress(0.8, "Writing")
    made = pa.Table.from_pandas(frame, preserve_index=False)
    parquet.write_table(made.replace_schema_metadata(None), context.workdir / TABLE, compression="snappy")
    for note in notes:
        context.log(note)
    return _made(len(frame), checked(columns), digest.hexdigest(), notes)


def _made(
    rows: int,
    columns: list[Column],
    content: str,
    notes: list[str],
    rejected: int = 0,
    told: list[tuple[int, str]] | None = None,
) -> dict[str, Any]:
    return {
        "rows": rows,
        "columns": [one.as_json() for one in columns],
        "content": content,
        "notes": notes[:100],
        "rejected": {"count": rejected, "rows": [list(one) for one in (told or [])[:MOST_TOLD]]},
    }
