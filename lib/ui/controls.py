"""Pickers shared by pages. Each choice lives in the URL, so that a link restores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import streamlit as st

from lib.frames import Series, Window
from lib.profiling.titles import short_titles
from lib.ui.text import plain

# What a relative range means. The names are what the URL carries.
SPANS: dict[str, timedelta] = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
CUSTOM = "custom"
REFRESH: dict[str, float | None] = {"off": None, "5s": 5, "15s": 15, "1m": 60, "5m": 300}
# A list longer than this makes a picker slow to open and nobody scrolls it; the rest is reached by typing elsewhere.
MOST_OPTIONS = 2000


def window_picker(now: datetime, *, key: str = "range", default: str = "24h") -> Window:
    """The span of time a page shows: the last so long, or from one UTC minute to another.

    URL: `?range=6h`, or `?range=custom&range_from=2026-03-14T10:00&range_to=2026-03-14T12:00`.
    """
    start_key, end_key = f"{key}_from", f"{key}_to"

    def begin_custom() -> None:
        # Changing to "custom" starts from what was on screen instead of from nothing.
        if st.session_state[key] == CUSTOM and st.session_state.get(start_key) is None:
            span = SPANS[st.session_state.get(f"_{key}_last", default)]
            minute = now.replace(second=0, microsecond=0, tzinfo=None)
            st.session_state[start_key] = minute - span
            st.session_state[end_key] = minute

    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", width="content"):
        chosen = st.segmented_control(
            "Range",
            [*SPANS, CUSTOM],
            default=default,
            required=True,
            key=key,
            bind="query-params",
            on_change=begin_custom,
            help="The time on screen, up to now, or between two moments (UTC).",
        )
        if chosen in SPANS:
            st.session_state[f"_{key}_last"] = chosen
            return Window.last(SPANS[chosen], now)
        if chosen != CUSTOM:
            return Window.last(SPANS[default], now)
        _into_address(start_key, end_key)
        start = st.datetime_input("From (UTC)", None, key=start_key, bind="query-params", step=60, width=210)
        end = st.datetime_input("To (UTC)", None, key=end_key, bind="query-params", step=60, width=210)
    return _custom(start, end, now, SPANS[default])


def focus(host: str, start: datetime, end: datetime, *, key: str = "range", host_key: str = "host") -> None:
    """In a callback: set the pickers to one host and one span, as a click on a picture of them means it."""
    st.session_state[host_key] = host or None
    zoom(Window(start, end), key=key)


def _into_address(*keys: str) -> None:
    """What code set before these inputs are drawn for the first time: Streamlit writes only later changes."""
    for key in keys:
        moment = st.session_state.get(key)
        if moment is not None and key not in st.query_params:
            st.query_params[key] = f"{moment:%Y-%m-%dT%H:%M}"


def revision(*, key: str = "range") -> str:
    """What names the span chosen: while it stays, a reader's zoom in a chart survives new data."""
    return "|".join(str(st.session_state.get(name) or "") for name in (key, f"{key}_from", f"{key}_to"))


def zoom(window: Window, *, key: str = "range") -> None:
    """In a callback: look at exactly this span, in whole minutes."""
    st.session_state[key] = CUSTOM
    start = window.start.astimezone(UTC).replace(second=0, microsecond=0, tzinfo=None)
    end = (window.end.astimezone(UTC) + timedelta(seconds=59)).replace(second=0, microsecond=0, tzinfo=None)
    st.session_state[f"{key}_from"], st.session_state[f"{key}_to"] = start, max(end, start + timedelta(minutes=1))


def unfocus(default: str, *, key: str = "range", host_key: str = "host") -> None:
    """In a callback: back to every host and the usual span."""
    st.session_state[host_key] = None
    st.session_state[key] = default


def _custom(start: datetime | None, end: datetime | None, now: datetime, span: timedelta) -> Window:
    """Half-filled, turned round or empty: the span the reader most likely meant."""
    last = end.replace(tzinfo=UTC) if end else now
    first = start.replace(tzinfo=UTC) if start else last - span
    if last < first:
        first, last = last, first
    return Window(first, max(last, first + timedelta(minutes=1)))


def refresh_picker(*, key: str = "refresh", default: str = "off") -> float | None:
    """Seconds between automatic redraws, for `st.fragment(run_every=…)`; None for never."""
    chosen = st.selectbox(
        "Refresh",
        list(REFRESH),
        index=list(REFRESH).index(default),
        key=key,
        bind="query-params",
        width=110,
        help="Draw again every so often while this page is open.",
    )
    return REFRESH.get(chosen)


def source_picker(names: Mapping[int, str], *, key: str = "source") -> int | None:
    """One source, or None for all of them. Draws nothing while there is only one."""
    if len(names) < 2:
        return next(iter(names), None)
    ids = {name: source_id for source_id, name in names.items()}
    chosen = st.selectbox(
        "Source", list(ids), index=None, key=key, bind="query-params", placeholder="All sources", filter_mode="contains"
    )
    return ids.get(chosen) if chosen is not None else None


def metric_picker(metrics: Mapping[str, str], *, key: str = "metric", default: str | None = None) -> str | None:
    """One metric of those stored. metrics: name -> what is said beside it ("12 series, counter")."""
    names = list(metrics)
    asked = st.query_params.get(key, "")
    if asked and names and asked not in metrics and key not in st.session_state:
        # A link may be older than the data; the picker alone would quietly show another metric.
        words = f"No metric {plain(asked, 80)} is stored. Another one is shown."
        st.toast(words, icon=":material/search_off:", duration="long")
    return st.selectbox(
        "Metric",
        names,
        index=names.index(default) if default is not None and default in metrics else (0 if names else None),
        key=key,
        bind="query-params",
        filter_mode="contains",
        placeholder="No metrics stored yet",
        help="Type any part of the name.",
    )


def host_picker(hosts: Sequence[str], *, key: str = "host", label: str = "Host") -> str | None:
    """One host, or None for all."""
    named = [host for host in hosts if host][:MOST_OPTIONS]
    return st.selectbox(
        label,
        named,
        index=None,
        key=key,
        bind="query-params",
        placeholder="All hosts",
        filter_mode="contains",
        disabled=not named,
    )


def label_picker(values: Mapping[str, Sequence[str]], *, key: str = "label") -> dict[str, list[str]]:
    """Label values to narrow by: label -> any of these. Chosen from `name=value` pairs, as the URL carries them."""
    pairs = [f"{name}={value}" for name, options in values.items() for value in options]
    chosen = st.multiselect(
        "Labels",
        pairs[:MOST_OPTIONS],
        key=key,
        bind="query-params",
        placeholder="Any labels",
        filter_mode="contains",
        disabled=not pairs,
        help=f"The first {MOST_OPTIONS:,} of {len(pairs):,} pairs." if len(pairs) > MOST_OPTIONS else None,
    )
    wanted: dict[str, list[str]] = {}
    for pair in chosen:
        name, value = pair.split("=", 1)
        wanted.setdefault(name, []).append(value)
    return wanted


def series_picker(series: Sequence[Series], *, key: str = "series") -> int | None:
    """One of these series, or None for all of them together."""
    ids = {title: series_id for series_id, title in list(short_titles(series).items())[:MOST_OPTIONS]}
    chosen = st.selectbox(
        "Series",
        list(ids),
        index=None,
        key=key,
        bind="query-params",
        placeholder=f"All {len(series):,} together" if len(series) > 1 else "The only one",
        filter_mode="contains",
    )
    return ids.get(chosen) if chosen is not None else None
