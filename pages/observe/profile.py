"""What a metric or one of its series is like, and what about it deserves attention."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import cached, controls, guard, links, profile_view, runtime
from lib.ui.text import plain, stamp

actor = guard.require(Permission.VIEW)
app = runtime.app()
now = app.clock()

st.title("Profile", icon=":material/query_stats:")
metrics = cached.metrics(app, actor)
if not metrics:
    st.info(
        "Connect your Prometheus, or load the demo history; then every metric can be profiled here.",
        title="Nothing collected yet",
        icon=":material/database:",
    )
    links.to("pages/operate/sources.py", "Open sources", icon=":material/add_link:")
    st.stop()

with st.container(horizontal=True, vertical_alignment="bottom"):
    metric = controls.metric_picker(metrics)
    host = controls.host_picker(cached.hosts(app, actor, metric))
    found = app.exploration.find(actor, metric, host)
    series_id = controls.series_picker(found)
window = controls.window_picker(now, key="span", default="30d")

try:
    if series_id is None:
        whole = app.exploration.profile_metric(actor, metric, window)
        st.subheader(plain(metric), anchor=False)
        profile_view.alerts(whole.alerts)
        profile_view.metric_facts(whole, now)
        profile_view.label_table(whole)
    else:
        one = app.exploration.profile(actor, series_id, window)
        st.code(one.series.title, language=None, wrap_lines=True)
        profile_view.alerts(one.alerts)
        if one.count:
            profile_view.series_facts(one)
            profile_view.series_charts_of(one)
except AppError as error:
    st.error(plain(error.message), icon=":material/error:")
st.caption(f"As of {stamp(now, seconds=True)}.")
links.to("pages/observe/explore.py", "Open in Explore", icon=":material/monitoring:", query={"metric": metric})
