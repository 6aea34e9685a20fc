"""The chat page: asked and answered, kept or not, refused, and nothing sent without a click."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.auth.actor import Role
from lib.chat.events import Done
from lib.store.findings import Findings
from tests.chat.test_escape import live
from tests.evals.world import World, build_world

PAGE = "pages/act/chat.py"
QUESTION = "what was the worst anomaly yesterday?"


@pytest.fixture
def world(app: App) -> World:
    return build_world(app)


def ask(page: AppTest, question: str) -> AppTest:
    return page.chat_input[0].set_value(question).run()


def in_url(page: AppTest) -> str:
    value = page.query_params["conversation"]
    return value if isinstance(value, str) else value[0]


def shown(page: AppTest) -> str:
    return "\n".join(str(one.value) for one in [*page.markdown, *page.caption])


def test_stranger_is_refused(open_page: Callable) -> None:
    page = open_page(PAGE)
    assert "Sign in" in page.error[0].value
    assert not page.chat_input and not page.exception


def test_nothing_stored_still_offers_help(open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert page.pills[0].options == ["What can you do\\?"] and not page.exception
    page = ask(page, "cpu yesterday")
    assert "Sources page" in shown(page) and not page.exception


def test_answer_is_cited_and_its_evidence_shown(open_page: Callable, world: World) -> None:
    page = ask(open_page(PAGE, Role.VIEWER), QUESTION)
    assert not page.exception and not page.error
    assert f"**#{world.anomalies[0].id}**" in shown(page) and "[1]" in shown(page)
    assert page.code[0].value.startswith('anomalies(period="2026-03-13T00:00:00Z/2026-03-14T00:00:00Z"')
    plainly = shown(page).replace("\\", "").replace("\u2060", "")
    assert "2026-03-13 00:00 to 2026-03-14 00:00" in plainly and "3 rows" in plainly
    assert "Offline engine: nothing left this machine" in shown(page)
    assert len(page.dataframe[0].value) == 3


def test_run_again_says_whether_it_still_gives_the_same(open_page: Callable, world: World) -> None:
    page = ask(open_page(PAGE, Role.VIEWER), QUESTION)
    page = page.button(key="again_1_1").click().run()
    assert "The same as in the answer" in shown(page) and not page.exception
    Findings(world.app.store).delete_detector(1)
    page = page.button(key="again_1_1").click().run()
    assert "something else now" in shown(page) or page.error


def test_command_waits_for_approve_and_is_done_once(open_page: Callable, world: World) -> None:
    anomaly = world.anomalies[1].id
    page = ask(open_page(PAGE, Role.ANALYST), f"label anomaly {anomaly} as a false alarm")
    assert world.app.detection.labels.of() == [] and not page.exception
    assert f"anomaly={anomaly}" in "".join(str(one.value) for one in page.code)
    page = page.button(key="approve_1_1").click().run()
    (label,) = world.app.detection.labels.of()
    assert label.verdict == "false" and "is labelled false" in shown(page)
    assert not [one for one in page.button if str(one.key).startswith("approve_")]


def test_command_that_is_rejected_does_nothing(open_page: Callable, world: World) -> None:
    page = ask(open_page(PAGE, Role.ANALYST), f"label anomaly {world.anomalies[1].id} as expected")
    page = page.button(key="reject_1_1").click().run()
    assert world.app.detection.labels.of() == [] and "Rejected; nothing was done" in shown(page)


def test_follow_up_is_understood_and_both_are_kept(open_page: Callable, world: World) -> None:
    page = ask(ask(open_page(PAGE, Role.VIEWER), QUESTION), "why?")
    assert "What contributed most" in shown(page) and not page.exception
    actor = world.app.administration.actor_of(page.session_state["session_token"])
    assert actor is not None
    (row,) = world.app.assistant.conversations(actor)
    assert len(world.app.assistant.messages(actor, row.id or 0)) == 4
    assert in_url(page) == str(row.id)


def test_conversation_of_the_address_is_shown_again(open_page: Callable, world: World) -> None:
    first = ask(open_page(PAGE, Role.VIEWER), QUESTION)
    again = open_page(PAGE, Role.VIEWER, query={"conversation": in_url(first)})
    assert f"**#{world.anomalies[0].id}**" in shown(again) and not again.exception


@pytest.mark.parametrize("value", ["999", "-1", "1e9", "x", "²", "99999999999999999999"])
def test_conversation_that_is_not_there_is_a_new_one(open_page: Callable, world: World, value: str) -> None:
    page = open_page(PAGE, Role.VIEWER, query={"conversation": value})
    assert page.pills and not page.exception


def test_conversation_of_another_is_not_shown(open_page: Callable, world: World) -> None:
    theirs = in_url(ask(open_page(PAGE, Role.VIEWER), QUESTION))
    page = open_page(PAGE, Role.ADMIN, query={"conversation": theirs})
    assert "no conversation" in page.warning[0].value
    assert f"**#{world.anomalies[0].id}**" not in shown(page)


def test_guest_is_answered_and_remembered_for_the_session_only(open_page: Callable, world: World) -> None:
    page = ask(ask(open_page(PAGE, "guest"), "peak cpu on web-03 yesterday"), "and on web-01?")
    assert "`web-03` was **93.3 %**" in shown(page) and "`web-01` was **26.2 %**" in shown(page)
    assert "conversation" not in page.query_params and not page.exception
    page = next(button for button in page.button if button.label == "New").click().run()
    assert "93.3" not in shown(page) and page.pills


def test_starter_is_asked_on_a_click_once(open_page: Callable, world: World) -> None:
    page = open_page(PAGE, Role.VIEWER)
    page = page.pills[0].set_value("What was the worst anomaly yesterday?").run()
    assert shown(page).count("The worst anomaly") == 1 and not page.exception
    page = page.run()
    assert shown(page).count("The worst anomaly") == 1


def test_question_that_is_not_understood_offers_others_and_a_click_asks_one(open_page: Callable, world: World) -> None:
    page = ask(open_page(PAGE, Role.VIEWER), "blorbed average load of web-01 yesterday")
    assert "will not guess" in shown(page)
    offered = page.pills[-1]
    assert offered.label == "Did you mean"
    page = offered.set_value(offered.options[0].replace("\\", "")).run()
    assert "node_load1" in shown(page) and not page.exception
    assert all(one.label != "Did you mean" for one in page.pills)


def test_question_back_is_answered_by_a_click(open_page: Callable, world: World) -> None:
    page = ask(open_page(PAGE, Role.VIEWER), "how was the network on web-01 yesterday?")
    assert "Which one do you mean" in shown(page)
    page = page.pills[-1].set_value(page.pills[-1].options[1].replace("\\", "")).run()
    assert "Network sent" in shown(page) and not page.exception


def test_question_of_the_address_waits_for_a_click(open_page: Callable, world: World) -> None:
    page = open_page(PAGE, Role.VIEWER, query={"q": "how many hosts are there?", "anomaly": "1"})
    assert page.pills[0].options[:2] == ["how many hosts are there?".replace("?", "\\?"), "Why was anomaly 1 found\\?"]
    assert "hosts with" not in shown(page)
    page = page.pills[0].set_value("how many hosts are there?").run()
    assert "**4** hosts with" in shown(page) and "[1]" in shown(page) and not page.exception


def test_hostile_question_of_the_address_is_inert(open_page: Callable, world: World) -> None:
    page = open_page(PAGE, Role.VIEWER, query={"q": "![x](http://evil.example)<script>", "anomaly": "'; --"})
    assert page.pills[0].options[0].startswith("\\!\\[x\\]\\(") and not page.exception


@pytest.mark.parametrize(
    "question", ["x" * 20_000, "<img src=x onerror=alert(1)>", "昨日の異常は?", "DROP TABLE users;"]
)
def test_odd_questions_leave_the_page_standing(open_page: Callable, world: World, question: str) -> None:
    page = ask(open_page(PAGE, Role.VIEWER), question)
    assert not page.exception and page.chat_input
    assert [live(str(one.value)) for one in page.markdown if live(str(one.value))] == []


def test_history_lists_opens_renames_and_deletes_once_that_is_confirmed(open_page: Callable, world: World) -> None:
    page = ask(open_page(PAGE, Role.VIEWER), QUESTION)
    page = page.run()
    number = in_url(page)
    page = page.text_input(key=f"title_{number}").set_value("Morning look").run()
    assert "Morning look" in [button.label for button in page.button]
    page = page.button(key=f"delete_{number}").click().run()
    page = page.button(key="delete_not").click().run()
    assert "Morning look" in [button.label for button in page.button]
    page = page.button(key=f"delete_{number}").click().run().button(key="delete_for_good").click().run()
    assert "Morning look" not in [button.label for button in page.button] and not page.exception


def test_unsupported_numbers_are_marked(open_page: Callable, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib.chat.events import Text

    def answer(*_: object, **__: object) -> Iterator[object]:
        yield from [Text("It was 42."), Done("gemini", None, ("42",), "OpenAI was slow.")]

    monkeypatch.setattr(world.app.assistant, "answer", answer)
    page = ask(open_page(PAGE, Role.VIEWER), QUESTION)
    assert "42" in page.warning[0].value and "OpenAI was slow" in shown(page)
