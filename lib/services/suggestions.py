"""What to try with a dataset: its profile, suggested steps and models, worked out once a version and kept beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lib.auth.actor import SYSTEM, Actor, Permission
from lib.datasets.schema import DatasetVersion, Role
from lib.db.tables import Task, TaskStatus
from lib.errors import Invalid, Unavailable
from lib.profiling.tables import TableProfile
from lib.services.datasets import Datasets
from lib.services.suggestions_jobs import PROFILE, PROFILE_FILE, SUGGESTED, SUGGESTED_FILE, edition
from lib.tasks.job import JobKind
from lib.tasks.runner import ACTIVE, Runner
from lib.training import schema as training_schema
from lib.training.suggestions import Suggested

KIND = "dataset.suggest"
MEMORY_MB, DEADLINE_S, WAIT_S = 1536, 900.0, 60.0
_ROLES = {
    Role.IDENTIFIER: str(training_schema.Role.IDENTIFIER),
    Role.IGNORE: str(training_schema.Role.IGNORE),
    Role.TIME: str(training_schema.Role.TIME),
}


class Suggestions:
    """Kept as `<version>.profile.json` and `<version>.<target>.json` beside the dataset's data, gone when it goes."""

    def __init__(self, datasets: Datasets, runner: Runner, clock: Callable[[], datetime]) -> None:
        self.datasets, self.runner, self.clock = datasets, runner, clock
        runner.register(
            JobKind(
                KIND,
                "lib.services.suggestions_jobs:run",
                prepare=self._prepare,
                finish=self._finish,
                memory_mb=MEMORY_MB,
                deadline_s=DEADLINE_S,
            )
        )

    def of(self, actor: Actor, dataset_id: int, version: str | None = None, target: str | None = None) -> Suggested:
        """Steps and models for a version, and a plan made of them; target: that of the dataset, else a likely one.

        Waits until they are worked out. Raises NotFound, Unavailable when that takes longer than a minute, Invalid for
        a table nothing can be learnt from, with the reason.
        """
        opened, wanted = self._opened(actor, dataset_id, version, target)
        answer = self._kept(opened, wanted) or self._made(actor, opened, wanted)
        if answer["refused"]:
            raise Invalid(answer["refused"])
        return SUGGESTED.validate_python(answer["suggested"])

    def profile(self, actor: Actor, dataset_id: int, version: str | None = None) -> TableProfile:
        """What a version is like. Waits and raises as `of` does, whether or not anything can be learnt from it."""
        opened, wanted = self._opened(actor, dataset_id, version, None)
        path = self._beside(opened, "profile")
        if not path.is_file():
            self._made(actor, opened, wanted)
        try:
            return PROFILE.validate_json(path.read_bytes())
        except (OSError, ValidationError):
            path.unlink(missing_ok=True)
            raise Unavailable("The profile could not be kept or read; open the page again to make it anew.") from None

    # --- inside -----------------------------------------------------------------------------------

    def _opened(
        self, actor: Actor, dataset_id: int, version: str | None, target: str | None
    ) -> tuple[DatasetVersion, str]:
        actor.require(Permission.DATASETS)
        opened = self.datasets.open(actor, dataset_id, version)
        if target is not None and target not in {one.name for one in opened.schema}:
            raise Invalid(f"{opened.name!r} has no column {target[:80]!r} to predict.")
        return opened, target if target is not None else next(iter(opened.with_role(Role.TARGET)), "")

    def _beside(self, opened: DatasetVersion, what: str) -> Path:
        return opened.path.with_name(f"{opened.hash}.{what}.json")

    def _kept(self, opened: DatasetVersion, target: str) -> dict[str, Any] | None:
        try:
            held = json.loads(self._beside(opened, _digest(target)).read_text())
        except (OSError, ValueError):
            return None
        # Reference tables tried since may say something else.
        return held if isinstance(held, dict) and held.get("edition") == edition() else None

    def _made(self, actor: Actor, opened: DatasetVersion, target: str) -> dict[str, Any]:
        params = {"dataset": opened.dataset_id, "version": opened.hash, "target": target, "by": actor.name}
        key = f"suggest {opened.dataset_id} {opened.hash} {_digest(target)}"
        task = self.runner.submit(KIND, params, by=actor.name, title=f"Look at {opened.name}", key=key)
        try:
            done: Task = self.runner.wait(task.id or 0, WAIT_S)
        except TimeoutError:
            done = self.runner.get(task.id or 0)
        if done.status in ACTIVE:
            raise Unavailable(f"{opened.name} is still being looked at (task {task.id}); come back in a minute.")
        if done.status != TaskStatus.SUCCEEDED:
            raise Unavailable(f"{opened.name} could not be looked at: {done.error or done.status}")
        found = self._kept(opened, target)
        if found is None:
            raise Unavailable("What was found could not be kept; make room in the data directory and try again.")
        return found

    def _prepare(self, params: dict[str, Any], _workdir: Path) -> dict[str, Any]:
        opened = self.datasets.open(SYSTEM, params["dataset"], params["version"])
        kept = self._beside(opened, "profile")
        target = params["target"]
        roles = {one.name: _ROLES[one.role] for one in opened.schema if one.role in _ROLES and one.name != target}
        return {
            **params,
            "path": str(opened.path),
            "name": opened.name,
            "columns": [one.as_json() for one in opened.schema],
            "roles": roles,
            "as_of": self.clock().isoformat(timespec="seconds"),
            "known": str(kept) if kept.is_file() else "",
        }

    def _finish(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        opened = self.datasets.open(SYSTEM, params["dataset"], params["version"])
        if (workdir / PROFILE_FILE).is_file():
            (workdir / PROFILE_FILE).replace(self._beside(opened, "profile"))
        held = {**result, "edition": edition()}
        if not result["refused"]:
            held["suggested"] = json.loads((workdir / SUGGESTED_FILE).read_text())
        # What was found for a likely target holds for whoever chooses that one, too.
        for target in {params["target"], result["target"]}:
            part = workdir / "kept.json"
            part.write_text(json.dumps(held))
            part.replace(self._beside(opened, _digest(target)))
        return result


def _digest(target: str) -> str:
    """A column's name is somebody's input and never becomes part of a path."""
    return "suggested-" + hashlib.sha256(target.encode("utf-8", "surrogatepass")).hexdigest()[:16]
