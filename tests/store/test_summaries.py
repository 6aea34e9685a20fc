"""Charts drawn from the archive's sums: the same picture as from samples, and one where samples have expired."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib import frames
from lib.frames import Block, Window
from lib.profiling.gaps import GAP_FACTOR
from lib.store.closing import Retention
from lib.store.readings import Readings
from lib.store.samples import Samples
from lib.store.summaries import Summaries, Summed, expired_until
from tests.store.archive_parts import FIRST_DAY, KEEP, NOW, filled, run

DAY, HOUR_MS = timedelta(days=1), 3_600_000
START = frames.from_ms(FIRST_DAY * 86_400_000)
WHOLE = Window(START, START + 3 * DAY)
# Two days hot rows are kept, of the first day only the sums.
FORGET_FIRST = Retention(hot=7, raw=9)


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[Samples]:
    made = filled(tmp_path / "metrics.duckdb")
    yield made
    made.store.close()


def by_kind(samples: Samples) -> tuple[list[int], list[int]]:
    found = samples.find()
    return [one.id for one in found if one.kind == "gauge"], [one.id for one in found if one.kind == "counter"]


def drawn(samples: Samples, window: Window, step_ms: int = HOUR_MS) -> Summed | None:
    readings = Readings(samples.store, GAP_FACTOR)
    return Summaries(readings).buckets(*by_kind(samples), window, lambda _first: step_ms)


def raw(samples: Samples, window: Window, step_ms: int = HOUR_MS) -> tuple[pd.DataFrame, pd.DataFrame]:
    readings, (gauges, counters) = Readings(samples.store, GAP_FACTOR), by_kind(samples)
    parts = [readings.buckets(gauges, window, step_ms, counters=False)]
    parts.append(readings.buckets(counters, window, step_ms, counters=True))
    buckets = pd.concat(parts).sort_values(["series_id", "ts"], ignore_index=True)
    return buckets, readings.extent([*gauges, *counters], window)


def same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, wanted[found.columns], rtol=1e-12, atol=1e-12, check_dtype=False)


@pytest.mark.parametrize("step_ms", [300_000, HOUR_MS, 7 * 86_400_000])
@pytest.mark.parametrize(
    "window", [WHOLE, Window(START + DAY / 3, START + 2.4 * DAY), Window(START - DAY, START + 9 * DAY)]
)
def test_wide_buckets_are_the_same_from_sums(samples: Samples, tmp_path: Path, window: Window, step_ms: int) -> None:
    """NaN, infinities, stale markers and a late sample among them."""
    before, extent = raw(samples, window, step_ms)
    run(samples.store, tmp_path)
    made = drawn(samples, window, step_ms)
    assert made is not None and made.tiers and not made.expired and made.step_ms == step_ms
    same(made.buckets, before)
    assert made.extent[["series_id", "count", "non_finite"]].equals(extent[["series_id", "count", "non_finite"]])


def test_late_sample_shows_at_once(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    late = Block("load", {"host": "a"}, np.array([frames.to_ms(START) + 5 * HOUR_MS + 1]), np.array([1e6]))
    samples.append(1, [late])
    made = drawn(samples, WHOLE)
    assert made is not None and made.buckets["max"].max() >= 1e6
    same(made.buckets, raw(samples, WHOLE)[0])


def test_nothing_archived_or_too_fine_is_left_to_samples(samples: Samples, tmp_path: Path) -> None:
    assert drawn(samples, WHOLE) is None
    run(samples.store, tmp_path)
    assert drawn(samples, WHOLE, 60_000) is None
    assert drawn(samples, Window(START + 30 * DAY, START + 31 * DAY)) is None


def test_expired_day_is_drawn_from_its_sums(samples: Samples, tmp_path: Path) -> None:
    gauges, counters = by_kind(samples)
    before, extent = raw(samples, WHOLE)
    run(samples.store, tmp_path)
    run(samples.store, tmp_path, FORGET_FIRST)
    first = Window(START, START + DAY)
    assert samples.read(gauges, first).empty
    made = drawn(samples, WHOLE, 60_000)
    assert made is not None and made.expired == 1 and made.step_ms == 300_000, "as fine as its finest sums"
    made = drawn(samples, WHOLE)
    assert made is not None and made.expired == 1 and made.tiers == ("1h",)
    odd = samples.find(metric="odd")[0].id  # infinities are in its sums
    kept = made.buckets[made.buckets["series_id"].isin(set(gauges) - {odd})]
    same(kept.reset_index(drop=True), before[before["series_id"].isin(set(kept["series_id"]))].reset_index(drop=True))
    rates = made.buckets[made.buckets["series_id"] == counters[0]].set_index("ts")
    wanted = before[before["series_id"] == counters[0]].set_index("ts")
    # The first hour of all has nothing before it; a rate in an hour stays between what was seen in it.
    assert len(rates) >= len(wanted) - 1
    both = rates.join(wanted, rsuffix="_seen").loc[: START + DAY - timedelta(hours=1)]
    assert (both["mean"] <= both["max_seen"]).all() and (both["mean"] >= both["min_seen"]).all()
    np.testing.assert_allclose(both["mean"], both["mean_seen"], rtol=0.1)
    assert made.extent["series_id"].tolist() == extent["series_id"].tolist()


def test_rate_from_sums_keeps_out_of_gaps(tmp_path: Path) -> None:
    """Two a second, six hours missing: an hour after them would show all of their growth."""
    ts = frames.to_ms(START) + np.arange(0, 86_400, 60, dtype=np.int64) * 1000
    ts = ts[(ts < ts[0] + 5.5 * HOUR_MS) | (ts >= ts[0] + 11.5 * HOUR_MS)]
    samples = filled(tmp_path / "metrics.duckdb")
    samples.append(1, [Block("asked_total", {"host": "a"}, ts, (ts - ts[0]) / 500.0)])
    run(samples.store, tmp_path)
    run(samples.store, tmp_path, FORGET_FIRST)
    made = drawn(samples, Window(START, START + DAY))
    assert made is not None
    one = made.buckets[made.buckets["series_id"] == samples.find(metric="asked_total")[0].id]
    hours = one["ts"].dt.hour.tolist()
    assert hours == [1, 2, 3, 4, 5, *range(12, 24)]
    np.testing.assert_allclose(one["mean"], 2.0, rtol=0.04)
    samples.store.close()


def test_only_hours_left_make_hours(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    run(samples.store, tmp_path, Retention(hot=7, raw=8, tiers={"5m": 8}))
    made = drawn(samples, WHOLE, 60_000)
    assert made is not None and made.step_ms == HOUR_MS and made.tiers == ("1h",)


def test_expired_until_says_where_samples_begin(samples: Samples, tmp_path: Path) -> None:
    assert expired_until(samples.store, WHOLE) is None
    run(samples.store, tmp_path, KEEP, NOW)
    assert expired_until(samples.store, WHOLE) is None
    run(samples.store, tmp_path, FORGET_FIRST)
    assert expired_until(samples.store, WHOLE) == START + DAY
    assert expired_until(samples.store, Window(START + DAY, START + 3 * DAY)) is None
