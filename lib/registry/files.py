"""Trained models as versioned folders: arrays, skops files and JSON with a checksum each. No pickle, ever.

A folder appears whole or not at all: it is written beside its place, synced and renamed. Reading checks every
checksum first, then opens arrays without pickle and skops files against the allow-list below.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from lib.disk import sha256, sync
from lib.errors import ArtefactRefused, Conflict, NotFound

METADATA = "metadata.json"
SCHEMA = 1
# Types a skops file of ours may name beyond what skops itself trusts. Never taken from the file: whoever can write
# the file would write its list too.
ALLOWED_TYPES = frozenset({"sklearn.tree._tree.Tree"})
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,120}")
_LIBRARIES = ("numpy", "scikit-learn", "skops", "bottleneck", "pandas")


@dataclass(frozen=True)
class Artefact:
    """A folder that passed its checksums. metadata: as written by `save`."""

    path: Path
    metadata: dict[str, Any]

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of one .npz file. Raises ArtefactRefused when it holds anything but plain arrays."""
        try:
            with np.load(self._file(name), allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except (ValueError, OSError, KeyError) as error:
            raise ArtefactRefused(f"{name} in {self.path.name} does not hold plain arrays: {error}.") from error

    def model(self, name: str) -> Any:
        """A scikit-learn part. Raises ArtefactRefused when the file names a type outside ALLOWED_TYPES."""
        from skops import io

        file = self._file(name)
        try:
            foreign = sorted(set(io.get_untrusted_types(file=file)) - ALLOWED_TYPES)
        except Exception as error:  # a damaged archive raises whatever zipfile, json or skops meets first
            raise ArtefactRefused(f"{name} in {self.path.name} is not a readable skops file: {error}.") from error
        if foreign:
            raise ArtefactRefused(
                f"{name} in {self.path.name} names types that are not allowed: {', '.join(foreign[:5])}. "
                "Train the detector again; do not use this file.",
                types=foreign,
            )
        return io.load(file, trusted=sorted(ALLOWED_TYPES))

    def _file(self, name: str) -> Path:
        if name not in self.metadata["files"]:
            raise NotFound(
                f"{self.path.name} has no file {name!r}; it has {', '.join(sorted(self.metadata['files']))}."
            )
        return self.path / name


class Registry:
    """The folder of all trained models."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(
        self,
        name: str,
        *,
        arrays: Mapping[str, Mapping[str, np.ndarray]],
        models: Mapping[str, Any],
        metadata: Mapping[str, Any],
    ) -> Path:
        """Write one artefact under a new name. arrays: .npz file name -> its arrays; models: .skops file name -> part.

        Raises Conflict when the name is taken.
        """
        target = self._path(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.folder))
        try:
            for file, content in arrays.items():
                np.savez_compressed(staging / file, allow_pickle=False, **content)
            for file, model in models.items():
                from skops import io

                io.dump(model, staging / file)
            self._seal(staging, dict(metadata))
            self._place(staging, target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return target

    def adopt(self, folder: Path, name: str, extra: Mapping[str, Any]) -> Path:
        """Take an artefact another process wrote (a job's working folder), under a new name and with more metadata."""
        made = _open(folder)
        target = self._path(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.folder))
        try:
            for file in made.metadata["files"]:
                shutil.copyfile(folder / file, staging / file)
            rest = {k: v for k, v in made.metadata.items() if k != "files"}
            self._seal(staging, {**rest, **extra})
            self._place(staging, target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return target

    def open(self, name: str) -> Artefact:
        """Raises NotFound, or ArtefactRefused when a file is missing, changed or added."""
        path = self._path(name)
        if not path.is_dir():
            raise NotFound(f"There is no model {name!r} in {self.folder}; train it again.")
        return _open(path)

    def remove(self, name: str) -> None:
        """Delete an artefact; one that is gone already is fine."""
        path = self._path(name)
        if path.is_dir():
            gone = path.with_name(f".{name}.removed")
            path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise NotFound(f"{name!r} is not the name of a model: lower-case letters, digits, - and _ only.")
        return self.folder / name

    @staticmethod
    def _seal(staging: Path, metadata: dict[str, Any]) -> None:
        """Write the metadata with a checksum of every other file, and sync all of it to disk."""
        files = {}
        for file in sorted(staging.iterdir()):
            if file.name != METADATA:
                files[file.name] = {"sha256": sha256(file), "size_bytes": file.stat().st_size}
                sync(file)
        full = {"schema": SCHEMA, "libraries": _versions(), **metadata, "files": files}
        (staging / METADATA).write_text(json.dumps(full, indent=1, default=_plain, allow_nan=False))
        sync(staging / METADATA)
        sync(staging)

    def _place(self, staging: Path, target: Path) -> None:
        if target.exists():
            raise Conflict(f"There is a model {target.name!r} already; models are never overwritten.")
        staging.chmod(0o755)
        staging.rename(target)
        sync(self.folder)


def seal(
    folder: Path,
    *,
    arrays: Mapping[str, Mapping[str, np.ndarray]],
    models: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> Path:
    """Write an artefact as a folder of its own, for `Registry.adopt` in another process."""
    return Registry(folder.parent).save(folder.name, arrays=arrays, models=models, metadata=metadata)


def _open(path: Path) -> Artefact:
    try:
        metadata = json.loads((path / METADATA).read_text())
        files = dict(metadata["files"])
        schema = metadata["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactRefused(f"The metadata of {path.name} cannot be read: {error}. Train it again.") from error
    if schema != SCHEMA:
        raise ArtefactRefused(
            f"{path.name} was written in layout {schema}; this version reads {SCHEMA}. Train it again."
        )
    present = {f.name for f in path.iterdir() if f.name != METADATA}
    if present != files.keys():
        strange = sorted(present ^ files.keys())
        raise ArtefactRefused(f"{path.name} has files missing or added: {', '.join(strange)}. Train it again.")
    for name, expected in files.items():
        if sha256(path / name) != expected.get("sha256"):
            raise ArtefactRefused(
                f"{name} in {path.name} was changed after it was written (checksum differs). Train it again.", file=name
            )
    return Artefact(path, metadata)


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}


def environment() -> dict[str, str]:
    """What a model was made with: Python and the libraries that read it again."""
    found = {"python": platform.python_version()}
    for name in (*_LIBRARIES, "xgboost", "xgboost-cpu", "onnx", "onnxruntime"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not belong in metadata")
