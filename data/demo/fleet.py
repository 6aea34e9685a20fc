"""Who is in the simulated fleet, what its machines are like, and what goes wrong with them when."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

STEP_S = 300
PER_DAY = 86_400 // STEP_S


@dataclass(frozen=True)
class Machine:
    """The character of a host. Fractions of its capacity unless a name says otherwise."""

    name: str
    role: str
    cores: int
    memory_gib: int
    disk_gib: int
    share: float  # of the traffic its role sees
    capacity: float  # requests a second it could just serve
    base_busy: float
    base_memory: float
    boot_days: float  # how long it had been up when the history begins
    extra_nic: bool = False
    data_gib: int = 0


FLEET = (
    Machine("web-01", "web", 4, 8, 64, 0.28, 190, 0.05, 0.42, 41.3),
    Machine("web-02", "web", 4, 8, 64, 0.26, 180, 0.06, 0.45, 40.9),
    Machine("web-03", "web", 4, 8, 64, 0.24, 175, 0.05, 0.40, 12.2),
    Machine("web-04", "web", 4, 8, 64, 0.22, 150, 0.08, 0.47, 88.0),
    Machine("api-01", "api", 8, 16, 100, 0.53, 620, 0.07, 0.52, 23.6),
    Machine("api-02", "api", 8, 16, 100, 0.47, 560, 0.09, 0.55, 23.5, extra_nic=True),
    Machine("db-01", "db", 16, 64, 80, 0.64, 1500, 0.08, 0.66, 132.7, data_gib=500),
    Machine("db-02", "db", 16, 64, 80, 0.36, 1400, 0.06, 0.61, 97.1, data_gib=500),
    Machine("cache-01", "cache", 4, 32, 40, 1.0, 2900, 0.04, 0.58, 61.0),
    Machine("batch-01", "batch", 8, 32, 200, 1.0, 1.0, 0.03, 0.28, 18.4),
)
WEEK = (1.05, 1.08, 1.04, 1.02, 0.95, 0.62, 0.55)  # Monday first
ROLE_TRAFFIC = {"web": 1.0, "api": 1.7, "db": 2.4, "cache": 3.2}
BYTES_PER_REQUEST = {"web": (1_800, 26_000), "api": (2_400, 7_500), "db": (900, 5_200), "cache": (350, 2_700)}


@dataclass(frozen=True)
class Incident:
    """Something that goes wrong on purpose; `apply` changes the drivers of its host between two steps."""

    day: float
    hours: float
    host: str
    kind: str
    cause: str
    strength: str  # plain: anyone would see it; subtle: within what the host has shown before, but wrong together
    metrics: tuple[str, ...]
    apply: Callable[[Drivers, slice, np.ndarray], None]

    def span(self) -> tuple[int, int]:
        start = round(self.day * PER_DAY)
        return start, start + max(1, round(self.hours * 3600 / STEP_S))


@dataclass
class Drivers:
    """What a host is put through, a value a step; incidents write here, and everything observed follows from it."""

    traffic: np.ndarray
    n: int
    cpu: np.ndarray = field(init=False)  # extra busy fraction
    cpu_factor: np.ndarray = field(init=False)  # work a request takes
    jitter: np.ndarray = field(init=False)  # extra spread of the busy fraction
    memory: np.ndarray = field(init=False)  # extra used fraction
    fill: np.ndarray = field(init=False)  # extra used fraction of the main file system
    read: np.ndarray = field(init=False)  # extra bytes a second
    write: np.ndarray = field(init=False)
    link: np.ndarray = field(init=False)  # how much of the network gets through
    latency: np.ndarray = field(init=False)
    errors: np.ndarray = field(init=False)
    misses: np.ndarray = field(init=False)
    backlog: np.ndarray = field(init=False)
    down: np.ndarray = field(init=False)  # not running: nothing is reported, then counters begin again
    unscraped: np.ndarray = field(init=False)  # running, but the scrape fails
    stuck: np.ndarray = field(init=False)  # the exporter repeats its last answer
    boots: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("cpu", "jitter", "memory", "fill", "read", "write", "errors", "misses", "backlog"):
            setattr(self, name, np.zeros(self.n))
        for name in ("cpu_factor", "link", "latency"):
            setattr(self, name, np.ones(self.n))
        for name in ("down", "unscraped", "stuck"):
            setattr(self, name, np.zeros(self.n, dtype=bool))


def _add(**amounts: float) -> Callable[[Drivers, slice, np.ndarray], None]:
    """Add to drivers, with edges that take about a tenth of the incident to build up."""

    def apply(drivers: Drivers, at: slice, phase: np.ndarray) -> None:
        edge = np.clip(np.minimum(phase, 1 - phase) * 10 + 0.35, 0, 1)
        for name, amount in amounts.items():
            getattr(drivers, name)[at] += amount * edge

    return apply


def _times(**factors: float) -> Callable[[Drivers, slice, np.ndarray], None]:
    def apply(drivers: Drivers, at: slice, phase: np.ndarray) -> None:
        edge = np.clip(np.minimum(phase, 1 - phase) * 10 + 0.35, 0, 1)
        for name, factor in factors.items():
            getattr(drivers, name)[at] *= 1 + (factor - 1) * edge

    return apply


def _ramp(name: str, amount: float, curve: float = 1.0) -> Callable[[Drivers, slice, np.ndarray], None]:
    def apply(drivers: Drivers, at: slice, phase: np.ndarray) -> None:
        getattr(drivers, name)[at] += amount * phase**curve

    return apply


def _both(*parts: Callable[[Drivers, slice, np.ndarray], None]) -> Callable[[Drivers, slice, np.ndarray], None]:
    def apply(drivers: Drivers, at: slice, phase: np.ndarray) -> None:
        for part in parts:
            part(drivers, at, phase)

    return apply


def crash(drivers: Drivers, at: slice, phase: np.ndarray) -> None:
    drivers.down[at] = True
    if at.stop < drivers.n:
        drivers.boots.append(at.stop)


def _stuck(drivers: Drivers, at: slice, phase: np.ndarray) -> None:
    drivers.stuck[at] = True


CPU, LOAD, MEMORY, FILESYSTEM = (
    "node_cpu_seconds_total",
    "node_load1",
    "node_memory_MemAvailable_bytes",
    "node_filesystem_avail_bytes",
)
READ, WRITTEN, IO_TIME = (
    "node_disk_read_bytes_total",
    "node_disk_written_bytes_total",
    "node_disk_io_time_seconds_total",
)
RECEIVED, SENT = "node_network_receive_bytes_total", "node_network_transmit_bytes_total"
HTTP, LATENCY = "http_requests_total", "http_request_duration_seconds_mean"
QUERIES, QUERY_TIME = "db_queries_total", "db_query_duration_seconds_mean"
HITS, MISSES = "cache_hits_total", "cache_misses_total"
QUEUE, JOBS = "queue_depth", "jobs_completed_total"
NODE = (CPU, LOAD, MEMORY, FILESYSTEM, READ, WRITTEN, IO_TIME, RECEIVED, SENT)

INCIDENTS = (
    Incident(7.59, 1.5, "web-02", "cpu saturation", "a regular expression backtracks in every worker", "plain",
             (CPU, LOAD, LATENCY), _add(cpu=0.75)),
    Incident(9.30, 40, "api-01", "memory leak", "a release keeps every session object until it is restarted", "subtle",
             (MEMORY,), _ramp("memory", 0.36)),
    Incident(11.10, 9, "db-01", "disk filling", "the archive of write-ahead logs is refused, so they pile up", "plain",
             (FILESYSTEM, WRITTEN, IO_TIME), _both(_ramp("fill", 0.42), _add(write=14e6))),
    Incident(12.64, 0.75, "web-03", "network drop", "a switch port renegotiates to 10 Mbit/s", "plain",
             (RECEIVED, SENT, HTTP, CPU, LATENCY), _times(link=0.06, traffic=0.10, latency=3.0)),
    Incident(14.42, 2, "cache-01", "traffic spike", "a crawler asks for one hot key over and over", "plain",
             (HITS, CPU, LOAD, RECEIVED, SENT), _times(traffic=2.4)),
    Incident(15.58, 7, "api-02", "latency shift", "a new client library opens a connection for each call", "subtle",
             (LATENCY, CPU), _both(_times(latency=1.7), _add(cpu=0.04))),
    Incident(16.83, 0.85, "batch-01", "crash and reboot", "the kernel panics; the host comes back by itself", "plain",
             (*NODE, QUEUE, JOBS), crash),
    Incident(18.35, 5, "web-04", "noisy neighbour", "another guest of the hypervisor takes turns with it", "subtle",
             (CPU, LOAD, LATENCY), _add(jitter=0.13)),
    Incident(19.45, 4, "db-02", "stuck exporter", "the exporter serves its last answer again and again", "subtle",
             NODE, _stuck),
    Incident(20.50, 4, "web-01", "correlation break", "an empty page is served: requests go on, work stops", "subtle",
             (CPU, SENT, LOAD), _both(_times(cpu_factor=0.25, link=0.35))),
    Incident(22.38, 1.5, "api-01", "error burst", "one of two upstreams refuses connections", "plain",
             (HTTP, LATENCY), _both(_add(errors=0.14), _times(latency=0.8))),
    Incident(23.60, 2.5, "db-01", "disk saturation", "a dropped index turns look-ups into full scans", "plain",
             (READ, IO_TIME, CPU, LOAD, QUERY_TIME), _both(_add(read=190e6), _times(latency=2.2))),
    Incident(24.95, 18, "web-02", "memory leak", "an image cache without a bound", "subtle",
             (MEMORY,), _ramp("memory", 0.20, 1.3)),
    Incident(26.30, 6, "cache-01", "level shift", "a shorter time to live: every third look-up misses", "plain",
             (HITS, MISSES), _add(misses=0.27)),
    Incident(27.62, 2, "web-03", "traffic spike", "the balancer sends it half as much again as its share", "subtle",
             (HTTP, CPU, LOAD, RECEIVED, SENT), _times(traffic=1.55)),
    # From here one a day, so that "yesterday" has one wherever the history is cut.
    Incident(29.55, 1.5, "db-02", "cpu saturation", "a report without a limit runs on the replica", "plain",
             (CPU, LOAD, QUERY_TIME), _add(cpu=0.70)),
    Incident(30.47, 1.0, "web-01", "error burst", "a template is missing after a deploy", "plain",
             (HTTP,), _add(errors=0.20)),
    Incident(31.30, 5, "api-02", "disk filling", "debug logging was left on", "plain",
             (FILESYSTEM, WRITTEN, IO_TIME), _both(_ramp("fill", 0.38), _add(write=9e6))),
    Incident(32.40, 3, "batch-01", "backlog", "workers wait for a lock, so the queue grows by day", "plain",
             (QUEUE, CPU, LOAD), _both(_ramp("backlog", 900), _add(cpu=0.30))),
    Incident(33.60, 0.75, "web-04", "network drop", "a faulty cable loses most packets", "plain",
             (RECEIVED, SENT, HTTP, CPU, LATENCY), _times(link=0.08, traffic=0.12, latency=2.5)),
    Incident(34.52, 0.75, "cache-01", "crash and reboot", "the out-of-memory killer takes the host down", "plain",
             (*NODE, HITS, MISSES), crash),
    Incident(35.40, 4, "db-01", "latency shift", "a plan flips to a nested loop", "plain",
             (QUERY_TIME, CPU, READ), _both(_times(latency=2.6), _add(cpu=0.12, read=35e6))),
    Incident(36.45, 2, "api-01", "cpu saturation", "garbage collection without pause", "plain",
             (CPU, LOAD, LATENCY), _add(cpu=0.60)),
)  # fmt: skip
# What happened, but is nobody's fault: (day, hours, hosts, kind, cause).
EVENTS = (
    (3.11, 0.10, ("web-01", "web-02", "web-03", "web-04"), "planned reboot", "patch day"),
    (5.62, 1.00, ("web-03",), "scrape outage", "a firewall rule blocks the exporter"),
    (13.20, 0.34, tuple(m.name for m in FLEET), "monitoring restart", "Prometheus itself is upgraded"),
    (
        17.43,
        math.inf,
        ("api-02",),
        "device removed",
        "the second network card is taken out",
    ),
    (21.15, 0.50, ("db-02",), "scrape outage", "the exporter's certificate ran out"),
    (28.06, 0.10, ("api-01", "api-02"), "planned reboot", "patch day"),
)
