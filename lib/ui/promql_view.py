"""PromQL through to a live source: the editor, and what its server answered."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.errors import AppError
from lib.frames import Window
from lib.services.evaluation import statistics
from lib.services.exploration import MAX_CHART_SERIES
from lib.services.promql import LONGEST, Answer
from lib.ui import (
    cached,
    charts,
    completion,
    controls,
    explore_view,
    links,
    promql_words,
    refusal,
    series_charts,
    state,
)
from lib.ui.text import duration, plain, stamp

if TYPE_CHECKING:
    from lib.app import App

STORED, MODE = "Stored", "PromQL"
EDITOR = "promql"


def mode_picker() -> bool:
    """Whether a live source is to be asked. URL: `?mode=PromQL`."""
    chosen = st.segmented_control(
        "Look at",
        [STORED, MODE],
        default=STORED,
        required=True,
        key="mode",
        bind="query-params",
        label_visibility="collapsed",
        help="What is stored here, or what a Prometheus source answers now.",
    )
    return chosen == MODE


def draw(app: App, actor: Actor) -> None:
    """Range, source, expression and answer. A link or a saved view fills the editor in; nothing is asked before Run."""
    if not actor.may(Permission.ASK_SOURCES):
        st.info(
            "Asking a source in PromQL takes the role analyst. What is stored can be looked at.", icon=":material/lock:"
        )
        return
    source_id, expression, window = _editor(app, actor)
    if source_id is None:
        return
    pressed = st.button(
        "Run",
        type="primary",
        icon=":material/play_arrow:",
        key="promql_run",
        shortcut="Ctrl+Enter",
        disabled=not expression.strip(),
    )
    if pressed:
        state.promql_asked(source_id, expression)
    if state.promql() != (source_id, expression):
        st.caption("Asked of the server itself when you press Run; nothing of the answer is stored.")
        return
    try:
        answer = app.promql.ask(actor, source_id, expression, window)
    except AppError as error:
        line, column = error.values.get("line"), error.values.get("column")
        place = f" (line {line}, column {column})" if line else ""
        st.error(f"{plain(error.message, 600)}{place}", icon=":material/error:")
        refusal.caret(expression, line, column)
        return
    _answer(app, actor, answer)


def _editor(app: App, actor: Actor) -> tuple[int | None, str, Window]:
    """The source that can be asked, the text and the time; None when there is no such source."""
    every = app.promql.sources(actor)
    askable = {one.name: one.id for one in every if not one.why_not}
    if not askable:
        st.info(
            "No source here has a server that answers PromQL. Connect a Prometheus; what is stored can be looked at.",
            title="Nothing to ask",
            icon=":material/cloud_off:",
        )
    for one in every if not askable else ():
        st.caption(f"{plain(one.name)} cannot be asked: {plain(one.why_not)}.")
    if not askable:
        links.to("pages/operate/sources.py", "Open sources", icon=":material/add_link:")
        return None, "", Window.last(timedelta(hours=1), app.clock())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        window = controls.window_picker(app.clock())
        explore_view.wider_button(app, window)
        name = st.selectbox(
            "Ask",
            list(askable),
            key="ask",
            bind="query-params",
            filter_mode="contains",
            help="; ".join(f"{one.name} cannot: {one.why_not}" for one in every if one.why_not)[:500] or None,
        )
    st.html(f"<style>.st-key-{EDITOR} textarea {{font-family: ui-monospace, monospace; font-size: 0.9rem}}</style>")
    expression = st.text_area(
        "Expression",
        key=EDITOR,
        bind="query-params",
        height=100,
        max_chars=LONGEST,
        placeholder='sum by (instance) (rate(node_cpu_seconds_total{mode!="idle"}[5m]))',
        help="Tab takes the first word that is offered, arrows and Enter another; Ctrl+Space shows all.",
    )
    metrics = cached.metrics(app, actor, askable.get(name or "")) or cached.metrics(app, actor)
    completion.offer(EDITOR, promql_words.words(metrics.items()), quote='"', escape='\\"')
    return askable.get(name or ""), expression or "", window


def _answer(app: App, actor: Actor, answer: Answer) -> None:
    data = answer.data
    for warning in answer.warnings[:3]:
        st.warning(f"The server says: {plain(warning)}", icon=":material/warning:")
    if answer.series > MAX_CHART_SERIES:
        st.info(f"Showing {MAX_CHART_SERIES} of {answer.series:,} series; topk(10, …) takes the largest.")
    silent = min(answer.series, MAX_CHART_SERIES) - len(data.lines)
    said = (
        f"{plain(answer.source)} answered in {duration(answer.seconds)}, a value each {duration(data.step_s)}. "
        f"{f'{silent} series without a number. ' if silent else ''}Not stored. As of {stamp(data.as_of, seconds=True)}."
    )
    if not data.lines:
        why = "only values that are no numbers" if data.non_finite else "no series"
        st.info(f"The answer holds {why} in this range.", icon=":material/search_off:")
        st.caption(said)
        return
    figure = series_charts.lines(data, title=answer.expression, marks=[], revision=controls.revision())
    charts.show(figure, key="promql_chart", brush=explore_view.brush(data.window))
    st.caption(said)
    explore_view.statistics(data, statistics(data))
    with st.container(horizontal=True, vertical_alignment="center"):
        file = partial(app.promql.export, actor, answer)
        explore_view.downloads("promql", file, figure, False, "The values drawn.")
