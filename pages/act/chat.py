"""Ask in words: answers come from the data, and every number says where from."""

from contextlib import closing

import streamlit as st

from lib.auth.actor import Permission
from lib.chat.events import Evidence, Text
from lib.errors import AppError
from lib.services.conversations import Entry
from lib.ui import chat_history, chat_privacy, chat_view, guard, runtime, state
from lib.ui.text import plain

actor = guard.require(Permission.CHAT)
app = runtime.app()

header = st.container(horizontal=True, vertical_alignment="bottom")
conversation, entries = chat_view.chosen(app, actor)
status = app.assistant.status(actor)
chat_view.engine(status)
look_first = chat_privacy.wants_to_see(status.leaves)

again = False
for number, entry in enumerate(entries):
    chat_view.said(app, actor, entry, number)
judging = st.empty()
if entries:
    with judging.container():
        chat_view.instead(app.assistant.instead(actor, entries), len(entries))
        again = chat_history.judge(app, actor, entries[-1])

question = st.chat_input("Ask about metrics, hosts and anomalies", key="chat_question", submit_mode="stop")
welcome = st.empty()
if not entries:
    with welcome.container():
        chat_view.offer("Try one of these", chat_view.starters(app, actor), "chat_starters")
question = state.picked() or question
if question:
    welcome.empty()

offline = False
if look_first and not again and (question := question or state.held_question()):
    shown = app.assistant.preview(actor, question, conversation, entries)
    choice = chat_privacy.ask(question, shown) if shown else chat_privacy.SEND
    offline = choice == chat_privacy.STAY
    question = question if choice in (chat_privacy.SEND, chat_privacy.STAY) else None

if question or again:
    # Only the last answer is rated or asked again, and that is the one to come.
    judging.empty()
    with st.chat_message("user"):
        st.markdown(plain(question or chat_view.last_question(entries), 2000))
    with judging:
        chat_view.follow(f"{conversation} {len(entries)}")
    with st.chat_message("assistant"):
        events: list = []
        asked_at = app.clock()
        try:
            answer = app.assistant.answer(actor, question or "", conversation, entries, offline=offline, again=again)
            chat_view.watch_for_stop()
            asking = state.chat_began(question or "")
            with closing(chat_view.stream(answer, events, asking)) as pieces:
                st.write_stream(pieces)
            done = chat_view.ended(app, actor, events, f"{len(entries) + 1}")
            if done:
                chat_view.instead(done.instead, len(entries) + 2)
        except AppError as error:
            done = None
            st.error(plain(error.message), icon=":material/error:")
        state.chat_ended()
    if done and done.conversation_id is not None:
        conversation = done.conversation_id
        st.query_params.from_dict({chat_view.IN_URL: str(conversation)})
        if again:
            st.rerun()
        chat_history.judge(app, actor, app.assistant.messages(actor, conversation)[-1])
    elif done and actor.id is None:
        words = "".join(event.text for event in events if isinstance(event, Text))
        cards = tuple(event for event in events if isinstance(event, Evidence))
        state.guest_chat().extend(
            [Entry("user", question or "", asked_at), Entry("assistant", words, app.clock(), done.provider, cards)]
        )

with header:
    st.title("Chat", icon=":material/chat:", width="stretch")
    if (entries or question) and st.button("New", icon=":material/add_comment:", key="chat_new", help="Begin anew"):
        st.query_params.clear()
        state.guest_chat().clear()
        st.rerun()
    if actor.id is not None:
        chat_history.show(app, actor, conversation)
st.caption(f"As of {chat_view.as_of(app)}.")
