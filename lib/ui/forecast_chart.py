"""A forecast as a picture: what was, what is expected with both intervals, what came, the limit and its crossings."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from lib.forecast.capacity import Crossing
from lib.frames import from_ms
from lib.profiling.gaps import break_lines
from lib.profiling.times import unix_ms
from lib.services.forecasting import View
from lib.ui import charts
from lib.ui.text import amount, stamp

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Of the second colour of the palette, which the middle has.
WIDE, NARROW = "rgba(224, 123, 0, 0.13)", "rgba(224, 123, 0, 0.24)"
# Crossing -> (symbol, where its word stands): told apart by shape, not by colour.
MARKS = {
    "earliest": ("triangle-left", "top left"),
    "likely": ("diamond", "bottom center"),
    "latest": ("triangle-right", "top right"),
}
MOST_PAST = 600
# A limit so many times as far off as all else reaches is left out of the picture.
FAR = 8.0


def figure(view: View, crossing: Crossing | None, title: str) -> Figure:
    """The whole picture."""
    drawn = charts.empty_figure()
    points, unit = view.points, view.unit
    ts = unix_ms(points["ts"])
    columns = {name: points[name].to_numpy() for name in points.columns if name != "ts"}
    charts.add_band(drawn, ts, columns["low95"], columns["high95"], name="95% interval", tint=WIDE)
    charts.add_band(drawn, ts, columns["low80"], columns["high80"], name="80% interval", tint=NARROW)
    for trace in drawn.data:
        trace.showlegend = True
    past_ts, past = (column[-MOST_PAST:] for column in view.past)
    if past_ts.size:
        charts.add_line(drawn, *break_lines(past_ts, past), name="known before", unit=unit)
    charts.add_line(drawn, ts, columns["middle"], name="forecast", index=1, unit=unit, width=2)
    drawn.data[-1].line.dash = "dash"
    drawn.data[-1].text = [
        f"80%: {_span(a, b, unit)}, 95%: {_span(c, d, unit)}"
        for a, b, c, d in zip(*(columns[name] for name in ("low80", "high80", "low95", "high95")), strict=True)
    ]
    drawn.data[-1].hovertemplate = charts.hover("forecast", unit).replace("<extra>", "<br>%{text}<extra>")
    came_ts, came = view.came
    if came_ts.size:
        charts.add_line(drawn, *break_lines(came_ts, came), name="came", index=2, unit=unit, width=2)
    if crossing is not None:
        _limit(drawn, crossing, past_ts, ts, unit)
    start = from_ms(int(past_ts[0])) if past_ts.size else view.made.start_at
    step = timedelta(seconds=view.made.step_s)
    alt = (
        f"{title}: {stamp(start)} to {stamp(view.made.start_at)} as it was, then a forecast to "
        f"{stamp(view.made.end_at)} with its 80% and 95% intervals{', and a limit' if crossing else ''}."
    )
    charts.layout(drawn, unit=unit, alt=alt, height=420, legend=True)
    if crossing is not None:
        shown = np.concatenate([past, came, columns["low95"], columns["high95"]])
        reach = _reach(shown[np.isfinite(shown)], crossing.limit)
        drawn.layout.yaxis.range = reach and [charts.drawn(drawn, edge, unit) for edge in reach]
    return charts.time_axis(drawn, start, view.made.end_at + step, f"forecast-{view.made.id}")


def _reach(shown: np.ndarray, limit: float) -> list[float] | None:
    """The value axis when the limit is so far off that all else would be a line; None: as wide as all there is."""
    low, high = float(shown.min()), float(shown.max())
    size = (high - low) or abs(high) or 1.0
    if low - FAR * size <= limit <= high + FAR * size:
        return None
    return [low - 0.1 * size, high + 0.1 * size]


def _span(low: float, high: float, unit: str) -> str:
    return charts.label(f"{amount(low, unit)} to {amount(high, unit)}")


def _limit(drawn: Figure, crossing: Crossing, past_ts: np.ndarray, ts: np.ndarray, unit: str) -> None:
    ends = np.array([past_ts[0] if past_ts.size else ts[0], ts[-1]], dtype=np.int64)
    level = np.full(2, crossing.limit)
    charts.add_line(drawn, ends, level, name=f"limit {amount(crossing.limit, unit)}", index=3, unit=unit)
    drawn.data[-1].line.dash = "dot"
    drawn.data[-1].line.color = charts.ANOMALY
    drawn.data[-1].hoverinfo, drawn.data[-1].hovertemplate = "skip", None
    for name, (symbol, place) in MARKS.items():
        at = getattr(crossing, f"{name}_ms")
        if at is None:
            continue
        drawn.add_scatter(
            x=[float(at)],
            y=[crossing.limit],
            mode="markers+text",
            marker={"symbol": symbol, "size": 12, "color": charts.ANOMALY},
            text=[name],
            textposition=place,
            name=name,
            showlegend=False,
            hovertemplate=f"{name}: {stamp(from_ms(at))}<extra></extra>",
        )
