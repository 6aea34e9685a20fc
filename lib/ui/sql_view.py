"""Parts of the SQL page: what there is to query, the editor, what came, and what was run before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from lib.auth.actor import Actor
from lib.db.tables import Query
from lib.errors import AppError, SqlCancelled
from lib.services.querying import MAX_ROWS, Running
from lib.services.querying_result import Result
from lib.sql.tables import Table
from lib.ui import cached, completion, refusal, sql_chart, sql_words, state, tables
from lib.ui.text import ago, duration, plain, stamp

if TYPE_CHECKING:
    from lib.app import App

EDITOR = "q"
# Within this time most queries are over: the page waits, and does not flicker.
AT_ONCE_S = 0.7
EXAMPLES = {
    "The newest reading of each series": """SELECT metric, host, arg_max(value, ts) AS newest, max(ts) AS last
FROM samples
GROUP BY ALL
ORDER BY metric, host
LIMIT 200""",
    "A metric in steps of 5 minutes": """SELECT time_bucket(INTERVAL 5 minutes, ts) AS time, host, avg(value) AS value
FROM samples
WHERE metric = 'node_load1' AND ts > (SELECT max(ts) FROM samples) - INTERVAL 1 day
GROUP BY ALL
ORDER BY time""",
    "How many series each metric has": """SELECT metric, kind, count(*) AS series, count(DISTINCT host) AS hosts
FROM series
GROUP BY ALL
ORDER BY series DESC""",
    "Anomalies by host and severity": """SELECT host, severity, count(*) AS anomalies, round(max(score), 1) AS strangest
FROM anomalies
GROUP BY ALL
ORDER BY anomalies DESC""",
    "A counter's rate per second": """SELECT ts, host,
    greatest(value - lag(value) OVER w, 0) / nullif(epoch(ts - lag(ts) OVER w), 0) AS per_second
FROM samples
WHERE metric = 'node_context_switches_total' AND ts > (SELECT max(ts) FROM samples) - INTERVAL 3 hours
WINDOW w AS (PARTITION BY series_id ORDER BY ts)
ORDER BY ts""",
    "Each day of months, from sums": """SELECT date_trunc('day', ts) AS day, host, sum(sum) / sum(count) AS value
FROM tiers
WHERE metric = 'node_load1' AND step_s = 3600
GROUP BY ALL
ORDER BY day""",
    "Hours with the most missing data": """SELECT date_trunc('hour', started_at) AS hour, reason, count(*) AS gaps,
    sum(epoch(ended_at - started_at)) AS seconds
FROM gaps
GROUP BY ALL
ORDER BY seconds DESC""",
    "Anomalies people called false": """SELECT a.started_at, a.host, a.metric, a.severity, l.note
FROM anomalies a
JOIN labels l ON l.host = a.host AND l.started_at <= coalesce(a.ended_at, a.peak_at) AND l.ended_at >= a.started_at
WHERE l.verdict = 'false'
ORDER BY a.started_at DESC""",
}


def write(sql: str) -> None:
    """In a callback: put this into the editor, in place of what is there."""
    st.session_state[EDITOR] = sql


def insert(name: str) -> None:
    """In a callback: put a name at the end of what is in the editor."""
    before = st.session_state.get(EDITOR) or ""
    st.session_state[EDITOR] = f"{before}{'' if not before or before[-1].isspace() else ' '}{name}"


def editor() -> str:
    """The text of the query; the address of the page carries it. A link fills it in and does not run it."""
    st.html(f"<style>.st-key-{EDITOR} textarea {{font-family: ui-monospace, monospace; font-size: 0.9rem}}</style>")
    return (
        st.text_area(
            "Query",
            key=EDITOR,
            bind="query-params",
            height=190,
            placeholder="SELECT metric, count(*) FROM series GROUP BY ALL",
            help="One SELECT over a snapshot of what is stored, by DuckDB. Times are UTC; nothing can be changed. "
            "Tab takes the first word that is offered, arrows and Enter another; Ctrl+Space shows all.",
        )
        or ""
    )


def toolbar(found: Sequence[Table], past: Sequence[Query], app: App, actor: Actor) -> None:
    """Examples, tables and history; a click in any of them writes into the editor."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.popover("Examples", icon=":material/lightbulb:", key="sql_examples"):
            for number, (words, sql) in enumerate(EXAMPLES.items()):
                st.button(words, key=f"sql_example_{number}", on_click=write, args=(sql,), type="tertiary")
        with st.popover("Tables and columns", icon=":material/table:", key="sql_tables"):
            browser(found)
        if past:
            with st.popover("History", icon=":material/history:", key="sql_history"):
                history(past, app, actor)


def complete(found: Sequence[Table], app: App, actor: Actor) -> None:
    """Offer tables, columns, functions and stored names while somebody writes."""
    values = {
        "metric": cached.metrics(app, actor),
        "host": cached.all_hosts(app, actor),
        "source": cached.sources(app, actor).values(),
    }
    completion.offer(EDITOR, sql_words.words(found, values))


def browser(found: Sequence[Table]) -> None:
    """One table with its columns and what they mean; a click inserts the name."""
    names = [table.name for table in found]
    name = st.selectbox("Table", names, key="sql_table", persist_state="session")
    table = found[names.index(name) if name in names else 0]
    st.caption(plain(table.about))
    st.button(
        f"Insert {plain(table.name)}", key="sql_insert", icon=":material/add:", on_click=insert, args=(table.name,)
    )
    for number, column in enumerate(table.columns):
        st.button(
            f"**{plain(column.name)}** :gray[{plain(column.type.lower())}] {plain(column.about)}",
            key=f"sql_column_{table.name}_{number}",
            on_click=insert,
            args=(column.name,),
            type="tertiary",
        )


def history(past: Sequence[Query], app: App, actor: Actor) -> None:
    """What this user ran: click to have it again, pin to keep it."""
    now = app.clock()

    def change(what: Callable[[], None]) -> None:
        with refusal.shown():
            what()

    for query in past[:25]:
        query_id = query.id or 0
        with st.container(horizontal=True, vertical_alignment="center", key=f"sql_past_{query_id}"):
            st.button(
                plain(query.sql, 70),
                key=f"sql_again_{query_id}",
                on_click=write,
                args=(query.sql,),
                type="tertiary",
                width="stretch",
                help=f"{_outcome(query)}, {ago(query.ran_at, now, short=True)}. Click to have it in the editor.",
            )
            st.button(
                "Unpin" if query.pinned else "Pin",
                key=f"sql_pin_{query_id}",
                icon=":material/keep_off:" if query.pinned else ":material/keep:",
                on_click=change,
                args=(partial(app.querying.pin, actor, query_id, not query.pinned),),
                type="tertiary",
            )
            st.button(
                "Remove",
                key=f"sql_forget_{query_id}",
                icon=":material/delete:",
                on_click=change,
                args=(partial(app.querying.forget, actor, query_id),),
                type="tertiary",
            )


def _outcome(query: Query) -> str:
    words = f"{query.rows:,} rows" if query.outcome == "ok" else f"Ended with {query.outcome.replace('_', ' ')}"
    return f"{words} in {duration(query.seconds)}"


def follow(running: Running) -> None:
    """What a query is at, twice a second, with a way to end it; the page is drawn anew when it is over."""

    @st.fragment(run_every=0.5)
    def watch() -> None:
        if running.done:
            st.rerun(scope="app")
        with st.container(horizontal=True, vertical_alignment="center"):
            limit = f" of at most {running.limits.seconds:g} s" if running.stage == "Running" else ""
            st.markdown(f":material/hourglass_top: {running.stage}: {running.seconds:.0f} s{limit}")
            st.button("Cancel", icon=":material/stop:", key="sql_cancel", on_click=running.cancel)

    watch()


def error(problem: AppError, sql: str) -> None:
    """What is wrong, where in the text, and what to try."""
    if isinstance(problem, SqlCancelled):
        st.info(plain(problem.message), icon=":material/stop_circle:")
        return
    line, column = problem.values.get("line"), problem.values.get("column")
    place = f" Line {line}, column {column}." if line else ""
    hint = plain(problem.values.get("hint") or "", 600)
    st.error(f"{plain(problem.message, 600)}{place} {hint}".strip(), icon=":material/error:")
    refusal.caret(sql, line, column)


def shown(found: Result, app: App, actor: Actor) -> None:
    """Rows as chart, table and files."""
    rows = len(found.frame)
    more = f" There are more: the first {MAX_ROWS:,} rows, or fewer wide ones, are shown." if found.truncated else ""
    st.caption(
        f"{rows:,} {'row' if rows == 1 else 'rows'} in {duration(found.seconds)}.{more} "
        f"Snapshot as of {stamp(found.as_of, seconds=True)}."
    )
    if not rows:
        st.info("The query ran and found no rows. Widen what WHERE asks for.", icon=":material/search_off:")
        return
    units = sql_chart.units(found)
    sql_chart.draw(found, units)
    shown = found.frame
    for name in [column.name for column in found.columns if column.kind == "number"]:
        shown, units[name] = tables.scaled(shown, [name], units.get(name, ""))
    st.dataframe(
        shown,
        column_config={
            column.name: tables.moment(column.name)
            if column.kind == "time"
            else tables.number(column.name, units.get(column.name, ""), column.type)
            if column.kind == "number"
            else st.column_config.Column(help=column.type[:200])
            for column in found.columns
        },
        hide_index=True,
        key="sql_rows",
        alt=f"Result of the query: {rows:,} rows, columns {', '.join(c.name for c in found.columns)[:300]}",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        for kind, words, mime in (
            ("csv", "CSV", "text/csv"),
            ("parquet", "Parquet", "application/vnd.apache.parquet"),
        ):
            st.download_button(
                words,
                partial(app.querying.export, actor, found, kind),
                f"query.{kind}",
                mime,
                key=f"sql_export_{kind}",
                icon=":material/download:",
                on_click="ignore",
                help="The rows shown, times in UTC.",
            )
        st.caption("The address of this page carries the query: copy it to share.")


def ask(app: App, actor: Actor, sql: str) -> None:
    """Start a query for this tab; a refusal is told on the page."""
    with refusal.shown():
        state.query_asked(app.querying.begin(actor, sql))
