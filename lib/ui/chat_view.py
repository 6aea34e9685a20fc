"""How a conversation looks: what was said, what its numbers came from, which engine answered."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import streamlit as st

from lib.app import App
from lib.auth.actor import Actor
from lib.chat.events import Done, Error, Event, Evidence, Text, ToolCall, Waiting
from lib.errors import NotFound
from lib.services.assistant import AssistantStatus
from lib.services.conversations import Entry
from lib.ui import approval_view, chat_privacy, components, evidence_card, state
from lib.ui.text import marks_once, plain, stamp

IN_URL, QUESTION, ANOMALY = "conversation", "q", evidence_card.ANOMALY
_ENGINES = {"offline": "Offline engine", "gemini": "Gemini", "openai": "OpenAI"}
_MOST_CARDS = 8


def chosen(app: App, actor: Actor) -> tuple[int | None, list[Entry]]:
    """The conversation of the address and what was said in it; a new one when there is none."""
    text = st.query_params.get(IN_URL, "")
    stopped = state.chat_ended()
    if not text and stopped:
        # The reader stopped the first answer of a conversation: it was kept, its address was not.
        newest = app.assistant.conversations(actor)[:1]
        if newest and stopped.strip().startswith(newest[0].title.removesuffix("…")):
            text = st.query_params[IN_URL] = str(newest[0].id)
    if text.isascii() and text.isdigit() and len(text) < 10:
        try:
            return int(text), app.assistant.messages(actor, int(text))
        except NotFound as error:
            st.warning(plain(error.message), icon=":material/search_off:")
    return None, list(state.guest_chat()) if actor.id is None else []


def engine(status: AssistantStatus) -> None:
    """Who answers, and what leaves the machine for it."""
    if status.leaves:
        st.caption(f":material/cloud_upload: {plain(status.leaves, 600)}")
    else:
        st.caption(":material/lock: Answered by the offline engine: nothing leaves this machine. Times are UTC.")


def starters(app: App, actor: Actor) -> list[str]:
    """What the address carries first (asked only on a click), then what the data can answer."""
    made: list[str] = []
    if asked := st.query_params.get(QUESTION, "").strip()[:500]:
        made.append(asked)
    anomaly = st.query_params.get(ANOMALY, "")
    if anomaly.isascii() and anomaly.isdigit() and len(anomaly) < 16:
        made += [f"Why was anomaly {anomaly} found?"]
    return list(dict.fromkeys([*made, *app.assistant.suggestions(actor)]))


def offer(label: str, questions: Sequence[str], key: str) -> None:
    """Questions to ask by a click; `state.picked` hands out the one that was."""

    def take() -> None:
        # Taken out of the widget, so that the same click is not an answer again on the next run.
        state.pick(st.session_state[key] or "")
        st.session_state[key] = None

    if questions:
        st.pills(
            label,
            questions,
            key=key,
            width="stretch",
            on_change=take,
            format_func=lambda question: plain(question, 120),
        )


def instead(questions: Sequence[str], entries: int) -> None:
    """What may have been meant by a question that was not understood. entries: how many were said before."""
    offer("Did you mean", questions, f"chat_instead_{entries}")


def said(app: App, actor: Actor, entry: Entry, number: int) -> None:
    """One entry of the history."""
    with st.chat_message("user" if entry.role == "user" else "assistant"):
        if entry.role == "user":
            st.markdown(plain(entry.text, 2000))
            return
        st.markdown(marks_once(entry.text))
        if entry.stopped:
            st.caption(":material/stop_circle: Stopped before it was complete.")
        below(app, actor, entry.evidence, entry.provider, entry.unsupported, entry.notice, f"{number}", entry.sent)


def last_question(entries: Sequence[Entry]) -> str:
    return next((entry.text for entry in reversed(entries) if entry.role == "user"), "")


def stream(events: Generator[Event], into: list[Event], asking: state.Asking) -> Generator[str]:
    """The words of an answer for st.write_stream; everything is also kept in `into`."""
    busy = st.empty()
    told, said = "", False
    # A stop is an exception out of any of these calls: what was read until then is kept when the answer is closed.
    try:
        for event in events:
            if isinstance(event, Waiting):
                # Drawing is also where a press on stop is noticed. Beside words that stand there it says nothing.
                busy.caption(told or ("" if said else ":shimmer[Waiting for the language model]"))
                continue
            into.append(event)
            if isinstance(event, ToolCall):
                told = f":shimmer[Looking at the data: {plain(event.name)}]"
                busy.caption(told)
            elif isinstance(event, Text):
                told, said = "", True
                busy.empty()
                yield marks_once(event.text)
    finally:
        events.close()
        asking.over = True
    busy.empty()


def follow(question: str) -> None:
    """Bring this question, new on the page, into sight, and draw the page anew should its input stay locked: see the
    script for how Streamlit comes to lose either."""
    components.component("autoopsfollow", "follow", "follow", html="<span hidden></span>", js="follow.js")(
        key="chat_follow", data={"question": question}, height=1, on_locked_change=lambda: None
    )


@st.fragment(run_every=1.5)
def watch_for_stop() -> None:
    """Draw the page anew after a press on stop: nothing more is drawn in the run that was stopped.

    To be placed before `state.chat_began`; it looks again only while no other run is under way.
    """
    if state.chat_stopped():
        st.rerun()


def ended(app: App, actor: Actor, events: Sequence[Event], key: str) -> Done | None:
    """What follows the words: evidence, engine, or why there is no answer."""
    for event in events:
        if isinstance(event, Error):
            st.error(plain(event.message), icon=":material/error:")
            return None
    done = next((event for event in events if isinstance(event, Done)), None)
    cards = tuple(event for event in events if isinstance(event, Evidence))
    if done:
        below(app, actor, cards, done.provider, done.unsupported, done.notice, key, done.sent)
    return done


def below(
    app: App,
    actor: Actor,
    cards: Sequence[Evidence],
    provider: str,
    unsupported: Sequence[str],
    notice: str,
    key: str,
    sent: Sequence[tuple[str, str]],
) -> None:
    """What belongs to an answer: numbers not to rely on, a card of evidence a mark, commands that wait."""
    if unsupported:
        st.warning(
            f"No tool gave these, so do not rely on them: {plain(', '.join(unsupported))}.",
            icon=":material/help:",
            title="Unsupported numbers",
        )
    name = _ENGINES.get(provider, provider)
    where = f"{name}: asked over the network"
    if provider == "offline":
        where = f"{name}: a model was asked before it" if sent else f"{name}: nothing left this machine"
    told = f" {plain(notice)}" if notice else ""
    if not cards:
        st.caption(f":material/smart_toy: {where}.{told}")
        chat_privacy.after(sent, key)
        return
    if told:
        st.caption(f":material/info:{told}")
    # A card a mark: whoever doubts [2] opens [2].
    with st.container(horizontal=True, vertical_alignment="center", key=f"evidence_{key}"):
        for card in cards[:_MOST_CARDS]:
            with st.popover(f"[{card.number}] Evidence", icon=":material/fact_check:", key=f"card_{key}_{card.number}"):
                evidence_card.shown(app, actor, card, f"{key}_{card.number}")
        chat_privacy.after(sent, key)
        st.caption(where)
    if len(cards) > _MOST_CARDS:
        st.caption(f"{len(cards) - _MOST_CARDS} more are not shown.")
    waiting = {int(card.links["proposal"]): str(card.links["digest"]) for card in cards if card.links.get("proposal")}
    if waiting:
        approval_view.waiting(app, actor, waiting, key)


def as_of(app: App) -> str:
    return stamp(app.clock(), seconds=True)
