"""What is wrong with a plan for a table, where it shows, and what mends it: known before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lib.training import editing
from lib.training.leaks import Leak
from lib.training.plan import READ_BY, STEP_LABELS, STEP_METHODS, Plan, Problem, Step, validate
from lib.training.schema import FEATURES, Role, Task

DATA, SPLIT, MODELS, SCORES = "data", "split", "models", "scores"


@dataclass(frozen=True)
class Facts:
    """What is known of a table. guesses: each column's role by its values; refusal: why the target cannot be learnt;
    task: what the target asks for."""

    rows: int
    guesses: Mapping[str, str]
    leaks: tuple[Leak, ...] = ()
    task: Task | None = None
    refusal: str = ""


@dataclass(frozen=True)
class Finding:
    """message: what is wrong; remedy: what to do; fix: how `mend` does it, empty when only a person can; node: where it
    shows (data, split, models, scores, or step-0, step-1 …)."""

    message: str
    remedy: str
    fatal: bool = True
    node: str = DATA
    columns: tuple[str, ...] = ()
    fix: str = ""

    @property
    def step(self) -> int | None:
        """The number of the step it is about, from 0."""
        return int(self.node[5:]) if self.node.startswith("step-") else None


@dataclass(frozen=True)
class Review:
    """Findings, errors first. ready: nothing keeps it from being trained."""

    findings: tuple[Finding, ...]
    facts: Facts | None = field(default=None, repr=False)

    @property
    def ready(self) -> bool:
        return not any(one.fatal for one in self.findings)

    def at(self, node: str) -> list[Finding]:
        return [one for one in self.findings if one.node == node]


_REMEDIES = {
    "forget": "Take them out of the pipeline.",
    "leave_out": "Leave the column out.",
    "identifier": "Make it an identifier, which is no feature.",
    "target": "Make it the target only.",
    "retype": "Give it the role its values suggest.",
    "single": "Keep the first of them only.",
    "take_out": "Take these columns out of the step.",
    "remove": "Remove the step.",
    "reset": "Go back to the step's usual settings.",
    "defaults": "Go back to the usual settings.",
    "models": "Take all models there are.",
    "first": "Move this step before the one that uses them.",
    "detect": "Let the task be detected.",
    "add_step": "Add the step, or leave the columns out under Columns.",
    "split": "Order rows by time, and let the group be ignored.",
}


def review(plan: Plan, facts: Facts) -> Review:
    """Everything that is wrong with a plan on a table with these facts."""
    if not plan.target:
        found = [Finding("No target is chosen.", "Choose the column that is to be predicted, under Columns.")]
        return Review(tuple(found), facts)
    # What a detected task forbids is said before it is detected.
    told = replace(plan, task=plan.task or facts.task)
    found = [_finding(one, plan, facts) for one in validate(told, facts.guesses)]
    if facts.refusal and plan.target in facts.guesses:
        found.append(Finding(facts.refusal, "Choose another target, or correct the data.", columns=(plan.target,)))
    elif plan.task and facts.task and Task.REGRESSION in (plan.task, facts.task) and plan.task != facts.task:
        asked = "a number" if plan.task == Task.REGRESSION else "classes"
        # Whole numbers of a few values may be meant either way; words can never be a number.
        words = facts.guesses.get(plan.target) == Role.TARGET and plan.task == Task.REGRESSION
        said = f"The pipeline predicts {asked}, but the target looks like {facts.task}."
        found.append(_fixed("detect", said, fatal=words, node=SCORES))
    found += _columns(plan, facts) + _leaks(plan, facts) + _unused(plan, facts) + _unread(plan, facts) + _order(plan)
    return Review(tuple(sorted(dict.fromkeys(found), key=lambda one: not one.fatal)), facts)


def mend(plan: Plan, finding: Finding, facts: Facts) -> Plan:
    """The plan with what a finding names put right; itself where only a person can."""
    columns, at = finding.columns, finding.step
    ignored = dict.fromkeys(columns, Role.IGNORE.value)
    match finding.fix:
        case "forget":
            return editing.forget(plan, columns)
        case "leave_out" | "single" | "split":
            return editing.with_roles(plan, ignored)
        case "identifier":
            return editing.with_roles(plan, dict.fromkeys(columns, Role.IDENTIFIER.value))
        case "target":
            return editing.with_roles(plan, {plan.target: Role.TARGET.value})
        case "retype":
            return editing.with_roles(plan, {name: facts.guesses.get(name, Role.IGNORE.value) for name in columns})
        case "defaults":
            usual = Plan(plan.target, plan.roles)
            return replace(
                plan,
                folds=usual.folds,
                holdout=usual.holdout,
                budget_s=usual.budget_s,
                threads=usual.threads,
                metric=usual.metric,
            )
        case "models":
            return replace(plan, families=Plan(plan.target, plan.roles).families)
        case "detect":
            return replace(plan, task=None, metric="auto")
        case "add_step":
            missing = [kind for kind, names in plan.unread.items() if set(names) & set(columns)]
            return editing.added(plan, Step(missing[0])) if missing else plan
    if at is None or not 0 <= at < len(plan.steps):
        return plan
    step = plan.steps[at]
    match finding.fix:
        case "take_out":
            return editing.without_columns(plan, at, columns)
        case "remove":
            return editing.removed(plan, at)
        case "reset":
            return editing.changed(plan, at, Step(step.kind, step.columns))
        case "first":
            consumers = [n for n, one in enumerate(plan.steps[:at]) if one.kind in READ_BY]
            return editing.moved(plan, at, consumers[0] if consumers else 0)
    return plan


def _fixed(fix: str, message: str, *, fatal: bool, node: str, columns: Sequence[str] = ()) -> Finding:
    return Finding(message, _REMEDIES[fix], fatal, node, tuple(columns), fix)


def _finding(problem: Problem, plan: Plan, facts: Facts) -> Finding:
    columns, there = problem.columns, facts.guesses
    node = problem.about if problem.where is None else f"step-{problem.where}"
    if problem.where is not None:
        return _fixed(_step_fix(problem, plan), problem.message, fatal=problem.fatal, node=node, columns=columns)
    fix = ""
    if node == DATA and columns:
        roles = {plan.roles.get(name) for name in columns}
        if not any(name in there for name in columns):
            fix = "forget" if columns != (plan.target,) else ""
        elif columns == (plan.target,):
            fix = "target"
        elif not roles <= set(Role):
            fix = "retype"
        elif len(columns) > 1 and len(roles) == 1 and roles & {Role.TIME, Role.GROUP, Role.TARGET}:
            fix, columns = "single", columns[1:]
        elif all(there.get(name) == Role.IDENTIFIER for name in columns):
            fix = "identifier"
        else:
            fix = "retype"
    elif node == MODELS and plan.unread and "No column is left" in problem.message:
        fix, columns = "add_step", next(iter(plan.unread.values()))
    elif node == MODELS and (not plan.families or "famil" in problem.message):
        fix = "models"
    elif "time or a group" in problem.message:
        fix, columns = "split", tuple(name for name, role in plan.roles.items() if role == Role.GROUP)
    elif node != DATA:
        fix = "defaults"
    if fix:
        return _fixed(fix, problem.message, fatal=problem.fatal, node=node, columns=columns)
    return Finding(problem.message, "Choose the columns to learn from, and the target.", problem.fatal, node, columns)


def _step_fix(problem: Problem, plan: Plan) -> str:
    step = plan.steps[problem.where or 0]
    if step.kind not in STEP_METHODS:
        return "remove"
    if problem.columns:
        return "take_out"
    wrong_method = bool(step.method) and step.method not in STEP_METHODS[step.kind]
    return "reset" if wrong_method or step.params else "remove"


def _columns(plan: Plan, facts: Facts) -> list[Finding]:
    """Columns that cannot do what their role says, by what they hold."""
    found = []
    for role, task, unfit in (
        (Role.TIME, "order the rows", (Role.CATEGORY, Role.TEXT, Role.IGNORE)),
        (Role.GROUP, "keep rows together", (Role.IGNORE,)),
    ):
        name = plan.of(role)
        guess = facts.guesses.get(name or "")
        if name is not None and guess in unfit:
            held = "one value or none" if guess == Role.IGNORE else str(guess)
            said = f"{name} is to {task} but holds {held}."
            found.append(_fixed("retype", said, fatal=True, node=SPLIT, columns=(name,)))
    dropped = {name for step in plan.steps if step.kind == "drop" for name in step.columns}
    features = {n: r for n, r in plan.roles.items() if r in FEATURES and n not in dropped and n in facts.guesses}
    undated = tuple(n for n, r in features.items() if r == Role.DATE and facts.guesses[n] != Role.DATE)
    if undated:
        said = f"{_names(undated)} is called a date but holds {facts.guesses[undated[0]]}."
        found.append(_fixed("retype", said, fatal=False, node=DATA, columns=undated))
    told = (Role.CATEGORY, Role.TEXT)
    empty = [
        n
        for n, r in features.items()
        if facts.guesses[n] == Role.IGNORE
        or n in undated
        or (r == Role.NUMERIC and facts.guesses[n] in (*told, Role.DATE))
    ]
    if features and len(empty) == len(features):
        said = f"Nothing can be learnt from {_names(empty)}: one value or none, or not of the kind it is called."
        found.append(Finding(said, "Give other columns a role to learn from, under Columns."))
    return found


def _unused(plan: Plan, facts: Facts) -> list[Finding]:
    """Columns steps name though nothing is learnt from them."""
    found = []
    for at, step in enumerate(plan.steps):
        there = [name for name in step.columns if name in facts.guesses and name != plan.target]
        for unknown in (True, False):
            idle = tuple(n for n in there if (n not in plan.roles) is unknown and plan.roles.get(n) not in FEATURES)
            # Leaving out what is left out anyway does no harm.
            if idle and (unknown or step.kind != "drop"):
                why = "has no role in this pipeline" if unknown else "is not learnt from"
                said = f"{STEP_LABELS.get(step.kind, step.kind)}: {_names(idle)} {why}."
                found.append(_fixed("take_out", said, fatal=unknown, node=f"step-{at}", columns=idle))
    return found


def _unread(plan: Plan, facts: Facts) -> list[Finding]:
    """Columns with a role to learn from that no step turns into numbers: they are left out."""
    found = []
    for kind, names in plan.unread.items():
        there = tuple(name for name in names if name in facts.guesses)
        if there:
            said = f"{_names(there)} {'is' if len(there) == 1 else 'are'} not learnt from: there is no step "
            said += f"“{STEP_LABELS[kind]}” for {'it' if len(there) == 1 else 'them'}."
            found.append(_fixed("add_step", said, fatal=False, node=DATA, columns=there))
    return found


def _leaks(plan: Plan, facts: Facts) -> list[Finding]:
    """Columns that give the answer away, of those that are learnt from."""
    dropped = {name for step in plan.steps if step.kind == "drop" for name in step.columns}
    used = {name for name, role in plan.roles.items() if role in FEATURES} - dropped
    found = []
    # Of a target that cannot be learnt nothing else is worth saying.
    for leak in () if facts.refusal else facts.leaks:
        if leak.column in used:
            said = f"Leakage: {leak.message}"
            found.append(_fixed("leave_out", said, fatal=leak.fatal, node=DATA, columns=(leak.column,)))
    return found


def _order(plan: Plan) -> list[Finding]:
    """Steps that come too late to do what they say."""
    kinds = {name: role for name, role in plan.roles.items() if role in FEATURES}
    gone: set[str] = set()
    consumed: dict[str, int] = {}
    found = []
    for at, step in enumerate(plan.steps):
        node = f"step-{at}"
        late = tuple(name for name in step.columns if name in consumed)
        label = STEP_LABELS.get(step.kind, step.kind)
        if step.kind == "drop":
            if late:
                said = (
                    f"{label}: step {consumed[late[0]] + 1} has turned {_names(late)} into numbers already, and "
                    "these stay. Here it comes too late."
                )
                found.append(_fixed("first", said, fatal=True, node=node, columns=late))
            gone.update(step.columns)
        elif step.kind in READ_BY:
            wanted = READ_BY[step.kind]
            suited = [n for n, role in kinds.items() if role == wanted and n not in gone]
            acted = [n for n in (step.columns or suited) if n in suited and n not in consumed]
            if late:
                said = f"{label}: step {consumed[late[0]] + 1} has turned {_names(late)} into numbers already."
                found.append(_fixed("take_out", said, fatal=False, node=node, columns=late))
            elif suited and not acted and not step.columns:
                found.append(_fixed("remove", f"{label}: earlier steps left nothing to do.", fatal=False, node=node))
            consumed.update(dict.fromkeys(acted, at))
        elif step in plan.steps[:at] and step.kind != "balance":
            # After something was encoded the same step has new columns to work on.
            since = plan.steps[plan.steps.index(step) : at]
            if not any(one.kind in READ_BY for one in since):
                said = f"{label}: step {plan.steps.index(step) + 1} has done the same already."
                found.append(_fixed("remove", said, fatal=False, node=node))
    return found


def _names(columns: Sequence[str]) -> str:
    return ", ".join(columns[:3]) + (f" and {len(columns) - 3:,} more" if len(columns) > 3 else "")
