"""The HTTP session a `PrometheusConnect` is given: every rule about talking to a source that the package has not.

Total deadline however the bytes trickle, byte cap while streaming (after decompression), addresses checked and pinned
at the moment of connecting, redirects checked, retries with jitter inside the deadline, and each failure as one of our
errors. Environment proxies and .netrc are left out: a proxy would resolve names behind the guard's back.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager, connectionpool
from urllib3 import exceptions as wire
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import create_connection

from lib.errors import (
    SourceAnswer,
    SourceBusy,
    SourceDown,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceTLS,
    SourceTooLarge,
    UrlRefused,
)
from lib.prometheus.guard import Guard
from lib.prometheus.parse import answer, printable
from lib.prometheus.query import Endpoint, Limits

_CHUNK_BYTES = 1 << 20
_MAX_REDIRECTS = 3
_MAX_RETRY_AFTER_S = 900.0  # what a server may ask us to wait at most
_WATCH_S = 0.25  # how often a request looks whether it should end


class Answer(requests.Response):
    """A whole response; `json()` is the envelope with its samples as blocks."""

    def json(self, **kwargs: Any) -> Any:
        return answer(self.content)


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self.seconds, self.end = seconds, time.monotonic() + seconds

    def left(self) -> float:
        return max(0.0, self.end - time.monotonic())


class SourceSession(requests.Session):
    """One source, one thread at a time. `abort()` from any thread ends what is going on.

    watch: called about four times a second during a request; what it raises ends the request and is raised.
    """

    def __init__(
        self, endpoint: Endpoint, limits: Limits, guard: Guard, watch: Callable[[], None] | None = None
    ) -> None:
        super().__init__()
        self.endpoint, self.limits, self.guard, self.watch = endpoint, limits, guard, watch
        self.trust_env = False
        self.server_time: datetime | None = None  # by the newest Date header, and when it came
        self._server_time_at = 0.0
        self._aborted = threading.Event()
        self._adapter = _GuardedAdapter(guard)
        self._near: bool | None = None
        if endpoint.ca_file and not Path(endpoint.ca_file).is_file():
            raise SourceTLS(
                f"There is no CA file {endpoint.ca_file}; give the path of a PEM file on the app's machine."
            )
        self.verify = (endpoint.ca_file or True) if endpoint.verify_tls else False
        if not endpoint.verify_tls:
            import urllib3

            urllib3.disable_warnings(wire.InsecureRequestWarning)  # chosen in the form, said on the page
        if endpoint.auth == "basic":
            self.auth = (endpoint.username.encode(), endpoint.secret.encode())  # type: ignore[assignment]
        elif endpoint.auth == "bearer":
            self.headers["Authorization"] = f"Bearer {endpoint.secret}"
        if endpoint.tenant:
            self.headers[endpoint.tenant_header] = endpoint.tenant
        self.headers["User-Agent"] = "AutoOps"

    def get_adapter(self, url: str | bytes) -> HTTPAdapter:
        """Always the guarded one: PrometheusConnect mounts an adapter of its own, which knows none of our rules."""
        return self._adapter

    def skew_from(self, now: datetime) -> float | None:
        """The server's clock less ours in seconds (its dates have whole ones); None before it said."""
        if self.server_time is None:
            return None
        return (self.server_time - now).total_seconds() + time.monotonic() - self._server_time_at

    def close(self) -> None:
        """Its own adapter is mounted nowhere, so nobody else would close its connections."""
        self._adapter.close()
        super().close()

    def abort(self) -> None:
        """End the request in flight and refuse further ones."""
        self._aborted.set()
        self._adapter.shut()

    def request(self, method: str | bytes, url: str | bytes, **kwargs: Any) -> Answer:  # type: ignore[override]
        """As `requests.Session.request`, but whole, checked and within the limits; anything else is a SourceError."""
        deadline = _Deadline(self.limits.timeout_s)
        for key in ("timeout", "verify", "cert", "auth", "stream", "allow_redirects"):
            kwargs.pop(key, None)  # what PrometheusConnect passes on is what it read from this session
        for attempt in range(1, self.limits.attempts + 1):
            try:
                return self._once(str(method), str(url), deadline, kwargs)
            except SourceError as error:
                pause = self._pause(error, attempt)
                if pause is None or pause >= deadline.left() or self._aborted.wait(pause):
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pause(self, error: SourceError, attempt: int) -> float | None:
        """Seconds before the next attempt; None when another would not help."""
        if (
            attempt >= self.limits.attempts
            or not isinstance(error, SourceBusy | SourceDown)
            or error.values.get("final")
        ):
            return None
        asked = error.values.get("retry_after_s")
        backoff = self.limits.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        return max(float(asked), backoff) if isinstance(asked, int | float) else backoff

    def _once(self, method: str, url: str, deadline: _Deadline, kwargs: dict[str, Any]) -> Answer:
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._exchange(method, url, deadline, kwargs)
            target = response.headers.get("Location")
            if response.status_code not in (301, 302, 303, 307, 308) or not target:
                return self._judged(response)
            url = self._redirected(url, target)
            kwargs = {**kwargs, "params": None}  # the new address carries the query already
        raise UrlRefused(
            f"The server redirects in a circle ({printable(url, 120)}); enter the final address as the URL."
        )

    def _redirected(self, url: str, target: str) -> str:
        """The address a redirect leads to, when it may be followed: same host, no step down from https. Credentials
        thus never travel to another host."""
        there = urljoin(url, target)
        old, new = urlsplit(url), urlsplit(there)
        self.guard.check(new._replace(query="", fragment="").geturl())
        if new.hostname != old.hostname or (old.scheme == "https" and new.scheme != "https"):
            raise UrlRefused(
                f"The server redirects to {printable(f'{new.scheme}://{new.netloc}', 120)}; "
                "if that is right, enter it as the URL."
            )
        return there

    def _exchange(self, method: str, url: str, deadline: _Deadline, kwargs: dict[str, Any]) -> Answer:
        if self._aborted.is_set():
            raise SourceDown("The request was ended because the app is stopping.", final=True)
        parts = urlsplit(url)
        where = parts.netloc
        self.guard.check(parts._replace(query="", fragment="").geturl())
        if self._near is None:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            self._near = self.guard.is_near(parts.hostname or "", port, deadline.left())
        headers = {**(kwargs.get("headers") or {}), "Accept-Encoding": "identity" if self._near else "gzip"}
        prepared = self.prepare_request(requests.Request(method, url, **{**kwargs, "headers": headers}))
        with _Watch(self, deadline) as watch:
            try:
                raw = self._adapter.send(
                    prepared, stream=True, timeout=max(0.01, deadline.left()), verify=self.verify, cert=None
                )
                try:
                    content = self._read(raw, where)
                finally:
                    raw.close()
            except (requests.RequestException, wire.HTTPError, OSError, ValueError) as error:
                watch.check()
                raise self._translated(error, where) from None
            watch.check()
        made = Answer()
        made.status_code, made.headers, made.url, made.reason = raw.status_code, raw.headers, url, raw.reason
        made._content, made.request = content, prepared
        made._content_consumed = True
        return made

    def _read(self, raw: requests.Response, where: str) -> bytes:
        cap = self.limits.max_bytes
        announced = raw.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) > cap:
            raise self._too_large(where)
        chunks, size = [], 0
        for chunk in raw.raw.stream(_CHUNK_BYTES, decode_content=True):
            size += len(chunk)
            if size > cap:
                self._adapter.shut()  # the rest is not read, so the connection is of no more use
                raise self._too_large(where)
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_large(self, where: str) -> SourceTooLarge:
        return SourceTooLarge(
            f"{where} answered with more than {self.limits.max_bytes / (1 << 20):.0f} MB; "
            "collect fewer series, or raise AUTOOPS_SOURCE_MAX_MB.",
            too_long=True,
        )

    def _judged(self, response: Answer) -> Answer:
        """The response when it carries an answer, else the error its status means."""
        where, status = urlsplit(str(response.url)).netloc, response.status_code
        self._note_clock(response)
        if status == 200:
            return response
        if status in (401, 403):
            raise SourceRefused(
                f"{where} refused the credentials (HTTP {status}). Check the source's authentication, user and secret."
            )
        if status == 429 or status >= 500:
            # Prometheus says 503 for a query that ran out of time, with its reason in the body.
            wait = _retry_after(response.headers.get("Retry-After", ""))
            later = f" It asks to come back in {wait:.0f} s." if wait else ""
            said = _reason(response.content)
            word = "is asked too often" if status == 429 else "is in trouble"
            raise SourceBusy(
                f"{where} {word} (HTTP {status}){f': {said}' if said else ''}.{later}",
                **({"retry_after_s": wait} if wait else {}),
                http_status=status,
            )
        if status == 404:
            raise SourceAnswer(
                f"{where} has no Prometheus API at this path (HTTP 404). The URL is the part before /api/v1.",
                http_status=404,
            )
        said = _reason(response.content) or "no reason given"
        raise SourceAnswer(f"{where} did not accept the query (HTTP {status}): {said}", http_status=status)

    def _note_clock(self, response: requests.Response) -> None:
        with suppress(TypeError, ValueError):
            moment = parsedate_to_datetime(response.headers["Date"]) if "Date" in response.headers else None
            if moment and moment.tzinfo:
                self.server_time, self._server_time_at = moment, time.monotonic()

    def _translated(self, error: Exception, where: str) -> SourceError:
        """One of our errors, without addresses of memory, URLs with queries or credentials in it."""
        inner = _chain(error)
        for link in inner:
            if isinstance(link, SourceError):
                return link
        if any(isinstance(link, ssl.SSLError) for link in inner) or any(
            isinstance(link, requests.exceptions.SSLError | wire.SSLError) for link in inner
        ):
            why = next((str(link) for link in inner if isinstance(link, ssl.SSLError)), "the handshake failed")
            return SourceTLS(
                f"The certificate of {where} did not verify: {printable(why, 160)}. "
                "Give the CA file that signed it; nothing was sent."
            )
        if any(isinstance(link, OSError) and "TLS CA certificate" in str(link) for link in inner):
            return SourceTLS("The CA file cannot be used; give the path of a PEM file on the app's machine.")
        if any(isinstance(link, TimeoutError | wire.TimeoutError | requests.Timeout) for link in inner):
            return self._slow(where)
        if any(isinstance(link, ConnectionRefusedError) for link in inner):
            return SourceDown(
                f"Nothing listens at {where} (connection refused). Check the URL and that the server is up."
            )
        if any(isinstance(link, wire.DecodeError) for link in inner):
            return SourceAnswer(f"{where} sent a compressed body that does not decompress. Nothing of it was kept.")
        if any(isinstance(link, wire.IncompleteRead | wire.ProtocolError | ConnectionError) for link in inner):
            return SourceDown(f"{where} cut the connection in the middle of an answer. Nothing of it was kept.")
        return SourceDown(f"{where} cannot be reached ({type(inner[-1]).__name__}). Check the URL and the network.")

    def _slow(self, where: str) -> SourceSlow:
        return SourceSlow(
            f"{where} took longer than {self.limits.timeout_s:g} s in all. Ask for less at once, "
            "or raise AUTOOPS_SOURCE_TIMEOUT_S."
        )


class _Watch:
    """Ends a request from outside when its deadline passes, the session is aborted, or `watch` raises: socket
    time-outs alone start anew with every byte."""

    def __init__(self, session: SourceSession, deadline: _Deadline) -> None:
        self.session, self.deadline = session, deadline
        self.raised: BaseException | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="source-watch")

    def __enter__(self) -> _Watch:
        self.session._adapter.deadline = self.deadline
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(min(_WATCH_S, self.deadline.left())):
            try:
                if self.session.watch:
                    self.session.watch()
            except BaseException as error:
                self.raised = error
            if self.raised or self.deadline.left() <= 0 or self.session._aborted.is_set():
                # Again and again: a handshake swaps the socket for another under our hands.
                self.session._adapter.shut()
                self._done.wait(0.05)

    def check(self) -> None:
        """Raise the reason this request was ended for, if it was."""
        if self.raised:
            raise self.raised
        if self.session._aborted.is_set():
            raise SourceDown("The request was ended because the app is stopping.", final=True)
        if self.deadline.left() <= 0:
            raise self.session._slow(urlsplit(self.session.endpoint.url).netloc)


class _GuardedAdapter(HTTPAdapter):
    """Connects only to addresses the guard has just checked, with what is left of the deadline as time-out."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.deadline: _Deadline | None = None
        self.live: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        super().__init__(pool_connections=2, pool_maxsize=2, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        adapter = self

        class Pinned(HTTPConnection):
            def _new_conn(self) -> Any:
                return adapter.connect(self)

        class PinnedTLS(HTTPSConnection):
            def _new_conn(self) -> Any:
                return adapter.connect(self)

        class Pool(connectionpool.HTTPConnectionPool):
            ConnectionCls = Pinned

        class PoolTLS(connectionpool.HTTPSConnectionPool):
            ConnectionCls = PinnedTLS

        super().init_poolmanager(*args, **kwargs)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = {"http": Pool, "https": PoolTLS}

    def connect(self, connection: HTTPConnection) -> Any:
        left = self.deadline.left() if self.deadline else 10.0
        failure: OSError | None = None
        for address in self.guard.addresses(connection.host, connection.port, left):
            try:
                sock = create_connection(
                    (address, connection.port),
                    max(0.01, self.deadline.left() if self.deadline else left),
                    socket_options=connection.socket_options,
                )
            except OSError as error:
                failure = error
                continue
            connection.sock = sock
            self.live.add(connection)
            return sock
        raise failure or OSError("no address")

    def shut(self) -> None:
        """Cut every connection; whoever waits on one wakes up with an error."""
        import socket

        for connection in list(self.live):
            sock = connection.sock
            if sock is not None:
                with suppress(OSError, ValueError):
                    sock.shutdown(socket.SHUT_RDWR)


def _chain(error: BaseException) -> list[BaseException]:
    """The error and everything it wraps: causes, contexts, `reason`s, exceptions in `args`."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < 30:
        link = waiting.pop(0)
        if isinstance(link, BaseException) and link not in found:
            found.append(link)
            waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
    return found


def _retry_after(header: str) -> float | None:
    """Seconds, from either form the header may have, at most a quarter of an hour."""
    with suppress(TypeError, ValueError):
        if header.strip().isdigit():
            return min(float(header), _MAX_RETRY_AFTER_S)
        wait = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        return min(max(0.0, wait), _MAX_RETRY_AFTER_S)
    return None


def _reason(body: bytes) -> str:
    """What an error body says: Prometheus' `error`, else nothing (a proxy's HTML page helps nobody)."""
    try:
        answer(body)
    except SourceAnswer as error:
        return error.message.removeprefix("The server reports an error: ") if "error_type" in error.values else ""
    return ""
