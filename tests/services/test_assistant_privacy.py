"""What leaves the machine: seen before, kept after, without names, without keys; and one's own history."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import GUEST, SYSTEM, Actor, Role
from lib.chat.escape import inert
from lib.chat.events import Error, Evidence, ToolCall
from lib.db.tables import AnnotationKind
from lib.errors import Invalid, NotFound
from lib.frames import Block, to_ms
from lib.services.conversations import Entry
from lib.settings import LlmMode
from tests.chat.test_escape import live
from tests.conftest import FakeClock
from tests.evals.world import build_world
from tests.llm.servers import Calls, Fails, Says
from tests.services.test_assistant import said, signed_in
from tests.services.test_assistant_model import PEAK, QUESTION, ask, done, imported, providers

assert imported  # the fixture that pays for the clients' imports


@pytest.fixture
def filled(app: App) -> App:
    build_world(app)
    app.settings.llm_mode = LlmMode.AUTO
    app.settings.llm_deadline_s = 8
    return app


@pytest.fixture
def viewer(filled: App) -> Actor:
    return signed_in(filled, Role.VIEWER)


def hosts(app: App) -> set[str]:
    return {one.host for one in app.exploration.find(GUEST) if one.host}


def test_no_host_leaves_and_the_answer_has_them_all_the_same(filled: App, viewer: Actor) -> None:
    with providers(filled, openai=[PEAK, Says(["The peak was ", "93.3", " % [1] on web-03."])]) as (server,):
        events = ask(filled, viewer, QUESTION)
        bodies = json.dumps(server.requests)
    assert not any(host in bodies for host in hosts(filled) if host)
    assert "web-03" in said(events)
    card = next(e for e in events if isinstance(e, Evidence))
    assert "web-03" in json.dumps(card.to_json(), default=str)


def test_alias_in_a_call_or_an_answer_becomes_the_host_it_stands_for(filled: App, viewer: Actor) -> None:
    shown = _preview(filled, viewer, QUESTION)
    [alias] = [alias for alias, name in shown.aliases.items() if name == "web-03"]
    call = Calls(PEAK.name, {**PEAK.arguments, "hosts": [alias]})
    with providers(filled, openai=[call, Says([f"On {alias[:4]}", f"{alias[4:]} the peak was 93.3 % [1]."])]):
        events = ask(filled, viewer, QUESTION)
    assert next(e for e in events if isinstance(e, ToolCall)).arguments["hosts"] == ["web-03"]
    assert "On web" in said(events).replace("\\", "") and alias not in said(events)
    assert done(events).unsupported == ()


def test_preview_is_what_is_sent_word_for_word(filled: App, viewer: Actor) -> None:
    with providers(filled, openai=[Says(["I do not know."])]) as (server,):
        shown = _preview(filled, viewer, QUESTION)
        events = ask(filled, viewer, QUESTION)
        sent = [(m["role"], m["content"]) for m in server.requests[0]["messages"]]
        declared = [tool["function"] for tool in server.requests[0]["tools"]]
    assert list(shown.messages) == sent and json.loads(shown.declared) == declared
    assert done(events).sent[: len(sent)] == tuple(sent)
    assert "web-03" in shown.aliases.values() and "statistics" in shown.tools


def test_what_was_sent_is_kept_with_the_answer(filled: App, viewer: Actor) -> None:
    with providers(filled, openai=[PEAK, Says(["93.3 % [1]"])]):
        conversation = done(ask(filled, viewer, QUESTION)).conversation_id
    _, answer = filled.assistant.messages(viewer, conversation or 0)
    assert [role for role, _ in answer.sent] == ["system", "user", "assistant", "tool"]
    assert "tool_result" in answer.sent[-1][1]


def test_names_leave_when_the_setting_says_so(filled: App, viewer: Actor) -> None:
    filled.settings.llm_pseudonyms = False
    with providers(filled, openai=[Says(["ok"])]) as (server,):
        assert _preview(filled, viewer, QUESTION).aliases == {}
        ask(filled, viewer, QUESTION)
        assert "web-03" in json.dumps(server.requests)


def test_credentials_in_a_question_never_leave(filled: App, viewer: Actor) -> None:
    with providers(filled, openai=[Says(["ok"])]) as (server,):
        ask(filled, viewer, "is password=hunter2hunter2 or Bearer abcdefghijklmnop12345 still used?")
        assert "hunter2" not in json.dumps(server.requests) and "abcdefghijklmnop" not in json.dumps(server.requests)


def test_credentials_in_what_tools_find_never_leave(filled: App, viewer: Actor) -> None:
    filled.settings.llm_pseudonyms = False
    for number, text in enumerate(("rollout with password=hunter2hunter2", "key sk-abcdefghijklmnop in the job")):
        at = filled.clock() - timedelta(minutes=5 + number)
        filled.detection.annotations.add(SYSTEM, AnnotationKind.DEPLOY, at, None, text=text)
    looks = Calls("marks", {"period": "today"})
    with providers(filled, openai=[looks, Says(["Two."])]) as (server,):
        ask(filled, viewer, "which deploys were there today?")
        bodies = json.dumps(server.requests)
    assert "rollout" in bodies and "hunter2" not in bodies and "abcdefghijklmnop" not in bodies


def test_names_in_an_answer_before_are_covered_though_it_was_made_harmless(filled: App, viewer: Actor) -> None:
    at = np.array([to_ms(filled.clock()) - 60_000])
    filled.samples.append(9, [Block("node_load1", {"instance": "shop:alpha[1]"}, at, np.array([1.0]))])
    before = [
        Entry("user", "is shop:alpha[1] fine?", filled.clock()),
        Entry("assistant", inert("Yes, shop:alpha[1] is."), filled.clock()),
    ]
    with providers(filled, openai=[Says(["ok"])]) as (server,):
        list(filled.assistant.answer(viewer, "and web-03?", None, before))
        bodies = json.dumps(server.requests)
    assert "Yes, host-" in bodies and "alpha" not in bodies


def test_conversations_that_begin_have_other_aliases(filled: App, viewer: Actor) -> None:
    one, other = (_preview(filled, viewer, f"{QUESTION} {n}").aliases for n in ("", "please"))
    assert "web-03" in one.values() and "web-03" in other.values() and not {*one} & {*other}


def test_one_answer_can_stay_here(filled: App, viewer: Actor) -> None:
    with providers(filled, openai=[Says(["never"])]) as (server,):
        events = list(filled.assistant.answer(viewer, QUESTION, offline=True))
        assert server.requests == []
    assert done(events).provider == "offline" and done(events).sent == ()


def test_nothing_would_leave_without_a_provider(filled: App, viewer: Actor) -> None:
    assert filled.assistant.preview(viewer, QUESTION) is None


def test_asking_again_replaces_the_answer_and_only_then(filled: App, viewer: Actor, clock: FakeClock) -> None:
    conversation = done(ask(filled, viewer, "how many hosts are there?")).conversation_id
    ask(filled, viewer, QUESTION, conversation)
    before = filled.assistant.messages(viewer, conversation or 0)
    with providers(filled, openai=[Fails(401)]):
        filled.settings.llm_mode = LlmMode.OPENAI
        failed = list(filled.assistant.answer(viewer, "", conversation, again=True))
        assert isinstance(failed[-1], Error)
    assert filled.assistant.messages(viewer, conversation or 0) == before
    filled.settings.llm_mode = LlmMode.OFFLINE
    clock.advance(minutes=1)
    list(filled.assistant.answer(viewer, "", conversation, again=True))
    after = filled.assistant.messages(viewer, conversation or 0)
    assert [entry.text for entry in after[:2]] == [entry.text for entry in before[:2]]
    assert len(after) == 4 and after[2].text == QUESTION and after[3].at > before[3].at


def test_asking_again_before_anything_was_asked_is_refused(filled: App, viewer: Actor) -> None:
    with pytest.raises(Invalid, match="no question"):
        filled.assistant.answer(viewer, "", again=True)


def test_history_is_searched_by_title_and_words(filled: App, viewer: Actor) -> None:
    first = done(ask(filled, viewer, "how many hosts are there?")).conversation_id
    second = done(ask(filled, viewer, QUESTION)).conversation_id
    filled.assistant.rename(viewer, first or 0, "50%_done")
    found = [row.id for row in filled.assistant.conversations(viewer, "web-03")]
    assert found == [second]
    assert [row.id for row in filled.assistant.conversations(viewer, "50%_d")] == [first]
    assert filled.assistant.conversations(viewer, "100%") == []
    other = signed_in(filled, Role.ANALYST)
    assert filled.assistant.conversations(other, "web-03") == []


def test_rating_is_kept_changed_and_only_ones_own(filled: App, viewer: Actor) -> None:
    conversation = done(ask(filled, viewer, QUESTION)).conversation_id
    question, answer = filled.assistant.messages(viewer, conversation or 0)
    for rating in (1, -1, 0):
        filled.assistant.rate(viewer, answer.id or 0, rating)
        assert filled.assistant.messages(viewer, conversation or 0)[1].rating == rating
    other = signed_in(filled, Role.ANALYST)
    for who, number in ((other, answer.id), (viewer, question.id), (viewer, 10**6)):
        with pytest.raises(NotFound):
            filled.assistant.rate(who, number or 0, 1)
    with pytest.raises(Invalid):
        filled.assistant.rate(viewer, answer.id or 0, 7)


def test_conversation_is_exported_with_its_evidence(filled: App, viewer: Actor) -> None:
    conversation = done(ask(filled, viewer, QUESTION)).conversation_id or 0
    told = filled.assistant.export(viewer, conversation)
    assert QUESTION in told and "Answer (offline)" in told and "- [1] `" in told
    read = json.loads(filled.assistant.export(viewer, conversation, "json"))
    assert [m["role"] for m in read["messages"]] == ["user", "assistant"] and read["messages"][1]["evidence"]
    filled.assistant.rename(viewer, conversation, "![x](http://evil/x.png)")
    ask(filled, viewer, "is [this](http://evil) <img src=x> fine?", conversation)
    exported = filled.assistant.export(viewer, conversation)
    assert "evil" in exported and not live(exported)
    with pytest.raises(Invalid):
        filled.assistant.export(viewer, conversation, "docx")
    with pytest.raises(NotFound):
        filled.assistant.export(signed_in(filled, Role.ANALYST), conversation)


def _preview(app: App, actor: Actor, question: str) -> Any:
    """With a provider configured, though nobody answers there."""
    if app.assistant.fallback.providers:
        return app.assistant.preview(actor, question)
    with providers(app, openai=[Says(["x"])]):
        return app.assistant.preview(actor, question)
