"""What people did, and whether the record of it was left alone."""

from datetime import timedelta

import pandas as pd
import streamlit as st

from lib.audit.log import Filter
from lib.auth.actor import Permission
from lib.ui import guard, refusal, runtime
from lib.ui.text import stamp

actor = guard.require(Permission.READ_AUDIT)
app = runtime.app()
administration, now = app.administration, app.clock()
SPANS = {"Last hour": 1, "Last day": 24, "Last 7 days": 168, "Last 30 days": 720, "All time": None}
SHOWN = 500

st.title("Audit log", icon=":material/history:")
entries_tab, failures_tab = st.tabs(["Entries", "Failed sign-ins"], key="audit_tabs")

with entries_tab:
    actors, actions = administration.audit_values(actor)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        span = st.selectbox("Time", list(SPANS), 2, key="audit_span", bind="query-params")
        who = st.selectbox("Who", actors, None, key="audit_actor", placeholder="Everybody")
        what = st.selectbox("What", actions, None, key="audit_action", placeholder="Everything")
        outcome = st.selectbox("Outcome", ["ok", "refused"], None, key="audit_outcome", placeholder="Any")
    since = now - timedelta(hours=SPANS[span]) if SPANS[span] else None
    wanted = Filter(who, what, outcome, since)
    entries = administration.audit_entries(actor, wanted, SHOWN)
    if not entries:
        st.info("Nothing matches. Choose a longer time or fewer filters.", icon=":material/search_off:")
    else:
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        "No.": entry.id,
                        "Time (UTC)": entry.at.strftime("%Y-%m-%d %H:%M:%S"),
                        "Who": entry.actor,
                        "What": entry.action,
                        "On": entry.target,
                        "Outcome": "✓ ok" if entry.outcome == "ok" else f"✕ {entry.outcome}",
                        "From": entry.address,
                        "Details": ", ".join(f"{key}: {value}" for key, value in sorted(entry.details.items())),
                    }
                    for entry in entries
                ]
            ),
            hide_index=True,
            key="audit_entries",
            alt="Audit entries, newest first",
        )
        more = f", the newest {SHOWN} of them" if len(entries) == SHOWN else ""
        st.caption(f"{len(entries)} entries{more}. As of {stamp(now, seconds=True)}.")
    with st.container(horizontal=True):
        st.download_button(
            "Export CSV",
            data=lambda: administration.audit_csv(actor, wanted),
            file_name=f"autoops-audit-{now:%Y%m%dT%H%M}.csv",
            mime="text/csv",
            icon=":material/download:",
            key="audit_csv",
        )
        check = st.button("Check for tampering", icon=":material/verified:", key="audit_verify")
    if check:
        with refusal.shown():
            broken = administration.verify_audit(actor)
            if broken is None:
                st.success("Every entry is as it was written, and none is missing.", icon=":material/verified:")
            else:
                st.error(f"Entry {broken} was changed or removed after it was written.", icon=":material/gpp_bad:")

with failures_tab:
    failures = administration.failed_sign_ins(actor)
    if not failures:
        st.info("No failed sign-ins that still count towards a lockout.", icon=":material/check_circle:")
    else:
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        "Time (UTC)": failure.at.strftime("%Y-%m-%d %H:%M:%S"),
                        "User name": failure.username if len(failure.username) < 64 else "(no such user)",
                        "From": failure.address,
                    }
                    for failure in failures
                ]
            ),
            hide_index=True,
            key="audit_failures",
            alt="Failed sign-ins, newest first",
        )
    settings = app.settings
    st.caption(
        f"{settings.lockout_failures} failures within {settings.lockout_minutes:g} min lock an account or an address "
        f"for {settings.lockout_minutes:g} min."
    )
