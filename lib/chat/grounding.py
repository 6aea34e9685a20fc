"""Numbers in a model's words, held against the numbers the tools gave: what is in neither is told as unsupported."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# Three figures are what results are said in, so a right number may be half of the third off; a little more is kind.
TOLERANCE = 0.006
_NUMBER = re.compile(r"(?<![\w.,:/-])[-−+]?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(e[-+]?\d+)?", re.IGNORECASE)
# Not quantities: citations, moments, and the numbers in names and list markers.
_NOT_QUANTITIES = re.compile(
    r"\[\d{1,3}\]|`[^`]*`"
    r"|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|\+00:00)?)?|\b\d{1,2}:\d{2}(?::\d{2})?\b"
    r"|^\s*\d{1,2}[.)](?=\s)|\b[A-Za-z_]+[-_.]?\d[\w.-]*|\bp\d{1,3}\b",
    re.MULTILINE,
)
_KILO_TO_TERA = tuple(base**power for base in (1000, 1024) for power in (1, 2, 3, 4))
_MINUTE_HOUR_DAY = (60, 3600, 86400)


def unsupported(text: str, results: Iterable[Any], question: str = "") -> tuple[str, ...]:
    """The numbers of `text`, as written, that neither a result nor the question holds.

    results: tool results, any nesting. Whole numbers up to the length of a result's rows count as given (how many).
    """
    known = _given(results)
    known.update(_value(m) for m in _NUMBER.finditer(question))
    found: dict[str, None] = {}
    for match in _NUMBER.finditer(_NOT_QUANTITIES.sub(lambda m: " " * len(m[0]), text)):
        value = _value(match)
        if not any(_close(value, given, match) for given in known):
            found[match[0].strip()] = None
    return tuple(found)


def _value(match: re.Match[str]) -> float:
    return float(match[0].replace(",", "").replace("−", "-"))


def _close(value: float, given: float, match: re.Match[str]) -> bool:
    # What was written with few digits was rounded: half of its last digit is allowed.
    decimals = len(match[2]) - 1 if match[2] else 0
    for wanted in _readings(given):
        rounding = 0.5 * 10.0**-decimals if decimals or wanted != int(wanted) else 0.0
        # Rounding to whole units must not swallow small numbers.
        if abs(abs(value) - abs(wanted)) <= max(TOLERANCE * abs(wanted), min(rounding, 0.05 * abs(wanted)), 1e-12):
            return True
    return False


def _readings(given: float) -> list[float]:
    """What one number may be said as: itself, in percent, in larger units. Few, or anything would fit something."""
    size = abs(given)
    readings = [given]
    if 0 < size < 1:
        readings.append(given * 100)
    divisors = (*_KILO_TO_TERA, *_MINUTE_HOUR_DAY)
    return readings + [given / divisor for divisor in divisors if size / divisor >= 0.5]


def _given(results: Iterable[Any]) -> set[float]:
    known: set[float] = set()

    def walk(value: Any) -> None:
        if isinstance(value, bool) or value is None:
            return
        if isinstance(value, int | float):
            known.add(float(value))
        elif isinstance(value, str):
            known.update(_value(m) for m in _NUMBER.finditer(value))
        elif isinstance(value, dict):
            for key, inner in value.items():
                # Constants of a formula are no findings.
                if key != "formula":
                    walk(inner)
        elif isinstance(value, list | tuple):
            known.add(float(len(value)))
            for inner in value:
                walk(inner)

    for result in results:
        walk(result)
    return known
