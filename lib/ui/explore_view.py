"""Explore's parts: what to compare with, what people marked, the table of numbers, files to take along."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.db.tables import AnnotationKind
from lib.errors import AppError
from lib.frames import Series, Window
from lib.profiling.titles import spoken
from lib.profiling.units import unit_of
from lib.services.annotations import Mark
from lib.services.evaluation import Asked
from lib.services.exploration import MAX_EXPORT_ROWS, ChartData
from lib.ui import cached, charts, controls, functions_view, links, mark_view, series_charts, tables
from lib.ui.functions_view import Shown
from lib.ui.text import plain, stamp

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from lib.app import App

NUMBERS = {"last": "Last", "min": "Least", "mean": "Mean", "p50": "Median", "p95": "95 %", "max": "Most"}
# More lines than this nobody can tell apart.
MOST_LINES = 12
MOST_PANELS, MOST_MULTIPLES = 4, 8
EARLIER = {"yesterday": 1, "last week": 7}


@dataclass(frozen=True)
class Beside:
    """What else is shown: days back to compare with (0: none), other metrics, a label to split by."""

    days: int
    metrics: tuple[str, ...]
    label: str | None
    host: str | None
    source_id: int | None

    def earlier(self, window: Window) -> Window:
        """The same hours, so many days before."""
        back = timedelta(days=self.days)
        return Window(window.start - back, window.end - back)


def beside_picker(
    metrics: Mapping[str, str], metric: str, labels: Sequence[str], host: str | None, source_id: int | None
) -> Beside:
    """Compare, add metrics, split. URL: `?compare=yesterday&with=up&with=node_load5&split=cpu`."""
    with st.popover("Compare", icon=":material/stacked_line_chart:", key="explore_beside"):
        chosen = st.selectbox(
            "Compare with",
            list(EARLIER),
            index=None,
            key="compare",
            bind="query-params",
            placeholder="Nothing",
            help="The same series some days earlier, drawn faint under the same hours.",
        )
        others = st.multiselect(
            "Other metrics below",
            [name for name in metrics if name != metric][: controls.MOST_OPTIONS],
            key="with",
            bind="query-params",
            max_selections=MOST_PANELS,
            placeholder="None",
            filter_mode="contains",
            help="On the same time axis; those of one unit share a panel.",
        )
        label = st.selectbox(
            "A panel for each",
            labels,
            index=None,
            key="split",
            bind="query-params",
            placeholder="Nothing",
            disabled=not labels,
            help="One small chart for each value of this label.",
        )
    return Beside(EARLIER.get(chosen or "", 0), tuple(others), label, host, source_id)


def below(
    app: App,
    actor: Actor,
    series: Sequence[Series],
    beside: Beside,
    window: Window,
    asked: Asked | None,
    revision: str,
) -> None:
    """Under the chart: its series split by a label, then the other metrics."""
    try:
        if beside.label:
            split(app, actor, series, beside.label, window, asked, revision)
        if beside.metrics:
            more(app, actor, beside, window, revision)
    except AppError as error:
        st.error(plain(error.message))


def split(
    app: App,
    actor: Actor,
    series: Sequence[Series],
    label: str,
    window: Window,
    asked: Asked | None,
    revision: str,
) -> None:
    """Small multiples: a panel for each value of a label, the first eight. series: all, not only those drawn above."""
    groups: dict[str, list[int]] = {}
    for one in series:
        groups.setdefault(one.labels.get(label, ""), []).append(one.id)
    parts = []
    for value, ids in list(groups.items())[:MOST_MULTIPLES]:
        taken = ids if functions_view.is_histogram(asked) else ids[:MOST_LINES]
        data = functions_view.read(app, actor, taken, window, asked, max_points=300).data
        if data.lines:
            parts.append((f"{label}={value}" if value else f"without {label}", data))
    _panels(parts, window, revision, "explore_split")
    fullest = max(map(len, list(groups.values())[:MOST_MULTIPLES]), default=0)
    if fullest > MOST_LINES and not functions_view.is_histogram(asked):
        st.caption(f"Showing at most {MOST_LINES} of up to {fullest:,} series a panel.")
    if len(groups) > MOST_MULTIPLES:
        st.caption(f"The first {MOST_MULTIPLES} of {len(groups):,} values; narrow them by host or label to see others.")


def more(app: App, actor: Actor, beside: Beside, window: Window, revision: str) -> None:
    """The other metrics, one panel a unit; those without a unit in a panel each."""
    groups: dict[str, dict[str, list[Series]]] = {}
    for metric in beside.metrics[:MOST_PANELS]:
        found = app.exploration.find(actor, metric, beside.host, None, beside.source_id)
        for one in app.exploration.living_first(actor, found, window):
            group = groups.setdefault(unit_of(one.metric, one.kind) or one.metric, {})
            group.setdefault(one.metric, []).append(one)
    parts, cut = [], []
    for metrics in groups.values():
        # A panel is shared fairly: the first metric's hosts would otherwise leave no place for the second's.
        most = max(MOST_LINES // len(metrics), 1)
        series = [one for several in metrics.values() for one in several[:most]]
        data = app.exploration.chart(actor, [one.id for one in series], window, max_points=600)
        if data.lines:
            parts.append((", ".join(spoken(name) for name in metrics), data))
            counts = {name: len(several) for name, several in metrics.items()}
            cut += [f"{most} of {n:,} series of {plain(name)}" for name, n in counts.items() if n > most]
    _panels(parts, window, revision, "explore_more")
    if cut:
        st.caption(f"Showing {', '.join(cut)}; narrow them by host to see others.")


def _panels(parts: Sequence[tuple[str, ChartData]], window: Window, revision: str, key: str) -> None:
    if parts:
        charts.show(series_charts.panels(parts, window, revision), key=key)
    else:
        st.caption("No samples of these in this range.")


def brush(window: Window) -> Callable[[datetime, datetime], None]:
    """Look closer at what somebody drew a box over: read anew, so that detail comes that the wider chart left out."""

    def closer(start: datetime, end: datetime) -> None:
        controls.zoom(Window(max(start, window.start), max(min(end, window.end), window.start)))

    return closer


def wider_button(app: App, window: Window) -> None:
    """The way back from a box: twice the span around what is shown, up to now. Only while a span is chosen."""
    if st.session_state.get("range") != controls.CUSTOM:
        return
    now = app.clock()
    end = min(window.end + window.span / 2, max(now, window.end))
    st.button(
        "Wider",
        icon=":material/zoom_out:",
        key="explore_wider",
        on_click=controls.zoom,
        args=(Window(end - 2 * window.span, end),),
        help="Twice as long. A box drawn over the chart looks closer.",
    )


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
    shown, unit = tables.scaled(shown, list(NUMBERS), data.unit)
    per = "per second" if data.rate else None
    st.dataframe(
        shown[["series", "last", "min", "mean", "p50", "p95", "max", "peak_ts", "count", "missing"]],
        column_config={
            "series": st.column_config.TextColumn("Series", width="medium"),
            **{name: tables.number(words, unit, per) for name, words in NUMBERS.items()},
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


def exports(app: App, actor: Actor, metric: str, ids: Sequence[int], shown: Shown, figure: Figure) -> None:
    """The samples, or what was computed of them, as CSV or Parquet; the chart as a page; and where to go on."""
    data, evaluated = shown.data, shown.evaluated
    too_many = evaluated is None and data.samples > MAX_EXPORT_ROWS
    help_ = f"More than {MAX_EXPORT_ROWS:,} samples: choose a shorter range." if too_many else "Samples as stored."

    def file(kind: str) -> bytes:
        if evaluated is not None:
            return app.evaluation.export(actor, evaluated, kind)
        return app.exploration.export(actor, ids, data.window, kind)

    gone = app.exploration.expired_until(actor, data.window) if evaluated is None else None
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads(metric, file, figure, too_many, help_ if evaluated is None else "The values drawn.")
        if gone:
            st.download_button(
                "Sums",
                lambda: app.evaluation.drawn(actor, data, metric),
                f"{metric}-sums.csv",
                "text/csv",
                key="explore_export_sums",
                icon=":material/download:",
                on_click="ignore",
                help="The means that are drawn, over all of the range, as CSV.",
            )
        links.to("pages/observe/profile.py", "Profile", icon=":material/query_stats:", query={"metric": metric})
        links.to("pages/observe/changes.py", "What changed?", icon=":material/difference:", query=_then(data.window))
    if gone:
        st.caption(
            f":material/info: Samples before {gone:%Y-%m-%d} UTC have expired: CSV and Parquet hold those after, Sums "
            "the means of all that is drawn."
        )


def _then(window: Window) -> dict[str, str]:
    """What makes the page of changes look at the same time, of the same host when one is chosen."""
    chosen, host = st.session_state.get("range"), st.session_state.get("host")
    when = {"range": str(chosen)} if chosen in controls.SPANS else links.changes_of(window.start, window.end)
    return {**when, **({"host": str(host)} if host else {})}


def downloads(name: str, file: Callable[[str], bytes], figure: Figure, too_many: bool, help_: str) -> None:
    """Buttons for the numbers as CSV and Parquet, and for the chart as a page that works anywhere."""
    for kind, mime in (("csv", "text/csv"), ("parquet", "application/vnd.apache.parquet")):
        st.download_button(
            kind.upper() if kind == "csv" else "Parquet",
            partial(file, kind),
            f"{name}.{kind}",
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
        f"{name}.html",
        "text/html",
        key="explore_export_html",
        icon=":material/area_chart:",
        on_click="ignore",
        help="As a page of its own that needs no network (5 MB). As PNG: the camera at the top of the chart.",
    )
