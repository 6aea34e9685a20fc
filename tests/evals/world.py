"""A small deterministic history: four hosts, two and a half days, a fault, anomalies as a detector saves them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from lib.app import App
from lib.db.tables import Detector
from lib.frames import Block
from lib.store.findings import Anomaly, Findings

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)  # a Saturday
START = datetime(2026, 3, 12, 0, 0, tzinfo=UTC)
STEP_S = 60
HOSTS = ("web-01", "web-02", "web-03", "db-01")
SOURCE_ID = 1


@dataclass(frozen=True)
class World:
    """blocks: exactly what was stored, for expectations computed without our code. anomalies: with their ids."""

    app: App
    blocks: tuple[Block, ...]
    anomalies: tuple[Anomaly, ...]


def build_world(app: App) -> World:
    """Fill an app's store."""
    blocks = tuple(_blocks())
    app.samples.append(SOURCE_ID, blocks)
    with app.database.session() as session:
        session.add(Detector(source_id=SOURCE_ID, host="web-03", name="web-03"))
    saved = Findings(app.store).save_anomalies(_anomalies(app))
    return World(app, blocks, tuple(saved))


def _blocks() -> list[Block]:
    rng = np.random.default_rng(7)
    n = int((NOW - START).total_seconds() // STEP_S)
    ts_ms = (int(START.timestamp()) + np.arange(n) * STEP_S) * 1000
    hour = (np.arange(n) * STEP_S / 3600) % 24
    made: list[Block] = []

    def add(metric: str, host: str, value: np.ndarray, keep: np.ndarray | None = None, **labels: str) -> None:
        rows = slice(None) if keep is None else keep
        made.append(Block(metric, {"instance": host, "job": "node", **labels}, ts_ms[rows], value[rows]))

    def counter(rate: np.ndarray, reset_at: int | None = None, start: float = 1000.0) -> np.ndarray:
        grown = start + np.cumsum(np.maximum(rate, 0) * STEP_S)
        if reset_at is not None:
            grown[reset_at:] -= grown[reset_at - 1]
        return grown

    # web-03: busy from 14:00 to 14:30 on the 13th (yesterday).
    fault = (ts_ms >= _ms(13, 14, 0)) & (ts_ms < _ms(13, 14, 30))
    for index, host in enumerate(HOSTS):
        busy = 0.15 + 0.05 * index + 0.1 * np.sin((hour - 8) / 24 * 2 * np.pi) + rng.normal(0, 0.01, n)
        if host == "web-03":
            busy = np.where(fault, 0.93 + rng.normal(0, 0.01, n), busy)
        busy = np.clip(busy, 0.01, 0.99)
        for cpu in ("0", "1"):
            iowait = 0.01 + 0.002 * index + np.abs(rng.normal(0, 0.001, n))
            reset = 2000 if host == "web-02" else None
            add("node_cpu_seconds_total", host, counter(1 - busy, reset), cpu=cpu, mode="idle")
            add("node_cpu_seconds_total", host, counter(busy - iowait, reset), cpu=cpu, mode="user")
            add("node_cpu_seconds_total", host, counter(iowait, reset), cpu=cpu, mode="iowait")
        total = np.full(n, (8 if host != "db-01" else 32) * 2.0**30)
        add("node_memory_MemTotal_bytes", host, total)
        add("node_memory_MemAvailable_bytes", host, total * (0.6 - 0.1 * index + rng.normal(0, 0.01, n)))
        # web-02 was not scraped between 03:00 and 04:00 on the 14th.
        there = ~((ts_ms >= _ms(14, 3, 0)) & (ts_ms < _ms(14, 4, 0))) if host == "web-02" else None
        load = busy * 4 + rng.normal(0, 0.05, n)
        add("node_load1", host, np.abs(load), there)
        add("node_load5", host, np.abs(load) * 0.9)
        add("node_context_switches_total", host, counter(2000 + 500 * index + rng.normal(0, 50, n)))
        add("node_procs_running", host, rng.integers(1, 6, n).astype(float))
        for direction, size in (("receive", 2e6), ("transmit", 1e6)):
            rate = size * (1 + index) * (1 + 0.2 * np.sin(hour / 24 * 2 * np.pi)) + rng.normal(0, size / 20, n)
            add(f"node_network_{direction}_bytes_total", host, counter(rate), device="eth0")
            add(f"node_network_{direction}_bytes_total", host, counter(np.full(n, 500.0)), device="lo")
            add(f"node_network_{direction}_drop_total", host, counter(np.abs(rng.normal(0, 0.1, n))), device="eth0")
        mounts = ("/", "/data") if host == "db-01" else ("/",)
        for place, mount in enumerate(mounts):
            size = np.full(n, (100 + 400 * place) * 1e9)
            add("node_filesystem_size_bytes", host, size, mountpoint=mount, device=f"sda{place + 1}")
            used = 0.3 + 0.1 * index + 0.2 * place + 0.05 * np.arange(n) / n
            add("node_filesystem_avail_bytes", host, size * (1 - used), mountpoint=mount, device=f"sda{place + 1}")
        add(
            "node_disk_io_time_seconds_total",
            host,
            counter(0.05 + 0.02 * index + rng.normal(0, 0.005, n)),
            device="sda",
        )
        add("node_disk_read_bytes_total", host, counter(3e5 * (1 + index) + rng.normal(0, 1e4, n)), device="sda")
        add("node_disk_written_bytes_total", host, counter(6e5 * (1 + index) + rng.normal(0, 1e4, n)), device="sda")
    return made


def _ms(day: int, hour: int, minute: int) -> int:
    return int(datetime(2026, 3, day, hour, minute, tzinfo=UTC).timestamp() * 1000)


def _anomalies(app: App) -> list[Anomaly]:
    ids = {(s.metric, s.host): s.id for s in reversed(app.samples.find())}

    def made(host: str, metric: str, title: str, unit: str, day: int, hour: int, minutes: int, **seen: Any) -> Anomaly:
        start = datetime(2026, 3, day, hour, 0, tzinfo=UTC)
        end = None if minutes < 0 else start + timedelta(minutes=minutes)
        most = {"title": title, "metric": metric, "unit": unit, "share": 0.8, **seen["band"], "outside": True}
        other = {"title": "Load", "metric": "node_load1", "unit": "", "share": 0.2, "actual": 3.7, "expected": 1.1}
        return Anomaly(
            detector_id=1,
            source_id=SOURCE_ID,
            host=host,
            start_ts=start,
            peak_ts=start + timedelta(minutes=5),
            end_ts=end,
            score=seen["score"],
            confidence=seen["confidence"],
            severity=seen["severity"],
            series_id=ids[(metric, host)],
            explanation={"sentence": f"{title} on {host} was unusual.", "contributors": [most, other]},
            **seen["band"],
        )

    cpu, memory = ("node_cpu_seconds_total", "CPU busy", "%"), ("node_memory_MemAvailable_bytes", "Memory used", "%")
    network = ("node_network_receive_bytes_total", "Network received eth0", "B/s")

    def band(actual: float, low: float, high: float) -> dict[str, float]:
        return {"actual": actual, "low": low, "high": high, "expected": (low + high) / 2}

    return [
        made("web-03", *cpu, 13, 14, 30, score=9.1, confidence=0.991, severity="critical", band=band(93.4, 20.0, 45.0)),
        made("web-01", *memory, 13, 9, 45, score=6.2, confidence=0.962, severity="major", band=band(71.0, 35.0, 50.0)),
        made(
            "web-03", *memory, 13, 20, 12, score=4.4, confidence=0.913, severity="warning", band=band(66.0, 55.0, 64.0)
        ),
        made(
            "db-01", *network, 12, 6, 120, score=12.3, confidence=0.997, severity="critical", band=band(2.9e7, 6e6, 9e6)
        ),
        made("db-01", *memory, 14, 7, 20, score=5.0, confidence=0.934, severity="minor", band=band(88.0, 60.0, 75.0)),
        made("web-02", *cpu, 14, 11, -1, score=5.5, confidence=0.951, severity="major", band=band(71.5, 15.0, 40.0)),
    ]
