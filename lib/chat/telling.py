"""Results of the further kinds in words, each number with the mark of its evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lib.chat import telling_quality
from lib.chat.escape import code, inert
from lib.chat.phrasing import bold, cited, moment, more, on_hosts, plural, quantity, tally, window
from lib.chat.request import Intent, Request
from lib.chat.tools.data import Result
from lib.frames import Window

_MOST = 8


def tell(asked: Request, result: Result, name: str, n: int) -> str:
    """The answer to one call."""
    return _WORDS[asked.intent](asked, result, name, n)


def _points(unit: str, value: float, n: int) -> str:
    """A difference: of two percentages it is in points."""
    size = quantity(abs(value), "" if unit in ("%", "ratio") else unit)
    if unit == "ratio":
        size = quantity(abs(value) * 100)
    return f"{size} [{n}]{' percentage points' if unit in ('%', 'ratio') else ''}"


def _compare(asked: Request, result: Result, name: str, n: int) -> str:
    values, unit = result.values, result.unit
    first = Window(values["first_start"], values["first_end"])
    second = Window(values["second_start"], values["second_end"])
    words = {"quantile": f"{100 * asked.quantile:g}th percentile", "min": "minimum", "max": "maximum"}
    words |= {"stddev": "standard deviation", "increase": "growth"}
    what = f"The {words.get(asked.statistic, asked.statistic)} of {name}{on_hosts(asked)}"
    change, percent = values["change"], values["change_percent"]
    way = "up" if change > 0 else "down"
    share = f" ({quantity(abs(percent), '%')} [{n}])" if percent is not None else ""
    if not change:
        told = "the same"
    elif asked.label == "percent" and percent is not None:
        told = f"{way} {bold(abs(percent), '%', n)}"
    elif asked.by_how_much and unit in ("%", "ratio"):
        told = f"{way} **{quantity(abs(change) * (100 if unit == 'ratio' else 1))}** [{n}] percentage points{share}"
    elif asked.by_how_much:
        told = f"{way} {bold(abs(change), unit, n)}{share}"
    else:
        told = f"{way} {_points(unit, change, n)}{share}"
    now, then = quantity(values["second"], unit), quantity(values["first"], unit)
    if asked.by_how_much and change:
        head = f"{what} went {told}: from {then} [{n}] {window(first)} to {now} [{n}] {window(second)}."
    else:
        head = f"{what} was **{now}** [{n}] {window(second)} and {then} [{n}] {window(first)}: {told}."
    if len(result.rows) < 2:
        return head
    lines = [
        f"- {code(row['host'])}: {quantity(row['first'], unit)} [{n}], then {quantity(row['second'], unit)} [{n}]"
        for row in result.rows[:_MOST]
    ]
    return "\n".join([f"{head} By host, what changed most first:", "", *lines]) + more(result, len(lines), n)


def _odd(asked: Request, result: Result, name: str, n: int) -> str:
    first, unit, middle = result.rows[0], result.unit, result.values["middle"]
    times = result.values["times"]
    usual = f", {quantity(times)} [{n}] times as far from it as hosts usually are" if times else ""
    side = "above" if first["away"] > 0 else "below"
    head = (
        f"{code(first['host'])} differs most {window(result.window or asked.windows[0])}: its mean of {name} was "
        f"{bold(first['mean'], unit, n)}, {side} the middle of {result.values['hosts']} hosts [{n}], "
        f"{quantity(middle, unit)} [{n}]{usual}. The next are:"
    )
    lines = [f"- {code(row['host'])}: {quantity(row['mean'], unit)} [{n}]" for row in result.rows[1:4]]
    return "\n".join([head, "", *lines])


def _correlation(asked: Request, result: Result, name: str, n: int) -> str:
    def strength(r: float) -> str:
        size = abs(r)
        words = "hardly" if size < 0.3 else "weakly" if size < 0.5 else "clearly" if size < 0.8 else "strongly"
        return f"{words}{'' if size < 0.3 else ' inversely' if r < 0 else ''}"

    span = window(result.window or asked.windows[0])
    first = result.rows[0]
    tail = "That they move together does not show that one causes the other."
    if result.total == 1:
        return (
            f"The correlation of {name} on {code(first['host'])} was r = **{first['r']:.3f}** [{n}] {span}, over "
            f"{first['moments']:,} moments [{n}]: {strength(first['r'])} related. {tail}"
        )
    head = (
        f"The correlation of {name} was r = **{result.values['r']:.3f}** [{n}] in the middle of {result.total} hosts "
        f"[{n}] {span}. The strongest first:"
    )
    lines = [f"- {code(row['host'])}: r = {row['r']:.3f} [{n}], {strength(row['r'])}" for row in result.rows[:_MOST]]
    return "\n".join([head, "", *lines]) + more(result, len(lines), n)


def _ratio(asked: Request, result: Result, name: str, n: int) -> str:
    span, value = window(result.window or asked.windows[0]), result.values["ratio"]
    where = f" on {code(result.rows[0]['host'])}" if result.total == 1 else on_hosts(asked)
    head = f"The ratio of {name.replace(' and ', ' to ', 1)}{where} was {bold(value, '', n)} {span}"
    if result.total == 1:
        return f"{head}: the mean of the one divided by the mean of the other."
    lines = [f"- {code(row['host'])}: {quantity(row['ratio'])} [{n}]" for row in result.rows[:_MOST]]
    return "\n".join([f"{head} over {result.total} hosts [{n}]. By host:", "", *lines]) + more(result, len(lines), n)


def _beyond(asked: Request, result: Result, name: str, n: int) -> str:
    values, unit = result.values, result.unit
    limit = f"{quantity(values['limit'], unit)} [{n}]"
    span = window(result.window or asked.windows[0])
    reached = [row for row in result.rows if row["count"]]
    if asked.which_host or (asked.counting and len(asked.hosts) != 1) or asked.each_host:
        if not reached:
            return f"**0** [{n}] hosts had {name} {asked.side} {limit} {span}."
        lines = [f"- {code(row['host'])}: {quantity(row['share'], '%')} [{n}] of the readings" for row in reached[:25]]
        head = f"{tally(values['hosts'], 'host', n)} had {name} {asked.side} {limit} {span}:"
        return "\n".join([head, "", *lines])
    if asked.when and reached:
        first = min(row["first_at"] for row in reached)
        where = next(row["host"] for row in reached if row["first_at"] == first)
        last = max(row["last_at"] for row in reached)
        return (
            f"{name} on {code(where)} was {asked.side} {limit} first at **{moment(first)}** [{n}] {span}, and last at "
            f"{moment(last)}: {values['count']:,} [{n}] readings in all."
        )
    head = (
        f"{name}{on_hosts(asked)} was {asked.side} {limit} for {bold(values['share'], '%', n)} of the readings {span}: "
        f"{values['count']:,} [{n}] of {values['of']:,} [{n}]"
    )
    if len(reached) < 2 or len(asked.hosts) == 1:
        only = f", all on {code(reached[0]['host'])}" if len(reached) == 1 and not asked.hosts else ""
        return f"{head}{only}."
    lines = [f"- {code(row['host'])}: {quantity(row['share'], '%')} [{n}]" for row in reached[:_MOST]]
    return "\n".join([f"{head}. By host:", "", *lines])


def _forecast(asked: Request, result: Result, name: str, n: int) -> str:
    unit, first = result.unit, result.rows[0]
    if asked.statistic in ("max", "min"):
        # The row that reaches farthest comes first.
        sign = 1 if asked.statistic == "max" else -1
        rows = sorted(result.rows, key=lambda row: -sign * row[asked.statistic])
        first, key = rows[0], asked.statistic
        head = (
            f"The {'highest' if key == 'max' else 'lowest'} expected value of {name}{_series(first)} is "
            f"{bold(first[key], unit, n)} at {moment(first[f'{key}_at'])}"
        )
        return f"{head}, between {_low_high(first, unit, n)} with 95 % [{n}] confidence.{_made(first, n)}"
    when = f" at {moment(first['at'])}" if "at" in first else f" on average from {moment(first['start'])} on"
    if asked.ahead is not None and not asked.moment:
        when = f" on average {window(asked.ahead)}"
    if result.total == 1:
        return (
            f"{name}{_series(first)} is expected to be {bold(first['middle'], unit, n)}{when}, between "
            f"{_low_high(first, unit, n)} with 95 % [{n}] confidence.{_made(first, n)}"
        )
    lines = [
        f"- {_series(row).removeprefix(' on ')}: {quantity(row['middle'], unit)} [{n}], between "
        f"{_low_high(row, unit, n)}"
        for row in result.rows[:_MOST]
    ]
    head = (
        f"{name}{_series(first)} is expected to be the highest{when}: {bold(first['middle'], unit, n)}, of "
        f"{result.total} forecasts [{n}]:"
    )
    return "\n".join([head, "", *lines]) + more(result, len(lines), n)


def _series(row: Mapping[str, Any]) -> str:
    where = f" on {code(row['host'])}" if row["host"] else ""
    return f"{where} {code(row['series'])}" if row["series"] else where


def _low_high(row: Mapping[str, Any], unit: str, n: int) -> str:
    return f"{quantity(row['low95'], unit)} [{n}] and {quantity(row['high95'], unit)} [{n}]"


def _made(row: Mapping[str, Any], n: int) -> str:
    return f" Forecast {code('#' + str(row['forecast_id']))} by {code(row['model'])}, made {moment(row['made_at'])}."


def _crossing(asked: Request, result: Result, name: str, n: int) -> str:
    unit = result.unit
    limit = f"{quantity(asked.limit, unit)} [{n}]"
    first = result.rows[0]
    lines = [_crosses(row, name, limit, unit, n) for row in result.rows[:_MOST]]
    if result.total == 1:
        return f"{lines[0]}{_made(first, n)}"
    return "\n".join(
        [f"{result.total} forecasts [{n}] of {name}, the most urgent first:", ""] + [f"- {one}" for one in lines]
    )


def _crosses(row: Mapping[str, Any], name: str, limit: str, unit: str, n: int) -> str:
    about = f"{name}{_series(row)}"
    last = f"now {quantity(row['last'], unit)} [{n}]"
    if row["state"] == "already beyond":
        return f"{about} is {row['side']} {limit} already ({last})."
    if row["likely"] is not None:
        earliest = f", {moment(row['earliest'])} at the earliest" if row["earliest"] else ""
        return f"{about} is likely to go {row['side']} {limit} at **{moment(row['likely'])}** [{n}]{earliest} ({last})."
    if row["earliest"] is not None:
        return (
            f"{about} may go {row['side']} {limit} from {moment(row['earliest'])} on, but that is not the "
            f"likely course "
            f"before {moment(row['until'])} ({last})."
        )
    return f"{about} does not go {row['side']} {limit} before {moment(row['until'])}, where its forecast ends ({last})."


def _changed(asked: Request, result: Result, name: str, n: int) -> str:
    span = window(result.window or asked.windows[0])
    head = (
        f"{tally(result.total, 'series', n)}{on_hosts(asked)} changed {span}, of {result.values['compared']:,} "
        f"[{n}] that were "
        "compared with the time before. The strongest first:"
    )
    lines = []
    for row in result.rows[: asked.top or _MOST]:
        before, now = (quantity(row[key], row["unit"]) for key in ("before", "now"))
        part = "; far from both for a part of the window" if "for a part of the window" in row["reason"] else ""
        lines.append(f"- {code(row['host'])} {code(row['metric'])}: {before} [{n}] before, {now} [{n}] now{part}")
    return "\n".join([head, "", *lines]) + more(result, len(lines), n)


def _models(asked: Request, result: Result, name: str, n: int) -> str:
    head = f"{tally(result.values['detectors'], 'detector', n)}{on_hosts(asked)} at work"
    if asked.counting:
        return f"{head}."
    lines = []
    for row in result.rows[:25]:
        span = ""
        if row["trained_from"] and row["trained_until"]:
            span = f", on data from {moment(row['trained_from'])} to {moment(row['trained_until'])}"
        lines.append(
            f"- {code(row['host'])}: version {row['version']} [{n}], trained {moment(row['trained_at'])}{span}"
        )
    return "\n".join([f"{head}:", "", *lines]) + more(result, len(lines), n)


def _at_once(asked: Request, result: Result, name: str, n: int) -> str:
    values, span = result.values, window(result.window or asked.windows[0])
    most = values["most_at_once"]
    hosts = ", ".join(code(host) for host in str(values["at_once_hosts"]).split(", "))
    if most < 2:
        return (
            f"No two hosts had anomalies at the same time {span}: **{most}** [{n}] at once is the most, of "
            f"{values['count']} [{n}] anomalies."
        )
    head = f"{tally(most, 'host', n)} had anomalies at the same time at {moment(values['at_once_at'])}: {hosts}."
    return f"{head} That is the most at once {span}, of {values['count']} [{n}] anomalies."


def _marks(asked: Request, result: Result, name: str, n: int) -> str:
    count, span = result.values["count"], window(result.window or asked.windows[0])
    what = asked.label or "mark"
    head = f"{tally(count, what, n)} on the time line{on_hosts(asked)} {span}"
    if asked.counting:
        return f"{head}."
    lines = []
    for row in result.rows[:_MOST]:
        where = f" on {code(row['host'])}" if row["host"] else ""
        until = f" to {moment(row['end'])}" if row["end"] else ""
        text = f": {code(row['text'])}" if row["text"] else ""
        lines.append(f"- {row['kind']}{where} at {moment(row['start'])}{until}{text}")
    return "\n".join([f"{head}, the newest first:", "", *lines]) + more(result, len(lines), n)


def _metric(asked: Request, result: Result, name: str, n: int) -> str:
    values, metric = result.values, code(asked.things[0])
    on = on_hosts(asked)
    what = asked.checks[0] if asked.checks else "series"
    if what == "hosts":
        hosts = ", ".join(code(host) for host in str(values["host_names"]).split(", "))
        return f"{tally(values['hosts'], 'host', n)} {'has' if values['hosts'] == 1 else 'have'} {metric}: {hosts}."
    if what == "kind":
        return f"{metric} is a {values['kind']} with {tally(values['series'], 'series', n)}{on}."
    if what == "labels" and asked.label:
        if not result.rows:
            return f"{metric}{on} has no label {code(asked.label)} [{n}]."
        row = result.rows[0]
        shown = ", ".join(code(value) for value in str(row["values"]).split(", "))
        return f"{metric}{on} has {tally(row['count'], 'value', n)} of {code(asked.label)}: {shown}."
    if what == "labels":
        lines = [
            f"- {code(row['label'])}: {row['count']} [{n}] {plural(row['count'], 'value')}" for row in result.rows[:25]
        ]
        return "\n".join([f"{metric}{on} has {tally(values['labels'], 'label', n)}:", "", *lines])
    return (
        f"{metric}{on} has {tally(values['series'], 'series', n)} on {values['hosts']} "
        f"{plural(values['hosts'], 'host')} [{n}]."
    )


def _sources(asked: Request, result: Result, name: str, n: int) -> str:
    head = tally(result.total, "source", n)
    lines = [f"- {code(row['source'])} ({code(row['kind'])}, {code(row['state'])})" for row in result.rows[:25]]
    return f"{head}." if asked.counting else "\n".join([f"{head}:", "", *lines])


def _sql(asked: Request, result: Result, name: str, n: int) -> str:
    row = result.rows[0]
    if result.total == 1 and len(row) == 1:
        ((column, value),) = row.items()
        return f"{code(column)} is **{_cell(value)}** [{n}]."
    head = f"The query gave {tally(result.total, 'row', n)}"
    lines = [
        "- "
        + ", ".join(
            f"{code(column)} {_cell(value)}{f' [{n}]' if _number(value) else ''}" for column, value in row.items()
        )
        for row in result.rows[:_MOST]
    ]
    return "\n".join([f"{head}; the first:", "", *lines]) + more(result, len(lines), n)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if _number(value) else code(value)


def _command(asked: Request, result: Result, name: str, n: int) -> str:
    said = cited(inert(result.message.replace("`", "'")).replace("*", "\\*").replace("_", "\\_"), n)
    until = moment(result.values["expires_at"])
    return (
        f"This changes something, so it waits for you: {said} Press **Approve** below before {until}, or Reject. [{n}]"
    )


_WORDS: dict[Intent, Callable[[Request, Result, str, int], str]] = {
    Intent.COMPARE: _compare,
    Intent.ODD: _odd,
    Intent.CORRELATION: _correlation,
    Intent.RATIO: _ratio,
    Intent.BEYOND: _beyond,
    Intent.QUALITY: telling_quality.tell,
    Intent.FORECAST: _forecast,
    Intent.CROSSING: _crossing,
    Intent.CHANGED: _changed,
    Intent.MODELS: _models,
    Intent.AT_ONCE: _at_once,
    Intent.MARKS: _marks,
    Intent.METRIC: _metric,
    Intent.SOURCES: _sources,
    Intent.SQL: _sql,
    Intent.COMMAND: _command,
}
