"""A pipeline as a value: what to predict, from what, by which steps and models, and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import pandas as pd

from lib.errors import Invalid
from lib.training import schema as schemas
from lib.training.learners import FAMILIES
from lib.training.schema import Role, Task

# What each kind of step may be told, besides its columns; the first method is what is taken when none is named.
STEP_METHODS: Mapping[str, tuple[str, ...]] = {
    "drop": (),
    "dates": (),
    "text": (),
    "clip": (),
    "impute": ("auto", "median", "mean", "zero"),
    "encode": ("auto", "onehot", "ordinal", "target"),
    "scale": ("auto", "standard", "robust", "quantile", "none"),
    "balance": ("weights", "oversample", "undersample"),
}
STEP_LABELS: Mapping[str, str] = {
    "drop": "Leave columns out",
    "dates": "Split dates into parts",
    "text": "Weigh words (TF-IDF)",
    "clip": "Clip outliers",
    "impute": "Fill gaps",
    "encode": "Encode categories",
    "scale": "Scale numbers",
    "balance": "Balance classes",
}
# Settings beside the method, with their least and greatest value.
STEP_NUMBERS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "text": {"most": (1, 500)},
    "clip": {"share": (0.0001, 0.2)},
}
LEAST_BUDGET_S, MOST_BUDGET_S = 5.0, 6 * 3600.0
# More steps nobody oversees, and more columns no dataset has.
MOST_STEPS, MOST_ROLES, MOST_NAME = 60, 20_000, 200


@dataclass(frozen=True)
class Step:
    """columns: empty for all that suit; params: what the kind takes beside its method, such as clip's `share`."""

    kind: str
    columns: tuple[str, ...] = ()
    method: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "columns": list(self.columns), "method": self.method, "params": dict(self.params)}

    @property
    def label(self) -> str:
        names = ", ".join(self.columns[:3]) + (" …" if len(self.columns) > 3 else "")
        if self.kind == "drop" and names:
            return f"Leave out {names}"
        where = f" of {names}" if names else ""
        how = f" ({self.method})" if self.method and self.method != "auto" else ""
        return f"{STEP_LABELS.get(self.kind, self.kind)}{where}{how}"


# What models without a place for gaps get where no step fills them; no step of a plan can ask for it.
NEEDED = "needed"
# Which step turns columns that are no numbers into some.
READ_BY: Mapping[str, Role] = {"dates": Role.DATE, "text": Role.TEXT, "encode": Role.CATEGORY}
USUAL_STEPS = (Step("dates"), Step("text"), Step("impute"), Step("encode"), Step("scale"))


@dataclass(frozen=True)
class Plan:
    """roles: column -> Role; a column without one is no feature. task: None to detect it. folds: 0 chooses by size.
    holdout: share of rows kept from everything and scored once, at the end (the last ones where a time column orders
    them). trials: how many searched models after the first ones, None as many as the budget allows. threads: cores."""

    target: str
    roles: Mapping[str, str]
    task: Task | None = None
    steps: tuple[Step, ...] = USUAL_STEPS
    metric: str = "auto"
    families: tuple[str, ...] = FAMILIES
    folds: int = 0
    holdout: float = 0.0
    budget_s: float = 60.0
    trials: int | None = None
    ensemble: bool = True
    calibrate: bool = True
    tune_threshold: bool = True
    seed: int = 0
    threads: int = 1

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "steps": [step.to_json() for step in self.steps], "roles": dict(self.roles)}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Plan:
        """Raises Invalid for what is no plan; one edited by hand is taken when each value is of its kind."""
        try:
            steps = tuple(
                Step(s["kind"], tuple(s.get("columns") or ()), s.get("method") or "", dict(s.get("params") or {}))
                for s in held["steps"]
            )
            task = Task(held["task"]) if held.get("task") else None
            rest = {**held, "steps": steps, "task": task, "families": tuple(held["families"])}
            unknown = sorted(str(name) for name in rest.keys() - {one.name for one in fields(cls)})
            if unknown:
                raise ValueError(f"there is no setting {unknown[0][:40]!r}")
            made = cls(**{**rest, "roles": dict(held["roles"])})
            _require_kinds(made)
            return made
        except KeyError as error:
            raise Invalid(f"This is no pipeline: {error} is missing. Export it again, or use a template.") from None
        except (TypeError, ValueError, AttributeError) as error:
            said = str(error).rstrip(".")
            raise Invalid(f"This is no pipeline: {said}. Export it again, or begin from a template.") from None

    def of(self, role: Role) -> str | None:
        """The column with this role, if any."""
        return next((name for name, held in self.roles.items() if held == role), None)

    @property
    def preparation(self) -> list[dict[str, Any]]:
        """The steps in the shape `Preparation` takes, and nothing that is not among them; but gaps that are left are 0
        for models that take none."""
        listed = [
            {"kind": s.kind, "columns": list(s.columns), "method": s.method or "auto", **s.params}
            for s in self.steps
            if s.kind != "balance"
        ]
        return [*listed, {"kind": "impute", "columns": [], "method": NEEDED}]

    @property
    def unread(self) -> dict[str, tuple[str, ...]]:
        """Kind of step -> features no step of it turns into numbers: nothing is learnt from them."""
        gone = {name for step in self.steps if step.kind == "drop" for name in step.columns}
        found = {}
        for kind, wanted in READ_BY.items():
            steps = [step for step in self.steps if step.kind == kind]
            read = {name for step in steps for name in step.columns}
            left = tuple(n for n, role in self.roles.items() if role == wanted and n not in gone and n not in read)
            if left and all(step.columns for step in steps):
                found[kind] = left
        return found

    @property
    def read(self) -> dict[str, str]:
        """Roles of what is learnt from and split by: columns a step leaves out, or none reads, are ignored, so that a
        model does not ask for them."""
        idle = {name for step in self.steps if step.kind == "drop" for name in step.columns}
        idle |= {name for names in self.unread.values() for name in names}
        return {n: Role.IGNORE.value if n in idle and r in schemas.FEATURES else r for n, r in self.roles.items()}

    @property
    def bare(self) -> str:
        """What models that need numbers without gaps, of one scale, get as it is, in words; empty when steps see to
        it."""
        kinds = {step.kind for step in self.steps if not step.columns}
        said = []
        if "impute" not in kinds:
            said.append("gaps no step fills are 0 (the mean, once scaled)")
        if "scale" not in {step.kind for step in self.steps}:
            said.append("numbers are not scaled")
        return " and ".join(said)

    @property
    def balance(self) -> str:
        """How classes are balanced, empty when they are not."""
        return next((s.method or "weights" for s in self.steps if s.kind == "balance"), "")


def _require_kinds(plan: Plan) -> None:
    """Raises ValueError for a value of another kind than its place takes; whether it makes sense, `validate` says."""

    def number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

    def whole(value: object, low: int, high: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    def name(value: object) -> bool:
        if not isinstance(value, str) or len(value) > MOST_NAME or "\0" in value:
            return False
        # Half a character cannot be stored; the error is a ValueError.
        return bool(value.encode()) or not value

    if len(plan.steps) > MOST_STEPS or len(plan.roles) > MOST_ROLES:
        raise ValueError(f"it has more than {MOST_STEPS} steps or {MOST_ROLES:,} columns")
    if not name(plan.target) or not all(name(one) and name(role) for one, role in plan.roles.items()):
        raise ValueError("its target, columns and roles are not all names")
    for place, step in enumerate(plan.steps, 1):
        if not (
            name(step.kind) and name(step.method) and len(step.columns) <= MOST_ROLES and all(map(name, step.columns))
        ):
            raise ValueError(f"step {place} has something else than names where its kind, method and columns stand")
        if not all(name(key) and number(value) for key, value in step.params.items()):
            raise ValueError(f"a setting of step {place} is no number")
    flags = (plan.ensemble, plan.calibrate, plan.tune_threshold)
    sound = {
        "metric": name(plan.metric),
        "families": len(plan.families) <= 50 and all(map(name, plan.families)),
        "folds": whole(plan.folds, -(10**6), 10**6),
        "holdout": number(plan.holdout),
        "budget_s": number(plan.budget_s),
        "trials": plan.trials is None or whole(plan.trials, 0, 10**6),
        "seed": whole(plan.seed, 0, 2**31 - 1),
        "threads": whole(plan.threads, -(10**6), 10**6),
        "ensemble, calibrate and tune_threshold": all(isinstance(one, bool) for one in flags),
    }
    wrong = next((key for key, right in sound.items() if not right), "")
    if wrong:
        raise ValueError(f"{wrong} cannot be that value")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a plan. where: a step's number (from 0), or None for the whole; fatal: it cannot run; about:
    data, split, models or scores, of those of the whole."""

    message: str
    fatal: bool = True
    where: int | None = None
    columns: tuple[str, ...] = ()
    about: str = "data"


def begin(frame: pd.DataFrame, target: str, **chosen: Any) -> Plan:
    """A plan for a table with all that can be guessed from it. Raises Invalid for a table without that column."""
    if target not in frame.columns:
        raise Invalid(f"There is no column {target!r} to predict.")
    return Plan(target=target, roles=schemas.guess_roles(frame, target), **chosen)


def completed(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Steps with those that fill and scale as suits each model, where there are none of the kind."""
    kinds = {step.kind for step in steps}
    made = [*steps]
    for kind, later in (("impute", ("encode", "scale", "balance")), ("scale", ("balance",))):
        if kind not in kinds:
            at = next((n for n, one in enumerate(made) if one.kind in later), len(made))
            made.insert(at, Step(kind))
    return tuple(made)


def templates(plan: Plan) -> dict[str, Plan]:
    """Ready plans for the same table, by what one wants of them."""
    return {
        "Balanced": replace(plan, steps=USUAL_STEPS, families=FAMILIES, budget_s=60.0),
        "First look": replace(
            plan, steps=USUAL_STEPS, families=("linear", "histogram"), budget_s=10.0, trials=0, ensemble=False
        ),
        "Most accurate": replace(plan, steps=USUAL_STEPS, families=FAMILIES, budget_s=600.0),
        "Easy to explain": replace(
            plan,
            steps=(*USUAL_STEPS[:2], Step("clip"), *USUAL_STEPS[2:]),
            families=("linear",),
            ensemble=False,
            trials=10,
        ),
        "Rare class": replace(
            plan, steps=(*USUAL_STEPS, Step("balance", method="weights")), metric="average_precision"
        ),
    }


def validate(plan: Plan, columns: Mapping[str, str] | Sequence[str]) -> list[Problem]:
    """What keeps a plan from running, or from meaning what it seems to; empty when nothing does.

    columns: those of the table; a mapping also gives the role their values suggest (`guess_roles`). Steps are a list,
    so that no cycle can be drawn; a step that needs what a later one makes is said.
    """
    found = _about_roles(plan, columns)
    gone: set[str] = set()
    kind_of = {name: role for name, role in plan.roles.items() if role in schemas.FEATURES}
    for number, step in enumerate(plan.steps):
        found += [replace(one, where=number) for one in _about_step(step, plan, columns, gone, kind_of, number)]
        if step.kind == "drop":
            gone.update(step.columns)
    unread = {name for names in plan.unread.values() for name in names}
    if not any(name not in gone for name in kind_of):
        alone = not any(name != plan.target for name in columns)
        remedy = "bring a table with more than the target" if alone else "give one a role, or drop fewer"
        found.append(Problem(f"No column is left to learn from; {remedy}."))
    elif not any(name not in gone and name not in unread for name in kind_of):
        said = "No column is left to learn from: no step turns dates, text or categories into numbers."
        found.append(Problem(said, about="models"))
    return found + _about_run(plan)


def _about_roles(plan: Plan, columns: Mapping[str, str] | Sequence[str]) -> list[Problem]:
    found = []
    if plan.target not in columns:
        found.append(Problem(f"The target {plan.target!r} is no column of this table.", columns=(plan.target,)))
    elif plan.roles.get(plan.target, Role.TARGET) != Role.TARGET:
        found.append(
            Problem(
                f"{plan.target!r} is both target and feature: the answer would be given away.", columns=(plan.target,)
            )
        )
    lost = tuple(name for name in plan.roles if name not in columns)
    if lost:
        found.append(Problem(f"Not in this table: {', '.join(lost[:5])}.", columns=lost))
    for single in (Role.TIME, Role.GROUP, Role.TARGET):
        held = tuple(name for name, one in plan.roles.items() if one == single)
        if len(held) > 1:
            found.append(Problem(f"Only one column can be the {single}: {', '.join(held[:5])}.", columns=held))
    strange = tuple(name for name, role in plan.roles.items() if role not in set(Role))
    if strange:
        found.append(Problem(f"{plan.roles[strange[0]]!r} is no role a column can have.", columns=strange))
    if plan.of(Role.TIME) and plan.of(Role.GROUP):
        found.append(
            Problem("Choose a time or a group column, not both: rows are split by one of them.", about="split")
        )
    if isinstance(columns, Mapping):
        read = plan.read
        named = tuple(
            name for name, role in read.items() if role in schemas.FEATURES and columns.get(name) == Role.IDENTIFIER
        )
        if named:
            said = (
                f"{', '.join(named[:5])} seems to name rows: a model learns it by heart and knows nothing of new rows."
            )
            found.append(Problem(said, fatal=False, columns=named))
        for name, role in read.items():
            guess = columns.get(name)
            if role == Role.NUMERIC and guess in (Role.CATEGORY, Role.TEXT, Role.DATE):
                found.append(Problem(f"{name} is called a number but holds {guess}.", fatal=False, columns=(name,)))
    return found


def _about_step(
    step: Step,
    plan: Plan,
    columns: Mapping[str, str] | Sequence[str],
    gone: set[str],
    kinds: Mapping[str, str],
    at: int,
) -> list[Problem]:
    if step.kind not in STEP_METHODS:
        return [Problem(f"There is no step {step.kind!r}; there are {', '.join(STEP_METHODS)}.")]
    found = []
    lost = tuple(name for name in step.columns if name not in columns)
    if lost:
        found.append(Problem(f"{step.label}: not in this table: {', '.join(lost[:5])}.", columns=lost))
    early = tuple(name for name in step.columns if name in gone)
    if early:
        found.append(Problem(f"{step.label}: {', '.join(early[:5])} was left out by an earlier step.", columns=early))
    if plan.target in step.columns:
        found.append(Problem(f"{step.label}: the target is no feature; no step may use it.", columns=(plan.target,)))
    methods = STEP_METHODS[step.kind]
    if step.method and step.method not in methods:
        found.append(Problem(f"{step.label}: {step.method!r} is none of {', '.join(methods) or 'no methods'}."))
    suited = READ_BY.get(step.kind)
    wrong = tuple(name for name in step.columns if suited and kinds.get(name, suited) != suited)
    if wrong:
        found.append(Problem(f"{step.label}: {wrong[0]} is {kinds[wrong[0]]}, not {suited}.", columns=wrong))
    if step.kind in ("clip", "impute", "scale"):
        words = tuple(n for n in step.columns if kinds.get(n) not in (None, Role.NUMERIC))
        if words:
            found.append(Problem(f"{step.label}: {words[0]} is {kinds[words[0]]}, not numeric.", columns=words))
    if step.kind == "drop" and not step.columns:
        found.append(Problem("Leave columns out: name the columns.", fatal=False))
    if step.kind == "balance":
        if plan.task == Task.REGRESSION:
            found.append(Problem("Balance classes: a number has no classes."))
        if any(one.kind == "balance" for one in plan.steps[:at]):
            found.append(Problem("Classes are balanced twice."))
    for name, value in step.params.items():
        low, high = STEP_NUMBERS.get(step.kind, {}).get(name, (0.0, 0.0))
        if not high:
            found.append(Problem(f"{step.label}: there is no setting {name!r}."))
        elif not isinstance(value, int | float) or not low <= value <= high:
            found.append(Problem(f"{step.label}: {name} must be between {low:g} and {high:g}, not {value!r}."))
    return found


def _about_run(plan: Plan) -> list[Problem]:
    found = []
    foreign = [name for name in plan.families if name not in FAMILIES]
    if foreign or not plan.families:
        said = f"There is no model family {foreign[0]!r}" if foreign else "No model family is chosen"
        found.append(Problem(f"{said}; there are {', '.join(FAMILIES)}.", about="models"))
    if not LEAST_BUDGET_S <= plan.budget_s <= MOST_BUDGET_S:
        found.append(
            Problem(
                f"A budget of {plan.budget_s:g} s is not between {LEAST_BUDGET_S:g} s and {MOST_BUDGET_S / 3600:g} h.",
                about="models",
            )
        )
    if plan.folds and not 2 <= plan.folds <= 20:
        found.append(Problem(f"{plan.folds} folds are not between 2 and 20.", about="split"))
    if not 0 <= plan.holdout <= 0.5:
        found.append(Problem(f"A share of {plan.holdout:g} to hold out is not between 0 and 0.5.", about="split"))
    if not 1 <= plan.threads <= 256:
        found.append(Problem(f"{plan.threads} threads are not between 1 and 256.", about="models"))
    if plan.task is not None and plan.metric != "auto":
        from lib.training.metrics import require_metric

        try:
            require_metric(plan.metric, plan.task)
        except Invalid as error:
            found.append(Problem(error.message, about="scores"))
    return found


def require_valid(plan: Plan, columns: Mapping[str, str] | Sequence[str]) -> None:
    """Raises Invalid with all that keeps a plan from running."""
    fatal = [one.message for one in validate(plan, columns) if one.fatal]
    if fatal:
        raise Invalid(" ".join(fatal), problems=fatal)
