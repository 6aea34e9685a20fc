"""A quick picture of a result: a column of time makes lines, one of texts makes bars."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from lib.profiling.gaps import break_lines
from lib.profiling.times import unix_ms
from lib.profiling.units import unit_of
from lib.services.querying_result import Result
from lib.ui import charts

# Columns that carry values of a metric, whatever was computed of them.
_VALUES = ("value", "actual", "expected", "low", "high", "newest")
MOST_LINES, MOST_BARS, MOST_POINTS = 10, 20, 2000


def units(found: Result) -> dict[str, str]:
    """Column -> unit, where the rows are of one metric and the column's name says that it holds its values."""
    if "metric" not in found.frame or found.frame["metric"].nunique() != 1:
        return {}
    metric = str(found.frame["metric"].dropna().iloc[0])
    # As stored: a counter is not turned into a rate.
    unit = unit_of(metric)
    named = [one.name for one in found.columns if one.kind == "number" and any(v in one.name.lower() for v in _VALUES)]
    return dict.fromkeys(named, unit) if unit else {}


def draw(found: Result, units: dict[str, str]) -> None:
    """Nothing when there is nothing to see: no numbers, or a single row."""
    times, texts, numbers = (_named(found, *kinds) for kinds in (("time",), ("text",), ("number", "integer")))
    numbers = [name for name in numbers if not name.lower().endswith("_id")]
    if len(found.frame) < 2 or not numbers or not (times or texts):
        return
    if times:
        _lines(found, times[0], texts, numbers, units)
    else:
        _bars(found, texts[0], numbers, units)


def _named(found: Result, *kinds: str) -> list[str]:
    return [column.name for column in found.columns if column.kind in kinds]


def _lines(found: Result, time: str, texts: list[str], numbers: list[str], units: dict[str, str]) -> None:
    rows = found.frame.dropna(subset=[time]).sort_values(time, kind="stable")
    split = [name for name in texts if rows[name].nunique(dropna=False) > 1]
    lines: list[tuple[str, pd.DataFrame, str]] = []
    if split:
        keys = rows[split].fillna("–").agg(" · ".join, axis=1)
        lines = [(str(key), part, numbers[0]) for key, part in rows.groupby(keys, sort=True)]
    else:
        lines = [(name, rows, name) for name in numbers]
    figure, most = charts.empty_figure(), MOST_POINTS // max(1, min(len(lines), MOST_LINES))
    for number, (title, part, name) in enumerate(lines[:MOST_LINES]):
        # Gaps are those of the rows: what is left of them once thinned lies unevenly.
        x, y = break_lines(unix_ms(part[time]), part[name].to_numpy("float64", na_value=np.nan))
        x, y = _thinned(x, y, most)
        stamps = x.astype("datetime64[ms]")
        charts.add_line(figure, pd.Series(stamps), y, name=title, index=number, unit=units.get(name, ""))
    unit = units.get(lines[0][2], "") if lines else ""
    charts.layout(figure, unit=unit, alt=f"{len(lines)} lines of the result over time", height=320)
    figure.layout.xaxis.type = "date"
    charts.show(figure, key="sql_chart")
    if len(lines) > MOST_LINES:
        st.caption(f"The chart shows {MOST_LINES} of {len(lines)} lines; the table has them all.")


def _thinned(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and most of equal runs, so that a spike stays; and a NaN where a line breaks between them."""
    if x.size <= most:
        return x, y
    runs = np.array_split(np.arange(x.size), max(1, most // 2))
    kept = {int(run[pick]) for run in runs for pick in _ends(y[run])}
    gone = np.isnan(y)
    breaks = np.flatnonzero(gone & ~np.concatenate(([False], gone[:-1])))
    # More breaks than this are no line any more, and would each be a point again.
    at = sorted(kept.union(breaks[:most].tolist()))
    return x[at], y[at]


def _ends(y: np.ndarray) -> tuple[int, int]:
    return (0, 0) if np.isnan(y).all() else (int(np.nanargmin(y)), int(np.nanargmax(y)))


def _bars(found: Result, text: str, numbers: list[str], units: dict[str, str]) -> None:
    rows = found.frame.head(MOST_BARS)
    # The position, not the text, places a bar: two rows may say the same.
    positions = list(range(len(rows)))
    figure = charts.empty_figure()
    for number, name in enumerate(numbers[:3]):
        figure.add_bar(
            orientation="h",
            y=positions,
            x=rows[name].to_numpy("float64", na_value=np.nan),
            name=charts.label(name),
            marker={"color": charts.colour(number), "pattern": {"shape": ("", "/", ".")[number]}},
            customdata=[charts.label(one, 60) for one in rows[text].fillna("–")],
            hovertemplate="%{customdata}: %{x:.4~s}<extra>" + charts.label(name, 40) + "</extra>",
        )
    charts.layout(figure, alt=f"Bars of {', '.join(numbers[:3])} by {text}", height=100 + 20 * len(rows))
    charts.value_axis(figure, units.get(numbers[0], ""), "x")
    names = [charts.label(one, 24) for one in rows[text].fillna("–")]
    figure.layout.margin.l = 20 + 7 * min(24, max(len(name) for name in names))
    figure.layout.hovermode = "closest"
    figure.layout.yaxis.tickmode = "array"
    figure.layout.yaxis.tickvals = positions
    figure.layout.yaxis.ticktext = names
    figure.layout.yaxis.ticksuffix = ""
    figure.layout.yaxis.autorange = "reversed"
    charts.show(figure, key="sql_chart")
    if len(found.frame) > MOST_BARS:
        st.caption(f"The chart shows the first {MOST_BARS} rows.")
