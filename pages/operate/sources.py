"""Where samples come from: how each source stands, and connecting, choosing, fetching."""

import streamlit as st

from lib.auth.actor import Permission
from lib.db.tables import SourceKind
from lib.services.collection_sources import REMOTE, SourceDraft
from lib.services.collection_status import SourceStatus
from lib.ui import guard, links, runtime, sources
from lib.ui.text import plain, stamp

actor = guard.require(Permission.VIEW)
app = runtime.app()
manages = actor.may(Permission.MANAGE_SOURCES)

PARTS = {"Collected": ":material/checklist:", "Gaps": ":material/space_bar:"}


def overview() -> None:
    """Drawn again every few seconds: states and lags move."""
    statuses = app.collection.status(guard.require(Permission.VIEW))
    if statuses:
        sources.table(statuses)
    st.caption(f"As of {stamp(app.clock(), seconds=True)}")


def added(draft: SourceDraft) -> None:
    source = app.collection.add(actor, draft)
    st.session_state["source"] = source.id  # of the picker below, which has not been drawn yet
    st.toast(
        "Connected." if source.kind == SourceKind.SCRAPE else "Connected. Choose what to collect.",
        icon=":material/check:",
    )
    st.rerun()


def updated(source_id: int, draft: SourceDraft) -> None:
    app.collection.update(actor, source_id, draft)
    st.toast("Saved. It is collected again at once.", icon=":material/check:")
    st.rerun()


def detail(status: SourceStatus) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(status.name), width="stretch")
        if manages:
            icon = ":material/pause:" if status.enabled else ":material/play_arrow:"
            if status.kind != SourceKind.IMPORT and st.button(
                f"Switch {'off' if status.enabled else 'on'}", key=f"switch_{status.id}", icon=icon
            ):
                app.collection.enable(actor, status.id, not status.enabled)
                st.rerun()
            sources.remove(app, actor, status)
    st.fragment(sources.facts, run_every=5.0)(app, actor, status)
    parts = {**PARTS, **(sources.MANAGED.get(status.kind, {}) if manages else {})}
    first = "Choose metrics" if "Choose metrics" in parts and not status.targets else "Collected"
    part = st.segmented_control(
        "Show", list(parts), default=first, required=True, key=f"part_{status.id}", label_visibility="collapsed",
        format_func=lambda one: f"{parts.get(one, '')} {one}", wrap=True,
    )  # fmt: skip
    with sources.told():
        match part:
            case "Gaps":
                sources.gaps(app, actor, status)
            case "Choose metrics":
                sources.choose_metrics(app, actor, status)
            case "PromQL":
                sources.add_expression(app, actor, status)
            case "Backfill":
                sources.backfill(app, actor, status)
            case "Edit":
                draft = app.collection.draft(actor, status.id)
                sources.enter(app, actor, draft, f"edit_{status.id}", status.id, lambda d: updated(status.id, d))
            case _:
                st.fragment(sources.targets, run_every=5.0)(app, actor, status)
                if "PromQL" in parts and status.targets:
                    sources.stop_collecting(app, actor, status)


st.title("Sources", icon=":material/database:")
st.fragment(overview, run_every=5.0)()
statuses = app.collection.status(actor)
if manages:
    kinds = {s.kind for s in statuses}
    fresh = f"new{len(statuses)}"  # empty and closed again once a source was added
    with st.expander("Connect a source", icon=":material/add:", expanded=not statuses, key=f"connect_{fresh}"):
        sources.enter(app, actor, SourceDraft(""), fresh, None, added)
    if SourceKind.DEMO in kinds and kinds & set(REMOTE):
        with st.popover("Remove the demo", icon=":material/delete:", key="ask_demo"):
            st.markdown("Remove both demo histories with the anomalies and detectors on them? Your own sources stay.")
            if st.button("Remove the demo data", key="remove_demo", type="primary", icon=":material/delete_forever:"):
                app.collection.remove_demo(actor)
                st.rerun()
    links.to("pages/operate/imports.py", "Import history from files", icon=":material/upload_file:")
if not statuses:
    st.info(
        "No source is connected. Enter the URL of a Prometheus-compatible server, or of a metrics page, above."
        if manages
        else "No source is connected yet. Somebody with the role operator can connect one here.",
        title="No sources yet",
        icon=":material/database:",
    )
    st.stop()
known = {s.id: s for s in statuses}
chosen = st.selectbox(
    "Source", list(known), key="source", bind="query-params", filter_mode="contains",
    format_func=lambda i: known[i].name,
)  # fmt: skip
if chosen in known:
    detail(known[chosen])
