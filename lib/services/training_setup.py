"""From what somebody chose to a plan that can run: roles, task and split, and all that stands against it beforehand."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from lib.auth.actor import Actor, Permission
from lib.datasets.schema import ColumnType, DatasetVersion
from lib.datasets.schema import Role as DatasetRole
from lib.db.learning_tables import ModelVersion
from lib.errors import AppError, Invalid
from lib.services.datasets import Datasets
from lib.services.models import Models
from lib.services.training import Run, Table, Training
from lib.store import table_samples
from lib.training import plan as plans
from lib.training import schema as schemas
from lib.training.plan import Plan, Problem
from lib.training.schema import Role, Task

SPLITS = ("random", "time", "group")
KINDS = ("", "number", "classes")
# Enough to see what a column holds; the child looks at every row.
SAMPLE_ROWS, SAMPLE_CELLS, TARGET_ROWS = 20_000, 2_000_000, 200_000
MANY_CATEGORIES = 1000
# Looked-at tables that are kept: a version never changes.
_KEPT = 16
_OWN_ROLES = {DatasetRole.IDENTIFIER: Role.IDENTIFIER, DatasetRole.IGNORE: Role.IGNORE}
Plans = dict[str, Plan]


@dataclass(frozen=True)
class Wanted:
    """What somebody chose. start: the template or pipeline to begin from; pipeline: one as JSON instead; split: how
    rows are kept apart, by the column `by`; kind: number or classes, empty to find out; None: as the start has it."""

    dataset_id: int
    target: str = ""
    version: str | None = None
    start: str = ""
    pipeline: Mapping[str, Any] | None = None
    split: str = "random"
    by: str = ""
    kind: str = ""
    metric: str | None = None
    budget_s: float | None = None
    families: tuple[str, ...] | None = None
    seed: int | None = None
    holdout: float | None = None
    leave_out: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Looked:
    """What a sample says of a table. guessed: column -> the role its values suggest; distinct: how many of them."""

    guessed: dict[str, str]
    distinct: dict[str, int]


@dataclass(frozen=True)
class Proposal:
    """A plan with all that is wrong with it. said: the target in a sentence; left_out: column -> why."""

    plan: Plan
    table: Table
    rows: int
    task: Task | None
    problems: list[Problem]
    said: str = ""
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def fatal(self) -> list[str]:
        return [one.message for one in self.problems if one.fatal]


class TrainingSetup:
    """pipelines: whoever keeps pipelines adds a function (actor, dataset version) -> name -> plan; they are offered
    beside the templates."""

    def __init__(self, datasets: Datasets, training: Training, models: Models) -> None:
        self.datasets, self.training, self.models = datasets, training, models
        self.pipelines: list[Callable[[Actor, DatasetVersion], Mapping[str, Plan]]] = []
        self._looked: OrderedDict[str, Looked] = OrderedDict()
        self._targets: OrderedDict[tuple[Any, ...], tuple[Task | None, str, list[Problem]]] = OrderedDict()
        self._lock = threading.Lock()

    def starts(self, actor: Actor, dataset_id: int, version: str | None = None) -> Plans:
        """What can be begun from, by name: kept pipelines first, then templates (`lib.training.plan.templates`)."""
        actor.require(Permission.DATASETS)
        opened = self.datasets.open(actor, dataset_id, version)
        target = next(iter(opened.with_role(DatasetRole.TARGET)), "")
        return self._starts(actor, opened, Plan(target, {}))

    def propose(self, actor: Actor, wanted: Wanted) -> Proposal:
        """The plan, and what stands against it; nothing runs. Raises NotFound for an unknown dataset, Invalid for
        choices that are none."""
        actor.require(Permission.DATASETS)
        if wanted.split not in SPLITS or wanted.kind not in KINDS:
            raise Invalid(f"split is one of {', '.join(SPLITS)}; kind is number, classes or empty.")
        opened = self.datasets.open(actor, wanted.dataset_id, wanted.version)
        columns = [one.name for one in opened.schema]
        table = Table(opened.path, opened.name, opened.hash, opened.dataset_id)
        if wanted.pipeline is not None:
            begun = Plan.from_json(wanted.pipeline)
            target = wanted.target or begun.target
        else:
            target = wanted.target or next(iter(opened.with_role(DatasetRole.TARGET)), "")
            begun = Plan(target, {})
        if target not in columns:
            said = f"There is no column {target[:80]!r} in {opened.name}." if target else "Choose what to predict."
            return Proposal(replace(begun, target=target), table, opened.rows, None, [Problem(said)])
        looked = self._look(opened)
        if wanted.pipeline is None:
            begun = self._begun(actor, opened, looked, target, wanted)
        plan, problems = self._split(replace(begun, target=target), wanted, opened)
        task, said, found = self._target(opened, target, wanted.kind, plan.task)
        chosen = {name: getattr(wanted, name) for name in ("metric", "budget_s", "families", "seed", "holdout")}
        plan = replace(plan, task=task, **{name: value for name, value in chosen.items() if value is not None})
        problems += found + plans.validate(plan, looked.guessed | {target: Role.TARGET})
        left_out, warned = self._features(plan, looked)
        if left_out and not any(role in schemas.FEATURES for role in plan.roles.values()):
            why = ", ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:5])
            warned.append(Problem(f"Not learnt from: {why}."))
        return Proposal(plan, table, opened.rows, task, problems + warned, said, left_out)

    def start(self, actor: Actor, wanted: Wanted) -> Run:
        """Queue it. Raises Invalid with all that stands against it."""
        actor.require(Permission.RUN_TASKS)
        found = self.propose(actor, wanted)
        if found.fatal:
            raise Invalid(" ".join(found.fatal), problems=found.fatal)
        return self.training.start(actor, found.plan, found.table, wanted.name)

    def register(self, actor: Actor, run_id: str, name: str = "") -> ModelVersion:
        """Put a finished run's model into the registry, where it is served from. name: empty for one made of the run's.

        Raises Invalid for a name that is none, ArtefactRefused while there is no model, Forbidden.
        """
        actor.require(Permission.TRAIN)
        folder, run = self.training.bundle(actor, run_id), self.training.get(actor, run_id)
        results = self.training.results(actor, run_id) or {}
        row = self.models.register_bundle(
            actor,
            name.strip() or slug(run.name),
            folder,
            # The one it was chosen by first: lists show the first few.
            metrics={o["label"]: o["value"] for o in sorted(results["metrics"], key=lambda o: not o["chosen"])},
            params={
                "metric": results["metric"],
                "members": ", ".join(f"{one['name']} {one['weight']:.2f}" for one in results["members"]),
                "budget_s": run.plan.budget_s,
                "seed": run.plan.seed,
                "steps": "; ".join(step.label for step in run.plan.steps),
            },
            facts={
                "run": run.id,
                "table": run.table,
                "dataset": run.dataset_id,
                "rows": results["rows"],
                "trained by": run.by,
            },
            data_hash=run.data_hash,
            reference=self.training.reference(actor, run_id),
            card=self.training.card(actor, run_id),
        )
        self.training.note_registered(run_id, row.name, row.version)
        return row

    # --- inside -----------------------------------------------------------------------------------

    def _starts(self, actor: Actor, opened: DatasetVersion, plan: Plan) -> Plans:
        kept = {name: one for told in self.pipelines for name, one in told(actor, opened).items()}
        return {**kept, **plans.templates(plan)}

    def _begun(self, actor: Actor, opened: DatasetVersion, looked: Looked, target: str, wanted: Wanted) -> Plan:
        roles = {name: role for name, role in looked.guessed.items() if name != target}
        for column in opened.schema:
            if column.role in _OWN_ROLES and column.name in roles:
                roles[column.name] = str(_OWN_ROLES[column.role])
        unknown = [name for name in wanted.leave_out if name not in looked.guessed]
        if unknown:
            raise Invalid(f"{opened.name} has no column {unknown[0][:80]!r} to leave out.")
        offered = self._starts(actor, opened, Plan(target, roles))
        if wanted.start and wanted.start not in offered:
            raise Invalid(f"There is no {wanted.start[:80]!r} to begin from; there are {', '.join(offered)}.")
        begun = offered[wanted.start] if wanted.start else Plan(target, roles)
        out = {name: str(Role.IGNORE) for name in wanted.leave_out if name in begun.roles}
        return replace(begun, roles={**begun.roles, **out})

    def _split(self, plan: Plan, wanted: Wanted, opened: DatasetVersion) -> tuple[Plan, list[Problem]]:
        by = wanted.by
        if wanted.split == "random" and not by:
            return plan, []
        if wanted.split == "random":
            return plan, [Problem(f"A random split goes by no column; {by[:80]!r} is not needed.")]
        by = by or (next(iter(opened.with_role(DatasetRole.TIME)), "") if wanted.split == "time" else "")
        held = next((one for one in opened.schema if one.name == by), None)
        if held is None:
            what = "orders the rows in time" if wanted.split == "time" else "says which rows belong together"
            said = f"There is no column {by[:80]!r}" if by else f"Choose the column that {what}"
            return plan, [Problem(f"{said}.")]
        if held.name == plan.target:
            return plan, [Problem("Rows cannot be split by what is predicted; choose another column.")]
        if wanted.split == "time" and held.type in (ColumnType.TEXT, ColumnType.BOOLEAN):
            return plan, [Problem(f"{by} holds {held.type}, which is no time; change its type under Datasets first.")]
        role = Role.TIME if wanted.split == "time" else Role.GROUP
        return replace(plan, roles={**plan.roles, by: str(role)}), []

    def _target(
        self, opened: DatasetVersion, target: str, kind: str, task: Task | None
    ) -> tuple[Task | None, str, list[Problem]]:
        """The task, the target in words, and why it cannot be learnt; remembered, for a page asks again and again."""
        key = (opened.hash, target, kind, task)
        with self._lock:
            if key in self._targets:
                self._targets.move_to_end(key)
                return self._targets[key]
        found = self._looked_at(opened, target, kind, task)
        with self._lock:
            self._targets[key] = found
            while len(self._targets) > _KEPT:
                self._targets.popitem(last=False)
        return found

    def _looked_at(
        self, opened: DatasetVersion, target: str, kind: str, task: Task | None
    ) -> tuple[Task | None, str, list[Problem]]:
        frame = _drawn(opened, [target], TARGET_ROWS)
        values = frame[target]
        try:
            found = _task_of(values, kind, task)
            said = _in_words(values, found)
            schemas.require_learnable(frame, target, found)
        except AppError as error:
            # Of a part of the rows only what holds of any part can be said for sure.
            return None, "", [Problem(error.message, fatal=opened.rows <= TARGET_ROWS)]
        return found, said, []

    def _features(self, plan: Plan, looked: Looked) -> tuple[dict[str, str], list[Problem]]:
        left_out = {
            name: _WHY.get(looked.guessed.get(name, ""), "not used")
            if role in (Role.IGNORE, Role.IDENTIFIER)
            else f"it is the {role}"
            for name, role in plan.roles.items()
            if role not in schemas.FEATURES and name != plan.target
        }
        empty = [name for name, count in looked.distinct.items() if count <= 1 and name in left_out]
        left_out |= {name: "empty" if not looked.distinct[name] else "the same in each row" for name in empty}
        many = [
            name
            for name, role in plan.roles.items()
            if role == Role.CATEGORY and looked.distinct.get(name, 0) > MANY_CATEGORIES
        ]
        problems = []
        if many:
            said = (
                f"{', '.join(many[:5])} has more than {MANY_CATEGORIES:,} categories: those that are rare teach little."
            )
            problems.append(Problem(said, fatal=False, columns=tuple(many)))
        return left_out, problems

    def _look(self, opened: DatasetVersion) -> Looked:
        with self._lock:
            if opened.hash in self._looked:
                self._looked.move_to_end(opened.hash)
                return self._looked[opened.hash]
        names = [one.name for one in opened.schema]
        limit = max(500, min(SAMPLE_ROWS, SAMPLE_CELLS // max(1, len(names))))
        frame = _drawn(opened, names, limit)
        guessed = schemas.guess_roles(frame, "")
        for column in opened.schema:
            drawn = opened.rows > limit and column.type is ColumnType.INTEGER
            if drawn and frame[column.name].is_unique and table_samples.counts_rows(opened.path, column.name):
                guessed[column.name] = str(Role.IDENTIFIER)
        distinct = {name: int(frame[name].nunique()) for name in names}
        looked = Looked(guessed, distinct)
        with self._lock:
            self._looked[opened.hash] = looked
            while len(self._looked) > _KEPT:
                self._looked.popitem(last=False)
        return looked


def _drawn(opened: DatasetVersion, names: Sequence[str], most: int) -> pd.DataFrame:
    wanted = {*names}
    columns = [one for one in opened.schema if one.name in wanted]
    return table_samples.sample(opened.path, columns, opened.rows, most, whole=True)


def slug(name: str) -> str:
    """A model's name made of any words: `left of churn.csv` becomes `left-of-churn-csv`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-") or "model"


_WHY = {str(Role.IDENTIFIER): "it names the row", str(Role.IGNORE): "empty, or the same in each row"}


def _task_of(values: pd.Series, kind: str, task: Task | None) -> Task:
    if kind == "number":
        return Task.REGRESSION
    if kind == "classes":
        return Task.BINARY if values.nunique() == 2 else Task.MULTICLASS
    return task or schemas.detect_task(values)


def _in_words(values: pd.Series, task: Task) -> str:
    known = values.dropna()
    gone = f" {len(values) - len(known):,} rows have none and are left out." if len(known) < len(values) else ""
    if task == Task.REGRESSION:
        numbers = pd.to_numeric(known, errors="coerce")
        return f"A number from {numbers.min():.4g} to {numbers.max():.4g}, {numbers.median():.4g} in the middle.{gone}"
    counts = known.astype(str).value_counts()
    shares = ", ".join(f"{name[:40]} {count / len(known):.0%}" for name, count in counts.head(4).items())
    more = f" and {len(counts) - 4:,} more" if len(counts) > 4 else ""
    return f"{len(counts):,} classes: {shares}{more}.{gone}"
