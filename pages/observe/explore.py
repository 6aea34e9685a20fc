"""Look at any metric: choose it, choose when, see the lines with anomalies marked, take the samples along."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.services.exploration import MAX_EXPORT_ROWS
from lib.ui import cached, charts, controls, guard, links, runtime, series_charts, tables
from lib.ui.text import plain, stamp

actor = guard.require(Permission.VIEW)
app = runtime.app()

# More lines than this nobody can tell apart.
MOST_LINES = 12
NUMBERS = {"last": "Last", "min": "Least", "mean": "Mean", "p50": "Median", "p95": "95 %", "max": "Most"}
FIRST_CHOICES = ("node_load1", "node_memory_MemAvailable_bytes", "node_cpu_seconds_total", "up")


def choose() -> tuple[str, list]:
    """The metric, and its series after source, host and labels."""
    sources = cached.sources(app, actor)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source_id = controls.source_picker(sources) if len(sources) > 1 else None
        metrics = cached.metrics(app, actor, source_id)
        metric = controls.metric_picker(metrics, default=next((m for m in FIRST_CHOICES if m in metrics), None))
        host = controls.host_picker(cached.hosts(app, actor, metric, source_id))
        labels = controls.label_picker(cached.label_values(app, actor, metric, source_id, host))
    return metric, app.exploration.find(actor, metric, host, labels, source_id)


def view() -> None:
    """Everything below the title: redrawn alone when a control changes or the refresh interval has passed."""
    guard.require(Permission.VIEW)
    metric, found = choose()
    window = controls.window_picker(app.clock())
    series = found[:MOST_LINES]
    ids = [one.id for one in series]
    try:
        data = app.exploration.chart(actor, ids, window)
        anomalies = app.detection.anomalies(actor, window)
    except AppError as error:
        st.error(plain(error.message))
        return
    if len(found) > len(series):
        st.info(f"Showing {len(series)} of {len(found):,} series. Narrow them by host or label to see others.")
    if not data.lines:
        st.info(series_charts.nothing_drawn(data), icon=":material/search_off:")
        return
    marks = series_charts.marks_of(anomalies, set(ids), window)
    figure = series_charts.lines(data, title=metric, marks=marks, revision=st.session_state.get("range", ""))
    charts.show(figure, key="explore_chart")
    st.caption(f"{series_charts.describe(data)} As of {stamp(data.as_of, seconds=True)}.")
    if marks:
        noun = "anomaly" if len(marks) == 1 else "anomalies"
        links.to("pages/observe/anomalies.py", f"{len(marks)} {noun} marked ▼", icon=":material/warning:")
    # The browser draws the chart while the numbers are computed.
    draw_table(data, app.exploration.statistics(actor, ids, window))
    draw_exports(metric, ids, window, data.samples)


def draw_table(data, table) -> None:
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


def draw_exports(metric, ids, window, samples) -> None:
    too_many = samples > MAX_EXPORT_ROWS
    help_ = f"More than {MAX_EXPORT_ROWS:,} samples: choose a shorter range." if too_many else "Samples as stored."
    with st.container(horizontal=True, vertical_alignment="center"):
        for kind, mime in (("csv", "text/csv"), ("parquet", "application/vnd.apache.parquet")):
            st.download_button(
                kind.upper() if kind == "csv" else "Parquet",
                lambda kind=kind: app.exploration.export(actor, ids, window, kind),
                f"{metric}.{kind}",
                mime,
                key=f"explore_export_{kind}",
                icon=":material/download:",
                on_click="ignore",
                disabled=too_many,
                help=help_,
            )
        links.to("pages/observe/profile.py", "Profile", icon=":material/query_stats:", query={"metric": metric})


with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("Explore", icon=":material/monitoring:", width="stretch")
    refresh = controls.refresh_picker()
if cached.metrics(app, actor):
    st.fragment(view, run_every=refresh)()
else:
    st.info(
        "Connect your Prometheus, or load the demo history; its samples show here within two collection intervals.",
        title="Nothing collected yet",
        icon=":material/database:",
    )
    links.to("pages/operate/sources.py", "Open sources", icon=":material/add_link:")
