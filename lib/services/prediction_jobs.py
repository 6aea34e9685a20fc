"""Predicts a file in a task: a text file becomes Parquet first, then rows go to the model some thousand at a time.

The model itself runs in a confined process of its own, as it does for single rows.
"""

from __future__ import annotations

import csv
import math
import threading
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from lib.errors import Invalid
from lib.registry import schema, serving
from lib.registry.schema import Kind, ModelSchema, Problem, check_rows
from lib.services.export import neutral
from lib.store import text_tables
from lib.tasks.job import JobContext
from lib.tasks.warm import End, Ended, WarmChild

RESULT = "predictions.csv"
CHUNK_CELLS, CHUNK_SECONDS = 60_000, 120.0
MOST_PROBLEMS = 20


def run(
    context: JobContext, *, path: str, format: str, model: dict[str, Any], folder: str, memory_mb: int, **_rest: Any
) -> dict[str, Any]:
    """Leaves `predictions.csv` in the exchange folder: the file's own columns, then what was predicted. Rows that
    cannot be predicted stay, with the reason."""
    from pyarrow import parquet

    source = table_of(context, Path(path), format)
    wanted = schema.from_json(model["schema"])
    with parquet.ParquetFile(source) as file:
        names = list(file.schema_arrow.names)
        need_columns(wanted, names)
        rows = file.metadata.num_rows
        added = ["prediction", *(f"probability {one}" for one in wanted.classes), "problem"]
        chunk = max(CHUNK_CELLS // len(names), 1)
        done = bad = 0
        told: list[str] = []
        child = serving.start(Path(folder), memory_mb)
        try:
            with (context.workdir / RESULT).open("w", newline="", encoding="utf-8") as out:
                writer = csv.writer(out)
                writer.writerow([neutral(name) for name in (*names, *added)])
                for batch in file.iter_batches(chunk):
                    records = batch.to_pylist()
                    answers, problems = predict(child, model, wanted, records)
                    reasons: dict[int, str] = {}
                    for one in problems:
                        reasons.setdefault(one.row, one.message)
                    told += [f"Row {done + row + 1:,}: {words}" for row, words in reasons.items()][
                        : MOST_PROBLEMS - len(told)
                    ]
                    for number, record in enumerate(records):
                        writer.writerow(_line(record, names, answers[number], reasons.get(number, ""), len(added)))
                    done, bad = done + len(records), bad + len(reasons)
                    context.progress(done / max(rows, 1), f"{done:,} of {rows:,} rows")
        finally:
            child.close()
    for line in told:
        context.log(line, "warning")
    context.log(f"{done - bad:,} of {done:,} rows predicted")
    return {"rows": done, "problems": bad, "told": told[:5]}


def table_of(context: JobContext, path: Path, format_: str) -> Path:
    """The file as Parquet. Raises Invalid for what is no table."""
    from pyarrow import parquet

    held = context.workdir / "source"
    # A name of our own: DuckDB would read stars and brackets as patterns.
    held.symlink_to(path.resolve())
    if format_ == "parquet":
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(max(path.stat().st_size - 4, 0))
            if head != b"PAR1" or file.read(4) != b"PAR1":
                raise Invalid("This is no Parquet file, or it was cut short. Export it again, or save it as CSV.")
        try:
            parquet.read_metadata(held)
        except (OSError, ValueError) as error:
            words = str(error).splitlines()[0][:200]
            raise Invalid(f"This Parquet file is damaged ({words}). Export it again, or save it as CSV.") from None
        return held
    context.progress(0.0, "Reading the lines")
    scratch = context.workdir / "tmp"
    scratch.mkdir(exist_ok=True)
    table = context.workdir / "table.parquet"
    taken = text_tables.lines_of(held, table, "\t" if format_ == "tsv" else None, scratch)
    if taken.rejected:
        context.log(f"{taken.rejected:,} lines could not be read and are left out", "warning")
    return table


def need_columns(wanted: ModelSchema, names: list[str], what: str = "file") -> None:
    """Raises Invalid when a column the model cannot do without is not there."""
    missing = [one.name for one in wanted.fields if one.name not in names and not one.missing]
    if missing:
        raise Invalid(
            f"The {what} lacks {', '.join(missing[:8])}{' and others' if len(missing) > 8 else ''}; it has "
            f"{', '.join(names[:12])}. Name the columns as the model's fields."
        )


def predict(
    child: WarmChild, model: dict[str, Any], wanted: ModelSchema, records: list[dict[str, Any]]
) -> tuple[list[tuple[Any, ...]], list[Problem]]:
    """For each record what was predicted, (prediction, probabilities…), empty where it could not be; and why not."""
    rows = [{one.name: _plain(one.kind, record.get(one.name)) for one in wanted.fields} for record in records]
    checked = check_rows(wanted, rows, most_problems=len(rows) * len(wanted.fields) + 1)
    bad = checked.bad_rows
    good = [number for number in range(len(rows)) if number not in bad]
    answers: list[tuple[Any, ...]] = [()] * len(rows)
    if not good:
        return answers, checked.problems
    columns = {name: [values[number] for number in good] for name, values in checked.columns.items()}
    request = {"op": "predict", "columns": columns, "explain": False, "model": model}
    try:
        found = next(iter(child.ask(request, CHUNK_SECONDS, threading.Event(), serving.MOST_BYTES)))
    except Ended as ended:
        why = "took too long over" if ended.why is End.LATE else "died over"
        raise Invalid(f"The model {why} {len(good):,} rows; try a smaller file or another version.") from None
    answer = serving.answered(found)
    for place, number in enumerate(good):
        if answer["labels"] is None:
            answers[number] = (answer["values"][place],)
        else:
            answers[number] = (answer["labels"][place], *answer["probabilities"][place])
    return answers, checked.problems


def records_of(path: Path, names: list[str], most: int) -> Iterator[list[dict[str, Any]]]:
    """Rows of a Parquet file in pieces, only these columns."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        seen = 0
        for batch in file.iter_batches(max(CHUNK_CELLS // max(len(names), 1), 1), columns=names):
            yield batch.to_pylist()[: most - seen]
            seen += batch.num_rows
            if seen >= most:
                return


def _plain(kind: Kind, value: Any) -> Any:
    """A cell as the schema reads it; what cannot be made that stays and is refused by name."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if kind in (Kind.NUMBER, Kind.INTEGER):
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, str):
            try:
                return float(value) if value.strip() else None
            except ValueError:
                return value
    if kind is Kind.BOOLEAN and isinstance(value, str):
        return {"true": True, "false": False, "1": True, "0": False, "": None}.get(value.strip().lower(), value)
    if kind in (Kind.CATEGORY, Kind.TEXT) and isinstance(value, bool | int | float):
        return str(value)
    return value


def _line(record: dict[str, Any], names: list[str], answer: tuple[Any, ...], problem: str, added: int) -> list[Any]:
    cells = [record.get(name) for name in names]
    made = [*answer, *([""] * (added - 1 - len(answer))), problem]
    return [neutral(cell) if isinstance(cell, str) else "" if cell is None else _cell(cell) for cell in (*cells, *made)]


def _cell(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value if isinstance(value, bool | int | float | Decimal) else neutral(str(value))
