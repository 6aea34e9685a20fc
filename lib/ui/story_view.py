"""The story of a dataset on its page: sentences and small charts, what to try with it, and its profile below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor
from lib.datasets.schema import Role
from lib.errors import AppError
from lib.profiling.story import Picture, Story, Verdict, story
from lib.profiling.tables import TableProfile
from lib.services.datasets import Listed
from lib.training.portfolio import LABELS
from lib.training.suggestions import Suggested, advice
from lib.ui import charts, onward, profile_view, table_view
from lib.ui.text import plain

if TYPE_CHECKING:
    from lib.app import App

_VERDICTS = {
    Verdict.GOOD: ("green", ":material/check_circle:"),
    Verdict.FAIR: ("orange", ":material/warning:"),
    Verdict.POOR: ("red", ":material/error:"),
}
_HELPED = "Share of reference tables like this one on which it helped, measured; pulled to that of all where few are."
_CLOSE = "Share of reference tables like this one on which it came within 1% of the best model found."
_LIKE = "Reference tables like this one; real ones, variants of them, and made ones."


def show(app: App, actor: Actor, one: Listed) -> None:
    """All of it for the newest version; worked out when it is first asked for."""
    with st.spinner("Looking at the data"):
        profile = app.suggestions.profile(actor, one.id)
    target = _target(one, profile)
    suggested, refused = None, ""
    if profile.rows and target:
        try:
            with st.spinner("Comparing with reference tables"):
                suggested = app.suggestions.of(actor, one.id, target=target)
        except AppError as error:
            refused = error.message
    told = story(profile, target, advice(suggested) if suggested else ())
    _sentences(told)
    _pictures(told.pictures)
    if refused:
        st.warning(plain(refused, 800), title="Nothing can be learnt like this", icon=":material/block:")
    if suggested:
        _suggested(suggested)
        onward.of_suggestions(app, actor, one, suggested.plan)
    with st.expander("Every column", icon=":material/view_column:"):
        if profile.rows:
            table_view.columns(profile)
            table_view.one_column(profile)
            table_view.relations(profile.relations)
    with st.container(horizontal=True):
        profile_view.export(profile, profile.name, app.clock(), told)
    st.caption(f"Profile as of {plain(profile.as_of.replace('T', ' ').replace('+00:00', ' UTC'))}.")


def _target(one: Listed, profile: TableProfile) -> str:
    """What is to be predicted: the dataset's own target, or a likely one, or what somebody chooses here."""
    names = [column.name for column in one.head.columns]
    own = next((column.name for column in one.head.columns if column.role is Role.TARGET), "")
    guess = own or (profile.target.column if profile.target else "")
    return (
        st.selectbox(
            "To be predicted",
            names,
            index=names.index(guess) if guess in names else None,
            key=f"story_target_{one.id}_{one.head.hash[:8]}",
            placeholder="Choose a column",
            filter_mode="contains",
            help="Columns has the place to make it the dataset's target for good.",
            width=360,
        )
        or ""
    )


def _sentences(told: Story) -> None:
    colour, icon = _VERDICTS[told.verdict]
    st.badge(f"{told.verdict.capitalize()} to learn from", icon=icon, color=colour)  # type: ignore[arg-type]
    chapters = (
        ("What it is", told.what),
        ("How good it is", told.quality),
        ("What stands out", told.stands_out),
        ("What to try", told.attempts),
    )
    with st.grid(2, min_column_width=340):
        for title, lines in chapters:
            with st.container(border=True, height="stretch"):
                st.markdown(f"**{title}**")
                st.markdown("\n".join(f"- {plain(line, 500)}" for line in lines))


def _pictures(pictures: Sequence[Picture]) -> None:
    if not pictures:
        return
    with st.grid(len(pictures), min_column_width=300):
        for number, picture in enumerate(pictures):
            with st.container(border=True):
                st.markdown(f"**{plain(picture.title)}**")
                charts.show(_bars(picture), key=f"story_picture_{number}")


def _bars(picture: Picture):  # type: ignore[no-untyped-def] # plotly is not imported here
    figure = charts.empty_figure()
    unit = {"rows": "%{value:,} rows", "share": "%{value:.1%} of the rows", "strength": "%{value:.2f} of 1"}[
        picture.unit
    ]
    common = {"marker": {"color": charts.PALETTE[0], "line": {"width": 0}}, "showlegend": False}
    if picture.spread:
        labels = [charts.label(one, 20) for one in picture.labels]
        hover = "%{y:,} sampled rows from %{x}<extra></extra>"
        figure.add_bar(x=labels, y=list(picture.values), hovertemplate=hover, **common)
        charts.layout(figure, height=240, alt=picture.title)
        figure.update_xaxes(type="category", nticks=6)
    else:
        labels = [charts.label(one, 30) for one in picture.labels][::-1]
        hover = unit.replace("%{value", "%{x") + "<extra></extra>"
        figure.add_bar(y=labels, x=list(picture.values)[::-1], orientation="h", hovertemplate=hover, **common)
        charts.layout(figure, height=240, alt=picture.title)
        figure.update_yaxes(type="category", automargin=True)
        if picture.unit != "rows":
            figure.update_xaxes(range=[0, 1], tickformat=".0%" if picture.unit == "share" else None)
    figure.update_layout(bargap=0.08, hovermode="closest")
    return figure


def _suggested(suggested: Suggested) -> None:
    """Steps and models in tables: what, why, and how sure that is."""
    st.subheader("Suggested steps", anchor=False)
    for note in suggested.notes:
        st.caption(plain(note, 400))
    kept = [one.step in suggested.plan.steps for one in suggested.steps]
    if suggested.steps:
        st.dataframe(
            pd.DataFrame(
                {
                    "step": [one.step.label for one in suggested.steps],
                    "helped": [one.confidence for one in suggested.steps],
                    "tables": [one.tables for one in suggested.steps],
                    "plan": kept,
                    "why": [one.reason for one in suggested.steps],
                }
            ),
            column_config={
                "step": st.column_config.TextColumn("Step", pinned=True),
                "helped": st.column_config.ProgressColumn(
                    "Helped", min_value=0, max_value=1, format="percent", help=_HELPED
                ),
                "tables": st.column_config.NumberColumn("Tables", format="%d", help=_LIKE),
                "plan": st.column_config.CheckboxColumn("In the plan", help="The others helped less often than not."),
                "why": st.column_config.TextColumn("Why", width="large"),
            },
            hide_index=True,
            key="story_steps",
            alt="Suggested steps with reason and confidence",
        )
    else:
        st.caption("No step is called for: every column can be learnt from as it is.")
    st.subheader("Suggested models", anchor=False)
    st.dataframe(
        pd.DataFrame(
            {
                "model": [LABELS[one.family] for one in suggested.models],
                "close": [one.confidence for one in suggested.models],
                "tables": [one.tables for one in suggested.models],
                "why": [one.reason for one in suggested.models],
            }
        ),
        column_config={
            "model": st.column_config.TextColumn("Model", pinned=True),
            "close": st.column_config.ProgressColumn(
                "Near the best", min_value=0, max_value=1, format="percent", help=_CLOSE
            ),
            "tables": st.column_config.NumberColumn("Tables", format="%d", help=_LIKE),
            "why": st.column_config.TextColumn("Why", width="large"),
        },
        hide_index=True,
        key="story_models",
        alt="Suggested models with reason and confidence",
    )
