"""The command line's `train`: a dataset, or a file that becomes one, to a model with its results."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.errors import Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from lib.app import App

Say = Callable[[bool, dict[str, Any], str], None]
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
EXAMPLES = """\
examples:
  python -m lib train churn.csv --target left --budget 60s
  python -m lib train sales.xlsx --sheet "Q3" --target won
  python -m lib train 3 --target left --models linear,xgboost --metric roc_auc --seed 7 --json
  python -m lib train "disk use" --target used --split time --by ts --budget 5m --card card.md
"""


def add_to(commands: Any, shared: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The command's own options; the caller sets what runs."""
    command: argparse.ArgumentParser = commands.add_parser(
        "train",
        parents=[shared],
        help="train a model on a dataset or a file, within a budget",
        description="Train a model on a dataset (its number or name), or on a file that is made a dataset first.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("dataset", metavar="DATASET", help="number or name of a dataset, or a file")
    command.add_argument("--target", default="", help="the column to predict (default: the dataset's target)")
    command.add_argument("--budget", type=_budget, default=60.0, metavar="SPAN", help="60s, 5m or 1h (default: 60s)")
    command.add_argument("--version", help="a version of the dataset, by the start of its hash (default: the newest)")
    command.add_argument("--sheet", help="of a workbook that is given as a file (default: its first table)")
    command.add_argument("--start", default="", metavar="NAME", help="the template or pipeline to begin from")
    command.add_argument(
        "--kind", choices=("number", "classes"), default="", help="what is predicted, if not found out"
    )
    command.add_argument("--metric", help="roc_auc, f1, neg_log_loss, r2, … (default: the task's usual one)")
    command.add_argument(
        "--models", metavar="A,B", help="families: linear, forest, histogram, xgboost, network, kernel"
    )
    command.add_argument(
        "--split", choices=("random", "time", "group"), default="random", help="how rows are kept apart"
    )
    command.add_argument("--by", default="", metavar="COLUMN", help="the column of a time or group split")
    command.add_argument("--holdout", type=float, metavar="SHARE", help="share of rows scored once, at the end")
    command.add_argument("--leave-out", default="", metavar="A,B", help="columns not to learn from")
    command.add_argument("--seed", type=int, help="the same one gives the same folds and draws")
    command.add_argument("--name", default="", help="what the run is called")
    command.add_argument("--register", metavar="MODEL", help="put it into the registry under this name")
    command.add_argument("--card", metavar="FILE", help="also write the model card, Markdown")
    return command


def run(app: App, options: argparse.Namespace, say: Say, follow: Callable[[App, int], None]) -> int:
    """say: prints a row; follow: waits for a task. Raises AppError."""
    from lib.auth.actor import SYSTEM
    from lib.services.training_setup import Wanted
    from lib.training.words import number, verdict

    wanted = Wanted(
        dataset_id=_dataset(app, options.dataset, options.sheet, follow),
        target=options.target,
        version=options.version,
        start=options.start,
        kind=options.kind,
        metric=options.metric,
        families=_listed(options.models) if options.models else None,
        split=options.split,
        by=options.by,
        holdout=options.holdout,
        leave_out=_listed(options.leave_out),
        seed=options.seed,
        budget_s=options.budget,
        name=options.name,
    )
    proposal = app.training_setup.propose(SYSTEM, wanted)
    if not options.json:
        for problem in proposal.problems:
            if not problem.fatal:
                print(f"Mind: {problem.message}")
    made = app.training_setup.start(SYSTEM, wanted)
    app.runner.start()
    follow(app, made.task_id)
    results = app.training.results(SYSTEM, made.id)
    if results is None:
        raise Conflict(f"{made.name} has no results; its task's log says why.")
    board = app.training.board(SYSTEM, made.id)
    if options.card:
        Path(options.card).write_text(app.training.card(SYSTEM, made.id))
    kept = ("task", "metric", "rows", "held_out", "metrics", "members", "notes", "left_out", "took_s")
    row = {"run": made.id, "name": made.name, "board": board, **{name: results[name] for name in kept}}
    lines = [f"{made.name}, run {made.id}, {results['took_s']:.0f} s", *verdict(results), ""]
    lines += [
        f"  {one['name']:<28}{number(one['value']):>10}  {_ends(one):<22}{one['took_s']:>8.1f} s" for one in board[:12]
    ]
    lines += [f"Mind: {note}" for note in results["notes"]]
    if options.register:
        kept_as = app.training_setup.register(SYSTEM, made.id, options.register)
        row |= {"model": kept_as.name, "version": kept_as.version}
        lines.append(f"In the registry as {kept_as.name}, version {kept_as.version}.")
    say(options.json, row, "\n".join(lines))
    return 0


def _ends(one: dict[str, Any]) -> str:
    from lib.training.words import number

    return f"{number(one['low'])} to {number(one['high'])}" if one["low"] is not None else ""


def _dataset(app: App, wanted: str, sheet: str | None, follow: Callable[[App, int], None]) -> int:
    """A dataset by number or name; a file is made one first."""
    from lib.auth.actor import SYSTEM

    known = app.datasets.list(SYSTEM)
    found = [one.id for one in known if one.name == wanted or str(one.id) == wanted]
    if found:
        if sheet is not None:
            raise Invalid(f"--sheet goes with a workbook; {wanted!r} is a dataset, made of one table already.")
        return found[0]
    path = Path(wanted)
    if not path.is_file():
        names = ", ".join(f"{one.id} {one.name}" for one in known[:20]) or "none"
        raise NotFound(f"{wanted!r} is neither a dataset nor a file; there are these datasets: {names}.")
    try:
        with path.open("rb") as stream:
            task = app.datasets.upload(SYSTEM, path.name, stream, sheet=sheet)
    except OSError as error:
        raise Invalid(f"{wanted} cannot be read ({error.strerror or error}).") from None
    app.runner.start()
    follow(app, task.id or 0)
    return int(app.runner.get(task.id or 0).result["dataset"])


def _listed(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())


def _budget(text: str) -> float:
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"a budget is like 60s, 5m or 1h, not {text!r}")
    return float(found[1]) * _SECONDS[found[2] or "s"]
