"""Explore's parts: what to compare with, what people marked, the table of numbers, files to take along."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.db.tables import AnnotationKind
from lib.frames import Series, Window
from lib.services.annotations import Mark
from lib.services.exploration import MAX_EXPORT_ROWS, ChartData
from lib.ui import cached, links, mark_view, tables
from lib.ui.text import stamp

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from lib.app import App

NUMBERS = {"last": "Last", "min": "Least", "mean": "Mean", "p50": "Median", "p95": "95 %", "max": "Most"}
EARLIER = {"yesterday": timedelta(days=1), "last week": timedelta(days=7)}


def earlier_picker(window: Window) -> Window | None:
    """The same hours of an earlier day, to be drawn faint; None for none. URL: `?compare=yesterday`."""
    chosen = st.selectbox(
        "Compare with",
        list(EARLIER),
        index=None,
        key="compare",
        bind="query-params",
        placeholder="Nothing",
        width=150,
        help="The same series some days earlier, drawn faint under the same hours.",
    )
    return Window(window.start - EARLIER[chosen], window.end - EARLIER[chosen]) if chosen in EARLIER else None


def said_of(earlier: ChartData | None) -> str:
    """What the faint lines are, or why there are none."""
    if earlier is None:
        return ""
    if not earlier.lines:
        return f"Nothing is stored of the time to compare with, from {stamp(earlier.window.start)}. "
    return f"Faint and dotted: from {stamp(earlier.window.start)}. "


def notes_of(marks: Sequence[Mark], series: Sequence[Series]) -> list[Mark]:
    """Marks that are about one of these series."""
    groups = {(one.source_id, one.host) for one in series}
    return [mark for mark in marks if any(mark.covers(*group) for group in groups)]


def mark_button(app: App, actor: Actor, window: Window) -> None:
    """A button for whoever may mark, which asks what happened."""
    if not actor.may(Permission.LABEL):
        return
    if st.button("Mark", icon=":material/bookmark_add:", key="explore_mark", help="A deploy, a note, a maintenance."):

        @st.dialog("What happened?", width="large")
        def ask() -> None:
            sources = cached.sources(app, actor)
            hosts = cached.all_hosts(app, actor)
            middle = window.start + window.span / 2
            host = st.session_state.get("host") or ""
            mark_view.form(app, actor, sources, hosts, kind=AnnotationKind.DEPLOY, start=middle, host=host)

        ask()


def statistics(data: ChartData, table: pd.DataFrame) -> None:
    """Numbers of each series in the range."""
    titles = {line.series.id: line.title for line in data.lines}
    shown = table.assign(series=table["series_id"].map(titles).fillna("no samples in this range"))
    per = "per second" if data.rate else None
    st.dataframe(
        shown[["series", "last", "min", "mean", "p50", "p95", "max", "peak_ts", "count", "missing"]],
        column_config={
            "series": st.column_config.TextColumn("Series", width="medium"),
            **{name: tables.number(words, data.unit, per) for name, words in NUMBERS.items()},
            "peak_ts": tables.moment("Peak at"),
            "count": st.column_config.NumberColumn("Readings", format="localized"),
            "missing": st.column_config.NumberColumn(
                "Missing", format="localized", help="NaN, infinite, or expected in a gap and not there."
            ),
        },
        hide_index=True,
        key="explore_statistics",
        alt="Statistics of each series in the range",
    )


def exports(app: App, actor: Actor, metric: str, ids: Sequence[int], data: ChartData, figure: Figure) -> None:
    """The samples as CSV or Parquet, the chart as a page that works anywhere, and where to go on."""
    too_many = data.samples > MAX_EXPORT_ROWS
    help_ = f"More than {MAX_EXPORT_ROWS:,} samples: choose a shorter range." if too_many else "Samples as stored."
    with st.container(horizontal=True, vertical_alignment="center"):
        for kind, mime in (("csv", "text/csv"), ("parquet", "application/vnd.apache.parquet")):
            st.download_button(
                kind.upper() if kind == "csv" else "Parquet",
                lambda kind=kind: app.exploration.export(actor, ids, data.window, kind),  # type: ignore[misc]
                f"{metric}.{kind}",
                mime,
                key=f"explore_export_{kind}",
                icon=":material/download:",
                on_click="ignore",
                disabled=too_many,
                help=help_,
            )
        st.download_button(
            "Chart",
            lambda: figure.to_html(include_plotlyjs=True, full_html=True).encode(),
            f"{metric}.html",
            "text/html",
            key="explore_export_html",
            icon=":material/area_chart:",
            on_click="ignore",
            help="As a page of its own that needs no network (5 MB). As PNG: the camera at the top of the chart.",
        )
        links.to("pages/observe/profile.py", "Profile", icon=":material/query_stats:", query={"metric": metric})
        links.to("pages/observe/changes.py", "What changed?", icon=":material/difference:")
