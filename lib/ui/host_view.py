"""A host's profile on the page: facts, its series, what moves together; the last two of a metric as well."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import streamlit as st

from lib.profiling.hosts import HostProfile
from lib.profiling.profiles import MetricProfile
from lib.profiling.report import share, state
from lib.profiling.words import duration
from lib.ui import profile_view, table_view
from lib.ui.text import ago, plain, stamp

MOST_ROWS = 2000


def facts(profile: HostProfile, now: datetime) -> None:
    """The numbers of a host as tiles, and what is most worth predicting."""
    profile_view.tiles(
        [
            ("Series", f"{len(profile.rows):,}", f"Of {profile.metrics:,} metrics."),
            ("Samples", f"{profile.samples:,}", f"From {stamp(profile.first)} to {stamp(profile.last)}."),
            ("Newest", ago(profile.last, now, short=True), "Since the last sample of any of them."),
            ("Missing", profile_view.missing(profile.missing_share), "Of the samples there should be."),
            ("Silent", f"{profile.count('silent'):,}", "Series without a sample for more than three intervals."),
            ("Constant", f"{profile.count('constant'):,}", "Series that never changed."),
            ("Repeats", f"{sum(len(one) - 1 for one in profile.same):,}", "Series that say the same as another one."),
        ]
    )
    if profile.target is not None:
        st.info(
            f"{plain('; '.join(profile.target.reasons)).capitalize()}.",
            title=f"Most worth predicting: {plain(profile.target.title)}",
            icon=":material/target:",
        )


def series(profile: HostProfile | MetricProfile) -> None:
    """One row a series, those with trouble first."""
    st.subheader("Series", anchor=False)
    rows = profile.rows[:MOST_ROWS]
    st.dataframe(
        pd.DataFrame(
            {
                "series": [row.title for row in rows],
                "state": [state(row.silent, row.constant, row.count) for row in rows],
                "unit": [row.unit for row in rows],
                "samples": [row.count for row in rows],
                "missing": [row.missing_share for row in rows],
                "interval": [duration(row.interval_s) for row in rows],
                "daily": [share(row.daily) for row in rows],
                "weekly": [share(row.weekly) for row in rows],
                "trend": [share(row.trend) for row in rows],
            }
        ),
        column_config={
            "series": st.column_config.TextColumn("Series", pinned=True, width="medium"),
            "state": "State",
            "unit": "Unit",
            "samples": st.column_config.NumberColumn("Samples", format="localized"),
            "missing": st.column_config.ProgressColumn("Missing", min_value=0, max_value=1, format="percent"),
            "interval": "Interval",
            "daily": st.column_config.TextColumn("Daily", help="Movement the time of day explains; takes three days."),
            "weekly": st.column_config.TextColumn("Weekly", help="What the weekday adds; takes three weeks."),
            "trend": st.column_config.TextColumn("Trend", help="What a straight line over time explains."),
        },
        hide_index=True,
        key="host_series",
        alt="Series with coverage and rhythm",
    )
    if len(profile.rows) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS:,} of {len(profile.rows):,}; the JSON file has all.")


def relations(profile: HostProfile | MetricProfile) -> None:
    table_view.relations(profile.relations)
    still = len(profile.rows) - profile.related
    if still:
        st.caption(f"Looked for among {profile.related:,} series that move; {still:,} others were left out.")
