"""Backups on the Settings page: make one, see which there are, and how to bring one back."""

from __future__ import annotations

import streamlit as st

from lib.app import App
from lib.auth.actor import Actor
from lib.db.tables import TaskStatus
from lib.ui import refusal, task_views
from lib.ui.text import ago, amount, plain


def show(app: App, actor: Actor) -> None:
    """The newest backup in the usual folder, and a button."""
    if st.button(
        "Back up now",
        icon=":material/save:",
        key="backup_make",
        help="Samples, archived days, users and settings, the key of stored passwords, models. Work goes on meanwhile.",
    ):
        with refusal.shown():
            app.backups.run(actor)
    last = app.backups.newest(actor)
    if last is not None and last.finished_at is None:
        task_views.follow(app, actor, last.id or 0, "Backing up")
    elif last is not None and last.status not in (TaskStatus.SUCCEEDED, TaskStatus.CANCELLED):
        st.error(plain(last.error, 600), title="The last backup was not made", icon=":material/error:")
    known = app.backups.known(actor)
    if known:
        newest = known[0]
        many = f"{len(known)} backups" if len(known) > 1 else "1 backup"
        st.caption(
            f"{many} in {plain(str(app.backups.folder))}, the newest of "
            f"{ago(newest.at, app.clock())} with {newest.manifest.samples:,} samples, "
            f"{amount(newest.manifest.size_bytes, 'B')}. A disk that fails takes them along: copy them elsewhere."
        )
        st.code(str(newest.path), language=None)
        for words in newest.manifest.missing:
            st.info(plain(words, 400), icon=":material/info:")
    else:
        st.caption(f"No backup yet in {plain(str(app.backups.folder))}.")
    st.caption(
        "To bring one back, stop the app and run `python -m lib restore FOLDER --force`. A backup holds the key of "
        "stored passwords: keep it where only you can read it."
    )
