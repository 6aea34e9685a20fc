"""What a text names: addresses, hosts, files, times, amounts, codes, versions, and capitalised names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from lib.text.words import STOP_WORDS


@dataclass(frozen=True)
class Entity:
    """kind: what it is. confidence: 0 to 1, how seldom its pattern means something else."""

    kind: str
    text: str
    start: int
    end: int
    confidence: float


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _always(_: str) -> bool:
    return True


_UNITS = r"(?:ns|us|µs|ms|s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?|days?|weeks?)"
_SIZES = r"(?:[kKMGTP]i?B|bytes?|B|[kMG]bit/s|[kMG]?bps|[kMGT]?B/s|rps|qps|req/s)"
# Earlier kinds win where two would cover the same text.
_KINDS: tuple[tuple[str, str, float, Callable[[str], bool]], ...] = (
    ("url", r"\b[a-z][a-z0-9+.-]{1,12}://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]", 0.99, _always),
    ("email", r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b", 0.97, _always),
    (
        "time",
        r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\b"
        r"|\b\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?: ?(?:UTC|am|pm|AM|PM))?\b",
        0.96,
        _always,
    ),
    (
        "ip address",
        r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?!\w|\.\d)",
        0.98,
        _is_ip,
    ),
    (
        "identifier",
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{12,64}\b",
        0.95,
        _always,
    ),
    ("share", r"(?<![\w.])[-+]?\d+(?:[.,]\d+)? ?(?:%|percent\b)", 0.97, _always),
    ("duration", rf"(?<![\w.])\d+(?:[.,]\d+)? ?{_UNITS}\b", 0.85, _always),
    ("amount", rf"(?<![\w.])\d+(?:[.,]\d+)? ?{_SIZES}(?!\w)", 0.9, _always),
    ("file", r"(?<![\w/])(?:~|\.{1,2})?/(?:[\w.@+-]+/)*[\w.@+-]*\w|\b[A-Z]:\\(?:[\w.@+-]+\\)*[\w.@+-]+", 0.9, _always),
    ("version", r"\bv\d+(?:\.\d+){0,3}(?:-[\w.]+)?\b|\b\d+\.\d+\.\d+(?:-[\w.]+)?\b", 0.85, _always),
    (
        "error code",
        r"\b(?:HTTP )?[45]\d\d(?= (?:errors?|responses?|status|codes?))|\bHTTP [1-5]\d\d\b"
        r"|\bE[A-Z]{4,12}\b|\b[A-Z]{2,6}-\d{2,6}\b",
        0.8,
        _always,
    ),
    (
        "host",
        r"\b(?:[a-z][a-z0-9]*(?:-[a-z0-9]+)*-\d{1,4}|(?:[a-z0-9][a-z0-9-]*\.)+(?:com|net|org|io|dev|local|internal|cluster|svc|lan))(?::\d{2,5})?\b",
        0.8,
        _always,
    ),
    ("metric", r"\b[a-z][a-z0-9]+(?:_[a-z0-9]+){2,}\b", 0.85, _always),
    ("name", r"\b[A-Z][\w&'-]*[a-z][\w&'-]*(?: (?:[A-Z][\w&'-]+|of|for|and(?= [A-Z]))){0,4}", 0.6, _always),
)
_PATTERNS = tuple((kind, re.compile(pattern), sure, is_one) for kind, pattern, sure, is_one in _KINDS)
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+|\n\s*(?:[-*•]\s*)?)$")


def entities(text: str, most: int = 200) -> list[Entity]:
    """In the order of the text; no two overlap."""
    taken = bytearray(len(text))
    found: list[Entity] = []
    for kind, pattern, sure, is_one in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span()
            words = match.group()
            if kind == "name":
                start, end, sure = _name(text, start, words)
                words = text[start:end]
            if end <= start or any(taken[start:end]) or not is_one(words):
                continue
            taken[start:end] = b"\x01" * (end - start)
            found.append(Entity(kind, words, start, end, sure))
    return sorted(found, key=lambda one: one.start)[:most]


def _name(text: str, start: int, words: str) -> tuple[int, int, float]:
    """A capitalised run without what only begins a sentence or trails off; nothing when that was all."""
    parts = words.split(" ")
    while parts and parts[-1] in ("of", "for", "and"):
        parts.pop()
    at_start = bool(_SENTENCE_START.search(text[max(0, start - 6) : start]))
    if at_start and parts and parts[0].lower() in STOP_WORDS:
        start += len(parts[0]) + 1
        parts = parts[1:]
        at_start = False
    while parts and parts[0] in ("of", "for", "and"):
        start += len(parts[0]) + 1
        parts = parts[1:]
    if not parts or parts[0].lower() in STOP_WORDS or (at_start and len(parts) == 1):
        return start, start, 0.0
    return start, start + len(" ".join(parts)), 0.75 if len(parts) > 1 else 0.6
