import time
from datetime import UTC, datetime

import psutil
import pytest

from lib.frames import kind_of, to_ms, validate
from lib.machine.psutil_source import Machine

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


def test_names_and_labels_are_those_of_a_node_exporter() -> None:
    blocks = Machine("box").blocks(NOW)
    names = {b.metric for b in blocks}
    assert {
        "node_cpu_seconds_total",
        "node_load1",
        "node_memory_MemTotal_bytes",
        "node_memory_MemAvailable_bytes",
        "node_network_receive_bytes_total",
        "node_filesystem_size_bytes",
        "node_filesystem_avail_bytes",
    } <= names
    cpu = [b for b in blocks if b.metric == "node_cpu_seconds_total"]
    assert {b.labels["cpu"] for b in cpu} == {str(n) for n in range(psutil.cpu_count() or 0)}
    assert {"user", "system", "idle"} <= {b.labels["mode"] for b in cpu}
    assert kind_of("node_cpu_seconds_total") == "counter" and kind_of("node_load1") == "gauge"


def test_every_series_is_one_valid_sample_of_this_host_at_this_moment() -> None:
    blocks = Machine("box").blocks(NOW)
    keys = {(b.metric, frozenset(b.labels.items())) for b in blocks}
    assert len(keys) == len(blocks), "no series twice"
    for block in blocks:
        assert block.labels["host"] == "box"
        assert block.ts_ms.tolist() == [to_ms(NOW)]
        assert validate(block, NOW)[1].count == 0


def test_counters_never_run_backwards() -> None:
    machine = Machine("box")
    first = {(b.metric, frozenset(b.labels.items())): b.value[0] for b in machine.blocks(NOW)}
    time.sleep(0.05)
    for block in machine.blocks(NOW):
        key = (block.metric, frozenset(block.labels.items()))
        if kind_of(block.metric) == "counter" and key in first:
            assert block.value[0] >= first[key], key


@pytest.mark.parametrize(
    "missing",
    [
        "cpu_times",
        "virtual_memory",
        "swap_memory",
        "disk_io_counters",
        "net_io_counters",
        "disk_partitions",
        "cpu_stats",
    ],
)
def test_part_that_a_container_lacks_is_left_out(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_: object, **__: object) -> None:
        raise FileNotFoundError("/proc/diskstats")

    monkeypatch.setattr(psutil, missing, lacks)
    assert Machine("box").blocks(NOW), "the other parts still come"


def test_none_where_there_are_no_disks_or_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", lambda perdisk: None)
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic: None)
    names = {b.metric for b in Machine("box").blocks(NOW)}
    assert not any("disk" in n or "network" in n for n in names) and "node_load1" in names
