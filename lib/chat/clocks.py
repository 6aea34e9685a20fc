"""Spans and times of day as people write them: "a couple of hours", "2:30 pm"."""

from __future__ import annotations

import re
from datetime import timedelta

_NUMBERS: dict[str, float] = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
}
_NUMBERS |= {"nine": 9, "ten": 10, "twelve": 12, "couple of": 2, "a couple of": 2, "few": 3, "half an": 0.5}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

NUMBER = (
    r"(?:\d+(?:\.\d+)?|a couple of|couple of|few|half an|an|a|one|two|three|four|five|six|seven|eight|nine|ten|twelve)"
)
UNIT = r"(?:seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w)\b"
CLOCK = r"(?:\d{1,2}:\d{2}(?::\d{2})?(?: ?(?:am|pm))?|\d{1,2} ?(?:am|pm)|noon|midnight)(?: ?(?:utc|gmt|z|o'?clock))?"


def number(text: str) -> float:
    """How many `a couple of` is."""
    text = text.strip()
    return _NUMBERS[text] if text in _NUMBERS else float(text)


def seconds(count: str, unit: str) -> timedelta:
    """How long `three hours` is."""
    letter = unit.strip()[0]
    return timedelta(seconds=number(count) * _UNITS[letter])


def clock(text: str) -> timedelta:
    """How long after midnight `2:30 pm` is. Raises ValueError."""
    if text.startswith("noon"):
        return timedelta(hours=12)
    if text.startswith("midnight"):
        return timedelta(0)
    parts = re.match(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))? ?(am|pm)?", text)
    if parts is None:
        raise ValueError(text)
    hour, minute, second = int(parts[1]), int(parts[2] or 0), int(parts[3] or 0)
    if parts[4]:
        if not 1 <= hour <= 12:
            raise ValueError(text)
        hour = hour % 12 + (12 if parts[4] == "pm" else 0)
    if hour > 24 or minute > 59 or second > 59 or (hour == 24 and (minute or second)):
        raise ValueError(text)
    return timedelta(hours=hour, minutes=minute, seconds=second)
