"""A pipeline as cards: data, each step, split, models and scores; the open one can be changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from lib.services.pipelines import Suggested
from lib.training import editing
from lib.training.learners import FAMILIES
from lib.training.metrics import METRICS
from lib.training.plan import LEAST_BUDGET_S, MOST_BUDGET_S, STEP_LABELS, STEP_METHODS, STEP_NUMBERS, Plan, Step
from lib.training.portfolio import LABELS, NEEDY
from lib.training.review import MODELS, Facts, Finding, Review, mend
from lib.training.schema import Role, Task
from lib.ui.pipeline_draft import Draft
from lib.ui.pipeline_graph import Node, card_of
from lib.ui.text import plain

METHODS = {
    "auto": "What suits each model",
    "median": "The median",
    "mean": "The mean",
    "zero": "Zero",
    "onehot": "A column each category",
    "ordinal": "Rank by frequency",
    "target": "Mean of the target, out of fold",
    "standard": "Mean 0, spread 1",
    "robust": "By median and quartiles",
    "quantile": "By rank",
    "none": "Not at all",
    "weights": "Weigh rows of rare classes more",
    "oversample": "Repeat rows of rare classes",
    "undersample": "Leave out rows of frequent classes",
}
# label, usual value, step of the input
_SETTINGS = {"most": ("Words kept", 60.0, 1.0), "share": ("Share clipped at each end", 0.005, 0.001)}
_TASKS = {Task.BINARY: "One of two classes", Task.MULTICLASS: "One of several classes", Task.REGRESSION: "A number"}


class Cards:
    """Draws the cards of a draft. may: whether its reader may change it."""

    def __init__(self, draft: Draft, review: Review, may: bool) -> None:
        self.draft, self.review, self.may = draft, review, may

    @property
    def plan(self) -> Plan:
        return self.draft.plan

    def draw(self, nodes: Sequence[Node]) -> None:
        """A card a node; models and their ensemble share one."""
        last = len(self.plan.steps) - 1
        drawn: set[str] = set()
        for node in nodes:
            card = card_of(node.id)
            if card in drawn:
                continue
            drawn.add(card)
            with st.container(border=True, key=f"pipeline_card_{card}", gap="small"):
                self._head(card, node, last)
                for n, finding in enumerate(self.review.at(card)):
                    self._finding(card, n, finding)
                if card == self.draft.selected:
                    self._editor(card, node)

    def _head(self, card: str, node: Node, last: int) -> None:
        opened = card == self.draft.selected
        title, detail = node.title, node.detail
        if card == MODELS:
            title = "Models"
            detail = ", ".join(LABELS.get(one, one) for one in self.plan.families) or "none"
            detail += ", joined by weights out of fold" if self.plan.ensemble and len(self.plan.families) > 1 else ""
            # Nothing is done that no card says; for trees neither matters.
            if self.plan.bare and NEEDY & set(self.plan.families):
                detail += f". For all but trees {self.plan.bare}"
        sign = {"error": ":red[:material/error:] ", "warning": ":orange[:material/warning:] "}.get(node.state, "")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"{sign}**{plain(title)}** · {plain(detail)}", width="stretch")
            with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
                if node.movable:
                    at, move = node.place, self.draft.move
                    self._icon("up", card, ":material/arrow_upward:", "Earlier", move, (at, at - 1), at == 0)
                    self._icon("down", card, ":material/arrow_downward:", "Later", move, (at, at + 1), at == last)
                    self._icon("remove", card, ":material/delete:", "Remove this step", self.draft.remove, (at,))
                icon = ":material/expand_less:" if opened else ":material/edit:"
                words = "Close" if opened else ("Change" if self.may else "Look at it")
                self._icon("open", card, icon, words, self.draft.select, (card,), always=True)

    def _icon(
        self,
        what: str,
        card: str,
        icon: str,
        words: str,
        act: Callable[..., None],
        args: tuple[Any, ...],
        off: bool = False,
        *,
        always: bool = False,
    ) -> None:
        st.button(
            words if what == "open" else "",
            icon=icon,
            key=f"pipeline_{what}_{card}",
            help=words,
            type="tertiary",
            disabled=off or not (self.may or always),
            on_click=act,
            args=args,
        )

    def _finding(self, card: str, n: int, finding: Finding) -> None:
        show, icon = (st.error, ":material/error:") if finding.fatal else (st.warning, ":material/warning:")
        facts = self.review.facts
        with st.container(horizontal=True, vertical_alignment="center"):
            show(f"{plain(finding.message, 600)} {plain(finding.remedy)}", icon=icon, width="stretch")
            if finding.fix and facts is not None:
                st.button(
                    "Do so",
                    key=f"pipeline_mend_{card}_{n}",
                    help=finding.remedy,
                    icon=":material/build:",
                    disabled=not self.may,
                    on_click=self._mend,
                    args=(finding, facts),
                )

    def _mend(self, finding: Finding, facts: Facts) -> None:
        self.draft.change(lambda: mend(self.plan, finding, facts))

    # --- editors ----------------------------------------------------------------------------------

    def _editor(self, card: str, node: Node) -> None:
        match card:
            case "data":
                self._data()
            case "split":
                self._split()
            case "models":
                self._models()
            case "scores":
                self._scores()
            case _:
                self._step(node.place)

    def _key(self, name: str) -> str:
        # A change from elsewhere makes the widgets begin anew, with the plan's values.
        return f"pipeline_{name}_{self.draft.id or 0}_{self.draft.tick}"

    def _set(self, name: str, change: Callable[[Any], Plan], *, others: bool = False) -> dict[str, Any]:
        """What a widget needs to write its value into the plan. others: it changes what other widgets show, too."""
        key = self._key(name)

        def apply() -> None:
            self.draft.change(lambda: change(st.session_state[key]), outside=others)

        return {"key": key, "on_change": apply, "disabled": not self.may}

    def _data(self) -> None:
        names = [name for name in self.plan.roles if name]
        st.selectbox(
            "Target: the column to predict",
            names,
            index=names.index(self.plan.target) if self.plan.target in names else None,
            filter_mode="contains",
            placeholder="Choose a column",
            **self._set("target", lambda name: _with_target(self.plan, name, self.review.facts)),
        )
        counts = {role: list(self.plan.roles.values()).count(role) for role in Role}
        said = ", ".join(f"{count:,} {role}" for role, count in counts.items() if count)
        st.caption(f"{plain(said)}. What each column is for is changed under Columns.")

    def _step(self, at: int) -> None:
        step = self.plan.steps[at]
        methods = STEP_METHODS.get(step.kind, ())
        with st.container(horizontal=True):
            if methods:
                st.selectbox(
                    "Method",
                    methods,
                    index=methods.index(step.method) if step.method in methods else 0,
                    format_func=lambda one: METHODS.get(one, one),
                    **self._set("method", lambda one: editing.changed(self.plan, at, replace(step, method=one))),
                )
            for name, (low, high) in STEP_NUMBERS.get(step.kind, {}).items():
                self._number(at, step, name, low, high)
        if step.kind != "balance":
            fitting = editing.candidates(self.plan, step.kind)
            options = list(dict.fromkeys((*step.columns, *fitting)))
            st.multiselect(
                "Columns",
                options,
                default=list(step.columns),
                placeholder="Choose columns" if step.kind == "drop" else f"All that suit ({len(fitting):,})",
                filter_mode="contains",
                **self._set(
                    "columns", lambda chosen: editing.changed(self.plan, at, replace(step, columns=tuple(chosen)))
                ),
            )

    def _number(self, at: int, step: Step, name: str, low: float, high: float) -> None:
        label, usual, by = _SETTINGS[name]
        held = step.params.get(name, usual)
        whole = by >= 1
        cast = int if whole else float

        def change(value: float) -> Plan:
            rest = {one: kept for one, kept in step.params.items() if one != name}
            return editing.changed(self.plan, at, replace(step, params={**rest, name: cast(value)}))

        st.number_input(
            label,
            cast(low),
            cast(high),
            cast(min(max(held, low), high)),
            step=cast(by),
            format=None if whole else "%.4f",
            **self._set(name, change),
        )

    def _split(self) -> None:
        roles = self.plan.roles
        with st.container(horizontal=True):
            st.number_input(
                "Folds (0: by the number of rows)",
                0,
                20,
                min(max(self.plan.folds, 0), 20),
                **self._set("folds", lambda n: replace(self.plan, folds=int(n))),
            )
            st.number_input(
                "Share held out and scored once",
                0.0,
                0.5,
                min(max(float(self.plan.holdout), 0.0), 0.5),
                0.05,
                **self._set("holdout", lambda share: replace(self.plan, holdout=float(share))),
            )
        names = [name for name in roles if name != self.plan.target]
        with st.container(horizontal=True):
            for role, label in ((Role.TIME, "Earlier rows first, by"), (Role.GROUP, "Rows kept together, by")):
                held = self.plan.of(role)
                st.selectbox(
                    label,
                    names,
                    index=names.index(held) if held in names else None,
                    placeholder="No column",
                    filter_mode="contains",
                    **self._set(str(role), self._singly(role), others=True),
                )

    def _singly(self, role: Role) -> Callable[[str | None], Plan]:
        return lambda name: _with_single(self.plan, role, name, self.review.facts)

    def _switching(self, name: str) -> Callable[[bool], Plan]:
        return lambda on: Plan.from_json({**self.plan.to_json(), name: bool(on)})

    def _models(self) -> None:
        plan = self.plan
        known = list(dict.fromkeys((*FAMILIES, *plan.families)))
        st.multiselect(
            "Models to try",
            known,
            default=list(plan.families),
            format_func=lambda one: LABELS.get(one, one),
            **self._set("families", lambda chosen: replace(self.plan, families=tuple(chosen))),
        )
        with st.container(horizontal=True):
            st.number_input(
                "Budget in seconds",
                LEAST_BUDGET_S,
                MOST_BUDGET_S,
                min(max(float(plan.budget_s), LEAST_BUDGET_S), MOST_BUDGET_S),
                10.0,
                **self._set("budget", lambda one: replace(self.plan, budget_s=float(one))),
            )
            st.number_input(
                "Searched models",
                0,
                10**6,
                plan.trials,
                placeholder="As many as fit",
                help="After the first of each family. Empty: as many as the budget allows.",
                **self._set("trials", lambda one: replace(self.plan, trials=None if one is None else int(one))),
            )
            st.number_input(
                "Seed", 0, 2**31 - 1, plan.seed, **self._set("seed", lambda one: replace(self.plan, seed=int(one)))
            )
        with st.container(horizontal=True):
            for name, label in (
                ("ensemble", "Join them into an ensemble"),
                ("calibrate", "Calibrate probabilities"),
                ("tune_threshold", "Tune the threshold"),
            ):
                st.toggle(
                    label,
                    getattr(plan, name),
                    **self._set(name, self._switching(name)),
                )

    def _scores(self) -> None:
        plan, facts = self.plan, self.review.facts
        found = facts.task if facts else None
        told = f"Detected: {_TASKS[found].lower()}" if found else "Detected when it is trained"
        with st.container(horizontal=True):
            st.selectbox(
                "What is predicted",
                list(_TASKS),
                index=list(_TASKS).index(plan.task) if plan.task else None,
                format_func=lambda one: _TASKS[one],
                placeholder=told,
                **self._set("task", lambda one: replace(self.plan, task=one, metric="auto"), others=True),
            )
            task = plan.task or found
            fitting = ["auto", *(one.name for one in METRICS.values() if task is None or task in one.tasks)]
            if plan.metric not in fitting:
                fitting.append(plan.metric)
            st.selectbox(
                "Metric",
                fitting,
                index=fitting.index(plan.metric),
                format_func=lambda one: (
                    "The task's usual one" if one == "auto" else METRICS[one].label if one in METRICS else one
                ),
                **self._set("metric", lambda one: replace(self.plan, metric=one)),
            )


def _with_target(plan: Plan, name: str | None, facts: Facts | None) -> Plan:
    if not name:
        return replace(plan, target="")
    before = plan.target
    made = editing.with_roles(plan, {name: Role.TARGET.value})
    guess = facts.guesses.get(before, "") if facts else ""
    # What was the target is a column like any other now; what it is was never guessed while it was the target.
    if before and before != name and guess and guess != Role.TARGET:
        made = editing.with_roles(made, {before: guess})
    return replace(made, metric="auto")


def _with_single(plan: Plan, role: Role, name: str | None, facts: Facts | None) -> Plan:
    """The only column with this role, the one before being what its values suggest."""
    roles = {
        held: (facts.guesses.get(held, Role.IGNORE.value) if facts else Role.IGNORE.value)
        for held, one in plan.roles.items()
        if one == role and held != name
    }
    return editing.with_roles(plan, {**roles, **({name: role.value} if name else {})})


def adder(draft: Draft, may: bool) -> None:
    """A step of any kind, put where such steps usually stand."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.selectbox(
            "Add a step",
            list(STEP_METHODS),
            format_func=lambda one: STEP_LABELS[one],
            key="pipeline_add_kind",
            disabled=not may,
            width=320,
        )
        st.button(
            "Add",
            icon=":material/add:",
            key="pipeline_add",
            disabled=not may,
            on_click=lambda: draft.add(Step(kind or "impute")),
        )


def suggestions(draft: Draft, suggested: Suggested, may: bool) -> None:
    """What was suggested for the dataset, each to be accepted by itself."""
    for n, one in enumerate(suggested.steps):
        there = one.step in draft.plan.steps
        _suggestion(
            f"step_{n}", one.step.label, one.reason, one.confidence, one.tables, there, may, _adding(draft, one)
        )
    for n, model in enumerate(suggested.models):
        there = model.family in draft.plan.families
        label = f"Model: {LABELS.get(model.family, model.family)}"
        take = _taking(draft, model.family)
        _suggestion(f"model_{n}", label, model.reason, model.confidence, model.tables, there, may, take)


def _adding(draft: Draft, one: Any) -> Callable[[], None]:
    return lambda: draft.add(one.step)


def _taking(draft: Draft, family: str) -> Callable[[], None]:
    return lambda: draft.edit(replace(draft.plan, families=(*draft.plan.families, family)))


def _suggestion(
    key: str,
    label: str,
    reason: str,
    confidence: float,
    tables: int,
    there: bool,
    may: bool,
    accept: Callable[[], None],
) -> None:
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        sure = f"confidence {confidence:.0%}, by {tables:,} tables like this one"
        st.markdown(f"**{plain(label)}** · {plain(reason, 600)} :gray[{plain(sure)}]", width="stretch")
        st.button(
            "In the pipeline" if there else "Accept",
            icon=":material/check:" if there else ":material/add:",
            key=f"pipeline_accept_{key}",
            disabled=there or not may,
            on_click=accept,
        )
