"""Numbers of windows whose older samples have expired: the same from sums as from the samples that were."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from lib import frames
from lib.frames import Block, Window
from lib.store import totals as totals_module
from lib.store.closing import Retention
from lib.store.samples import Samples
from lib.store.totals import Totals, totals
from tests.store.archive_parts import FIRST_DAY, NOW, blocks, filled, run

DAY, DAY_MS = timedelta(days=1), 86_400_000
START = frames.from_ms(FIRST_DAY * DAY_MS)
WHOLE = Window(START - DAY, NOW)
# Of the first two days only sums are left; the third stays.
FORGET = Retention(hot=7, raw=8)


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[Samples]:
    made = filled(tmp_path / "metrics.duckdb")
    yield made
    made.store.close()


def of(samples: Samples, window: Window, *metrics: str) -> Totals | None:
    found = [one for one in samples.find() if one.metric in metrics]
    kinds = [[one.id for one in found if (one.kind == "counter") is counter] for counter in (False, True)]
    return totals(samples.store, *kinds, window)


def truth(metric: str, window: Window) -> tuple[np.ndarray, float]:
    """Finite values in the window, and growth from the sample before it on."""
    block = next(one for one in blocks() if one.metric == metric)
    start, end = frames.to_ms(window.start), frames.to_ms(window.end)
    inside = (block.ts_ms >= start) & (block.ts_ms < end) & np.isfinite(block.value)
    steps = np.append(0.0, np.diff(block.value))
    return block.value[inside], float(np.where(steps < 0, np.maximum(block.value, 0), steps)[inside].sum())


@pytest.mark.parametrize(
    "window",
    [WHOLE, Window(START + DAY / 4, START + 2.5 * DAY), Window(START + DAY / 24, START + 1.5 * DAY)],
    ids=["all", "over the edge", "expired"],
)
@pytest.mark.parametrize("few", [100, 0], ids=["finest", "coarsest"])
def test_sums_say_what_samples_said(samples: Samples, tmp_path: Path, window: Window, few: int, monkeypatch) -> None:
    monkeypatch.setattr(totals_module, "FEW", few)
    run(samples.store, tmp_path, FORGET)
    found = of(samples, window, "load", "memory_bytes", "requests_total")
    kept = Window(max(window.start, START), window.end)
    assert found is not None and (found.window, found.until) == (kept, START + 2 * DAY)
    names = {one.id: one.metric for one in samples.find()}
    for row in found.table.itertuples():
        value, grown = truth(names[row.series_id], window)
        assert (row.count, row.min, row.max, row.last) == (value.size, value.min(), value.max(), value[-1])
        assert row.total == pytest.approx(value.sum(), rel=1e-12)
        assert row.increase == grown if names[row.series_id] == "requests_total" else np.isnan(row.increase)


def test_a_window_that_cuts_a_slot_says_what_it_covers(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path, FORGET)
    minute = timedelta(minutes=1)
    found = of(samples, Window(START + 7 * minute, START + DAY + 9 * minute), "load")
    assert found is not None and found.window == Window(START + 10 * minute, START + DAY + 5 * minute)
    assert found.table["count"].item() == truth("load", found.window)[0].size
    assert of(samples, Window(START + 6 * minute, START + 9 * minute), "load") is None, "no whole slot lies in it"


def test_days_whose_sums_have_expired_as_well_are_no_part_of_it(samples: Samples, tmp_path: Path) -> None:
    run(samples.store, tmp_path, Retention(hot=7, raw=8, tiers={"5m": 9, "1h": 9}))
    found = of(samples, WHOLE, "load")
    assert found is not None and found.window == Window(START + DAY, NOW)
    assert found.table["count"].item() == truth("load", found.window)[0].size


def test_what_sums_do_not_say_exactly_is_not_said(samples: Samples, tmp_path: Path) -> None:
    assert of(samples, WHOLE, "load") is None, "nothing has expired"
    ts = START.timestamp() * 1000 + np.array([0, 60_000, 2 * DAY_MS + 60_000, 3 * DAY_MS])
    samples.append(1, [Block("away_total", {"host": "a"}, ts.astype(np.int64), np.array([5.0, 9.0, 40.0, 41.0]))])
    run(samples.store, tmp_path, Retention(hot=5, raw=6))
    assert of(samples, WHOLE, "odd") is None, "infinities are in its sums"
    assert of(samples, WHOLE, "away_total") is None, "nobody noted how it grew while it was away for a day"
    assert of(samples, WHOLE, "away_total", "load") is None
    met = of(samples, Window(START, START + DAY), "away_total")
    assert met is not None and met.table["increase"].item() == 4.0
    later = Window(START + 5 * DAY, NOW)
    assert of(samples, later, "load") is None
