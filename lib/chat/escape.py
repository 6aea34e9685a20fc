"""Foreign text made harmless: what a model wrote before it is rendered, what labels say before a model reads it."""

from __future__ import annotations

import json
import re
from typing import Any

# Controls, and the marks that reverse or hide what follows (they make one name look like another).
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")
_CODE_WORD = re.compile(r"[(\"'*_]*`[^`\s]+`[)\"'*_.,;:!?]*")
_PLAIN_WORDS = re.compile(r"[A-Za-z][A-Za-z0-9]*(?: [A-Za-z0-9()/-]+){0,9}")
_CITATION = re.compile(r"\[\d{1,3}\](?![(\[:])")
# Renderers find addresses in the finished text, so a backslash does not stop them; inside a code span nothing does.
_ADDRESS = re.compile(r"(?i)(://|www\.|mailto:|javascript:|data:|\w@\w)")
# Streamlit's icons, emoji and colours: `:red[`, `:material/x:`.
_DIRECTIVE = re.compile(r":(?=[A-Za-z])")
_JOINER = "\u2060"


def one_line(text: object, limit: int) -> str:
    """Foreign text without what cannot be seen, on one line; beyond `limit` characters it ends in an ellipsis."""
    words = " ".join(UNSEEN.sub("", str(text)).split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def code(text: object, limit: int = 120) -> str:
    """A name from the data (metric, label, host) as a code span: shown as it is, does nothing."""
    words = one_line(text, limit).replace("`", "'")
    return f"`{words}`" if words else "``"


def name(text: object) -> str:
    """A title from the data: as plain words where it is nothing else, as a code span otherwise."""
    words = str(text)
    return words if _PLAIN_WORDS.fullmatch(words) else code(words)


class Inert:
    """A model's stream made inert word by word: emphasis and lists stay, links, images, HTML and maths do not.

    Words are held until they are complete, since what makes a link may arrive in two pieces.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown now."""
        self._held += UNSEEN.sub("", piece)
        cut = max(self._held.rfind(space) for space in (" ", "\n", "\t")) + 1
        ready, self._held = self._held[:cut], self._held[cut:]
        return _words(ready)

    def end(self) -> str:
        """The last word."""
        ready, self._held = self._held, ""
        return _words(ready)


def inert(text: str) -> str:
    """A whole text at once, as `Inert` does it."""
    stream = Inert()
    return stream.feed(text) + stream.end()


def as_written(text: str) -> str:
    """What `inert` made harmless, as it was said: names in it can be found again."""
    text = text.replace(_JOINER, "").replace("&lt;", "<").replace("&amp;#", "&#")
    return re.sub(r"\\([\\`\[\]$])", r"\1", text)


def _words(text: str) -> str:
    return "".join(part if part.isspace() else _word(part) for part in re.split(r"(\s+)", text) if part)


def _word(word: str) -> str:
    if _ADDRESS.search(word):
        return code(word)
    if _CODE_WORD.fullmatch(word):
        return word
    made, position = [], 0
    for match in _CITATION.finditer(word):
        made += [_escaped(word[position : match.start()]), match[0]]
        position = match.end()
    return "".join([*made, _escaped(word[position:])])


def _escaped(text: str) -> str:
    text = re.sub(r"([\\`\[\]$])", r"\\\1", text)
    text = text.replace("<", "&lt;").replace("&#", "&amp;#")
    return _DIRECTIVE.sub(f":{_JOINER}", text)


def for_prompt(value: Any, limit: int = 200) -> Any:
    """Untrusted values before a model reads them: short, no controls, no brackets that could close our delimiters.

    Structure (lists, dictionaries, numbers) stays.
    """
    if isinstance(value, dict):
        return {for_prompt(str(k), limit): for_prompt(v, limit) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [for_prompt(v, limit) for v in value]
    if isinstance(value, str):
        return one_line(value, limit).replace("<", "‹").replace(">", "›")
    return value


def delimited(value: Any, kind: str) -> str:
    """A tool's result as a prompt carries it: JSON between marks that say it is data."""
    return f"<{kind}>\n{json.dumps(for_prompt(value), ensure_ascii=False, default=str)}\n</{kind}>"
