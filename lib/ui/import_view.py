"""Importing history on the page: bring a file, say what its columns mean, see what storing it would do, store it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor
from lib.db.tables import Task
from lib.errors import AppError
from lib.frames import from_ms
from lib.intake.mapping import BadRows, Kind, Mapping
from lib.services.importing_jobs import Report
from lib.services.importing_staged import SUFFIXES, Staged
from lib.ui import import_mapping, links, profile_view
from lib.ui.text import amount, plain, stamp

if TYPE_CHECKING:
    from lib.app import App

# The import a page is about, in its address.
IN_URL = "import"
OWN = 0  # of the picker of sources: one of the file's own
KINDS = {
    Kind.TABLE: "Table as text",
    Kind.PARQUET: "Parquet",
    Kind.OPENMETRICS: "Prometheus text or OpenMetrics",
}


def bring(app: App, actor: Actor) -> None:
    """Upload a file, or pick one of the server's."""
    st.caption("History from a file: bring it, say what its columns mean, see what storing it would do, store it.")
    # Cleared when sent: Streamlit holds an uploaded file in memory as long as the widget shows it.
    with st.form("import_form", border=False, clear_on_submit=True):
        file = st.file_uploader(
            "CSV, TSV, Parquet, Prometheus text or OpenMetrics; packed with gzip or not",
            [one.lstrip(".") for one in SUFFIXES],
            key="import_file",
            max_upload_size=max(1, int(app.settings.upload_max_mb)),
            help="Nothing is stored before you have seen what it would do.",
        )
        sent = st.form_submit_button("Look at it", icon=":material/search:", key="import_send", type="primary")
    if sent and file is None:
        st.warning("Choose a file first.", icon=":material/upload_file:")
    if sent and file is not None:
        _go_to(lambda: app.importing.upload(actor, file.name, file))
    offered = app.importing.offered(actor)
    if offered:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.selectbox("On the server", offered, key="import_offered", filter_mode="contains", width=360)
            if st.button("Look at this one", key="import_pick", icon=":material/search:"):
                _go_to(lambda: app.importing.pick(actor, name))
    st.caption(f"Larger ones: put them into {plain(app.importing.files)} on the server and pick them here.")
    for about in app.importing.brought(actor)[:5]:
        if st.button(
            f"{plain(about.name)} · {stamp(about.at)} · {plain(about.by)}",
            key=f"import_open_{about.id}",
            type="tertiary",
            icon=":material/draft:",
        ):
            st.query_params[IN_URL] = about.id
            st.rerun()


def _go_to(what: Callable[[], str]) -> None:
    try:
        st.query_params[IN_URL] = what()
    except AppError as error:
        st.error(plain(error.message, 600), icon=":material/error:")
    else:
        st.rerun()


def one(app: App, actor: Actor, import_id: str) -> None:
    """The import of `?import=…`, as far as it is."""
    staged = app.importing.get(actor, import_id)
    _heading(app, actor, staged)
    if staged.running is not None:
        _follow(app, actor, staged.running)
        return
    if staged.failed:
        st.error(plain(staged.failed, 800), icon=":material/error:")
    if staged.done is not None:
        _done(app, actor, staged)
        return
    if staged.look is None:
        st.caption("Correct the file and bring it again.")
        return
    mapping = import_mapping.form(app, actor, staged, staged.look)
    if mapping is None:
        return
    import_mapping.preview(app, actor, staged, mapping)
    _check(app, actor, staged, mapping)


def _heading(app: App, actor: Actor, staged: Staged) -> None:
    about = staged.about
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(plain(about.name), anchor=False, width="stretch")
        words = "Another file" if staged.done is not None else "Put it away"
        if not staged.running and st.button(words, key="import_away", icon=":material/close:"):
            if staged.done is None:
                app.importing.discard(actor, about.id)
            st.query_params.pop(IN_URL, None)
            st.rerun()
    facts = [amount(float(about.size_bytes), "B"), f"brought by {plain(about.by)}", stamp(about.at)]
    if staged.look is not None:
        facts.insert(0, KINDS[staged.look.kind])
        if staged.look.claimed is not None:
            facts.insert(1, f"{staged.look.claimed:,} rows")
    st.caption(" · ".join(facts))


def _follow(app: App, actor: Actor, running: Task) -> None:
    @st.fragment(run_every=1.0)
    def watch() -> None:
        task = app.jobs.get(actor, running.id or 0)
        if task.finished_at is not None:
            st.rerun(scope="app")
        words = task.message or "waiting for a free place"
        st.progress(min(max(task.progress, 0.0), 1.0), text=f"{plain(task.title)}: {plain(words)}")
        if app.jobs.may_cancel(actor, task) and st.button("End it", icon=":material/stop:", key="import_end"):
            try:
                app.jobs.cancel(actor, task.id or 0)
            except AppError as error:
                st.error(plain(error.message))
            else:
                st.rerun(scope="app")

    watch()


# --- check and store ------------------------------------------------------------------------------


def _check(app: App, actor: Actor, staged: Staged, mapping: Mapping) -> None:
    st.subheader("Where it goes", anchor=False)
    about, report = staged.about, staged.report
    names = app.importing.targets(actor)
    ids = [OWN, *names]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        at = ids.index(report.source_id) if report is not None and report.source_id in names else 0
        into = st.selectbox(
            "Source",
            ids,
            at,
            format_func=lambda one: names.get(one, "A source of its own"),
            key=f"import_into_{about.id}",
            help="Into a connected source when the file holds what it measured before: series with the same labels "
            "are continued.",
            width=300,
        )
        name = ""
        if into == OWN:
            suggested = report.source_name if report is not None else app.importing.suggested_name(about.name)
            name = st.text_input("Its name", suggested, max_chars=64, key=f"import_name_{about.id}", width=300)
        kind: Literal["primary", "secondary"] = "primary" if report is None else "secondary"
        if st.button("Check the whole file", key="import_check", icon=":material/fact_check:", type=kind):
            try:
                app.importing.check(actor, about.id, mapping, into=into or None, name=name)
            except AppError as error:
                st.error(plain(error.message, 600), icon=":material/error:")
            else:
                st.rerun()
    if report is None:
        st.caption("Checking reads all of it and tells what storing it would do. Nothing is stored yet.")
        return
    same = report.mapping == mapping and (report.source_id == into if into else report.source_name == name.strip())
    _report(app, actor, staged, report)
    refused = report.bad > 0 and report.mapping.bad_rows is BadRows.REFUSE
    if not same:
        st.warning("What was chosen has changed since it was checked: check it again.", icon=":material/sync_problem:")
    if refused:
        st.error("The file has rows that cannot be read, and is to be refused for that.", icon=":material/block:")
    able = same and not refused and report.new > 0
    left = f" and leave {report.bad:,} out" if report.bad else ""
    if st.button(
        f"Store {report.new:,} samples{left}",
        key="import_store",
        icon=":material/save:",
        type="primary",
        disabled=not able,
    ):
        try:
            app.importing.store(actor, about.id)
        except AppError as error:
            st.error(plain(error.message, 600), icon=":material/error:")
        else:
            st.rerun()


def _report(app: App, actor: Actor, staged: Staged, report: Report) -> None:
    st.subheader("What storing it would do", anchor=False)
    first, last = ("–" if edge is None else f"{from_ms(edge):%Y-%m-%d}" for edge in (report.first_ms, report.last_ms))
    profile_view.tiles(
        [
            ("New samples", f"{report.new:,}", "They are not in the source yet."),
            ("Already there", f"{report.known:,}", "Stored before, by an earlier import or a collection; they stay."),
            ("Series", f"{report.series:,}", "Of the file."),
            ("First day", first, "Of the first sample, in UTC."),
            ("Last day", last, "Of the last sample, in UTC."),
            ("Errors", f"{report.bad:,}", "Rows or cells that cannot be read."),
        ]
    )
    for words in said(report):
        st.warning(plain(words), icon=":material/warning:")
    if report.samples and not report.new:
        st.success("All of it is in the source already; nothing is left to store.", icon=":material/check_circle:")
    if not report.samples:
        st.error("No row gives a sample; the errors say why.", icon=":material/error:")
    if report.bad or report.conflicts:
        _errors(app, actor, staged, report)
    if report.metrics:
        with st.expander(f"Metrics: {len(report.metrics):,}", icon=":material/list:", key="import_metrics"):
            st.dataframe(
                pd.DataFrame(report.metrics, columns=["metric", "series", "samples"]),
                column_config={
                    "metric": "Metric",
                    "series": st.column_config.NumberColumn("Series", format="localized"),
                    "samples": st.column_config.NumberColumn("Samples", format="localized"),
                },
                hide_index=True,
                key="import_metric_table",
                alt="Metrics of the file with their series and samples",
            )


def said(report: Report) -> list[str]:
    """What a reader should know before anything is stored, a sentence each."""
    sentences = (
        (report.different, "sample", "there already with another value: the stored value stays."),
        (report.conflicts, "row", "contradicted by a later row of the same series and time, which counts."),
        (report.repeated, "row", "said again by another row: it is stored once."),
        (report.expired, "sample", "older than samples are kept (AUTOOPS_ARCHIVE_RAW_DAYS) and left out."),
        (report.ambiguous, "time", "in the hour that comes twice when clocks go back: the first one was taken."),
        (report.inexact, "whole number", "too large to be stored to the last digit."),
        (report.missing, "cell", "empty: no sample comes of that."),
    )
    return [
        f"1 {what} is {so}" if count == 1 else f"{count:,} {what}s are {so}" for count, what, so in sentences if count
    ]


def _errors(app: App, actor: Actor, staged: Staged, report: Report) -> None:
    title = f"Errors: {report.bad:,}" + (f", contradictions: {report.conflicts:,}" if report.conflicts else "")
    with st.expander(title, icon=":material/error:", expanded=report.bad > 0, key="import_errors"):
        for reason, count in report.reasons.items():
            st.markdown(f"- **{count:,}** × {plain(reason)}")
        st.dataframe(
            pd.DataFrame(
                {
                    "row": [one.row for one in report.errors],
                    "column": [one.column for one in report.errors],
                    "value": [one.value for one in report.errors],
                    "reason": [one.reason for one in report.errors],
                }
            ),
            column_config={
                "row": st.column_config.NumberColumn("Row", format="%d", width=80),
                "column": "Column",
                "value": st.column_config.TextColumn("Value", width="medium"),
                "reason": st.column_config.TextColumn("Why", width="large"),
            },
            hide_index=True,
            height="auto" if len(report.errors) <= 8 else 320,
            key="import_error_table",
            alt="Rows that cannot be read, with the reason",
        )
        st.download_button(
            "All of them as CSV",
            lambda: app.importing.errors(actor, staged.about.id),
            f"errors-{staged.about.id}.csv",
            "text/csv",
            key="import_errors_csv",
            icon=":material/download:",
            on_click="ignore",
        )


def _done(app: App, actor: Actor, staged: Staged) -> None:
    done = staged.done or {}
    known = f" {done.get('known', 0):,} were there already." if done.get("known") else ""
    st.success(
        f"{done.get('written', 0):,} samples stored in {plain(done.get('source', ''))}.{known}",
        icon=":material/check_circle:",
    )
    if staged.report is not None:
        if staged.report.bad or staged.report.conflicts:
            _errors(app, actor, staged, staged.report)
        metric = staged.report.metrics[0][0] if staged.report.metrics else ""
        query = {"metric": metric}
        if staged.report.first_ms is not None and staged.report.last_ms is not None:
            start, end = from_ms(staged.report.first_ms), from_ms(staged.report.last_ms + 60_000)
            query |= {"range": "custom", "range_from": f"{start:%Y-%m-%dT%H:%M}", "range_to": f"{end:%Y-%m-%dT%H:%M}"}
        links.to("pages/observe/explore.py", "See it in Explore", icon=":material/monitoring:", query=query)
    links.to("pages/operate/sources.py", "All sources", icon=":material/database:")
