"""What checks of the data found, in words."""

from __future__ import annotations

import re

from lib.chat.escape import code
from lib.chat.phrasing import bold, moment, more, on_hosts, plural, quantity, tally, window
from lib.chat.request import Request
from lib.chat.tools.data import Result
from lib.profiling.words import duration

_MOST = 8


def tell(asked: Request, result: Result, name: str, n: int) -> str:
    check = re.search(r'check="(\w+)"', result.query)
    return _QUALITY[check[1] if check else "gaps"](asked, result, n)


def _about(asked: Request) -> str:
    return (f" of {code(asked.things[0])}" if asked.things else "") + on_hosts(asked)


def _gaps(asked: Request, result: Result, n: int) -> str:
    span, count = window(result.window or asked.windows[0]), result.values["count"]
    if not count:
        return f"**0** [{n}] gaps{_about(asked)} {span}, in {result.values['series_checked']} series [{n}]."
    longest = result.rows[0]
    hosts = "" if asked.hosts else f" on {result.values['hosts']} {plural(result.values['hosts'], 'host')} [{n}]"
    head = (
        f"{tally(count, 'gap', n)}{_about(asked)}{hosts} {span}. The longest lasted "
        f"{duration(longest['seconds'])} [{n}], on {code(longest['host'])} from "
        f"{moment(longest['start'])} to {moment(longest['end'])}."
    )
    if count == 1:
        return head
    lines = [
        f"- {code(row['host'])}: {duration(row['seconds'])} [{n}] from {moment(row['start'])}, in "
        f"{row['series']} series "
        f"[{n}]"
        for row in result.rows[:_MOST]
    ]
    return "\n".join([head, "", *lines]) + more(result, len(lines), n)


def _resets(asked: Request, result: Result, n: int) -> str:
    span, resets = window(result.window or asked.windows[0]), result.values["resets"]
    if not resets:
        return f"**0** [{n}] counter resets{_about(asked)} {span}."
    head = (
        f"{tally(resets, 'counter reset', n)}{_about(asked)} {span}, in {result.total} series [{n}] on "
        f"{result.values['hosts']} {plural(result.values['hosts'], 'host')} [{n}]:"
    )
    if asked.label == "hosts":
        by_host = result.values["by_host"]
        return "\n".join([head, "", *(f"- {code(host)}: {count} [{n}]" for host, count in by_host.items())])
    lines = [
        f"- {code(row['host'])} {code(row['series'])}: {row['resets']} [{n}], the last at {moment(row['last_at'])}"
        for row in result.rows[:_MOST]
    ]
    return "\n".join([head, "", *lines]) + more(result, len(lines), n)


def _constant(asked: Request, result: Result, n: int) -> str:
    span, count = window(result.window or asked.windows[0]), result.values["count"]
    head = (
        f"{tally(count, 'series', n)}{_about(asked)} never changed {span}, of {result.values['series_checked']} [{n}]"
    )
    if not count:
        return f"{head}."
    metrics = result.values["by_metric"]
    if len(asked.hosts) != 1 or len(metrics) > _MOST:
        lines = [f"- {code(metric)}: {found} [{n}] series" for metric, found in list(metrics.items())[:_MOST]]
        return "\n".join([f"{head}:", "", *lines])
    lines = [f"- {code(row['series'])}" for row in result.rows[:_MOST]]
    return "\n".join([f"{head}:", "", *lines]) + more(result, len(lines), n)


def _stale(asked: Request, result: Result, n: int) -> str:
    count, end = result.values["count"], (result.window or asked.windows[0]).end
    at = f"at {moment(end.replace(microsecond=0))}"
    hosts = asked.which_host or re.search(r"\bhosts?\b", asked.label)
    if hosts and not asked.things:
        gone = [one for one in str(result.values["silent_hosts"]).split(", ") if one]
        named = f": {', '.join(map(code, gone))}" if gone else ""
        return (
            f"{tally(result.values['hosts'], 'host', n)} had stopped reporting altogether {at}{named}. "
            f"{count} [{n}] of "
            f"{result.values['series_checked']} series [{n}] were silent."
        )
    head = (
        f"{tally(count, 'series', n)}{_about(asked)} had stopped reporting {at}, of "
        f"{result.values['series_checked']} [{n}]"
    )
    if not count:
        return f"{head}."
    lines = [
        f"- {code(row['host'])} {code(row['series'])}: last at {moment(row['last'])}, "
        f"{duration(row['silent_s'])} [{n}] before"
        for row in result.rows[:_MOST]
    ]
    return "\n".join([f"{head}:", "", *lines]) + more(result, len(lines), n)


def _duplicates(asked: Request, result: Result, n: int) -> str:
    span, repeated = window(result.window or asked.windows[0]), result.values["repeated"]
    are = "is a duplicate" if repeated == 1 else "are duplicates"
    head = f"{tally(repeated, 'sample', n)}{_about(asked)} {are} (stored twice) {span}"
    return f"{head}, in {result.values['series_checked']} series [{n}] looked at."


def _interval(asked: Request, result: Result, n: int) -> str:
    typical = result.values["interval_s"]
    if typical is None:
        return f"One sample a series is too little to tell an interval [{n}]."
    about = _about(asked) or " of all series"
    head = (
        f"The typical interval between samples{about} is {bold(typical, 's', n)} "
        f"{window(result.window or asked.windows[0])}"
    )
    longest, shortest = result.rows[0]["interval_s"], min(row["interval_s"] for row in result.rows)
    if abs(longest - shortest) < 0.001:
        return f"{head}, in {result.total} series [{n}]."
    return (
        f"{head}; over {result.total} series [{n}] it is {quantity(shortest, 's')} [{n}] to "
        f"{quantity(longest, 's')} [{n}]."
    )


_QUALITY = {
    "gaps": _gaps,
    "resets": _resets,
    "constant": _constant,
    "stale": _stale,
    "duplicates": _duplicates,
    "interval": _interval,
}
