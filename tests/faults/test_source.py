"""Each way a source can fail: a named behaviour, clear words without secrets, the gap recorded and filled later."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from lib import errors
from lib.app import App
from lib.auth.actor import SYSTEM
from lib.db.tables import Source
from lib.frames import Window, from_ms
from lib.services.collection_sources import Auth, SourceDraft
from lib.services.collection_status import SourceState, SourceStatus
from tests.faults.conftest import FaultServer, Request


def count(app: App, source: Source) -> int:
    ids = [s.id for s in app.samples.find(source_id=source.id)]
    return sum(s.count for s in app.samples.stats(ids))


def status(app: App) -> SourceStatus:
    return app.collection.status(SYSTEM)[0]


def collect(app: App, source: Source) -> errors.SourceError | None:
    return app.collection.collect_now(SYSTEM, source.id)[source.name].error


def drip(request: Request) -> None:
    """A byte now and then: no single read ever times out."""
    body = request.body()
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    for byte in body:
        request.wfile.write(bytes([byte]))
        request.wfile.flush()
        time.sleep(0.1)


def drip_headers(request: Request) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 200:
        request.wfile.write(bytes([byte]))
        request.wfile.flush()
        time.sleep(0.1)


def hang(request: Request) -> None:
    time.sleep(4)
    request.close_connection = True


def status_code(code: int, body: bytes = b"", **headers: str) -> Callable[[Request], None]:
    return lambda request: request.send(body, code, **headers)


def truncated(request: Request) -> None:
    request.send(request.body()[:-40])


def cut(request: Request) -> None:
    """The length is announced, half of it comes."""
    body = request.body()
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body[: len(body) // 2])
    request.close_connection = True


def huge(request: Request) -> None:
    """More than the cap, without saying how much, in pieces."""
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    for _ in range(64):
        request.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    request.wfile.write(b"0\r\n\r\n")


def bomb(request: Request) -> None:
    """A few kilobytes that decompress to far more than the cap."""
    request.send(gzip.compress(b" " * (8 << 20)), Content_Encoding="gzip")


def not_gzip(request: Request) -> None:
    request.send(b"this is not compressed", Content_Encoding="gzip")


def html(request: Request) -> None:
    request.send(b"<html><body><script>alert(1)</script>Welcome</body></html>", Content_Type="text/html")


ERROR = json.dumps({"status": "error", "errorType": "execution", "error": "query processing failed"}).encode()

# fault, the error it becomes, words its message has
FAULTS = {
    "slow": (hang, errors.SourceSlow, "1.5 s"),
    "dripping body": (drip, errors.SourceSlow, "1.5 s"),
    "dripping headers": (drip_headers, errors.SourceSlow, "1.5 s"),
    "500": (status_code(500, b"oops"), errors.SourceBusy, "HTTP 500"),
    "503 with a reason": (status_code(503, ERROR), errors.SourceBusy, "query processing failed"),
    "429": (status_code(429, b"", Retry_After="120"), errors.SourceBusy, "120 s"),
    "401": (status_code(401), errors.SourceRefused, "credentials"),
    "403": (status_code(403), errors.SourceRefused, "credentials"),
    "cut in the middle": (cut, errors.SourceDown, "cut the connection"),
    "redirect to metadata": (
        status_code(302, b"", Location="http://169.254.169.254/latest/meta-data/"),
        errors.UrlRefused,
        "metadata",
    ),
    "redirect to another host": (
        status_code(307, b"", Location="http://somewhere.else.example/api/v1/query"),
        errors.UrlRefused,
        "somewhere.else.example",
    ),
    "redirect in a circle": (status_code(302, b"", Location="/api/v1/query"), errors.UrlRefused, "in a circle"),
}
# The same, where only the answer to the question about samples is wrong: the source goes on, the target does not.
ANSWERS = {
    "truncated JSON": (truncated, "broke off"),
    "status: error": (status_code(200, ERROR), "query processing failed"),
    "422": (status_code(422, ERROR), "query processing failed"),
    "a web page": (html, "did not answer with JSON"),
    "empty body": (status_code(200, b""), "did not answer with JSON"),
    "other JSON": (status_code(200, b'{"hello": 1}'), "Prometheus"),
    "no result": (status_code(200, b'{"status":"success","data":{"resultType":"matrix"}}'), "no list of series"),
    "values that are no numbers": (
        status_code(
            200,
            b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1773489500,"x"]]}]}}',
        ),
        "cannot be read",
    ),
    "body over the cap": (huge, "more than 1 MB"),
    "decompression bomb": (bomb, "more than 1 MB"),
    "broken compression": (not_gzip, "decompress"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_source_fault_is_named_recorded_and_filled_later(
    app: App, server: FaultServer, source: Source, clock: object, name: str
) -> None:
    fault, kind, words = FAULTS[name]
    before = count(app, source)
    collected_until = app.samples.watermark(source.id, "node_load1")
    server.fault = fault
    clock.advance(minutes=10)

    began = time.monotonic()
    error = collect(app, source)

    assert time.monotonic() - began < 10, "the total deadline must hold"
    assert type(error) is kind, error
    assert words in error.message
    assert count(app, source) == before
    assert status(app).state is SourceState.FAILING
    assert status(app).last_error == error.message
    gap = app.collection._collector.gaps.open(source.id).iloc[0]
    assert gap.start == collected_until and gap.end == clock()
    assert words in gap.reason or error.message.startswith(gap.reason[:40])

    server.fault = None
    clock.advance(minutes=1)
    assert collect(app, source) is None
    assert status(app).state is SourceState.OK and status(app).open_gaps == 0
    assert count(app, source) == before + 2 * 4 * 11
    assert app.collection._collector.gaps.history(source.id).filled_at.notna().all()


@pytest.mark.parametrize("name", ANSWERS)
def test_wrong_answer_commits_nothing_and_is_asked_again(
    app: App, server: FaultServer, source: Source, clock: object, name: str
) -> None:
    fault, words = ANSWERS[name]
    before = count(app, source)
    server.fault = lambda request: fault(request) if request.is_read else request.answer()
    clock.advance(minutes=5)

    assert collect(app, source) is None, "the source as a whole is fine"

    assert count(app, source) == before
    shown = status(app)
    assert shown.state is SourceState.FAILING and shown.open_gaps == 1
    assert words in shown.targets[0].last_error
    assert "<script>" not in shown.targets[0].last_error or name == "a web page"

    server.fault = None
    clock.advance(seconds=15)
    collect(app, source)
    assert status(app).state is SourceState.OK
    assert count(app, source) == before + 2 * 4 * 5 + 2


def test_source_that_is_down_leaves_a_gap_that_is_filled_when_it_is_back(
    app: App, server: FaultServer, source: Source, clock: object
) -> None:
    before = count(app, source)
    server.stop()
    for _ in range(3):
        clock.advance(minutes=30)
        error = collect(app, source)
        assert type(error) is errors.SourceDown and "refused" in error.message
    gaps = app.collection._collector.gaps.open(source.id)
    assert len(gaps) == 1, "one outage is one gap"
    assert (gaps.end[0] - gaps.start[0]) == timedelta(minutes=90)

    back = FaultServer(clock)
    back.series = server.series
    try:
        app.collection.update(SYSTEM, source.id, SourceDraft("Faulty", back.url, interval_s=15))
        clock.advance(minutes=1)
        assert collect(app, source) is None
    finally:
        back.stop()

    assert count(app, source) == before + 2 * 4 * 91
    assert app.collection._collector.gaps.open(source.id).empty


def test_long_outage_brings_the_newest_first_and_fills_the_rest_within_bounds(
    app: App, server: FaultServer, source: Source, clock: object
) -> None:
    start = clock()
    server.steady("node_load1", start - timedelta(hours=1), start + timedelta(days=9), step_s=300)
    clock.advance(days=8)
    server.requests.clear()

    collect(app, source)

    reads = [r for r in server.requests if "ms%5D" in r]
    assert len(reads) == 5, "the last hour, and four days of the gap"
    assert status(app).lag_s == 0
    assert status(app).state is SourceState.FILLING
    collect(app, source)
    collect(app, source)
    assert status(app).open_gaps == 0
    frame = app.samples.read([app.samples.find(source_id=source.id)[0].id], Window(start, clock()))
    assert len(frame[frame.ts >= start]) == 8 * 24 * 12


def test_server_trouble_that_passes_is_ridden_out(app: App, server: FaultServer, source: Source, clock: object) -> None:
    failing = iter([True, False, True])

    def sometimes(request: Request) -> None:
        request.send(b"", 502) if next(failing, False) else request.answer()

    server.fault = sometimes
    clock.advance(minutes=1)
    assert collect(app, source) is None
    assert status(app).open_gaps == 0


def test_short_retry_after_is_waited_for(app: App, server: FaultServer, source: Source, clock: object) -> None:
    asked: list[float] = []

    def once(request: Request) -> None:
        asked.append(time.monotonic())
        request.send(b"", 429, Retry_After="1") if len(asked) == 1 else request.answer()

    server.fault = once
    clock.advance(minutes=1)
    assert collect(app, source) is None
    assert asked[1] - asked[0] >= 1


def test_long_retry_after_holds_the_schedule_back(app: App, server: FaultServer, source: Source, clock: object) -> None:
    server.fault = status_code(429, b"", Retry_After="3600")
    clock.advance(minutes=1)
    collect(app, source)
    pause = app.collection._due[source.id] - time.monotonic()
    assert 850 < pause <= 900, "what it asks for, but not longer than a quarter of an hour"


@pytest.mark.parametrize("code", [401, 403])
def test_refused_credentials_are_not_tried_again(
    app: App, server: FaultServer, source: Source, clock: object, code: int
) -> None:
    server.fault = status_code(code)
    clock.advance(minutes=1)
    server.requests.clear()
    collect(app, source)
    assert len(server.requests) == 1


def test_no_secret_reaches_a_message(app: App, server: FaultServer, clock: object) -> None:
    draft = SourceDraft("Secretive", server.url, auth=Auth.BEARER, secret="hunter2-hunter2")
    made = app.collection.add(SYSTEM, draft)
    app.collection.add_metrics(SYSTEM, made.id, ["node_load1"])
    echo = json.dumps({"status": "error", "error": "bad header Authorization: Bearer hunter2-hunter2"}).encode()
    for fault in (status_code(401, echo), status_code(400, echo), status_code(500, echo)):
        server.fault = fault
        error = collect(app, made)
        assert error and "hunter2" not in error.message
        assert "hunter2" not in str(app.collection.status(SYSTEM))
    with app.database.session() as session:
        assert "hunter2" not in session.get(Source, made.id).secret


def test_credentials_and_tenant_are_sent(app: App, server: FaultServer) -> None:
    for draft, name, value in (
        (SourceDraft("a", server.url, auth=Auth.BEARER, secret="tok"), "Authorization", "Bearer tok"),
        (SourceDraft("b", server.url, auth=Auth.BASIC, username="me", secret="pä"), "Authorization", "Basic bWU6cMOk"),
        (SourceDraft("c", server.url, tenant="team-1", tenant_header="X-Team"), "X-Team", "team-1"),
    ):
        app.collection.test(SYSTEM, draft)
        assert server.headers[-1][name] == value


def test_warnings_keep_the_samples_and_are_shown(app: App, server: FaultServer, source: Source, clock: object) -> None:
    before = count(app, source)
    server.fault = lambda request: request.send(request.body(warnings=["store gateway 3 did not answer"]))
    clock.advance(minutes=5)
    collect(app, source)
    assert count(app, source) == before + 2 * 4 * 5
    shown = status(app)
    assert shown.state is SourceState.OK
    assert "Partial: store gateway 3" in shown.targets[0].last_error


def test_nan_and_infinity_are_kept(app: App, server: FaultServer, source: Source, clock: object) -> None:
    t = clock().timestamp()
    server.series["odd"] = [({"instance": "x"}, [(t + 1, "NaN"), (t + 2, "+Inf"), (t + 3, "-Inf"), (t + 4, "1e-7")])]
    app.collection.add_metrics(SYSTEM, source.id, ["odd"])
    clock.advance(minutes=1)
    collect(app, source)
    [series] = app.samples.find(metric="odd")
    values = app.samples.read([series.id], Window(clock() - timedelta(hours=1), clock())).value.tolist()
    assert str(values[:3]) == "[nan, inf, -inf]" and values[3] == 1e-7


def test_duplicates_and_disorder_are_stored_once_in_order(
    app: App, server: FaultServer, source: Source, clock: object
) -> None:
    t = clock().timestamp()
    server.series["messy"] = [({"instance": "x"}, [(t + 3, "3"), (t + 1, "1"), (t + 3, "4"), (t + 2, "2")])]
    app.collection.add_metrics(SYSTEM, source.id, ["messy"])
    for _ in range(3):
        clock.advance(seconds=15)
        collect(app, source)
    [series] = app.samples.find(metric="messy")
    frame = app.samples.read([series.id], Window(clock() - timedelta(hours=1), clock()))
    assert frame.value.tolist() == [1, 2, 4]
    assert frame.ts.is_monotonic_increasing


def test_late_samples_are_still_found(app: App, server: FaultServer, source: Source, clock: object) -> None:
    clock.advance(seconds=60)
    collect(app, source)
    before = count(app, source)
    late = clock().timestamp() - 40.5
    server.series["node_load1"][0][1].append((late, "7"))
    server.series["node_load1"][0][1].sort()
    clock.advance(seconds=15)
    collect(app, source)
    assert count(app, source) == before + 1 + 2


def test_samples_from_the_future_are_left_out_and_said(
    app: App, server: FaultServer, source: Source, clock: object
) -> None:
    before = count(app, source)
    t = clock().timestamp()
    ahead = {"metric": {"__name__": "node_load1"}, "values": [[t + 86400, "1"]]}
    body = {"status": "success", "data": {"resultType": "matrix", "result": [ahead]}}
    server.fault = lambda request: request.send(json.dumps(body).encode()) if request.is_read else request.answer()
    collect(app, source)
    assert count(app, source) == before


def test_server_clock_ahead_is_followed_within_bounds(
    app: App, server: FaultServer, source: Source, clock: object
) -> None:
    server.clock = lambda: clock() + timedelta(seconds=120)
    collect(app, source)
    assert app.samples.watermark(source.id, "node_load1") >= clock() + timedelta(seconds=118)
    server.clock = lambda: clock() + timedelta(days=400)
    clock.advance(minutes=10)
    collect(app, source)
    assert app.samples.watermark(source.id, "node_load1") == clock()


def test_metric_with_too_many_series_is_refused_before_its_samples_are_asked_for(
    app: App, server: FaultServer, source: Source, clock: object
) -> None:
    now = clock()
    server.steady("node_load1", now - timedelta(hours=1), now + timedelta(hours=1), series=21)
    server.requests.clear()
    clock.advance(minutes=1)
    assert collect(app, source) is None
    assert not [r for r in server.requests if "ms%5D" in r]
    shown = status(app)
    assert shown.state is SourceState.FAILING
    assert "21 series, more than the 20 allowed" in shown.targets[0].last_error
    assert shown.open_gaps == 1


def test_series_that_appear_after_counting_are_refused_too(
    app: App, server: FaultServer, source: Source, clock: object
) -> None:
    before = count(app, source)
    now = clock()
    clock.advance(minutes=1)

    def explode(request: Request) -> None:
        if request.is_read:
            server.steady("node_load1", now, now + timedelta(hours=1), series=30)
        request.answer()

    server.fault = explode
    collect(app, source)
    assert count(app, source) == before
    assert "30 series" in status(app).targets[0].last_error


def test_self_signed_certificate_is_refused_and_accepted_with_its_ca(
    app: App, clock: object, certificate: tuple[Path, Path]
) -> None:
    server = FaultServer(clock, certificate)
    try:
        with pytest.raises(errors.SourceTLS, match="did not verify"):
            app.collection.test(SYSTEM, SourceDraft("tls", server.url))
        assert not server.requests, "nothing may be sent over a connection that did not verify"
        with pytest.raises(errors.SourceTLS, match="no CA file"):
            app.collection.test(SYSTEM, SourceDraft("tls", server.url, ca_file="/nowhere.pem"))
        with pytest.raises(errors.SourceTLS, match="CA file"):
            app.collection.test(SYSTEM, SourceDraft("tls", server.url, ca_file=str(certificate[1])))
        app.collection.test(SYSTEM, SourceDraft("tls", server.url, ca_file=str(certificate[0])))
        app.collection.test(SYSTEM, SourceDraft("tls", server.url, verify_tls=False))
    finally:
        server.stop()


def test_empty_answer_is_a_result(app: App, server: FaultServer, source: Source, clock: object) -> None:
    server.series.clear()
    clock.advance(minutes=1)
    assert collect(app, source) is None
    shown = status(app)
    assert shown.state is SourceState.OK and shown.series == 0 and not shown.last_error


def test_one_heavy_metric_does_not_hold_up_the_others(
    app: App, server: FaultServer, source: Source, clock: object
) -> None:
    now = clock()
    server.steady("heavy", now - timedelta(hours=1), now + timedelta(hours=1))
    app.collection.add_metrics(SYSTEM, source.id, ["heavy"])
    server.fault = lambda request: hang(request) if "heavy" in request.path and request.is_read else request.answer()
    clock.advance(minutes=1)
    assert collect(app, source) is None
    by_name = {t.name: t for t in status(app).targets}
    assert "took longer" in by_name["heavy"].last_error and not by_name["node_load1"].last_error


def test_runs_at_the_same_time_lose_and_double_nothing(
    app: App, server: FaultServer, source: Source, clock: object
) -> None:
    turns, begun = iter(range(10_000)), clock()

    def chaos(request: Request) -> None:
        match next(turns) % 7:
            case 2:
                request.send(b"", 500)
            case 4:
                truncated(request)
            case 5:
                request.close_connection = True
            case _:
                request.answer()

    app.collection.add_metrics(SYSTEM, source.id, ["node_load1"])
    server.fault = chaos
    stumbles: list[Exception] = []

    def again_and_again(work: Callable[[], object]) -> None:
        for _ in range(12):
            try:
                work()
            except Exception as error:
                stumbles.append(error)

    works = [lambda: collect(app, source), lambda: collect(app, source), lambda: status(app), app.collection.tick]
    threads = [threading.Thread(target=again_and_again, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        clock.advance(seconds=45)
        time.sleep(0.05)
    server.fault = None
    for _ in range(3):
        clock.advance(seconds=15)
        assert collect(app, source) is None
    assert not stumbles
    assert app.collection._collector.gaps.open(source.id).empty
    first = begun - timedelta(hours=1)
    expected = sum(first <= from_ms(round(t * 1000)) < clock() for t, _ in server.series["node_load1"][0][1])
    assert count(app, source) == 2 * expected


def test_stopping_ends_a_request_in_flight(app: App, server: FaultServer, source: Source, clock: object) -> None:
    server.fault = hang
    clock.advance(minutes=1)
    run = threading.Thread(target=collect, args=(app, source))
    run.start()
    time.sleep(0.3)
    began = time.monotonic()
    app.collection.stop()
    run.join(5)
    assert not run.is_alive() and time.monotonic() - began < 1.2
    assert app.collection._collector.gaps.open(source.id).empty, "stopping is not an outage"
