from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import select

from lib.app import App
from lib.audit.log import Filter
from lib.auth.actor import GUEST, SYSTEM, Actor, ActorKind, Role
from lib.db.tables import User, View
from lib.errors import Conflict, Forbidden, Invalid, NotFound
from lib.services.views import MOST_VIEWS, Views

CHOICES = {"metric": "up", "host": None, "with": ["node_load1"], "q": 0.95, "range": "6h"}


@pytest.fixture
def views(app: App) -> Views:
    return app.views


@pytest.fixture
def person(app: App) -> Callable[..., Actor]:
    def made(name: str, role: Role = Role.VIEWER) -> Actor:
        with app.database.session() as session:
            user = User(username=name, password_hash="", role=role.name.lower())
            session.add(user)
            session.flush()
            return Actor(name, role, id=user.id)

    return made


def test_a_view_comes_back_as_it_was_saved(views: Views, person: Callable) -> None:
    vera = person("vera")
    saved = views.save(vera, "  Evening \n load ", CHOICES, " When people\ncome home ")
    assert views.get(vera, saved.id) == saved
    assert (saved.name, saved.description, saved.owner) == ("Evening load", "When people\ncome home", "vera")
    assert saved.choices == CHOICES
    assert saved.mine and saved.changeable and not saved.shared


def test_own_come_first_and_others_only_when_shared(views: Views, person: Callable) -> None:
    vera, otto, root = person("vera"), person("otto", Role.OPERATOR), person("root", Role.ADMIN)
    views.save(otto, "a private", CHOICES)
    views.save(otto, "b shared", CHOICES, shared=True)
    views.save(vera, "z mine", CHOICES)
    assert [one.name for one in views.all(vera)] == ["z mine", "b shared"]
    for other in (root, GUEST, SYSTEM, Actor("k", Role.ADMIN, ActorKind.KEY, otto.id)):
        assert [one.name for one in views.all(other)] == ["b shared"]


def test_only_the_owner_and_administrators_change_a_shared_view(views: Views, person: Callable) -> None:
    vera, otto, root = person("vera"), person("otto", Role.OPERATOR), person("root", Role.ADMIN)
    saved = views.save(vera, "Web", CHOICES, shared=True)
    for act in (
        lambda: views.change(otto, saved.id, name="Mine now"),
        lambda: views.remove(otto, saved.id),
        lambda: views.change(GUEST, saved.id, shared=False),
        lambda: views.remove(Actor("vera/k", Role.VIEWER, ActorKind.KEY, vera.id), saved.id),
    ):
        with pytest.raises(Forbidden):
            act()
    assert views.change(root, saved.id, name="Web, kept").owner == "vera"
    views.remove(root, saved.id)
    assert views.all(vera) == []


def test_private_views_of_others_are_not_there_for_anybody(views: Views, person: Callable) -> None:
    saved = views.save(person("vera"), "Web", CHOICES)
    for other in (person("root", Role.ADMIN), GUEST):
        with pytest.raises(NotFound):
            views.get(other, saved.id)
    with pytest.raises(NotFound):
        views.remove(person("ada", Role.ADMIN), saved.id)


def test_guests_keys_and_the_system_keep_no_views(views: Views, person: Callable) -> None:
    for actor in (GUEST, SYSTEM, Actor("vera/k", Role.ADMIN, ActorKind.KEY, person("vera").id)):
        with pytest.raises(Forbidden):
            views.save(actor, "Web", CHOICES)


def test_a_name_is_taken_once_for_each_person(views: Views, person: Callable) -> None:
    vera, otto = person("vera"), person("otto")
    views.save(vera, "Web", CHOICES)
    views.save(otto, "Web", CHOICES)
    other = views.save(vera, "Other", CHOICES)
    with pytest.raises(Conflict):
        views.save(vera, " Web ", CHOICES)
    with pytest.raises(Conflict):
        views.change(vera, other.id, name="Web")
    assert views.get(vera, other.id).name == "Other"


@pytest.mark.parametrize("name", ["", " \n", "x" * 81, "\u200b\u202e", "\ud800"])
def test_names_nobody_could_read_are_refused(views: Views, person: Callable, name: str) -> None:
    with pytest.raises(Invalid):
        views.save(person("vera"), name, CHOICES)


@pytest.mark.parametrize(
    "choices",
    [{"a": {"b": 1}}, {"a": [1]}, {"a" * 33: 1}, {"q": float("nan")}, {"label": ["x" * 100] * 200}, {"a": object()}],
)
def test_what_no_page_chooses_is_refused(views: Views, person: Callable, choices: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        views.save(person("vera"), "Web", choices)


def test_hostile_text_is_kept_as_it_is_without_nul(views: Views, person: Callable) -> None:
    vera = person("vera")
    saved = views.save(vera, "=1+1 <b>", {"promql": 'up{a="\\u0000"}\0', "label": ["\0x=\ud800"]}, "\0<script>")
    assert views.get(vera, saved.id).choices == {"promql": 'up{a="\\u0000"}', "label": ["x=?"]}
    assert (saved.name, saved.description) == ("=1+1 <b>", "<script>")


def test_views_have_an_end(views: Views, app: App, person: Callable) -> None:
    vera = person("vera")
    with app.database.session() as session:
        session.add_all(View(owner_id=vera.id, name=str(number)) for number in range(MOST_VIEWS))
    with pytest.raises(Conflict, match="delete one"):
        views.save(vera, "One more", CHOICES)


def test_changes_are_audited_and_go_with_their_owner(views: Views, app: App, person: Callable) -> None:
    vera, root = person("vera"), person("root", Role.ADMIN)
    saved = views.save(vera, "Web", CHOICES, shared=True)
    views.change(vera, saved.id, choices={"metric": "down"})
    views.remove(vera, saved.id)
    entries = app.audit.entries(Filter(actor="vera"))
    assert [one.action for one in entries] == ["view.remove", "view.change", "view.save"]
    assert {one.target for one in entries} == {"Web"}
    views.save(vera, "Left behind", CHOICES)
    app.administration.delete_user(root, vera.id or 0)
    with app.database.session() as session:
        assert session.exec(select(View)).all() == []


@pytest.mark.parametrize("view_id", [0, -1, 2**31, 2**70])
def test_numbers_no_view_has(views: Views, view_id: int) -> None:
    with pytest.raises(NotFound):
        views.get(GUEST, view_id)
