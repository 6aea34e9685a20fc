"""Both clients against servers that speak the real wire formats: what arrives, and what each fault becomes."""

from __future__ import annotations

import io
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lib.errors import ProviderError, ProviderRefused, ProviderTimeout
from lib.llm.gemini import Gemini
from lib.llm.openai import OpenAI
from lib.llm.provider import Done, Message, MessageRole, Provider, Text, ToolCall, ToolSpec
from tests.llm import servers
from tests.llm.servers import Behaviour, Calls, Cuts, Drips, Empty, Fails, Garbage, Hangs, Says, Scripted

GEMINI_KEY, OPENAI_KEY = "AIzaSyTHISISSECRET1234567", "sk-THISISSECRETTOO12345"
SPECS = [
    ToolSpec(
        "statistics",
        "Numbers of a metric.",
        {
            "type": "object",
            "properties": {
                "metric": {"type": "string", "description": "Its name."},
                "top": {"type": "integer"},
                "hosts": {"type": "array", "items": {"type": "string"}},
                "order": {"type": "string", "enum": ["highest", "lowest"]},
            },
            "required": ["metric"],
            "additionalProperties": False,
        },
    )
]
ASKED = [Message(MessageRole.SYSTEM, "Be brief."), Message(MessageRole.USER, "How busy is it?")]
Opened = Callable[..., Any]


@contextmanager
def _gemini(*script: Behaviour) -> Iterator[tuple[Provider, Scripted]]:
    with servers.gemini_server(*script) as server:
        yield Gemini(GEMINI_KEY, "gemini-scripted", server.url), server


@contextmanager
def _openai(*script: Behaviour) -> Iterator[tuple[Provider, Scripted]]:
    with servers.openai_server(*script) as server:
        yield OpenAI(OPENAI_KEY, "gpt-scripted", f"{server.url}/v1"), server


@pytest.fixture(params=[_gemini, _openai], ids=["gemini", "openai"])
def opened(request: pytest.FixtureRequest) -> Opened:
    return request.param


def stream(provider: Provider, seconds: float = 5.0, messages: list[Message] = ASKED) -> list[Any]:
    return list(provider.stream(messages, SPECS, time.monotonic() + seconds))


def test_words_arrive_in_pieces_with_their_tokens(opened: Opened) -> None:
    with opened(Says(["It is ", "97 % ", "busy."])) as (provider, _):
        got = stream(provider)
    assert got[:-1] == [Text("It is "), Text("97 % "), Text("busy.")]
    assert isinstance(got[-1], Done) and got[-1].tokens_in > 0 and got[-1].tokens_out > 0


def test_tool_call_arrives_whole_with_integers(opened: Opened) -> None:
    arguments = {"metric": "node_load1", "top": 3, "hosts": ["web-01"]}
    with opened(Calls("statistics", arguments, before="Let me look. ")) as (provider, _):
        text, call, _done = stream(provider)
    assert text == Text("Let me look. ")
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("statistics", arguments)
    assert isinstance(call.arguments["top"], int)


def test_result_of_a_call_reaches_the_server(opened: Opened) -> None:
    call = ToolCall("call-7", "statistics", {"metric": "node_load1"})
    messages = [
        *ASKED,
        Message(MessageRole.ASSISTANT, "", (call,)),
        Message(MessageRole.TOOL, '{"mean": 4.2}', call_id="call-7", name="statistics"),
    ]
    with opened(Says(["4.2"])) as (provider, server):
        stream(provider, messages=messages)
        sent = str(server.requests[0])
    assert "Be brief." in sent and "How busy is it?" in sent
    assert "node_load1" in sent and '{"mean": 4.2}' in sent


def test_tools_are_declared_with_their_enums(opened: Opened) -> None:
    with opened(Says(["ok"])) as (provider, server):
        stream(provider)
        sent = str(server.requests[0]["tools"])
    assert "statistics" in sent and "highest" in sent and "required" in sent


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_error_may_be_tried_again(opened: Opened, status: int) -> None:
    with opened(Fails(status, "down for a moment")) as (provider, server):
        with pytest.raises(ProviderError, match="down for a moment") as caught:
            stream(provider)
        assert len(server.requests) == 1
    assert caught.value.values["retryable"] is True


def test_rate_limit_is_named(opened: Opened) -> None:
    with opened(Fails(429)) as (provider, _), pytest.raises(ProviderError, match="rate limit") as caught:
        stream(provider)
    assert not isinstance(caught.value, ProviderRefused)


def test_rate_limit_says_when_to_come_back() -> None:
    with _openai(Fails(429, headers={"Retry-After": "7"})) as (provider, _), pytest.raises(ProviderError) as caught:
        stream(provider)
    assert caught.value.values["retry_after_s"] == 7


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_key_is_refused(opened: Opened, status: int) -> None:
    with opened(Fails(status)) as (provider, _), pytest.raises(ProviderRefused, match="_API_KEY"):
        stream(provider)


def test_gemini_says_400_for_a_wrong_key() -> None:
    wrong = Fails(400, "API key not valid. Please pass a valid API key.")
    with _gemini(wrong) as (provider, _), pytest.raises(ProviderRefused):
        stream(provider)


def test_unknown_model_is_not_tried_again(opened: Opened) -> None:
    with opened(Fails(404, "no such model")) as (provider, _), pytest.raises(ProviderError, match="no such") as caught:
        stream(provider)
    assert caught.value.values["retryable"] is False


def test_silence_ends_at_the_deadline(opened: Opened) -> None:
    with opened(Hangs()) as (provider, _), pytest.raises(ProviderTimeout):
        stream(provider, 0.5)


def test_silence_after_words_ends_at_the_deadline(opened: Opened) -> None:
    with opened(Hangs("Some words")) as (provider, _):
        got = []
        with pytest.raises(ProviderTimeout):
            for chunk in provider.stream(ASKED, SPECS, time.monotonic() + 0.7):
                got.append(chunk)
    assert got == [Text("Some words")]


def test_trickling_bytes_do_not_extend_the_deadline(opened: Opened) -> None:
    with opened(Drips()) as (provider, _), pytest.raises(ProviderTimeout):
        stream(provider, 0.5)


def test_cut_connection_is_an_error(opened: Opened) -> None:
    with opened(Cuts()) as (provider, _), pytest.raises(ProviderError, match="cut"):
        stream(provider)


def test_cut_in_the_middle_keeps_the_words_and_raises(opened: Opened) -> None:
    with opened(Cuts("Half a")) as (provider, _):
        got = []
        with pytest.raises(ProviderError, match="cut"):
            for chunk in provider.stream(ASKED, SPECS, time.monotonic() + 5):
                got.append(chunk)
    assert got[0] == Text("Half a")
    assert not any(isinstance(chunk, Done) for chunk in got)


def test_empty_answer_is_an_error(opened: Opened) -> None:
    with opened(Empty()) as (provider, _), pytest.raises(ProviderError, match="empty"):
        stream(provider)


def test_body_of_another_protocol_is_an_error(opened: Opened) -> None:
    with opened(Garbage()) as (provider, _), pytest.raises(ProviderError, match="malformed"):
        stream(provider)


def test_arguments_that_are_no_json_are_handed_on_as_none() -> None:
    with _openai(Calls("statistics", '{"metric": "node_lo')) as (provider, _):
        call = stream(provider)[0]
    assert call.arguments is None and call.raw == '{"metric": "node_lo'


def test_nobody_there_is_an_error() -> None:
    for provider in (Gemini(GEMINI_KEY, "m", "http://127.0.0.1:9"), OpenAI(OPENAI_KEY, "m", "http://127.0.0.1:9/v1")):
        with pytest.raises(ProviderError, match="reached"):
            stream(provider)


@pytest.mark.parametrize(
    "fault",
    [Fails(401, f"bad key {GEMINI_KEY} {OPENAI_KEY}"), Fails(400, f"key {GEMINI_KEY} {OPENAI_KEY}"), Cuts(), Garbage()],
    ids=["401", "400", "cut", "garbage"],
)
def test_no_key_in_any_error_or_log(opened: Opened, fault: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.StringIO()
    handler = logging.StreamHandler(told)
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", root.level)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with opened(fault) as (provider, server):
            try:
                stream(provider)
            except ProviderError as error:
                told.write(error.message + str(error.values) + "".join(traceback.format_exception(error)))
            assert any("SECRET" in str(headers) for headers in server.headers)
    finally:
        root.removeHandler(handler)
    assert "SECRET" not in told.getvalue()


def test_the_key_travels_in_a_header_not_in_the_address(opened: Opened) -> None:
    with opened(Says(["ok"])) as (provider, server):
        stream(provider)
        assert all("SECRET" not in path for path in server.paths)
        assert "SECRET" not in str(server.requests)
