"""The models that are served: their versions, which one is in production and which was, tests of two, uploads."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import deployment_view, experiment_view, guard, links, model_view, runtime
from lib.ui.text import plain, stamp

actor = guard.require(Permission.MODELS)
app = runtime.app()
PARTS = ("Versions", "Production", "Compare", "A/B test", "Deploy", "Upload")

st.title("Models", icon=":material/deployed_code:")
models = app.models.all(actor)
if not models:
    model_view.nothing()
    model_view.upload(app, actor)
    st.stop()
with st.container(horizontal=True, vertical_alignment="bottom"):
    chosen = model_view.model_picker(models)
    part = st.segmented_control(
        "Show", PARTS, default=PARTS[0], required=True, key="model_part", bind="query-params", wrap=True
    )
try:
    rows = app.models.versions(actor, chosen.name)
    aliases = app.models.aliases(actor, chosen.name)
    if part == "Production":
        model_view.production(app, actor, chosen.name, app.clock())
    elif part == "Compare":
        model_view.compare(app, actor, rows)
    elif part == "A/B test":
        experiment_view.part(app, actor, chosen.name, rows)
    elif part == "Deploy":
        deployment_view.part(app, actor, rows, aliases)
    elif part == "Upload":
        model_view.upload(app, actor, chosen.name)
    else:
        model_view.versions(rows, aliases, app.clock())
        row = model_view.version_picker(rows, aliases)
        model_view.detail(app, actor, row)
        model_view.acts(app, actor, row, aliases)
        query = {"model": row.name, "version": str(row.version)}
        with st.container(horizontal=True):
            links.to("pages/learn/predict.py", "Predict", icon=":material/online_prediction:", query=query)
            links.to("pages/learn/drift.py", "Drift", icon=":material/moving:", query=query)
except AppError as error:
    st.error(plain(error.message), icon=":material/error:")
st.caption(f"As of {stamp(app.clock(), seconds=True)}.")
