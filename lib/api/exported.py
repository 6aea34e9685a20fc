"""The API of an exported folder: the model that lies beside it answers as it does under /api/v1/predict, with nothing
of the app around it. `lib.registry.exports` copies this module and what it imports into the folder."""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from lib.api.limits import BodyLimit, problem
from lib.api.prediction_shapes import Asked, Predictions, predictions
from lib.errors import AppError, ArtefactRefused, Invalid, NotFound, Unauthenticated
from lib.registry import answers, loaders, schema

MANIFEST, ABOUT, MODEL, REQUEST = "MANIFEST.json", "model.json", "model", "request.json"
RUNS = ("app.py", "model.json", f"{MODEL}/", "served/")
MOST_BODY_MB, CONCURRENT = 1.0, 64


class Exported:
    """The model of a folder. Raises ArtefactRefused when a file is missing or was changed since it was exported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        require_whole(folder)
        self.about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        self.name, self.version = str(self.about["name"]), int(self.about["version"])
        self.schema = schema.from_json(self.about["schema"])
        self._served = loaders.load(str(self.about["format"]), folder / MODEL, self.schema)
        self._lock = threading.Lock()

    def health(self) -> dict[str, Any]:
        told = ("format", "sha256", "exported_from")
        return {"state": "ok", "model": self.name, "version": self.version, **{key: self.about[key] for key in told}}

    def predict(self, asked: Asked) -> answers.Answer:
        """Raises Invalid naming the fields that are wrong, NotFound for a model or version that is not this one."""
        began = time.perf_counter()
        answers.require_few(asked.rows, asked.key)
        if asked.model not in (None, self.name):
            raise NotFound(f"There is no model {str(asked.model)[:80]!r} here; this is {self.name}.")
        if asked.version is not None and str(asked.version) not in (str(self.version), "champion"):
            raise NotFound(f"Version {str(asked.version)[:40]!r} is not here; this is {self.name} {self.version}.")
        checked = schema.check_rows(self.schema, asked.rows)
        if checked.problems:
            raise answers.refused(checked)
        few = asked.explain and len(asked.rows) <= answers.MOST_EXPLAINED
        with self._lock:  # one core's work at a time; not each library says it may be called twice at once
            said = answers.say(self._served, checked.columns, few)
        made = answers.ones(self.schema, checked, said, len(asked.rows))
        why = said.get("why") or {}
        return answers.Answer(
            self.name,
            self.version,
            made,
            said["seconds"] * 1000,
            (time.perf_counter() - began) * 1000,
            why.get("method", ""),
            why.get("unit", ""),
        )


def require_whole(folder: Path) -> None:
    """Hold all that runs against the manifest; guides and the image's recipe are there to be changed. Raises
    ArtefactRefused with the first that differs."""
    try:
        files: dict[str, str] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, wanted in files.items():
            if not name.startswith(RUNS):
                continue
            with (folder / name).open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != wanted:
                    raise ArtefactRefused(f"{name} was changed after it was exported (checksum differs).", file=name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtefactRefused(f"{folder.name} is no whole exported folder: {error}. Export it again.") from None


def build(folder: Path, key: str | None = None) -> FastAPI:
    """The application. key: what callers of /predict must bring; None: of the variable API_KEY, empty for nobody."""
    exported = Exported(folder)
    wanted = (os.environ.get("API_KEY", "") if key is None else key).strip()
    api = FastAPI(
        title=f"{exported.name} {exported.version}", version=str(exported.version), docs_url=None, redoc_url=None
    )
    body_mb = float(os.environ.get("MAX_BODY_MB") or MOST_BODY_MB)
    api.add_middleware(BodyLimit, most_bytes=int(body_mb * 2**20))
    _answer_errors(api)

    def require_key(request: Request) -> None:
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        given = rest if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
        if wanted and not hmac.compare_digest(given.strip().encode(), wanted.encode()):
            raise Unauthenticated("Send the key as 'Authorization: Bearer …' or 'X-API-Key: …'.")

    @api.get("/", response_class=HTMLResponse, include_in_schema=False)
    def home() -> str:
        return _page(exported)

    @api.get("/health", summary="Whether it answers, and as what")
    def health() -> dict[str, Any]:
        return exported.health()

    def predict(asked: Asked, request: Request) -> Predictions:
        require_key(request)
        return predictions(exported.predict(asked))

    for path in ("/predict", "/api/v1/predict"):
        api.post(path, summary="Predict rows", response_model_exclude_none=True)(predict)
    return api


def serve(api: FastAPI) -> None:
    """Listen on HOST (all) and PORT (8080) until told to end."""
    import uvicorn

    host, port = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))  # noqa: S104 (a container)
    uvicorn.run(
        api,
        host=host,
        port=port,
        log_level=os.environ.get("LOG_LEVEL", "info").lower(),
        limit_concurrency=CONCURRENT,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=10,
        server_header=False,
    )


def _answer_errors(api: FastAPI) -> None:
    """The shape every error of the app's API has."""

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, AppError)  # noqa: S101 (registered for nothing else)
        return problem(error, {"WWW-Authenticate": "Bearer"} if error.status == 401 else None)

    async def unreadable(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        told = "; ".join(f"{'.'.join(str(step) for step in each['loc'][1:])}: {each['msg']}" for each in error.errors())
        return problem(Invalid(f"A parameter cannot be read: {told}."))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        failure = AppError(
            {404: "There is nothing at this address; there are /health and /predict."}.get(
                error.status_code, str(error.detail)
            )
        )
        failure.code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "error")
        failure.status = error.status_code
        return problem(failure, dict(error.headers or {}))

    async def unknown(request: Request, error: Exception) -> Response:
        return problem(AppError("Something went wrong on this side; the log has the details."))

    api.add_exception_handler(AppError, known)
    api.add_exception_handler(RequestValidationError, unreadable)
    api.add_exception_handler(HTTPException, http)
    api.add_exception_handler(Exception, unknown)


def _page(exported: Exported) -> str:
    """What a browser sees: what this is, and how it is asked. Names are somebody's input, so all of it is escaped."""
    about = exported.schema
    rows = "".join(
        f"<tr><td>{html.escape(one.name)}</td><td>{html.escape(one.kind)}</td>"
        f"<td>{html.escape(', '.join(one.categories[:20]))}</td></tr>"
        for one in about.fields
    )
    ask = json.loads((exported.folder / REQUEST).read_text(encoding="utf-8"))
    said = html.escape(json.dumps(ask, ensure_ascii=False, indent=1))
    what = html.escape(about.target or str(about.task))
    name = f"{html.escape(exported.name)} {exported.version}"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}</title>"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;"
        "color-scheme:light dark;overflow-wrap:anywhere}pre{overflow:auto}td{padding:.2rem 1rem .2rem 0}</style>"
        f"<h1>{name}</h1><p>Predicts {what}. <code>GET /health</code>, <code>POST /predict</code> with</p>"
        f"<pre>{said}</pre><table><tr><th align=left>Field<th align=left>Kind<th align=left>One of</tr>{rows}</table>"
    )
