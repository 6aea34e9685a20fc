"""Bounds on what one caller may ask: requests a minute, bytes a request, and no credentials in an address."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.errors import AppError, Invalid

_KEY = re.compile(r"\bao_[A-Za-z0-9_-]{16,}")
_CREDENTIAL = re.compile(r"(?i)((x-)?api[-_]?key|key|(access[-_]?)?token|bearer|authorization|password|secret)$")
GUARDED = ("/api", "/health", "/metrics")


def problem(error: AppError, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as the API words it."""
    body: dict[str, dict[str, object]] = {"error": {"code": error.code, "message": error.message}}
    if "fields" in error.values:
        # What is wrong with each field of what was sent.
        body["error"]["fields"] = error.values["fields"]
    return JSONResponse(body, error.status, {"Cache-Control": "no-store", **(headers or {})})


class RateLimit:
    """A bucket of tokens a caller: a minute's worth to begin with, refilled evenly. Forgets the longest unseen."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic, callers: int = 10_000) -> None:
        self.per_minute, self.clock, self.callers = per_minute, clock, callers
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str, tokens: int = 1) -> float:
        """0 when the caller may go on, else the seconds until it may. tokens=0 only looks."""
        with self._lock:
            now = self.clock()
            left, seen = self._buckets.pop(caller, (float(self.per_minute), now))
            left = min(float(self.per_minute), left + (now - seen) * self.per_minute / 60)
            short = max(1, tokens) - left
            if short <= 0:
                left -= tokens
            self._buckets[caller] = (left, now)
            while len(self._buckets) > self.callers:
                self._buckets.popitem(last=False)
            return max(0.0, short * 60 / self.per_minute)


class NoKeysInUrl:
    """Refuses a request that carries a credential in its address, where proxies and histories would keep it.

    Sees only the paths of the API: pages have query parameters of their own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _guarded(scope) and _carries_key(scope):
            error = Invalid(
                "A credential must not be part of the address: logs keep addresses. Send it as 'Authorization: Bearer "
                "…' or 'X-API-Key: …', and replace the key that was in the address."
            )
            error.status = 400
            await problem(error)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _guarded(scope: Scope) -> bool:
    path: str = scope["path"]
    return any(path == root or path.startswith(root + "/") for root in GUARDED)


def _carries_key(scope: Scope) -> bool:
    query = scope.get("query_string", b"").decode("latin-1")
    named = any(_CREDENTIAL.match(name) for name, _ in parse_qsl(query, keep_blank_values=True, max_num_fields=None))
    return named or bool(_KEY.search(scope["path"]) or any(_KEY.search(v) for _, v in parse_qsl(query)))


class TooLarge(AppError):
    """A request body over the cap."""

    code, status = "too_large", 413


class BodyLimit:
    """Ends a request whose body is larger than the cap, whether it said so or not.

    FastAPI's own `max_body_size` does the same, but answers in plain text where the API promises JSON. What is raised
    here becomes an answer in the application's handler for AppError.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, larger: Mapping[str, int] | None = None) -> None:
        """larger: endings of paths that take files -> what a POST there may bring instead."""
        self.app, self.most_bytes, self.larger = app, most_bytes, dict(larger or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].rstrip("/") if scope["method"] == "POST" else ""
        most = next((size for end, size in self.larger.items() if path.endswith(end)), self.most_bytes)
        error = TooLarge(f"The request body is larger than {most / 2**20:.3g} MiB; send less at a time.")
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > most:
            await problem(error)(scope, receive, send)
            return
        seen = 0

        async def receive_counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise error
            return message

        await self.app(scope, receive_counted, send)
