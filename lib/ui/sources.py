"""The Sources page's pieces: how a source looks, the form it is entered in, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lib.app import App
from lib.auth.actor import Actor
from lib.db.tables import SourceKind, TaskStatus
from lib.errors import AppError, Invalid
from lib.frames import Window, from_ms
from lib.services.collection_sources import REMOTE, Auth, SourceDraft
from lib.services.collection_status import SourceState, SourceStatus
from lib.ui import links, tables
from lib.ui.text import ago, duration, plain, stamp

if TYPE_CHECKING:
    from lib.prometheus.probe import Found, Probe

# Never colour alone: each state has its own sign.
SIGNS = {
    SourceState.OK: "✓",
    SourceState.WAITING: "◷",
    SourceState.LATE: "▲",
    SourceState.FILLING: "↻",
    SourceState.FAILING: "✕",
    SourceState.OFF: "⊘",
}
KINDS = {
    SourceKind.PROMETHEUS: "Prometheus",
    SourceKind.SCRAPE: "Metrics page",
    SourceKind.DEMO: "Demo history",
    SourceKind.MACHINE: "This machine",
    SourceKind.IMPORT: "Imported files",
}
AUTHS = {Auth.NONE: "None", Auth.BASIC: "User and password", Auth.BEARER: "Bearer token"}
_EDIT = {"Edit": ":material/edit:"}
# What an operator may do with a source, by its kind.
MANAGED = {
    SourceKind.PROMETHEUS: {
        "Choose metrics": ":material/search:",
        "PromQL": ":material/function:",
        "Backfill": ":material/history:",
        **_EDIT,
    },
    SourceKind.SCRAPE: _EDIT,
}
_MOST_FOUND = 500
_SPANS = {"1 day": 1, "7 days": 7, "30 days": 30, "90 days": 90}


@contextmanager
def told() -> Iterator[None]:
    """What a service refuses, shown where it was asked for; servers' words in it do nothing."""
    try:
        yield
    except AppError as error:
        st.error(plain(error.message, 800), icon=":material/error:")


def table(statuses: Sequence[SourceStatus]) -> None:
    """One row a source."""
    frame = pd.DataFrame(
        {
            "state": [f"{SIGNS[s.state]} {s.state.capitalize()}" for s in statuses],
            "name": [s.name for s in statuses],
            "kind": [KINDS[s.kind] for s in statuses],
            "lag": ["–" if s.lag_s is None or not s.enabled else duration(s.lag_s) for s in statuses],
            "series": [s.series for s in statuses],
            "gaps": [s.open_gaps for s in statuses],
            "error": [s.last_error for s in statuses],
            "success": pd.Series([s.last_success for s in statuses], dtype="datetime64[ms, UTC]"),
            "interval": [s.interval_s for s in statuses],
        }
    )
    st.dataframe(
        frame,
        column_config={
            "state": st.column_config.TextColumn("State", width=100),
            "name": st.column_config.TextColumn("Source", width="medium"),
            "kind": st.column_config.TextColumn("Kind", width=110),
            "lag": st.column_config.TextColumn("Behind", width=80, help="Now less what is collected and stored."),
            "series": st.column_config.NumberColumn("Series", format="localized"),
            "gaps": st.column_config.NumberColumn("Open gaps", help="Spans that were missed and are not filled yet."),
            "error": st.column_config.TextColumn("Last error", width="large"),
            "success": tables.moment("Last success"),
            "interval": tables.number("Every", "s"),
        },
        hide_index=True,
        height="auto",
        key="sources_table",
        alt="Sources with state, lag, series, open gaps and last error",
    )


def _fresh(app: App, actor: Actor, status: SourceStatus) -> SourceStatus:
    """How the source stands now; as it stood once it is gone."""
    return next((one for one in app.collection.status(actor) if one.id == status.id), status)


def facts(app: App, actor: Actor, status: SourceStatus) -> None:
    """What a source is and how it stands, in a line, and its last error. Drawn again by itself."""
    status = _fresh(app, actor, status)
    said = [KINDS[status.kind], f"{status.series:,} series"]
    if status.kind != SourceKind.IMPORT:
        said += [f"every {status.interval_s:g} s", f"last success {ago(status.last_success, app.clock())}"]
    st.caption(" · ".join([plain(status.url), *said] if status.url else said))
    if status.last_error:
        show = st.error if status.state == "failing" else st.warning
        show(plain(status.last_error, 800), icon=":material/error:")


def targets(app: App, actor: Actor, status: SourceStatus) -> None:
    """What is collected from a source, one row a target. Drawn again by itself."""
    status = _fresh(app, actor, status)
    if status.kind is SourceKind.IMPORT:
        st.info(f"Its {status.series:,} series came from files; nothing is collected.", icon=":material/upload_file:")
        links.to("pages/operate/imports.py", "Import another file", icon=":material/upload_file:")
        return
    if not status.targets:
        st.info("Nothing is collected from this source yet. Choose metrics to begin.", icon=":material/checklist:")
        return
    frame = pd.DataFrame(
        {
            "target": [t.name for t in status.targets],
            "expression": [t.expression for t in status.targets],
            "series": [t.series for t in status.targets],
            "lag": ["–" if t.lag_s is None else duration(t.lag_s) for t in status.targets],
            "gaps": [t.open_gaps for t in status.targets],
            "error": [t.last_error for t in status.targets],
            "success": pd.Series([t.last_success for t in status.targets], dtype="datetime64[ms, UTC]"),
            "cap": [t.max_series for t in status.targets],
        }
    )
    shown = [c for c in frame.columns if c != "expression" or frame["expression"].any()]
    st.dataframe(
        frame[shown],
        column_config={
            "target": st.column_config.TextColumn("Collected as", width="medium"),
            "expression": st.column_config.TextColumn("PromQL", width="medium"),
            "series": st.column_config.NumberColumn("Series", format="localized"),
            "lag": st.column_config.TextColumn("Behind", width=80),
            "gaps": st.column_config.NumberColumn("Open gaps"),
            "error": st.column_config.TextColumn(
                "Last message", width="large", help="An error, or what the server warned of."
            ),
            "success": tables.moment("Last success"),
            "cap": st.column_config.NumberColumn("Most series", format="localized", help="Above this it is refused."),
        },
        hide_index=True,
        key=f"targets_{status.id}",
        alt=f"What is collected from {status.name}",
    )


def gaps(app: App, actor: Actor, status: SourceStatus) -> None:
    """Spans that were missed, and when they were filled."""
    found = app.collection.gaps(actor, status.id)
    if found.empty:
        st.info("Nothing was missed so far.", icon=":material/check_circle:")
        return
    st.dataframe(
        found,
        column_config={
            "target": st.column_config.TextColumn("Collected as", width="medium"),
            "start": tables.moment("From"),
            "end": tables.moment("To"),
            "reason": st.column_config.TextColumn("Why", width="large"),
            "filled_at": tables.moment("Filled", help="Empty: still open; it is asked again when the source is up."),
        },
        hide_index=True,
        key=f"gaps_{status.id}",
        alt=f"Gaps of {status.name}, newest first",
    )


def form(draft: SourceDraft, key: str, *, editing: bool) -> SourceDraft:
    """A source as it is typed in. Returned as it stands, checked by the service."""
    kind = draft.kind
    if not editing:
        kind = st.segmented_control(
            "Kind", list(REMOTE), default=draft.kind, required=True, format_func=lambda one: KINDS[one],
            key=f"{key}_kind", help="A server with history, or one exporter's page, asked directly.",
        ) or draft.kind  # fmt: skip
    page = kind == SourceKind.SCRAPE
    name = st.text_input("Name", draft.name, key=f"{key}_name", max_chars=64)
    url = st.text_input(
        "URL",
        draft.url,
        key=f"{key}_url",
        placeholder="http://host.example:9100/metrics" if page else "http://prometheus.example:9090",
        help="The page itself, in Prometheus' text format or OpenMetrics."
        if page
        else "The part before /api/v1. Prometheus, VictoriaMetrics, Thanos, Mimir and others that speak its API.",
    )
    auth = st.segmented_control(
        "Authentication",
        list(Auth),
        default=draft.auth,
        required=True,
        format_func=lambda one: AUTHS[one],
        key=f"{key}_auth",
    )
    username, secret = draft.username, None
    kept = "unchanged" if editing and draft.auth is auth and auth is not Auth.NONE else None
    if auth is Auth.BASIC:
        username = st.text_input("User", draft.username, key=f"{key}_user", autocomplete="off")
    if auth is not Auth.NONE:
        label = "Password" if auth is Auth.BASIC else "Token"
        typed = st.text_input(
            label, type="password", key=f"{key}_secret", placeholder=kept, autocomplete="new-password",
            help="Stored encrypted, never shown again, and only ever sent to this server.",
        )  # fmt: skip
        secret = typed if typed or not kept else None
    interval_s = st.number_input(
        "Collect every (s)", 1, 3600, int(draft.interval_s), key=f"{key}_interval", help="As often as it scrapes."
    )
    with st.expander("Tenant and TLS", icon=":material/tune:", key=f"{key}_more"):
        tenant = st.text_input(
            "Tenant", draft.tenant, key=f"{key}_tenant", help="Mimir, Loki and Thanos tell teams apart by it."
        )
        header = st.text_input("Tenant header", draft.tenant_header, key=f"{key}_header")
        ca_file = st.text_input(
            "CA file", draft.ca_file, key=f"{key}_ca", help="Path of a PEM file on the app's machine."
        )
        verify = st.toggle("Verify the certificate", draft.verify_tls, key=f"{key}_verify")
        if not verify:
            st.warning("Anybody on the way could pose as this server and read its secret.", icon=":material/gpp_maybe:")
    return SourceDraft(
        name=name,
        url=url,
        kind=kind,
        auth=auth or Auth.NONE,
        username=username,
        secret=secret,
        tenant_header=header,
        tenant=tenant,
        ca_file=ca_file,
        verify_tls=verify,
        interval_s=float(interval_s),
    )


def tested(found: Probe, now: datetime) -> None:
    """What Test found."""
    st.success(f"Reachable in {found.latency_ms:.0f} ms.", icon=":material/check_circle:")
    with st.container(horizontal=True):
        if not found.page:
            st.metric("Version", found.version or "unknown")
        st.metric("Metrics", "unknown" if found.metrics is None else f"{found.metrics:,}")
        st.metric("Series", "unknown" if found.series is None else f"{found.series:,}")
        if not found.page:
            st.metric("Oldest sample", ago(found.oldest, now) if found.oldest else "unknown", help=stamp(found.oldest))
    if found.page:
        way = "A page has no history: it is collected from now on."
    elif found.remote_read:
        way = "History is fetched by remote read."
    else:
        way = "History is fetched by queries: the server does not offer remote read."
    for note in (way, *found.notes):
        st.caption(plain(note))


def enter(app: App, actor: Actor, draft: SourceDraft, key: str, source_id: int | None, saved: Callable) -> None:
    """The form with its two buttons: Test asks the server and keeps nothing, Save keeps."""
    entered = form(draft, key, editing=source_id is not None)
    with st.container(horizontal=True):
        test = st.button("Test", key=f"{key}_test", icon=":material/network_check:")
        save = st.button("Save", key=f"{key}_save", icon=":material/save:", type="primary")
    with told():
        if test:
            with st.spinner("Asking the server"):
                found = app.collection.test(actor, entered, source_id)
            tested(found, app.clock())
        if save:
            saved(entered)


def choose_metrics(app: App, actor: Actor, status: SourceStatus) -> None:
    """Search the server's metrics, see how many series each has, take some."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Metrics", key=f"find_{status.id}", placeholder="cpu", help="Empty: all of them.")
        way = st.segmented_control(
            "Match", ["part of the name", "regular expression"], default="part of the name", required=True,
            key=f"way_{status.id}", help="A regular expression matches the whole name, as in PromQL: node_.*_total",
        )  # fmt: skip
    found = _found(str(app.store.path), status.id, status.url, text, way == "regular expression", app, actor)
    taken = {t.name for t in status.targets}
    counts = {name: count for name, count in found.metrics if name not in taken}
    if not counts:
        st.info("No metric of this server matches that is not collected already.", icon=":material/search_off:")
        return
    more = f" The first {len(found.metrics):,} are shown." if found.total > len(found.metrics) else ""
    st.caption(f"{found.total:,} metrics match, {len(counts):,} of them not collected yet.{more}")
    everything = st.checkbox("Choose all that are shown", key=f"all_{status.id}")
    chosen = list(counts) if everything else st.multiselect(
        "Metrics to collect", list(counts), key=f"chosen_{status.id}", filter_mode="contains",
        format_func=lambda name: f"{name} · {counts.get(name, 0):,} series",
    )  # fmt: skip
    if everything:
        shown = pd.DataFrame({"metric": list(counts), "series": list(counts.values())})
        st.dataframe(shown, hide_index=True, height="auto", key=f"found_{status.id}", alt="Metrics and their series")
    cap = st.number_input(
        "Most series of one metric", 0, 1_000_000, 0, key=f"cap_{status.id}", help="0: as set for the app."
    )
    st.markdown(f"**{len(chosen):,}** chosen, **{sum(counts[name] for name in chosen):,}** series now")
    if st.button("Collect these", key=f"take_{status.id}", type="primary", icon=":material/add:", disabled=not chosen):
        app.collection.add_metrics(actor, status.id, chosen, int(cap))
        st.rerun()


def add_expression(app: App, actor: Actor, status: SourceStatus) -> None:
    """A PromQL expression, counted before it is kept under a name."""
    name = st.text_input("Name to store it under", key=f"expr_name_{status.id}", placeholder="job:requests:rate5m")
    expression = st.text_area(
        "PromQL", key=f"expr_{status.id}", placeholder="sum by (job) (rate(http_requests_total[5m]))",
        help=f"Evaluated every {status.interval_s:g} s of the span; a metric by itself is better chosen as one.",
    )  # fmt: skip
    with st.container(horizontal=True):
        count = st.button("Count series", key=f"expr_count_{status.id}", icon=":material/tag:")
        keep = st.button("Collect this", key=f"expr_take_{status.id}", type="primary", icon=":material/add:")
    if count:
        st.success(
            f"{app.collection.count_expression(actor, status.id, expression):,} series now.", icon=":material/tag:"
        )
    if keep:
        app.collection.add_expression(actor, status.id, name.strip(), expression)
        st.rerun()


def backfill(app: App, actor: Actor, status: SourceStatus) -> None:
    """Fetch a span of the past, and how that goes."""
    now = app.clock()
    span = st.segmented_control("Span", [*_SPANS, "other"], default="7 days", required=True, key=f"span_{status.id}")
    start, end = now - timedelta(days=_SPANS.get(str(span), 7)), now
    if span == "other":
        with st.container(horizontal=True):
            first = st.datetime_input("From (UTC)", start.replace(tzinfo=None), key=f"from_{status.id}")
            last = st.datetime_input("To (UTC)", end.replace(tzinfo=None), key=f"to_{status.id}")
        if not first or not last or first >= last:
            raise Invalid("Choose a start that lies before the end.")
        start, end = first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)
    if st.button("Fetch history", key=f"fill_{status.id}", type="primary", icon=":material/history:"):
        app.collection.backfill(actor, status.id, Window(start, end))
    st.fragment(_progress, run_every=1.0)(app, actor, status.id)


def _progress(app: App, actor: Actor, source_id: int) -> None:
    for number, task in enumerate(app.collection.backfills(actor, source_id)):
        if task.status in (TaskStatus.PENDING, TaskStatus.RUNNING):
            st.progress(task.progress, plain(task.message) or "Waiting for its turn")
        elif task.status == TaskStatus.SUCCEEDED:
            fetched, rate = task.result.get("samples", 0), task.result.get("samples_per_s", 0)
            st.success(f"{plain(task.title)}: {fetched:,} samples, {rate:,} a second.", icon=":material/check:")
            for name, why in task.result.get("skipped", {}).items():
                st.warning(f"{plain(name)} was left out. {plain(why)}", icon=":material/warning:")
        else:
            st.warning(f"{plain(task.title)}: {task.status}. {plain(task.error)}", icon=":material/warning:")
            if number == 0 and st.button(
                "Go on",
                key=f"go_on_{task.id}",
                icon=":material/resume:",
                help="Fetch the rest of this span: what is stored is not fetched again.",
            ):
                with told():
                    window = Window(from_ms(task.params["start_ms"]), from_ms(task.params["end_ms"]))
                    app.collection.backfill(actor, source_id, window, task.params["targets"])
                    st.rerun(scope="app")
    links.to("pages/operate/tasks.py", "All tasks", icon=":material/task:")


def stop_collecting(app: App, actor: Actor, status: SourceStatus) -> None:
    """Take targets off the list; what was collected stays."""
    ids = {t.name: t.id for t in status.targets}
    chosen = st.multiselect("Stop collecting", list(ids), key=f"drop_{status.id}", filter_mode="contains")
    if st.button("Stop collecting these", key=f"dropped_{status.id}", icon=":material/remove:", disabled=not chosen):
        for name in chosen:
            app.collection.remove_target(actor, ids[name])
        st.rerun()


def remove(app: App, actor: Actor, status: SourceStatus) -> None:
    """Asked twice, since everything collected goes too."""
    with st.popover("Remove", icon=":material/delete:", key=f"ask_remove_{status.id}"):
        st.markdown(f"Remove **{plain(status.name)}** with all its samples, gaps, anomalies and detectors?")
        if st.button("Remove it all", key=f"remove_{status.id}", type="primary", icon=":material/delete_forever:"):
            with told():
                app.collection.remove(actor, status.id)
                st.rerun()


@st.cache_data(ttl=20, max_entries=32, show_spinner="Asking the server")
def _found(store: str, source_id: int, url: str, text: str, regex: bool, _app: App, _actor: Actor) -> Found:
    """Kept while one clicks through the list. Drawn for managers only, and the service checks."""
    return _app.collection.search_metrics(_actor, source_id, text, regex, _MOST_FOUND)
