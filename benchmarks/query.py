"""How fast stored weeks answer, hot and archived, against PromQL on a local Prometheus with the same samples."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.archive import archive, compact_blocks, make_blocks, mixed
from benchmarks.ingest import METRICS, History, write_openmetrics
from benchmarks.prometheus import running
from benchmarks.report import Figure, note
from lib.frames import Window, to_ms
from lib.profiling.gaps import GAP_FACTOR
from lib.store.connection import Store
from lib.store.readings import Readings
from lib.store.samples import Samples

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
GAUGES = [name for name, kind in METRICS if "counter" not in kind][:4]  # of ten hosts each


def run(quick: bool, arguments: list[str]) -> Iterator[Figure]:
    rounds = 3 if quick else 7
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    midnight = now.replace(hour=0)
    whole = Window(midnight - (2 if quick else 7) * DAY, midnight)
    with tempfile.TemporaryDirectory(prefix="query-") as name:
        folder = Path(name)
        history = History(len(METRICS), 10, whole)
        write_openmetrics(folder / "history.om", history)
        make_blocks(folder / "history.om", folder / "tsdb")
        if not quick:
            compact_blocks(folder)
        store = Store(folder / "metrics.duckdb")
        samples = Samples(store)
        samples.append(1, mixed(whole))
        archive(store, folder, whole.end - DAY)  # the last day is hot, as it is in life
        last = Window(whole.end - HOUR, whole.end)
        store.checkpoint()
        with running(folder, "global: {}\n", "--storage.tsdb.retention.time=10y") as url:
            yield from measure(samples, url, whole, last, rounds)
        store.close()


def measure(samples: Samples, url: str, whole: Window, last: Window, rounds: int) -> Iterator[Figure]:
    readings = Readings(samples.store, GAP_FACTOR)
    every = [series.id for series in samples.find()]
    gauges = [series.id for series in samples.find() if series.metric in GAUGES]
    one = samples.find(metric="node_load1")[3]
    note(f"{readings.totals()[0]:,} samples of {len(every)} series")
    named = f'node_load1{{instance="{one.labels["instance"]}"}}'

    def hourly() -> dict[Any, Any]:
        frame = samples.buckets(every, whole, 3600)
        return {"mean": frame["mean"].to_numpy(), "max": frame["max"].to_numpy()}

    def promql_hourly() -> dict[Any, Any]:
        # An instant in milliseconds before the hour, so that both mean the same samples of each hour.
        edges = {"start": _at(whole.start + HOUR), "end": _at(whole.end), "step": 3600}
        found = {}
        for key, function in (("mean", "avg"), ("max", "max")):
            # A query a metric: results of a function carry no name, so that PromQL refuses all at once.
            queries = [f"{function}_over_time({name}[1h])" for name, _ in METRICS]
            rows = [row for query in queries for row in _ask(url, "query_range", query=query, **edges)]
            found[key] = np.array([float(value) for row in rows for _, value in row["values"]])
        return found

    def p95() -> dict[Any, Any]:
        return {"p95": readings.quantile(gauges, whole, 0.95)["value"].to_numpy()}

    def promql_p95() -> dict[Any, Any]:
        seconds = round(whole.span.total_seconds())
        queries = [f"quantile_over_time(0.95, {name}[{seconds}s])" for name in GAUGES]
        rows = [row for query in queries for row in _ask(url, "query", query=query, time=_at(whole.end))]
        return {"p95": np.array([float(row["value"][1]) for row in rows])}

    def last_hour() -> dict[Any, Any]:
        return {"value": samples.read([one.id], last)["value"].to_numpy()}

    def last_hour_first() -> dict[Any, Any]:
        samples.store.catalog.recent.clear()  # as when nobody has looked at the series before
        return last_hour()

    def promql_last_hour() -> dict[Any, Any]:
        rows = _ask(url, "query", query=f"{named}[1h]", time=_at(last.end))
        return {"value": np.array([float(value) for _, value in rows[0]["values"]])}

    for metric, ours, peer, times, repeat in (
        ("hourly_speedup", hourly, promql_hourly, rounds, 1),
        ("p95_speedup", p95, promql_p95, rounds, 1),
        ("last_hour_ratio", last_hour, promql_last_hour, rounds * 30, 30),
        ("last_hour_first_ratio", last_hour_first, promql_last_hour, rounds * 30, 30),
    ):
        yield from _figures(metric, ours, peer, times, repeat)


def _figures(
    metric: str, ours: Callable[[], dict], peer: Callable[[], dict], rounds: int, warm_up: int
) -> Iterator[Figure]:
    equal = _same(ours(), peer())
    for _ in range(warm_up):
        ours(), peer()
    own_s, peer_s = [], []
    for _ in range(rounds):  # in turns, so that what else the machine does falls on both
        own_s.append(_seconds(ours))
        peer_s.append(_seconds(peer))
    own, other = statistics.median(own_s), statistics.median(peer_s)
    value = round(other / own if "speedup" in metric else own / other, 2)
    yield Figure("query", metric, value, "times", f"PromQL: {other * 1000:.1f} ms, ours {own * 1000:.1f} ms", value)
    yield Figure("query", f"{metric.rsplit('_', 1)[0]}_equal", int(equal), "1 = same numbers within 1e-9")


def _same(ours: dict[Any, np.ndarray], theirs: dict[Any, np.ndarray]) -> bool:
    """Whatever order the answers come in: both sorted."""
    return all(
        ours[key].size == theirs[key].size and np.allclose(np.sort(ours[key]), np.sort(theirs[key]), rtol=1e-9, atol=0)
        for key in theirs
    )


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _at(moment: datetime) -> str:
    return f"{(to_ms(moment) - 1) / 1000:.3f}"


def _ask(url: str, path: str, **values: Any) -> list[dict[str, Any]]:
    """What a client has to do: ask, wait, read the JSON."""
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(values)}", timeout=60) as answer:
        return list(json.load(answer)["data"]["result"])
