"""What changed, of 5,000 series on an evening like any other with ten changes in it: time, memory, what is found."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.report import Figure, note
from lib import memory
from lib.auth.actor import SYSTEM
from lib.demo import history
from lib.frames import Block, Window
from lib.services.changes import Changes
from lib.store.connection import Store
from lib.store.samples import Samples

STEP_S = 15
# The load of people at its steepest.
END = datetime(2026, 3, 14, 19, tzinfo=UTC)
WINDOW = Window(END - timedelta(hours=1), END)
KINDS = ("level up", "level up", "level down", "rate", "spread", "shape", "trend", "flat", "appeared", "disappeared")
_DAY_S = 86_400.0
# The peer: how far the mean moved, in standard deviations of the time before, counters by their increase.
_PLAIN = """
WITH read AS (
    SELECT series_id, ts, CASE WHEN kind = 'counter'
        THEN value - lag(value) OVER (PARTITION BY series_id ORDER BY ts) ELSE value END AS value
    FROM samples JOIN series ON series.id = series_id WHERE ts >= $start::TIMESTAMP_MS AND ts < $end::TIMESTAMP_MS)
SELECT series_id FROM read GROUP BY series_id ORDER BY
    abs(avg(value) FILTER (ts >= $middle::TIMESTAMP_MS) - avg(value) FILTER (ts < $middle::TIMESTAMP_MS))
    / (stddev(value) FILTER (ts < $middle::TIMESTAMP_MS) + 1e-9) DESC NULLS LAST LIMIT 10
"""


def _times() -> list[np.ndarray]:
    """Stretches that are stored, in Unix seconds: six hours of today, and two hours of three earlier days."""
    now = END.timestamp()
    spans = [(now - day * _DAY_S - 2 * 3600, now - day * _DAY_S) for day in (7, 2, 1)]
    return [np.arange(start, end, STEP_S) for start, end in [*spans, (now - 6 * 3600, now)]]


def _series(rng: np.random.Generator, number: int, t: np.ndarray, change: str) -> tuple[str, np.ndarray, np.ndarray]:
    """A metric, and of one series the times and values: noise, a day's rhythm, growth, wandering, constants."""
    sort = number % 20
    noise, size = rng.normal(0, 1, t.size), float(rng.lognormal(3, 1.5))
    # No day is quite like another.
    days = np.unique(t // _DAY_S, return_inverse=True)[1]
    daily = 1 + rng.normal(0, 0.08, days.max() + 1)[days]
    rhythm = daily * (1 + rng.uniform(0.2, 0.8) * np.sin((t / _DAY_S - rng.normal(0.5, 0.01)) * 2 * np.pi))
    now = t >= WINDOW.start.timestamp()
    if sort == 19 and not change:
        value = np.full(t.size, size)
    elif sort == 18 and not change:
        value = size * (1 + (t - t[0]) / _DAY_S * rng.uniform(0.1, 2) + 0.002 * noise)
    elif sort in (16, 17) and not change:
        value = size * (10 + np.convolve(noise, np.exp(-np.arange(200) / 60), mode="same") * 0.1)
    else:
        value = size * (rhythm + rng.uniform(0.02, 0.2) * noise)
    if change in ("level up", "rate"):
        value = np.where(now, value + 0.9 * size, value)
    elif change == "level down":
        value = np.where(now, value - 0.9 * size, value)
    elif change == "spread":
        value = np.where(now, value + 0.8 * size * rng.normal(0, 1, t.size), value)
    elif change == "shape":
        # Two levels that take turns for some minutes, about the same middle.
        value = np.where(now, value + size * np.where((t // 420) % 2 == 0, 0.7, -0.7), value)
    elif change == "trend":
        value = np.where(now, value + 1.6 * size * np.clip((t - WINDOW.start.timestamp()) / 3600, 0, 1), value)
    elif change == "flat":
        value = np.where(now, value[~now][-1], value)
    kept = np.ones(t.size, dtype=bool)
    if change == "appeared":
        kept = now & (t >= WINDOW.start.timestamp() + 900)
    elif change == "disappeared":
        kept = t < WINDOW.start.timestamp() + 1200
    if change == "rate" or (not change and sort in (1, 3, 5, 7, 9, 11)):
        return f"work_{number // 100}_total", t[kept], np.cumsum(np.maximum(value, 0) * STEP_S)[kept]
    return f"reading_{number // 100}", t[kept], value[kept]


def fill(path: Path, seed: int, count: int) -> dict[str, list[str]]:
    """Write a store; the kind of change -> the `id` labels of the series that have it."""
    rng = np.random.default_rng(seed)
    changed = dict(zip(rng.choice(count, len(KINDS), replace=False).tolist(), KINDS, strict=True))
    store = Store(path)
    samples, t = Samples(store), np.concatenate(_times())
    injected: dict[str, list[str]] = {}
    made = []
    for number in range(count):
        kind = changed.get(number, "")
        metric, at, value = _series(rng, number, t, kind)
        labels = {"instance": f"host-{number % 100}", "id": str(number)}
        made.append(Block(metric, labels, (at * 1000).astype(np.int64), value))
        if kind:
            injected.setdefault(kind, []).append(str(number))
    # As a collection brings it: all series of a quarter of an hour, then those of the next.
    for start_ms in (t[:: 900 // STEP_S] * 1000).astype(np.int64).tolist():
        samples.append(1, [_cut(block, start_ms, start_ms + 900_000) for block in made])
    store.checkpoint()
    store.close()
    return injected


def _cut(block: Block, start_ms: int, end_ms: int) -> Block:
    first, last = np.searchsorted(block.ts_ms, (start_ms, end_ms))
    return Block(block.metric, block.labels, block.ts_ms[first:last], block.value[first:last])


def measure(path: str, rounds: int) -> None:
    """In a process of its own, so that what filling took is not counted: prints times, peaks and what was found."""
    memory.tune()
    store = Store(Path(path))
    service = Changes(Samples(store), lambda: END)
    service.samples.find()
    store.give_back()
    memory.trim()
    # From here on the kernel counts the peak anew: the catalogue's is another matter.
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_mb()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        found = service.compare(SYSTEM, WINDOW)
        times.append(time.perf_counter() - began)
    peak = _peak_mb()
    edges = {"start": found.before.start, "middle": WINDOW.start, "end": WINDOW.end}
    with store.read() as cursor:
        naive = {name: moment.replace(tzinfo=None) for name, moment in edges.items()}
        began = time.perf_counter()
        plain = [row[0] for row in cursor.execute(_PLAIN, naive).fetchall()]
        plain_s = time.perf_counter() - began
    ids = {one.id: one.labels["id"] for one in service.samples.find()}
    print(
        json.dumps(
            {
                "times": times,
                "peak_mb": peak,
                "more_mb": peak - before,
                "top": [one.series.labels["id"] for one in found.changes],
                "scores": [one.score for one in found.changes],
                "tests": [one.test for one in found.changes],
                "plain": [ids[i] for i in plain],
                "plain_s": plain_s,
                "above": found.above,
                "chance": found.chance,
                "samples": found.samples,
                "compared": found.compared,
            }
        )
    )
    store.close()


def on_demo() -> tuple[float, float]:
    """Share of the simulated history's incidents with one of their own series in the first ten, looking at their first
    three hours; and the mean number of series called stronger than chance in two quiet hours."""
    found: list[bool] = []
    quiet: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "demo.duckdb")
        samples = Samples(store)
        samples.append(1, history.blocks("simulated", END))
        service = Changes(samples, lambda: END)
        incidents, events = history.incidents("simulated", END), history.events("simulated", END)
        busy = [(one.start, one.end) for one in incidents] + [(one.start, one.end) for one in events]
        for one in incidents:
            window = Window(one.start, min(one.end, one.start + timedelta(hours=3)))
            top = service.compare(SYSTEM, window, drawn=0).changes[:10]
            found.append(any(c.series.host == one.host and c.series.metric in one.metrics for c in top))
        rng = np.random.default_rng(0)
        while len(quiet) < 20:
            start = END - timedelta(hours=float(rng.uniform(3, 480)))
            window = Window(start, start + timedelta(hours=2))
            since = start - timedelta(hours=8)
            if not any(first < window.end and last > since for first, last in busy):
                quiet.append(service.compare(SYSTEM, window, drawn=0).above)
        store.close()
    return statistics.mean(found), statistics.mean(quiet)


def _peak_mb() -> float:
    fields = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in fields if line.startswith("VmHWM"))


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """changes_s: a comparison of all series (median); found_at_10: share of the ten injected changes among the first
    ten, beside a plain ranking by standard deviations and a random one; false_above: what was called stronger than
    chance and is not; peak_mb of a process that does nothing else."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks changes")
    parser.add_argument("--series", type=int, default=5000)
    parser.add_argument("--stores", type=int, default=1 if quick else 3)
    parser.add_argument("--rounds", type=int, default=3 if quick else 5)
    options = parser.parse_args(args)
    times, plain_times, shares, plain_shares, wrong, peaks, more, chances = ([] for _ in range(8))
    for seed in range(options.stores):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "changes.duckdb"
            injected = fill(path, 20260314 + seed, options.series)
            code = f"from benchmarks.changes import measure; measure({str(path)!r}, {options.rounds})"
            output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        result = json.loads(output.splitlines()[-1])
        wanted = {name: kind for kind, names in injected.items() for name in names}
        for name, kind in wanted.items():
            place = result["top"].index(name) + 1 if name in result["top"] else None
            said = f"{result['tests'][place - 1]} {result['scores'][place - 1]:.1f}" if place else "-"
            note(f"{kind:12} at {place}: {said}")
        times += result["times"]
        plain_times.append(result["plain_s"])
        shares.append(sum(name in wanted for name in result["top"][:10]) / len(KINDS))
        plain_shares.append(sum(name in wanted for name in result["plain"]) / len(KINDS))
        wrong.append(sum(name not in wanted for name in result["top"][: result["above"]]))
        peaks.append(result["peak_mb"])
        more.append(result["more_mb"])
        chances.append(result["chance"])
        note(f"{result['compared']:,} series of {result['samples']:,} samples; chance {result['chance']:.2f}")
    demo_share, demo_quiet = on_demo()
    plain_s, share, plain = statistics.median(plain_times), statistics.mean(shares), statistics.mean(plain_shares)
    changes_s = statistics.median(times)
    peer = f"{plain_s:.2f} s for a plain ranking of means in one query"
    yield Figure("changes", "changes_s", round(changes_s, 3), "s", peer, round(changes_s / plain_s, 3))
    yield Figure("changes", "found_at_10", round(share, 3), "share", f"{plain:.2f} by means in standard deviations")
    yield Figure("changes", "control", round(10 / options.series, 4), "share", "a random order")
    yield Figure("changes", "false_above", round(statistics.mean(wrong), 2), "series", "called stronger than chance")
    yield Figure("changes", "chance", round(statistics.median(chances), 2), "score", "the control's strongest")
    yield Figure("changes", "peak_mb", round(max(peaks), 1), "MB", f"{max(more):.1f} MB more than before")
    yield Figure("changes", "demo_found_at_10", round(demo_share, 3), "share", "incidents of the simulated history")
    yield Figure("changes", "demo_quiet_above", round(demo_quiet, 2), "series", "of 192, in two hours without incident")
