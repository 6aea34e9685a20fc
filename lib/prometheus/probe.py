"""What a server is and holds, asked before anything is saved. Each question stands alone: VictoriaMetrics, Thanos and
Mimir lack one endpoint or another, and then that answer is unknown, with the reason, and the rest still comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lib.errors import SourceAnswer, SourceBusy, SourceTooLarge
from lib.prometheus.parse import printable
from lib.prometheus.read import Reader

# Prometheus' first release was in 2012; nothing older needs to be looked for.
_EARLIEST = datetime(2012, 1, 1, tzinfo=UTC)
_PRECISE_ENOUGH = timedelta(hours=1)
_PATIENCE_S = 15.0  # in all, for what takes many questions
_SAID = 500  # names shown at most


@dataclass(frozen=True)
class Probe:
    """What Test found. None: the server does not say; `notes` tell why, and what else is worth knowing.

    oldest: no sample is older, to within an hour. skew_s: the server's clock less ours.
    """

    version: str | None
    metrics: int | None
    series: int | None
    oldest: datetime | None
    latency_ms: float
    skew_s: float | None = None
    notes: tuple[str, ...] = field(default=())
    page: bool = False  # one page without a server: there is no history to fetch
    remote_read: bool = False  # history comes by remote read, many times faster than by queries


@dataclass(frozen=True)
class Found:
    """Metrics that match, with the number of series each has now (0: none lately). total: before the cut."""

    metrics: tuple[tuple[str, int], ...]
    total: int


def probe(reader: Reader, clock: Callable[[], datetime]) -> Probe:
    """Raises a SourceError when the server cannot be reached, refuses, or does not speak the API at all."""
    notes: list[str] = []
    started = time.perf_counter()
    reader.connect.custom_query("1")  # the one thing every compatible server answers
    latency_ms = (time.perf_counter() - started) * 1000

    def ask(what: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (SourceAnswer, SourceBusy, SourceTooLarge, KeyError, TypeError, ValueError, AttributeError):
            notes.append(f"The server does not tell {what}.")
            return None

    release = ask("its version", lambda: version(reader))
    metrics = ask("the names of its metrics", lambda: len(reader.connect.all_metrics()))
    series = ask("its number of series", lambda: _series(reader))
    oldest = ask("its oldest sample", lambda: _oldest(reader, clock(), started + _PATIENCE_S)) if metrics else None
    if metrics and oldest is None and not notes:
        notes.append("The server does not tell its oldest sample.")
    if metrics == 0:
        notes.append("The server is reachable and holds no metrics yet.")
    remote_read = bool(ask("whether it offers remote read", lambda: reader.remote.offered(clock())))
    skew_s = reader.session.skew_from(clock())
    if skew_s is not None and abs(skew_s) > 5:
        way = "ahead of" if skew_s > 0 else "behind"
        notes.append(f"The server's clock is {abs(skew_s):,.0f} s {way} this machine's.")
    return Probe(release, metrics, series, oldest, latency_ms, skew_s, tuple(notes), remote_read=remote_read)


def search(reader: Reader, text: str, regex: bool = False, limit: int = _SAID) -> Found:
    """Metrics by a part of their name, or by a regular expression for the whole of it as PromQL has them (the server
    matches, so no expression can hang us). Raises SourceAnswer for one that is not valid."""
    if regex:
        counted = reader.counts_matching(text or ".+")
        return Found(tuple(sorted(counted.items())[:limit]), len(counted))
    wanted = text.strip().lower()
    names = sorted(n for n in map(str, reader.connect.all_metrics()) if wanted in n.lower())
    counted = reader.counts(names[:limit])
    return Found(tuple((name, counted.get(name, 0)) for name in names[:limit]), len(names))


def _data(reader: Reader, path: str) -> Any:
    return reader.session.get(f"{reader.connect.url}{path}").json()["data"]


def version(reader: Reader) -> str:
    """What the server says it is: `2.42.0`, or another's name and release."""
    data = _data(reader, "/api/v1/status/buildinfo")
    application = printable(data.get("application", ""), 40)
    return f"{application} {printable(data['version'], 60)}".strip()


def _series(reader: Reader) -> int:
    try:
        data = _data(reader, "/api/v1/status/tsdb")
        # Prometheus says headStats.numSeries, VictoriaMetrics totalSeries.
        return int(data["headStats"]["numSeries"] if "headStats" in data else data["totalSeries"])
    except (SourceAnswer, SourceBusy, KeyError, TypeError, ValueError):
        return int(float(reader.connect.custom_query('count({__name__!=""})')[0]["value"][1]))


def _oldest(reader: Reader, now: datetime, until: float) -> datetime | None:
    """By halving: is there any label before this moment? Needs no sample to be read and no head start."""

    def any_before(moment: datetime) -> bool:
        params = {"start": f"{_EARLIEST.timestamp():.0f}", "end": f"{moment.timestamp():.0f}"}
        return bool(reader.connect.get_label_names(params=params))

    low, high = _EARLIEST, now + timedelta(minutes=5)  # its clock may be ahead
    if any_before(low + timedelta(days=1)) or not any_before(high):
        return None  # the server does not look at start and end, or has nothing
    while high - low > _PRECISE_ENOUGH:
        if time.perf_counter() > until:
            return None  # a slow server: the rest of the answer is worth more than this
        middle = low + (high - low) / 2
        low, high = (low, middle) if any_before(middle) else (middle, high)
    return min(high, now)
