"""Short names for series shown together: only what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

from lib.frames import Series

# What people call the metrics most machines have; others go by their name.
SPOKEN = {
    "cache_hits_total": "Rate of cache hits",
    "cache_misses_total": "Rate of cache misses",
    "db_queries_total": "Rate of database queries",
    "db_query_duration_seconds_mean": "Database query time",
    "http_request_duration_seconds_mean": "Request duration",
    "http_requests_total": "Rate of requests",
    "jobs_completed_total": "Rate of completed jobs",
    "node_context_switches_total": "Rate of context switches",
    "node_disk_io_time_seconds_total": "Disk busy",
    "node_disk_read_bytes_total": "Disk reading",
    "node_disk_reads_completed_total": "Rate of disk reads",
    "node_disk_writes_completed_total": "Rate of disk writes",
    "node_disk_written_bytes_total": "Disk writing",
    "node_forks_total": "Rate of new processes",
    "node_intr_total": "Rate of interrupts",
    "node_load1": "Load (1 min)",
    "node_load5": "Load (5 min)",
    "node_load15": "Load (15 min)",
    "node_memory_AnonPages_bytes": "Memory of programs",
    "node_memory_Cached_bytes": "Page cache",
    "node_memory_Dirty_bytes": "Memory waiting to be written",
    "node_memory_MemAvailable_bytes": "Available memory",
    "node_memory_MemFree_bytes": "Free memory",
    "node_netstat_Tcp_RetransSegs": "Rate of TCP retransmissions",
    "node_network_receive_bytes_total": "Network traffic received",
    "node_network_receive_packets_total": "Rate of packets received",
    "node_network_transmit_bytes_total": "Network traffic sent",
    "node_network_transmit_packets_total": "Rate of packets sent",
    "node_pressure_cpu_waiting_seconds_total": "Waiting for CPU",
    "node_pressure_io_waiting_seconds_total": "Waiting for disk",
    "node_pressure_memory_waiting_seconds_total": "Waiting for memory",
    "node_procs_blocked": "Number of blocked processes",
    "node_procs_running": "Number of runnable processes",
    "node_sockstat_TCP_inuse": "Number of TCP connections",
    "node_vmstat_pgfault": "Rate of page faults",
    "node_vmstat_pgmajfault": "Rate of page faults from disk",
    "queue_depth": "Queue length",
    "up": "Answer to scrapes",
}


def spoken(metric: str) -> str:
    """What people call a metric, or its name."""
    return SPOKEN.get(metric, metric)


def short_titles(series: Sequence[Series]) -> dict[int, str]:
    """Series id -> a name without what all of them share, or what follows from the host; no two are the same.

    One series, or nothing that differs: metric and host. Several: the host first and bare, then the differing labels.
    """
    several_metrics = len({one.metric for one in series}) > 1
    several_hosts = len({one.host for one in series}) > 1
    differing = _differing(series)
    by_host: dict[tuple[str, str], list[Series]] = {}
    for one in series:
        by_host.setdefault((one.metric, one.host), []).append(one)
    within = {name for group in by_host.values() for name in _differing(group)}
    alone = not differing and not several_hosts
    titles: dict[int, str] = {}
    taken: set[str] = set()
    for one in series:
        start = [one.metric] if several_metrics or alone else []
        if one.host and (several_hosts or alone):
            start.append(one.host)
        title = " ".join(start + _pairs(one, [name for name in differing if name in within])) or one.metric
        if title in taken:
            title = " ".join(start + _pairs(one, differing))
        if title in taken or not title:
            # Two sources may collect series of the very same labels.
            title = f"{title or one.metric} #{one.id}"
        titles[one.id] = title
        taken.add(title)
    return titles


def _differing(series: Sequence[Series]) -> list[str]:
    names = sorted({name for one in series for name in one.labels})
    return [name for name in names if len({one.labels.get(name, "") for one in series}) > 1]


def _pairs(one: Series, names: Sequence[str]) -> list[str]:
    return [f"{name}={one.labels[name]}" for name in names if one.labels.get(name)]
