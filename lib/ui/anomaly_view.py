"""The Anomalies page's parts: the table, one anomaly in words, detectors and their training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
TABLE = "anomalies_table"
# Verdict -> (mark, words, icon, help).
VERDICTS: dict[str, tuple[str, str, str, str]] = {
    "real": ("✓", "Real", ":material/check:", "Something was wrong."),
    "false": ("✗", "False alarm", ":material/close:", "Nothing was wrong: the next training learns it as normal."),
    "expected": ("◷", "Expected", ":material/event_available:", "Unusual, and all right: left out of training."),
}
_VERDICT_PX = {"real": 46, "false": 48, "expected": 72}
_SAID, _UNSAID = ":material/radio_button_checked:", ":material/radio_button_unchecked:"
_ROWS_SHOWN = 6
_EVENT_ICONS = {
    "deploy": ":material/rocket_launch:",
    "note": ":material/sticky_note_2:",
    "maintenance": ":material/construction:",
    "expected": ":material/event_available:",
    "restart": ":material/restart_alt:",
    "counter reset": ":material/restart_alt:",
    "new series": ":material/new_label:",
    "series ended": ":material/label_off:",
    "gap": ":material/signal_disconnected:",
}


def first_choice(found: pd.DataFrame) -> int | None:
    """The anomaly shown before anyone chose: the newest of the gravest."""
    for severity in SIGNS:
        ids = found.loc[found["severity"] == severity, "id"]
        if len(ids):
            return int(ids.iloc[0])
    return None


def table(
    found: pd.DataFrame, chosen: int | None, now: datetime, label: Callable[[int, str], None] | None = None
) -> None:
    """One row an anomaly; a click puts its number into the address. label: what a click on a verdict does, None for who
    may not."""
    ids = [int(i) for i in found["id"]]
    # A table of other rows is another table: a kept selection would point at a stranger.
    key = f"{TABLE}_{hash(tuple(ids)) & 0xFFFFFF:x}"

    def remember() -> None:
        rows = st.session_state[key].selection.rows
        if rows:
            links.choose(ids[rows[0]])

    def say(verdict: str) -> None:
        if label is not None:
            label(ids[st.session_state[f"{key}_{verdict}"].row], verdict)

    rows = as_rows(found, now)
    buttons = {}
    if label is not None:
        for verdict, (_, words, _, help) in VERDICTS.items():
            # As radio buttons look: the one that was said is filled.
            rows[f"say_{verdict}"] = [_SAID if said == verdict else _UNSAID for said in found["verdict"]]
            buttons[f"say_{verdict}"] = st.column_config.ButtonColumn(
                words.split()[0],
                width=_VERDICT_PX[verdict],
                type="tertiary",
                help=help,
                key=f"{key}_{verdict}",
                on_click=say,
                args=(verdict,),
            )
        rows = rows.drop(columns="label")
    selected = {"selection": {"rows": [ids.index(chosen)]}} if chosen in ids else None
    st.dataframe(
        rows,
        key=key,
        on_select=remember,
        selection_mode="single-row",
        selection_default=selected,  # type: ignore[arg-type]
        hide_index=True,
        height=tables.height(len(found), _ROWS_SHOWN),
        column_config={
            "start": st.column_config.DatetimeColumn("Began (UTC)", format="YYYY-MM-DD HH:mm", timezone="UTC"),
            "lasted": st.column_config.TextColumn("Lasted"),
            "host": st.column_config.TextColumn("Host"),
            "what": st.column_config.TextColumn("What", width=142, help="What contributed most."),
            "severity": st.column_config.TextColumn("Severity", help="◆ critical  ▲ major  ● minor  ○ warning"),
            "actual": st.column_config.TextColumn("Actual", help="At its strangest."),
            "expected": st.column_config.TextColumn("Expected", width=110),
            "confidence": st.column_config.NumberColumn(
                "Sure",
                format="%.2f %%",
                width=70,
                help="How sure the detector is that this is unusual: at most as sure as its history allows.",
            ),
            "label": st.column_config.TextColumn("Label", help="What people said of it: ✓ real, ✗ false, ◷ expected."),
            **buttons,
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
            "label": said_of(row.verdict, row.muted),
        }
        for row in found.itertuples()
    ]
    return pd.DataFrame(rows)


def said_of(verdict: str, muted: str = "") -> str:
    """`✓ real`, and whether it is muted."""
    words = f"{VERDICTS[verdict][0]} {verdict}" if verdict in VERDICTS else ""
    return " · ".join(part for part in (words, muted and "muted") if part)


def lasted(start: Any, end: Any, now: datetime) -> str:
    """`2 h 5 min`, or `going on for 20 min`."""
    if end is None or pd.isna(end):
        return f"going on for {duration(max((now - start).total_seconds(), 0.0))}"
    return duration((end - start).total_seconds())


def _said(value: Any, unit: str) -> str:
    return "–" if value is None or pd.isna(value) else amount(float(value), unit)


def _expected(low: Any, high: Any, unit: str) -> str:
    return "–" if low is None or high is None or pd.isna(low) or pd.isna(high) else between(low, high, unit)


def heading(one: dict[str, Any], now: datetime, label: Callable[[int, str], None] | None) -> None:
    """Severity, host and when, what people said of it and the buttons to say so; then the sentence."""
    _, icon, colour = SIGNS.get(one["severity"], SIGNS["warning"])
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(plain(one["severity"]), icon=icon, color=colour)
        st.caption(
            f"{plain(one['host'])} · {stamp(one['start_ts'])} · {lasted(one['start_ts'], one['end_ts'], now)} · "
            f"confidence {100 * one['confidence']:.2f} %",
            width="stretch",
        )
        for verdict, (_, words, sign, help) in VERDICTS.items() if label is not None else ():
            st.button(
                words,
                icon=sign,
                key=f"label_{verdict}",
                type="primary" if one["verdict"] == verdict else "secondary",
                help=f"{help} Click again to take it back." if one["verdict"] == verdict else help,
                on_click=label,
                args=(int(one["id"]), verdict),
            )
    st.markdown(plain(one["sentence"], 900))
    if one["verdict"]:
        note = f": {plain(one['note'])}" if one["note"] else ""
        st.caption(
            f"{VERDICTS[one['verdict']][0]} {plain(one['labelled_by'])} called it {plain(one['verdict'])}"
            f"{note}, {ago(one['labelled_at'], now, short=True)}."
        )
    if one["muted"]:
        st.caption(f":material/volume_off: Muted, {plain(one['muted'])}.")


def why(one: dict[str, Any], now: datetime) -> None:
    """The reasons behind one anomaly: what the forest saw, what happened nearby, how the other hosts were.

    one: as `explain` gave it.
    """
    forest, near, others = st.columns(3, gap="large")
    with forest:
        st.markdown("**What the forest saw**")
        for part in one["forest"]:
            words = plain(" and ".join(part["features"]), 160)
            st.progress(
                min(max(float(part["share"]), 0.0), 1.0),
                text=f"**{plain(part['title'], 60)}** {part['share']:.0%}: {words}",
            )
        if not one["forest"]:
            st.caption("Found before these reasons were kept; train again to see them.")
    with near:
        st.markdown("**What happened nearby**")
        for event in one["nearby"]:
            text = f" {plain(event.text, 160)}" if event.text else ""
            st.markdown(
                f"{_EVENT_ICONS.get(event.kind, ':material/info:')} **{plain(event.kind)}**, "
                f"{event.when(one['start_ts'])}.{text}"
            )
        if not one["nearby"]:
            st.caption("No deploy, restart, counter reset, new series or gap within the hour before or two after.")
    with others:
        st.markdown("**The other hosts**")
        peers = one["peers"]
        if peers is not None:
            st.markdown(plain(peers.sentence(one["actual"], one["unit"]), 600))
            for row in peers.also.head(5).itertuples():
                links.to(
                    "pages/observe/anomalies.py",
                    f"{SIGNS.get(row.severity, ('?',))[0]} {plain(row.host, 40)}, {stamp(row.start)}",
                    query={links.ANOMALY: str(row.id)},
                )


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
    then = links.changes_of(one["start_ts"], one["end_ts"])
    with st.container(horizontal=True, width="content"):
        links.to("pages/observe/explore.py", "Explore this metric", icon=":material/monitoring:", query=explore)
        links.to("pages/observe/changes.py", "What else changed then?", icon=":material/difference:", query=then)
        links.to("pages/act/chat.py", "Ask about it", icon=":material/chat:", query={links.ANOMALY: str(one["id"])})


def nothing(
    groups: pd.DataFrame,
    window: Window | None,
    running: bool,
    *,
    host: str | None = None,
    source_id: int | None = None,
) -> None:
    """Why there is nothing to see, and what to do about it. host, source_id: what was chosen of the groups."""
    meant = groups["state"] == "trained"
    meant &= (groups["host"] == host) if host else True
    meant &= (groups["source_id"] == source_id) if source_id is not None else True
    trained = int(meant.sum())
    if window is not None:
        meant &= (groups["first"] < window.end) & (groups["last"] >= window.start)
    watched = int(meant.sum())
    if groups.empty:
        st.info(
            "Connect your Prometheus, or load the demo history.",
            title="Nothing collected yet",
            icon=":material/database:",
        )
        links.to("pages/operate/sources.py", "Open sources", icon=":material/add_link:")
    elif watched and window is not None:
        st.info(
            f"{watched} {'host was' if watched == 1 else 'hosts were'} watched from {stamp(window.start)} to "
            f"{stamp(window.end)}. "
            "Choose a longer range or other filters to see more.",
            title="Nothing unusual",
            icon=":material/check_circle:",
        )
    elif trained and window is not None:
        st.info(
            f"No samples from {stamp(window.start)} to {stamp(window.end)}. Choose another range, or check on the "
            "Sources page when it was last collected.",
            title="Nothing to look at",
            icon=":material/search_off:",
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
            "This machine and the demo get theirs by themselves; others are trained on the Detectors page.",
            title=f"No detector for {plain(host, 60)} yet" if host else "No detector yet",
            icon=":material/model_training:",
        )


def training(tasks: Sequence[Task]) -> None:
    """How far learning is."""
    for task in tasks:
        waiting = task.status == TaskStatus.PENDING
        words = "waiting for a free place" if waiting else task.message or "starting"
        st.progress(min(max(task.progress, 0.0), 1.0), text=f"{plain(task.title)}: {plain(words)}")
