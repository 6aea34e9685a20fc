"""Plotly figures that read well in light and dark: one palette, one layout, escaped names, lines that break at gaps.

plotly is imported inside the functions: a page without a chart never pays for it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from lib.chat.escape import one_line
from lib.profiling.times import unix_ms
from lib.profiling.words import binary, factor

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Mid-tones with at least 3:1 against white and against Streamlit's dark background; red is kept for anomalies.
PALETTE = ("#2f7ed8", "#e07b00", "#0f9d76", "#9b59d0", "#d6498f", "#1a9bb8", "#7a8b1f", "#8a7560", "#6878a8", "#b0643c")
ANOMALY = "#e03131"
BAND = "rgba(128, 140, 160, 0.22)"
_GRID = "rgba(128, 132, 149, 0.18)"
_AXIS = "rgba(128, 132, 149, 0.55)"
# Second row of the palette and on: told apart by dashes as well as colour.
_DASHES = ("solid", "dash", "dot", "dashdot")
_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
}
_PICTURE = {"format": "png", "scale": 2}
# What a file name may not have somewhere.
_FILE = re.compile(r"[^\w.-]+", re.ASCII)
# A box is drawn without choosing a tool for it first.
_BRUSHED_CONFIG = {**_CONFIG, "modeBarButtonsToRemove": ["lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"]}


def label(text: object, limit: int = 120) -> str:
    """Foreign text for names, hover and annotations of a figure, where plotly would read HTML and `%{…}`."""
    # U+2060 keeps % and { apart for the template reader and cannot be seen. Quotes stay: there is no tag whose text
    # they could end, and plotly would show `&quot;` as it is.
    return html.escape(one_line(text, limit), quote=False).replace("%{", "%\u2060{")


def colour(index: int) -> str:
    """The colour of the n-th series."""
    return PALETTE[index % len(PALETTE)]


def dash(index: int) -> str:
    """The line style of the n-th series: solid for the first of each colour."""
    return _DASHES[index // len(PALETTE) % len(_DASHES)]


def ink() -> str:
    """The colour of words over shades of a figure, by the reader's theme: plotly's own grey is too faint there."""
    return "#fafafa" if st.context.theme.type == "dark" else "#262730"


def milliseconds(ts: pd.Series | pd.DatetimeIndex | np.ndarray) -> np.ndarray:
    """Timestamps as plotly's date axis takes them fastest: float64 milliseconds, UTC."""
    return unix_ms(ts).astype(np.float64)


def empty_figure() -> Figure:
    """A figure without Streamlit's or plotly's own template weight."""
    from plotly.graph_objects import Figure

    return Figure()


def layout(
    figure: Figure, *, title: str = "", unit: str = "", alt: str = "", height: int = 360, legend: bool | None = None
) -> Figure:
    """Give a figure the house's look; returns it.

    title: plain text, escaped here. unit: as `lib.profiling.units.unit_of` names it, on the value axis and in hover.
    alt: what the picture shows, for those who cannot see it; `show` hands it on.
    """
    if legend is None:
        legend = sum(1 for trace in figure.data if trace.showlegend is not False) > 1
    axis: dict[str, Any] = {"gridcolor": _GRID, "linecolor": _AXIS, "zerolinecolor": _AXIS, "zeroline": False}
    _put(
        figure.layout,
        title={"text": label(title), "font": {"size": 15}, "x": 0, "xanchor": "left"} if title else None,
        meta={"alt": alt},
        height=height,
        colorway=list(PALETTE),
        # Fixed margins: automatic ones make the browser draw twice.
        margin={"l": 52 + 7 * len(_suffix(unit)), "r": 12, "t": 44 if title else 12, "b": 78 if legend else 44},
        hovermode="x unified",
        hoverlabel={"namelength": 60},
        dragmode="zoom",
        showlegend=legend,
        legend={"orientation": "h", "yanchor": "top", "y": -0.16, "x": 0, "font": {"size": 12}},
        # The paper keeps the colour of the reader's theme: a picture taken along would be see-through without.
        plot_bgcolor="rgba(0,0,0,0)",
    )
    _put(figure.layout.xaxis, **axis)
    _put(figure.layout.yaxis, **axis, **_ticks(unit, figure))
    return figure


def _put(part: Any, **values: Any) -> None:
    """Set them one by one: `update_layout` and its like compare all there is first and take four times as long."""
    for name, value in values.items():
        part[name] = value


def _suffix(unit: str) -> str:
    return "" if unit in ("", "ratio") else label(unit) if unit.startswith("/") else f" {label(unit)}"


def _ticks(unit: str, figure: Figure, axis: str = "y") -> dict[str, Any]:
    """How a value axis writes numbers of this unit: 20 GiB, 35 %, 4 s."""
    if unit == "ratio":
        return {"tickformat": "~%"}
    if unit.partition("/")[0] == "B":
        return {"ticksuffix": _binary(figure, axis, unit), "exponentformat": "none"}
    return {"ticksuffix": _suffix(unit), "exponentformat": "none" if unit == "s" else "SI"}


def _binary(figure: Figure, axis: str, unit: str) -> str:
    """Turn what is drawn on an axis from bytes into KiB, MiB, … and return the suffix.

    plotly knows no prefix of 1024. Each line is hovered in the prefix of its own size: beside gigabytes, megabytes
    would be small fractions.
    """
    way, place = axis[0], f"{axis[0]}axis{axis[1:]}"
    done = figure.layout[place].ticksuffix if place in figure.layout else ""
    if done:  # a figure may be laid out twice
        return str(done)
    mine = [one for one in figure.data if one[way] is not None and (one[f"{way}axis"] or way) == axis]
    numbers = [np.asarray(one[way], dtype=np.float64) for one in mine]
    size, name = binary(max((_most(one) for one in numbers), default=0.0))
    for one, value in zip(mine, numbers, strict=True):
        one[way] = value / size
        own, called = binary(_most(value)) if one.customdata is None else (size, name)
        shown = way
        if own != size:
            one.customdata, shown = value / own, "customdata"
        if one.hovertemplate:
            number = re.compile(rf"%{{{way}:\.4~s}}(?: B(?=/| |$))?")
            one.hovertemplate = number.sub(f"%{{{shown}:.4~g}} {called}", one.hovertemplate)
        if one.type == "bar" and way == "x" and one.width is not None and one.orientation != "h":
            one.width = np.asarray(one.width, dtype=np.float64) / size
    return f" {name}{label(unit[1:])}"


def _most(value: np.ndarray) -> float:
    known = np.abs(value[np.isfinite(value)])
    return float(known.max()) if known.size else 0.0


def drawn(figure: Figure, value: float, unit: str) -> float:
    """Where a number lies on the value axis of a figure that was laid out: bytes are drawn in KiB, MiB, …"""
    if unit.partition("/")[0] != "B":
        return value
    return value / factor(str(figure.layout.yaxis.ticksuffix).strip().partition("/")[0])


def value_axis(figure: Figure, unit: str, axis: str = "y") -> Figure:
    """Write the numbers of an axis in this unit."""
    _put(figure.layout.xaxis if axis == "x" else figure.layout.yaxis, **_ticks(unit, figure, axis))
    return figure


def calm(figure: Figure) -> Figure:
    """Keep rounding from being drawn as movement: values that differ in the tenth digit at most are a flat line."""
    parts = [
        np.asarray(one.y, dtype=np.float64) for one in figure.data if one.y is not None and one.yaxis in (None, "y")
    ]
    drawn = np.concatenate(parts) if parts else np.empty(0)
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size:
        low, high = float(drawn.min()), float(drawn.max())
        level = max(abs(low), abs(high))
        if 0 < high - low <= 1e-9 * level:
            figure.layout.yaxis.range = [low - level / 10, high + level / 10]
    return figure


def time_axis(figure: Figure, start: datetime, end: datetime, revision: str = "") -> Figure:
    """Make x a UTC time axis over exactly this span, so that what is missing at the edges shows as missing.

    revision: while it stays the same, a reader's zoom survives new data.
    """
    _put(figure.layout, uirevision=revision or f"{start.timestamp():.0f}-{end.timestamp():.0f}")
    _put(
        figure.layout.xaxis,
        type="date",
        range=[start.timestamp() * 1000, end.timestamp() * 1000],
        hoverformat="%Y-%m-%d %H:%M:%S UTC",
        tickformatstops=[
            {"dtickrange": [None, 60_000], "value": "%H:%M:%S\n%b %d UTC"},
            {"dtickrange": [60_000, 86_400_000], "value": "%H:%M\n%b %d UTC"},
            {"dtickrange": [86_400_000, None], "value": "%b %d\n%Y UTC"},
        ],
    )
    return figure


def add_line(
    figure: Figure,
    ts: Any,
    value: np.ndarray,
    *,
    name: str,
    index: int = 0,
    unit: str = "",
    width: float = 1.6,
    **style: Any,
) -> None:
    """A line (SVG). NaN in `value` breaks it; a reading alone between two breaks is a dot. name is escaped here."""
    x, y = milliseconds(ts), np.asarray(value, dtype=np.float64)
    known = np.isfinite(y)
    alone = known & ~np.concatenate(([False], known[:-1])) & ~np.concatenate((known[1:], [False]))
    if alone.any():
        figure.add_scatter(
            x=x[alone],
            y=y[alone],
            mode="markers",
            marker={"color": colour(index), "size": 5},
            legendgroup=f"line{index}",
            showlegend=False,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=x,
        y=y,
        legendgroup=f"line{index}",
        mode="lines",
        name=label(name),
        line={"color": colour(index), "width": width, "dash": dash(index)},
        connectgaps=False,
        hovertemplate=hover(name, unit),
        **style,
    )


def hover(name: str, unit: str = "") -> str:
    """One line of the hover box: the value with its unit, then whose it is."""
    form = ".3~%" if unit == "ratio" else ".4~g" if unit == "s" else ".4~s"
    return f"%{{y:{form}}}{_suffix(unit)}  {label(name, 60)}<extra></extra>"


def add_band(figure: Figure, ts: Any, low: np.ndarray, high: np.ndarray, *, name: str, tint: str = BAND) -> None:
    """The area between two lines: an expected band, or the least and most of each bucket.

    Each unbroken stretch is a shape of its own: a fill would otherwise bridge the gaps.
    """
    x, low, high = milliseconds(ts), np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    known = np.isfinite(low) & np.isfinite(high)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], known.astype(np.int8), [0]))))
    xs: list[np.ndarray] = []
    ys: list[np.ndarray] = []
    pause = np.array([np.nan])
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        xs += [x[start:end], x[start:end][::-1], pause]
        ys += [high[start:end], low[start:end][::-1], pause]
    if not xs:
        return
    figure.add_scatter(
        x=np.concatenate(xs),
        y=np.concatenate(ys),
        mode="lines",
        fill="toself",
        fillcolor=tint,
        line={"width": 0},
        hoverinfo="skip",
        name=label(name),
        showlegend=False,
    )


def add_spans(figure: Figure, spans: list[tuple[Any, Any, str]], *, tint: str = ANOMALY) -> None:
    """Mark stretches of time (start, end, words): a red area with an edge and a ▼ above, so that colour is not all."""
    # All at once: `add_vrect` goes through all there are for each one more, half a second for sixty.
    figure.layout.shapes = [
        *figure.layout.shapes,
        *(
            {
                "type": "rect",
                "x0": start.timestamp() * 1000,
                "x1": end.timestamp() * 1000,
                "y0": 0,
                "y1": 1,
                "yref": "y domain",
                "xref": "x",
                "fillcolor": tint,
                "opacity": 0.16,
                "line": {"color": tint, "width": 1},
                "layer": "below",
            }
            for start, end, _ in spans
        ),
    ]
    if spans:
        figure.add_scatter(
            x=[(start.timestamp() + end.timestamp()) * 500 for start, end, _ in spans],
            y=[1.0] * len(spans),
            yaxis="y2",
            mode="markers",
            marker={"symbol": "triangle-down", "size": 11, "color": tint},
            text=[label(words, 90) for *_, words in spans],
            hovertemplate="▼ %{text}<extra></extra>",
            name="anomaly",
            showlegend=True,
        )
        _put(
            figure.layout,
            yaxis2={"overlaying": "y", "range": [0, 1.02], "visible": False, "fixedrange": True, "showgrid": False},
        )


def stack(figure: Figure, panels: list[tuple[str, str]]) -> Figure:
    """Give each of the value axes y, y2, … a stripe of its own, the first on top. panels: words and unit of each."""
    share, gap = 1 / len(panels), 0.09 / len(panels) + 0.02
    notes = []
    for number, (words, unit) in enumerate(panels, 1):
        top = 1 - (number - 1) * share
        bottom = max(top - share + gap, 0.0) if number < len(panels) else 0.0
        axis = {
            "domain": [bottom, top - gap / 2],
            "gridcolor": _GRID,
            "linecolor": _AXIS,
            "zeroline": False,
            "nticks": 5,
        }
        figure.layout["yaxis" if number == 1 else f"yaxis{number}"] = {
            **axis,
            **_ticks(unit, figure, "y" if number == 1 else f"y{number}"),
            "anchor": "x",
        }
        notes.append(
            {
                "x": 0,
                "y": top - gap / 2,
                "xref": "paper",
                "yref": "paper",
                "text": label(words, 80),
                "showarrow": False,
                "xanchor": "left",
                "yanchor": "bottom",
                "font": {"size": 12},
            }
        )
    figure.layout.annotations = notes
    figure.layout.xaxis.anchor = "y" if len(panels) == 1 else f"y{len(panels)}"
    figure.layout.margin.l = 52 + 7 * max(len(_suffix(unit)) for _, unit in panels)
    return figure


def add_notes(figure: Figure, notes: list[tuple[datetime, datetime | None, str, str]]) -> None:
    """Mark moments and spans (start, end, words, colour) behind the lines, each with its words at the foot."""
    edges = [
        (start.timestamp() * 1000, (end or start).timestamp() * 1000, words, tint) for start, end, words, tint in notes
    ]
    figure.layout.shapes = [
        *figure.layout.shapes,
        *(
            {
                "type": "rect" if last > first else "line",
                "x0": first,
                "x1": last,
                "y0": 0,
                "y1": 1,
                "yref": "y domain",
                "xref": "x",
                **({"fillcolor": tint, "opacity": 0.14} if last > first else {}),
                "line": {
                    "color": tint,
                    "width": 1 if last > first else 2,
                    "dash": "dashdot" if last > first else "dot",
                },
                "layer": "below",
            }
            for first, last, _, tint in edges
        ),
    ]
    figure.layout.annotations = [
        *figure.layout.annotations,
        *(
            {
                "x": (first + last) / 2,
                "y": 0,
                "yref": "y domain",
                "text": label(words, 40),
                "showarrow": False,
                "yanchor": "bottom",
                "font": {"size": 10, "color": tint},
            }
            for first, last, words, tint in edges
        ),
    ]


def show(
    figure: Figure,
    *,
    key: str,
    alt: str = "",
    brush: Callable[[datetime, datetime], None] | None = None,
    name: str = "",
) -> None:
    """Draw a figure that went through `layout`. brush: called with the span somebody draws a box over. name: of the
    picture, once somebody takes it along."""
    picture = {"toImageButtonOptions": {**_PICTURE, "filename": _FILE.sub("-", name or key)[:80].strip("-") or key}}
    meta = figure.layout.meta or {}
    words = alt or meta.get("alt") or None
    if brush is None:
        st.plotly_chart(figure, key=key, config=_CONFIG | picture, alt=words)
        return

    def brushed() -> None:
        boxes = st.session_state[key].selection.box
        edges = boxes[-1].get("x") if boxes else None
        if edges and len(edges) > 1:
            brush(*sorted(_moment(edge) for edge in (edges[0], edges[-1])))

    _put(figure.layout, dragmode="select", selectdirection="h", newselection={"line": {"color": _AXIS, "width": 1}})
    st.plotly_chart(
        figure, key=key, config=_BRUSHED_CONFIG | picture, alt=words, on_select=brushed, selection_mode="box"
    )


def _moment(edge: Any) -> datetime:
    """An edge of a box on a time axis: plotly writes `2026-03-14 12:00:00.1234` in the axis' time, UTC."""
    return pd.Timestamp(edge, unit="ms" if isinstance(edge, int | float) else None).tz_localize(UTC).to_pydatetime()
