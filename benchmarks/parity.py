"""Whether rate, increase, functions over time and histogram quantiles are Prometheus' own, number for number."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.prometheus import binary, running
from benchmarks.report import Figure, note
from lib.auth.actor import SYSTEM
from lib.frames import STALE_NAN_BITS, Block, Window, to_ms, validate
from lib.profiling.promfunctions import COUNTING, Function
from lib.prometheus import wire
from lib.prometheus.guard import Guard
from lib.prometheus.query import Endpoint, Limits, Wanted
from lib.prometheus.read import Reader
from lib.services.evaluation import HISTOGRAM, Asked, Evaluation
from lib.settings import Settings
from lib.store.connection import Store
from lib.store.samples import Samples

STEP_S = 15
RANGES_S = (60, 300, 3600)
TOLERANCE = 1e-9
BOUNDS = ("0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "10", "+Inf")
# Everything stays in Prometheus' head, which then takes old samples in any order of series.
FLAGS = (
    "--web.enable-remote-write-receiver",
    "--storage.tsdb.min-block-duration=30d",
    "--storage.tsdb.max-block-duration=30d",
    "--storage.tsdb.retention.time=10y",
)
_STALE = np.array([STALE_NAN_BITS], np.int64).view(np.float64)[0]


@dataclass(frozen=True)
class Compared:
    """values: numbers held against each other. mismatches: those further apart than 1e-9 of the greater. worst: the
    greatest share two numbers were apart."""

    values: int
    mismatches: int
    worst: float

    def __add__(self, other: Compared) -> Compared:
        return Compared(self.values + other.values, self.mismatches + other.mismatches, max(self.worst, other.worst))


def run(quick: bool, arguments: list[str]) -> Iterator[Figure]:
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    window = Window(end - timedelta(hours=8 if quick else 24), end)
    every_s = 60
    with tempfile.TemporaryDirectory(prefix="parity-") as name, served(Path(name), blocks(window)) as url:
        store = Store(Path(name) / "metrics.duckdb")
        samples = Samples(store)
        stored = collect(url, samples, window)
        release = installed()
        note(f"{stored:,} samples of {len(samples.find())} series; Prometheus {release}")
        if quick:
            every_s = 120
        at_ms = np.arange(to_ms(window.start), to_ms(window.end) + 1, every_s * 1000, dtype=np.int64)
        yield from figures(url, samples, at_ms, window, release, stored)
        store.close()


def figures(
    url: str, samples: Samples, at_ms: np.ndarray, window: Window, release: int, stored: int
) -> Iterator[Figure]:
    peer = f"the installed Prometheus (release {release}) on the same samples"
    ours = Evaluation(Settings(promql_release=release), samples, lambda: window.end)
    open_left = Evaluation(Settings(promql_release=release), samples, lambda: window.end)
    open_left.rules = replace(open_left.rules, left_open=True)
    total = Compared(0, 0, 0.0)
    for function in Function:
        found = over_time(url, ours, samples, at_ms, function)
        note(f"{function}: {found.mismatches:,} of {found.values:,}, at most {found.worst:.1e} apart")
        total += found
    histogram = histograms(url, ours, samples, window)
    # A window open on its left, as in release 3, is a closed one a millisecond shorter; rates look at its edge besides.
    less_ms = 0 if ours.rules.left_open else 1
    left_open = Compared(0, 0, 0.0)
    for function in [one for one in Function if one not in COUNTING]:
        left_open += over_time(url, open_left, samples, at_ms, function, less_ms)
    yield Figure("parity", "points", stored, "samples")
    yield Figure("parity", "compared", total.values, "values", peer)
    yield Figure("parity", "mismatches", total.mismatches, f"values further apart than {TOLERANCE:g} of them", peer)
    yield Figure("parity", "worst", total.worst, "share", peer)
    yield Figure("parity", "histogram_compared", histogram.values, "values", peer)
    yield Figure("parity", "histogram_mismatches", histogram.mismatches, "values", peer)
    yield Figure("parity", "left_open_compared", left_open.values, "values", f"{peer}, windows {less_ms} ms shorter")
    yield Figure(
        "parity", "left_open_mismatches", left_open.mismatches, "values", f"{peer}, windows {less_ms} ms shorter"
    )


def installed() -> int:
    """The release of the Prometheus on this machine, by whose rules it computes."""
    said = subprocess.run([binary("prometheus"), "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.", said.stdout + said.stderr)
    return 3 if found is None or int(found[1]) >= 3 else 2


# --- samples ---------------------------------------------------------------------------------------


def blocks(window: Window, seed: int = 7) -> list[Block]:
    """Counters, gauges and histograms of every awkward shape."""
    rng = np.random.default_rng(seed)
    start, count = to_ms(window.start), round(window.span.total_seconds() / STEP_S)
    exact = start + np.arange(count, dtype=np.int64) * STEP_S * 1000
    jittered = exact + rng.integers(-400, 400, count)
    made = [
        Block("parity_total", {"case": case}, ts, value)
        for case, (ts, value) in _counters(rng, exact, jittered).items()
    ]
    made += [Block("parity", {"case": case}, ts, value) for case, (ts, value) in _gauges(rng, exact, jittered).items()]
    for path in ("/", "/slow"):
        for instance in ("a", "b"):
            made += _histogram(rng, jittered, {"path": path, "instance": instance}, slow=path == "/slow")
    return made


def _counters(
    rng: np.random.Generator, exact: np.ndarray, jittered: np.ndarray
) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    count = exact.size
    grown = np.cumsum(rng.exponential(3.0, count))
    whole = np.cumsum(rng.poisson(40, count)).astype(float)
    gaps = np.ones(count, bool)
    for start in rng.integers(0, count, 24):
        gaps[start : start + rng.integers(2, 90)] = False
    return {
        "steady": (exact, whole),
        "jitter": (jittered, grown),
        "reset": (exact, _restarted(whole, rng, 20)),
        "resets": (jittered, _restarted(grown, rng, 400)),
        "sawtooth": (exact, np.arange(count) % 3.0),
        "gap": (jittered[gaps], grown[gaps]),
        "gap_reset": (exact[gaps], _restarted(whole, rng, 60)[gaps]),
        "stale": (exact, _marked(_restarted(grown, rng, 30), gaps)),
        "nan": (jittered, np.where(rng.random(count) < 0.02, np.nan, grown)),
        "huge": (exact, 2.0**53 + whole * 2**20),
        "small": (jittered, grown * 1e-12),
        "flat": (exact, np.full(count, 12.0)),
        "born": (exact[count // 2 :], whole[: count - count // 2]),
        "sparse": (jittered[::20], grown[::20]),
        "one": (exact[count // 3 : count // 3 + 1], np.array([5.0])),
        "below_zero": (exact, whole - whole[count // 2]),
    }


def _gauges(
    rng: np.random.Generator, exact: np.ndarray, jittered: np.ndarray
) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    count = exact.size
    noise = rng.normal(0, 1, count)
    gaps = rng.random(count) > 0.3
    infinite = noise.copy()
    infinite[rng.integers(0, count, 12)] = np.inf
    infinite[rng.integers(0, count, 12)] = -np.inf
    return {
        "noise": (exact, noise),
        "level": (jittered, 1e9 + noise),
        "cancels": (exact, np.where(np.arange(count) % 2, 1e12, -1e12) + noise),
        "wide": (jittered, noise * 10.0 ** rng.integers(-12, 12, count)),
        "nan": (exact, np.where(rng.random(count) < 0.2, np.nan, noise)),
        "only_nan": (exact, np.full(count, np.nan)),
        "inf": (exact, infinite),
        "stale": (jittered, _marked(noise, gaps)),
        "overflow": (exact, np.where(rng.random(count) < 0.01, 1.7e308, noise)),
        "holes": (jittered[gaps], noise[gaps]),
        "steps": (exact, np.round(np.cumsum(noise))),
        "ties": (exact, rng.integers(0, 3, count).astype(float)),
    }


def _histogram(rng: np.random.Generator, ts: np.ndarray, labels: Mapping[str, str], slow: bool) -> list[Block]:
    edges = np.array([float(bound) for bound in BOUNDS])
    per_step = rng.poisson(6, ts.size)
    per_step[rng.random(ts.size) < 0.2] = 0
    seconds = rng.lognormal(-0.5 if slow else -3, 1.2, per_step.sum())
    step = np.repeat(np.arange(ts.size), per_step)
    counts = np.zeros((edges.size, ts.size))
    np.add.at(counts, (np.searchsorted(edges, seconds, "left"), step), 1)
    total = np.cumsum(np.cumsum(counts, axis=0), axis=1)
    restart = ts.size // 3
    total[:, restart:] -= total[:, restart : restart + 1]
    return [
        Block("parity_seconds_bucket", {**labels, "le": bound}, ts, row)
        for bound, row in zip(BOUNDS, total, strict=True)
    ]


def _restarted(value: np.ndarray, rng: np.random.Generator, times: int) -> np.ndarray:
    made = value.copy()
    for at in np.sort(rng.integers(1, value.size, times)):
        made[at:] -= made[at] * rng.random()
    return np.maximum(made, 0)


def _marked(value: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Where a stretch ends, a stale marker; within it NaN of the other sort, as no scrape would leave."""
    made = value.copy()
    ends = np.flatnonzero(kept[:-1] & ~kept[1:]) + 1
    made[ends] = _STALE
    return made


# --- the two sides ---------------------------------------------------------------------------------


class served:  # noqa: N801 - reads as a statement
    """A Prometheus that was handed these samples by remote write; its URL."""

    def __init__(self, folder: Path, given: list[Block]) -> None:
        self.server, self.given = running(folder, "global: {}\n", *FLAGS), given

    def __enter__(self) -> str:
        url = self.server.__enter__()
        try:
            for block in self.given:
                _push(url, block)
        except BaseException:
            self.server.__exit__(None, None, None)
            raise
        return url

    def __exit__(self, *_: object) -> None:
        self.server.__exit__(None, None, None)


def _push(url: str, block: Block) -> None:
    import pyarrow as pa

    # A WriteRequest has its series where a QueryResult has them.
    message = wire.message("QueryResult")()
    series = message.timeseries.add()  # type: ignore[attr-defined]
    for name, value in sorted({"__name__": block.metric, **block.labels}.items()):
        series.labels.add(name=name, value=value)
    for ts, value in zip(block.ts_ms.tolist(), block.value.tolist(), strict=True):
        series.samples.add(value=value, timestamp=ts)
    body = pa.Codec("snappy").compress(message.SerializeToString(), asbytes=True)
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    request = urllib.request.Request(f"{url}/api/v1/write", body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        if answer.status >= 300:
            raise RuntimeError(f"Prometheus took no samples of {block.metric}: HTTP {answer.status}")


def collect(url: str, samples: Samples, window: Window) -> int:
    """Into the store as a backfill does it; how many samples."""
    wider = Window(window.start - timedelta(hours=1), window.end + timedelta(hours=1))
    with Reader(Endpoint(url), Limits(timeout_s=120), Guard()) as reader:
        for metric in ("parity_total", "parity", "parity_seconds_bucket"):
            found = reader.stored(Wanted(metric), wider)
            samples.append(1, [validate(block, wider.end)[0] for block in found])
    return sum(one.count for one in samples.stats([series.id for series in samples.find()]))


def over_time(
    url: str, ours: Evaluation, samples: Samples, at_ms: np.ndarray, function: Function, less_ms: int = 0
) -> Compared:
    """One function of every counter and gauge, over each range. less_ms: how much shorter Prometheus' window is."""
    total = Compared(0, 0, 0.0)
    for metric in ("parity_total", "parity"):
        series = {one.labels["case"]: one.id for one in samples.find(metric=metric)}
        for range_s in RANGES_S:
            for share in (0.0, 0.5, 0.95, 1.0) if function is Function.QUANTILE else (0.95,):
                asked = Asked(function, range_s, share)
                made = ours.values(SYSTEM, list(series.values()), at_ms, range_s, asked)
                parameter = f"{share}, " if function is Function.QUANTILE else ""
                query = f"{function}({parameter}{metric}[{range_s * 1000 - less_ms}ms])"
                theirs = _asked(url, query, at_ms)
                for case, series_id in series.items():
                    nothing = np.full(at_ms.size, np.nan)
                    key = frozenset({("case", case)})
                    total += compared(made.get(series_id, nothing), theirs.get(key, nothing))
    return total


def histograms(url: str, ours: Evaluation, samples: Samples, window: Window) -> Compared:
    """Quantiles of the histograms, all in one and by path, as Explore draws them."""
    ids = [one.id for one in samples.find(metric="parity_seconds_bucket")]
    total = Compared(0, 0, 0.0)
    for share in (0.0, 0.5, 0.9, 0.99, 1.0):
        for by in ((), ("path",), ("path", "instance")):
            for range_s in RANGES_S:
                evaluated = ours.chart(SYSTEM, ids, window, Asked(HISTOGRAM, range_s, share, by), max_points=4000)
                theirs = _asked(url, evaluated.expression, evaluated.data.lines[0].ts_ms)
                for line in evaluated.data.lines:
                    total += compared(line.value, theirs[frozenset(line.series.labels.items())])
    return total


def compared(own: np.ndarray, theirs: np.ndarray) -> Compared:
    """A number against no number is a mismatch; two that are no numbers, or the same infinity, are alike."""
    alike = (np.isnan(own) & np.isnan(theirs)) | (own == theirs)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(own - theirs) / np.maximum(np.abs(own), np.abs(theirs))
    apart = np.where(alike, 0.0, np.where(np.isfinite(apart), apart, np.inf))
    there = ~(np.isnan(own) & np.isnan(theirs))
    return Compared(int(there.sum()), int((apart > TOLERANCE).sum()), float(apart.max(initial=0.0)))


def _asked(url: str, query: str, at_ms: np.ndarray) -> dict[frozenset[tuple[str, str]], np.ndarray]:
    """Labels -> values at these moments, NaN where Prometheus has none."""
    step = (at_ms[1] - at_ms[0]) / 1000
    edges = {"start": f"{at_ms[0] / 1000:.3f}", "end": f"{at_ms[-1] / 1000:.3f}", "step": f"{step:g}"}
    words = urllib.parse.urlencode({"query": query, **edges})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{words}", timeout=120) as answer:
        rows = json.load(answer)["data"]["result"]
    found = {}
    for row in rows:
        values = np.full(at_ms.size, np.nan)
        at = np.array([round(float(ts) * 1000) for ts, _ in row["values"]], dtype=np.int64)
        values[np.searchsorted(at_ms, at)] = [float(value) for _, value in row["values"]]
        found[frozenset((k, v) for k, v in row["metric"].items() if k != "__name__")] = values
    return found
