"""The forecasting job, in a child process: reads the bins the app left, hands back a Parquet file a series."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lib.errors import AppError, Invalid, NotEnoughData
from lib.forecast import history
from lib.profiling.words import duration
from lib.tasks.job import JobContext

if TYPE_CHECKING:
    from lib.forecast.forecaster import Card

BINS, SERIES = "bins.npz", "series.json"
# What Prophet may take for one series, and for all of a task.
PROPHET_S, PROPHET_ALL_S = 30.0, 240.0
# Older than so many steps, the newest value is said to be old.
OLD_STEPS = 3


def run(context: JobContext, **params: Any) -> dict[str, Any]:
    """A forecast for each series. One that cannot be made is said and left out; when none can, the last reason is
    raised."""
    series = json.loads((context.workdir / SERIES).read_text())
    budget_s = min(PROPHET_S, PROPHET_ALL_S / max(1, len(series)))
    made: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    failure: AppError | None = None
    with np.load(context.workdir / BINS) as bins:
        for number, one in enumerate(series):
            name = str(one["id"])
            share = 1 / len(series)

            def said(fraction: float, words: str, number: int = number, one: dict = one, share: float = share) -> None:
                context.progress((number + 0.9 * fraction) * share, f"{one['title']}: {words}")

            try:
                card = _one(context, one, bins[f"slots{name}"], bins[f"means{name}"], params, budget_s, said)
            except (NotEnoughData, Invalid) as error:
                failure = error
                refused.append({"series_id": one["id"], "title": one["title"], "reason": error.message})
                context.log(f"{one['title']}: {error.message}", level="warning")
                continue
            made.append({"series_id": one["id"], "model": card.model, "mase": card.mase})
            context.log(f"{one['title']}: {card.model}. {card.reasons[0]}")
    if not made and failure is not None:
        raise failure
    context.progress(1.0, f"{len(made)} forecasts made")
    return {"made": made, "refused": refused}


def _one(
    context: JobContext,
    one: dict[str, Any],
    slots: np.ndarray,
    means: np.ndarray,
    params: dict[str, Any],
    budget_s: float,
    said: Any,
) -> Card:
    from lib.forecast import forecaster
    from lib.forecast.prophet_model import ProphetModel

    past = history.of_bins(slots, means, one["step_s"], one["unit"])
    steps = max(1, -(-int(params["horizon_s"]) // one["step_s"]))
    costly = (ProphetModel(params["country"]),) if params["prophet"] else ()
    began = time.monotonic()
    # Counted from the first time it is asked, which is when the simple ones are done.
    clock: list[float] = []

    def spent() -> bool:
        if not clock:
            clock.append(time.monotonic())
        return time.monotonic() - clock[0] > budget_s

    found = forecaster.forecast(past, steps, costly=costly, spent=spent, progress=said)
    card = found.card.to_json()
    card["took_s"] = round(time.monotonic() - began, 2)
    card["cautions"] = [*_late(past, one), *_country(params, past), *card["cautions"]]
    path = context.workdir / f"forecast-{one['id']}.parquet"
    columns = {name: getattr(found, name) for name in ("ts_ms", "low95", "low80", "middle", "high80", "high95")}
    pd.DataFrame(columns).to_parquet(path)
    context.deliver(
        path,
        series_id=one["id"],
        start_ms=past.end_ms,
        step_s=past.step_s,
        steps=steps,
        model=found.card.model,
        last=float(past.values[-1]),
        card=card,
    )
    return found.card


def _late(past: history.History, one: dict[str, Any]) -> list[str]:
    behind_s = one["until_ms"] / 1000 - past.end_ms / 1000
    if behind_s <= OLD_STEPS * past.step_s:
        return []
    return [f"The newest value is {duration(behind_s)} old; the forecast begins there, not now."]


def _country(params: dict[str, Any], past: history.History) -> list[str]:
    if not params["country"] or past.has_week:
        return []
    return ["Holidays were asked for, but a history this short says nothing about them."]
