"""Words on a page: foreign text made inert, times and amounts as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from lib.chat.escape import one_line
from lib.profiling.words import amount, duration

__all__ = ["ago", "amount", "duration", "marks_once", "plain", "stamp"]

# Invisible and unbreakable: keeps two characters apart for the transforms that run after markdown's own escapes.
_JOINER = "\u2060"
_MARK, _SENTENCES = re.compile(r" \[(\d{1,2})\]"), re.compile(r"(?<=[.;:] )")
_PUNCTUATION = re.compile(r"([!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~])")
# Emoji, icons and links are found in the text after escapes were undone, so a backslash does not stop them.
_LATE = re.compile(r"(:|@|(?<![^\W_])www(?=\.))", re.IGNORECASE)
_ARROWS = re.compile(r"(?<!\S)(?=(?:<->|->|<-|--|>=|<=|~=)(?!\S))")


def plain(text: object, limit: int = 400) -> str:
    """Foreign text (labels, names, errors) for places that render markdown: shown as it is, does nothing.

    No emphasis, links, images, HTML, maths, colours, icons or emoji come of it; line breaks become spaces; beyond
    `limit` characters it ends in an ellipsis.
    """
    words = _LATE.sub(rf"\1{_JOINER}", _ARROWS.sub(_JOINER, one_line(text, limit)))
    return _PUNCTUATION.sub(r"\\\1", words)


def marks_once(answer: str) -> str:
    """An answer whose sentences cite a source once, at their last number: each number's own mark is for checking."""
    return "\n".join("".join(_cited_once(part) for part in _SENTENCES.split(line)) for line in answer.split("\n"))


def _cited_once(sentence: str) -> str:
    found = list(_MARK.finditer(sentence))
    last = {mark[1]: mark.end() for mark in found}
    return _MARK.sub(lambda mark: mark[0] if last[mark[1]] == mark.end() else "", sentence)


def stamp(moment: datetime | None, *, seconds: bool = False) -> str:
    """`2026-03-14 12:00 UTC`; a dash for never."""
    if moment is None:
        return "–"
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC")


def ago(moment: datetime | None, now: datetime, *, short: bool = False) -> str:
    """`3 min 20 s ago`, short: `3 min ago`; `never` for None; `in 2 h` for what is still to come."""
    if moment is None:
        return "never"
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return f"in {duration(-seconds)}"
    words = duration(seconds)
    return "just now" if seconds < 1 else f"{' '.join(words.split()[:2]) if short else words} ago"
