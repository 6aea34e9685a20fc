"""One watched quantity around an anomaly: expected band, what was seen, red marks, how unusual it was, known faults."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.frames import Window
from lib.services.detection_history import History
from lib.ui import charts

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_BAND = "rgba(47, 126, 216, 0.20)"
_SCORE, _KNOWN, _QUIET = "#8a5cd1", "#0f9d76", "#8a7560"
_MUTED, _DEPLOY, _GAP = "#6878a8", "#b0643c", "#808c99"
# Where on the picture's height the score ribbon ends and the values begin.
_RIBBON, _VALUES = 0.17, 0.27
_MOST_SPANS = 30


def timeline(history: History, *, chosen: int | None = None, faults: bool = True) -> Figure:
    """The quantity with its expected band above, how unusual the host was below, on one time axis.

    chosen: id of the anomaly that is looked at; the others are shown fainter. faults: also shade what is known to
    have gone wrong.
    """
    points, unit = history.points, history.channel.unit
    figure = charts.empty_figure()
    actual = points["actual"].to_numpy(float)
    low, high, expected = (points[name].to_numpy(float) for name in ("low", "high", "expected"))
    charts.add_band(figure, points["ts"], low, high, name="expected range", tint=_BAND)
    if len(figure.data):
        figure.data[-1].showlegend = True
    charts.add_line(figure, points["ts"], actual, name="actual", unit=unit)
    figure.add_scatter(
        x=charts.milliseconds(points["ts"]),
        y=expected,
        mode="lines",
        name="expected",
        line={"color": charts.colour(0), "width": 1, "dash": "dot"},
        opacity=0.7,
        connectgaps=False,
        hovertemplate=charts.hover("expected", unit),
    )
    _marks(figure, history, actual, low, high)
    _ribbon(figure, history)
    charts.layout(figure, unit=unit, alt=describe(history), height=400, legend=True)
    charts.time_axis(figure, history.window.start, history.window.end)
    _spans(figure, history, chosen, faults)
    _overlays(figure, history)
    figure.update_layout(
        yaxis={"domain": [_VALUES, 1.0]},
        yaxis3={
            "domain": [0.0, _RIBBON],
            "anchor": "x",
            "rangemode": "tozero",
            "title": {"text": "how unusual", "font": {"size": 11}},
            "nticks": 3,
            "showgrid": False,
            "fixedrange": True,
            "ticksuffix": "",
        },
        xaxis={"anchor": "y3"},
    )
    return figure


def describe(history: History) -> str:
    """What the picture shows, for those who cannot see it."""
    return (
        f"{history.channel.title} on {history.host} from {history.window.start:%Y-%m-%d %H:%M} to "
        f"{history.window.end:%Y-%m-%d %H:%M} UTC with its expected range; {len(history.anomalies)} anomalies marked, "
        f"{len(history.incidents)} known faults."
    )


def _marks(figure: Figure, history: History, actual: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Red diamonds where the value left its band within an anomaly."""
    ts = history.points["ts"]
    within = np.zeros(len(ts), dtype=bool)
    for row in history.anomalies.itertuples():
        start, end = _edges(row, history.window)
        within |= ((ts >= start) & (ts <= end)).to_numpy()
    with np.errstate(invalid="ignore"):
        outside = within & ((actual < low) | (actual > high))
    if not outside.any():
        return
    figure.add_scatter(
        x=charts.milliseconds(ts)[outside],
        y=actual[outside],
        mode="markers",
        name="anomaly",
        marker={"symbol": "diamond", "size": 7, "color": charts.ANOMALY, "line": {"width": 0}},
        hoverinfo="skip",
    )


def _ribbon(figure: Figure, history: History) -> None:
    """How unusual the whole host was, and how much it takes to be called an anomaly."""
    if not len(history.scores):
        return
    x = charts.milliseconds(history.scores["ts"])
    figure.add_scatter(
        x=x,
        y=history.scores["score"].to_numpy(float),
        yaxis="y3",
        mode="lines",
        line={"color": _SCORE, "width": 1, "shape": "hvh"},
        fill="tozeroy",
        fillcolor="rgba(138, 92, 209, 0.35)",
        name="how unusual",
        hovertemplate="1 in 10^%{y:.1f}  chance that normal looks like this<extra></extra>",
    )
    figure.add_scatter(
        x=x,
        y=history.scores["threshold"].to_numpy(float),
        yaxis="y3",
        mode="lines",
        line={"color": charts.ANOMALY, "width": 1, "dash": "dash"},
        name="anomaly above",
        hoverinfo="skip",
    )


def _spans(figure: Figure, history: History, chosen: int | None, faults: bool) -> None:
    for row in history.anomalies.head(_MOST_SPANS).itertuples():
        start, end = _edges(row, history.window)
        here = chosen is None or row.id == chosen
        _shade(figure, start, end, charts.ANOMALY, 0.16 if here else 0.07, "solid" if here else "dot")
    if not faults:
        return
    known = [(i.start, i.end, i.kind, _KNOWN) for i in history.incidents]
    known += [(e.start, e.end, e.kind, _QUIET) for e in history.events]
    for start, end, words, tint in known[:_MOST_SPANS]:
        first, last = max(start, history.window.start), min(end, history.window.end)
        _shade(figure, first, last, tint, 0.10, "dash")
        # A bar along the top edge with its words: told from the anomalies by place and text, not by colour alone.
        figure.add_shape(
            type="rect",
            x0=first.timestamp() * 1000,
            x1=last.timestamp() * 1000,
            y0=1.0,
            y1=1.025,
            yref="paper",
            fillcolor=tint,
            line={"width": 0},
        )
        figure.add_annotation(
            x=first.timestamp() * 1000,
            y=1.03,
            yref="paper",
            text=charts.label(words, 60),
            showarrow=False,
            xanchor="left" if first < history.window.start + history.window.span / 2 else "right",
            yanchor="bottom",
            font={"size": 11, "color": tint},
        )
    if known:
        figure.update_layout(margin={"t": 34})


def _overlays(figure: Figure, history: History) -> None:
    """What people marked, where nothing was collected, and what the detector learnt from."""
    window = history.window
    for gap in history.gaps[:_MOST_SPANS]:
        first, last = max(gap.start, window.start), min(gap.end, window.end)
        _shade(figure, first, last, _GAP, 0.22, "dash")
        _caption(figure, first, last, "nothing collected", _GAP)
    for mark in history.marks[:_MOST_SPANS]:
        words = f"{mark.kind}: {mark.text}" if mark.text else str(mark.kind)
        tint = _MUTED if mark.mutes else _DEPLOY
        first = max(mark.start, window.start)
        last = min(mark.end, window.end) if mark.end else first
        if mark.end:
            _shade(figure, first, last, tint, 0.14, "dashdot")
        else:
            at = first.timestamp() * 1000
            figure.add_shape(
                type="line", x0=at, x1=at, y0=0, y1=1, yref="paper", line={"color": tint, "width": 2, "dash": "dot"}
            )
        _caption(figure, first, last, words, tint)
    learnt = history.trained
    if learnt and learnt.start < window.end and learnt.end > window.start:
        first, last = max(learnt.start, window.start), min(learnt.end, window.end)
        # A line along the foot of the values: most of the time all of the picture was learnt from, and is no news.
        figure.add_shape(
            type="line",
            x0=first.timestamp() * 1000,
            x1=last.timestamp() * 1000,
            y0=_RIBBON + 0.025,
            y1=_RIBBON + 0.025,
            yref="paper",
            line={"color": _QUIET, "width": 2},
            opacity=0.5,
        )
        _words(figure, last, _RIBBON + 0.03, "in training", _QUIET, "right")


def _caption(figure: Figure, first: datetime, last: datetime, words: str, tint: str) -> None:
    """Words inside a span, at its foot, so that those of faults above stay readable."""
    _words(figure, first + (last - first) / 2, _VALUES, words, tint, "center")


def _words(figure: Figure, at: datetime, height: float, words: str, tint: str, anchor: str) -> None:
    figure.add_annotation(
        x=at.timestamp() * 1000,
        y=height,
        yref="paper",
        text=charts.label(words, 40),
        showarrow=False,
        xanchor=anchor,
        yanchor="bottom",
        font={"size": 10, "color": tint},
    )


def _shade(figure: Figure, start: datetime, end: datetime, tint: str, opacity: float, dash: str) -> None:
    figure.add_vrect(
        x0=start.timestamp() * 1000,
        x1=end.timestamp() * 1000,
        fillcolor=tint,
        opacity=opacity,
        line={"color": tint, "width": 1, "dash": dash},
        layer="below",
    )


def _edges(row: object, window: Window) -> tuple[datetime, datetime]:
    """Where an anomaly begins and ends on screen."""
    start, end = row.start_ts, row.end_ts  # type: ignore[attr-defined]
    last = window.end if pd.isna(end) else end.to_pydatetime()
    return max(start.to_pydatetime(), window.start), min(last, window.end)
