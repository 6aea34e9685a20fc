"""Names of metrics by the words people say for their parts: "open file descriptors" is process_open_fds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lib.chat.lexicon import SYNONYMS


def name_words(name: str) -> list[str]:
    """`node_memory_MemAvailable_bytes` -> node, memory, mem, available, bytes."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[_:]+", split.lower()) if word]


def _says(word: str, part: str) -> bool:
    """Whether a word of a question means a word of a name: plural, stem or synonym."""
    for spoken in {word, SYNONYMS.get(word, word)}:
        stem = re.sub(r"(?:es|s|ing|ed)$", "", spoken)
        if spoken == part or (len(stem) >= 3 and stem == re.sub(r"(?:es|s|ing|ed)$", "", part)):
            return True
        if len(spoken) >= 4 and (part.startswith(spoken) or (len(part) >= 4 and spoken.startswith(part))):
            return True
    return False


def by_words(words: Sequence[str], names: Iterable[str]) -> list[str]:
    """Names whose words cover all of `words`; the tightest of them, all that are equally tight."""
    if {"drop", "dropped", "drops", "errors", "errs"} & set(words):
        # What is dropped on a network are packets; exporters leave that out of the name.
        words = [word for word in words if word not in ("packet", "packets")]
    scored = []
    for name in names:
        parts = name_words(name)
        if all(any(_says(word, part) for part in parts) for word in words):
            scored.append((len(parts), name))
    if not scored:
        return []
    least = min(size for size, _ in scored)
    return sorted(name for size, name in scored if size == least)
