"""History from files: brought, looked at, mapped, checked as a dry run, and only then stored, whole or not at all."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydantic import ValidationError
from sqlmodel import col, select

from lib import memory
from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.db.tables import Source, SourceKind, Task
from lib.errors import Conflict, Invalid, NotFound
from lib.frames import Window, from_ms, to_ms
from lib.intake import mapping as intake
from lib.intake.convert import Batch, Converter
from lib.intake.mapping import BadRows, Kind, Mapping, Reading
from lib.prometheus import exposition
from lib.services import archiving_jobs, importing_jobs
from lib.services.collection import Collection
from lib.services.collection_sources import SourceDraft
from lib.services.importing_jobs import (
    ERRORS,
    LOOK,
    LOOKS,
    MAPPINGS,
    READINGS,
    REPORT,
    REPORTS,
    SAMPLES,
    SERIES,
    Look,
    Report,
)
from lib.services.importing_staged import ABOUTS, DONES, About, PreviewRow, Staged, known, shown, stem, title, write
from lib.services.table_profiles import inside, take_in
from lib.settings import Settings
from lib.store.absorb import Intake
from lib.store.archive import DAY_MS, day_of
from lib.store.samples import Samples
from lib.tasks.job import JobKind
from lib.tasks.runner import ACTIVE, Runner

logger = logging.getLogger(__name__)

LOOKING, CHECKING, STORING = "import.look", "import.check", "import.store"
MEMORY_MB, DEADLINE_S = 1024, 1800.0
# A file that was brought and not imported is removed after this long.
KEPT = timedelta(days=1)
MOST_LISTED = 200
_ID = re.compile(r"[0-9a-f]{16}")
_CHECKED = "checked"
# Sources whose samples are loaded anew by the app itself.
_CLOSED = (SourceKind.DEMO, SourceKind.MACHINE)


class Importing:
    """Uploads, and files the machine's owner put into the folder `files` of the data directory."""

    def __init__(
        self,
        settings: Settings,
        samples: Samples,
        collection: Collection,
        runner: Runner,
        audit: Audit,
        clock: Callable[[], datetime],
    ) -> None:
        self.settings, self.samples, self.collection = settings, samples, collection
        self.runner, self.audit, self.clock = runner, audit, clock
        self.intake = Intake(samples)
        self.folder, self.files = settings.data_dir / "imports", settings.data_dir / "files"
        steps = {
            LOOKING: JobKind(LOOKING, "lib.services.importing_jobs:look", self._prepare, finish=self._looked),
            CHECKING: JobKind(CHECKING, "lib.services.importing_jobs:check", self._prepare_check, finish=self._checked),
            STORING: JobKind(
                STORING, "lib.services.importing_jobs:commit", self._prepare_store, self._store, self._stored
            ),
        }
        for kind in steps.values():
            runner.register(replace(kind, memory_mb=MEMORY_MB, deadline_s=DEADLINE_S))

    # --- bringing files ---------------------------------------------------------------------------

    def upload(self, actor: Actor, name: str, stream: BinaryIO) -> str:
        """Take a file in and have it looked at; the import's id. Of the name only its last part counts, and only for
        showing. Raises Invalid for another kind of file, an empty one or one above the cap; then nothing is kept."""
        actor.require(Permission.MANAGE_SOURCES)
        named = shown(name)
        made = secrets.token_hex(8)
        folder = self.folder / made
        folder.mkdir(parents=True)
        try:
            size = take_in(stream, folder / "file", named, self.settings, self.files)
            self._begin(actor, About(made, named, actor.name, self.clock(), size))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.audit.record(actor, "import.upload", named, size_bytes=size, id=made)
        return made

    def offered(self, actor: Actor) -> list[str]:
        """Names of the files in the folder `files`, sorted."""
        actor.require(Permission.MANAGE_SOURCES)
        if not self.files.is_dir():
            return []
        found = (one.name for one in self.files.iterdir() if known(one.name) and inside(one, self.files))
        return sorted(found)[:MOST_LISTED]

    def pick(self, actor: Actor, name: str) -> str:
        """The same for a file that is offered; it stays where it is. Raises NotFound."""
        actor.require(Permission.MANAGE_SOURCES)
        if name not in self.offered(actor):
            raise NotFound(f"No file {name[:80]!r} is in {self.files}; put it there, or upload it.")
        made = secrets.token_hex(8)
        (self.folder / made).mkdir(parents=True)
        size = (self.files / name).stat().st_size
        self._begin(actor, About(made, shown(name), actor.name, self.clock(), size, name))
        self.audit.record(actor, "import.pick", name[:200], id=made)
        return made

    # --- looking ----------------------------------------------------------------------------------

    def get(self, actor: Actor, import_id: str) -> Staged:
        """How far an import is. Raises NotFound."""
        actor.require(Permission.MANAGE_SOURCES)
        folder = self._folder(import_id)
        about = ABOUTS.validate_json((folder / "about.json").read_bytes())
        look = report = done = None
        with suppress(OSError, ValidationError):
            look = LOOKS.validate_json((folder / LOOK).read_bytes())
        with suppress(OSError, ValidationError):
            report = REPORTS.validate_json((folder / _CHECKED / REPORT).read_bytes())
        with suppress(OSError, ValidationError):
            done = DONES.validate_json((folder / "done.json").read_bytes())
        last = next(iter(self._tasks(import_id)), None)
        running = last if last is not None and last.status in ACTIVE else None
        failed = last.error or f"It was {last.status}." if last is not None and not running and last.error else ""
        if last is not None and last.status == "cancelled":
            failed = "It was cancelled; nothing was stored."
        return Staged(about, look, report, running, failed, done)

    def brought(self, actor: Actor) -> list[About]:
        """Files that were brought and not removed yet, newest first."""
        actor.require(Permission.MANAGE_SOURCES)
        found = []
        for path in self.folder.glob("*/about.json"):
            with suppress(OSError, ValidationError):
                found.append(ABOUTS.validate_json(path.read_bytes()))
        return sorted(found, key=lambda one: one.at, reverse=True)[:MOST_LISTED]

    def read_again(self, actor: Actor, import_id: str, reading: Reading) -> Task:
        """Have the file looked at again, read another way."""
        actor.require(Permission.MANAGE_SOURCES)
        folder = self._folder(import_id)
        about = self.get(actor, import_id).about
        shutil.rmtree(folder / _CHECKED, ignore_errors=True)
        return self._look(actor, about, reading)

    def preview(self, actor: Actor, import_id: str, mapping: Mapping) -> list[PreviewRow]:
        """The first rows as samples. Raises Invalid for a mapping that cannot be."""
        actor.require(Permission.MANAGE_SOURCES)
        look = self._looked_at(actor, import_id)
        _check(mapping, look)
        converter = Converter(mapping, to_ms(self.clock()), self._oldest_ms(), exposition.sample)
        if not look.rows:
            return []
        if look.kind is Kind.OPENMETRICS:
            found = converter.add_lines([(n, row[0]) for n, row in zip(look.lines, look.rows, strict=True)])
        else:
            local = frozenset(i for i, kind in enumerate(look.types) if kind.startswith(("timestamp", "date")))
            columns = [list(column) for column in zip(*look.rows, strict=True)]
            found = converter.add(Batch(np.array(look.lines, np.int64), columns, local))
        rows = [
            PreviewRow(int(line), title(*converter.series[int(series)]), from_ms(int(ts)), float(value))
            for series, ts, value, line in zip(found.series, found.ts_ms, found.value, found.line, strict=True)
        ]
        wrong = (
            PreviewRow(one.row, one.column, None, None, f"{one.value} {one.reason}".strip()) for one in converter.errors
        )
        return sorted([*rows, *wrong], key=lambda one: one.row)[:MOST_LISTED]

    def guessed(self, actor: Actor, import_id: str) -> Mapping:
        """The likeliest mapping. Raises Conflict before the file was looked at."""
        actor.require(Permission.MANAGE_SOURCES)
        return self._looked_at(actor, import_id).mapping

    def targets(self, actor: Actor) -> dict[int, str]:
        """Sources that samples can be imported into, by id."""
        actor.require(Permission.MANAGE_SOURCES)
        return {s.id: s.name for s in self.collection.sources.all() if s.kind not in _CLOSED and s.id is not None}

    def suggested_name(self, file: str) -> str:
        """What a source made of a file is called, unless somebody says otherwise."""
        return stem(file)

    def errors(self, actor: Actor, import_id: str) -> bytes:
        """The rows with an error as CSV. Raises NotFound before the file was checked."""
        actor.require(Permission.MANAGE_SOURCES)
        try:
            return (self._folder(import_id) / _CHECKED / ERRORS).read_bytes()
        except OSError:
            raise NotFound("The file has not been checked yet; check it first.") from None

    # --- importing --------------------------------------------------------------------------------

    def check(self, actor: Actor, import_id: str, mapping: Mapping, *, into: int | None = None, name: str = "") -> Task:
        """Read the whole file as mapped and tell what storing it would do; nothing is stored. into: the source that
        gets the samples; None: one of its own, called `name`. Raises Invalid, Conflict, NotFound."""
        actor.require(Permission.MANAGE_SOURCES)
        staged = self.get(actor, import_id)
        self._idle(staged)
        _check(mapping, self._looked_at(actor, import_id))
        source_id, source_name = self._target(into, name or stem(staged.about.name))
        shutil.rmtree(self._folder(import_id) / _CHECKED, ignore_errors=True)
        params = {
            "id": import_id,
            "mapping": MAPPINGS.dump_python(mapping, mode="json"),
            "source_id": source_id,
            "source_name": source_name,
        }
        return self.runner.submit(
            CHECKING, params, by=actor.name, title=f"Check {staged.about.name}", key=f"import {import_id}"
        )

    def store(self, actor: Actor, import_id: str) -> Task:
        """Store what was checked: all of it in one step, or none. Raises Conflict before it was checked, Invalid where
        bad rows refuse the file or nothing is new."""
        actor.require(Permission.MANAGE_SOURCES)
        staged = self.get(actor, import_id)
        self._idle(staged)
        report = staged.report
        if report is None:
            raise Conflict("The file has to be checked first, so that what is stored is what was seen.")
        if report.bad and report.mapping.bad_rows is BadRows.REFUSE:
            raise Invalid(
                f"{report.bad:,} rows or cells cannot be read, and the file is to be refused for that. Correct them, "
                "or choose to leave them out, and check again."
            )
        if not report.samples:
            raise Invalid("Nothing in the file can be stored; the errors say why.")
        params = {"id": import_id, "sha256": report.sha256}
        task = self.runner.submit(
            STORING, params, by=actor.name, title=f"Import {staged.about.name}", key=f"import {import_id}"
        )
        self.audit.record(
            actor,
            "import.store",
            staged.about.name,
            task=task.id,
            source=report.source_name,
            samples=report.samples,
            left_out=report.bad,
        )
        return task

    def discard(self, actor: Actor, import_id: str) -> None:
        """Remove what was brought; what was stored stays."""
        actor.require(Permission.MANAGE_SOURCES)
        staged = self.get(actor, import_id)
        self._idle(staged)
        shutil.rmtree(self._folder(import_id), ignore_errors=True)
        self.audit.record(actor, "import.discard", staged.about.name, id=import_id)

    def tidy(self) -> None:
        """Remove files nobody went on with for a day, and sources made for an import that did not come about. For the
        schedule."""
        busy = {task.params.get("id") for task in self._tasks() if task.status in ACTIVE}
        for folder in self.folder.glob("*"):
            with suppress(OSError):
                age = self.clock().timestamp() - folder.stat().st_mtime
                if folder.name not in busy and age > KEPT.total_seconds():
                    shutil.rmtree(folder, ignore_errors=True)
        if busy:
            return
        for source in self.collection.sources.all():
            if source.kind == SourceKind.IMPORT and not self.samples.find(source_id=source.id):
                self.collection.sources.remove(source.id or 0)
                logger.info("source of an import that did not come about removed", extra={"source": source.name})

    # --- around the jobs --------------------------------------------------------------------------

    def _begin(self, actor: Actor, about: About) -> None:
        write(self._folder(about.id, whole=False) / "about.json", ABOUTS.dump_json(about))
        self._look(actor, about, None)

    def _look(self, actor: Actor, about: About, reading: Reading | None) -> Task:
        params = {
            "id": about.id,
            "name": about.name,
            "reading": READINGS.dump_python(reading, mode="json") if reading else None,
        }
        return self.runner.submit(
            LOOKING, params, by=actor.name, title=f"Look at {about.name}", key=f"import {about.id}"
        )

    def _prepare(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        folder = self._folder(params["id"])
        about = ABOUTS.validate_json((folder / "about.json").read_bytes())
        path = folder / "file" if about.file is None else self.files / about.file
        if not path.is_file():
            raise NotFound("The file is gone; bring it again.")
        return {**params, "path": str(path)}

    def _looked(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        (workdir / LOOK).replace(self._folder(params["id"]) / LOOK)
        return result

    def _prepare_check(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        look = LOOKS.validate_json((self._folder(params["id"]) / LOOK).read_bytes())
        return {
            **self._prepare(params, workdir),
            "kind": look.kind.value,
            "reading": READINGS.dump_python(look.reading, mode="json"),
            "now_ms": to_ms(self.clock()),
            "oldest_ms": self._oldest_ms(),
        }

    def _checked(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        """Compare with what is stored, then keep all that was made, in one step."""
        report = REPORTS.validate_json((workdir / REPORT).read_bytes())
        source_id = params["source_id"]
        if source_id is not None and report.samples:
            series = importing_jobs.SERIES_LIST.validate_json((workdir / SERIES).read_bytes())
            compared = self.intake.compare(source_id, series, workdir / SAMPLES)
            report = replace(report, known=compared.known, different=compared.different)
        report = replace(report, source_id=source_id, source_name=params["source_name"])
        made = self._folder(params["id"]) / "being-kept"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        for name in (SAMPLES, SERIES, ERRORS):
            (workdir / name).replace(made / name)
        write(made / REPORT, REPORTS.dump_json(report))
        kept = self._folder(params["id"]) / _CHECKED
        shutil.rmtree(kept, ignore_errors=True)
        made.rename(kept)
        return {**result, "known": report.known, "id": params["id"]}

    def _prepare_store(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        path = self._folder(params["id"]) / _CHECKED / SAMPLES
        try:
            try:
                os.link(path, workdir / SAMPLES)
            except PermissionError:  # file systems without hard links
                shutil.copyfile(path, workdir / SAMPLES)
        except FileNotFoundError:
            raise Conflict("What was checked is gone; check the file again.") from None
        return params

    def _store(self, params: dict[str, Any], path: Path, values: dict[str, Any]) -> None:
        """The one step that changes the store."""
        checked = self._folder(params["id"]) / _CHECKED
        report = REPORTS.validate_json((checked / REPORT).read_bytes())
        series = importing_jobs.SERIES_LIST.validate_json((checked / SERIES).read_bytes())
        source = self._source(report)
        source_id = source.id or 0
        with self.collection.held(source_id):
            if not self.collection.sources.exists(source_id, source.created_at):
                raise NotFound("The source was removed while the file was being imported.")
            try:
                added = self.intake.take(source_id, series, path)
            except BaseException:
                if report.source_id is None and not self.samples.find(source_id=source_id):
                    self.collection.sources.remove(source_id)
                raise
        done = {"source_id": source_id, "source": source.name, "written": added.written, "known": added.known}
        write(checked.parent / "stored.json", DONES.dump_json(done))

    def _stored(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        folder = self._folder(params["id"])
        report = REPORTS.validate_json((folder / _CHECKED / REPORT).read_bytes())
        done = DONES.validate_json((folder / "stored.json").read_bytes())
        assert report.first_ms is not None and report.last_ms is not None
        if done["written"]:
            self.collection.tell(done["source_id"], Window(from_ms(report.first_ms), from_ms(report.last_ms + 1)))
        (folder / "stored.json").replace(folder / "done.json")
        for path in (folder / "file", folder / _CHECKED / SAMPLES, folder / _CHECKED / SERIES):
            path.unlink(missing_ok=True)
        # What is in the log only takes twice the room in memory.
        self.samples.store.checkpoint()
        self.samples.store.give_back()
        memory.give_back()
        return {**done, "samples": report.samples, "series": report.series, "left_out": report.bad}

    # --- sources ----------------------------------------------------------------------------------

    def _target(self, into: int | None, name: str) -> tuple[int | None, str]:
        """The source meant, by id where it is there already, and its name."""
        if into is not None:
            source = self.collection.sources.get(into)
            if source.kind in _CLOSED:
                raise Invalid(f"{source.name} is loaded by the app itself; import into a source of its own.")
            return into, source.name
        name = self.collection.sources.checked(SourceDraft(name, kind=SourceKind.IMPORT)).name
        same = next((s for s in self.collection.sources.all() if s.name == name), None)
        if same is not None and same.kind != SourceKind.IMPORT:
            raise Conflict(f"There is a source called “{name}” already; choose it, or another name.")
        return (same.id if same else None), name

    def _source(self, report: Report) -> Source:
        """The row samples are stored under; made, switched off, where there is none."""
        if report.source_id is not None:
            return self.collection.sources.get(report.source_id)
        found, name = self._target(None, report.source_name)
        if found is not None:
            return self.collection.sources.get(found)
        source = self.collection.sources.add(SourceDraft(name, kind=SourceKind.IMPORT, interval_s=3600))
        return self.collection.sources.enable(source.id or 0, False)

    # --- inside -----------------------------------------------------------------------------------

    def _oldest_ms(self) -> int:
        """Samples of before would be removed again by the next run of the archive."""
        keep = archiving_jobs.retention(self.settings)
        return (day_of(self.clock()) - max(keep.raw, keep.hot)) * DAY_MS if keep.raw and keep.hot else 0

    def _looked_at(self, actor: Actor, import_id: str) -> Look:
        look = self.get(actor, import_id).look
        if look is None:
            raise Conflict("The file has not been looked at yet; wait a moment.")
        return look

    def _idle(self, staged: Staged) -> None:
        if staged.running is not None:
            raise Conflict(f"{staged.running.title} is under way; wait for it, or end it.")
        if staged.done is not None:
            raise Conflict("This file was imported already; bring it again to import it another way.")

    def _tasks(self, import_id: str | None = None) -> list[Task]:
        """The newest tasks of imports, newest first."""
        wanted = select(Task).where(col(Task.kind).in_((LOOKING, CHECKING, STORING))).order_by(col(Task.id).desc())
        with self.runner.database.session() as session:
            found = session.exec(wanted.limit(MOST_LISTED)).all()
        return [task for task in found if import_id is None or task.params.get("id") == import_id]

    def _folder(self, import_id: str, whole: bool = True) -> Path:
        folder = self.folder / import_id
        if not _ID.fullmatch(import_id) or (whole and not (folder / "about.json").is_file()):
            raise NotFound("There is no import with this id; it may have been removed. Bring the file again.")
        return folder


def _check(mapping: Mapping, look: Look) -> None:
    """Raises Invalid for a mapping that cannot be, or is of another file."""
    if look.kind is not Kind.OPENMETRICS and [column.source for column in mapping.columns] != look.names:
        raise Invalid(f"The mapping has to name the file's {len(look.names):,} columns, all of them, in their order.")
    intake.check(mapping, look.kind)
