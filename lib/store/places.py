"""Where archived days and packed models lie: a folder of this machine, or a bucket that speaks S3."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lib.errors import StoreError

PARQUET = "*/*.parquet"


class Place(Protocol):
    """Keeps files by name (`2026-03-14/raw-….parquet`). A name is written once and never again."""

    def put(self, file: Path, name: str) -> None:
        """Take a file over. Returning means it is safe there, whole; raising means the name may be there or not."""

    def fetch(self, name: str) -> Path:
        """The file on this machine. Raises FileNotFoundError when it is nowhere, StoreError when nobody can tell."""

    def remove(self, name: str) -> None:
        """Let go of it; a name that is not there is no error."""

    def names(self) -> list[str]:
        """All that lies there, sorted."""


@dataclass(frozen=True)
class LocalPlace:
    """A folder. Files appear in it by renaming, so that none is ever half there. pattern: what counts as one."""

    folder: Path
    pattern: str = PARQUET

    def put(self, file: Path, name: str) -> None:
        target = self.folder / name
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync(target.parent.parent)
        if file.stat().st_dev != target.parent.stat().st_dev:
            near = target.with_suffix(".part")
            shutil.copyfile(file, near)
            file = near
        _sync(file)
        file.replace(target)
        _sync(target.parent)

    def fetch(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise FileNotFoundError(str(path))
        return path

    def remove(self, name: str) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.with_suffix(".part").unlink(missing_ok=True)

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.glob(self.pattern))


class BucketPlace:
    """A bucket. What is read is kept in a folder of this machine as well, the longest unused leaving first.

    open_files: makes the fsspec file system, at first use: s3fs is slow to import and large.
    """

    def __init__(
        self, root: str, open_files: Callable[[], Any], cache: Path, cache_bytes: int, pattern: str = PARQUET
    ) -> None:
        self.root, self.cache, self.cache_bytes, self.pattern = root.strip("/"), cache, cache_bytes, pattern
        self._open, self._files = open_files, None

    @property
    def files(self) -> Any:
        if self._files is None:
            self._files = self._open()
        return self._files

    def put(self, file: Path, name: str) -> None:
        with _told(f"{name} could not be stored in {self.root}"):
            self.files.put_file(str(file), f"{self.root}/{name}")
            stored = self.files.info(f"{self.root}/{name}")["size"]
        if stored != file.stat().st_size:
            raise StoreError(f"{self.root}/{name} has {stored} bytes after storing {file.stat().st_size}; try again.")

    def fetch(self, name: str) -> Path:
        path = self.cache / name
        if path.is_file():
            os.utime(path)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, near = tempfile.mkstemp(dir=path.parent, suffix=".part")
        os.close(handle)
        try:
            with _told(f"{name} could not be read from {self.root}"):
                self.files.get_file(f"{self.root}/{name}", near)
            Path(near).replace(path)
        finally:
            Path(near).unlink(missing_ok=True)
        self._make_room(path)
        return path

    def remove(self, name: str) -> None:
        with _told(f"{name} could not be removed from {self.root}"), suppress(FileNotFoundError):
            self.files.rm_file(f"{self.root}/{name}")
        (self.cache / name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        with _told(f"{self.root} could not be listed"):
            self.files.invalidate_cache()
            found = self.files.find(self.root)
        return sorted(
            name.strip("/").removeprefix(f"{self.root}/") for name in found if name.endswith(Path(self.pattern).suffix)
        )

    def _make_room(self, keep: Path) -> None:
        """Readers that have a file open keep it: on unlinking only its name goes."""
        kept = sorted(self.cache.glob(self.pattern), key=lambda path: path.stat().st_mtime, reverse=True)
        size = 0
        for path in kept:
            size += path.stat().st_size
            if size > self.cache_bytes and path != keep:
                path.unlink(missing_ok=True)


class _told:  # noqa: N801 - reads as a statement
    """Turns what a bucket's client raises into one error people can read; a file that is not there stays one."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, FileNotFoundError | StoreError):
            raise StoreError(
                f"{self.what} ({type(error).__name__}: {error}). Check the settings of the bucket."
            ) from error


def bucket(
    url: str, endpoint: str, key: str, secret: str, cache: Path, cache_bytes: int, pattern: str = PARQUET
) -> BucketPlace:
    """A place for `s3://bucket/prefix`. endpoint: of an S3-compatible server; empty: Amazon's."""

    def open_files() -> Any:
        try:
            import s3fs
        except ImportError:
            raise StoreError(
                "Keeping files in a bucket takes the package s3fs; install it with 'pip install s3fs', or leave "
                "AUTOOPS_ARCHIVE_URL and AUTOOPS_MODELS_URL empty for the data directory."
            ) from None
        return s3fs.S3FileSystem(
            key=key or None,
            secret=secret or None,
            client_kwargs={"endpoint_url": endpoint} if endpoint else {},
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    return BucketPlace(url.removeprefix("s3://"), open_files, cache, cache_bytes, pattern)


def _sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
