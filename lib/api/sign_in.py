"""The routes that set and clear the session cookie, which scripts in a page cannot read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import quote, urlsplit

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lib.app import App
from lib.auth.address import client_address
from lib.auth.sessions import COOKIE
from lib.auth.tickets import Purpose
from lib.errors import AppError

_NOT_KEPT = {"Cache-Control": "no-store"}
# A page of ours with its query, and nothing that a browser could take for another site.
_PAGE = re.compile(r"[a-z0-9_-]{0,64}(\?[A-Za-z0-9_.~%=&+,:-]{0,2000})?")


def routes(get_app: Callable[[], App]) -> list[Route]:
    """`/auth/enter?ticket=`: a one-time link, opened by a person; leads on to the page named in `to`.
    `/auth/cookie?ticket=`: what a page just signed in fetches as an image, for its cookie.
    `/auth/leave`: ends the cookie's session.

    The cookie is SameSite=Strict: links from elsewhere still arrive signed in, since pages talk to the server
    over a connection they open themselves.
    """

    async def enter(request: Request) -> Response:
        ticket = request.query_params.get("ticket", "")
        if request.method == "HEAD" or not ticket:
            # What only looks at a link must not use it up.
            return Response(status_code=204, headers=_NOT_KEPT)
        app = await to_thread.run_sync(get_app)
        try:
            token = await _token(app, request, ticket, Purpose.LINK)
        except AppError:
            # The page tries the same and says in words what is wrong.
            return RedirectResponse(f"../?ticket={quote(ticket[:100], safe='')}", 303, _NOT_KEPT)
        page = request.query_params.get("to", "")
        response = RedirectResponse(f"../{page if _PAGE.fullmatch(page) else ''}", 303, _NOT_KEPT)
        _set_cookie(response, app, token)
        return response

    async def cookie(request: Request) -> Response:
        if not _same_origin(request):
            # Else a page elsewhere could sign its visitors in here as somebody else.
            return Response(status_code=403, headers=_NOT_KEPT)
        app = await to_thread.run_sync(get_app)
        try:
            token = await _token(app, request, request.query_params.get("ticket", ""), Purpose.COOKIE)
        except AppError as error:
            return Response(status_code=error.status, headers=_NOT_KEPT)
        response = Response(status_code=204, headers=_NOT_KEPT)
        _set_cookie(response, app, token)
        return response

    async def leave(request: Request) -> Response:
        if not _same_origin(request):
            return Response(status_code=403, headers=_NOT_KEPT)
        app = await to_thread.run_sync(get_app)
        token = request.cookies.get(COOKIE)
        if token:
            await to_thread.run_sync(partial(app.administration.leave, token, _address(request, app)))
        response = Response(status_code=204, headers=_NOT_KEPT)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=_https(app))
        return response

    return [
        Route("/auth/enter", enter, methods=["GET"]),
        Route("/auth/cookie", cookie, methods=["GET"]),
        Route("/auth/leave", leave, methods=["GET", "POST"]),
    ]


async def _token(app: App, request: Request, ticket: str, purpose: Purpose) -> str:
    return await to_thread.run_sync(partial(app.administration.enter, ticket, purpose, _address(request, app)))


def _set_cookie(response: Response, app: App, token: str) -> None:
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(app.settings.session_hours * 3600),
        path="/",
        httponly=True,
        samesite="strict",
        secure=_https(app),
    )


def _https(app: App) -> bool:
    return app.settings.public_url.lower().startswith("https:")


def _address(request: Request, app: App) -> str:
    peer = request.client.host if request.client else None
    return client_address(peer, request.headers.get("x-forwarded-for"), app.settings.trusted_proxies)


def _same_origin(request: Request) -> bool:
    """Whether one of our own pages asks. Browsers say so themselves, but for plain HTTP outside this machine."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin") or request.headers.get("referer") or ""
    return bool(origin) and urlsplit(origin).netloc == request.headers.get("host")
