"""The Models page's parts: versions and what they are, what is in production and was, comparing, uploading."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.db.learning_tables import ModelVersion
from lib.services.models import ALIASES, CHAMPION, Summary
from lib.ui import links, refusal, state, tables
from lib.ui.text import ago, amount, plain, stamp

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from lib.app import App

# The version a page is about, in its address.
VERSION = "version"
# Never colour alone.
SIGNS = {"champion": "★", "challenger": "☆"}
SCHEMA_HELP = '{"task": "classification", "classes": ["no", "yes"], "fields": [{"name": "age", "kind": "number"}]}'


def nothing() -> None:
    st.info(
        "Train a model, or upload one made elsewhere (ONNX, XGBoost JSON, skops); then promote a version and ask it.",
        title="No model yet",
        icon=":material/deployed_code:",
    )


def version_asked_about(app: App, actor: Actor) -> tuple[ModelVersion, DeltaGenerator]:
    """The model and version a page is about, as its address says, and the line their pickers stand in; without any
    model the page ends with the way to one."""
    models = app.models.all(actor)
    if not models:
        nothing()
        links.to("pages/learn/models.py", "Open models", icon=":material/deployed_code:")
        st.stop()
    line = st.container(horizontal=True, vertical_alignment="bottom")
    with line:
        chosen = model_picker(models)
        rows = app.models.versions(actor, chosen.name, archived=False)
        return version_picker(rows, app.models.aliases(actor, chosen.name)), line


def _usual_version() -> None:
    st.query_params.pop(VERSION, None)


def model_picker(models: list[Summary]) -> Summary:
    """One model; of those there are, that of `?model=…`."""
    names = [one.name for one in models]
    chosen = st.selectbox(
        "Model",
        names,
        key="model",
        bind="query-params",
        filter_mode="contains",
        # Of another model the usual version again, not the one of the same number.
        on_change=_usual_version,
        width=300,
    )
    return models[names.index(chosen) if chosen in names else 0]


def version_picker(rows: list[ModelVersion], aliases: dict[str, int]) -> ModelVersion:
    """That of `?version=3`; else the champion, else the newest."""
    marks = _marks(aliases)
    numbers = [row.version for row in rows]
    asked = st.query_params.get(VERSION, "")
    usual = aliases.get(CHAMPION, numbers[0])
    chosen = next((one for one in numbers if str(one) == asked), usual if usual in numbers else numbers[0])
    # The address holds the number alone, for the words change with the aliases; so does the key, for the browser keeps
    # the words of what is chosen.
    key = f"version_{chosen}_{marks.get(chosen, '')}"

    def words(number: int) -> str:
        return f"{number} {marks.get(number, '')}".rstrip()

    def choose() -> None:
        st.query_params[VERSION] = str(state.choices((key,)).get(key, chosen))

    st.selectbox(
        "Version", numbers, index=numbers.index(chosen), key=key, on_change=choose, format_func=words, width=220
    )
    return rows[numbers.index(chosen)]


def _marks(aliases: dict[str, int]) -> dict[int, str]:
    """What each version is in production as, with its signs; one may be both."""
    return {
        version: " ".join(f"{SIGNS[alias]} {alias}" for alias in ALIASES if aliases.get(alias) == version)
        for version in aliases.values()
    }


def versions(rows: list[ModelVersion], aliases: dict[str, int], now: datetime) -> None:
    """A line a version, newest first, with what tells them apart."""
    marks = _marks(aliases)
    measured = list(dict.fromkeys(name for row in rows for name, value in row.metrics.items() if _number(value)))[:4]
    frame = pd.DataFrame(
        {
            "version": [row.version for row in rows],
            "alias": [marks.get(row.version, "") for row in rows],
            **{f"metric {name}": [row.metrics.get(name) for row in rows] for name in measured},
            "format": [f"{row.format}, {row.origin}" for row in rows],
            "size": [row.size_bytes for row in rows],
            "made": [ago(row.created_at, now, short=True) for row in rows],
            "by": [row.created_by for row in rows],
            "state": ["▣ archived" if row.archived_at else "" for row in rows],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        key="model_versions",
        column_config={
            "version": st.column_config.NumberColumn("Version", pinned=True),
            "alias": "In production as",
            **{f"metric {name}": st.column_config.NumberColumn(name[:40], format="%.4g") for name in measured},
            "format": "Format",
            "size": tables.number("Size", "B"),
            "made": "Made",
            "by": "By",
            "state": "State",
        },
        alt="Versions of the model",
    )


def detail(app: App, actor: Actor, row: ModelVersion) -> None:
    """Everything that is known of a version, and its files."""
    st.subheader(f"{plain(row.name)} {row.version}", anchor=False)
    with st.container(horizontal=True):
        st.metric("Task", str(row.model_schema.get("task", "–")))
        st.metric("Fields", f"{len(row.model_schema.get('fields', [])):,}")
        for name, value in list(row.metrics.items())[:4]:
            if _number(value):
                st.metric(plain(name, 40), f"{value:.4g}")
        st.metric("Size", amount(float(row.size_bytes), "B"))
    if not row.metrics:
        st.caption(":material/help: Nobody has said how good this version is.")
    st.caption(
        f"{row.origin.capitalize()} by {plain(row.created_by)}, {stamp(row.created_at)}, "
        f"code {plain(row.code_version)}. Checksum {row.sha256[:16]}…, checked whenever it is read. "
        f"Data {plain(row.data_hash[:16] + '…' if row.data_hash else 'unknown')}."
    )
    if row.card:
        with st.expander("Card", icon=":material/description:"):
            st.code(row.card, language="markdown", wrap_lines=True)
    with st.expander("Fields and classes", icon=":material/schema:"):
        st.dataframe(
            pd.DataFrame(
                [{**one, "categories": ", ".join(one["categories"][:20])} for one in row.model_schema["fields"]]
            ),
            hide_index=True,
            key="model_fields",
            alt="Fields the model takes",
        )
        if row.model_schema.get("classes"):
            st.caption(f"Classes: {plain(', '.join(row.model_schema['classes']))}.")
    with st.expander("Parameters, facts and environment", icon=":material/settings:"):
        st.json({"parameters": row.params, "facts": row.facts, "environment": row.environment}, expanded=1)
    with st.container(horizontal=True):
        stem = f"{row.name}-{row.version}"
        about = row.model_dump(mode="json", exclude={"id", "reference", "card"})
        offered: list[tuple[str, Any, str, str, str]] = [
            ("Files", partial(_files, app, actor, row), "zip", "application/zip", "The files as a zip archive."),
            ("Card", row.card or "No card.", "md", "text/markdown", "What it is for and how good it is."),
            ("About", json.dumps(about, indent=1), "json", "application/json", "All that is known of it."),
        ]
        for words, content, suffix, mime, help_ in offered:
            st.download_button(
                words,
                content,
                f"{stem}.{suffix}",
                mime,
                key=f"model_{words.lower()}",
                icon=":material/download:",
                on_click="ignore",
                help=help_,
            )


def _files(app: App, actor: Actor, row: ModelVersion) -> bytes:
    return app.models.archive_of(actor, row.name, row.version).read_bytes()


def acts(app: App, actor: Actor, row: ModelVersion, aliases: dict[str, int]) -> None:
    """Promote, roll back, archive: for operators; others see why they cannot."""
    may = actor.may(Permission.PROMOTE)
    note = st.text_input("Why", key="model_note", max_chars=500, disabled=not may, placeholder="kept in the history")
    back = row.archived_at is not None
    asked: Callable[[], object] | None = None
    with st.container(horizontal=True):
        for alias in ALIASES:
            already = aliases.get(alias) == row.version
            if st.button(
                f"Make it {alias}",
                icon=":material/star:" if alias == CHAMPION else ":material/star_half:",
                key=f"model_promote_{alias}",
                type="primary" if alias == CHAMPION else "secondary",
                disabled=not may or already or back,
            ):
                asked = partial(app.models.promote, actor, row.name, row.version, alias, note)
        if st.button("Roll back", icon=":material/undo:", key="model_rollback", disabled=not may or not aliases):
            asked = partial(app.models.roll_back, actor, row.name, note)
        words = "Bring back" if back else "Archive"
        if st.button(words, icon=":material/archive:", key="model_archive", disabled=not may):
            asked = partial(app.models.archive, actor, row.name, row.version, back=back)
    if asked is not None:
        with refusal.shown():
            asked()
            st.rerun()
    if not may:
        st.caption(":material/lock: Promoting and rolling back takes the role operator.")


def production(app: App, actor: Actor, name: str, now: datetime) -> None:
    """What the aliases mean now, what they meant at a moment, and every change."""
    aliases = app.models.aliases(actor, name)
    with st.container(horizontal=True):
        for alias in ALIASES:
            meant = aliases.get(alias)
            st.metric(f"{SIGNS[alias]} {alias.capitalize()}", "–" if meant is None else f"version {meant}")
    moment = st.datetime_input(
        "What was in production at (UTC)", None, key="model_at", bind="query-params", step=60, width=280
    )
    if moment is not None:
        found = app.models.at(actor, name, moment.replace(tzinfo=UTC))
        if found is None or found.version is None:
            st.info(f"At {stamp(moment.replace(tzinfo=UTC))} no version of {plain(name)} was champion.")
        else:
            st.success(
                f"At {stamp(moment.replace(tzinfo=UTC))} version {found.version} was champion, since {stamp(found.at)} "
                f"({plain(found.change)} by {plain(found.by)})."
            )
    changes = app.models.history(actor, name)
    if not changes:
        st.info("Nothing was promoted yet: predictions must name a version.", icon=":material/star:")
        return
    st.dataframe(
        pd.DataFrame(
            {
                "at": [one.at for one in changes],
                "alias": [f"{SIGNS.get(one.alias, '')} {one.alias}" for one in changes],
                "version": [one.version for one in changes],
                "change": [one.change for one in changes],
                "by": [one.by for one in changes],
                "note": [one.note for one in changes],
            }
        ),
        hide_index=True,
        key="model_history",
        column_config={
            "at": tables.moment("When"),
            "alias": "Alias",
            "version": st.column_config.NumberColumn("Version", help="Empty: it meant nothing from then on."),
            "change": "Change",
            "by": "By",
            "note": "Why",
        },
        alt="What was promoted when, and by whom",
    )


def compare(app: App, actor: Actor, rows: list[ModelVersion]) -> None:
    """Two versions side by side."""
    if len(rows) < 2:
        st.info("There is one version only; the next one can be compared with it.", icon=":material/compare_arrows:")
        return
    numbers = [row.version for row in rows]
    with st.container(horizontal=True):
        a = st.selectbox("One", numbers, index=1, key="compare_a", bind="query-params", width=140)
        b = st.selectbox("The other", numbers, index=0, key="compare_b", bind="query-params", width=140)
    found = app.models.compare(actor, rows[0].name, int(a or numbers[1]), int(b or numbers[0]))
    if found.same_data is not None:
        st.caption(
            "Learnt from the same data." if found.same_data else ":material/warning: Learnt from different data."
        )
    for title, lines in (
        ("Metrics", found.metrics),
        ("Parameters that differ", found.params),
        ("Fields", found.fields),
    ):
        if lines:
            st.subheader(title, anchor=False)
            frame = pd.DataFrame([(x, _cell(y), _cell(z)) for x, y, z in lines], columns=["what", "one", "other"])
            columns = {"what": title, "one": f"Version {a}", "other": f"Version {b}"}
            st.dataframe(frame, hide_index=True, key=f"compare_{title}", column_config=columns, alt=title)
    if not (found.metrics or found.params or found.fields):
        st.info("Nothing is recorded that tells the two apart.", icon=":material/compare_arrows:")


def upload(app: App, actor: Actor, name: str = "") -> None:
    """A model made elsewhere: what it is, and the file; checked in a process of its own before it is listed."""
    may = actor.may(Permission.TRAIN)
    with st.form("model_upload", border=False):
        left, right = st.columns(2)
        model = left.text_input(
            "Name", name, key="upload_name", help="A new one, or one there is: then the next version."
        )
        target = right.text_input("What it predicts", key="upload_target")
        file = st.file_uploader(
            "ONNX, XGBoost JSON or skops",
            ["onnx", "json", "skops"],
            key="upload_file",
            max_upload_size=max(1, int(app.settings.model_max_mb)),
            help="PyTorch: torch.onnx.export with the number of rows left open. Pickles are never opened.",
        )
        with st.expander("What the file does not say of itself", icon=":material/schema:"):
            fields = st.text_area("Fields, one a line, in the model's order", key="upload_fields")
            classes = st.text_input("Classes, comma-separated", key="upload_classes")
            task = st.selectbox(
                "Task", ["", "classification", "regression"], key="upload_task",
                format_func=lambda one: one or "as the file says",
            )  # fmt: skip
            described = st.text_area("All of it as JSON instead", key="upload_schema", placeholder=SCHEMA_HELP)
        card = st.text_area(
            "Card", key="upload_card", placeholder="What it is for, what it learnt from, how good it is"
        )
        sent = st.form_submit_button(
            "Check and keep it", icon=":material/upload_file:", key="upload_send", type="primary", disabled=not may
        )
    if not may:
        st.caption(":material/lock: Uploading a model takes the role analyst.")
    if sent and file is None:
        st.warning("Choose a file first.", icon=":material/upload_file:")
    elif sent and file is not None:
        row = None
        with refusal.shown(), st.status("Checking the model") as status:
            row = app.model_uploads.upload(
                actor, model.strip(), file.name, file, fields=_lines(fields), classes=classes.split(","),
                task=str(task), target=target, model_schema=described, card=card,
                progress=lambda words: status.update(label=words),
            )  # fmt: skip
            status.update(label=f"{row.name} version {row.version} is kept", state="complete")
        if row is not None:
            st.success(f"{plain(row.name)} version {row.version} is kept. An operator can promote it.")


def _lines(text: str) -> list[str]:
    return [one.strip() for one in text.replace(",", "\n").splitlines() if one.strip()]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)[:200]
