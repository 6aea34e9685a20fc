"""Backups: everything the app would need elsewhere in one folder, each file with its checksum."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission, Role
from lib.db.database import Database
from lib.db.tables import Task
from lib.disk import sha256, sync
from lib.errors import Conflict, StoreError, StoreFull
from lib.settings import Settings
from lib.store import copying, schema
from lib.store.archive import Part, date_of
from lib.store.connection import Store
from lib.tasks.job import JobContext, JobKind
from lib.tasks.runner import Runner

logger = logging.getLogger(__name__)

MANIFEST, VERSION = "manifest.json", 1
SAMPLES, APP_DATA, SECRET = "metrics.duckdb", "app.sqlite", "secret.key"
ARCHIVE = "archive"
KIND = "backup"
# In a task's folder: the backup that is being made, and what comes next of it.
STAGED, NEXT = "backup", "next.json"
# A bucket's or a slow disk's share of a large archive takes longer than other tasks may.
DEADLINE_S = 6 * 3600.0

# Folders that are copied as they are: name in the backup -> where it lies.
FOLDERS: dict[str, Callable[[Settings], Path]] = {
    "models": lambda settings: settings.models_dir,
    "tables": lambda settings: settings.data_dir / "tables",
    "datasets": lambda settings: settings.data_dir / "datasets",
    "training": lambda settings: settings.data_dir / "training",
}
Said = Callable[[float, str], None]


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. files: name in it -> size_bytes and sha256. bucket: where archived days lie that are only
    referred to, and their names, sizes and checksums. missing: what is not in it, in words."""

    made_at: str
    files: dict[str, dict[str, Any]]
    samples: int
    archived_days: int
    bucket: str = ""
    referred: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    version: int = VERSION

    @property
    def size_bytes(self) -> int:
        return sum(int(one["size_bytes"]) for one in self.files.values())


@dataclass(frozen=True)
class Backup:
    """A backup that was made, and where."""

    path: Path
    manifest: Manifest

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.manifest.made_at)


class Backups:
    """Made while the app goes on: samples as of one moment, then app data, then models."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        database: Database,
        runner: Runner,
        audit: Audit,
        clock: Callable[[], datetime],
    ) -> None:
        self.settings, self.store, self.database = settings, store, database
        self.runner, self.audit, self.clock = runner, audit, clock
        self._making = threading.Lock()
        self._under_way: tuple[Path, Iterator[tuple[float, str]]] = Path(), iter(())
        runner.register(
            JobKind(
                KIND,
                "lib.services.backups:one_by_one",
                prepare=self._begin,
                receive=self._step,
                finish=self._keep,
                memory_mb=512,
                deadline_s=DEADLINE_S,
            )
        )

    @property
    def folder(self) -> Path:
        """Where backups go that are given no name."""
        return self.settings.data_dir / "backups"

    def make(
        self,
        actor: Actor,
        target: Path | None = None,
        *,
        copy_bucket: bool = False,
        said: Said = lambda _share, _words: None,
    ) -> Backup:
        """Write a backup into a new folder, which appears only once it is whole. copy_bucket: fetch archived days from
        the bucket, too, which are else referred to. Raises Conflict, StoreFull, StoreError."""
        actor.require(Permission.MANAGE_SETTINGS)
        target = target or self._free()
        if target.exists():
            raise Conflict(f"{target} exists; choose a name that is free.")
        if not self._making.acquire(blocking=False):
            raise Conflict("A backup is being made already; wait until it is done.")
        staging = target.with_name(f".{target.name}.part")
        try:
            with _told(target):
                # What was begun under any name by a process that was killed; only one at a time has the store open.
                for left in [staging, *self.folder.glob(".autoops-*.part")]:
                    shutil.rmtree(left, ignore_errors=True)
                steps = self._steps(staging, copy_bucket)
                while (step := _next(steps)) is not None:
                    said(*step)
                staging.rename(target)
                sync(target.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            self._making.release()
        return self._made(actor, target)

    def run(self, actor: Actor) -> Task:
        """The same as a task, which says how far it is and can be ended; the one that runs already, if one does."""
        actor.require(Permission.MANAGE_SETTINGS)
        params = {"target": str(self._free()), "by": actor.name}
        task = self.runner.submit(KIND, params, by=actor.name, title="Back up", key=KIND)
        self.audit.record(actor, "backup.run", str(task.id))
        return task

    def newest(self, actor: Actor) -> Task | None:
        """The newest backup task, whether it runs, failed or succeeded; None: there was none."""
        actor.require(Permission.MANAGE_SETTINGS)
        with self.database.session() as session:
            return session.exec(select(Task).where(Task.kind == KIND).order_by(col(Task.id).desc()).limit(1)).first()

    def known(self, actor: Actor) -> list[Backup]:
        """Backups in the usual folder, newest first."""
        actor.require(Permission.MANAGE_SETTINGS)
        found = []
        for path in self.folder.glob(f"*/{MANIFEST}"):
            with suppress(StoreError):
                found.append(Backup(path.parent, read(path.parent)))
        return sorted(found, key=lambda one: one.manifest.made_at, reverse=True)

    def _free(self) -> Path:
        return self.folder / f"autoops-{self.clock():%Y%m%dT%H%M%SZ}"

    def _made(self, actor: Actor, target: Path) -> Backup:
        made = Backup(target, read(target))
        size = made.manifest.size_bytes
        self.audit.record(actor, "backup.make", str(target), files=len(made.manifest.files), bytes=size)
        logger.info("backup made", extra={"path": str(target), "bytes": size})
        return made

    # --- as a task: the child asks for one step after the other, since only the app can read the store -------------

    def _begin(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        with _told(Path(params["target"])):
            # One that was ended half-way is let go of here; its files went with its task.
            self._under_way = workdir, self._steps(workdir / STAGED, copy_bucket=False)
            self._go_on(workdir)
        return {}

    def _step(self, params: dict[str, Any], path: Path, values: dict[str, Any]) -> None:
        with _told(Path(params["target"])):
            self._go_on(path.parent)

    def _go_on(self, workdir: Path) -> None:
        """Do what was announced last, and announce what comes next."""
        mine, steps = self._under_way
        if mine != workdir:
            raise Conflict("Another backup began meanwhile; this one is given up.")
        (workdir / NEXT).write_text(json.dumps(_next(steps)))

    def _keep(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        target = Path(params["target"])
        with _told(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            (workdir / STAGED).rename(target)
            sync(target.parent)
        manifest = self._made(Actor(params["by"], Role.ADMIN), target).manifest
        return {"path": str(target), "files": len(manifest.files), "size_bytes": manifest.size_bytes}

    # --- what is copied ---------------------------------------------------------------------------------------------

    def _steps(self, staging: Path, copy_bucket: bool) -> Iterator[tuple[float, str]]:
        """Fill a new folder; before each piece of work how far it is and what comes now."""
        yield 0.0, "samples"
        staging.mkdir(parents=True, mode=0o700)
        copying.copy(self.store, staging / SAMPLES)
        parts, samples = _listed(staging / SAMPLES)
        bucket = self.settings.archive_url
        referred: dict[str, dict[str, Any]] = {}
        for number, part in enumerate(parts):
            if bucket and not copy_bucket:
                referred[part.name] = {"size_bytes": part.size_bytes, "sha256": part.sha256}
                continue
            yield 0.1 + 0.7 * number / len(parts), f"{date_of(part.day)} {part.tier}"
            self._archived(part, staging / ARCHIVE / part.name)
        missing = []
        yield 0.8, "app data"
        if self.database.path:
            with (
                closing(sqlite3.connect(self.database.path)) as here,
                closing(sqlite3.connect(staging / APP_DATA)) as to,
            ):
                here.backup(to)
        else:
            missing.append("Users, detectors, labels and settings lie in PostgreSQL: keep a pg_dump of it beside this.")
        key = self.settings.data_dir / SECRET
        if key.is_file():
            shutil.copy2(key, staging / SECRET)
        elif self.settings.secret_key.get_secret_value():
            missing.append("The key that opens stored passwords is AUTOOPS_SECRET_KEY: keep it elsewhere.")
        for name, place in FOLDERS.items():
            yield 0.9, name
            for file in files_in(place(self.settings)):
                (staging / name / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(place(self.settings) / file, staging / name / file)
        yield 0.95, "checksums"
        if referred:
            missing.append(f"{len(referred):,} archived files lie in {bucket} and are only referred to.")
        manifest = Manifest(
            made_at=self.clock().isoformat(),
            files={str(name): about(staging / name) for name in files_in(staging)},
            samples=samples,
            archived_days=len({part.day for part in parts}),
            bucket=bucket if referred else "",
            referred=referred,
            missing=tuple(missing),
        )
        for name in manifest.files:
            sync(staging / name)
        (staging / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1))
        sync(staging / MANIFEST)

    def _archived(self, part: Part, target: Path) -> None:
        """Copy an archived file, as it was noted. Raises StoreError when it is not that any more."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(self.store.archive.place.fetch(part.name), target)
        except FileNotFoundError:
            raise StoreError(
                f"The archive of {date_of(part.day)} ({part.tier}) is gone; check the archive on Settings first."
            ) from None
        if about(target)["sha256"] != part.sha256:
            raise StoreError(
                f"The archive of {date_of(part.day)} ({part.tier}) is damaged: its bytes have changed. Check the "
                "archive on Settings, which sets the file aside, then make the backup again."
            )


def one_by_one(context: JobContext) -> dict[str, Any]:
    """Have the app do one step after the other and say how far it is; in the child."""
    while (step := json.loads((context.workdir / NEXT).read_text())) is not None:
        context.progress(*step)
        go = context.workdir / "go"
        go.touch()
        context.deliver(go)
    return {}


def _next(steps: Iterator[tuple[float, str]]) -> tuple[float, str] | None:
    return next(steps, None)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Errors of the disk in words."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise (StoreFull if full else StoreError)(
            f"The backup {target} could not be written ({error.strerror or error}); nothing was left there."
        ) from error


def read(folder: Path) -> Manifest:
    """What a backup says it holds. Raises StoreError for what is none."""
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if values["version"] != VERSION:
            raise StoreError(f"{folder} was written in layout {values['version']}; this version reads {VERSION}.")
        manifest = Manifest(**{**values, "missing": tuple(values["missing"])})
        noted = [(int(one["size_bytes"]), str(one["sha256"])) for one in manifest.files.values()]
    except FileNotFoundError:
        raise StoreError(f"{folder} is no backup: it has no {MANIFEST}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{folder / MANIFEST} cannot be read ({error}); the backup was damaged or changed.") from error
    odd = [name for name in manifest.files if not _plain(name)]
    if odd or SAMPLES not in manifest.files or any(size < 0 for size, _ in noted):
        what = f"names {odd[0]!r}, which no backup holds" if odd else "does not say what a backup holds"
        raise StoreError(f"{folder / MANIFEST} {what}; it was damaged or changed. Nothing was touched.")
    return manifest


def files_in(folder: Path) -> Iterator[Path]:
    """Every file below a folder, named from there; what begins with a dot is nobody's yet."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in name.parts):
            yield name


def about(file: Path) -> dict[str, Any]:
    """Size and checksum."""
    return {"size_bytes": file.stat().st_size, "sha256": sha256(file)}


def _plain(name: str) -> bool:
    """Whether a name is one a backup could have written: nothing that leads elsewhere."""
    parts = Path(name).parts
    if not parts or name.startswith("/") or "\\" in name or any(part.startswith(".") for part in parts):
        return False
    return name in (SAMPLES, APP_DATA, SECRET) or (len(parts) > 1 and parts[0] in (ARCHIVE, *FOLDERS))


def _listed(copy: Path) -> tuple[list[Part], int]:
    """The archived files a copy of the store counts on, and how many samples it holds with them."""
    with schema.connect(str(copy), 128, read_only=True) as connection:
        columns = "day, tier, name, rows, size_bytes, sha256, digest, version"
        rows = connection.execute(f"SELECT {columns} FROM archive_parts ORDER BY day, tier").fetchall()  # noqa: S608
        hot = connection.execute("SELECT count(*) FROM samples").fetchall()[0][0]
    parts = [Part(*row) for row in rows]
    return parts, int(hot) + sum(part.rows for part in parts if part.tier == "raw")
