"""Training and explaining, in a child process: each finished fold is kept, so that a killed run goes on there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lib.errors import ArtefactRefused, Invalid
from lib.tasks.job import CLUSTER, JobContext
from lib.training.plan import Plan

if TYPE_CHECKING:
    from lib.training.board import Outcome

BUNDLE, RESULTS, REFERENCE, CARD, OUTCOME, EVENTS, FOLDS = (
    "bundle",
    "results.json",
    "reference.json",
    "card.md",
    "outcome.npz",
    "events.jsonl",
    "folds",
)
# More numbers than this do not fit beside their prepared copies in a child's memory: rows are left out evenly.
MOST_CELLS = 40_000_000
_SHOWN_ROWS = 16
# How long a training looks for what matters once its budget is spent, and how long somebody who asks for that waits.
_IMPORTANCE_SHARE, _LEAST_IMPORTANCE_S, _IMPORTANCE_S = 0.1, 3.0, 120.0
# Of kept folds: those of another layout are fitted again.
_LAYOUT = 2


def run(
    context: JobContext,
    *,
    folder: str,
    table: str,
    plan: dict[str, Any],
    name: str,
    facts: dict[str, str] | None = None,
    **_rest: Any,
) -> dict[str, Any]:
    """Train a plan on a Parquet file; bundle, results and card are left in `folder`."""
    from lib.registry.bundles import save_bundle
    from lib.training import explain, results, trainer
    from lib.training.card import card

    home, wanted = Path(folder), Plan.from_json(plan)
    frame, notes = read_table(Path(table), wanted)
    for note in notes:
        context.log(note, level="warning")
    kept = _Kept(home / FOLDS, {"plan": plan, "rows": len(frame), "table": table, "layout": _LAYOUT})
    restored = kept.read()
    if restored:
        context.log(f"Going on after {len(restored)} folds of an earlier run.")
    events = home / EVENTS
    events.write_text("")

    def event(said: Mapping[str, Any]) -> None:
        with events.open("a") as file:
            file.write(json.dumps(dict(said), default=str) + "\n")
        share = min(0.95, float(said.get("at_s", 0.0)) / wanted.budget_s)
        if said["kind"] == "candidate":
            context.log(f"{said['name']}: {said['score']:.4f} in {said['took_s']:.1f} s")
            context.progress(share, f"{said['name']}: {said['score']:.4f}")
        elif said["kind"] == "usable":
            context.log(f"A first usable model after {said['at_s']:.1f} s: {said['score']:.4f}")
            context.progress(share, "A first model is there")
        elif said["kind"] == "fold":
            context.progress(share, f"{said['name']}, fold {said['fold'] + 1}")

    with _cluster(context, Path(table), wanted, restored, kept.write) as elsewhere:
        outcome = trainer.train(
            frame,
            wanted,
            now=time.monotonic,
            event=event,
            restored=restored,
            checkpoint=kept.write,
            elsewhere=elsewhere,
        )
    context.progress(0.96, "Computing results")
    for note in outcome.notes:
        context.log(note, level="warning")
    found = results.of(outcome, frame)
    found["notes"] = [*notes, *found["notes"]]
    save_bundle(outcome.model, home / BUNDLE)
    np.savez_compressed(
        home / OUTCOME,
        rows=outcome.rows,
        target=outcome.target,
        out=outcome.out,
        thresholds=outcome.thresholds,
        fold=outcome.fold,
    )
    with _calm(wanted.threads):
        until = time.monotonic() + max(_LEAST_IMPORTANCE_S, _IMPORTANCE_SHARE * wanted.budget_s)
        seen = frame.iloc[outcome.rows]
        ranked = explain.importance(outcome.model, seen, repeats=2, left_s=lambda: until - time.monotonic())
    found["importance"] = ranked
    if len(ranked) < (columns := len(outcome.model.schema.columns)):
        found["notes"] += [
            f"How important columns are was found out for {len(ranked):,} of {columns:,}, those that go most with "
            f"{wanted.target} first; for all of them it takes longer."
        ]
    _place(home / CARD, card(outcome.model, found, name=name, importance=ranked, facts=facts))
    _place(home / REFERENCE, json.dumps(_reference(outcome, frame), allow_nan=False))
    _place(home / RESULTS, json.dumps(found, allow_nan=False))
    kept.clear()
    score = outcome.model.scores[outcome.model.plan.metric]
    context.progress(1.0, f"{outcome.model.plan.metric} {score:.4f}")
    return {"metric": outcome.model.plan.metric, "score": score, "members": [m.name for m in outcome.model.members]}


@contextmanager
def _calm(threads: int) -> Iterator[None]:
    """For thousands of small predictions: with a thread a core each they wait for each other, and for other processes,
    many times longer than they work."""
    # Loaded, its compiled walk through trees is used (`lib.training.portable`).
    import sklearn.tree._tree  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=threads):
        yield


def _reference(outcome: Outcome, frame: pd.DataFrame) -> dict[str, Any]:
    """What later rows are held against, so that a served model's drift is seen: its columns as the model reads them,
    what it said of rows it had not seen, and what was right."""
    from lib.drift import reference
    from lib.training import metrics
    from lib.training.preparation import CATEGORY, DATE, NUMERIC, read

    model = outcome.model
    table = read(frame, model.schema.roles)
    columns: dict[str, Any] = {}
    for name, role in model.schema.roles.items():
        if role == NUMERIC:
            columns[name] = table.values[:, table.names.index(name)]
        elif role == DATE:
            columns[name] = table.moments[name]
        else:
            columns[name] = (table.words if role == CATEGORY else table.texts)[name]
    classes = np.array(model.schema.classes, dtype=object)
    if len(classes):
        moved = outcome.out - outcome.thresholds[:, None] + 0.5 if outcome.out.shape[1] == 1 else outcome.out
        said, came = classes[metrics.labels(moved)], classes[outcome.target]
    else:
        said, came = outcome.out[:, 0], outcome.target
    return reference.of_frame(pd.DataFrame(columns), pd.Series(said), pd.Series(came))


def _cluster(*about: Any) -> Any:
    """The cluster this job runs on, for the training; nothing of dask is imported without one."""
    if not os.environ.get(CLUSTER):
        return contextlib.nullcontext()
    from lib.services import training_cluster

    return training_cluster.elsewhere(*about)


def explained(
    context: JobContext, *, folder: str, table: str, what: str, column: str = "", **_rest: Any
) -> dict[str, Any]:
    """One of the slower views of a trained model: shap, dependence of a column, importance, or the learning curve."""
    from lib.registry.bundles import load_bundle
    from lib.training import explain, results

    home = Path(folder)
    model = load_bundle(home / BUNDLE)
    frame, _notes = read_table(Path(table), model.plan)
    with np.load(home / OUTCOME, allow_pickle=False) as stored:
        seen = frame.iloc[stored["rows"]]
    context.progress(0.1, "Asking the model")
    found: Any
    with _calm(model.plan.threads):
        if what == "shap":
            step = max(1, len(seen) // _SHOWN_ROWS)
            values = explain.shap_values(model, frame, seen.iloc[::step].head(_SHOWN_ROWS))
            found = {"rows": values, "summary": explain.shap_summary(values)}
        elif what == "dependence":
            found = explain.dependence(model, seen, column)
        elif what == "importance":
            until = time.monotonic() + _IMPORTANCE_S
            found = explain.importance(model, seen, left_s=lambda: until - time.monotonic())
        elif what == "learning_curve":
            found = results.learning_curve(frame, model.plan, time.monotonic)
        else:
            raise Invalid(f"There is no view {what!r} of a model.")
    _place(home / view_file(what, column), json.dumps(found, allow_nan=False))
    return {"what": what, "column": column}


def view_file(what: str, column: str) -> str:
    """Where a view is kept: a column's name is somebody's input and never becomes part of a path."""
    suffix = "-" + hashlib.sha256(column.encode()).hexdigest()[:16] if column else ""
    return f"view-{what}{suffix}.json"


def read_table(path: Path, plan: Plan) -> tuple[pd.DataFrame, list[str]]:
    """The columns a plan names; of very large tables an even part of the rows, and what to say of that."""
    from pyarrow import parquet

    there = parquet.read_schema(path).names
    wanted = [name for name in there if name in plan.roles or name == plan.target]
    frame = pd.read_parquet(path, columns=wanted)
    most = MOST_CELLS // max(1, len(wanted))
    if len(frame) <= most:
        return frame, []
    rows = np.sort(np.random.default_rng(plan.seed).choice(len(frame), most, replace=False))
    said = f"Of {len(frame):,} rows {most:,} are used: more do not fit into the memory a task may take."
    return frame.iloc[rows].reset_index(drop=True), [said]


class _Kept:
    """Finished folds as files: arrays without pickle. What belongs to another plan or table is not taken up."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self.key = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()

    def read(self) -> dict[str, tuple[Mapping[str, Any], dict[str, np.ndarray]]]:
        found = {}
        for path in sorted(self.folder.glob("*.npz")) if self.folder.is_dir() else ():
            try:
                with np.load(path, allow_pickle=False) as stored:
                    about = json.loads(str(stored["about"]))
                    if about["key"] == self.key:
                        arrays = {name[2:]: stored[name] for name in stored.files if name.startswith("a/")}
                        found[about["name"]] = (about["meta"], arrays)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                # Torn by a kill, or none of ours: that fold is fitted again.
                continue
        return found

    def write(self, name: str, meta: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.folder.mkdir(exist_ok=True)
        about = json.dumps({"key": self.key, "name": name, "meta": dict(meta)})
        place = self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npz"
        part = place.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(
                file, allow_pickle=False, about=np.array(about), **{f"a/{key}": one for key, one in arrays.items()}
            )
        part.replace(place)

    def clear(self) -> None:
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            path.unlink(missing_ok=True)


def _place(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def require_bundle(folder: Path) -> Path:
    """The bundle of a finished run. Raises ArtefactRefused when it has none."""
    if not (folder / RESULTS).is_file():
        raise ArtefactRefused(f"The run {folder.name} has no model yet; wait until it has finished, or resume it.")
    return folder / BUNDLE
