"""The page of changes: a card an event with its course, the table of all, and words for what was compared."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from lib.profiling.changes import Test
from lib.profiling.words import spelt
from lib.services.changes import MOST_SERIES, Change, Changed, Event
from lib.ui import charts, links, tables
from lib.ui.text import amount, duration, plain, stamp

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Test -> (character in tables, icon, words).
SIGNS: dict[Test, tuple[str, str, str]] = {
    Test.LEVEL: ("↕", ":material/height:", "level"),
    Test.SPREAD: ("≷", ":material/vital_signs:", "spread"),
    Test.SHAPE: ("∿", ":material/airwave:", "distribution"),
    Test.TREND: ("↗", ":material/trending_up:", "trend"),
    Test.PEAK: ("∧", ":material/show_chart:", "peak"),
    Test.FLAT: ("─", ":material/horizontal_rule:", "stands still"),
    Test.APPEARED: ("＋", ":material/new_label:", "appeared"),  # noqa: RUF001
    Test.DISAPPEARED: ("✕", ":material/label_off:", "disappeared"),
}
# What several series of a host did at one moment.
TOGETHER = {
    Test.LEVEL: "changed level",
    Test.FLAT: "came to stand still",
    Test.APPEARED: "appeared",
    Test.DISAPPEARED: "stopped",
}
_BEFORE, _EARLIER = "#808c99", "#8a7560"


def summary(found: Changed) -> None:
    """How many were compared with what, how many stand out, and how strong chance alone would be."""
    earlier = ""
    if found.earlier:
        *rest, last = map(str, found.earlier)
        days = f"{', '.join(rest)} and {last}" if rest else last
        earlier = f" and with the same time {days} day{'s' if days != '1' else ''} earlier"
    st.markdown(
        f"**{found.above:,} of {found.compared:,}** series changed more than chance explains, from "
        f"{stamp(found.window.start)} to {stamp(found.window.end)}, compared with the "
        f"{_stretch(found.before.span)} before{earlier}."
    )
    if not found.earlier:
        st.caption(
            ":material/info: Earlier days are not stored: what happens every day at this time shows as a change, too."
        )
    if found.gone:
        st.caption(
            f":material/info: Samples before {found.gone:%Y-%m-%d} UTC have expired: the time before is as long "
            "as what is left allows."
        )
    if found.left_out:
        st.info(
            f"{found.left_out:,} of {found.series:,} series were left out: at most {MOST_SERIES:,}, and fewer of a "
            "long range, are compared at once. Those compared are spread evenly over metrics and hosts. "
            "Choose a source, a host or a shorter range to see the rest."
        )


def method(found: Changed) -> None:
    """How to read the scores."""
    st.caption(
        "In the charts the window is blue, the time before it grey, the same time of an earlier day dotted. "
        f"Score 1 is what one test reaches by chance in one series of a hundred. With {found.compared:,} series "
        f"compared, the strongest by chance was {found.chance:.1f}: that of the "
        f"{_stretch(found.before.span / _times(found))} "
        "before the window, compared in the same way; what lies above it is marked ◆. Counters as rate per second, "
        f"resets handled. {found.samples:,} samples in steps of {duration(found.step_s)}. "
        f"As of {stamp(found.as_of, seconds=True)}."
    )


def nothing(found: Changed) -> None:
    """Why there is no card, and what to try."""
    if not found.series:
        st.info(
            f"No samples from {stamp(found.before.start)} to {stamp(found.window.end)}. Choose another range, source "
            "or host, or check on the Sources page when it was last collected.",
            title="Nothing to compare",
            icon=":material/search_off:",
        )
    elif not found.compared:
        st.info(
            f"{found.series:,} series {'has' if found.series == 1 else 'have'} samples in these times, but too few of "
            "them are numbers: a comparison takes 3 readings in the window and 6 before it. Choose a longer range, or "
            "wait a moment.",
            title="Too little to compare",
            icon=":material/hourglass_empty:",
        )
    else:
        silent = found.series - found.left_out - found.compared
        rest = f" {silent:,} more have too few readings in these times to say." if silent > 0 else ""
        st.info(
            f"All {found.compared:,} series were as before, or as usual at this time of day, from "
            f"{stamp(found.window.start)} to {stamp(found.window.end)}, compared with the "
            f"{_stretch(found.before.span)} before.{rest} Something short hides in a long range: try a shorter one.",
            title="Nothing changed",
            icon=":material/check_circle:",
        )
        st.caption(f"As of {stamp(found.as_of, seconds=True)}.")


def cards(found: Changed) -> None:
    """The foremost events, two beside each other."""
    for first in range(0, len(found.events), 2):
        columns = st.columns(2, gap="small")
        for number, (column, one) in enumerate(zip(columns, found.events[first : first + 2], strict=False), first + 1):
            with column, st.container(border=True, key=f"change_{number}"):
                _card(number, one, found)


def _card(number: int, event: Event, found: Changed) -> None:
    one = event.changes[0]
    _, icon, words = SIGNS[event.test]
    alone = event.series == 1
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(words, icon=icon, color="orange" if event.score > found.chance else "gray")
        who = f"**{plain(one.title, 60)}** {plain(one.series.host, 40)}" if alone else f"**{plain(headline(event))}**"
        st.markdown(who, width="stretch")
    st.markdown(plain(one.reason) if alone else f"Foremost {plain(one.title, 60)}: {plain(one.reason)}")
    charts.show(course(one, found), key=f"change_chart_{number}")
    also = f"; also {', '.join(SIGNS[other][2] for other in one.also)}" if one.also else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        mark = "◆ " if event.score > found.chance else ""
        st.caption(f"{mark}Score {event.score:.1f}{also}. {plain(_labels(one), 140)}", width="stretch")
        links.to("pages/observe/explore.py", "Explore", icon=":material/monitoring:", query=explore(one, found))
    if not alone:
        with st.expander(f"{event.series:,} series", key=f"change_series_{number}"):
            if event.series > len(event.changes):
                st.caption(f"The first {len(event.changes):,} of {event.series:,}.")
            _members(number, event)


def headline(event: Event) -> str:
    """`web-03: 19 series stopped at 10:32:15 UTC`."""
    name, value = event.owner or ("", "")
    at = f" at {event.at:%H:%M:%S} UTC" if event.at else ""
    who = f"{name}={value}" if name else value
    return f"{who}: {event.series:,} series {TOGETHER[event.test]}{at}"


def _members(number: int, event: Event) -> None:
    rows = [
        {
            "metric": one.series.metric,
            "labels": _labels(one),
            "before": amount(one.before, one.unit),
            "now": amount(one.now, one.unit),
            "score": one.score,
        }
        for one in event.changes
    ]
    st.dataframe(
        pd.DataFrame(rows),
        key=f"change_members_{number}",
        hide_index=True,
        height=tables.height(len(rows), 8),
        column_config={
            "metric": st.column_config.TextColumn("Metric", width="medium"),
            "labels": st.column_config.TextColumn("Labels"),
            "before": st.column_config.TextColumn("Before", width=90, help="Median before the window."),
            "now": st.column_config.TextColumn("Now", width=90, help="Median in the window."),
            "score": st.column_config.NumberColumn("Score", format="%.1f", width=70),
        },
        alt=f"Series of one event: {headline(event)}",
    )


def course(one: Change, found: Changed) -> Figure:
    """The time before in grey, the window in colour and shaded, the same time of an earlier day dotted."""
    figure = charts.empty_figure()
    inside = one.ts_ms >= found.window.start.timestamp() * 1000
    x = charts.milliseconds(one.ts_ms)
    if np.isfinite(one.earlier).any():
        figure.add_scatter(
            x=x,
            y=one.earlier,
            mode="lines",
            name=_day(found),
            line={"color": _EARLIER, "width": 1, "dash": "dot"},
            connectgaps=False,
            hovertemplate=charts.hover(_day(found), one.unit),
        )
    # The line of the window begins where that before it ends.
    joined = inside | np.append(inside[1:], False)
    for name, mask, tint, width in (("before", ~inside, _BEFORE, 1.4), ("now", joined, charts.colour(0), 2.0)):
        y = np.where(mask, one.value, np.nan)
        known = np.isfinite(y)
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines" if known.sum() > 1 else "markers",
            name=name,
            line={"color": tint, "width": width},
            connectgaps=False,
            hovertemplate=charts.hover(name, one.unit),
        )
    alt = f"{one.series.metric} on {one.series.host} before and within the window: {one.reason}"
    charts.layout(figure, unit=one.unit, alt=alt, height=170, legend=False)
    charts.time_axis(figure, found.before.start, found.window.end)
    figure.layout.shapes = [
        {
            "type": "rect",
            "x0": found.window.start.timestamp() * 1000,
            "x1": found.window.end.timestamp() * 1000,
            "y0": 0,
            "y1": 1,
            "yref": "y domain",
            "fillcolor": "rgba(47, 126, 216, 0.10)",
            "line": {"width": 0},
            "layer": "below",
        }
    ]
    figure.layout.yaxis.nticks = 4
    known = np.concatenate([one.value, one.earlier])
    known = known[np.isfinite(known)]
    if known.size and np.ptp(known) <= 1e-6 * np.abs(known).max():
        # A constant, which plotly would show with ten digits an axis tick.
        middle = float(known[0])
        figure.layout.yaxis.range = [middle - (abs(middle) or 1) / 2, middle + (abs(middle) or 1) / 2]
    figure.layout.margin.b = 36
    return figure


def table(found: Changed) -> None:
    """Everything on the list, as numbers."""
    rows = [
        {
            "score": one.score,
            "mark": "◆" if one.score > found.chance else "",
            "test": f"{SIGNS[one.test][0]} {SIGNS[one.test][2]}",
            "metric": one.series.metric,
            "host": one.series.host,
            "labels": _labels(one),
            "before": amount(one.before, one.unit),
            "now": amount(one.now, one.unit),
            "why": one.reason,
        }
        for one in found.changes
    ]
    st.dataframe(
        pd.DataFrame(rows),
        key="changes_table",
        hide_index=True,
        height=tables.height(len(rows), 10),
        column_config={
            "score": st.column_config.NumberColumn("Score", format="%.1f", width=70),
            "mark": st.column_config.TextColumn("", width=30, help="◆ stronger than anything chance did."),
            "test": st.column_config.TextColumn("Test", width=120),
            "metric": st.column_config.TextColumn("Metric", width="medium"),
            "host": st.column_config.TextColumn("Host"),
            "labels": st.column_config.TextColumn("Labels"),
            "before": st.column_config.TextColumn("Before", width=90, help="Median before the window."),
            "now": st.column_config.TextColumn("Now", width=90, help="Median in the window."),
            "why": st.column_config.TextColumn("Why", width="large"),
        },
        alt="Series that changed, the strongest first",
    )


def explore(one: Change, found: Changed) -> dict[str, str]:
    """What makes Explore show this series in these times."""
    # To the next minute: an address has no seconds.
    end: datetime = found.window.end + timedelta(seconds=59)
    return {
        "metric": one.series.metric,
        **({"host": one.series.host} if one.series.host else {}),
        "range": "custom",
        "range_from": f"{found.before.start:%Y-%m-%dT%H:%M}",
        "range_to": f"{end:%Y-%m-%dT%H:%M}",
    }


def _stretch(span: timedelta) -> str:
    """Behind "the": the day before, the 4 hours before."""
    words = spelt(span)
    return words.removeprefix("1 ") if words.count(" ") == 1 else words


def _labels(one: Change) -> str:
    told = {"job", "__name__"} | {name for name, value in one.series.labels.items() if value == one.series.host}
    return ", ".join(f"{name}={value}" for name, value in sorted(one.series.labels.items()) if name not in told)


def _day(found: Changed) -> str:
    return "a day earlier" if found.earlier[0] == 1 else f"{found.earlier[0]} days earlier"


def _times(found: Changed) -> int:
    return max(1, round(found.before.span / found.window.span))
