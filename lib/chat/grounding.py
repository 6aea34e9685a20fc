"""Numbers in a model's words, held against the numbers the tools gave: what is in neither is told as unsupported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

# Three figures are what results are said in, so a right number may be half of the third off; a little more is kind.
TOLERANCE = 0.006
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_UNITS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
_TENTHS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: float(n) for n, word in enumerate(f"{_UNITS} eighteen nineteen".split(), 1)}
_TENS = {word: 10.0 * n for n, word in enumerate(_TENTHS.split(), 2)}
_TIMES = {"hundred": 100.0, "thousand": 1e3, "million": 1e6, "billion": 1e9}
_NUMBER = re.compile(
    r"(?<![\w.,])(?:[-−+]?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?P<part>\.\d+)?(?:e[-+]?\d+)?"
    rf"|(?P<words>\b(?:(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join([*_SMALL][:9])}))?|{'|'.join(_SMALL)})"
    rf"(?:[- ](?:{'|'.join(_TIMES)}))*\b))",
    re.IGNORECASE,
)
# Not quantities: citations, moments, ordinals, addresses, and the numbers in names and list markers. A number alone in
# a code span is one all the same.
_NOT_QUANTITIES = re.compile(
    r"\[\d{1,3}\]|`(?!\W{0,2}\d[\d.,]*\s?[^\s`]{0,8}`)[^`]*`"
    r"|\d{4}-\d{2}(?:-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|\+00:00)?)?)?(?!\d)|\b\d{1,2}:\d{2}(?::\d{2})?\b"
    rf"|\b\d{{1,2}}(?:st|nd|rd|th)? {_MONTH}(?: \d{{4}})?\b|\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?\b(?:,? \d{{4}}\b)?"
    r"|\b\d{1,2} ?[ap]m\b|\b\d+(?:st|nd|rd|th)\b|^\s*\d{1,2}[.)](?=\s)|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"
    r"|\b[a-z_]+[-_.]?\d[\w.-]*(?::\d{2,5}\b)?|\b(?:localhost|[a-z][\w-]*(?:\.[a-z][\w-]*)+):\d{2,5}\b",
    re.MULTILINE | re.IGNORECASE,
)
# "One" and "two" are said of what is no result ("one of them"), and small enough to be counted in any.
_SAID_ANYWAY = (1.0, 2.0)
# What may follow a number that was divided to be said; alone it is what it is.
_SHARE = re.compile(r"\s?(?:%|percent|pct|per ?cent)", re.IGNORECASE)
_LARGE = re.compile(r"\s?(?:[kmgt](?:i?b|bit|bps|/|\b)|kilo|mega|giga|tera|thousand|million|billion)", re.IGNORECASE)
_LASTING = re.compile(r"[\s-]?(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)\b", re.IGNORECASE)
_SHORT = re.compile(r"\s?(?:ms|milliseconds?)\b", re.IGNORECASE)
_SHORTER = re.compile(r"\s?(?:µs|us|microseconds?)\b", re.IGNORECASE)
# Where a number of the question may be repeated: as the limit or the rank that was asked for, not as what was found.
_ASKED_FOR = re.compile(
    r"(?:above|below|over|under|than|exceed(?:s|ed|ing)?|reach(?:es|ed|ing)?|cross(?:es|ed|ing)?|limit|threshold"
    r"|least|most|top|last|past|next|first|anomaly|asked (?:for|about))(?: (?:of|the|for|about|is|was|a))*\W*$",
    re.IGNORECASE,
)
_KILO_TO_TERA = tuple(base**power for base in (1000, 1024) for power in (1, 2, 3, 4))
_MINUTE_TO_WEEK = (60, 3600, 86400, 604800)
# Of a call, not of what it found; a limit may be repeated as one.
_LIMIT = "limit"
_ARGUMENTS = ("formula", "quantile", _LIMIT)


def unsupported(text: str, results: Iterable[Any], question: str = "") -> tuple[str, ...]:
    """The numbers of `text`, as written, that no result holds, and that do not repeat what the question asked for.

    results: tool results, any nesting. Whole numbers up to the length of a result's rows count as given (how many).
    """
    results = list(results)
    known, limits = _given(results), _limits(results)
    asked = {_value(match) for match in _NUMBER.finditer(question)}
    found: dict[str, None] = {}
    bare = _NOT_QUANTITIES.sub(lambda m: " " * len(m[0]), text)
    for match in _NUMBER.finditer(bare):
        value, after = _value(match), bare[match.end() : match.end() + 16]
        if match["words"] and value in _SAID_ANYWAY:
            continue
        limiting = _ASKED_FOR.search(bare[max(0, match.start() - 40) : match.start()])
        if (limiting or _LASTING.match(after)) and any(abs(value) == abs(one) for one in asked):
            continue
        if limiting and any(_close(value, one, match, after) for one in limits):
            continue
        if not any(_close(value, given, match, after) for given in known):
            found[match[0].strip()] = None
    return tuple(found)


def _value(match: re.Match[str]) -> float:
    if not match["words"]:
        return float(match[0].replace(",", "").replace("−", "-"))
    value = 0.0
    for word in re.split("[- ]", match["words"].lower()):
        value = value * _TIMES[word] if word in _TIMES else value + _TENS.get(word, _SMALL.get(word, 0.0))
    return value


def _close(value: float, given: float, match: re.Match[str], after: str) -> bool:
    # What was written with few digits was rounded: half of its last digit is allowed.
    decimals = len(match["part"]) - 1 if match["part"] else 0
    for wanted in _readings(given, after):
        rounding = 0.5 * 10.0**-decimals if decimals or wanted != int(wanted) else 0.0
        # Counts are said exactly, or in three figures; others may be a little off.
        exact = (
            wanted == int(wanted) and abs(wanted) < 1e6 and not decimals and len(f"{abs(value):.0f}".rstrip("0")) > 3
        )
        kind = 0.0 if exact else TOLERANCE * abs(wanted)
        # Rounding to whole units must not swallow small numbers.
        if abs(abs(value) - abs(wanted)) <= max(kind, min(rounding, 0.05 * abs(wanted)), 1e-12):
            return True
    return False


def _readings(given: float, after: str) -> list[float]:
    """What one number may be said as before these words: itself, in percent, in larger units.

    Few, or anything would fit something.
    """
    size = abs(given)
    readings = [given]
    if 0 < size < 1 and _SHARE.match(after):
        readings.append(given * 100)
    if _SHORT.match(after):
        readings.append(given * 1e3)
    if _SHORTER.match(after):
        readings.append(given * 1e6)
    divisors = (*(_KILO_TO_TERA if _LARGE.match(after) else ()), *(_MINUTE_TO_WEEK if _LASTING.match(after) else ()))
    return readings + [given / divisor for divisor in divisors if size / divisor >= 0.5]


def _given(results: Iterable[Any]) -> set[float]:
    known: set[float] = set()

    def walk(value: Any) -> None:
        if isinstance(value, bool) or value is None:
            return
        if isinstance(value, int | float):
            known.add(float(value))
        elif isinstance(value, str):
            known.update(_value(m) for m in _NUMBER.finditer(_NOT_QUANTITIES.sub(" ", value)))
        elif isinstance(value, dict):
            known.update(_length(value))
            for key, inner in value.items():
                if key not in _ARGUMENTS:
                    walk(inner)
        elif isinstance(value, list | tuple):
            known.add(float(len(value)))
            for inner in value:
                walk(inner)

    for result in results:
        walk(result)
    return known


def _limits(value: Any) -> set[float]:
    """Limits that calls were asked about, anywhere in their results."""
    if isinstance(value, dict):
        own = value.get(_LIMIT)
        found = {float(own)} if isinstance(own, int | float) else set()
        return found.union(*map(_limits, value.values()))
    return set().union(*map(_limits, value)) if isinstance(value, list | tuple) else set()


def _length(window: Mapping[str, Any]) -> tuple[float, ...]:
    """Seconds of what has a start and an end: how long a period is may be said."""
    try:
        start, end = (datetime.fromisoformat(str(window[key])) for key in ("start", "end"))
        return ((end - start).total_seconds(),)
    except (KeyError, ValueError, TypeError):
        return ()
