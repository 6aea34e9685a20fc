"""Pipelines: what is learnt from a dataset, by which steps and models; cards and a graph show the same plan."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import guard, pipeline_view, runtime
from lib.ui.text import plain, stamp

actor = guard.require(Permission.DATASETS)
app = runtime.app()
may = actor.may(Permission.MAKE_PIPELINES)
PARTS = ("Build", "Columns", "Versions", "Export", "Delete")

st.title("Pipelines", icon=":material/account_tree:")
try:
    listed = app.pipelines.list(actor)
    draft = pipeline_view.chosen(app, actor, listed)
    asked = pipeline_view.DATASET_IN_URL in st.query_params
    if may:
        with st.expander("New pipeline", icon=":material/add:", expanded=draft is None or asked):
            pipeline_view.begin(app, actor)
    if draft is None:
        st.info(
            "Choose a dataset and what to predict: a template brings steps and models, which you change as you like."
            if may
            else "An analyst makes them: what is learnt from a dataset, by which steps and models.",
            title="No pipelines yet",
            icon=":material/account_tree:",
        )
    else:
        review = app.pipelines.check(actor, draft.plan, draft.dataset_id, draft.version)
        pipeline_view.newer(app, actor, draft)
        pipeline_view.bar(app, actor, draft, review)
        part = st.segmented_control(
            "Show", PARTS, default="Build", required=True, key="pipeline_part", bind="query-params"
        )
        if part == "Columns":
            pipeline_view.columns(draft, review.facts, may)
        elif part == "Versions":
            pipeline_view.versions(app, actor, draft)
        elif part == "Export":
            pipeline_view.export(app, actor, draft, review)
        elif part == "Delete":
            pipeline_view.delete(app, actor, draft)
        else:
            pipeline_view.build(app, actor, draft, review)
except AppError as error:
    st.error(plain(error.message, 800), icon=":material/error:")
st.caption(f"As of {stamp(app.clock(), seconds=True)}.")
