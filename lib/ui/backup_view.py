"""Backups on the Settings page: make one, see which there are, and how to bring one back."""

from __future__ import annotations

import streamlit as st

from lib.app import App
from lib.auth.actor import Actor
from lib.profiling.words import amount
from lib.ui import refusal
from lib.ui.text import ago, plain


def show(app: App, actor: Actor) -> None:
    """The newest backup in the usual folder, and a button."""
    if st.button(
        "Back up now",
        icon=":material/save:",
        key="backup_make",
        help="Samples, archived days, users and settings, the key of stored passwords, models. Work goes on meanwhile.",
    ):
        with refusal.shown(), st.spinner("Copying everything …"):
            made = app.backups.make(actor)
            size = amount(made.manifest.size_bytes, "B")
            told = f"{len(made.manifest.files):,} files, {size}, in {plain(str(made.path))}."
            st.success(told, icon=":material/check:")
            for words in made.manifest.missing:
                st.info(plain(words, 400), icon=":material/info:")
    known = app.backups.known(actor)
    if known:
        newest = known[0]
        many = f"{len(known)} backups" if len(known) > 1 else "1 backup"
        st.caption(
            f"{many} in {plain(str(app.backups.folder))}, the newest of "
            f"{ago(newest.at, app.clock())} with {newest.manifest.samples:,} samples. A disk that fails takes them "
            "along: copy them elsewhere."
        )
    else:
        st.caption(f"No backup yet in {plain(str(app.backups.folder))}.")
    st.caption(
        "To bring one back, stop the app and run `python -m lib restore FOLDER --force`. A backup holds the key of "
        "stored passwords: keep it where only you can read it."
    )
