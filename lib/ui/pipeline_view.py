"""Pipelines on the page: begin or choose one, see what is wrong with it, change, save and train it, take it along."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.errors import AppError, Invalid
from lib.services.datasets_versions import SHORT
from lib.services.pipelines import MOST_NAME, Listed, Opened
from lib.services.pipelines_facts import suggested_target
from lib.training import editing, words
from lib.training.metrics import METRICS
from lib.training.plan import Plan
from lib.training.review import Facts, Review
from lib.training.schema import Role
from lib.ui import deletion, links, pipeline_cards, pipeline_graph, refusal, state, tables
from lib.ui.pipeline_draft import Draft
from lib.ui.text import plain, stamp

if TYPE_CHECKING:
    from lib.app import App

# The pipeline a page is about, and the dataset one is begun on, in its address.
IN_URL, DATASET_IN_URL = "pipeline", "dataset"
GRAPH = "pipeline_graph"
TRAINING = "pages/learn/training.py"
MOST_FILE = 4 * 2**20


# --- which one ----------------------------------------------------------------------------------


def chosen(app: App, actor: Actor, listed: list[Listed]) -> Draft | None:
    """The pipeline of `?pipeline=3` as it is being changed here, else one that was begun, else the newest."""
    drafts = state.pipeline_drafts()
    by_id = {one.id: one for one in listed}
    asked = _number(IN_URL)
    if asked is not None and asked not in by_id:
        st.warning(f"There is no pipeline {asked}; it may have been deleted.", icon=":material/search_off:")
        asked = None
    # 0 for the one that was never saved: a choice of None would be one that can be cleared.
    options = [*([0] if None in drafts else []), *by_id]
    if not options:
        return None
    current = asked if asked is not None else options[0]
    # One key a list: options that change would leave a choice standing that is none any more.
    key = f"pipeline_choice_{current}"

    def choose() -> None:
        _go_to(st.session_state[key] or None)

    st.selectbox(
        "Pipeline",
        options,
        index=options.index(current),
        key=key,
        on_change=choose,
        format_func=lambda one: _title(by_id[one]) if one else f"New: {drafts[None].name}",
        filter_mode="contains",
        width=520,
    )
    if not current:
        return drafts[None]
    if current not in drafts or (not drafts[current].changed and _behind(drafts[current], by_id)):
        drafts[current] = Draft.of(app.pipelines.open(actor, current))
    return drafts[current]


def _behind(draft: Draft, by_id: dict[int, Listed]) -> bool:
    """Whether an untouched draft shows another version than is the newest by now."""
    head = by_id[draft.id or 0]
    return (draft.base, draft.name) != (head.head.hash, head.name)


def _title(one: Listed) -> str:
    return f"{one.name} · {one.head.dataset}"


def _go_to(pipeline_id: int | None) -> None:
    if pipeline_id is None:
        st.query_params.pop(IN_URL, None)
    else:
        st.query_params[IN_URL] = str(pipeline_id)


def _number(name: str) -> int | None:
    asked = st.query_params.get(name, "")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else None


def begin(app: App, actor: Actor) -> None:
    """A new pipeline on a dataset: from a template, or from a file somebody exported."""
    datasets = {one.id: one for one in app.datasets.list(actor)}
    if not datasets:
        st.info("A pipeline is made for a dataset. Bring one first.", icon=":material/dataset:")
        links.to("pages/learn/datasets.py", "Datasets", icon=":material/dataset:")
        return
    asked = _number(DATASET_IN_URL)
    with st.container(horizontal=True):
        number = st.selectbox(
            "Dataset",
            list(datasets),
            index=list(datasets).index(asked) if asked in datasets else 0,
            key="pipeline_dataset",
            format_func=lambda one: f"{datasets[one].name} · {datasets[one].head.rows:,} rows",
            filter_mode="contains",
        )
        columns = [one.name for one in datasets[number].head.columns]
        named = suggested_target(datasets[number].head.columns)
        target = st.selectbox(
            "To predict",
            columns,
            index=columns.index(named) if named in columns else None,
            # Another dataset has other columns.
            key=f"pipeline_target_{number}",
            placeholder="Choose a column",
            filter_mode="contains",
        )
        template = st.selectbox("Begin with", _TEMPLATES, key="pipeline_template")
    file = st.file_uploader("Or with an exported pipeline", ["json"], key="pipeline_file", max_upload_size=4)
    if st.button("Begin", icon=":material/add:", key="pipeline_begin"):
        with refusal.shown():
            head = datasets[number].head.hash
            if file is not None:
                plan = app.pipelines.rebased(actor, read_file(file.read(MOST_FILE + 1)), number, head)
            elif template == _SUGGESTED:
                plan = _suggested_plan(app, actor, number, head, target)
            else:
                plan = app.pipelines.templates(actor, number, head, target or "")[template]
            name = app.pipelines.free_name(actor, f"{plan.target or 'Pipeline'} of {datasets[number].name}")
            state.pipeline_drafts()[None] = Draft(plan, number, datasets[number].name, head, name=name)
            _go_to(None)
            st.rerun()


_SUGGESTED = "What is suggested"
_TEMPLATES = ("Balanced", _SUGGESTED, "First look", "Most accurate", "Easy to explain", "Rare class")


def _suggested_plan(app: App, actor: Actor, dataset_id: int, version: str, target: str | None) -> Plan:
    if not target:
        raise Invalid("Choose what to predict; suggestions are made for it.")
    with st.spinner("Looking at the data"):
        found = app.pipelines.suggested(actor, dataset_id, version, target)
    if found is None:
        raise Invalid("Nothing is suggested here; begin with a template.")
    return found.plan


def read_file(body: bytes) -> Plan:
    """A pipeline from a file that may have been edited by hand. Raises Invalid with what is wrong with it."""
    if len(body) > MOST_FILE:
        raise Invalid(f"The file is larger than {MOST_FILE >> 20} MB, which no pipeline is.")
    try:
        held = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The file is no JSON: {str(error)[:200]}.") from None
    held = held.get("plan", held) if isinstance(held, dict) else held
    if not isinstance(held, dict):
        raise Invalid("The file holds no pipeline: it takes an object with a target, roles and steps.")
    return Plan.from_json(held)


# --- changing it --------------------------------------------------------------------------------


def bar(app: App, actor: Actor, draft: Draft, review: Review) -> None:
    """Name, undo, save and train; what was started, with the way to it."""
    may = actor.may(Permission.MAKE_PIPELINES)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            "Name", draft.name, max_chars=MOST_NAME, key=f"pipeline_name_{draft.id}", disabled=not may, width=320
        )
        st.button("Undo", icon=":material/undo:", key="pipeline_undo", disabled=not draft.past, on_click=draft.undo)
        unsaved = draft.changed or name.strip() != draft.name
        if st.button("Save", icon=":material/save:", key="pipeline_save", disabled=not (may and unsaved)):
            _save(app, actor, draft, name)
        if draft.id is not None and st.button(
            "Save as new", icon=":material/file_copy:", key="pipeline_copy", disabled=not may
        ):
            _save(app, actor, draft, name if name.strip() != draft.name else f"{name[:110]} copy", new=True)
        stopped = "" if review.ready else "Errors below keep it from being trained."
        if st.button(
            "Save and train" if unsaved else "Train",
            icon=":material/play_arrow:",
            type="primary",
            key="pipeline_train",
            disabled=not (may and review.ready),
            help=stopped or "Runs as a task; the leaderboard fills while it does.",
        ):
            _train(app, actor, draft, name, unsaved)
    if not may:
        st.caption(":material/lock: Changing pipelines takes the role analyst; they can be looked at by everyone.")
    if draft.refused:
        st.error(plain(draft.refused, 800), icon=":material/error:")
        draft.refused = ""
    _verdict(review, draft)
    if draft.id is not None:
        runs = app.pipelines.runs(actor, draft.id)
        if runs:
            said = f"Newest training: {plain(runs[0].name)}, {plain(runs[0].status)}"
            score, held = words.shown(runs[0].metric, runs[0].score), METRICS.get(runs[0].metric)
            told = f", {held.label if held else runs[0].metric} {score:.4f}" if score is not None else ""
            links.to(TRAINING, f"{said}{told}", icon=":material/model_training:", query={"run": runs[0].id})


def _verdict(review: Review, draft: Draft) -> None:
    errors = sum(one.fatal for one in review.findings)
    warnings = len(review.findings) - errors
    told = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    saved = "Not saved yet." if draft.base is None else "Changed since it was saved." if draft.changed else ""
    if errors:
        st.error(
            f"{' and '.join(told)}, shown at their cards: errors keep it from being trained. {saved}",
            icon=":material/error:",
        )
    elif warnings:
        st.warning(f"{told[0]}, shown at the cards; it can be trained. {saved}", icon=":material/warning:")
    else:
        st.success(f"Nothing stands against training it. {saved}", icon=":material/check_circle:")


def _save(app: App, actor: Actor, draft: Draft, name: str, *, new: bool = False) -> None:
    """Save, and draw the page anew on what was saved."""
    with refusal.shown():
        into, base = (None, None) if new else (draft.id, draft.base)
        kept = app.pipelines.save(actor, draft.plan, draft.dataset_id, draft.version, name=name, into=into, base=base)
        _hold(draft, kept)
        st.toast(f"Saved as version {kept.version.number} of {plain(kept.name)}.", icon=":material/save:")
        st.rerun()


def _hold(draft: Draft, kept: Opened) -> None:
    """Go on with what was saved; of a copy the original is as it was."""
    made = Draft.of(kept)
    made.selected, made.past = draft.selected, list(draft.past)
    state.pipeline_drafts().pop(draft.id, None)
    state.pipeline_drafts()[kept.id] = made
    _go_to(kept.id)


def _train(app: App, actor: Actor, draft: Draft, name: str, unsaved: bool) -> None:
    with refusal.shown():
        kept_id = draft.id
        if unsaved or kept_id is None:
            kept = app.pipelines.save(
                actor, draft.plan, draft.dataset_id, draft.version, name=name, into=draft.id, base=draft.base
            )
            _hold(draft, kept)
            kept_id = kept.id
        run = app.pipelines.train(actor, kept_id)
        st.toast(f"{plain(run.name)} is being trained.", icon=":material/play_arrow:")
        st.rerun()


def newer(app: App, actor: Actor, draft: Draft) -> None:
    """Offer the dataset's newest version when the pipeline is for another one."""
    head = app.pipelines.newer(actor, draft.dataset_id, draft.version)
    if head is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        said = f"{plain(draft.dataset)} has a newer version, {head[:SHORT]}; this is for {draft.version[:SHORT]}."
        st.info(said, icon=":material/update:", width="stretch")
        if st.button("Use the newest", key="pipeline_newest", disabled=not actor.may(Permission.MAKE_PIPELINES)):
            draft.edit(app.pipelines.rebased(actor, draft.plan, draft.dataset_id, head), version=head)
            st.rerun()


def build(app: App, actor: Actor, draft: Draft, review: Review) -> None:
    """The graph, then the cards: two pictures of one plan."""
    may = actor.may(Permission.MAKE_PIPELINES)
    shown = pipeline_graph.nodes(draft.plan, review, draft.dataset, may)

    def happened() -> None:
        told = pipeline_graph.event(st.session_state.get(GRAPH) or {}, draft.plan)
        if isinstance(told, pipeline_graph.Moved) and may:
            draft.move(told.at, told.to)
        elif isinstance(told, pipeline_graph.Picked) and told.node != draft.selected:
            draft.select(told.node)

    pipeline_graph.show(shown, draft.selected, key=GRAPH, on_event=happened)
    st.caption("Click a node to open its card. Drag a step, or press Alt and an arrow key on it, to move it.")
    pipeline_cards.Cards(draft, review, may).draw(shown)
    pipeline_cards.adder(draft, may)
    _suggestions(app, actor, draft, may)


def _suggestions(app: App, actor: Actor, draft: Draft, may: bool) -> None:
    if app.pipelines.suggestions is None or not draft.plan.target:
        return
    asked = (draft.dataset_id, draft.version, draft.plan.target)
    with st.expander("Suggestions for this dataset", icon=":material/lightbulb:", expanded=draft.asked == asked):
        if draft.asked != asked:
            st.caption("Looks at the data as a task; up to a minute the first time.")
            if not st.button("What would you try?", icon=":material/lightbulb:", key="pipeline_suggest"):
                return
            draft.asked = asked
        with refusal.shown(), st.spinner("Looking at the data"):
            found = app.pipelines.suggested(actor, *asked)
            if found is not None:
                pipeline_cards.suggestions(draft, found, may)


def columns(draft: Draft, facts: Facts | None, may: bool) -> None:
    """What each column is for, as a table that can be edited."""
    plan = draft.plan
    guesses = facts.guesses if facts else {}
    names = list(plan.roles)
    frame = pd.DataFrame(
        {
            "column": names,
            "role": [str(plan.roles[name]) for name in names],
            "guess": [str(guesses.get(name, "not in this version")) if name != plan.target else "" for name in names],
        }
    )
    edited: pd.DataFrame = st.data_editor(
        frame,
        column_config={
            "column": st.column_config.TextColumn("Column", disabled=True, pinned=True),
            "role": st.column_config.SelectboxColumn(
                "Role", options=[str(one) for one in Role], required=True, help="What the column is for."
            ),
            "guess": st.column_config.TextColumn("Its values suggest", disabled=True),
        },
        hide_index=True,
        disabled=not may,
        key=f"pipeline_roles_{draft.id}_{draft.tick}",
    )
    wanted = dict(zip(edited["column"], edited["role"], strict=True))
    other = {name: role for name, role in wanted.items() if role != plan.roles[name]}
    if other:
        # A second target takes the place of the first.
        draft.edit(editing.with_roles(plan, other))
        st.rerun()
    st.caption("Number, category, text and date are learnt from. Time orders rows, a group keeps them in one fold.")


# --- its versions, and taking it along ----------------------------------------------------------


def versions(app: App, actor: Actor, draft: Draft) -> None:
    """Every version, the newest first; opening an older one; what differs between two."""
    if draft.id is None:
        st.info("It has no versions until it is saved.", icon=":material/history:")
        return
    _, history = app.pipelines.get(actor, draft.id)
    st.dataframe(
        pd.DataFrame(
            {
                "number": [one.number for one in history],
                "hash": [one.hash[:SHORT] for one in history],
                "dataset": [one.dataset for one in history],
                "data": [one.dataset_hash[:SHORT] for one in history],
                "target": [one.target for one in history],
                "steps": [one.steps for one in history],
                "by": [one.by for one in history],
                "at": pd.Series([one.at for one in history], dtype="datetime64[ms, UTC]"),
            }
        ),
        column_config={
            "number": st.column_config.NumberColumn("Version", format="%d"),
            "hash": st.column_config.TextColumn("Hash", help="The same content has the same hash."),
            "dataset": "Dataset",
            "data": "Data",
            "target": "Target",
            "steps": st.column_config.NumberColumn("Steps", format="%d"),
            "by": "By",
            "at": tables.moment("Saved"),
        },
        hide_index=True,
        key="pipeline_versions",
        alt="Versions of the pipeline, newest first",
    )
    labels = {one.hash: f"Version {one.number} · {one.hash[:SHORT]} · {one.by}, {stamp(one.at)}" for one in history}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.selectbox("Version", list(labels), format_func=lambda one: labels[one], key="pipeline_back")
        if st.button(
            "Open it", icon=":material/restore:", key="pipeline_restore", help="Saving it makes it the newest."
        ):
            found = app.pipelines.open(actor, draft.id, wanted)
            draft.edit(found.plan, version=found.version.dataset_hash)
            if draft.dataset_id != found.version.dataset_id:
                # What was undone would be of another table.
                draft.past.clear()
            draft.dataset_id, draft.dataset = found.version.dataset_id, found.version.dataset
            st.rerun()
    if len(history) > 1:
        _comparison(app, actor, draft.id, labels)


def _comparison(app: App, actor: Actor, pipeline_id: int, labels: dict[str, str]) -> None:
    hashes = list(labels)
    with st.container(horizontal=True):
        before = st.selectbox(
            "Compare", hashes, index=1, format_func=lambda one: labels[one], key="pipeline_compare_from"
        )
        after = st.selectbox("with", hashes, index=0, format_func=lambda one: labels[one], key="pipeline_compare_to")
    found = app.pipelines.compare(actor, pipeline_id, before, after)
    if not found:
        st.caption("They are the same plan; the data may differ.")
        return
    st.dataframe(
        pd.DataFrame([(one.part, one.what, one.before or "–", one.after or "–") for one in found]),
        column_config={"0": "Part", "1": "Which", "2": "Before", "3": "After"},
        hide_index=True,
        key="pipeline_differences",
        alt="What differs between the two versions",
    )


def export(app: App, actor: Actor, draft: Draft, review: Review) -> None:
    """The plan as a Python script that runs by itself, and as JSON that can be brought back."""
    told = {"plan": draft.plan.to_json(), "dataset": draft.dataset, "version": draft.version}
    with st.container(horizontal=True):
        st.download_button(
            "Python script",
            lambda: app.pipelines.script_of(actor, draft.plan, draft.dataset_id, draft.version),
            f"pipeline-{draft.id or 'new'}.py",
            "text/x-python",
            key="pipeline_script",
            icon=":material/code:",
            on_click="ignore",
            disabled=not review.ready,
        )
        st.download_button(
            "JSON",
            json.dumps(told, indent=1),
            f"pipeline-{draft.id or 'new'}.json",
            "application/json",
            key="pipeline_json",
            icon=":material/data_object:",
            on_click="ignore",
        )
    _as_trained(app, actor, draft)
    if not review.ready:
        st.caption("A script is made once no error stands against the pipeline.")
        return
    st.caption(
        "The script needs numpy, pandas, scikit-learn and xgboost, not this app: python pipeline.py TABLE [NEW]. It "
        "takes one model of each family with usual settings, so its predictions differ from a trained model's."
    )
    script = app.pipelines.script_of(actor, draft.plan, draft.dataset_id, draft.version)
    st.code(script[script.index("\nPLAN = ") :], language="python", height=360)


def _as_trained(app: App, actor: Actor, draft: Draft) -> None:
    """The script with the very models, settings and weights the newest training ended with."""
    runs = app.pipelines.runs(actor, draft.id) if draft.id is not None else []
    done = next((one for one in runs if one.score is not None), None)
    if done is None or not actor.may(Permission.TABLES):
        return
    st.download_button(
        "Python script as last trained",
        lambda: app.training.script(actor, done.id),
        f"pipeline-{draft.id}-trained.py",
        "text/x-python",
        key="pipeline_script_trained",
        icon=":material/code:",
        on_click="ignore",
        help=f"Fits the model of {plain(done.name)} again, for the same predictions; its first lines say more.",
    )


def delete(app: App, actor: Actor, draft: Draft) -> None:
    """What depends on it first, then the button."""
    if draft.id is None:
        if st.button("Drop this draft", icon=":material/delete:", key="pipeline_drop"):
            state.pipeline_drafts().pop(None, None)
            st.rerun()
        return
    if deletion.sure(
        app.pipelines.depending(actor, draft.id),
        "and would stay",
        f"{plain(draft.name)} with all its versions",
        key="pipeline",
        number=draft.id,
        may=actor.may(Permission.MAKE_PIPELINES),
    ):
        try:
            app.pipelines.delete(actor, draft.id, anyway=True)
        except AppError as error:
            st.error(plain(error.message), icon=":material/error:")
        else:
            state.pipeline_drafts().pop(draft.id, None)
            _go_to(None)
            st.rerun()
