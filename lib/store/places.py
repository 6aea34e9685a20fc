"""Where archived days and packed models lie: a folder of this machine, or a bucket that speaks S3."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from lib import disk
from lib.errors import StoreError
from lib.log import redact

SETTINGS = "the settings of the bucket: AUTOOPS_ARCHIVE_URL (or _MODELS_URL), _ENDPOINT, _KEY and _SECRET"
PARQUET = "*/*.parquet"


class Place(Protocol):
    """Keeps files by name (`2026-03-14/raw-….parquet`). A name is written once and never again.

    far: asking it takes a network, and its files do not rot unseen.
    """

    @property
    def far(self) -> bool: ...

    def put(self, file: Path, name: str) -> None:
        """Take a file over. Returning means it is safe there, whole; raising means the name may be there or not."""

    def fetch(self, name: str) -> Path:
        """The file on this machine. Raises FileNotFoundError when it is gone while others are there, StoreError when
        nobody can tell: no answer, or nothing there at all, as with a disk that is not mounted."""

    def refetch(self, name: str) -> Path:
        """`fetch`, without trusting a copy kept on this machine."""

    def remove(self, name: str) -> None:
        """Let go of it; a name that is not there is no error."""

    def sizes(self) -> dict[str, int]:
        """Bytes by name of all that lies there, sorted by name. Raises StoreError when it cannot be asked."""

    def names(self) -> list[str]:
        """All that lies there, sorted."""


@dataclass(frozen=True)
class LocalPlace:
    """A folder. Files appear in it by renaming, so that none is ever half there. pattern: what counts as one."""

    folder: Path
    pattern: str = PARQUET
    far = False

    def put(self, file: Path, name: str) -> None:
        target = self.folder / name
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            disk.sync(target.parent.parent)
        if file.stat().st_dev != target.parent.stat().st_dev:
            near = target.with_suffix(".part")
            shutil.copyfile(file, near)
            file = near
        disk.sync(file)
        file.replace(target)
        disk.sync(target.parent)

    def fetch(self, name: str) -> Path:
        path = self.folder / name
        if path.is_file():
            return path
        if not self.sizes():
            raise nothing_left(str(self.folder))
        raise FileNotFoundError(str(path))

    refetch = fetch

    def remove(self, name: str) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.with_suffix(".part").unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        return {
            str(path.relative_to(self.folder)): path.stat().st_size for path in sorted(self.folder.glob(self.pattern))
        }

    def names(self) -> list[str]:
        return list(self.sizes())


class BucketPlace:
    """A bucket. What is read is kept in a folder of this machine as well, the longest unused leaving first.

    open_files: makes the s3fs file system, at first use: it is slow to import and takes 34 MB. earlier: where files
    were put before there was a bucket; those stay there. patience_s: for one file, however slowly it comes. secrets:
    never to be told.
    """

    far = True

    def __init__(
        self,
        root: str,
        open_files: Callable[[], Any],
        cache: Path,
        cache_bytes: int,
        *,
        earlier: Path | None = None,
        patience_s: float = 300.0,
        secrets: Sequence[str] = (),
        pattern: str = PARQUET,
    ) -> None:
        self.pattern = pattern
        self.root, self.cache, self.cache_bytes = root.strip("/"), cache, cache_bytes
        self.earlier, self.patience_s, self.secrets = earlier, patience_s, [one for one in secrets if one]
        self._open, self._files = open_files, cast(Any, None)

    def put(self, file: Path, name: str) -> None:
        size = file.stat().st_size
        with self._told(f"{name} could not be stored in {self.root}", names_are_there=False):
            self._ask("_put_file", str(file), f"{self.root}/{name}")
            stored = self._ask("_info", f"{self.root}/{name}")["size"]
        if stored != size:
            raise StoreError(f"{self.root}/{name} has {stored} bytes after storing {size}; try again.")

    def fetch(self, name: str) -> Path:
        if self.earlier and (self.earlier / name).is_file():
            return self.earlier / name
        path = self.cache / name
        if path.is_file():
            os.utime(path)
            return path
        return self._bring(name, path)

    def refetch(self, name: str) -> Path:
        if self.earlier and (self.earlier / name).is_file():
            return self.earlier / name
        return self._bring(name, self.cache / name)

    def remove(self, name: str) -> None:
        with self._told(f"{name} could not be removed from {self.root}"), suppress(FileNotFoundError):
            self._ask("_rm_file", f"{self.root}/{name}")
        (self.cache / name).unlink(missing_ok=True)
        if self.earlier:
            LocalPlace(self.earlier).remove(name)

    def sizes(self) -> dict[str, int]:
        with self._told(f"{self.root} could not be listed", names_are_there=False):
            found = self._ask("_find", self.root, detail=True)
        near = LocalPlace(self.earlier).sizes() if self.earlier else {}
        listed = {
            name.strip("/").removeprefix(f"{self.root}/"): int(about["size"])
            for name, about in found.items()
            if name.endswith(Path(self.pattern).suffix)
        }
        return dict(sorted((near | listed).items()))

    def names(self) -> list[str]:
        return list(self.sizes())

    def _ask(self, call: str, *arguments: Any, **named: Any) -> Any:
        """One of the file system's own calls, which its public ones wrap without a time limit."""
        from fsspec.asyn import sync

        if self._files is None:
            self._files = self._open()
        return sync(self._files.loop, getattr(self._files, call), *arguments, timeout=self.patience_s, **named)

    def _bring(self, name: str, path: Path) -> Path:
        """The bucket's file, taking the place of a copy that is here."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, near = tempfile.mkstemp(dir=path.parent, suffix=".part")
        os.close(handle)
        try:
            with self._told(f"{name} could not be read from {self.root}"):
                self._ask("_get_file", f"{self.root}/{name}", near)
            Path(near).replace(path)
        except FileNotFoundError:
            # A bucket that is missing, or another one, has lost nothing.
            if not self.sizes():
                raise nothing_left(self.root) from None
            raise
        finally:
            Path(near).unlink(missing_ok=True)
        self._make_room(path)
        return path

    def _make_room(self, keep: Path) -> None:
        """Readers that have a file open keep it: on unlinking only its name goes."""
        kept = sorted(_ages(self.cache.glob(self.pattern)), reverse=True)
        room = self.cache_bytes
        for _, size_bytes, path in kept:
            room -= size_bytes
            if room < 0 and path != keep:
                path.unlink(missing_ok=True)
        # What a process that was killed left of a file it was bringing.
        for modified, _, path in _ages(self.cache.glob("*/*.part")):
            if modified < time.time() - 2 * self.patience_s:
                path.unlink(missing_ok=True)

    @contextmanager
    def _told(self, what: str, *, names_are_there: bool = True) -> Iterator[None]:
        """Turns what the bucket's client raises into one error people can read; a file that is not there stays one,
        unless the call names none that could be missing: then it is the bucket."""
        try:
            yield
        except StoreError:
            raise
        except FileNotFoundError as error:
            if names_are_there:
                raise
            raise StoreError(f"{what}: {self._said(error)}. Check {SETTINGS}.") from None
        except Exception as error:
            raise StoreError(f"{what}: {self._said(error)}. Check {SETTINGS}.") from None

    def _said(self, error: Exception) -> str:
        words = str(error).strip().rstrip(".")
        for secret in self.secrets:
            words = words.replace(secret, "***")
        if isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower() or "timeout" in words.lower():
            return "it did not answer in time"
        if isinstance(error, PermissionError):
            return f"the server refuses the key ({words})"
        return redact(words) or type(error).__name__


def bucket(
    url: str,
    endpoint: str,
    key: str,
    secret: str,
    cache: Path,
    cache_bytes: int,
    *,
    earlier: Path | None = None,
    timeout_s: float = 15.0,
    patience_s: float = 300.0,
    pattern: str = PARQUET,
) -> BucketPlace:
    """A place for `s3://bucket/prefix`. endpoint: of an S3-compatible server; empty: Amazon's. timeout_s: how long it
    may be silent; it is asked twice."""

    def open_files() -> Any:
        try:
            import s3fs
        except ImportError:
            raise StoreError(
                "Keeping files in a bucket takes the package s3fs; install it with 'pip install s3fs', or leave "
                "AUTOOPS_ARCHIVE_URL and AUTOOPS_MODELS_URL empty for the data directory."
            ) from None
        files = s3fs.S3FileSystem(
            key=key or None,
            secret=secret or None,
            client_kwargs={"endpoint_url": endpoint} if endpoint else {},
            # s3fs asks again itself; with botocore's own attempts a silent server would be asked 25 times.
            config_kwargs={
                "connect_timeout": min(timeout_s, 5.0),
                "read_timeout": timeout_s,
                "retries": {"total_max_attempts": 1},
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        files.retries = 2
        return files

    return BucketPlace(
        url.removeprefix("s3://"),
        open_files,
        cache,
        cache_bytes,
        earlier=earlier,
        patience_s=patience_s,
        secrets=(key, secret),
        pattern=pattern,
    )


def trial(place: Place) -> float:
    """Whether files can be stored, read and removed: with a small one. Seconds it took; raises StoreError, OSError."""
    started, name = time.monotonic(), f"trial/{uuid.uuid4().hex[:12]}.txt"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trial.txt"
        file.write_text(name)
        place.put(file, name)
        try:
            there = place.refetch(name).read_text()
        finally:
            place.remove(name)
    if there != name:
        raise StoreError(f"What was read is not what was stored: {len(there)} characters for {len(name)}.")
    return time.monotonic() - started


def nothing_left(where: str) -> StoreError:
    """For whoever looks for one file where there is not a single one."""
    return StoreError(
        f"Nothing of the archive lies in {where}. Mount its disk, or check {SETTINGS}; if it is lost for good, "
        "`python -m lib archive verify` takes it off the list."
    )


def _ages(paths: Iterable[Path]) -> Iterator[tuple[float, int, Path]]:
    """When each was modified, and its bytes; others may be removing them."""
    for path in paths:
        with suppress(FileNotFoundError):
            about = path.stat()
            yield about.st_mtime, about.st_size, path
