"""Exported versions: made as a folder to run anywhere, listed with who took them and where they run."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlmodel import col, select

from lib.auth.actor import Actor, Permission
from lib.db.learning_tables import Deployment, ModelVersion
from lib.errors import Conflict, Forbidden, Invalid, NotFound, SourceError
from lib.prometheus.guard import Guard, Subject
from lib.prometheus.query import Endpoint, Limits
from lib.prometheus.session import SourceSession
from lib.registry import answers, exports, schema
from lib.services.health import version as code_version
from lib.services.models import Models

logger = logging.getLogger(__name__)

# Where it is meant to run -> in words.
TARGETS = {
    "": "not said",
    "spaces": "Hugging Face Spaces",
    "cloud-run": "Cloud Run",
    "ecs": "ECS",
    "other": "elsewhere",
}
UP, OTHER, DOWN = "up", "other", "down"
# The newest zips stay on this machine; an older one is made again by exporting again.
MOST_ZIPS, MOST_LISTED, MOST_NOTE, MOST_URL = 10, 500, 500, 512
CHECK_S, MOST_HEALTH_BYTES = 10.0, 64 << 10
OLD_S = 3600.0
DEPLOYED = Subject(
    "deployment", "https://model.example.com", "an exported model is asked without", "it is the part before /health"
)


class Deployments:
    """The one home of what left this app as a folder."""

    def __init__(self, models: Models, clock: Callable[[], datetime]) -> None:
        self.models, self.clock = models, clock
        self.database, self.audit, self.settings = models.database, models.audit, models.settings
        self.folder = self.settings.data_dir / "deployments"
        schemes = {one.strip().lower() for one in self.settings.source_schemes.split(",") if one.strip()}
        self.guard = Guard(frozenset(schemes & {"http", "https"}), self.settings.allow_link_local, subject=DEPLOYED)

    # --- looking --------------------------------------------------------------------------------

    def all(self, actor: Actor, name: str | None = None) -> list[Deployment]:
        """Newest first, of one model or of all."""
        actor.require(Permission.MODELS)
        wanted = select(Deployment).order_by(col(Deployment.id).desc()).limit(MOST_LISTED)
        with self.database.session() as session:
            return list(session.exec(wanted if name is None else wanted.where(Deployment.name == name)))

    def get(self, actor: Actor, number: int) -> Deployment:
        """Raises NotFound."""
        actor.require(Permission.MODELS)
        with self.database.session() as session:
            row = session.get(Deployment, number)
        if row is None:
            raise NotFound(f"There is no deployment {number}; the Models page lists those there are under Deploy.")
        return row

    def archive_of(self, actor: Actor, number: int) -> Path:
        """The zip of a deployment. Raises NotFound when it made room for newer ones."""
        row = self.get(actor, number)
        path = self._zip(number)
        if not path.is_file():
            raise NotFound(
                f"The folder of deployment {number} is no longer kept; export {row.name} {row.version} again."
            )
        return path

    # --- making ---------------------------------------------------------------------------------

    def export(
        self, actor: Actor, name: str, version: int | str | None = None, *, target: str = "", note: str = ""
    ) -> Deployment:
        """Make the folder of a version (None: the champion) and list it. The version answers a row of ordinary values
        once, here, which is what the folder's smoke test compares with.

        Raises NotFound, Invalid for a version that refuses such a row, Unavailable when the serving process is down.
        """
        self._may(actor, f"{name[:64]} export")
        if target not in TARGETS:
            raise Invalid(f"{target[:40]!r} is no place to run; known are {', '.join(one for one in TARGETS if one)}.")
        row = self.models.get(actor, name, version)
        self.folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".export.", dir=self.folder))
        try:
            inside, packed = staging / f"{row.name}-{row.version}", staging / "folder.zip"
            exports.write_folder(self._export(row), inside)
            sha256 = exports.pack(inside, packed)
            made = Deployment(
                name=row.name,
                version=row.version,
                model_sha256=row.sha256,
                sha256=sha256,
                size_bytes=packed.stat().st_size,
                code_version=code_version()[:64],
                created_by=actor.name[:64],
                created_at=self.clock(),
                target=target,
                note=note.strip()[:MOST_NOTE],
            )
            with self.database.session() as session:
                session.add(made)
                session.flush()
                # Within the transaction: a listed deployment has its zip, a zip without a row is pruned later.
                packed.replace(self._zip(made.id or 0))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        self._prune()
        self.audit.record(actor, "deployment.export", f"{row.name} {row.version}", id=made.id, sha256=sha256)
        return made

    def _export(self, row: ModelVersion) -> exports.Export:
        described = schema.from_json(row.model_schema)
        usual = answers.usual_row(described)
        checked = schema.check_rows(described, [usual])
        if checked.problems:
            raise answers.refused(checked)
        said = self.models.serving.predict(
            self.models.model_for(row), checked.columns, explain=False, unpack=lambda: _done(self.models.unpack(row))
        )
        one = answers.ones(described, checked, said, 1)[0]
        answer = {"model": row.name, "version": row.version, "predictions": [_kept(one)]}
        return exports.Export(
            name=row.name,
            version=row.version,
            format=row.format,
            sha256=row.sha256,
            schema=described,
            files=self.models.unpack(row),
            request={"rows": [usual]},
            answer=answer,
            exported_from=code_version(),
            metrics=row.metrics,
            card=row.card,
        )

    # --- where it runs --------------------------------------------------------------------------

    def say_where(self, actor: Actor, number: int, url: str, target: str | None = None) -> Deployment:
        """Keep the address somebody says it runs at; empty takes it back. Raises UrlRefused for what the guard bars."""
        self._may(actor, f"{number} address")
        row = self.get(actor, number)
        url = url.strip()
        if len(url) > MOST_URL:
            raise Invalid(f"The address has {len(url):,} characters; at most {MOST_URL} are kept.")
        if target is not None and target not in TARGETS:
            raise Invalid(f"{target[:40]!r} is no place to run; known are {', '.join(one for one in TARGETS if one)}.")
        found = self.guard.check(url) if url else ""
        changed = found != row.url
        kept = self._change(
            number,
            url=found,
            url_by=actor.name[:64] if found else "",
            **({} if target is None else {"target": target}),
            **({"state": "", "told": "", "checked_at": None} if changed else {}),
        )
        self.audit.record(actor, "deployment.address", f"{row.name} {row.version}", id=number, url=found)
        return kept

    def check(self, actor: Actor, number: int) -> Deployment:
        """Ask the address's /health once, now: is this very model there? Whatever comes of it is kept and said.
        Raises Conflict without an address."""
        self._may(actor, f"{number} check")
        row = self.get(actor, number)
        if not row.url:
            raise Conflict("Nobody has said where this deployment runs; enter its address first.")
        state, told = self._look(row)
        kept = self._change(number, state=state, told=told[:1000], checked_at=self.clock())
        self.audit.record(actor, "deployment.check", f"{row.name} {row.version}", id=number, state=state)
        return kept

    def end(self, actor: Actor, number: int, *, back: bool = False) -> Deployment:
        """Note that it no longer runs, or that it does after all. The row stays: who took what is not forgotten."""
        self._may(actor, f"{number} end")
        row = self.get(actor, number)
        kept = self._change(number, ended_at=None if back else self.clock())
        self.audit.record(
            actor, "deployment.resume" if back else "deployment.end", f"{row.name} {row.version}", id=number
        )
        return kept

    def _look(self, row: Deployment) -> tuple[str, str]:
        limits = Limits(timeout_s=CHECK_S, max_bytes=MOST_HEALTH_BYTES, attempts=1)
        url = f"{row.url}/health"
        try:
            with SourceSession(Endpoint(url), limits, self.guard) as session:
                content = session.get(url).content
            said = json.loads(content)
        except SourceError as error:
            status = error.values.get("http_status")
            if status == 404:
                return OTHER, "Something answers there, but it has no /health (HTTP 404)."
            return DOWN, _of_deployment(error)
        except (ValueError, RecursionError):
            return OTHER, "Something answers there, but not in the JSON of an exported model."
        if not isinstance(said, dict) or "model" not in said:
            return OTHER, "Something answers there, but it does not say which model it is."
        there = (str(said.get("model"))[:64], str(said.get("version"))[:16])
        if there != (row.name, str(row.version)):
            return OTHER, f"{there[0]} {there[1]} answers there, not {row.name} {row.version}."
        if said.get("sha256") != row.model_sha256:
            return OTHER, f"It says it is {row.name} {row.version}, but of other files (checksum differs)."
        return UP, f"{row.name} {row.version} answers there, of the same files."

    # --- inside ---------------------------------------------------------------------------------

    def _change(self, number: int, **values: object) -> Deployment:
        with self.database.session() as session:
            row = session.get(Deployment, number)
            if row is None:
                raise NotFound(f"There is no deployment {number}.")
            for key, value in values.items():
                setattr(row, key, value)
            session.add(row)
        return row

    def _zip(self, number: int) -> Path:
        return self.folder / f"{int(number)}.zip"

    def _prune(self) -> None:
        kept = sorted((one for one in self.folder.glob("*.zip") if one.stem.isdigit()), key=lambda one: int(one.stem))
        for path in kept[:-MOST_ZIPS]:
            path.unlink(missing_ok=True)
        for path in self.folder.glob(".export.*"):  # of a process that was killed while it made one
            if time.time() - path.stat().st_mtime > OLD_S:
                shutil.rmtree(path, ignore_errors=True)

    def _may(self, actor: Actor, what: str) -> None:
        try:
            actor.require(Permission.PROMOTE)
        except Forbidden:
            self.audit.record(actor, "deployment", what, "refused")
            raise


def _kept(one: answers.One) -> dict[str, object]:
    return {"value": one.value} if one.label is None else {"label": one.label, "probabilities": one.probabilities}


def _of_deployment(error: SourceError) -> str:
    """The session speaks to collectors of metrics; the advice after its first sentence is theirs."""
    first = error.message.split(". ")[0].split("; ")[0].rstrip(".")
    return f"{first}."


def _done(_: object) -> None: ...
