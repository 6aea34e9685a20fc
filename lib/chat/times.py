"""Time expressions as people write them, made windows of UTC: "yesterday 14:00 to 16:00", "last Tuesday"."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from lib.chat.clocks import CLOCK as CLOCK
from lib.chat.clocks import NUMBER as NUMBER
from lib.chat.clocks import UNIT as UNIT
from lib.chat.clocks import clock as clock
from lib.chat.clocks import number
from lib.chat.clocks import seconds as seconds
from lib.chat.days import CALENDAR_DAY as CALENDAR_DAY
from lib.chat.days import DAY as DAY
from lib.chat.days import ISO_DATE as ISO_DATE
from lib.chat.days import MONTH as MONTH
from lib.chat.days import MONTHS as MONTHS
from lib.chat.days import WEEKDAY as WEEKDAY
from lib.chat.days import calendar_day as calendar_day
from lib.chat.days import day_named as day_named
from lib.chat.days import midnight as midnight
from lib.chat.days import month_number as month_number
from lib.chat.days import weekday as weekday
from lib.frames import Window


class TimeKind(StrEnum):
    """What an expression came to."""

    SPAN = "span"
    MOMENT = "moment"  # "at 14:00": the window reaches back as far as an instant query looks
    NOW = "now"
    EVER = "ever"
    FUTURE = "future"  # begins after now: nothing is known of it
    UNMARKED = "unmarked"  # "since the deploy", and no deploy is marked
    UNCLEAR = "unclear"  # could mean two things, or is no date at all


@dataclass(frozen=True)
class Found:
    """A time expression in a text at [begin, end). window: None for FUTURE and UNCLEAR."""

    kind: TimeKind
    text: str
    begin: int
    end: int
    window: Window | None = None


# Prometheus looks back this far for the value at an instant.
LOOKBACK = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO_MOMENT = rf"{ISO_DATE}(?:[t ]\d{{1,2}}:\d{{2}}(?::\d{{2}}(?:\.\d+)?)?(?:z|\+00:?00|(?: ?(?:utc|gmt)))?)?"
_WEEKS = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3}
_PART = r"(?:morning|afternoon|evening|night)"
_PARTS = {"morning": (6, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (18, 30)}
_TO = r"\s*(?:to|and|until|till|-|–|—|through|\.\.+)\s*"
_OVER = r"(?:(?:in|over|during|within|for|across|throughout) )?"

_Handler = Callable[[re.Match[str], datetime], "tuple[TimeKind, Window | None]"]


def find_all(text: str, now: datetime) -> list[Found]:
    """Every time expression in a text, by position, longest reading first. now: aware UTC."""
    lowered = text.lower()
    taken: list[Found] = []
    for pattern, handler in _RULES:
        for match in pattern.finditer(lowered):
            if any(match.start() < found.end and found.begin < match.end() for found in taken):
                continue
            try:
                kind, window = handler(match, now)
            except (ValueError, OverflowError):
                kind, window = TimeKind.UNCLEAR, None
            if window is not None and kind in (TimeKind.SPAN, TimeKind.MOMENT):
                if window.start >= now or (kind is TimeKind.MOMENT and window.end > now + timedelta(seconds=1)):
                    kind, window = TimeKind.FUTURE, None
                elif window.end > now:
                    window = Window(window.start, now)
            taken.append(Found(kind, text[match.start() : match.end()], match.start(), match.end(), window))
    return sorted(taken, key=lambda found: found.begin)


def window_of(text: str, now: datetime) -> Window | None:
    """The window one expression stands for; None when it is none, unclear, or in the future."""
    found = [f for f in find_all(text, now) if f.window is not None]
    return found[0].window if len(found) == 1 else None


def iso(window: Window) -> str:
    """A window as text that `window_of` reads back: `2026-03-13T00:00:00Z/2026-03-14T00:00:00Z`."""
    return "/".join(_written(moment.astimezone(UTC)) for moment in (window.start, window.end))


def iso_moment(moment: datetime) -> str:
    """A moment as calls and approvals name it: `2026-03-13T14:00:00Z`."""
    return _written(moment.astimezone(UTC))


def _written(moment: datetime) -> str:
    fraction = f".{moment.microsecond // 1000:03d}" if moment.microsecond >= 1000 else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _moment(text: str) -> tuple[datetime, bool]:
    """An ISO date or moment, and whether it is a whole day."""
    text = re.sub(r"(?:z|\+00:?00| ?(?:utc|gmt))$", "", text.strip().replace("t", " ")).strip()
    day, _, rest = text.partition(" ")
    year, month, number = (int(part) for part in day.split("-"))
    made = datetime(year, month, number, tzinfo=UTC)
    if not rest:
        return made, True
    rest, _, fraction = rest.partition(".")
    return made + clock(rest) + timedelta(seconds=float(f"0.{fraction or 0}")), False


# --- what each rule makes of its match -------------------------------------------------------


def _iso_range(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    start, _ = _moment(match["a"])
    end, whole_day = _moment(match["b"])
    # Between bare dates the last day counts; with a slash the end is the end.
    if whole_day and "/" not in match[0]:
        end += timedelta(days=1)
    return TimeKind.SPAN, Window(start, end)


def _clock_range(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    groups = match.groupdict()
    day_text = groups.get("d1") or groups.get("d2")
    first, second = match["a"], match["b"]
    if not re.search(r"[:apn]", first) and (suffix := re.search(r"(am|pm)", second)):
        first = f"{first} {suffix[1]}"
    start_clock, end_clock = clock(first), clock(second)
    day = day_named(day_text, now) if day_text else midnight(now)
    if not day_text and day + start_clock >= now:
        day -= timedelta(days=1)  # the last time it was that late
    start, end = day + start_clock, day + end_clock
    if end <= start:
        end += timedelta(days=1)
    return TimeKind.SPAN, Window(start, end)


def _hour_range(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    day, first, last = day_named(match["d1"] or match["d2"], now), int(match["a"]), int(match["b"])
    if last <= first <= 12 and last < 12:
        last += 12  # "from 9 to 5" ends in the afternoon
    if not first < last <= 24:
        raise ValueError(match[0])
    return TimeKind.SPAN, Window(day + timedelta(hours=first), day + timedelta(hours=last))


def _since_part(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    _, window = _part_of_day(match, now)
    assert window is not None
    return TimeKind.SPAN, Window(window.start, now)


def _week_of_month(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    """Weeks of a month are counted from its first day; the last one is its last seven days."""
    _, month = _whole_month(match, now)
    assert month is not None
    if match["which"] == "last":
        return TimeKind.SPAN, Window(month.end - timedelta(days=7), month.end)
    start = month.start + timedelta(days=7 * _WEEKS[match["which"]])
    return TimeKind.SPAN, Window(start, start + timedelta(days=7))


def _moment_range(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    start, end = (day_named(match[f"d{n}"], now) + clock(match[f"c{n}"]) for n in (1, 2))
    if not start < end:
        raise ValueError(match[0])
    return TimeKind.SPAN, Window(start, end)


def _days_of_month(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    named = f"{match['m1'] or match['m2']} {match['year'] or ''}".strip()
    first, last = (calendar_day(f"{match[one]} {named}", midnight(now)) for one in ("a", "b"))
    return TimeKind.SPAN, Window(first, last + timedelta(days=1))


def _day_range(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    start, end = day_named(match["a"], now), day_named(match["b"], now) + timedelta(days=1)
    if end <= start and not re.search(WEEKDAY, f"{match['a']} {match['b']}"):
        # "Between today and yesterday": named the other way round.
        return TimeKind.SPAN, Window(end - timedelta(days=1), start + timedelta(days=1))
    if end <= start:
        start -= timedelta(days=7)
    return TimeKind.SPAN, Window(start, end)


def _since(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    groups = match.groupdict()
    if groups.get("iso"):
        start, _ = _moment(match["iso"])
    else:
        day_text = groups.get("d1") or groups.get("d2")
        start = day_named(day_text, now) if day_text else midnight(now)
        said = groups.get("c1") or groups.get("c2")
        if said:
            start += clock(said)
            if not day_text and start >= now:
                start -= timedelta(days=1)
    return (TimeKind.SPAN, Window(start, now)) if start < now else (TimeKind.FUTURE, None)


def _rolling(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    return TimeKind.SPAN, Window(now - seconds(match["n"] or "1", match["unit"]), now)


def _rolling_months(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    days = 365 if match["unit"].startswith("y") else 30
    return TimeKind.SPAN, Window(now - timedelta(days=days * number(match["n"] or "1")), now)


def _calendar(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    today = midnight(now)
    which, unit = match["which"], match["unit"]
    if unit == "hour":
        start = now.replace(minute=0, second=0, microsecond=0)
        end = start + timedelta(hours=1)
        previous = start - timedelta(hours=1)
    elif unit == "week":
        start = today - timedelta(days=today.weekday())
        end, previous = start + timedelta(days=7), start - timedelta(days=7)
    elif unit == "month":
        start = today.replace(day=1)
        end = (start + timedelta(days=32)).replace(day=1)
        previous = (start - timedelta(days=1)).replace(day=1)
    else:
        start = today.replace(month=1, day=1)
        end, previous = start.replace(year=start.year + 1), start.replace(year=start.year - 1)
    return TimeKind.SPAN, Window(previous, start) if which in ("last", "previous") else Window(start, end)


def _before_last(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    pattern = re.compile(r"(?P<which>last) (?P<unit>week|month|year)")
    said = pattern.match(f"last {match['unit']}")
    assert said is not None
    _, last = _calendar(said, now)
    assert last is not None
    _, earlier = _calendar(said, last.start)
    return TimeKind.SPAN, earlier


def _weekend(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    today = midnight(now)
    saturday = today - timedelta(days=(today.weekday() - 5) % 7)
    if match["which"] == "last" and today.weekday() >= 5:
        saturday -= timedelta(days=7)
    return TimeKind.SPAN, Window(saturday, saturday + timedelta(days=2))


def _weekend_of(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    day = day_named(match["day"], now)
    saturday = day + timedelta(days=5 - day.weekday())
    return TimeKind.SPAN, Window(saturday, saturday + timedelta(days=2))


def _since_calendar(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    _, window = _calendar(match, now)
    assert window is not None
    return TimeKind.SPAN, Window(window.start, now)


def _part_of_day(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    text, part = match["day"] or "", match["part"] if match.groupdict().get("part") else "night"
    if text.strip() == "last":
        text = "yesterday"
    day = day_named(text.strip() or "today", now)
    first, last = _PARTS[part]
    return TimeKind.SPAN, Window(day + timedelta(hours=first), day + timedelta(hours=last))


def _tonight(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    day = midnight(now)
    return TimeKind.SPAN, Window(day + timedelta(hours=18), day + timedelta(hours=30))


def _ago(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    unit = match["unit"]
    if unit[0] == "w":
        day = midnight(now) - seconds(match["n"], unit)
        return TimeKind.SPAN, Window(day, day + timedelta(days=1))
    at = now - seconds(match["n"], unit)
    return TimeKind.MOMENT, Window(at - LOOKBACK, at + timedelta(milliseconds=1))


def _at(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    groups = match.groupdict()
    if groups.get("iso"):
        at, _ = _moment(match["iso"])
    else:
        day_text = groups.get("d1") or groups.get("d2")
        at = (day_named(day_text, now) if day_text else midnight(now)) + clock(groups.get("c1") or match["c2"])
        if not day_text and at > now:
            at -= timedelta(days=1)
    return TimeKind.MOMENT, Window(at - LOOKBACK, at + timedelta(milliseconds=1))


def _whole_day(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    day = day_named(match[0], now)
    return TimeKind.SPAN, Window(day, day + timedelta(days=1))


def _whole_month(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    month, year = month_number(match["month"]), int(match["year"] or now.year)
    if not match["year"] and month > now.month:
        year -= 1
    start = datetime(year, month, 1, tzinfo=UTC)
    return TimeKind.SPAN, Window(start, (start + timedelta(days=32)).replace(day=1))


def _until(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
    groups = match.groupdict()
    day = day_named(groups["d1"], now) if groups.get("d1") else midnight(now)
    return TimeKind.SPAN, Window(day, day + clock(match["c1"]))


def _fixed(kind: TimeKind) -> _Handler:
    def handler(match: re.Match[str], now: datetime) -> tuple[TimeKind, Window | None]:
        if kind is TimeKind.EVER:
            return kind, Window(_EPOCH, now)
        return kind, Window(now - LOOKBACK, now) if kind is TimeKind.NOW else None

    return handler


def _rule(pattern: str, handler: _Handler) -> tuple[re.Pattern[str], _Handler]:
    return re.compile(rf"(?<![\w.-]){pattern}(?![\w-])"), handler


_NTH = r"(?P<{}>\d{{1,2}})(?:st|nd|rd|th)?"
# Alone, without "in": "may" is a verb.
_WHOLE_MONTH = "|".join(name for name in MONTHS if name != "may") + "|jan|feb|apr|jun|jul|aug|sept?|oct|nov|dec"
_AMPM_OR_BARE = rf"(?:{CLOCK}|\d{{1,2}})"
# The first rule that fits a stretch of text takes it.
_RULES: list[tuple[re.Pattern[str], _Handler]] = [
    _rule(
        rf"(?:in |during |on |over )?(?:the )?(?P<part>night) (?:from|between) (?P<day>{DAY}) (?:to|and|on) {DAY}",
        _part_of_day,
    ),
    _rule(
        rf"{_OVER}(?:the )?(?P<which>first|second|third|fourth|1st|2nd|3rd|4th|last) week (?:of|in) "
        rf"(?P<month>{MONTH})\b"
        r"(?: (?P<year>\d{4}))?",
        _week_of_month,
    ),
    _rule(rf"(?:(?:from|between) )?(?P<a>{_ISO_MOMENT})(?:/|{_TO})(?P<b>{_ISO_MOMENT})", _iso_range),
    _rule(
        rf"(?:(?:from|between) )?(?P<d1>{DAY}),? (?:at )?(?P<c1>{CLOCK}){_TO}(?P<d2>{DAY}),? (?:at )?(?P<c2>{CLOCK})",
        _moment_range,
    ),
    _rule(rf"(?:(?:from|between) )?(?P<c1>{CLOCK}),? (?P<d1>{DAY}){_TO}(?P<c2>{CLOCK}),? (?P<d2>{DAY})", _moment_range),
    _rule(
        rf"(?:(?:from|between|on|in) )?(?:the )?(?:(?P<m1>{MONTH}) )?{_NTH.format('a')}{_TO}(?:the )?"
        rf"{_NTH.format('b')}(?: (?:of )?(?P<m2>{MONTH})\b)?(?(m2)|(?(m1)|(?!)))(?:,? (?P<year>\d{{4}}))?",
        _days_of_month,
    ),
    _rule(
        rf"(?:(?P<d1>{DAY}),? )?(?:from|between) (?P<a>\d{{1,2}}){_TO}(?P<b>\d{{1,2}})(?! ?[ap]m)"
        rf"(?:,? (?:h|hours|o'?clock))?(?(d1)|,? (?:on )?(?P<d2>{DAY}))",
        _hour_range,
    ),
    (
        re.compile(
            r"^(?:and |what about |how about )?(?:between|from) (?P<a>\d{1,2}) (?:and|to) (?P<b>\d{1,2})(?=\W*$)"
        ),
        lambda m, now: _clock_range(re.match(r"(?P<a>.*)-(?P<b>.*)", f"{m['a']}:00-{m['b']}:00") or m, now),
    ),
    _rule(
        rf"(?:(?P<d1>{DAY}),? )?(?:from |between )?(?P<a>{_AMPM_OR_BARE}){_TO}(?P<b>{CLOCK})"
        rf"(?:,? (?:of )?(?P<d2>{DAY}))?",
        _clock_range,
    ),
    _rule(rf"(?:(?:from|between) )(?P<a>{DAY}){_TO}(?P<b>{DAY})", _day_range),
    _rule(rf"(?P<a>{DAY}) (?:to|until|till|through) (?P<b>{DAY})", _day_range),
    _rule(rf"(?:since|after|from) (?P<iso>{ISO_DATE}[t ]\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?:z| ?utc)?)", _since),
    _rule(rf"since (?:the )?(?P<day>{DAY}) (?P<part>{_PART})", _since_part),
    _rule(rf"(?:since|after) (?P<d1>{DAY})(?: (?:at )?(?P<c1>{CLOCK}))?", _since),
    _rule(rf"(?:since|after) (?P<c1>{CLOCK})(?: (?P<d1>{DAY}))?", _since),
    _rule(rf"(?P<d1>{DAY},? )?(?:until|till|before|up to) (?P<c1>{CLOCK})", _until),
    _rule(rf"(?:{_OVER}(?:the )?)(?:last|past|previous|recent) (?P<n>{NUMBER}) ?(?P<unit>{UNIT})", _rolling),
    _rule(rf"{_OVER}(?:the )?(?:last|past|previous) (?P<n>{NUMBER}) (?P<unit>months?|years?)", _rolling_months),
    _rule(rf"{_OVER}the (?P<which>previous) (?P<unit>week)", _calendar),
    _rule(rf"{_OVER}the (?:last|past|previous) (?P<n>)(?P<unit>week|day|hour|minute)", _rolling),
    _rule(rf"{_OVER}(?:the )?past (?P<n>)(?P<unit>week|day|hour|minute)", _rolling),
    _rule(rf"{_OVER}(?:the )?last (?P<n>)(?P<unit>hour|day|minute)", _rolling),
    _rule(rf"{_OVER}(?:(?:the )?past|the last) (?P<n>)(?P<unit>month|year)", _rolling_months),
    _rule(rf"{_OVER}(?P<which>last|previous|this|the current) (?P<unit>week|month|year|hour)(?: so far)?", _calendar),
    _rule(rf"{_OVER}the (?P<unit>week|month|year) before last", _before_last),
    _rule(rf"(?:on |over |during |at )?(?:the )?weekend (?:of|around) (?P<day>{DAY})", _weekend_of),
    _rule(rf"(?:in |during |on |over )?(?:the )?(?P<part>{_PART}) of (?P<day>{DAY})", _part_of_day),
    _rule(r"since (?:the (?:start|beginning) of )?(?P<which>last|this) (?P<unit>week|month)", _since_calendar),
    _rule(r"(?:on |over |during |at )?(?:the )?(?P<which>last|past|this)? ?weekend", _weekend),
    _rule(rf"(?:in the |during the )?(?P<day>this|{DAY}|last) (?P<part>{_PART})", _part_of_day),
    _rule(r"(?:in|during) the (?P<day>)(?P<part>morning|afternoon|evening)", _part_of_day),
    _rule(r"overnight(?P<day>)", lambda m, now: (TimeKind.SPAN, _overnight(now))),
    _rule(r"tonight", _tonight),
    _rule(rf"(?:at |on )?(?P<iso>{ISO_DATE}[t ]\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?:z| ?utc)?)", _at),
    _rule(rf"(?P<d1>{DAY})(?:,? (?:at|around|about))? (?P<c1>{CLOCK})", _at),
    _rule(rf"(?:at|around|about) (?P<c1>{CLOCK})(?:,? (?P<d1>{DAY}))?", _at),
    _rule(rf"(?P<c1>\d{{1,2}}:\d{{2}}(?: ?(?:am|pm|utc))*|\d{{1,2}} ?(?:am|pm))(?:,? (?P<d1>{DAY}))?", _at),
    _rule(rf"{_OVER}{DAY}", lambda m, now: _whole_day(re.search(DAY, m[0]) or m, now)),
    _rule(rf"(?P<n>{NUMBER}) ?(?P<unit>{UNIT}) ago", _ago),
    # The last twelve hours, or twelve hours from now?
    _rule(r"in \d+ ?(?:hours?|days?|minutes?|weeks?|h|d|min|mins)\b", _fixed(TimeKind.UNCLEAR)),
    _rule(rf"{_OVER}(?P<n>\d+) ?(?P<unit>(?:hours?|days?|minutes?|weeks?|h|d))\b", _rolling),
    _rule(rf"(?:in |during )(?P<month>{MONTH})\b(?: (?P<year>\d{{4}}))?", _whole_month),
    _rule(rf"(?P<month>{MONTH}) (?P<year>\d{{4}})", _whole_month),
    _rule(rf"(?:over |throughout |since )?(?P<month>{_WHOLE_MONTH})(?P<year>)", _whole_month),
    _rule(
        r"(?:tomorrow|next (?:hour|day|week|month|year|\d+ \w+|weekend)|in the (?:near )?future)",
        _fixed(TimeKind.FUTURE),
    ),
    _rule(rf"next (?:{WEEKDAY})", _fixed(TimeKind.FUTURE)),
    _rule(
        r"(?:right now|just now|now|currently|at the moment|at present|at this moment|presently)", _fixed(TimeKind.NOW)
    ),
    _rule(
        r"(?:of all time|all time|ever|so far|since the (?:beginning|start)|over all (?:the )?data)",
        _fixed(TimeKind.EVER),
    ),
    _rule(
        r"(?:(?:in|over) )?(?:the )?(?:whole|entire|full|complete) (?:history|data|period|time)", _fixed(TimeKind.EVER)
    ),
    _rule(r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}", _fixed(TimeKind.UNCLEAR)),
]


def _overnight(now: datetime) -> Window:
    day = midnight(now)
    return Window(day - timedelta(hours=6), day + timedelta(hours=6))
