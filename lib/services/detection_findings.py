"""Scores and events as what the store keeps: rows of scores and expectations, and anomalies with their reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from lib.anomaly import events
from lib.anomaly.attribution import forest_shares
from lib.anomaly.detector import Detector, Scored
from lib.anomaly.events import NOTHING, Event, Past, Rule
from lib.anomaly.explain import explain
from lib.anomaly.threads import one_core
from lib.features.channels import Channels, Plan
from lib.frames import from_ms
from lib.store.findings import Anomaly

# Expectations are kept where they are evidence: around anomalies, of the channels that led to them.
_KEPT_CHANNELS, _MARGIN = 3, 6


@dataclass(frozen=True)
class Found:
    """scores: ts, score, confidence, threshold, alone. expectations: series_id, ts, low, expected, high.
    anomalies: JSON-able, see `anomaly_of`."""

    scores: pd.DataFrame
    expectations: pd.DataFrame
    anomalies: list[dict[str, Any]]


# The channels up to a moment (Unix ms), with what a detector looks back on.
Looked = Callable[[int], Channels]


def up_to(channels: Channels) -> Looked:
    """Of channels at hand."""
    return lambda moment_ms: channels.rows(slice(0, int((channels.ts_ms <= moment_ms).sum())))


def findings(
    scored: Scored, looked: Looked, one: Detector, host: str, rule: Rule, since: int = 0, past: Past = NOTHING
) -> Found:
    """What to keep of a scored range from row `since` on. looked: for the reasons. past: what was kept before it."""
    plan = one.plan
    scored = events.settled(scored, rule, plan.grid.step_s, since, past)
    decided, threshold = events.decide(scored, rule, plan.grid.step_s, since, past)
    keep = np.isfinite(scored.evidence)
    keep[:since] = False
    scores = pd.DataFrame(
        {
            "ts": _moments(scored.ts_ms[keep]),
            "score": scored.evidence[keep],
            "confidence": scored.confidence[keep],
            "threshold": threshold[keep],
            "alone": events.trace(scored).alone[keep],
        }
    )
    return Found(
        scores, _expectations(decided, scored, plan, since), [row_of(e, scored, looked, one, host) for e in decided]
    )


def anomaly_of(row: dict[str, Any], detector_id: int, source_id: int) -> Anomaly:
    """An anomaly as the store takes it, from a row of `Found.anomalies`."""
    moments = {k: row[k] and datetime.fromisoformat(row[k]) for k in ("start_ts", "end_ts", "peak_ts")}
    return Anomaly(**{**row, **moments}, detector_id=detector_id, source_id=source_id)


def row_of(event: Event, scored: Scored, looked: Looked, one: Detector, host: str) -> dict[str, Any]:
    """An event as it is kept. looked: to say what the forest saw in it."""
    plan = one.plan
    strangest = event.first + int(np.nanargmax(scored.evidence[event.first : event.last + 1]))
    channels = looked(int(scored.ts_ms[strangest]))
    with one_core():
        reason = explain(event, scored, plan, host, forest_shares(one, channels, channels.ts_ms.size - 1))
    first = reason["contributors"][0]
    end_ms = int(scored.ts_ms[event.last]) + plan.grid.step_ms
    return {
        "host": host,
        "series_id": first["series_id"],
        "start_ts": from_ms(int(scored.ts_ms[event.first])).isoformat(),
        "end_ts": None if event.open else from_ms(end_ms).isoformat(),
        "peak_ts": from_ms(int(scored.ts_ms[event.peak])).isoformat(),
        "score": event.evidence,
        "confidence": event.confidence,
        "severity": str(event.severity),
        **{k: first[k] for k in ("actual", "expected", "low", "high")},
        "explanation": reason,
    }


def _expectations(decided: Sequence[Event], scored: Scored, plan: Plan, since: int) -> pd.DataFrame:
    parts = []
    for event in decided:
        rows = np.arange(max(event.first - _MARGIN, since), min(event.last + _MARGIN + 1, len(scored.ts_ms)))
        for number, _ in event.contributors[:_KEPT_CHANNELS]:
            channel = plan.channels[number]
            # A channel of several series has no series whose unit these figures are in.
            if len(channel.members) > 1:
                continue
            parts.append(
                pd.DataFrame(
                    {
                        "series_id": np.full(rows.size, channel.series_id, dtype=np.int32),
                        "ts": _moments(scored.ts_ms[rows]),
                        "low": scored.low[number, rows],
                        "expected": scored.expected[number, rows],
                        "high": scored.high[number, rows],
                    }
                )
            )
    if not parts:
        empty = {name: pd.Series(dtype="float64") for name in ("low", "expected", "high")}
        return pd.DataFrame({"series_id": pd.Series(dtype="int32"), "ts": _moments(np.empty(0, np.int64)), **empty})
    frame = pd.concat(parts, ignore_index=True).drop_duplicates(["series_id", "ts"], keep="last")
    return frame[np.isfinite(frame["expected"])].reset_index(drop=True)


def _moments(ts_ms: np.ndarray) -> pd.Series:
    return pd.Series(ts_ms.astype("datetime64[ms]")).dt.tz_localize("UTC")
