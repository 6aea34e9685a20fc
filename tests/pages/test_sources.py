"""The Sources page: how each source stands, and what an operator can do about it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lib.auth.actor import SYSTEM, Role
from lib.db.tables import SourceKind
from lib.frames import Window
from lib.services.collection_sources import Auth, SourceDraft
from tests.faults.conftest import FaultServer

PAGE = "pages/operate/sources.py"
HOSTILE = "<b>x</b> [a](http://evil) :material/lock:"


@pytest.fixture
def server(clock):
    made = FaultServer(clock)
    now = clock()
    for name in ("node_load1", "node_load5", "up"):
        made.steady(name, now - timedelta(hours=2), now + timedelta(hours=1))
    yield made
    made.stop()


@pytest.fixture
def source(app, server):
    made = app.collection.add(SYSTEM, SourceDraft("Main", server.url, interval_s=15))
    app.collection.add_metrics(SYSTEM, made.id, ["node_load1"])
    app.collection.collect_now(SYSTEM, made.id)
    return made


def words(page) -> str:
    kinds = (page.markdown, page.caption, page.info, page.error, page.warning, page.success, page.subheader, page.title)
    return " ".join(str(element.value) for kind in kinds for element in kind)


def labels(page) -> set[str]:
    return {b.label for b in page.button}


def test_stranger_is_refused(open_page) -> None:
    page = open_page(PAGE)
    assert "Sign in" in page.error[0].value and not page.title and not page.button


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, "guest"])
def test_without_sources_a_reader_is_told_who_can_connect_one(open_page, role) -> None:
    page = open_page(PAGE, role)
    assert not page.exception
    assert "operator can connect" in words(page) and not page.text_input


def test_without_sources_an_operator_gets_the_form(open_page) -> None:
    page = open_page(PAGE, Role.OPERATOR)
    assert not page.exception
    assert {"Test", "Save"} <= labels(page) and "Enter the URL" in words(page)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST])
def test_reader_sees_states_and_targets_but_nothing_to_press(open_page, source, role, server) -> None:
    page = open_page(PAGE, role)
    assert not page.exception
    overview, targets = page.dataframe[0].value, page.dataframe[1].value
    assert overview.state.tolist() == ["✓ Ok"] and overview.name.tolist() == ["Main"]
    assert targets.target.tolist() == ["node_load1"] and targets.series.tolist() == [2]
    assert not page.button and not page.text_input
    assert server.url not in words(page), "where sources are is for operators"
    assert "As of 2026-03-14 12:00:00 UTC" in words(page)


def test_failing_source_says_why_inertly(open_page, source, server, app, clock) -> None:
    error = b'{"status":"error","error":"' + HOSTILE.encode() + b'"}'
    server.fault = lambda request: request.send(error)
    clock.advance(minutes=3)
    app.collection.collect_now(SYSTEM, source.id)
    page = open_page(PAGE, Role.VIEWER)
    assert page.dataframe[0].value.state.tolist() == ["✕ Failing"]
    assert page.dataframe[0].value.gaps.tolist() == [1]
    shown = page.error[0].value
    assert "[a](http" not in shown and "<b>" not in shown and "\\[a\\]" in shown


def test_operator_connects_a_server_after_testing_it(open_page, app, server) -> None:
    page = open_page(PAGE, Role.OPERATOR)
    page.text_input(key="new0_name").input("Fresh")
    page.text_input(key="new0_url").input(server.url).run()
    page.button(key="new0_test").click().run()
    assert "Reachable" in page.success[0].value
    assert any("fetched by queries" in caption.value for caption in page.caption)
    assert {m.label: m.value for m in page.metric}["Metrics"] == "3"
    assert not app.collection.status(SYSTEM), "Test keeps nothing"
    page.button(key="new0_save").click().run()
    assert not page.exception and not page.error
    [status] = app.collection.status(SYSTEM)
    assert status.name == "Fresh" and status.url == server.url
    assert "Fresh" in page.subheader[0].value


def test_operator_connects_a_page(open_page, app, server) -> None:
    server.fault = lambda request: request.send(b"load 1\n", Content_Type="text/plain")
    page = open_page(PAGE, Role.OPERATOR)
    page.segmented_control(key="new0_kind").set_value(SourceKind.SCRAPE).run()
    page.text_input(key="new0_name").input("Node")
    page.text_input(key="new0_url").input(f"{server.url}/metrics").run()
    page.button(key="new0_test").click().run()
    assert {m.label: m.value for m in page.metric} == {"Metrics": "1", "Series": "1"}
    assert "A page has no history" in words(page)
    page.button(key="new0_save").click().run()
    assert not page.exception and not page.error
    [status] = app.collection.status(SYSTEM)
    assert (status.name, status.kind) == ("Node", SourceKind.SCRAPE)
    parts = page.segmented_control(key=f"part_{status.id}").options
    assert [one.split()[-1] for one in parts] == ["Collected", "Gaps", "Edit"]


@pytest.mark.parametrize(
    ("url", "said"),
    [("http://169.254.169.254", "metadata"), ("ftp://x", "scheme"), ("http://a:b@c", "authentication"), ("", "scheme")],
)
def test_bad_urls_are_refused_with_words(open_page, app, url, said) -> None:
    page = open_page(PAGE, Role.ADMIN)
    page.text_input(key="new0_name").input("Bad")
    page.text_input(key="new0_url").input(url).run()
    for key in ("new0_test", "new0_save"):
        page.button(key=key).click().run()
        assert said in page.error[0].value
    assert not app.collection.status(SYSTEM)


def test_metrics_are_found_counted_and_taken(open_page, app, source) -> None:
    page = open_page(PAGE, Role.OPERATOR)
    page.segmented_control(key=f"part_{source.id}").set_value("Choose metrics").run()
    page.text_input(key=f"find_{source.id}").input("load").run()
    picker = page.multiselect(key=f"chosen_{source.id}")
    assert picker.options == ["node_load5 · 2 series"], "what is collected already is not offered again"
    picker.select("node_load5").run()
    assert "**2** series now" in words(page)
    page.button(key=f"take_{source.id}").click().run()
    assert not page.exception
    assert [t.name for t in app.collection.status(SYSTEM)[0].targets] == ["node_load1", "node_load5"]


def test_search_by_regular_expression(open_page, source) -> None:
    page = open_page(PAGE, Role.OPERATOR)
    page.segmented_control(key=f"part_{source.id}").set_value("Choose metrics").run()
    page.segmented_control(key=f"way_{source.id}").set_value("regular expression")
    page.text_input(key=f"find_{source.id}").input("u.").run()
    assert page.multiselect(key=f"chosen_{source.id}").options == ["up · 2 series"]


def test_source_is_edited_without_showing_its_secret(open_page, app, source, server) -> None:
    draft = SourceDraft("Main", server.url, auth=Auth.BEARER, secret="hunter2", interval_s=15)
    app.collection.update(SYSTEM, source.id, draft)
    page = open_page(PAGE, Role.OPERATOR)
    page.segmented_control(key=f"part_{source.id}").set_value("Edit").run()
    secret = page.text_input(key=f"edit_{source.id}_secret")
    assert secret.value == "" and secret.placeholder == "unchanged"
    page.text_input(key=f"edit_{source.id}_name").input("Renamed").run()
    page.button(key=f"edit_{source.id}_save").click().run()
    assert not page.exception and not page.error
    assert app.collection.status(SYSTEM)[0].name == "Renamed"
    page.text_input(key=f"edit_{source.id}_url").input("http://127.0.0.1:1").run()
    page.button(key=f"edit_{source.id}_test").click().run()
    assert "enter the password or token again" in page.error[0].value, "it may not travel to another server"


def test_gaps_are_listed(open_page, source, server, app, clock) -> None:
    server.fault = lambda request: request.send(b"", 500)
    clock.advance(minutes=3)
    app.collection.collect_now(SYSTEM, source.id)
    page = open_page(PAGE, Role.VIEWER)
    page.segmented_control(key=f"part_{source.id}").set_value("Gaps").run()
    gaps = page.dataframe[1].value
    assert gaps.target.tolist() == ["node_load1"] and gaps.filled_at.isna().all()


def test_backfill_is_submitted_and_shown(open_page, source, app) -> None:
    page = open_page(PAGE, Role.OPERATOR)
    page.segmented_control(key=f"part_{source.id}").set_value("Backfill").run()
    page.button(key=f"fill_{source.id}").click().run()
    assert not page.exception
    [task] = app.collection.backfills(SYSTEM, source.id)
    assert task.params["end_ms"] - task.params["start_ms"] == 7 * 86_400_000
    page.run()
    assert page.get("progress")[0].proto.text == "Waiting for its turn"


def test_a_backfill_that_was_ended_goes_on_with_its_own_span(open_page, source, app, clock) -> None:
    first = app.collection.backfill(SYSTEM, source.id, Window(clock() - timedelta(days=7), clock()))
    app.runner.cancel(first.id)
    clock.advance(minutes=5)
    page = open_page(PAGE, Role.OPERATOR)
    page.segmented_control(key=f"part_{source.id}").set_value("Backfill").run()
    page.button(key=f"go_on_{first.id}").click().run()
    assert not page.exception
    newest, _ = app.collection.backfills(SYSTEM, source.id)
    assert newest.params == first.params and newest.status == "pending"
    page.run()
    assert not [button for button in page.button if str(button.key).startswith("go_on_")]


def test_source_is_switched_off_and_removed(open_page, source, app) -> None:
    page = open_page(PAGE, Role.OPERATOR)
    page.button(key=f"switch_{source.id}").click().run()
    assert page.dataframe[0].value.state.tolist() == ["⊘ Off"]
    page.button(key=f"remove_{source.id}").click().run()
    assert not page.exception
    assert not app.collection.status(SYSTEM) and not app.samples.find(source_id=source.id)


def test_demo_can_be_removed_once_there_is_a_source_of_ones_own(open_page, app, server) -> None:
    app.collection.add(SYSTEM, SourceDraft("Simulated fleet", "simulated", SourceKind.DEMO))
    page = open_page(PAGE, Role.OPERATOR)
    assert "Remove the demo data" not in labels(page)
    app.collection.add(SYSTEM, SourceDraft("Main", server.url))
    page = open_page(PAGE, Role.OPERATOR)
    page.button(key="remove_demo").click().run()
    assert [s.name for s in app.collection.status(SYSTEM)] == ["Main"]
