"""History from files: bring one, say what its columns mean, see what storing it would do, store it whole."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import guard, import_view, runtime
from lib.ui.text import plain, stamp

actor = guard.require(Permission.MANAGE_SOURCES)
app = runtime.app()

st.title("Import", icon=":material/upload_file:")
chosen = st.query_params.get(import_view.IN_URL, "")
try:
    if chosen:
        import_view.one(app, actor, chosen)
    else:
        import_view.bring(app, actor)
except AppError as error:
    st.error(plain(error.message, 600), icon=":material/error:")
    if chosen and st.button("Bring a file", key="import_back", icon=":material/arrow_back:"):
        st.query_params.pop(import_view.IN_URL, None)
        st.rerun()
st.caption(f"As of {stamp(app.clock(), seconds=True)}.")
