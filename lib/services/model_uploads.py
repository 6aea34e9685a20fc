"""Models made elsewhere: a file is taken in, looked at in a child process, and only then a version."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.db.learning_tables import ModelVersion
from lib.errors import AppError, ArtefactRefused, Invalid, TooMany, Unavailable
from lib.registry import loaders, schema, serving
from lib.services.models import Models, named

logger = logging.getLogger(__name__)

FORMATS = {".onnx": "onnx", ".json": "xgboost", ".skops": "skops"}
PIECE_BYTES = 1 << 20
_PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".npy", ".npz", ".sav", ".h5", ".keras")
# A second upload waits for the first: each check may take the whole memory cap.
WAIT_S = 90.0


class ModelUploads:
    def __init__(self, models: Models, audit: Audit) -> None:
        self.models, self.audit = models, audit
        self.settings = models.settings
        self.incoming = self.settings.data_dir / "models_incoming"
        # Nothing is under way yet: what lies here was left by a process that ended.
        shutil.rmtree(self.incoming, ignore_errors=True)
        self._one = threading.Semaphore(1)

    def upload(
        self,
        actor: Actor,
        name: str,
        file_name: str,
        stream: BinaryIO,
        *,
        fields: Sequence[str] = (),
        classes: Sequence[str] = (),
        task: str = "",
        target: str = "",
        model_schema: str = "",
        card: str = "",
        progress: Callable[[str], None] = lambda _: None,
    ) -> ModelVersion:
        """A new version of `name` from an ONNX, XGBoost JSON or skops file. What the file does not say of itself
        comes from `fields`, `classes`, `task`, or all of it from `model_schema` (JSON).

        Raises Invalid or ArtefactRefused with the reason; then nothing is kept.
        """
        actor.require(Permission.TRAIN)
        try:
            return self._upload(
                actor, name, file_name, stream, _given(fields, classes, task, target, model_schema), card, progress
            )
        except AppError as error:
            self.audit.record(actor, "model.upload", name[:80], "refused", file=file_name[:120], reason=error.message)
            raise

    def _upload(
        self,
        actor: Actor,
        name: str,
        file_name: str,
        stream: BinaryIO,
        given: dict[str, Any],
        card: str,
        progress: Callable[[str], None],
    ) -> ModelVersion:
        name, format_ = named(name), format_of(file_name)
        if not self._one.acquire(timeout=WAIT_S):
            raise TooMany("Another model is being checked; try again in a minute.", retry_after_s=60)
        try:
            self.incoming.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=self.incoming))
            try:
                path = folder / loaders.FILES[format_]
                progress("Taking the file in")
                digest = self._take(stream, path, file_name)
                progress("Checking it in a process of its own")
                found = serving.check(format_, path, given, self.settings.serve_memory_mb)
                progress("Keeping it")
                facts = {**found["facts"], "file": file_name[:120], "file_sha256": digest}
                return self.models.register(
                    actor,
                    name,
                    {path.name: path},
                    format=format_,
                    model_schema=schema.from_json(found["schema"]),
                    origin="uploaded",
                    facts=facts,
                    card=card or _card(name, found["schema"], facts),
                )
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            self._one.release()

    def _take(self, stream: BinaryIO, path: Path, shown: str) -> str:
        """Copy piece by piece, whatever size the sender claimed; its SHA-256."""
        cap, size, digest = int(self.settings.model_max_mb * 2**20), 0, hashlib.sha256()
        try:
            with path.open("wb") as out:
                while piece := stream.read(PIECE_BYTES):
                    size += len(piece)
                    if size > cap:
                        raise Invalid(
                            f"{shown[:80]} is larger than the {self.settings.model_max_mb:g} MB a model may have "
                            "(AUTOOPS_MODEL_MAX_MB)."
                        )
                    digest.update(piece)
                    out.write(piece)
        except OSError as error:
            raise Unavailable(
                f"{shown[:80]} could not be stored ({error.strerror or error}); make room in {self.settings.data_dir}."
            ) from error
        if not size:
            raise Invalid(f"{shown[:80]} is empty; check the export that made it.")
        return digest.hexdigest()


def format_of(file_name: str) -> str:
    """By the ending. Raises Invalid for a name with path parts, ArtefactRefused for a kind that is never opened."""
    if not file_name or any(part in file_name for part in ("/", "\\", "\0")) or ".." in file_name:
        raise Invalid(f"{file_name[:80]!r} is a path, not the name of a file; send the name alone.")
    suffix = Path(file_name).suffix.lower()
    if suffix in _PICKLES:
        raise ArtefactRefused(
            f"{file_name[:80]} is of a kind that can hold a Python pickle, which is never opened: it can run any code. "
            "Export the model to ONNX, XGBoost JSON or skops."
        )
    if suffix not in FORMATS:
        raise Invalid(f"{file_name[:80]} is none of {', '.join(FORMATS)}; export the model as one of these.")
    return FORMATS[suffix]


def _given(fields: Sequence[str], classes: Sequence[str], task: str, target: str, model_schema: str) -> dict[str, Any]:
    raw: Any = None
    if model_schema.strip():
        try:
            raw = json.loads(model_schema)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"The schema is no JSON: {error}.") from None
        schema.from_json(raw)
    if task and task not in list(schema.Task):
        raise Invalid(f"task is {task[:40]!r}; it must be {' or '.join(schema.Task)}.")
    if len(fields) > schema.MOST_FIELDS or len(classes) > schema.MOST_CLASSES:
        raise Invalid(f"At most {schema.MOST_FIELDS:,} fields and {schema.MOST_CLASSES:,} classes can be named.")
    return {"schema": raw, "fields": [*fields], "classes": [*classes], "task": task, "target": target[:256]}


def _card(name: str, found: dict[str, Any], facts: dict[str, Any]) -> str:
    """What can be said of a model nobody here has trained."""
    fields = ", ".join(one["name"] for one in found["fields"][:40])
    classes = f"- Classes: {', '.join(found['classes'])}\n" if found["classes"] else ""
    return (
        f"# {name}\n\nUploaded as {facts['file']}, made with {facts.get('made_with', 'an unknown tool')}.\n\n"
        f"- Task: {found['task']}\n- Fields: {fields}\n{classes}"
        "\nNothing is known here about the data it learnt from, nor how good it is: its maker has to say. "
        "It was checked that it loads without running foreign code and answers ordinary values.\n"
    )
