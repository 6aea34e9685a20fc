"""Describes a dataset and works out what to try with it, in a child process; both are left as JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lib import training
from lib.datasets.schema import from_json
from lib.errors import Invalid, NotEnoughData
from lib.profiling.tables import TableProfile
from lib.store import previews, tables
from lib.tasks.job import JobContext
from lib.training.suggestions import Reference, Suggested, suggest

PROFILE_FILE, SUGGESTED_FILE = "profile.json", "suggested.json"
REFERENCE = Path(training.__path__[0]) / "reference_outcomes.json"
PROFILE: TypeAdapter[TableProfile] = TypeAdapter(TableProfile)
SUGGESTED: TypeAdapter[Suggested] = TypeAdapter(Suggested)
# Enough rows for every figure a suggestion rests on; and so many numbers at most.
MOST_ROWS, MOST_CELLS = 10_000, 2_000_000


@cache
def reference() -> Reference:
    """What was tried on reference tables, as `python -m benchmarks suggest --learn` left it."""
    return Reference.from_json(json.loads(REFERENCE.read_text())) if REFERENCE.is_file() else Reference()


@cache
def edition() -> str:
    """Names what was known of reference tables when something was suggested."""
    return hashlib.sha256(REFERENCE.read_bytes()).hexdigest()[:16] if REFERENCE.is_file() else ""


def run(
    context: JobContext,
    *,
    path: str,
    name: str,
    columns: list[dict[str, Any]],
    target: str,
    roles: dict[str, str],
    as_of: str,
    known: str = "",
    **_rest: Any,
) -> dict[str, Any]:
    """Leaves `profile.json`, and `suggested.json` where there is something to learn. known: a profile made before."""
    if known:
        profile = PROFILE.validate_json(Path(known).read_bytes())
    else:
        scratch = context.workdir / "tmp"
        scratch.mkdir(exist_ok=True)
        profile = tables.profile(Path(path), name, scratch, as_of=as_of, progress=context.progress)
        (context.workdir / PROFILE_FILE).write_bytes(PROFILE.dump_json(profile))
    wanted = target or (profile.target.column if profile.target else "")
    if not wanted:
        return {"target": "", "refused": "No column is the target yet; choose the one that is to be told."}
    context.progress(0.8, "Comparing with reference tables")
    schema = from_json(columns)
    most = max(200, min(MOST_ROWS, MOST_CELLS // max(1, len(schema))))
    frame = previews.sample(Path(path), schema, profile.rows, most)
    try:
        found = suggest(profile, frame, wanted, reference(), roles=roles)
    except (Invalid, NotEnoughData) as error:
        return {"target": wanted, "refused": error.message}
    if not target and profile.target:
        said = f"No target is chosen; {wanted} was taken: {'; '.join(profile.target.reasons)}."
        found = replace(found, notes=[said, *found.notes])
    (context.workdir / SUGGESTED_FILE).write_bytes(SUGGESTED.dump_json(found))
    return {"target": wanted, "refused": "", "steps": len(found.steps), "models": len(found.models)}
