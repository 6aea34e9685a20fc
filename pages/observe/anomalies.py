"""What is not as it usually is: find it, see it against what was expected, read why."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import anomaly_charts, anomaly_view, charts, controls, guard, runtime
from lib.ui.text import plain, stamp

actor = guard.require(Permission.VIEW)
app = runtime.app()


def follow_training(was_running: bool) -> None:
    """Progress of learning, drawn again every second; the page follows when a host is done."""
    tasks = app.detection.training_tasks(actor)
    if bool(tasks) != was_running:
        st.rerun(scope="app")
    anomaly_view.training(tasks)


def draw_one(anomaly_id: int) -> None:
    try:
        one = app.detection.anomaly(actor, anomaly_id)
        anomaly_view.heading(one, app.clock())
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
        "not. Below, how unusual the whole host was; above the dashed line it is called an anomaly."
    )


def draw_detectors(groups) -> None:
    with st.expander(
        f"Detectors: {int((groups['state'] == 'trained').sum())} of {len(groups)} hosts",
        icon=":material/model_training:",
    ):
        last = app.detection.last_training(actor)
        if last is not None and last.error:
            st.warning(plain(last.error), title="The last training failed", icon=":material/error:")
        anomaly_view.detectors(groups, app.clock())
        if not actor.may(Permission.DETECT):
            st.caption("Training takes the role analyst.")
            return
        names = {n: f"{row.host or '(no host label)'} · {row.source}" for n, row in enumerate(groups.itertuples())}
        with st.container(horizontal=True, vertical_alignment="bottom"):
            chosen = st.selectbox("Host to train", list(names), key="train_host", format_func=lambda n: names[n])
            if st.button("Train", icon=":material/model_training:", key="train", help="Learn from the last 30 days."):
                try:
                    group = groups.iloc[chosen]
                    app.detection.train(actor, int(group["source_id"]), str(group["host"]))
                    st.rerun()
                except AppError as error:
                    st.error(plain(error.message))


st.title("Anomalies", icon=":material/warning:")
running = bool(app.detection.training_tasks(actor))
st.fragment(follow_training, run_every=1.0 if running else None)(running)
groups = app.detection.groups(actor)
with st.container(horizontal=True, vertical_alignment="bottom"):
    window = controls.window_picker(app.clock(), default="7d")
    source_id = controls.source_picker(dict(zip(groups["source_id"], groups["source"], strict=True)))
    host = controls.host_picker(sorted(set(groups["host"])))
    severity = st.pills(
        "Severity",
        list(anomaly_view.SIGNS),
        selection_mode="multi",
        key="severity",
        bind="query-params",
    )
found = app.detection.anomalies(actor, window, source_id=source_id, host=host, severity=severity or None)
chosen = anomaly_view.asked() or anomaly_view.first_choice(found)
if chosen is not None:
    draw_one(chosen)
if len(found):
    st.subheader(f"{len(found):,} found" if len(found) > 1 else "The only one found", anchor=False)
    anomaly_view.table(found, chosen, app.clock())
else:
    anomaly_view.nothing(groups, window, running)
st.caption(f"As of {stamp(app.clock(), seconds=True)}.")
if len(groups):
    draw_detectors(groups)
