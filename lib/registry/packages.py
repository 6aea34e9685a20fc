"""A served model as one file: an archive of its files, named by its checksum, kept on this machine or in a bucket.

One file is there whole or not at all, in a folder as in a bucket, and one checksum vouches for all of it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lib import disk
from lib.errors import ArtefactRefused, Invalid, StoreError
from lib.store.places import Place

PATTERN = "*/*.model"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MEMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
# The same bytes for the same files, whenever they are packed.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Packed:
    sha256: str
    size_bytes: int


class Packages:
    """place: where they are kept. unpacked: a folder of this machine where models are read from, by checksum."""

    def __init__(self, place: Place, unpacked: Path) -> None:
        self.place, self.unpacked = place, unpacked

    def keep(self, files: Mapping[str, Path]) -> Packed:
        """Pack files (name -> where it lies) and put them away. Raises Invalid for a name with path parts."""
        for name in files:
            if not _MEMBER.fullmatch(name):
                raise Invalid(f"{name[:80]!r} is no name for a file of a model: letters, digits, . _ and - only.")
        self.unpacked.mkdir(parents=True, exist_ok=True)
        handle, near = tempfile.mkstemp(dir=self.unpacked, prefix=".", suffix=".part")
        os.close(handle)
        path = Path(near)
        try:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
                for name in sorted(files):
                    with files[name].open("rb") as source, archive.open(zipfile.ZipInfo(name, _EPOCH), "w") as member:
                        shutil.copyfileobj(source, member, 1 << 20)
            packed = Packed(disk.sha256(path), path.stat().st_size)
            self.place.put(path, _name(packed.sha256))
        finally:
            path.unlink(missing_ok=True)
        return packed

    def archive(self, sha256: str) -> Path:
        """The whole archive on this machine, its checksum held. Raises ArtefactRefused, StoreError."""
        try:
            path = self.place.fetch(_name(sha256))
        except FileNotFoundError:
            raise StoreError(f"The files of model {sha256[:12]} are gone from where models are kept.") from None
        if disk.sha256(path) != sha256:
            raise ArtefactRefused(
                f"The files of model {sha256[:12]} were changed after they were written (checksum differs). Put them "
                "back from a backup, or upload the model again.",
                file=path.name,
            )
        return path

    def unpack(self, sha256: str) -> Path:
        """A folder with the files, made when it is not there. Raises as `archive` does."""
        target = self.unpacked / sha256
        if target.is_dir():
            return target
        source = self.archive(sha256)
        self.unpacked.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".unpack.", dir=self.unpacked))
        try:
            with zipfile.ZipFile(source) as archive:
                for member in archive.infolist():
                    if not _MEMBER.fullmatch(member.filename):
                        raise ArtefactRefused(f"Model {sha256[:12]} holds a file named {member.filename[:80]!r}.")
                    with archive.open(member) as inside, (staging / member.filename).open("wb") as out:
                        shutil.copyfileobj(inside, out, 1 << 20)
            try:
                staging.rename(target)
            except OSError:  # somebody else was first
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return target

    def remove(self, sha256: str) -> None:
        self.place.remove(_name(sha256))
        shutil.rmtree(self.unpacked / sha256, ignore_errors=True)

    def sweep(self, wanted: set[str]) -> list[str]:
        """Remove what no version names: left by a process that ended between file and row. Returns their checksums."""
        strays = [Path(name).stem for name in self.place.names() if Path(name).stem not in wanted]
        for sha256 in strays:
            if _DIGEST.fullmatch(sha256):
                self.remove(sha256)
        return strays


def _name(sha256: str) -> str:
    if not _DIGEST.fullmatch(sha256):
        raise ArtefactRefused(f"{sha256[:20]!r} is no checksum.")
    return f"{sha256[:2]}/{sha256}.model"
