from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from lib.app import App
from lib.auth.actor import GUEST, SYSTEM, Actor, Role
from lib.errors import Invalid, NotFound
from lib.frames import Block, Window, to_ms
from lib.services import exploration, exploration_profiles

VIEWER = Actor("vera", Role.VIEWER)


class Nobody(Actor):
    """May nothing, whatever the role."""

    def may(self, permission: object) -> bool:
        return False


def stamps(app: App, count: int, step_s: float = 60) -> np.ndarray:
    return to_ms(app.clock()) - (np.arange(count)[::-1] * step_s * 1000).astype(np.int64) - 1000


def write(app: App, metric: str, value: np.ndarray, ts_ms: np.ndarray | None = None, **labels: str) -> int:
    value = np.asarray(value, dtype=float)
    app.samples.append(1, [Block(metric, labels, stamps(app, value.size) if ts_ms is None else ts_ms, value)])
    return app.samples.find(metric=metric, labels=labels)[0].id


def last(app: App, **span: float) -> Window:
    return Window.last(timedelta(**span), app.clock())


def test_few_samples_are_all_drawn(app: App) -> None:
    series_id = write(app, "temp_celsius", np.arange(100.0), instance="a")
    data = app.exploration.chart(VIEWER, [series_id], last(app, hours=2))
    assert (data.step_s, data.points, data.unit, data.rate) == (0, 100, "°C", False)
    assert data.lines[0].value.tolist() == list(range(100))
    assert data.lines[0].low is None


def test_many_samples_become_at_most_the_points_asked_for_and_keep_their_extremes(app: App) -> None:
    value = np.sin(np.arange(20_000))
    value[7_777] = 99
    series_id = write(app, "load", value, instance="a")
    data = app.exploration.chart(VIEWER, [series_id], last(app, days=30), max_points=1000)
    line = data.lines[0]
    assert 300 < data.points <= 1000
    assert data.samples == 20_000
    assert np.nanmax(line.high) == 99
    assert (line.low <= line.value).all() and (line.value <= line.high).all()


def test_several_series_share_the_points(app: App) -> None:
    ids = [write(app, "load", np.arange(3000.0), instance=f"h{i}") for i in range(5)]
    data = app.exploration.chart(VIEWER, ids, last(app, days=3), max_points=1000)
    assert len(data.lines) == 5
    assert data.points <= 1000
    assert [line.title for line in data.lines] == [f"h{i}" for i in range(5)]


def test_short_history_in_a_long_window_keeps_its_detail(app: App) -> None:
    series_id = write(app, "load", np.arange(3000.0), stamps(app, 3000, step_s=1), instance="a")
    data = app.exploration.chart(VIEWER, [series_id], last(app, days=30))
    assert data.step_s <= 5


def test_counter_is_drawn_as_rate_with_resets_handled(app: App) -> None:
    value = np.arange(200) * 60.0
    value[120:] -= value[120]
    series_id = write(app, "requests_total", value, instance="a")
    data = app.exploration.chart(VIEWER, [series_id], last(app, days=1))
    assert data.rate and data.unit == "/s"
    drawn = data.lines[0].value
    assert drawn.size == 199
    assert np.nanmin(drawn) >= 0
    assert np.nanmax(drawn) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [300, 6000])
def test_lines_break_at_gaps(app: App, count: int) -> None:
    keep = np.ones(count, dtype=bool)
    keep[count // 2 : count // 2 + count // 10] = False
    series_id = write(app, "load", np.ones(keep.sum()), stamps(app, count)[keep], instance="a")
    line = app.exploration.chart(VIEWER, [series_id], last(app, days=30)).lines[0]
    assert np.isnan(line.value).sum() == 1
    assert (np.diff(line.ts_ms) > 0).all()


def test_a_line_breaks_where_a_host_was_away_though_few_buckets_are_left_of_it(app: App) -> None:
    now = stamps(app, 1)[0]
    steady = now - np.arange(1440, dtype=np.int64)[::-1] * 60_000
    away = now - np.array([*range(243, 240, -1), 2, 1, 0], dtype=np.int64) * 60_000
    ids = [
        write(app, "load", np.ones(1440), steady, instance="steady"),
        write(app, "load", np.ones(6), away, instance="away"),
    ]
    lines = {line.series.host: line for line in app.exploration.chart(VIEWER, ids, last(app, days=1), 40).lines}
    assert np.isnan(lines["away"].value).sum() == 1
    assert not np.isnan(lines["steady"].value).any()


def test_values_that_are_no_number_are_counted_and_not_drawn(app: App) -> None:
    series_id = write(app, "load", np.array([1.0, np.nan, 3.0, np.inf, 5.0]), instance="a")
    data = app.exploration.chart(VIEWER, [series_id], last(app, hours=1))
    assert data.non_finite == 2
    assert np.isfinite(data.lines[0].value).sum() == 3


def test_unit_is_left_open_when_series_differ(app: App) -> None:
    ids = [write(app, "load", np.ones(3), instance="a"), write(app, "mem_bytes", np.ones(3), instance="a")]
    data = app.exploration.chart(VIEWER, ids, last(app, hours=1))
    assert data.unit == ""
    assert [line.title for line in data.lines] == ["load a", "mem_bytes a"]


def test_chart_of_nothing_is_empty(app: App) -> None:
    series_id = write(app, "load", np.ones(3), instance="a")
    past = Window.last(timedelta(hours=1), app.clock() - timedelta(days=9))
    assert app.exploration.chart(VIEWER, [series_id], past).lines == ()
    assert app.exploration.chart(VIEWER, [], past).lines == ()
    assert app.exploration.chart(VIEWER, [424242], past).lines == ()


def test_more_series_than_a_chart_takes_are_refused_with_the_numbers(app: App) -> None:
    with pytest.raises(Invalid, match="50 series and 51"):
        app.exploration.chart(VIEWER, list(range(51)), last(app, hours=1))


def test_statistics_in_the_order_asked_with_rates_for_counters(app: App) -> None:
    gauge = write(app, "mem_bytes", np.arange(101.0), instance="a")
    counter = write(app, "requests_total", np.arange(50) * 120.0, instance="a")
    empty = write(app, "old", np.ones(2), stamps(app, 2) - 10**9, instance="a")
    table = app.exploration.statistics(VIEWER, [counter, gauge, empty], last(app, hours=3))
    assert table["series_id"].tolist() == [counter, gauge, empty]
    assert table["unit"].tolist() == ["/s", "B", ""]
    assert table["count"].tolist() == [49, 101, 0]
    first, second, third = (table.iloc[i] for i in range(3))
    assert first["mean"] == pytest.approx(2.0)
    assert (second["min"], second["mean"], second["max"], second["last"], second["p50"]) == (0, 50, 100, 100, 50)
    assert second["p95"] == 95
    assert second["peak_ts"] == pd.Timestamp(app.clock()) - pd.Timedelta(seconds=1)
    assert pd.isna(third["mean"])


@pytest.mark.parametrize("seed", range(8))
def test_statistics_of_few_samples_are_those_of_many(app: App, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = []
    # 1 and 2 samples have no step and no neighbours; 31 and more have gaps, resets, NaN and Inf.
    for number, count in enumerate((1, 2, 31, 400)):
        # Steps of a prime: no gap is just half an interval longer, where the two round differently.
        ts_ms = (
            to_ms(app.clock()) - 1000 - np.cumsum(rng.choice([61_001, 61_001, 61_001, 61_003, 700_001], count))[::-1]
        )
        for metric, value in (("load", rng.normal(0, 1e3, count)), ("hits_total", rng.integers(0, 90, count).cumsum())):
            value = value.astype(float)
            if count > 2:
                value[count // 2 :] -= value[count // 2] if metric == "hits_total" else 0
                value[rng.integers(0, count, 3)] = (np.nan, np.inf, -np.inf)
            ids.append(write(app, metric, value, ts_ms, instance=f"h{number}"))
    ids.append(write(app, "load", np.full(3, np.nan), instance="nothing finite"))
    ids.append(write(app, "load", np.array([1e308, 1.5e308]), instance="sum overflows"))
    ids.append(write(app, "load", np.ones(2), stamps(app, 2) - 10**9, instance="before"))
    few = app.exploration.statistics(VIEWER, ids[::-1], last(app, hours=100))
    monkeypatch.setattr(exploration, "FEW_SAMPLES", 0)
    many = app.exploration.statistics(VIEWER, ids[::-1], last(app, hours=100))
    assert (few["count"] > 0).sum() == len(ids) - 3 and few["missing"].sum() > 20
    pd.testing.assert_frame_equal(few[many.columns], many, rtol=1e-12)


def test_statistics_count_what_is_missing(app: App) -> None:
    value = np.ones(60)
    value[5] = np.nan
    ts_ms = np.delete(stamps(app, 60), range(20, 30))
    series_id = write(app, "load", np.delete(value, range(20, 30)), ts_ms, instance="a")
    table = app.exploration.statistics(VIEWER, [series_id], last(app, hours=2))
    assert table["missing"].tolist() == [11]
    assert table["count"].tolist() == [49]


def test_statistics_of_no_series_have_their_columns(app: App) -> None:
    table = app.exploration.statistics(VIEWER, [], last(app, hours=1))
    wanted = {"series_id", "count", "min", "mean", "max", "last", "p50", "p95", "peak_ts", "missing", "unit"}
    assert table.empty
    assert wanted <= set(table.columns)


def test_catalogue_narrows_by_host_and_by_any_of_several_labels(app: App) -> None:
    for host in ("a", "b"):
        for cpu in ("0", "1", "2"):
            write(app, "cpu_seconds_total", np.ones(2), instance=host, cpu=cpu, job="node")
    assert len(app.exploration.find(VIEWER, "cpu_seconds_total", host="a")) == 3
    assert len(app.exploration.find(VIEWER, "cpu_seconds_total", labels={"cpu": ["0", "2"]})) == 4
    assert len(app.exploration.find(VIEWER, "cpu_seconds_total", labels={"cpu": "1"})) == 2
    values = app.exploration.label_values(VIEWER, "cpu_seconds_total")
    assert values == {"cpu": ["0", "1", "2"], "instance": ["a", "b"]}
    table = app.exploration.metrics(VIEWER)
    assert table[["metric", "unit", "series", "hosts"]].to_numpy().tolist() == [["cpu_seconds_total", "ratio", 6, 2]]


def test_profile_covers_all_of_the_history(app: App) -> None:
    series_id = write(app, "load", np.arange(5000.0), instance="a")
    assert app.exploration.profile(VIEWER, series_id).count == 5000
    assert app.exploration.profile(VIEWER, series_id, last(app, hours=1)).count == 60


def test_profile_of_too_many_samples_takes_the_newest_and_says_so(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploration_profiles, "MAX_PROFILE_SAMPLES", 100)
    series_id = write(app, "load", np.arange(5000.0), instance="a")
    found = app.exploration.profile(VIEWER, series_id)
    assert 95 <= found.count <= 101
    assert found.last_value == 4999
    assert "truncated" in {alert.code for alert in found.alerts}


def test_profile_of_a_metric(app: App) -> None:
    for host in ("a", "b"):
        write(app, "load", np.arange(100.0), instance=host)
    found = app.exploration.profile_metric(VIEWER, "load")
    assert (found.series, found.hosts, found.samples) == (2, 2, 200)
    assert (found.distribution.mean, found.distribution.quantiles[0.5], found.missing) == (49.5, 49.5, 0)
    assert found.same == (("a", "b"),) and found.described is None
    assert app.exploration.profile_metric(VIEWER, "load", host="a").series == 1
    with pytest.raises(NotFound, match="'load' is stored on 'c'"):
        app.exploration.profile_metric(VIEWER, "load", host="c")


def test_profile_of_a_metric_finds_gaps_resets_and_what_is_no_number(app: App) -> None:
    ts = np.delete(stamps(app, 300), np.s_[100:150])
    total = np.cumsum(np.ones(250))
    total[200:] -= total[200]
    total[10] = np.nan
    write(app, "asked_total", total, ts, instance="a")
    found = app.exploration.profile_metric(VIEWER, "asked_total")
    assert (found.missing, found.resets, found.non_finite) == (51, 1, 1)
    assert {"gaps", "resets", "non_finite"} <= {alert.code for alert in found.alerts}
    assert found.distribution.quantiles[0.5] == pytest.approx(1 / 60)


def test_profile_of_a_metric_of_too_many_samples_describes_the_newest(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exploration_profiles, "MAX_METRIC_SAMPLES", 100)
    for host in ("a", "b"):
        write(app, "load", np.arange(1000.0), instance=host)
    found = app.exploration.profile_metric(VIEWER, "load")
    assert found.samples == 2000 and found.described is not None
    assert 90 <= sum(row.count for row in found.rows) <= 102
    assert found.distribution.quantiles[0.0] >= 940
    assert "truncated" in {alert.code for alert in found.alerts}


def test_unknown_series_and_metric_are_named(app: App) -> None:
    with pytest.raises(NotFound, match="42"):
        app.exploration.profile(VIEWER, 42)
    with pytest.raises(NotFound, match="nope"):
        app.exploration.profile_metric(VIEWER, "nope")


def test_overview_counts_what_is_stored(app: App) -> None:
    write(app, "load", np.ones(90), instance="a")
    write(app, "mem_bytes", np.ones(90), instance="b")
    found = app.exploration.overview(VIEWER)
    assert (found.sources, found.series, found.metrics, found.hosts, found.samples) == (1, 2, 2, 2, 180)
    assert found.newest_age_s == 1
    assert found.storage_bytes > 0
    assert len(found.pulse) == 60 and sum(found.pulse) == 120


def test_overview_of_an_empty_store(app: App) -> None:
    found = app.exploration.overview(VIEWER)
    assert (found.samples, found.newest, found.newest_age_s) == (0, None, None)
    assert app.exploration.freshness(VIEWER).empty
    assert app.exploration.host_lines(VIEWER, last(app, hours=6)) == {}


def test_freshness_puts_the_longest_silent_first(app: App) -> None:
    write(app, "load", np.ones(5), instance="a")
    write(app, "load", np.ones(5), stamps(app, 5) - 3_600_000, instance="b")
    table = app.exploration.freshness(VIEWER)
    assert table["host"].tolist() == ["b", "a"]
    assert table["age_s"].tolist() == [3601, 1]


def test_host_lines_show_the_load_of_each_host(app: App) -> None:
    write(app, "node_load1", np.arange(300.0), instance="a")
    write(app, "node_memory_MemAvailable_bytes", np.ones(300), instance="b")
    write(app, "other", np.ones(300), instance="c")
    lines = app.exploration.host_lines(VIEWER, last(app, hours=6))
    assert set(lines) == {(1, "a"), (1, "b")}
    assert lines[(1, "a")] == sorted(lines[(1, "a")])


def test_every_method_asks_for_the_right_to_look(app: App) -> None:
    from lib.errors import Forbidden

    nobody, window = Nobody("nobody", Role.VIEWER), last(app, hours=1)
    calls = [
        lambda: app.exploration.metrics(nobody),
        lambda: app.exploration.hosts(nobody),
        lambda: app.exploration.source_ids(nobody),
        lambda: app.exploration.find(nobody),
        lambda: app.exploration.label_values(nobody, "x"),
        lambda: app.exploration.chart(nobody, [], window),
        lambda: app.exploration.statistics(nobody, [], window),
        lambda: app.exploration.profile(nobody, 1),
        lambda: app.exploration.profile_metric(nobody, "x"),
        lambda: app.exploration.export(nobody, [], window),
        lambda: app.exploration.overview(nobody),
        lambda: app.exploration.freshness(nobody),
        lambda: app.exploration.host_lines(nobody, window),
    ]
    for call in calls:
        with pytest.raises(Forbidden):
            call()


@pytest.mark.parametrize("actor", [GUEST, VIEWER, SYSTEM])
def test_whoever_may_look_may_look(app: App, actor: Actor) -> None:
    assert app.exploration.metrics(actor).empty


def test_series_that_live_in_the_window_come_before_those_that_do_not(app: App) -> None:
    old = write(app, "load", np.ones(3), stamps(app, 3) - 7 * 86_400_000, instance="a-gone")
    new = write(app, "load", np.ones(3), instance="b-here")
    found = app.exploration.find(VIEWER, "load")
    assert [one.id for one in found] == [old, new]
    assert [one.id for one in app.exploration.living_first(VIEWER, found, last(app, hours=1))] == [new, old]
    assert [one.id for one in app.exploration.living_first(VIEWER, found, last(app, days=30))] == [old, new]
