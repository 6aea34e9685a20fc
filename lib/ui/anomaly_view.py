"""The Anomalies page's parts: the table, one anomaly in words, detectors and their training."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import pandas as pd
import streamlit as st

from lib.db.tables import Task, TaskStatus
from lib.frames import Window
from lib.profiling.words import between
from lib.ui import links, tables
from lib.ui.text import ago, amount, duration, plain, stamp

# Severity -> (character in tables, icon, colour), worst first. Never colour alone.
Colour = Literal["red", "orange", "yellow"]
SIGNS: dict[str, tuple[str, str, Colour]] = {
    "critical": ("◆", ":material/emergency_home:", "red"),
    "major": ("▲", ":material/error:", "red"),
    "minor": ("●", ":material/warning:", "orange"),
    "warning": ("○", ":material/info:", "yellow"),
}
IN_URL, TABLE = "anomaly", "anomalies_table"
_ROWS_SHOWN = 6


def asked() -> int | None:
    """The anomaly of `?anomaly=12`; None when there is none, or no number."""
    text = st.query_params.get(IN_URL, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def first_choice(found: pd.DataFrame) -> int | None:
    """The anomaly shown before anyone chose: the newest of the gravest."""
    for severity in SIGNS:
        ids = found.loc[found["severity"] == severity, "id"]
        if len(ids):
            return int(ids.iloc[0])
    return None


def table(found: pd.DataFrame, chosen: int | None, now: datetime) -> None:
    """One row an anomaly; a click puts its number into the address."""
    ids = [int(i) for i in found["id"]]
    # A table of other rows is another table: a kept selection would point at a stranger.
    key = f"{TABLE}_{hash(tuple(ids)) & 0xFFFFFF:x}"

    def remember() -> None:
        rows = st.session_state[key].selection.rows
        if rows:
            st.query_params[IN_URL] = str(ids[rows[0]])

    selected = {"selection": {"rows": [ids.index(chosen)]}} if chosen in ids else None
    st.dataframe(
        as_rows(found, now),
        key=key,
        on_select=remember,
        selection_mode="single-row",
        selection_default=selected,  # type: ignore[arg-type]
        hide_index=True,
        height=38 + 35 * min(len(found), _ROWS_SHOWN),
        column_config={
            "start": tables.moment("Began"),
            "lasted": st.column_config.TextColumn("Lasted"),
            "host": st.column_config.TextColumn("Host"),
            "what": st.column_config.TextColumn("What", width="medium", help="What contributed most."),
            "severity": st.column_config.TextColumn("Severity", help="◆ critical  ▲ major  ● minor  ○ warning"),
            "actual": st.column_config.TextColumn("Actual", help="At its strangest."),
            "expected": st.column_config.TextColumn("Expected"),
            "confidence": st.column_config.NumberColumn(
                "Confidence",
                format="%.2f %%",
                help="How sure the detector is that this is unusual: at most as sure as its history allows.",
            ),
        },
        alt="Anomalies in the range, newest first",
    )


def as_rows(found: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """Anomalies as people read them."""
    rows = [
        {
            "severity": f"{SIGNS.get(row.severity, ('?',))[0]} {row.severity}",
            "start": row.start_ts,
            "lasted": lasted(row.start_ts, row.end_ts, now),
            "host": row.host,
            "what": row.title or row.metric,
            "actual": _said(row.actual, row.unit),
            "expected": _expected(row.low, row.high, row.unit),
            "confidence": 100 * row.confidence,
        }
        for row in found.itertuples()
    ]
    return pd.DataFrame(rows)


def lasted(start: Any, end: Any, now: datetime) -> str:
    """`2 h 5 min`, or `going on for 20 min`."""
    if end is None or pd.isna(end):
        return f"going on for {duration(max((now - start).total_seconds(), 0.0))}"
    return duration((end - start).total_seconds())


def _said(value: Any, unit: str) -> str:
    return "–" if value is None or pd.isna(value) else amount(float(value), unit)


def _expected(low: Any, high: Any, unit: str) -> str:
    return "–" if low is None or high is None or pd.isna(low) or pd.isna(high) else between(low, high, unit)


def heading(one: dict[str, Any], now: datetime) -> None:
    """Severity, host and when; then the sentence."""
    _, icon, colour = SIGNS.get(one["severity"], SIGNS["warning"])
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(plain(one["severity"]), icon=icon, color=colour)
        st.caption(
            f"{plain(one['host'])} · {stamp(one['start_ts'])} · {lasted(one['start_ts'], one['end_ts'], now)} · "
            f"confidence {100 * one['confidence']:.2f} %",
            width="stretch",
        )
    st.markdown(plain(one["sentence"], 900))


def contributor_picker(one: dict[str, Any]) -> int:
    """Which of the contributors is drawn; the one that contributed most unless chosen otherwise."""
    contributors = one["explanation"].get("contributors") or []
    if len(contributors) < 2:
        return 0
    labels = {
        number: f"{'◆ ' if c.get('outside') else ''}{c['title']} ({c['share']:.0%})"
        for number, c in enumerate(contributors)
    }
    chosen = st.pills(
        "Contributors",
        list(labels),
        default=0,
        required=True,
        key=f"anomaly_contributor_{one['id']}",
        format_func=lambda number: plain(labels[number], 70),
        help="What led to this anomaly, with its share. ◆ left its expected range.",
    )
    return int(chosen or 0)


def onward(one: dict[str, Any], contributor: int, start: datetime, end: datetime) -> None:
    """Where to go from one anomaly, taking it along."""
    contributors = one["explanation"].get("contributors") or [{}]
    metric = str(contributors[min(contributor, len(contributors) - 1)].get("metric") or one["metric"])
    explore = {
        "metric": metric,
        "host": one["host"],
        "range": "custom",
        "range_from": f"{start:%Y-%m-%dT%H:%M}",
        "range_to": f"{end:%Y-%m-%dT%H:%M}",
    }
    with st.container(horizontal=True, width="content"):
        links.to("pages/observe/explore.py", "Explore this metric", icon=":material/monitoring:", query=explore)
        links.to("pages/act/chat.py", "Ask about it", icon=":material/chat:", query={IN_URL: str(one["id"])})


def nothing(groups: pd.DataFrame, window: Window, running: bool) -> None:
    """Why there is nothing to see, and what to do about it."""
    watched = int((groups["state"] == "trained").sum())
    if groups.empty:
        st.info(
            "Connect your Prometheus, or load the demo history.",
            title="Nothing collected yet",
            icon=":material/database:",
        )
        links.to("pages/operate/sources.py", "Open sources", icon=":material/add_link:")
    elif watched:
        st.info(
            f"{watched} {'host was' if watched == 1 else 'hosts were'} watched from {stamp(window.start)} to "
            f"{stamp(window.end)}. "
            "Choose a longer range or other filters to see more.",
            title="Nothing unusual",
            icon=":material/check_circle:",
        )
    elif running:
        st.info(
            "The first anomalies appear as soon as a host is done.",
            title="Learning what is normal",
            icon=":material/model_training:",
        )
    else:
        st.info(
            "A detector learns what is normal for a host from at least 300 samples, then marks what is not. "
            "This machine and the demo get theirs by themselves; for others an analyst trains one below.",
            title="No detector yet",
            icon=":material/model_training:",
        )


def training(tasks: Sequence[Task]) -> None:
    """How far learning is."""
    for task in tasks:
        waiting = task.status == TaskStatus.PENDING
        words = "waiting for a free place" if waiting else task.message or "starting"
        st.progress(min(max(task.progress, 0.0), 1.0), text=f"{plain(task.title)}: {plain(words)}")


def detectors(groups: pd.DataFrame, now: datetime) -> None:
    """Each host with what watches it."""
    shown = pd.DataFrame(
        {
            "source": groups["source"],
            "host": groups["host"].replace("", "(no host label)"),
            "series": groups["series"],
            "state": groups["state"].map({"trained": "✓ trained", "training": "▶ training"}).fillna("– no detector"),
            "version": groups["version"],
            "trained": [ago(t, now) if t is not None and not pd.isna(t) else "never" for t in groups["trained_at"]],
        }
    )
    st.dataframe(
        shown,
        hide_index=True,
        key="anomalies_detectors",
        column_config={
            "source": "Source",
            "host": "Host",
            "series": st.column_config.NumberColumn("Series"),
            "state": "Detector",
            "version": st.column_config.NumberColumn("Version"),
            "trained": "Trained",
        },
        alt="Hosts and their detectors",
    )
