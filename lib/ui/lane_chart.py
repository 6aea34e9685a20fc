"""The swimlane: a row a host, a mark a part of the window, graver by colour, shape and size. A click filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from lib.services.detection_lanes import Lanes
from lib.ui import charts, controls, links
from lib.ui.text import amount, stamp

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_LANE_PX, _AROUND_PX = 17, 52
# severity -> (colour, symbol, size); what was watched and called nothing is a faint line.
_LOOK: dict[str, tuple[str, str, int]] = {
    "critical": ("#c2255c", "diamond", 13),
    "major": ("#e03131", "triangle-up", 12),
    "minor": ("#e8590c", "circle", 10),
    "warning": ("#f0a30a", "circle-open", 9),
}
_WATCHED = "rgba(128, 140, 160, 0.30)"


def lanes(given: Lanes) -> Figure:
    """One marker a cell: charts of squares cannot be clicked, scatter points can."""
    figure = charts.empty_figure()
    names = [host or "(no host label)" for _, host in given.groups]
    cells = given.cells
    middle = cells["start"] + (cells["end"] - cells["start"]) / 2
    quiet = cells["severity"] == ""
    figure.add_scatter(
        x=charts.milliseconds(middle[quiet]),
        y=cells["lane"][quiet],
        mode="markers",
        name="watched",
        marker={"symbol": "line-ew-open", "size": 8, "color": _WATCHED, "line": {"width": 2, "color": _WATCHED}},
        hoverinfo="skip",
        showlegend=False,
    )
    for severity, (colour, symbol, size) in _LOOK.items():
        own = cells[cells["severity"] == severity]
        figure.add_scatter(
            x=charts.milliseconds(middle[own.index]),
            y=own["lane"],
            mode="markers",
            name=severity,
            marker={"symbol": symbol, "size": size, "color": colour, "line": {"width": 1.5, "color": colour}},
            customdata=[[int(i)] for i in own.index],
            # The newest mark lies at the very edge.
            cliponaxis=False,
            text=[
                f"{charts.label(names[row.lane], 40)} · {stamp(row.start)} · {severity} · 1 in {amount(10**row.score)}"
                for row in own.itertuples()
            ],
            hovertemplate="%{text}<extra></extra>",
        )
    called = int((~quiet).sum())
    alt = f"{len(names)} hosts over time, worst first: {called} of {len(cells)} watched cells hold anomalies."
    charts.layout(figure, alt=alt, height=_AROUND_PX + _LANE_PX * max(len(names), 1) + 26, legend=True)
    charts.time_axis(figure, given.window.start, given.window.end)
    figure.update_layout(
        yaxis={
            "tickvals": list(range(len(names))),
            "ticktext": [charts.label(name, 24) for name in names],
            "range": [len(names) - 0.4, -0.6],
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
            "ticksuffix": "",
        },
        xaxis={"fixedrange": True},
        legend={"y": 1.0, "yanchor": "bottom", "x": 1.0, "xanchor": "right", "orientation": "h"},
        margin={"t": 26, "b": 44},
        hovermode="closest",
        dragmode=False,
    )
    return figure


def draw(given: Lanes, *, key: str = "lanes") -> None:
    """The lanes; a click on a cell narrows the page to its host and time and opens its anomaly."""

    def narrow() -> None:
        points: list[Any] = st.session_state[key].selection.points
        chosen = points[0].get("customdata") if points else None
        if chosen:
            row = given.cells.loc[int(chosen[0])]
            controls.focus(given.groups[int(row["lane"])][1], row["start"], row["end"])
            links.choose(row["anomaly_id"])

    figure = lanes(given)
    st.plotly_chart(
        figure,
        key=key,
        on_select=narrow,
        selection_mode="points",
        config={"displayModeBar": False},
        alt=figure.layout.meta["alt"],
    )
