"""What a metric, one of its series, a host or a file is like, and what about it deserves attention."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import cached, controls, guard, host_view, links, profile_view, runtime, table_view
from lib.ui.text import plain, stamp

actor = guard.require(Permission.VIEW)
app = runtime.app()
now = app.clock()


def metric_part(metrics: dict[str, str]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric = controls.metric_picker(metrics)
        host = controls.host_picker(cached.hosts(app, actor, metric))
        found = app.exploration.find(actor, metric, host)
        series_id = controls.series_picker(found)
    window = controls.window_picker(now, key="span", default="30d")
    if series_id is None:
        whole = app.exploration.profile_metric(actor, metric, window, host)
        st.subheader(plain(metric), anchor=False)
        profile_view.alerts(whole.alerts)
        profile_view.metric_facts(whole, now)
        profile_view.sums(whole)
        profile_view.metric_values(whole)
        profile_view.label_table(whole, whole.series)
        host_view.series(whole)
        host_view.relations(whole)
        shown, name = whole, metric
    else:
        one = app.exploration.profile(actor, series_id, window)
        st.code(one.series.title, language=None, wrap_lines=True)
        profile_view.alerts(one.alerts)
        if one.count:
            profile_view.series_facts(one)
        profile_view.sums(one)
        if one.count:
            profile_view.series_charts_of(one)
        shown, name = one, one.series.title
    with st.container(horizontal=True, vertical_alignment="center"):
        profile_view.export(shown, name, now)
        links.to("pages/observe/explore.py", "Open in Explore", icon=":material/monitoring:", query={"metric": metric})


def host_part() -> None:
    hosts = app.exploration.hosts(actor)
    names = sorted({host for host in hosts["host"] if host})
    if not names:
        st.info("None of the series carries a host (instance, host, node …); profile a metric instead.")
        return
    host = st.selectbox("Host", names, key="profile_host", bind="query-params", filter_mode="contains", width=360)
    window = controls.window_picker(now, key="host_span", default="7d")
    found = app.exploration.profile_host(actor, host, window)
    st.subheader(plain(host), anchor=False)
    profile_view.alerts(found.alerts)
    host_view.facts(found, now)
    host_view.series(found)
    host_view.relations(found)
    profile_view.label_table(found, len(found.rows))
    with st.container(horizontal=True):
        profile_view.export(found, host, now)


st.title("Profile", icon=":material/query_stats:")
part = st.segmented_control(
    "Profile of", ("Metric", "Host", "File"), default="Metric", required=True, key="profile_of", bind="query-params"
)
metrics = cached.metrics(app, actor)
try:
    if part == "File":
        table_view.page(app, actor)
    elif not metrics:
        st.info(
            "Connect your Prometheus, or load the demo history; then every metric can be profiled here.",
            title="Nothing collected yet",
            icon=":material/database:",
        )
        links.to("pages/operate/sources.py", "Open sources", icon=":material/add_link:")
    elif part == "Host":
        host_part()
    else:
        metric_part(metrics)
except AppError as error:
    st.error(plain(error.message), icon=":material/error:")
st.caption(f"As of {stamp(now, seconds=True)}.")
