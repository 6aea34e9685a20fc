"""Chart data as figures: lines of a metric, a histogram, the pattern of a day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lib.frames import Window
from lib.profiling.profiles import MetricProfile, SeriesProfile
from lib.profiling.words import duration
from lib.services.annotations import Mark
from lib.services.exploration import ChartData
from lib.ui import charts
from lib.ui.text import stamp

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Each mark is a shape the browser draws; beyond this they merge into one red field anyway.
MOST_MARKS = 60
MOST_NOTES = 30
_MUTED, _SAID = "#6878a8", "#b0643c"
TIERS = {"5m": "5 minutes", "1h": "1 hour"}
# Contributors beyond these moved along; marking their charts too would paint every chart of the host red.
FOREMOST = 3


def lines(
    data: ChartData,
    *,
    title: str,
    marks: list[tuple[datetime, datetime, str]],
    revision: str = "",
    earlier: ChartData | None = None,
    notes: Sequence[Mark] = (),
) -> Figure:
    """Series over time; with a single series of buckets also the area between least and most.

    earlier: the same series some days before, drawn faint under the same hours. notes: what people marked.
    """
    figure = charts.empty_figure()
    for index, line in enumerate(data.lines):
        if len(data.lines) == 1 and line.low is not None and line.high is not None:
            charts.add_band(figure, line.ts_ms, line.low, line.high, name="least to most")
        charts.add_line(figure, line.ts_ms, line.value, name=line.title, index=index, unit=data.unit)
    if earlier is not None:
        _faint(figure, data, earlier)
    charts.add_spans(figure, marks[:MOST_MARKS])
    charts.add_notes(figure, [_note(one, data.window) for one in notes[:MOST_NOTES]])
    alt = (
        f"{title} from {data.window.start:%Y-%m-%d %H:%M} to {data.window.end:%Y-%m-%d %H:%M} UTC, "
        f"{len(data.lines)} series, anomalies marked: {len(marks)}."
        + (f" {_tiers(data).capitalize()}." if data.tiers else "")
    )
    charts.layout(figure, unit=data.unit, alt=alt, height=420)
    charts.calm(figure)
    return charts.time_axis(figure, data.window.start, data.window.end, revision)


def panels(parts: Sequence[tuple[str, ChartData]], window: Window, revision: str = "") -> Figure:
    """Panels one above the other on one time axis, each with the scale of its unit.

    parts: words over the panel, and its lines.
    """
    figure = charts.empty_figure()
    index = 0
    for number, (_, data) in enumerate(parts, 1):
        axis = "y" if number == 1 else f"y{number}"
        for line in data.lines:
            charts.add_line(figure, line.ts_ms, line.value, name=line.title, index=index, unit=data.unit, yaxis=axis)
            index += 1
    titles = ", ".join(title for title, _ in parts)
    alt = f"{titles} from {window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC, one above the other."
    legend = any(len(data.lines) > 1 for _, data in parts)
    # About four names a row, and six rows at most: beyond, as on a telephone, the legend scrolls and the lines keep
    # their height.
    names = 22 * min(-(-index // 4), 6) if legend else 0
    charts.layout(figure, alt=alt, height=90 + 150 * len(parts) + names, legend=legend)
    if legend:
        figure.layout.margin.b = 58 + names
        figure.layout.legend.maxheight = max(names, 22)
        # As far below the axis as under a single chart.
        figure.layout.legend.y = -46 / (150 * len(parts))
    charts.time_axis(figure, window.start, window.end, revision)
    return charts.stack(figure, [(title, data.unit) for title, data in parts])


def _faint(figure: Figure, data: ChartData, earlier: ChartData) -> None:
    """Each line as it was, moved under today's, in its colour; one of a series without a line today is left out."""
    moved = round((data.window.start - earlier.window.start).total_seconds() * 1000)
    places = {line.series.id: index for index, line in enumerate(data.lines)}
    words = "a day earlier" if moved == 86_400_000 else f"{moved // 86_400_000} days earlier"
    for line in earlier.lines:
        index = places.get(line.series.id)
        if index is not None:
            name = f"{line.title}, {words}" if len(data.lines) > 1 else words
            charts.add_line(
                figure,
                line.ts_ms + moved,
                line.value,
                name=name,
                index=index,
                unit=data.unit,
                width=1.1,
                opacity=0.45,
                showlegend=len(data.lines) == 1,
            )
            figure.data[-1].line.dash = "dot"


def _note(mark: Mark, window: Window) -> tuple[datetime, datetime | None, str, str]:
    words = f"{mark.kind}: {mark.text}" if mark.text else str(mark.kind)
    start, end = max(mark.start, window.start), min(mark.end, window.end) if mark.end else None
    return start, end, words, _MUTED if mark.mutes else _SAID


def describe(data: ChartData) -> str:
    """What is drawn, in one line under the chart."""
    parts = []
    if data.rate:
        parts.append("counter shown as rate per second, resets handled")
    if data.step_s:
        parts.append(
            f"mean of each {duration(data.step_s)}"
            + (", shaded from least to most" if len(data.lines) == 1 else "")
            + f" ({data.samples:,} samples)"
        )
    else:
        parts.append(f"all {data.samples:,} samples")
    if data.tiers:
        parts.append(_tiers(data))
    parts.append("lines break where samples are missing")
    if data.non_finite:
        parts.append(f"{data.non_finite:,} values that are no number (NaN, Inf) left out")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def _tiers(data: ChartData) -> str:
    """Where what is drawn comes from when it is not samples alone."""
    sums = " and ".join(TIERS[tier] for tier in data.tiers)
    if not data.expired:
        return f"archived days drawn from their sums of {sums}"
    days = "1 day have" if data.expired == 1 else f"{data.expired} days have"
    rates = ", a counter's rate is the mean over each" if data.rate else ""
    return f"samples of {days} expired and are drawn from sums of {sums}{rates}"


def nothing_drawn(data: ChartData) -> str:
    """Why there is no line, and what to try."""
    if not data.samples:
        return (
            f"No samples from {stamp(data.window.start)} to {stamp(data.window.end)}. Choose a longer range, or check "
            "on the Sources page when it was last collected."
        )
    if data.non_finite == data.samples:
        return f"All {data.samples:,} samples in this range are no numbers (NaN or infinite); see the Profile page."
    return "A rate takes two samples of a counter without a gap between them. Choose a longer range, or wait a moment."


def marks_of(anomalies: pd.DataFrame, series_ids: set[int], window: Window) -> list[tuple[datetime, datetime, str]]:
    """Spans of the anomalies one of these series took part in: (start, end, words), cut to the window."""
    found = []
    for row in anomalies.itertuples() if len(anomalies) else ():
        if not taking_part(row) & series_ids:
            continue
        start = max(_utc(row.start_ts), window.start)
        end = min(_utc(row.end_ts) if not pd.isna(row.end_ts) else window.end, window.end)
        found.append((start, max(end, start), sentence(row)))
    return found


def taking_part(row: Any) -> set[int]:
    """The series an anomaly is about: the one that contributed most, and those of the foremost contributors."""
    explanation = row.explanation if isinstance(row.explanation, dict) else {}
    ids = set() if pd.isna(row.series_id) else {int(row.series_id)}
    for one in explanation.get("contributors", ())[:FOREMOST]:
        ids.update(int(series_id) for series_id in one.get("series_ids") or () if series_id is not None)
    return ids


def sentence(row: Any) -> str:
    """What an anomaly was, in words."""
    explanation = row.explanation if isinstance(row.explanation, dict) else {}
    return str(explanation.get("sentence") or f"{row.severity} anomaly on {row.host}")


def histogram(profile: SeriesProfile | MetricProfile) -> Figure:
    """How often which values occur."""
    spread = profile.distribution
    figure = charts.empty_figure()
    centres = (spread.edges[:-1] + spread.edges[1:]) / 2
    figure.add_bar(
        x=centres,
        y=spread.counts,
        width=np.diff(spread.edges) if spread.counts.size > 1 else None,
        marker={"color": charts.PALETTE[0], "line": {"width": 0}},
        hovertemplate="%{y:,} samples around %{x:.4~s}<extra></extra>",
        showlegend=False,
    )
    metric = profile.metric if isinstance(profile, MetricProfile) else profile.series.metric
    charts.layout(figure, height=260, alt=f"Histogram of {metric}, {spread.counts.sum():,} values.")
    figure.update_layout(bargap=0.02, hovermode="closest", yaxis={"title": {"text": "samples", "font": {"size": 11}}})
    return charts.value_axis(figure, profile.unit, "x")


def day(profile: SeriesProfile) -> Figure:
    """The usual course of a day: mean of each UTC hour, shaded from the 10th to the 90th percentile."""
    hours = profile.rhythm.hours
    start = pd.Timestamp("2000-01-01", tz="UTC")
    at = pd.date_range(start, periods=24, freq="h")
    figure = charts.empty_figure()
    charts.add_band(figure, at, hours[:, 1], hours[:, 2], name="10 % to 90 %")
    charts.add_line(figure, at, hours[:, 0], name="mean", unit=profile.unit, width=2)
    charts.layout(figure, unit=profile.unit, height=260, alt=f"Mean of {profile.series.metric} by hour of day, UTC.")
    figure.update_xaxes(type="date", tickformat="%H:%M", hoverformat="%H:%M UTC", nticks=9)
    return figure


def _utc(moment: Any) -> datetime:
    stamp = pd.Timestamp(moment)
    return (stamp.tz_localize(UTC) if stamp.tzinfo is None else stamp.tz_convert(UTC)).to_pydatetime()
