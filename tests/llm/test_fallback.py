"""Providers in turn: who is asked, when the next one is, and that the deadline holds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pytest
from pydantic import SecretStr

from lib.errors import ProviderError, ProviderRefused, ProviderTimeout, Unavailable
from lib.llm.fallback import OPEN_S, REFUSED_OPEN_S, Fallback, ProviderState, configured
from lib.llm.provider import Chunk, Done, Message, MessageRole, Text, ToolSpec, Waiting
from lib.settings import LlmMode, Settings
from tests.llm.servers import Behaviour, Calls, Cuts, Drips, Empty, Fails, Garbage, Hangs, Says
from tests.llm.servers import gemini_server as gemini
from tests.llm.servers import openai_server as openai

ASKED = [Message(MessageRole.USER, "hello")]
FAULTS = [Fails(429), Fails(500), Fails(503), Fails(401), Hangs(), Drips(), Cuts(), Empty(), Garbage()]


class Plays:
    """A provider that does what it is told, one act a question."""

    model, host = "scripted", "nowhere"

    def __init__(self, name: str, *acts: Callable[[], Iterator[Chunk]] | Exception | str) -> None:
        self.name, self.acts, self.asked = name, list(acts), 0

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec], deadline: float) -> Iterator[Chunk]:
        self.asked += 1
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        if isinstance(act, Exception):
            raise act
        if isinstance(act, str):
            yield Text(act)
            yield Done(3, 2)
            return
        yield from act()


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(fallback: Fallback, seconds: float = 5.0, names: Sequence[str] | None = None, **more: Any) -> tuple[str, str]:
    """(who answered, what)"""
    names = list(fallback.providers) if names is None else names
    got = heard(fallback.stream(names, ASKED, (), time.monotonic() + seconds, **more))
    return got[0][0], "".join(chunk.text for _, chunk in got if isinstance(chunk, Text))


def heard(chunks: Iterable[tuple[str, Chunk]]) -> list[tuple[str, Chunk]]:
    return [(name, chunk) for name, chunk in chunks if not isinstance(chunk, Waiting)]


def quick(*providers: Any, clock: Time | None = None) -> Fallback:
    return Fallback(providers, sleep=lambda _: None, monotonic=clock or Time())


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.0)


def test_first_provider_answers_when_it_can() -> None:
    first, second = Plays("gemini", "one"), Plays("openai", "two")
    assert run(quick(first, second)) == ("gemini", "one")
    assert second.asked == 0


def test_passing_trouble_is_tried_again_before_the_next() -> None:
    first, second = Plays("gemini", ProviderError("busy"), "one"), Plays("openai", "two")
    assert run(quick(first, second)) == ("gemini", "one")
    assert (first.asked, second.asked) == (2, 0)


def test_lasting_trouble_goes_to_the_next() -> None:
    first, second = Plays("gemini", ProviderError("down")), Plays("openai", "two")
    assert run(quick(first, second)) == ("openai", "two")
    assert first.asked == 3


@pytest.mark.parametrize(
    "error", [ProviderRefused("key"), ProviderTimeout("slow"), ProviderError("no", retryable=False)]
)
def test_what_repeating_does_not_help_is_not_repeated(error: ProviderError) -> None:
    first, second = Plays("gemini", error), Plays("openai", "two")
    assert run(quick(first, second)) == ("openai", "two")
    assert first.asked == 1


def test_long_retry_after_goes_to_the_next_at_once() -> None:
    first, second = Plays("gemini", ProviderError("busy", retry_after_s=60.0)), Plays("openai", "two")
    assert run(quick(first, second)) == ("openai", "two")
    assert first.asked == 1


def test_nobody_takes_over_after_the_first_word() -> None:
    def breaks() -> Iterator[Chunk]:
        yield Text("half a ")
        raise ProviderError("cut")

    first, second = Plays("gemini", breaks), Plays("openai", "two")
    got = []
    with pytest.raises(ProviderError, match="cut"):
        for _, chunk in quick(first, second).stream(["gemini", "openai"], ASKED, (), time.monotonic() + 5):
            got.append(chunk)
    assert got == [Text("half a ")]
    assert (first.asked, second.asked) == (1, 0)


def test_last_error_is_raised_when_all_fail() -> None:
    with pytest.raises(ProviderError, match="second"):
        run(quick(Plays("gemini", ProviderError("first")), Plays("openai", ProviderError("second"))))


def test_no_provider_says_what_to_set() -> None:
    with pytest.raises(Unavailable, match="GEMINI_API_KEY"):
        run(quick())


def test_unforeseen_failure_tells_only_its_kind() -> None:
    with pytest.raises(ProviderError, match="RuntimeError") as caught:
        run(quick(Plays("gemini", RuntimeError("sk-secret-in-here"))))
    assert "secret" not in caught.value.message


def test_provider_rests_after_repeated_failures_and_is_tried_again_later() -> None:
    clock = Time()
    first, second = Plays("gemini", ProviderError("down")), Plays("openai", "two")
    fallback = quick(first, second, clock=clock)
    run(fallback)
    assert first.asked == 3
    assert [s.state for s in fallback.status()] == [ProviderState.RESTING, ProviderState.READY]
    run(fallback)
    assert first.asked == 3
    clock.now += OPEN_S + 1
    first.acts = ["back"]
    assert run(fallback) == ("gemini", "back")
    assert fallback.status()[0].state is ProviderState.READY


def test_refused_key_rests_at_once_and_for_long() -> None:
    clock = Time()
    first = Plays("gemini", ProviderRefused("wrong key"))
    fallback = quick(first, Plays("openai", "two"), clock=clock)
    run(fallback)
    clock.now += REFUSED_OPEN_S - 1
    run(fallback)
    assert first.asked == 1
    assert fallback.status()[0].last_error == "wrong key"


def test_all_resting_says_when_they_are_asked_again() -> None:
    first = Plays("gemini", ProviderRefused("wrong key"))
    fallback = quick(first)
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            run(fallback)
    assert "asked again in" in caught.value.message and first.asked == 1


def test_insisting_asks_a_resting_provider() -> None:
    first = Plays("gemini", ProviderRefused("wrong key"), "fine now")
    fallback = quick(first)
    with pytest.raises(ProviderRefused):
        run(fallback)
    assert run(fallback, insist=True) == ("gemini", "fine now")


def test_requests_failures_and_tokens_are_counted() -> None:
    fallback = quick(Plays("gemini", ProviderError("busy"), "one"))
    run(fallback)
    status = fallback.status()[0]
    assert (status.requests, status.failures, status.tokens_in, status.tokens_out) == (2, 1, 3, 2)


def test_trial_question_tells_each_provider_apart() -> None:
    fallback = quick(Plays("gemini", ProviderRefused("wrong key")), Plays("openai", "OK"))
    bad, good = fallback.test(2.0)
    assert (bad.ok, bad.message) == (False, "wrong key")
    assert (good.name, good.ok) == ("openai", True)


def test_order_follows_the_mode() -> None:
    fallback = quick(Plays("gemini", "1"), Plays("openai", "2"))
    assert fallback.order(LlmMode.AUTO) == ["gemini", "openai"]
    assert fallback.order(LlmMode.OPENAI) == ["openai"]
    assert fallback.order(LlmMode.OFFLINE) == []


def test_only_what_has_a_key_or_a_local_address_is_configured(settings: Settings) -> None:
    settings = settings.model_copy(update={"gemini_api_key": SecretStr(""), "openai_api_key": SecretStr("")})
    settings = settings.model_copy(update={"openai_base_url": ""})
    assert configured(settings) == []
    local = settings.model_copy(update={"openai_base_url": "http://127.0.0.1:8080/v1"})
    assert [(p.name, p.host) for p in configured(local)] == [("openai", "127.0.0.1")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{type(f).__name__}{getattr(f, 'status', '')}")
def test_real_clients_fall_back_within_the_deadline(fault: Behaviour, settings: Settings) -> None:
    with gemini(fault) as broken, openai(Says(["from ", "the second"])) as sound:
        settings = keyed(settings, broken.url, sound.url)
        began = time.monotonic()
        assert run(Fallback(configured(settings)), 6.0) == ("openai", "from the second")
        assert time.monotonic() - began < 6.0


def test_silence_is_told_so_that_a_reader_can_leave(settings: Settings) -> None:
    with gemini(Hangs()) as one, openai(Hangs("So far ")) as two:
        fallback = Fallback(configured(keyed(settings, one.url, two.url)))
        for name in ("gemini", "openai"):
            chunks = fallback.stream([name], ASKED, (), time.monotonic() + 60)
            assert any(isinstance(chunk, Waiting) for _, chunk in islice(chunks, 3))
            chunks.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{type(f).__name__}{getattr(f, 'status', '')}")
def test_both_failing_is_a_clear_error_within_the_deadline(fault: Behaviour, settings: Settings) -> None:
    with gemini(fault) as one, openai(fault) as two:
        settings = keyed(settings, one.url, two.url)
        began = time.monotonic()
        with pytest.raises(ProviderError) as caught:
            run(Fallback(configured(settings)), 2.0)
        assert time.monotonic() - began < 3.0
    assert caught.value.message and "SECRET" not in caught.value.message


def test_call_from_the_second_after_the_first_failed(settings: Settings) -> None:
    with gemini(Fails(503)) as broken, openai(Calls("statistics", {"metric": "m"})) as sound:
        fallback = Fallback(configured(keyed(settings, broken.url, sound.url)))
        got = heard(fallback.stream(["gemini", "openai"], ASKED, (), time.monotonic() + 6))
    assert [(name, type(chunk).__name__) for name, chunk in got] == [("openai", "ToolCall"), ("openai", "Done")]


def keyed(settings: Settings, gemini_url: str, openai_url: str) -> Settings:
    return settings.model_copy(
        update={
            "gemini_api_key": SecretStr("AIzaSECRETSECRET0000"),
            "gemini_endpoint": gemini_url,
            "openai_api_key": SecretStr("sk-SECRETSECRET0000"),
            "openai_base_url": f"{openai_url}/v1",
        }
    )
