"""History by remote read is, to the bit, what the query API gives; and where it is not to be had, nothing is lost."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from benchmarks.prometheus import binary, running
from lib.errors import SourceBusy, SourceDown, SourceRefused, SourceTooLarge
from lib.frames import STALE_NAN_BITS, Block, Window, from_ms, utcnow
from lib.prometheus.guard import Guard
from lib.prometheus.parse import Matrix
from lib.prometheus.query import DAY, Endpoint, Limits, Wanted
from lib.prometheus.read import Reader
from lib.prometheus.remote_read import added
from tests.faults.conftest import FaultServer, Request
from tests.prometheus import remote

START = datetime(2026, 3, 1, tzinfo=UTC)
FIRST = int(START.timestamp())


def shapes() -> Iterator[tuple[str, float, str]]:
    """(series, seconds, value as text): every kind of series one may meet."""
    random = np.random.default_rng(11)
    steady = FIRST + 15.0 * np.arange(3000)
    jitter = steady + random.integers(-2500, 2500, steady.size) / 1000
    kinds: dict[str, tuple[np.ndarray, list[str]]] = {
        "steady": (steady, [f"{v:.2f}" for v in np.cumsum(random.gamma(2, 2, 3000))]),
        "jitter": (jitter, [repr(float(v)) for v in random.random(3000)]),
        "gaps": (steady[(np.arange(3000) // 400) % 2 == 0], [str(i) for i in range(1600)]),
        "resets": (steady, [str(i % 700 * 3) for i in range(3000)]),
        "constant": (steady, ["1"] * 3000),
        "not_numbers": (steady[:500], [("NaN", "+Inf", "-Inf", "0", "-0", "5e-324")[i % 6] for i in range(500)]),
        "large": (steady[:500], [str(2**53 + 2 * i) if i % 2 else str(10**18 + 128 * i) for i in range(500)]),
        "sparse": (FIRST + 7200.0 * np.arange(20), [str(i) for i in range(20)]),
        "one": (steady[77:78], ["42.5"]),
    }
    for kind, (moments, values) in kinds.items():
        yield from (
            (f'shape{{kind="{kind}"}}', t, v) for t, v in zip(moments.tolist()[: len(values)], values, strict=False)
        )


@pytest.fixture(scope="module", params=["{}", "{dc: home, kind: overruled}"], ids=["", "external labels"])
def url(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("shapes")
    text = folder / "shapes.om"
    text.write_text("".join(f"{name} {value} {t:.3f}\n" for name, t, value in shapes()) + "# EOF\n")
    command = [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, folder / "tsdb"]
    subprocess.run(command, check=True, capture_output=True)
    with running(folder, f"global: {{external_labels: {request.param}}}\n", "--storage.tsdb.retention.time=10y") as url:
        yield url


def opened(url: str, **limits: int) -> Reader:
    return Reader(Endpoint(url), Limits(**limits), Guard())


def bits(blocks: list[Block]) -> dict[object, tuple[list[int], list[int]]]:
    return {
        (b.metric, frozenset(b.labels.items())): (b.ts_ms.tolist(), b.value.view(np.uint64).tolist()) for b in blocks
    }


def test_every_shape_of_series_is_the_same_to_the_bit(url: str) -> None:
    wanted = Wanted("shape")
    with opened(url) as reader:
        for window in (
            Window(START, START + 2 * DAY),
            Window(START, START + timedelta(hours=5, minutes=3, seconds=15)),
            Window(START + timedelta(seconds=3.7), START + timedelta(seconds=15)),
            Window(START + timedelta(hours=2), START + timedelta(hours=2, milliseconds=1)),
        ):
            fast, slow = reader.stored(wanted, window), reader.samples(wanted, window)
            assert bits(fast) == bits(slow) and fast.warnings == slow.warnings == ()
        assert len(bits(reader.stored(wanted, Window(START, START + 2 * DAY)))) == 9
        assert not reader.remote.offer.declined and not reader.remote.offer.broken


def test_windows_that_touch_share_no_sample_and_miss_none(url: str) -> None:
    with opened(url) as reader:
        whole = bits(reader.stored(Wanted("shape"), Window(START, START + DAY)))
        edge = START + timedelta(minutes=19, seconds=15)  # on a sample of the steady ones
        first = bits(reader.stored(Wanted("shape"), Window(START, edge)))
        second = bits(reader.stored(Wanted("shape"), Window(edge, START + DAY)))
    for key, (ts, value) in whole.items():
        before, after = first.get(key, ([], [])), second.get(key, ([], []))
        assert (before[0] + after[0], before[1] + after[1]) == (ts, value)


def test_nothing_there_is_nothing(url: str) -> None:
    with opened(url) as reader:
        assert reader.stored(Wanted("nobody"), Window(START, START + DAY)) == []
        assert reader.stored(Wanted("shape"), Window(START - DAY, START - timedelta(minutes=1))) == []
        assert not reader.remote.offer.declined


def test_the_cap_on_series_holds(url: str) -> None:
    with opened(url, max_series=8) as reader, pytest.raises(SourceTooLarge, match="more series than the 8 allowed"):
        reader.stored(Wanted("shape"), Window(START, START + DAY))


def test_stale_markers_are_kept(tmp_path: Path) -> None:
    page = {"text": b"coming 1\nstaying 2\n"}

    class Metrics(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page["text"])

    exporter = HTTPServer(("127.0.0.1", 0), Metrics)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    config = (
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n"
        f"  - {{job_name: page, static_configs: [{{targets: ['127.0.0.1:{exporter.server_port}']}}]}}\n"
    )
    begun = utcnow() - timedelta(minutes=1)
    try:
        with running(tmp_path, config) as url, opened(url) as reader:

            def found(metric: str, which: Callable[..., Matrix] = reader.stored) -> list[int]:
                blocks = which(Wanted(metric), Window(begun, utcnow() + timedelta(minutes=1)))
                return [bits for block in blocks for bits in block.value.view(np.uint64).tolist()]

            def wait(condition: Callable[[], bool]) -> None:
                until = time.monotonic() + 20
                while not condition():
                    assert time.monotonic() < until
                    time.sleep(0.05)

            wait(lambda: len(found("coming")) > 2)
            page["text"] = b"staying 2\n"
            wait(lambda: STALE_NAN_BITS in found("coming"))
            assert found("coming").count(STALE_NAN_BITS) == 1 and STALE_NAN_BITS not in found("staying")
            # PromQL leaves them out; the rest is the same.
            assert found("coming", reader.samples) == found("coming")[:-1]
    finally:
        exporter.shutdown()
        exporter.server_close()


# --- a server that fails -----------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[FaultServer]:
    made = FaultServer(lambda: START + 3 * DAY)
    made.steady("m", START, START + DAY, step_s=60, series=3)
    made.remote = remote.streams
    yield made
    made.stop()


WINDOW = Window(START + timedelta(minutes=30), START + DAY)


def same_as_always(server: FaultServer, tries: int = 1) -> Reader:
    """Reads by remote read and checks it against the query API; the reader, to ask what it learnt."""
    with opened(server.url, attempts=1) as reader:
        for _ in range(tries):
            assert bits(reader.stored(Wanted("m"), WINDOW)) == bits(reader.samples(Wanted("m"), WINDOW))
    return reader


def test_chunks_and_plain_samples_are_read_alike(server: FaultServer) -> None:
    for way in (remote.streams, remote.gives_samples):
        server.remote = way
        offer = same_as_always(server).remote.offer
        assert not offer.declined and not offer.broken
    assert remote.reads(server) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 405, 415, 501])
def test_a_server_without_it_is_asked_as_always_and_once_only(server: FaultServer, status: int) -> None:
    server.remote = lambda request: request.send(b"no", status)
    reader = same_as_always(server, tries=3)
    assert reader.remote.offer.declined and remote.reads(server) == 1


def test_an_overloaded_server_is_left_alone(server: FaultServer) -> None:
    server.remote = lambda request: request.send(b"busy", 503, Retry_After="7")
    with opened(server.url, attempts=1) as reader:
        with pytest.raises(SourceBusy) as caught:
            reader.stored(Wanted("m"), WINDOW)
        assert caught.value.values["retry_after_s"] == 7 and len(server.requests) == 1
        assert not reader.remote.offer.declined


def test_wrong_credentials_are_said_and_not_tried_again(server: FaultServer) -> None:
    server.fault = lambda request: request.send(b"who?", 401)
    with opened(server.url) as reader, pytest.raises(SourceRefused):
        reader.stored(Wanted("m"), WINDOW)
    assert len(server.requests) == 2


def truncated(request: Request) -> None:
    request.send(b"".join(remote.frames(request))[:-7], Content_Type=remote.STREAMED)


def cut_in_the_checksum(request: Request) -> None:
    whole = remote.frames(request)
    request.send(whole[0] + whole[1][:4], Content_Type=remote.STREAMED)


def error_text_at_the_end(request: Request) -> None:
    # What Prometheus does when it fails half-way: the status is out already.
    request.send(b"".join(remote.frames(request)) + b"block gone\n", Content_Type=remote.STREAMED)


def wrong_checksum(request: Request) -> None:
    whole = bytearray(b"".join(remote.frames(request)))
    whole[len(whole) // 2] ^= 4
    request.send(bytes(whole), Content_Type=remote.STREAMED)


def huge_frame(request: Request) -> None:
    request.send(b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + b"1234" * 20, Content_Type=remote.STREAMED)


def no_message(request: Request) -> None:
    request.send(remote.frame(b"\xff\xff\xff\xff"), Content_Type=remote.STREAMED)


def unknown_packing(request: Request) -> None:
    message = remote.message({"__name__": "m", "instance": "host-0:9100"}, [(9, b"?")])
    request.send(remote.frame(message), Content_Type=remote.STREAMED)


def chunk_cut_short(request: Request) -> None:
    message = remote.message({"__name__": "m", "instance": "host-0:9100"}, [(1, b"\x00\x78\x01\x02")])
    request.send(remote.frame(message), Content_Type=remote.STREAMED)


def not_snappy(request: Request) -> None:
    request.send(b"\x20not snappy at all", Content_Type="application/x-protobuf", Content_Encoding="snappy")


def a_web_page(request: Request) -> None:
    request.send(b"<html>welcome</html>", Content_Type="text/html")


BROKEN = (
    truncated,
    cut_in_the_checksum,
    error_text_at_the_end,
    wrong_checksum,
    huge_frame,
    no_message,
    unknown_packing,
    chunk_cut_short,
    not_snappy,
    a_web_page,
)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_answer_is_dropped_whole_and_asked_for_as_always(server: FaultServer, fault: Callable) -> None:
    server.remote = fault
    reader = same_as_always(server, tries=4)
    # Once may be an accident; after the second the server is not asked this way any more.
    assert remote.reads(server) == 2 and reader.remote.offer.declined


def test_a_connection_cut_in_the_stream_is_the_source_being_down(server: FaultServer) -> None:
    def cut(request: Request) -> None:
        body = b"".join(remote.frames(request))
        request.send_response(200)
        request.send_header("Content-Type", remote.STREAMED)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2])
        request.close_connection = True

    server.remote = cut
    with opened(server.url, attempts=1) as reader, pytest.raises(SourceDown):
        reader.stored(Wanted("m"), WINDOW)


def test_a_redirect_on_the_same_host_is_followed_and_another_host_is_not(server: FaultServer) -> None:
    def moved(request: Request) -> None:
        if request.query:
            remote.streams(request)
        else:
            request.send(b"", 307, Location="/api/v1/read?moved=1")

    server.remote = moved
    offer = same_as_always(server).remote.offer
    assert not offer.declined and not offer.broken
    server.remote = lambda request: request.send(b"", 307, Location="http://169.254.169.254/api/v1/read")
    assert "link-local" in same_as_always(server).remote.offer.declined


def test_an_answer_over_the_cap_is_asked_for_in_halves(server: FaultServer) -> None:
    with opened(server.url) as reader:
        whole = bits(reader.whole(Wanted("m"), WINDOW, stored=True))
    before = remote.reads(server)
    with opened(server.url, max_bytes=3_000) as reader:
        assert bits(reader.whole(Wanted("m"), WINDOW, stored=True)) == whole
    assert remote.reads(server) > before + 2


def test_series_of_native_histograms_are_left_out_and_said(server: FaultServer) -> None:
    def with_histograms(request: Request) -> None:
        extra = remote.frame(remote.message({"__name__": "m", "instance": "host-9:9100"}, [(2, b"\x00\x01..")]))
        request.send(b"".join([*remote.frames(request), extra]), Content_Type=remote.STREAMED)

    server.remote = with_histograms
    with opened(server.url) as reader:
        found = reader.stored(Wanted("m"), WINDOW)
        assert bits(found) == bits(reader.samples(Wanted("m"), WINDOW))
    assert "1 series have native histograms" in found.warnings[0]


def test_names_that_do_not_add_up_are_not_trusted(server: FaultServer) -> None:
    def renamed(request: Request) -> None:
        labels = {"__name__": "m", "instance": "nobody"}
        request.send(remote.frame(remote.message(labels, [(1, b"\x00\x00")])), Content_Type=remote.STREAMED)

    def other_names(request: Request) -> None:
        found = [
            remote.frame(
                remote.message({**labels, "instance": labels["instance"][::-1]}, [(1, remote.encode(samples))])
            )
            for labels, samples in remote.series_of(request)
        ]
        request.send(b"".join(found), Content_Type=remote.STREAMED)

    server.remote = renamed  # nothing in it
    with opened(server.url) as reader:
        assert reader.stored(Wanted("m"), WINDOW) == []
    server.remote = other_names
    assert "names series in another way" in same_as_always(server).remote.offer.declined


def test_labels_a_server_adds_are_told_from_its_own() -> None:
    def names(*series: dict[str, str]) -> set:
        return {frozenset(labels.items()) for labels in series}

    own = names({"a": "1"}, {"a": "2"})
    assert added(own, own) == frozenset()
    assert added(names({"a": "1", "dc": "x"}, {"a": "2", "dc": "x"}), own) == {("dc", "x")}
    # One series has the label itself, the other got it: taking it off both would be wrong.
    assert added(names({"a": "1", "dc": "x"}, {"a": "2", "dc": "x"}), names({"a": "1", "dc": "x"}, {"a": "2"})) is None
    assert added(names({"a": "3", "dc": "x"}), own) is None


def test_short_spans_round_to_whole_milliseconds(server: FaultServer) -> None:
    asked: list[tuple[str, int, int]] = []

    def note(request: Request) -> None:
        asked.append(remote.asked(request))
        remote.streams(request)

    server.remote = note
    with opened(server.url) as reader:
        reader.stored(Wanted("m"), Window(from_ms(FIRST * 1000 + 1), from_ms(FIRST * 1000 + 3)))
        assert reader.stored(Wanted("m"), Window(START, START)) == []
    assert asked == [("m", FIRST * 1000 + 1, FIRST * 1000 + 2)]
