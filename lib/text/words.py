"""Text taken apart: sentences, words, and whether the words are English, which the rest relies on."""

from __future__ import annotations

import re

# Words that say little by themselves.
_STOP_WORDS = """
a about above after again against all almost also although am an and any are as at be became because been before
being below between both but by can cannot could did do does doing done down during each either else ever every
few for from further get gets got had has have having he her here hers him his how however i if in into is it
its itself just least less let like likely may me might more most much must my neither no nor not now of off
often on once one only or other our ours out over own per perhaps quite rather same she should since so some
still such than that the their theirs them then there these they this those through thus to too two under until
up upon us very was we were what when where whether which while who whom whose why will with within without
would yet you your yours
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
_WORD = re.compile(r"[A-Za-zÀ-ÿ][A-Za-zÀ-ÿ0-9'’_-]*[A-Za-zÀ-ÿ0-9]|[A-Za-zÀ-ÿ]")
# A full stop ends a sentence when a space and something like a beginning follow, and it closes no abbreviation.
_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9À-Þ])|\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|approx|no|mr|mrs|ms|dr|st|fig|resp)|\b[A-Z])\.$", re.IGNORECASE)
_NOT_LATIN = re.compile(r"[^\W\d_A-Za-zÀ-ɏ]")
# The share of stop words in English prose lies near 0.45; lists of names and log lines reach 0.1.
_ENGLISH = 0.18
_FEW_WORDS = 8
# Small words of the neighbours, by which a short sentence shows that it is not English.
_NEIGHBOURS = (
    "der das und ist nicht ein eine wir haben wurde le les est et une sur nous el los las es una del het een och är "
    "il che è per não uma"
)
_OTHERS = frozenset(_NEIGHBOURS.split())


def words(text: str) -> list[str]:
    """Lower-case words, in order. Numbers are not words."""
    return [found.lower().replace("’", "'") for found in _WORD.findall(text)]


def sentences(text: str) -> list[str]:
    """Sentences, list items and paragraphs, in order, without the white space around them."""
    found: list[str] = []
    for piece in _END.split(text):
        part = " ".join(piece.split())
        if not part:
            continue
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def looks_english(text: str) -> bool:
    """Whether the lists of words here can say anything of it. A few words alone are given the benefit of the doubt."""
    foreign = len(_NOT_LATIN.findall(text))
    found = words(text)
    if foreign > max(3, sum(map(len, found)) // 4):
        return False
    english = sum(word in STOP_WORDS for word in found)
    if len(found) < _FEW_WORDS:
        return english > 0 or not _OTHERS.intersection(found)
    return english / len(found) >= _ENGLISH
