from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.tables import User
from lib.frames import Block, to_ms
from lib.ui.text import plain
from tests.conftest import signed_in

PAGE = "pages/observe/explore.py"
HOSTILE = "<img src=x onerror=alert(1)> **b** [x](http://evil.example) :fire: $x$"
CHOICES = {"metric": "node_load1", "host": "web-2", "range": "6h", "with": ["up"], "compare": "yesterday", "label": []}


def fill(app: App) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(300)[::-1] * 60_000 - 1000
    app.samples.append(
        1,
        [
            Block(metric, {"instance": host}, ts_ms, np.sin(np.arange(300)) + 2)
            for metric in ("node_load1", "node_load5", "up")
            for host in ("web-1", "web-2")
        ],
    )


@pytest.fixture
def person(app: App) -> Callable[[Role], Actor]:
    def of(role: Role) -> Actor:
        signed_in(app, role)
        with app.database.session() as session:
            from sqlmodel import select

            user = session.exec(select(User).where(User.username == role.name.lower())).one()
            return Actor(user.username, role, id=user.id)

    return of


def test_what_is_on_the_page_is_saved_whole_and_opened_by_its_link(
    app: App, open_page: Callable, person: Callable
) -> None:
    fill(app)
    query = {"metric": "node_load5", "host": "web-2", "range": "6h", "with": "up", "fn": "max_over_time", "over": "15m"}
    page = open_page(PAGE, Role.VIEWER, query)
    page.text_input(key="views_new_name").set_value("Evening")
    page.text_input(key="views_new_words").set_value("When people come home")
    page.button(key="views_save").click().run()
    assert not page.exception
    [saved] = app.views.all(person(Role.VIEWER))
    assert {key: saved.choices[key] for key in query} == {**query, "with": ["up"]}
    assert page.query_params["view"] == str(saved.id)
    again = open_page(PAGE, Role.VIEWER, {"view": str(saved.id)})
    assert not again.exception and not again.warning
    assert {key: again.session_state[key] for key in query} == {**query, "with": ["up"]}
    assert json.loads(again.get("plotly_chart")[0].proto.spec)["layout"]["meta"]["alt"].startswith("node_load5 from")


def test_opening_replaces_every_choice_and_survives_changes_after_it(
    app: App, open_page: Callable, person: Callable
) -> None:
    fill(app)
    saved = app.views.save(person(Role.VIEWER), "Web", CHOICES)
    page = open_page(PAGE, Role.VIEWER, {"metric": "up", "fn": "rate", "compare": "last week"})
    page.selectbox(key="views_choice").set_value(saved.id).run()
    page.button(key="views_open").click().run()
    assert not page.exception
    assert page.selectbox(key="metric").value == "node_load1"
    assert page.selectbox(key="compare").value == "yesterday"
    assert page.selectbox(key="fn").value is None
    page.selectbox(key="host").set_value("web-1").run()
    assert page.selectbox(key="host").value == "web-1"
    assert page.selectbox(key="metric").value == "node_load1"
    page.button(key="views_again").click().run()
    assert page.selectbox(key="host").value == "web-2"


def test_overwriting_renaming_and_deleting(app: App, open_page: Callable, person: Callable) -> None:
    fill(app)
    owner = person(Role.VIEWER)
    saved = app.views.save(owner, "Web", CHOICES)
    page = open_page(PAGE, Role.VIEWER, {"view": str(saved.id)})
    page.selectbox(key="metric").set_value("node_load5").run()
    page.button(key="views_overwrite").click().run()
    assert app.views.get(owner, saved.id).choices["metric"] == "node_load5"
    page.text_input(key=f"views_name_{saved.id}").set_value("Load")
    page.checkbox(key=f"views_shared_{saved.id}").set_value(True)
    page.button(key="views_change").click().run()
    assert not page.exception
    changed = app.views.get(owner, saved.id)
    assert (changed.name, changed.shared) == ("Load", True)
    page.button(key="views_delete").click().run()
    assert not page.exception
    assert app.views.all(owner) == []
    assert "view" not in page.query_params


def test_shared_views_open_for_others_who_cannot_change_them(app: App, open_page: Callable, person: Callable) -> None:
    fill(app)
    saved = app.views.save(person(Role.ANALYST), "Web", CHOICES, shared=True)
    for who in (Role.VIEWER, "guest"):
        page = open_page(PAGE, who, {"view": str(saved.id)})
        assert not page.exception
        assert page.selectbox(key="host").value == "web-2"
        keys = [one.key for one in page.button]
        assert "views_again" in keys and "views_delete" not in keys
    assert "views_save" not in [one.key for one in page.button], "a guest keeps nothing"
    assert "views_delete" in [one.key for one in open_page(PAGE, Role.ADMIN, {"view": str(saved.id)}).button]


@pytest.mark.parametrize("view", ["999", "x", "-1", "9" * 30, "0"])
def test_a_link_to_no_view_shows_the_page(app: App, open_page: Callable, view: str) -> None:
    fill(app)
    page = open_page(PAGE, Role.VIEWER, {"view": view})
    assert not page.exception
    assert len(page.get("plotly_chart")) == 1


def test_anothers_private_view_is_not_there(app: App, open_page: Callable, person: Callable) -> None:
    fill(app)
    saved = app.views.save(person(Role.ANALYST), "Secret plans", CHOICES)
    page = open_page(PAGE, Role.ADMIN, {"view": str(saved.id)})
    assert "There is no view number" in page.warning[0].value
    assert not any("Secret plans" in str(one.value) for kind in (page.markdown, page.caption) for one in kind)


@pytest.mark.parametrize(
    ("choices", "what"),
    [
        ({"metric": "gone_metric", "host": "web-1"}, "the metric gone_metric"),
        ({"metric": "node_load1", "host": "web-9"}, "the host web-9"),
        ({"metric": "node_load1", "label": ["disk=sda"]}, "the label disk=sda"),
        ({"metric": "node_load1", "with": ["gone_too"]}, "the metric gone_too"),
        ({"metric": "node_load1", "source": "old"}, "the source old"),
        ({"mode": "PromQL", "ask": "old server"}, "the source old server"),
    ],
)
def test_a_view_whose_series_are_gone_says_so(
    app: App, open_page: Callable, person: Callable, choices: dict, what: str
) -> None:
    fill(app)
    saved = app.views.save(person(Role.ANALYST), "Old", choices)
    page = open_page(PAGE, Role.ANALYST, {"view": str(saved.id)})
    assert not page.exception
    assert plain(what) in page.warning[0].value


def test_hostile_names_do_nothing(app: App, open_page: Callable, person: Callable) -> None:
    fill(app)
    saved = app.views.save(person(Role.VIEWER), HOSTILE[:80], {**CHOICES, "metric": HOSTILE}, HOSTILE, shared=True)
    page = open_page(PAGE, Role.ADMIN, {"view": str(saved.id)})
    assert not page.exception
    shown = [one.value for kind in (page.markdown, page.caption, page.warning) for one in kind]
    assert any(plain(HOSTILE) in one for one in shown)
    assert not any("img src" in one.replace(plain(HOSTILE), "") for one in shown)


def test_choices_nobody_could_make_are_left_out(app: App, open_page: Callable, person: Callable) -> None:
    fill(app)
    odd = {"range": "nonsense", "range_from": "never", "q": "high", "with": "up", "host": 5, "session_token": "x"}
    saved = app.views.save(person(Role.VIEWER), "Odd", odd)
    page = open_page(PAGE, Role.VIEWER, {"view": str(saved.id)})
    assert not page.exception
    assert page.session_state["session_token"] != "x"
    assert page.get("plotly_chart")


def test_a_name_that_is_taken_is_said(app: App, open_page: Callable, person: Callable) -> None:
    fill(app)
    app.views.save(person(Role.VIEWER), "Web", CHOICES)
    page = open_page(PAGE, Role.VIEWER)
    page.text_input(key="views_new_name").set_value("Web")
    page.button(key="views_save").click().run()
    assert not page.exception
    assert "already" in page.error[0].value
