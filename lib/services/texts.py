"""Texts written and read: generate from a prompt, analyse; by a provider when there is one, offline otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.chat.escape import Inert, for_prompt
from lib.chat.events import Done, Error, Event, Text, Waiting
from lib.chat.pseudonyms import Pseudonyms, Revealing
from lib.errors import Invalid, ProviderError, Unavailable
from lib.llm import provider as llm
from lib.llm.fallback import Fallback
from lib.llm.provider import TITLES, Message, MessageRole
from lib.services.assistant_model import ALIASES, outgoing
from lib.services.assistant_privacy import Preview, as_sent
from lib.settings import LlmMode, Settings
from lib.text import analysis
from lib.text.analysis import Analysis, Wanted

MOST_CHARACTERS = 2_000_000
# What a provider is sent at most; a longer text is read offline, which takes a second.
MOST_SENT = 20_000
MOST_PROMPT = 20_000
MOST_LABELS = 20
_LABEL_CHARACTERS = 120
_SYSTEM = (
    "You help people who run computer systems to write. Answer the request itself, in plain text or Markdown without "
    "links, images or HTML. You have no data of theirs: where numbers or names are needed that the request does not "
    "give, leave a blank to fill in."
)


class Texts:
    """Nothing of it is kept. What is sent has no credentials, and names covered as in chat.

    cover: aliases for an actor and a subject, None for names as they are.
    """

    def __init__(
        self,
        settings: Settings,
        fallback: Fallback,
        audit: Audit,
        cover: Callable[[Actor, str], Pseudonyms | None] = lambda _actor, _subject: None,
    ) -> None:
        self.settings, self.fallback, self.audit, self._cover = settings, fallback, audit, cover

    def analyse(
        self,
        actor: Actor,
        text: str,
        wanted: Sequence[Wanted] = tuple(Wanted),
        labels: Sequence[str] = (),
        *,
        offline: bool = False,
        most: int = 10,
    ) -> Analysis:
        """What a text says. offline: whatever is configured, nothing leaves the machine.

        Logs, and texts too long to send, are always read offline. Raises Invalid; never ProviderError: when a
        provider fails, or answers something else, the offline engine's reading comes with a note that says so.
        """
        actor.require(Permission.CHAT)
        labels = _labels(labels)
        if not text.strip():
            raise Invalid("There is no text to analyse; paste some.")
        if len(text) > MOST_CHARACTERS:
            raise Invalid(
                f"That are {len(text):,} characters; {MOST_CHARACTERS:,} can be analysed. Cut it into parts.",
                characters=len(text),
            )
        wanted = _askable(wanted, labels)
        if not wanted:
            raise Invalid("Give at least two labels to choose from, like: network, disk, memory.")
        names = [] if offline else self._names(actor)
        for_model = [one for one in wanted if one is not Wanted.LOG]
        note = ""
        if names and for_model and len(text) <= MOST_SENT:
            try:
                read = self._by_model(actor, names, text, for_model, labels)
                if Wanted.LOG not in wanted:
                    return read
                return _joined(read, analysis.analyse(text, [Wanted.LOG], (), most))
            except (ProviderError, Unavailable) as error:
                note = f"{error.message.rstrip('.')}. The offline engine read it instead."
            except (ValueError, KeyError, TypeError):
                note = (
                    "The provider's answer was not in the form that was asked for. The offline engine read it instead."
                )
        elif names and for_model:
            note = f"Texts of more than {MOST_SENT:,} characters are not sent to a provider; this was read offline."
        read = analysis.analyse(text, wanted, labels, most)
        return _noted(read, note) if note else read

    def generate(self, actor: Actor, prompt: str) -> Iterator[Event]:
        """Text as it arrives, then Done; Error when nobody could. Raises Forbidden before the first event."""
        actor.require(Permission.CHAT)
        return self._generate(actor, prompt.strip())

    def _generate(self, actor: Actor, prompt: str) -> Iterator[Event]:
        if not prompt:
            yield Error("Please say what to write, like: a short status message for a database outage.", "invalid")
            return
        if len(prompt) > MOST_PROMPT:
            yield Error(f"That are {len(prompt):,} characters; a prompt may have {MOST_PROMPT:,}.", "invalid")
            return
        names = self._names(actor)
        if not names:
            yield Error(self.why_nobody(actor), "unavailable")
            return
        cover = self._cover(actor, prompt)
        messages = _to_write(prompt, cover)
        inert, revealing, engine = Inert(), Revealing(cover or Pseudonyms((), b"")), ""
        try:
            for name, chunk in self.fallback.stream(names, messages, (), self._deadline(), self._insist()):
                engine = name
                if isinstance(chunk, llm.Waiting):
                    yield Waiting()
                elif isinstance(chunk, llm.Text) and (words := inert.feed(revealing.feed(chunk.text))):
                    yield Text(words)
        except (ProviderError, Unavailable) as error:
            yield Error(error.message, error.code)
            return
        if words := inert.feed(revealing.end()) + inert.end():
            yield Text(words)
        yield Done(engine, sent=as_sent(messages))

    def preview(
        self, actor: Actor, text: str, wanted: Sequence[Wanted] = (), labels: Sequence[str] = ()
    ) -> Preview | None:
        """What would leave the machine to write from a prompt, or with `wanted` to read a text; None: nothing would."""
        actor.require(Permission.CHAT)
        labels = _labels(labels)
        for_model = [one for one in _askable(wanted, labels) if one is not Wanted.LOG]
        subject = text if wanted else text.strip()
        nothing = not subject.strip() or len(subject) > MOST_SENT or (bool(wanted) and not for_model)
        if nothing or not self._names(actor):
            return None
        cover = self._cover(actor, subject)
        messages = as_sent(_to_read(subject, for_model, labels, cover) if wanted else _to_write(subject, cover))
        aliases = cover.used_in("\n".join(words for _, words in messages)) if cover else {}
        return Preview(self.leaves(actor), messages, aliases)

    def leaves(self, actor: Actor) -> str:
        """To whom a text would be sent; empty: it stays on this machine."""
        standing = {one.name: one for one in self.fallback.status()}
        return " or ".join(
            f"{TITLES.get(n, n)} ({standing[n].model} at {standing[n].host})" for n in self._names(actor)
        )

    def _by_model(
        self, actor: Actor, names: list[str], text: str, wanted: Sequence[Wanted], labels: list[str]
    ) -> Analysis:
        cover = self._cover(actor, text)
        messages = _to_read(text, wanted, labels, cover)
        answer, engine = "", names[0]
        for name, chunk in self.fallback.stream(names, messages, (), self._deadline(), self._insist()):
            engine = name
            if isinstance(chunk, llm.Text):
                answer += chunk.text
        reveal = cover.reveal if cover else lambda value: value
        return analysis.from_model(answer, text, wanted, labels, engine, reveal)

    def _names(self, actor: Actor) -> list[str]:
        return self.fallback.order(self.settings.llm_mode) if actor.may(Permission.CHAT_REMOTE) else []

    def _insist(self) -> bool:
        return self.settings.llm_mode is not LlmMode.AUTO

    def _deadline(self) -> float:
        return time.monotonic() + max(1.0, self.settings.llm_deadline_s - 1)

    def why_nobody(self, actor: Actor) -> str:
        """Why nobody can write for this person, where `leaves` names no one, and what it takes."""
        if not actor.may(Permission.CHAT_REMOTE):
            return "Writing takes a language model provider, and your role may not send anything to one. Sign in."
        if self.settings.llm_mode is LlmMode.OFFLINE:
            return "Writing takes a language model provider, and the mode is offline. An administrator can switch it."
        return (
            "Writing takes a language model provider, and none is configured. Set GEMINI_API_KEY or OPENAI_API_KEY, or "
            "OPENAI_BASE_URL for a model server of your own. Analysing works without one."
        )


def _to_write(prompt: str, cover: Pseudonyms | None) -> list[Message]:
    told = _SYSTEM + (f"\n{ALIASES}" if cover else "")
    return [Message(MessageRole.SYSTEM, told), Message(MessageRole.USER, outgoing(prompt, cover))]


def _to_read(text: str, wanted: Sequence[Wanted], labels: list[str], cover: Pseudonyms | None) -> list[Message]:
    told = analysis.instructions(wanted, outgoing(labels, cover)) + (f"\n{ALIASES}" if cover else "")
    # Aliases may be longer than names: nothing may be cut off that was not too long before.
    given = for_prompt(outgoing(text, cover), 10 * MOST_SENT)
    return [Message(MessageRole.SYSTEM, told), Message(MessageRole.USER, f"<text>\n{given}\n</text>")]


def _askable(wanted: Sequence[Wanted], labels: list[str]) -> list[Wanted]:
    """Each once; without a choice between labels none is to be made."""
    return [one for one in dict.fromkeys(wanted) if one is not Wanted.CLASSES or len(labels) > 1]


def _labels(given: Sequence[str]) -> list[str]:
    labels = list(dict.fromkeys(" ".join(label.split()) for label in given if label.strip()))
    if len(labels) > MOST_LABELS:
        raise Invalid(f"{len(labels)} labels are too many to tell apart; give at most {MOST_LABELS}.")
    for label in labels:
        if len(label) > _LABEL_CHARACTERS:
            raise Invalid(f"The label {label[:30]}… has {len(label)} characters; {_LABEL_CHARACTERS} is the most.")
    return labels


def _noted(read: Analysis, note: str) -> Analysis:
    return replace(read, notes=(note, *read.notes))


def _joined(read: Analysis, log: Analysis) -> Analysis:
    return replace(read, log=log.log)
