"""Commands from chat: nothing is done before its own person approves exactly that, once, in time."""

from __future__ import annotations

import pytest

from lib.app import App
from lib.audit.log import Filter
from lib.auth.actor import GUEST, Actor, ActorKind, Role
from lib.chat.events import Evidence, Text
from lib.db.tables import Proposal, ProposalStatus
from lib.errors import Conflict, Forbidden, Invalid, NotFound
from lib.services.assistant_commands import VALID, digest
from tests.conftest import FakeClock
from tests.conftest import signed_in as session_of
from tests.evals.world import World, build_world


@pytest.fixture
def world(app: App) -> World:
    return build_world(app)


def signed_in(app: App, role: Role) -> Actor:
    actor = app.administration.actor_of(session_of(app, role))
    assert actor is not None
    return actor


def proposed(world: World, actor: Actor, question: str = "") -> Evidence:
    asked = question or f"label anomaly {world.anomalies[1].id} as real"
    events = list(world.app.assistant.answer(actor, asked))
    return next(event for event in events if isinstance(event, Evidence))


def approve(world: World, actor: Actor, card: Evidence) -> Proposal:
    return world.app.assistant.approve(actor, card.links["proposal"], card.links["digest"])


def labels(world: World) -> int:
    return len(world.app.detection.labels.of())


def test_asking_changes_nothing_and_is_audited(world: World) -> None:
    actor = signed_in(world.app, Role.ANALYST)
    card = proposed(world, actor)
    assert labels(world) == 0 and card.tool == "command"
    (entry,) = world.app.audit.entries(Filter(action="command.propose"))
    assert entry.actor == actor.name


def test_approved_command_is_done_once(world: World) -> None:
    actor = signed_in(world.app, Role.ANALYST)
    card = proposed(world, actor)
    done = approve(world, actor, card)
    assert done.status == ProposalStatus.DONE and labels(world) == 1
    with pytest.raises(Conflict):
        approve(world, actor, card)
    assert labels(world) == 1
    assert world.app.audit.entries(Filter(action="command.approve"))[0].outcome == "ok"


def test_command_expires(world: World, clock: FakeClock) -> None:
    actor = signed_in(world.app, Role.ANALYST)
    card = proposed(world, actor)
    clock.advance(seconds=VALID.total_seconds())
    with pytest.raises(Conflict, match="expired"):
        approve(world, actor, card)
    (row,) = world.app.assistant.proposals(actor, [card.links["proposal"]])
    assert row.status == ProposalStatus.EXPIRED and labels(world) == 0


def test_nobody_else_can_approve_it(world: World) -> None:
    actor, other = signed_in(world.app, Role.ANALYST), signed_in(world.app, Role.ADMIN)
    card = proposed(world, actor)
    key = Actor("key", Role.ADMIN, ActorKind.KEY, actor.id)
    for stranger in (other, GUEST, key):
        with pytest.raises(NotFound):
            approve(world, stranger, card)
    assert labels(world) == 0 and world.app.assistant.proposals(other, [card.links["proposal"]]) == []


def test_rights_are_checked_again_when_it_is_approved(world: World) -> None:
    actor = signed_in(world.app, Role.ANALYST)
    card = proposed(world, actor)
    demoted = Actor(actor.name, Role.VIEWER, actor.kind, actor.id)
    with pytest.raises(Forbidden):
        approve(world, demoted, card)
    assert labels(world) == 0


def test_arguments_changed_after_they_were_shown_are_not_done(world: World) -> None:
    actor = signed_in(world.app, Role.ANALYST)
    card = proposed(world, actor)
    for also_digest in (False, True):
        with world.app.database.session() as session:
            row = session.get(Proposal, card.links["proposal"])
            assert row is not None
            row.arguments = {**row.arguments, "verdict": "false"}
            if also_digest:
                row.digest = digest(row.action, row.arguments, row.user_id)
            session.add(row)
        with pytest.raises(Invalid):
            approve(world, actor, card)
    assert labels(world) == 0


def test_rejected_command_cannot_be_approved(world: World) -> None:
    actor = signed_in(world.app, Role.ANALYST)
    card = proposed(world, actor)
    world.app.assistant.reject(actor, card.links["proposal"])
    with pytest.raises(Conflict):
        approve(world, actor, card)
    assert labels(world) == 0


def test_command_that_fails_says_why_and_is_not_tried_again(world: World) -> None:
    actor = signed_in(world.app, Role.ANALYST)
    card = proposed(world, actor)
    world.app.detection.findings.delete_detector(1)
    failed = approve(world, actor, card)
    assert failed.status == ProposalStatus.FAILED and "no anomaly" in failed.outcome
    with pytest.raises(Conflict):
        approve(world, actor, card)


@pytest.mark.parametrize("question", ["collect now", "train a detector for web-01", "make a forecast of node_load1"])
def test_who_may_not_is_refused_when_asking(world: World, question: str) -> None:
    for actor in (signed_in(world.app, Role.VIEWER), GUEST, Actor("key", Role.ADMIN, ActorKind.KEY, 1)):
        events = list(world.app.assistant.answer(actor, question))
        assert not [event for event in events if isinstance(event, Evidence)]
        assert [event for event in events if isinstance(event, Text)]


def test_training_and_forecasts_become_tasks_of_the_person(world: World) -> None:
    actor = signed_in(world.app, Role.OPERATOR)
    for question in ("train a detector for web-01", "make a forecast of node_load1 on web-01 for the next 2 days"):
        approve(world, actor, proposed(world, actor, question))
    tasks = world.app.jobs.list(actor)
    assert len(tasks) == 2 and "forecast" in {task.kind for task in tasks}
    assert {task.created_by for task in tasks} == {actor.name}


def test_command_cannot_be_run_again_from_its_card(world: World) -> None:
    actor = signed_in(world.app, Role.ANALYST)
    with pytest.raises(Invalid):
        world.app.assistant.again(actor, proposed(world, actor))
