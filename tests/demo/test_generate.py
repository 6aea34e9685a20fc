from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

BUNDLED = Path(__file__).parents[2] / "data" / "demo"


@pytest.fixture
def small(generator: ModuleType) -> tuple[list, dict]:
    return generator.simulate(days=9)


def test_same_seed_gives_the_same_integers(generator: ModuleType) -> None:
    first, labels = generator.simulate(days=2)
    again, labels_again = generator.simulate(days=2)
    other, _ = generator.simulate(days=2, seed=1)
    assert labels == labels_again
    assert [c.labels for c in first] == [c.labels for c in again]
    assert all((a.value == b.value).all() and (a.tick == b.tick).all() for a, b in zip(first, again, strict=True))
    assert any(a.value.shape != b.value.shape or (a.value != b.value).any() for a, b in zip(first, other, strict=True))


def test_processor_modes_add_up_to_cores_times_uptime(generator: ModuleType, small: tuple[list, dict]) -> None:
    cores = {machine.name: machine.cores for machine in generator.FLEET}
    by_host = defaultdict(list)
    for column in small[0]:
        if column.metric == "node_cpu_seconds_total":
            by_host[column.labels["instance"]].append(column)
    assert set(by_host) == set(cores)
    for host, modes in by_host.items():
        assert {c.labels["mode"] for c in modes} == {"user", "system", "idle", "iowait"}
        grown = np.diff(np.sum([c.value for c in modes], axis=0))
        steps = np.diff(modes[0].tick)
        per_step = generator.STEP_S * cores[host] * generator.CPU_TICK[1] // generator.CPU_TICK[0]
        kept = grown > 0  # a reboot begins again
        assert (grown[kept] == per_step * steps[kept]).all()
        assert all((np.diff(c.value)[kept] >= 0).all() for c in modes)


def test_counters_fall_only_where_a_host_was_rebooted(small: tuple[list, dict]) -> None:
    columns, labels = small
    reboots = {
        (host, event["end_s"])
        for event in labels["events"]
        if event["kind"] == "planned reboot"
        for host in event["hosts"]
    }
    fell = set()
    for column in columns:
        if column.metric.endswith("_total"):
            for k in np.flatnonzero(np.diff(column.value) < 0):
                fell.add((column.labels["instance"], int(column.tick[k + 1]) * 300))
    assert fell == reboots


def test_a_scrape_outage_leaves_a_gap_and_up_says_zero(small: tuple[list, dict]) -> None:
    outage = next(e for e in small[1]["events"] if e["kind"] == "scrape outage")
    inside = np.arange(outage["start_s"] // 300, outage["end_s"] // 300)
    for column in small[0]:
        if column.labels["instance"] == outage["hosts"][0]:
            there = np.isin(inside, column.tick)
            if column.metric == "up":
                assert there.all() and not column.value[np.isin(column.tick, inside)].any()
            else:
                assert not there.any()


def test_an_incident_moves_what_its_label_names(generator: ModuleType, small: tuple[list, dict]) -> None:
    incident = next(i for i in small[1]["incidents"] if i["kind"] == "cpu saturation")
    user = next(c for c in small[0] if c.labels["instance"] == incident["host"] and c.labels.get("mode") == "user")
    rate = np.diff(user.value) / np.diff(user.tick)
    during = (user.tick[1:] * 300 > incident["start_s"]) & (user.tick[1:] * 300 <= incident["end_s"])
    assert np.median(rate[during]) > 1.5 * np.quantile(rate[(rate > 0) & ~during], 0.999)


def test_a_recording_comes_back_as_it_was_scraped(generator: ModuleType, tmp_path: Path) -> None:
    start, n = 1_700_000_000.123, 40
    rng = np.random.default_rng(5)
    seconds = np.round(np.cumsum(rng.random(n)), 2)
    waited = np.round(np.cumsum(rng.random(n)) * 1e6) * 1e-6  # how the exporter turns microseconds into seconds
    series = {
        ("node_cpu_seconds_total", "user"): seconds,
        ("node_cpu_seconds_total", "nice"): np.zeros(n),
        ("node_memory_MemFree_bytes", ""): rng.integers(10**6, 10**7, n) * 4096.0,
        ("node_pressure_io_waiting_seconds_total", ""): waited,
    }
    export = [
        {
            "metric": {"__name__": name, "host": "recorded", "job": "node"} | ({"mode": mode} if mode else {}),
            "values": [[round(start + 5 * k, 3), repr(float(v))] for k, v in enumerate(values)],
        }
        for (name, mode), values in series.items()
    ]
    (tmp_path / "export.json").write_text(json.dumps(export))
    fault = {"start": start + 60, "end": start + 90, "kind": "cpu", "cause": "stress-ng"}
    (tmp_path / "labels.json").write_text(json.dumps([fault]))
    columns, labels = generator.recorded(tmp_path)
    back = {
        (c.metric, c.labels.get("mode", "")): (labels["origin_ms"] + c.tick, c.value * c.scale[0] / c.scale[1])
        for c in columns
    }
    assert ("node_cpu_seconds_total", "nice") not in back
    for key, (ts, value) in back.items():
        assert (ts == [round((start + 5 * k) * 1000) for k in range(n)]).all()
        if key[0].startswith("node_pressure"):
            np.testing.assert_allclose(value, series[key], rtol=1e-9)
        else:
            assert (value == series[key]).all()
    assert labels["incidents"][0]["start_s"] == pytest.approx(60, abs=0.01)
    assert labels["provenance"].startswith("Recorded")


def test_a_recording_tells_only_of_the_root_file_system(generator: ModuleType, tmp_path: Path) -> None:
    export = [
        {"metric": {"__name__": "node_filesystem_avail_bytes", "mountpoint": mountpoint}, "values": [[start, "4096"]]}
        for start, mountpoint in ((1_700_000_000, "/home/somebody/private"), (1_700_000_005, "/"))
    ]
    (tmp_path / "export.json").write_text(json.dumps(export))
    columns, labels = generator.recorded(tmp_path)
    assert [column.labels["mountpoint"] for column in columns] == ["/"]
    assert labels["origin_ms"] == 1_700_000_005_000


def test_the_bundled_recording_tells_only_of_the_root_file_system() -> None:
    series = pq.read_table(BUNDLED / "recorded.series.parquet").to_pylist()
    mounted = {json.loads(row["labels"]).get("mountpoint", "/") for row in series}
    assert mounted == {"/"}


def test_files_are_sorted_and_readable_without_this_code(generator: ModuleType, tmp_path: Path) -> None:
    columns, labels = generator.simulate(days=1)
    size = generator.write(tmp_path, "small", columns, labels)
    assert size == sum(path.stat().st_size for path in tmp_path.iterdir())
    samples = pq.read_table(tmp_path / "small.samples.parquet").to_pandas()
    assert samples.equals(samples.sort_values(["series", "tick"], ignore_index=True))
    assert not samples.duplicated(["series", "tick"]).any()
