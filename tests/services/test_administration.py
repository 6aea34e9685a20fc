"""People and what they may do, on both databases: sign-in, users, passwords, keys, settings, the trace they leave."""

from __future__ import annotations

import inspect as inspection
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from lib.audit.log import Audit, Filter
from lib.auth import passwords
from lib.auth.actor import GUEST, SYSTEM, Actor, ActorKind, Permission, Role
from lib.auth.tickets import Purpose
from lib.db.database import Database
from lib.db.tables import Source, SourceKind, User
from lib.errors import AppError, Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthenticated
from lib.services.access import Access
from lib.services.administration import Administration
from lib.services.configuration import Configuration
from lib.settings import LlmMode, Settings
from tests.conftest import FakeClock
from tests.databases import *  # noqa: F403

PASSWORD = "correct horse battery"


pytestmark = pytest.mark.usefixtures("cheap_passwords")


@pytest.fixture
def password_hash(cheap_passwords: None) -> str:
    return passwords.hashed(PASSWORD)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path, demo=False, admin_password="", admin_username="admin", public_url="http://ops:8501/"
    )


@pytest.fixture
def administration(settings: Settings, database: Database, clock: FakeClock) -> Administration:
    return Administration(settings, database, Audit(database, clock), clock)


@pytest.fixture
def person(database: Database, password_hash: str) -> Callable[..., Actor]:
    """A user with the password above."""

    def make(username: str, role: Role = Role.VIEWER, **values: object) -> Actor:
        with database.session() as session:
            row = User(username=username, role=role.name.lower(), **{"password_hash": password_hash, **values})
            session.add(row)
        return Actor(username, role, id=row.id, address="10.0.0.1")

    return make


@pytest.fixture
def root(person: Callable[..., Actor]) -> Actor:
    return person("root", Role.ADMIN)


def _trace(administration: Administration) -> list[tuple[str, str, str, str]]:
    entries = administration.audit.entries(Filter(), None)
    return [(entry.actor, entry.action, entry.target, entry.outcome) for entry in reversed(entries)]


def _ticket(link: str | None) -> str:
    return parse_qs(urlsplit(link or "").query)["ticket"][0]


# --- signing in ------------------------------------------------------------------------------------


def test_the_right_password_opens_a_session(administration: Administration, person: Callable[..., Actor]) -> None:
    person("ann", Role.ANALYST)
    token = administration.sign_in(" Ann ", PASSWORD, "10.0.0.1")
    actor = administration.actor_of(token, "10.0.0.1")
    assert (actor.name, actor.role, actor.kind, actor.address) == ("ann", Role.ANALYST, ActorKind.USER, "10.0.0.1")
    assert _trace(administration) == [("ann", "sign in", "ann", "ok")]


@pytest.mark.parametrize("who", ["wrong password", "unknown", "disabled", "no password", "hostile"])
def test_refusals_are_alike(who: str, administration: Administration, person: Callable[..., Actor]) -> None:
    person("ann")
    person("off", disabled=True)
    person("new", password_hash="")
    name = {
        "wrong password": "ann",
        "unknown": "who",
        "disabled": "off",
        "no password": "new",
        "hostile": "a\x00\ud800'",
    }
    with pytest.raises(Unauthenticated) as caught:
        administration.sign_in(name[who], PASSWORD + ("x" if who == "wrong password" else ""))
    assert caught.value.message == "That user name and password do not match. Check both and try again."


def test_a_password_typed_as_user_name_is_not_kept(administration: Administration, root: Actor) -> None:
    with pytest.raises(Unauthenticated):
        administration.sign_in("MySecretPassphrase1", "x")
    assert ("stranger", "sign in", "unknown user", "refused") in _trace(administration)
    kept = repr([row.model_dump() for row in administration.failed_sign_ins(root)])
    assert "mysecretpassphrase1" not in kept.lower()


@pytest.mark.parametrize("username", ["ann", "nobody"])
def test_guessing_is_locked_out_and_the_lockout_ends(
    username: str, administration: Administration, person: Callable[..., Actor], clock: FakeClock
) -> None:
    person("ann")
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            administration.sign_in(username, "wrong wrong", "10.0.0.1")
    with pytest.raises(TooMany, match="Try again in 5 min"):
        administration.sign_in(username, PASSWORD, "10.0.0.1")
    clock.advance(minutes=5)
    if username == "ann":
        assert administration.sign_in(username, PASSWORD, "10.0.0.1")
    else:
        with pytest.raises(Unauthenticated):
            administration.sign_in(username, PASSWORD, "10.0.0.1")


def test_every_sign_in_is_a_new_session(administration: Administration, person: Callable[..., Actor]) -> None:
    person("ann")
    assert administration.sign_in("ann", PASSWORD) != administration.sign_in("ann", PASSWORD)


def test_the_cookie_gets_a_token_of_its_own_for_the_same_session(
    administration: Administration, person: Callable[..., Actor]
) -> None:
    person("ann")
    token = administration.sign_in("ann", PASSWORD)
    ticket = administration.ticket_for(token)
    cookie = administration.enter(ticket, Purpose.COOKIE)
    assert administration.actor_of(cookie).name == "ann"
    with pytest.raises(Unauthenticated):
        administration.enter(ticket, Purpose.COOKIE)
    administration.leave(token)
    assert administration.actor_of(cookie) is None
    assert administration.ticket_for(token) is None


def test_a_ticket_of_an_ended_session_sets_no_cookie(
    administration: Administration, person: Callable[..., Actor]
) -> None:
    person("ann")
    token = administration.sign_in("ann", PASSWORD)
    ticket = administration.ticket_for(token)
    administration.leave(token)
    with pytest.raises(Unauthenticated):
        administration.enter(ticket, Purpose.COOKIE)


def test_signing_out_leaves_a_trace_once(administration: Administration, person: Callable[..., Actor]) -> None:
    person("ann")
    token = administration.sign_in("ann", PASSWORD)
    administration.leave(token)
    administration.leave(token)
    administration.leave("made up")
    assert [action for _, action, _, _ in _trace(administration)] == ["sign in", "sign out"]


# --- the first administrator -----------------------------------------------------------------------


def test_a_first_start_prints_a_link_that_works_once(administration: Administration) -> None:
    link = administration.ensure_administrator()
    assert link.startswith("http://ops:8501/auth/enter?ticket=")
    assert administration.waits_for_first_password()
    actor = administration.actor_of(administration.enter(_ticket(link), Purpose.LINK))
    assert (actor.name, actor.role) == ("admin", Role.ADMIN)
    with pytest.raises(Unauthenticated, match="used already or has expired"):
        administration.enter(_ticket(link), Purpose.LINK)


def test_each_start_prints_a_new_link_until_there_is_a_password(administration: Administration) -> None:
    first, second = administration.ensure_administrator(), administration.ensure_administrator()
    with pytest.raises(Unauthenticated):
        administration.enter(_ticket(first), Purpose.LINK)
    token = administration.enter(_ticket(second), Purpose.LINK)
    actor = administration.actor_of(token)
    assert not administration.has_password(actor)
    administration.change_password(actor, "", PASSWORD, token)
    assert administration.ensure_administrator() is None
    assert not administration.waits_for_first_password()
    assert administration.actor_of(token)
    assert administration.sign_in("admin", PASSWORD)


def test_the_link_expires(administration: Administration, clock: FakeClock) -> None:
    link = administration.ensure_administrator()
    clock.advance(hours=1)
    with pytest.raises(Unauthenticated):
        administration.enter(_ticket(link), Purpose.LINK)


def test_a_configured_password_makes_the_administrator_without_a_link(
    administration: Administration, settings: Settings
) -> None:
    settings.admin_password = type(settings.admin_password)(PASSWORD)
    settings.admin_username = "Boss"
    assert administration.ensure_administrator() is None
    assert administration.actor_of(administration.sign_in("boss", PASSWORD)).role is Role.ADMIN


def test_a_password_configured_later_does_not_overwrite_a_chosen_one(
    administration: Administration, settings: Settings, root: Actor
) -> None:
    settings.admin_password = type(settings.admin_password)("another password")
    assert administration.ensure_administrator() is None
    assert administration.sign_in("root", PASSWORD)
    with pytest.raises(Unauthenticated):
        administration.sign_in("admin", "another password")


def test_a_weak_configured_password_is_refused_without_being_shown(
    administration: Administration, settings: Settings
) -> None:
    settings.admin_password = type(settings.admin_password)("hunter2")
    with pytest.raises(Invalid, match="AUTOOPS_ADMIN_PASSWORD") as caught:
        administration.ensure_administrator()
    assert "hunter2" not in caught.value.message


# --- users -----------------------------------------------------------------------------------------


def test_a_user_made_without_a_password_chooses_one_by_link(administration: Administration, root: Actor) -> None:
    link = administration.create_user(root, "Ben", Role.OPERATOR)
    token = administration.enter(_ticket(link), Purpose.LINK)
    ben = administration.actor_of(token)
    administration.change_password(ben, "", "a new password", token)
    assert administration.actor_of(administration.sign_in("ben", "a new password")).role is Role.OPERATOR
    assert ("root", "create user", "ben", "ok") in _trace(administration)


@pytest.mark.parametrize("name", ["", "a b", "-x", "ä", "x" * 65, "<b>", "a/b", "ann\n"])
def test_a_name_that_cannot_be_one_is_refused(name: str, administration: Administration, root: Actor) -> None:
    if name.strip() == "ann":
        assert administration.create_user(root, name, Role.VIEWER)
        assert "ann" in {user.username for user in administration.users(root)}
        return
    with pytest.raises(Invalid):
        administration.create_user(root, name, Role.VIEWER)


def test_a_name_is_taken_once(administration: Administration, root: Actor, person: Callable[..., Actor]) -> None:
    person("ann")
    with pytest.raises(Conflict, match="ann"):
        administration.create_user(root, "ANN", Role.VIEWER)


def test_a_changed_role_counts_at_the_next_look(
    administration: Administration, root: Actor, person: Callable[..., Actor]
) -> None:
    ann = person("ann")
    token = administration.sign_in("ann", PASSWORD)
    administration.set_role(root, ann.id, Role.OPERATOR)
    assert administration.actor_of(token).role is Role.OPERATOR


@pytest.mark.parametrize("way", ["disable", "delete", "reset", "end"])
def test_out_at_once(way: str, administration: Administration, root: Actor, person: Callable[..., Actor]) -> None:
    ann = person("ann")
    token = administration.sign_in("ann", PASSWORD)
    cookie = administration.enter(administration.ticket_for(token), Purpose.COOKIE)
    key = administration.create_key(ann, "k", Role.VIEWER)
    match way:
        case "disable":
            administration.set_disabled(root, ann.id, True)
        case "delete":
            administration.delete_user(root, ann.id)
        case "reset":
            administration.reset_password(root, ann.id)
        case "end":
            assert administration.end_sessions(root, ann.id) == 1
    assert administration.actor_of(token) is None
    assert administration.actor_of(cookie) is None
    assert (administration.actor_of_key(key) is None) is (way in ("disable", "delete"))


def test_an_enabled_user_is_back_but_old_sessions_are_not(
    administration: Administration, root: Actor, person: Callable[..., Actor]
) -> None:
    ann = person("ann")
    token = administration.sign_in("ann", PASSWORD)
    administration.set_disabled(root, ann.id, True)
    administration.set_disabled(root, ann.id, False)
    assert administration.actor_of(token) is None
    assert administration.sign_in("ann", PASSWORD)


def test_a_reset_password_no_longer_works_and_the_link_does(
    administration: Administration, root: Actor, person: Callable[..., Actor]
) -> None:
    ann = person("ann")
    link = administration.reset_password(root, ann.id)
    with pytest.raises(Unauthenticated):
        administration.sign_in("ann", PASSWORD)
    assert administration.enter(_ticket(link), Purpose.LINK)


@pytest.mark.parametrize("way", ["demote", "disable", "delete"])
def test_the_last_administrator_stays(
    way: str, administration: Administration, root: Actor, person: Callable[..., Actor]
) -> None:
    person("off", Role.ADMIN, disabled=True)
    work: dict[str, Callable[[int], object]] = {
        "demote": lambda id_: administration.set_role(SYSTEM, id_, Role.OPERATOR),
        "disable": lambda id_: administration.set_disabled(SYSTEM, id_, True),
        "delete": lambda id_: administration.delete_user(SYSTEM, id_),
    }
    with pytest.raises(Conflict, match="last administrator"):
        work[way](root.id)
    person("second", Role.ADMIN)
    work[way](root.id)


def test_two_administrators_who_demote_each_other_at_the_same_time_leave_one(
    administration: Administration, root: Actor, person: Callable[..., Actor]
) -> None:
    other = person("other", Role.ADMIN)
    gate = threading.Barrier(2)
    outcomes: list[str] = []

    def demote(who: Actor, whom: Actor) -> None:
        gate.wait()
        try:
            administration.set_role(who, whom.id, Role.VIEWER)
            outcomes.append("done")
        except AppError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=demote, args=pair) for pair in ((root, other), (other, root))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "done"]
    assert sum(user.role is Role.ADMIN for user in administration.users(root)) == 1


def test_one_cannot_disable_or_delete_oneself(
    administration: Administration, root: Actor, person: Callable[..., Actor]
) -> None:
    person("second", Role.ADMIN)
    with pytest.raises(Conflict, match="yourself"):
        administration.set_disabled(root, root.id, True)
    with pytest.raises(Conflict, match="yourself"):
        administration.delete_user(root, root.id)


def test_a_user_who_is_gone_is_said(administration: Administration, root: Actor) -> None:
    for work in (administration.reset_password, administration.delete_user, administration.unlock):
        with pytest.raises(NotFound, match="4711"):
            work(root, 4711)


def test_unlock_lets_the_user_try_again(
    administration: Administration, root: Actor, person: Callable[..., Actor]
) -> None:
    ann = person("ann")
    for host in range(5):
        with pytest.raises(Unauthenticated):
            administration.sign_in("ann", "wrong wrong", f"10.0.0.{host}")
    administration.unlock(root, ann.id)
    assert administration.sign_in("ann", PASSWORD, "10.0.0.9")


# --- oneself ---------------------------------------------------------------------------------------


def test_a_new_password_ends_the_other_sessions(administration: Administration, person: Callable[..., Actor]) -> None:
    ann = person("ann")
    here, there = administration.sign_in("ann", PASSWORD), administration.sign_in("ann", PASSWORD)
    administration.change_password(ann, PASSWORD, "a new password", here)
    assert administration.actor_of(here)
    assert administration.actor_of(there) is None
    with pytest.raises(Unauthenticated):
        administration.sign_in("ann", PASSWORD)


def test_a_new_password_takes_the_current_one_and_guessing_it_is_locked_out(
    administration: Administration, person: Callable[..., Actor]
) -> None:
    ann = person("ann")
    for _ in range(5):
        with pytest.raises(Forbidden, match="nothing was changed"):
            administration.change_password(ann, "wrong wrong", "a new password")
    with pytest.raises(TooMany):
        administration.change_password(ann, PASSWORD, "a new password")
    with pytest.raises(Invalid):
        administration.change_password(ann, PASSWORD, "short")


def test_own_sessions_and_nobody_elses(administration: Administration, person: Callable[..., Actor]) -> None:
    ann, ben = person("ann"), person("ben")
    token = administration.sign_in("ann", PASSWORD, "10.0.0.7")
    (session,) = administration.own_sessions(ann)
    assert session.address == "10.0.0.7"
    with pytest.raises(NotFound):
        administration.end_own_session(ben, session.id)
    administration.end_own_session(ann, session.id)
    assert administration.actor_of(token) is None


def test_keys_are_ones_own_and_no_stronger(
    administration: Administration, person: Callable[..., Actor], root: Actor
) -> None:
    ann, ben = person("ann", Role.ANALYST), person("ben")
    text = administration.create_key(ann, "report", Role.ANALYST)
    with pytest.raises(Forbidden):
        administration.create_key(ann, "more", Role.OPERATOR)
    for name, days in (("", 1), ("x" * 40, 1), ("ok", 0), ("ok", 99999)):
        with pytest.raises(Invalid):
            administration.create_key(ann, name, Role.VIEWER, days)
    (key,) = administration.own_keys(ann)
    with pytest.raises(NotFound):
        administration.revoke_key(ben, key.id)
    assert [(found.name, owner) for found, owner in administration.all_keys(root)] == [("report", "ann")]
    administration.revoke_key(root, key.id)
    assert administration.actor_of_key(text) is None


def test_a_key_cannot_make_keys_or_change_a_password(
    administration: Administration, person: Callable[..., Actor]
) -> None:
    ann = person("ann")
    actor = administration.actor_of_key(administration.create_key(ann, "k", Role.VIEWER))
    for who in (actor, GUEST, SYSTEM):
        with pytest.raises(Forbidden):
            administration.create_key(who, "k2", Role.VIEWER)
        with pytest.raises(Forbidden):
            administration.change_password(who, PASSWORD, "a new password")


# --- guests ----------------------------------------------------------------------------------------


def test_guests_may_look_until_a_real_source_is_there(
    administration: Administration, settings: Settings, database: Database
) -> None:
    with database.session() as session:
        session.add(Source(name="demo", kind=SourceKind.DEMO))
        session.add(Source(name="later", kind=SourceKind.PROMETHEUS, enabled=False))
    assert administration.guests_allowed()
    settings.guests = False
    assert not administration.guests_allowed()
    settings.guests = True
    with database.session() as session:
        session.add(Source(name="real", kind=SourceKind.PROMETHEUS))
    assert not administration.guests_allowed()


# --- the audit log ---------------------------------------------------------------------------------


def test_the_audit_log_is_read_exported_and_verified(administration: Administration, root: Actor) -> None:
    administration.create_user(root, "ben", Role.VIEWER)
    assert [entry.target for entry in administration.audit_entries(root, Filter(action="create user"))] == ["ben"]
    assert b"create user,ben" in administration.audit_csv(root)
    assert administration.audit_values(root) == (["root"], ["create user", "export audit log"])
    assert administration.verify_audit(root) is None


# --- settings --------------------------------------------------------------------------------------


def test_a_changed_setting_counts_at_once_and_after_a_restart(
    administration: Administration, settings: Settings, database: Database, root: Actor, clock: FakeClock
) -> None:
    configuration = administration.configuration
    configuration.change(root, "guests", False)
    configuration.change(root, "llm_mode", "offline")
    configuration.change(root, "collect_interval_s", 60)
    assert (settings.guests, settings.llm_mode, settings.collect_interval_s) == (False, LlmMode.OFFLINE, 60)

    fresh = Settings(data_dir=settings.data_dir, guests=True)
    again = Administration(fresh, database, Audit(database, clock), clock)
    assert (fresh.guests, fresh.llm_mode, fresh.collect_interval_s) == (False, LlmMode.OFFLINE, 60)
    again.configuration.reset(root, "guests")
    assert fresh.guests is True
    assert ("root", "change setting", "guests", "ok") in _trace(administration)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("collect_interval_s", 0),
        ("collect_interval_s", "often"),
        ("llm_mode", "best"),
        ("guests", "perhaps"),
        ("admin_password", "x" * 12),
        ("gemini_api_key", "x"),
        ("nonsense", 1),
    ],
)
def test_what_may_not_be_changed_is_refused(
    key: str, value: object, administration: Administration, root: Actor, settings: Settings
) -> None:
    before = settings.model_dump()
    with pytest.raises(Invalid):
        administration.configuration.change(root, key, value)
    assert settings.model_dump() == before


def test_the_overview_hides_secrets(settings: Settings, database: Database, root: Actor, clock: FakeClock) -> None:
    told = Settings(
        data_dir=settings.data_dir,
        gemini_api_key="AIzaVerySecretIndeed",
        admin_password="geheim geheim",
        secret_key="sealing wax sealing wax",
        database_url="postgresql://ann:hunter2@db/ops",
        prometheus_url="http://bob:hunter3@prom:9090",
    )
    entries = Administration(told, database, Audit(database, clock), clock).configuration.overview(root)
    assert {entry.name for entry in entries} == set(Settings.model_fields)
    shown = repr(entries)
    for secret in ("AIzaVerySecret", "geheim", "wax", "hunter2", "hunter3"):
        assert secret not in shown
    by_name = {entry.name: entry for entry in entries}
    assert by_name["gemini_api_key"].value == "set, hidden"
    assert by_name["openai_api_key"].value == "not set"
    assert (by_name["gemini_api_key"].source, by_name["log_level"].source) == ("environment", "default")


# --- role by action --------------------------------------------------------------------------------

# Every public method that takes an actor, with what it takes to be let in; arguments that fit.
ACTIONS: dict[str, tuple[Permission | None, tuple[object, ...]]] = {
    "users": (Permission.MANAGE_USERS, ()),
    "create_user": (Permission.MANAGE_USERS, ("someone", Role.VIEWER)),
    "set_role": (Permission.MANAGE_USERS, (1, Role.VIEWER)),
    "set_disabled": (Permission.MANAGE_USERS, (1, True)),
    "delete_user": (Permission.MANAGE_USERS, (1,)),
    "reset_password": (Permission.MANAGE_USERS, (1,)),
    "unlock": (Permission.MANAGE_USERS, (1,)),
    "end_sessions": (Permission.MANAGE_USERS, (1,)),
    "all_keys": (Permission.MANAGE_USERS, ()),
    "failed_sign_ins": (Permission.READ_AUDIT, ()),
    "audit_entries": (Permission.READ_AUDIT, ()),
    "audit_values": (Permission.READ_AUDIT, ()),
    "audit_csv": (Permission.READ_AUDIT, ()),
    "verify_audit": (Permission.READ_AUDIT, ()),
    "configuration.overview": (Permission.MANAGE_SETTINGS, ()),
    "configuration.change": (Permission.MANAGE_SETTINGS, ("guests", False)),
    "configuration.reset": (Permission.MANAGE_SETTINGS, ("guests",)),
    # Of one's own account: any signed-in person, no guest, no key, not the system.
    "has_password": (None, ()),
    "change_password": (None, (PASSWORD, "a new password")),
    "own_sessions": (None, ()),
    "end_own_session": (None, (1,)),
    "create_key": (None, ("k", Role.VIEWER)),
    "own_keys": (None, ()),
    "revoke_key": (None, (1,)),
}
PEOPLE = [*Role, "guest", "viewer key", "admin key"]


def _who(kind: object, person: Callable[..., Actor]) -> Actor:
    name = str(kind).replace(" ", "-").lower()
    if isinstance(kind, Role):
        return person(name, kind)
    if kind == "guest":
        return GUEST
    role = Role.ADMIN if kind == "admin key" else Role.VIEWER
    return Actor(f"{name}/k", role, ActorKind.KEY, person(name, role).id)


def _with_actor(kind: type) -> set[str]:
    return {
        name
        for name, method in inspection.getmembers(kind, inspection.isfunction)
        if not name.startswith("_") and "actor" in inspection.signature(method).parameters
    }


def test_the_matrix_names_every_method_that_takes_an_actor() -> None:
    assert _with_actor(Administration) | {f"configuration.{name}" for name in _with_actor(Configuration)} == set(
        ACTIONS
    )
    assert _with_actor(Access) == set()


@pytest.mark.parametrize("action", list(ACTIONS))
def test_role_by_action(action: str, administration: Administration, person: Callable[..., Actor]) -> None:
    person("victim", Role.ADMIN)
    permission, arguments = ACTIONS[action]
    holder = administration.configuration if "." in action else administration
    for kind in PEOPLE:
        actor = _who(kind, person)
        allowed = actor.may(permission) if permission else actor.kind is ActorKind.USER
        if action == "revoke_key":
            allowed = allowed or actor.may(Permission.MANAGE_USERS)
        before = _trace(administration)
        try:
            getattr(holder, action.split(".")[-1])(actor, *arguments)
            refused = False
        except Forbidden:
            refused = True
        except (NotFound, Conflict):
            refused = False  # let in; there was nothing of that kind to act on
        assert refused is not allowed, kind
        assert not refused or _trace(administration) == before
