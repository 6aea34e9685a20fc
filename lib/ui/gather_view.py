"""A dataset from stored metrics: series, span, interval, looking back, and what is to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.datasets.windowing import Aggregate, Recipe, TargetKind
from lib.profiling.titles import short_titles
from lib.ui import cached, controls
from lib.ui.dataset_view import attempt

if TYPE_CHECKING:
    from lib.app import App

STEPS = {"15 s": 15, "1 min": 60, "5 min": 300, "15 min": 900, "1 h": 3600, "1 day": 86_400}
AHEAD = {"5 min": 300, "15 min": 900, "30 min": 1800, "1 h": 3600, "6 h": 21_600, "24 h": 86_400}
TARGETS = {
    TargetKind.ANOMALY: "An anomaly begins within …",
    TargetKind.VALUE: "The value in …",
    TargetKind.ABOVE: "It rises over a limit within …",
    TargetKind.BELOW: "It falls under a limit within …",
    TargetKind.NONE: "Nothing yet",
}
MOST_CHOICES = 2000


def form(app: App, actor: Actor) -> None:
    """Everything a dataset of metrics takes; the button queues it."""
    metrics = cached.metrics(app, actor)
    if not metrics:
        st.info("Nothing is collected yet; open Sources first, or bring a file.", icon=":material/database:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Metrics",
            list(metrics),
            key="gather_metrics",
            max_selections=20,
            filter_mode="contains",
            placeholder="Type any part of a name",
        )
        host = controls.host_picker(cached.all_hosts(app, actor), key="gather_host")
    found = [one for metric in chosen for one in app.exploration.find(actor, metric, host)]
    titles = dict(list(short_titles(found).items())[:MOST_CHOICES]) if found else {}
    picked = st.multiselect(
        "Series",
        list(titles),
        default=list(titles)[:20],
        key=f"gather_series_{'|'.join(chosen)}_{host}",
        format_func=lambda one: titles[one],
        disabled=not titles,
        filter_mode="contains",
        placeholder="Choose metrics first",
    )
    window = controls.window_picker(app.clock(), key="gather_span", default="7d")
    with st.container(horizontal=True):
        step = st.selectbox("Interval", list(STEPS), index=1, key="gather_step", help="One row for each.")
        aggregate = st.selectbox("Each interval's", [*Aggregate], key="gather_aggregate")
        lags = st.multiselect(
            "Values from before", (1, 2, 3, 5, 10, 15, 30, 60), key="gather_lags", help="So many intervals earlier."
        )
        rolling = st.multiselect(
            "Mean and spread of the last", (3, 5, 10, 15, 30, 60), key="gather_rolling", help="So many intervals."
        )
    recipe = _target(step, aggregate, tuple(lags), tuple(rolling), picked, titles)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name", "From metrics", key="gather_name", max_chars=100)
        may = actor.may(Permission.MAKE_DATASETS)
        if st.button("Make it", icon=":material/dataset:", key="gather_send", disabled=not (may and picked)):
            attempt(lambda: app.datasets.gather(actor, name, picked, window, recipe, host=host))
    st.caption(
        "A row holds what was known at its time, its target lies after it; rows whose target has not come are left out."
    )


def _target(
    step: str, aggregate: Aggregate, lags: tuple[int, ...], rolling: tuple[int, ...], picked: list[int], titles: dict
) -> Recipe:
    with st.container(horizontal=True):
        target = st.selectbox("To predict", list(TARGETS), key="gather_target", format_func=lambda one: TARGETS[one])
        series = limit = None
        ahead = "30 min"
        if target is not TargetKind.NONE:
            ahead = st.selectbox("Ahead", list(AHEAD), index=2, key="gather_ahead")
        if target in (TargetKind.VALUE, TargetKind.ABOVE, TargetKind.BELOW):
            series = st.selectbox("Of", picked, key="gather_of", format_func=lambda one: titles.get(one, str(one)))
        if target in (TargetKind.ABOVE, TargetKind.BELOW):
            limit = st.number_input("Limit", value=None, key="gather_limit", help="In the unit the series has.")
    return Recipe(STEPS[step], Aggregate(aggregate), lags, rolling, TargetKind(target), series, AHEAD[ahead], limit)
