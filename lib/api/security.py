"""What every answer carries so that a browser does not become a weapon against the person using it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.settings import Settings

_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:]+\](:\d+)?")
PERMISSIONS = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), serial=(), usb=()"
HSTS = "max-age=31536000"


@cache
def _inline_scripts() -> str:
    """Hashes of the scripts in Streamlit's own page, so that they may run and no other inline script may."""
    found = importlib.util.find_spec("streamlit")  # finds it without importing it
    page = Path(found.origin).parent / "static" / "index.html" if found and found.origin else None
    scripts = _INLINE.findall(page.read_text(encoding="utf-8")) if page and page.exists() else []
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    return "".join(f" 'sha256-{digest}'" for digest in digests)


def content_policy(host: str, ancestors: str = "'self'") -> str:
    """The Content-Security-Policy of pages: nothing from elsewhere, no inline script, no plug-in.

    host: as the browser called it; its web socket is named because not every browser counts it as 'self'.
    Styles are inline because Streamlit and Plotly make them as they go; WebAssembly lays out graphs.
    """
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'wasm-unsafe-eval'{_inline_scripts()}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "media-src 'self' data: blob:",
            f"connect-src 'self'{sockets}",
            "worker-src 'self' blob:",
            "frame-src 'self'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            f"frame-ancestors {ancestors}",
        )
    )


class SecurityHeaders:
    """Adds the headers to every HTTP answer; web sockets pass untouched. An answer's own header wins.

    Plain ASGI: Starlette's BaseHTTPMiddleware would buffer streams and break cancellation.
    """

    def __init__(self, app: ASGIApp, settings: Callable[[], Settings]) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        settings = self.settings()
        host = Headers(scope=scope).get("host", "")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", content_policy(host, _ancestors(settings)))
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                headers.setdefault("Permissions-Policy", PERMISSIONS)
                headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
                if scope.get("scheme") == "https" or settings.public_url.startswith("https://"):
                    headers.setdefault("Strict-Transport-Security", HSTS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _ancestors(settings: Settings) -> str:
    """A setting goes into a header: whatever could end the directive or the line is left out."""
    return " ".join(re.sub(r"[;,\s]+", " ", settings.frame_ancestors).split()) or "'none'"
