"""Limits as people write them: "above 80 %", "below 2 GiB", "reaches 15"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lib.chat.measures import MEASURES

_LIMIT = re.compile(
    r"(?P<side>(?:(?:is|are|was|were|be|becomes?|became|get|gets|got|go|goes|went|stay(?:ed)?|rise[sn]?|rose|fall(?:s|en)?|fell"
    r"|drop(?:s|ped)?)(?: ever)? )?"
    r"(?:above|over|more than|greater than|higher than|larger than|at least|exceed(?:s|ed|ing)?|beyond|past"
    r"|(?:longer|deeper|bigger|slower|fuller|busier|worse) than|below|under|less than|shorter than|faster than"
    r"|lower than|smaller than|at most|reach(?:es|ed|ing)?|(?<!cache )hits?|cross(?:es|ed|ing)?"
    r"|(?:sur)?pass(?:es|ed|ing)?"
    r"|>=?|<=?|to|of|at)) ?"
    r"(?P<n>-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?) ?(?P<unit>%|percent|pct|[kmgt]i?b(?:/s|ps)?|bytes?(?:/s)?|b/s"
    r"|seconds?|secs?|s|ms|milliseconds?|minutes?|[km])?"
    r"(?: full| used| capacity| utili[sz]ation| usage| use)?(?![\w:/-])(?! (?:hours?|days?|weeks?|months?)\b)"
)
_SHARE = re.compile(r"(?<![\w.])(?P<n>\d{1,3}(?:\.\d+)?) ?(?:%|percent|pct)(?: full| used)?(?!\w)")
_LIMIT_ONLY_BESIDE = ("to", "of", "at", "past")
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
_DURATION = re.compile(r"\b(?:for|longer|lasted|lasting|last)\b[^,]{0,12}$")


@dataclass(frozen=True)
class Limit:
    """A number at [begin, end) of a text. side: above, below, or '' for whichever way it lies. unit: as written."""

    value: float
    side: str
    unit: str
    begin: int
    end: int

    @property
    def bytes(self) -> bool:
        return bool(re.match(r"[kmgt]i?b|b(?:ytes?)?\b", self.unit))


def find(text: str, ahead: bool) -> Limit | None:
    """A limit with its side and unit as written: "above 80 %"; a bare "to 90" is one only where it has a unit."""
    for match in _LIMIT.finditer(text):
        side = match["side"].split()[-1] if " than" not in match["side"] else match["side"]
        unit = match["unit"] or ""
        if any(side.startswith(word) for word in _LIMIT_ONLY_BESIDE) and not (
            (ahead and side not in ("of", "at", "past", "beyond"))
            or (unit not in ("", "s", "m", "seconds", "minutes", "second") and side not in ("of",))
        ):
            continue
        if unit in ("minutes", "minute", "seconds", "second", "m", "s") and _DURATION.search(text[: match.start()]):
            continue
        below = re.match(
            r"(?:.* )?(?:below|under|less|lower|smaller|shorter|faster|at most|<|fall|fell|drop)", match["side"]
        )
        told = (
            "below"
            if below
            else ""
            if side.startswith(("to", "reach", "hit", "cross", "at", "of", "pass", "surpass"))
            else "above"
        )
        return Limit(float(match["n"].replace(",", "")), told, unit, match.start(), match.end())
    if ahead and (share := _SHARE.search(text)):
        return Limit(float(share["n"]), "", "%", share.start(), share.end())
    return None


def scaled(limit: float | None, unit: str, things: Sequence[str]) -> float | None:
    """A limit in the unit of what it is about: "2 GiB" in bytes, "200 ms" in seconds."""
    if limit is None:
        return None
    if unit.startswith(("ms", "milli")):
        return limit / 1000
    if unit.startswith("min"):
        return limit * 60
    bare = unit.removesuffix("/s").removesuffix("ps")
    if len(bare) >= 2 and bare.endswith("b") and bare[0] in _POWERS:
        return float(limit * (1024.0 if "i" in bare else 1000.0) ** _POWERS[bare[0]])
    if bare in ("k", "m"):
        return limit * {"k": 1e3, "m": 1e6}[bare]
    if unit in ("%", "percent", "pct") and things and not (things[0] in MEASURES and MEASURES[things[0]].unit == "%"):
        return limit if things[0] in MEASURES else limit / 100
    return limit
