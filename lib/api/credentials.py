"""Who is asking the API: an API key, a signed-in browser, or a guest where guests are welcome."""

from __future__ import annotations

from starlette.requests import Request

from lib.api.sign_in import COOKIE
from lib.app import App
from lib.auth.actor import GUEST, Actor
from lib.auth.address import client_address
from lib.errors import Unauthenticated


def address_of(request: Request, app: App) -> str:
    peer = request.client.host if request.client else None
    return client_address(peer, request.headers.get("x-forwarded-for"), app.settings.trusted_proxies)


def key_of(request: Request) -> str:
    """The key a request brings, in either header; empty when it brings none."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        return rest.strip()
    return request.headers.get("x-api-key", "").strip()


def brought(request: Request) -> bool:
    """Whether a request says who it is from, true or not; probes, which ask every second, do not."""
    return bool(key_of(request) or request.cookies.get(COOKIE))


def actor_of(request: Request, app: App) -> Actor:
    """Raises Unauthenticated for strangers, and for a key or session that is no longer good.

    A key that does not hold is refused even where guests are welcome, so that its owner hears of it.
    """
    address = address_of(request, app)
    if key := key_of(request):
        actor = app.administration.actor_of_key(key, address)
        if actor is None:
            raise Unauthenticated("This API key is unknown, expired or revoked; make a new one on the Account page.")
        return actor
    token = request.cookies.get(COOKIE)
    if token and _reads_from_here(request):
        actor = app.administration.actor_of(token, address)
        if actor is not None:
            return actor
    if request.method in ("GET", "HEAD") and app.administration.guests_allowed():
        return Actor(GUEST.name, GUEST.role, GUEST.kind, address=address)
    # Signing in helps only to read: whatever else a browser sends along with its cookie is not trusted.
    reads = ", or sign in first" if request.method in ("GET", "HEAD") else ""
    raise Unauthenticated(
        f"Send an API key as 'Authorization: Bearer …' or 'X-API-Key: …'{reads}. Keys are made on the Account page."
    )


def _reads_from_here(request: Request) -> bool:
    """Browsers send cookies along wherever a request was made from; only reads by our own pages count."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    return request.method in ("GET", "HEAD") and site in ("same-origin", "none")
