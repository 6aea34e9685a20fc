"""The catalogue as pickers need it, kept for a few seconds so that a rerun costs nothing.

Only what every reader may see is kept, never a failure (what raises is not cached), and each store has its own
entries. Rights are checked before the cache is asked.
"""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from lib.app import App
from lib.auth.actor import Actor, Permission
from lib.frames import Window
from lib.services.changes import Changed
from lib.services.exploration import Overview

# Long enough for a row of clicks, short enough that a metric collected for the first time shows within one interval.
TTL_S = 5
# A comparison takes a second or two, and of a time that is past it stays the same.
CHANGES_TTL_S = 120


def metrics(app: App, actor: Actor, source_id: int | None = None) -> dict[str, str]:
    """Metric -> what a picker says beside it: `12 series, counter`."""
    actor.require(Permission.VIEW)
    return _metrics(str(app.store.path), source_id, app, actor)


def sources(app: App, actor: Actor) -> dict[int, str]:
    """Id -> name of each source that has series."""
    actor.require(Permission.VIEW)
    return _sources(str(app.store.path), app, actor)


def hosts(app: App, actor: Actor, metric: str, source_id: int | None = None) -> list[str]:
    """Hosts that have this metric, sorted."""
    actor.require(Permission.VIEW)
    return _hosts(str(app.store.path), metric, source_id, app, actor)


def all_hosts(app: App, actor: Actor, source_id: int | None = None) -> list[str]:
    """Every host, sorted."""
    actor.require(Permission.VIEW)
    return _all_hosts(str(app.store.path), source_id, app, actor)


def label_values(
    app: App, actor: Actor, metric: str, source_id: int | None = None, host: str | None = None
) -> dict[str, list[str]]:
    """Label -> values, for labels that tell the metric's series apart."""
    actor.require(Permission.VIEW)
    return _label_values(str(app.store.path), metric, source_id, host, app, actor)


def overview(app: App, actor: Actor) -> Overview:
    """Numbers of what is stored."""
    actor.require(Permission.VIEW)
    return _overview(str(app.store.path), app, actor)


def changes(
    app: App, actor: Actor, window: Window, source_id: int | None, host: str | None, times: int, drawn: int
) -> Changed:
    """What changed, computed once for a window; one that ends now is that of the last whole minute."""
    actor.require(Permission.VIEW)
    return _changes(str(app.store.path), window.start, window.end, source_id, host, times, drawn, app, actor)


@st.cache_data(ttl=TTL_S, max_entries=32, show_spinner=False)
def _metrics(store: str, source_id: int | None, _app: App, _actor: Actor) -> dict[str, str]:
    table = _app.exploration.metrics(_actor, source_id)
    return {row.metric: f"{row.series:,} series, {row.kind}" for row in table.itertuples()}


@st.cache_data(ttl=TTL_S, max_entries=8, show_spinner=False)
def _sources(store: str, _app: App, _actor: Actor) -> dict[int, str]:
    names = {one.id: one.name for one in _app.collection.status(_actor)}
    return {source_id: names.get(source_id, f"Source {source_id}") for source_id in _app.exploration.source_ids(_actor)}


@st.cache_data(ttl=TTL_S, max_entries=128, show_spinner=False)
def _hosts(store: str, metric: str, source_id: int | None, _app: App, _actor: Actor) -> list[str]:
    return sorted({one.host for one in _app.exploration.find(_actor, metric, source_id=source_id) if one.host})


@st.cache_data(ttl=TTL_S, max_entries=32, show_spinner=False)
def _all_hosts(store: str, source_id: int | None, _app: App, _actor: Actor) -> list[str]:
    return sorted(set(_app.exploration.hosts(_actor, source_id)["host"]))


@st.cache_data(ttl=TTL_S, max_entries=128, show_spinner=False)
def _label_values(
    store: str, metric: str, source_id: int | None, host: str | None, _app: App, _actor: Actor
) -> dict[str, list[str]]:
    return _app.exploration.label_values(_actor, metric, source_id, host)


@st.cache_data(ttl=TTL_S, max_entries=8, show_spinner=False)
def _overview(store: str, _app: App, _actor: Actor) -> Overview:
    return _app.exploration.overview(_actor)


@st.cache_data(ttl=CHANGES_TTL_S, max_entries=4, show_spinner="Comparing every series with what was before …")
def _changes(
    store: str,
    start: datetime,
    end: datetime,
    source_id: int | None,
    host: str | None,
    times: int,
    drawn: int,
    _app: App,
    _actor: Actor,
) -> Changed:
    window = Window(start, end)
    return _app.changes.compare(_actor, window, source_id=source_id, host=host, times=times, drawn=drawn)
