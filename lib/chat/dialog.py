"""From what one text says, and what was said before, to what is asked: a request, or what to say instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from lib.chat import kinds, refusals
from lib.chat.aggregation import aggregated
from lib.chat.escape import code
from lib.chat.kinds import DAY
from lib.chat.measures import MEASURES
from lib.chat.names import name_words
from lib.chat.question import Parsed, Vocabulary
from lib.chat.request import Context, Intent, Reply, Request
from lib.chat.signs import Sign
from lib.chat.times import TimeKind
from lib.chat.tools.statistics import nearest
from lib.frames import Window

# "The cpu of the host with the most memory" asks two questions, the second of the answer to the first.
_NESTED = re.compile(r"\b(?:of|on|for) the (?:host|server|machine|box|node) (?:with|that has|that had|having)\b")
_ANOMALY_INTENTS = (Intent.ANOMALIES, Intent.ANOMALY_COUNT, Intent.ANOMALY_HOSTS, Intent.EXPLAIN)
_STATISTICS = {
    Sign.STDDEV,
    Sign.MEAN,
    Sign.MAX,
    Sign.MIN,
    Sign.MEDIAN,
    Sign.SUMMARY,
    Sign.LATEST,
    Sign.INCREASE,
    Sign.WORST,
}
# A score tells more than "worst" does: the severity comes first there.
_BY_SCORE = re.compile(
    r"\b(?:highest|top|best|largest|biggest|worst)[ -]scor(?:e|es|ed|ing)\b"
    r"|\bscor(?:ed|es|ing) (?:the )?(?:highest|most|top)"
    r"|\b(?:by|highest) (?:its |their |the )?(?:anomaly )?score\b"
)
_BY = (
    (_BY_SCORE, "score"),
    (
        re.compile(r"\b(?:most|highest|top|greatest) (?:confiden(?:t|ce)|certain(?:ty)?|sure)\b|\bsurest\b"),
        "confidence",
    ),
    (re.compile(r"\b(?:shortest|briefest)\b"), "shortest"),
)
_ALL = re.compile(r"\b(?:all|every) (?:of )?(?:the |our )?(?:anomal|incident|problem)")
_PLACES = {"second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3}
_PLACE = re.compile(rf"\bthe ({'|'.join(_PLACES)})\b")
_THOSE = re.compile(r"^(?:and |ok |so )*(?:which|what|list|show|name)\b.*\b(?:ones?|them|those|they)\b")
_HELD_TO = re.compile(r"\bcompared? (?:with|to|against)\b|\bagainst\b|\b(?:vs\.?|versus)\b", re.IGNORECASE)
_SUBJECTS = {Sign.ANOMALY, Sign.METRICS, Sign.SERIES, Sign.SPAN, Sign.HEALTH, Sign.HELP}
HELP_TEXT = (
    "I answer from the metrics stored here and the anomalies found in them. You can ask, for example:\n\n"
    "- what was the worst anomaly yesterday?\n"
    "- which hosts had anomalies today?\n"
    "- peak CPU on all hosts this morning, and when?\n"
    "- `p95` of memory usage last Tuesday\n"
    "- compare load today with yesterday, or before and after the last deploy\n"
    "- how often was memory above `80 %` this week?\n"
    "- were there gaps, resets or constant series?\n"
    "- when will the disk of db-01 be full?\n"
    "- what changed in the last hour?\n"
    "- why? (after an anomaly)\n"
    "- collect now (asks for your approval)\n\n"
    "Times are UTC. Each number is marked with the evidence it came from."
)


def resolve(parsed: Parsed, context: Context, known: Vocabulary, now: datetime) -> Request | Reply:
    """What is asked. A Reply where something is unknown, unclear, not possible or not understood."""
    if parsed.refusal:
        return Reply(parsed.refusal)
    if parsed.sql:
        return Request(Intent.SQL, sql=parsed.sql)
    if parsed.order is not None:
        return kinds.command(parsed, context, known, now)
    if (told := refusals.turned_down(parsed.text)) and not parsed.signs & {Sign.FORECAST, Sign.LIST}:
        return Reply(told)
    if parsed.others is not None:
        others = kinds.others(parsed.others, context, known)
        if isinstance(others, Reply):
            return others
        parsed = replace(parsed, hosts=others, signs=parsed.signs | {Sign.FOLLOW})
    if Sign.METRICS in parsed.signs and parsed.rest and not parsed.cannot and not parsed.things:
        # "is there a metric about temperature?" is a search, and finding nothing is its answer.
        parsed = replace(parsed, words=(*parsed.words, *parsed.rest), options=(), rest=())
    parsed = kinds.against_now(kinds.rebased(parsed, context, now), now)
    if len(parsed.things) > 1 and _NESTED.search(parsed.text.lower()):
        return Reply(
            "That is two questions in one. Ask *which host* first; then go on with *and its …?*.".replace("*", "")
        )
    if "disk_space_used" in parsed.options and re.search(
        r"\b(?:full(?:er)?|used|usage|filled|space)\b", parsed.text.lower()
    ):
        parsed = replace(parsed, things=("disk_space_used",), options=())
    obstacle = _obstacle(parsed, known)
    # What is unknown on its own ("space") may be the answer to a question back.
    if (obstacle is None or parsed.rest) and (chosen := _chosen(parsed, context)):
        return chosen
    if obstacle is not None:
        return obstacle
    if (special := kinds.special(parsed, context, known, now)) is not None:
        return special
    if parsed.options and not parsed.signs & {Sign.METRICS, Sign.ANOMALY, Sign.HEALTH}:
        # What was asked of the thing is kept for when one of the options is chosen.
        asked = _request(replace(parsed, things=parsed.options[:1], options=()), context, known, now)
        pending = asked if isinstance(asked, Request) else None
        return Reply(_which(parsed.options, known), parsed.options, pending)
    return _request(parsed, context, known, now)


def _obstacle(parsed: Parsed, known: Vocabulary) -> Reply | None:
    for found in parsed.times:
        if found.kind is TimeKind.FUTURE:
            said = code(found.text)
            return Reply(f"{said} lies in the future; I only know what was measured. Ask about a time that has passed.")
        if found.kind is TimeKind.UNMARKED:
            told = f"Nothing is marked on the time line that {code(found.text)} could mean. "
            return Reply(told + "Mark deploys on the Anomalies page, or name a time.")
        if found.kind is TimeKind.UNCLEAR:
            said = code(found.text)
            if found.text.startswith("in "):
                return Reply(f"Does {said} mean the time just past or the time ahead? Say *the last …* or *from now*.")
            return Reply(
                f"I do not understand the time {said}; write dates like 2026-03-01 and times like 14:00 (UTC)."
            )
    if parsed.unknown_metric:
        return Reply(f"No metric {code(parsed.unknown_metric)} is stored.{_near(parsed.unknown_metric, known)}")
    if parsed.unknown_host:
        hosts = nearest(parsed.unknown_host, list(known.hosts))
        hint = f" The nearest are: {', '.join(map(code, hosts))}." if hosts else " Ask *which hosts are there?*"
        return Reply(f"No host {code(parsed.unknown_host)} is stored.{hint}")
    if parsed.cannot:
        return Reply(parsed.cannot)
    if parsed.rest:
        words = ", ".join(code(word, 40) for word in parsed.rest[:5])
        near = _near(" ".join([*parsed.words, *parsed.rest]), known)
        english = " I understand English." if len(parsed.rest) > 2 else ""
        return Reply(
            f"I do not understand {words}, and will not guess.{english}{near} Ask *help* for what I can answer."
        )
    return None


def _near(text: str, known: Vocabulary) -> str:
    near = nearest(text, list(known.metrics))
    return f" The nearest metrics are: {', '.join(map(code, near))}." if near else ""


def _which(options: Sequence[str], known: Vocabulary) -> str:
    shown = options[:5]
    listed = "\n".join(f"- {title(option, known)}" for option in shown)
    more = f"\n- … and {len(options) - len(shown)} more" if len(options) > len(shown) else ""
    return f"Which one do you mean?\n\n{listed}{more}"


def title(thing: str, known: Vocabulary) -> str:
    """A thing as an answer names it."""
    if thing in MEASURES:
        return MEASURES[thing].title
    return f"{code(thing)} (rate per second)" if known.metrics.get(thing) == "counter" else code(thing)


def _chosen(parsed: Parsed, context: Context) -> Request | None:
    """The answer to a question back: one of the options, by its words or its place."""
    if not context.options or context.pending is None or parsed.cannot:
        return None
    picked = [option for option in context.options if option in parsed.things]
    spoken = re.findall(r"[a-z0-9]+", parsed.text.lower())
    words = [word for word in spoken if word not in ("the", "one", "i", "mean")]
    if not picked and 0 < len(words) <= 4:
        places = {"first": 0, "second": 1, "third": 2, "fourth": 3, "last": -1, "1": 0, "2": 1, "3": 2, "4": 3}
        if len(words) == 1 and words[0] in places and places[words[0]] < len(context.options):
            picked.append(context.options[places[words[0]]])
        else:
            picked += [o for o in context.options if set(words) & _words_of(o)]
    if len(picked) != 1 or parsed.signs & (_STATISTICS - {Sign.LATEST}):
        return None
    chosen = replace(context.pending, things=(picked[0],), hosts=parsed.hosts or context.pending.hosts)
    windows = tuple(found.window for found in parsed.times if found.window is not None)
    return replace(chosen, windows=windows[:2], time_given=True) if windows else chosen


def _words_of(option: str) -> set[str]:
    words = MEASURES[option].title.lower().split() if option in MEASURES else name_words(option)
    return set(words) - {"disk", "network", "node", "total", "bytes"}


# --- requests -----------------------------------------------------------------------------------


def _request(parsed: Parsed, context: Context, known: Vocabulary, now: datetime) -> Request | Reply:
    signs, last = parsed.signs, context.request
    if not parsed.things and not parsed.hosts and not parsed.times:
        if Sign.THANKS in signs and signs <= {Sign.THANKS, Sign.FOLLOW}:
            return Request(Intent.THANKS)
        if signs and signs <= {Sign.GREETING, Sign.THANKS}:
            return Request(Intent.GREETING)
    if Sign.HELP in signs and not parsed.things:
        return Request(Intent.HELP)
    windows, given = _windows(parsed, now)
    request = Request(
        Intent.STATISTIC,
        # An anomaly may be in any of the things a word can mean.
        things=parsed.things or parsed.options,
        hosts=parsed.hosts,
        labels=parsed.labels,
        windows=windows,
        time_given=given,
        top=parsed.top,
        each_host=Sign.EACH_HOST in signs or (Sign.COMPARE in signs and len(parsed.hosts) != 1),
        anomaly_id=parsed.anomaly_id,
        severity=parsed.severity,
        open_only=Sign.OPEN in signs,
    )
    severe = Sign.SEVERITY in signs and not parsed.things and not parsed.options
    about_anomalies = (
        severe
        or bool(signs & {Sign.ANOMALY, Sign.HEALTH})
        or (
            last is not None
            and last.intent in _ANOMALY_INTENTS
            and not parsed.things
            and not signs & {Sign.METRICS, Sign.SPAN, Sign.SERIES, Sign.MEAN, Sign.MEDIAN}
        )
    )
    if Sign.WHY in signs:
        return _explanation(request, parsed, context)
    # "Slow queries? p99 of the query time": the number is what is asked.
    number = signs & {Sign.MEAN, Sign.MEDIAN} or parsed.quantile is not None
    if about_anomalies and not (parsed.things and number):
        return _anomalies(request, parsed, context)
    if Sign.SPAN in signs:
        return replace(request, intent=Intent.SPAN)
    if (
        signs & {Sign.METRICS, Sign.SERIES}
        and (not parsed.things or parsed.words or parsed.options)
        and not (parsed.things and signs & _STATISTICS)
    ):
        return replace(
            request,
            intent=Intent.METRICS,
            search=" ".join(parsed.words),
            counting=Sign.COUNT in signs,
            label=_of_series(signs),
        )
    if not parsed.things:
        return _without_thing(replace(request, things=()), parsed, context)
    if parsed.things == ("http_errors",) and signs & {Sign.COUNT, Sign.INCREASE, Sign.HOW_MUCH}:
        request, parsed = _counted_errors(request, parsed, known)
    if (
        Sign.COUNT in signs
        and not signs & {Sign.SAMPLES, Sign.SERIES, Sign.MEAN, Sign.MAX, Sign.MIN, Sign.MEDIAN}
        and any(t in MEASURES and t not in kinds.FLOWS for t in parsed.things)
    ):
        return Reply(f"I cannot count that; of {title(parsed.things[0], known)} I know values, extremes and when.")
    if last is not None and last.intent is Intent.STATISTIC and len(parsed.text.split()) <= 3:
        # Nothing but another thing, "memory?", goes on with what was asked.
        bare = not signs and not parsed.hosts and not parsed.times and not parsed.labels and parsed.quantile is None
        signs = signs | ({Sign.FOLLOW} if bare else set())
    if Sign.FOLLOW in signs and last is not None and last.intent is Intent.STATISTIC:
        request = _inherited(request, parsed, last)
    return aggregated(request, parsed, last if Sign.FOLLOW in signs else None, known)


def _counted_errors(request: Request, parsed: Parsed, known: Vocabulary) -> tuple[Request, Parsed]:
    """How many, not which share: the requests with the one code that stands for errors, where there is only one."""
    metric = MEASURES["http_errors"].metrics[0]
    codes = {one.labels.get("code", "") for one in known.find(metric, None)}
    failed = [one for one in codes if one.startswith("5")]
    if len(failed) != 1:
        return request, parsed
    things, labels = (metric,), {**parsed.labels, "code": failed[0]}
    return replace(request, things=things, labels=labels), replace(parsed, things=things, labels=labels)


def _of_series(signs: frozenset[Sign]) -> str:
    """Whether series, and not metrics, are what is counted."""
    return "series" if Sign.SERIES in signs and Sign.METRICS not in signs else ""


def _windows(parsed: Parsed, now: datetime) -> tuple[tuple[Window, ...], bool]:
    windows = tuple(f.window for f in parsed.times if f.window is not None)[:2]
    return (windows, True) if windows else ((Window(now - DAY, now),), False)


def _without_thing(request: Request, parsed: Parsed, context: Context) -> Request | Reply:
    """Hosts to list, or a follow-up to what was asked before."""
    signs, last = parsed.signs, context.request
    asks_hosts = signs & {Sign.HOSTS, Sign.WHICH_HOST, Sign.HAVING} or {Sign.EACH_HOST, Sign.LIST} <= signs
    if last is not None and last.intent is Intent.STATISTIC and not (Sign.HOSTS in signs and Sign.LIST in signs):
        says = parsed.hosts or parsed.times or parsed.labels or signs & _STATISTICS or parsed.quantile is not None
        if (
            says
            or signs & {Sign.WHEN, Sign.WHICH_HOST, Sign.WHO, Sign.EACH_HOST, Sign.FOLLOW, Sign.COMPARE}
            or parsed.top
        ):
            merged = _inherited(replace(request, things=last.things), parsed, last)
            return aggregated(merged, parsed, last, None)
    if last is not None and last.intent in (Intent.METRICS, Intent.HOSTS, Intent.SPAN) and Sign.FOLLOW in signs:
        return replace(last, hosts=parsed.hosts or last.hosts)
    grouped = len(parsed.hosts) > 1 and signs & {Sign.COUNT, Sign.LIST, Sign.WHICH_HOST, Sign.HAVING}
    if asks_hosts and (not parsed.hosts or grouped) and not parsed.times and not signs & (_STATISTICS - {Sign.LATEST}):
        return Request(Intent.HOSTS, hosts=parsed.hosts, counting=Sign.COUNT in signs)
    if (
        Sign.SAMPLES in signs
        or signs & _STATISTICS
        or parsed.quantile is not None
        or parsed.times
        or Sign.WHEN in signs
    ):
        return Reply("Of which metric? Name one, like *cpu*, *memory*, *load*, or ask *which metrics are there?*")
    if parsed.hosts:
        hosts = ", ".join(map(code, parsed.hosts[:5]))
        return Reply(
            f"What about {hosts}? Ask for a metric (*cpu on {parsed.hosts[0]}*) or its anomalies.".replace("*", "")
        )
    return Reply("I did not understand that. " + HELP_TEXT)


def _inherited(request: Request, parsed: Parsed, last: Request) -> Request:
    # "Per host, please" stays with the hosts that were asked about, where there were several.
    several = len(last.hosts) > 1 and Sign.EACH_HOST in parsed.signs
    everyone = bool(parsed.signs & {Sign.EACH_HOST, Sign.WHICH_HOST, Sign.WHO}) and not several
    hosts = parsed.hosts or (() if everyone else last.hosts)
    if parsed.hosts and not parsed.things and _HELD_TO.search(parsed.text):
        # "How does that compare with db-01?" shows both.
        hosts = tuple(dict.fromkeys([*last.hosts, *parsed.hosts]))
    return replace(
        request,
        things=request.things or last.things,
        hosts=hosts,
        labels=parsed.labels or last.labels,
        windows=request.windows if request.time_given else last.windows,
        time_given=request.time_given or last.time_given,
    )


def _anomalies(request: Request, parsed: Parsed, context: Context) -> Request:
    signs, last = parsed.signs, context.request
    follow = last is not None and last.intent in _ANOMALY_INTENTS and not signs & {Sign.ANOMALY, Sign.HEALTH}
    if last is not None and last.intent in _ANOMALY_INTENTS and (follow or Sign.FOLLOW in signs):
        request = replace(
            request,
            hosts=parsed.hosts or (() if Sign.EACH_HOST in signs else last.hosts),
            windows=request.windows if request.time_given else last.windows,
            time_given=request.time_given or last.time_given,
            things=request.things or last.things,
            severity=parsed.severity or last.severity,
        )
    long_ago = (
        signs & {Sign.OLDEST, Sign.LONGEST} or (Sign.NEWEST in signs and parsed.top) or _ALL.search(parsed.text.lower())
    )
    if (request.open_only or long_ago) and not request.time_given:
        # What still goes on, or came first, may have begun long ago.
        request = replace(
            request, windows=(Window(request.windows[0].end - timedelta(days=30), request.windows[0].end),)
        )
    order, one = "worst", False
    for sign, name in ((Sign.LONGEST, "longest"), (Sign.NEWEST, "newest"), (Sign.OLDEST, "oldest")):
        if sign in signs:
            order, one = name, True
    said = next((name for pattern, name in _BY if pattern.search(parsed.text.lower())), "")
    if said:
        order, one = said, True
    elif signs & {Sign.WORST, Sign.MAX}:
        order, one = (order if Sign.LONGEST in signs and Sign.WORST not in signs else "worst"), True
    if parsed.pick is not None:
        order, one = (
            ("longest" if parsed.pick.of == "duration" else "score" if parsed.pick.of == "score" else order),
            False,
        )
    request = replace(request, anomaly_order=order, one=one and not parsed.top, pick=parsed.pick)
    if signs & {Sign.WHICH_HOST, Sign.WHO, Sign.EACH_HOST} or (Sign.HOSTS in signs and not parsed.hosts):
        if Sign.WITHOUT in signs:
            return replace(request, intent=Intent.ANOMALY_HOSTS, without=True)
        counting = Sign.COUNT in signs and Sign.EACH_HOST not in signs
        return replace(
            request, intent=Intent.ANOMALY_HOSTS, one=bool(signs & {Sign.MAX, Sign.WORST}), counting=counting
        )
    if Sign.WITHOUT in signs and (Sign.HOSTS in signs or len(parsed.hosts) > 1):
        return replace(request, intent=Intent.ANOMALY_HOSTS, without=True, hosts=parsed.hosts)
    if Sign.COUNT in signs:
        return replace(request, intent=Intent.ANOMALY_COUNT)
    if (
        follow
        and last is not None
        and not signs & {Sign.WORST, Sign.MAX, Sign.LONGEST, Sign.NEWEST, Sign.OLDEST, Sign.LIST}
    ):
        inherited = last.intent if last.intent is not Intent.EXPLAIN else Intent.ANOMALIES
        if last.intent is Intent.ANOMALY_COUNT and _THOSE.match(parsed.text.lower()):
            inherited = Intent.ANOMALIES
        return replace(
            request, intent=inherited, anomaly_order=last.anomaly_order, one=last.one, top=request.top or last.top
        )
    if parsed.anomaly_id is not None:
        return replace(request, intent=Intent.EXPLAIN)
    return replace(request, intent=Intent.ANOMALIES)


def _explanation(request: Request, parsed: Parsed, context: Context) -> Request | Reply:
    last = context.request
    named = parsed.things or parsed.hosts or parsed.times
    if parsed.anomaly_id is not None:
        return replace(request, intent=Intent.EXPLAIN)
    if (place := _PLACE.search(parsed.text.lower())) is not None and not named:
        at = _PLACES[place[1]]
        if at >= len(context.anomaly_ids):
            return Reply("Which one? Name its number, like *anomaly 12*.")
        return replace(request, intent=Intent.EXPLAIN, anomaly_id=context.anomaly_ids[at])
    if not named and context.anomaly_ids:
        about = last if last is not None and last.intent in _ANOMALY_INTENTS else request
        return replace(about, intent=Intent.EXPLAIN, anomaly_id=context.anomaly_ids[0])
    if not named and last is not None and last.intent is Intent.STATISTIC:
        return replace(last, intent=Intent.EXPLAIN, anomaly_id=None)
    if not named and not parsed.signs & {Sign.ANOMALY, Sign.WORST, Sign.NEWEST, Sign.LONGEST}:
        return Reply(
            "Why what? Ask about an anomaly first, like *what was the worst anomaly yesterday?*, or name its number."
        )
    order = "newest" if Sign.NEWEST in parsed.signs else "longest" if Sign.LONGEST in parsed.signs else "worst"
    return replace(request, intent=Intent.EXPLAIN, anomaly_order=order)
