"""What a Prometheus may scrape of the app itself: requests as they happen, everything else counted when asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.errors import AppError
from lib.llm.fallback import ProviderStatus
from lib.services.health import Figures, PartState, Report
from lib.services.timings import BOUNDS_S, Distribution

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
# Labels must be few: what is not a route of ours is counted under the part of the app that answered.
ROOTS = {"_stcore": "/_stcore", "static": "/static", "media": "/media", "component": "/component", "auth": "/auth"}


class Requests:
    """Counters of what the process served. One a process, because the middleware and the routes share it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.count = Counter(
            "autoops_http_requests", "HTTP requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "autoops_http_request_duration_seconds",
            "Time from request to end of answer.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.errors = Counter(
            "autoops_errors", "Requests that ended in an error, by its code.", ("code",), registry=self.registry
        )


@cache
def requests() -> Requests:
    disable_created_metrics()  # a second series for each, which nobody asks for
    return Requests()


def route_of(scope: Scope) -> str:
    """The route that answered, as a label: a template of ours, or the part of the app."""
    path: str = scope["path"]
    if path in ("/health", "/metrics", "/api"):
        return path
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    if first == "api":
        template = getattr(scope.get("route"), "path", "")
        return f"/api{template}" if template.startswith("/") and template != "/api" else "/api/other"
    return ROOTS.get(first, "page")


class CountRequests:
    """Counts and times every HTTP answer; web sockets, which stay open, pass."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = route_of(scope)
            requests().count.labels(method, route, str(status)).inc()
            requests().seconds.labels(route).observe(time.perf_counter() - began)


class Exposition:
    """One scrape: the request counters and what health knows, in whichever text format the scraper prefers."""

    def __init__(self, report: Callable[[], Report], figures: Callable[[], Figures]) -> None:
        self.report, self.figures = report, figures

    def render(self, accept: str) -> tuple[bytes, str]:
        """The body and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self), content_type

    def collect(self) -> Iterator[Metric]:
        yield from requests().registry.collect()
        report = self.report()
        yield InfoMetricFamily("autoops_build", "Version of the app.", value={"version": report.version})
        parts = GaugeMetricFamily("autoops_part_up", "1 while a part works, 0.5 degraded, 0 down.", labels=("part",))
        worth = {PartState.OK: 1.0, PartState.DEGRADED: 0.5, PartState.DOWN: 0.0}
        for part in report.parts:
            parts.add_metric([part.name], worth[part.state])
        yield parts
        try:
            figures = self.figures()
        except (AppError, SQLAlchemyError):
            return  # the parts above say which of them is down
        yield _gauge("autoops_series", "Series stored.", figures.series)
        yield _gauge("autoops_samples", "Samples stored.", figures.samples)
        yield _gauge("autoops_store_bytes", "Size of the sample store on disk.", figures.store_bytes)
        yield _gauge("autoops_anomalies", "Anomalies stored.", figures.anomalies)
        yield _gauge("autoops_anomalies_open", "Anomalies going on now.", figures.anomalies_open)
        yield _gauge("autoops_detectors", "Detectors that score what is collected.", figures.detectors)
        yield _histogram("autoops_detector_scoring_seconds", "Time a detector took to score a range.", figures.scoring)
        tasks = GaugeMetricFamily("autoops_tasks", "Tasks kept, by status.", labels=("status",))
        for status, count in figures.tasks.items():
            tasks.add_metric([status], count)
        yield tasks
        by = ("source", "kind")
        lag = GaugeMetricFamily(
            "autoops_collection_lag_seconds", "Since the target most behind was collected.", labels=by
        )
        targets = GaugeMetricFamily("autoops_targets", "Targets collected from a source.", labels=by)
        failing = GaugeMetricFamily("autoops_targets_failing", "Targets whose last collection failed.", labels=by)
        gaps = GaugeMetricFamily("autoops_gaps_open", "Gaps still to be filled.", labels=by)
        for source in figures.sources:
            labels = [source.name, source.kind.value]
            targets.add_metric(labels, len(source.targets))
            failing.add_metric(labels, sum(target.enabled and bool(target.last_error) for target in source.targets))
            gaps.add_metric(labels, source.open_gaps)
            if source.lag_s is not None and source.enabled:
                lag.add_metric(labels, source.lag_s)
        yield from (lag, targets, failing, gaps)
        yield from _providers(figures.providers)


def _providers(known: Sequence[ProviderStatus]) -> Iterator[Metric]:
    """What was asked of the language models, since the app started."""
    by = ("provider",)
    asked = CounterMetricFamily("autoops_llm_requests", "Requests to a language model.", labels=by)
    failed = CounterMetricFamily("autoops_llm_failures", "Requests to a language model that failed.", labels=by)
    tokens = CounterMetricFamily("autoops_llm_tokens", "Tokens sent and received.", labels=(*by, "direction"))
    cost = CounterMetricFamily("autoops_llm_cost_usd", "What the tokens came to, by the prices configured.", labels=by)
    for one in known:
        if one.cost_usd is not None:
            cost.add_metric([one.name], one.cost_usd)
        asked.add_metric([one.name], one.requests)
        failed.add_metric([one.name], one.failures)
        tokens.add_metric([one.name, "in"], one.tokens_in)
        tokens.add_metric([one.name, "out"], one.tokens_out)
    yield from (asked, failed, tokens, cost)


def _histogram(name: str, documentation: str, measured: Distribution) -> HistogramMetricFamily:
    bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
    buckets = list(zip(bounds, accumulate(measured.counts), strict=True))
    return HistogramMetricFamily(name, documentation, buckets=buckets, sum_value=measured.sum_s)


def _gauge(name: str, documentation: str, value: Any) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)
