"""The unit of a metric, guessed from its name by the rules Prometheus exporters follow."""

from __future__ import annotations

import re

_MOMENT = re.compile(r"(timestamp|boot_time|start_time|node_time)_seconds$")
_COUNTING = re.compile(r"_(total|count|sum|bucket)$")
# The last word of a name (after _total and the like are taken off) -> unit.
_WORDS = {
    "bytes": "B",
    "octets": "B",
    "seconds": "s",
    "ratio": "ratio",
    "percent": "%",
    "celsius": "°C",
    "volts": "V",
    "amperes": "A",
    "watts": "W",
    "joules": "J",
    "hertz": "Hz",
    "rpm": "rpm",
    "meters": "m",
    "grams": "g",
}


def unit_of(metric: str, kind: str = "gauge") -> str:
    """The unit its values are shown in; '' when the name does not say.

    kind 'counter': of its rate per second, so that bytes become B/s, seconds a ratio (busy seconds a second)
    and anything else /s.
    """
    if _MOMENT.search(metric):
        return "s since 1970"
    bare = _COUNTING.sub("", metric)
    # Histogram buckets and counts are events, whatever the name before them measures.
    base = "" if metric.endswith(("_bucket", "_count")) else _WORDS.get(bare.rsplit("_", 1)[-1], "")
    if kind != "counter":
        return base
    if base == "s":
        return "ratio" if metric.endswith("_total") else "s/s"
    if base == "J":
        return "W"
    return f"{base}/s"
