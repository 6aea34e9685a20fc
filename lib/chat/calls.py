"""Which tools a request of the further kinds asks, and with which arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lib.chat import times
from lib.chat.measures import MEASURES
from lib.chat.request import Intent, Request

Call = tuple[str, dict[str, Any]]


def of(asked: Request) -> Iterator[Call]:
    """The calls, in the order in which they are told."""
    if asked.intent in (Intent.COMPARE, Intent.ODD, Intent.BEYOND, Intent.FORECAST, Intent.CROSSING):
        for thing in asked.things[:3]:
            yield _OF_THING[asked.intent](asked, thing)
    elif asked.intent in (Intent.CORRELATION, Intent.RATIO):
        about = {"metric": asked.things[0], "other": asked.things[1], **_where(asked)}
        yield str(asked.intent), {**about, "period": times.iso(asked.windows[0])}
    elif asked.intent is Intent.QUALITY:
        for check in asked.checks:
            metric = asked.things[0] if asked.things else ""
            yield "quality", {"check": check, "metric": metric, "period": times.iso(asked.windows[0]), **_where(asked)}
    elif asked.intent is Intent.CHANGED:
        host = asked.hosts[0] if asked.hosts else ""
        yield "what_changed", {"period": times.iso(asked.windows[0]), "host": host, "top": asked.top or 10}
    elif asked.intent is Intent.MODELS:
        for host in asked.hosts[:4] or ("",):
            yield "detectors", {"host": host}
    elif asked.intent is Intent.ALERTS:
        yield "alerts", {"period": times.iso(asked.windows[0])}
    elif asked.intent is Intent.AT_ONCE:
        hosts = list(asked.hosts)
        yield "anomalies", {"period": times.iso(asked.windows[0]), "order": "oldest", "hosts": hosts, "top": 50}
    elif asked.intent is Intent.MARKS:
        host = asked.hosts[0] if asked.hosts else ""
        yield "marks", {"period": times.iso(asked.windows[0]), "kind": asked.label, "host": host}
    elif asked.intent is Intent.METRIC:
        host = asked.hosts[0] if asked.hosts else ""
        yield "describe_metric", {"metric": asked.things[0], "host": host, "label": asked.label}
    elif asked.intent is Intent.SOURCES:
        yield "list_metrics", {"of": "sources"}
    elif asked.intent is Intent.SQL:
        yield "sql", {"query": asked.sql}
    elif asked.intent is Intent.COMMAND:
        yield "command", {key: value for key, value in asked.given.items() if value not in ("", 0)}


def _where(asked: Request) -> dict[str, Any]:
    return {"hosts": list(asked.hosts)[:50]}


def _labels(asked: Request) -> str:
    return ", ".join(f'{key}="{value}"' for key, value in asked.labels.items())


def _compare(asked: Request, thing: str) -> Call:
    first, second = asked.windows[:2]
    return "compare_windows", {
        "metric": thing,
        "statistic": asked.statistic,
        "quantile": asked.quantile if asked.statistic == "quantile" else None,
        "first": times.iso(first),
        "second": times.iso(second),
        "labels": _labels(asked),
        **_where(asked),
    }


def _odd(asked: Request, thing: str) -> Call:
    return "odd_one_out", {"metric": thing, "period": times.iso(asked.windows[0]), **_where(asked)}


def _beyond(asked: Request, thing: str) -> Call:
    return "statistics", {
        "metric": thing,
        "statistic": asked.side,
        "limit": asked.limit,
        "period": times.iso(asked.windows[0]),
        "labels": _labels(asked),
        "top": 50,
        **_where(asked),
    }


def _forecast(asked: Request, thing: str) -> Call:
    at = times.iso_moment(asked.ahead.start) if asked.ahead else ""
    until = times.iso_moment(asked.ahead.end) if asked.ahead and not asked.moment else ""
    return "forecast", {"metric": thing, "at": at, "until": until, "labels": _labels(asked), **_where(asked)}


def _crossing(asked: Request, thing: str) -> Call:
    # Of a share of a disk, where "full" is meant, the limit is a hundred percent of it.
    return "forecast", {
        "metric": thing,
        "limit": asked.limit,
        "side": asked.side if thing in MEASURES or asked.limit == 0 else "",
        "labels": _labels(asked),
        **_where(asked),
    }


_OF_THING = {
    Intent.COMPARE: _compare,
    Intent.ODD: _odd,
    Intent.BEYOND: _beyond,
    Intent.FORECAST: _forecast,
    Intent.CROSSING: _crossing,
}
