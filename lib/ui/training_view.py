"""Trainings on the page: choose what to train, watch it, find the runs there were, go on, again, take the log along."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.datasets.schema import ColumnType
from lib.datasets.schema import Role as DatasetRole
from lib.db.tables import TaskStatus
from lib.errors import AppError, NotFound
from lib.services.datasets import Listed
from lib.services.datasets_versions import SHORT
from lib.services.training import Run
from lib.services.training_setup import Proposal, Wanted
from lib.tasks.runner import ACTIVE
from lib.training import metrics, portfolio, words
from lib.training.plan import Plan
from lib.training.schema import Role, Task
from lib.ui import dataset_view, refusal, state, tables, task_views
from lib.ui.text import ago, duration, plain

if TYPE_CHECKING:
    from lib.app import App

# The run a page is about, in its address, and whether its form is open.
IN_URL, FORM, OPEN, REFUSED = "run", "train_form", "train_open", "train_refused"
BUDGETS = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
HOLDOUTS = (0.0, 0.1, 0.2, 0.3)
SPLITS = {"random": "At random", "time": "By time", "group": "By group"}
KINDS = {"": "As the column looks", "number": "A number", "classes": "One of some classes"}
LAST_LINES = 40


def about_a_dataset() -> bool:
    """Whether somebody came with a dataset to train on rather than to see a run."""
    return dataset_view.IN_URL in st.query_params and IN_URL not in st.query_params


# --- choosing ----------------------------------------------------------------------------------------


def setup(app: App, actor: Actor, listed: list[Listed]) -> None:
    """What to train, what stands against it, and the button that starts it."""
    one = dataset_view.picker(listed)
    columns = {each.name: each for each in one.head.columns}
    names = list(columns)
    own = next((name for name, each in columns.items() if each.role is DatasetRole.TARGET), None)
    with st.container(horizontal=True):
        version = _version(app, actor, one)
        starts = app.training_setup.starts(actor, one.id, version)
        # What the first pipeline kept for this dataset predicts, where the dataset does not say.
        own = own or next((plan.target for plan in starts.values() if plan.target in columns), None)
        target = st.selectbox(
            "Predict",
            names,
            index=names.index(own) if own else None,
            key=f"train_target_{one.id}",
            placeholder="Choose a column",
            filter_mode="contains",
            width=260,
        )
        kind = st.selectbox("It is", list(KINDS), key="train_kind", format_func=lambda each: KINDS[each], width=190)
        start = st.selectbox(
            "Begin from", list(starts), key="train_start", width=220, help="A kept pipeline, or a template."
        )
    split, by = _split(columns, target, one.id)
    if target is None:
        st.info("Choose the column to predict.", icon=":material/target:")
        return
    begun = starts[start]
    wanted = Wanted(one.id, target, version, start, split=split, by=by or "", kind=kind)
    # Found out first, for it says which metrics there are.
    wanted = _details(wanted, app.training_setup.propose(actor, wanted).task, begun, names)
    proposal = app.training_setup.propose(actor, wanted)
    _proposal(proposal)
    may = actor.may(Permission.RUN_TASKS)
    st.button(
        "Start",
        icon=":material/play_arrow:",
        key="train_go",
        type="primary",
        disabled=not may or bool(proposal.fatal),
        help="" if may else "Training takes the role analyst.",
        on_click=_begin,
        args=(app, actor, wanted),
    )
    refused = state.choices((REFUSED,)).get(REFUSED)
    if refused:
        state.choose({}, forget=(REFUSED,))
        st.error(plain(refused, 800), icon=":material/error:")


def _begin(app: App, actor: Actor, wanted: Wanted) -> None:
    """In a callback, before anything is drawn: only there can the form be closed."""
    try:
        show(app.training_setup.start(actor, wanted).id)
    except AppError as error:
        state.choose({REFUSED: error.message})


def _version(app: App, actor: Actor, one: Listed) -> str | None:
    if one.versions < 2:
        return None
    rows = {each.hash: each for each in app.datasets.get(actor, one.id)[1]}
    chosen = st.selectbox(
        "Version",
        list(rows),
        key=f"train_version_{one.id}_{one.head.hash[:SHORT]}",
        format_func=lambda each: f"{rows[each].number} · {each[:SHORT]} · {rows[each].rows:,} rows",
        width=220,
    )
    return str(chosen)


def _split(columns: dict[str, Any], target: str | None, dataset_id: int) -> tuple[str, str | None]:
    """How rows that are learnt from are kept apart from those that are predicted."""
    time = next((name for name, each in columns.items() if each.role is DatasetRole.TIME), None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        split = st.segmented_control(
            "Keep rows apart",
            list(SPLITS),
            default="time" if time else "random",
            required=True,
            key=f"train_split_{dataset_id}",
            format_func=lambda each: SPLITS[each],
            help="By time: each row is predicted from earlier ones. By group: rows of one group stay together.",
        )
        if split == "random":
            return "random", None
        held = [
            name
            for name, each in columns.items()
            if name != target and (split == "group" or each.type not in (ColumnType.TEXT, ColumnType.BOOLEAN))
        ]
        by = st.selectbox(
            "By the column",
            held,
            index=held.index(time) if split == "time" and time in held else None,
            key=f"train_by_{dataset_id}_{split}",
            placeholder="Choose a column",
            width=220,
        )
    return str(split), by


def _details(wanted: Wanted, task: Task | None, begun: Plan, names: Sequence[str]) -> Wanted:
    suited = ["auto", *(each.name for each in metrics.METRICS.values() if task is None or task in each.tasks)]
    usual = metrics.METRICS[metrics.USUAL[task]].label if task else "the task's own"
    # Another beginning has other defaults, so its choices are widgets of their own.
    of = wanted.start
    with st.container(horizontal=True):
        metric = st.selectbox(
            "Metric",
            suited,
            index=suited.index(begun.metric) if begun.metric in suited else 0,
            key=f"train_metric_{of}_{task}",
            format_func=lambda each: f"Usual: {usual}" if each == "auto" else metrics.METRICS[each].label,
            width=220,
        )
        budgets = sorted({*BUDGETS, begun.budget_s})
        budget = st.selectbox(
            "Time budget",
            budgets,
            index=budgets.index(begun.budget_s),
            key=f"train_budget_{of}",
            format_func=duration,
            width=130,
            help="Of the clock. The search ends with it.",
        )
        shares = sorted({*HOLDOUTS, begun.holdout})
        holdout = st.selectbox(
            "Hold out",
            shares,
            index=shares.index(begun.holdout),
            key=f"train_holdout_{of}",
            format_func=lambda share: f"{share:.0%} of the rows" if share else "Nothing",
            width=170,
            help="Rows kept from everything and scored once, at the end. Without, all rows are predicted across folds.",
        )
        seed = st.number_input("Seed", 0, 2**31 - 1, begun.seed, key=f"train_seed_{of}", width=130)
    families = st.pills(
        "Models",
        list(portfolio.LABELS),
        selection_mode="multi",
        default=[each for each in portfolio.LABELS if each in begun.families],
        key=f"train_families_{of}",
        format_func=lambda each: portfolio.LABELS[each],
        wrap=True,
    )
    with st.container(horizontal=True):
        out = st.multiselect(
            "Leave out",
            [name for name in names if name != wanted.target],
            key=f"train_out_{wanted.dataset_id}",
            placeholder="Columns not to learn from",
            filter_mode="contains",
        )
        name = st.text_input("Name", key="train_name", max_chars=120, placeholder="Made of target and dataset")
    fields = {
        "metric": metric,
        "budget_s": budget,
        "holdout": holdout,
        "seed": int(seed),
        "families": tuple(families),
        "leave_out": tuple(out),
        "name": name,
    }
    return Wanted(**{**vars(wanted), **fields})


def _proposal(found: Proposal) -> None:
    if found.said:
        used = len(found.plan.roles) - len(found.left_out) - (found.plan.target in found.plan.roles)
        columns = "1 column" if used == 1 else f"{used} columns"
        st.caption(f":material/target: {plain(found.said)} {found.rows:,} rows, {columns} to learn from.")
    for one in sorted(found.problems, key=lambda each: not each.fatal):
        callout, icon = (st.error, ":material/error:") if one.fatal else (st.warning, ":material/warning:")
        callout(plain(one.message, 600), icon=icon)
    if found.left_out:
        shown = [f"{plain(name, 60)} ({plain(why, 60)})" for name, why in list(found.left_out.items())[:12]]
        more = f" and {len(found.left_out) - 12:,} more" if len(found.left_out) > 12 else ""
        st.caption(f"Not learnt from: {', '.join(shown)}{more}.")


# --- runs --------------------------------------------------------------------------------------------


def show(run_id: str) -> None:
    """In a callback: make the page be about a run."""
    st.query_params[IN_URL] = run_id
    state.choose({FORM: False})


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """Words for each run, no two the same: the browser tells options apart by their words alone."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for run in runs:
        sign = task_views.SIGNS[TaskStatus(run.status)]
        said = f"{sign} {run.name} · {run.at:%Y-%m-%d %H:%M}"
        found[run.id] = said if said not in taken else f"{said} · {run.id[:6]}"
        taken.add(said)
    return found


def picker(runs: Sequence[Run]) -> Run:
    """The run of `?run=…`, else the newest."""
    by_id, named = {one.id: one for one in runs}, labels(runs)
    asked = st.query_params.get(IN_URL, "")
    chosen = asked if asked in by_id else runs[0].id
    key = f"train_run_{chosen}"
    st.selectbox(
        "Run",
        list(by_id),
        index=list(by_id).index(chosen),
        key=key,
        on_change=lambda: show(st.session_state[key]),
        format_func=lambda one: named[one],
        filter_mode="contains",
        width=520,
    )
    return by_id[chosen]


def head(app: App, actor: Actor, run: Run) -> None:
    """What it is, in a line, and what can be done with it."""
    plan, task = run.plan, TaskStatus(run.status)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(run.name), width="stretch", anchor=False)
        icon, colour = task_views.ICONS[task]
        st.badge(task.capitalize(), icon=icon, color=colour)
    split = "by time" if plan.of(Role.TIME) else "by group" if plan.of(Role.GROUP) else "at random"
    version = f" version {run.data_hash[:SHORT]}" if run.data_hash else ""
    st.caption(
        f"{plain(plan.target, 80)} of {plain(run.table, 80)}{version} · split {split} · "
        f"budget {duration(plan.budget_s)} · seed {plan.seed} · "
        f"by {plain(run.by)}, {ago(run.at, app.clock(), short=True)}"
    )
    if run.error:
        st.error(plain(run.error, 2000), icon=icon)


def acts(app: App, actor: Actor, run: Run) -> None:
    """Again, go on, remove, and the log to take along."""
    if run.status in ACTIVE:
        return
    may = actor.may(Permission.RUN_TASKS)
    with st.container(horizontal=True):
        again = st.button(
            "Run again",
            icon=":material/replay:",
            key="train_again",
            disabled=not may,
            help="The same plan on the same data with the same seed.",
        )
        on = run.status != TaskStatus.SUCCEEDED and st.button(
            "Go on", icon=":material/resume:", key="train_on", disabled=not may, help="From its last finished fold."
        )
        with st.popover("Remove", icon=":material/delete:", key=f"train_ask_{run.id}", disabled=not may):
            st.markdown("Remove this run with its model? Versions in the registry are copies and stay.")
            gone = st.button("Remove it", type="primary", key=f"train_remove_{run.id}")
    with refusal.shown():
        if again:
            st.query_params[IN_URL] = app.training.replay(actor, run.id).id
            st.rerun(scope="app")
        if on:
            app.training.resume(actor, run.id)
            st.rerun(scope="app")
        if gone:
            app.training.remove(actor, run.id)
            st.query_params.pop(IN_URL, None)
            st.rerun(scope="app")


def live(app: App, actor: Actor, run: Run) -> None:
    """Budget, leaderboard and the end of the log, drawn anew each second until it ends."""
    try:
        run = app.training.get(actor, run.id)
        task = app.jobs.get(actor, run.task_id)
    except NotFound:  # removed by somebody else
        st.rerun(scope="app")
    if task.status not in ACTIVE:
        st.rerun(scope="app")
    used, budget = app.training.used_s(actor, run.id), run.plan.budget_s
    if task.status == TaskStatus.PENDING:
        st.progress(0.0, text="Waiting for a free place: see Tasks for what runs.")
    else:
        said = f"{duration(used)} of {duration(budget)} used: {plain(task.message or 'reading the table')}"
        st.progress(min(used / budget, 1.0), text=said)
    if app.jobs.may_cancel(actor, task) and st.button(
        "Cancel", icon=":material/stop_circle:", key="train_cancel", help="Finished folds stay, so that it can go on."
    ):
        with refusal.shown():
            app.jobs.cancel(actor, run.task_id)
            st.rerun(scope="app")
    rows = app.training.board(actor, run.id)
    if rows:
        leaderboard(rows, _metric(app, actor, run))
    else:
        st.caption("The first model is being fitted; it takes a few seconds.")
    log(app, actor, run, LAST_LINES)


def _metric(app: App, actor: Actor, run: Run) -> str:
    """What the scores are of: chosen by name, or found out when it began."""
    found = app.training.results(actor, run.id)
    began = next((one for one in app.training.live(actor, run.id) if one["kind"] == "start"), {})
    return str(found["metric"] if found else began.get("metric", run.plan.metric))


def board(app: App, actor: Actor, run: Run) -> None:
    """The leaderboard of a run that has ended."""
    rows = app.training.board(actor, run.id)
    if not rows:
        st.info("No model was finished.", icon=":material/leaderboard:")
        return
    leaderboard(rows, _metric(app, actor, run))
    st.caption(
        f"{len(rows):,} models; {duration(app.training.used_s(actor, run.id))} of {duration(run.plan.budget_s)} used."
    )


def leaderboard(rows: Sequence[dict[str, Any]], metric: str) -> None:
    """One row a model, the best first."""
    held = metrics.METRICS.get(metric)
    weighed = {"weight": [row["weight"] or 0.0 for row in rows]} if any(row["weight"] for row in rows) else {}
    st.dataframe(
        pd.DataFrame(
            {
                "model": [_mark(row, place) + row["name"] for place, row in enumerate(rows)],
                "value": [row["value"] for row in rows],
                "sure": [
                    "–" if row["low"] is None else f"{words.number(row['low'])} to {words.number(row['high'])}"
                    for row in rows
                ],
                "took": [row["took_s"] for row in rows],
                "what": [words.FAMILIES.get(row["family"], row["family"]) for row in rows],
                **weighed,
                "at": [row["at_s"] for row in rows],
                "params": [_params(row["params"]) for row in rows],
            }
        ),
        column_config={
            "model": st.column_config.TextColumn(
                "Model",
                pinned=True,
                width=200,
                help="★ the one that is kept, or the best so far; ◆ the first that could be used; ∑ the ensemble.",
            ),
            "value": st.column_config.NumberColumn(
                held.label if held else "Score",
                format="%.4g",
                help=f"{words.METRICS.get(metric, '')} {'Smaller' if held and held.error else 'Greater'} is better.",
            ),
            "sure": st.column_config.TextColumn("95% sure", help="From the spread over folds; three at least."),
            "took": st.column_config.NumberColumn("Fit (s)", format="%.2f", help="All folds together."),
            "what": st.column_config.TextColumn("What it is", width="medium"),
            "weight": st.column_config.NumberColumn("Weight", format="%.2f", help="Its say in the ensemble."),
            "at": st.column_config.NumberColumn("After (s)", format="%.1f", help="Of the budget, when it was done."),
            "params": st.column_config.TextColumn("Parameters", width="medium"),
        },
        hide_index=True,
        height=min(38 + 35 * len(rows), 430),
        key="train_board",
        alt=f"Leaderboard of {len(rows)} models, the best first",
    )


def _mark(row: dict[str, Any], place: int) -> str:
    signs = ("∑" if row["family"] == "ensemble" else "") + ("★" if place == 0 else "") + ("◆" if row["usable"] else "")
    return f"{signs} " if signs else ""


def _params(params: dict[str, Any]) -> str:
    return ", ".join(f"{name} {one:.3g}" if isinstance(one, float) else f"{name} {one}" for name, one in params.items())


def log(app: App, actor: Actor, run: Run, lines: int) -> None:
    """The end of the log, and all of it to take along."""
    try:
        task = app.jobs.get(actor, run.task_id)
    except NotFound:
        st.caption(f"Logs are kept for {app.settings.task_keep_days:g} days; this one is gone.")
        return
    with st.container(horizontal=True):
        for suffix, label, mime in (("txt", "Log as text", "text/plain"), ("json", "Log as JSON", "application/json")):
            st.download_button(
                label,
                partial(app.jobs.log_file, actor, run.task_id, as_text=suffix == "txt"),
                f"training-{run.id}.{suffix}",
                mime,
                key=f"train_log_{suffix}",
                icon=":material/download:",
                on_click="ignore",
            )
    task_views.log(app.jobs.log(actor, run.task_id, after=-lines), task.status in ACTIVE)


def every(runs: Sequence[Run], app: App) -> None:
    """All runs, newest first; a row's button opens it."""
    ids, now = [one.id for one in runs], app.clock()

    def open_() -> None:
        click = st.session_state[OPEN]
        if click is not None and click.row < len(ids):
            show(ids[click.row])

    scores = [(metrics.METRICS.get(one.metric), words.shown(one.metric, one.score)) for one in runs]
    st.dataframe(
        pd.DataFrame(
            {
                "status": [f"{task_views.SIGNS[TaskStatus(one.status)]} {one.status.capitalize()}" for one in runs],
                "open": ["Open"] * len(runs),
                "name": [one.name for one in runs],
                "table": [one.table for one in runs],
                "target": [one.plan.target for one in runs],
                "score": [
                    "–" if at is None else f"{held.label if held else ''} {words.number(at)}" for held, at in scores
                ],
                "budget": [duration(one.plan.budget_s) for one in runs],
                "seed": [one.plan.seed for one in runs],
                "registered": [", ".join(f"{name} {version}" for name, version in one.registered) for one in runs],
                "by": [one.by for one in runs],
                "at": pd.Series([one.at for one in runs], dtype="datetime64[ms, UTC]"),
            }
        ),
        column_config={
            "status": st.column_config.TextColumn("Status", width=112),
            "open": st.column_config.ButtonColumn("Results", width="small", type="tertiary", key=OPEN, on_click=open_),
            "name": "Run",
            "table": "Dataset",
            "target": "Predicts",
            "score": "Score",
            "budget": "Budget",
            "seed": "Seed",
            "registered": "In the registry",
            "by": "By",
            "at": tables.moment("Started"),
        },
        hide_index=True,
        key="train_runs",
        alt="Trainings, newest first",
    )
    st.caption(f"{len(runs):,} runs; the newest {ago(runs[0].at, now, short=True)}.")
