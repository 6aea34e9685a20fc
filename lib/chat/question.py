"""A question taken apart: which thing, which host, which time, what about it; and every word nobody understood."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from lib.chat import anchors, limits, orders, picks, quantiles
from lib.chat.ahead import find_ahead
from lib.chat.escape import UNSEEN
from lib.chat.lexicon import CANNOT, SIGNS, STOP, SYNONYMS, THINGS
from lib.chat.masked import Masked
from lib.chat.measures import MEASURES
from lib.chat.names import by_words, name_words
from lib.chat.naming import named_hosts, other_hosts, unknown_host_in
from lib.chat.orders import Order
from lib.chat.picks import Pick
from lib.chat.refusals import NO_QUERY, unreadable
from lib.chat.signs import AHEAD, AHEAD_WORDS, Sign
from lib.chat.spelling import corrected
from lib.chat.times import Found, TimeKind
from lib.chat.wording import carries_nothing, plain, preamble
from lib.frames import Series

_NAME = re.compile(r"[A-Za-z_:][\w:]*_[\w:]*")
_SELECTOR = re.compile(r"\{([^{}]{0,300})\}")
_SPARE_OF = {
    "memory_used": "node_memory_MemAvailable_bytes",
    "disk_space_used": "node_filesystem_avail_bytes",
}
_LEFT = re.compile(r"\b(?:available|free|left(?: over)?|unused|spare|remaining|remains)\b")
_ROOT = re.compile(
    r"\b(?:the )?root(?= disk (?:space|size))|(?<=\b(?:on|of|in) )/(?= |$)|(?<=mountpoint )/(?= |$)"
    r"|(?<=filesystem )/(?= |$)"
)
_PAIR = re.compile(r"([A-Za-z_]\w*)\s*=\s*[\"']([^\"']{0,200})[\"']")
_SQL = re.compile(
    r"^(?:sql:? |run (?:the |this )?(?:sql|query):? )?(?P<sql>(?:select|with)\b.*\bfrom\b.*)$", re.IGNORECASE
)
_QUERY = re.compile(
    r"\b(?:rate|irate|increase|sum|avg|max|min|count|topk|histogram_quantile|delta)\s*(?:by\s*\([^)]*\)\s*)?\("
    r"|\[\d+[smhdw]\]"
    r"|^\s*(?:select|insert|update|delete|drop|alter|create|attach|copy|pragma|with)\b[^?]*(?:\bfrom\b"
    r"|\btable\b|\binto\b|;|\*)",
    re.IGNORECASE,
)
_TOP = re.compile(
    r"\b(?:top|bottom|first|worst|best|highest|lowest|busiest|biggest|largest) (\d{1,2}|two|three|four|five|six"
    r"|ten)\b"
    r"|\b(?:the |name |list |show |which |what )(\d{1,2}|two|three|four|five|six|ten) (?:hosts|machines|servers"
    r"|nodes)"
    r"(?= (?:with|by|that|had|have|having|which|used?)\b)"
    r"|\b(?:last|latest|newest|most recent) (\d{1,2}|two|three|four|five|six|ten)"
    r"(?= (?:anomal|incident|problem|issue|deploy|release))"
    r"|\b(\d{1,2}) (?=(?:busiest|highest|worst|most|lowest|newest|latest|longest)\b)"
)
_ANOMALY_ID = re.compile(
    r"\b(?:anomaly|anomalies|incident) (?:id |number |no\.? ?|#)?(\d{1,12})\b|#(\d{1,12})\b"
    r"|\b(?:details? (?:of|on|about|for)|explain|about|show(?: me)?|describe) (?:number|no\.?|nr\.?|id) ?(\d{1,12})\b"
)
_LABELS = (
    (r"\b(?:mount ?points?|file ?systems?|partitions?)\b", "mountpoint"),
    (r"\b(?:devices?|interfaces?|nics?|network cards?|disks)\b", "device"),
    (r"\b(?:status )?codes?\b", "code"),
    (r"\bmodes?\b", "mode"),
    (r"\bcores?\b", "cpu"),
    (r"\bjobs?\b(?! completed)", "job"),
)
# "Now for web-02" goes on; it is not about this moment.
_NOW_FOR = re.compile(r"^(?:(?:and|ok|okay|so),? )*now(?=,? \w)")
_LABEL_NAMED = re.compile(
    r"\b(?:label|tag|dimension)s? (?:called |named )?[\"'`]?(?!(?:does|do|has|have|of|on|are|is|for|in|values?"
    r"|names?|anomaly)\b)"
    r"(?P<name>[a-z_]\w*)"
)
# Disks as things to list; elsewhere the word is one of several measures.
_DISKS = re.compile(
    r"\b(?:which|what|how many|list|show|name)(?: me)?(?: the| all| different| distinct)* (?:disks"
    r"|(?:network|disk|block|storage) (?:devices?|interfaces?|cards?))(?= (?:of|on|for|does|do|has|have|are there"
    r"|is there|exist)| *$)"
)
_AHEAD, _AHEAD_WORDS = re.compile(AHEAD), re.compile(rf"\b(?:{AHEAD_WORDS})\b")
_PAST = re.compile(r"\b(?:was|were|did|had|been)\b")
_MARKED = re.compile(r"\b(?:deploy|release|roll-?out|maintenance|upgrade|annotation|mark|note|event)")
_COMPARING = re.compile(
    r"\b(?:compare[ds]?|comparison|versus|vs|than|against|differ(?:s|ed|ence)?|change[ds]?|by how much"
    r"|how much (?:more"
    r"|less|higher|lower)|same (?:time|period)|(?:go|goes|going|gone|went) (?:up|down)"
    r"|ris(?:e|en)|rose|improved?|worse|affect(?:ed)?|impact(?:ed)?|effect)\b"
)
# "The busiest server" asks for a host without a word that asks.
_OF_THINGS = ("usage", "utilization", "use", "consumption", "throughput", "rate", "volume", "amount")
_MOST_HOST = re.compile(
    r"^(?:the |top |show |give me |find |name |list |tell me )*(?:host|server|machine|box|node)s? (?:with"
    r"|having|that ha[sd]|of) (?:the )?"
    r"(?:most|least|highest|lowest|biggest|largest|smallest|worst|best)\b|\b(?:most|least|highest|lowest"
    r"|busiest|hottest|quietest|worst|best|fullest|biggest|largest|smallest|heaviest)"
    r"(?: (?!(?:on|of|in|for|by|at|per|across|each|all|any|every|an?|the|and|or|to|from|is|was)\b)[\w-]+){0,3}?"
    r" (?:host|machine|server|box|node|instance|vm)\b(?!s)"
)
# "Which of db-01 and db-02".
_ONE_OF = re.compile(r"^(?:and |so )?(?:which|who)(?: one)? of\b")
_WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10}


@dataclass(frozen=True)
class Vocabulary:
    """The names that are stored. find: series of a metric, for label values. marks: what people marked, as tools see
    it."""

    metrics: Mapping[str, str]  # name -> kind
    hosts: Sequence[str]
    find: Callable[[str | None, str | None], Sequence[Series]]
    marks: Callable[[], Sequence[Mapping[str, Any]]] = tuple


@dataclass(frozen=True)
class Parsed:
    """What one text says by itself.

    things: metrics or measures. options: several it may be. unknown_metric, unknown_host: names nobody has. labels:
    label values said. cannot: what was asked for that is not done here. rest: words not understood. others: "the other
    db" is one of these, without those spoken of before.
    """

    text: str
    signs: frozenset[Sign] = frozenset()
    things: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    times: tuple[Found, ...] = ()
    quantile: float | None = None
    top: int | None = None
    anomaly_id: int | None = None
    severity: str = ""
    unknown_metric: str = ""
    unknown_host: str = ""
    cannot: str = ""
    refusal: str = ""
    rest: tuple[str, ...] = ()
    limit: float | None = None
    side: str = ""
    ahead: tuple[Found, ...] = ()
    order: Order | None = None
    sql: str = ""
    of_label: str = ""
    pick: Pick | None = None
    others: tuple[str, ...] | None = None


def parse(text: str, known: Vocabulary, now: datetime) -> Parsed:
    """Take a question apart against the names that are stored. Never raises for what people type."""
    clean = " ".join(UNSEEN.sub(" ", unicodedata.normalize("NFKC", text)).replace("’", "'").split())
    if refusal := unreadable(clean):
        return Parsed(clean, refusal=refusal)
    if found := _SQL.match(clean):
        return Parsed(clean, sql=found["sql"])
    if _QUERY.search(clean):
        return Parsed(clean, refusal=NO_QUERY)
    clean = plain(clean)
    masked = Masked(_NOW_FOR.sub("and", clean.lower()))
    order = orders.find(masked.text)
    told = preamble(masked.text)
    if any(pattern.search(masked.text[:told]) for pattern, _ in THINGS):
        told = 0
    labels = _labels(masked)
    exact, unknown_metric = _names(masked, known)
    others = other_hosts(masked, known.hosts)
    hosts = named_hosts(masked, known.hosts)
    quantile = quantiles.find(masked)
    anomaly_id = next((int(m[1] or m[2] or m[3]) for m in masked.take(_ANOMALY_ID)), None)
    ranked = next(iter(masked.take(_TOP)), None)
    top = int(_WORDS.get(n, n)) if ranked and (n := ranked[1] or ranked[2] or ranked[3] or ranked[4]) else None
    _correct(masked, known)
    pick = picks.find(masked, bool(exact) or any(pattern.search(masked.text) for pattern, _ in THINGS))
    ahead = _AHEAD.search(masked.text) is not None
    limit = limits.find(masked.text, ahead)
    if limit is not None:
        masked.blank(limit.begin, limit.end)
    listed = bool(masked.take(_DISKS))
    spoken, loose, thing_words = _things(masked)
    spoken = _spare(masked, spoken)
    things = [thing for _, thing in sorted([*exact, *spoken])]
    times, coming = _times(masked, now, known, hosts, ahead)
    if coming or ahead:
        masked.take(_AHEAD_WORDS)
    signs, severity, held = signs_in(masked)
    if ahead or coming:
        signs.add(Sign.FORECAST)
    if listed:
        signs.add(Sign.LABELS)
    if _MOST_HOST.search(clean.lower()):
        signs.add(Sign.WHICH_HOST)
    if len(hosts) > 1 and _ONE_OF.search(clean.lower()):
        signs.add(Sign.WHICH_HOST)
    if pick is not None:
        signs.add(Sign.ANOMALY)
    if ranked and not ranked[2]:
        least = ranked[0].startswith(("lowest", "bottom"))
        signs.add(Sign.NEWEST if ranked[3] else Sign.MIN if least else Sign.WORST)
    if anomaly_id is not None:
        signs.add(Sign.ANOMALY)
    rest = [word for word, _, end in masked.tokens() if end > told and word not in STOP and not carries_nothing(word)]
    if limit is not None or signs & {Sign.ANOMALY, Sign.WHEN}:
        rest = [word for word in rest if word not in _PLACES]
    if len(hosts) > 1 and {"every", "each"} & set(rest):
        signs.add(Sign.EACH_HOST)
        rest = [word for word in rest if word not in ("every", "each")]
    if things:
        rest = [word for word in rest if word not in _OF_THINGS]
    if Sign.MODELS in signs:
        rest = [word for word in rest if word not in ("version", "versions", "sure", "certain")]
    if Sign.ANOMALY in signs:
        rest = [word for word in rest if word not in _OF_ANOMALY]
    named = _LABEL_NAMED.search(clean.lower())
    of_label = next((name for words, name in _LABELS if re.search(words, clean.lower())), "")
    if named and Sign.LABELS in signs:
        of_label = named["name"]
        rest = [word for word in rest if word != of_label]
    if Sign.LABELS in signs and things and not of_label:
        # "The values of code": a label of what was named.
        said = {
            key
            for thing in things
            for metric in _metrics_of(thing)
            for s in known.find(metric, None)
            for key in s.labels
        }
        of_label = next((word for word in rest if word in said), "")
    if of_label and Sign.LABELS in signs:
        rest = [word for word in rest if word not in (of_label, f"{of_label}s")]
    # "eth1" looks like a host and is a label's value.
    valued, _ = _label_values([*things, *(one for options in loose for one in options)], rest, known)
    if not things and not loose and (unknown_host_in(rest, known.hosts) or any(one[0] == "/" for one in rest)):
        valued, also = _values_on(hosts, rest, known)
        labels.update(also)
        rest = [word for word in rest if word not in valued]
    unknown_host = unknown_host_in([word for word in rest if word not in valued], known.hosts)
    parsed = Parsed(
        clean,
        frozenset(signs),
        tuple(dict.fromkeys(things)),
        (),
        hosts,
        tuple(thing_words),
        labels,
        times,
        quantile,
        top,
        anomaly_id,
        severity,
        unknown_metric,
        unknown_host,
        limit=limits.scaled(limit.value, limit.unit, things) if limit else None,
        side=limit.side if limit else "",
        ahead=coming,
        order=order,
        of_label=of_label,
        pick=pick,
        others=others,
    )
    rest = [word for word in rest if word != unknown_host]
    if limit is not None and limit.bytes and things and all(t in MEASURES and MEASURES[t].unit == "%" for t in things):
        name = MEASURES[things[0]].title
        return replace(parsed, cannot=f"{name} is measured in percent here; name a limit like `80 %`.")
    return _cannot(_matched(parsed, loose, thing_words, rest, held, known))


def _labels(masked: Masked) -> dict[str, str]:
    found = {}
    for match in masked.take(_SELECTOR):
        found.update({m[1]: m[2] for m in _PAIR.finditer(match[1])})
    for match in masked.take(_PAIR):
        found[match[1]] = match[2]
    if masked.take(_ROOT):
        found["mountpoint"] = "/"
    return found


def _names(masked: Masked, known: Vocabulary) -> tuple[list[tuple[int, str]], str]:
    """Metric names written out, and the first one written out that nobody has."""
    lowered = {name.lower(): name for name in known.metrics}
    exact, unknown = list[tuple[int, str]](), ""
    for word, begin, end in masked.tokens():
        if word in lowered and ("_" in word or ":" in word or word not in STOP):
            exact.append((begin, lowered[word]))
        elif _NAME.fullmatch(word):
            unknown = unknown or word
        else:
            continue
        masked.blank(begin, end)
    return exact, unknown


def _things(masked: Masked) -> tuple[list[tuple[int, str]], list[tuple[str, ...]], list[str]]:
    """Things named by friendly words with where they stand, those that may be several, and the words for them."""
    sure: list[tuple[int, str]] = []
    loose: list[tuple[str, ...]] = []
    words: list[str] = []
    for pattern, meaning in THINGS:
        for match in masked.take(pattern):
            if isinstance(meaning, str):
                # "busy" alone means the processor; beside a thing it only describes it.
                if match[0] in ("busy", "busiest", "busier", "loaded") and (sure or loose):
                    continue
                sure.append((match.start(), meaning))
            else:
                loose.append(meaning)
            words += match[0].split()
    loose = [options for options in loose if not set(options) & {thing for _, thing in sure}]
    return sure, loose, words


def _spare(masked: Masked, spoken: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """What is left of a thing where the words for it stand apart: "the memory web-01 had available"."""
    if any(thing in _SPARE_OF.values() for _, thing in spoken):
        masked.take(_LEFT)
        return spoken
    if not any(thing in _SPARE_OF for _, thing in spoken) or not masked.take(_LEFT):
        return spoken
    return [(at, _SPARE_OF.get(thing, thing)) for at, thing in spoken]


def _times(
    masked: Masked, now: datetime, known: Vocabulary, hosts: Sequence[str], ahead: bool
) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    """Times that were, and times to come."""
    comparing = _COMPARING.search(masked.text) is not None
    marks = known.marks() if _MARKED.search(masked.text) else ()
    found = anchors.find_all(masked.text, now, marks, hosts, comparing)
    coming: list[Found] = []
    if ahead or (any(one.kind is TimeKind.FUTURE for one in found) and not _PAST.search(masked.text)):
        coming = find_ahead(masked.text, now)
    if coming:
        # What can be read both ways lies ahead in such a question.
        found = [one for one in found if not any(one.begin < c.end and c.begin < one.end for c in coming)]
    for one in (*found, *coming):
        masked.blank(one.begin, one.end)
    spans = [one for one in found if one.kind not in (TimeKind.EVER, TimeKind.NOW)]
    return tuple(spans or found), tuple(coming)


def _correct(masked: Masked, known: Vocabulary) -> None:
    """Slips of the finger put right; words that mean something, and names, stay."""
    names = {part for name in known.metrics for part in name_words(name)}
    for word, begin, end in reversed(masked.tokens()):
        if not word.isalpha() or word in STOP or word in names or word in SYNONYMS or carries_nothing(word):
            continue
        if (meant := corrected(word)) != word and not _is_sign(word):
            masked.text = masked.text[:begin] + meant + masked.text[end:]


def _is_sign(word: str) -> bool:
    return any(pattern.fullmatch(word) for pattern, _ in (*SIGNS, *CANNOT, *THINGS))


def signs_in(masked: Masked) -> tuple[set[Sign], str, dict[Sign, list[str]]]:
    """Signs, a severity that was named, and the words behind each sign (a metric may be named by them instead)."""
    signs: set[Sign] = set()
    severity, held = "", dict[Sign, list[str]]()
    for pattern, meaning in SIGNS:
        for match in masked.take(pattern):
            meant = meaning if isinstance(meaning, tuple) else (meaning,)
            signs.update(meant)
            for sign in meant:
                held.setdefault(sign, []).extend(match[0].split())
            if meaning is Sign.SEVERITY:
                severity = match[0]
    return signs, severity, held


# --- names by their words -----------------------------------------------------------------------


def _matched(
    parsed: Parsed,
    loose: list[tuple[str, ...]],
    thing_words: list[str],
    rest: list[str],
    held: Mapping[Sign, list[str]],
    known: Vocabulary,
) -> Parsed:
    """Give the words that are left a meaning: a label's value, or a metric's name in words."""
    options = loose[0] if loose else ()
    if Sign.OPEN in held and Sign.ANOMALY not in held and not parsed.things:
        # "open file descriptors" is a metric, not an anomaly that goes on.
        with_held = by_words([*held[Sign.OPEN], *rest], known.metrics) if rest else []
        if with_held:
            rest = [*held[Sign.OPEN], *rest]
    content = list(rest)
    if parsed.things:
        # "The hit rate of the cache": a word of the name of what was found says nothing new.
        parts = {part for one in parsed.things for name in _metrics_of(one) for part in name_words(name)}
        content = [word for word in content if not parts & {word, SYNONYMS.get(word, word)}]
        if all(one in MEASURES and MEASURES[one].unit == "%" for one in parsed.things):
            content = [
                word for word in content if word not in ("share", "percentage", "fraction", "proportion", "part")
            ]
    if parsed.anomaly_id is not None:
        content = [word for word in content if word not in _OF_ANOMALY]
    if content and (parsed.things or options):
        said, labels = _label_values(parsed.things or options, content, known)
        if labels:
            content = [word for word in content if word not in said]
            parsed = replace(parsed, labels={**parsed.labels, **labels})
    if content:
        spoken = list(dict.fromkeys([*_plain_words(thing_words), *content]))
        named = by_words(spoken, known.metrics) if not parsed.unknown_metric else []
        if not named and not parsed.things and not options:
            named = by_words(content, known.metrics)
        exact_thing = any(thing in known.metrics for thing in parsed.things) and not thing_words
        if named and not exact_thing:
            content, options = [], ()
            parsed = replace(parsed, things=(named[0],) if len(named) == 1 else ())
            options = tuple(named) if len(named) > 1 else ()
            parsed = replace(parsed, words=tuple(spoken))
    if "mountpoint" in parsed.labels and not parsed.things and not options:
        # A place on a disk alone: its space, in the unit of the limit.
        told = "node_filesystem_avail_bytes" if (parsed.limit or 0) > 100 else "disk_space_used"
        parsed = replace(parsed, things=(told,))
    if "mountpoint" in parsed.labels and "disk_space_used" in options:
        parsed, options = replace(parsed, things=("disk_space_used",)), ()
        loose = []
    return replace(parsed, options=() if parsed.things and not loose else options, rest=tuple(content))


# "When did it first go above 80 %" is when it went above 80 %.
_PLACES = frozenset(("first", "last", "finally", "initially"))
_OF_ANOMALY = frozenset(
    """
    bad severe severity severities serious shortest briefest confident score confidence size big strong
    """.split()  # noqa: SIM905
)


def _metrics_of(thing: str) -> tuple[str, ...]:
    return MEASURES[thing].metrics if thing in MEASURES else (thing,)


def _plain_words(words: Iterable[str]) -> list[str]:
    return [word for word in words if word not in STOP and word.isalpha() and word not in ("usage", "busy", "share")]


def _label_values(things: Sequence[str], words: Sequence[str], known: Vocabulary) -> tuple[set[str], dict[str, str]]:
    said: set[str] = set()
    labels: dict[str, str] = {}
    for thing in things:
        for metric in _metrics_of(thing):
            for series in known.find(metric, None):
                for key, value in series.labels.items():
                    if value.lower() in words and key not in labels:
                        labels[key] = value
                        said.add(value.lower())
    return said, labels


def _values_on(hosts: Sequence[str], words: Sequence[str], known: Vocabulary) -> tuple[set[str], dict[str, str]]:
    """Words that are values of labels on the hosts named: "did eth1 on api-02 go silent?"."""
    found: dict[str, str] = {}
    for host in hosts[:4]:
        for series in known.find(None, host):
            found.update({value.lower(): key for key, value in series.labels.items() if value.lower() in words})
    return set(found), {key: value for value, key in found.items()}


def _cannot(parsed: Parsed) -> Parsed:
    """What is asked for that is not done here; only words that found no other meaning count."""
    left = " ".join(parsed.rest)
    for pattern, told in CANNOT:
        if left and pattern.search(left):
            return replace(parsed, cannot=told)
    # Phrases of plain words ("more than") leave no rest; they are looked for in the whole text.
    found = CANNOT[1][0].search(parsed.text.lower())
    if Sign.COMPARE in parsed.signs and parsed.times and not re.search(r"\d", re.sub(r"[a-z]+-?\d+", "", parsed.text)):
        return parsed  # "more than yesterday" has a time where a limit has a number
    if (
        found
        and " " in found[0]
        and parsed.limit is None
        and parsed.pick is None
        and not parsed.signs & {Sign.OFTEN, Sign.INTERVAL}
    ):
        return replace(parsed, cannot=CANNOT[1][1])
    return parsed
