"""What the server answers beside the pages: /health, /metrics and everything under /api."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache

import anyio.to_thread
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.api import credentials
from lib.api.limits import NoKeysInUrl, problem
from lib.api.metrics import CountRequests, Exposition
from lib.api.security import SecurityHeaders
from lib.app import App
from lib.auth.actor import ActorKind
from lib.errors import AppError, Unauthenticated
from lib.settings import Settings


class LazyApi:
    """The FastAPI application, made by the first request for it: importing it takes a third of a second, which
    nobody who waits for the first page should pay."""

    def __init__(self, get_app: Callable[[], App]) -> None:
        self.get_app = get_app
        self._api: ASGIApp | None = None
        self._lock = threading.Lock()

    def _made(self) -> ASGIApp:
        with self._lock:
            if self._api is None:
                from lib.api import v1

                self._api = v1.build(self.get_app)
            return self._api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # closing the socket unanswered refuses it
        try:
            api = await anyio.to_thread.run_sync(self._made) if self._api is None else self._api
        except AppError as error:  # the app itself cannot be built: the file is held, the disk is full
            await problem(error)(scope, receive, send)
            return
        await api(scope, receive, send)


def routes(get_app: Callable[[], App]) -> list[BaseRoute]:
    """For `st.App(routes=...)`. `get_app` may build on its first call; it is called in a worker thread."""

    def look(request: Request) -> Response:
        try:
            app = get_app()
        except AppError as error:
            body = {"state": "down", "parts": {"app": {"state": "down"}}, "error": {"code": error.code}}
            return JSONResponse(body, 503, {"Cache-Control": "no-store"})
        report = app.health.report()
        try:
            detail = credentials.brought(request) and credentials.actor_of(request, app).kind is not ActorKind.GUEST
        except Unauthenticated:
            detail = False
        return JSONResponse(report.as_json(detail), 200 if report.able else 503, {"Cache-Control": "no-store"})

    def scrape(request: Request) -> Response:
        try:
            app = get_app()
        except AppError as error:
            return problem(error)
        body, content_type = Exposition(app.health.report, app.health.figures).render(request.headers.get("accept", ""))
        return Response(body, media_type=None, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def home(request: Request) -> Response:
        # The default page has no address of its own, but people type one.
        return RedirectResponse(f"./?{request.url.query}" if request.url.query else "./")

    async def health(request: Request) -> Response:
        return await anyio.to_thread.run_sync(look, request)

    async def metrics(request: Request) -> Response:
        return await anyio.to_thread.run_sync(scrape, request)

    async def to_docs(request: Request) -> Response:
        return RedirectResponse("api/docs")

    return [
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/overview", home),
        Route("/api", to_docs),
        Mount("/api", app=LazyApi(get_app)),
    ]


def middleware(settings: Callable[[], Settings] | None = None) -> list[Middleware]:
    """For `st.App(middleware=...)`, outermost first. settings: asked at each request; None reads them once."""
    read = settings or cache(Settings)
    return [Middleware(SecurityHeaders, settings=read), Middleware(CountRequests), Middleware(NoKeysInUrl)]
