from __future__ import annotations

from lib.frames import Series
from lib.profiling.titles import short_titles


def series(series_id: int, host: str, **labels: str) -> Series:
    return Series(series_id, 1, "node_cpu_seconds_total", {"instance": host, **labels}, host, "counter")


def test_only_what_differs_is_said() -> None:
    found = [series(1, "web-1", cpu="0", job="n"), series(2, "web-1", cpu="1", job="n")]
    assert short_titles(found) == {1: "cpu=0", 2: "cpu=1"}


def test_several_hosts_come_first_and_bare() -> None:
    found = [series(1, "web-1", cpu="0"), series(2, "web-2", cpu="1")]
    assert short_titles(found) == {1: "web-1 cpu=0", 2: "web-2 cpu=1"}


def test_one_series_says_metric_and_host() -> None:
    assert short_titles([series(1, "web-1", cpu="0")]) == {1: "node_cpu_seconds_total web-1"}
    assert short_titles([]) == {}
