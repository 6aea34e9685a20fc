"""Tables to learn from: brought as files or made of metrics, in versions, with what they hold and came from."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import dataset_view, gather_view, guard, onward, runtime, story_view
from lib.ui.text import plain, stamp

actor = guard.require(Permission.DATASETS)
app = runtime.app()
PARTS = ("Preview", "Profile", "Columns", "Versions", "Delete")

st.title("Datasets", icon=":material/dataset:")
try:
    listed = app.datasets.list(actor)
    if not dataset_view.follow(app, actor):
        with st.expander("Make a dataset", icon=":material/add:", expanded=not listed):
            source = st.segmented_control(
                "From", ("A file", "Metrics"), default="A file", required=True, key="dataset_from", bind="query-params"
            )
            if source == "Metrics":
                gather_view.form(app, actor)
            else:
                dataset_view.bring(app, actor, {one.id: one.name for one in listed})
    if not listed:
        st.info(
            "Bring a CSV, Excel or Parquet file, or make a table of collected metrics with a target such as an anomaly "
            "within the next 30 minutes.",
            title="No datasets yet",
            icon=":material/dataset:",
        )
    else:
        one = dataset_view.picker(listed)
        dataset_view.facts(one)
        onward.of_dataset(one)
        part = st.segmented_control(
            "Show", PARTS, default="Preview", required=True, key="dataset_part", bind="query-params"
        )
        if part == "Profile":
            story_view.show(app, actor, one)
        elif part == "Columns":
            dataset_view.columns(app, actor, one)
        elif part == "Versions":
            dataset_view.versions(app.datasets.get(actor, one.id)[1])
        elif part == "Delete":
            dataset_view.delete(app, actor, one)
        else:
            dataset_view.preview(app, actor, one)
except AppError as error:
    st.error(plain(error.message, 800), icon=":material/error:")
st.caption(f"As of {stamp(app.clock(), seconds=True)}.")
