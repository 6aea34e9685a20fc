"""Look at any metric: choose it, choose when, see the lines with anomalies marked, take the samples along."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import (
    cached,
    charts,
    controls,
    explore_view,
    functions_view,
    guard,
    links,
    promql_view,
    runtime,
    series_charts,
    views_view,
)
from lib.ui.text import plain, stamp

actor = guard.require(Permission.VIEW)
app = runtime.app()

FIRST_CHOICES = ("node_load1", "node_memory_MemAvailable_bytes", "node_cpu_seconds_total", "up")


def choose() -> tuple[str, list, dict]:
    """The metric, its series after source, host and labels; and what else could be shown of them."""
    sources = cached.sources(app, actor)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source_id = controls.source_picker(sources) if len(sources) > 1 else None
        metrics = cached.metrics(app, actor, source_id)
        metric = controls.metric_picker(metrics, default=next((m for m in FIRST_CHOICES if m in metrics), None))
        host = controls.host_picker(cached.hosts(app, actor, metric, source_id))
        values = cached.label_values(app, actor, metric, source_id, host)
        labels = controls.label_picker(values)
    choices = {"metrics": metrics, "metric": metric, "labels": list(values), "host": host, "source_id": source_id}
    return metric, app.exploration.find(actor, metric, host, labels, source_id), choices


def view() -> None:
    """Everything below the title: redrawn alone when a control changes or the refresh interval has passed."""
    guard.require(Permission.VIEW)
    views_view.follow()
    if live:
        promql_view.draw(app, actor)
    elif cached.metrics(app, actor):
        stored()
    else:
        st.info(
            "Connect your Prometheus, or load the demo history; its samples show here within two collection intervals.",
            title="Nothing collected yet",
            icon=":material/database:",
        )
        links.to("pages/operate/sources.py", "Open sources", icon=":material/add_link:")


def stored() -> None:
    metric, found, choices = choose()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        window = controls.window_picker(app.clock())
        explore_view.wider_button(app, window)
        beside = explore_view.beside_picker(**choices)
        asked = functions_view.picker(metric, choices["labels"])
        explore_view.mark_button(app, actor, window)
    found = app.exploration.living_first(actor, found, window)
    series = found if functions_view.is_histogram(asked) else found[: explore_view.MOST_LINES]
    ids = [one.id for one in series]
    try:
        shown = functions_view.read(app, actor, ids, window, asked)
        earlier = functions_view.read(app, actor, ids, beside.earlier(window), asked) if beside.days else None
        anomalies = app.detection.anomalies(actor, window)
        notes = explore_view.notes_of(app.detection.annotations.marks(actor, window), series)
    except AppError as error:
        st.error(plain(error.message))
        return
    data, before = shown.data, earlier.data if earlier else None
    if len(found) > len(series):
        st.info(f"Showing {len(series)} of {len(found):,} series. Narrow them by host or label to see others.")
    if not data.lines:
        st.info(functions_view.nothing(shown), icon=":material/search_off:")
        return
    marks = series_charts.marks_of(anomalies, set(ids), window)
    revision = controls.revision()
    figure = series_charts.lines(data, title=metric, marks=marks, revision=revision, earlier=before, notes=notes)
    charts.show(figure, key="explore_chart", brush=explore_view.brush(window), name=metric)
    faint = explore_view.said_of(before)
    st.caption(f"{functions_view.describe(shown)} {faint}As of {stamp(data.as_of, seconds=True)}.")
    explore_view.below(app, actor, found, beside, window, asked, revision)
    if marks:
        noun = "anomaly" if len(marks) == 1 else "anomalies"
        links.to("pages/observe/anomalies.py", f"{len(marks)} {noun} marked ▼", icon=":material/warning:")
    # The browser draws the chart while the numbers are computed.
    explore_view.statistics(data, functions_view.numbers(app, actor, ids, shown))
    explore_view.exports(app, actor, metric, ids, shown, figure)


opened = views_view.opened(app, actor)
with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("Explore", icon=":material/monitoring:", width="stretch")
    live = promql_view.mode_picker()
    views_view.menu(app, actor, opened)
    refresh = controls.refresh_picker()
if opened:
    views_view.gone(app, actor, opened)
st.fragment(view, run_every=refresh)()
