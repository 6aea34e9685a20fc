"""Questions to begin with: only such as what is stored can answer."""

from __future__ import annotations

import re
from datetime import timedelta

import pandas as pd

from lib.chat import times
from lib.chat.question import Vocabulary
from lib.chat.tools.data import Data

# Newer than this, data is still coming in; "the last hour" then holds some.
_RECENT = timedelta(minutes=30)
_PLAIN = re.compile(r"[A-Za-z_][\w]{2,60}")


def questions(data: Data, known: Vocabulary) -> list[str]:
    """What a newcomer may ask of this data. Times are named by where there are samples, not by the clock alone."""
    catalogue = data.metrics()
    if not known.metrics or catalogue["last"].isna().all():
        return ["What can you do?"]
    first, last = (pd.Timestamp(at).to_pydatetime() for at in (catalogue["first"].min(), catalogue["last"].max()))
    today = times.midnight(data.now)
    day = "today" if last >= today else f"on {last:%Y-%m-%d}"
    full = "yesterday" if first < today and last >= today else day
    recent = data.now - last <= _RECENT
    made = []
    if data.detectors():
        made += [f"What was the worst anomaly {full}?", f"Which hosts had anomalies {'this week' if recent else day}?"]
    if "node_cpu_seconds_total" in known.metrics:
        made.append(f"Which host had the highest CPU {day}, and when?")
    if {"node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"} <= set(known.metrics):
        hosts = [one.host for one in data.find("node_memory_MemAvailable_bytes", None) if one.host]
        made.append(f"Memory usage on {hosts[0]} {day}" if hosts else f"Memory usage {day}")
    made.append(f"Were there gaps in the data {day}?")
    if recent and len(known.hosts) > 2 and data.now - first > timedelta(hours=3):
        made.append("What changed in the last hour?")
    if "node_load1" in known.metrics:
        made.append(f"95th percentile of load {full}")
    if len(made) < 4:
        named = (name for name, kind in sorted(known.metrics.items()) if kind == "gauge" and _PLAIN.fullmatch(name))
        made += [f"Maximum of {name} {day}" for name in list(named)[:2]]
    return [*made, "Which metrics are there?"]
