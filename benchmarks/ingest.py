"""How fast history goes from a Prometheus into the store, against the straightforward way with the same package."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.prometheus import binary, running
from benchmarks.report import Figure, note
from lib.frames import Window, validate
from lib.prometheus.guard import Guard
from lib.prometheus.query import DAY, Endpoint, Limits, Wanted
from lib.prometheus.read import Reader
from lib.store.connection import Store
from lib.store.samples import Samples

STEP_S = 15
ROUNDS = 5  # the best of, for both: what else the machine does only ever adds time

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


def run(quick: bool, arguments: list[str]) -> Iterator[Figure]:
    # Whole days that ended two days ago: complete blocks, nothing that could still change.
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    metrics, days = (3, 1) if quick else (len(METRICS), 4)
    history = History(metrics, series=10, span=Window(end - days * DAY, end))
    with tempfile.TemporaryDirectory(prefix="ingest-") as folder, prometheus(Path(folder), history) as url:
        note(f"{history.samples:,} samples behind {url}")
        package_way(url, history, Path(folder) / "warm-up.duckdb", days=1)  # the server's caches, for both alike
        naive, ours = [], []
        for number in range(ROUNDS):  # in turns, so that what else the machine does falls on both
            naive.append(naive_way(url, history, Path(folder) / f"naive-{number}.duckdb"))
            ours.append(package_way(url, history, Path(folder) / f"ours-{number}.duckdb"))
            note(f"{ours[-1][1]:,} samples: naive {naive[-1][0]:.2f} s, ours {ours[-1][0]:.3f} s")
    naive_rate = naive[0][1] / min(seconds for seconds, _, _ in naive)
    rate = ours[0][1] / min(seconds for seconds, _, _ in ours)
    speedup = round(rate / naive_rate, 2)
    same = {(count, found) for _, count, found in naive + ours}
    peer = f"get_metric_range_data, MetricRangeDataFrame, insert: {naive_rate:.0f} samples/s"
    yield Figure("ingest", "samples", ours[0][1], "samples")
    yield Figure("ingest", "rate", round(rate), "samples/s", peer, speedup)
    yield Figure("ingest", "speedup", speedup, "times", peer, speedup)
    yield Figure("ingest", "hash_equal", int(len(same) == 1 and ours[0][1] > 0), "1 = equal")


def package_way(url: str, history: History, path: Path, days: int | None = None) -> tuple[float, int, str]:
    """What a backfill does: read (with the next piece under way), validate, append with its watermark."""
    span = history.span if days is None else Window(history.span.start, history.span.start + days * DAY)
    store = Store(path)
    samples, now = Samples(store), datetime.now(UTC)
    started = time.perf_counter()
    with Reader(Endpoint(url), Limits(timeout_s=120), Guard()) as reader:
        for part in reader.history([Wanted(name) for name in history.names], span):
            blocks = [validate(block, now)[0] for block in part.matrix]
            samples.append(1, blocks, (part.wanted.name, part.window.end))
    elapsed = time.perf_counter() - started
    with store.read() as cursor:
        found = digest(
            cursor,
            "SELECT concat_ws('|', metric, labels['instance'], labels['job']), epoch_ms(ts), value "
            "FROM samples JOIN series ON series.id = samples.series_id",
        )
    store.close()
    return elapsed, *found


def naive_way(url: str, history: History, path: Path) -> tuple[float, int, str]:
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
    return elapsed, *found


def digest(connection: duckdb.DuckDBPyConnection, query: str, values: list[object] | None = None) -> tuple[int, str]:
    """How many rows, and SHA-256 over (series, milliseconds, the value's bits) in order."""
    rows = connection.execute(
        f"SELECT * FROM ({query}) AS t(series, ts, value) ORDER BY series, ts", values or []
    ).fetchnumpy()
    made = hashlib.sha256("\n".join(rows["series"]).encode())
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
        [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, data],
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
