"""Pipelines: what to learn from a dataset and how, in versions, judged before they are trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sqlmodel import Session, col, func, select

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.datasets.schema import DatasetVersion
from lib.db.database import Database
from lib.db.learning_tables import Pipeline, PipelineRevision, PipelineRun
from lib.errors import Conflict, Forbidden, Invalid, NotFound
from lib.services.datasets import Datasets, Dependant
from lib.services.datasets_versions import SHORT, by_hash
from lib.services.jobs import person
from lib.services.pipelines_facts import TableFacts, first_plan, suggested_target
from lib.services.training import Run, Table, Training
from lib.tasks.job import storable
from lib.training import plan as plans
from lib.training.editing import Difference, differences
from lib.training.plan import Plan, Step
from lib.training.review import Facts, Finding, Review, review
from lib.training.schema import Role

MOST_NAME, MOST_PIPELINES, MOST_VERSIONS = 120, 1_000, 500
PAGE = "pages/learn/pipelines.py"
Revisions = list["Revision"]
Dependants = list[Dependant]
Runs = list[Run]
Plans = dict[str, Plan]
Differences = list[Difference]


@dataclass(frozen=True)
class Revision:
    """A version as lists show it. dataset, dataset_hash: what it is for; steps, target: of its plan."""

    hash: str
    number: int
    dataset_id: int
    dataset: str
    dataset_hash: str
    target: str
    steps: int
    by: str
    at: datetime


@dataclass(frozen=True)
class Listed:
    """A pipeline with its newest facts; head: the version that is meant when none is named."""

    id: int
    name: str
    by: str
    at: datetime
    versions: int
    head: Revision


@dataclass(frozen=True)
class Opened:
    """A version to work with."""

    id: int
    name: str
    version: Revision
    plan: Plan


class Reasoned(Protocol):
    """confidence: share of the reference tables like this one on which it helped; tables: how many those are."""

    @property
    def reason(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def tables(self) -> int: ...


class SuggestedStep(Reasoned, Protocol):
    """A step somebody may accept."""

    @property
    def step(self) -> Step: ...


class SuggestedModel(Reasoned, Protocol):
    """A family of models somebody may take."""

    @property
    def family(self) -> str: ...


class Suggested(Protocol):
    """A whole plan for a table, and why each step of it."""

    @property
    def plan(self) -> Plan: ...
    @property
    def steps(self) -> Sequence[SuggestedStep]: ...
    @property
    def models(self) -> Sequence[SuggestedModel]: ...


class Suggests(Protocol):
    """Whoever suggests steps and models for a dataset."""

    def of(self, actor: Actor, dataset_id: int, version: str | None, target: str) -> Suggested: ...


class Pipelines:
    """Everybody who may see datasets looks; analysts make, change and train. A version never changes."""

    def __init__(
        self,
        database: Database,
        datasets: Datasets,
        training: Training,
        audit: Audit,
        clock: Callable[[], datetime],
        suggestions: Suggests | None = None,
    ) -> None:
        self.database, self.datasets, self.training = database, datasets, training
        self.audit, self.clock, self.suggestions = audit, clock, suggestions
        self.facts = TableFacts()
        datasets.dependants.append(self._made_of)

    # --- looking ----------------------------------------------------------------------------------

    def list(self, actor: Actor) -> list[Listed]:
        """Every pipeline, the newest first."""
        actor.require(Permission.DATASETS)
        heads = (PipelineRevision.pipeline_id == Pipeline.id) & (PipelineRevision.hash == Pipeline.head)
        with self.database.session() as session:
            pairs = session.exec(
                select(Pipeline, PipelineRevision)
                .join(PipelineRevision, heads)  # type: ignore[arg-type]
                .order_by(col(Pipeline.id).desc())
            ).all()
            counts = dict(
                session.exec(
                    select(PipelineRevision.pipeline_id, func.count()).group_by(col(PipelineRevision.pipeline_id))
                ).all()
            )
        return [_listed(one, row, counts.get(row.pipeline_id, 1)) for one, row in pairs]

    def get(self, actor: Actor, pipeline_id: int) -> tuple[Listed, Revisions]:
        """One pipeline and its versions, the newest first. Raises NotFound."""
        actor.require(Permission.DATASETS)
        with self.database.session() as session:
            held = _pipeline_of(session, pipeline_id)
            rows = session.exec(
                select(PipelineRevision)
                .where(PipelineRevision.pipeline_id == pipeline_id)
                .order_by(col(PipelineRevision.number).desc())
            ).all()
        head = next((row for row in rows if row.hash == held.head), rows[0])
        return _listed(held, head, len(rows)), [_shown(row) for row in rows]

    def open(self, actor: Actor, pipeline_id: int, version: str | None = None) -> Opened:
        """A version's plan. version: a hash or its first characters; None: the newest. Raises NotFound."""
        actor.require(Permission.DATASETS)
        with self.database.session() as session:
            held = _pipeline_of(session, pipeline_id)
            row = _revision_of(session, held, version)
        return Opened(pipeline_id, held.name, _shown(row), Plan.from_json(row.plan))

    def compare(self, actor: Actor, pipeline_id: int, before: str, after: str) -> Differences:
        """What differs between two versions."""
        return differences(self.open(actor, pipeline_id, before).plan, self.open(actor, pipeline_id, after).plan)

    def script(self, actor: Actor, pipeline_id: int, version: str | None = None) -> str:
        """A Python file that fits and scores the pipeline by itself. Raises Invalid for one that could not run."""
        opened = self.open(actor, pipeline_id, version)
        return self.script_of(actor, opened.plan, opened.version.dataset_id, opened.version.dataset_hash)

    def script_of(self, actor: Actor, plan: Plan, dataset_id: int, version: str | None = None) -> str:
        """The same of a plan that is not saved."""
        from lib.training.script import script

        found = self.check(actor, plan, dataset_id, version)
        _require_ready(found)
        assert found.facts is not None
        return script(replace(plan, task=plan.task or found.facts.task))

    # --- judging ----------------------------------------------------------------------------------

    def check(self, actor: Actor, plan: Plan, dataset_id: int, version: str | None = None) -> Review:
        """What is wrong with a plan for a version of a dataset, and what mends it."""
        actor.require(Permission.DATASETS)
        try:
            opened = self.datasets.open(actor, dataset_id, version)
        except NotFound as error:
            gone = Finding(error.message, "Bring the data again, or begin a pipeline on another dataset.")
            return Review((gone,))
        return review(plan, self._facts(opened, plan))

    def known(self, actor: Actor, dataset_id: int, version: str | None, target: str = "") -> Facts:
        """What is known of a dataset's columns. Raises NotFound."""
        return self.facts.of(self.datasets.open(actor, dataset_id, version), target)

    def newer(self, actor: Actor, dataset_id: int, version: str) -> str | None:
        """The hash of the dataset's newest version when this is another one; None too when the dataset is gone."""
        try:
            head = self.datasets.open(actor, dataset_id).hash
        except NotFound:
            return None
        return head if head != version else None

    # --- beginning --------------------------------------------------------------------------------

    def templates(
        self, actor: Actor, dataset_id: int, version: str | None = None, target: str | None = None
    ) -> dict[str, Plan]:
        """Ready plans for a dataset by what one wants of them. target: None for the one the dataset names.

        Raises Invalid for a target the dataset has not, NotFound.
        """
        opened = self.datasets.open(actor, dataset_id, version)
        wanted = suggested_target(opened.schema) if target is None else target
        if wanted and wanted not in {one.name for one in opened.schema}:
            raise Invalid(f"{opened.name!r} has no column {wanted[:80]!r} to predict.")
        guesses = self.facts.of(opened, wanted).guesses
        return plans.templates(first_plan(opened, wanted, guesses))

    def rebased(self, actor: Actor, plan: Plan, dataset_id: int, version: str | None = None) -> Plan:
        """A plan with roles for the columns a version of a dataset has beside those it knows; it keeps what it says of
        columns that are gone, for a person to see."""
        opened = self.datasets.open(actor, dataset_id, version)
        fresh = first_plan(opened, plan.target, self.facts.of(opened, plan.target).guesses).roles
        return replace(plan, roles={**plan.roles, **{n: r for n, r in fresh.items() if n not in plan.roles}})

    def plans_for(self, actor: Actor, opened: DatasetVersion) -> Plans:
        """Newest versions of the pipelines made for a dataset, by name: what else can be trained on it."""
        return {
            one.name: self.open(actor, one.id).plan
            for one in self.list(actor)
            if one.head.dataset_id == opened.dataset_id
        }

    def suggested(self, actor: Actor, dataset_id: int, version: str | None, target: str) -> Suggested | None:
        """Steps and models suggested for a dataset, each with its reason; None where nobody suggests any. May take a
        minute the first time."""
        actor.require(Permission.DATASETS)
        if self.suggestions is None or not target:
            return None
        return self.suggestions.of(actor, dataset_id, version, target)

    def free_name(self, actor: Actor, wanted: str) -> str:
        """A name no pipeline has yet: this one, or this one with a number."""
        taken = {one.name for one in self.list(actor)}
        name = _name(wanted[: MOST_NAME - 6])
        numbered = (f"{name} {number}" for number in range(2, len(taken) + 3))
        return name if name not in taken else next(one for one in numbered if one not in taken)

    # --- changing ---------------------------------------------------------------------------------

    def save(
        self,
        actor: Actor,
        plan: Plan,
        dataset_id: int,
        version: str | None = None,
        *,
        name: str = "",
        into: int | None = None,
        base: str | None = None,
    ) -> Opened:
        """Keep a plan as a new pipeline, or as the newest version of `into`; it need not be without faults. The same
        content as a version before is that version again. base: the version it was made from.

        Raises Conflict when somebody else changed the pipeline since `base`, or has the name; Invalid, NotFound.
        """
        actor.require(Permission.MAKE_PIPELINES)
        # Read again as if it came from outside: what is stored can be opened.
        plan = Plan.from_json(plan.to_json())
        data = self._data(actor, dataset_id, version, into)
        made = _hash(plan, dataset_id, data[1])
        with self.database.exclusive("pipelines") as session:
            held = self._home(session, actor, name, into)
            if base is not None and held.head not in (base, made):
                by = _revision_of(session, held, None).created_by
                raise Conflict(
                    f"{by} saved another version of {held.name!r} meanwhile. Save yours as a new pipeline, or open "
                    "theirs and compare."
                )
            known = select(PipelineRevision).where(PipelineRevision.pipeline_id == held.id)
            row = session.exec(known.where(PipelineRevision.hash == made)).first()
            if row is None:
                last = session.exec(known.order_by(col(PipelineRevision.number).desc())).first()
                if last and last.number >= MOST_VERSIONS:
                    raise Conflict(f"{held.name!r} has {MOST_VERSIONS} versions; save this one as a new pipeline.")
                row = PipelineRevision(
                    pipeline_id=held.id or 0,
                    number=last.number + 1 if last else 1,
                    hash=made,
                    dataset_id=dataset_id,
                    dataset_hash=data[1],
                    dataset_name=data[0],
                    plan=plan.to_json(),
                    created_by=actor.name,
                    created_at=self.clock(),
                )
                session.add(row)
            held.head = made
            session.add(held)
            session.flush()
            kept = Opened(held.id or 0, held.name, _shown(row), plan)
        self.audit.record(actor, "pipeline.save", f"pipeline {kept.id} {kept.name}", version=made[:SHORT])
        return kept

    def train(self, actor: Actor, pipeline_id: int, version: str | None = None, name: str = "") -> Run:
        """Start a training of a version on its dataset. Raises Invalid with all that keeps it from running."""
        actor.require(Permission.RUN_TASKS)
        opened = self.open(actor, pipeline_id, version)
        held = opened.version
        _require_ready(self.check(actor, opened.plan, held.dataset_id, held.dataset_hash))
        data = self.datasets.open(actor, held.dataset_id, held.dataset_hash)
        table = Table(data.path, data.name, data.hash, data.dataset_id)
        run = self.training.start(actor, opened.plan, table, name or opened.name)
        row = PipelineRun(
            pipeline_id=pipeline_id, hash=held.hash, run_id=run.id, created_by=actor.name, created_at=self.clock()
        )
        with self.database.session() as session:
            session.add(row)
        self.audit.record(actor, "pipeline.train", f"pipeline {pipeline_id} {opened.name}", run=run.id)
        return run

    def runs(self, actor: Actor, pipeline_id: int) -> Runs:
        """Trainings started from a pipeline that are still there, the newest first."""
        actor.require(Permission.DATASETS)
        wanted = select(PipelineRun.run_id).where(PipelineRun.pipeline_id == pipeline_id)
        with self.database.session() as session:
            _pipeline_of(session, pipeline_id)
            ids = session.exec(wanted.order_by(col(PipelineRun.id).desc())).all()
        found = []
        for run_id in ids:
            try:
                found.append(self.training.get(actor, run_id))
            except NotFound:
                continue
        return found

    def depending(self, actor: Actor, pipeline_id: int) -> Dependants:
        """What was made from it, for the person about to delete it."""
        return [Dependant("training", run.name, "pages/learn/training.py") for run in self.runs(actor, pipeline_id)]

    def delete(self, actor: Actor, pipeline_id: int, anyway: bool = False) -> None:
        """Remove a pipeline with its versions; trainings made from it stay. Raises Conflict, naming them, unless
        `anyway`; Forbidden for somebody else's pipeline; NotFound."""
        actor.require(Permission.MAKE_PIPELINES)
        with self.database.session() as session:
            held = _pipeline_of(session, pipeline_id)
            name, owner = held.name, held.created_by
        target = f"pipeline {pipeline_id} {name}"
        if person(owner) != person(actor.name) and not actor.may(Permission.MANAGE_TASKS):
            self.audit.record(actor, "pipeline.delete", target, outcome="refused")
            raise Forbidden(f"{name!r} belongs to {owner}; they or an operator may delete it.")
        depending = self.depending(actor, pipeline_id)
        if depending and not anyway:
            shown = ", ".join(f"{one.kind} {one.name}" for one in depending[:5])
            raise Conflict(f"{len(depending)} things were made from {name!r}: {shown}. Delete it anyway, or keep it.")
        with self.database.exclusive("pipelines") as session:
            found = session.get(Pipeline, pipeline_id)
            if found is not None:
                session.delete(found)
        self.audit.record(actor, "pipeline.delete", target)

    # --- inside -----------------------------------------------------------------------------------

    def _facts(self, opened: DatasetVersion, plan: Plan) -> Facts:
        return self.facts.of(opened, plan.target, plan.of(Role.TIME))

    def _data(self, actor: Actor, dataset_id: int, version: str | None, into: int | None) -> tuple[str, str]:
        """Name and hash of the version a pipeline is for. One that was deleted can be kept, not begun with."""
        try:
            opened = self.datasets.open(actor, dataset_id, version)
            return opened.name, opened.hash
        except NotFound:
            if into is None:
                raise
            for row in self.get(actor, into)[1]:
                if row.dataset_id == dataset_id and row.dataset_hash == version:
                    return row.dataset, row.dataset_hash
            raise

    def _home(self, session: Session, actor: Actor, name: str, into: int | None) -> Pipeline:
        """The pipeline a version goes into, under the name that is asked for."""
        title = _name(name) if name or into is None else ""
        held = _pipeline_of(session, into) if into is not None else None
        taken = session.exec(select(Pipeline).where(Pipeline.name == title)).first() if title else None
        if taken is not None and (held is None or taken.id != held.id):
            raise Conflict(f"There is a pipeline called {title!r} already; choose another name.")
        if held is None:
            if session.exec(select(func.count()).select_from(Pipeline)).one() >= MOST_PIPELINES:
                raise Conflict(f"There are {MOST_PIPELINES} pipelines; delete one that is no longer needed.")
            held = Pipeline(name=title, created_by=actor.name, created_at=self.clock())
            session.add(held)
            session.flush()
        elif title:
            held.name = title
        return held

    def _made_of(self, dataset_id: int) -> Dependants:
        """Pipelines any version of which is for a dataset."""
        wanted = (
            select(Pipeline.name)
            .join(PipelineRevision, col(PipelineRevision.pipeline_id) == Pipeline.id)
            .where(PipelineRevision.dataset_id == dataset_id)
        )
        with self.database.session() as session:
            return [Dependant("pipeline", name, PAGE) for name in sorted(set(session.exec(wanted).all()))]


def _require_ready(found: Review) -> None:
    fatal = [f"{one.message} {one.remedy}" for one in found.findings if one.fatal]
    if fatal:
        more = f" And {len(fatal) - 5} more." if len(fatal) > 5 else ""
        raise Invalid(" ".join(fatal[:5]) + more, problems=fatal)


def _hash(plan: Plan, dataset_id: int, dataset_hash: str) -> str:
    said = json.dumps([plan.to_json(), dataset_id, dataset_hash], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()


def _name(text: str) -> str:
    """Without what cannot be seen: two names that look alike are one."""
    name = " ".join("".join(c if c.isprintable() else " " for c in storable(text, 1_000)).split())
    if not name or len(name) > MOST_NAME:
        raise Invalid(f"Give the pipeline a name of 1 to {MOST_NAME} characters.")
    return name


def _pipeline_of(session: Session, pipeline_id: int) -> Pipeline:
    found = session.get(Pipeline, pipeline_id) if 0 < pipeline_id < 2**31 else None
    if found is None:
        raise NotFound(f"There is no pipeline {pipeline_id}; it may have been deleted.")
    return found


def _revision_of(session: Session, held: Pipeline, version: str | None) -> PipelineRevision:
    mine = select(PipelineRevision).where(PipelineRevision.pipeline_id == held.id)
    return by_hash(session, mine, col(PipelineRevision.hash), version or held.head, held.name)


def _shown(row: PipelineRevision) -> Revision:
    return Revision(
        hash=row.hash,
        number=row.number,
        dataset_id=row.dataset_id,
        dataset=row.dataset_name,
        dataset_hash=row.dataset_hash,
        target=str(row.plan.get("target", "")),
        steps=len(row.plan.get("steps") or ()),
        by=row.created_by,
        at=row.created_at,
    )


def _listed(held: Pipeline, head: PipelineRevision, versions: int) -> Listed:
    return Listed(held.id or 0, held.name, held.created_by, held.created_at, versions, _shown(head))
