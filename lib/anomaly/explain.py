"""An event in plain words: which series, what was expected, what was seen, since when and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from lib.anomaly.attribution import ForestShare, spoken_feature
from lib.anomaly.detector import Scored
from lib.anomaly.events import Event
from lib.features.channels import Channel, Plan
from lib.frames import from_ms
from lib.profiling.words import amount, between, spelt


def explain(event: Event, scored: Scored, plan: Plan, host: str, forest: Sequence[ForestShare] = ()) -> dict[str, Any]:
    """What is shown as reason: `sentence`, `contributors` (most first) and the facts they rest on, JSON-able.

    forest: what made it strange to the forest.
    """
    step = timedelta(milliseconds=plan.grid.step_ms)
    start = from_ms(int(scored.ts_ms[event.first]))
    lasted = from_ms(int(scored.ts_ms[event.last])) + step - start
    contributors = [
        _contributor(plan.channels[number], number, share, event, scored) for number, share in event.contributors
    ]
    return {
        "sentence": sentence(contributors, host, start, lasted, event.open),
        "contributors": contributors,
        "duration_s": lasted.total_seconds(),
        "evidence": event.evidence,
        "forest": [_forest(one, plan) for one in forest],
    }


def sentence(contributors: list[dict[str, Any]], host: str, start: datetime, lasted: timedelta, still: bool) -> str:
    """`CPU busy on web-03 was 97% where 20% to 45% was expected, for 25 minutes from 14:05 UTC on 20 November.`"""
    first = contributors[0]
    where = f" on {host}" if host else ""
    unit, actual, low, high = first["unit"], first["actual"], first["low"], first["high"]
    when = f"from {start:%H:%M} UTC on {start.day} {start:%B}"
    span = f"for {spelt(lasted)} {when}{' and still going on' if still else ''}"
    if actual is None or low is None or high is None:
        text = f"{first['title']}{where} behaved unlike its past, {span}."
    elif first["metric"] == "up" and actual < 0.5:
        text = f"{host or 'It'} did not answer (up was {amount(actual, '')}), {span}."
    elif low <= actual <= high:
        others = " and ".join(c["title"] for c in contributors[1:3])
        beside = f" did not move with {others} the way it usually does" if others else " moved unlike its past"
        return f"{first['title']}{where}{beside}, {span}; at its strangest it was {amount(actual, unit)}."
    else:
        text = (
            f"{first['title']}{where} was {amount(actual, unit)} where {between(low, high, unit)} was expected, {span}."
        )
    strayed = [c for c in contributors[1:4] if c["outside"]]
    if strayed:
        listed = "; ".join(
            f"{c['title']} {amount(c['actual'], c['unit'])} (expected {amount(c['expected'], c['unit'])})"
            for c in strayed
        )
        text += f" Also unusual: {listed}."
    return text


def _forest(one: ForestShare, plan: Plan) -> dict[str, Any]:
    title = plan.channels[one.channel].title if one.channel >= 0 else "The time of day or week"
    words = [spoken_feature(name, plan.grid.step_s) for name in one.features]
    return {"title": title, "share": round(one.share, 4), "features": words}


def _contributor(channel: Channel, number: int, share: float, event: Event, scored: Scored) -> dict[str, Any]:
    """One channel at its own furthest moment of the event."""
    rows = slice(event.first, event.last + 1)
    actual, low, high = scored.actual[number, rows], scored.low[number, rows], scored.high[number, rows]
    width = np.maximum(high - low, 1e-12)
    with np.errstate(invalid="ignore"):
        away = np.nan_to_num(np.abs(actual - scored.expected[number, rows]) / width, nan=-1.0)
    at = event.peak - event.first if number == event.contributors[0][0] else int(away.argmax())
    seen = {
        "actual": _known(actual[at]),
        "expected": _known(scored.expected[number, rows][at]),
        "low": _known(low[at]),
        "high": _known(high[at]),
    }
    known = all(v is not None for v in seen.values())
    return {
        "channel": number,
        "series_id": channel.series_id,
        "series_ids": list(channel.members),
        "title": channel.title,
        "metric": channel.metric,
        "unit": channel.unit,
        "share": round(share, 4),
        "outside": bool(known and not low[at] <= actual[at] <= high[at]),
        "ts": from_ms(int(scored.ts_ms[event.first + at])).isoformat(),
        **seen,
    }


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
