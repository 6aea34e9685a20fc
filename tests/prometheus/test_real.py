"""Against the real thing: what a node exporter exposes reaches the store, and is the same to the bit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from lib.app import App, build
from lib.auth.actor import SYSTEM
from lib.db.tables import Source
from lib.errors import SourceAnswer
from lib.frames import Window, from_ms, utcnow
from lib.prometheus.guard import Guard
from lib.prometheus.query import Endpoint, Limits, Wanted
from lib.prometheus.read import Reader
from lib.services.collection_sources import SourceDraft
from lib.services.collection_status import SourceState
from lib.settings import Settings

INTERVAL_S = 1.0


@pytest.fixture
def app(settings: Settings) -> Iterator[App]:
    """By the real clock, since Prometheus goes by it."""
    made = build(settings, utcnow)
    yield made
    made.stop()


@pytest.fixture
def source(app: App, prometheus: str) -> Source:
    return app.collection.add(SYSTEM, SourceDraft("Real", prometheus, interval_s=INTERVAL_S))


@pytest.fixture
def reader(prometheus: str) -> Iterator[Reader]:
    with Reader(Endpoint(prometheus), Limits(), Guard()) as opened:
        yield opened


def scraped(app: App, source: Source, metric: str, at_least: int = 1) -> None:
    """Wait until Prometheus itself has the metric."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if app.collection.search_metrics(SYSTEM, source.id, metric, regex=True).total >= at_least:
            return
        time.sleep(0.1)
    raise AssertionError(f"Prometheus never scraped {metric}")


def settled(reader: Reader, metric: str) -> Window:
    """A span with samples that no scrape under way can add to."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        end = utcnow().replace(microsecond=0) - timedelta(seconds=2)
        window = Window(end - timedelta(minutes=1), end)
        if reader.samples(Wanted(metric), window).samples:
            return window
        time.sleep(0.1)
    raise AssertionError(f"no samples of {metric}")


def test_a_scraped_sample_is_in_the_store_within_two_intervals(app: App, source: Source, prometheus: str) -> None:
    scraped(app, source, "node_load1")
    app.collection.add_metrics(SYSTEM, source.id, ["node_load1", "node_cpu_seconds_total", "up"])
    app.schedule.every(0.2, "collect", app.collection.tick)
    app.schedule.start()
    try:
        until = time.monotonic() + 15
        while not app.samples.find(metric="node_load1") and time.monotonic() < until:
            time.sleep(0.05)
        [series] = app.samples.find(metric="node_load1")
        delays = []
        with Reader(Endpoint(prometheus), Limits(), Guard()) as reader:
            for _ in range(3):
                # The newest sample Prometheus has, then how long until the store has it.
                newest = reader.connect.custom_query("timestamp(node_load1)")[0]["value"][1]
                seen, began = from_ms(round(float(newest) * 1000)), time.monotonic()
                while app.samples.stats([series.id])[0].last < seen and time.monotonic() < began + 10:
                    time.sleep(0.02)
                delays.append(time.monotonic() - began)
        # The median, so that one stumble of a busy machine is not taken for the rule.
        assert sorted(delays)[1] <= 2 * INTERVAL_S, delays
        cores = {s.labels["cpu"] for s in app.samples.find(metric="node_cpu_seconds_total")}
        assert cores and {s.kind for s in app.samples.find(metric="node_cpu_seconds_total")} == {"counter"}
        assert app.collection.status(SYSTEM)[0].state is SourceState.OK
    finally:
        app.schedule.stop()


def test_test_tells_version_series_and_oldest_sample(app: App, source: Source, prometheus: str) -> None:
    scraped(app, source, "node_load1")
    found = app.collection.test(SYSTEM, SourceDraft("x", prometheus))
    assert found.version[0].isdigit() and found.metrics > 100 and found.series > 300
    assert utcnow() - found.oldest < timedelta(hours=2), "it was started just now"
    assert found.notes == () and found.remote_read


def test_samples_are_those_the_package_reads_itself(app: App, source: Source, prometheus: str, reader: Reader) -> None:
    from prometheus_api_client import PrometheusConnect

    scraped(app, source, "node_cpu_seconds_total")
    window = settled(reader, "node_cpu_seconds_total")
    ours = reader.samples(Wanted("node_cpu_seconds_total"), window)
    theirs = PrometheusConnect(prometheus).get_metric_range_data(
        "node_cpu_seconds_total", start_time=window.start, end_time=window.end
    )

    def key(labels: dict) -> tuple:
        return tuple(sorted((k, v) for k, v in labels.items() if k != "__name__"))

    expected = {
        key(row["metric"]): [(round(t * 1000), float(v)) for t, v in row["values"] if t < window.end.timestamp()]
        for row in theirs
    }
    assert {
        key(dict(b.labels)): list(zip(b.ts_ms.tolist(), b.value.tolist(), strict=True)) for b in ours if b.ts_ms.size
    } == {k: v for k, v in expected.items() if v}


def test_windows_that_touch_share_no_sample_and_miss_none(app: App, source: Source, reader: Reader) -> None:
    scraped(app, source, "node_load1")
    window = settled(reader, "node_load1")
    start, end = window.start, window.end
    [whole] = reader.samples(Wanted("node_load1"), Window(start, end))
    edge = from_ms(int(whole.ts_ms[-1]))
    halves = [reader.samples(Wanted("node_load1"), w) for w in (Window(start, edge), Window(edge, end))]
    parts = [b.ts_ms.tolist() for half in halves for b in half]
    assert sum(parts, []) == whole.ts_ms.tolist() and parts[-1][0] == whole.ts_ms[-1]


def test_expression_is_evaluated_at_whole_steps_under_its_name(app: App, source: Source, reader: Reader) -> None:
    scraped(app, source, "node_cpu_seconds_total")
    wanted = Wanted("idle:sum", "sum by (job) (node_cpu_seconds_total{mode='idle'})")
    first, until = [], time.monotonic() + 10
    while not first and time.monotonic() < until:  # the first scrape may be younger than the last whole step
        end = utcnow()
        first = reader.samples(wanted, Window(end - timedelta(seconds=30), end), step_s=2)
    [block] = first
    assert block.metric == "idle:sum" and dict(block.labels) == {"job": "node"}
    assert all(ts % 2000 == 0 for ts in block.ts_ms.tolist())
    [again] = reader.samples(wanted, Window(end - timedelta(seconds=30), end), step_s=2)
    assert set(block.ts_ms.tolist()) <= set(again.ts_ms.tolist())


def test_expression_is_collected_and_counted(app: App, source: Source) -> None:
    scraped(app, source, "node_load1")
    app.collection.add_expression(SYSTEM, source.id, "load:by_job", "sum by (job) (node_load1)")
    until = time.monotonic() + 10
    while not app.samples.find(metric="load:by_job") and time.monotonic() < until:
        app.collection.collect_now(SYSTEM, source.id)  # the first scrape may be younger than the last whole step
    [series] = app.samples.find(metric="load:by_job")
    assert app.samples.stats([series.id])[0].count >= 1
    for wrong in ("sum(", "nope[5m", "node_load1[5m]"):
        with pytest.raises(SourceAnswer):
            app.collection.count_expression(SYSTEM, source.id, wrong)


def test_awkward_names_are_selected_exactly(reader: Reader) -> None:
    for name in ('a"} or vector(1) #', "back\\slash", "new\nline", "ключ", "up|node_load1", ".*"):
        assert reader.samples(Wanted(name), Window.last(timedelta(minutes=1), utcnow())).samples == 0
        assert reader.counts([name]) == {}
