"""The command line's `predict`: single rows by field, or a whole file or dataset, by a model of the registry."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.errors import Invalid

if TYPE_CHECKING:
    from lib.app import App

Say = Callable[[bool, dict[str, Any], str], None]
EXAMPLES = """\
examples:
  python -m lib predict churn --version 2 --row age=61 plan=basic visits=2
  python -m lib predict churn --version challenger --file customers.csv --out predicted.csv
  python -m lib predict churn --dataset 3 --out predicted.csv
"""


def add_to(commands: Any, shared: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The command's own options; the caller sets what runs."""
    command: argparse.ArgumentParser = commands.add_parser(
        "predict",
        parents=[shared],
        help="ask a model of the registry, for a row, a file or a dataset",
        description="Ask a model of the registry: for one row, given field by field, or for each row of a file "
        "or a stored dataset.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("model", metavar="MODEL", help="its name in the registry")
    command.add_argument("--row", nargs="+", metavar="FIELD=VALUE", help="one row")
    command.add_argument("--version", help="a number, champion or challenger (default: the champion)")
    command.add_argument("--file", help="a CSV, TSV or Parquet file of rows")
    command.add_argument("--dataset", type=int, metavar="ID", help="a stored dataset")
    command.add_argument("--dataset-version", metavar="HASH", help="the start of its hash (default: the newest)")
    command.add_argument("--out", help="where the predicted rows go (with --file or --dataset)")
    command.add_argument("--why", action="store_true", help="also what moved the prediction (of one row)")
    return command


def run(app: App, options: argparse.Namespace, say: Say, follow: Callable[[App, int], None]) -> int:
    """say: prints a row; follow: waits for a task. Raises AppError."""
    given = [one for one in (options.row, options.file, options.dataset) if one is not None]
    if len(given) != 1:
        raise Invalid("Give one of --row FIELD=VALUE …, --file with rows, or --dataset with its number.")
    if (options.row is None) != (options.out is not None):
        raise Invalid("--file or --dataset go together with --out, where the predicted rows go.")
    return _row(app, options, say) if options.row is not None else _many(app, options, say, follow)


def _row(app: App, options: argparse.Namespace, say: Say) -> int:
    from lib.auth.actor import SYSTEM
    from lib.registry.schema import Kind

    asked = app.models.get(SYSTEM, options.model, options.version)
    numbers = {one.name for one in app.models.schema_of(asked).fields if one.kind is Kind.NUMBER}
    row: dict[str, Any] = {}
    for field in options.row:
        name, sign, value = field.partition("=")
        if not sign or not name:
            raise Invalid(f"{field[:80]!r} is no FIELD=VALUE.")
        row[name] = _number(value) if name in numbers else value or None
    answer = app.prediction.predict(
        SYSTEM, [row], model=options.model, version=options.version, explain=options.why, keep=False
    )
    one = answer.predictions[0]
    said = f"{one.label} ({one.probabilities.get(one.label, 0.0):.0%})" if one.label is not None else f"{one.value:g}"
    lines = [f"{said}, by {answer.model} version {answer.version}"]
    lines += [f"  {each.field}: {each.contribution:+.3g} {answer.why_unit}".rstrip() for each in one.why]
    say(options.json, {"model": answer.model, "version": answer.version, **asdict(one)}, "\n".join(lines))
    return 0


def _number(text: str) -> Any:
    """What is no number is left as it is: the model's own check says what is wrong with it."""
    try:
        return float(text) if text else None
    except ValueError:
        return text


def _many(app: App, options: argparse.Namespace, say: Say, follow: Callable[[App, int], None]) -> int:
    from lib.auth.actor import SYSTEM

    out, files = Path(options.out), app.prediction_files
    if options.dataset is not None:
        task = files.start_dataset(SYSTEM, options.model, options.version, options.dataset, options.dataset_version)
    else:
        path = Path(options.file)
        try:
            with path.open("rb") as stream:
                task = files.start(SYSTEM, options.model, options.version, path.name, stream)
        except OSError as error:
            raise Invalid(f"{path} cannot be read ({error.strerror or error}).") from None
    app.runner.start()
    follow(app, task.id or 0)
    made = files.result(SYSTEM, task.id or 0)
    try:
        shutil.copyfile(made, out)
    except OSError as error:
        raise Invalid(f"{out} cannot be written ({error.strerror or error}).") from None
    result = app.runner.get(task.id or 0).result
    say(options.json, {"file": str(out), **result}, f"{out} holds the predictions.")
    print(f"{out.stat().st_size:,} bytes", file=sys.stderr)
    return 0
