"""Tiers hold what a computation from the samples gives, over days, resets and late samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lib.frames import Block, Window, from_ms
from lib.store.archive import DAY_MS, tier_rows
from lib.store.closing import KEPT, Retention
from lib.store.samples import Samples
from lib.store.tiers import TIERS
from tests.store.archive_parts import FIRST_DAY, KEEP, NOW, filled, run

WHOLE = Window(from_ms((FIRST_DAY - 1) * DAY_MS), NOW)


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[Samples]:
    made = filled(tmp_path / "metrics.duckdb")
    yield made
    made.store.close()


def rows_of(samples: Samples, tier: str) -> dict[tuple[int, int], dict[str, float]]:
    with samples.store.read(archived=False) as cursor:
        archive = samples.store.archive
        view = archive.look(cursor)
        query = f"SELECT {tier_rows(tier)}, epoch_ms(ts) AS t FROM {archive.files(view, view.of(tier))}"
        rows = cursor.sql(query).fetchall()
        names = [column[0] for column in cursor.sql(query).description]
    found = [dict(zip(names, row, strict=True)) for row in rows]
    keyed = {(row["series_id"], row["t"]): row for row in found}
    assert len(keyed) == len(found)
    return keyed


def computed(samples: Samples, step_ms: int) -> dict[tuple[int, int], dict[str, Any]]:
    """The plain way: sample after sample."""
    slots: dict[tuple[int, int], dict[str, Any]] = {}
    for series in samples.find():
        frame = samples.read([series.id], WHOLE)
        previous: tuple[int, float] | None = None
        for moment, value in zip(frame["ts"], frame["value"].tolist(), strict=True):
            if math.isnan(value):
                continue
            t = moment.value // 10**6 if moment.unit == "ns" else int(moment.timestamp() * 1000 + 0.5)
            slot = slots.setdefault((series.id, t // step_ms * step_ms), {"values": [], "increase": 0.0})
            slot["values"].append(value)
            if series.kind != "counter":
                slot["increase"] = math.nan
            elif math.isfinite(value):
                # A counter goes on from the last sample of the day before, no further back.
                if previous and previous[0] >= t // DAY_MS * DAY_MS - DAY_MS:
                    step = value - previous[1]
                    slot["increase"] += max(value, 0.0) if step < 0 else step
                previous = (t, value)
    return slots


def assert_equal(samples: Samples) -> None:
    for tier, step_ms in TIERS.items():
        found, wanted = rows_of(samples, tier), computed(samples, step_ms)
        assert found.keys() == wanted.keys() and found
        for key, slot in wanted.items():
            row, values = found[key], slot["values"]
            assert (row["count"], row["min"], row["max"], row["last"]) == (
                len(values), min(values), max(values), values[-1],
            )  # fmt: skip
            with np.errstate(invalid="ignore"):
                total = math.fsum(values) if all(map(math.isfinite, values)) else float(np.sum(values))
            assert row["sum"] == pytest.approx(total, rel=1e-12, abs=1e-12, nan_ok=True)
            assert row["increase"] == pytest.approx(slot["increase"], rel=1e-12, nan_ok=True)


def test_tiers_equal_a_computation_from_samples(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    assert_equal(samples)


def test_the_next_day_goes_on_from_the_last_sample_that_came_late(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    end = (FIRST_DAY + 1) * DAY_MS
    samples.append(1, [Block("requests_total", {"host": "a"}, np.array([end - 5]), np.array([3.0]))])
    assert run(samples.store, tmp_path) == [FIRST_DAY]
    assert run(samples.store, tmp_path) == [FIRST_DAY + 1]
    assert run(samples.store, tmp_path) == []
    assert_equal(samples)


def test_a_day_that_is_archived_after_the_one_behind_it_corrects_its_tiers(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    earlier = Block(
        "requests_total", {"host": "a"}, FIRST_DAY * DAY_MS - DAY_MS + np.arange(100) * 1000, np.arange(100.0)
    )
    samples.append(1, [earlier])
    assert run(samples.store, tmp_path) == [FIRST_DAY - 1]
    assert run(samples.store, tmp_path) == [FIRST_DAY]
    assert_equal(samples)


@pytest.mark.parametrize("step_s", [300, 1800, 3600, 7 * 3600, 86_400, 7 * 86_400])
def test_buckets_are_the_same_from_tiers_and_from_samples(samples: Samples, tmp_path: Path, step_s: int) -> None:
    ids = [series.id for series in samples.find()]
    windows = [WHOLE, Window(from_ms(FIRST_DAY * DAY_MS + 5_000_000), from_ms((FIRST_DAY + 2) * DAY_MS + 7_777_777))]
    before = [samples.buckets(ids, window, step_s) for window in windows]
    run(samples.store, tmp_path, Retention(hot=8))
    for window, wanted in zip(windows, before, strict=True):
        pd.testing.assert_frame_equal(samples.buckets(ids, window, step_s), wanted, rtol=1e-12)
    # A late sample counts before its day is archived again.
    samples.append(1, [Block("up", {"host": "b"}, np.array([FIRST_DAY * DAY_MS + 1]), np.array([-7.0]))])
    found = samples.buckets([samples.find(metric="up")[0].id], WHOLE, step_s)
    assert found["min"].iloc[0] == -7.0


def test_buckets_of_expired_days_come_from_tiers(samples: Samples, tmp_path: Path) -> None:
    ids = [series.id for series in samples.find()]
    before = samples.buckets(ids, WHOLE, 3600)
    run(samples.store, tmp_path, Retention(hot=7, raw=8))
    run(samples.store, tmp_path, Retention(hot=7, raw=8))
    pd.testing.assert_frame_equal(samples.buckets(ids, WHOLE, 3600), before, rtol=1e-12)


def test_every_tier_has_a_file_of_its_own() -> None:
    assert set(TIERS) < set(KEPT) and KEEP.days("5m") == 0
    assert all(DAY_MS % step_ms == 0 for step_ms in TIERS.values())
