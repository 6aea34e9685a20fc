"""Where a series is going, how sure that is, and when it crosses a limit."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.forecast import limits
from lib.profiling.units import unit_of
from lib.ui import cached, charts, controls, forecast_chart, forecast_view, guard, links, refusal, runtime
from lib.ui.text import ago, duration, plain, stamp

actor = guard.require(Permission.VIEW)
app = runtime.app()
FIRST_CHOICES = ("node_filesystem_avail_bytes", "node_memory_MemAvailable_bytes", "node_load1")


def draw(forecast_id: int, limit_text: str, side: str | None, horizon_s: float) -> None:
    """One forecast: the answer, the picture, the card."""
    try:
        view = app.forecasting.view(actor, forecast_id)
    except AppError as error:
        st.warning(plain(error.message), icon=":material/error:")
        return
    made, crossing = view.made, None
    with refusal.shown():
        limit = limits.parse(limit_text, view.unit)
        crossing = None if limit is None else app.forecasting.crossing(actor, view, limit, side)
    if crossing is not None:
        forecast_view.answer(crossing, view)
    figure = forecast_chart.figure(view, crossing, view.series.title)
    charts.show(figure, key="forecast_chart", name=f"forecast-{forecast_id}")
    if figure.layout.yaxis.range:
        st.caption("The limit lies far beyond the picture.")
    span = duration(made.asked["horizon_s"])
    other = "" if made.asked["horizon_s"] == horizon_s else " Another horizon is chosen above: make a forecast of it."
    rate = " Counter shown as rate per second." if view.series.kind == "counter" else ""
    st.caption(
        f"Forecast of {span} by {plain(made.made_by)}, {ago(made.made_at, app.clock(), short=True)}; means of "
        f"{duration(made.step_s)}.{rate}{other}"
    )
    forecast_view.card(view.card, view)
    with st.expander("All models that were tried", icon=":material/leaderboard:"):
        forecast_view.candidates(view.card, view.unit)
    forecast_view.take_along(app, actor, forecast_id)
    st.subheader("How earlier forecasts did", anchor=False)
    forecast_view.earlier(app.forecasting.outcomes(actor, made.series_id), forecast_id, view.unit, app.clock())


st.title("Forecast", icon=":material/trending_up:")
metrics = cached.metrics(app, actor)
if not metrics:
    st.info(
        "Connect your Prometheus, or load the demo history; a forecast takes some hours of it.",
        title="Nothing collected yet",
        icon=":material/database:",
    )
    links.to("pages/operate/sources.py", "Open sources", icon=":material/add_link:")
    st.stop()
with st.container(horizontal=True, vertical_alignment="bottom"):
    metric = controls.metric_picker(metrics, default=next((m for m in FIRST_CHOICES if m in metrics), None))
    host = controls.host_picker(cached.hosts(app, actor, metric))
    found = app.exploration.find(actor, metric, host)
    if not found:
        st.info("No series of this metric is on that host; choose another.", icon=":material/search_off:")
        st.stop()
    series_id = forecast_view.series_picker(forecast_view.most_listed(found), len(found))
if len(found) > controls.MOST_OPTIONS:
    st.info(f"Listed are the first {controls.MOST_OPTIONS:,} of {len(found):,} series; choose a host to see others.")
horizon, limit_text, side, country = forecast_view.question()
standing = {series.id: row.id for row, series in app.forecasting.standing(actor)}
forecast_view.begin(app, actor, series_id, horizon, country, standing.get(series_id))
forecast_view.follow(app, actor, series_id)
shown = [made.id for made in app.forecasting.made(actor, series_id)]
wanted = forecast_view.chosen()
if shown:
    draw(wanted if wanted in shown else shown[0], limit_text, side, horizon.total_seconds())
else:
    with refusal.shown():
        limits.parse(limit_text, unit_of(metric, found[0].kind))
    st.info(
        "Choose how far to look and press Forecast. Each model is tried on this series' own past; the best one is used "
        "and you see by how much it was off.",
        title="No forecast of this series yet",
        icon=":material/trending_up:",
    )
forecast_view.daily(app, actor)
st.caption(f"As of {stamp(app.clock(), seconds=True)}.")
