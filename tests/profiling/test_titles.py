from __future__ import annotations

from lib.frames import Series
from lib.profiling.titles import short_titles


def series(series_id: int, host: str, **labels: str) -> Series:
    return Series(series_id, 1, "node_cpu_seconds_total", {"instance": host, **labels}, host, "counter")


def test_only_what_differs_is_said() -> None:
    found = [series(1, "web-1", cpu="0", job="n"), series(2, "web-1", cpu="1", job="n")]
    assert short_titles(found) == {1: "cpu=0", 2: "cpu=1"}


def test_several_hosts_come_first_and_bare() -> None:
    found = [series(n, f"web-{n // 2}", cpu=str(n % 2)) for n in range(4)]
    assert short_titles(found) == {0: "web-0 cpu=0", 1: "web-0 cpu=1", 2: "web-1 cpu=0", 3: "web-1 cpu=1"}


def test_one_series_says_metric_and_host() -> None:
    assert short_titles([series(1, "web-1", cpu="0")]) == {1: "node_cpu_seconds_total web-1"}
    assert short_titles([]) == {}


def test_labels_that_follow_from_the_host_are_left_out() -> None:
    found = [series(1, "web-1", job="fleet"), series(2, "vm", job="machine")]
    assert short_titles(found) == {1: "web-1", 2: "vm"}


def test_series_of_the_same_labels_still_have_names_of_their_own() -> None:
    found = [series(1, "web-1", cpu="0"), series(2, "web-1", cpu="0"), series(3, "web-2", cpu="0")]
    assert len(set(short_titles(found).values())) == 3
    assert short_titles(found[:2])[1] == "node_cpu_seconds_total web-1"


def test_several_metrics_are_named() -> None:
    other = Series(9, 1, "node_load1", {"instance": "web-1"}, "web-1", "gauge")
    assert short_titles([series(1, "web-1", cpu="0"), other]) == {1: "node_cpu_seconds_total", 9: "node_load1"}
