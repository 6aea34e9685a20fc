"""Ask what is stored in SQL: write it, run it beside the app, see rows and a picture, take them along."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import cached, guard, links, runtime, sql_view, state
from lib.ui.text import plain

actor = guard.require(Permission.VIEW)
app = runtime.app()

st.title("SQL", icon=":material/code:")
toolbar = st.container()
sql = sql_view.editor()
with st.container(horizontal=True, vertical_alignment="center"):
    # Never disabled: the click that leaves the editor is what brings its text here, and would be lost.
    pressed = st.button("Run", type="primary", icon=":material/play_arrow:", key="sql_run", shortcut="Ctrl+Enter")
    st.caption(f"At most {app.settings.sql_seconds:g} s and {app.settings.sql_memory_mb} MB; reads only.")
if pressed:
    sql_view.ask(app, actor, sql)
asked = state.query()
if asked is not None and not asked.wait(sql_view.AT_ONCE_S if pressed else 0):
    sql_view.follow(asked)
elif asked is not None:
    try:
        sql_view.shown(asked.result(), app, actor)
    except AppError as error:
        sql_view.error(error, asked.sql)
elif cached.metrics(app, actor):
    st.info("Write a query or choose an example, then run it.", title="Nothing asked yet", icon=":material/code:")
else:
    st.info(
        "Connect your Prometheus, or load the demo history; the tables are there and empty until then.",
        title="Nothing collected yet",
        icon=":material/database:",
    )
    links.to("pages/operate/sources.py", "Open sources", icon=":material/add_link:")
# Last, so that the history has what was just run.
try:
    tables = app.querying.tables(actor)
    with toolbar:
        sql_view.toolbar(tables, app.querying.past(actor), app, actor)
    sql_view.complete(tables, app, actor)
except AppError as error:
    st.error(plain(error.message), icon=":material/error:")
