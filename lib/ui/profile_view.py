"""A profile on the page: alerts first, then facts, then small charts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial

import pandas as pd
import streamlit as st

from lib.profiling import report
from lib.profiling.hosts import HostProfile
from lib.profiling.profiles import Alert, Level, MetricProfile, SeriesProfile
from lib.profiling.story import Story
from lib.profiling.words import amount, duration
from lib.ui import charts, series_charts, tables
from lib.ui.text import ago, plain, stamp

_CALLOUTS = {Level.ERROR: (st.error, ":material/error:"), Level.WARNING: (st.warning, ":material/warning:")}
# Gaps are listed newest first; more rows nobody reads.
MOST_GAPS = 200


def alerts(found: Sequence[Alert]) -> None:
    """What deserves attention as callouts, gravest first; what is good to know as a list below them."""
    for alert in found:
        if alert.level in _CALLOUTS:
            callout, icon = _CALLOUTS[alert.level]
            callout(plain(alert.remedy), title=plain(alert.sentence), icon=icon)
    notes = [f"- {plain(alert.sentence)} {plain(alert.remedy)}" for alert in found if alert.level is Level.INFO]
    if notes:
        with st.container(border=True):
            st.markdown(":material/info: **Good to know**")
            st.markdown("\n".join(notes))
    if not found:
        st.success("Nothing stands out: regular, complete and alive.", icon=":material/check_circle:")


def series_facts(profile: SeriesProfile) -> None:
    """The numbers of one series as tiles."""
    span = (profile.last - profile.first).total_seconds() if profile.first and profile.last else None
    rhythm, trend = profile.rhythm, profile.trend
    spread = profile.distribution.quantiles
    shown = [
        (
            "Samples",
            f"{profile.count:,}",
            f"Over {duration(span)}, from {stamp(profile.first)} to {stamp(profile.last)}.",
        ),
        ("Interval", duration(profile.interval_s), "Median time between two samples."),
        (
            "Missing",
            missing(profile.missing_share),
            f"{len(profile.gaps):,} gaps, the longest {duration(profile.longest_gap_s)}.",
        ),
        ("No number", f"{profile.nan + profile.infinite:,}", f"{profile.nan:,} NaN and {profile.infinite:,} infinite."),
        ("Median", amount(spread.get(0.5), profile.unit), _range(profile)),
        ("95 % below", amount(spread.get(0.95), profile.unit), "95 of 100 readings are at or below this."),
        ("Daily rhythm", _share(rhythm.daily), "Movement the time of day explains. Takes three days of history."),
        ("Weekly rhythm", _share(rhythm.weekly), "What the day of the week adds. Takes three weeks of history."),
    ]
    if profile.series.kind == "counter":
        shown.append(("Resets", f"{profile.resets:,}", "How often the counter began again at zero."))
    if trend:
        shown.append(
            (
                "Trend a day",
                amount(trend.per_day, profile.unit),
                f"A straight line explains {trend.explained:.0%} of it.",
            )
        )
    tiles(shown)


def metric_facts(profile: MetricProfile, now: pd.Timestamp) -> None:
    """The numbers of a whole metric as tiles."""
    spread, unit = profile.distribution, profile.unit
    shown = [
        ("Series", f"{profile.series:,}", "Different sets of labels."),
        ("Hosts", f"{profile.hosts:,}", "Machines or workloads they belong to."),
        ("Samples", f"{profile.samples:,}", f"From {stamp(profile.first)} to {stamp(profile.last)}."),
        ("Newest", ago(profile.last, now, short=True), "Since the last sample of any of them."),
        ("Silent", f"{len(profile.silent):,}", "Series without a sample for more than three intervals."),
        ("Kind", profile.kind, f"Unit: {unit or 'not told by the name'}."),
    ]
    if spread.quantiles:
        shown += [
            ("Mean", amount(spread.mean, unit), f"Standard deviation {amount(spread.std, unit)}."),
            ("Median", amount(spread.quantiles.get(0.5), unit), _range(profile)),
            ("95 % below", amount(spread.quantiles.get(0.95), unit), "95 of 100 readings are at or below this."),
            ("Missing", missing(profile.missing_share), "Of the samples there should be, with what is no number."),
            ("Constant", f"{profile.constant:,}", "Series that never changed."),
        ]
        last = ("Resets", f"{profile.resets:,}", "How often one of its counters began again at zero.")
        shown.append(
            last if profile.kind == "counter" else ("No number", f"{profile.non_finite:,}", "NaN or infinite.")
        )
    tiles(shown)


def metric_values(profile: MetricProfile) -> None:
    """How the readings of all its series are distributed: a picture and the quantiles."""
    spread = profile.distribution
    if not spread.counts.size:
        return
    with st.grid(2, min_column_width=340):
        with st.container(border=True):
            st.markdown("**Distribution**", help="Of all series together; the farthest thousandth at the ends.")
            charts.show(series_charts.histogram(profile), key="profile_metric_histogram")
        with st.container(border=True):
            st.markdown("**Quantiles**", help="What share of the readings of all series is at or below a value.")
            rows = [(f"{one:.0%}", amount(value, profile.unit)) for one, value in spread.quantiles.items()]
            st.dataframe(
                pd.DataFrame(rows, columns=["share", "value"]),
                column_config={"share": "At or below", "value": "Value"},
                hide_index=True,
                height="auto",
                key="profile_metric_quantiles",
                alt="Quantiles of all readings of the metric",
            )


def sums(profile: SeriesProfile | MetricProfile) -> None:
    """What is exact of the whole range though samples of it have expired; nothing where none have."""
    if profile.sums is None:
        return
    facts = report.summed(profile)
    st.subheader("Whole range", anchor=False)
    st.caption(
        f"From {stamp(profile.sums.window.start)} to {stamp(profile.sums.window.end)}, from samples and, before they "
        f"expired, their sums of {duration(profile.sums.slot_s)}: exact. All else here is of the samples that are left."
    )
    tiles(facts)


def series_charts_of(profile: SeriesProfile) -> None:
    """Histogram and the usual day, beside each other where there is room."""
    with st.grid(2, min_column_width=340):
        with st.container(border=True):
            st.markdown("**Distribution**", help="How often which values occur; the farthest thousandth at the ends.")
            charts.show(series_charts.histogram(profile), key="profile_histogram")
        with st.container(border=True):
            st.markdown("**Usual day**", help="Mean of each UTC hour, shaded from the 10th to the 90th percentile.")
            charts.show(series_charts.day(profile), key="profile_day")
    if profile.gaps:
        with st.expander(f"Gaps: {len(profile.gaps):,}", icon=":material/timeline:"):
            newest = sorted(profile.gaps, key=lambda gap: gap.start, reverse=True)[:MOST_GAPS]
            st.dataframe(
                pd.DataFrame(
                    {
                        "from": [gap.start for gap in newest],
                        "to": [gap.end for gap in newest],
                        "lasted": [duration(gap.seconds) for gap in newest],
                    }
                ),
                column_config={"from": tables.moment("From"), "to": tables.moment("To"), "lasted": "Lasted"},
                hide_index=True,
                key="profile_gaps",
                alt="Gaps of the series, newest first",
            )


def export(profile: report.Profile, name: str, now: datetime, told: Story | None = None) -> None:
    """Take the profile along; the files are made when asked for. told: the story of a table as the page has it."""
    stem = re.sub(r"[^\w.-]+", "_", name).strip("._")[:80] or "profile"
    for kind, mime in (("json", "application/json"), ("html", "text/html")):
        st.download_button(
            kind.upper(),
            partial(report.to_json if kind == "json" else report.to_html, profile, now, told),
            f"profile-{stem}.{kind}",
            mime,
            key=f"profile_export_{kind}",
            icon=":material/download:",
            on_click="ignore",
            help="Everything the profile holds." if kind == "json" else "One page, to be opened or sent anywhere.",
        )


def label_table(profile: MetricProfile | HostProfile, series: int) -> None:
    """Which labels make the series many."""
    st.subheader("Labels", anchor=False)
    if profile.shared:
        # Code, not markdown: label values are foreign text.
        st.caption("The same everywhere:")
        st.code(", ".join(f'{name}="{value}"' for name, value in sorted(profile.shared.items())), language=None)
    if not profile.labels:
        st.caption("No label tells its series apart.")
        return
    st.dataframe(
        pd.DataFrame(
            {
                "label": [one.label for one in profile.labels],
                "values": [one.distinct for one in profile.labels],
                "most": [[f"{value} ({count:,})" for value, count in one.top.items()] for one in profile.labels],
            }
        ),
        column_config={
            "label": st.column_config.TextColumn("Label"),
            "values": st.column_config.ProgressColumn(
                "Values", min_value=0, max_value=max(series, 1), format="%d", help="Of as many series."
            ),
            "most": st.column_config.ListColumn("Most frequent (series)", width="large"),
        },
        hide_index=True,
        key="profile_labels",
        alt="Labels of the metric with their number of values",
    )


def tiles(shown: Sequence[tuple[str, str, str]]) -> None:
    """Figures beside each other: name, value, and what it means."""
    with st.grid(len(shown) if len(shown) <= 5 else (len(shown) + 1) // 2, min_column_width=180, gap="small"):
        for name, value, help_ in shown:
            st.metric(name, value, help=help_, border=True, height="stretch")


def missing(share: float) -> str:
    """A share of what is missing; a little is not nothing."""
    return "under 0.1%" if 0 < share < 0.0005 else f"{share:.1%}"


def _share(share: float | None) -> str:
    return "too short" if share is None else f"{share:.0%}"


def _range(profile: SeriesProfile | MetricProfile) -> str:
    spread = profile.distribution.quantiles
    kind = profile.kind if isinstance(profile, MetricProfile) else profile.series.kind
    per = " Rate per second of the counter." if kind == "counter" else ""
    return f"From {amount(spread.get(0.0), profile.unit)} to {amount(spread.get(1.0), profile.unit)}.{per}"
