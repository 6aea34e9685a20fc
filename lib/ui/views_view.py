"""Saved views on Explore: open, save, rename, overwrite, delete, and the link to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from lib.auth.actor import Actor, ActorKind, Permission
from lib.errors import AppError
from lib.services.views import MOST_DESCRIPTION, MOST_NAME, Saved
from lib.ui import cached, controls, promql_view, refusal, state
from lib.ui.text import plain, stamp

if TYPE_CHECKING:
    from lib.app import App

VIEW = "view"
# What the address of Explore carries, and a view keeps. Widgets drawn outside the fragment come first.
OUTSIDE = ("mode", "refresh")
KEYS = (
    *OUTSIDE,
    *("source", "metric", "host", "label", "range", "range_from", "range_to", "compare", "with", "split"),
    *("fn", "over", "q", "by", "ask", "promql"),
)
_MOMENTS = ("range_from", "range_to")
_LISTS = ("label", "with", "by")
_ONE_OF = {
    "mode": (promql_view.STORED, promql_view.MODE),
    "range": (*controls.SPANS, controls.CUSTOM),
    "refresh": tuple(controls.REFRESH),
}
_EMPTY: dict[str, Any] = {
    **dict.fromkeys(("source", "host", "compare", "split", "fn", "over")),
    **{"label": [], "with": [], "by": [], "q": 0.95, "range": "24h", "refresh": "off", "mode": promql_view.STORED},
}
_NOTHING = object()


def opened(app: App, actor: Actor) -> Saved | None:
    """The view of `?view=12`, its choices on the page's widgets the first time; call before they are drawn."""
    text = st.query_params.get(VIEW, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return None
    try:
        saved = app.views.get(actor, int(text))
    except AppError as error:
        st.warning(plain(error.message), icon=":material/bookmark_remove:")
        return None
    if state.opened_view() != saved.id:
        _restore(saved)
    return saved


def follow() -> None:
    """Keep the address true: what a link's view brought is written into it, so that a change of one choice leaves the
    others there. Call first in the fragment that draws the widgets."""
    inside = tuple(key for key in KEYS if key not in OUTSIDE)
    if state.opened_view() is not None:
        state.choose(state.choices(inside))


def gone(app: App, actor: Actor, saved: Saved) -> None:
    """Say what a view looks at and is not stored any more."""
    missing = _missing(app, actor, saved.choices)
    if missing:
        st.warning(
            f"The view “{plain(saved.name)}” looks at {plain(', '.join(missing), 300)}, of which nothing is stored any "
            "more. What is left of it is shown; choose anew and overwrite the view, or delete it.",
            icon=":material/bookmark_remove:",
        )


def menu(app: App, actor: Actor, saved: Saved | None) -> None:
    """The popover: what there is, what is open, and keeping what is on the page."""
    with st.popover(
        plain(saved.name, 30) if saved else "Views",
        icon=":material/bookmark:" if saved else ":material/bookmarks:",
        key="views",
        help="Keep what is on this page by name, and open what was kept.",
    ):
        try:
            every = app.views.all(actor)
        except AppError as error:
            st.error(plain(error.message))
            return
        _list(app, every, saved)
        if saved is not None:
            _one(app, actor, saved)
        if not actor.may(Permission.SAVE_VIEWS) or actor.kind is not ActorKind.USER:
            st.caption("Sign in to keep views of your own.")
            return
        _new(app, actor)


def _list(app: App, every: Sequence[Saved], saved: Saved | None) -> None:
    if not every:
        st.caption("No views yet. Choose metric, range and the rest, then save them below.")
        return
    names = {one.id: _words(one) for one in every}
    chosen = st.selectbox(
        "Open a view",
        list(names),
        index=None,
        format_func=lambda view_id: names.get(view_id, ""),
        key="views_choice",
        placeholder=f"{len(every):,} to choose from",
        filter_mode="contains",
    )
    one = next((view for view in every if view.id == chosen), None)
    if one is not None and (saved is None or one.id != saved.id):
        if one.description:
            st.caption(plain(one.description, 500))
        st.button("Open", key="views_open", icon=":material/open_in_new:", on_click=_open, args=(one,))


def _words(one: Saved) -> str:
    """What a list says of a view; a list shows text as it is."""
    if one.mine:
        return f"{one.name} (shared)" if one.shared else one.name
    return f"{one.name} (by {one.owner})"


def _one(app: App, actor: Actor, saved: Saved) -> None:
    """The open view: what it is, its link, and changing it for whoever may."""
    whose = "yours" if saved.mine else f"by {plain(saved.owner)}"
    st.markdown(f"**{plain(saved.name)}** :gray[{whose}, {'shared' if saved.shared else 'private'}]")
    if saved.description:
        st.caption(plain(saved.description, 500))
    st.caption(f"Saved {stamp(saved.changed_at)}. {'Anybody here' if saved.shared else 'Only you'} can open this link:")
    st.code(f"{app.settings.public_url.rstrip('/')}/explore?{VIEW}={saved.id}", language=None, wrap_lines=True)
    with st.container(horizontal=True):
        st.button("Open again", key="views_again", icon=":material/restart_alt:", on_click=_open, args=(saved,))
        if not saved.changeable:
            return
        st.button(
            "Overwrite",
            key="views_overwrite",
            icon=":material/save:",
            on_click=_does,
            args=(lambda: _open(app.views.change(actor, saved.id, choices=_current())), "Overwritten"),
            help="Keep what is on the page now under this name.",
        )
        st.button(
            "Delete",
            key="views_delete",
            icon=":material/delete:",
            on_click=_does,
            args=(lambda: _delete(app, actor, saved), "Deleted"),
            help="For everybody; cannot be undone." if saved.shared else "Cannot be undone.",
        )
    with st.form(f"views_change_{saved.id}", border=True):
        name = st.text_input("Name", saved.name, max_chars=MOST_NAME, key=f"views_name_{saved.id}")
        words = st.text_input(
            "Description", saved.description, max_chars=MOST_DESCRIPTION, key=f"views_words_{saved.id}"
        )
        shared = st.checkbox("Share with everybody", saved.shared, key=f"views_shared_{saved.id}")
        if st.form_submit_button("Change", icon=":material/edit:", key="views_change"):
            with refusal.shown():
                app.views.change(actor, saved.id, name=name, description=words, shared=shared)
                st.rerun()


def _new(app: App, actor: Actor) -> None:
    with st.form("views_new", border=True, clear_on_submit=False):
        st.markdown("**Save what is on the page**")
        name = st.text_input("Name", max_chars=MOST_NAME, key="views_new_name", placeholder="Evening load of the web")
        words = st.text_input("Description", max_chars=MOST_DESCRIPTION, key="views_new_words")
        shared = st.checkbox("Share with everybody", key="views_new_shared")
        if st.form_submit_button("Save", icon=":material/bookmark_add:", key="views_save"):
            with refusal.shown():
                saved = app.views.save(actor, name, _current(), words, shared)
                state.view_opened(saved.id)
                st.query_params[VIEW] = str(saved.id)
                st.toast(f"Saved “{plain(saved.name)}”", icon=":material/bookmark_added:")
                st.rerun()


def _does(what: Callable[[], object], word: str) -> None:
    with refusal.shown():
        what()
        st.toast(word, icon=":material/bookmark:")


def _delete(app: App, actor: Actor, saved: Saved) -> None:
    app.views.remove(actor, saved.id)
    st.query_params.pop(VIEW, None)
    state.view_opened(None)


def _open(saved: Saved) -> None:
    st.query_params[VIEW] = str(saved.id)
    _restore(saved)


def _current() -> dict[str, Any]:
    """Every choice on the page as a view keeps it."""
    found = state.choices(KEYS)
    return {key: f"{value:%Y-%m-%dT%H:%M}" if isinstance(value, datetime) else value for key, value in found.items()}


def _restore(saved: Saved) -> None:
    """Every choice of the view, and nothing left of what was chosen before."""
    state.view_opened(saved.id)
    known = {key: _widget_value(key, value) for key, value in saved.choices.items() if key in KEYS}
    known = {key: value for key, value in known.items() if value is not _NOTHING}
    # What a widget held before comes back from the address unless it is told otherwise.
    state.choose({**_EMPTY, **known}, forget=[key for key in KEYS if key not in known and key not in _EMPTY])


def _widget_value(key: str, value: Any) -> Any:
    """What a widget of this key takes; _NOTHING for what it does not."""
    if key in _LISTS:
        return value if isinstance(value, list) else _NOTHING
    if key == "q":
        return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else _NOTHING
    if key in _ONE_OF:
        return value if value in _ONE_OF[key] else _NOTHING
    if key in _MOMENTS and isinstance(value, str):
        try:
            return datetime.fromisoformat(value).replace(tzinfo=None)
        except ValueError:
            return _NOTHING
    return value if value is None or isinstance(value, str) else _NOTHING


def _missing(app: App, actor: Actor, choices: Mapping[str, Any]) -> list[str]:
    """What the choices name and the catalogue does not have."""
    if choices.get("mode") == promql_view.MODE:
        name = choices.get("ask")
        known = {one.name for one in app.promql.sources(actor)}
        return [f"the source {name}"] if name and name not in known else []
    sources = {name: source_id for source_id, name in cached.sources(app, actor).items()}
    source, metric, host = (str(choices.get(key) or "") for key in ("source", "metric", "host"))
    if source and source not in sources:
        return [f"the source {source}"]
    source_id = sources.get(source)
    metrics = cached.metrics(app, actor, source_id)
    if metric and metric not in metrics:
        return [f"the metric {metric}"]
    missing = [f"the metric {name}" for name in choices.get("with") or [] if name not in metrics]
    if not metric:
        return missing
    if host and host not in cached.hosts(app, actor, metric, source_id):
        missing.append(f"the host {host}")
    series = app.exploration.find(actor, metric, source_id=source_id)
    there = {f"{name}={value}" for one in series for name, value in one.labels.items()}
    return missing + [f"the label {pair}" for pair in choices.get("label") or [] if pair not in there]
