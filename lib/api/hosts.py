"""Which host names this server answers to, so that a page elsewhere cannot rebind its own name to it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.settings import ROOT, Settings

# Streamlit Community Cloud keeps apps here, behind names of its own choosing, open to the world as it is.
COMMUNITY_CLOUD = Path("/mount/src")


def middleware(get_settings: Callable[[], Settings]) -> list[Middleware]:
    """For pages, their connections and the API alike; Streamlit's own `server.allowedHosts` guards connections only."""
    return [Middleware(HostGuard, get_settings=get_settings)]


class HostGuard:
    """Lets through what DNS rebinding cannot be: IP addresses, names without a dot, and names that are configured."""

    def __init__(self, app: ASGIApp, get_settings: Callable[[], Settings]) -> None:
        self.app, self.get_settings = app, get_settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        name = host_name(Headers(scope=scope).get("host", ""))
        if allowed(name, self.get_settings()):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "host not allowed"})
        else:
            answer = PlainTextResponse(
                "This server does not answer to that host name. Set AUTOOPS_PUBLIC_URL to the address people use, "
                "or add the name to AUTOOPS_ALLOWED_HOSTS.\n",
                status_code=421,
            )
            await answer(scope, receive, send)


def host_name(header: str) -> str:
    """The name in a Host header, without port and final dot, in lower case; empty when it is not a host."""
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port
    except ValueError:
        return ""
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return ""
    return (parts.hostname or "").rstrip(".").lower()


def allowed(name: str, settings: Settings) -> bool:
    """Whether a browser may have reached us by this name."""
    if not name:
        return False
    if COMMUNITY_CLOUD in ROOT.parents or "." not in name or _is_address(name):
        return True
    listed = [entry.strip().lower().rstrip(".") for entry in settings.allowed_hosts.split(",") if entry.strip()]
    listed += [(urlsplit(settings.public_url).hostname or "").lower(), "*.localhost"]
    return any(
        entry == "*" or name == entry or (entry.startswith("*.") and name.endswith(entry[1:])) for entry in listed
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
