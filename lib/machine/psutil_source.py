"""This machine's own metrics under the names a node exporter gives them, so that everything built for those works on
them, without a server. What a container or another system does not offer is left out; nothing here raises for it."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
import psutil

from lib.frames import Block, to_ms

log = logging.getLogger(__name__)

Reading = tuple[str, dict[str, str], float]
# Mounts that hold nothing of their own, as node exporter leaves them out.
_PSEUDO = frozenset(
    {
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "fusectl"),
        *("hugetlbfs", "iso9660", "mqueue", "nsfs", "overlay", "proc", "procfs", "pstore", "rpc_pipefs", "securityfs"),
        *("selinuxfs", "squashfs", "sysfs", "tracefs", "tmpfs"),
    }
)
_MAX_DEVICES = 64  # a host with thousands of container interfaces would swamp the store
_MOUNTS_FRESH_S = 60.0


class Machine:
    """Read as often as one likes: it takes a few milliseconds. `host` labels every series."""

    def __init__(self, host: str | None = None) -> None:
        self.host = host or socket.gethostname() or "localhost"
        self._mounts: list[tuple[str, str, str]] = []
        self._mounts_at = float("-inf")
        self._silent: set[str] = set()

    def blocks(self, now: datetime) -> list[Block]:
        """One sample of every series, stamped `now`."""
        ts = np.array([to_ms(now)], dtype=np.int64)
        return [
            Block(metric, {"host": self.host, **labels}, ts, np.array([value], dtype=np.float64))
            for metric, labels, value in self._readings()
        ]

    def _readings(self) -> Iterator[Reading]:
        parts: tuple[Callable[[], list[Reading]], ...] = (
            self._cpu, self._load, self._memory, self._disks, self._network, self._filesystems, self._kernel,
        )  # fmt: skip
        for part in parts:
            try:
                yield from part()
            except (OSError, RuntimeError, AttributeError, NotImplementedError, psutil.Error, ValueError) as error:
                if part.__name__ not in self._silent:
                    self._silent.add(part.__name__)
                    log.info("not available on this machine", extra={"part": part.__name__, "reason": str(error)})

    def _cpu(self) -> list[Reading]:
        found: list[Reading] = []
        for number, times in enumerate(psutil.cpu_times(percpu=True)):
            for mode, seconds in times._asdict().items():
                if mode in ("guest", "guest_nice"):
                    continue  # counted in user and nice already
                found.append(("node_cpu_seconds_total", {"cpu": str(number), "mode": mode}, seconds))
        return found

    def _load(self) -> list[Reading]:
        names = ("node_load1", "node_load5", "node_load15")
        return [(name, {}, value) for name, value in zip(names, os.getloadavg(), strict=True)]

    def _memory(self) -> list[Reading]:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        values: dict[str, Any] = {
            "MemTotal": memory.total,
            "MemAvailable": memory.available,
            "MemFree": memory.free,
            "Cached": getattr(memory, "cached", None),
            "Buffers": getattr(memory, "buffers", None),
            "SwapTotal": swap.total,
            "SwapFree": swap.free,
        }
        return [(f"node_memory_{name}_bytes", {}, float(v)) for name, v in values.items() if v is not None]

    def _disks(self) -> list[Reading]:
        found: list[Reading] = []
        counters = psutil.disk_io_counters(perdisk=True) or {}
        whole = [d for d in sorted(counters) if not d.startswith(("loop", "ram", "zram", "fd", "sr"))]
        for device in whole[:_MAX_DEVICES]:
            io, labels = counters[device], {"device": device}
            found += [
                ("node_disk_reads_completed_total", labels, io.read_count),
                ("node_disk_writes_completed_total", labels, io.write_count),
                ("node_disk_read_bytes_total", labels, io.read_bytes),
                ("node_disk_written_bytes_total", labels, io.write_bytes),
            ]
            if hasattr(io, "busy_time"):
                found.append(("node_disk_io_time_seconds_total", labels, io.busy_time / 1000))
        return found

    def _network(self) -> list[Reading]:
        found: list[Reading] = []
        counters = psutil.net_io_counters(pernic=True) or {}
        for device in sorted(d for d in counters if not d.startswith("veth"))[:_MAX_DEVICES]:
            io, labels = counters[device], {"device": device}
            for way, count, packets, drops, errors in (
                ("receive", io.bytes_recv, io.packets_recv, io.dropin, io.errin),
                ("transmit", io.bytes_sent, io.packets_sent, io.dropout, io.errout),
            ):
                found += [
                    (f"node_network_{way}_bytes_total", labels, count),
                    (f"node_network_{way}_packets_total", labels, packets),
                    (f"node_network_{way}_drop_total", labels, drops),
                    (f"node_network_{way}_errs_total", labels, errors),
                ]
        return found

    def _filesystems(self) -> list[Reading]:
        found: list[Reading] = []
        for device, mountpoint, kind in self._mounted():
            labels = {"device": device, "mountpoint": mountpoint, "fstype": kind}
            try:
                usage = psutil.disk_usage(mountpoint)
            except OSError:
                continue  # unmounted since, or not ours to look at
            found += [
                ("node_filesystem_size_bytes", labels, usage.total),
                ("node_filesystem_avail_bytes", labels, usage.free),
            ]
        return found

    def _mounted(self) -> list[tuple[str, str, str]]:
        """Which mounts there are changes rarely and costs most to find out."""
        if time.monotonic() - self._mounts_at > _MOUNTS_FRESH_S:
            seen: dict[str, tuple[str, str, str]] = {}
            for part in psutil.disk_partitions(all=True):
                # A container's root is an overlay: a pseudo file system, and the one that fills up.
                if part.fstype in _PSEUDO and part.mountpoint != "/":
                    continue
                seen.setdefault(part.device if part.fstype not in _PSEUDO else "/", tuple(part[:3]))
            self._mounts = list(seen.values())[:_MAX_DEVICES]
            self._mounts_at = time.monotonic()
        return self._mounts

    def _kernel(self) -> list[Reading]:
        stats = psutil.cpu_stats()
        found: list[Reading] = [
            ("node_boot_time_seconds", {}, psutil.boot_time()),
            ("node_context_switches_total", {}, stats.ctx_switches),
            ("node_intr_total", {}, stats.interrupts),
        ]
        return found
