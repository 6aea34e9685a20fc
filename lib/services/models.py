"""Served models: their versions, what is in production and what was, promoting and rolling back."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func
from sqlmodel import col, select

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.db.database import Database
from lib.db.learning_tables import AliasChange, ModelAlias, ModelVersion
from lib.errors import AppError, Conflict, Forbidden, Invalid, NotFound
from lib.registry import bundled, loaders, schema
from lib.registry.files import environment
from lib.registry.packages import PATTERN, Packages
from lib.registry.schema import ModelSchema
from lib.registry.serving import Serving
from lib.services.health import version as code_version
from lib.settings import Settings
from lib.store.places import LocalPlace, Place, bucket

logger = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "champion", "challenger"
ALIASES = (CHAMPION, CHALLENGER)
MOST_NOTE, MOST_CARD = 500, 200_000
# What an alias means is asked with each prediction; another process's change is seen this much later.
REMEMBERED_S = 0.5
IDLE_S = 1800.0
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Summary:
    """A model as a list shows it."""

    name: str
    task: str
    versions: int
    newest: int
    champion: int | None
    challenger: int | None
    created_at: datetime


@dataclass(frozen=True)
class Comparison:
    """Two versions side by side: (what, of a, of b), only where they differ or it is a metric."""

    metrics: list[tuple[str, Any, Any]]
    params: list[tuple[str, Any, Any]]
    fields: list[tuple[str, str, str]]
    same_data: bool | None


class Models:
    """The one home of served models. `register` is what training calls; uploads come by `services.model_uploads`."""

    def __init__(self, settings: Settings, database: Database, audit: Audit, clock: Callable[[], datetime]) -> None:
        self.settings, self.database, self.audit, self.clock = settings, database, audit, clock
        folder = settings.models_dir / "served"
        self.packages = Packages(place_of(settings), folder / "unpacked")
        self.serving = Serving(folder / "unpacked", settings.serve_memory_mb)
        self._remembered: dict[tuple[str, str], tuple[float, ModelVersion]] = {}
        self._lock = threading.Lock()
        # Told after an alias changed: (name, alias, version).
        self.on_promoted: list[Callable[[str, str, int | None], None]] = []

    # --- looking --------------------------------------------------------------------------------

    def all(self, actor: Actor) -> list[Summary]:
        """All models that have a version which is not archived, by name."""
        actor.require(Permission.MODELS)
        rows = self._rows()
        with self.database.session() as session:
            newest = select(func.max(ModelAlias.id)).group_by(col(ModelAlias.name), col(ModelAlias.alias))
            aliases = session.exec(select(ModelAlias).where(col(ModelAlias.id).in_(newest))).all()
        meant = {(one.name, one.alias): one.version for one in aliases}
        found: dict[str, list[ModelVersion]] = {}
        for row in rows:
            if row.archived_at is None:
                found.setdefault(row.name, []).append(row)
        return [
            Summary(
                name,
                str(versions[0].model_schema.get("task", "")),
                len(versions),
                versions[0].version,
                meant.get((name, CHAMPION)),
                meant.get((name, CHALLENGER)),
                versions[0].created_at,
            )
            for name, versions in sorted(found.items())
        ]

    def versions(self, actor: Actor, name: str, *, archived: bool = True) -> list[ModelVersion]:
        """Of one model, newest first. Raises NotFound."""
        actor.require(Permission.MODELS)
        rows = [row for row in self._rows(name) if archived or row.archived_at is None]
        if not rows:
            raise NotFound(f"There is no model {name[:80]!r}; the Models page lists those there are.")
        return rows

    def get(self, actor: Actor, name: str, version: int | str | None = None) -> ModelVersion:
        """A version by its number or alias; None: the champion. Raises NotFound with what to try."""
        actor.require(Permission.MODELS)
        if version is None or version in ALIASES:
            return self._meant(name, str(version or CHAMPION))
        try:
            number = int(version)
        except ValueError:
            raise Invalid(f"{str(version)[:40]!r} is no version; give a number, champion or challenger.") from None
        with self.database.session() as session:
            row = session.exec(
                select(ModelVersion).where(ModelVersion.name == name, ModelVersion.version == number)
            ).first()
        if row is None:
            raise NotFound(f"Model {name[:80]!r} has no version {number}.")
        return row

    def aliases(self, actor: Actor, name: str) -> dict[str, int]:
        """What each alias means now."""
        actor.require(Permission.MODELS)
        found = {alias: self._current(name, alias) for alias in ALIASES}
        return {alias: row.version for alias, row in found.items() if row is not None and row.version is not None}

    def history(self, actor: Actor, name: str) -> list[ModelAlias]:
        """Every change of an alias, newest first."""
        actor.require(Permission.MODELS)
        with self.database.session() as session:
            rows = select(ModelAlias).where(ModelAlias.name == name).order_by(col(ModelAlias.id).desc()).limit(1000)
            return list(session.exec(rows))

    def at(self, actor: Actor, name: str, moment: datetime, alias: str = CHAMPION) -> ModelAlias | None:
        """What an alias meant at a moment: the change that was in force, or None before the first."""
        actor.require(Permission.MODELS)
        with self.database.session() as session:
            return session.exec(
                select(ModelAlias)
                .where(ModelAlias.name == name, ModelAlias.alias == alias, col(ModelAlias.at) <= moment)
                .order_by(col(ModelAlias.id).desc())
                .limit(1)
            ).first()

    def compare(self, actor: Actor, name: str, a: int, b: int) -> Comparison:
        """Two versions side by side. Raises NotFound."""
        left, right = self.get(actor, name, a), self.get(actor, name, b)
        kinds = [{one["name"]: str(one["kind"]) for one in row.model_schema.get("fields", [])} for row in (left, right)]
        return Comparison(
            _side_by_side(left.metrics, right.metrics, equal=True),
            _side_by_side(left.params, right.params),
            [(k, str(x or "–"), str(y or "–")) for k, x, y in _side_by_side(*kinds)],
            left.data_hash == right.data_hash if left.data_hash and right.data_hash else None,
        )

    def schema_of(self, row: ModelVersion) -> ModelSchema:
        return schema.from_json(row.model_schema)

    def archive_of(self, actor: Actor, name: str, version: int) -> Path:
        """The files of a version as one archive on this machine, for a download."""
        row = self.get(actor, name, version)
        return self.packages.archive(row.sha256)

    # --- adding ---------------------------------------------------------------------------------

    def register(
        self,
        actor: Actor,
        name: str,
        files: Mapping[str, Path],
        *,
        format: str,
        model_schema: ModelSchema,
        origin: str = "trained",
        metrics: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        data_hash: str = "",
        reference: Mapping[str, Any] | None = None,
        card: str = "",
        environment_: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Keep files (name -> where they lie now; they are copied) as the next version of a model.

        reference: what `lib.drift.reference.of_frame` made of the training data. Raises Invalid, NotFound for a format
        nobody can serve; then nothing is kept.
        """
        actor.require(Permission.TRAIN)
        name = named(name)
        if format not in loaders.LOADERS:
            raise NotFound(f"Models of the format {format!r} cannot be served; known: {', '.join(loaders.LOADERS)}.")
        checked = schema.from_json(model_schema.to_json())
        packed = self.packages.keep(files)
        try:
            with self.database.exclusive(f"model {name}") as session:
                last = session.exec(select(func.max(ModelVersion.version)).where(ModelVersion.name == name)).one()
                row = ModelVersion(
                    name=name,
                    version=(last or 0) + 1,
                    format=format,
                    origin=origin,
                    sha256=packed.sha256,
                    size_bytes=packed.size_bytes,
                    model_schema=checked.to_json(),
                    metrics=dict(metrics or {}),
                    params=dict(params or {}),
                    facts=dict(facts or {}),
                    data_hash=data_hash[:128],
                    code_version=code_version(),
                    environment=dict(environment_ or environment()),
                    reference=dict(reference or {}),
                    card=card[:MOST_CARD],
                    created_by=actor.name[:64],
                    created_at=self.clock(),
                )
                session.add(row)
        except BaseException:
            self._let_go(packed.sha256)
            raise
        self.audit.record(actor, "model.register", f"{name} {row.version}", sha256=row.sha256, origin=origin)
        return row

    def register_bundle(self, actor: Actor, name: str, folder: Path, **about: Any) -> ModelVersion:
        """What training made (a folder of `save_bundle`) as the next version. about: metrics, params, data_hash,
        reference, card, as `register` takes them. Raises ArtefactRefused for a folder that is no bundle."""
        actor.require(Permission.TRAIN)
        files = {one.name: one for one in sorted(folder.iterdir()) if one.is_file()} if folder.is_dir() else {}
        return self.register(actor, name, files, format="bundle", model_schema=bundled.schema_of(folder), **about)

    # --- production -----------------------------------------------------------------------------

    def promote(self, actor: Actor, name: str, version: int, alias: str = CHAMPION, note: str = "") -> ModelAlias:
        """Make an alias mean a version from now on. Raises NotFound, Conflict for an archived one or no change."""
        self._may_promote(actor, name, f"{alias} {version}")
        if alias not in ALIASES:
            raise Invalid(f"{alias[:40]!r} is no alias; there are {' and '.join(ALIASES)}.")
        row = self.get(actor, name, version)
        if row.archived_at is not None:
            raise Conflict(f"Version {version} of {name} is archived; bring it back before it is promoted.")
        current = self._current(name, alias)
        if current is not None and current.version == version:
            raise Conflict(f"Version {version} of {name} is the {alias} already.")
        self.packages.unpack(row.sha256)  # what cannot be read must not go to production
        return self._change(actor, name, alias, version, AliasChange.PROMOTE, note)

    def roll_back(self, actor: Actor, name: str, note: str = "") -> ModelAlias:
        """Back to the champion before this one; again, to the one before that. Raises Conflict when there is none."""
        self._may_promote(actor, name, "roll back")
        before = before_this(self.history(actor, name)[::-1])
        if before is None:
            raise Conflict(f"{name} had no other champion before this one; promote a version instead.")
        row = self.get(actor, name, before)
        if row.archived_at is not None:
            raise Conflict(f"Version {before}, the champion before, is archived; bring it back, or promote another.")
        return self._change(actor, name, CHAMPION, before, AliasChange.ROLLBACK, note)

    def take_away(self, actor: Actor, name: str, alias: str, note: str = "") -> ModelAlias:
        """Make an alias mean nothing: with the champion gone, predictions must name a version."""
        self._may_promote(actor, name, f"take {alias} away")
        current = self._current(name, alias)
        if current is None or current.version is None:
            raise Conflict(f"{name} has no {alias[:40]}.")
        return self._change(actor, name, alias, None, AliasChange.REMOVE, note)

    def archive(self, actor: Actor, name: str, version: int, *, back: bool = False) -> ModelVersion:
        """Put a version out of sight (its files stay), or bring it back. Raises Conflict while an alias means it."""
        self._may_promote(actor, name, f"archive {version}")
        row = self.get(actor, name, version)
        used = [alias for alias, meant in self.aliases(actor, name).items() if meant == version]
        if used and not back:
            raise Conflict(f"Version {version} is the {used[0]} of {name}; promote another before it is archived.")
        with self.database.session() as session:
            kept = session.get(ModelVersion, row.id)
            assert kept is not None
            kept.archived_at = None if back else self.clock()
            session.add(kept)
        self._forget()
        self.audit.record(actor, "model.unarchive" if back else "model.archive", f"{name} {version}")
        return kept

    # --- inside ---------------------------------------------------------------------------------

    def model_for(self, row: ModelVersion) -> dict[str, Any]:
        """A version as the serving child is told of it."""
        return {"key": row.sha256, "format": row.format, "schema": row.model_schema}

    def unpack(self, row: ModelVersion) -> Path:
        return self.packages.unpack(row.sha256)

    def sweep(self) -> None:
        """Once, at start: remove files of this machine without a row, left by a process killed between the two."""
        if isinstance(self.packages.place, LocalPlace):
            strays = self.packages.sweep({row.sha256 for row in self._rows()})
            if strays:
                logger.info("model files without a version removed", extra={"count": len(strays)})

    def tidy(self) -> None:
        """For the schedule."""
        self.serving.tidy(IDLE_S)

    def close(self) -> None:
        self.serving.close()

    def _rows(self, name: str | None = None) -> list[ModelVersion]:
        wanted = select(ModelVersion).order_by(col(ModelVersion.name), col(ModelVersion.version).desc())
        with self.database.session() as session:
            return list(session.exec(wanted if name is None else wanted.where(ModelVersion.name == name)))

    def _meant(self, name: str, alias: str) -> ModelVersion:
        key, now = (name, alias), time.monotonic()
        kept = self._remembered.get(key)
        if kept is not None and now - kept[0] < REMEMBERED_S:
            return kept[1]
        with self.database.session() as session:
            row = session.exec(
                select(ModelVersion)
                .join(
                    ModelAlias,
                    (col(ModelAlias.name) == col(ModelVersion.name))
                    & (col(ModelAlias.version) == col(ModelVersion.version)),
                )
                .where(
                    col(ModelAlias.id)
                    == select(func.max(ModelAlias.id))
                    .where(ModelAlias.name == name, ModelAlias.alias == alias)
                    .scalar_subquery()
                )
            ).first()
        if row is None:
            if not self._rows(name):
                raise NotFound(f"There is no model {name[:80]!r}; the Models page lists those there are.")
            raise NotFound(f"Model {name!r} has no {alias}; promote a version, or name one.")
        with self._lock:
            self._remembered[key] = (now, row)
        return row

    def _current(self, name: str, alias: str) -> ModelAlias | None:
        with self.database.session() as session:
            wanted = select(ModelAlias).where(ModelAlias.name == name, ModelAlias.alias == alias)
            return session.exec(wanted.order_by(col(ModelAlias.id).desc()).limit(1)).first()

    def _change(
        self, actor: Actor, name: str, alias: str, version: int | None, change: AliasChange, note: str
    ) -> ModelAlias:
        row = ModelAlias(
            name=name, alias=alias, version=version, change=change, note=note.strip()[:MOST_NOTE], by=actor.name[:64]
        )
        row.at = self.clock()
        with self.database.exclusive(f"model {name}") as session:
            session.add(row)
        self._forget()
        self.audit.record(actor, f"model.{change.value}", f"{name} {alias}", version=version, note=row.note)
        for told in self.on_promoted:
            told(name, alias, version)
        return row

    def _forget(self) -> None:
        with self._lock:
            self._remembered.clear()

    def _may_promote(self, actor: Actor, name: str, what: str) -> None:
        try:
            actor.require(Permission.PROMOTE)
        except Forbidden:
            self.audit.record(actor, "model.promote", f"{name[:80]} {what}", "refused")
            raise

    def _let_go(self, sha256: str) -> None:
        """Files nobody names any more; another version may be of the same ones."""
        try:
            if all(row.sha256 != sha256 for row in self._rows()):
                self.packages.remove(sha256)
        except (AppError, OSError) as error:
            logger.warning("files of a model not removed", extra={"reason": str(error)})


def named(name: str) -> str:
    """A model's name. Raises Invalid: it is part of addresses and file names."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{name[:80]!r} is no name for a model: lower-case letters, digits, - and _ only, 63 at most, beginning "
            "with a letter or digit."
        )
    return name


def before_this(changes: list[ModelAlias]) -> int | None:
    """The champion to roll back to, from all changes, oldest first: each rollback undoes one promotion."""
    stack: list[int] = []
    for one in changes:
        if one.alias != CHAMPION or one.version is None:
            continue
        if one.change == AliasChange.ROLLBACK:
            while stack and stack[-1] != one.version:
                stack.pop()
        elif not stack or stack[-1] != one.version:
            stack.append(one.version)
    return stack[-2] if len(stack) > 1 else None


def place_of(settings: Settings) -> Place:
    """Where packed models lie."""
    folder = settings.models_dir / "served" / "packages"
    if not settings.models_url:
        return LocalPlace(folder, PATTERN)
    return bucket(
        settings.models_url,
        settings.archive_endpoint,
        settings.archive_key.get_secret_value(),
        settings.archive_secret.get_secret_value(),
        settings.models_dir / "served" / "package-cache",
        settings.archive_cache_mb * 2**20,
        earlier=folder,
        timeout_s=settings.archive_timeout_s,
        pattern=PATTERN,
    )


def _side_by_side(a: Mapping[str, Any], b: Mapping[str, Any], *, equal: bool = False) -> list[tuple[str, Any, Any]]:
    names = [*a, *(name for name in b if name not in a)]
    return [(name, a.get(name), b.get(name)) for name in names if equal or a.get(name) != b.get(name)]
