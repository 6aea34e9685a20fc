"""A source without a server: one exporter's `/metrics` page, asked directly. No history, no gaps to fill: what was not
scraped was not there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from urllib.parse import urlsplit

import numpy as np

from lib.errors import SourceAnswer, SourceTooLarge
from lib.frames import Block, to_ms
from lib.prometheus import exposition
from lib.prometheus.guard import Guard
from lib.prometheus.probe import Probe
from lib.prometheus.query import Endpoint, Limits
from lib.prometheus.session import SourceSession

# A page is read line by line in the app's own process: what its series can take at most, and never less than this.
PAGE_BYTES, LINE_BYTES = 8 << 20, 4096


class Page:
    """One page, opened; use as a context manager. job: what its series are labelled with beside their address."""

    def __init__(
        self, endpoint: Endpoint, limits: Limits, guard: Guard, job: str, watch: Callable[[], None] | None = None
    ) -> None:
        self.url = guard.check(endpoint.url)
        self.limits = limits
        self.max_bytes = min(limits.max_bytes, max(PAGE_BYTES, limits.max_series * LINE_BYTES))
        self.session = SourceSession(endpoint, replace(limits, max_bytes=self.max_bytes), guard, watch)
        self.labels = {"instance": urlsplit(self.url).netloc, "job": job}

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()

    def scrape(self, now: datetime) -> list[Block]:
        """Everything on the page as of now, and `up`. Raises what a session raises, and SourceAnswer with the line
        that cannot be read."""
        try:
            answer = self.session.get(self.url, headers={"Accept": exposition.ACCEPT})
        except SourceTooLarge:
            if self.max_bytes == self.limits.max_bytes:
                raise
            raise SourceTooLarge(
                f"The page at {self.url} is larger than the {self.max_bytes / 2**20:,.0f} MB that "
                f"{self.limits.max_series:,} series may take; have the exporter show less, or raise "
                "AUTOOPS_SOURCE_MAX_SERIES."
            ) from None
        except SourceAnswer as error:
            if error.values.get("http_status") == 404:
                raise SourceAnswer(
                    f"There is no page at {self.url} (HTTP 404); exporters mostly have it at /metrics.",
                    http_status=404,
                ) from None
            raise
        found = exposition.blocks(
            answer.content, answer.headers.get("Content-Type", ""), to_ms(now), self.limits.max_series, self.labels
        )
        if not found:
            raise SourceAnswer(f"The page at {self.url} has no samples on it; is it a /metrics page?")
        return [*found, self.up(now, 1)]

    def probe(self, clock: Callable[[], datetime]) -> Probe:
        """What is on the page, asked before anything is saved. Raises as `scrape` does."""
        started = time.perf_counter()
        found = self.scrape(clock())[:-1]
        latency_ms = (time.perf_counter() - started) * 1000
        names = {block.metric for block in found}
        skew_s = self.session.skew_from(clock())
        return Probe(None, len(names), len(found), None, latency_ms, skew_s, page=True)

    def up(self, now: datetime, value: float) -> Block:
        """Whether it answered, as Prometheus notes it for each target."""
        return Block("up", self.labels, np.array([to_ms(now)], np.int64), np.array([value], np.float64))
