"""Holds a file against what a model learnt from, or makes that of a file; in a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from lib.drift import reference as references
from lib.drift import shift
from lib.errors import Invalid
from lib.registry import schema, serving
from lib.registry.schema import ModelSchema
from lib.services import prediction_jobs
from lib.services.drifting import asked_frame
from lib.tasks.job import JobContext

# Distributions of ten bins are known well from these; predictions take longer.
MOST_ROWS, MOST_PREDICTED = 200_000, 20_000


def compare(
    context: JobContext, *, reference: dict[str, Any], limits: list[float] | None, **rest: Any
) -> dict[str, Any]:
    frame, prediction, target = _read(context, **rest)
    thresholds = shift.Thresholds(*limits or ())
    shifts = shift.compare(reference, frame, prediction=prediction, target=target, thresholds=thresholds)
    return {"rows": len(frame), "shifts": [one.to_json() for one in shifts]}


def learn(context: JobContext, **rest: Any) -> dict[str, Any]:
    for name in ("reference", "limits"):
        rest.pop(name, None)
    frame, prediction, target = _read(context, **rest)
    return {"reference": references.of_frame(frame, prediction, target)}


def _read(
    context: JobContext, *, path: str, format: str, model: dict[str, Any], folder: str, memory_mb: int, **_rest: Any
) -> tuple[pd.DataFrame, pd.Series, pd.Series | None]:
    """The model's fields, what it predicts on some of the rows, and the target where the file has it."""
    from pyarrow import parquet

    source = prediction_jobs.table_of(context, Path(path), format)
    wanted = schema.from_json(model["schema"])
    names = list(parquet.read_schema(source).names)
    prediction_jobs.need_columns(wanted, names)
    rows = parquet.read_metadata(source).num_rows
    if not rows:
        raise Invalid("The file has no rows.")
    taken = [name for name in names if name in {*wanted.names, wanted.target}]
    records: list[dict[str, Any]] = []
    # The whole of a long file, evenly: its beginning alone would be one day of it.
    every = max(rows // MOST_ROWS, 1)
    for piece in prediction_jobs.records_of(source, taken, rows):
        records += piece[::every]
        context.progress(0.6 * len(records) * every / rows, f"{len(records) * every:,} of {rows:,} rows read")
    predicted = _predict(context, records[:: max(len(records) // MOST_PREDICTED, 1)], wanted, model, folder, memory_mb)
    target = None
    if wanted.target in names:
        raw = pd.Series([one.get(wanted.target) for one in records])
        target = raw.dropna().astype("string") if wanted.classes else pd.to_numeric(raw, errors="coerce")
    return asked_frame(wanted, records), predicted, target


def _predict(
    context: JobContext,
    records: list[dict[str, Any]],
    wanted: ModelSchema,
    model: dict[str, Any],
    folder: str,
    memory_mb: int,
) -> pd.Series:
    found: list[Any] = []
    size = max(prediction_jobs.CHUNK_CELLS // len(wanted.fields), 1)
    child = serving.start(Path(folder), memory_mb)
    try:
        for start in range(0, len(records), size):
            answers, _ = prediction_jobs.predict(child, model, wanted, records[start : start + size])
            found += [answer[0] for answer in answers if answer]
            context.progress(0.6 + 0.4 * start / len(records), f"{start:,} of {len(records):,} rows predicted")
    finally:
        child.close()
    if wanted.classes:
        return pd.Series(found, dtype="string")
    return pd.Series(found, dtype="float64")
