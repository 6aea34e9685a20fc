"""The API's documentation page, from files of our own: the browser asks no other server."""

from __future__ import annotations

import gzip
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from lib.errors import NotFound

FOLDER = Path(__file__).parent / "swagger"
# Addresses are relative so that it works under a base path too; its script is a file because inline ones do not run.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>AutoOps API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The description itself is at <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# validatorUrl null: Swagger UI would send the description to a validator of its makers.
START = """window.ui = SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", validatorUrl: null, deepLinking: true, displayRequestDuration: true,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout"
});
"""
FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}


async def page(request: Request) -> Response:
    return HTMLResponse(PAGE)


async def asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "start.js":
        return Response(START, media_type="text/javascript")
    if name not in FILES:
        raise NotFound(f"There is no {name!r} here; the documentation is at /api/docs.")
    packed = (FOLDER / f"{name}.gz").read_bytes()
    headers = {"Cache-Control": "public, max-age=86400", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=FILES[name], headers=headers | {"Content-Encoding": "gzip"})
    return Response(gzip.decompress(packed), media_type=FILES[name], headers=headers)


ROUTES = [Route("/docs", page), Route("/docs/{name}", asset)]
