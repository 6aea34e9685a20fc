"""A Prometheus that misbehaves on command: real HTTP on 127.0.0.1, on a port of the system's choice."""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from lib.app import App
from lib.auth.actor import SYSTEM
from lib.db.tables import Source, Target
from lib.services.collection_sources import SourceDraft
from lib.settings import Settings

Fault = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; what it does is decided by the server's `fault`, else it answers as Prometheus does."""

    protocol_version = "HTTP/1.1"
    server: FaultServer
    sent = b""

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.server.headers.append(dict(self.headers))
        parts = urlsplit(self.path)
        self.query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        self.endpoint = parts.path
        fault = self.server.fault
        try:
            if fault:
                fault(self)
            else:
                self.answer()
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True

    def do_POST(self) -> None:
        self.sent = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.server.clock().replace(microsecond=0), usegmt=True)

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in {"Content_Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def body(self, **extra: object) -> bytes:
        data = self.server.data_for(self.endpoint, self.query)
        return json.dumps({"status": "success", "data": data, **extra}, separators=(",", ":")).encode()

    def answer(self) -> None:
        if self.endpoint == "/api/v1/read" and self.server.remote is None:
            self.send(b"404 page not found\n", 404)
        elif self.endpoint == "/api/v1/read":
            self.server.remote(self)
        else:
            self.send(self.body())

    @property
    def is_read(self) -> bool:
        """Samples are asked for, rather than counts or names."""
        return self.query.get("query", "").endswith("ms]")


class FaultServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, clock: Callable[[], datetime], certificate: tuple[Path, Path] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.clock, self.fault = clock, None
        self.remote: Fault | None = None  # what answers remote read; None: it is not offered
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        # metric -> [(labels, [(seconds, value as text)])]
        self.series: dict[str, list[tuple[dict[str, str], list[tuple[float, str]]]]] = {}
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    fault: Fault | None

    def handle_error(self, request: object, client_address: object) -> None: ...

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def steady(self, metric: str, start: datetime, end: datetime, step_s: float = 15, series: int = 2) -> None:
        """A metric with a value at every step, the same however often one asks."""
        first = start.timestamp()
        moments = [first + i * step_s for i in range(int((end - start).total_seconds() // step_s))]
        self.series[metric] = [
            ({"instance": f"host-{n}:9100"}, [(t, str(n + (i % 7) / 2)) for i, t in enumerate(moments)])
            for n in range(series)
        ]

    def data_for(self, endpoint: str, query: dict[str, str]) -> object:
        if endpoint == "/api/v1/label/__name__/values":
            return sorted(self.series)
        if endpoint == "/api/v1/series":
            name = re.fullmatch(r'\{__name__="(.*)"\}', query["match[]"])
            found = self.series.get(name[1], []) if name else []
            return [{"__name__": name[1], **labels} for labels, _ in found] if name else []
        if endpoint == "/api/v1/labels":
            return ["__name__", "instance"]
        if endpoint != "/api/v1/query":
            return {}
        asked = query["query"]
        at = float(query.get("time", self.clock().timestamp()))
        counted = re.fullmatch(r'count by \(__name__\) \(\{__name__=~"(.*)"\}\)', asked)
        if counted:
            pattern = counted[1].replace("\\\\", "\\")
            rows = [
                {"metric": {"__name__": name}, "value": [at, str(len(found))]}
                for name, found in self.series.items()
                if re.fullmatch(pattern, name)
            ]
            return {"resultType": "vector", "result": rows}
        selected = re.fullmatch(r'\{__name__="(.*)"\}\[(\d+)ms\]', asked)
        if selected:
            since = at - int(selected[2]) / 1000
            rows = []
            for labels, samples in self.series.get(selected[1], []):
                values = [[t, v] for t, v in samples if since - 1e-6 <= t <= at + 1e-6]
                if values:
                    rows.append({"metric": {"__name__": selected[1], **labels}, "values": values})
            return {"resultType": "matrix", "result": rows}
        return {"resultType": "scalar", "result": [at, "1"]}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Short patience, so that a deadline is reached while a test waits."""
    return settings.model_copy(update={"source_timeout_s": 1.5, "source_max_mb": 1.0, "source_max_series": 20})


@pytest.fixture
def server(clock: Callable[[], datetime]) -> Iterator[FaultServer]:
    made = FaultServer(clock)
    now = clock()
    made.steady("node_load1", now - timedelta(hours=3), now + timedelta(hours=12))
    yield made
    made.stop()


@pytest.fixture
def source(app: App, server: FaultServer) -> Source:
    """The server as a source that collects node_load1 and was collected once, while all was well."""
    made = app.collection.add(SYSTEM, SourceDraft("Faulty", server.url, interval_s=15))
    app.collection.add_metrics(SYSTEM, made.id or 0, ["node_load1"])
    app.collection.collect_now(SYSTEM, made.id)
    return made


@pytest.fixture
def target(app: App, source: Source) -> Target:
    return app.collection.sources.targets(source.id)[0]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, made anew: (certificate, key)."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "server.pem", folder / "server.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
