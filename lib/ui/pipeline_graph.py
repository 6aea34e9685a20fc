"""A pipeline as a graph of nodes: clicked or reached by keyboard to select one, dragged or moved by Alt and arrows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lib.training.plan import STEP_LABELS, Plan
from lib.training.portfolio import LABELS
from lib.training.review import DATA, MODELS, SCORES, SPLIT, Finding, Review
from lib.ui import components

_HTML = '<div class="graph"></div>'
ENSEMBLE = "ensemble"
_LONGEST = 80


@dataclass(frozen=True)
class Node:
    """layer: its column, from 0; state: error, warning or nothing; said: what is wrong; place: of a step that can be
    moved; label: what a screen reader says."""

    id: str
    layer: int
    kind: str
    title: str
    detail: str
    state: str = ""
    said: str = ""
    movable: bool = False
    place: int = -1
    label: str = ""


def nodes(plan: Plan, review: Review, dataset: str, editable: bool = True) -> list[Node]:
    """The plan as nodes, in the order of its cards: data, steps, split, models, ensemble, scores."""
    ignored = set(plan.roles.values())
    target = f"to predict {plan.target}" if plan.target else "no target yet"
    found = [_node(review, DATA, 0, "data", _cut(dataset), _cut(target))]
    for place, step in enumerate(plan.steps):
        where = ", ".join(step.columns[:4]) + (f" and {len(step.columns) - 4:,} more" if len(step.columns) > 4 else "")
        how = f"{step.method}: " if step.method and step.method != "auto" else ""
        title = f"{place + 1} {STEP_LABELS.get(step.kind, step.kind)}"
        detail = how + (where or ("all classes" if step.kind == "balance" else "all that suit"))
        found.append(_node(review, f"step-{place}", place + 1, "step", _cut(title), _cut(detail), editable, place))
    layer = len(plan.steps) + 1
    by = "by time" if "time" in ignored else "by group" if "group" in ignored else "shuffled"
    folds = f"{plan.folds} folds" if plan.folds else "folds by size"
    held = f", {plan.holdout:.0%} held out" if plan.holdout else ""
    found.append(_node(review, SPLIT, layer, "split", "Split", f"{folds}, {by}{held}"))
    families = plan.families or ("none",)
    for family in families:
        title = LABELS.get(family, family)
        found.append(_node(review, f"model-{family}", layer + 1, "model", _cut(title), ""))
    if plan.ensemble and len(plan.families) > 0:
        layer += 1
        found.append(_node(review, ENSEMBLE, layer + 1, "model", "Ensemble", "weights out of fold"))
    metric = "usual metric" if plan.metric == "auto" else plan.metric.removeprefix("neg_").replace("_", " ")
    found.append(_node(review, SCORES, layer + 2, "scores", "Scores", _cut(f"{metric}, {plan.budget_s:g} s")))
    return found


def card_of(node: str) -> str:
    """The card that tells of a node: models and their ensemble share one."""
    return MODELS if node.startswith("model-") or node == ENSEMBLE else node


def _node(
    review: Review, node: str, layer: int, kind: str, title: str, detail: str, movable: bool = False, place: int = -1
) -> Node:
    found: list[Finding] = review.at(MODELS if node.startswith("model-") else node)
    state = "error" if any(one.fatal for one in found) else "warning" if found else ""
    said = " ".join(f"{one.message} {one.remedy}" for one in found[:3])
    moves = " Alt with an arrow moves it." if movable else ""
    label = f"{title}{': ' if detail else ''}{detail}. {f'{state}: {said}' if state else ''}{moves}"
    return Node(node, layer, kind, title, detail, state, said, movable, place, label)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@dataclass(frozen=True)
class Picked:
    node: str


@dataclass(frozen=True)
class Moved:
    at: int
    to: int


def event(held: Mapping[str, Any], plan: Plan) -> Picked | Moved | None:
    """What somebody did, from what the browser sent: it may be anything, or of a plan that has changed since."""
    moved, picked = held.get("moved"), held.get("picked")
    last = len(plan.steps)
    if isinstance(moved, Mapping):
        at, to = moved.get("at"), moved.get("to")
        whole = all(isinstance(one, int) and not isinstance(one, bool) for one in (at, to))
        return Moved(at, to) if whole and 0 <= at < last and 0 <= to < last else None  # type: ignore[operator, arg-type]
    if isinstance(picked, str):
        known = {DATA, SPLIT, MODELS, SCORES, *(f"step-{n}" for n in range(last))}
        return Picked(card_of(picked)) if card_of(picked) in known else None
    return None


def show(shown: list[Node], selected: str, *, key: str, on_event: Callable[[], None]) -> None:
    """Draw it; `on_event` is called before the next run and finds under `key` what `event` understands."""
    picked = "model-" if selected == MODELS else selected
    first = next((one.id for one in shown if one.id.startswith(picked)), selected) if picked == "model-" else selected
    components.component("autoops", "pipeline", "graph", html=_HTML, css="pipeline.css", js="pipeline.js")(
        key=key,
        data={"nodes": [asdict(one) for one in shown], "selected": first, "label": "The pipeline as a graph"},
        on_picked_change=on_event,
        on_moved_change=on_event,
    )
