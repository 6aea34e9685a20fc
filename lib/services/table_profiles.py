"""Files people bring to have them described: taken in piece by piece, profiled in a job, kept only as a profile."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

from pydantic import ValidationError

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.db.tables import Task
from lib.errors import Forbidden, Invalid, NotFound, Unavailable
from lib.frames import from_ms
from lib.profiling.tables import TableProfile
from lib.services.table_profile_jobs import PROFILE, RESULT
from lib.settings import Settings
from lib.tasks.job import JobKind, storable
from lib.tasks.runner import ACTIVE, Runner

logger = logging.getLogger(__name__)

KIND = "table.profile"
FORMATS = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
PIECE_BYTES = 1024 * 1024
# Twice what describing ten million rows takes, and room for what Python and the libraries hold.
MEMORY_MB, DEADLINE_S = 1024, 900.0
MOST_LISTED, MOST_KEPT = 200, 500
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Kept:
    """A profile that is there to be read. made_at: when it was finished."""

    id: str
    name: str
    by: str
    made_at: datetime


class TableProfiles:
    """Uploaded files, and those the machine's owner put into the folder `files` of the data directory."""

    def __init__(self, settings: Settings, runner: Runner, audit: Audit, clock: Callable[[], datetime]) -> None:
        self.settings, self.runner, self.audit, self.clock = settings, runner, audit, clock
        self.kept, self.files = settings.data_dir / "tables", settings.data_dir / "files"
        self.incoming = self.kept / "incoming"
        # Nothing is under way yet: what lies here was left by a process that ended.
        shutil.rmtree(self.incoming, ignore_errors=True)
        runner.register(
            JobKind(
                KIND,
                "lib.services.table_profile_jobs:run",
                prepare=self._prepare,
                finish=self._finish,
                memory_mb=MEMORY_MB,
                deadline_s=DEADLINE_S,
            )
        )

    # --- bringing files ---------------------------------------------------------------------------

    def upload(self, actor: Actor, name: str, stream: BinaryIO) -> Task:
        """Take a file in and queue its profile. Of the name only its last part counts, and only for showing.

        Raises Invalid for another kind of file, an empty one or one above the cap; then nothing of it is kept.
        """
        actor.require(Permission.RUN_TASKS)
        shown, format_ = _named(name)
        table_id = secrets.token_hex(8)
        self.incoming.mkdir(parents=True, exist_ok=True)
        path = self.incoming / table_id
        try:
            size = take_in(stream, path, shown, self.settings, self.files)
            task = self._submit(actor, {"id": table_id, "name": shown, "format": format_, "file": None})
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self.audit.record(actor, "table.upload", shown, size_bytes=size, task=task.id)
        return task

    def offered(self, actor: Actor) -> list[str]:
        """Names of the files in the folder `files`, sorted."""
        actor.require(Permission.TABLES)
        if not self.files.is_dir():
            return []
        found = (one.name for one in self.files.iterdir() if one.suffix.lower() in FORMATS and inside(one, self.files))
        return sorted(found)[:MOST_LISTED]

    def pick(self, actor: Actor, name: str) -> Task:
        """Queue the profile of a file that is offered; the file stays where it is. Raises NotFound."""
        actor.require(Permission.RUN_TASKS)
        if name not in self.offered(actor):
            raise NotFound(f"No file {name[:80]!r} is in {self.files}; put it there, or upload it.")
        shown, format_ = _named(name)
        params = {"id": secrets.token_hex(8), "name": shown, "format": format_, "file": name}
        task = self._submit(actor, params, key=f"pick {name}")
        self.audit.record(actor, "table.pick", shown, task=task.id)
        return task

    # --- reading profiles -------------------------------------------------------------------------

    def list(self, actor: Actor) -> list[Kept]:
        """Profiles that are there, newest first."""
        actor.require(Permission.TABLES)
        found = []
        for path in self.kept.glob("*.json"):
            # id.by.name: told by the file's own name, so that a list reads no file.
            table_id, _, by = path.stem.partition(".")
            if _ID.fullmatch(table_id):
                moment = from_ms(int(path.stat().st_mtime * 1000))
                found.append(Kept(table_id, self._title(path), by, moment))
        return sorted(found, key=lambda one: one.made_at, reverse=True)[:MOST_LISTED]

    def get(self, actor: Actor, table_id: str) -> TableProfile:
        """Raises NotFound when there is none with this id, or none that can be read."""
        actor.require(Permission.TABLES)
        try:
            return PROFILE.validate_json(self._path(table_id).read_bytes())
        except (OSError, ValidationError):
            raise NotFound("This profile cannot be read any more; make it again from its file.") from None

    def remove(self, actor: Actor, table_id: str) -> None:
        """Raises NotFound, or Forbidden for a profile somebody else made."""
        actor.require(Permission.RUN_TASKS)
        path = self._path(table_id)
        if path.stem.partition(".")[2] != _plain(actor.name):
            try:
                actor.require(Permission.MANAGE_TASKS)
            except Forbidden:
                self.audit.record(actor, "table.remove", table_id, "refused")
                raise
        path.unlink(missing_ok=True)
        self.audit.record(actor, "table.remove", table_id)

    def running(self, actor: Actor) -> Task | None:
        """The newest profile that is being made, by anybody."""
        actor.require(Permission.TABLES)
        last = self.last(actor)
        return last if last is not None and last.status in ACTIVE else None

    def last(self, actor: Actor, by: str | None = None) -> Task | None:
        """The newest task, whatever became of it; of one person when `by` is given."""
        from sqlmodel import col, select

        actor.require(Permission.TABLES)
        wanted = select(Task).where(Task.kind == KIND).order_by(col(Task.id).desc()).limit(1)
        if by is not None:
            wanted = wanted.where(Task.created_by == by)
        with self.runner.database.session() as session:
            return session.exec(wanted).first()

    # --- around the job ---------------------------------------------------------------------------

    def _submit(self, actor: Actor, params: dict[str, Any], key: str | None = None) -> Task:
        params |= {"by": actor.name, "as_of": self.clock().isoformat(timespec="seconds")}
        return self.runner.submit(KIND, params, by=actor.name, title=f"Profile {params['name']}", key=key)

    def _prepare(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        """An upload moves to the job's own folder, which is removed however the job ends."""
        if params["file"] is not None:
            return {**params, "path": str(self.files / params["file"])}
        path = workdir / "upload"
        try:
            (self.incoming / params["id"]).replace(path)
        except FileNotFoundError:
            raise NotFound("The uploaded file is gone; upload it again.") from None
        return {**params, "path": str(path)}

    def _finish(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        self.kept.mkdir(parents=True, exist_ok=True)
        (workdir / RESULT).replace(self.kept / f"{params['id']}.{_plain(params['by'])}.json")
        for old in sorted(self.kept.glob("*.json"), key=lambda one: one.stat().st_mtime)[:-MOST_KEPT]:
            old.unlink(missing_ok=True)
        return {**result, "id": params["id"]}

    # --- files ------------------------------------------------------------------------------------

    def _path(self, table_id: str) -> Path:
        found = [*self.kept.glob(f"{table_id}.*.json")] if _ID.fullmatch(table_id) else []
        if not found:
            raise NotFound("There is no profile with this id; it may have been removed.")
        return found[0]

    def _title(self, path: Path) -> str:
        """The name its profile begins with."""
        with path.open("rb") as file:
            head = file.read(2048).decode("utf-8", "replace")
        match = re.match(r'\{"name":"((?:[^"\\]|\\.)*)"', head)
        return re.sub(r"\\(.)", r"\1", match[1]) if match else path.stem


def take_in(stream: BinaryIO, path: Path, shown: str, settings: Settings, files: Path) -> int:
    """Store an upload piece by piece, whatever size the sender claimed; its size. files: where larger ones may be put.
    Raises Invalid above the cap or for an empty one, Unavailable without room."""
    cap, size = int(settings.upload_max_mb * 1024 * 1024), 0
    try:
        with path.open("wb") as out:
            while piece := stream.read(PIECE_BYTES):
                size += len(piece)
                if size > cap:
                    raise Invalid(
                        f"{shown} is larger than the {settings.upload_max_mb:g} MB an upload may have. Put it "
                        f"into {files} on the server and pick it, or raise AUTOOPS_UPLOAD_MAX_MB."
                    )
                out.write(piece)
    except OSError as error:
        raise Unavailable(
            f"{shown} could not be stored ({error.strerror or error}); make room in {settings.data_dir}."
        ) from error
    if not size:
        raise Invalid(f"{shown} is empty; check the export that made it.")
    return size


def last_part(name: str) -> str:
    """A file's own name, without what any system would read as a folder."""
    return PureWindowsPath(PurePosixPath(storable(name, 1000)).name).name


def _named(name: str) -> tuple[str, str]:
    """What a file is shown as, and its format. Raises Invalid for a kind that cannot be read."""
    last = last_part(name)
    suffix = PurePosixPath(last).suffix.lower()
    if suffix not in FORMATS:
        raise Invalid(f"{last[:80] or 'The file'} is no {', '.join(FORMATS)} file; save it as one of these.")
    stem = " ".join(last[: -len(suffix)].split())[:100]
    return f"{stem or 'table'}{suffix}", FORMATS[suffix]


def _plain(name: str) -> str:
    """A user's name as part of a file's name."""
    return re.sub(r"[^\w-]", "_", name)[:64]


def inside(path: Path, folder: Path) -> bool:
    """A file that lies in the folder itself, not one a link leads out to."""
    return path.is_file() and path.resolve().parent == folder.resolve()
