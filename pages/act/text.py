"""Read a text or a log in seconds, or have one written."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import guard, refusal, runtime, state, text_view
from lib.ui.text import plain

actor = guard.require(Permission.CHAT)
app = runtime.app()
READ, WRITE = "Analyse", "Write"


def read() -> None:
    leaves = app.texts.leaves(actor)
    text, wanted, labels, offline = text_view.given(leaves)
    shown = None
    if wanted and not offline:
        with refusal.shown():
            shown = app.texts.preview(actor, text, wanted, labels)
    # Logs and long texts stay here, whatever is chosen.
    text_view.where(leaves if shown or not (offline or text.strip()) else "")
    text_view.look_first(shown)
    if not st.button("Analyse", key="text_analyse", type="primary", icon=":material/troubleshoot:"):
        if not text_view.last(text):
            text_view.nothing_yet()
        return
    try:
        with st.spinner("Reading"):
            found = app.texts.analyse(actor, text, wanted, labels, offline=offline)
    except AppError as error:
        st.error(plain(error.message), icon=":material/error:")
        return
    state.remember_reading(text, found)
    text_view.found(found)


def write() -> None:
    leaves = app.texts.leaves(actor)
    if not leaves:
        st.info(plain(app.texts.why_nobody(actor)), title="Nobody to write yet", icon=":material/edit_off:")
        return
    text_view.where(leaves)
    prompt = st.text_area(
        "What to write",
        key="text_prompt",
        height=120,
        max_chars=20_000,
        placeholder="A status message for customers: checkout was slow from 14:03 to 14:31, fixed by a rollback.",
    )
    text_view.look_first(app.texts.preview(actor, prompt))
    if not st.button("Write", key="text_write", type="primary", icon=":material/edit_note:"):
        return
    events: list = []
    st.write_stream(text_view.stream(app.texts.generate(actor, prompt), events))
    text_view.ended(events)


st.title("Text", icon=":material/article:")
choice = st.segmented_control(
    "What to do", [READ, WRITE], default=READ, key="text_do", bind="query-params", label_visibility="collapsed"
)
(write if choice == WRITE else read)()
