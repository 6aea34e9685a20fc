from __future__ import annotations

import numpy as np
import pytest

from lib.errors import NotEnoughData
from lib.features import channels
from lib.features.channels import MAX_CHANNELS, Plan
from lib.features.grid import Grid, Table
from lib.frames import Series


def table(rows: list[np.ndarray]) -> Table:
    values = np.array(rows, dtype=float)
    ts = np.arange(values.shape[1], dtype=np.int64) * 1000
    return Table(Grid(1000), np.arange(1, len(rows) + 1), ts, values, np.zeros(values.shape, dtype=bool))


def gauge(number: int, metric: str, **labels: str) -> Series:
    return Series(number, 1, metric, labels, "web-01", "gauge")


def noise(seed: int, n: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).normal(10, 1, n)


def test_cpu_seconds_by_mode_become_the_busy_share_of_all_cores() -> None:
    modes = [("idle", 0.5), ("user", 0.3), ("system", 0.1), ("iowait", 0.1)]
    wobble = noise(1) * 0.01
    series, rows = [], []
    for cpu in ("0", "1"):
        for mode, share in modes:
            series.append(
                Series(len(series) + 1, 1, "node_cpu_seconds_total", {"cpu": cpu, "mode": mode}, "h", "counter")
            )
            rows.append(np.full(400, share) + (wobble if mode == "user" else -wobble if mode == "idle" else 0))
    made = channels.plan(series, table(rows))
    busy = next(i for i, c in enumerate(made.channels) if c.title == "CPU busy")
    values = channels.assemble(made, table(rows)).values[busy]
    assert made.channels[busy].unit == "%"
    assert values == pytest.approx(100 * (0.4 + wobble), abs=1e-9)


def test_memory_and_disks_become_shares_used() -> None:
    series = [
        gauge(1, "node_memory_MemTotal_bytes"),
        gauge(2, "node_memory_MemAvailable_bytes"),
        gauge(3, "node_filesystem_size_bytes", mountpoint="/", device="sda"),
        gauge(4, "node_filesystem_avail_bytes", mountpoint="/", device="sda"),
    ]
    rows = [np.full(400, 100.0), noise(1), np.full(400, 50.0), noise(2)]
    made = channels.plan(series, table(rows))
    assert [c.title for c in made.channels] == ["Memory used", "Disk used on /"]
    values = channels.assemble(made, table(rows)).values
    assert values[0] == pytest.approx(100 - rows[1])
    assert made.channels[0].bounds == (0.0, 100.0)


def test_what_is_left_out_is_said_with_its_reason() -> None:
    base = noise(1)
    series = [gauge(i, m) for i, m in enumerate(("load", "twin", "still", "dead", "node_boot_time_seconds", "rare"), 1)]
    rare = np.full(400, np.nan)
    rare[:40] = noise(3, 40)
    rows = [base, base * 2 + 1, np.full(400, 7.0), np.full(400, np.nan), noise(2), rare]
    made = channels.plan(series, table(rows))
    reasons = dict(made.left_out)
    assert [c.title for c in made.channels] == ["load"]
    assert reasons["twin"] == "moves with load"
    assert reasons["still"] == "constant"
    assert reasons["dead"] == "no usable samples"
    assert "only 40 of 400" in reasons["rare"]
    assert "node_boot_time_seconds" in reasons


def test_many_series_of_a_metric_are_summed_and_the_sum_skips_missing_ones() -> None:
    series = [gauge(i, "sockets", pool=str(i)) for i in range(1, 8)]
    rows = [noise(i) for i in range(1, 8)]
    rows[0] = rows[0].copy()
    rows[0][100] = np.nan
    made = channels.plan(series, table(rows))
    assert [c.title for c in made.channels] == ["sockets (sum of 7)"]
    value = channels.assemble(made, table(rows)).values[0]
    assert value[100] == pytest.approx(sum(r[100] for r in rows[1:]))


def test_ten_thousand_series_give_a_bounded_plan() -> None:
    rng = np.random.default_rng(0)
    series = [gauge(i, f"metric_{i % 500}", part=str(i)) for i in range(1, 10_001)]
    made = channels.plan(series, table(list(rng.normal(0, 1, (10_000, 60)))))
    assert len(made.channels) == MAX_CHANNELS
    assert any("most telling" in reason for _, reason in made.left_out)


def test_a_group_that_never_varies_is_refused_with_the_reason() -> None:
    with pytest.raises(NotEnoughData, match="constant"):
        channels.plan([gauge(1, "still")], table([np.full(400, 3.0)]))


def test_plan_survives_json() -> None:
    made = channels.plan([gauge(1, "load"), gauge(2, "queue")], table([noise(1), noise(2)]))
    assert Plan.from_json(made.to_json()) == made
