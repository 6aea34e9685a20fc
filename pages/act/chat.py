"""Ask in words: answers come from the data, and every number says where from."""

import streamlit as st

from lib.auth.actor import Permission
from lib.chat.events import Evidence, Text
from lib.errors import AppError
from lib.services.conversations import Entry
from lib.ui import chat_view, guard, runtime, state
from lib.ui.text import plain

actor = guard.require(Permission.CHAT)
app = runtime.app()

header = st.container(horizontal=True, vertical_alignment="bottom")
conversation, entries = chat_view.chosen(app, actor)
chat_view.engine(app.assistant.status(actor))

for number, entry in enumerate(entries):
    chat_view.said(app, actor, entry, number)

question = st.chat_input("Ask about metrics, hosts and anomalies", key="chat_question", submit_mode="stop")
if not entries:
    welcome = st.empty()
    with welcome.container():
        question = chat_view.pick_starter(app, actor) or question
    if question:
        welcome.empty()

if question:
    with st.chat_message("user"):
        st.markdown(plain(question, 2000))
    with st.chat_message("assistant"):
        events: list = []
        asked_at = app.clock()
        try:
            answer = app.assistant.answer(actor, question, conversation, entries)
            state.chat_began(question)
            st.write_stream(chat_view.stream(answer, events))
            done = chat_view.ended(app, actor, events, f"{len(entries) + 1}")
        except AppError as error:
            done = None
            st.error(plain(error.message), icon=":material/error:")
        state.chat_ended()
    if done and done.conversation_id is not None:
        conversation = done.conversation_id
        st.query_params.from_dict({chat_view.IN_URL: str(conversation)})
    elif done and actor.id is None:
        words = "".join(event.text for event in events if isinstance(event, Text))
        cards = tuple(event for event in events if isinstance(event, Evidence))
        state.guest_chat().extend(
            [Entry("user", question, asked_at), Entry("assistant", words, app.clock(), done.provider, cards)]
        )

with header:
    st.title("Chat", icon=":material/chat:", width="stretch")
    if (entries or question) and st.button("New", icon=":material/add_comment:", key="chat_new", help="Begin anew"):
        st.query_params.clear()
        state.guest_chat().clear()
        st.rerun()
    if actor.id is not None:
        chat_view.history(app, actor, conversation)
st.caption(f"As of {chat_view.as_of(app)}.")
