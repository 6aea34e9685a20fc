"""A plan with one thing changed, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lib.errors import Invalid
from lib.training.plan import MOST_STEPS, STEP_LABELS, Plan, Step
from lib.training.schema import FEATURES, Role

# What each kind of step works on; those not named take any column.
WORKS_ON: Mapping[str, Role] = {
    "dates": Role.DATE,
    "text": Role.TEXT,
    "encode": Role.CATEGORY,
    "clip": Role.NUMERIC,
    "impute": Role.NUMERIC,
    "scale": Role.NUMERIC,
}
# Settings of the run in the words a comparison uses.
SETTINGS: Mapping[str, str] = {
    "target": "Target",
    "task": "Task",
    "metric": "Metric",
    "families": "Models",
    "folds": "Folds",
    "holdout": "Share held out",
    "budget_s": "Budget in seconds",
    "trials": "Searched models",
    "ensemble": "Ensemble",
    "calibrate": "Calibrated probabilities",
    "tune_threshold": "Tuned threshold",
    "seed": "Seed",
    "threads": "Threads",
}


@dataclass(frozen=True)
class Difference:
    """part: Step, Column or Setting; what: which one; before, after: empty where it is not there."""

    part: str
    what: str
    before: str
    after: str


def moved(plan: Plan, at: int, to: int) -> Plan:
    """The step at a place brought to another one; places beyond the ends mean the ends. Raises Invalid."""
    _require(plan, at)
    steps = list(plan.steps)
    steps.insert(max(0, min(to, len(steps) - 1)), steps.pop(at))
    return replace(plan, steps=tuple(steps))


def removed(plan: Plan, at: int) -> Plan:
    _require(plan, at)
    return replace(plan, steps=plan.steps[:at] + plan.steps[at + 1 :])


def added(plan: Plan, step: Step, at: int | None = None) -> Plan:
    """at: the place it gets; None: where steps of its kind usually stand, so that what fills and scales comes last."""
    if len(plan.steps) >= MOST_STEPS:
        raise Invalid(f"A pipeline has at most {MOST_STEPS} steps; remove one first.")
    usual = list(STEP_LABELS)
    if at is None:
        mine = usual.index(step.kind) if step.kind in usual else len(usual)
        later = [n for n, one in enumerate(plan.steps) if one.kind in usual and usual.index(one.kind) > mine]
        at = later[0] if later else len(plan.steps)
    return replace(plan, steps=(*plan.steps[:at], step, *plan.steps[at:]))


def changed(plan: Plan, at: int, step: Step) -> Plan:
    _require(plan, at)
    return replace(plan, steps=(*plan.steps[:at], step, *plan.steps[at + 1 :]))


def without_columns(plan: Plan, at: int, columns: tuple[str, ...]) -> Plan:
    """Columns taken out of a step; a step left without any goes, since none would mean all."""
    _require(plan, at)
    kept = tuple(name for name in plan.steps[at].columns if name not in columns)
    return changed(plan, at, replace(plan.steps[at], columns=kept)) if kept else removed(plan, at)


def with_roles(plan: Plan, roles: Mapping[str, str]) -> Plan:
    """Other roles for these columns; what is no feature any more leaves the steps that name it. A column made the
    target takes the place of the one before, which is left out then: nobody said what it is."""
    held = {**plan.roles, **roles}
    target = next((name for name, role in roles.items() if role == Role.TARGET), plan.target)
    held = {name: Role.IGNORE.value if role == Role.TARGET else role for name, role in held.items()}
    if target:
        held[target] = Role.TARGET.value
    made = replace(plan, target=target, roles=held, task=plan.task if target == plan.target else None)
    return _cleaned(made, {name for name, role in held.items() if role not in FEATURES})


def forget(plan: Plan, columns: tuple[str, ...]) -> Plan:
    """A plan that knows nothing of these columns, such as those a newer version of the table has not."""
    gone = set(columns)
    return _cleaned(replace(plan, roles={n: r for n, r in plan.roles.items() if n not in gone}), gone)


def _cleaned(plan: Plan, gone: set[str]) -> Plan:
    for at in reversed(range(len(plan.steps))):
        inside = tuple(name for name in plan.steps[at].columns if name in gone)
        # Naming a column that is no feature in order to drop it does no harm, but is not needed either.
        if inside:
            plan = without_columns(plan, at, inside)
    return plan


def candidates(plan: Plan, kind: str) -> list[str]:
    """Features a step of this kind may be told to work on."""
    wanted = WORKS_ON.get(kind)
    return [name for name, role in plan.roles.items() if (role == wanted if wanted else role in FEATURES)]


def _require(plan: Plan, at: int) -> None:
    if not 0 <= at < len(plan.steps):
        raise Invalid(f"There is no step {at + 1}; the pipeline has {len(plan.steps)}.")


def differences(before: Plan, after: Plan) -> list[Difference]:
    """What one would have to change in `before` to get `after`: settings, columns, steps."""
    found = []
    for name, label in SETTINGS.items():
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            found.append(Difference("Setting", label, _said(one), _said(other)))
    for column in dict.fromkeys((*before.roles, *after.roles)):
        one, other = before.roles.get(column, ""), after.roles.get(column, "")
        if one != other:
            found.append(Difference("Column", column, str(one), str(other)))
    return found + _step_differences(before.steps, after.steps)


def _step_differences(before: tuple[Step, ...], after: tuple[Step, ...]) -> list[Difference]:
    found, left = [], list(enumerate(before))
    gone_on: list[tuple[int, int]] = []
    fresh = []
    for place, step in enumerate(after):
        same = next((pair for pair in left if pair[1] == step), None)
        if same:
            left.remove(same)
            gone_on.append((same[0], place))
        else:
            fresh.append((place, step))
    for place, step in fresh:
        kin = next((pair for pair in left if pair[1].kind == step.kind), None)
        if kin:
            left.remove(kin)
            gone_on.append((kin[0], place))
            found.append(Difference("Step", f"Step {place + 1}", _told(kin[1]), _told(step)))
        else:
            found.append(Difference("Step", f"Step {place + 1}", "", _told(step)))
    found += [Difference("Step", f"Step {place + 1}", _told(step), "") for place, step in left]
    for old, new in _overtaken(sorted(gone_on, key=lambda pair: pair[1])):
        found.append(Difference("Step", _told(after[new]), f"place {old + 1}", f"place {new + 1}"))
    return found


def _overtaken(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Which of these (place before, place now) were moved: all but the most that kept their order, where one that also
    kept its place counts a little more. The rest merely has other numbers now."""
    chains: list[tuple[float, list[tuple[int, int]]]] = []
    for pair in pairs:
        worth = 1.01 if pair[0] == pair[1] else 1.0
        best = max((one for one in chains if one[1][-1][0] < pair[0]), default=(0.0, []), key=lambda one: one[0])
        chains.append((best[0] + worth, [*best[1], pair]))
    kept = max(chains, default=(0.0, []), key=lambda one: one[0])[1]
    return [pair for pair in pairs if pair not in kept]


def _told(step: Step) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in step.params.items())
    return f"{step.label}{'; ' if settings else ''}{settings}"


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "detected" if value is None else str(value)
