"""Times told by something else: a mark ("since the deploy"), both sides of a moment, the window before another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from lib.chat import times
from lib.chat.times import LOOKBACK, Found, TimeKind
from lib.frames import Window

# What is looked at on each side of a moment when nobody says how much, and before a deploy.
BESIDE, BEFORE = timedelta(hours=1), timedelta(hours=24)
KINDS = {"deploy": "deploy", "release": "deploy", "roll": "deploy", "maint": "maintenance", "upgrade": "deploy"}
_MARK = re.compile(
    r"\b(?:(?:the )?(?P<n>"
    + times.NUMBER
    + r") ?(?P<unit>"
    + times.UNIT
    + r") )?(?P<how>since|after|before|during|around|until|at the time of|did|has|(?:before|after) and (?:before"
    r"|after)|from) "
    r"(?:(?:the|our|my|that|this|his|her) )?(?:(?:last|latest|most recent|newest|previous) )?"
    rf"(?:(?P<of>{times.DAY})(?:'s)? )?"
    r"(?P<kind>deploy(?:ment|s)?|releases?|roll-?outs?|maintenance(?: window)?|upgrade|annotation|mark|note|event)\b"
    rf"(?: (?:of |from )?(?P<day>{times.DAY})(?! at)| (?:of|about|called|named) (?P<text>[\w.-]+(?: \d[\w.]*)?))?"
)
_BOTH_SIDES = re.compile(
    rf"\b(?:(?:the |an? )?(?P<n>{times.NUMBER}) ?(?P<unit>{times.UNIT}) )?(?:before and after|after and before)\b"
)
_EARLIER = re.compile(
    r"\b(?:(?:the )?same (?:time|period|hours?|window|span)(?: of| on)? (?P<same>yesterday|the day before"
    r"|last week|a week ago|"
    r"the week before|the previous (?:day|week))"
    r"|(?:the |a )?(?P<unit>day|week|hour) (?:before(?! yesterday)|earlier)"
    r"|(?:the )?(?:previous|preceding|prior) (?P<unit2>day|week|hour|period|window|time|one)"
    r"|(?:the )?(?:(?P<later>day|week|hour) (?:after|later)(?! tomorrow)|(?:next|following) (?P<later2>day|week|hour))"
    r"|(?:the )?(?P<unit3>period|time|hours?|window) before(?: that| it)?|before that)\b"
)
_SPAN = rf"(?:{times.DAY}|(?:last|this|previous|the previous) (?:week|month|hour))"
_BETWEEN = re.compile(rf"\b(?P<lead>from|between) {_SPAN}(?P<link> (?:to|and) ){_SPAN}")
# What an event did is told by both its sides.
_EFFECT = re.compile(
    r"\b(?:chang|differ|affect|impact|effect|(?:go|goes|going|gone|went) (?:up|down)"
    r"|(?:did|has|have) .*(?:ris|rose|increas|grow|grew|drop"
    r"|fall|f[ae]ll|jump|improv|worse|better|slow|fast))"
)
_GOES_ON = re.compile(
    r"^(?:and|what about|how about|same for|also|same)\b"
    r"|^(?:on |in )?(?:the )?(?:\w+ (?:before|after|later)|(?:previous|next|following) \w+)\W*$"
)
_AND_BEFORE = re.compile(r"\band the (?:week|day|hour) before\b(?! yesterday)")
_SHIFTS = {"day": timedelta(days=1), "week": timedelta(days=7), "hour": timedelta(hours=1)}
_SUNDAY = timedelta(days=7)


def find_all(
    text: str, now: datetime, marks: Sequence[Mapping[str, Any]], hosts: Sequence[str], comparing: bool
) -> list[Found]:
    """As `times.find_all`, and the expressions of this module. marks: newest last, as tools see them."""
    found: list[Found] = []
    blanked = text
    beside: timedelta | None = None
    for match in list(_MARK.finditer(blanked)):
        if match["how"] in ("did", "has") and not _EFFECT.search(text):
            continue
        found += _marked(match, now, marks, hosts, comparing and _EFFECT.search(text) is not None)
        blanked = _blank(blanked, match)
    if (both := _BOTH_SIDES.search(blanked)) is not None:
        beside = times.seconds(both["n"], both["unit"]) if both["n"] else BESIDE
        found.append(Found(TimeKind.EVER, both[0], both.start(), both.end()))
        blanked = _blank(blanked, both)
    earlier = None
    if (comparing or _GOES_ON.match(text) or _AND_BEFORE.search(text)) and (earlier := _EARLIER.search(blanked)):
        blanked = _blank(blanked, earlier)
    if comparing:
        # Of "from yesterday to today" a comparison means the two days, not the span over both.
        for match in list(_BETWEEN.finditer(blanked)):
            for word in ("lead", "link"):
                begin, end = match.span(word)
                blanked = blanked[:begin] + " " * (end - begin) + blanked[end:]
    plain = times.find_all(blanked, now)
    if beside is not None:
        plain = [side for one in plain for side in _sides(one, beside, now)]
    if earlier is not None:
        plain += _shifted(earlier, [one for one in (*found, *plain) if one.window], now)
    return sorted([*found, *plain], key=lambda one: one.begin)


def _blank(text: str, match: re.Match[str]) -> str:
    return text[: match.start()] + " " * (match.end() - match.start()) + text[match.end() :]


def _marked(
    match: re.Match[str], now: datetime, marks: Sequence[Mapping[str, Any]], hosts: Sequence[str], effect: bool
) -> list[Found]:
    kind = next((name for start, name in KINDS.items() if match["kind"].startswith(start)), "")
    day = times.window_of(match["day"] or match["of"] or "", now)
    wanted = [
        mark
        for mark in marks
        if mark["start"] <= now
        and kind in ("", mark["kind"])
        and (not hosts or mark["host"] in ("", *hosts))
        and (day is None or day.start <= mark["start"] < day.end)
        and (not match["text"] or match["text"].rstrip(".") in str(mark["text"]).lower())
    ]
    if not wanted:
        return [Found(TimeKind.UNMARKED, match[0], match.start(), match.end())]
    mark = max(wanted, key=lambda one: one["start"])
    start, end = mark["start"], mark["end"] or mark["start"]
    how = match["how"]
    beside = times.seconds(match["n"], match["unit"]) if match["n"] else BESIDE
    if match["n"] and how in ("before", "after", "since"):
        windows = [Window(start - beside, start) if how == "before" else Window(end, min(end + beside, now))]
    elif " and " in how or (effect and how in ("after", "since", "at the time of", "did", "has")):
        windows = [Window(start - beside, start), Window(end, min(end + beside, now))]
    elif how in ("before", "until"):
        windows = [Window(start - BEFORE, start)]
    elif how in ("during", "at the time of") and end > start:
        windows = [Window(start, min(end, now))]
    elif how in ("during", "at the time of", "around"):
        windows = [Window(start - BESIDE, min(end + BESIDE, now))]
    else:
        windows = [Window(end if how == "after" else start, now)]
    return [Found(TimeKind.SPAN, match[0], match.start(), match.end(), one) for one in windows]


def _sides(one: Found, beside: timedelta, now: datetime) -> list[Found]:
    if one.window is None:
        return [one]
    at = one.window.start + LOOKBACK if one.kind is TimeKind.MOMENT else one.window.start
    end = at if one.kind is TimeKind.MOMENT else one.window.end
    before, after = Window(at - beside, at), Window(min(end, now), min(end + beside, now))
    return [replace(one, kind=TimeKind.SPAN, window=side) for side in (before, after)]


def _at(match: re.Match[str], window: Window, now: datetime, relative: bool) -> Found:
    """A window where the text has it. relative: it is moved again, to what was spoken of before."""
    if window.start >= now and not relative:
        return Found(TimeKind.FUTURE, match[0], match.start(), match.end())
    window = window if relative or window.end <= now else Window(window.start, now)
    return Found(TimeKind.SPAN, match[0], match.start(), match.end(), window)


def _shifted(match: re.Match[str], known: Sequence[Found], now: datetime) -> list[Found]:
    if not known:
        today = times.midnight(now)
        known = [Found(TimeKind.SPAN, "today", match.start(), match.start(), Window(today, now))]
        made = list(known)
    else:
        made = []
    window = known[0].window
    assert window is not None
    later = match["later"] or match["later2"]
    if later:
        shift = _SHIFTS[later]
        return [*made, _at(match, Window(window.start + shift, window.end + shift), now, bool(made))]
    named = match["same"] or match["unit"] or match["unit2"] or match["unit3"] or ""
    if match["same"]:
        shift = _SUNDAY if "week" in named else timedelta(days=1)
    else:
        shift = _SHIFTS.get(named.rstrip("s"), window.span)
        if named == "hour" and match["unit3"]:
            shift = window.span
    earlier = Window(window.start - shift, window.end - shift)
    if not match["same"] and named in ("day", "week") and window.span < shift and window.end == now:
        # "Today, against the day before": all of that day.
        earlier = Window(window.start - shift, window.start)
    return [*made, Found(TimeKind.SPAN, match[0], match.start(), match.end(), earlier)]
