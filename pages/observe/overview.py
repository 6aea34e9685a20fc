"""The first page: is all well, what was found, what next."""

from datetime import timedelta

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.frames import Window
from lib.ui import cached, guard, links, overview_view, runtime
from lib.ui.text import plain, stamp

actor = guard.require(Permission.VIEW)
app = runtime.app()

REFRESH_S = 15


def view() -> None:
    """Redrawn by itself every few seconds, so that the newest samples and findings show."""
    who = guard.require(Permission.VIEW)
    now = app.clock()
    try:
        numbers = cached.overview(app, who)
        statuses = app.collection.status(who)
        if not numbers.samples:
            overview_view.nothing_yet(who)
            if statuses:
                overview_view.sources(statuses, now)
            return
        found = app.detection.anomalies(who, Window.last(timedelta(days=7), now))
        detectors = len(app.detection.detectors(who))
        running = app.jobs.list(who, status="running")
        training = app.detection.training_tasks(who)
    except AppError as error:
        st.error(plain(error.message), icon=":material/error:")
        return
    overview_view.tiles(numbers, found, now, detectors)
    main, side = st.columns([2, 1], gap="medium")
    with main:
        overview_view.anomalies(found, now, detectors, training)
    with side:
        overview_view.next_step(who, statuses, detectors)
        overview_view.sources(statuses, now)
        overview_view.tasks(running)
    window = Window.last(timedelta(hours=6), now)
    overview_view.hosts(
        app.exploration.freshness(who, now), app.exploration.host_lines(who, window), cached.sources(app, who)
    )
    links.to("pages/observe/changes.py", "What changed in the last hour?", icon=":material/difference:")
    st.caption(f"As of {stamp(now, seconds=True)}, redrawn every {REFRESH_S} s.")


st.title("Overview", icon=":material/dashboard:")
st.fragment(view, run_every=REFRESH_S)()
