"""Which anomalies are meant by their size: "with a score over 14", "longer than 2 hours", "confidence below 95 %"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lib.chat import times
from lib.chat.masked import Masked

_ABOUT = re.compile(r"\b(?:anomal|incident|problem|issue|outlier|those|ones|which ones|only)")
_MORE = (
    r"(?:above|over|more than|greater than|higher than|larger than|bigger than|at least|exceed(?:s|ed|ing)?|beyond|>=?)"
)
_LESS = r"(?:below|under|less than|lower than|smaller than|at most|<=?)"
_NUMBER = r"(?P<n>\d+(?:\.\d+)?)"
_OF = r"(?:(?:with|had|has|have|having|whose|a|an|the|of|is|was|were|that) )*"
_SIZED = re.compile(
    rf"\b{_OF}(?P<of>scor(?:e[sd]?|ing)|confidences?)(?: (?:of|is|was|were|went|value))*"
    rf" ?(?:(?P<more>{_MORE})|(?P<less>{_LESS}))? ?{_NUMBER}(?: ?(?:%|percent))?"
    rf"(?P<up> ?\+| or (?:more|higher|above|better))?"
    rf"(?P<down> or (?:less|lower|below))?"
)
_LASTED = re.compile(
    r"\b(?:(?:that|which|who|to|have|had|has|did) )*(?:(?:last(?:ed|ing|s)?|took|taking|going on|ran|running|open|for)"
    rf" (?:for )?)?(?:(?P<more>longer than|{_MORE})|(?P<less>shorter than|briefer than|{_LESS}))"
    rf" (?P<n>{times.NUMBER}) ?(?P<unit>{times.UNIT})"
)


@dataclass(frozen=True)
class Pick:
    """of: score, confidence (0 to 1) or duration (seconds). said: in the words of the question."""

    of: str
    above: float | None
    below: float | None
    said: str


def find(masked: Masked, metric_named: bool) -> Pick | None:
    """The size anomalies are picked by, taken out of the text. A limit of a metric is not one."""
    if metric_named or not _ABOUT.search(masked.text):
        return None
    for match in _SIZED.finditer(masked.text):
        side = "above" if match["more"] or match["up"] else "below" if match["less"] or match["down"] else ""
        if not side:
            continue
        confident = match["of"].startswith("conf")
        value = float(match["n"])
        masked.blank(match.start(), match.end())
        words = f"a {'confidence' if confident else 'score'} {side} {match['n']}{' %' if confident else ''}"
        return _pick("confidence" if confident else "score", side, value / 100 if confident else value, words)
    if lasted := _LASTED.search(masked.text):
        side = "above" if lasted["more"] else "below"
        value = times.seconds(lasted["n"], lasted["unit"]).total_seconds()
        masked.blank(lasted.start(), lasted.end())
        long = "longer" if side == "above" else "shorter"
        return _pick("duration", side, value, f"a duration {long} than {lasted['n']} {lasted['unit']}")
    return None


def _pick(of: str, side: str, value: float, said: str) -> Pick:
    return Pick(of, value if side == "above" else None, value if side == "below" else None, said)
