"""A person's conversations: found, opened, renamed, taken along, deleted; answers asked again and rated."""

from __future__ import annotations

from functools import partial

import streamlit as st

from lib.app import App
from lib.auth.actor import Actor
from lib.services.conversations import Entry
from lib.ui import refusal, state
from lib.ui.text import ago, plain

IN_URL = "conversation"
_MOST_LISTED = 30
_THUMBS = {-1: 0, 0: None, 1: 1}


def show(app: App, actor: Actor, current: int | None) -> None:
    """The popover with all of them."""
    with st.popover("History", icon=":material/history:", key="chat_history"):
        search = st.text_input("Search", key="chat_search", placeholder="a title, a host, a word", live=True)
        found = app.assistant.conversations(actor, search)
        if state.conversation_leaving() not in {row.id for row in found}:
            # Deleted elsewhere meanwhile, and its number may be another's soon.
            state.ask_whether_to_delete(None)
        if not found and search:
            st.caption("No conversation has these words.")
        elif not found:
            st.caption("Nothing asked yet. Conversations are kept here, for you alone, until you delete them.")
        for row in found[:_MOST_LISTED]:
            with st.container(horizontal=True, vertical_alignment="center"):
                label = plain(row.title, 60) or "Without a title"
                when = ago(row.updated_at, app.clock())
                icon = ":material/chat:" if row.id == current else None
                if st.button(label, key=f"open_{row.id}", help=f"Last used {when}", icon=icon, width="stretch"):
                    st.query_params.from_dict({IN_URL: str(row.id)})
                    st.rerun()
                st.button(
                    "",
                    icon=":material/delete:",
                    key=f"delete_{row.id}",
                    help="Delete this conversation",
                    type="tertiary",
                    on_click=state.ask_whether_to_delete,
                    args=(row.id,),
                )
            if row.id is not None and row.id == state.conversation_leaving():
                _whether_to_delete(app, actor, row.id, current)
        if len(found) > _MOST_LISTED:
            st.caption(f"The latest {_MOST_LISTED} of {len(found):,}; search for older ones.")
        named = next((row for row in found if row.id == current), None)
        if named is not None and current is not None:
            _current(app, actor, current, named.title)


def _whether_to_delete(app: App, actor: Actor, leaving: int, current: int | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Its questions and answers go for good.")
        if st.button("Delete for good", key="delete_for_good", type="primary", icon=":material/delete_forever:"):
            with refusal.shown():
                app.assistant.delete(actor, leaving)
                state.ask_whether_to_delete(None)
                if leaving == current:
                    st.query_params.clear()
                st.rerun()
        st.button("Keep it", key="delete_not", on_click=state.ask_whether_to_delete, args=(None,))


def _current(app: App, actor: Actor, current: int, called: str) -> None:
    title = st.text_input("Title of this conversation", called, key=f"title_{current}", max_chars=60)
    if title != called:
        with refusal.shown():
            app.assistant.rename(actor, current, title)
            st.rerun()
    with st.container(horizontal=True):
        for form, ending, kind in (("markdown", "md", "text/markdown"), ("json", "json", "application/json")):
            st.download_button(
                ending.upper(),
                partial(app.assistant.export, actor, current, form),
                f"conversation-{current}.{ending}",
                kind,
                key=f"export_{ending}",
                icon=":material/download:",
                on_click="ignore",
                help="Questions, answers and where their numbers came from.",
            )


def judge(app: App, actor: Actor, entry: Entry) -> bool:
    """Thumbs below the newest answer, and a button to ask again; whether that was pressed."""
    if entry.id is None or entry.role != "assistant":
        return False
    key = f"thumbs_{entry.id}"

    def rate() -> None:
        given = st.session_state[key]
        with refusal.shown():
            app.assistant.rate(actor, entry.id or 0, 0 if given is None else 1 if given else -1)

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.feedback("thumbs", key=key, default=_THUMBS.get(entry.rating), on_change=rate)
        return st.button(
            "Ask again",
            key=f"again_{entry.id}",
            icon=":material/refresh:",
            type="tertiary",
            help="Answers the last question anew; this answer goes.",
        )
