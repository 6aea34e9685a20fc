"""Friendly words become formulas over what is collected."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lib.chat.measures import MEASURES, plain, values
from lib.frames import Series


def series(number: int, metric: str, host: str = "a", kind: str = "gauge", **labels: str) -> Series:
    return Series(number, 1, metric, {"instance": host, "job": "node", **labels}, host, kind)


def samples(**columns: list[float]) -> pd.DataFrame:
    """s1=[...]: values of series 1 at 0, 10, 20 … seconds; NaN: no sample."""
    pieces = []
    for key, given in columns.items():
        ts = pd.to_datetime(np.arange(len(given)) * 10_000, unit="ms", utc=True)
        pieces.append(pd.DataFrame({"series_id": int(key[1:]), "ts": ts, "value": given}).dropna())
    return pd.concat(pieces, ignore_index=True)


def cpu(number: int, mode: str, host: str = "a", **labels: str) -> Series:
    return series(number, "node_cpu_seconds_total", host, "counter", mode=mode, **labels)


def test_cpu_busy_is_what_idle_and_waiting_leave_of_all_modes() -> None:
    rows = [cpu(1, "idle", cpu="0"), cpu(2, "idle", cpu="1"), cpu(3, "user", cpu="0"), cpu(4, "iowait", cpu="1")]
    frame = samples(s1=[0.0, 8.0, 10.0], s2=[0.0, 9.0, 18.0], s3=[0.0, 2.0, 10.0], s4=[0.0, 1.0, 2.0])
    got = values(MEASURES["cpu_busy"], rows, frame)
    assert got["value"].tolist() == pytest.approx([10.0, 40.0])
    assert got["host"].tolist() == ["a", "a"] and got["ts"].tolist() == [10_000, 20_000]


def test_series_that_stand_for_several_cores_give_the_same_share() -> None:
    rows = [cpu(1, "idle"), cpu(2, "user"), cpu(3, "iowait")]
    got = values(MEASURES["cpu_busy"], rows, samples(s1=[0.0, 240.0], s2=[0.0, 60.0], s3=[0.0, 20.0]))
    assert got["value"].tolist() == pytest.approx([18.75])
    waiting = values(MEASURES["cpu_iowait"], rows, samples(s1=[0.0, 240.0], s2=[0.0, 60.0], s3=[0.0, 20.0]))
    assert waiting["value"].tolist() == pytest.approx([6.25])


def test_idle_alone_tells_no_share() -> None:
    rows = [cpu(1, "idle"), cpu(2, "idle", host="b"), cpu(3, "user", host="b")]
    got = values(MEASURES["cpu_busy"], rows, samples(s1=[0.0, 5.0], s2=[0.0, 5.0], s3=[0.0, 5.0]))
    assert dict(zip(got["host"], got["value"], strict=True)) == {"b": 50.0}


def test_moment_with_a_mode_missing_is_left_out() -> None:
    rows = [cpu(1, "idle"), cpu(2, "user")]
    got = values(MEASURES["cpu_busy"], rows, samples(s1=[0.0, 5.0, 10.0, 15.0], s2=[0.0, 5.0, np.nan, 15.0]))
    assert got["ts"].tolist() == [10_000, 30_000]


def test_counter_reset_gives_no_negative_rate() -> None:
    sent = series(1, "node_network_transmit_bytes_total", kind="counter", device="eth0")
    got = values(MEASURES["network_sent"], [sent], samples(s1=[1000.0, 2000.0, 500.0, 1500.0]))
    assert got["value"].tolist() == pytest.approx([100.0, 50.0, 100.0])


def test_loopback_is_no_network_traffic() -> None:
    both = [
        series(n, "node_network_receive_bytes_total", kind="counter", device=d) for n, d in ((1, "eth0"), (2, "lo"))
    ]
    got = values(MEASURES["network_received"], both, samples(s1=[0.0, 100.0], s2=[0.0, 9999.0]))
    assert got["value"].tolist() == [10.0]


def test_share_needs_both_at_the_same_moment() -> None:
    left, whole = series(1, "node_memory_MemAvailable_bytes"), series(2, "node_memory_MemTotal_bytes")
    got = values(MEASURES["memory_used"], [left, whole], samples(s1=[25.0, 50.0, 75.0], s2=[100.0, np.nan, 100.0]))
    assert got["value"].tolist() == [75.0, 25.0]


def test_nothing_is_divided_by_nothing() -> None:
    left, whole = series(1, "node_memory_SwapFree_bytes"), series(2, "node_memory_SwapTotal_bytes")
    assert values(MEASURES["swap_used"], [left, whole], samples(s1=[0.0], s2=[0.0])).empty


def test_file_systems_stay_apart_and_are_told_by_their_labels() -> None:
    rows = []
    for n, mount in ((1, "/"), (2, "/data")):
        rows += [series(n, "node_filesystem_avail_bytes", mountpoint=mount)]
        rows += [series(n + 10, "node_filesystem_size_bytes", mountpoint=mount)]
    got = values(MEASURES["disk_space_used"], rows, samples(s1=[40.0], s2=[10.0], s11=[100.0], s12=[100.0]))
    assert dict(zip(got["part"], got["value"], strict=True)) == {'mountpoint="/"': 60.0, 'mountpoint="/data"': 90.0}


def test_stored_gauge_is_taken_as_it_is_without_what_is_no_number() -> None:
    got = values(plain("node_load1", "gauge"), [series(1, "node_load1")], samples(s1=[1.0, np.inf, 3.0]))
    assert got["value"].tolist() == [1.0, 3.0]
    assert plain("node_boots_total", "counter").formula == "rate(node_boots_total)"
