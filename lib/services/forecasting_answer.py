"""A forecast as programs and command lines get it: JSON with moments in ISO 8601, and a limit's answer in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from lib.forecast.capacity import Crossing, Side, State
from lib.frames import Series, from_ms
from lib.profiling.units import unit_of
from lib.profiling.words import amount
from lib.services.forecasting import View
from lib.store.forecasts import Made


def row(made: Made, series: Series) -> dict[str, Any]:
    """One line of a list. mase, vs_naive, vs_seasonal: of the report card; null where there is no such thing."""
    return {
        "id": made.id,
        "series_id": made.series_id,
        "source_id": made.source_id,
        "metric": series.metric,
        "labels": dict(series.labels),
        "title": series.title,
        "unit": unit_of(series.metric, series.kind),
        "made_at": made.made_at,
        "made_by": made.made_by,
        "start": made.start_at,
        "end": made.end_at,
        "step_s": made.step_s,
        "steps": made.steps,
        "model": made.model,
        "last": _number(made.last),
        **{name: made.card.get(name) for name in ("mase", "vs_naive", "vs_seasonal", "coverage80", "coverage95")},
    }


def whole(view: View) -> dict[str, Any]:
    """A forecast with its points, report card, and how it did as far as it has come (null: nothing has)."""
    points = view.points
    columns = ("low95", "low80", "middle", "high80", "high95")
    table = zip(points["ts"], *(points[name].to_numpy() for name in columns), strict=True)
    return {
        **row(view.made, view.series),
        "card": dict(view.made.card),
        "outcome": asdict(view.outcome) if view.outcome else None,
        "points": [
            {"ts": ts.to_pydatetime(), **dict(zip(columns, map(_number, values), strict=True))} for ts, *values in table
        ],
    }


def crossing(found: Crossing, view: View) -> dict[str, Any]:
    """When a limit is crossed. earliest, likely, latest: null where not within the horizon."""
    return {
        "limit": found.limit,
        "side": found.side.value,
        "state": found.state.value,
        "earliest": _moment(found.earliest_ms),
        "likely": _moment(found.likely_ms),
        "latest": _moment(found.latest_ms),
        "horizon_end": view.made.end_at,
        "answer": in_words(found, view),
    }


def in_words(found: Crossing, view: View) -> str:
    """The same in a sentence."""
    limit, until = amount(found.limit, view.unit), _stamp(view.made.end_at)
    way = "goes above" if found.side is Side.ABOVE else "falls below"
    if found.state is State.ALREADY:
        return f"It is already beyond {limit}: the newest value is {amount(view.made.last, view.unit)}."
    if found.state is State.NOT_WITHIN:
        return f"Not within the horizon: nothing likely {way} {limit} before {until}."
    earliest, likely, latest = (
        _stamp(moment) if (moment := _moment(at)) else "not within the horizon"
        for at in (found.earliest_ms, found.likely_ms, found.latest_ms)
    )
    if found.state is State.MAY:
        return f"Most likely nothing {way} {limit} before {until}, but it may, from {earliest} on."
    return f"It {way} {limit} around {likely}; earliest {earliest}, latest {latest}."


def card_lines(card: Mapping[str, Any]) -> list[str]:
    """The report card for a terminal."""
    shown = (
        ("error against naive", card["vs_naive"], "{:.0%}"),
        ("against the day before", card["vs_seasonal"], "{:.0%}"),
        ("MASE", card["mase"], "{:.2f}"),
        ("80% interval held", card["coverage80"], "{:.0%}"),
        ("95% interval held", card["coverage95"], "{:.0%}"),
    )
    figures = ", ".join(f"{name} {form.format(value)}" for name, value, form in shown if value is not None)
    lines = [f"{card['model']}, tried {card['origins']} times: {figures or 'no figures'}"]
    return lines + [f"  + {line}" for line in card["reasons"]] + [f"  - {line}" for line in card["cautions"]]


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return float(value) if math.isfinite(value) else None


def _moment(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else from_ms(at_ms)


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
