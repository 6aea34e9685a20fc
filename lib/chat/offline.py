"""The engine without a model: a grammar asks the tools and says what they gave. It never guesses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from lib.chat import calls, nearby, phrasing, telling, times
from lib.chat.dialog import HELP_TEXT, resolve, title
from lib.chat.events import Event, Text, ToolCall
from lib.chat.ledger import Ledger
from lib.chat.measures import MEASURES
from lib.chat.question import Vocabulary, parse
from lib.chat.request import Context, Intent, Reply, Request
from lib.chat.tools.data import Data, Outcome, Result
from lib.frames import Window

NOTHING_STORED = "Nothing is stored yet. Connect a source on the Sources page; then ask again, or ask *help*."
# Questions further back than this no longer matter to "and for web-03?".
_REMEMBERED = 12
# Marks older than this are not what "the deploy" means.
_MARKS_BACK = timedelta(days=90)
_LONG_AGO = timedelta(days=30)
# What one looks at first of a host that is asked about.
_STATUS = ("up", "cpu_busy", "memory_used", "disk_space_used", "node_load1")


@dataclass(frozen=True)
class Turn:
    """One question asked before, when, and the anomalies its answer spoke of."""

    text: str
    at: datetime
    anomaly_ids: tuple[int, ...] = ()


def answer(text: str, history: Sequence[Turn], data: Data, ledger: Ledger | None = None) -> Iterator[Event]:
    """Text, ToolCall and Evidence events of one answer. Never raises for what people type.

    ledger: of an answer that another engine began; its numbering goes on.
    """
    known = vocabulary(data)
    context = _context(history, known)
    asked = resolve(parse(text, known, data.now), context, known, data.now)
    if isinstance(asked, Reply):
        yield Text(asked.text if known.metrics else NOTHING_STORED)
        return
    if not known.metrics and asked.intent not in (Intent.HELP, Intent.GREETING, Intent.THANKS):
        yield Text(NOTHING_STORED)
        return
    yield from _Answering(data, known, ledger or Ledger(data)).to(asked)


def instead(text: str, history: Sequence[Turn], data: Data) -> list[str]:
    """Questions to choose from where `answer` turned one down or asked back; empty where it answered."""
    known = vocabulary(data)
    context = _context(history, known)

    def understood(question: str, context: Context) -> bool:
        return isinstance(resolve(parse(question, known, data.now), context, known, data.now), Request)

    asked = resolve(parse(text, known, data.now), context, known, data.now)
    if isinstance(asked, Request) or not known.metrics:
        return []
    if asked.options and asked.pending is not None:
        # Words that pick one of the options, as a person would type them.
        named = (MEASURES[option].title if option in MEASURES else option for option in asked.options)
        offered = replace(context, options=asked.options, pending=asked.pending)
        return [option for option in named if understood(option, offered)]
    return nearby.alternatives(text, known, data.now, lambda question: understood(question, Context()))


def vocabulary(data: Data) -> Vocabulary:
    """The names that are stored now."""
    metrics, hosts = data.metrics(), data.hosts()
    names = [str(host) for host in dict.fromkeys(hosts["host"]) if host]
    everything = Window(data.now - _MARKS_BACK, data.now)
    kinds = dict(zip(metrics["metric"], metrics["kind"], strict=True))
    return Vocabulary(kinds, names, data.find, lambda: data.marks(everything))


def _context(history: Sequence[Turn], known: Vocabulary) -> Context:
    """What was asked before, understood anew, each question at its own time."""
    context = Context()
    for turn in history[-_REMEMBERED:]:
        asked = resolve(parse(turn.text, known, turn.at), context, known, turn.at)
        if isinstance(asked, Reply):
            if asked.options:
                context = replace(context, options=asked.options, pending=asked.pending)
            continue
        if asked.intent in (Intent.HELP, Intent.GREETING, Intent.THANKS):
            continue
        context = Context(asked, turn.anomaly_ids or context.anomaly_ids)
    return context


def _may_be_older(asked: Request) -> bool:
    wanted = asked.hosts or asked.things or asked.pick or asked.anomaly_order == "newest"
    return not asked.time_given and bool(wanted) and asked.intent is Intent.ANOMALIES


class _Answering:
    """One answer in the making: calls tools, numbers their evidence, says what they gave."""

    def __init__(self, data: Data, known: Vocabulary, ledger: Ledger) -> None:
        self.data, self.known, self.ledger = data, known, ledger

    def to(self, asked: Request) -> Iterator[Event]:
        if asked.intent is Intent.STATISTIC:
            yield from self._statistics(asked)
        elif asked.intent in (Intent.METRICS, Intent.HOSTS, Intent.SPAN):
            yield from self._inventory(asked)
        elif asked.intent is Intent.EXPLAIN:
            yield from self._explanation(asked)
        elif asked.without:
            yield from self._without(asked)
        elif asked.intent in (Intent.ANOMALIES, Intent.ANOMALY_COUNT, Intent.ANOMALY_HOSTS):
            yield from self._anomalies(asked)
        elif asked.intent is Intent.STATUS:
            yield from self._status(asked)
        elif asked.intent is Intent.HELP:
            yield Text(HELP_TEXT)
        elif asked.intent is not Intent.GREETING and asked.intent is not Intent.THANKS:
            yield from self._further(asked)
        elif asked.intent is Intent.GREETING:
            yield Text("Hello. " + HELP_TEXT)
        else:
            yield Text("You are welcome. Ask on whenever you like.")

    def _call(self, name: str, **arguments: Any) -> Iterator[Event | Result]:
        """The events of a call, then its result."""
        given = {key: value for key, value in arguments.items() if value not in ("", None, [], {})}
        yield ToolCall(name, given)
        result, evidence = self.ledger.call(name, given)
        if evidence:
            yield evidence
        yield result

    def _ask(self, name: str, into: list[Result], **arguments: Any) -> Iterator[Event]:
        for one in self._call(name, **arguments):
            if isinstance(one, Result):
                into.append(one)
            else:
                yield one

    def _say(self, words: str, first: bool = True) -> Text:
        return Text(words if first else f"\n\n{words}")

    def _limits(self, result: Result) -> Iterator[Event]:
        """What a good result says of what it covers."""
        if result.outcome is Outcome.OK and result.message:
            yield self._say(phrasing.cited(phrasing.failed(result), self._number), False)

    @property
    def _number(self) -> int:
        return len(self.ledger.evidence)

    def _statistics(self, asked: Request) -> Iterator[Event]:
        first = True
        labels = ", ".join(f'{key}="{value}"' for key, value in asked.labels.items())
        for thing in asked.things[:4]:
            for span in asked.windows:
                got: list[Result] = []
                yield from self._ask(
                    "statistics",
                    got,
                    metric=thing,
                    statistic="summary" if asked.statistic == "count" else asked.statistic,
                    quantile=asked.quantile if asked.statistic == "quantile" else None,
                    period=times.iso(span),
                    hosts=list(asked.hosts)[:50],
                    labels=labels,
                    order="lowest" if asked.lowest else "highest",
                    top=asked.top or 20,
                )
                result, name = got[0], title(thing, self.known)
                if result.outcome is not Outcome.OK:
                    yield self._say(phrasing.missing(result, self._number), first)
                    if asked.statistic == "latest" and result.outcome is Outcome.NO_DATA and not asked.time_given:
                        yield self._say("So there is no current value; the source may be down.", False)
                else:
                    yield self._say(phrasing.statistic(asked, result, name, self._number, self.data.now), first)
                    yield from self._limits(result)
                first = False

    def _further(self, asked: Request) -> Iterator[Event]:
        """One paragraph a call."""
        for number, (tool, arguments) in enumerate(calls.of(asked)):
            got: list[Result] = []
            yield from self._ask(tool, got, **arguments)
            result = got[0]
            pair = asked.intent in (Intent.CORRELATION, Intent.RATIO)
            thing = " and ".join(title(one, self.known) for one in asked.things[:2]) if pair else ""
            if asked.things and not pair:
                thing = title(asked.things[min(number, len(asked.things) - 1)], self.known)
            if result.outcome in (Outcome.OK, Outcome.APPROVAL_REQUIRED):
                yield self._say(telling.tell(asked, result, thing, self._number), not number)
                yield from self._limits(result)
                continue
            yield self._say(phrasing.missing(result, self._number if result.query else None), not number)
            if asked.intent in (Intent.FORECAST, Intent.CROSSING) and result.outcome is Outcome.NO_DATA:
                yield from self._forecast_first(asked, str(arguments["metric"]))
                return

        if asked.intent is Intent.CHANGED:
            # What people did is a change too.
            marked: list[Result] = []
            yield from self._ask("marks", marked, period=times.iso(asked.windows[0]))
            if marked[0].outcome is Outcome.OK:
                about = replace(asked, intent=Intent.MARKS, label="")
                yield self._say(telling.tell(about, marked[0], "", self._number), False)
        if asked.intent is Intent.BEYOND and asked.statistic in ("max", "min"):
            # "Was it ever above 90 %, and what was the peak?" asks both.
            yield Text("\n\n")
            yield from self._statistics(replace(asked, intent=Intent.STATISTIC))

    def _forecast_first(self, asked: Request, thing: str) -> Iterator[Event]:
        """What lies in the future is known from a forecast only: offer to make one."""
        metric = MEASURES[thing].metrics[0] if thing in MEASURES else thing
        hours = 24.0
        if asked.ahead is not None:
            hours = max(hours, (asked.ahead.end - self.data.now).total_seconds() / 3600)
        got: list[Result] = []
        given = {"action": "forecast", "metric": metric, "host": asked.hosts[0] if len(asked.hosts) == 1 else ""}
        yield from self._ask("command", got, **given, hours=min(hours, 24.0 * 31))
        result = got[0]
        if result.outcome is Outcome.APPROVAL_REQUIRED:
            command = replace(asked, intent=Intent.COMMAND)
            yield self._say(telling.tell(command, result, "", self._number), False)
        else:
            yield self._say("What lies in the future I know from forecasts only; make one on the Forecast page.", False)

    def _inventory(self, asked: Request) -> Iterator[Event]:
        got: list[Result] = []
        if asked.intent is Intent.HOSTS:
            yield from self._ask("list_metrics", got, of="hosts", among=list(asked.hosts)[:50])
        elif asked.intent is Intent.SPAN:
            of = "hosts" if asked.hosts else "metrics"
            yield from self._ask("list_metrics", got, of=of)
        else:
            host = asked.hosts[0] if asked.hosts else ""
            yield from self._ask("list_metrics", got, search=asked.search, host=host)
            if got[0].outcome is Outcome.NO_DATA and asked.things:
                # "A metric for response times" has another name, which the words stand for.
                for thing in asked.things[:4]:
                    metric = MEASURES[thing].metrics[0] if thing in MEASURES else thing
                    told: list[Result] = []
                    yield from self._ask("describe_metric", told, metric=metric, host=host)
                    one = replace(asked, things=(metric,), checks=("series",))
                    yield self._say(telling.tell(replace(one, intent=Intent.METRIC), told[0], "", self._number))
                return
        result = got[0]
        if result.outcome is not Outcome.OK:
            yield self._say(phrasing.missing(result, None))
        elif asked.intent is Intent.HOSTS:
            yield self._say(phrasing.hosts(asked, result, self._number))
        elif asked.intent is Intent.SPAN:
            named = [*asked.hosts, *(m for t in asked.things for m in (MEASURES[t].metrics if t in MEASURES else (t,)))]
            yield self._say(phrasing.span(asked, result, self._number, named))
        else:
            yield self._say(phrasing.metrics(asked, result, self._number))

    def _anomalies(self, asked: Request) -> Iterator[Event]:
        for number, span in enumerate(asked.windows):
            got: list[Result] = []
            yield from self._found(asked, asked.hosts, span, got)
            one = replace(asked, windows=(span,))
            yield self._say(self._anomaly_words(one, got[0]), not number)
            if got[0].outcome is Outcome.NO_DATA and got[0].values.get("detectors") and _may_be_older(one):
                yield from self._older(one)

    def _without(self, asked: Request) -> Iterator[Event]:
        """Hosts none were found on: all that are known, without those that had some."""
        got: list[Result] = []
        yield from self._found(asked, (), asked.windows[0], got)
        if got[0].outcome is Outcome.ERROR or (
            got[0].outcome is Outcome.NO_DATA and not got[0].values.get("detectors")
        ):
            yield self._say(phrasing.missing(got[0], None))
            return
        yield self._say(phrasing.hosts_without(asked, got[0], asked.hosts or tuple(self.known.hosts), self._number))

    def _status(self, asked: Request) -> Iterator[Event]:
        """How a host is: what was found on it of late, and its newest values."""
        for number, host in enumerate(asked.hosts[:3]):
            about = replace(asked, intent=Intent.ANOMALIES, hosts=(host,))
            got: list[Result] = []
            yield from self._found(about, (host,), asked.windows[0], got)
            yield self._say(self._anomaly_words(about, got[0]), not number)
            for thing in _STATUS:
                told: list[Result] = []
                given = {"statistic": "latest", "period": times.iso(asked.windows[0]), "hosts": [host]}
                yield from self._ask("statistics", told, metric=thing, **given)
                if told[0].outcome is Outcome.OK:
                    one = replace(about, statistic="latest", things=(thing,))
                    words = phrasing.statistic(one, told[0], title(thing, self.known), self._number, self.data.now)
                    yield self._say(words, False)

    def _older(self, asked: Request) -> Iterator[Event]:
        """Nobody said when: after "none in the last day", those of the last month."""
        end = asked.windows[0].end
        got: list[Result] = []
        longer = replace(asked, windows=(Window(end - _LONG_AGO, end),))
        yield from self._found(longer, asked.hosts, longer.windows[0], got)
        if got[0].outcome is Outcome.OK:
            yield self._say(self._anomaly_words(longer, got[0]), False)

    def _found(self, asked: Request, hosts: Sequence[str], span: Any, got: list[Result]) -> Iterator[Event]:
        metrics = [MEASURES[t].metrics[0] if t in MEASURES else t for t in asked.things]
        yield from self._ask(
            "anomalies",
            got,
            period=times.iso(span),
            order=asked.anomaly_order,
            hosts=list(hosts)[:50],
            metrics=list(dict.fromkeys(metrics)),
            severity=asked.severity,
            open_only=asked.open_only or None,
            by=asked.pick.of if asked.pick else "",
            above=asked.pick.above if asked.pick else None,
            below=asked.pick.below if asked.pick else None,
            top=min(asked.top or 20, 50),
        )

    def _anomaly_words(self, asked: Request, result: Result) -> str:
        if result.outcome is Outcome.ERROR:
            return phrasing.missing(result, None)
        if result.outcome is Outcome.NO_DATA:
            if not result.values.get("detectors"):
                return phrasing.missing(result, self._number)
            return phrasing.no_anomalies(asked, result.window or asked.windows[0], self._number)
        if asked.intent is Intent.ANOMALY_COUNT:
            return phrasing.anomaly_count(asked, result, self._number)
        if asked.intent is Intent.ANOMALY_HOSTS:
            return phrasing.anomaly_hosts(asked, result, self._number)
        return phrasing.anomalies(asked, result, self._number)

    def _explanation(self, asked: Request) -> Iterator[Event]:
        anomaly_id = asked.anomaly_id
        if anomaly_id is None:
            got: list[Result] = []
            yield from self._found(replace(asked, top=1), asked.hosts, asked.windows[0], got)
            if got[0].outcome is not Outcome.OK:
                yield self._say(self._anomaly_words(asked, got[0]))
                yield self._say("Without an anomaly I cannot say why anything happened.", False)
                return
            anomaly_id = got[0].rows[0]["id"]
        explained: list[Result] = []
        yield from self._ask("explain_anomaly", explained, id=anomaly_id)
        if explained[0].outcome is not Outcome.OK:
            yield self._say(phrasing.missing(explained[0], None))
            return
        yield self._say(phrasing.explanation(explained[0], self._number))
