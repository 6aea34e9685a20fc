"""How a conversation looks: what was said, what its numbers came from, which engine answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pandas as pd
import streamlit as st

from lib.app import App
from lib.auth.actor import Actor
from lib.chat.events import Done, Error, Event, Evidence, Text, ToolCall
from lib.errors import NotFound
from lib.services.assistant import AssistantStatus
from lib.services.conversations import Entry
from lib.ui import links, refusal, state
from lib.ui.text import ago, marks_once, plain, stamp

IN_URL, QUESTION, ANOMALY = "conversation", "q", "anomaly"
_ENGINES = {"offline": "Offline engine", "gemini": "Gemini", "openai": "OpenAI"}
_MOST_LISTED = 30


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
        made += [f"Why is anomaly {anomaly} one?"]
    return list(dict.fromkeys([*made, *app.assistant.suggestions(actor)]))


def pick_starter(app: App, actor: Actor) -> str | None:
    """Questions to begin with; the one that was clicked, once."""

    def take() -> None:
        # Taken out of the widget, so that the same click is not an answer again on the next run.
        state.pick(st.session_state["chat_starters"] or "")
        st.session_state["chat_starters"] = None

    st.pills(
        "Try one of these",
        starters(app, actor),
        key="chat_starters",
        width="stretch",
        on_change=take,
        format_func=lambda question: plain(question, 120),
    )
    return state.picked() or None


def said(entry: Entry, number: int) -> None:
    """One entry of the history."""
    with st.chat_message("user" if entry.role == "user" else "assistant"):
        if entry.role == "user":
            st.markdown(plain(entry.text, 2000))
            return
        st.markdown(marks_once(entry.text))
        if entry.stopped:
            st.caption(":material/stop_circle: Stopped before it was complete.")
        below(entry.evidence, entry.provider, entry.unsupported, entry.notice, f"{number}")


def stream(events: Iterator[Event], into: list[Event]) -> Iterator[str]:
    """The words of an answer for st.write_stream; everything is also kept in `into`."""
    busy = st.empty()
    for event in events:
        into.append(event)
        if isinstance(event, ToolCall):
            busy.caption(f":shimmer[Looking at the data: {plain(event.name)}]")
        elif isinstance(event, Text):
            busy.empty()
            yield marks_once(event.text)
    busy.empty()


def ended(events: Sequence[Event], key: str) -> Done | None:
    """What follows the words: evidence, engine, or why there is no answer."""
    for event in events:
        if isinstance(event, Error):
            st.error(plain(event.message), icon=":material/error:")
            return None
    done = next((event for event in events if isinstance(event, Done)), None)
    cards = tuple(event for event in events if isinstance(event, Evidence))
    if done:
        below(cards, done.provider, done.unsupported, done.notice, key)
    return done


def below(cards: Sequence[Evidence], provider: str, unsupported: Sequence[str], notice: str, key: str) -> None:
    if unsupported:
        st.warning(
            f"No tool gave these numbers, so do not rely on them: {plain(', '.join(unsupported))}.",
            icon=":material/help:",
            title="Unsupported numbers",
        )
    name = _ENGINES.get(provider, provider)
    where = f"{name}: nothing left this machine" if provider == "offline" else f"{name}: asked over the network"
    told = f" {plain(notice)}" if notice else ""
    if not cards:
        st.caption(f":material/smart_toy: {where}.{told}")
        return
    noun = "source" if len(cards) == 1 else "sources"
    with st.expander(f"Evidence: {len(cards)} {noun} · {where}", icon=":material/fact_check:"):
        if told:
            st.caption(told)
        st.dataframe(
            _table(cards),
            hide_index=True,
            key=f"evidence_{key}",
            alt="Where the numbers of this answer came from",
            column_config={
                "mark": st.column_config.TextColumn("Mark", width=60),
                "query": st.column_config.TextColumn("Query", width="medium"),
                "window": st.column_config.TextColumn("Window (UTC)", width=250),
                "rows": st.column_config.NumberColumn(
                    "Rows", format="localized", help="Samples, anomalies or metrics it was computed from."
                ),
                "formula": st.column_config.TextColumn("Computed as", width="medium"),
                "source": st.column_config.TextColumn("Source"),
            },
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            for card in cards[:6]:
                _onward(card, f"{key}_{card.number}")


def _table(cards: Sequence[Evidence]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "mark": f"[{card.number}]",
            "query": card.query,
            "window": _window(card),
            "rows": card.rows,
            "formula": card.formula,
            "source": card.source,
        }
        for card in cards
    )


def _window(card: Evidence) -> str:
    if card.window_start is None or card.window_end is None:
        return ""
    return f"{card.window_start:%Y-%m-%d %H:%M} to {card.window_end:%Y-%m-%d %H:%M}"


def _onward(card: Evidence, key: str) -> None:
    if card.table:
        with st.popover(f"[{card.number}] Result", icon=":material/table:", key=f"result_{key}"):
            st.dataframe(_readable(card), hide_index=True, key=f"rows_{key}", alt=f"Result {card.number}")
            if card.total > len(card.table):
                st.caption(f"{len(card.table)} of {card.total:,} rows.")
    query = {}
    if metric := card.links.get("metric"):
        query = {"metric": str(metric)}
        if len(card.links.get("hosts", ())) == 1:
            query["host"] = str(card.links["hosts"][0])
        if card.window_start and card.window_end and card.window_start.year > 1970:
            until = card.window_end + timedelta(seconds=59)
            query |= {"range": "custom", "range_from": f"{card.window_start:%Y-%m-%dT%H:%M}"}
            query["range_to"] = f"{until:%Y-%m-%dT%H:%M}"
        links.to("pages/observe/explore.py", "Open in Explore", icon=":material/monitoring:", query=query)
    for anomaly_id in card.links.get("anomaly_ids", ())[:3]:
        links.to(
            "pages/observe/anomalies.py",
            f"Open anomaly {anomaly_id}",
            icon=":material/warning:",
            query={ANOMALY: str(anomaly_id)},
        )


def _readable(card: Evidence) -> pd.DataFrame:
    rows = [{k: _cell(v) for k, v in row.items() if not isinstance(v, list | dict)} for row in card.table]
    return pd.DataFrame(rows)


def _cell(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value


def history(app: App, actor: Actor, current: int | None) -> None:
    """A person's conversations: open, rename, delete."""
    found = app.assistant.conversations(actor)
    with st.popover("History", icon=":material/history:", key="chat_history"):
        if not found:
            st.caption("Nothing asked yet. Conversations are kept here, for you alone, until you delete them.")
        for row in found[:_MOST_LISTED]:
            with st.container(horizontal=True, vertical_alignment="center"):
                label = plain(row.title, 60) or "Without a title"
                when = ago(row.updated_at, app.clock())
                icon = ":material/chat:" if row.id == current else None
                if st.button(label, key=f"open_{row.id}", help=f"Last used {when}", icon=icon, width="stretch"):
                    st.query_params.from_dict({IN_URL: str(row.id)})
                    st.rerun()
                if st.button(
                    "", icon=":material/delete:", key=f"delete_{row.id}", help="Delete for good", type="tertiary"
                ):
                    with refusal.shown():
                        app.assistant.delete(actor, int(row.id or 0))
                        if row.id == current:
                            st.query_params.clear()
                        st.rerun()
        named = next((row for row in found if row.id == current), None)
        if named is not None and current is not None:
            title = st.text_input("Title of this conversation", named.title, key=f"title_{current}", max_chars=60)
            if title != named.title:
                with refusal.shown():
                    app.assistant.rename(actor, current, title)
                    st.rerun()


def as_of(app: App) -> str:
    return stamp(app.clock(), seconds=True)
