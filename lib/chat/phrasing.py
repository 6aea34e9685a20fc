"""Results in words. Every number is followed by the mark of its evidence; names from the data are inert."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lib.chat.escape import code, inert
from lib.chat.escape import name as named
from lib.chat.request import Request
from lib.chat.tools.anomalies import WORST
from lib.chat.tools.data import Outcome, Result
from lib.frames import Window
from lib.profiling.words import amount, duration

# A latest value older than this is said to be old.
_STALE = timedelta(minutes=15)
_MOST_LINES = 5


def moment(at: datetime | None) -> str:
    """`2026-03-13 14:05 UTC`, with seconds where there are any."""
    if at is None:
        return "an unknown time"
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at.second else f"{at:%Y-%m-%d %H:%M} UTC"


def window(span: Window) -> str:
    """`2026-03-13 (UTC)` for a whole day, else from and to."""
    start, end = span.start.astimezone(UTC), span.end.astimezone(UTC)
    if span.span == timedelta(days=1) and start.hour == start.minute == start.second == 0:
        return f"on {start:%Y-%m-%d} (UTC)"
    if start.year == 1970:
        return f"up to {moment(end.replace(microsecond=0))}"
    if start.date() == end.date():
        return f"from {start:%Y-%m-%d %H:%M} to {end:%H:%M} UTC"
    return f"from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def quantity(value: float | None, unit: str = "") -> str:
    """A value as answers say it: as tables do, and moments as moments."""
    if unit == "s since 1970" and value is not None:
        return moment(datetime.fromtimestamp(value, UTC).replace(microsecond=0))
    return amount(value, unit)


def bold(value: float | None, unit: str, n: int) -> str:
    """A value in bold with its mark: what was asked for."""
    return f"**{quantity(value, unit)}** [{n}]"


def on_hosts(asked: Request) -> str:
    """` on web-01, web-02`, or nothing where no host was named."""
    return f" on {', '.join(code(host) for host in asked.hosts[:5])}" if asked.hosts else ""


def plural(count: int, noun: str) -> str:
    """A noun as its count needs it."""
    if count == 1:
        return noun
    return noun if noun.endswith("series") else f"{noun}s"


def tally(count: int, noun: str, n: int) -> str:
    """A count in bold, its mark, and what was counted."""
    return f"**{count:,}** [{n}] {plural(count, noun)}"


def more(result: Result, shown: int, n: int) -> str:
    """The line that says how many there are where not all are shown."""
    return f"\n- … and more: {result.total:,} [{n}] in all" if result.total > shown else ""


def failed(result: Result) -> str:
    """Why there is no number; names in the message are foreign text."""
    return inert(result.message.replace("`", "'")).replace("*", "\\*").replace("_", "\\_")


# --- statistics ---------------------------------------------------------------------------------


def statistic(request: Request, result: Result, name: str, n: int, now: datetime) -> str:
    """The answer to a request for a statistic of one thing over one window."""
    span = result.window or request.windows[0]
    if request.statistic == "increase":
        return _increase(request, result, name, n, span)
    if request.statistic == "count":
        return f"{name} has **{result.samples:,}** [{n}] samples {window(span)}, from {result.total} series [{n}]."
    if request.which_host:
        return _ranked(request, result, name, n, span, now)
    if result.total == 1:
        return _single(request, result, name, n, span, now)
    return _several(request, result, name, n, span, now)


def _value(value: float, result: Result, n: int) -> str:
    return f"**{quantity(value, result.unit)}** [{n}]"


def _place(row: Mapping[str, Any]) -> str:
    where = f"on {code(row['host'])}" if row.get("host") else ""
    return f"{where} {code(row['series'])}".strip() if row.get("series") else where


def _said(request: Request) -> tuple[str, str]:
    """Words for a statistic and the row column that holds it."""
    quantile = 100 * request.quantile
    return {
        "latest": ("latest value", "latest"),
        "mean": ("mean", "mean"),
        "min": ("minimum", "min"),
        "max": ("maximum", "max"),
        "median": ("median", "q"),
        "stddev": ("standard deviation", "stddev"),
        "quantile": (f"{quantile:g}th percentile", "q"),
        "summary": ("mean", "mean"),
    }[request.statistic]


def _single(request: Request, result: Result, name: str, n: int, span: Window, now: datetime) -> str:
    row = result.rows[0]
    about = f"{name} {_place(row)}".strip()
    if request.statistic == "summary":
        return (
            f"{about} {window(span)}: mean {_value(row['mean'], result, n)}, lowest {_value(row['min'], result, n)} at "
            f"{moment(row['min_at'])}, highest {_value(row['max'], result, n)} at {moment(row['max_at'])}."
        )
    if request.statistic == "latest":
        return f"{about} was {_value(row['latest'], result, n)} at {moment(row['latest_at'])}{_age(row, span, now)}."
    words, column = _said(request)
    when = f", reached at {moment(row[f'{column}_at'])}" if column in ("min", "max") else ""
    return f"The {words} of {about} was {_value(row[column], result, n)} {window(span)}{when}."


def _age(row: Mapping[str, Any], span: Window, now: datetime) -> str:
    age = now - row["latest_at"]
    if span.end < now - _STALE or age < _STALE:
        return ""
    return f" ({duration(age.total_seconds())} ago; nothing newer is stored)"


def _several(request: Request, result: Result, name: str, n: int, span: Window, now: datetime) -> str:
    values, unit = result.values, result.unit
    hosts = values.get("hosts", 0)
    over = f"{hosts} hosts" if result.total == hosts else f"{result.total} series [{n}] on {_noun(hosts, 'host')}"
    words, column = _said(request)
    if request.statistic == "latest":
        head = f"{name}, latest of {over} [{n}], the highest first:"
    elif request.statistic in ("max", "min"):
        which = request.statistic
        host = f" on {code(values[f'{which}_host'])}" if values[f"{which}_host"] else ""
        head = (
            f"The {words} of {name} over {over} [{n}] was {_value(values[which], result, n)}{host}, reached at "
            f"{moment(values[f'{which}_at'])}. By host {window(span)}:"
        )
    elif request.statistic == "summary":
        head = (
            f"{name} over {over} [{n}] {window(span)}: mean {_value(values['mean'], result, n)}, lowest "
            f"{_value(values['min'], result, n)}{_at_host(values, 'min')}, highest {_value(values['max'], result, n)}"
            f"{_at_host(values, 'max')}. By mean:"
        )
    else:
        key = column if column in ("mean", "stddev") else "q"
        head = f"The {words} of {name} over {over} [{n}] was {_value(values[key], result, n)} {window(span)}. By host:"
    most = len(result.rows) if request.each_host or len(request.hosts) > 1 else request.top or _MOST_LINES
    # Hosts that were named to be held against each other are what was asked; the mean over all of them is not.
    told = bold if 1 < len(request.hosts) <= _MOST_LINES else None
    lines = [f"- {_row(row, column, unit, n, told)}" for row in result.rows[:most]]
    if result.total > len(lines):
        lines.append(f"- … and more: {result.total} [{n}] in all")
    return "\n".join([head, "", *lines])


def _at_host(values: Mapping[str, Any], which: str) -> str:
    host = f" on {code(values[f'{which}_host'])}" if values[f"{which}_host"] else ""
    return f"{host} at {moment(values[f'{which}_at'])}"


def _row(
    row: Mapping[str, Any], column: str, unit: str, n: int, told: Callable[[float | None, str, int], str] | None = None
) -> str:
    place = " ".join(code(part) for part in (row.get("host"), row.get("series")) if part) or "no host"
    when = f" at {moment(row[f'{column}_at'])}" if f"{column}_at" in row else ""
    value = told(row[column], unit, n) if told else f"{quantity(row[column], unit)} [{n}]"
    return f"{place}: {value}{when}"


def _ranked(request: Request, result: Result, name: str, n: int, span: Window, now: datetime) -> str:
    words, column = _said(request)
    if request.statistic == "summary":
        words, column = "mean", "mean"
    first = result.rows[0]
    most = "lowest" if request.lowest else "highest"
    when = f" at {moment(first[f'{column}_at'])}" if f"{column}_at" in first else ""
    host = " ".join(code(part) for part in (first["host"], first["series"]) if part) or "A series without a host"
    compared = f" of {result.total} series compared [{n}]" if result.total > 1 else ", the only one stored,"
    head = (
        f"{host} had the {most} {words} of {name}{compared} {window(span)}: {_value(first[column], result, n)}{when}."
    )
    most_lines = request.top or (10 if request.each_host else 3)
    if result.total == 1 or most_lines == 1:
        return head
    lines = [f"{place}. {_row(row, column, result.unit, n)}" for place, row in enumerate(result.rows[:most_lines], 1)]
    return "\n".join([head, "", *lines])


def _increase(request: Request, result: Result, name: str, n: int, span: Window) -> str:
    total = _value(result.values["increase"], result, n)
    plain = name.replace(" (rate per second)", "")
    if request.which_host and len(result.rows) > 1:
        first = result.rows[0]
        most = "least" if request.lowest else "most"
        return (
            f"{code(first['host'])} had the {most} of {result.total} hosts [{n}] {window(span)}: {plain} came to "
            f"{_value(first['increase'], result, n)}."
        )
    if len(result.rows) == 1:
        host = f" on {code(result.rows[0]['host'])}" if result.rows[0]["host"] else ""
        return f"{plain}{host} came to {total} in total {window(span)}."
    lines = [
        f"- {code(row['host']) if row['host'] else 'no host'}: {amount(row['increase'], result.unit)} [{n}]"
        for row in result.rows[:_MOST_LINES]
    ]
    if result.total > len(lines):
        lines.append(f"- … and more: {result.total} [{n}] in all")
    return "\n".join([f"{plain} came to {total} in total over {result.total} hosts [{n}] {window(span)}:", "", *lines])


# --- inventory ----------------------------------------------------------------------------------


def metrics(request: Request, result: Result, n: int) -> str:
    """Which metrics there are, or how many."""
    values = result.values
    on = f" on {code(request.hosts[0])}" if request.hosts else ""
    about = f" about {code(request.search)}" if request.search else ""
    head = f"{_counted(values['metrics'], 'metric', n)}{about} with {values['series']:,} series [{n}] stored{on}"
    if request.label == "series":
        head = f"{_counted(values['series'], 'series', n)} of {values['metrics']} metrics [{n}]{about} stored{on}"
        head = head.replace("seriess", "series")
    head = head.replace("stored", "are stored" if values["metrics"] != 1 else "is stored")
    if request.counting:
        return f"{head}."
    shown = result.rows[: request.top or 25]
    listed = "\n".join(f"- {code(row['metric'])} ({row['kind']}, {row['series']} series [{n}])" for row in shown)
    more = f"\n- … and more: {result.total} [{n}] in all" if result.total > len(shown) else ""
    return f"{head}:\n\n{listed}{more}"


def hosts(request: Request, result: Result, n: int) -> str:
    """Which hosts there are, or how many."""
    head = f"{_counted(result.values['hosts'], 'host', n)} with {result.values['series']:,} series [{n}]"
    if request.counting:
        return f"{head} are stored."
    shown = result.rows[: request.top or 25]
    listed = "\n".join(f"- {code(row['host'])} ({row['series']} series [{n}])" for row in shown)
    more = f"\n- … and more: {result.total} [{n}] in all" if result.total > len(shown) else ""
    return f"{head}:\n\n{listed}{more}"


def span(request: Request, result: Result, n: int, named: Sequence[str]) -> str:
    """From when to when there is data."""
    rows = [row for row in result.rows if not named or row.get("metric") in named or row.get("host") in named]
    firsts = [row["first"] for row in rows if row["first"]]
    lasts = [row["last"] for row in rows if row["last"]]
    if not named:
        firsts, lasts = [result.values["first"]], [result.values["last"]]
    if not firsts or not lasts or firsts[0] is None:
        return "No samples are stored for that yet."
    about = f" for {', '.join(code(name) for name in named)}" if named else ""
    length = duration((max(lasts) - min(firsts)).total_seconds())
    return f"There is data{about} from {moment(min(firsts))} to {moment(max(lasts))}: {length} [{n}]."


def _noun(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _counted(count: int, noun: str, n: int) -> str:
    return f"**{count:,}** [{n}] {noun}{'' if count == 1 else 's'}"


# --- anomalies ----------------------------------------------------------------------------------


def no_anomalies(request: Request, span_: Window, n: int) -> str:
    """Zero, said with its evidence: nothing found is an answer."""
    where = f" on {', '.join(code(host) for host in request.hosts)}" if request.hosts else ""
    kind = f"{request.severity} " if request.severity else ""
    return f"**0** [{n}] {kind}anomalies{_picked(request, n)}{where} were found {window(span_)}."


def _picked(request: Request, n: int) -> str:
    """Which of them were asked for, by their size."""
    return f" with {cited(request.pick.said, n)}" if request.pick else ""


def anomaly_line(row: Mapping[str, Any], n: int) -> str:
    """One anomaly: what the detector said of it, and what one needs to look it up."""
    sure = f"confidence {100 * row['confidence']:.2f} % [{n}], score {amount(row['score'])} [{n}]"
    return f"anomaly **#{row['id']}** [{n}], {row['severity']}, {sure}. {_sentence(row)}{_numbers(row, n)}"


def _sentence(row: Mapping[str, Any]) -> str:
    start, peak = moment(row["start_at"]), moment(row["peak_at"])
    lasted = f"goes on since {start}" if row["end_at"] is None else f"lasted from {start} to {moment(row['end_at'])}"
    about = named(row["title"]) if row["title"] else "Several series"
    where = f" on {code(row['host'])}" if row["host"] else ""
    return f"{about}{where}. It {lasted}, with its peak at {peak}."


def _numbers(row: Mapping[str, Any], n: int) -> str:
    if row["actual"] is None:
        return ""
    unit = row["unit"]
    text = f" It was {amount(row['actual'], unit)} [{n}]"
    if row["low"] is not None and row["high"] is not None:
        return f"{text} where {amount(row['low'], unit)} [{n}] to {amount(row['high'], unit)} [{n}] was expected."
    if row["expected"] is not None:
        return f"{text} where {amount(row['expected'], unit)} [{n}] was expected."
    return f"{text}."


def anomalies(request: Request, result: Result, n: int) -> str:
    """One anomaly, or a list of them."""
    span_ = result.window or request.windows[0]
    count = result.values["count"]
    if request.one:
        which = {"oldest": "first", "score": "highest scoring", "confidence": "surest"}.get(
            request.anomaly_order, request.anomaly_order
        )
        row = result.rows[0]
        of = f" of {count} [{n}]" if count > 1 else ", the only one,"
        lasted = (
            f" It lasted {duration(row['duration_s'])} [{n}]."
            if request.anomaly_order in ("longest", "shortest")
            else ""
        )
        how = f" (Worst: {WORST}.)" if which == "worst" and count > 1 else ""
        return f"The {which} anomaly{_picked(request, n)}{of} {window(span_)} was {anomaly_line(row, n)}{lasted}{how}"
    head = f"{_counted(count, 'anomaly', n).replace('anomalys', 'anomalies')}{_picked(request, n)} {window(span_)}"
    shown = result.rows[: request.top or _MOST_LINES]
    lines = "\n".join(f"- {anomaly_line(row, n)}" for row in shown)
    more = f"\n- … and more: {count} [{n}] in all" if count > len(shown) else ""
    order = {"score": "highest score", "confidence": "surest"}.get(request.anomaly_order, request.anomaly_order)
    return f"{head}, the {order} first:\n\n{lines}{more}"


def anomaly_count(request: Request, result: Result, n: int) -> str:
    """How many, with hosts and severities."""
    values, span_ = result.values, result.window or request.windows[0]
    where = f" on {', '.join(code(host) for host in request.hosts)}" if request.hosts else ""
    kinds = ", ".join(f"{count} {name} [{n}]" for name, count in values["severities"].items())
    open_ = f", {values['open']} [{n}] still going on" if values["open"] else ""
    noun = "anomaly was" if values["count"] == 1 else "anomalies were"
    kind = f"{request.severity} " if request.severity else ""
    told = f"**{values['count']}** [{n}] {kind}{noun} found{where}{_picked(request, n)} {window(span_)}"
    told = f"{told}: {kinds}{open_}."
    if len(request.hosts) < 2:
        return told
    each = ", ".join(f"{values['hosts'].get(host, 0)} [{n}] on {code(host)}" for host in request.hosts[:25])
    return f"{told} Host by host: {each}."


def anomaly_hosts(request: Request, result: Result, n: int) -> str:
    """Which hosts, the one with most first."""
    by_host, span_ = result.values["hosts"], result.window or request.windows[0]
    ranked = sorted(by_host.items(), key=lambda pair: (-pair[1], pair[0]))
    if request.counting:
        noun = "host" if len(ranked) == 1 else "hosts"
        return f"**{len(ranked)}** [{n}] {noun} had anomalies{_picked(request, n)} {window(span_)}."
    if request.one:
        host, most = ranked[0]
        tied = [code(other) for other, count in ranked[1:] if count == most]
        also = f" ({', '.join(tied)} had as many.)" if tied else ""
        return f"{code(host)} had the most anomalies {window(span_)}: **{most}** [{n}].{also}"
    lines = "\n".join(f"- {code(host) if host else 'no host'}: {count} [{n}]" for host, count in ranked[:25])
    return f"{_counted(len(ranked), 'host', n)} had anomalies{_picked(request, n)} {window(span_)}:\n\n{lines}"


def hosts_without(request: Request, result: Result, known: Sequence[str], n: int) -> str:
    """Which of the known hosts had none."""
    none = [host for host in known if host not in result.values.get("hosts", {})]
    kind = f"{request.severity} " if request.severity else ""
    what = f"had no {kind}anomalies{_picked(request, n)} {window(request.windows[0])}"
    listed = f": {', '.join(map(code, none[:25]))}" if none else ""
    if request.hosts:
        asked = ", ".join(map(code, request.hosts[:10]))
        return f"Of {asked} these {what} [{n}]{listed}." if none else f"None of {asked} {what} [{n}]."
    return f"{tally(result.values['hosts_without'], 'host', n)} {what}{listed}."


def explanation(result: Result, n: int) -> str:
    """Why an anomaly is one, as far as a detector can say."""
    row = result.values
    text = [f"{_sentence(row)}{_numbers(row, n)}"]
    if row.get("duration_s"):
        sure = f"confidence {100 * row['confidence']:.2f} % [{n}], score {amount(row['score'])} [{n}]"
        text[0] += f" In all {duration(row['duration_s'])} [{n}]; {row['severity']}, {sure}."
    if result.rows:
        text.append(f"What contributed most to anomaly **#{row['id']}** [{n}]:\n")
    for one in result.rows[:_MOST_LINES]:
        unit = str(one.get("unit") or "")
        about = named(one.get("title") or one.get("metric") or "a series")
        line = f"- {about}: share {amount(one.get('share'), 'ratio')} [{n}]"
        if one.get("actual") is not None and one.get("expected") is not None:
            line += f", {amount(one['actual'], unit)} [{n}] where {amount(one['expected'], unit)} [{n}] was expected"
        text.append(line)
    if row.get("peers"):
        text.append(f"\n{cited(row['peers'], n)}")
    if row.get("nearby"):
        text.append("\nWhat happened around its start:\n")
        text += [
            f"- {code(one['text'])} ({one['kind']}, {cited(one['when'], n)})" for one in row["nearby"][:_MOST_LINES]
        ]
    if (labels := row.get("labels")) and labels["verdict"]:
        note = f": {code(labels['note'])}" if labels["note"] else ""
        text.append(f"\nSomebody labelled it {labels['verdict']}{note}.")
    text.append("\nThat is what differed from the past; the metrics alone do not show what caused it.")
    return "\n".join(text)


_CITABLE = re.compile(
    r"(?P<moment>\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?|\b\d\d:\d\d\b)"
    r"|(?<![\w.-])\d[\d,.]*\d?(?: ?(?:%|[kMGT]?i?B(?:/s)?|/s|min|h|d|s|ms)(?![\w]))?"
)


def cited(text: str, n: int) -> str:
    """Plain words of our own with a mark after every number; moments need none."""
    return _CITABLE.sub(lambda match: match[0] if match["moment"] else f"{match[0]} [{n}]", text)


def missing(result: Result, n: int | None) -> str:
    """Nothing found, or not possible; with the evidence of having looked."""
    mark = f" [{n}]" if n is not None and result.outcome is Outcome.NO_DATA else ""
    return f"{failed(result)}{mark}"
