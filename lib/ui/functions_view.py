"""PromQL's functions on Explore: which one, over how long, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from lib.auth.actor import Actor
from lib.frames import Window
from lib.profiling.words import duration
from lib.services.evaluation import BUCKET, HISTOGRAM, Asked, Evaluated, statistics
from lib.services.exploration import ChartData
from lib.ui import series_charts
from lib.ui.text import plain

if TYPE_CHECKING:
    import pandas as pd

    from lib.app import App

# What the address carries -> what a list says beside it.
FUNCTIONS = {
    HISTOGRAM: "the value a share of a histogram lies below",
    "rate": "growth per second of a counter",
    "increase": "growth of a counter over the window",
    "avg_over_time": "mean of the window",
    "min_over_time": "least of the window",
    "max_over_time": "most of the window",
    "sum_over_time": "sum of the window",
    "count_over_time": "number of samples in the window",
    "quantile_over_time": "a quantile of the window",
}
RANGES = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400}
_QUANTILES = (HISTOGRAM, "quantile_over_time")


@dataclass(frozen=True)
class Shown:
    """data: what to draw. evaluated: with the expression, when a function was asked for."""

    data: ChartData
    evaluated: Evaluated | None = None


def is_histogram(asked: Asked | None) -> bool:
    return asked is not None and asked.function == HISTOGRAM


def picker(metric: str, labels: Sequence[str]) -> Asked | None:
    """None: as always, counters from sample to sample. URL: `?fn=rate&over=5m`,
    `?fn=histogram_quantile&q=0.99&by=path`."""
    names = [name for name in FUNCTIONS if name != HISTOGRAM or metric.endswith(BUCKET)]
    chosen = st.session_state.get("fn", st.query_params.get("fn"))
    words = plain(chosen) if chosen in names else "Function"
    with st.popover(words, icon=":material/function:", key="explore_function"):
        function = st.selectbox(
            "Function",
            names,
            index=None,
            key="fn",
            bind="query-params",
            placeholder="None",
            help="Of PromQL, with the numbers Prometheus gives. None: samples, counters as rate between two samples.",
        )
        if function:
            st.caption(FUNCTIONS[function].capitalize() + ".")
        over = st.selectbox(
            "Window",
            list(RANGES),
            index=None,
            key="over",
            bind="query-params",
            placeholder="To suit the range",
            disabled=not function,
            help="How far back from each moment the function looks: the 5m of rate(metric[5m]).",
        )
        share = st.number_input(
            "Quantile",
            0.0,
            1.0,
            0.95,
            0.01,
            key="q",
            bind="query-params",
            format="%g",
            disabled=function not in _QUANTILES,
        )
        by = st.multiselect(
            "Apart by",
            [name for name in labels if name != "le"],
            key="by",
            bind="query-params",
            placeholder="All together",
            disabled=function != HISTOGRAM,
            help="Labels a histogram is kept apart by: the path of sum by (le, path).",
        )
    if not function:
        return None
    return Asked(function, RANGES.get(over or "", 0), share, tuple(by) if function == HISTOGRAM else ())


def read(
    app: App, actor: Actor, ids: Sequence[int], window: Window, asked: Asked | None, max_points: int = 1000
) -> Shown:
    """The lines of these series, through the function when there is one."""
    if asked is None:
        return Shown(app.exploration.chart(actor, ids, window, max_points))
    evaluated = app.evaluation.chart(actor, ids, window, asked, max_points)
    return Shown(evaluated.data, evaluated)


def numbers(app: App, actor: Actor, ids: Sequence[int], shown: Shown) -> pd.DataFrame:
    """Statistics of what is drawn."""
    if shown.evaluated is None:
        return app.exploration.statistics(actor, ids, shown.data.window)
    return statistics(shown.data)


def describe(shown: Shown) -> str:
    """What is drawn, in one line under the chart."""
    if shown.evaluated is None:
        return series_charts.describe(shown.data)
    data = shown.data
    return (
        f"{plain(shown.evaluated.expression)} every {duration(data.step_s)}, of {data.samples:,} samples; lines break "
        f"where there is no value. By the rules of Prometheus {shown.evaluated.release}{_other(shown.evaluated)}."
        f"{_gone(shown.evaluated)}"
    )


def _other(evaluated: Evaluated) -> str:
    """Where the source itself would give other numbers, and how to get the same."""
    if not evaluated.server:
        return ""
    own = evaluated.server.split(".")[0].removeprefix("v")
    return (
        f"; the source runs {plain(evaluated.server, 60)}, whose windows begin a sample earlier or later: "
        f"`AUTOOPS_PROMQL_RELEASE={own}` follows it"
    )


def _gone(evaluated: Evaluated) -> str:
    if evaluated.gone is None:
        return ""
    return (
        f" Samples before {evaluated.gone:%Y-%m-%d} UTC have expired, and a function needs samples: nothing is drawn "
        "there."
    )


def nothing(shown: Shown) -> str:
    """Why there is no line, and what to try."""
    if shown.evaluated is None or not shown.data.samples:
        return series_charts.nothing_drawn(shown.data) + (_gone(shown.evaluated) if shown.evaluated else "")
    evaluated = shown.evaluated
    if evaluated.range_s < 2 * evaluated.interval_s:
        why = (
            f"samples come about every {duration(evaluated.interval_s)}, so that a window of "
            f"{duration(evaluated.range_s)} holds too few. Choose a longer window under Function"
        )
    else:
        why = "nothing was counted, or all of it is no number. Choose a longer window under Function, or none"
    return f"{plain(evaluated.expression)} has no value in this range: {why}."
