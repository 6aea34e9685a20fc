"""How fast history goes from a Prometheus into the store, against the straightforward way with the same package."""

from __future__ import annotations

import hashlib
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import duckdb
import numpy as np

from benchmarks.prometheus import binary, running
from benchmarks.report import Figure, note
from lib.frames import Window, to_ms, validate
from lib.prometheus.guard import Guard
from lib.prometheus.history import history
from lib.prometheus.query import DAY, Endpoint, Limits, Wanted
from lib.prometheus.query import days as pieces
from lib.prometheus.read import Reader
from lib.prometheus.remote_read import Offer
from lib.store.connection import Store
from lib.store.samples import Samples

STEP_S = 15
SERIES = 50  # of each metric
AT_ONCE = 3  # as a backfill asks
ROUNDS = 3  # medians of
SHORT = ("range", "remote", "curl")
STORED = ("naive", "range", "remote")

# name, and how its values look: what a node exporter's do.
METRICS = (
    ("node_cpu_seconds_total", "counter"),
    ("node_memory_MemAvailable_bytes", "bytes"),
    ("node_load1", "decimal"),
    ("node_network_receive_bytes_total", "counter_int"),
    ("node_disk_io_time_seconds_total", "counter"),
    ("app_request_ratio", "float"),
    ("up", "constant"),
)


@dataclass(frozen=True)
class History:
    """metrics: how many of METRICS; series: of each."""

    metrics: int
    series: int
    span: Window

    @property
    def names(self) -> list[str]:
        return [name for name, _ in METRICS[: self.metrics]]

    @property
    def samples(self) -> int:
        return self.metrics * self.series * round(self.span.span.total_seconds() / STEP_S)


@dataclass(frozen=True)
class Took:
    """One run: how long, how many samples were stored, and what `digest` says of them (empty: not looked at)."""

    seconds: float
    samples: int
    digest: str


def run(quick: bool, arguments: list[str]) -> Iterator[Figure]:
    """speedup_remote_read and vs_curl: by remote read; speedup: by range selectors, for servers without it."""
    # Whole days that ended two days ago: complete blocks, nothing that could still change.
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    metrics, days = (4, 2) if quick else (len(METRICS), 5)
    history_ = History(metrics, series=SERIES, span=Window(end - days * DAY, end))
    with tempfile.TemporaryDirectory(prefix="ingest-") as folder, prometheus(Path(folder), history_) as url:
        note(f"{history_.samples:,} samples behind {url}")
        ways: dict[str, Callable[[Path, bool], Took]] = {
            "naive": lambda path, look: naive_way(url, history_, path),
            "range": lambda path, look: package_way(url, history_, path, look, remote=False),
            "remote": lambda path, look: package_way(url, history_, path, look),
            "curl": lambda path, look: curl_way(url, history_),
        }
        for way in SHORT:  # the server's caches, for all alike
            ways[way](Path(folder) / f"warm-up-{way}.duckdb", False)
        took: dict[str, list[Took]] = {way: [] for way in ways}
        for number in range(ROUNDS):  # in turns, so that what else the machine does falls on all
            for turn, way in enumerate(("naive", *SHORT * 3)):  # what takes a moment is measured more often
                path = Path(folder) / f"{way}-{number}.duckdb"
                took[way].append(ways[way](path, turn <= len(SHORT)))
                path.unlink(missing_ok=True)
            note(", ".join(f"{way} {took[way][-1].seconds:.2f} s" for way in ways))
    yield from figures(took, history_.samples)


def figures(took: dict[str, list[Took]], history_samples: int) -> Iterator[Figure]:
    [count] = {one.samples for way in ("range", "remote") for one in took[way]}
    rate = {way: count / statistics.median(one.seconds for one in rounds) for way, rounds in took.items()}
    naive = f"get_metric_range_data, MetricRangeDataFrame, insert: {rate['naive']:.0f} samples/s"
    curl = f"curl of the same as JSON to /dev/null: {rate['curl']:.0f} samples/s"
    stored = {(one.samples, one.digest) for way in STORED for one in took[way] if one.digest}
    for metric, way, peer, against in (
        ("speedup_remote_read", "remote", naive, "naive"),
        ("vs_curl", "remote", curl, "curl"),
        ("speedup", "range", naive, "naive"),
    ):
        ratio = round(rate[way] / rate[against], 2)
        yield Figure("ingest", metric, ratio, "times", peer, ratio)
    yield Figure("ingest", "samples", count, "samples")
    yield Figure("ingest", "rate", round(rate["remote"]), "samples/s", naive, round(rate["remote"] / rate["naive"], 2))
    yield Figure("ingest", "hash_equal", int(len(stored) == 1 and count == history_samples), "1 = equal")


def package_way(url: str, history_: History, path: Path, look: bool = True, remote: bool = True) -> Took:
    """What a backfill does: read (with the next pieces under way), validate, append with its watermark.

    remote: by remote read; else by range selectors, as where a server does not offer it.
    """
    store = Store(path)
    samples, now = Samples(store), datetime.now(UTC)
    offer = Offer()
    if not remote:
        offer.decline("to measure the other way")
    asked = [(Wanted(name), history_.span) for name in history_.names]
    started = time.perf_counter()
    with Reader(Endpoint(url), Limits(timeout_s=120), Guard(), offer=offer) as reader:
        counts = reader.counts(history_.names, to_ms(history_.span.end) - 1)
        for part in history(reader, asked, STEP_S, AT_ONCE, series=counts):
            blocks = [validate(block, now)[0] for block in part.matrix]
            samples.append(1, blocks, (part.wanted.name, part.window.end))
    elapsed = time.perf_counter() - started
    if remote and offer.declined:
        raise RuntimeError(f"remote read was not used: {offer.declined}")
    with store.read() as cursor:
        query = (
            "SELECT concat_ws('|', metric, labels['instance'], labels['job']), epoch_ms(ts), value "
            "FROM samples JOIN series ON series.id = samples.series_id"
        )
        counted = cursor.execute("SELECT count(*) FROM samples").fetchall()[0][0]
        found = digest(cursor, query) if look else (counted, "")
    store.close()
    return Took(elapsed, *found)


def curl_way(url: str, history_: History) -> Took:
    """The same range selectors, a metric and a day each, in one curl with its connection kept; nothing is parsed."""
    lines = []
    for name in history_.names:
        for day in pieces(history_.span):
            query = urlencode({"query": f"{name}[{DAY // timedelta(seconds=1)}s]", "time": day.end.timestamp()})
            lines.append(f'url = "{url}/api/v1/query?{query}"\noutput = "/dev/null"')
    config = "silent\nfail\n" + "\n".join(lines)
    started = time.perf_counter()
    subprocess.run([binary("curl"), "--config", "-"], input=config.encode(), check=True)
    return Took(time.perf_counter() - started, history_.samples, "")


def naive_way(url: str, history: History, path: Path) -> Took:
    """What the package's own documentation shows: get_metric_range_data, MetricRangeDataFrame, insert.

    get_metric_range_data asks for a range selector (`m[86400s]` at one instant), chunk by chunk, so it reads the same
    raw samples as the package path does. Its chunks include both ends, so the sample on each midnight comes twice and
    the one on the very end comes although the span excludes it; both are left out by the last statement, not timed.
    """
    from prometheus_api_client import MetricRangeDataFrame, PrometheusConnect

    connection = duckdb.connect(str(path))
    connection.execute(
        "CREATE TABLE samples (metric VARCHAR, instance VARCHAR, job VARCHAR, ts TIMESTAMP, value DOUBLE)"
    )
    started = time.perf_counter()
    client = PrometheusConnect(url)
    for name in history.names:
        day = history.span.start
        while day < history.span.end:
            data = client.get_metric_range_data(name, start_time=day, end_time=day + DAY, chunk_size=DAY)
            frame = MetricRangeDataFrame(data).reset_index()  # noqa: F841 - DuckDB finds it by its name
            connection.execute("INSERT INTO samples SELECT __name__, instance, job, timestamp, value FROM frame")
            day += DAY
    elapsed = time.perf_counter() - started
    ends = [history.span.start.replace(tzinfo=None), history.span.end.replace(tzinfo=None)]
    found = digest(
        connection,
        "SELECT DISTINCT concat_ws('|', metric, instance, job), epoch_ms(ts), value FROM samples "
        "WHERE ts >= ? AND ts < ?",
        ends,
    )
    connection.close()
    return Took(elapsed, *found)


def digest(connection: duckdb.DuckDBPyConnection, query: str, values: list[object] | None = None) -> tuple[int, str]:
    """How many rows, and SHA-256 over (series, milliseconds, the value's bits) in order."""
    connection.execute(f"CREATE TEMP TABLE found AS SELECT * FROM ({query}) AS t(series, ts, value)", values or [])
    connection.execute(
        "CREATE TEMP TABLE named AS SELECT series, row_number() OVER (ORDER BY series) AS number FROM "
        "(SELECT DISTINCT series FROM found)"
    )
    rows = connection.execute("SELECT number, ts, value FROM found JOIN named USING (series) ORDER BY ALL").fetchnumpy()
    names = connection.execute("SELECT series FROM named ORDER BY number").fetchall()
    made = hashlib.sha256("\n".join(name for (name,) in names).encode())
    made.update(np.ascontiguousarray(rows["number"], dtype=np.int64))
    made.update(np.ascontiguousarray(rows["ts"], dtype=np.int64))
    made.update(np.ascontiguousarray(rows["value"], dtype=np.float64).view(np.int64))
    return len(rows["ts"]), made.hexdigest()


def values_of(kind: str, series: int, count: int) -> list[str]:
    rng = np.random.default_rng(series)
    t = np.arange(count)
    if kind == "counter":
        return [f"{v:.2f}" for v in np.cumsum(rng.gamma(2.0, 2.0, count))]
    if kind == "counter_int":
        return [str(v) for v in np.cumsum(rng.integers(0, 200_000, count))]
    if kind == "bytes":
        return [str(int(v) // 4096 * 4096) for v in 8e9 + 2e9 * np.sin(t / 900) + rng.normal(0, 3e7, count)]
    if kind == "decimal":
        return [f"{v:.2f}" for v in np.abs(2 + np.sin(t / 500) + rng.normal(0, 0.3, count))]
    if kind == "float":
        return [repr(float(v)) for v in rng.random(count)]
    return ["1"] * count


@contextmanager
def prometheus(folder: Path, history: History) -> Iterator[str]:
    """A local Prometheus holding the history; ended on leaving."""
    data, text = folder / "tsdb", folder / "history.om"
    write_openmetrics(text, history)
    subprocess.run(
        # A day a block, as a server's compaction leaves them; of two hours each, this would read the text twelve times.
        [
            binary("promtool"),
            "tsdb",
            "create-blocks-from",
            "--max-block-duration=24h",
            "openmetrics",
            "--quiet",
            text,
            data,
        ],
        check=True,
        stdout=sys.stderr,
    )
    text.unlink()
    with running(folder, "global: {}\n", "--storage.tsdb.retention.time=10y") as url:
        yield url


def write_openmetrics(path: Path, history: History) -> None:
    count = round(history.span.span.total_seconds() / STEP_S)
    start = history.span.start.timestamp()
    with path.open("w") as out:
        for name, kind in METRICS[: history.metrics]:
            # Untyped: OpenMetrics wants names of counters without _total, Prometheus' blocks do not care.
            for series in range(history.series):
                head = f'{name}{{instance="host-{series:02d}:9100",job="node"}}'
                # Scrapes happen at an offset of each target's own, with milliseconds.
                offset = math.modf(series * 0.377)[0] * STEP_S
                out.writelines(
                    f"{head} {value} {start + offset + i * STEP_S:.3f}\n"
                    for i, value in enumerate(values_of(kind, series, count))
                )
        out.write("# EOF\n")
