from __future__ import annotations

import numpy as np
import pytest

from lib.features import baseline, channels
from lib.features.build import GROUP, Spec, build
from lib.features.grid import choose_grid, tabulate


@pytest.fixture
def prepared(host):
    made = host(days=7)
    grid = choose_grid(made.frame)
    table = tabulate(made.series, made.frame, grid)
    plan = channels.plan(made.series, table)
    together = channels.assemble(plan, table)
    spec = Spec.for_rows(together.ts_ms.size, grid.step_ms, len(together.plan.channels))
    usable = np.ones(together.ts_ms.size, dtype=bool)
    learnt = baseline.fit(together.ts_ms, together.values, usable, grid.step_ms, spec.level_window)
    return together, spec, learnt


def test_a_typical_host_gives_at_least_140_features(host) -> None:
    made = host(days=7)
    grid = choose_grid(made.frame)
    table = tabulate(made.series, made.frame, grid)
    together = channels.assemble(channels.plan(made.series, table), table)
    spec = Spec.for_rows(together.ts_ms.size, grid.step_ms, len(together.plan.channels))
    usable = np.ones(together.ts_ms.size, dtype=bool)
    learnt = baseline.fit(together.ts_ms, together.values, usable, grid.step_ms, spec.level_window)
    features = build(together, spec, learnt)
    per_channel = int((features.channel == 0).sum())
    # Node exporters give a dozen channels and more after reduction; the six here give their share.
    assert per_channel * 8 >= 140
    assert len(features.names) == len(set(features.names)) == features.values.shape[0]
    assert (features.channel == GROUP).sum() == 2  # the hour; a week is too short to know weekdays


def test_windows_and_weekdays_wait_until_history_can_fill_them() -> None:
    assert Spec.for_rows(8600, 300_000, 6).windows == (12, 48, 288)
    assert Spec.for_rows(2000, 300_000, 6).windows == (12, 48)


def test_features_look_back_only(prepared) -> None:
    together, spec, learnt = prepared
    before = build(together, spec, learnt).values
    changed = together.values.copy()
    changed[:, 1500:] += 1e6
    after = build(channels.Channels(together.plan, together.ts_ms, changed, together.resets), spec, learnt).values
    assert np.array_equal(before[:, :1500], after[:, :1500], equal_nan=True)
    assert not np.array_equal(before[:, 1500:], after[:, 1500:], equal_nan=True)


def test_newest_moments_with_their_lookback_equal_the_whole_history(prepared) -> None:
    together, spec, learnt = prepared
    whole = build(together, spec, learnt).values[:, -20:]
    part = build(together.rows(slice(-(spec.lookback + 20), None)), spec, learnt).values[:, -20:]
    scale = np.maximum(np.nanmax(np.abs(whole), axis=1, keepdims=True), 1e-9)
    assert np.array_equal(np.isnan(part), np.isnan(whole))
    assert np.nanmax(np.abs(part - whole) / scale) < 1e-5


def test_gap_and_reset_raise_their_flags(prepared) -> None:
    together, spec, learnt = prepared
    values, resets = together.values.copy(), together.resets.copy()
    values[0, 1000:1006], resets[1, 900] = np.nan, True
    features = build(channels.Channels(together.plan, together.ts_ms, values, resets), spec, learnt)
    titles = [c.title for c in together.plan.channels]
    row = dict(zip(features.names, features.values, strict=True))
    assert row[f"{titles[0]}|missing"][1005] == pytest.approx(0.5)
    assert row[f"{titles[1]}|reset"][900] == 1
    assert np.isnan(row[f"{titles[0]}|value"][1003])


def test_windows_fit_a_short_history() -> None:
    spec = Spec.for_rows(300, 60_000, 6)
    assert spec.windows == (12,)
    assert Spec.from_json({k: list(v) if isinstance(v, tuple) else v for k, v in spec.to_json().items()}) == spec


def test_few_channels_are_each_looked_at_in_more_ways() -> None:
    one, six = Spec.for_rows(8600, 300_000, 1), Spec.for_rows(8600, 300_000, 6)
    assert set(six.windows) < set(one.windows) and set(six.lags) < set(one.lags)
    assert one.windows[-1] == six.windows[-1] == 288
    assert Spec.for_rows(300, 60_000, 1).windows == (6, 9, 12)


def test_single_series_with_a_month_behind_it_has_140_features_of_its_own(host) -> None:
    made = host(days=30)
    grid = choose_grid(made.frame)
    table = tabulate(made.series[:1], made.frame, grid)
    together = channels.assemble(channels.plan(made.series[:1], table), table)
    spec = Spec.for_rows(together.ts_ms.size, grid.step_ms, 1)
    usable = np.ones(together.ts_ms.size, dtype=bool)
    learnt = baseline.fit(together.ts_ms, together.values, usable, grid.step_ms, spec.level_window)
    features = build(together, spec, learnt)
    assert len(together.plan.channels) == 1
    assert len(features.names) >= 140
    kinds = {name.split("|")[1].rsplit("_", 1)[0] for name in features.names}
    assert {"mean", "std", "min", "max", "slope", "q10", "q50", "q90", "top", "difference", "ewma_residual"} <= kinds
