"""What a job has finished already, kept in its task's folder, so that after a restart it goes on from there."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from lib.disk import sync
from lib.errors import Invalid

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")


class Checkpoints:
    """Values by name, bytes or JSON. Each is written beside its place, synced and renamed: it is there whole or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, name: str, value: Any) -> None:
        """Keep a value under a name, in place of the one before. Raises Invalid for what is no JSON."""
        if isinstance(value, bytes):
            target, data = self._path(name, "bin"), value
        else:
            try:
                target, data = self._path(name, "json"), json.dumps(value, allow_nan=False).encode()
            except (TypeError, ValueError) as error:
                raise Invalid(f"Checkpoint {name!r} is neither bytes nor JSON ({error}).") from None
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
        sync(self.folder)

    def load(self, name: str) -> Any:
        """The value kept under a name; None when there is none."""
        try:
            return json.loads(self._path(name, "json").read_bytes())
        except FileNotFoundError:
            pass
        try:
            return self._path(name, "bin").read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, name: str, kind: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Invalid(f"A checkpoint's name is lower-case letters, digits, - and _, not {name[:80]!r}.")
        return self.folder / f"{name}.{kind}"
