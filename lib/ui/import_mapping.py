"""The mapping step of an import: how the file is read, what each column is, and the first rows as samples."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor
from lib.errors import AppError, Invalid
from lib.intake.mapping import (
    BadRows,
    Column,
    Kind,
    Mapping,
    Reading,
    Role,
    TimeFormat,
    fixed_labels,
    label_name,
    labels_text,
    metric_name,
)
from lib.services.importing_jobs import Look
from lib.services.importing_staged import Staged
from lib.store.incoming import ENCODINGS
from lib.ui import tables
from lib.ui.text import plain

if TYPE_CHECKING:
    from lib.app import App

TIMES = {
    TimeFormat.SECONDS: "seconds since 1970",
    TimeFormat.MILLISECONDS: "milliseconds since 1970",
    TimeFormat.MICROSECONDS: "microseconds since 1970",
    TimeFormat.NANOSECONDS: "nanoseconds since 1970",
    TimeFormat.ISO: "2026-03-14 12:00:00 (ISO 8601)",
    TimeFormat.DAY_FIRST: "14.03.2026 12:00 (day first)",
    TimeFormat.MONTH_FIRST: "03/14/2026 12:00 PM (month first)",
}
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
BAD = {BadRows.SKIP: "Leave them out", BadRows.REFUSE: "Refuse the file"}
_ENCODINGS = {"cp1252": "Windows-1252", "latin-1": "Latin-1"}


def form(app: App, actor: Actor, staged: Staged, look: Look) -> Mapping | None:
    """What the columns mean, as chosen; None while that cannot be read."""
    st.subheader("What it means", anchor=False)
    if look.notes:
        st.info(plain(" ".join(look.notes), 1000), icon=":material/info:")
    if look.kind is Kind.TABLE:
        _reading(app, actor, staged, look)
    start = staged.report.mapping if staged.report is not None else look.mapping
    # A file that is read another way has other columns: what was chosen for the ones before does not fit.
    key = f"import_{staged.about.id}_{_mark(look.reading, look.names)}"
    columns = _columns(look, start, key) if look.kind is not Kind.OPENMETRICS else ()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        formats = list(TIMES) if look.kind is not Kind.OPENMETRICS else [TimeFormat.SECONDS, TimeFormat.MILLISECONDS]
        format_ = st.selectbox(
            "Times are written as",
            formats,
            formats.index(start.time_format),
            format_func=lambda choice: TIMES[choice],
            key=f"{key}_time",
            width=300,
        )
        zone, decimal = start.zone, start.decimal
        if look.kind is not Kind.OPENMETRICS:
            zones = ["UTC", *sorted(available_timezones() - {"UTC"})]
            zone = st.selectbox(
                "Time zone",
                zones,
                zones.index(start.zone) if start.zone in zones else 0,
                key=f"{key}_zone",
                filter_mode="contains",
                help="Of times that do not name theirs.",
                width=220,
            )
        if look.kind is Kind.TABLE:
            decimal = st.segmented_control(
                "Decimals",
                [".", ","],
                default=start.decimal,
                required=True,
                format_func=lambda sign: {".": "1.5", ",": "1,5"}[sign],
                key=f"{key}_decimal",
            )
        bad = st.segmented_control(
            "Rows that cannot be read",
            list(BAD),
            default=start.bad_rows,
            required=True,
            format_func=lambda choice: BAD[choice],
            key=f"{key}_bad",
        )
    text = st.text_input(
        "Labels for every series",
        labels_text(start.labels),
        key=f"{key}_labels",
        max_chars=4000,
        placeholder='job=node, instance="web-1:9100"',
        help="Those that tell these series apart from others. One called instance or host names the machine.",
    )
    try:
        labels = fixed_labels(text)
    except Invalid as error:
        st.error(plain(error.message), icon=":material/error:")
        return None
    return Mapping(columns, format_, zone, decimal or ".", labels, bad or BadRows.SKIP)


def _reading(app: App, actor: Actor, staged: Staged, look: Look) -> None:
    """How text becomes rows; seldom to be corrected."""
    reading = look.reading
    words = f"{_encoding(reading.encoding)}, {DELIMITERS.get(reading.delimiter, 'comma')}"
    with (
        st.expander(f"How the file is read: {words}", icon=":material/tune:", key="import_reading"),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        key = f"import_{staged.about.id}_{_mark(reading)}"
        encoding = st.selectbox(
            "Encoding",
            ENCODINGS,
            ENCODINGS.index(reading.encoding),
            format_func=_encoding,
            key=f"{key}_encoding",
            width=160,
        )
        signs = list(DELIMITERS)
        delimiter = st.selectbox(
            "Fields are split by",
            signs,
            signs.index(reading.delimiter) if reading.delimiter in signs else 0,
            format_func=lambda choice: DELIMITERS[choice],
            key=f"{key}_delimiter",
            width=160,
        )
        header = st.number_input(
            "Names are in row", 0, 500, reading.header, key=f"{key}_header", help="0: there are none.", width=160
        )
        first = st.number_input("Data begins in row", 1, 501, reading.first, key=f"{key}_first", width=160)
        wanted = Reading(encoding, delimiter, int(header), max(int(first), int(header) + 1))
        if st.button("Read again", key=f"{key}_again", icon=":material/refresh:", disabled=wanted == reading):
            app.importing.read_again(actor, staged.about.id, wanted)
            st.rerun()


def _encoding(name: str) -> str:
    return _ENCODINGS.get(name, name.upper())


def _columns(look: Look, start: Mapping, key: str) -> tuple[Column, ...]:
    """The table in which each column of the file gets its role."""
    chosen = start.columns if len(start.columns) == len(look.names) else look.mapping.columns
    examples = [
        " · ".join(dict.fromkeys(row[i][:40] for row in look.rows[:20] if row[i].strip()))
        for i in range(len(look.names))
    ]
    edited = st.data_editor(
        pd.DataFrame(
            {
                "source": [column.source for column in chosen],
                "examples": [text[:120] for text in examples],
                "type": look.types,
                "role": [column.role.value for column in chosen],
                "becomes": [column.becomes if _named(column.role) else "" for column in chosen],
            }
        ),
        column_config={
            "source": st.column_config.TextColumn("In the file", disabled=True, pinned=True),
            "examples": st.column_config.TextColumn("For example", disabled=True, width="medium"),
            "type": st.column_config.TextColumn("Type", disabled=True, width=90),
            "role": st.column_config.SelectboxColumn(
                "Is", options=[role.value for role in Role], required=True, width=110
            ),
            "becomes": st.column_config.TextColumn(
                "Becomes", help="The metric a column of values is stored as, or the name of the label.", max_chars=200
            ),
        },
        column_order=["source", "role", "becomes", "examples"] + (["type"] if look.kind is Kind.PARQUET else []),
        hide_index=True,
        num_rows="fixed",
        key=f"{key}_columns",
        height="auto" if len(chosen) <= 12 else 460,
    )
    st.caption(
        "One column is the time. Wide files have a value column a metric; long ones a column that names the metric and "
        "one value. Labels tell series apart; labels holds several as text, {host=…}."
    )
    made = []
    for column, role, becomes in zip(chosen, edited["role"], edited["becomes"], strict=True):
        role = Role(role)
        own = label_name(column.source) if role is Role.LABEL else metric_name(column.source)
        made.append(Column(column.source, role, str(becomes or "").strip() or own))
    return tuple(made)


def _named(role: Role) -> bool:
    return role in (Role.VALUE, Role.LABEL)


def preview(app: App, actor: Actor, staged: Staged, mapping: Mapping) -> None:
    """The first rows as they would be stored."""
    st.subheader("The first rows as samples", anchor=False)
    try:
        rows = app.importing.preview(actor, staged.about.id, mapping)
    except AppError as error:
        st.warning(plain(error.message, 600), icon=":material/rule:")
        return
    if not rows:
        st.info("None of the first rows gives a sample: their values are empty.", icon=":material/info:")
        return
    st.dataframe(
        pd.DataFrame(
            {
                "row": [row.row for row in rows],
                "series": [row.series for row in rows],
                "ts": pd.Series([row.ts for row in rows], dtype="datetime64[ms, UTC]"),
                "value": pd.Series([row.value for row in rows], dtype="float64"),
                "error": [f"✕ {row.error}" if row.error else "" for row in rows],
            }
        ),
        column_config={
            "row": st.column_config.NumberColumn("Row", format="%d", width=70),
            "series": st.column_config.TextColumn("Series", width="large"),
            "ts": tables.moment("Time"),
            "value": st.column_config.NumberColumn("Value", format="%.6g"),
            "error": st.column_config.TextColumn("Cannot be read", width="medium"),
        },
        column_order=["row", "series", "ts", "value"] + (["error"] if any(row.error for row in rows) else []),
        hide_index=True,
        height="auto" if len(rows) <= 5 else 240,
        key="import_preview",
        alt="The first rows of the file as samples of series",
    )


def _mark(*what: object) -> str:
    """A part of a widget's key: the same for the same, in every process."""
    return f"{zlib.crc32(repr(what).encode('utf-8', 'replace')):08x}"
