"""The Detectors page's first part: what a detector is, and training it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lib.anomaly.options import DIRECTIONS, MISSING, Options
from lib.auth.actor import Actor, Permission
from lib.errors import AppError
from lib.frames import Window
from lib.services.detection_card import Card
from lib.ui.text import ago, duration, plain, stamp

if TYPE_CHECKING:
    from lib.app import App

SPANS = {"7 days": 7, "14 days": 14, "30 days": 30, "60 days": 60, "90 days": 90}


def table(groups: pd.DataFrame, now: datetime) -> None:
    """Each host with what watches it."""
    shown = pd.DataFrame(
        {
            "source": groups["source"],
            "host": groups["host"].replace("", "(no host label)"),
            "series": groups["series"],
            "state": groups["state"].map({"trained": "✓ trained", "training": "▶ training"}).fillna("– no detector"),
            "version": groups["version"],
            "trained": [ago(t, now) if t is not None and not pd.isna(t) else "never" for t in groups["trained_at"]],
        }
    )
    st.dataframe(
        shown,
        hide_index=True,
        key="detectors_table",
        column_config={
            "source": "Source",
            "host": "Host",
            "series": st.column_config.NumberColumn("Series"),
            "state": "Detector",
            "version": st.column_config.NumberColumn("Version"),
            "trained": "Trained",
        },
        alt="Hosts and their detectors",
    )


def none_yet() -> None:
    """Why there is nothing to see of a host, and what to do."""
    st.info(
        "Train it first; it takes 300 points, a few seconds.", title="No detector yet", icon=":material/model_training:"
    )


def facts(card: Card, now: datetime) -> None:
    """What it is, in one line and a few figures; what it cannot know yet; what it watches."""
    with st.container(horizontal=True):
        st.metric("Version", f"{card.version}", help=f"By {plain(card.created_by)}, {stamp(card.created_at)}.")
        st.metric("Learnt from", f"{card.metrics.get('points', 0):,} points", help=_span(card))
        st.metric("Watches", f"{len(card.channels)} quantities", help="Series that say the same are watched once.")
        st.metric("Features", f"{card.metrics.get('features', 0):,}", help="What the forest looks at.")
        st.metric("Threshold", f"{card.rule.open_at:g}", help="Evidence it takes: 3 is one in a thousand.")
    st.caption(
        f"Trained {ago(card.created_at, now, short=True)} on {_span(card)}, a point each {duration(card.step_s)}. "
        f"{card.metrics.get('left_out_as_strange', 0):,} points looked strange and were not learnt from."
    )
    for limit in card.limits:
        st.caption(f":material/hourglass_empty: {plain(limit)}")
    with st.expander(f"What it watches, and {len(card.left_out)} it leaves out", icon=":material/visibility:"):
        watched, left = st.columns(2)
        watched.dataframe(
            pd.DataFrame({"watched": [c.title for c in card.channels], "metric": [c.metric for c in card.channels]}),
            hide_index=True,
            key="detector_watched",
            alt="Quantities the detector watches",
        )
        left.dataframe(
            pd.DataFrame(card.left_out, columns=["left out", "why"]),
            hide_index=True,
            key="detector_left_out",
            alt="What it leaves out, with the reason",
        )


def _span(card: Card) -> str:
    if card.trained_from is None or card.trained_until is None:
        return "an unknown span"
    return f"{stamp(card.trained_from)} to {stamp(card.trained_until)}"


# --- training --------------------------------------------------------------------------------------


def train_form(app: App, actor: Actor, source_id: int, host: str, card: Card | None) -> None:
    """What to learn from and what to look for; those who may not train see the choices in force."""
    now, before = app.clock(), card.options if card else Options()
    with st.form("train_form", border=False):
        left, right = st.columns(2)
        span = left.selectbox("Learn from the last", list(SPANS), index=2, key="train_span")
        direction = right.selectbox(
            "Which side counts",
            DIRECTIONS,
            index=DIRECTIONS.index(before.direction),
            key="train_direction",
            help="above: only what is higher than expected is an anomaly; below: only what is lower.",
        )
        missing = left.selectbox(
            "Samples that do not come",
            MISSING,
            index=MISSING.index(before.missing),
            key="train_missing",
            format_func=lambda choice: {"ignore": "are left out", "signal": "are a sign themselves"}[choice],
        )
        smooth = right.number_input(
            "Steps a score is averaged over", 1, 60, before.smooth, key="train_smooth", help="More is calmer and later."
        )
        least = _least(card, before)
        with st.expander("The forest", icon=":material/forest:"):
            a, b, c, d = st.columns(4)
            trees = a.number_input("Trees", 10, 500, before.trees, key="train_trees")
            rows = b.number_input("Rows a tree", 64, 8192, before.tree_rows, key="train_rows")
            axes = c.number_input("Axes", 2, 100, before.components, key="train_axes", help="Of the whitened features.")
            weight = d.number_input("Its weight", 0.05, 0.9, before.forest, 0.05, key="train_weight")
        pressed = st.form_submit_button(
            "Train",
            icon=":material/model_training:",
            key="train",
            type="primary",
            disabled=not actor.may(Permission.DETECT),
            help="" if actor.may(Permission.DETECT) else "Training takes the role analyst.",
        )
    if pressed:
        options = Options(
            int(trees), int(rows), int(axes), int(smooth), float(weight), str(direction), least, str(missing)
        )
        try:
            window = Window(now - timedelta(days=SPANS[str(span)]), now)
            app.detection.train(actor, source_id, host, window, options=options.to_json())
        except AppError as error:
            st.error(plain(error.message))
            return
        st.rerun()


def _least(card: Card | None, before: Options) -> dict[str, float]:
    """What must be missing to the expected value, by metric in its own unit; 0 means nothing."""
    if card is None:
        return dict(before.least)
    units = {c.metric: c.unit for c in card.channels}
    rows = pd.DataFrame(
        {
            "metric": list(units),
            "unit": list(units.values()),
            "least": [float(before.least.get(metric, 0.0)) for metric in units],
        }
    )
    with st.expander("Least deviation by metric", icon=":material/straighten:"):
        st.caption("A metric counts only when it is this far from what was expected, in its own unit. 0: any distance.")
        edited = st.data_editor(
            rows,
            hide_index=True,
            key=f"train_least_{card.id}",
            disabled=["metric", "unit"],
            column_config={
                "metric": "Metric",
                "unit": "Unit",
                "least": st.column_config.NumberColumn("Least deviation", min_value=0.0),
            },
            alt="Least deviation by metric",
        )
    return {str(m): float(v) for m, v in zip(edited["metric"], edited["least"], strict=True) if v and v > 0}
