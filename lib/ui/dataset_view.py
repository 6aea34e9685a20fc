"""Datasets on the page: bring a file, choose one, look at it, change its columns, see its versions, delete it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.datasets.schema import Column, ColumnType, Role
from lib.errors import AppError
from lib.services.datasets import Listed, Revision
from lib.services.datasets_incoming import DELIMITERS, FORMATS, Reading
from lib.services.datasets_versions import SHORT
from lib.store.encodings import KNOWN
from lib.tasks.runner import ACTIVE
from lib.ui import deletion, links, profile_view, tables
from lib.ui.text import amount, plain, stamp

if TYPE_CHECKING:
    from lib.app import App

# The dataset a page is about, in its address.
IN_URL = "dataset"
SIGNS = {Role.TARGET: "◎", Role.TIME: "◷", Role.IDENTIFIER: "#", Role.IGNORE: "⊘", Role.FEATURE: "·"}
_DELIMITER_WORDS = dict(zip(DELIMITERS, ("Comma", "Semicolon", "Tab", "Bar"), strict=True))


def follow(app: App, actor: Actor) -> bool:
    """Progress of what is being made, else how the last attempt went; whether something is under way."""
    task = app.datasets.making(actor)
    if task is None:
        return False
    if task.status in ACTIVE:
        st.fragment(_watch, run_every=1.0)(app, actor, task.id or 0)
        return True
    if task.error and task.created_by == actor.name:
        when = f", {stamp(task.finished_at)}" if task.finished_at else ""
        st.error(plain(task.error, 800), title=f"{plain(task.title)} failed{when}", icon=":material/error:")
    return False


def _watch(app: App, actor: Actor, task_id: int) -> None:
    task = app.datasets.outcome(actor, task_id)
    if task.finished_at is not None:
        if "dataset" in task.result:
            st.query_params[IN_URL] = str(task.result["dataset"])
        st.rerun(scope="app")
    words = task.message or "waiting for a free place"
    st.progress(min(max(task.progress, 0.0), 1.0), text=f"{plain(task.title)}: {plain(words)}")
    if app.jobs.may_cancel(actor, task) and st.button("End it", icon=":material/stop:", key="dataset_end"):
        attempt(lambda: app.jobs.cancel(actor, task_id))


def attempt(what: Callable[[], object]) -> None:
    """Do it and draw the page anew, or say why not."""
    try:
        what()
    except AppError as error:
        st.error(plain(error.message, 800), icon=":material/error:")
    else:
        st.rerun(scope="app")


def bring(app: App, actor: Actor, into: Mapping[int, str]) -> None:
    """Upload a file, or pick one of the server's. into: datasets a file may become a version of."""
    may = actor.may(Permission.MAKE_DATASETS)
    with st.form("dataset_form", border=False, clear_on_submit=True):
        file = st.file_uploader(
            "CSV, TSV, JSON lines, Parquet or Excel",
            [*(one.removeprefix(".") for one in FORMATS), "gz"],
            key="dataset_file",
            max_upload_size=max(1, int(app.settings.upload_max_mb)),
            disabled=not may,
            help="Text may be packed with gzip. Larger files: put them on the server, or send them to the API.",
        )
        offered = app.datasets.offered(actor)
        there = None
        if offered:
            there = st.selectbox(
                "Or a file on the server", offered, index=None, key="dataset_offered", filter_mode="contains"
            )
        with st.container(horizontal=True):
            home = st.selectbox(
                "Into",
                list(into),
                index=None,
                key="dataset_into",
                format_func=lambda one: into[one],
                placeholder="A new dataset",
                help="A file brought into a dataset becomes its newest version.",
            )
            encoding = st.selectbox("Encoding", KNOWN, index=None, key="dataset_encoding", placeholder="Automatic")
            delimiter = st.selectbox(
                "Delimiter",
                DELIMITERS,
                index=None,
                key="dataset_delimiter",
                format_func=lambda one: _DELIMITER_WORDS[one],
                placeholder="Automatic",
            )
            sheet = st.text_input(
                "Sheet",
                key="dataset_sheet",
                max_chars=200,
                placeholder="First table",
                help="Of an Excel workbook: the name of the sheet to read.",
            )
        sent = st.form_submit_button("Make it", icon=":material/dataset:", key="dataset_send", disabled=not may)
    reading: Reading = {"encoding": encoding, "delimiter": delimiter, "sheet": sheet.strip() or None}
    if sent and (file is None) == (there is None):
        said = "Choose a file first." if file is None else "Choose one file: the one you brought or one on the server."
        st.warning(said, icon=":material/upload_file:")
    elif sent and file is not None:
        attempt(lambda: app.datasets.upload(actor, file.name, file, into=home, **reading))
    elif sent and there is not None:
        attempt(lambda: app.datasets.pick(actor, there, into=home, **reading))
    if not may:
        st.caption(":material/lock: Making datasets takes the role analyst; they can be looked at by everyone.")


def picker(listed: list[Listed]) -> Listed:
    """The dataset of `?dataset=3`, else the newest."""
    by_id = {one.id: one for one in listed}
    asked = st.query_params.get(IN_URL, "")
    chosen = int(asked) if asked.isascii() and asked.isdigit() and int(asked) in by_id else listed[0].id
    key = f"dataset_choice_{chosen}"

    def choose() -> None:
        st.query_params[IN_URL] = str(st.session_state[key])

    st.selectbox(
        "Dataset",
        list(by_id),
        index=list(by_id).index(chosen),
        key=key,
        on_change=choose,
        format_func=lambda one: f"{by_id[one].name} · {by_id[one].head.rows:,} rows · {by_id[one].by}",
        filter_mode="contains",
        width=520,
    )
    return by_id[chosen]


def version_picker(history: list[Revision]) -> Revision:
    """One version of a dataset, of which the newest comes first."""
    by_hash = {each.hash: each for each in history}
    chosen = st.selectbox(
        "Version",
        list(by_hash),
        # A key a dataset: a version of one means nothing to another.
        key=f"dataset_version_{history[-1].hash[:SHORT]}",
        format_func=lambda one: f"{by_hash[one].number} · {one[:SHORT]} · {by_hash[one].rows:,} rows",
        width=300,
    )
    return by_hash.get(str(chosen), history[0])


def nothing() -> None:
    """Where a dataset is needed and none is there: the way to one."""
    st.info("Bring a table under Datasets, then it can be used here.", title="No dataset yet",
            icon=":material/database:")  # fmt: skip
    links.to("pages/learn/datasets.py", "Open datasets", icon=":material/database:")


def facts(one: Listed) -> None:
    """The numbers of the newest version as tiles, and what was left out of it."""
    head = one.head
    target = next((each.name for each in head.columns if each.role is Role.TARGET), "")
    profile_view.tiles(
        [
            ("Rows", f"{head.rows:,}", f"Version {head.hash[:SHORT]}, made {stamp(head.at)} by {plain(head.by)}."),
            ("Columns", f"{len(head.columns):,}", "Their types and roles are below, under Columns."),
            ("Size", amount(float(head.size_bytes), "B"), "As Parquet."),
            ("Versions", f"{one.versions:,}", "What was before stays."),
            ("Unread lines", f"{head.rejected.get('count', 0):,}", "Lines that could not be read."),
            ("Target", plain(target) if target else "none yet", "The column that is to be told from the others."),
        ]
    )
    st.caption(origin(head))
    rows = head.rejected.get("rows") or []
    if rows:
        count = head.rejected["count"]
        with st.expander(f"Lines that could not be read: {count:,}", icon=":material/warning:"):
            st.dataframe(
                pd.DataFrame(rows, columns=["line", "reason"]),
                column_config={"line": st.column_config.NumberColumn("Line", format="%d"), "reason": "Why"},
                hide_index=True,
                key="dataset_rejected",
                alt="Lines that could not be read, with the reason",
            )


def origin(head: Revision) -> str:
    """Where a version came from, in a sentence of markdown."""
    told = head.lineage
    match told.get("from"):
        case "file":
            said = f"From the file {plain(told.get('name', ''))}."
        case "metrics":
            target = f", target: {plain(told['target'])}" if told.get("target") else ""
            said = f"From {len(told.get('series', []))} stored series{target}."
        case _:
            said = f"Edited from version {plain(str(told.get('version', ''))[:SHORT])}."
    return " ".join([said, *(plain(note) for note in told.get("notes", [])[:6])])


def preview(app: App, actor: Actor, one: Listed) -> None:
    """The first rows, and files to take along."""
    frame = app.datasets.preview(actor, one.id)
    days = {each.name for each in one.head.columns if each.type is ColumnType.DATE}
    st.dataframe(
        frame,
        column_config={name: st.column_config.DateColumn(format="YYYY-MM-DD") for name in days & {*frame.columns}},
        hide_index=True,
        key="dataset_rows",
        alt=f"The first rows of {plain(one.name)}",
    )
    if len(one.head.columns) > len(frame.columns):
        st.caption(f"The first {len(frame.columns)} of {len(one.head.columns):,} columns.")
    st.download_button(
        "First 100,000 rows as CSV",
        lambda: app.datasets.as_csv(actor, one.id),
        f"dataset-{one.id}.csv",
        "text/csv",
        key="dataset_csv",
        icon=":material/download:",
        on_click="ignore",
        help="Text that a spreadsheet would run as a formula gets an apostrophe. All rows: the API, as Parquet.",
    )


def columns(app: App, actor: Actor, one: Listed) -> None:
    """Names, types and roles in a table that can be edited; saving makes a version."""
    may = actor.may(Permission.MAKE_DATASETS)
    before = one.head.columns
    frame = pd.DataFrame(
        {
            "origin": [each.origin for each in before],
            "name": [each.name for each in before],
            "type": [each.type.value for each in before],
            "role": [each.role.value for each in before],
            "keep": [True] * len(before),
        }
    )
    edited: pd.DataFrame = st.data_editor(
        frame,
        column_config={
            "origin": st.column_config.TextColumn("In the data", disabled=True, pinned=True),
            "name": st.column_config.TextColumn("Name", required=True, max_chars=120),
            "type": st.column_config.SelectboxColumn("Type", options=[*ColumnType], required=True),
            "role": st.column_config.SelectboxColumn(
                "Role", options=[*Role], required=True, format_func=lambda role: f"{SIGNS[Role(str(role))]} {role}"
            ),
            "keep": st.column_config.CheckboxColumn("Keep", help="A column left out comes back from an older version."),
        },
        hide_index=True,
        disabled=not may,
        # Another version is another table: edits of the one before mean nothing there.
        key=f"dataset_columns_{one.head.hash[:SHORT]}",
    )
    wanted = [
        Column(str(row.name_ or ""), ColumnType(row.type), Role(row.role), str(row.origin))
        for row in edited.rename(columns={"name": "name_"}).itertuples()
        if row.keep
    ]
    distinct = st.checkbox(
        "Leave out rows that repeat an earlier one in every column",
        key=f"dataset_distinct_{one.head.hash[:SHORT]}",
        disabled=not may,
        help="The same row in what is learnt from and in what is tested makes a model look better than it is.",
    )
    if st.button("Save as a new version", icon=":material/save:", key="dataset_save", disabled=not may):
        if distinct:
            attempt(lambda: app.datasets.edit(actor, one.id, wanted, distinct=True))
        elif wanted == before:
            st.info("Nothing was changed.", icon=":material/info:")
        elif [(w.origin, w.name, w.type) for w in wanted] == [(b.origin, b.name, b.type) for b in before]:
            attempt(lambda: app.datasets.set_roles(actor, one.id, {each.name: each.role for each in wanted}))
        else:
            attempt(lambda: app.datasets.edit(actor, one.id, wanted))


def versions(history: list[Revision]) -> None:
    """Every version, the newest first."""
    st.dataframe(
        pd.DataFrame(
            {
                "number": [each.number for each in history],
                "hash": [each.hash[:SHORT] for each in history],
                "rows": [each.rows for each in history],
                "columns": [len(each.columns) for each in history],
                "size": [each.size_bytes for each in history],
                "from": [_came(each) for each in history],
                "by": [each.by for each in history],
                "at": pd.Series([each.at for each in history], dtype="datetime64[ms, UTC]"),
            }
        ),
        column_config={
            "number": st.column_config.NumberColumn("Version", format="%d"),
            "hash": st.column_config.TextColumn("Hash", help="The same content has the same hash."),
            "rows": st.column_config.NumberColumn("Rows", format="localized"),
            "columns": st.column_config.NumberColumn("Columns", format="localized"),
            "size": tables.number("Size", "B"),
            "from": "From",
            "by": "By",
            "at": tables.moment("Made"),
        },
        hide_index=True,
        key="dataset_versions",
        alt="Versions of the dataset, newest first",
    )


def _came(one: Revision) -> str:
    told = one.lineage
    if told.get("from") == "file":
        return f"file {told.get('name', '')}"
    return "metrics" if told.get("from") == "metrics" else f"edit of {str(told.get('version', ''))[:SHORT]}"


def delete(app: App, actor: Actor, one: Listed) -> None:
    """What depends on it first, then the button."""
    if deletion.sure(
        app.datasets.depending(actor, one.id),
        "and would stay without their data",
        f"{plain(one.name)} with all {one.versions} versions",
        key="dataset",
        number=one.id,
        may=actor.may(Permission.MAKE_DATASETS),
    ):
        attempt(lambda: app.datasets.delete(actor, one.id, anyway=True))
