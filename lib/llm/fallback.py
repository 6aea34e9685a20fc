"""Language models in turn: the next one answers when one cannot, within one deadline, before the first word is out."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from lib.errors import ProviderError, ProviderRefused, ProviderTimeout, Unavailable
from lib.llm.gemini import Gemini
from lib.llm.openai import OpenAI
from lib.llm.provider import TITLES, Chunk, Done, Message, MessageRole, Provider, ToolSpec, Waiting
from lib.settings import LlmMode, Settings

log = logging.getLogger(__name__)

ATTEMPTS = 3  # per provider and question: the first try and two more
BACKOFF_S = 0.5  # doubled each time, with full jitter
FAILURES_TO_OPEN = 3  # in a row, until a provider is left alone for a while
OPEN_S = 60.0
# How long a reader who pressed stop waits while a provider says nothing.
WAITING_S = 0.4
REFUSED_OPEN_S = 600.0  # a wrong key does not become right in a minute


class ProviderState(StrEnum):
    """How a provider fares."""

    READY = "ready"
    FAILING = "failing"  # its last attempt failed; still asked first
    RESTING = "resting"  # failed several times in a row, or refused the key; left alone until `retry_in_s`


@dataclass(frozen=True)
class ProviderStatus:
    """What status pages and /metrics show of a provider; never its key."""

    name: str
    model: str
    host: str
    state: ProviderState = ProviderState.READY
    last_error: str = ""
    retry_in_s: float = 0.0
    requests: int = 0
    failures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    price: tuple[float, float] | None = None  # US dollars a token sent, received; None: not known

    @property
    def cost_usd(self) -> float | None:
        """What its tokens came to since the app started; None where its price is not known."""
        return None if self.price is None else self.tokens_in * self.price[0] + self.tokens_out * self.price[1]


@dataclass(frozen=True)
class ProviderTest:
    """What a trial question to one provider came to."""

    name: str
    ok: bool
    message: str
    seconds: float


def configured(settings: Settings) -> list[Provider]:
    """The providers that have a key (or a local address), in the order they are asked."""
    providers: list[Provider] = []
    if key := settings.gemini_api_key.get_secret_value():
        providers.append(Gemini(key, settings.gemini_model, settings.gemini_endpoint))
    key = settings.openai_api_key.get_secret_value()
    if key or settings.openai_base_url:
        providers.append(OpenAI(key, settings.openai_model, settings.openai_base_url))
    return providers


class Fallback:
    """Keeps each provider's standing between questions. Safe to use from several threads."""

    def __init__(
        self,
        providers: Sequence[Provider],
        sleep: Callable[[float], None] = time.sleep,
        prices: Mapping[str, tuple[float, float]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self._sleep, self._monotonic = sleep, monotonic
        self._lock = threading.Lock()
        self._status = {
            p.name: ProviderStatus(p.name, p.model, p.host, price=(prices or {}).get(p.model)) for p in providers
        }
        self._in_a_row = dict.fromkeys(self.providers, 0)
        self._open_until = dict.fromkeys(self.providers, 0.0)

    def order(self, mode: LlmMode) -> list[str]:
        """Names of the providers a mode asks, best first; empty: the offline engine answers."""
        if mode is LlmMode.OFFLINE:
            return []
        return [name for name in self.providers if mode is LlmMode.AUTO or name == mode.value]

    def stream(
        self,
        names: Sequence[str],
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        deadline: float,
        insist: bool = False,
    ) -> Iterator[tuple[str, Chunk]]:
        """(provider, chunk) pairs of the first of `names` that answers. deadline: a moment of `time.monotonic()`.

        While nothing comes, Waiting does, about twice a second.

        A provider is left only before its first chunk; after it, its errors are raised. insist: ask also those
        that rest (a person chose them). Raises the last provider's error when none answered, with asked=False among
        its values when nothing was sent to any; Unavailable when there was none to ask.
        """
        asked = [name for name in names if insist or self._may_ask(name)]
        last: ProviderError | None = None
        for position, name in enumerate(asked):
            # The first to hang must not take the time of those after it.
            share = (deadline - time.monotonic()) / (len(asked) - position)
            try:
                yield from self._attempts(name, messages, tools, time.monotonic() + share, deadline)
                return
            except _AfterFirstChunk as cut:
                raise cut.error from None
            except ProviderError as error:
                last = error
        if last:
            raise last
        resting = [s for s in self.status() if s.name in names]
        if not resting:
            raise Unavailable("No language model provider is configured; set GEMINI_API_KEY or OPENAI_API_KEY.")
        told = "; ".join(
            f"{TITLES.get(s.name, s.name)} is asked again in {s.retry_in_s:.0f} s ({s.last_error})" for s in resting
        )
        raise ProviderError(f"Left alone after failures: {told}", retryable=False, asked=False)

    def status(self) -> list[ProviderStatus]:
        """One entry a configured provider, in the order they are asked."""
        now = self._monotonic()
        with self._lock:
            found = []
            for name, status in self._status.items():
                rest = max(0.0, self._open_until[name] - now)
                found.append(replace(status, state=ProviderState.RESTING, retry_in_s=rest) if rest else status)
            return found

    def test(self, timeout_s: float = 15.0) -> list[ProviderTest]:
        """Ask each provider one small question, whatever its standing; success ends its rest."""
        return [self._test(name, timeout_s) for name in self.providers]

    def _test(self, name: str, timeout_s: float) -> ProviderTest:
        began = time.monotonic()
        question = [Message(MessageRole.USER, "Reply with the word OK.")]
        try:
            for _ in self._attempt(name, question, (), began + timeout_s, began + timeout_s):
                pass
        except (_AfterFirstChunk, ProviderError) as error:
            told = error.error if isinstance(error, _AfterFirstChunk) else error
            self._note_failure(name, told)
            return ProviderTest(name, False, told.message, time.monotonic() - began)
        return ProviderTest(name, True, "Answered.", time.monotonic() - began)

    def _attempts(
        self, name: str, messages: Sequence[Message], tools: Sequence[ToolSpec], first_by: float, deadline: float
    ) -> Iterator[tuple[str, Chunk]]:
        for attempt in range(ATTEMPTS):
            try:
                for chunk in self._attempt(name, messages, tools, first_by, deadline):
                    yield name, chunk
                return
            except _AfterFirstChunk as cut:
                self._note_failure(name, cut.error)
                raise
            except ProviderError as error:
                self._note_failure(name, error)
                again = error.values.get("retryable", error.retryable) and not isinstance(error, ProviderTimeout)
                pause = random.uniform(0, BACKOFF_S * 2**attempt)  # noqa: S311 (jitter, not a secret)
                asked_for = error.values.get("retry_after_s")
                pause = max(pause, float(asked_for)) if isinstance(asked_for, int | float) else pause
                # Waiting is worth it only when time for an answer is left after it.
                if not again or attempt == ATTEMPTS - 1 or pause > (first_by - time.monotonic()) / 2:
                    raise
                self._sleep(pause)

    def _attempt(
        self, name: str, messages: Sequence[Message], tools: Sequence[ToolSpec], first_by: float, deadline: float
    ) -> Iterator[Chunk]:
        provider = self.providers[name]
        self._note(name, requests=1)
        started = False
        try:
            for chunk in _pumped(provider, messages, tools, first_by, deadline):
                started = started or not isinstance(chunk, Waiting)
                if isinstance(chunk, Done):
                    self._note_success(name, chunk)
                yield chunk
        except ProviderError as error:
            if started:
                raise _AfterFirstChunk(error) from None
            raise

    def _may_ask(self, name: str) -> bool:
        with self._lock:
            return self._open_until[name] <= self._monotonic()

    def _note(self, name: str, **more: int) -> None:
        with self._lock:
            status = self._status[name]
            self._status[name] = replace(status, **{key: getattr(status, key) + count for key, count in more.items()})

    def _note_success(self, name: str, done: Done) -> None:
        self._note(name, tokens_in=done.tokens_in, tokens_out=done.tokens_out)
        with self._lock:
            self._in_a_row[name], self._open_until[name] = 0, 0.0
            self._status[name] = replace(self._status[name], state=ProviderState.READY, last_error="")

    def _note_failure(self, name: str, error: ProviderError) -> None:
        self._note(name, failures=1)
        log.warning("provider failed", extra={"provider": name, "code": error.code, "reason": error.message})
        with self._lock:
            self._in_a_row[name] += 1
            rest = REFUSED_OPEN_S if isinstance(error, ProviderRefused) else OPEN_S
            if isinstance(error, ProviderRefused) or self._in_a_row[name] >= FAILURES_TO_OPEN:
                self._open_until[name] = self._monotonic() + rest
            self._status[name] = replace(self._status[name], state=ProviderState.FAILING, last_error=error.message)


class _AfterFirstChunk(Exception):
    """Carries an error past the point of return: words are out, nobody else may take over."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(error.message)
        self.error = error


def _pumped(
    provider: Provider, messages: Sequence[Message], tools: Sequence[ToolSpec], first_by: float, deadline: float
) -> Iterator[Chunk]:
    """A provider's chunks, read by a thread of their own, so that the deadline holds whatever the client waits for.

    A thread left behind ends with its own time-out.
    """
    title = TITLES.get(provider.name, provider.name)
    arrived: queue.SimpleQueue[Chunk | BaseException | None] = queue.SimpleQueue()
    left = threading.Event()

    def read() -> None:
        try:
            for chunk in provider.stream(messages, tools, deadline):
                arrived.put(chunk)
                if left.is_set():
                    return
            arrived.put(None)
        except BaseException as error:  # handed over to the thread that waits
            arrived.put(error)

    threading.Thread(target=read, name=f"llm-{provider.name}", daemon=True).start()
    until = first_by
    try:
        while True:
            left_s = until - time.monotonic()
            try:
                item = arrived.get(timeout=min(WAITING_S, max(0.0, left_s)))
            except queue.Empty:
                if left_s <= WAITING_S:
                    raise ProviderTimeout(f"{title} did not answer within the deadline.") from None
                yield Waiting()
                continue
            if item is None:
                return
            if isinstance(item, ProviderError):
                raise item
            if isinstance(item, BaseException):
                # Unforeseen: its words may hold anything, so only its kind is told.
                raise ProviderError(f"{title} failed unexpectedly ({type(item).__name__}).")
            until = deadline
            yield item
    finally:
        left.set()
