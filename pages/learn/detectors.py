"""What watches each host: train it, try its threshold, see what labels say of it, test it on your own data."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import anomaly_view, detector_view, guard, mark_view, runtime, threshold_view, trial_view
from lib.ui.text import plain, stamp

actor = guard.require(Permission.VIEW)
app = runtime.app()
PARTS = ("Training", "Threshold", "Labels", "Backtest", "Tuning", "Marks")


def follow_training(was_running: bool) -> None:
    """Progress of learning, drawn again every second; the page follows when a host is done."""
    tasks = app.detection.training_tasks(actor)
    if bool(tasks) != was_running:
        st.rerun(scope="app")
    anomaly_view.training(tasks)


st.title("Detectors", icon=":material/model_training:")
running = bool(app.detection.training_tasks(actor))
st.fragment(follow_training, run_every=1.0 if running else None)(running)
groups = app.detection.groups(actor)
if groups.empty:
    anomaly_view.nothing(groups, None, running)
    st.stop()
last = app.detection.last_training(actor)
if last is not None and last.error:
    st.warning(plain(last.error), title="The last training failed", icon=":material/error:")
names = [f"{row.host or '(no host label)'} · {row.source}" for row in groups.itertuples()]
with st.container(horizontal=True, vertical_alignment="bottom"):
    # Where there is something to see: not a host of which too little is known yet.
    first = next((number for number, state in enumerate(groups["state"]) if state == "trained"), 0)
    place = st.selectbox("Host", names, first, key="detector", bind="query-params", filter_mode="contains", width=360)
    part = st.segmented_control(
        "Show",
        PARTS,
        default="Training",
        required=True,
        key="detector_part",
        bind="query-params",
        wrap=True,
    )
group = groups.iloc[names.index(place) if place in names else first]
source_id, host = int(group["source_id"]), str(group["host"])
card = None
if group["state"] == "trained":
    try:
        card = app.detection.card(actor, int(group["detector_id"]))
    except AppError as error:
        st.warning(plain(error.message), icon=":material/error:")
if part == "Marks":
    sources = dict(zip(groups["source_id"].astype(int), groups["source"], strict=True))
    mark_view.marks(app, actor, sources, sorted(set(groups["host"])))
elif part == "Training":
    if card is not None:
        detector_view.facts(card, app.clock())
    else:
        detector_view.none_yet()
    detector_view.train_form(app, actor, source_id, host, card)
    with st.expander(f"All {len(groups)} hosts", icon=":material/dns:"):
        detector_view.table(groups, app.clock())
elif card is None:
    detector_view.none_yet()
elif part == "Backtest":
    trial_view.backtest(app, actor, source_id, host)
elif part == "Tuning":
    trial_view.tuning(app, actor, source_id, host, card)
else:
    every = st.toggle("All hosts of this source", key="detector_every", bind="query-params")
    draw = threshold_view.threshold if part == "Threshold" else threshold_view.labels
    draw(app, actor, source_id, None if every else host, card)
st.caption(f"As of {stamp(app.clock(), seconds=True)}.")
