"""Questions like one that was not understood, in words that are: offered to choose from, never answered unasked."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from lib.chat import limits, times
from lib.chat.ahead import find_ahead
from lib.chat.lexicon import STOP, THINGS
from lib.chat.masked import Masked
from lib.chat.naming import named_hosts
from lib.chat.question import Vocabulary, signs_in
from lib.chat.times import TimeKind
from lib.chat.wording import plain

# One sentence for each kind of question. {…} has to be in the question; [… {…}] is left out where it is not.
_SENTENCES = """
which hosts are there?
how many hosts are there?
which metrics are there[ on {host}]?
how many metrics are there[ on {host}]?
which hosts have {thing}?
since when is there data[ for {thing}][ on {host}]?
which labels does {thing} have?
is {thing} a counter or a gauge?
what is the sampling interval of {thing}[ on {host}]?
what is the status of {host}?
what is the current {thing}[ on {host}]?
average {thing}[ on {host}][ {time}]
highest {thing}[ on {host}][ {time}], and when?
lowest {thing}[ on {host}][ {time}], and when?
median of {thing}[ on {host}][ {time}]
95th percentile of {thing}[ on {host}][ {time}]
standard deviation of {thing}[ on {host}][ {time}]
total {thing}[ on {host}][ {time}]
how many {thing} were there[ on {host}][ {time}]?
which host had the highest {thing}[ {time}]?
which host had the lowest {thing}[ {time}]?
which host had the highest average {thing}[ {time}]?
top {number} hosts by average {thing}[ {time}]
what is the ratio of {thing} to {thing}[ on {host}][ {time}]?
compare {thing} of {host} and {host}[ {time}]
compare {thing}[ on {host}] between {time} and {time}
compare {thing}[ on {host}] today with {time}
which host stands out in {thing}[ {time}]?
is {thing}[ on {host}] growing[ {time}]?
do {thing} and {thing} correlate[ on {host}][ {time}]?
what changed[ on {host}][ {time}]?
how often was {thing}[ on {host}] above {limit}[ {time}]?
how often was {thing}[ on {host}] below {limit}[ {time}]?
when was {thing}[ on {host}] above {limit}[ {time}]?
were there gaps[ in {thing}][ on {host}][ {time}]?
which counters were reset[ on {host}][ {time}]?
which series are constant[ on {host}][ {time}]?
which series stopped reporting[ on {host}]?
are there duplicate samples[ on {host}][ {time}]?
which anomalies were there[ in {thing}][ on {host}][ {time}]?
how many anomalies were there[ in {thing}][ on {host}][ {time}]?
what was the worst anomaly[ in {thing}][ on {host}][ {time}]?
what was the longest anomaly[ on {host}][ {time}]?
what was the newest anomaly[ on {host}]?
which hosts had anomalies[ {time}]?
which hosts had no anomalies[ {time}]?
which host had the most anomalies[ {time}]?
which anomalies happened at the same time[ {time}]?
which anomalies are still open[ on {host}]?
why is anomaly {number} one?
why was {thing} unusual[ on {host}][ {time}]?
what will {thing} be[ on {host}] {ahead}?
when will {thing}[ on {host}] reach {limit}?
when will the disk of {host} be full?
what was deployed[ on {host}][ {time}]?
which detectors are there?
is there a detector for {host}?
were there alerts[ on {host}][ {time}]?
which sources are there?
collect now
make a forecast of {thing} for {host}
train a detector for {host}
label anomaly {number} as real
label anomaly {number} as a false alarm
label anomaly {number} as expected
"""
_OPTIONAL = re.compile(r"\[([^\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_NUMBER = re.compile(r"(?<![\w.-])#?(\d{1,12})(?![\w.%-])")
# Words that differ by their ending only count as one.
_ENDINGS = re.compile(r"(?:ations?|ings?|ed|ers?|est|es|s|e)$")
# Below this hardly more than a name is shared.
_LEAST = 0.2

_Slots = Mapping[str, list[str]]


@dataclass(frozen=True)
class _Kind:
    """One form of a sentence: its words, and how many of each slot it takes."""

    sentence: str
    words: frozenset[str]
    takes: Counter[str]


def alternatives(
    text: str, known: Vocabulary, now: datetime, answerable: Callable[[str], bool], most: int = 3
) -> list[str]:
    """What somebody may have meant, the likeliest first; empty where nothing is close.

    Each uses every name, time and number that was said: to leave one out would be another question.
    answerable: whether a question is understood as it stands.
    """
    words, slots = _taken_apart(text, known, now)
    given = Counter({name: len(said) for name, said in slots.items()})
    weights = _weights()
    heard = {word for word in words if word in weights}
    scored: list[tuple[float, str]] = []
    for kind in _kinds():
        if kind.takes != given:
            continue
        shared = sum(weights[word] for word in heard & kind.words)
        every = sum(weights[word] for word in heard | kind.words)
        score = (shared + 0.5 * len(slots)) / (every + 0.5 * len(slots)) if every else 0.0
        if shared and score >= _LEAST:
            scored.append((-score, _filled(kind.sentence, slots)))
    said = text.strip().lower()
    made: list[str] = []
    for _, sentence in sorted(scored):
        if len(made) == most:
            break
        if sentence.lower() != said and sentence not in made and answerable(sentence):
            made.append(sentence)
    return made


def _taken_apart(text: str, known: Vocabulary, now: datetime) -> tuple[set[str], dict[str, list[str]]]:
    """The words of a question without its names, times and numbers; and those, in the order they were said."""
    masked = Masked(plain(" ".join(text.split())).lower())
    slots: dict[str, list[tuple[int, str]]] = {}

    def put(slot: str, begin: int, said: str, length: int) -> None:
        slots.setdefault(slot, []).append((begin, said))
        masked.blank(begin, begin + length)

    lowered = {name.lower(): name for name in known.metrics}
    for word, begin, end in masked.tokens():
        if word in lowered and ("_" in word or word not in STOP):
            put("thing", begin, lowered[word], end - begin)
    for at, host in enumerate(named_hosts(masked, known.hosts)):
        slots.setdefault("host", []).append((at, host))
    if (limit := limits.find(masked.text, True)) is not None and limit.side:
        put("limit", limit.begin, f"{limit.value:.12g} {limit.unit}".strip(), limit.end - limit.begin)
    # The general word comes last in THINGS: a thing is taken by the first that knows it.
    for pattern, _ in THINGS:
        for match in pattern.finditer(masked.text):
            if match[0].strip():
                put("thing", match.start(), match[0].strip(), len(match[0]))
    found = [one for one in times.find_all(masked.text, now) if one.kind is not TimeKind.FUTURE]
    coming = find_ahead(masked.text, now) if not found else []
    for slot, spans in (("time", found), ("ahead", coming)):
        for one in spans:
            put(slot, one.begin, one.text.strip(), one.end - one.begin)
    for match in _NUMBER.finditer(masked.text):
        put("number", match.start(), match[1], len(match[0]))
    return _says(masked.text), {slot: [said for _, said in sorted(pairs)] for slot, pairs in slots.items()}


def _filled(sentence: str, slots: _Slots) -> str:
    left = {slot: list(said) for slot, said in slots.items()}
    return _SLOT.sub(lambda match: left[match[1]].pop(0), sentence)


@cache
def _kinds() -> tuple[_Kind, ...]:
    """Every form of every sentence: with and without each optional part."""
    made = []
    for line in _SENTENCES.strip().splitlines():
        forms = [line]
        while any("[" in form for form in forms):
            forms = [_OPTIONAL.sub(told, form, count=1) for form in forms for told in (r"\1", "")]
        for form in forms:
            made.append(_Kind(form, frozenset(_says(_SLOT.sub(" ", form))), Counter(_SLOT.findall(form))))
    return tuple(made)


@cache
def _weights() -> dict[str, float]:
    """How much a word tells: one that stands in few sentences tells more."""
    sentences = [set(kind.words) for kind in _kinds()]
    counts = Counter(word for words in sentences for word in words)
    return {word: math.log(1 + len(sentences) / count) for word, count in counts.items()}


def _says(text: str) -> set[str]:
    """What words say: their stems, and what the grammar takes them for, so that "mean" is "average"."""
    masked = Masked(text)
    stems = {_stem(word) for word, _, _ in masked.tokens()}
    return stems | {f"<{sign}>" for sign in signs_in(masked)[0]}


def _stem(word: str) -> str:
    shorter = _ENDINGS.sub("", word)
    return shorter if len(shorter) >= 3 else word
