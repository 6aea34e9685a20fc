"""The landing page's parts: what is watched, what was found, what works, what to do next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.profiling.words import amount, duration
from lib.services.collection_sources import REMOTE
from lib.services.collection_status import SourceState, SourceStatus
from lib.services.exploration import Overview
from lib.ui import links, tables
from lib.ui.text import ago, plain, stamp

# Severity or state -> (colour of the badge, icon): a symbol for those who do not see the colour.
SEVERITIES = {
    "critical": ("red", ":material/emergency_home:"),
    "major": ("red", ":material/error:"),
    "minor": ("orange", ":material/warning:"),
    "warning": ("yellow", ":material/info:"),
}
STATES = {
    SourceState.OK: ("green", ":material/check_circle:"),
    SourceState.WAITING: ("gray", ":material/hourglass_empty:"),
    SourceState.LATE: ("orange", ":material/schedule:"),
    SourceState.FILLING: ("blue", ":material/history:"),
    SourceState.FAILING: ("red", ":material/error:"),
    SourceState.OFF: ("gray", ":material/pause_circle:"),
}
SHOWN_ANOMALIES = 5
_SENTENCE_END = re.compile(r"(?<=\.)\s+(?=[A-Z])")


def tiles(numbers: Overview, found: pd.DataFrame, now: datetime, detectors: int) -> None:
    """Four numbers that say whether all is well."""
    ongoing = int(found["end_ts"].isna().sum()) if len(found) else 0
    days = _per_day(found, now)
    # A minute is what clocks of one network differ by.
    early = numbers.newest is not None and numbers.newest > numbers.as_of + timedelta(minutes=1)
    ahead = "A sample is dated later than now: the clock of its host, or of this machine, is wrong. " if early else ""
    with st.grid(4, min_column_width=200, gap="small"):
        _tile(
            "Newest sample",
            ago(numbers.newest, numbers.as_of),
            "a clock is ahead" if early else f"{numbers.pulse[-1]:,} in the last minute",
            ":material/schedule:",
            f"{ahead}Of any series. {sum(numbers.pulse):,} samples in the last hour.",
        )
        _tile(
            "Open anomalies",
            f"{ongoing:,}",
            f"{days[-1]:,} began in the last 24 h",
            ":material/warning:" if ongoing else ":material/check_circle:",
            f"{detectors:,} detectors at work; {sum(days):,} anomalies began in the last 7 days.",
        )
        _tile(
            "Watched series",
            f"{numbers.series:,}",
            f"{numbers.metrics:,} metrics of {numbers.hosts:,} hosts",
            ":material/monitoring:",
            "Sets of labels that have samples.",
        )
        _tile(
            "Stored samples",
            amount(numbers.samples),
            f"{amount(numbers.storage_bytes, 'B')} on disk",
            ":material/database:",
            f"{numbers.samples:,} since {stamp(numbers.oldest)}.",
        )


def _tile(name: str, value: str, beside: str, icon: str, help_: str) -> None:
    st.metric(
        name,
        value,
        beside,
        delta_arrow="off",
        delta_color="blue",
        help=help_,
        icon=icon,
        border=True,
        height="stretch",
    )


def _per_day(found: pd.DataFrame, now: datetime, days: int = 7) -> list[int]:
    """Anomalies begun in each of the last days of 24 hours, oldest first."""
    if not len(found):
        return [0] * days
    age = ((pd.Timestamp(now) - found["start_ts"]).dt.total_seconds() // 86400).clip(lower=0)
    return [int((age == day).sum()) for day in range(days - 1, -1, -1)]


def anomalies(table: pd.DataFrame, now: datetime, detectors: int, training: Sequence[Any]) -> None:
    """The gravest and of those the newest, each a sentence and a way to its chart; before that, how learning goes."""
    st.subheader("What was found", anchor=False)
    if not len(table) and training:
        st.info(
            "The first findings appear as soon as a host is done; this page shows them by itself.",
            title="Learning what is normal",
            icon=":material/model_training:",
        )
        for one in training:
            st.progress(min(max(one.progress, 0.0), 1.0), text=f"{plain(one.title)}: {plain(one.message or 'waiting')}")
        return
    if not len(table):
        words = "Nothing unusual in the last 7 days." if detectors else "No detector is trained yet."
        st.info(words, icon=":material/check_circle:" if detectors else ":material/model_training:")
        links.to(
            "pages/observe/anomalies.py",
            "Open anomalies" if detectors else "Train a detector",
            icon=":material/arrow_forward:",
        )
        return
    gravest = table.sort_values("severity", key=lambda s: s.map(list(SEVERITIES).index), kind="stable")
    for row in gravest.head(SHOWN_ANOMALIES).itertuples():
        _anomaly(row, now)
    if len(table) > SHOWN_ANOMALIES:
        links.to(
            "pages/observe/anomalies.py", f"All {len(table):,} of the last 7 days", icon=":material/arrow_forward:"
        )


def _anomaly(row: Any, now: datetime) -> None:
    colour, icon = SEVERITIES.get(str(row.severity), ("gray", ":material/help:"))
    explanation = row.explanation if isinstance(row.explanation, dict) else {}
    still = pd.isna(row.end_ts)
    began = f"{'still going on, ' if still else ''}began {ago(row.start_ts.to_pydatetime(), now)}"
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(plain(row.severity), icon=icon, color=colour)  # type: ignore[arg-type]
            st.caption(f"{plain(row.host)} · {began}", width="stretch")
            links.to(
                "pages/observe/anomalies.py",
                "Show the chart",
                icon=":material/show_chart:",
                query={"anomaly": str(row.id)},
                help=f"Confidence {row.confidence:.2%}",
            )
        # The first sentence says what it was; the rest is told beside the chart.
        words = str(explanation.get("sentence") or f"Unusual behaviour of {row.host}.")
        st.markdown(plain(_SENTENCE_END.split(words, maxsplit=1)[0]))


def sources(statuses: Sequence[SourceStatus], now: datetime) -> None:
    """Each source with its state in a word, and how far behind it is."""
    st.subheader("Sources", anchor=False)
    with st.container(border=True, gap="small"):
        for one in statuses:
            colour, icon = STATES.get(one.state, ("gray", ":material/help:"))
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge(str(one.state), icon=icon, color=colour)  # type: ignore[arg-type]
                st.markdown(f"**{plain(one.name, 40)}**", width="stretch")
            facts = [f"{one.series:,} series", f"last collected {ago(one.last_success, now)}"]
            if one.open_gaps:
                facts.append(f"{one.open_gaps:,} gaps to fill ({duration(one.missing_s)})")
            st.caption(" · ".join(facts))
            if one.last_error:
                st.caption(f":red[:material/error:] {plain(one.last_error, 160)}")
        links.to("pages/operate/sources.py", "All about sources", icon=":material/arrow_forward:")


def tasks(running: Sequence[Any]) -> None:
    """Long jobs under way."""
    if not running:
        return
    st.subheader("Working on", anchor=False)
    with st.container(border=True):
        for one in running:
            st.progress(min(max(one.progress, 0.0), 1.0), text=f"{plain(one.title or one.kind)}: {plain(one.message)}")
        links.to("pages/operate/tasks.py", "All tasks", icon=":material/arrow_forward:")


def hosts(table: pd.DataFrame, lines: dict[tuple[int, str], list[float]], names: dict[int, str]) -> None:
    """Each host: where from, how much of it is watched, when it last spoke, how its load went."""
    st.subheader("Hosts", anchor=False)
    keys = list(zip(table["source_id"], table["host"], strict=True))
    shown = pd.DataFrame(
        {
            "host": table["host"],
            "source": table["source_id"].map(names),
            "series": table["series"],
            "silent": table["age_s"].map(lambda age: duration(max(age, 0.0))),
            "load": [lines.get(key, []) for key in keys],
        }
    )
    st.dataframe(
        shown,
        column_config={
            "host": st.column_config.TextColumn("Host"),
            "source": st.column_config.TextColumn("Source"),
            "series": st.column_config.NumberColumn("Series", format="localized"),
            "silent": st.column_config.TextColumn("Last sample", help="How long ago. The longest silent come first."),
            "load": st.column_config.LineChartColumn(
                "Load, last 6 h", width="medium", help="node_load1, or available memory where there is none."
            ),
        },
        hide_index=True,
        height=tables.height(len(shown), 12),
        key="overview_hosts",
        alt="Hosts with the age of their last sample and their recent load",
    )


def next_step(actor: Actor, statuses: Sequence[SourceStatus], detectors: int) -> None:
    """What a newcomer does next; nothing once a Prometheus is connected and watched."""
    own = [one for one in statuses if one.kind in REMOTE]
    if own and detectors:
        return
    with st.container(border=True):
        if not own:
            st.markdown(":material/rocket_launch: **Next: connect your Prometheus**")
            if not actor.may(Permission.MANAGE_SOURCES):
                st.caption("What you see is simulated history and this machine. An operator can connect a real source.")
                return
            st.caption(
                "What you see is simulated history and this machine. Any Prometheus-compatible address will do; "
                "testing it changes nothing."
            )
            links.to("pages/operate/sources.py", "Connect a source", icon=":material/add_link:")
        else:
            st.markdown(":material/model_training: **Next: train a detector**")
            st.caption("It learns what is usual for each host, then marks what is not, after each collection.")
            links.to("pages/observe/anomalies.py", "Train a detector", icon=":material/arrow_forward:")


def nothing_yet(actor: Actor) -> None:
    """The page before the first sample."""
    with st.container(border=True):
        st.markdown("##### :material/rocket_launch: Nothing collected yet")
        st.markdown(
            "AutoOps reads metrics from any Prometheus-compatible server, learns what is usual for each host, marks "
            "what is not, and answers questions about it."
        )
        if actor.may(Permission.MANAGE_SOURCES):
            links.to("pages/operate/sources.py", "Connect your Prometheus", icon=":material/add_link:")
        else:
            st.caption("An operator can connect a source; the demo history may still be loading.")
