"""What only shows below PrometheusConnect; the faults themselves are in tests/faults."""

import gc
import http.server
import threading
from collections.abc import Iterator

import psutil
import pytest

from lib.errors import SourceDown, UrlRefused
from lib.prometheus.guard import Guard
from lib.prometheus.query import Endpoint, Limits
from lib.prometheus.read import Reader
from lib.prometheus.session import SourceSession


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append((self.client_address, dict(self.headers), self.path))
        location = self.server.locations.pop(0) if self.server.locations else None
        body = b'{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}'
        self.send_response(301 if location else 200)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads, made.seen, made.locations = True, [], []
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_name_that_changes_its_address_after_the_check_is_still_refused(server: object) -> None:
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    guard = Guard(resolve=lambda host, port: next(answers))
    with (
        Reader(Endpoint(f"http://rebinding.example:{server.server_port}"), Limits(attempts=1), guard) as reader,
        pytest.raises(UrlRefused),
    ):
        reader.connect.custom_query("1")
    assert server.seen == []


def test_connection_goes_to_the_checked_address_with_the_name_as_host(server: object) -> None:
    guard = Guard(resolve=lambda host, port: ["127.0.0.1"])
    with Reader(Endpoint(f"http://named.example:{server.server_port}/prom"), Limits(), guard) as reader:
        reader.connect.custom_query("1")
    [(_, headers, path)] = server.seen
    assert headers["Host"] == f"named.example:{server.server_port}" and path.startswith("/prom/api/v1/query")


def test_redirect_on_the_same_host_is_followed_with_the_credentials(server: object) -> None:
    server.locations.append("/elsewhere/api/v1/query?query=1")
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}", auth="bearer", secret="t")
    with Reader(endpoint, Limits(), Guard()) as reader:
        reader.connect.custom_query("1")
    assert server.seen[1][2] == "/elsewhere/api/v1/query?query=1"
    assert server.seen[1][1]["Authorization"] == "Bearer t"


def test_redirect_by_name_to_metadata_is_refused(server: object) -> None:
    server.locations.append("http://metadata.google.internal/computeMetadata/v1/")
    with (
        Reader(Endpoint(f"http://127.0.0.1:{server.server_port}"), Limits(attempts=1), Guard()) as reader,
        pytest.raises(UrlRefused, match="metadata"),
    ):
        reader.connect.custom_query("1")


def test_nothing_is_compressed_nearby_and_the_environment_is_left_out(
    server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Reader(Endpoint(f"http://127.0.0.1:{server.server_port}"), Limits(), Guard()) as reader:
        reader.connect.custom_query("1")
    assert server.seen[0][1]["Accept-Encoding"] == "identity"


def test_one_connection_serves_many_requests(server: object) -> None:
    with Reader(Endpoint(f"http://127.0.0.1:{server.server_port}"), Limits(), Guard()) as reader:
        for _ in range(5):
            reader.connect.custom_query("1")
    assert len({address for address, _, _ in server.seen}) == 1


def test_closing_ends_the_connections(server: object) -> None:
    gc.disable()
    try:
        for _ in range(5):
            with Reader(Endpoint(f"http://127.0.0.1:{server.server_port}"), Limits(), Guard()) as reader:
                reader.connect.custom_query("1")
        ours = [c for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr[1] == server.server_port]
    finally:
        gc.enable()
    assert not [c for c in ours if c.status == psutil.CONN_ESTABLISHED]


def test_aborted_session_stays_closed(server: object) -> None:
    session = SourceSession(Endpoint(f"http://127.0.0.1:{server.server_port}"), Limits(), Guard())
    session.abort()
    with pytest.raises(SourceDown, match="stopping"):
        session.get(f"http://127.0.0.1:{server.server_port}/api/v1/query")
    assert server.seen == []
    session.close()


def test_what_watch_raises_ends_the_request_and_is_raised() -> None:
    class Enough(Exception):
        pass

    def watch() -> None:
        raise Enough

    silent = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)  # accepts, never answers
    session = SourceSession(Endpoint("http://127.0.0.1"), Limits(timeout_s=20), Guard(), watch)
    with pytest.raises(Enough):
        session.get(f"http://127.0.0.1:{silent.server_port}/")
    session.close()
    silent.server_close()


def test_secret_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(Endpoint("http://x", secret="hunter2"))
