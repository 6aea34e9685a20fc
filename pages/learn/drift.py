"""Whether the world is still the one a model learnt from: by column, over time, of files and datasets."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.ui import drift_view, guard, model_view, runtime
from lib.ui.text import plain, stamp

actor = guard.require(Permission.MODELS)
app = runtime.app()

st.title("Drift", icon=":material/moving:")
row, _line = model_view.version_asked_about(app, actor)
try:
    running = app.drifting.running(actor, row.name, row.version)
    last = app.drifting.last_task(actor, row.name, row.version)
    if last is not None and last.error:
        st.warning(plain(last.error, 600), title=f"{plain(last.title)} failed", icon=":material/error:")
    if running is not None:
        drift_view.follow(app, actor, running.id or 0)
    elif not row.reference:
        drift_view.no_reference(app, actor, row)
    else:
        drift_view.controls_of(app, actor, row)
    checks = app.drifting.checks(actor, row.name, row.version)
    if checks:
        report = app.drifting.report(checks[0])
        drift_view.verdict(report)
        if report.retrain:
            drift_view.again(app, actor, row, True)
        drift_view.columns(report)
        drift_view.over_time(checks, row.name, report.limits)
        drift_view.events(checks)
        if not report.retrain:
            drift_view.again(app, actor, row, False)
    elif row.reference:
        st.info(
            "Check what it was asked, or compare a file or dataset; a champion is looked at each hour by itself.",
            title="Not checked yet",
            icon=":material/moving:",
        )
        drift_view.again(app, actor, row, False)
except AppError as error:
    st.error(plain(error.message), icon=":material/error:")
st.caption(f"As of {stamp(app.clock(), seconds=True)}.")
