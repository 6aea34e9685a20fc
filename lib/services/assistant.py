"""Questions answered from the data: tools as the same actor, a language model only for the words."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.chat import offline, times
from lib.chat.events import Done, Error, Event, Evidence, Text
from lib.chat.grounding import unsupported as unsupported_numbers
from lib.chat.ledger import Ledger
from lib.db.database import Database
from lib.db.tables import Conversation, Proposal
from lib.errors import AppError, Invalid, ProviderError, Unavailable
from lib.frames import Window
from lib.llm.fallback import Fallback, ProviderStatus, ProviderTest, configured
from lib.llm.provider import TITLES, Message, MessageRole
from lib.services.assistant_data import Sight
from lib.services.assistant_model import ModelAnswer
from lib.services.configuration import Configuration
from lib.services.conversations import Conversations, Entry
from lib.settings import LlmMode, Settings

log = logging.getLogger(__name__)

OFFLINE = "offline"
# A question longer than this is a paste; a provider would be sent all of it.
MAX_CHARACTERS = 2000
# Kept free for the offline engine when providers use up the deadline.
OFFLINE_RESERVE_S = 1.0


@dataclass(frozen=True)
class AssistantStatus:
    """Who would answer this actor now. engine: the first to be asked. leaves: what is sent where; '' for nothing."""

    mode: LlmMode
    engine: str
    leaves: str
    providers: tuple[ProviderStatus, ...]


class Assistant:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        sight: Sight,
        audit: Audit,
        clock: Callable,
    ) -> None:
        self.settings, self.database, self.audit, self.clock = settings, database, audit, clock
        self.sight, self.commands = sight, sight.commands
        self.kept = Conversations(database, clock)
        self.fallback = Fallback(configured(settings))

    # --- answers -----------------------------------------------------------------------------

    def answer(
        self, actor: Actor, text: str, conversation_id: int | None = None, history: Sequence[Entry] = ()
    ) -> Iterator[Event]:
        """Events as they come: Text, ToolCall, Evidence, and at the end Done or Error.

        conversation_id: continue one that is kept. history: what was said before, for whom nothing is kept.
        Raises Forbidden, and NotFound for a conversation of somebody else; both before the first event.
        """
        actor.require(Permission.CHAT)
        before = self.kept.entries(actor, conversation_id) if conversation_id is not None else list(history)
        return self._answer(actor, text, conversation_id, before)

    def _answer(self, actor: Actor, text: str, conversation_id: int | None, before: list[Entry]) -> Iterator[Event]:
        question = text.strip()
        if not question:
            yield Error("Please type a question, like: which hosts had anomalies yesterday?", "invalid")
            return
        if len(question) > MAX_CHARACTERS:
            told = (
                f"That is {len(question):,} characters; a question may have {MAX_CHARACTERS:,}. Please ask it shorter."
            )
            yield Error(told, "invalid")
            return
        asked_at = self.clock()
        writing = _Writing(question, asked_at)
        try:
            yield from self._engines(actor, question, before, writing)
        except GeneratorExit:
            # The reader pressed stop: what was read is kept, marked as cut.
            if writing.text:
                self.kept.append(actor, conversation_id, writing.entries(self.clock(), stopped=True))
            raise
        except AppError as error:
            yield Error(error.message, error.code)
            return
        kept_as = self.kept.append(actor, conversation_id, writing.entries(self.clock()))
        yield Done(writing.provider, kept_as, writing.unsupported, writing.notice)

    def _engines(self, actor: Actor, question: str, before: list[Entry], writing: _Writing) -> Iterator[Event]:
        data = self.sight.bind(actor, writing.asked_at)
        ledger = Ledger(data)
        names = self._names(actor)
        if names:
            forced = self.settings.llm_mode is not LlmMode.AUTO
            deadline = time.monotonic() + max(1.0, self.settings.llm_deadline_s - OFFLINE_RESERVE_S)
            model = ModelAnswer(self.fallback, names, forced, ledger, deadline)
            try:
                for event in model.events(question, _messages(before), writing.asked_at):
                    writing.provider = model.provider
                    yield writing.take(event)
                writing.unsupported = model.unsupported
                return
            except ProviderError as error:
                # Words are out: nobody else may go on in the middle of a sentence.
                if forced or writing.text:
                    raise
                writing.provider = OFFLINE
                writing.notice = f"{error.message} The offline engine answered instead."
        elif self.settings.llm_mode in (LlmMode.GEMINI, LlmMode.OPENAI) and actor.may(Permission.CHAT_REMOTE):
            variable = f"{self.settings.llm_mode.upper()}_API_KEY"
            raise Unavailable(
                f"{TITLES[self.settings.llm_mode]} is chosen but has no key; set {variable} or switch to auto."
            )
        turns = _turns(before)
        for event in offline.answer(question, turns, data, ledger):
            yield writing.take(event)

    def _names(self, actor: Actor) -> list[str]:
        return self.fallback.order(self.settings.llm_mode) if actor.may(Permission.CHAT_REMOTE) else []

    def suggestions(self, actor: Actor) -> list[str]:
        """Questions that have an answer, from what is in the data."""
        actor.require(Permission.CHAT)
        known = offline.vocabulary(self.sight.bind(actor, self.clock()))
        if not known.metrics:
            return ["What can you do?"]
        made = ["What was the worst anomaly yesterday?", "Which hosts had anomalies in the last 24 hours?"]
        if "node_cpu_seconds_total" in known.metrics:
            made.append("Which host had the highest CPU today, and when?")
        if known.hosts and {"node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"} <= set(known.metrics):
            made.append(f"Memory usage on {known.hosts[0]} in the last 6 hours")
        made.append("Were there gaps in the data this week?")
        if len(known.hosts) > 2:
            made.append("What changed in the last hour?")
        if "node_load1" in known.metrics:
            made.append("95th percentile of load yesterday")
        return [*made, "Which metrics are there?"]

    # --- evidence and commands ---------------------------------------------------------------

    def again(self, actor: Actor, card: Evidence) -> Evidence:
        """The call behind a card once more, over the same window: what it gives now.

        Raises Invalid for a card that cannot be run again, or that gives nothing any more.
        """
        actor.require(Permission.CHAT)
        call = card.links.get("call") or {}
        name, arguments = str(call.get("name", "")), dict(call.get("arguments") or {})
        if not name or name == "command":
            raise Invalid("This cannot be run again; ask the question anew.")
        if "period" in arguments and card.window_start and card.window_end:
            # "Last hour" was another hour then.
            arguments["period"] = times.iso(Window(card.window_start, card.window_end))
        result, again = Ledger(self.sight.bind(actor, self.clock())).call(name, arguments)
        if again is None:
            raise Invalid(result.message or "It gave nothing this time.")
        return replace(again, number=card.number)

    def proposals(self, actor: Actor, ids: Sequence[int]) -> list[Proposal]:
        """How one's own commands among these stand."""
        actor.require(Permission.CHAT)
        return self.commands.of(actor, ids)

    def approve(self, actor: Actor, proposal_id: int, shown: str) -> Proposal:
        """Carry a command out, once, as it was shown. Raises NotFound, Forbidden, Invalid, Conflict."""
        actor.require(Permission.CHAT)
        return self.commands.approve(actor, proposal_id, shown)

    def reject(self, actor: Actor, proposal_id: int) -> Proposal:
        """Raises NotFound, Conflict."""
        actor.require(Permission.CHAT)
        return self.commands.reject(actor, proposal_id)

    # --- history -----------------------------------------------------------------------------

    def conversations(self, actor: Actor) -> list[Conversation]:
        """The actor's own, the one used last first."""
        actor.require(Permission.CHAT)
        return self.kept.of(actor)

    def messages(self, actor: Actor, conversation_id: int) -> list[Entry]:
        """What was said, oldest first. Raises NotFound."""
        actor.require(Permission.CHAT)
        return self.kept.entries(actor, conversation_id)

    def rename(self, actor: Actor, conversation_id: int, title: str) -> None:
        """Raises NotFound, Invalid."""
        actor.require(Permission.CHAT)
        self.kept.rename(actor, conversation_id, title)

    def delete(self, actor: Actor, conversation_id: int) -> None:
        """For good. Raises NotFound."""
        actor.require(Permission.CHAT)
        self.kept.delete(actor, conversation_id)

    # --- providers ---------------------------------------------------------------------------

    def status(self, actor: Actor) -> AssistantStatus:
        """Who would answer, and what would leave the machine."""
        actor.require(Permission.CHAT)
        names = self._names(actor)
        standing = {one.name: one for one in self.fallback.status()}
        places = " or ".join(
            f"{TITLES.get(name, name)} ({standing[name].model} at {standing[name].host})" for name in names
        )
        leaves = ""
        if places:
            leaves = (
                "Your question, the conversation so far, and what the tools find for it (names of metrics and hosts, "
                f"label values, numbers) are sent to {places}. Raw samples, passwords and keys are not."
            )
        return AssistantStatus(self.settings.llm_mode, names[0] if names else OFFLINE, leaves, tuple(standing.values()))

    def providers(self) -> list[ProviderStatus]:
        """How each configured provider stands, for /health and /metrics."""
        return self.fallback.status()

    def test_all(self, actor: Actor) -> list[ProviderTest]:
        """Ask every configured provider one small question."""
        actor.require(Permission.MANAGE_SETTINGS)
        tests = self.fallback.test()
        self.audit.record(actor, "test providers", outcome="ok" if all(t.ok for t in tests) else "failed")
        return tests

    def switch(self, actor: Actor, mode: LlmMode) -> None:
        """Choose which language model answers, for everybody, at once."""
        actor.require(Permission.MANAGE_SETTINGS)
        Configuration(self.settings, self.database, self.audit, self.clock).change(actor, "llm_mode", mode.value)


class _Writing:
    """What an answer has come to so far."""

    def __init__(self, question: str, asked_at: datetime) -> None:
        self.question, self.asked_at = question, asked_at
        self.text, self.provider, self.notice = "", OFFLINE, ""
        self.evidence: list[Evidence] = []
        self.unsupported: tuple[str, ...] = ()

    def take(self, event: Event) -> Event:
        if isinstance(event, Text):
            self.text += event.text
        elif isinstance(event, Evidence):
            self.evidence.append(event)
        return event

    def entries(self, now: datetime, stopped: bool = False) -> list[Entry]:
        if stopped and self.provider != OFFLINE:
            given = [{"table": list(one.table), "rows": one.rows} for one in self.evidence]
            self.unsupported = unsupported_numbers(self.text, given, self.question)
        return [
            Entry("user", self.question, self.asked_at),
            Entry(
                "assistant",
                self.text,
                now,
                self.provider,
                tuple(self.evidence),
                self.unsupported,
                self.notice,
                stopped,
            ),
        ]


def _messages(before: Sequence[Entry]) -> list[Message]:
    roles = {"user": MessageRole.USER, "assistant": MessageRole.ASSISTANT}
    return [Message(roles[entry.role], entry.text) for entry in before if entry.role in roles and entry.text]


def _turns(before: Sequence[Entry]) -> list[offline.Turn]:
    """Questions with the anomalies their answers spoke of."""
    turns: list[offline.Turn] = []
    for entry in before:
        if entry.role == "user":
            turns.append(offline.Turn(entry.text, entry.at))
        elif turns:
            ids = tuple(i for card in entry.evidence for i in card.links.get("anomaly_ids", ()))
            turns[-1] = offline.Turn(turns[-1].text, turns[-1].at, tuple(dict.fromkeys(ids)))
    return turns
