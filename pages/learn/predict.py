"""Ask a model: one row in a form with why, or many from a file or a dataset."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import guard, model_view, predict_view, runtime
from lib.ui.text import plain, stamp

actor = guard.require(Permission.MODELS)
app = runtime.app()

st.title("Predict", icon=":material/online_prediction:")
row, line = model_view.version_asked_about(app, actor)
part = line.segmented_control(
    "From", ("Form", "File", "Dataset"), default="Form", required=True, key="predict_from", bind="query-params"
)
try:
    if part == "File":
        predict_view.files(app, actor, row)
    elif part == "Dataset":
        predict_view.dataset(app, actor, row)
    else:
        predict_view.form(app, actor, row)
except AppError as error:
    st.error(plain(error.message), icon=":material/error:")
share = app.settings.predictions_logged
kept = f"{share:.0%} of what programs ask is kept with its inputs, to watch for drift" if share else "Nothing is kept"
st.caption(f"As of {stamp(app.clock(), seconds=True)}. {kept}; tries on this page are not.")
