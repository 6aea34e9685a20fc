"""What one browser tab remembers between runs. Session state is touched here and by widgets' own keys only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import streamlit as st

_SESSION = "session_token"
_GUEST = "guest"
_TICKET = "cookie_ticket"
_LEFT = "signed_out"
_READING = "text_found"
_WAITING = "question_waiting"


def token() -> str | None:
    """The session this tab signed in with; the cookie may hold another one."""
    return st.session_state.get(_SESSION)


def ticket() -> str | None:
    """What the browser exchanges for the cookie; kept, so that the request is drawn once and not taken away."""
    return st.session_state.get(_TICKET)


def enter(session_token: str, cookie_ticket: str | None) -> None:
    """Signed in. Nothing of who was here before stays."""
    st.session_state.clear()
    st.session_state[_SESSION] = session_token
    if cookie_ticket:
        st.session_state[_TICKET] = cookie_ticket


def leave() -> None:
    """Signed out: another person may sit down now, so everything goes."""
    st.session_state.clear()
    st.session_state[_LEFT] = True


def just_left() -> bool:
    """Whether this tab signed out and the cookie is still to be cleared; True once."""
    return bool(st.session_state.pop(_LEFT, False))


def look_around() -> None:
    st.session_state[_GUEST] = True


def stop_looking() -> None:
    st.session_state.pop(_GUEST, None)


def is_guest() -> bool:
    return bool(st.session_state.get(_GUEST))


def guest_chat() -> list:
    """What a guest asked and was answered: nothing of it is stored elsewhere."""
    return st.session_state.setdefault("guest_chat", [])


def pick(question: str) -> None:
    """Remember a question that was clicked, until `picked` hands it out."""
    st.session_state["chat_pick"] = question


def picked() -> str:
    """The question that was clicked, once."""
    return st.session_state.pop("chat_pick", "")


@dataclass
class Asking:
    """An answer being written. over: it is kept as far as it came, also by a run that was stopped."""

    question: str
    over: bool = False


def chat_began(question: str) -> Asking:
    """An answer is being written; unless `chat_ended` follows, the reader stopped it."""
    asking = st.session_state["chat_open"] = Asking(question)
    return asking


def chat_stopped() -> bool:
    """Whether an answer was begun, stopped, and kept."""
    asking = st.session_state.get("chat_open")
    return asking is not None and asking.over


def chat_ended() -> str:
    """The question whose answer was still being written, if any."""
    asking = st.session_state.pop("chat_open", None)
    return asking.question if asking else ""


def query() -> Any:
    """The query this tab asked for last, running or over; None before the first."""
    return st.session_state.get("sql_asked")


def query_asked(running: Any) -> None:
    """Forget the query before, ending it if it still runs."""
    before = query()
    if before is not None:
        before.cancel()
    st.session_state["sql_asked"] = running


def remember_reading(text: str, found: Any) -> None:
    """What was found in a text, so that a click elsewhere on the page does not take it away."""
    st.session_state[_READING] = (hash(text), found)


def reading_of(text: str) -> Any:
    """What was found in this very text; None for another one."""
    known, found = st.session_state.get(_READING, (None, None))
    return found if known == hash(text) else None


def hold_question(question: str) -> None:
    """A question that waits until its writer has seen what would be sent."""
    st.session_state[_WAITING] = question


def held_question() -> str:
    """The waiting question, once; empty when none waits."""
    return st.session_state.pop(_WAITING, "")


def conversation_leaving() -> int | None:
    """The conversation whose owner is being asked whether to delete it."""
    return st.session_state.get("chat_leaving")


def ask_whether_to_delete(conversation_id: int | None) -> None:
    st.session_state["chat_leaving"] = conversation_id


def promql() -> tuple[int, str] | None:
    """Which source this tab asked last, and what; None before the first. A link fills the editor and asks nothing."""
    return st.session_state.get("promql_asked")


def promql_asked(source_id: int, expression: str) -> None:
    st.session_state["promql_asked"] = (source_id, expression)


def pipeline_drafts() -> dict[int | None, Any]:
    """Pipelines being changed in this tab, by their number; None for the one that was never saved."""
    return st.session_state.setdefault("pipeline_drafts", {})


def opened_view() -> int | None:
    """The saved view whose choices are on the page already."""
    return st.session_state.get("view_opened")


def view_opened(view_id: int | None) -> None:
    st.session_state["view_opened"] = view_id


def choices(keys: tuple[str, ...]) -> dict[str, Any]:
    """What the widgets of these keys hold, those that were drawn or set."""
    return {key: st.session_state[key] for key in keys if key in st.session_state}


def choose(values: dict[str, Any], forget: Iterable[str] = ()) -> None:
    """Make widgets hold these, before they are drawn. forget: keys whose widgets begin anew."""
    for key in forget:
        st.session_state.pop(key, None)
    for key, value in values.items():
        st.session_state[key] = value
