"""How the archive stands, and what can be done with it, on the Settings page."""

from __future__ import annotations

import streamlit as st

from lib.app import App
from lib.auth.actor import Actor
from lib.db.tables import TaskStatus
from lib.profiling.words import amount
from lib.services.archiving import ArchiveStatus, Event
from lib.ui import links, refusal, task_views
from lib.ui.text import ago, plain, stamp


def show(app: App, actor: Actor) -> None:
    """Figures, the last run and check, and a button for each."""
    status = app.archiving.status(actor)
    if not status.enabled:
        st.caption("Off: every sample stays in DuckDB. Set `AUTOOPS_ARCHIVE_HOT_DAYS` to have closed days archived.")
    elif not status.days:
        hot = app.settings.archive_hot_days
        st.caption(f"Nothing is archived yet. A day goes to Parquet once {hot} whole days lie behind it.")
    if status.days:
        _figures(status)
    for label, event in (("Last run", status.last_run), ("Last check", status.last_verify)):
        if event:
            _said(label, event, app)
    if status.held:
        st.warning(
            f"Nothing expires until {stamp(status.held.at)}: {plain(status.held.words)}. If that is wrong, put the "
            "clock of this machine right.",
            icon=":material/history_toggle_off:",
        )
    if status.place:
        st.caption(f"Lies in {plain(status.place)}. As of {stamp(status.as_of)}.")
    if status.place:
        _checked(app, actor)
    with st.container(horizontal=True):
        if status.enabled and st.button("Archive now", icon=":material/archive:", key="archive_run"):
            with refusal.shown():
                task = app.archiving.run(actor)
                st.toast(f"Task {task.id} is on its way.", icon=":material/archive:")
                links.to("pages/operate/tasks.py", "See it on Tasks", icon=":material/pending_actions:")
        if status.days and st.button(
            "Check files",
            icon=":material/verified:",
            key="archive_verify",
            help="Reads every file and compares its hash; of a bucket, names and sizes as it lists them.",
        ):
            with refusal.shown():
                app.archiving.check(actor)
                st.rerun()
        if status.place and st.button(
            "Test",
            icon=":material/network_check:",
            key="archive_test",
            help="Stores a small file where the archive lies, reads it and removes it.",
        ):
            with refusal.shown(), st.spinner("Storing, reading and removing a small file …"):
                took_s = app.archiving.test(actor)
                st.success(f"Stored, read and removed a small file in {took_s:.2f} s.", icon=":material/check:")


def _checked(app: App, actor: Actor) -> None:
    """How the check that was asked for goes, or what it found."""
    task = app.archiving.newest_check(actor)
    if task is None:
        return
    if task.finished_at is None:
        task_views.follow(app, actor, task.id or 0, "Checking")
    elif task.status == TaskStatus.SUCCEEDED:
        for told in task.result["damaged"]:
            st.error(plain(told, 400), icon=":material/error:")
    elif task.status != TaskStatus.CANCELLED:
        st.error(plain(task.error, 600), title="The files were not checked", icon=":material/error:")


def _figures(status: ArchiveStatus) -> None:
    first = f"{status.first:%Y-%m-%d}" if status.first else ""
    last = f"{status.last:%Y-%m-%d}" if status.last else ""
    tiers = ", ".join(f"{tier} {amount(count, 'B')}" for tier, count in status.tier_bytes.items())
    each = f"{status.bytes_per_sample:.2f} B" if status.bytes_per_sample else "–"
    with st.container(horizontal=True):
        st.metric("Days archived", f"{status.days:,}", help=f"{first} to {last} (UTC)", border=True)
        st.metric("Samples", f"{status.samples:,}", border=True)
        st.metric(
            "Bytes a sample",
            each,
            help=f"{amount(status.size_bytes, 'B')} in all. Sums beside it: {tiers}.",
            border=True,
        )
        st.metric("Days waiting", f"{status.due:,}", help="Closed, and archived by the next run.", border=True)


def _said(label: str, event: Event, app: App) -> None:
    st.caption(f"{label} {ago(event.at, app.clock())}: {plain(event.words, 400)}")
