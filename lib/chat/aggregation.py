"""Which statistic a question wants: the latest value, an extreme, a mean, a quantile, or how much came together."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from lib.chat import kinds
from lib.chat.kinds import DAY
from lib.chat.measures import MEASURES
from lib.chat.question import Parsed, Vocabulary
from lib.chat.request import Request
from lib.chat.signs import Sign
from lib.chat.times import TimeKind
from lib.frames import Window

_RATED_BACK = timedelta(minutes=10)
# "The longest average query duration".
_OF_AVERAGES = re.compile(
    r"\b(?:longest|highest|largest|biggest|worst|max(?:imum)?|peak|lowest|shortest|smallest|min(?:imum)?) "
    r"(?:average|mean|avg)\b",
    re.IGNORECASE,
)
_WENT_UP = re.compile(r"\b(?:by )?how (?:much|many)\b.*\b(?:go|went|gone) up\b")
# "The peak number of queries per second" is of how fast they came, not of how many.
_RATED = re.compile(r"\b(?:per|a|each) second\b|\brps\b|\bqps\b", re.IGNORECASE)


def aggregated(request: Request, parsed: Parsed, last: Request | None, known: Vocabulary | None) -> Request:
    """The request with its statistic. last: what was asked before, where this goes on with it."""
    signs = parsed.signs
    moment = any(f.kind in (TimeKind.MOMENT, TimeKind.NOW) for f in parsed.times)
    which_host = bool(signs & {Sign.WHICH_HOST, Sign.WHO}) or parsed.top is not None
    when = Sign.WHEN in signs
    if Sign.LONGEST in signs and "longest" in parsed.text.lower():
        # Of a duration the longest is the largest.
        signs = signs | {Sign.MAX}
    extremes = signs & {Sign.MAX, Sign.MIN, Sign.WORST}
    averaged = all(thing.endswith(("_mean", "_avg", "_average")) for thing in request.things)
    if averaged and not which_host and _OF_AVERAGES.search(parsed.text):
        # The metric is an average by itself.
        signs = signs - {Sign.MEAN}
    lowest = Sign.MIN in signs and not signs & {Sign.MAX, Sign.WORST}
    quantile = request.quantile
    flow = any(t in kinds.FLOWS or (known is not None and known.metrics.get(t) == "counter") for t in request.things)
    if request.things == ("node_boot_time_seconds",):
        # Since when it has been up, however that is asked.
        statistic, when = "latest", False
    elif parsed.quantile is not None:
        statistic, quantile = "quantile", parsed.quantile
    elif Sign.MEDIAN in signs:
        statistic = "median"
    elif Sign.STDDEV in signs:
        statistic = "stddev"
    elif (
        Sign.INCREASE in signs
        or (flow and _WENT_UP.search(parsed.text.lower()))
        or (
            signs & {Sign.HOW_MUCH, Sign.MOST, Sign.COUNT}
            and flow
            and request.time_given
            and not moment
            and not signs & {Sign.MEAN, Sign.SAMPLES}
            and not (extremes and _RATED.search(parsed.text))
        )
    ):
        # How much came through, not how fast.
        statistic = "increase"
    elif Sign.MOST in signs and which_host and flow and request.time_given and _RATED.search(parsed.text):
        # Who handled most per second did so on average, not at one moment.
        statistic = "mean"
    elif Sign.SAMPLES in signs and Sign.COUNT in signs:
        statistic = "count"
    elif Sign.MEAN in signs and (which_host or not extremes):
        statistic = "mean"
    elif Sign.MEAN in signs or (Sign.MIN in signs and signs & {Sign.MAX, Sign.WORST}) or len(request.windows) > 1:
        statistic = "summary"
    elif (
        (Sign.LATEST in signs and not (extremes and request.time_given))
        or moment
        or (which_host and not request.time_given)
    ):
        statistic = "latest"
    elif extremes or when:
        statistic = "min" if lowest else "max"
    elif Sign.SUMMARY in signs and request.time_given or Sign.COMPARE in signs:
        statistic = "summary"
    elif last is not None:
        statistic, quantile, lowest = last.statistic, last.quantile, last.lowest
        which_host, when = which_host or (last.which_host and not parsed.hosts), when or last.when
    elif which_host:
        statistic = "max"
    else:
        statistic = "summary" if request.time_given or Sign.SUMMARY in signs else "latest"
    if statistic == "latest" and moment:
        request = _reaching_back(request, parsed, flow)
    return replace(
        request,
        statistic=statistic,
        quantile=quantile,
        when=when,
        which_host=which_host,
        lowest=lowest,
    )


def _reaching_back(request: Request, parsed: Parsed, flow: bool) -> Request:
    """A rate takes two samples up to its moment; now is the newest one, however far back."""
    window = request.windows[0]
    rated = flow or any(part.rated for thing in request.things if thing in MEASURES for part in MEASURES[thing].parts)
    if not rated:
        return request
    if all(found.kind is TimeKind.NOW for found in parsed.times):
        return replace(request, windows=(Window(window.end - DAY, window.end),), time_given=False)
    return replace(request, windows=(Window(window.start - _RATED_BACK, window.end), *request.windows[1:]))
