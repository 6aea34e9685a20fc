"""Describes a file in a child process: a text file becomes Parquet first, then it is read in a few passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lib.errors import Invalid
from lib.profiling.tables import Rejected, TableProfile
from lib.store import tables, text_tables
from lib.tasks.job import JobContext

RESULT = "profile.json"
PROFILE = TypeAdapter(TableProfile)


def run(context: JobContext, *, path: str, name: str, format: str, as_of: str, **_rest: Any) -> dict[str, Any]:
    """Leaves `profile.json` in the exchange folder. Raises Invalid for what is no table."""
    source, scratch = Path(path), context.workdir / "tmp"
    scratch.mkdir(exist_ok=True)
    size, rejected = source.stat().st_size, Rejected(0)
    # A name of our own: DuckDB would read stars and brackets as patterns.
    held = context.workdir / "source"
    held.symlink_to(source.resolve())
    if format == "parquet":
        _check_parquet(held, name)
    else:
        context.progress(0.0, "Reading the lines")
        table = context.workdir / "table.parquet"
        taken = text_tables.lines_of(held, table, "\t" if format == "tsv" else None, scratch)
        rejected = Rejected(taken.rejected, tuple(taken.told[:5]))
        held = table
    found = tables.profile(
        held, name, scratch, size_bytes=size, rejected=rejected, as_of=as_of, progress=context.progress
    )
    (context.workdir / RESULT).write_bytes(PROFILE.dump_json(found))
    context.log(f"{found.rows:,} rows, {len(found.columns):,} columns in {found.took_s:.1f} s")
    return {"rows": found.rows, "columns": len(found.columns), "alerts": len(found.alerts)}


def _check_parquet(path: Path, name: str) -> None:
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(path.stat().st_size - 4, 0))
        tail = file.read(4)
    if head != b"PAR1" or tail != b"PAR1":
        raise Invalid(f"{name} is no Parquet file, or was cut short. Export it again, or save it as CSV.")
