"""The Drift page's parts: the verdict in words, each column, over time, files and datasets to compare."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.db.learning_tables import DriftCheck, ModelVersion
from lib.db.tables import Task
from lib.drift.shift import State, Thresholds
from lib.errors import AppError
from lib.services.drifting import Report
from lib.services.retraining import When
from lib.ui import charts, dataset_view, links, refusal, state, tables
from lib.ui.text import plain, stamp

if TYPE_CHECKING:
    from lib.app import App

SIGNS = {State.OK: "✓ ok", State.WATCH: "◔ watch", State.DRIFT: "▲ drift", State.FEW: "– too few rows"}
WHEN = {
    When.NEVER: "Never",
    When.DRIFT: "When drift suggests it and data is newer",
    When.DATA: "Whenever the dataset has a newer version",
}
SPANS = {"24 hours": timedelta(hours=24), "7 days": timedelta(days=7), "30 days": timedelta(days=30)}


def no_reference(app: App, actor: Actor, row: ModelVersion) -> None:
    """A version made elsewhere: nobody knows what it learnt from, until somebody brings the table."""
    st.info(
        "Bring the table it was trained on (CSV, TSV or Parquet, columns named as its fields): its distributions are "
        "kept, the table is not.",
        title="This version came without the distributions it learnt from",
        icon=":material/history_edu:",
    )
    _bring(actor, "drift_reference", "Learn from this table", Permission.TRAIN,
           lambda name, file: app.drifting.learn_reference(actor, row.name, row.version, name, file))  # fmt: skip


def controls_of(app: App, actor: Actor, row: ModelVersion) -> None:
    """From where on a column counts; check what was asked now, or compare a file or dataset."""
    usual = app.drifting.usual
    may, asked = actor.may(Permission.TRAIN), app.drifting.asked(actor, row.name, row.version)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        span = st.selectbox("Asked in the last", list(SPANS), key="drift_span", bind="query-params", width=180)
        limits = Thresholds(
            _limit("Watch from", "drift_watch", usual.watch), _limit("Drift from", "drift_from", usual.drift)
        )
        if st.button(
            "Check now", icon=":material/search:", key="drift_check", type="primary", disabled=not may or not asked
        ):
            with refusal.shown():
                span_s = SPANS.get(str(span), SPANS["24 hours"])
                app.drifting.check(actor, row.name, row.version, span_s, limits)
                st.rerun()
    by_itself = f"A champion is checked each hour by itself, from {usual.watch:g} and {usual.drift:g} on."
    if limits != usual:
        by_itself += " With other limits a check is a trial: neither an event nor a training follows from it."
    st.caption(f"{asked:,} predictions of this version are kept. {by_itself}")
    with st.expander("Compare a file or dataset", icon=":material/compare_arrows:"):
        source = st.segmented_control(
            "Compare with", ("A file", "A dataset"), default="A file", required=True, key="drift_with",
            bind="query-params",
        )  # fmt: skip
        if source == "A dataset":
            _dataset(app, actor, row, limits)
        else:
            _bring(
                actor,
                "drift_file",
                "Compare",
                Permission.RUN_TASKS,
                lambda name, file: app.drifting.compare_file(actor, row.name, row.version, name, file, limits),
            )


def _limit(words: str, key: str, usual: float) -> float:
    held = st.number_input(
        words, 0.01, 10.0, usual, 0.05, key=key, bind="query-params", width=150,
        help="PSI or KS of a column; in each case only beyond what chance does.",
    )  # fmt: skip
    return float(usual if held is None else held)


def _dataset(app: App, actor: Actor, row: ModelVersion, limits: Thresholds) -> None:
    """Choose a stored dataset and one of its versions."""
    may, listed = actor.may(Permission.RUN_TASKS), app.datasets.list(actor)
    if not listed:
        dataset_view.nothing()
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        one = dataset_view.picker(listed)
        history = app.datasets.get(actor, one.id)[1]
        version = dataset_view.version_picker(history)
        sent = st.button("Compare", icon=":material/play_arrow:", key="drift_dataset_send", disabled=not may)
    if not may:
        st.caption(":material/lock: This takes the role analyst.")
    if sent:
        with refusal.shown():
            app.drifting.compare_dataset(actor, row.name, row.version, one.id, version.hash, limits)
            st.rerun()


def _bring(actor: Actor, key: str, words: str, permission: Permission, work: Callable[..., Task]) -> None:
    may = actor.may(permission)
    with st.form(f"{key}_form", border=False, clear_on_submit=True):
        file = st.file_uploader("CSV, TSV or Parquet", ["csv", "tsv", "parquet"], key=key, disabled=not may)
        sent = st.form_submit_button(words, icon=":material/play_arrow:", key=f"{key}_send", disabled=not may)
    if not may:
        st.caption(":material/lock: This takes the role analyst.")
    if sent and file is not None:
        with refusal.shown():
            work(file.name, file)
            st.rerun()


def follow(app: App, actor: Actor, task_id: int) -> None:
    """Progress of a file, drawn again each second."""

    @st.fragment(run_every=1.0)
    def watch() -> None:
        task = app.jobs.get(actor, task_id)
        if task.finished_at is not None:
            st.rerun(scope="app")
        st.progress(min(max(task.progress, 0.0), 1.0), text=f"{plain(task.title)}: {plain(task.message or 'waiting')}")

    watch()


def verdict(report: Report) -> None:
    """One sentence, in the colour and with the sign of the state."""
    told = {State.OK: st.success, State.WATCH: st.warning, State.DRIFT: st.error, State.FEW: st.info}
    state = State(report.check.state)
    kind = report.check.kind
    what = f"the {kind} {plain(report.check.title)}" if kind in ("file", "dataset") else "what was asked"
    if kind == "tried":
        what += f", tried with {report.limits.watch:g} and {report.limits.drift:g}"
    told[state](
        plain(report.words, 800),
        title=f"{SIGNS[state]}: {what}, {report.check.rows:,} rows, {stamp(report.check.at)}",
        icon=":material/model_training:" if report.retrain else ":material/moving:",
    )


def again(app: App, actor: Actor, row: ModelVersion, suggested: bool) -> None:
    """Train the model again on newer rows at a click, or by itself."""
    st.subheader("Train again", anchor=False)
    try:
        offer = app.retraining.offer(actor, row)
    except AppError as error:
        st.caption(plain(error.message))
        return
    may, active = actor.may(Permission.TRAIN), app.retraining.under_way(actor, row.name)
    name = plain(offer.dataset)
    if offer.learnt is not None:
        st.caption(
            f"Version {offer.learnt} has learnt from the newest version of {name} already: compare the two and promote "
            "it under Models."
        )
    elif offer.newer:
        st.caption(
            f"{name} has a newer version, {offer.hash[:12]}, of {offer.rows:,} rows. The same plan learns from it; the "
            "model becomes the next version of this one, and somebody promotes it."
        )
    else:
        st.caption(f"It learnt from the newest version of {name}. Bring newer rows as a version of it first.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sent = st.button(
            "Train again on the newest version",
            icon=":material/model_training:",
            key="drift_again",
            type="primary" if suggested and offer.newer and offer.learnt is None else "secondary",
            disabled=not may or not offer.newer or active is not None,
        )
        _by_itself(app, actor, row.name, may)
    if sent:
        with refusal.shown():
            app.retraining.start(actor, row.name, row.version)
            st.rerun()
    with st.container(horizontal=True):
        if active is not None:
            query = {"run": active.id}
            links.to("pages/learn/training.py", f"Under way: {plain(active.name)}", icon=":material/hourglass:",
                     query=query)  # fmt: skip
        if not offer.newer:
            query = {"dataset": str(offer.dataset_id)}
            links.to("pages/learn/datasets.py", f"Open {name}", icon=":material/database:", query=query)
    if not may:
        st.caption(":material/lock: Training again takes the role analyst.")


def _by_itself(app: App, actor: Actor, name: str, may: bool) -> None:
    now = app.retraining.when(actor, name)
    # A key a state: what somebody else chose meanwhile is shown, not undone.
    key = f"drift_when_{name}_{now}"

    def choose() -> None:
        with refusal.shown():
            app.retraining.schedule(actor, name, str(state.choices((key,)).get(key, now)))

    st.selectbox(
        "By itself",
        list(WHEN),
        index=list(WHEN).index(now),
        key=key,
        on_change=choose,
        format_func=lambda one: WHEN[one],
        disabled=not may,
        width=340,
        help="Only on data that no version has learnt from; looked at every five minutes.",
    )


def columns(report: Report) -> None:
    """Each column with the four measures."""
    limits = report.limits
    frame = pd.DataFrame(
        {
            "column": [one.name for one in report.shifts],
            "role": [one.role for one in report.shifts],
            "state": [SIGNS[one.state] for one in report.shifts],
            "psi": [one.psi for one in report.shifts],
            "ks": [one.ks for one in report.shifts],
            "wasserstein": [one.wasserstein for one in report.shifts],
            "js": [one.jensen_shannon for one in report.shifts],
            "missing": [f"{one.missing_before:.1%} → {one.missing_now:.1%}" for one in report.shifts],
            "unseen": [one.unseen for one in report.shifts],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        key="drift_columns",
        column_config={
            "column": st.column_config.TextColumn("Column", pinned=True),
            "role": "Role",
            "state": "State",
            "psi": st.column_config.NumberColumn(
                "PSI", format="%.3f", help=f"{limits.watch:g}: watch, {limits.drift:g}: drift, if beyond chance."
            ),
            "ks": st.column_config.NumberColumn(
                "KS", format="%.3f", help="Largest distance of the distributions, 0 to 1."
            ),
            "wasserstein": st.column_config.NumberColumn(
                "Wasserstein (SD)", format="%.3f", help="How far values moved."
            ),
            "js": st.column_config.NumberColumn("Jensen-Shannon", format="%.3f", help="Distance, 0 to 1."),
            "missing": st.column_config.TextColumn("Missing", help="In training → now."),
            "unseen": st.column_config.NumberColumn("New texts", format="percent"),
        },
        alt="Columns with how far they moved",
    )


def over_time(checks: list[DriftCheck], name: str, limits: Thresholds) -> None:
    """PSI of one column, or of the farthest one, at each check of what was asked."""
    asked = [one for one in checks if one.kind == "asked"][::-1]
    if len(asked) < 2:
        return
    names = list(dict.fromkeys(shift["name"] for one in asked for shift in one.report.get("shifts", [])))
    column = st.selectbox("Over time", ["the farthest", *names], key="drift_column", bind="query-params", width=260)
    values = [
        max(
            (shift["psi"] for shift in one.report.get("shifts", []) if column in ("the farthest", None, shift["name"])),
            default=float("nan"),
        )
        for one in asked
    ]
    figure = charts.empty_figure()
    ts = pd.DatetimeIndex([one.at for one in asked])
    charts.add_line(figure, ts, pd.Series(values).to_numpy(), name=f"PSI of {column}")
    # At two ends: beside a large value the lines lie close together.
    for level, words, side in ((limits.watch, "watch", "left"), (limits.drift, "drift", "right")):
        figure.add_hline(
            level,
            line={"dash": "dot", "width": 1, "color": charts.ANOMALY},
            annotation_text=f"{words} from {level:g}",
            annotation_position=f"top {side}",
        )
    charts.layout(figure, height=280, alt=f"PSI of {column} of {name} over {len(asked)} checks")
    charts.time_axis(figure, asked[0].at, asked[-1].at)
    charts.show(figure, key="drift_time")


def events(checks: list[DriftCheck]) -> None:
    """When the state changed."""
    changed = [one for one in checks if one.event]
    if changed:
        st.subheader("When it changed", anchor=False)
        st.dataframe(
            pd.DataFrame(
                {
                    "at": [one.at for one in changed],
                    "state": [SIGNS[State(one.state)] for one in changed],
                    "words": [one.report.get("words", "") for one in changed],
                }
            ),
            hide_index=True,
            key="drift_events",
            column_config={"at": tables.moment("When"), "state": "State", "words": "Why"},
            alt="When the state of the model changed",
        )
