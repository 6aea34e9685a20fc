"""Profiles of files on the page: bring one, follow its job, read what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.db.tables import Task
from lib.errors import AppError
from lib.profiling.relations import Relation
from lib.profiling.report import frequent, share, span
from lib.profiling.tables import ColumnProfile, Kind, TableProfile
from lib.profiling.words import duration
from lib.ui import charts, profile_view
from lib.ui.text import amount, plain

if TYPE_CHECKING:
    from lib.app import App

# The profile a page is about, in its address.
IN_URL = "table"
TYPES = ["csv", "tsv", "parquet"]


def bring(app: App, actor: Actor) -> None:
    """Upload a file, or pick one of the server's; progress while one is being read."""
    may = actor.may(Permission.RUN_TASKS)
    running = app.tables.running(actor)
    if running is not None:
        _follow(app, actor, running.id or 0)
        return
    last = app.tables.last(actor, by=actor.name)
    if last is not None and last.error:
        st.warning(plain(last.error, 600), title=f"{plain(last.title)} failed", icon=":material/error:")
    offered = app.tables.offered(actor)
    with st.expander("Profile a file", icon=":material/upload_file:", expanded=not app.tables.list(actor)):
        # Cleared when sent: Streamlit holds an uploaded file in memory as long as the widget shows it.
        with st.form("table_form", border=False, clear_on_submit=True):
            file = st.file_uploader(
                "CSV, TSV or Parquet",
                TYPES,
                key="table_file",
                max_upload_size=max(1, int(app.settings.upload_max_mb)),
                disabled=not may,
                help="The file itself is removed once it was read; its profile stays.",
            )
            sent = st.form_submit_button(
                "Profile it", icon=":material/query_stats:", key="table_send", disabled=not may
            )
        if sent and file is None:
            st.warning("Choose a file first.", icon=":material/upload_file:")
        if sent and file is not None:
            _start(lambda: app.tables.upload(actor, file.name, file))
        if offered:
            with st.container(horizontal=True, vertical_alignment="bottom"):
                name = st.selectbox("On the server", offered, key="table_offered", filter_mode="contains", width=360)
                if st.button("Profile this one", key="table_pick", disabled=not may):
                    _start(lambda: app.tables.pick(actor, name))
        if not may:
            st.caption(":material/lock: Bringing files takes the role analyst; profiles can be read by everyone.")
        else:
            st.caption(f"Larger ones: put them into {plain(app.tables.files)} on the server and pick them here.")


def _start(what: Callable[[], Task]) -> None:
    try:
        what()
    except AppError as error:
        st.error(plain(error.message, 600), icon=":material/error:")
    else:
        st.rerun()


def _follow(app: App, actor: Actor, task_id: int) -> None:
    @st.fragment(run_every=1.0)
    def watch() -> None:
        task = app.jobs.get(actor, task_id)
        if task.finished_at is not None:
            if task.result and "id" in task.result:
                st.query_params[IN_URL] = task.result["id"]
            st.rerun(scope="app")
        words = task.message or "waiting for a free place"
        st.progress(min(max(task.progress, 0.0), 1.0), text=f"{plain(task.title)}: {plain(words)}")
        if app.jobs.may_cancel(actor, task) and st.button("End it", icon=":material/stop:", key="table_end"):
            try:
                app.jobs.cancel(actor, task_id)
                st.rerun(scope="app")
            except AppError as error:
                st.error(plain(error.message))

    watch()


def picker(app: App, actor: Actor) -> str | None:
    """The profile that is shown: that of `?table=…`, else the newest; None without any."""
    kept = {one.id: one for one in app.tables.list(actor)}
    if not kept:
        return None
    asked = st.query_params.get(IN_URL, "")
    chosen = asked if asked in kept else next(iter(kept))
    key = f"table_choice_{chosen}"

    def choose() -> None:
        st.query_params[IN_URL] = st.session_state[key]

    st.selectbox(
        "File",
        list(kept),
        index=list(kept).index(chosen),
        key=key,
        on_change=choose,
        format_func=lambda one: f"{kept[one].name} · {kept[one].made_at:%Y-%m-%d %H:%M} UTC · {kept[one].by}",
        filter_mode="contains",
        width=520,
    )
    return chosen


def facts(profile: TableProfile) -> None:
    """The numbers of the whole table as tiles."""
    duplicates = "not compared" if profile.duplicates is None else f"{profile.duplicates:,}"
    missing = sum(column.missing for column in profile.columns)
    tiles = [
        ("Rows", f"{profile.rows:,}", f"Read in {duration(profile.took_s)}, never all at once."),
        (
            "Columns",
            f"{len(profile.columns) + profile.left_out:,}",
            f"{amount(float(profile.size_bytes), 'B')} of file.",
        ),
        ("Missing cells", f"{profile.missing_share:.1%}", f"{missing:,} cells."),
        ("Repeated rows", duplicates, "Rows that equal an earlier one in every column."),
    ]
    if profile.time is not None:
        time = profile.time
        tiles.append(
            ("A row each", duration(time.interval_s), f"By {plain(time.column)}; {time.gap_count:,} gaps in it.")
        )
    profile_view.tiles(tiles)
    if profile.target is not None:
        target = profile.target
        others = f" Next in line: {plain(', '.join(target.others))}." if target.others else ""
        st.info(
            f"{plain('; '.join(target.reasons)).capitalize()}.{others}",
            title=f"Likely target: {plain(target.column)} ({target.task})",
            icon=":material/target:",
        )


def columns(profile: TableProfile) -> None:
    """One row a column."""
    st.subheader("Columns", anchor=False)
    every = profile.columns
    st.dataframe(
        pd.DataFrame(
            {
                "column": [one.name for one in every],
                "type": [one.type for one in every],
                "missing": [one.missing_share for one in every],
                "distinct": [one.distinct for one in every],
                "spread": [[*one.counts] for one in every],
                "range": [span(one) for one in every],
                "mean": [one.mean if one.kind is Kind.NUMBER else None for one in every],
                "median": [one.quantiles.get("0.5") if one.kind is Kind.NUMBER else None for one in every],
                "top": [frequent(one) for one in every],
                "daily": [share(one.daily) if one.daily is not None else "" for one in every],
                "trend": [share(one.trend) if one.trend is not None else "" for one in every],
            }
        ),
        column_config={
            "column": st.column_config.TextColumn("Column", pinned=True),
            "type": "Type",
            "missing": st.column_config.ProgressColumn("Missing", min_value=0, max_value=1, format="percent"),
            "distinct": st.column_config.NumberColumn("Different", format="localized", help="Within a few percent."),
            "spread": st.column_config.BarChartColumn("Distribution", help="Of a sample; the farthest at the ends."),
            "range": "Range",
            "mean": st.column_config.NumberColumn("Mean", format="%.4g"),
            "median": st.column_config.NumberColumn("Median", format="%.4g", help="Of a sample."),
            "top": st.column_config.TextColumn("Most frequent (rows)", help="~: estimated from a sample."),
            "daily": st.column_config.TextColumn("Daily", help="Movement the time of day explains."),
            "trend": st.column_config.TextColumn("Trend", help="What a straight line over time explains."),
        },
        hide_index=True,
        placeholder="–",
        key="table_columns",
        alt="Columns of the table with their statistics",
    )
    st.caption(f"Counts are of all rows; quantiles, distributions and relations of {profile.sampled:,} rows.")


def one_column(profile: TableProfile) -> None:
    """A histogram or the most frequent values of a chosen column."""
    drawn = {one.name: one for one in profile.columns if one.counts or one.top}
    if not drawn:
        return
    name = st.selectbox("Look at", list(drawn), key="table_column", bind="query-params", filter_mode="contains")
    column = drawn.get(name, next(iter(drawn.values())))
    with st.container(border=True):
        charts.show(_bars(column), key="table_chart")
        if column.quantiles and column.kind is Kind.NUMBER:
            words = ", ".join(f"{float(one):.0%} {amount(value)}" for one, value in column.quantiles.items())
            st.caption(f"Below: {plain(words)}.")


def _bars(column: ColumnProfile):  # type: ignore[no-untyped-def] # plotly is not imported here
    figure = charts.empty_figure()
    if column.top or not column.counts:
        pairs = column.top[::-1]
        figure.add_bar(
            y=[charts.label(value, 40) for value, _ in pairs],
            x=[count for _, count in pairs],
            orientation="h",
            marker={"color": charts.PALETTE[0]},
            hovertemplate="%{x:,} rows<extra></extra>",
            showlegend=False,
        )
        charts.layout(figure, height=300, alt=f"Most frequent values of {column.name}")
        figure.layout.xaxis.title = {"text": "rows", "font": {"size": 11}}
        figure.update_yaxes(type="category", automargin=True)
    else:
        edges = np.asarray(column.edges)
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=list(column.counts),
            width=np.diff(edges) if len(column.counts) > 1 else None,
            marker={"color": charts.PALETTE[0], "line": {"width": 0}},
            hovertemplate="%{y:,} sampled rows around "
            + ("%{x|%Y-%m-%d %H:%M}" if column.kind is Kind.MOMENT else "%{x:.4~s}")
            + "<extra></extra>",
            showlegend=False,
        )
        charts.layout(figure, height=300, alt=f"Histogram of {column.name}")
        figure.layout.yaxis.title = {"text": "sampled rows", "font": {"size": 11}}
        if column.kind is Kind.MOMENT:
            figure.layout.xaxis.type = "date"
    figure.update_layout(bargap=0.05, hovermode="closest")
    return figure


def relations(found: Sequence[Relation]) -> None:
    """Pairs that tell of each other, strongest first."""
    st.subheader("What goes together", anchor=False)
    if not found:
        st.caption("No two of them move together.")
        return
    st.dataframe(
        pd.DataFrame(
            {
                "first": [one.first for one in found],
                "second": [one.second for one in found],
                "strength": [one.strength for one in found],
                "pearson": pd.Series([one.pearson for one in found], dtype="float64"),
                "spearman": pd.Series([one.spearman for one in found], dtype="float64"),
                "shared": pd.Series([one.shared for one in found], dtype="float64"),
            }
        ),
        column_config={
            "first": "One",
            "second": "The other",
            "strength": st.column_config.ProgressColumn("Strength", min_value=0, max_value=1, format="%.2f"),
            "pearson": st.column_config.NumberColumn("Pearson", format="%.2f", help="Along a straight line, -1 to 1."),
            "spearman": st.column_config.NumberColumn("Spearman", format="%.2f", help="By ranks, -1 to 1."),
            "shared": st.column_config.NumberColumn(
                "Shared",
                format="%.2f",
                help="How much one tells of the other, 0 to 1; for texts as well (mutual information).",
            ),
        },
        hide_index=True,
        key="profile_relations",
        alt="Pairs that go together, strongest first",
    )


def page(app: App, actor: Actor) -> None:
    """The part of the Profile page about files."""
    if not actor.may(Permission.TABLES):
        st.info("Sign in to see profiles of files, or to bring one.", icon=":material/lock:")
        return
    bring(app, actor)
    chosen = picker(app, actor)
    if chosen is None:
        st.info(
            "Upload a CSV, TSV or Parquet file: its columns, gaps, repeats and relations are worked out here.",
            title="No file profiled yet",
            icon=":material/table_chart:",
        )
        return
    try:
        found = app.tables.get(actor, chosen)
    except AppError as error:
        st.error(plain(error.message), icon=":material/error:")
        return
    st.subheader(plain(found.name), anchor=False)
    profile_view.alerts(found.alerts)
    if found.rows:
        facts(found)
        columns(found)
        one_column(found)
        relations(found.relations)
    with st.container(horizontal=True):
        profile_view.export(found, found.name, app.clock())
        if actor.may(Permission.RUN_TASKS) and st.button("Remove", icon=":material/delete:", key="table_remove"):
            try:
                app.tables.remove(actor, chosen)
            except AppError as error:
                st.error(plain(error.message), icon=":material/error:")
            else:
                st.rerun()
    st.caption(f"Profile as of {plain(found.as_of.replace('T', ' ').replace('+00:00', ' UTC'))}.")
