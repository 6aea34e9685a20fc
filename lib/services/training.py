"""Training runs: a plan on a table as a task, its leaderboard while it runs, its results, and going on after a kill."""

from __future__ import annotations

import json
import logging
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.db.tables import Task, TaskStatus
from lib.errors import AppError, Conflict, Invalid, NotFound
from lib.services.datasets import Dependant
from lib.services.health import version as code_version
from lib.services.training_jobs import CARD, EVENTS, REFERENCE, RESULTS, require_bundle, view_file
from lib.settings import Settings
from lib.tasks.job import JobKind, storable
from lib.tasks.runner import ACTIVE, Runner
from lib.training import plan as plans
from lib.training.plan import Plan
from lib.training.words import shown

logger = logging.getLogger(__name__)

KIND, VIEW_KIND = "training.run", "training.view"
_TITLES = {
    "shap": "Shares of columns",
    "dependence": "Dependence",
    "importance": "Importance",
    "learning_curve": "Learning curve",
}
VIEWS = tuple(_TITLES)
# The longest budget, and an hour for reading, results and a machine that is busy.
DEADLINE_S = plans.MOST_BUDGET_S + 3600
MOST_RUNS, MOST_COMPARED = 500, 6
_ID = re.compile(r"[0-9a-f]{16}")
_RUN = "run.json"
Rows = list[dict[str, Any]]
Problems = list[plans.Problem]
Made = list[Dependant]
Paths = list[Path]
_AGAIN = " (again)"


@dataclass(frozen=True)
class Table:
    """What is trained on: a Parquet file that does not change, and how it is named and told from others."""

    path: Path
    name: str
    hash: str = ""
    dataset_id: int | None = None


@dataclass(frozen=True)
class Run:
    """One training. status: of its task; score: once there is one."""

    id: str
    name: str
    table: str
    data_hash: str
    plan: Plan
    by: str
    at: datetime
    task_id: int
    status: str
    score: float | None = None
    metric: str = ""
    error: str = ""
    dataset_id: int | None = None
    registered: tuple[tuple[str, int], ...] = ()  # (model, version)
    register_as: str = ""  # the model it becomes a version of by itself when it is done


class Training:
    """Runs live in folders of `training` in the data directory; what is finished there never changes but by removal."""

    def __init__(self, settings: Settings, runner: Runner, audit: Audit, clock: Callable[[], datetime]) -> None:
        self.folder, self.runner, self.audit, self.clock = settings.data_dir / "training", runner, audit, clock
        # Told of a run that is done.
        self.on_trained: list[Callable[[Run], None]] = []
        jobs = "lib.services.training_jobs"
        # Finished folds lie in the run's own folder, so a run goes on wherever its process ended.
        prepare = self._prepare
        runner.register(
            JobKind(
                KIND,
                f"{jobs}:run",
                prepare=prepare,
                finish=self._finish,
                deadline_s=DEADLINE_S,
                resumes=True,
                cluster=True,
            )
        )
        # Somebody waits in front of a view; a training has time.
        runner.register(
            JobKind(VIEW_KIND, f"{jobs}:explained", prepare=prepare, resumes=True, priority=1, cluster=True)
        )

    # --- running ----------------------------------------------------------------------------------

    def check(self, actor: Actor, plan: Plan, columns: Mapping[str, str] | Sequence[str]) -> Problems:
        """What is wrong with a plan for a table with these columns (`plan.validate`)."""
        actor.require(Permission.TABLES)
        return plans.validate(plan, columns)

    def start(self, actor: Actor, plan: Plan, table: Table, name: str = "", *, register_as: str = "") -> Run:
        """Queue a training. register_as: the model it becomes a version of when it is done.

        Raises Invalid for a plan that cannot run on the table's columns.
        """
        actor.require(Permission.RUN_TASKS)
        plans.require_valid(plan, _columns(table.path))
        run_id = secrets.token_hex(8)
        shown = storable(name.strip() or f"{plan.target} of {table.name}", 120)
        home = self.folder / run_id
        home.mkdir(parents=True)
        held: dict[str, Any] = {
            "id": run_id,
            "name": shown,
            "table": {
                "path": str(table.path),
                "name": storable(table.name, 200),
                "hash": table.hash,
                "dataset_id": table.dataset_id,
            },
            "plan": plan.to_json(),
            "by": actor.name,
            "at": self.clock().isoformat(),
            "task": 0,
            "register_as": register_as,
        }
        try:
            self._queue(actor, held)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
        self.audit.record(actor, "training.start", shown, run=run_id, task=held["task"], data=table.hash)
        return self._run(held)

    def resume(self, actor: Actor, run_id: str) -> Run:
        """Go on with a run that was ended, from its finished folds. Raises Conflict while it runs or when done."""
        actor.require(Permission.RUN_TASKS)
        held = self._held(run_id)
        if self._run(held).status in {*ACTIVE, TaskStatus.SUCCEEDED}:
            raise Conflict(f"{held['name']} is running or done; start a new training instead.")
        self._queue(actor, held)
        self.audit.record(actor, "training.resume", held["name"], run=run_id, task=held["task"])
        return self._run(held)

    def replay(self, actor: Actor, run_id: str) -> Run:
        """The same plan on the same data with the same seed, as a run of its own. Raises NotFound, Invalid."""
        held = self._held(run_id)
        about = held["table"]
        table = Table(Path(about["path"]), about["name"], about["hash"], about["dataset_id"])
        name = held["name"] if held["name"].endswith(_AGAIN) else f"{held['name'][: 120 - len(_AGAIN)]}{_AGAIN}"
        return self.start(actor, Plan.from_json(held["plan"]), table, name)

    def explain(self, actor: Actor, run_id: str, what: str, column: str = "") -> Task:
        """Queue a slower view: shap, dependence of a column, importance or learning_curve. Then `view` has it."""
        actor.require(Permission.RUN_TASKS)
        held = self._held(run_id)
        require_bundle(self.folder / run_id)
        if what not in VIEWS:
            raise Invalid(f"There is no view {what[:40]!r}; there are {', '.join(VIEWS)}.")
        if what == "dependence" and column not in held["plan"]["roles"]:
            raise Invalid(f"{column[:80]!r} is no column of this model.")
        params = {"run": run_id, "what": what, "column": column if what == "dependence" else ""}
        # Asked for twice while it is being made, it is made once.
        title = f"{_TITLES[what]}{f' of {column}' if params['column'] else ''}: {held['name']}"
        return self.runner.submit(VIEW_KIND, params, by=actor.name, title=title)

    # --- looking ----------------------------------------------------------------------------------

    def list(self, actor: Actor) -> list[Run]:
        """Newest first."""
        actor.require(Permission.TABLES)
        found = [self._held_or_none(home.name) for home in self._homes()]
        newest = sorted((one for one in found if one), key=lambda one: (one["at"], one["task"]), reverse=True)
        return [self._run(one) for one in newest[:MOST_RUNS]]

    def get(self, actor: Actor, run_id: str) -> Run:
        """Raises NotFound."""
        actor.require(Permission.TABLES)
        return self._run(self._held(run_id))

    def live(self, actor: Actor, run_id: str) -> Rows:
        """What has happened so far, in order: start, usable, fold, candidate, done, each with `at_s`."""
        actor.require(Permission.TABLES)
        self._held(run_id)
        try:
            lines = (self.folder / run_id / EVENTS).read_text().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                break  # still being written, or torn by a kill
        return found

    def board(self, actor: Actor, run_id: str) -> Rows:
        """The leaderboard, best first: the final one, or what is done so far.

        A row has name, family, params, score (greater is better), took_s, and for people value, low and high (errors
        as they are), at_s (when it was done), usable (it was the first model that could be used), weight.
        """
        events, found = self.live(actor, run_id), self.results(actor, run_id)
        done = {one["name"]: one for one in events if one["kind"] == "candidate"}
        rows = found["board"] if found else sorted(done.values(), key=lambda row: -row["score"])
        metric = next(
            (str(one["metric"]) for one in events if one["kind"] == "start"), found["metric"] if found else ""
        )
        first = next((one["name"] for one in events if one["kind"] == "usable"), "")
        whole = next((one for one in found["metrics"] if one["chosen"]), None) if found else None
        made = []
        for row in rows:
            ends = [shown(metric, row.get(end)) for end in ("low", "high")]
            if row["family"] == "ensemble" and whole:
                ends = [whole["low"], whole["high"]]
            low, high = sorted(ends, key=lambda end: (end is None, end))
            made.append(
                {
                    **{name: row[name] for name in ("name", "family", "params", "score", "took_s")},
                    "value": shown(metric, row["score"]),
                    "low": low,
                    "high": high,
                    "at_s": found["took_s"]
                    if found and row["family"] == "ensemble"
                    else done.get(row["name"], {}).get("at_s"),
                    "usable": row["name"] == first,
                    "weight": row.get("weight"),
                }
            )
        return made

    def used_s(self, actor: Actor, run_id: str) -> float:
        """How much of the budget is used."""
        events, found = self.live(actor, run_id), self.results(actor, run_id)
        return float(found["took_s"]) if found else max((float(one.get("at_s", 0.0)) for one in events), default=0.0)

    def results(self, actor: Actor, run_id: str) -> dict[str, Any] | None:
        """As `lib.training.results.of` made them, with `importance`; None while there are none."""
        actor.require(Permission.TABLES)
        self._held(run_id)
        return self._json(run_id, RESULTS)

    def view(self, actor: Actor, run_id: str, what: str, column: str = "") -> Any:
        """A view that `explain` made, or None."""
        actor.require(Permission.TABLES)
        self._held(run_id)
        if what not in VIEWS:
            raise Invalid(f"There is no view {what[:40]!r}; there are {', '.join(VIEWS)}.")
        return self._json(run_id, view_file(what, column))

    def viewing(self, actor: Actor, run_id: str, what: str, column: str = "") -> Task | None:
        """The newest task that makes or made a view, whatever became of it."""
        actor.require(Permission.TABLES)
        wanted = {"run": run_id, "what": what, "column": column}
        newest = select(Task).where(Task.kind == VIEW_KIND).order_by(col(Task.id).desc()).limit(MOST_RUNS)
        with self.runner.database.session() as session:
            return next((task for task in session.exec(newest) if task.params == wanted), None)

    def made_of(self, dataset_id: int) -> Made:
        """Runs that learnt from a dataset: what somebody about to delete it wants to know."""
        found = [self._held_or_none(home.name) for home in self._homes()]
        names = [str(one["name"]) for one in found if one and one["table"]["dataset_id"] == dataset_id]
        return [Dependant("training", name, "pages/learn/training.py") for name in names[:MOST_RUNS]]

    def card(self, actor: Actor, run_id: str) -> str:
        """The model card, Markdown. Raises ArtefactRefused while there is no model."""
        actor.require(Permission.TABLES)
        self._held(run_id)
        require_bundle(self.folder / run_id)
        return (self.folder / run_id / CARD).read_text()

    def bundle(self, actor: Actor, run_id: str) -> Path:
        """The folder of the trained model, for the registry. Raises ArtefactRefused while there is none."""
        actor.require(Permission.TABLES)
        self._held(run_id)
        return require_bundle(self.folder / run_id)

    def reference(self, actor: Actor, run_id: str) -> dict[str, Any]:
        """What the run learnt from, as `lib.drift.reference.of_frame` has it; empty where none was kept."""
        actor.require(Permission.TABLES)
        self._held(run_id)
        return dict(self._json(run_id, REFERENCE) or {})

    def note_registered(self, run_id: str, name: str, version: int) -> None:
        """Remember which version of which model a run became; for who registered it."""
        held = self._held(run_id)
        self._write({**held, "registered": [*held.get("registered", ()), [name, version]]})

    def script(self, actor: Actor, run_id: str) -> str:
        """A Python file that fits the run's pipeline again (`lib.training.script`)."""
        from lib.registry.bundles import load_bundle
        from lib.training.script import script

        model = load_bundle(self.bundle(actor, run_id))
        return script(model.plan, model)

    def compare(self, actor: Actor, run_ids: Sequence[str]) -> dict[str, Any]:
        """Results of finished runs side by side (`lib.training.results.compare`)."""
        from lib.training.results import compare

        if not 2 <= len(run_ids) <= MOST_COMPARED:
            raise Invalid(f"Choose 2 to {MOST_COMPARED} runs to compare, not {len(run_ids)}.")
        found = {}
        for run_id in run_ids:
            result = self.results(actor, run_id)
            if result is None:
                raise Conflict(f"The run {run_id} has no results yet.")
            found[run_id] = result
        return {**compare(found), "names": {run_id: self._held(run_id)["name"] for run_id in run_ids}}

    def remove(self, actor: Actor, run_id: str) -> None:
        """Delete a run that is not under way, with its model; versions in the registry are copies and stay."""
        actor.require(Permission.RUN_TASKS)
        held = self._held(run_id)
        if self._run(held).status in ACTIVE:
            raise Conflict(f"{held['name']} is under way; cancel it first.")
        if held["by"] != actor.name:
            actor.require(Permission.MANAGE_TASKS)
        shutil.rmtree(self.folder / run_id, ignore_errors=True)
        self.audit.record(actor, "training.remove", held["name"], run=run_id)

    # --- inside -----------------------------------------------------------------------------------

    def _queue(self, actor: Actor, held: dict[str, Any]) -> None:
        # Written before it is queued, for the task may begin at once.
        self._write(held)
        title = f"Train {held['name']}"
        task = self.runner.submit(KIND, {"run": held["id"]}, by=actor.name, title=title, key=f"training {held['id']}")
        held["task"] = task.id
        self._write(held)

    def _write(self, held: Mapping[str, Any]) -> None:
        path = self.folder / held["id"] / _RUN
        part = path.with_suffix(".part")
        part.write_text(json.dumps(held))
        part.replace(path)

    def _prepare(self, params: dict[str, Any], _workdir: Path) -> dict[str, Any]:
        held = self._held(params["run"])
        table = Path(held["table"]["path"])
        if not table.is_file():
            raise NotFound(f"The table {held['table']['name']!r} is gone; choose another one.")
        home = str(self.folder / held["id"])
        facts = {
            "Table": held["table"]["name"],
            "Data (SHA-256)": held["table"]["hash"] or "not known",
            "Trained": f"{held['at'][:16].replace('T', ' ')} UTC by {held['by']}",
            "Code": code_version(),
        }
        about = {"plan": held["plan"], "name": held["name"], "facts": facts}
        return {**params, "folder": home, "table": str(table), **about}

    def _finish(self, params: dict[str, Any], result: dict[str, Any], _workdir: Path) -> dict[str, Any]:
        run = self._run(self._held(params["run"]))
        for told in self.on_trained:
            try:
                told(run)
            except AppError as error:  # the model is there; whoever wanted more of it can do it by hand
                logger.warning("nothing made of a training", extra={"run": run.id, "reason": error.message})
        return result

    def _homes(self) -> Paths:
        return [*self.folder.iterdir()] if self.folder.is_dir() else []

    def _held_or_none(self, run_id: str) -> dict[str, Any] | None:
        try:
            return self._held(run_id)
        except NotFound:
            return None

    def _held(self, run_id: str) -> dict[str, Any]:
        if not _ID.fullmatch(run_id):
            raise NotFound(f"{run_id[:40]!r} names no training.")
        found = self._json(run_id, _RUN)
        if found is None:
            raise NotFound(f"There is no training {run_id}; it may have been removed.")
        return dict(found)

    def _json(self, run_id: str, name: str) -> Any:
        try:
            return json.loads((self.folder / run_id / name).read_text())
        except FileNotFoundError:
            return None

    def _run(self, held: Mapping[str, Any]) -> Run:
        try:
            task: Task | None = self.runner.get(int(held["task"]))
        except NotFound:
            task = None
        done = (self.folder / held["id"] / RESULTS).is_file()
        status = str(task.status) if task else str(TaskStatus.SUCCEEDED if done else TaskStatus.INTERRUPTED)
        result = task.result if task and task.result else {}
        return Run(
            id=held["id"],
            name=held["name"],
            table=held["table"]["name"],
            data_hash=held["table"]["hash"],
            plan=Plan.from_json(held["plan"]),
            by=held["by"],
            at=datetime.fromisoformat(held["at"]),
            task_id=int(held["task"]),
            status=status,
            score=result.get("score"),
            metric=str(result.get("metric", "")),
            error=task.error if task else "",
            dataset_id=held["table"]["dataset_id"],
            registered=tuple((str(name), int(version)) for name, version in held.get("registered", ())),
            register_as=str(held.get("register_as", "")),
        )


def _columns(path: Path) -> list[str]:
    from pyarrow import parquet

    try:
        return [str(name) for name in parquet.read_schema(path).names]
    except (OSError, ValueError) as error:
        raise Invalid(f"{path.name} is no readable Parquet file: {error}.") from error
