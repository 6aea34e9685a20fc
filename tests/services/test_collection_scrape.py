"""A source that is one exporter's page: tested, collected, and what happens when it fails."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import SYSTEM, Actor, Role
from lib.db.tables import Source, SourceKind
from lib.errors import Forbidden, Invalid, SourceAnswer, SourceError, SourceTooLarge, UrlRefused
from lib.frames import Window, to_ms
from lib.services.collection_sources import Auth, SourceDraft
from lib.services.collection_status import SourceState
from lib.settings import Settings
from tests.faults.conftest import FaultServer, Request

PAGE = b'# TYPE load gauge\nload{cpu="0"} 0.5\nload{cpu="1"} 1.5\nrequests_total 1027\n'


class Exporter:
    """What a FaultServer says at /metrics."""

    def __init__(self) -> None:
        self.page, self.status, self.kind, self.packed = PAGE, 200, "text/plain; version=0.0.4", False

    def __call__(self, request: Request) -> None:
        found = request.endpoint == "/metrics"
        more = {"Content_Encoding": "gzip"} if self.packed else {}
        request.send(self.page if found else b"", self.status if found else 404, Content_Type=self.kind, **more)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"source_timeout_s": 1.5, "source_max_mb": 1.0, "source_max_series": 20})


@pytest.fixture
def exporter() -> Exporter:
    return Exporter()


@pytest.fixture
def server(clock, exporter) -> Iterator[FaultServer]:
    made = FaultServer(clock)
    made.fault = exporter
    yield made
    made.stop()


def draft(server: FaultServer, **more: object) -> SourceDraft:
    return SourceDraft("Node", f"{server.url}/metrics", SourceKind.SCRAPE, **more)  # type: ignore[arg-type]


@pytest.fixture
def source(app: App, server: FaultServer) -> Source:
    return app.collection.add(SYSTEM, draft(server))


def values(app: App, metric: str) -> list[float]:
    ids = [s.id for s in app.samples.find(metric=metric)]
    window = Window(app.clock() - timedelta(days=1), app.clock() + timedelta(days=1))
    return app.samples.read(ids, window)["value"].tolist()


def test_a_page_is_collected_with_the_labels_prometheus_would_give(app, source, server, clock) -> None:
    for _ in range(2):
        outcome = app.collection.collect_now(SYSTEM, source.id)["Node"]
        assert outcome.error is None and outcome.written == 4
        clock.advance(seconds=15)
    host = server.url.removeprefix("http://")
    [first, second] = app.samples.find(metric="load")
    assert first.labels == {"cpu": "0", "instance": host, "job": "Node"} and first.host == host
    assert values(app, "load") == [0.5, 0.5, 1.5, 1.5] and values(app, "up") == [1, 1]
    [counter] = app.samples.find(metric="requests_total")
    assert counter.kind == "counter"
    [status] = app.collection.status(SYSTEM)
    assert status.state is SourceState.OK and status.series == 4 and status.url == f"{server.url}/metrics"


def test_test_tells_what_is_on_the_page_and_keeps_nothing(app, server) -> None:
    found = app.collection.test(SYSTEM, draft(server))
    assert (found.metrics, found.series, found.page) == (2, 3, True)
    assert not app.collection.status(SYSTEM) and not app.samples.find()


def test_sign_in_is_sent_and_never_shown(app, server) -> None:
    source = app.collection.add(SYSTEM, draft(server, auth=Auth.BEARER, secret="hunter2-hunter2"))
    app.collection.collect_now(SYSTEM, source.id)
    assert server.headers[-1]["Authorization"] == "Bearer hunter2-hunter2"
    assert "openmetrics" in server.headers[-1]["Accept"]
    assert "hunter2" not in repr(app.collection.draft(SYSTEM, source.id))


@pytest.mark.parametrize(
    ("page", "status", "kind", "said"),
    [
        (b"<html>hello</html>", 200, "text/html", "Line 1"),
        (PAGE + b"load{", 200, "text/plain", "Line 5"),
        (PAGE, 200, "application/openmetrics-text; version=1.0.0", "breaks off"),
        (b"\n# nothing\n", 200, "text/plain", "no samples"),
        (b"".join(b'm{n="%d"} 1\n' % i for i in range(21)), 200, "text/plain", "20 series"),
        (b"#" * (1 << 20) + b"\nm 1\n", 200, "text/plain", "more than 1 MB"),
        (PAGE, 401, "text/plain", "credentials"),
        (PAGE, 404, "text/plain", "no page"),
        (PAGE, 500, "text/plain", "trouble"),
    ],
)
def test_a_page_that_fails_is_said_and_nothing_of_it_is_kept(
    app, source, exporter, page: bytes, status: int, kind: str, said: str
) -> None:
    exporter.page, exporter.status, exporter.kind = page, status, kind
    outcome = app.collection.collect_now(SYSTEM, source.id)["Node"]
    assert isinstance(outcome.error, SourceError) and said in outcome.error.message
    assert [s.metric for s in app.samples.find()] == ["up"] and values(app, "up") == [0]
    [shown] = app.collection.status(SYSTEM)
    assert shown.state is SourceState.FAILING and said in shown.last_error
    assert app.collection.gaps(SYSTEM, source.id).empty, "what was not scraped cannot be fetched later"


def test_a_page_that_is_back_goes_on(app, source, exporter, clock) -> None:
    exporter.status = 500
    app.collection.collect_now(SYSTEM, source.id)
    exporter.status = 200
    clock.advance(seconds=30)
    assert app.collection.collect_now(SYSTEM, source.id)["Node"].error is None
    assert values(app, "up") == [0, 1]
    assert app.collection.status(SYSTEM)[0].state is SourceState.OK


def test_a_dripping_page_ends_at_the_deadline(app, source, server) -> None:
    def drip(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        for _ in range(60):
            request.wfile.write(b"#")
            request.wfile.flush()
            time.sleep(0.1)

    server.fault = drip
    outcome = app.collection.collect_now(SYSTEM, source.id)["Node"]
    assert outcome.error and "took longer than 1.5 s" in outcome.error.message


def test_nan_and_infinity_and_the_pages_own_times_are_kept(app, source, exporter, clock) -> None:
    then = round(clock().timestamp() * 1000) - 60_000
    exporter.page = f"odd NaN\nhigh +Inf\nold 7 {then}\nlater 1 {then + 10**9}\n".encode()
    outcome = app.collection.collect_now(SYSTEM, source.id)["Node"]
    assert outcome.error is None
    assert np.isnan(values(app, "odd")).all() and values(app, "high") == [np.inf] and values(app, "old") == [7]
    assert values(app, "later") == [], "stamped in the future"
    assert "future" in app.collection.status(SYSTEM)[0].targets[0].last_error


def test_times_in_seconds_or_of_long_ago_are_left_out_and_said(app, source, exporter, clock) -> None:
    seconds, stale = round(clock().timestamp()), to_ms(clock() - timedelta(days=2))
    exporter.page = f"late 1 {seconds}\nstale 2 {stale}\nodd 4 -5\nfine 3\n".encode()
    outcome = app.collection.collect_now(SYSTEM, source.id)["Node"]
    assert outcome.error is None
    assert values(app, "fine") == [3] and not app.samples.find(metric="late") and not app.samples.find(metric="stale")
    said = app.collection.status(SYSTEM)[0].targets[0].last_error
    assert said == "3 samples left out, stamped more than a day ago; times on a page are milliseconds since 1970."


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (b"a 1\n" * 500, "more than 20 samples for each of the 20 series allowed"),
        (b"# " + b"x" * 9_000_000 + b"\na 1\n", "larger than the 8 MB that 20 series may take"),
        (gzip.compress(b"a 1\n" * 3_000_000), "larger than the 8 MB that 20 series may take"),
    ],
    ids=["the same again and again", "large", "packed bomb"],
)
def test_a_page_that_grows_without_end_is_given_up(app, source, exporter, page: bytes, why: str) -> None:
    app.settings.source_max_mb = 256.0
    exporter.page, exporter.packed = page, page.startswith(b"\x1f\x8b")
    outcome = app.collection.collect_now(SYSTEM, source.id)["Node"]
    assert isinstance(outcome.error, SourceTooLarge) and why in outcome.error.message
    assert values(app, "up") == [0] and not app.samples.find(metric="a")


def test_what_needs_a_server_is_refused_with_words(app, source, clock) -> None:
    window = Window(clock() - timedelta(days=1), clock())
    for attempt in (
        lambda: app.collection.backfill(SYSTEM, source.id, window),
        lambda: app.collection.add_metrics(SYSTEM, source.id, ["up"]),
    ):
        with pytest.raises(Invalid, match="nothing to choose or fetch"):
            attempt()


def test_bad_addresses_are_refused(app, server) -> None:
    for url in ("http://169.254.169.254/metrics", "file:///etc/passwd", "http://h/metrics?target=x"):
        with pytest.raises(UrlRefused):
            app.collection.add(SYSTEM, SourceDraft("Bad", url, SourceKind.SCRAPE))
    with pytest.raises(Forbidden):
        app.collection.add(Actor("viewer", Role.VIEWER), draft(server))
    with pytest.raises((SourceAnswer, SourceTooLarge)):
        app.collection.test(SYSTEM, SourceDraft("Gone", f"{server.url}/elsewhere", SourceKind.SCRAPE))


def test_strangers_may_not_look_around_once_a_page_is_collected(app, server) -> None:
    app.settings.guests = True
    assert app.administration.guests_allowed()
    app.collection.add(SYSTEM, draft(server))
    assert not app.administration.guests_allowed()
