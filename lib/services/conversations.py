"""Chat history: each user's own, kept until they delete it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, delete, select

from lib.auth.actor import Actor, ActorKind
from lib.chat.escape import inert
from lib.chat.events import Evidence
from lib.db.database import Database
from lib.db.tables import Conversation, Message
from lib.errors import Invalid, NotFound

# What comes after this many characters of a title only widens a list.
TITLE_CHARACTERS = 60
# Kept of one message that was sent; a tool's result can be long.
_MOST_SENT = 8000


@dataclass(frozen=True)
class Entry:
    """One question (role user) or answer (role assistant), with what its numbers came from.

    unsupported: numbers of a model no tool gave. notice: why another engine answered. stopped: cut by the reader.
    sent: what left this machine for it, as it left. rating: 1 or -1 by the reader, 0 for none. id: of a kept one.
    """

    role: str
    text: str
    at: datetime
    provider: str = ""
    evidence: tuple[Evidence, ...] = ()
    unsupported: tuple[str, ...] = ()
    notice: str = ""
    stopped: bool = False
    sent: tuple[tuple[str, str], ...] = ()
    rating: int = 0
    id: int | None = None


class Conversations:
    """Rows of the two tables, always through their owner: another user's are not found."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self.database, self.clock = database, clock

    def of(self, actor: Actor, limit: int = 200) -> list[Conversation]:
        """A user's conversations, the one used last first. Guests and API keys have none."""
        if not keeps(actor):
            return []
        with self.database.session() as session:
            query = select(Conversation).where(Conversation.user_id == actor.id)
            return list(session.exec(query.order_by(col(Conversation.updated_at).desc()).limit(limit)))

    def entries(self, actor: Actor, conversation_id: int) -> list[Entry]:
        """What was said, oldest first. Raises NotFound."""
        with self.database.session() as session:
            _owned(session, actor, conversation_id)
            query = select(Message).where(Message.conversation_id == conversation_id).order_by(col(Message.id))
            return [_entry(row) for row in session.exec(query)]

    def append(
        self, actor: Actor, conversation_id: int | None, entries: Sequence[Entry], replaced: Sequence[int] = ()
    ) -> int | None:
        """Add a question and its answer in one transaction; begins a conversation when none is given.

        replaced: messages of it that go in the same transaction. Returns its id; None for whom nothing is kept.
        """
        if not keeps(actor) or actor.id is None:
            return None
        now = self.clock()
        with self.database.session() as session:
            if conversation_id is None:
                row = Conversation(user_id=actor.id, title=_title(entries[0].text), created_at=now)
            else:
                row = _owned(session, actor, conversation_id)
                if replaced:
                    session.exec(
                        delete(Message).where(
                            col(Message.conversation_id) == conversation_id, col(Message.id).in_(replaced)
                        )
                    )
            row.updated_at = now
            session.add(row)
            session.flush()
            assert row.id is not None
            for entry in entries:
                session.add(
                    Message(
                        conversation_id=row.id,
                        role=entry.role,
                        text=entry.text.replace("\x00", ""),
                        evidence=_stored(entry),
                        provider=entry.provider,
                        created_at=entry.at,
                    )
                )
                # One at a time, so that ids follow the order in which they were said.
                session.flush()
            return row.id

    def search(self, actor: Actor, text: str, limit: int = 200) -> list[Conversation]:
        """Of a user's conversations those whose title or words hold the text, the one used last first."""
        words = " ".join(text.split())
        if not keeps(actor) or not words:
            return self.of(actor, limit)
        escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        like = f"%{escaped}%"
        said = select(Message.conversation_id).where(col(Message.text).ilike(like, escape="\\"))
        query = select(Conversation).where(
            Conversation.user_id == actor.id,
            col(Conversation.title).ilike(like, escape="\\") | col(Conversation.id).in_(said),
        )
        with self.database.session() as session:
            return list(session.exec(query.order_by(col(Conversation.updated_at).desc()).limit(limit)))

    def rate(self, actor: Actor, message_id: int, rating: int) -> None:
        """Whether an answer helped: 1, -1, or 0 to take it back. Raises NotFound, Invalid."""
        if rating not in (-1, 0, 1):
            raise Invalid("A rating is 1, -1, or 0 to take it back.")
        with self.database.session() as session:
            row = session.get(Message, message_id)
            if row is None or row.role != "assistant":
                raise NotFound(f"There is no answer {message_id} of yours; it may have been deleted.")
            _owned(session, actor, row.conversation_id)
            row.rating = rating
            session.add(row)

    def titled(self, actor: Actor, conversation_id: int) -> Conversation:
        """Raises NotFound."""
        with self.database.session() as session:
            return _owned(session, actor, conversation_id)

    def rename(self, actor: Actor, conversation_id: int, title: str) -> None:
        """Raises NotFound, and Invalid for an empty title."""
        wanted = _title(title)
        if not wanted:
            raise Invalid("A conversation needs a title; type a few words.")
        with self.database.session() as session:
            row = _owned(session, actor, conversation_id)
            row.title = wanted
            session.add(row)

    def delete(self, actor: Actor, conversation_id: int) -> None:
        """With all its messages. Raises NotFound."""
        with self.database.session() as session:
            row = _owned(session, actor, conversation_id)
            session.exec(delete(Message).where(col(Message.conversation_id) == conversation_id))
            session.delete(row)


def exported(conversation: Conversation, entries: Sequence[Entry], form: str) -> str:
    """A conversation to take along. form: markdown or json. Raises Invalid for another one."""
    if form == "json":
        said = [
            {
                "role": entry.role,
                "text": entry.text,
                "at": entry.at.isoformat(),
                "provider": entry.provider,
                "unsupported": list(entry.unsupported),
                "rating": entry.rating,
                "evidence": [card.to_json() for card in entry.evidence],
            }
            for entry in entries
        ]
        return json.dumps({"title": conversation.title, "messages": said}, ensure_ascii=False, indent=2, default=str)
    if form != "markdown":
        raise Invalid(f"A conversation is exported as markdown or json, not as {form!r}.")
    # Titles and questions may have been pasted: whoever renders the file is shown no image and no link of theirs.
    lines = [f"# {inert(' '.join(conversation.title.split()))}", ""]
    for entry in entries:
        who = "Question" if entry.role == "user" else f"Answer ({entry.provider or 'offline'})"
        lines += [
            f"**{who}**, {entry.at:%Y-%m-%d %H:%M} UTC",
            "",
            inert(entry.text) if entry.role == "user" else entry.text,
            "",
        ]
        if entry.unsupported:
            lines += [f"Not supported by the data: {', '.join(entry.unsupported)}.", ""]
        lines += [f"- [{card.number}] `{card.query}`, {card.rows:,} rows, {card.source}" for card in entry.evidence]
        lines += [""] if entry.evidence else []
    return "\n".join(lines)


def keeps(actor: Actor) -> bool:
    """Whether what this actor asks is stored: for signed-in people only."""
    return actor.kind is ActorKind.USER and actor.id is not None


def _owned(session: Session, actor: Actor, conversation_id: int) -> Conversation:
    row = session.get(Conversation, conversation_id) if keeps(actor) else None
    if row is None or row.user_id != actor.id:
        raise NotFound(f"There is no conversation {conversation_id} of yours; it may have been deleted.")
    return row


def _title(text: str) -> str:
    words = " ".join(text.replace("\x00", "").split())
    return words if len(words) <= TITLE_CHARACTERS else words[: TITLE_CHARACTERS - 1] + "…"


def _stored(entry: Entry) -> list[dict[str, Any]]:
    """Evidence cards, and last what else belongs to the answer."""
    about = {
        "unsupported": list(entry.unsupported),
        "notice": entry.notice,
        "stopped": entry.stopped,
        "sent": [[role, text[:_MOST_SENT]] for role, text in entry.sent],
    }
    cards = [card.to_json() for card in entry.evidence]
    return [*cards, {"about": about}] if any(about.values()) else cards


def _entry(row: Message) -> Entry:
    about: dict[str, Any] = next((card["about"] for card in row.evidence if "about" in card), {})
    return Entry(
        role=row.role,
        text=row.text,
        at=row.created_at,
        provider=row.provider,
        evidence=tuple(Evidence.from_json(card) for card in row.evidence if "about" not in card),
        unsupported=tuple(about.get("unsupported", ())),
        notice=str(about.get("notice", "")),
        stopped=bool(about.get("stopped", False)),
        sent=tuple((str(role), str(text)) for role, text in about.get("sent", ())),
        rating=row.rating,
        id=row.id,
    )
