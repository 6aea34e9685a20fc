"""History by Prometheus' remote read: the chunks as they lie on the server's disk, a tenth of the bytes of JSON and
no text to parse. Where a server does not offer it, or anything about it is odd, the reader asks as it always did.

What comes is what a range selector gives, to the bit, with two exceptions. Stale markers, which PromQL leaves out,
are kept. Labels the server adds to everything it sends elsewhere (`external_labels`) are taken off again: they are
found by comparing with the series the query API names, once for each metric.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from lib.errors import SourceAnswer, SourceBusy, SourceRefused, SourceTooLarge, UrlRefused
from lib.frames import STALE_NAN_BITS, Block, Window, to_ms
from lib.prometheus import wire
from lib.prometheus.chunks import decode
from lib.prometheus.parse import Matrix, printable
from lib.prometheus.query import selector
from lib.prometheus.session import Answer, SourceSession

log = logging.getLogger(__name__)

_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Read-Version": "0.1.0",
}
_SERIES_COMPARED = 5000  # names asked for at once to compare labels; more are not worth the wait
_NAN_BITS = np.float64("nan").view(np.uint64)
_BROKEN_TIMES = 2  # answers of one source that may be broken before it is not asked this way any more
_OVERLOADED = (429, 502, 503, 504)  # asking in the other way would not help

LabelSet = frozenset[tuple[str, str]]


class Offer:
    """What is known of one source's remote read; shared by all who read from it at once.

    declined: why it is not used; empty while it is. broken: how many answers could not be read.
    """

    def __init__(self) -> None:
        self.declined = ""
        self.broken = 0
        self._extra: dict[str, LabelSet] = {}
        self._lock = threading.Lock()
        # One answer at a time: side by side they would wait for each other at every step, and all come late.
        self.unpacking = threading.Lock()

    def decline(self, reason: str) -> None:
        with self._lock:
            if not self.declined:
                self.declined = reason
                log.info("remote read not used", extra={"reason": reason})

    def broke(self, reason: str) -> None:
        """An answer could not be read: once may be an accident."""
        with self._lock:
            self.broken += 1
            often = self.broken >= _BROKEN_TIMES
        log.warning("remote read broke", extra={"reason": reason})
        if often:
            self.decline(reason)

    def extra_of(self, metric: str) -> LabelSet | None:
        """The labels the server adds to a metric's series; None before they were looked for."""
        return self._extra.get(metric)

    def note_extra(self, metric: str, extra: LabelSet) -> None:
        self._extra[metric] = extra


class RemoteRead:
    """One session's way to `/api/v1/read`, with all the session's rules: address, sign-in, deadline, size."""

    def __init__(self, session: SourceSession, url: str, offer: Offer | None = None) -> None:
        self.session, self.url = session, url
        self.offer = offer or Offer()

    def samples(self, metric: str, window: Window, max_series: int) -> Matrix | None:
        """Every float of a metric in the window; None where it has to be asked for in the other way.

        Raises SourceTooLarge, with `too_many` in its values beyond `max_series`, and what says that the source is gone.
        """
        start, end = to_ms(window.start), to_ms(window.end)
        if self.offer.declined or end <= start:
            return None
        try:
            response = self.session.request(
                "POST", f"{self.url}/api/v1/read", data=wire.request(metric, start, end - 1), headers=_HEADERS
            )
            with self.offer.unpacking:
                found, histograms = self._read(response, start, end, max_series)
        except (SourceRefused, UrlRefused) as error:
            # A proxy may let queries through and nothing else; wrong credentials the other way will say again.
            self.offer.decline(error.message)
            return None
        except (SourceAnswer, SourceBusy) as error:
            status = error.values.get("http_status")
            if status in _OVERLOADED:
                raise
            if status in (None, 500):
                self.offer.broke(error.message)
            else:
                self.offer.decline(f"The server does not offer remote read (HTTP {status}).")
            return None
        extra = self._extra(metric, window, [labels for labels, _, _ in found])
        if extra is None:
            return None
        return Matrix([_block(labels, extra, ts, value) for labels, ts, value in found], _remarks(histograms))

    def offered(self, now: datetime) -> bool:
        """Whether the server answers remote read at all; for telling, reading finds out by itself."""
        self.samples("up", Window(now - timedelta(minutes=1), now), _SERIES_COMPARED)
        return not (self.offer.declined or self.offer.broken)

    def _read(
        self, response: Answer, start: int, end: int, max_series: int
    ) -> tuple[list[tuple[wire.Labels, np.ndarray, np.ndarray]], int]:
        """(series with samples in [start, end), how many have native histograms)."""
        kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        body = response.content
        if kind == wire.STREAMED:
            packed = wire.streamed(body, max_series)
            ts, value, sizes = decode(packed.chunks)
            edges = np.concatenate(([0], np.cumsum(sizes)))[np.cumsum([0, *packed.pieces])].tolist()
            series = zip(packed.series, edges, edges[1:], strict=False)
            found = [(labels, ts[first:last], value[first:last]) for labels, first, last in series]
            histograms = packed.histograms
        elif kind == wire.SAMPLES and response.headers.get("Content-Encoding", "").lower() == "snappy":
            plain = wire.plain(body, self.session.limits.max_bytes, max_series)
            found, histograms = plain.series, plain.histograms
        else:
            raise SourceAnswer(f"The server answered remote read with {printable(kind, 60) or 'something unnamed'}.")
        inside = ((labels, *_within(ts, value, start, end)) for labels, ts, value in found)
        return [(labels, ts, _one_nan(value)) for labels, ts, value in inside if ts.size], len(histograms)

    def _extra(self, metric: str, window: Window, found: list[wire.Labels]) -> LabelSet | None:
        """The labels to take off; None, and no remote read any more, when the names do not add up."""
        known = self.offer.extra_of(metric)
        if known is not None or not found:
            return known if known is not None else frozenset()
        if len(found) > _SERIES_COMPARED:
            self.offer.decline(f"Its labels cannot be compared: {metric} has {len(found):,} series.")
            return None
        params = {
            "match[]": selector(metric),
            "start": f"{window.start.timestamp():.3f}",
            "end": f"{window.end.timestamp():.3f}",
        }
        try:
            named = _label_sets(self.session.request("GET", f"{self.url}/api/v1/series", params=params).json())
        except (SourceAnswer, SourceRefused, SourceTooLarge) as error:
            self.offer.decline(f"Its labels cannot be compared. {error.message}")
            return None
        extra = added(wire.names_of(found), named)
        if extra is None:
            self.offer.decline("It names series in another way than the query API does.")
            return None
        self.offer.note_extra(metric, extra)
        return extra


def added(remote: set[LabelSet], named: set[LabelSet]) -> LabelSet | None:
    """What remote read added to every series' labels, given the names the query API has; None when that cannot be
    told, or would make one series of two."""
    if remote <= named:
        return frozenset()
    of_their_own = frozenset().union(*named)
    extra = frozenset.intersection(*remote) - of_their_own
    bare = {labels - extra for labels in remote}
    return extra if bare <= named and len(bare) == len(remote) else None


def _label_sets(envelope: dict[str, Any]) -> set[LabelSet]:
    data = envelope.get("data")
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise SourceAnswer("The server does not name its series.")
    return {frozenset((str(k), str(v)) for k, v in row.items()) for row in data}


def _within(ts: np.ndarray, value: np.ndarray, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Chunks reach beyond what was asked for."""
    if ts.size and ts[0] >= start and ts[-1] < end and (np.diff(ts) > 0).all():
        return ts, value
    inside = (ts >= start) & (ts < end)
    return ts[inside], value[inside]


def _one_nan(value: np.ndarray) -> np.ndarray:
    """Every NaN that is no stale marker with the same bits, as text has them."""
    nan = np.isnan(value)
    if not nan.any():
        return value
    bits = value.view(np.uint64)
    return np.where(nan & (bits != STALE_NAN_BITS), _NAN_BITS, bits).view(np.float64)


def _block(labels: wire.Labels, extra: LabelSet, ts: np.ndarray, value: np.ndarray) -> Block:
    named = dict(labels) if not extra else {k: v for k, v in labels if (k, v) not in extra}
    return Block(named.pop("__name__", ""), named, ts, value)


def _remarks(histograms: int) -> tuple[str, ...]:
    if not histograms:
        return ()
    return (f"{histograms:,} series have native histograms, which are left out; only plain numbers are kept.",)
