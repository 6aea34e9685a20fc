"""Where the data of datasets lies: `<id>/<version hash>.parquet` and what it is beside it as JSON, written once."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from lib.disk import sha256, sync
from lib.errors import NotFound, StoreError, Unavailable

_HASH = re.compile(r"[0-9a-f]{64}")


class DatasetFiles:
    """A folder. A version is there when both its files are; the Parquet file appears first, by renaming."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, dataset_id: int, version: str, parquet: Path, facts: Mapping[str, Any]) -> int:
        """Take a Parquet file over as a version; its size in bytes. One that is there already is left as it is.

        Raises Unavailable when there is no room.
        """
        target = self._path(dataset_id, version)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.is_file():
                if parquet.stat().st_dev != target.parent.stat().st_dev:
                    near = target.with_suffix(".part")
                    shutil.copyfile(parquet, near)
                    parquet = near
                sync(parquet)
                parquet.replace(target)
            beside = target.with_suffix(".json.part")
            said = {**facts, "sha256": sha256(target), "size_bytes": target.stat().st_size}
            beside.write_text(json.dumps(said, indent=1, ensure_ascii=False, default=str))
            sync(beside)
            beside.replace(target.with_suffix(".json"))
            sync(target.parent)
        except OSError as error:
            raise Unavailable(
                f"The dataset could not be stored ({error.strerror or error}); make room in {self.folder}."
            ) from error
        return target.stat().st_size

    def share(self, dataset_id: int, version: str, into: Path) -> None:
        """Give a version's data another name without copying it, for a version that differs in roles only."""
        source = self.find(dataset_id, version)
        try:
            os.link(source, into)
        except OSError:
            shutil.copyfile(source, into)

    def find(self, dataset_id: int, version: str, size_bytes: int | None = None) -> Path:
        """The Parquet file. Raises NotFound when it is gone, StoreError when it has another size than it was given."""
        path = self._path(dataset_id, version)
        if not path.is_file():
            raise NotFound(f"The data of dataset {dataset_id} is gone from {self.folder}; bring it again.")
        if size_bytes is not None and path.stat().st_size != size_bytes:
            raise StoreError(
                f"The data of dataset {dataset_id} was changed on the disk ({path.stat().st_size:,} bytes instead of "
                f"{size_bytes:,}); bring it again."
            )
        return path

    def whole(self, dataset_id: int, version: str) -> bool:
        """Whether the data still has the checksum it was given."""
        path = self._path(dataset_id, version)
        try:
            return bool(json.loads(path.with_suffix(".json").read_text())["sha256"] == sha256(path))
        except (OSError, ValueError, KeyError):
            return False

    def remove(self, dataset_id: int) -> None:
        """Delete every version of a dataset; one that is gone already is fine."""
        shutil.rmtree(self.folder / str(int(dataset_id)), ignore_errors=True)

    def sweep(self, known: Set[tuple[int, str]]) -> int:
        """Delete what a process that was killed left: files of versions nobody knows. How many went."""
        gone = 0
        for path in self.folder.glob("[0-9]*/*"):
            number = path.parent.name
            if number.isdigit() and (int(number), path.name.partition(".")[0]) not in known or path.suffix == ".part":
                path.unlink(missing_ok=True)
                gone += 1
        for folder in self.folder.glob("[0-9]*"):
            with suppress(OSError):
                folder.rmdir()  # only when it is empty
        return gone

    def _path(self, dataset_id: int, version: str) -> Path:
        if not _HASH.fullmatch(version):
            raise NotFound("A version is named by 64 hexadecimal digits.")
        return self.folder / str(int(dataset_id)) / f"{version}.parquet"
