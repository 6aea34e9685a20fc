"""The Models page's Deploy part: make a folder of a version, see which there are and where they run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.db.learning_tables import Deployment, ModelVersion
from lib.services.deployments import TARGETS
from lib.ui import model_view, refusal, tables
from lib.ui.text import ago, plain, stamp

if TYPE_CHECKING:
    from lib.app import App

# Never colour alone.
STATES = {"up": "● up", "other": "◐ something else", "down": "○ down", "": "– never asked"}


def part(app: App, actor: Actor, rows: list[ModelVersion], aliases: dict[str, int]) -> None:
    """Export at the top, then what was exported, then what can be done with one of them."""
    may = actor.may(Permission.PROMOTE)
    _export(app, actor, rows, aliases, may)
    found = app.deployments.all(actor, rows[0].name)
    if not found:
        st.info(
            "A version becomes a folder with an API, a Dockerfile, pinned requirements, a smoke test and guides for "
            "Hugging Face Spaces, Cloud Run and ECS. It needs nothing of this app.",
            title="Nothing was exported yet",
            icon=":material/rocket_launch:",
        )
        return
    _table(app, found)
    _one(app, actor, found, may)


def _export(app: App, actor: Actor, rows: list[ModelVersion], aliases: dict[str, int], may: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        row = model_view.version_picker(rows, aliases)
        target = _target("deploy_target", "")
        note = st.text_input("Note", key="deploy_note", max_chars=500, disabled=not may, placeholder="what it is for")
        pressed = st.button(
            "Make the folder", icon=":material/inventory_2:", key="deploy_export", type="primary", disabled=not may
        )
    if not may:
        st.caption(":material/lock: Exporting and saying where something runs takes the role operator.")
    st.caption(
        "The folder names the fields, categories and usual values of the training data; it holds no key or password."
    )
    if pressed:
        with refusal.shown(), st.spinner("Making the folder"):
            made = app.deployments.export(actor, row.name, row.version, target=target, note=note)
            st.success(f"{plain(made.name)} {made.version} is exported as deployment {made.id}; download it below.")


def _table(app: App, found: list[Deployment]) -> None:
    now = app.clock()
    st.dataframe(
        pd.DataFrame(
            {
                "id": [one.id for one in found],
                "version": [one.version for one in found],
                "exported": [one.created_at for one in found],
                "by": [one.created_by for one in found],
                "target": [TARGETS.get(one.target, one.target) for one in found],
                "url": [one.url for one in found],
                "state": ["▣ ended" if one.ended_at else STATES.get(one.state, one.state) for one in found],
                "checked": [ago(one.checked_at, now, short=True) for one in found],
                "size": [one.size_bytes for one in found],
                "note": [one.note for one in found],
            }
        ),
        hide_index=True,
        key="deployments",
        column_config={
            "id": st.column_config.NumberColumn("Deployment", pinned=True),
            "version": st.column_config.NumberColumn("Version"),
            "exported": tables.moment("Exported"),
            "by": "By",
            "target": "For",
            "url": "Runs at",
            "state": "State",
            "checked": "Asked",
            "size": tables.number("Size", "B"),
            "note": "Note",
        },
        alt="Versions that were exported, and where they run",
    )


def _one(app: App, actor: Actor, found: list[Deployment], may: bool) -> None:
    numbers = [one.id or 0 for one in found]
    by_number = dict(zip(numbers, found, strict=True))

    def words(number: int) -> str:
        one = by_number[number]
        return f"{number}: version {one.version}, {stamp(one.created_at)}"

    chosen = st.selectbox("Deployment", numbers, key="deployment", bind="query-params", format_func=words, width=360)
    row = by_number.get(chosen or numbers[0], found[0])
    number = row.id or 0
    st.caption(
        f"Zip SHA-256 `{row.sha256}`, made with code {plain(row.code_version)}. "
        + (f"Asked {stamp(row.checked_at)}: {plain(row.told)}" if row.checked_at else "Nobody asked it yet.")
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        url = st.text_input(
            "Runs at",
            row.url,
            key=f"deploy_url_{number}",
            max_chars=512,
            disabled=not may,
            placeholder="https://…",
            help="Where its API answers, without /health.",
        )
        if st.button("Keep the address", icon=":material/link:", key="deploy_keep", disabled=not may):
            with refusal.shown():
                app.deployments.say_where(actor, number, url)
                st.rerun()
        if st.button(
            "Ask it now",
            icon=":material/ecg_heart:",
            key="deploy_check",
            disabled=not may or not row.url,
            help="One request to its /health: does this very model answer there?",
        ):
            with refusal.shown(), st.spinner("Asking it"):
                app.deployments.check(actor, number)
                st.rerun()
    with st.container(horizontal=True):
        st.download_button(
            "Folder",
            partial(_zip, app, actor, number),
            f"{row.name}-{row.version}.zip",
            "application/zip",
            key="deploy_folder",
            icon=":material/download:",
            on_click="ignore",
        )
        back = row.ended_at is not None
        words_ = "It runs again" if back else "It no longer runs"
        if st.button(words_, icon=":material/power_settings_new:", key="deploy_end", disabled=not may):
            with refusal.shown():
                app.deployments.end(actor, number, back=back)
                st.rerun()


def _target(key: str, usual: str) -> str:
    names = list(TARGETS)
    chosen = st.selectbox("For", names, names.index(usual), key=key, format_func=TARGETS.__getitem__, width=200)
    return str(chosen or "")


def _zip(app: App, actor: Actor, number: int) -> bytes:
    return app.deployments.archive_of(actor, number).read_bytes()
