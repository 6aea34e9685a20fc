"""Questions answered from the data: tools as the same actor, a language model only for the words."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.chat import offline, starters, times
from lib.chat.events import Done, Error, Event, Evidence, Text
from lib.chat.grounding import unsupported as unsupported_numbers
from lib.chat.ledger import Ledger
from lib.chat.pseudonyms import Pseudonyms
from lib.db.database import Database
from lib.db.tables import Conversation, Proposal
from lib.errors import AppError, Invalid, ProviderError, Unavailable
from lib.frames import Window
from lib.llm.fallback import Fallback, ProviderStatus, ProviderTest, configured
from lib.llm.provider import TITLES, Message, MessageRole
from lib.services import assistant_privacy
from lib.services.assistant_data import Sight
from lib.services.assistant_model import ModelAnswer, prompt, specs
from lib.services.assistant_privacy import Preview
from lib.services.configuration import Configuration
from lib.services.conversations import Conversations, Entry, exported
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
        self.fallback = Fallback(configured(settings), prices=settings.token_prices)

    # --- answers -----------------------------------------------------------------------------

    def answer(
        self,
        actor: Actor,
        text: str,
        conversation_id: int | None = None,
        history: Sequence[Entry] = (),
        *,
        offline: bool = False,
        again: bool = False,
    ) -> Generator[Event]:
        """Events as they come: Text, ToolCall, Evidence, and at the end Done or Error.

        conversation_id: continue one that is kept. history: what was said before, for whom nothing is kept.
        offline: nothing leaves the machine for this one. again: the last question of the conversation is answered
        anew, and its former answer goes when there is another; `text` does not matter.
        Raises Forbidden, and NotFound for a conversation of somebody else; both before the first event.
        """
        actor.require(Permission.CHAT)
        before = self.kept.entries(actor, conversation_id) if conversation_id is not None else list(history)
        replaced: tuple[int, ...] = ()
        if again:
            last = next((i for i in range(len(before) - 1, -1, -1) if before[i].role == "user"), None)
            if last is None:
                raise Invalid("There is no question to ask again.")
            text = before[last].text
            replaced = tuple(entry.id for entry in before[last:] if entry.id is not None)
            before = before[:last]
        return self._answer(actor, text, _Place(conversation_id, replaced, offline), before)

    def preview(
        self, actor: Actor, text: str, conversation_id: int | None = None, history: Sequence[Entry] = ()
    ) -> Preview | None:
        """What would leave the machine with this question, word for word; None: nothing would."""
        actor.require(Permission.CHAT)
        names = self._names(actor)
        if not names:
            return None
        before = self.kept.entries(actor, conversation_id) if conversation_id is not None else list(history)
        question = text.strip()
        cover = self._cover(actor, conversation_id, question)
        messages = assistant_privacy.as_sent(prompt(question, _messages(before), self.clock(), cover))
        everything = "\n".join(words for _, words in messages)
        return Preview(
            to=self._places(names),
            messages=messages,
            aliases=cover.used_in(everything) if cover else {},
            tools=tuple(tool.name for tool in specs()),
            declared=json.dumps([asdict(tool) for tool in specs()], indent=1, ensure_ascii=False),
        )

    def _answer(self, actor: Actor, text: str, place: _Place, before: list[Entry]) -> Generator[Event]:
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
            yield from self._engines(actor, question, before, writing, place)
        except GeneratorExit:
            # The reader pressed stop: what was read is kept, marked as cut.
            if writing.text:
                self._keep(actor, place, writing.entries(self.clock(), stopped=True))
            raise
        except AppError as error:
            yield Error(error.message, error.code)
            return
        said = writing.entries(self.clock())
        kept_as = self._keep(actor, place, said)
        instead = tuple(self.instead(actor, [*before, *said]))
        yield Done(writing.provider, kept_as, writing.unsupported, writing.notice, writing.sent, instead)

    def _keep(self, actor: Actor, place: _Place, entries: list[Entry]) -> int | None:
        return self.kept.append(actor, place.conversation_id, entries, place.replaced)

    def _cover(self, actor: Actor, conversation_id: int | None, question: str) -> Pseudonyms | None:
        # A conversation that has no number yet: its first question stands for it, so that the next has other aliases.
        which = question if conversation_id is None else str(conversation_id)
        return self.cover(actor, f"{conversation_id is None}/{which}")

    def cover(self, actor: Actor, subject: str) -> Pseudonyms | None:
        """Aliases for what this actor sends about one subject; None where names leave as they are."""
        if not self.settings.llm_pseudonyms:
            return None
        return assistant_privacy.cover(self.sight.exploration.find(actor), f"{actor.name}/{subject}")

    def _engines(
        self, actor: Actor, question: str, before: list[Entry], writing: _Writing, place: _Place
    ) -> Iterator[Event]:
        data = self.sight.bind(actor, writing.asked_at)
        ledger = Ledger(data)
        names = [] if place.offline else self._names(actor)
        if names:
            forced = self.settings.llm_mode is not LlmMode.AUTO
            deadline = time.monotonic() + max(1.0, self.settings.llm_deadline_s - OFFLINE_RESERVE_S)
            cover = self._cover(actor, place.conversation_id, question)
            model = ModelAnswer(self.fallback, names, forced, ledger, deadline, cover)
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
                writing.notice = f"{error.message.rstrip('.')}. The offline engine answered instead."
            finally:
                writing.sent = assistant_privacy.as_sent(model.sent)
        elif (
            not place.offline
            and self.settings.llm_mode in (LlmMode.GEMINI, LlmMode.OPENAI)
            and actor.may(Permission.CHAT_REMOTE)
        ):
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
        data = self.sight.bind(actor, self.clock())
        return starters.questions(data, offline.vocabulary(data))

    def instead(self, actor: Actor, entries: Sequence[Entry]) -> list[str]:
        """What the last question of a conversation may have meant, where the offline engine did not understand it."""
        actor.require(Permission.CHAT)
        asked, answered = entries[-2:] if len(entries) > 1 else (None, None)
        if asked is None or answered is None or answered.provider != OFFLINE or answered.evidence:
            return []
        return offline.instead(asked.text, _turns(entries[:-2]), self.sight.bind(actor, asked.at))

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

    def conversations(self, actor: Actor, search: str = "") -> list[Conversation]:
        """The actor's own, the one used last first; those whose title or words hold what is searched."""
        actor.require(Permission.CHAT)
        return self.kept.search(actor, search)

    def messages(self, actor: Actor, conversation_id: int) -> list[Entry]:
        """What was said, oldest first. Raises NotFound."""
        actor.require(Permission.CHAT)
        return self.kept.entries(actor, conversation_id)

    def rate(self, actor: Actor, message_id: int, rating: int) -> None:
        """Whether an answer helped: 1, -1, or 0 to take it back. Raises NotFound, Invalid."""
        actor.require(Permission.CHAT)
        self.kept.rate(actor, message_id, rating)

    def export(self, actor: Actor, conversation_id: int, form: str = "markdown") -> str:
        """A conversation with its evidence as Markdown or JSON. Raises NotFound, Invalid."""
        actor.require(Permission.CHAT)
        return exported(self.kept.titled(actor, conversation_id), self.kept.entries(actor, conversation_id), form)

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
        leaves = ""
        if names:
            named = (
                "names of metrics, numbers; hosts and label values under made-up names"
                if self.settings.llm_pseudonyms
                else "names of metrics and hosts, label values, numbers"
            )
            leaves = (
                f"Your question, the conversation so far, and what the tools find for it ({named}) are sent to "
                f"{self._places(names)}. Raw samples, passwords and keys are not."
            )
        return AssistantStatus(self.settings.llm_mode, names[0] if names else OFFLINE, leaves, tuple(standing.values()))

    def _places(self, names: Sequence[str]) -> str:
        standing = {one.name: one for one in self.fallback.status()}
        return " or ".join(f"{TITLES.get(n, n)} ({standing[n].model} at {standing[n].host})" for n in names)

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


@dataclass(frozen=True)
class _Place:
    """Where an answer goes, what it takes the place of, and whether it stays on this machine."""

    conversation_id: int | None
    replaced: tuple[int, ...] = ()
    offline: bool = False


class _Writing:
    """What an answer has come to so far."""

    def __init__(self, question: str, asked_at: datetime) -> None:
        self.question, self.asked_at = question, asked_at
        self.text, self.provider, self.notice = "", OFFLINE, ""
        self.evidence: list[Evidence] = []
        self.unsupported: tuple[str, ...] = ()
        self.sent: tuple[tuple[str, str], ...] = ()

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
                self.sent,
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
