"""What is not as it usually is: find it, see it against what was expected, read why, say whether that is right."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import anomaly_charts, anomaly_view, charts, controls, guard, lane_chart, links, runtime
from lib.ui.text import plain, stamp

actor = guard.require(Permission.VIEW)
app = runtime.app()
DEFAULT_RANGE = "7d"


def follow_training(was_running: bool) -> None:
    """Progress of learning, drawn again every second; the page follows when a host is done."""
    tasks = app.detection.training_tasks(actor)
    if bool(tasks) != was_running:
        st.rerun(scope="app")
    anomaly_view.training(tasks)


def label(anomaly_id: int, verdict: str) -> None:
    """One click says it, the same click again takes it back."""
    try:
        words = app.detection.labels.toggle(actor, anomaly_id, verdict)
        st.toast(words, icon=":material/label:")
    except AppError as error:
        st.toast(plain(error.message), icon=":material/error:")


def widen() -> None:
    controls.unfocus(DEFAULT_RANGE)
    links.choose(None)


def draw_one(anomaly_id: int) -> None:
    try:
        one = app.detection.explain(actor, anomaly_id)
        anomaly_view.heading(one, app.clock(), label if may_label else None)
        contributor = anomaly_view.contributor_picker(one)
        history = app.detection.history_of(actor, anomaly_id, contributor)
    except AppError as error:
        st.warning(plain(error.message), icon=":material/search_off:")
        return
    # Drawn above its own switch, so that the picture is on the first screen.
    place = st.container()
    with st.container(horizontal=True, vertical_alignment="center"):
        anomaly_view.onward(one, contributor, history.window.start, history.window.end)
        faults = bool(history.incidents or history.events) and st.toggle(
            "Show known faults of the demo", True, key="anomaly_faults", help="The bars on top: what really went wrong."
        )
    with place:
        charts.show(anomaly_charts.timeline(history, chosen=anomaly_id, faults=faults), key="anomaly_chart")
    st.caption(
        f"{plain(history.channel.title)} on {plain(history.host)}: the shaded band is what was expected, red what was "
        "not. Below, how unusual the whole host was; above the dashed line it is called an anomaly. The line “in "
        "training” spans what the detector learnt from."
    )
    with st.container(border=True, key="anomaly_why"):
        anomaly_view.why(one, app.clock())


st.title("Anomalies", icon=":material/warning:")
may_label = actor.may(Permission.LABEL)
running = bool(app.detection.training_tasks(actor))
st.fragment(follow_training, run_every=1.0 if running else None)(running)
groups = app.detection.groups(actor)
with st.container(horizontal=True, vertical_alignment="bottom"):
    window = controls.window_picker(app.clock(), default=DEFAULT_RANGE)
    host = controls.host_picker(sorted(set(groups["host"])))
    with st.popover("Filters", icon=":material/tune:", key="anomaly_filters"):
        source_id = controls.source_picker(dict(zip(groups["source_id"], groups["source"], strict=True)))
        severity = st.pills(
            "Severity", list(anomaly_view.SIGNS), selection_mode="multi", key="severity", bind="query-params"
        )
        muted = st.toggle(
            "Show muted", key="muted", bind="query-params", help="Also what lies in maintenance and expected spans."
        )
    if host:
        st.button("All hosts", icon=":material/zoom_out_map:", key="widen", on_click=widen)
found = app.detection.anomalies(actor, window, source_id=source_id, host=host, severity=severity or None, muted=muted)
lanes = app.detection.lanes(actor, window, found, source_id=source_id, host=host)
if lanes.groups:
    lane_chart.draw(lanes)
chosen = links.chosen() or anomaly_view.first_choice(found)
if chosen is not None:
    draw_one(chosen)
if len(found):
    st.subheader(f"{len(found):,} found" if len(found) > 1 else "The only one found", anchor=False)
    anomaly_view.table(found, chosen, app.clock(), label if may_label else None)
else:
    anomaly_view.nothing(groups, window, running, host=host, source_id=source_id)
with st.container(horizontal=True, vertical_alignment="center"):
    st.caption(f"As of {stamp(app.clock(), seconds=True)}.")
    trained = int((groups["state"] == "trained").sum())
    links.to(
        "pages/learn/detectors.py", f"Detectors: {trained} of {len(groups)} hosts", icon=":material/model_training:"
    )
