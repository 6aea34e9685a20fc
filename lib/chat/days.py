"""Days as people name them: "yesterday", "last Tuesday", "11 March", "2026-03-11", "the 3rd"."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from lib.chat.clocks import NUMBER, number

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)
MONTH = "|".join(f"{name[:3]}(?:{name[3:]})?" for name in MONTHS) + "|sept"
WEEKDAY = "|".join(f"{name[:3]}(?:{name[3:]})?" for name in _WEEKDAYS) + "|tues|thur|thurs|weds"
ISO_DATE = r"\d{4}-\d{1,2}-\d{1,2}"
CALENDAR_DAY = (
    rf"(?:\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{MONTH})\b(?:,? \d{{4}})?"
    rf"|(?:{MONTH})\b (?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?"
    rf"|\d{{1,2}}[/.-]\d{{1,2}}[/.-](?:\d{{4}}|\d{{2}})(?![\d/.-]*\d)|\d{{4}}/\d{{1,2}}/\d{{1,2}})"
)
DAY = (
    rf"(?:(?:on )?(?:the )?day before yesterday|today|yesterday|{NUMBER} days ago"
    rf"|(?:on )?{ISO_DATE}"
    rf"|(?:on )?(?:the )?{CALENDAR_DAY}"
    rf"|(?:on )?(?:last |this |past )?(?:{WEEKDAY})\b"
    rf"|(?:on )?the \d{{1,2}}(?:st|nd|rd|th)\b(?! (?:percentile|quantile)))"
)


def midnight(moment: datetime) -> datetime:
    """When the day of a moment began, in UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def day_named(text: str, now: datetime) -> datetime:
    """When a day that was named began. Raises ValueError."""
    text = text.strip().removeprefix("on ").removeprefix("the ")
    today = midnight(now)
    if text in ("today", "this"):
        return today
    if text == "yesterday":
        return today - timedelta(days=1)
    if text.startswith("day before"):
        return today - timedelta(days=2)
    if match := re.fullmatch(rf"({NUMBER}) days ago", text):
        return today - timedelta(days=int(number(match[1])))
    if match := re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", text):
        return datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC)
    if match := re.fullmatch(r"(\d{4})/(\d{1,2})/(\d{1,2})", text):
        return datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC)
    if match := re.fullmatch(r"(\d{1,2})([/.-])(\d{1,2})[/.-](\d{2,4})", text):
        return _by_numbers(match, today)
    if match := re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)", text):
        first = today.replace(day=1)
        first = first if int(match[1]) <= today.day else (first - timedelta(days=1)).replace(day=1)
        return first.replace(day=int(match[1]))
    if match := re.fullmatch(rf"(last |this |past )?({WEEKDAY})", text):
        back = (today.weekday() - weekday(match[2])) % 7
        return today - timedelta(days=7 if back == 0 and match[1] == "last " else back)
    return calendar_day(text, today)


def _by_numbers(match: re.Match[str], today: datetime) -> datetime:
    """13/3/2026 and 3/13/2026 are clear, 13.3.2026 is written day first; where both fit, one has to ask."""
    first, second, year = int(match[1]), int(match[3]), int(match[4]) + (2000 if len(match[4]) == 2 else 0)
    made = []
    for day, month in ((first, second), (second, first)):
        if month <= 12 and day <= 31:
            made.append(datetime(year, month, day, tzinfo=UTC))
        if match[2] == ".":
            break
    # As for a day without a year: what is more than a month ahead is not meant.
    meant = {one for one in made if one <= today + timedelta(days=31)} or set(made)
    if len(meant) != 1:
        raise ValueError(match[0])
    return meant.pop()


def calendar_day(text: str, today: datetime) -> datetime:
    """When a day with a named month began. Raises ValueError."""
    match = re.search(rf"({MONTH})\b", text)
    day = re.search(r"\b(\d{1,2})(?:st|nd|rd|th)?\b", text)
    year = re.search(r"\b(\d{4})\b", text)
    if not match or not day:
        raise ValueError(text)
    made = datetime(int(year[1]) if year else today.year, month_number(match[1]), int(day[1]), tzinfo=UTC)
    # Without a year the last such day is meant, unless it is only days away.
    if not year and made > today + timedelta(days=31):
        made = made.replace(year=made.year - 1)
    return made


def weekday(name: str) -> int:
    """Monday is 0. Raises ValueError."""
    return [one[:3] for one in _WEEKDAYS].index(name[:3])


def month_number(name: str) -> int:
    """January is 1. Raises StopIteration for what is none."""
    return next(i for i, month in enumerate(MONTHS, 1) if month[:3] == name[:3])
