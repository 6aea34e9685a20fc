"""Names of hosts and label values replaced by made-up ones before anything is sent, and put back in what returns."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any

# No vowels: no words come of them. No digits: an alias is not taken for a number.
_LETTERS = "bcdfghjklmnpqrstvwxz"
_LENGTH = 5
# Labels whose values say nothing about whose system it is, and without which a model cannot read a result.
PLAIN_LABELS = frozenset(
    {"mode", "cpu", "le", "quantile", "state", "status", "code", "method", "type", "fstype", "collector", "handler"}
)
HOST = "host"
_TOKEN = re.compile(r"[\w][\w.:/@=-]*")
_PIECE = re.compile(r"[^./:@=]+")
_TAIL = re.compile(r"[.:/@=-]+$")
_NUMERIC = re.compile(r"[\d.:,+-]+")
_KIND = re.compile(r"[a-z][a-z0-9]{1,19}")
# Not among the stored names, and still somebody's: addresses typed into a question.
_ADDRESSES = (
    ("mail", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("address", re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")),
    ("address", re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])", re.I)),
    ("address", re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}(?![\w:])", re.I)),
    (
        "domain",
        re.compile(r"(?<![\w.-])(?:[a-z0-9][a-z0-9-]*\.)+(?:com|net|org|io|dev|local|internal|lan|corp)\b", re.I),
    ),
)


class Pseudonyms:
    """One conversation's aliases. The same name has the same alias while the key is the same; nothing is stored."""

    def __init__(self, names: Iterable[tuple[str, str]], key: bytes, plain: Iterable[str] = ()) -> None:
        """names: (kind, name): the kind of a host is HOST, of a label's value the label. plain: words to leave."""
        self._key = key
        self._alias: dict[str, str] = {}
        self._name: dict[str, str] = {}
        self._spaced: list[str] = []
        left = {word.lower() for word in plain}
        for kind, given in names:
            name = given.strip()
            lowered = name.lower()
            if len(name) < 2 or lowered in left or _NUMERIC.fullmatch(name) or lowered in self._alias:
                continue
            self._made(kind, name)
            if not _TOKEN.fullmatch(name):
                self._spaced.append(lowered)
        self._spaced.sort(key=len, reverse=True)

    def hide(self, value: Any) -> Any:
        """Strings in any nesting with aliases for names; numbers and structure stay."""
        return _mapped(value, self._hidden)

    def reveal(self, value: Any) -> Any:
        """The other way round: strings in any nesting with the real names."""
        return _mapped(value, self._revealed)

    def used_in(self, text: str) -> dict[str, str]:
        """alias -> name for the aliases that occur in a text."""
        found = (match.group().lower() for match in _ALIAS.finditer(text))
        return {alias: self._name[alias] for alias in found if alias in self._name}

    def _hidden(self, text: str) -> str:
        for kind, pattern in _ADDRESSES:
            for found in dict.fromkeys(pattern.findall(text)):
                text = text.replace(found, self._alias_of(kind, found))
        lowered = text.lower()
        said = "|".join(re.escape(name) for name in self._spaced if name in lowered)
        # All in one go, the longest first: a short name is not looked for in the alias of another.
        named = re.compile(rf"(?:{said})(?![\w-])|{_TOKEN.pattern}", re.IGNORECASE) if said else _TOKEN
        return named.sub(lambda match: self._token(match.group()), text)

    def _token(self, token: str) -> str:
        alias = self._alias.get(token.lower())
        if alias:
            return alias
        bare = _TAIL.sub("", token)
        if bare != token and (alias := self._alias.get(bare.lower())):
            return alias + token[len(bare) :]
        # A name within an address, a path or an assignment.
        return _PIECE.sub(lambda match: self._alias.get(match.group().lower(), match.group()), token)

    def _alias_of(self, kind: str, name: str) -> str:
        return self._alias.get(name.lower()) or self._made(kind, name)

    def _made(self, kind: str, name: str) -> str:
        prefix = kind if _KIND.fullmatch(kind) else "value"
        digest = hmac.new(self._key, f"{kind}\x00{name}".encode(), hashlib.sha256).digest()
        for length in range(_LENGTH, len(digest)):
            alias = f"{prefix}-{''.join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:length])}"
            if alias not in self._name:
                break
        self._name[alias] = name
        self._alias[name.lower()] = alias
        return alias

    def _revealed(self, text: str) -> str:
        return _ALIAS.sub(lambda match: self._name.get(match.group().lower(), match.group()), text)


_ALIAS = re.compile(rf"[A-Za-z][A-Za-z0-9]*-[{_LETTERS}{_LETTERS.upper()}]{{{_LENGTH},}}")


class Revealing:
    """A model's stream with the real names put back; a word is held until it is complete."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms, self._held = pseudonyms, ""

    def feed(self, piece: str) -> str:
        """What can be passed on now."""
        self._held += piece
        cut = max(self._held.rfind(space) for space in (" ", "\n", "\t")) + 1
        ready, self._held = self._held[:cut], self._held[cut:]
        return str(self._pseudonyms.reveal(ready))

    def end(self) -> str:
        """The last word."""
        ready, self._held = self._held, ""
        return str(self._pseudonyms.reveal(ready))


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(str(key)): _mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(inner, change) for inner in value]
    return value
