"""Bringing a backup back: checked first, then in one step, which a kill leaves undone or the next start finishes.

New files are laid beside the old ones; then a list of what is to be swapped is written (from here on it will be done,
by whoever comes next), and only then anything is renamed.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from lib.db.database import Database
from lib.disk import sync
from lib.errors import Conflict, Invalid, StoreBusy, StoreError, StoreFull
from lib.services import archiving_jobs
from lib.services.backups import APP_DATA, ARCHIVE, FOLDERS, SAMPLES, SECRET, Manifest, Said, about, read
from lib.settings import Settings
from lib.store import faults, schema
from lib.store.connection import is_open

logger = logging.getLogger(__name__)

_LOCK, _SWAPS = "restore.lock", "restore.json"
_NEW, _OLD = ".restoring-", ".replaced-"


@dataclass(frozen=True)
class Checked:
    """A backup whose files are as they were written. gone: archived files it refers to that the bucket has not."""

    manifest: Manifest
    gone: tuple[str, ...]


@dataclass(frozen=True)
class _Swap:
    """One name to be replaced: by what lies beside it under `_NEW` and its name, or by nothing."""

    target: Path
    comes: bool

    @property
    def new(self) -> Path:
        return self.target.with_name(_NEW + self.target.name)

    @property
    def old(self) -> Path:
        return self.target.with_name(_OLD + self.target.name)


def check(settings: Settings, folder: Path, said: Said = lambda _share, _words: None) -> Checked:
    """Compare each file of a backup with its checksum. Raises StoreError, which names what is not right."""
    manifest = read(folder)
    done = 0
    for name, noted in manifest.files.items():
        said(done / max(manifest.size_bytes, 1), name)
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise StoreError(f"{name} is missing from {folder}; the backup is not whole. Nothing was touched.")
        if about(path) != noted:
            raise StoreError(f"{name} in {folder} is not as it was written; use another backup. Nothing was touched.")
        done += int(noted["size_bytes"])
    gone: tuple[str, ...] = ()
    if manifest.bucket:
        if settings.archive_url != manifest.bucket:
            raise Invalid(
                f"Archived days of this backup lie in {manifest.bucket}; set AUTOOPS_ARCHIVE_URL to it, and its keys."
            )
        there = set(archiving_jobs.place_of(settings).names())
        gone = tuple(sorted(name for name in manifest.referred if name not in there))
    return Checked(manifest, gone)


def restore(
    settings: Settings, folder: Path, *, force: bool = False, said: Said = lambda _share, _words: None
) -> Checked:
    """Put a backup in the place of what is there. Raises Conflict when something is and `force` is not given, StoreBusy
    while the app runs, StoreError for a backup that is not whole; then nothing was touched."""
    found = check(settings, folder, lambda share, words: said(share / 2, f"checking {words}"))
    database = Database(settings.resolved_database_url)
    database.close()
    if APP_DATA in found.manifest.files and database.path is None:
        raise Invalid(
            "The backup's users, detectors and settings are SQLite, and DATABASE_URL names PostgreSQL: restore without "
            "DATABASE_URL, or take a backup that was made with it."
        )
    if settings.archive_url and any(name.startswith(f"{ARCHIVE}/") for name in found.manifest.files):
        raise Invalid(
            "The backup holds archived files, which go to data/archive, and AUTOOPS_ARCHIVE_URL names a bucket: "
            "restore without it."
        )
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with _alone(settings):
        _finish(settings)
        _tidy(settings, database.path)
        there = [str(path) for path in (settings.store_path, database.path) if path and _holds(path)]
        if there and not force:
            raise Conflict(f"{' and '.join(there)} would be replaced; add --force to have them replaced.")
        with _unused(settings.store_path):
            swaps = _plan(settings, found.manifest, database.path)
            try:
                _lay_out(settings, found.manifest, folder, database.path, said)
            except BaseException as error:
                _tidy(settings, database.path)
                if isinstance(error, OSError):
                    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
                    raise (StoreFull if full else StoreError)(
                        f"The backup could not be laid out in {settings.data_dir} ({error.strerror or error}); nothing "
                        "was changed."
                    ) from error
                raise
            _note(settings, swaps)
            _finish(settings)
            _tidy(settings, database.path)
    return found


def settle(settings: Settings) -> None:
    """Before anything is opened: finish a restore that was killed. Raises StoreBusy while one is going on."""
    if (settings.data_dir / _LOCK).exists():
        with _alone(settings):
            _finish(settings)
            database = Database(settings.resolved_database_url)
            database.close()
            _tidy(settings, database.path)


# --- steps ---------------------------------------------------------------------------------------


def _plan(settings: Settings, manifest: Manifest, app_data: Path | None) -> list[_Swap]:
    """Every name that changes, old ones that go without a successor too."""
    swaps = [_Swap(settings.store_path, True), _Swap(settings.store_path.with_name(f"{SAMPLES}.wal"), False)]
    if app_data and APP_DATA in manifest.files:
        swaps.append(_Swap(app_data, True))
        swaps += [_Swap(app_data.with_name(app_data.name + end), False) for end in ("-wal", "-shm")]
    if SECRET in manifest.files:
        swaps.append(_Swap(settings.data_dir / SECRET, True))
    for name, place in _folders(settings, manifest).items():
        # What lies in the folder one by one: it may be a mounted disk, which cannot be renamed.
        new = {Path(file).parts[1] for file in manifest.files if file.startswith(f"{name}/")}
        old = {path.name for path in place.iterdir() if not path.name.startswith(".")} if place.is_dir() else set()
        swaps += [_Swap(place / one, one in new) for one in sorted(new | old)]
    return swaps


def _folders(settings: Settings, manifest: Manifest) -> dict[str, Path]:
    folders = {name: place(settings) for name, place in FOLDERS.items()}
    # Of a bucket the folder is only a cache, whose files never change.
    return folders if manifest.bucket else {ARCHIVE: settings.data_dir / ARCHIVE, **folders}


def _lay_out(settings: Settings, manifest: Manifest, folder: Path, app_data: Path | None, said: Said) -> None:
    """Copy the backup's files to beside where they belong, checked again on their way."""
    single = {SAMPLES: settings.store_path, APP_DATA: app_data, SECRET: settings.data_dir / SECRET}
    folders = _folders(settings, manifest)
    needed = manifest.size_bytes + 16 * 2**20
    if shutil.disk_usage(settings.data_dir).free < needed:
        raise OSError(errno.ENOSPC, f"it takes {needed:,} bytes for a while, beside what is there")
    cleared: set[Path] = set()
    for number, (name, noted) in enumerate(manifest.files.items()):
        said(0.5 + number / len(manifest.files) / 2, f"copying {name}")
        parts = Path(name).parts
        whole = single[name] if len(parts) == 1 else folders[parts[0]] / parts[1]
        assert whole is not None
        top = _Swap(whole, True).new
        if top not in cleared:  # what a killed one left
            _remove(top)
            cleared.add(top)
        target = top.joinpath(*parts[2:]) if len(parts) > 1 else top
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target)
        if name == SECRET:
            target.chmod(0o600)
        if about(target) != noted:
            raise StoreError(f"{name} changed while it was copied; try again. Nothing was changed.")
        sync(target)
    for top in cleared:
        for path in [*(one for one in top.rglob("*") if one.is_dir()), *([top] if top.is_dir() else []), top.parent]:
            sync(path)


def _note(settings: Settings, swaps: list[_Swap]) -> None:
    """The moment from which the new counts."""
    path = settings.data_dir / _SWAPS
    near = path.with_name(_NEW + _SWAPS)
    near.write_text(json.dumps([[str(swap.target), swap.comes] for swap in swaps]))
    sync(near)
    near.replace(path)
    sync(path.parent)


def _finish(settings: Settings) -> None:
    """Do what the list says, as often as it takes; without a list there is nothing to do."""
    path = settings.data_dir / _SWAPS
    if not path.exists():
        return
    swaps = [_Swap(Path(target), comes) for target, comes in json.loads(path.read_text())]
    for swap in swaps:
        _step()
        if swap.comes and not swap.new.exists():
            continue  # it is in its place already
        if swap.target.exists():
            _remove(swap.old)
            swap.target.rename(swap.old)
        _step()
        if swap.comes:
            swap.new.rename(swap.target)
    for folder in {swap.target.parent for swap in swaps if swap.target.parent.is_dir()}:
        sync(folder)
    _step()
    path.unlink()
    sync(path.parent)
    _step()
    logger.info("backup restored", extra={"names": len(swaps)})


def _tidy(settings: Settings, app_data: Path | None) -> None:
    """Remove what a restore put aside: what it replaced, or what it laid out and never came to use."""
    folders = {settings.data_dir, settings.data_dir / ARCHIVE, *(place(settings) for place in FOLDERS.values())}
    if app_data:
        folders.add(app_data.parent)
    for folder in folders:
        for path in [*folder.glob(f"{_NEW}*"), *folder.glob(f"{_OLD}*")]:
            _remove(path)


def _step() -> None:
    """Tests end the process here."""


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _holds(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


# --- who else is there -----------------------------------------------------------------------------


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One restore at a time, and no app that starts meanwhile. Raises StoreBusy, which names the process."""
    import fcntl

    path = settings.data_dir / _LOCK
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                raise BlockingIOError  # who had it before has removed it, and another has made it anew
        except OSError:
            file.seek(0)
            pid = file.read().strip()
            raise StoreBusy(
                f"A backup is being restored into {settings.data_dir} by process {pid or 'unknown'}; wait until it is "
                "done.",
                pid=int(pid) if pid.isdecimal() else None,
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            if not (settings.data_dir / _SWAPS).exists():
                path.unlink(missing_ok=True)


@contextmanager
def _unused(path: Path) -> Iterator[None]:
    """Hold the lock DuckDB would take, so that no app opens the file meanwhile. Raises StoreBusy with the process."""
    import fcntl

    if is_open(path):
        raise StoreBusy(f"{path} is in use by this process; stop the app first.", pid=os.getpid())
    if not path.exists():
        yield
        return
    with suppress(duckdb.Error):
        # Only a message of DuckDB's says who holds the file.
        try:
            schema.connect(str(path), 128, read_only=True).close()
        except duckdb.Error as error:
            if faults.diagnose(error, path) is faults.Fault.BUSY:
                raise StoreBusy(
                    f"{path} is in use by process {faults.holder(error) or 'unknown'}; stop the app first. Nothing "
                    "was changed.",
                    pid=faults.holder(error),
                ) from None
            raise  # a damaged file may be replaced
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreBusy(f"{path} has just been opened by another process; stop the app first.") from error
        yield
