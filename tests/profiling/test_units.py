from __future__ import annotations

import pytest

from lib.profiling.units import unit_of


@pytest.mark.parametrize(
    ("metric", "kind", "unit"),
    [
        ("node_memory_MemAvailable_bytes", "gauge", "B"),
        ("node_network_receive_bytes_total", "counter", "B/s"),
        ("node_cpu_seconds_total", "counter", "ratio"),
        ("http_request_duration_seconds_sum", "counter", "s/s"),
        ("http_request_duration_seconds_count", "counter", "/s"),
        ("http_request_duration_seconds_bucket", "counter", "/s"),
        ("node_disk_reads_completed_total", "counter", "/s"),
        ("node_filesystem_avail_ratio", "gauge", "ratio"),
        ("node_hwmon_temp_celsius", "gauge", "°C"),
        ("node_boot_time_seconds", "gauge", "s since 1970"),
        ("node_rapl_package_joules_total", "counter", "W"),
        ("node_load1", "gauge", ""),
        ("", "gauge", ""),
    ],
)
def test_unit_is_read_from_the_name(metric: str, kind: str, unit: str) -> None:
    assert unit_of(metric, kind) == unit
