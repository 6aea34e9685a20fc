"""Trying a threshold before it is used, and what people's labels say of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from lib.anomaly.labels import LEVELS, Advice, Judgement
from lib.auth.actor import Actor, Permission
from lib.db.tables import AnomalyLabel
from lib.errors import AppError
from lib.services.detection_card import Card
from lib.services.detection_threshold import Simulation
from lib.ui import anomaly_view, charts, links, tables
from lib.ui.text import ago, duration, plain

if TYPE_CHECKING:
    from lib.app import App


def threshold(app: App, actor: Actor, source_id: int, host: str | None, card: Card | None) -> None:
    """Try a threshold on the last weeks before switching it on."""
    now = card.rule.open_at if card else 2.7
    with st.container(horizontal=True, vertical_alignment="bottom"):
        level = st.slider(
            "Threshold",
            float(LEVELS[0]),
            float(LEVELS[-1]),
            float(now),
            0.1,
            key=f"threshold_{source_id}_{host}",
            help="Evidence an anomaly takes: 2 is one in a hundred, 3 one in a thousand, 4 one in ten thousand.",
        )
        weeks = st.selectbox(
            "Look back",
            [1, 2, 4, 8, 12],
            index=2,
            key="threshold_weeks",
            width=140,
            format_func=lambda n: f"{n} week{'s' if n > 1 else ''}",
        )
    try:
        tried = app.detection.thresholds.simulate(actor, float(level), source_id=source_id, host=host, weeks=weeks)
    except AppError as error:
        st.info(plain(error.message), icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.metric("Alerts a week", f"{tried.a_week:.1f}", help=f"On {tried.weeks:.1f} weeks of stored scores.")
        st.metric("In all", f"{len(tried.fired):,}")
        st.metric("Not marked today", f"{int(tried.fired['anomaly_id'].isna().sum()):,}")
        st.metric("In force", "differs by host" if tried.now is None else f"{tried.now:g}")
        if st.button(
            f"Use {level:g}",
            icon=":material/check:",
            key="threshold_use",
            type="primary",
            disabled=not actor.may(Permission.DETECT) or tried.now == round(float(level), 2),
            help="From now on, and for what is stored: anomalies below it go, others come.",
        ):
            move(app, actor, float(level), source_id, host)
    charts.show(_curve(tried), key="threshold_curve")
    if tried.learnt > 0.2:
        st.caption(
            f"{tried.learnt:.0%} of this time was in training, where the detector looks back on what it knows; expect "
            "somewhat more on days it has not seen."
        )
    _fired(tried)


def move(app: App, actor: Actor, level: float, source_id: int, host: str | None) -> None:
    try:
        gone, new = app.detection.thresholds.move(actor, level, source_id, host)
        st.toast(f"Threshold {level:g}: {gone} anomalies went, {new} came.", icon=":material/check:")
        st.rerun()
    except AppError as error:
        st.error(plain(error.message))


def _curve(tried: Simulation) -> Any:
    figure = charts.empty_figure()
    figure.add_scatter(
        x=tried.curve["level"],
        y=tried.curve["a_week"],
        mode="lines+markers",
        name="alerts a week",
        line={"color": charts.colour(0), "width": 2},
        marker={"size": 5},
        hovertemplate="%{y:.1f} alerts a week at %{x:.1f}<extra></extra>",
    )
    alt = f"Alerts a week against the threshold, from {tried.curve['a_week'].max():.1f} down to "
    charts.layout(figure, alt=f"{alt}{tried.curve['a_week'].min():.1f}", height=230, legend=False)
    marks = [(tried.level, "tried", charts.ANOMALY, "solid")]
    if tried.now is not None and abs(tried.now - tried.level) > 0.05:
        marks.append((tried.now, "in force", "#808c99", "dash"))
    for at, words, tint, dash in marks:
        figure.add_vline(x=at, line={"color": tint, "width": 1.5, "dash": dash}, annotation_text=words)
    figure.update_layout(
        xaxis={"title": {"text": "threshold"}}, yaxis={"title": {"text": "alerts a week"}, "rangemode": "tozero"}
    )
    return figure


def _fired(tried: Simulation) -> None:
    if not len(tried.fired):
        st.caption("Nothing would have fired.")
        return
    rows = tried.fired
    st.dataframe(
        pd.DataFrame(
            {
                "start": rows["start"],
                "lasted": [duration((b - a).total_seconds()) for a, b in zip(rows["start"], rows["end"], strict=True)],
                "host": rows["host"],
                "score": rows["score"],
                "today": ["– new" if pd.isna(i) else "● marked" for i in rows["anomaly_id"]],
                "label": [anomaly_view.said_of(v) for v in rows["verdict"]],
            }
        ),
        hide_index=True,
        key="threshold_fired",
        height=tables.height(len(rows), 10),
        column_config={
            "start": tables.moment("Began"),
            "lasted": "Lasted",
            "host": "Host",
            "score": st.column_config.NumberColumn("Evidence", format="%.1f", help="3 is one in a thousand."),
            "today": st.column_config.TextColumn("Today", help="Whether it is marked at the threshold in force."),
            "label": "Label",
        },
        alt="What would have fired at this threshold",
    )


def labels(app: App, actor: Actor, source_id: int, host: str | None, card: Card | None) -> None:
    """What people said, what it says of the threshold, and what it did to the last training."""
    said = app.detection.labels.all(actor, source_id, host)
    advice, real, false = app.detection.thresholds.advice(actor, source_id, host)
    now = app.clock()
    if advice is None:
        st.info(
            f"{real} real and {false} false so far; from two of either kind on, labels say which threshold would have "
            "served better. Label anomalies on the Anomalies page with one click.",
            title="Too few labels for advice",
            icon=":material/label:",
        )
        links.to("pages/observe/anomalies.py", "Label anomalies", icon=":material/warning:")
    else:
        _advice(app, actor, advice, source_id, host, card)
    told = (card.metrics.get("labels") if card else None) or {}
    if told:
        st.markdown("**What labels did to the last training**, judged on labels it was not told:")
        _judged(Judgement(**told["before"]), Judgement(**told["after"]), "labels_training")
    if said:
        _said(said, now)
        if host is not None and st.button(
            "Train again with these labels",
            icon=":material/model_training:",
            key="labels_train",
            disabled=not actor.may(Permission.DETECT),
            help="False alarms are learnt as normal; what was real or expected is left out.",
        ):
            try:
                app.detection.train(actor, source_id, host)
                st.rerun()
            except AppError as error:
                st.error(plain(error.message))


def _advice(app: App, actor: Actor, advice: Advice, source_id: int, host: str | None, card: Card | None) -> None:
    now = card.rule.open_at if card else None
    if now is not None and abs(advice.level - now) < 0.05:
        st.success(f"Labels agree with the threshold in force, {now:g}.", icon=":material/check:")
        return
    st.markdown(f"Labels speak for a threshold of **{advice.level:g}**, judged on labels that had no part in choosing:")
    _judged(advice.before, advice.after, "labels_advice")
    if advice.after.f1 <= advice.before.f1:
        st.caption("On labels held back it does no better: more of them are needed before it is worth moving.")
    if st.button(
        f"Use {advice.level:g}",
        icon=":material/check:",
        key="labels_use",
        disabled=not actor.may(Permission.DETECT),
    ):
        move(app, actor, advice.level, source_id, host)


def _judged(before: Judgement, after: Judgement, key: str) -> None:
    rows = [
        {
            "": name,
            "precision": 100 * one.precision,
            "recall": 100 * one.recall,
            "real": f"{one.found} of {one.real}",
            "false": f"{one.called} of {one.false}",
        }
        for name, one in (("before", before), ("after", after))
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key=key,
        column_config={
            "precision": st.column_config.NumberColumn("Precision", format="%.0f %%", help="Of what was called, real."),
            "recall": st.column_config.NumberColumn("Recall", format="%.0f %%", help="Of what was real, called."),
            "real": "Real ones found",
            "false": "False ones called",
        },
        alt="Precision and recall before and after, on labels held back",
    )


def _said(said: Sequence[AnomalyLabel], now: datetime) -> None:
    st.dataframe(
        pd.DataFrame(
            {
                "label": [anomaly_view.said_of(one.verdict) for one in said],
                "host": [one.host for one in said],
                "start": pd.to_datetime([one.start_at for one in said], utc=True),
                "lasted": [duration((one.end_at - one.start_at).total_seconds()) for one in said],
                "by": [one.created_by for one in said],
                "when": [ago(one.created_at, now, short=True) for one in said],
                "note": [one.note for one in said],
            }
        ),
        hide_index=True,
        key="labels_table",
        column_config={
            "label": "Label",
            "host": "Host",
            "start": tables.moment("Began"),
            "lasted": "Lasted",
            "by": "By",
            "when": "When",
            "note": "Note",
        },
        alt="Labels people gave",
    )
