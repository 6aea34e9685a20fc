"""Make the bundled demo history: a simulated fleet, and a recording brought into the same files.

    python data/demo/generate.py                       # simulated.*: 37 days of 10 hosts, always the same bytes' worth
    python data/demo/generate.py --recorded WORK       # recorded.*: from what record.py left in WORK

Each history is three files: NAME.series.parquet (a row a series: its labels and how to read its integers),
NAME.samples.parquet (series, tick, value; sorted by series and tick) and NAME.labels.json (what is known to have
happened). A sample is  ts = origin + offset_ms + tick * step_ms  and  value = value * multiplier / divisor.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fleet import (
    BYTES_PER_REQUEST,
    CPU,
    EVENTS,
    FILESYSTEM,
    FLEET,
    HITS,
    HTTP,
    INCIDENTS,
    IO_TIME,
    JOBS,
    LATENCY,
    LOAD,
    MEMORY,
    MISSES,
    PER_DAY,
    QUERIES,
    QUERY_TIME,
    QUEUE,
    READ,
    RECEIVED,
    ROLE_TRAFFIC,
    SENT,
    STEP_S,
    WEEK,
    WRITTEN,
    Drivers,
    Machine,
    crash,
)  # fmt: skip

HERE = Path(__file__).resolve().parent
SEED = 20250106
ORIGIN = datetime(2025, 1, 6, tzinfo=UTC)  # a Monday, so that a shift by whole weeks keeps the rhythm
DAYS = 37
GIB = 2**30
# How finely values are kept: finer than their own noise, coarse enough for the size of the bundle.
PAGES, CPU_TICK, CENTI, TENTH_MS, WHOLE = (4096, 1), (1, 100), (1, 100), (1, 10_000), (1, 1)


# --- what is written ---------------------------------------------------------------------------


@dataclass
class Column:
    """One series as integers: value = ticks * scale[0] / scale[1]."""

    metric: str
    labels: dict[str, str]
    scale: tuple[int, int]
    tick: np.ndarray
    value: np.ndarray
    offset_ms: int = 0
    step_ms: int = STEP_S * 1000


def write(folder: Path, name: str, columns: list[Column], labels: dict) -> int:
    """Write the three files; the total of their sizes in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = sorted(columns, key=lambda c: (c.labels.get("instance", ""), c.metric, sorted(c.labels.items())))
    series = pa.table(
        {
            "series": pa.array(range(len(columns)), pa.int32()),
            "metric": [c.metric for c in columns],
            "labels": [json.dumps(c.labels, sort_keys=True) for c in columns],
            "multiplier": pa.array([c.scale[0] for c in columns], pa.int64()),
            "divisor": pa.array([c.scale[1] for c in columns], pa.int64()),
            "offset_ms": pa.array([c.offset_ms for c in columns], pa.int32()),
            "step_ms": pa.array([c.step_ms for c in columns], pa.int32()),
            "samples": pa.array([c.tick.size for c in columns], pa.int32()),
        }
    )
    paths = [folder / f"{name}.series.parquet", folder / f"{name}.samples.parquet", folder / f"{name}.labels.json"]
    pq.write_table(series, paths[0], compression="zstd", compression_level=19)
    schema = pa.schema([("series", pa.int32()), ("tick", pa.int64()), ("value", pa.int64())])
    with pq.ParquetWriter(
        paths[1],
        schema,
        compression="zstd",
        compression_level=19,
        use_dictionary=False,
        column_encoding=dict.fromkeys(schema.names, "DELTA_BINARY_PACKED"),
        write_statistics=False,
    ) as file:
        # A row group a host, so that a reader needs the memory of one host at a time.
        for _, group in groupby(enumerate(columns), lambda one: one[1].labels.get("instance", "")):
            members = list(group)
            arrays = [
                np.repeat(np.array([n for n, _ in members], np.int32), [c.tick.size for _, c in members]),
                np.concatenate([c.tick for _, c in members]).astype(np.int64),
                np.concatenate([c.value for _, c in members]).astype(np.int64),
            ]
            file.write_table(pa.table(arrays, schema=schema), row_group_size=2**24)
    paths[2].write_text(json.dumps(labels, indent=1) + "\n")
    return sum(path.stat().st_size for path in paths)


# --- the simulated fleet -----------------------------------------------------------------------


def ar1(rng: np.random.Generator, n: int, hours: float, spread: float) -> np.ndarray:
    """Noise that forgets with a time constant of `hours`; its standard deviation is `spread`."""
    keep = math.exp(-STEP_S / 3600 / hours)
    shocks = rng.standard_normal(n) * spread * math.sqrt(1 - keep**2)
    shocks[0] = rng.standard_normal() * spread
    return np.fromiter(accumulate(shocks, lambda before, shock: keep * before + shock), float, n)


def smooth(x: np.ndarray, hours: float) -> np.ndarray:
    keep = math.exp(-STEP_S / 3600 / hours)
    return np.fromiter(accumulate(x, lambda before, now: keep * before + (1 - keep) * now), float, x.size)


def rhythm(t_days: np.ndarray, phase_h: float) -> np.ndarray:
    """Visits by hour and weekday: a morning slope, a working plateau, a smaller evening, quiet week-ends."""
    hour = (t_days * 24 - phase_h) % 24
    day = 0.70 - 0.48 * np.cos(2 * np.pi * (hour - 2.5) / 24) - 0.11 * np.cos(4 * np.pi * (hour - 2.0) / 24)
    middle = np.arange(-1, 9) + 0.5
    week = np.interp(t_days % 7, middle, [WEEK[i % 7] for i in range(-1, 9)])
    return day * week


def drivers_of(machine: Machine, rng: np.random.Generator, t_days: np.ndarray, shared: np.ndarray) -> Drivers:
    n = t_days.size
    if machine.role == "batch":
        hour = (t_days * 24) % 24
        traffic = np.full(n, 0.04)
        for day in range(int(t_days[-1]) + 1):
            # The nightly job starts on time and takes as long as it takes; on Sunday it is a big one.
            long = 4.4 if day % 7 == 6 else 2.6
            length = long * math.exp(rng.normal(0, 0.12))
            traffic[(t_days >= day + 2 / 24) & (t_days < day + (2 + length) / 24)] = 0.75 + rng.normal(0, 0.03)
        traffic[(hour % 1 < 0.17)] += 0.10  # the hourly import
        return Drivers(np.maximum(traffic * np.exp(ar1(rng, n, 1.0, 0.08)), 0.01), n)
    base = 330 * ROLE_TRAFFIC[machine.role] * machine.share
    own = ar1(rng, n, 3.0, 0.05) + rng.standard_normal(n) * 0.025
    shape = rhythm(t_days, rng.normal(0, 0.25)) ** rng.uniform(0.9, 1.1)
    return Drivers(base * shape * np.exp(shared + own), n)


def observe(machine: Machine, rng: np.random.Generator, d: Drivers, t_days: np.ndarray) -> dict[str, np.ndarray]:
    """What exporters would see a second, or at the moment, from what the host is put through."""
    n, role = d.n, machine.role
    demand = d.traffic / machine.capacity
    read_rate = {"web": 0.2e6, "api": 0.4e6, "db": 6e6, "cache": 0.05e6, "batch": 0.3e6}[role]
    read_per = {"web": 900, "api": 700, "db": 9_000, "cache": 60, "batch": 70e6}[role]
    write_rate = {"web": 0.3e6, "api": 0.5e6, "db": 3e6, "cache": 0.4e6, "batch": 0.4e6}[role]
    write_per = {"web": 2_600, "api": 2_100, "db": 7_500, "cache": 150, "batch": 45e6}[role]
    hour = (t_days * 24) % 24
    backup = ((hour >= 1.0) & (hour < 1.75)) if role == "db" else np.zeros(n, bool)
    rotate = (hour % 1) < 0.084  # logs are rotated on the hour
    rough = lambda spread: np.exp(ar1(rng, n, 0.8, spread) + rng.standard_normal(n) * spread / 2)  # noqa: E731
    read = (read_rate + read_per * d.traffic) * rough(0.18) + backup * 120e6 * rough(0.05) + d.read
    write = (write_rate + write_per * d.traffic + rotate * 0.6 * write_rate) * rough(0.14) + d.write
    io = np.clip((read / 260e6 + write / 150e6) * rough(0.06), 0.001, 0.995)

    spread = 0.008 + 0.05 * demand * 0.3 + d.jitter
    wanted = machine.base_busy + 0.62 * demand * d.cpu_factor + d.cpu + rng.standard_normal(n) * spread
    wanted += ar1(rng, n, 0.6, 1.0) * spread
    # Package updates, backups of a colleague, a shell: small bursts nobody would call an incident.
    for start in rng.integers(0, n, round(n / PER_DAY * 0.8)):
        wanted[start : start + rng.integers(1, 4)] += rng.uniform(0.03, 0.12)
    iowait = np.clip(0.0012 * rough(0.3) + 0.30 * io**1.6 * np.exp(rng.standard_normal(n) * 0.15), 0, 0.5)
    busy = np.clip(wanted, 0.01, 0.985 - iowait)
    system_part = np.clip(0.21 + 0.03 * ar1(rng, n, 6, 1.0), 0.08, 0.4)
    overload = np.maximum(wanted - busy, 0)
    load = (
        machine.cores * ((busy + iowait) * (1 + 1.6 * busy**5) + 2.5 * overload) * np.exp(ar1(rng, n, 0.3, 0.10)) + 0.02
    )

    age = (t_days - 1.42) % 3.5 if role in ("web", "api") else np.zeros(n)  # processes are renewed at each deploy
    memory = machine.base_memory + 0.11 * smooth(demand, 1.5) + 0.012 * age + d.memory
    memory = np.clip(memory + ar1(rng, n, 30, 0.012) + rng.standard_normal(n) * 0.0022, 0.05, 0.985)

    received_per, sent_per = BYTES_PER_REQUEST.get(role, (0, 0))
    if role == "batch":
        received, sent = 40e3 + 28e6 * d.traffic, 30e3 + 4e6 * d.traffic
    else:
        received, sent = 20e3 + received_per * d.traffic, 25e3 + sent_per * d.traffic
    drag = 0.5 * busy**2 + np.maximum(busy - 0.55, 0) ** 2 * 9 + overload * 4
    base_latency = {"web": 0.082, "api": 0.034, "db": 0.0061, "cache": 0.0009, "batch": 1.0}[role]
    failed = np.clip(0.0025 * np.exp(ar1(rng, n, 2, 0.35)) + d.errors + 0.05 * overload, 0, 0.9)
    served = d.traffic * np.exp(rng.standard_normal(n) * 0.004)
    missed = np.clip(0.055 * np.exp(ar1(rng, n, 5, 0.12)) + d.misses, 0, 1)
    waiting = 3 + 140 * np.maximum(d.traffic - 0.1, 0) * rough(0.10)
    return {
        "user": busy * (1 - system_part), "system": busy * system_part, "iowait": iowait,
        "load": load, "memory": memory,
        "read": read, "write": write, "io": io,
        "received": received * d.link * rough(0.03), "sent": sent * d.link * rough(0.03),
        "latency": base_latency * (1 + drag) * d.latency * rough(0.04),
        "ok": served * (1 - failed), "failed": served * failed, "served": served,
        "hits": served * (1 - missed), "missed": served * missed,
        "queue": np.maximum(np.round(waiting + rng.normal(0, 1.5, n) + d.backlog), 0),
        "jobs": np.maximum(0.02 + 0.55 * d.traffic, 0) * rough(0.05) / (1 + d.backlog / 60),
    }  # fmt: skip


def counter(rate: np.ndarray, scale: tuple[int, int], boots: list[int], before_s: float, part: float) -> np.ndarray:
    """The counter a rate makes, in ticks: it has run for `before_s` already, and begins again at each boot.

    `part`: how much of a step the host had been up when it was first seen after a boot.
    """
    grown = rate * STEP_S * scale[1] / scale[0]
    grown[0] = float(np.mean(rate)) * before_s * scale[1] / scale[0]
    total = np.cumsum(grown)
    for boot in sorted(boots):
        total[boot:] -= total[boot] - grown[boot] * part
    return np.floor(total + 1e-6).astype(np.int64)


def columns_of(
    machine: Machine, rng: np.random.Generator, d: Drivers, t_days: np.ndarray, monitoring: np.ndarray
) -> list[Column]:
    n, seen = d.n, observe(machine, rng, d, t_days)
    offset_ms = int(rng.integers(0, 15_000))
    part = float(rng.uniform(0.2, 0.8))
    boots = sorted(boot for boot in d.boots if boot < n)
    frozen = np.arange(n)
    for k in np.flatnonzero(d.stuck):
        frozen[k] = frozen[k - 1]
    reported = ~(d.down | d.unscraped | monitoring)
    common = {"instance": machine.name, "job": "simulated-node"}
    out: list[Column] = []

    def add(
        metric: str,
        ticks: np.ndarray,
        scale: tuple[int, int],
        exporter: str = "node",
        keep: np.ndarray | None = None,
        **labels: str,
    ) -> None:
        ticks = ticks[frozen] if exporter == "node" else ticks
        shown = reported if keep is None else keep
        merged = common | labels | ({"job": "simulated-app"} if exporter == "app" else {})
        out.append(Column(metric, merged, scale, np.flatnonzero(shown), ticks[shown], offset_ms))

    def gauge(values: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
        return np.round(values * scale[1] / scale[0]).astype(np.int64)

    before_s = machine.boot_days * 86_400
    total = counter(np.full(n, float(machine.cores)), CPU_TICK, boots, before_s, part)
    modes = {
        mode: counter(seen[mode] * machine.cores, CPU_TICK, boots, before_s, part)
        for mode in ("user", "system", "iowait")
    }
    modes["idle"] = total - sum(modes.values())  # every second of every core is in exactly one mode
    for mode, ticks in modes.items():
        add(CPU, ticks, CPU_TICK, mode=mode)
    add(LOAD, gauge(seen["load"], CENTI), CENTI)
    add("node_memory_MemTotal_bytes", np.full(n, machine.memory_gib * GIB // PAGES[0]), PAGES)
    add(MEMORY, gauge((1 - seen["memory"]) * machine.memory_gib * GIB, PAGES), PAGES)
    boot_at = np.full(n, round(ORIGIN.timestamp() - before_s), dtype=np.int64)
    for boot in boots:
        boot_at[boot:] = round(ORIGIN.timestamp() + (boot - part) * STEP_S)
    add("node_boot_time_seconds", boot_at, WHOLE)

    device = "nvme0n1" if machine.data_gib else "sda"
    for metric, key, scale in ((READ, "read", PAGES), (WRITTEN, "write", PAGES), (IO_TIME, "io", CPU_TICK)):
        add(metric, counter(seen[key], scale, boots, before_s, part), scale, device=device)
    for metric, key in ((RECEIVED, "received"), (SENT, "sent")):
        add(metric, counter(seen[key], PAGES, boots, before_s, part), PAGES, device="eth0")
        if machine.extra_nic:
            kept = reported & (t_days < next(day for day, _, _, kind, _ in EVENTS if kind == "device removed"))
            quiet = counter(9e3 + seen[key] * 0.04, PAGES, boots, before_s, part)
            add(metric, quiet, PAGES, keep=kept, device="eth1")

    # Logs grow with the work and are thinned out on Sunday night; data grows for good.
    work = np.cumsum(seen["write"]) * STEP_S
    week = ((t_days - 6.125) // 7).astype(int)
    since = work - np.array([work[np.argmax(week == w)] for w in range(week[0], week[-1] + 1)])[week - week[0]]
    logs = 0.30 * since / max(float(np.max(since)), 1.0)
    disks = [("/dev/sda1", "/", machine.disk_gib, 0.34 + logs + (0 if machine.data_gib else d.fill))]
    if machine.data_gib:
        disks.append(("/dev/nvme0n1p1", "/var/lib/db", machine.data_gib, 0.43 + 0.0022 * t_days + 0.03 * logs + d.fill))
    for disk, mount, size_gib, used in disks:
        where = {"device": disk, "fstype": "ext4", "mountpoint": mount}
        add("node_filesystem_size_bytes", np.full(n, size_gib * GIB // PAGES[0]), PAGES, **where)
        add(FILESYSTEM, gauge(np.clip(1 - used, 0.01, 1) * size_gib * GIB, PAGES), PAGES, **where)

    def count(key: str) -> np.ndarray:
        return counter(seen[key], WHOLE, boots, before_s, part)

    if machine.role in ("web", "api"):
        add(HTTP, count("ok"), WHOLE, "app", code="200")
        add(HTTP, count("failed"), WHOLE, "app", code="500")
        add(LATENCY, gauge(seen["latency"], TENTH_MS), TENTH_MS, "app")
    elif machine.role == "db":
        add(QUERIES, count("served"), WHOLE, "app")
        add(QUERY_TIME, gauge(seen["latency"], (1, 100_000)), (1, 100_000), "app")
    elif machine.role == "cache":
        add(HITS, count("hits"), WHOLE, "app")
        add(MISSES, count("missed"), WHOLE, "app")
    else:
        add(QUEUE, seen["queue"].astype(np.int64), WHOLE, "app")
        add(JOBS, count("jobs"), WHOLE, "app")
    up = (~(d.down | d.unscraped)).astype(np.int64)
    add("up", up, WHOLE, "scrape", keep=~monitoring)
    return out


def simulate(days: int = DAYS, seed: int = SEED) -> tuple[list[Column], dict]:
    """The fleet over `days`: its series, and the labels of what happened. The same arguments give the same integers."""
    n = days * PER_DAY
    t_days = np.arange(n) / PER_DAY
    streams = np.random.default_rng(seed).spawn(len(FLEET) + 1)
    shared = ar1(streams[0], n, 8.0, 0.06)  # what all hosts feel: news, weather, the season
    monitoring = np.zeros(n, dtype=bool)
    fleet = {m.name: (m, rng, drivers_of(m, rng, t_days, shared)) for m, rng in zip(FLEET, streams[1:], strict=True)}
    labels: dict = {
        "provenance": "Simulated by data/demo/generate.py; no machine was ever measured for it.",
        "origin_ms": int(ORIGIN.timestamp() * 1000), "days": days, "step_s": STEP_S, "incidents": [], "events": [],
    }  # fmt: skip
    for incident in INCIDENTS:
        start, stop = incident.span()
        if stop > n:
            continue
        incident.apply(fleet[incident.host][2], slice(start, stop), np.linspace(0, 1, stop - start))
        labels["incidents"].append(
            {"start_s": start * STEP_S, "end_s": stop * STEP_S, "host": incident.host, "kind": incident.kind,
             "cause": incident.cause, "strength": incident.strength, "metrics": list(incident.metrics)}
        )  # fmt: skip
    for day, hours, hosts, kind, cause in EVENTS:
        start = round(day * PER_DAY)
        stop = n if hours == math.inf else start + max(1, round(hours * 3600 / STEP_S))
        if start >= n:
            continue
        for host in hosts:
            drivers = fleet[host][2]
            if kind == "planned reboot":
                crash(drivers, slice(start, stop), np.zeros(0))
            elif kind == "scrape outage":
                drivers.unscraped[start:stop] = True
        if kind == "monitoring restart":
            monitoring[start:stop] = True
        labels["events"].append(
            {"start_s": start * STEP_S, "end_s": stop * STEP_S, "hosts": list(hosts), "kind": kind, "cause": cause}
        )
    columns = [
        column for m, rng, drivers in fleet.values() for column in columns_of(m, rng, drivers, t_days, monitoring)
    ]
    return columns, labels


# --- the recording -----------------------------------------------------------------------------

# What each injected fault is expected to move, so that a reader knows where to look.
TOUCHED = {
    "cpu": ("node_cpu_seconds_total", "node_load1", "node_procs_running", "node_context_switches_total",
            "node_pressure_cpu_waiting_seconds_total"),
    "memory": ("node_memory_MemAvailable_bytes", "node_memory_MemFree_bytes", "node_memory_AnonPages_bytes",
               "node_vmstat_pgfault"),
    "disk": ("node_disk_written_bytes_total", "node_disk_writes_completed_total", "node_disk_io_time_seconds_total",
             "node_memory_Dirty_bytes", "node_pressure_io_waiting_seconds_total"),
    "network": ("node_network_receive_bytes_total", "node_network_receive_packets_total",
                "node_network_transmit_packets_total"),
}  # fmt: skip


def scaled(value: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """Integers and the decimal scale that gives `value` back, bit for bit where there is one.

    Else to a billionth: the exporter itself multiplies microseconds by 1e-6 and prints the rounding of that.
    """
    for exact in (True, False):
        for power in range(10):
            ticks = np.round(value * 10**power)
            back = ticks / 10**power
            if (back == value).all() if exact else np.allclose(back, value, rtol=1e-9, atol=1e-12):
                whole = ticks.astype(np.int64)
                shared = max(int(np.gcd.reduce(whole)), 1) if power == 0 else 1
                return (shared, 10**power), whole // shared
    raise ValueError("No decimal scale up to nine places gives these values back.")


def recorded(work: Path) -> tuple[list[Column], dict]:
    """What record.py left in `work`, smaller and nothing else: timestamps and values come back as they were scraped.

    Left out: counters of devices and processor modes that stood at zero all the time, and file systems other than
    the root, whose mount points say how somebody's machine is used and come and go with the work on it.
    """
    answers = [
        answer
        for answer in json.loads((work / "export.json").read_text())
        if answer["metric"].get("mountpoint", "/") == "/"
    ]
    faults = json.loads((work / "labels.json").read_text()) if (work / "labels.json").exists() else []
    origin_ms = min(round(answer["values"][0][0] * 1000) for answer in answers if answer["values"])
    columns = []
    for answer in answers:
        labels = {k: v for k, v in answer["metric"].items() if k != "__name__"} | {"job": "recorded-node"}
        metric = answer["metric"]["__name__"]
        ts = np.array([round(t * 1000) for t, _ in answer["values"]], dtype=np.int64) - origin_ms
        value = np.array([float(v) for _, v in answer["values"]])
        if ("device" in labels or "mode" in labels) and not value.any():
            continue
        scale, ticks = scaled(value)
        columns.append(Column(metric, labels, scale, ts, ticks, 0, 1))
    last_ms = max(int(column.tick[-1]) for column in columns)
    incidents = [
        {
            "start_s": round(fault["start"] - origin_ms / 1000, 3),
            "end_s": round(fault["end"] - origin_ms / 1000, 3),
            "host": "recorded",
            "kind": fault["kind"],
            "cause": fault["cause"],
            "strength": "plain",
            "metrics": list(TOUCHED[fault["kind"]]),
        }
        for fault in faults
    ]
    return columns, {
        "provenance": "Recorded from a real node exporter by data/demo/record.py; the faults were really injected.",
        "origin_ms": origin_ms, "last_ms": origin_ms + last_ms, "days": last_ms / 86_400_000, "step_s": 5,
        "incidents": incidents, "events": [],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recorded", type=Path, metavar="WORK", help="bring the recording in WORK into recorded.*")
    parser.add_argument("--out", type=Path, default=HERE, help="where to write (default: beside this script)")
    args = parser.parse_args()
    name = "recorded" if args.recorded else "simulated"
    columns, labels = recorded(args.recorded) if args.recorded else simulate()
    size = write(args.out, name, columns, labels)
    samples = sum(column.tick.size for column in columns)
    print(f"{name}: {len(columns)} series, {samples} samples, {size} bytes, {size / samples:.2f} bytes a sample")


if __name__ == "__main__":
    main()
