"""Samples as a source stores them: a range selector at one instant, one request for all series of a metric and a day.

`query_range` would evaluate at steps and invent points inside the lookback, so metrics are read raw; for a PromQL
expression there is nothing raw to read, and evaluating it at the collection interval is exactly what is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.errors import SourceAnswer, SourceTooLarge
from lib.frames import Block, Window, from_ms, to_ms
from lib.prometheus.guard import Guard
from lib.prometheus.parse import Matrix
from lib.prometheus.query import Endpoint, Limits, Wanted, quoted, selector
from lib.prometheus.remote_read import Offer, RemoteRead
from lib.prometheus.session import SourceSession

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

_MAX_STEPS = 10_000  # Prometheus refuses more than 11,000 points a series
_SHORTEST = timedelta(minutes=10)  # a window below this is not halved further
_NAMES_A_COUNT = 40  # keeps the URL of one counting query well below 8 kB


class Reader:
    """One source, opened; use as a context manager. Not for two threads at once: `another` is for the second.

    offer: what is known of the source's remote read; a new one finds out by trying.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        limits: Limits,
        guard: Guard,
        watch: Callable[[], None] | None = None,
        offer: Offer | None = None,
    ) -> None:
        from prometheus_api_client import PrometheusConnect

        url = guard.check(endpoint.url)
        self.limits = limits
        self.session = SourceSession(endpoint, limits, guard, watch)
        self.connect: PrometheusConnect = PrometheusConnect(url, session=self.session)
        self.remote = RemoteRead(self.session, url, offer)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.connect.close()

    def another(self) -> Reader:
        """A second reader of the same source, which shares what is known of it."""
        session = self.session
        return Reader(session.endpoint, self.limits, session.guard, session.watch, self.remote.offer)

    def stored(self, wanted: Wanted, window: Window, step_s: float = 15.0) -> Matrix:
        """As `samples`, by remote read where the source offers it: for history, where it is many times faster, and
        has the stale markers too. A few minutes are cheaper to ask for: chunks come whole."""
        if not wanted.expression:
            cap = wanted.max_series or self.limits.max_series
            try:
                found = self.remote.samples(wanted.name, window, cap)
            except SourceTooLarge as error:
                if error.values.get("too_many"):
                    raise _too_many(wanted, f"more series than the {cap:,}") from None
                raise
            if found is not None:
                return found
        return self.samples(wanted, window, step_s)

    def samples(self, wanted: Wanted, window: Window, step_s: float = 15.0) -> Matrix:
        """Everything of one target in the window. Raises SourceTooLarge beyond the cap, and every other SourceError."""
        if wanted.expression:
            return self._evaluated(wanted, window, step_s)
        start, end = to_ms(window.start), to_ms(window.end)
        if end <= start:
            return Matrix()
        # Selectors include their end (and up to Prometheus 2 their start), windows do not: ask until the
        # last millisecond before, and leave out what comes from before the start.
        query = f"{selector(wanted.name)}[{end - start}ms]"
        found = self.connect.custom_query(query, params={"time": _seconds(end - 1)})
        if not isinstance(found, Matrix):
            raise SourceAnswer(f"The server answered {wanted.name} with something else than samples.")
        self._check_cap(wanted, len(found))
        return Matrix([_within(block, wanted.name, start, end) for block in found], found.warnings)

    def whole(self, wanted: Wanted, window: Window, step_s: float = 15.0, stored: bool = False) -> Matrix:
        """As `samples`, or `stored`, in halves where the window holds more than one answer may."""
        try:
            return self.stored(wanted, window, step_s) if stored else self.samples(wanted, window, step_s)
        except (SourceTooLarge, SourceAnswer) as error:
            if not (error.values.get("too_long") or "too many samples" in error.message) or window.span < _SHORTEST:
                raise
        middle = from_ms((to_ms(window.start) + to_ms(window.end)) // 2000 * 1000)
        first = self.whole(wanted, Window(window.start, middle), step_s, stored)
        second = self.whole(wanted, Window(middle, window.end), step_s, stored)
        return _merged(wanted.name, [*first, *second], [*first.warnings, *second.warnings])

    def counts(self, names: Iterable[str], at_ms: int | None = None) -> dict[str, int]:
        """How many series each metric has at a moment (now, unless told); names without any are left out."""
        asked, found = list(names), {}
        for first in range(0, len(asked), _NAMES_A_COUNT):
            some = "|".join(_re2_literal(name) for name in asked[first : first + _NAMES_A_COUNT])
            found.update(self.counts_matching(some, at_ms))
        return found

    def counts_matching(self, pattern: str, at_ms: int | None = None) -> dict[str, int]:
        """The same for every metric whose whole name matches; the server's RE2 does the matching, so that no
        pattern can hang us."""
        params = {"time": _seconds(at_ms)} if at_ms is not None else {}
        rows = self.connect.custom_query(f'count by (__name__) ({{__name__=~"{quoted(pattern)}"}})', params=params)
        try:
            return {row["metric"].get("__name__", ""): int(float(row["value"][1])) for row in rows}
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            raise SourceAnswer("The server counted series in a way that is not Prometheus'; check the URL.") from None

    def evaluate(self, expression: str, window: Window, step_s: int) -> Matrix:
        """An expression at whole multiples of the step, series by the names the server gives them; the server is told
        how long it may take."""
        first, last = math.ceil(window.start.timestamp() / step_s), math.floor(window.end.timestamp() / step_s)
        if last < first:
            return Matrix()
        found: Any = self.connect.custom_query_range(
            expression,
            start_time=from_ms(first * step_s * 1000),
            end_time=from_ms(last * step_s * 1000),
            step=f"{step_s}s",
            params={"timeout": f"{self.limits.timeout_s:g}s"},
        )
        if not isinstance(found, Matrix):
            raise SourceAnswer("The server answered with something else than series of samples.")
        return found

    def count_expression(self, expression: str) -> int:
        """How many series an expression has now. Raises SourceAnswer when it does not parse there, or is a range."""
        rows: Any = self.connect.custom_query(expression)
        if isinstance(rows, Matrix):
            raise SourceAnswer("The expression is a range such as m[5m]; wrap it in a function, as in rate(m[5m]).")
        if rows and not isinstance(rows[0], dict):
            return 1  # a scalar: [time, "value"]
        return len(rows)

    def check_count(self, wanted: Wanted, count: int) -> None:
        """Raises SourceTooLarge when a target has more series than its cap, before its samples are asked for."""
        self._check_cap(wanted, count)

    def _check_cap(self, wanted: Wanted, count: int) -> None:
        cap = wanted.max_series or self.limits.max_series
        if count > cap:
            raise _too_many(wanted, f"{count:,} series, more than the {cap:,}")

    def _evaluated(self, wanted: Wanted, window: Window, step_s: float) -> Matrix:
        """The expression at whole multiples of the step, so that reading a span again gives the same moments."""
        step = max(1, round(step_s))
        first = math.ceil(window.start.timestamp() / step) * step
        last = math.ceil(window.end.timestamp() / step) * step - step
        blocks: list[Block] = []
        warnings: list[str] = []
        for begin in range(first, last + 1, step * _MAX_STEPS):
            end = min(last, begin + step * (_MAX_STEPS - 1))
            found = self.connect.custom_query_range(
                wanted.expression, start_time=from_ms(begin * 1000), end_time=from_ms(end * 1000), step=f"{step}s"
            )
            if not isinstance(found, Matrix):
                raise SourceAnswer(f"The server answered {wanted.name} with something else than samples.")
            self._check_cap(wanted, len(found))
            warnings += found.warnings
            blocks += found
        return _merged(wanted.name, blocks, warnings)


def _too_many(wanted: Wanted, how_many: str) -> SourceTooLarge:
    return SourceTooLarge(
        f"{wanted.name} has {how_many} allowed. Collect a PromQL expression that adds them up (sum by …), raise this "
        "target's cap, or raise AUTOOPS_SOURCE_MAX_SERIES."
    )


def _re2_literal(text: str) -> str:
    return "".join(c if c.isalnum() or c in "_:" else f"\\{c}" for c in text)


def _seconds(ts_ms: int) -> str:
    return f"{ts_ms // 1000}.{ts_ms % 1000:03d}"


def _within(block: Block, name: str, start_ms: int, end_ms: int) -> Block:
    inside = (block.ts_ms >= start_ms) & (block.ts_ms < end_ms)
    ts, value = (block.ts_ms, block.value) if inside.all() else (block.ts_ms[inside], block.value[inside])
    return Block(name, block.labels, ts, value)


def _merged(name: str, blocks: Iterable[Block], warnings: Iterable[str]) -> Matrix:
    """One block a series, of pieces in the order of time."""
    pieces: dict[tuple[tuple[str, str], ...], list[Block]] = {}
    for block in blocks:
        pieces.setdefault(tuple(sorted(block.labels.items())), []).append(block)
    joined = [
        Block(name, some[0].labels, np.concatenate([p.ts_ms for p in some]), np.concatenate([p.value for p in some]))
        for some in pieces.values()
    ]
    return Matrix(joined, list(dict.fromkeys(warnings)))
