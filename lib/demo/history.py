"""The bundled histories, moved to end now: a simulated fleet that goes on for a week, and a short real recording."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from lib.errors import NotFound
from lib.frames import Block, Window, from_ms, to_ms
from lib.settings import ROOT

FOLDER = ROOT / "data" / "demo"
NAMES = ("simulated", "recorded")
KEPT = timedelta(days=30)
_WEEK_MS = 7 * 86_400_000
# Series read at once: about a host of the simulated ones, a megabyte and a half.
_AT_ONCE = 20


@dataclass(frozen=True)
class Incident:
    """Something that is known to have gone wrong. strength: 'plain', or 'subtle' where each series alone looks well."""

    start: datetime
    end: datetime
    kind: str
    host: str
    cause: str
    metrics: tuple[str, ...]
    strength: str = "plain"

    @property
    def window(self) -> Window:
        return Window(self.start, self.end)


@dataclass(frozen=True)
class Event:
    """Something unusual that is nobody's fault: a planned reboot, an outage of the scraping, a device taken out."""

    start: datetime
    end: datetime
    kind: str
    hosts: tuple[str, ...]
    cause: str


def shift_ms(name: str, now: datetime) -> int:
    """What to add to a stored timestamp so that the history ends now.

    simulated: whole weeks, so that hours and weekdays (UTC) stay true; the same all week long, while `now` walks
    from its day 30 to its day 37. When it changes, load the history anew.
    recorded: its last sample falls on `now`; keep the result for as long as the loaded samples are kept.
    """
    labels = _labels(name)
    if name == "recorded":
        return to_ms(now) - int(labels["last_ms"])
    into_ms = to_ms(now) - int(labels["origin_ms"]) - _ms(KEPT)
    return into_ms // _WEEK_MS * _WEEK_MS


def blocks(name: str, now: datetime, shift: int | None = None) -> Iterator[Block]:
    """The history as a source would hand it over: the 30 days before `now`, a block a series, read host by host.

    simulated: also the days after `now` (up to a week), for the collector to let out as time passes. A series that
    was no longer reported within the span is left out. shift: as `shift_ms` gave it when loading; None: for `now`.
    """
    shift = shift_ms(name, now) if shift is None else shift
    base_ms = int(_labels(name)["origin_ms"]) + shift
    since_ms = to_ms(now - KEPT)
    files = str(_file(name, "series.parquet")), str(_file(name, "samples.parquet"))
    # DuckDB is there anyway; Arrow's reader would cost this process 20 MB for good.
    with duckdb.connect(config={"threads": 1}) as reader:
        found = reader.execute("SELECT * FROM read_parquet(?)", files[:1])
        columns = [column[0] for column in found.description]
        known = [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
        for first in range(0, len(known), _AT_ONCE):
            # Sorted by series and time, as the file is.
            rows = reader.execute(
                "SELECT tick, value FROM read_parquet(?) WHERE series >= ? AND series < ?",
                [files[1], first, first + _AT_ONCE],
            ).fetchnumpy()
            begin = 0
            for series in known[first : first + _AT_ONCE]:
                part = slice(begin, begin + series["samples"])
                begin = part.stop
                ts_ms = rows["tick"][part] * series["step_ms"] + (base_ms + series["offset_ms"])
                kept = int(np.searchsorted(ts_ms, since_ms))
                if kept < ts_ms.size:
                    floats = rows["value"][part][kept:] * float(series["multiplier"]) / float(series["divisor"])
                    yield Block(series["metric"], json.loads(series["labels"]), ts_ms[kept:], floats)


def incidents(name: str, now: datetime, shift: int | None = None) -> list[Incident]:
    """What went wrong in the 30 days before `now`, oldest first: the answers a detector is measured against.

    One that has begun and not ended yet is in it, with the end it is going to have.
    """
    moved = int(_labels(name)["origin_ms"]) + (shift_ms(name, now) if shift is None else shift)
    found = [
        Incident(
            start=from_ms(moved + round(row["start_s"] * 1000)),
            end=from_ms(moved + round(row["end_s"] * 1000)),
            kind=row["kind"],
            host=row["host"],
            cause=row["cause"],
            metrics=tuple(row["metrics"]),
            strength=row["strength"],
        )
        for row in _labels(name)["incidents"]
    ]
    return sorted((i for i in found if i.end > now - KEPT and i.start <= now), key=lambda i: i.start)


def events(name: str, now: datetime, shift: int | None = None) -> list[Event]:
    """What was unusual in the 30 days before `now` without being an incident; a detector may notice it or not."""
    moved = int(_labels(name)["origin_ms"]) + (shift_ms(name, now) if shift is None else shift)
    found = [
        Event(
            start=from_ms(moved + round(row["start_s"] * 1000)),
            end=from_ms(moved + round(row["end_s"] * 1000)),
            kind=row["kind"],
            hosts=tuple(row["hosts"]),
            cause=row["cause"],
        )
        for row in _labels(name)["events"]
    ]
    return sorted((e for e in found if e.end > now - KEPT and e.start <= now), key=lambda e: e.start)


def describe(name: str) -> str:
    """One paragraph for whoever looks at the data: what it is and, above all, whether it is real."""
    labels = _labels(name)
    kinds = sorted({row["kind"] for row in labels["incidents"]})
    if name == "recorded":
        minutes = round(labels["days"] * 1440)
        return (
            f"Recorded: {minutes} minutes of a real node exporter, a sample every {labels['step_s']} seconds, moved in "
            f"time to end now. {len(labels['incidents'])} faults were really injected ({', '.join(kinds)})."
        )
    return (
        f"Simulated: 30 days of 10 machines that do not exist, a sample every {labels['step_s'] // 60} minutes, moved "
        f"in time by whole weeks to end now. {len(labels['incidents'])} incidents of {len(kinds)} kinds are written "
        "into it."
    )


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _file(name: str, kind: str) -> Path:
    if name not in NAMES:
        raise NotFound(f"There is no bundled history called {name!r}; there are {' and '.join(NAMES)}.")
    path = FOLDER / f"{name}.{kind}"
    if not path.exists():
        raise NotFound(
            f"The bundled history {name!r} is incomplete: {path.name} is missing from {FOLDER}; restore it from git."
        )
    return path


def _labels(name: str) -> dict[str, Any]:
    return json.loads(_file(name, "labels.json").read_text())
