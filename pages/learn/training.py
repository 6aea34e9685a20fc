"""Train a model on a dataset, watch it, and see what came of it."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.tasks.runner import ACTIVE
from lib.ui import guard, links, results_view, runtime, training_view
from lib.ui.text import plain, stamp

actor = guard.require(Permission.TABLES)
app = runtime.app()
PARTS = ("Result", "Why", "Weak spots", "Leaderboard", "Compare", "Card", "Log")

st.title("Training", icon=":material/exercise:")
try:
    listed, runs = app.datasets.list(actor), app.training.list(actor)
    form = st.expander(
        "Train a model",
        expanded=bool(listed) and (not runs or training_view.about_a_dataset()),
        icon=":material/add:",
        key=training_view.FORM,
        on_change="rerun",
    )
    if form.open:
        with form:
            if listed:
                training_view.setup(app, actor, listed)
            else:
                st.caption("There is no dataset to learn from yet.")
    if not listed and not runs:
        st.info(
            "Bring a table first; then choose a column to predict, and the best model within a time budget is found.",
            title="Nothing to learn from yet",
            icon=":material/dataset:",
        )
        links.to("pages/learn/datasets.py", "Bring a dataset", icon=":material/dataset:")
    if runs:
        run = training_view.picker(runs)
        training_view.head(app, actor, run)
        results = app.training.results(actor, run.id)
        if run.status in ACTIVE:
            st.fragment(training_view.live, run_every=1.0)(app, actor, run)
        elif results is None:
            training_view.acts(app, actor, run)
            training_view.board(app, actor, run)
            training_view.log(app, actor, run, training_view.LAST_LINES)
        else:
            part = st.segmented_control(
                "Show", PARTS, default=PARTS[0], required=True, key="train_part", bind="query-params", wrap=True
            )
            if part == "Result":
                results_view.verdict(results)
                results_view.register(app, actor, run)
                results_view.figures(results)
                results_view.pictures(results)
                results_view.curve(app, actor, run, results)
                training_view.acts(app, actor, run)
            elif part == "Why":
                results_view.looks_at(app, actor, run, results)
            elif part == "Weak spots":
                results_view.errs(results)
            elif part == "Leaderboard":
                training_view.board(app, actor, run)
            elif part == "Compare":
                results_view.compare(app, actor, run, runs, training_view.labels(runs))
            elif part == "Card":
                results_view.card(app, actor, run)
            else:
                training_view.log(app, actor, run, 1000)
        with st.expander(f"All runs: {len(runs):,}", icon=":material/list:"):
            training_view.every(runs, app)
except AppError as error:
    st.error(plain(error.message, 800), icon=":material/error:")
st.caption(f"As of {stamp(app.clock(), seconds=True)}.")
