"""The Models page's A/B test: begin one, see how it stands, report outcomes, end it and promote."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.db.learning_tables import ModelVersion
from lib.experiments.sequential import Call
from lib.services.experiments import METRICS, Standing
from lib.ui import refusal
from lib.ui.text import duration, plain, stamp

if TYPE_CHECKING:
    from lib.app import App


def part(app: App, actor: Actor, name: str, rows: list[ModelVersion]) -> None:
    """The running test, or a form for one, then those that ended."""
    tests = app.experiments.all(actor, name)
    running = next((one for one in tests if one.ended_at is None), None)
    if running is not None:
        # Drawn above, asked for after: outcomes that are brought now count at once.
        above = st.container()
        _outcomes(app, actor, running.id or 0)
        standing = app.experiments.standing(actor, running.id or 0)
        with above:
            standing_of(app, standing)
        _ending(app, actor, standing)
    elif len([row for row in rows if row.archived_at is None]) < 2:
        st.info("An A/B test takes two versions; there is one.", icon=":material/science:")
    else:
        _form(app, actor, name, [row.version for row in rows if row.archived_at is None])
    over = [one for one in tests if one.ended_at is not None]
    if over:
        st.subheader("Ended", anchor=False)
        for one in over[:5]:
            st.caption(f"{stamp(one.ended_at)}: {plain(one.verdict.get('words', ''), 600)}")


def standing_of(app: App, standing: Standing) -> None:
    """Both versions with their outcomes, and the verdict in words."""
    test, result = standing.experiment, standing.result
    took = duration((app.clock() - test.created_at).total_seconds())
    st.caption(
        f"Test {test.id}: version {test.version_a} (a) against {test.version_b} (b), {test.share_b:.0%} to b, by "
        f"{METRICS[test.metric]}; running for {took}."
    )
    told = {Call.FEW: st.info, Call.OPEN: st.info, Call.A: st.success, Call.B: st.success}[result.call]
    told(plain(standing.words, 600), icon=":material/science:")
    st.dataframe(
        pd.DataFrame(
            {
                "version": [f"{test.version_a} (a)", f"{test.version_b} (b)"],
                "predictions": [standing.predictions["a"], standing.predictions["b"]],
                "outcomes": [result.a.count, result.b.count],
                "mean": [_shown(result.a.mean), _shown(result.b.mean)],
                "interval": [_span(one.low, one.high) for one in (result.a, result.b)],
                "latency": [_shown(standing.latency_ms["a"]), _shown(standing.latency_ms["b"])],
            }
        ),
        hide_index=True,
        key="test_arms",
        column_config={
            "version": "Version",
            "predictions": st.column_config.NumberColumn("Predictions"),
            "outcomes": st.column_config.NumberColumn("Outcomes", help="One a key: rows of one caller are averaged."),
            "mean": st.column_config.NumberColumn(
                f"Mean {test.metric}", format="%.4g", help="Higher is better; an error counts negative."
            ),
            "interval": st.column_config.TextColumn(
                "95 % interval", help="For one look; the verdict holds at every look."
            ),
            "latency": st.column_config.NumberColumn("Latency (ms)", format="%.1f"),
        },
        alt="Both versions with their outcomes",
    )


def _ending(app: App, actor: Actor, standing: Standing) -> None:
    may, test_id = actor.may(Permission.PROMOTE), standing.experiment.id or 0
    called = standing.result.call in (Call.A, Call.B)
    with st.container(horizontal=True):
        promote = st.button("End it and promote the better", icon=":material/star:", key="test_promote",
                            type="primary", disabled=not may or not called)  # fmt: skip
        end = st.button("End it", icon=":material/stop:", key="test_end", disabled=not may)
    if promote or end:
        with refusal.shown():
            app.experiments.end(actor, test_id, promote=promote)
            st.rerun()


def _outcomes(app: App, actor: Actor, test_id: int) -> None:
    may = actor.may(Permission.TRAIN)
    with st.expander("Report outcomes", icon=":material/fact_check:"):
        st.caption(
            "Programs post them to /api/v1/outcomes, by the id each prediction came with, or by test and key. Or bring "
            "a CSV with the columns actual, and id or key."
        )
        with st.form("outcomes_form", border=False, clear_on_submit=True):
            file = st.file_uploader("CSV", ["csv"], key="outcomes_file", disabled=not may)
            sent = st.form_submit_button("Take them", key="outcomes_send", disabled=not may)
        if sent and file is not None:
            with refusal.shown():
                taken, wrong = app.experiments.outcomes_from(actor, test_id, file)
                st.success(f"{taken:,} outcomes taken.")
                for line in wrong[:5]:
                    st.caption(f":material/warning: {plain(line)}")


def _form(app: App, actor: Actor, name: str, versions: list[int]) -> None:
    may = actor.may(Permission.PROMOTE)
    st.caption(
        "Callers who name no version are split between the two by a stable hash of their key. The verdict may be "
        "looked at any time: looking often does not make a false one likelier."
    )
    with st.form("test_form", border=False):
        left, middle, right = st.columns(3)
        a = left.selectbox("Version a", versions, index=min(1, len(versions) - 1), key="test_a")
        b = middle.selectbox("Version b", versions, index=0, key="test_b")
        metric = right.selectbox(
            "Better is", list(METRICS), key="test_metric", format_func=lambda one: f"{one}: {METRICS[one]}"
        )
        # A row of its own: on a narrow screen the order stays.
        left, middle, _ = st.columns(3)
        share = left.slider("Share to b (%)", 1, 99, 50, key="test_share")
        alpha = middle.select_slider("Chance of a false call (%)", [1, 5, 10], 5, key="test_alpha")
        begun = st.form_submit_button(
            "Begin", icon=":material/science:", key="test_begin", type="primary", disabled=not may
        )
    if not may:
        st.caption(":material/lock: Testing in production takes the role operator.")
    if begun:
        with refusal.shown():
            app.experiments.begin(
                actor, name, int(a or 0), int(b or 0), metric=str(metric), share_b=share / 100, alpha=float(alpha) / 100
            )
            st.rerun()


def _span(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}" if math.isfinite(low) and math.isfinite(high) else "–"


def _shown(value: float) -> float | None:
    return value if math.isfinite(value) else None
