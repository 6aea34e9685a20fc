"""The Forecast page's parts: what to foresee, the answer to a limit, the report card, how earlier ones did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.errors import AppError
from lib.forecast.capacity import Crossing, Side, State
from lib.forecast.countries import COUNTRIES
from lib.forecast.forecaster import Card
from lib.forecast.outcome import Outcome
from lib.frames import Series, from_ms
from lib.profiling.titles import short_titles
from lib.services.forecasting import View
from lib.store.forecasts import Made
from lib.ui import controls, refusal, tables
from lib.ui.text import ago, amount, duration, plain, stamp

if TYPE_CHECKING:
    from lib.app import App

# What the URL carries -> how far ahead.
HORIZONS = {
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
    "3d": timedelta(days=3),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
CHOSEN = "forecast"
_ROWS_SHOWN = 8
_CODES = {name: code for code, name in COUNTRIES.items()}
# As the chart draws them.
MARKS = {"earliest": "◀", "likely": "◆", "latest": "▶"}


def series_picker(found: Sequence[Series], total: int) -> int:
    """One series of those listed; draws nothing while there is only one."""
    ids = {title: series_id for series_id, title in short_titles(found).items()}
    if len(ids) == 1:
        return found[0].id
    more = f"The first {len(found):,} of {total:,}; narrow them by host." if total > len(found) else None
    chosen = st.selectbox("Series", list(ids), key="series", bind="query-params", filter_mode="contains", help=more)
    return ids.get(chosen or "", found[0].id)


def question() -> tuple[timedelta, str, str | None, str]:
    """Horizon, limit as written, side of it, and country code."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        horizon = st.segmented_control(
            "Horizon", list(HORIZONS), default="1d", required=True, key="horizon", bind="query-params"
        )
        limit = st.text_input(
            "Limit",
            key="limit",
            bind="query-params",
            placeholder="none",
            width=130,
            help="When is it crossed? In the unit of the chart: 250, 1.5 TiB, 90 %.",
        )
        side = st.segmented_control(
            "Crossed when", list(Side), key="side", bind="query-params", help="Unset: whichever way the limit lies."
        )
        country = st.selectbox(
            "Holidays",
            list(_CODES),
            index=None,
            key="country",
            bind="query-params",
            placeholder="none",
            width=190,
            help="Prophet then learns what holidays change; that takes a history that has some.",
        )
    return HORIZONS.get(horizon or "", HORIZONS["1d"]), limit or "", side, _CODES.get(country or "", "")


def begin(app: App, actor: Actor, series_id: int, horizon: timedelta, country: str, standing_id: int | None) -> None:
    """The buttons that make a forecast, once or every day."""
    may = actor.may(Permission.RUN_TASKS)
    why = "" if may else "This takes the role analyst."
    with st.container(horizontal=True):
        make = st.button(
            f"Forecast {duration(horizon.total_seconds())}",
            type="primary",
            icon=":material/trending_up:",
            key="forecast_make",
            disabled=not may,
            help=why or "Tries each model on the past of this series; takes some seconds.",
        )
        if standing_id is None:
            daily = st.button(
                "Make it every day",
                icon=":material/event_repeat:",
                key="forecast_keep",
                disabled=not may,
                help=why or "Anew every day, so that you can see how each did.",
            )
        else:
            daily = st.button(
                "Stop making it every day", icon=":material/event_busy:", key="forecast_drop", disabled=not may
            )
    if not (make or daily):
        return
    with refusal.shown():
        if make:
            app.forecasting.forecast(actor, [series_id], horizon=horizon, country=country)
            st.query_params.pop(CHOSEN, None)
        elif standing_id is None:
            app.forecasting.keep(actor, series_id, horizon=horizon, country=country)
        else:
            app.forecasting.drop(actor, standing_id)
        st.rerun()


def follow(app: App, actor: Actor, series_id: int) -> None:
    """Progress while a forecast of this series is made; how the last one failed."""
    last = app.forecasting.last_task(actor, series_id)
    if last is None:
        return
    if last.error:
        st.warning(plain(last.error, 600), title="The last forecast could not be made", icon=":material/error:")
    if last.finished_at is not None:
        return
    task_id = last.id or 0

    @st.fragment(run_every=1.0)
    def watch() -> None:
        try:
            task = app.jobs.get(actor, task_id)
        except AppError:
            st.rerun(scope="app")
        if task.finished_at is not None:
            st.rerun(scope="app")
        words = task.message or "waiting for a free place"
        st.progress(min(max(task.progress, 0.0), 1.0), text=f"{plain(task.title)}: {plain(words)}")

    watch()


def chosen() -> int | None:
    """The forecast of `?forecast=12`; None when there is none, or no number."""
    text = st.query_params.get(CHOSEN, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def answer(crossing: Crossing, view: View) -> None:
    """When the limit is crossed, in one sentence, and three dates."""
    limit = plain(amount(crossing.limit, view.unit))
    way = "goes above" if crossing.side is Side.ABOVE else "falls below"
    ahead = stamp(view.made.end_at)
    if crossing.state is State.ALREADY:
        now = plain(amount(view.made.last, view.unit))
        st.error(f"It is already beyond {limit}: the newest value is {now}.", icon=":material/error:")
        return
    if crossing.state is State.NOT_WITHIN:
        st.success(
            f"Not within the horizon: nothing likely {way} {limit} before {ahead}.", icon=":material/check_circle:"
        )
        return
    dates = {
        name: stamp(from_ms(at)) if at is not None else "– beyond the horizon"
        for name, at in (
            ("Earliest", crossing.earliest_ms),
            ("Likely", crossing.likely_ms),
            ("Latest", crossing.latest_ms),
        )
    }
    words = (
        f"It {way} {limit} around {dates['Likely']}."
        if crossing.state is State.CROSSES
        else f"Most likely nothing {way} {limit} before {ahead}, but it may."
    )
    st.warning(words, icon=":material/schedule:")
    with st.container(horizontal=True):
        helps = (
            "First moment the 95% interval reaches it.",
            "Where the middle does.",
            "First moment all of the 95% interval is beyond it.",
        )
        for (name, words), help_ in zip(dates.items(), helps, strict=True):
            with st.container(border=True, width="stretch"):
                st.caption(f"{MARKS[name.lower()]} {name}", help=help_)
                st.markdown(f"**{words}**")


def card(found: Card, view: View) -> None:
    """How good it is, why it is this model, what it cannot know."""
    st.subheader(f"Report card: {plain(found.model)}", anchor=False)
    with st.container(horizontal=True):
        st.metric("Error against naive", _share(found.vs_naive), help="Mean absolute error; below 100 % is better.")
        st.metric(
            "Against the day before", _share(found.vs_seasonal), help="Against the same time a day or a week before."
        )
        st.metric(
            "MASE",
            "–" if found.mase is None else f"{found.mase:.2f}",
            help="Error against the mean change from day to day.",
        )
        st.metric("80% interval held", _share(found.coverage80), help="Of what came, in forecasts of the past.")
        st.metric("95% interval held", _share(found.coverage95), help="Of what came, in forecasts of the past.")
        st.metric(
            "Tried",
            f"{found.origins} times",
            help=f"Forecasts of {duration(found.tested * found.step_s)} from moments of the past, in steps of "
            f"{duration(found.step_s)}.",
        )
    why, limits = st.columns(2)
    with why:
        st.markdown("**Why this one**\n" + "\n".join(f"- {plain(line, 600)}" for line in found.reasons))
    with limits:
        said = view.made.card["cautions"]
        st.markdown("**What it cannot know**\n" + "\n".join(f"- {plain(line, 600)}" for line in said))


def candidates(found: Card, unit: str) -> None:
    """Every model with how far off it was."""
    rows = pd.DataFrame(
        {
            "model": [("★ " if one["chosen"] else "") + one["name"] for one in found.candidates],
            "error": [one["error"] for one in found.candidates],
            "against": [None if one["against"] is None else 100 * one["against"] for one in found.candidates],
            "origins": [one["origins"] for one in found.candidates],
            "reason": [one["reason"] for one in found.candidates],
        }
    )
    rows, unit = tables.scaled(rows, ["error"], unit)
    st.dataframe(
        rows,
        hide_index=True,
        placeholder="–",
        key="forecast_candidates",
        column_config={
            "model": st.column_config.TextColumn(
                "Model", help="★ the one that was chosen; + is the middle of several."
            ),
            "error": tables.number("Mean error", unit),
            "against": st.column_config.NumberColumn("Against the chosen", format="%.0f %%"),
            "origins": st.column_config.NumberColumn("Tried", help="Moments of the past it was tried at."),
            "reason": "Left out, because",
        },
        alt="Models that were tried and how far off each was",
    )


def take_along(app: App, actor: Actor, forecast_id: int) -> None:
    """A forecast as a file, or out of the way."""
    with st.container(horizontal=True):
        st.download_button(
            "CSV",
            lambda: app.forecasting.export(actor, forecast_id),
            f"forecast-{forecast_id}.csv",
            "text/csv",
            key="forecast_export",
            icon=":material/download:",
            on_click="ignore",
            help="The forecast with both intervals, and what came.",
        )
        if st.button(
            "Remove",
            icon=":material/delete:",
            key="forecast_remove",
            disabled=not actor.may(Permission.RUN_TASKS),
            help="This forecast and how it did.",
        ):
            with refusal.shown():
                app.forecasting.remove(actor, forecast_id)
                st.query_params.pop(CHOSEN, None)
                st.rerun()


def earlier(rows: Sequence[tuple[Made, Outcome | None]], shown: int, unit: str, now: datetime) -> None:
    """Past forecasts against what came; a click shows one."""
    ids = [made.id for made, _ in rows]
    key = f"forecasts_{hash(tuple(ids)) & 0xFFFFFF:x}"

    def remember() -> None:
        selected = st.session_state[key].selection.rows
        if selected:
            st.query_params[CHOSEN] = str(ids[selected[0]])

    table = pd.DataFrame(
        {
            "made": [made.made_at for made, _ in rows],
            "by": [made.made_by for made, _ in rows],
            "horizon": [duration(made.step_s * made.steps) for made, _ in rows],
            "model": [made.model for made, _ in rows],
            "came": [None if one is None else 100 * one.steps / made.steps for made, one in rows],
            "error": [None if one is None else one.error for _, one in rows],
            "against": [
                None if one is None or one.against_naive is None else 100 * one.against_naive for _, one in rows
            ],
            "within80": [None if one is None else 100 * one.within80 for _, one in rows],
            "within95": [None if one is None else 100 * one.within95 for _, one in rows],
        }
    )
    table, unit = tables.scaled(table, ["error"], unit)
    st.dataframe(
        table,
        key=key,
        on_select=remember,
        selection_mode="single-row",
        selection_default={"selection": {"rows": [ids.index(shown)]}} if shown in ids else None,
        hide_index=True,
        placeholder="–",
        height=tables.height(len(rows), _ROWS_SHOWN),
        column_config={
            "made": tables.moment("Made", help=f"As of {stamp(now)}."),
            "by": "By",
            "horizon": "Horizon",
            "model": "Model",
            "came": st.column_config.ProgressColumn("Come so far", format="%.0f %%", min_value=0, max_value=100),
            "error": tables.number("Mean error", unit),
            "against": st.column_config.NumberColumn("Against naive", help="Below 100 % is better.", format="%.0f %%"),
            "within80": st.column_config.NumberColumn("Within 80%", format="%.0f %%"),
            "within95": st.column_config.NumberColumn("Within 95%", format="%.0f %%"),
        },
        alt="Past forecasts of this series and how each did",
    )


def daily(app: App, actor: Actor) -> None:
    """What is made anew every day."""
    rows = app.forecasting.standing(actor)
    if not rows:
        return
    with st.expander(f"Made every day: {len(rows)}", icon=":material/event_repeat:"):
        now = app.clock()
        st.dataframe(
            pd.DataFrame(
                {
                    "series": [series.title for _, series in rows],
                    "horizon": [duration(row.asked["horizon_s"]) for row, _ in rows],
                    "by": [row.created_by for row, _ in rows],
                    "last": [ago(row.tried_at, now, short=True) for row, _ in rows],
                }
            ),
            hide_index=True,
            key="forecast_daily",
            column_config={"series": "Series", "horizon": "Horizon", "by": "Asked by", "last": "Last made"},
            alt="Forecasts that are made every day",
        )


def most_listed(found: Sequence[Series]) -> list[Series]:
    """What a picker can hold of a metric's series."""
    return list(found[: controls.MOST_OPTIONS])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
