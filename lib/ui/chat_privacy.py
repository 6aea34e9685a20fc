"""What leaves the machine: shown before it is sent when one wants to see it, and below each answer after."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from lib.services.assistant_privacy import Preview
from lib.ui import state
from lib.ui.text import plain

_WHO = {"system": "Instructions", "user": "You", "assistant": "The model", "tool": "What a tool found"}
SEND, STAY, LEAVE = "send", "stay", "leave"


def wants_to_see(leaves: str) -> bool:
    """A toggle, when anything leaves at all."""
    return bool(leaves) and st.toggle(
        "Show me what is sent before it is",
        key="chat_look_first",
        help="Each question then waits for your click. What tools find is sent too, under the same made-up names.",
    )


def before(shown: Preview, key: str) -> None:
    """Word for word what would be sent, and which names are covered in it."""
    st.markdown(f":material/cloud_upload: **This would be sent to {plain(shown.to)}**")
    messages(shown.messages)
    if shown.aliases:
        st.caption(f"Covered names: {len(shown.aliases)}. Only you see which:")
        st.dataframe(
            {"Sent as": list(shown.aliases), "Stands for": list(shown.aliases.values())},
            hide_index=True,
            key=f"{key}_aliases",
            alt="Made-up names and the real ones",
            height="content" if len(shown.aliases) < 8 else 240,
        )


def ask(question: str, shown: Preview) -> str:
    """What would be sent, and what to do with it: SEND, STAY (answer offline), LEAVE, or '' while undecided."""
    with st.container(border=True, key="chat_preview"):
        before(shown, "chat")
        st.caption(f"The model may then ask for: {plain(', '.join(shown.tools), 600)}.")
        with st.expander("How these tools are described to it: the same for every question, sent as well"):
            st.code(shown.declared, language="json", wrap_lines=True, height=240)
        with st.container(horizontal=True):
            if st.button("Send", key="chat_send", type="primary", icon=":material/send:"):
                return SEND
            if st.button("Answer offline", key="chat_stay", icon=":material/lock:"):
                return STAY
            if st.button("Cancel", key="chat_cancel", type="tertiary"):
                return LEAVE
    state.hold_question(question)
    return ""


def messages(sent: Sequence[tuple[str, str]]) -> None:
    """Word for word."""
    for role, words in sent:
        st.caption(_WHO.get(role, plain(role)))
        st.code(words, language=None, wrap_lines=True, height="content" if len(words) < 1200 else 240)


def after(sent: Sequence[tuple[str, str]], key: str, *, tools: bool = True) -> None:
    """A way to see what was sent for an answer. tools: their description went along."""
    if not sent:
        return
    size = sum(len(words) for _, words in sent)
    with st.popover(f"Sent: {size:,} characters", icon=":material/cloud_upload:", key=f"sent_{key}"):
        beside = ", beside the description of the tools, which is the same for every question" if tools else ""
        st.caption(f"Every word that left this machine for this answer{beside}.")
        messages(sent)
