"""Results of a training as pictures: who was taken for whom, curves, calibration, residuals, what a model looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lib.training.words import number
from lib.ui import charts

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = Mapping[str, Any]
# Beyond so many classes the counts are no longer written into the cells, nor each curve drawn.
MOST_CELLS, MOST_CURVES = 12, 6
_MIDDLE = "rgba(128, 132, 149, 0.8)"
# From nothing to the first colour of the palette: both grounds, light and dark, shine through.
_SHADES = [[0.0, "rgba(47, 126, 216, 0.04)"], [1.0, "rgba(47, 126, 216, 0.6)"]]
_LETTER_PX = 6.6
_MOST_LETTERS = 22


def confusion(found: Row) -> Figure:
    """True classes down, classes said across; shade: share of the true class."""
    classes, counts = [str(one) for one in found["classes"]], found["counts"]
    shares = [[n / max(1, sum(row)) for n in row] for row in counts]
    named = [charts.label(one, _MOST_LETTERS) for one in classes]
    small = len(classes) <= MOST_CELLS
    words = [
        [f"{n:,}<br>{share:.0%}" for n, share in zip(*both, strict=True)] for both in zip(counts, shares, strict=True)
    ]
    places = list(range(len(classes)))
    figure = charts.empty_figure()
    figure.add_heatmap(
        z=shares,
        x=places,
        y=places,
        zmin=0,
        zmax=1,
        colorscale=_SHADES,
        showscale=False,
        xgap=2,
        ygap=2,
        customdata=[
            [[charts.label(t, 60), charts.label(s, 60), n] for s, n in zip(classes, row, strict=True)]
            for t, row in zip(classes, counts, strict=True)
        ],
        hovertemplate="%{customdata[0]} said to be %{customdata[1]}: %{customdata[2]:,} rows, %{z:.1%}<extra></extra>",
    )
    right = sum(counts[n][n] for n in places)
    total = sum(map(sum, counts))
    alt = f"Of {total:,} rows {right:,} got their own class. True classes down, classes said across."
    charts.layout(figure, alt=alt, height=130 + max(150, 44 * min(len(classes), 12)), legend=False)
    if small:
        # As annotations: a cell's own text takes its contrast from a shade, not from the ground that shines through.
        figure.layout.annotations = [
            {"x": x, "y": y, "text": words[y][x], "showarrow": False, "font": {"size": 12, "color": charts.ink()}}
            for y in places
            for x in places
        ]
    ticks = {"tickvals": places, "ticktext": named} if len(classes) <= 30 else {}
    figure.update_xaxes(**ticks, title="said", showgrid=False)
    figure.update_yaxes(**ticks, title="true", showgrid=False, autorange="reversed", ticksuffix="")
    figure.update_layout(hovermode="closest", margin={"l": _room(classes) + 24, "b": 58})
    return figure


def roc(curves: Sequence[Row]) -> Figure:
    """True against false positives; the diagonal is guessing."""
    figure = charts.empty_figure()
    for place, one in enumerate(curves[:MOST_CURVES]):
        _curve(
            figure,
            place,
            f"{one['class']} (AUC {number(one['auc'])})",
            one["roc"]["false_positive"],
            one["roc"]["true_positive"],
        )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="guessing", line={"color": _MIDDLE, "dash": "dot"}, hoverinfo="skip"
    )
    alt = (
        "ROC: "
        + "; ".join(f"{one['class']}, area {number(one['auc'])}" for one in curves[:MOST_CURVES])
        + ". 0.5 is guessing."
    )
    return _unit_square(
        charts.layout(figure, alt=alt, height=380, legend=True),
        "false alarms (share of the others)",
        "found (share of the class)",
    )


def precision_recall(curves: Sequence[Row]) -> Figure:
    """Precision over recall; the dotted line is the share of the class, which guessing reaches."""
    figure = charts.empty_figure()
    for place, one in enumerate(curves[:MOST_CURVES]):
        name = f"{one['class']} (average {number(one['average_precision'])})"
        _curve(figure, place, name, one["pr"]["recall"], one["pr"]["precision"])
        figure.add_scatter(
            x=[0, 1],
            y=[one["share"]] * 2,
            mode="lines",
            name=f"guessing ({one['share']:.0%})",
            showlegend=len(curves) == 1,
            line={"color": _MIDDLE, "dash": "dot", "width": 1},
            hoverinfo="skip",
        )
    alt = "Precision over recall: " + "; ".join(
        f"{one['class']}, average precision {number(one['average_precision'])}, {one['share']:.0%} of rows"
        for one in curves[:MOST_CURVES]
    )
    return _unit_square(
        charts.layout(figure, alt=alt + ".", height=380, legend=True),
        "found (recall)",
        "right of those said (precision)",
    )


def calibration(found: Row) -> Figure:
    """What was promised against what came, with the interval of each bin; on the diagonal promises are kept."""
    figure = charts.empty_figure()
    seen = found["seen"]
    figure.add_scatter(
        x=found["promised"],
        y=seen,
        mode="lines+markers",
        name="came, 95% interval",
        line={"color": charts.colour(0)},
        marker={"size": 7},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, high - at) for high, at in zip(found["high"], seen, strict=True)],
            "arrayminus": [max(0.0, at - low) for low, at in zip(found["low"], seen, strict=True)],
            "thickness": 1,
        },
        text=[f"{count:,} rows" for count in found["count"]],
        hovertemplate="promised %{x:.1%}, came %{y:.1%}, %{text}<extra></extra>",
    )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="promises kept", line={"color": _MIDDLE, "dash": "dot"}, hoverinfo="skip"
    )
    alt = f"Probabilities promised against shares that came, in {len(seen)} bins; {found['ece']:.1%} off on average."
    return _unit_square(
        charts.layout(figure, alt=alt, height=380, legend=True), "probability promised", "share that came"
    )


def said_and_came(found: Row, target: str) -> Figure:
    """Each of a sample of rows: what was said and what came; on the diagonal both are the same."""
    figure = charts.empty_figure()
    figure.add_scatter(
        x=found["said"],
        y=found["came"],
        mode="markers",
        name="a row",
        marker={"size": 5, "opacity": 0.55, "color": charts.colour(0)},
        hovertemplate="said %{x:.4~g}, came %{y:.4~g}<extra></extra>",
    )
    ends = [min(*found["said"], *found["came"]), max(*found["said"], *found["came"])]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="the same", line={"color": _MIDDLE, "dash": "dot"}, hoverinfo="skip"
    )
    alt = (
        f"{target} as said and as it came, {len(found['said']):,} rows; half lie within {number(found['half_within'])}."
    )
    return _named(charts.layout(figure, alt=alt, height=380, legend=True), f"{target} as said", f"{target} as it came")


def residuals(found: Row, target: str) -> Figure:
    """How far off, as a distribution."""
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
    figure = charts.empty_figure()
    figure.add_bar(
        x=[(low + high) / 2 for low, high in zip(edges[:-1], edges[1:], strict=True)],
        y=counts,
        width=[high - low for low, high in zip(edges[:-1], edges[1:], strict=True)],
        marker={"color": charts.colour(0), "line": {"width": 0}},
        hovertemplate="off by about %{x:.4~g}: %{y:,} rows<extra></extra>",
        showlegend=False,
    )
    figure.add_vline(x=0, line={"color": _MIDDLE, "dash": "dot"})
    alt = f"Distribution of {target} minus what was said; {number(found['bias'])} on average."
    return _named(charts.layout(figure, alt=alt, height=380, legend=False), f"{target} minus what was said", "rows")


def learning_curve(points: Sequence[Row], label: str) -> Figure:
    """The score over the rows learnt from, with its interval."""
    figure = charts.empty_figure()
    rows = [one["rows"] for one in points]
    figure.add_scatter(
        x=rows,
        y=[one["value"] for one in points],
        mode="lines+markers",
        name=charts.label(label),
        marker={"size": 7},
        line={"color": charts.colour(0)},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [_apart(one["high"], one["value"]) for one in points],
            "arrayminus": [_apart(one["value"], one["low"]) for one in points],
            "thickness": 1,
        },
        hovertemplate=f"%{{x:,}} rows: {charts.label(label, 40)} %{{y:.4~g}}<extra></extra>",
        showlegend=False,
    )
    alt = (
        f"{label} by rows learnt from: " + ", ".join(f"{one['rows']:,}: {number(one['value'])}" for one in points) + "."
    )
    return _named(charts.layout(figure, alt=alt, height=320, legend=False), "rows", label)


def bars(
    names: Sequence[str], values: Sequence[float], title: str, *, spread: Sequence[float] | None = None, alt: str
) -> Figure:
    """One bar a name, the first on top; bars to the left are hatched, so that colour is not all."""
    figure = charts.empty_figure()
    places = list(range(len(names)))
    figure.add_bar(
        x=list(values),
        y=places,
        orientation="h",
        marker={
            "color": [charts.colour(0 if value >= 0 else 1) for value in values],
            "pattern": {"shape": ["" if value >= 0 else "/" for value in values]},
        },
        error_x={"type": "data", "array": list(spread), "thickness": 1, "color": _MIDDLE} if spread else None,
        customdata=[charts.label(name, 80) for name in names],
        hovertemplate="%{customdata}: %{x:.3~g}<extra></extra>",
        showlegend=False,
    )
    charts.layout(figure, alt=alt, height=90 + 26 * len(names), legend=False)
    figure.update_yaxes(
        tickvals=places,
        ticktext=[charts.label(name, _MOST_LETTERS) for name in names],
        autorange="reversed",
        showgrid=False,
        ticksuffix="",
    )
    figure.update_xaxes(title=charts.label(title), zeroline=True, nticks=6)
    figure.update_layout(hovermode="closest", margin={"l": _room(names), "b": 52}, bargap=0.3)
    return figure


def dependence(found: Row, output: str) -> Figure:
    """The mean prediction as one column is set to one value after the other."""
    figure, values = charts.empty_figure(), found["values"]
    numbers = all(isinstance(one, int | float) for one in values)
    x = values if numbers else list(range(len(values)))
    if "low" in found and numbers:
        figure.add_scatter(
            x=[*x, *x[::-1]],
            y=[*found["high"], *found["low"][::-1]],
            mode="lines",
            fill="toself",
            fillcolor=charts.BAND,
            line={"width": 0},
            hoverinfo="skip",
            name="middle half of rows",
        )
    for place, (name, mean) in enumerate(list(found["mean"].items())[:MOST_CURVES]):
        figure.add_scatter(
            x=x,
            y=mean,
            mode="lines+markers" if numbers else "markers",
            name=charts.label(name, 40),
            marker={"size": 6 if numbers else 10, "symbol": place, "color": charts.colour(place)},
            line={"color": charts.colour(place), "dash": charts.dash(place)},
            text=[charts.label(value, 40) for value in values],
            hovertemplate=f"%{{text}}: {charts.label(name, 40)} %{{y:.4~g}}<extra></extra>",
        )
    ends = [one for mean in found["mean"].values() for one in mean if one is not None]
    alt = f"{output} over {found['column']}: from {number(min(ends))} to {number(max(ends))}." if ends else ""
    _named(charts.layout(figure, alt=alt, height=380, legend=True), str(found["column"]), output)
    if not numbers:
        figure.update_xaxes(tickvals=x, ticktext=[charts.label(one, 14) for one in values])
    return figure


def _curve(figure: Figure, place: int, name: str, x: Sequence[float], y: Sequence[float]) -> None:
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        name=charts.label(name, 48),
        line={
            "color": charts.colour(place),
            "dash": ("solid", "dash", "dot", "dashdot", "longdash", "solid")[place],
            "width": 2,
        },
        hovertemplate="%{x:.1%}, %{y:.1%}<extra>" + charts.label(name, 40) + "</extra>",
    )


def _unit_square(figure: Figure, x: str, y: str) -> Figure:
    _named(figure, x, y)
    figure.update_xaxes(range=[-0.02, 1.02], tickformat="~%", nticks=6)
    figure.update_yaxes(range=[-0.02, 1.04], tickformat="~%", nticks=6)
    return figure


def _named(figure: Figure, x: str, y: str) -> Figure:
    figure.update_xaxes(title={"text": charts.label(x, 60), "standoff": 8})
    figure.update_yaxes(title={"text": charts.label(y, 44), "standoff": 6})
    legend = bool(figure.layout.showlegend)
    figure.update_layout(
        hovermode="closest", margin={"l": 68, "b": 104 if legend else 56}, legend={"y": -0.24} if legend else None
    )
    return figure


def _room(names: Sequence[str]) -> int:
    return 18 + int(_LETTER_PX * max((min(len(str(one)), _MOST_LETTERS + 1) for one in names), default=4))


def _apart(high: float | None, low: float | None) -> float:
    return max(0.0, high - low) if high is not None and low is not None else 0.0
