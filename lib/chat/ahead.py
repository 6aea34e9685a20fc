"""Times that have not come: "tomorrow at 14:00", "in 6 hours", "by Friday", made windows of UTC for forecasts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from lib.chat import times
from lib.chat.times import Found, TimeKind
from lib.frames import Window

_N, _UNIT, _CLOCK = times.NUMBER, times.UNIT, times.CLOCK
_WEEKDAY, _ISO = times.WEEKDAY, times.ISO_DATE
_AT = rf"(?: (?:at|by|around|until|before)? ?(?P<clock>{_CLOCK}))?"
_PARTS = {"morning": (6, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (18, 30)}
_LEAD = r"(?:by |on |until |till |before |for |at |during |over |within |through )?(?:the )?"

_Handler = Callable[[re.Match[str], datetime], Window]
_INSTANT = timedelta(milliseconds=1)


def find_ahead(text: str, now: datetime) -> list[Found]:
    """Expressions of the future, by position; a MOMENT's window begins at the moment. now: aware UTC."""
    lowered, taken = text.lower(), list[Found]()
    for pattern, handler in _RULES:
        for match in pattern.finditer(lowered):
            if any(match.start() < found.end and found.begin < match.end() for found in taken):
                continue
            try:
                window = handler(match, now)
            except (ValueError, OverflowError):
                continue
            if window.end > now:
                kind = TimeKind.MOMENT if window.span <= _INSTANT else TimeKind.SPAN
                taken.append(Found(kind, text[match.start() : match.end()], match.start(), match.end(), window))
    return sorted(taken, key=lambda found: found.begin)


def _day(start: datetime, match: re.Match[str]) -> Window:
    groups = match.groupdict()
    if groups.get("clock"):
        at = start + times.clock(match["clock"])
        return Window(at, at + _INSTANT)
    if groups.get("part"):
        first, last = _PARTS[match["part"]]
        return Window(start + timedelta(hours=first), start + timedelta(hours=last))
    return Window(start, start + timedelta(days=1))


def _tomorrow(match: re.Match[str], now: datetime) -> Window:
    return _day(times.midnight(now) + timedelta(days=2 if "after" in match[0] else 1), match)


def _rolling(match: re.Match[str], now: datetime) -> Window:
    return Window(now, now + times.seconds(match["n"] or "1", match["unit"]))


def _moment(match: re.Match[str], now: datetime) -> Window:
    at = now + times.seconds(match["n"], match["unit"])
    return Window(at, at + _INSTANT)


def _next(match: re.Match[str], now: datetime) -> Window:
    today = times.midnight(now)
    if match["unit"] == "week":
        start = today + timedelta(days=7 - today.weekday())
        return Window(start, start + timedelta(days=7))
    if match["unit"] == "weekend":
        start = today + timedelta(days=(5 - today.weekday()) % 7 or 7)
        return Window(start, start + timedelta(days=2))
    start = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return Window(start, (start + timedelta(days=32)).replace(day=1))


def _rest_of(match: re.Match[str], now: datetime) -> Window:
    today = times.midnight(now)
    if match["unit"] == "week":
        return Window(now, today + timedelta(days=7 - today.weekday()))
    return Window(now, (today.replace(day=1) + timedelta(days=32)).replace(day=1))


def _weekday(match: re.Match[str], now: datetime) -> Window:
    today = times.midnight(now)
    number = times.weekday(match["weekday"])
    return _day(today + timedelta(days=(number - today.weekday()) % 7 or 7), match)


def _iso(match: re.Match[str], now: datetime) -> Window:
    start = datetime.fromisoformat(f"{match['iso']}T00:00:00+00:00")
    return _day(start, match)


def _date(match: re.Match[str], now: datetime) -> Window:
    found = [one for one in times.find_all(match["date"], now) if one.kind is TimeKind.FUTURE]
    if not found:
        raise ValueError(match[0])
    return _day(times.day_named(match["date"], now), match)


def _clock(match: re.Match[str], now: datetime) -> Window:
    at = times.midnight(now) + times.clock(match["clock"])
    at += timedelta(days=1 if at <= now else 0)
    return Window(at, at + _INSTANT)


def _today(match: re.Match[str], now: datetime) -> Window:
    return Window(now, times.midnight(now) + timedelta(days=1))


def _rule(pattern: str, handler: _Handler) -> tuple[re.Pattern[str], _Handler]:
    return re.compile(rf"(?<![\w.-]){pattern}(?![\w-])"), handler


_RULES: list[tuple[re.Pattern[str], _Handler]] = [
    _rule(
        rf"(?:at |by |around )?(?P<clock>{_CLOCK}) (?:on )?(?:the )?(?:day after )?tomorrow",
        _tomorrow,
    ),
    _rule(rf"{_LEAD}(?:day after tomorrow|tomorrow)(?: (?P<part>morning|afternoon|evening|night))?{_AT}", _tomorrow),
    _rule(
        rf"(?:in|over|within|for|during)? ?(?:the )?(?:next|coming|following) (?P<n>{_N}) ?(?P<unit>{_UNIT})", _rolling
    ),
    _rule(rf"(?:within|for|over) (?P<n>{_N}) ?(?P<unit>{_UNIT})", _rolling),
    _rule(rf"{_LEAD}(?:next|coming|following) (?P<n>)(?P<unit>hour|day)", _rolling),
    _rule(rf"in (?P<n>{_N}) ?(?P<unit>{_UNIT})(?:'?s? time)?", _moment),
    _rule(rf"(?P<n>{_N}) ?(?P<unit>{_UNIT}) (?:from now|ahead|later)", _moment),
    _rule(rf"(?:in )?{_LEAD}(?:next|coming) (?P<unit>week|weekend|month)", _next),
    _rule(
        rf"{_LEAD}(?:next |coming |this )?(?P<weekday>{_WEEKDAY})(?: (?P<part>morning|afternoon|evening|night))?{_AT}",
        _weekday,
    ),
    _rule(rf"{_LEAD}(?P<iso>{_ISO})(?:[t ]|,? at )?(?P<clock>{_CLOCK})?", _iso),
    _rule(rf"{_LEAD}(?P<date>{times.CALENDAR_DAY}){_AT}", _date),
    _rule(rf"(?P<clock>{_CLOCK})(?: on|,)? (?:the )?(?P<date>{times.CALENDAR_DAY})", _date),
    _rule(rf"(?:later )?(?:today|tonight)(?: at| by)? (?P<clock>{_CLOCK})", _clock),
    _rule(rf"(?:at|by|around|until|before) (?P<clock>{_CLOCK})(?: today| tonight)?", _clock),
    _rule(r"(?:by the end of |later |during |within |in )?this (?P<unit>week|month)", _rest_of),
    _rule(r"(?:by the end of the day|later today|today|tonight|this evening)", _today),
]
