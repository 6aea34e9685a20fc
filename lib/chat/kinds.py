"""Questions that are about more than one number of one thing, and commands: from what was said to a request."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from lib.chat.escape import code
from lib.chat.measures import MEASURES
from lib.chat.question import Parsed, Vocabulary
from lib.chat.request import Context, Intent, Reply, Request
from lib.chat.signs import Sign
from lib.chat.times import CLOCK, TimeKind, find_all, midnight
from lib.chat.tools.statistics import nearest
from lib.frames import Window

DAY = timedelta(hours=24)
# What changed is asked of what just happened.
RECENTLY = timedelta(hours=1)
MARKS_BACK = timedelta(days=30)
WHICH = "Of which metric? Name one, like *cpu*, *memory*, *load*, or ask *which metrics are there?*"
# A question about one of these goes on with "and yesterday?", "and for web-02?".
CARRIED = (
    *(Intent.COMPARE, Intent.ODD, Intent.CORRELATION, Intent.RATIO, Intent.BEYOND, Intent.QUALITY, Intent.FORECAST),
    *(Intent.CROSSING, Intent.CHANGED, Intent.MODELS, Intent.AT_ONCE, Intent.MARKS, Intent.METRIC),
)
_CHECKS = {
    Sign.GAPS: "gaps",
    Sign.RESETS: "resets",
    Sign.CONSTANT: "constant",
    Sign.STALE: "stale",
    Sign.DUPLICATES: "duplicates",
    Sign.INTERVAL: "interval",
}
_CUES = {
    *_CHECKS,
    *(Sign.QUALITY, Sign.CORRELATION, Sign.RATIO, Sign.ODD, Sign.FORECAST, Sign.CHANGED, Sign.MODELS, Sign.ALERTS),
    *(Sign.AT_ONCE, Sign.MARKS, Sign.LABELS, Sign.SOURCES, Sign.COMPARE, Sign.OFTEN, Sign.STDDEV, Sign.KIND),
}
# Words that ask for something else than what was asked before.
_OTHER = {
    *(Sign.ANOMALY, Sign.HEALTH, Sign.METRICS, Sign.SERIES, Sign.SPAN, Sign.HELP, Sign.WHY, Sign.MEAN, Sign.MAX),
    *(Sign.MIN, Sign.MEDIAN, Sign.LATEST, Sign.SUMMARY, Sign.INCREASE, Sign.HOSTS),
}
_STATISTICS = (
    (Sign.MEDIAN, "median"),
    (Sign.STDDEV, "stddev"),
    (Sign.MEAN, "mean"),
    (Sign.MAX, "max"),
    (Sign.MIN, "min"),
    (Sign.INCREASE, "increase"),
)
# "Total memory used" adds up what is no flow; that has no answer.
_SUMMED = re.compile(r"\b(?:totals?|sum|altogether|added up|accumulated?)\b")
FLOWS = {"network_received", "network_sent", "disk_read", "disk_written", "http_requests"}
_YES_OR_NO = re.compile(r"(?:did|has|have|is|was|are|were|does)\b")
_HOSTS = r"(?:(?:of )?(?:the|our|my) )?(?:hosts?|machines?|servers?|nodes?|instances?)\b"
_ANY_HOST = re.compile(r"\bany (?:of (?:the|our) )?(?:hosts?|servers?|machines?|nodes?|box(?:es)?|instances?)\b")
_WHICH_HOSTS = re.compile(rf"\b(?:which|what|how many|any|all|every|each) {_HOSTS}")
# A time of day without its day.
_OF_DAY = re.compile(r"^(?:in|during) the |^this ")
_DAYLESS = re.compile(
    rf"(?:(?:in|during) the (?:morning|afternoon|evening|night)|"
    rf"(?:(?:at|around|about|between|from|after|since) )?{CLOCK}(?: ?(?:to|and|until|till|-) ?{CLOCK})?"
    rf"|(?:between|from) \d{{1,2}} (?:and|to) \d{{1,2}})$"
)
_HELD_AGAINST = re.compile(r"\b(?:than|vs\.?|versus|compared? (?:to|with)|against|relative to)\W*$")
# "Does web-02 have queue_depth?" asks whether there is such a series, not for its value.
_EXISTS = re.compile(
    r"(?:(?:do|does|did|has|have|can) .*\b(?:have|has|expose[sd]?|export(?:s|ed)?|collect(?:s|ed)?|track|store|monitor"
    r"|report"
    r"|provide|offer|send|emit|see)\b|(?:is|are) .*\b(?:collected|stored|tracked|monitored|exported|exposed|available"
    r"|recorded|scraped)\b)(?! (?:the )?(?:most|least|more|less|any|too|a lot|much|high|low))"
)
# "Were there gaps?" "How long were they?": the list of them says it.
_OF_THOSE = re.compile(
    r"^(?:and |ok |so )*(?:how long|where|when|which (?:hosts?|series|ones?|metrics?)|what|list|show)\b(?: me)?"
    r"(?: \w+){0,2}? (?:they|them|those|these|it|that)\b(?: last(?:ed)?| be| happen| on)?\W*$"
)
_LABEL_OF = {
    "mountpoint": "node_filesystem_avail_bytes",
    "code": "http_requests_total",
    "mode": "node_cpu_seconds_total",
    "cpu": "node_cpu_seconds_total",
}


def special(parsed: Parsed, context: Context, known: Vocabulary, now: datetime) -> Request | Reply | None:
    """A request or reply where the question is of these kinds; None leaves it to the others."""
    signs = parsed.signs
    request = _basis(parsed, now)
    if Sign.FORECAST in signs:
        return _forecast(request, parsed, context)
    if (carried := _carried(request, parsed, context)) is not None:
        return carried
    if Sign.ALERTS in signs:
        return replace(request, intent=Intent.ALERTS)
    if Sign.STATUS in signs and parsed.hosts and not parsed.things and not parsed.options:
        window = request.windows[0] if request.time_given else Window(now - DAY, now)
        return replace(request, intent=Intent.STATUS, windows=(window,))
    if Sign.AT_ONCE in signs and (Sign.ANOMALY in signs or Sign.HEALTH in signs):
        return replace(request, intent=Intent.AT_ONCE, things=())
    checks = tuple(name for sign, name in _CHECKS.items() if sign in signs)
    if checks or Sign.QUALITY in signs:
        hosts = "hosts" if _WHICH_HOSTS.search(parsed.text.lower()) else ""
        every = ("gaps", "stale", "constant", "duplicates")
        return replace(request, intent=Intent.QUALITY, checks=checks or every, label=hosts)
    if Sign.MODELS in signs and not parsed.things and parsed.anomaly_id is None:
        return replace(request, intent=Intent.MODELS)
    if Sign.MARKS in signs and not parsed.things:
        window = request.windows[0] if request.time_given else Window(now - MARKS_BACK, now)
        return replace(request, intent=Intent.MARKS, windows=(window,), label=_mark_kind(parsed.text))
    if Sign.CHANGED in signs:
        return _changed(request, parsed, now)
    if about := _about_metric(request, parsed):
        return about
    if Sign.SOURCES in signs and not parsed.things:
        return replace(request, intent=Intent.SOURCES)
    if Sign.CORRELATION in signs or Sign.RATIO in signs:
        return _pair(request, parsed)
    things = parsed.things or parsed.options
    if Sign.ODD in signs and (Sign.ANOMALY not in signs or things):
        return _needing(replace(request, intent=Intent.ODD), parsed, known)
    last = context.request
    if len(request.windows) > 1 and not things and Sign.COMPARE in signs and last is not None and last.things:
        things = last.things
        parsed, request = (
            replace(parsed, things=things),
            replace(request, things=things, hosts=request.hosts or last.hosts),
        )
    if len(request.windows) > 1 and things and (Sign.COMPARE in signs or _both_sides(parsed)):
        return _compared(request, parsed, known)
    if (growing := _growing(request, parsed, known)) is not None:
        return growing
    if parsed.limit is not None:
        return _beyond(request, parsed, context)
    shares = all(thing in MEASURES and MEASURES[thing].unit == "%" for thing in things)
    if Sign.OFTEN in signs and things and not (shares and re.search(r"\bof cpu time\b", parsed.text.lower())):
        return Reply("How often what? Name a limit, like: `how often was cpu above 80 % yesterday?`")
    return None


def command(parsed: Parsed, context: Context, known: Vocabulary, now: datetime) -> Request | Reply:
    """A command as a request for approval; a Reply where it names what nobody has."""
    order = parsed.order
    assert order is not None
    if parsed.unknown_host and order.action in ("detect", "forecast"):
        near = nearest(parsed.unknown_host, list(known.hosts))
        hint = f" The nearest are: {', '.join(map(code, near))}." if near else ""
        return Reply(f"No host {code(parsed.unknown_host)} is stored.{hint}")
    given: dict[str, object] = {"action": order.action, **order.given}
    if order.action in ("detect", "forecast"):
        given["host"] = parsed.hosts[0] if parsed.hosts else ""
    if order.action == "forecast":
        if parsed.options and not parsed.things:
            return Reply("Which one? " + ", ".join(map(code, parsed.options[:5])))
        thing = parsed.things[0] if parsed.things else parsed.unknown_metric
        given["metric"] = stored_metric(thing) or thing
        if parsed.ahead and parsed.ahead[-1].window is not None:
            window = parsed.ahead[-1].window
            given["hours"] = max(1, math.ceil((window.end - now).total_seconds() / 3600))
    if order.action == "label":
        about = parsed.anomaly_id or (context.anomaly_ids[0] if context.anomaly_ids else 0)
        given["anomaly"] = about
    return Request(Intent.COMMAND, given=given)


def stored_metric(thing: str) -> str:
    """The stored metric a thing is forecast by; '' where it is computed from several."""
    measure = MEASURES.get(thing)
    if measure is None:
        return thing
    return "" if measure.across or measure.share or len(measure.parts) > 2 else measure.metrics[0]


def _basis(parsed: Parsed, now: datetime) -> Request:
    windows = tuple(f.window for f in parsed.times if f.window is not None)[:2]
    return Request(
        Intent.STATISTIC,
        things=parsed.things,
        hosts=parsed.hosts,
        labels=parsed.labels,
        windows=windows or (Window(now - DAY, now),),
        time_given=bool(windows),
        top=parsed.top,
        counting=Sign.COUNT in parsed.signs,
        which_host=bool(parsed.signs & {Sign.WHICH_HOST, Sign.WHO}),
        each_host=Sign.EACH_HOST in parsed.signs,
        when=Sign.WHEN in parsed.signs,
        limit=parsed.limit,
        side=parsed.side,
    )


def _carried(request: Request, parsed: Parsed, context: Context) -> Request | None:
    """A follow-up: what was asked before, with what is said anew."""
    last = context.request
    if last is None or last.intent not in CARRIED or parsed.signs & (_CUES | _OTHER):
        return None
    if last.intent is Intent.QUALITY and _OF_THOSE.match(parsed.text.lower()):
        return last
    says = parsed.hosts or parsed.times or parsed.things or Sign.EACH_HOST in parsed.signs or parsed.limit is not None
    if not says or (parsed.things and not parsed.signs & {Sign.FOLLOW, Sign.LAST_ONE}):
        return None
    things = request.things or last.things
    if last.intent in (Intent.CORRELATION, Intent.RATIO) and len(request.things) == 1:
        things = (last.things[0], request.things[0])
    windows = request.windows if request.time_given else last.windows
    if last.intent is Intent.COMPARE and len(windows) != len(last.windows):
        windows = last.windows
    everyone = Sign.EACH_HOST in parsed.signs
    return replace(
        last,
        things=things,
        hosts=parsed.hosts or (() if everyone else last.hosts),
        windows=windows,
        time_given=request.time_given or last.time_given,
        limit=parsed.limit if parsed.limit is not None else last.limit,
        side=parsed.side if parsed.limit is not None else last.side,
    )


def _needing(request: Request, parsed: Parsed, known: Vocabulary) -> Request | Reply | None:
    """The request where one thing is named; a question back where none is; None where it may be several."""
    if parsed.things:
        return request
    return None if parsed.options else Reply(WHICH)


def _forecast(request: Request, parsed: Parsed, context: Context) -> Request | Reply | None:
    last = context.request
    things = parsed.things
    if parsed.signs & {Sign.ANOMALY, Sign.ALERTS} and not things:
        return Reply("That lies in the future; I only know anomalies that were found, not those to come.")
    if parsed.options and not things:
        # Only one of what "disk" can mean fills up.
        fills = "disk_space_used" in parsed.options and (parsed.limit is not None or _runs_out(parsed.text))
        things = ("disk_space_used",) if fills else ()
    if not things and last is not None and last.intent in (Intent.FORECAST, Intent.CROSSING, Intent.STATISTIC):
        things = last.things
        request = replace(request, hosts=request.hosts or last.hosts)
    if not things:
        return None if parsed.options else Reply("A forecast of which metric? Name one, like *load* or *disk space*.")
    if any(found.kind is TimeKind.SPAN for found in parsed.times) and not parsed.ahead and parsed.limit is None:
        return None if not parsed.text.lower().startswith(("forecast", "predict")) else replace(request, things=things)
    request = replace(request, things=things)
    if parsed.limit is not None or _runs_out(parsed.text):
        return _crossing(request, parsed)
    ahead = parsed.ahead[0] if parsed.ahead else None
    return replace(
        request,
        intent=Intent.FORECAST,
        ahead=ahead.window if ahead else None,
        moment=ahead is not None and ahead.kind is TimeKind.MOMENT,
        statistic="max" if Sign.MAX in parsed.signs else "min" if Sign.MIN in parsed.signs else "mean",
    )


def _runs_out(text: str) -> bool:
    lowered = text.lower().replace("how full", "")
    return any(words in lowered for words in ("run out", "running out", "runs out", "full", "fill", "exhaust"))


def _crossing(request: Request, parsed: Parsed) -> Request:
    limit, side = parsed.limit, parsed.side
    if limit is None:
        spare = request.things[0] in ("node_filesystem_avail_bytes", "node_memory_MemAvailable_bytes")
        limit, side = (0.0, "below") if spare else (100.0, "above")
        if not spare and request.things[0] not in MEASURES:
            limit, side = 0.0, "below"
    return replace(request, intent=Intent.CROSSING, limit=limit, side=side)


def _changed(request: Request, parsed: Parsed, now: datetime) -> Request:
    window = request.windows[0] if request.time_given else Window(now - RECENTLY, now)
    if parsed.things:
        before = Window(window.start - window.span, window.start)
        return replace(request, intent=Intent.COMPARE, windows=(before, window), statistic="mean", by_how_much=True)
    return replace(request, intent=Intent.CHANGED, windows=(window,))


def _growing(request: Request, parsed: Parsed, known: Vocabulary) -> Request | Reply | None:
    """Whether something grows is told by the same time before it; what a counter grew by is its increase."""
    signs, one_window = parsed.signs, len(request.windows) == 1
    if not parsed.things or parsed.limit is not None or not one_window:
        return None
    counted = any(known.metrics.get(thing) == "counter" or thing in FLOWS for thing in parsed.things)
    if Sign.GROWING not in signs and (Sign.INCREASE not in signs or counted):
        return None
    if signs & {Sign.MAX, Sign.MEAN, Sign.MEDIAN} or _SUMMED.search(parsed.text.lower()):
        return None
    window = request.windows[0]
    before = Window(window.start - window.span, window.start)
    return replace(request, intent=Intent.COMPARE, windows=(before, window), statistic="mean")


def _about_metric(request: Request, parsed: Parsed) -> Request | Reply | None:
    """How many series, labels or hosts a metric has."""
    signs = parsed.signs
    if _EXISTS.match(parsed.text.lower()) and _stored_only(parsed) and not request.time_given:
        return replace(request, intent=Intent.METRIC, checks=("series",))
    if not signs & {Sign.LABELS, Sign.KIND, Sign.HAVING} and not (Sign.SERIES in signs and parsed.things):
        return None
    if parsed.limit is not None or signs & {Sign.ANOMALY, Sign.MAX, Sign.MIN, Sign.MEAN, Sign.HEALTH, Sign.SAMPLES}:
        return None
    things: Sequence[str] = parsed.things or parsed.options
    metric = (MEASURES[things[0]].metrics[0] if things[0] in MEASURES else things[0]) if things else ""
    if Sign.LABELS in signs and not parsed.things:
        metric = _LABEL_OF.get(parsed.of_label, metric)
        if parsed.of_label == "device":
            network = any(word in parsed.text.lower() for word in ("network", "interface", "nic"))
            metric = "node_network_receive_bytes_total" if network else metric
            if not network and any(word in parsed.text.lower() for word in ("disk", "storage")):
                metric = "node_disk_io_time_seconds_total"
    if not metric:
        return Reply(WHICH) if signs & {Sign.LABELS, Sign.KIND} else None
    what = "labels" if Sign.LABELS in signs else "hosts" if Sign.HAVING in signs else "series"
    if Sign.KIND in signs:
        what = "kind"
    label = parsed.of_label if Sign.LABELS in signs else ""
    return replace(request, intent=Intent.METRIC, things=(metric,), checks=(what,), label=label)


def _stored_only(parsed: Parsed) -> bool:
    """One stored metric is named, and nothing is asked of its values."""
    asked = {Sign.MAX, Sign.MIN, Sign.MEAN, Sign.MEDIAN, Sign.LATEST, Sign.ANOMALY, Sign.HEALTH, *_CHECKS, Sign.GROWING}
    named = len(parsed.things) == 1 and not parsed.options and parsed.things[0] not in MEASURES
    return named and parsed.limit is None and not parsed.signs & (asked - {Sign.INTERVAL}) and not parsed.times


def _pair(request: Request, parsed: Parsed) -> Request | Reply:
    intent = Intent.CORRELATION if Sign.CORRELATION in parsed.signs else Intent.RATIO
    if len(parsed.things) < 2:
        one = "*load* and *memory*" if intent is Intent.CORRELATION else "*disk reads* to *disk writes*"
        return Reply(
            f"That takes two metrics, like {one}; I understood {len(parsed.things) or 'none'} of them.".replace(
                "1 of", "one of"
            )
        )
    return replace(request, intent=intent, things=parsed.things[:2])


def rebased(parsed: Parsed, context: Context, now: datetime) -> Parsed:
    """ "The day before" is before what was asked about last; today stands in for it where nothing was."""
    last_window = context.request.windows[-1] if context.request is not None and context.request.windows else None
    if last_window is not None and len(parsed.times) == 1 and _DAYLESS.match(parsed.times[0].text.lower()):
        start = last_window.start
        if last_window.span == DAY and start == midnight(start) and start != midnight(now):
            # "And in the afternoon?" is that of the day spoken of.
            found = find_all(f"{start:%Y-%m-%d} {_OF_DAY.sub('', parsed.times[0].text.lower())}", now)
            if len(found) == 1 and found[0].window is not None:
                return replace(parsed, times=tuple(found))
    stands = next((found for found in parsed.times if found.begin == found.end and found.window is not None), None)
    if stands is None or stands.window is None:
        return parsed
    other = next(found for found in parsed.times if found is not stands and found.window is not None)
    last, earlier, base = context.request, other.window, stands.window
    assert earlier is not None
    if last is not None and last.windows and last.time_given:
        shift = base.start - earlier.start
        base = last.windows[-1]
        earlier = Window(base.start - shift, base.end - shift)
    if earlier.start >= now:
        return replace(parsed, times=(replace(other, kind=TimeKind.FUTURE, window=None),))
    earlier = Window(earlier.start, min(earlier.end, now))
    kept = (replace(stands, window=base),) if Sign.COMPARE in parsed.signs else ()
    return replace(parsed, times=(*kept, replace(other, window=earlier)))


def others(candidates: Sequence[str], context: Context, known: Vocabulary) -> tuple[str, ...] | Reply:
    """ "The other db": those of its kind that were not asked about."""
    before = context.request.hosts if context.request is not None else ()
    if not before:
        return Reply("Which others? Name the hosts.")
    kinds_ = {re.match(r"[a-z]*", host.lower())[0] for host in before}  # type: ignore[index]
    alike = candidates or [host for host in known.hosts if re.match(r"[a-z]*", host.lower())[0] in kinds_]  # type: ignore[index]
    left = tuple(host for host in alike if host not in before)
    return left or Reply(f"There are no others than {', '.join(map(code, before[:5]))}.")


def against_now(parsed: Parsed, now: datetime) -> Parsed:
    """ "Up against last week": what is held against a time that has passed is the time like it that runs now."""
    held = [found for found in parsed.times if found.window is not None]
    if len(held) != 1 or not parsed.signs & {Sign.COMPARE, Sign.INCREASE, Sign.GROWING}:
        return parsed
    (past,) = held
    window = past.window
    assert window is not None
    before = parsed.text.lower().split(past.text.lower())[0]
    if past.kind is not TimeKind.SPAN or window.end >= now or not _HELD_AGAINST.search(before):
        return parsed
    today = midnight(now)
    starts = {timedelta(days=1): today, timedelta(days=7): today - timedelta(days=today.weekday())}
    begun = starts.get(window.span)
    same = begun is not None and begun == window.end
    present = Window(begun, now) if begun is not None and same and begun < now else Window(now - window.span, now)
    return replace(parsed, times=(replace(past, window=present), past), signs=parsed.signs | {Sign.COMPARE})


def _both_sides(parsed: Parsed) -> bool:
    begins = [found.begin for found in parsed.times if found.window is not None]
    return len(begins) != len(set(begins))


def _compared(request: Request, parsed: Parsed, known: Vocabulary) -> Request | Reply | None:
    statistic = next((name for sign, name in _STATISTICS if sign in parsed.signs), "mean")
    if statistic == "increase" and not all(known.metrics.get(t) == "counter" or t in FLOWS for t in request.things):
        # Of what is no counter, "did it increase" asks for its level in both.
        statistic = "mean"
    if statistic == "max" and parsed.signs & {Sign.COMPARE} and Sign.MAX not in parsed.signs:
        statistic = "mean"
    if parsed.quantile is not None:
        statistic = "quantile"
    request = replace(
        request,
        intent=Intent.COMPARE,
        windows=tuple(sorted(request.windows, key=lambda one: one.start)),
        statistic=statistic,
        quantile=parsed.quantile or request.quantile,
        by_how_much=Sign.BY_HOW_MUCH in parsed.signs and not _YES_OR_NO.match(parsed.text.lower()),
        label="percent" if re.search(r"\b(?:percent|%|relative)", parsed.text.lower()) else "",
    )
    return _needing(request, parsed, known)


def _beyond(request: Request, parsed: Parsed, context: Context) -> Request | Reply | None:
    if parsed.signs & {Sign.ANOMALY, Sign.SAMPLES} and not parsed.things:
        return Reply("I cannot pick anomalies by such a limit; ask for the worst or the longest, or for a severity.")
    if Sign.OFTEN not in parsed.signs and parsed.signs & {Sign.MEAN, Sign.MEDIAN}:
        return Reply("I cannot compute that of the readings beyond a limit; I know how often the limit was passed.")
    last = context.request
    if not parsed.things and last is not None and last.things and not parsed.options:
        request = replace(request, things=last.things, hosts=request.hosts or last.hosts)
        if not request.time_given:
            request = replace(request, windows=last.windows[:1], time_given=last.time_given)
    if not request.things:
        return None if parsed.options else Reply(WHICH)
    if len(parsed.things) > 1 and re.search(r"\b(?:when|while|whenever|as long as)\b", parsed.text.lower()):
        return Reply("I cannot look at one metric only where another is beyond a limit; ask for each by itself.")
    if Sign.HAVING in parsed.signs or _ANY_HOST.search(parsed.text.lower()):
        request = replace(request, which_host=True)
    extreme = "max" if Sign.MAX in parsed.signs else "min" if Sign.MIN in parsed.signs else request.statistic
    return replace(request, intent=Intent.BEYOND, side=parsed.side or "above", statistic=extreme)


def _mark_kind(text: str) -> str:
    lowered = text.lower()
    if any(word in lowered for word in ("deploy", "release", "rollout", "roll-out")):
        return "deploy"
    if "maintenance" in lowered:
        return "maintenance"
    return ""
