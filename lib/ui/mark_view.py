"""Marks on the time line: the list, and the form for one more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.db.tables import MUTING, Annotation, AnnotationKind, Repeat
from lib.errors import AppError
from lib.ui import tables
from lib.ui.text import plain

if TYPE_CHECKING:
    from lib.app import App

_KIND_WORDS = {
    "maintenance": "Maintenance: muted, and not learnt from",
    "expected": "Expected: muted, and not learnt from",
    "deploy": "Deploy: named beside what follows it",
    "note": "Note",
}


def marks(app: App, actor: Actor, sources: dict[int, str], hosts: Sequence[str]) -> None:
    """Maintenance, expected spans, deploys and notes: a list, and a form for one more."""
    every = app.detection.annotations.all(actor)
    if every:
        _marks_table(app, actor, every, sources)
    else:
        st.info(
            "A maintenance window mutes what happens in it and keeps it out of training; a deploy is named beside the "
            "anomalies that follow it. Pipelines can send deploys to /api/v1/annotations.",
            title="Nothing marked yet",
            icon=":material/event_note:",
        )
    if not actor.may(Permission.LABEL):
        st.caption("Marking takes the role analyst.")
        return
    form(app, actor, sources, hosts)


def form(
    app: App,
    actor: Actor,
    sources: dict[int, str],
    hosts: Sequence[str],
    *,
    kind: AnnotationKind = AnnotationKind.MAINTENANCE,
    start: datetime | None = None,
    host: str = "",
) -> None:
    """Mark a moment or a span. kind, start, host: what it begins with."""
    with st.form("mark_form", border=True):
        st.markdown("**Mark a moment or a span** (UTC)")
        now = (start or app.clock()).astimezone(UTC).replace(second=0, microsecond=0, tzinfo=None)
        a, b, c = st.columns(3)
        chosen = a.selectbox(
            "Kind",
            list(AnnotationKind),
            key="mark_kind",
            index=list(AnnotationKind).index(kind),
            format_func=lambda kind: _KIND_WORDS[kind],
        )
        begin = b.datetime_input("From", now, key="mark_start", step=60)
        end = c.datetime_input("To (empty: a moment)", None, key="mark_end", step=60)
        source_id = a.selectbox(
            "Source", [None, *sources], key="mark_source", format_func=lambda s: sources[s] if s else "All sources"
        )
        where = b.selectbox(
            "Host",
            ["", *hosts],
            key="mark_host",
            index=hosts.index(host) + 1 if host in hosts else 0,
            format_func=lambda h: h or "All hosts",
        )
        repeat = c.selectbox("Repeats", list(Repeat), key="mark_repeat")
        text = st.text_input("What it is", key="mark_text", max_chars=200, placeholder="Log rotation, shop 4.2, …")
        pressed = st.form_submit_button("Mark", icon=":material/add:", key="mark_add", type="primary")
    if pressed:
        try:
            app.detection.annotations.add(
                actor,
                str(chosen),
                begin.replace(tzinfo=UTC) if begin else app.clock(),
                end.replace(tzinfo=UTC) if end else None,
                text=text,
                source_id=source_id,
                host=where or "",
                repeat=str(repeat),
            )
        except AppError as error:
            st.error(plain(error.message))
            return
        st.rerun()


def _marks_table(app: App, actor: Actor, every: Sequence[Annotation], sources: dict[int, str]) -> None:
    def remove() -> None:
        try:
            app.detection.annotations.remove(actor, every[st.session_state["marks_remove"].row].id or 0)
        except AppError as error:
            st.toast(plain(error.message), icon=":material/error:")

    rows = pd.DataFrame(
        {
            "kind": [("⊘ " if one.kind in MUTING else "") + one.kind for one in every],
            "start": pd.to_datetime([one.start_at for one in every], utc=True),
            "end": pd.to_datetime([one.end_at for one in every], utc=True),
            "repeat": [one.repeat for one in every],
            "where": [f"{one.host or 'all hosts'}, {sources.get(one.source_id or 0, 'all sources')}" for one in every],
            "text": [one.text for one in every],
            "by": [one.created_by for one in every],
        }
    )
    config: dict[str, Any] = {
        "kind": "Kind",
        "start": tables.moment("From"),
        "end": tables.moment("To"),
        "repeat": "Repeats",
        "where": "Where",
        "text": "What",
        "by": "By",
    }
    if actor.may(Permission.LABEL):
        rows["remove"] = "Remove"
        config["remove"] = st.column_config.ButtonColumn(
            "", type="tertiary", width=80, key="marks_remove", on_click=remove
        )
    st.dataframe(rows, hide_index=True, key="marks_table", column_config=config, alt="What people marked")
