"""Samples that have expired: charts and numbers come from their sums; what needs samples says that they are gone."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import SYSTEM
from lib.chat import times
from lib.chat.events import Text
from lib.chat.tools import toolbox
from lib.chat.tools.data import Outcome
from lib.errors import Invalid, NotEnoughData
from lib.frames import Block, Window, to_ms
from lib.profiling import report
from lib.profiling.changes import Test
from lib.services.evaluation import Asked
from lib.ui import functions_view, series_charts

COUNT = 20 * 24 * 12


@pytest.fixture
def expired(app: App, clock) -> App:
    """Twenty days every five minutes: ten archived and expired, three archived, seven hot."""
    ts = to_ms(app.clock()) - np.arange(COUNT)[::-1] * 300_000
    level = 50 + 10 * np.sin(np.arange(COUNT) / 40)
    blocks = [Block("load", {"host": "a"}, ts, level), Block("asked_total", {"host": "a"}, ts, np.cumsum(level))]
    blocks += [Block("queue", {"host": host}, ts, level * times) for host, times in (("a", 2), ("b", 2.2), ("c", 5))]
    blocks.append(Block("served_total", {"host": "a"}, ts, np.cumsum(4 * level)))
    app.samples.append(1, blocks)
    app.settings.archive_raw_days = 10
    app.runner.start()
    app.archiving.tick()
    clock.advance(hours=1)
    app.archiving.tick()
    return app


def one(app: App, metric: str) -> int:
    return app.samples.find(metric=metric)[0].id


def long_ago(app: App) -> Window:
    return Window(app.clock() - timedelta(days=19), app.clock() - timedelta(days=15))


def test_a_chart_of_expired_days_shows_them_and_says_how(expired: App) -> None:
    data = expired.exploration.chart(SYSTEM, [one(expired, "load")], long_ago(expired))
    [line] = data.lines
    assert data.expired == 5 and data.tiers == ("5m",) and data.step_s == 600
    assert np.nanmin(line.low) == pytest.approx(40, abs=0.2) and np.nanmax(line.high) == pytest.approx(60, abs=0.2)
    assert "samples of 5 days have expired and are drawn from sums of 5 minutes" in series_charts.describe(data)


def test_a_whole_history_goes_on_over_the_edge_of_what_expired(expired: App) -> None:
    window = Window(expired.clock() - timedelta(days=25), expired.clock())
    data = expired.exploration.chart(SYSTEM, [one(expired, "load"), one(expired, "asked_total")], window)
    assert data.tiers == ("1h",) and data.expired
    for line in data.lines:
        assert not np.isnan(line.value).any(), "no gap, since nothing is missing"
        assert (line.ts_ms[-1] - line.ts_ms[0]) / 86_400_000 > 19
    rate = next(line for line in data.lines if line.series.kind == "counter")
    np.testing.assert_allclose(rate.value[1:-1], 50 / 300, rtol=0.25)
    assert "a counter's rate is the mean over each" in series_charts.describe(data)


def test_a_wide_chart_of_kept_days_says_it_is_from_sums(app: App) -> None:
    ts = to_ms(app.clock()) - np.arange(COUNT)[::-1] * 300_000
    app.samples.append(1, [Block("load", {"host": "a"}, ts, np.arange(COUNT, dtype=float))])
    window = Window(app.clock() - timedelta(days=25), app.clock())
    before = app.exploration.chart(SYSTEM, [one(app, "load")], window, 300)
    app.runner.start()
    app.archiving.tick()
    data = app.exploration.chart(SYSTEM, [one(app, "load")], window, 300)
    assert data.tiers == ("1h",) and not data.expired and before.tiers == ()
    assert (data.step_s, data.samples) == (before.step_s, before.samples)
    for name in ("ts_ms", "value", "low", "high"):
        np.testing.assert_allclose(getattr(data.lines[0], name), getattr(before.lines[0], name), rtol=1e-12)
    assert "archived days drawn from their sums of 1 hour" in series_charts.describe(data)


def test_numbers_of_an_expired_range_come_from_sums(expired: App) -> None:
    table = expired.exploration.statistics(SYSTEM, [one(expired, "load")], long_ago(expired)).iloc[0]
    assert table["count"] > 1000
    assert (table["min"], table["max"]) == pytest.approx((40, 60), abs=0.2)
    assert np.isnan(table["p95"]) and long_ago(expired).start <= table["peak_ts"] <= long_ago(expired).end


def test_an_export_of_expired_days_says_they_are_gone(expired: App) -> None:
    with pytest.raises(Invalid, match="have expired; only their sums are kept"):
        expired.exploration.export(SYSTEM, [one(expired, "load")], long_ago(expired))


def edge_of(app: App) -> Window:
    """Days of which the older samples have expired and the newer are kept."""
    return Window(app.clock() - timedelta(days=14), app.clock() - timedelta(days=6))


def test_an_export_over_the_edge_holds_what_is_left_and_can_be_told(expired: App) -> None:
    gone = expired.exploration.expired_until(SYSTEM, edge_of(expired))
    assert gone is not None and gone.hour == 0 and long_ago(expired).end < gone
    made = expired.exploration.export(SYSTEM, [one(expired, "load")], edge_of(expired)).decode().splitlines()
    assert made[1].split(",")[0].strip('"') >= f"{gone:%Y-%m-%d}"
    data = expired.exploration.chart(SYSTEM, [one(expired, "load")], edge_of(expired))
    sums = expired.evaluation.drawn(SYSTEM, data, "load").decode().splitlines()
    assert sums[1].split(",")[0].strip('"') < f"{edge_of(expired).start + timedelta(hours=2):%Y-%m-%dT%H}"
    kept = Window(gone, expired.clock())
    assert expired.exploration.expired_until(SYSTEM, kept) is None


def test_profiles_say_what_they_do_not_describe(expired: App) -> None:
    exploration, window = expired.exploration, edge_of(expired)
    profiles = (
        exploration.profile(SYSTEM, one(expired, "load"), window),
        exploration.profile_metric(SYSTEM, "load", window),
        exploration.profile_host(SYSTEM, "a", window),
    )
    for profile in profiles:
        (alert,) = [alert for alert in profile.alerts if alert.code == "expired"]
        assert "have expired; this describes those after" in alert.sentence
    whole = exploration.profile(SYSTEM, one(expired, "load"), Window.last(timedelta(days=5), expired.clock()))
    assert not [alert for alert in whole.alerts if alert.code == "expired"] and whole.sums is None


def test_profiles_say_of_the_whole_range_what_sums_say_exactly(expired: App) -> None:
    exploration, window = expired.exploration, edge_of(expired)
    level = was(expired, window)
    for profile in (
        exploration.profile(SYSTEM, one(expired, "load"), window),
        exploration.profile_metric(SYSTEM, "load", window),
    ):
        assert profile.sums is not None and profile.sums.window == window
        told = (profile.sums.count, profile.sums.mean, profile.sums.low, profile.sums.high, profile.sums.increase)
        assert told == (level.size, pytest.approx(level.mean()), level.min(), level.max(), None)
        page = report.to_html(profile, expired.clock()).decode()
        assert "exact from samples and sums" in page and f"{level.size:,}" in page
    counter = exploration.profile(SYSTEM, one(expired, "asked_total"), long_ago(expired))
    assert counter.count == 0 and counter.sums is not None and counter.sums.mean is None
    assert counter.sums.increase == pytest.approx(was(expired, long_ago(expired)).sum())


def test_a_function_says_where_it_has_no_samples(expired: App) -> None:
    asked = Asked("avg_over_time", 3600, 0.5, ())
    made = expired.evaluation.chart(SYSTEM, [one(expired, "load")], edge_of(expired), asked)
    assert made.gone is not None
    said = functions_view.describe(functions_view.Shown(made.data, made))
    assert "have expired, and a function needs samples" in said
    none = expired.evaluation.chart(SYSTEM, [one(expired, "load")], long_ago(expired), asked)
    assert "have expired" in functions_view.nothing(functions_view.Shown(none.data, none))


def test_what_expired_is_not_taken_for_a_series_that_appeared(expired: App) -> None:
    gone = expired.exploration.expired_until(SYSTEM, edge_of(expired))
    assert gone is not None
    window = Window(gone + timedelta(hours=14), gone + timedelta(hours=20))
    found = expired.changes.compare(SYSTEM, window, times=4)
    assert (found.gone, found.before.span) == (gone, 2 * window.span)
    assert not [one for one in found.changes if one.test in (Test.APPEARED, Test.DISAPPEARED)]
    with pytest.raises(Invalid, match="too coarse to compare.* choose a later one"):
        expired.changes.compare(SYSTEM, long_ago(expired))
    with pytest.raises(Invalid, match="choose one of 3 days 12 hours at most"):
        expired.changes.compare(SYSTEM, Window.last(timedelta(days=5), expired.clock()))
    assert expired.changes.compare(SYSTEM, Window.last(timedelta(hours=1), expired.clock())).gone is None


def was(app: App, window: Window) -> np.ndarray:
    """What load was in a window, before its samples expired."""
    ts = to_ms(app.clock() - timedelta(hours=1)) - np.arange(COUNT)[::-1] * 300_000
    inside = (ts >= to_ms(window.start)) & (ts < to_ms(window.end))
    return (50 + 10 * np.sin(np.arange(COUNT) / 40))[inside]


@pytest.mark.parametrize("window_of", [edge_of, long_ago], ids=["over the edge", "expired"])
def test_chat_computes_from_sums_what_they_say_exactly(expired: App, window_of) -> None:
    data, window = expired.assistant.sight.bind(SYSTEM, expired.clock()), window_of(expired)
    asked, level = {"metric": "load", "period": times.iso(window)}, was(expired, window)
    for statistic in ("summary", "mean", "min", "max", "latest"):
        found = toolbox.call(data, "statistics", {**asked, "statistic": statistic})
        assert "have expired; this is exact, from their sums" in found.message
        assert found.formula == "load, from samples and sums of 5 min"
        (row,) = found.rows
        assert [row[name] for name in ("mean", "min", "max", "latest", "count")] == pytest.approx(
            [level.mean(), level.min(), level.max(), level[-1], level.size]
        )
        assert found.values["mean"] == pytest.approx(level.mean())
    grown = toolbox.call(data, "statistics", {**asked, "metric": "asked_total", "statistic": "increase"})
    assert grown.values["increase"] == pytest.approx(level.sum())
    assert "growth since the last sample before" in grown.message


def test_chat_says_of_which_samples_a_number_is_that_sums_do_not_know(expired: App) -> None:
    data, window = expired.assistant.sight.bind(SYSTEM, expired.clock()), edge_of(expired)
    asked = {"metric": "load", "statistic": "median", "period": times.iso(window)}
    found = toolbox.call(data, "statistics", asked)
    assert found.outcome is Outcome.OK and "have expired; this is of those after" in found.message
    none = toolbox.call(data, "statistics", {**asked, "period": times.iso(long_ago(expired))})
    assert none.outcome is Outcome.NO_DATA and "charts on Explore show their sums" in none.message
    rates = toolbox.call(data, "statistics", {**asked, "metric": "asked_total", "statistic": "max"})
    assert "this is of those after" in rates.message


def test_chat_compares_periods_by_sums_and_says_of_which_it_is(expired: App) -> None:
    data = expired.assistant.sight.bind(SYSTEM, expired.clock())
    kept, old = Window(expired.clock() - timedelta(days=5), expired.clock()), long_ago(expired)
    asked = {"metric": "load", "first": times.iso(old), "second": times.iso(kept)}
    found = toolbox.call(data, "compare_windows", asked)
    level = was(expired, old).mean(), was(expired, kept).mean()
    assert (found.values["first"], found.values["second"]) == pytest.approx(level)
    assert found.message.startswith("Of the first period: ") and found.message.count("expired") == 1
    assert found.message.endswith("this is exact, from their sums.")
    assert found.formula == "mean of load, from samples and sums of 5 min; load"
    assert found.samples == was(expired, old).size + was(expired, kept).size
    edge = toolbox.call(data, "compare_windows", {**asked, "first": times.iso(edge_of(expired)), "statistic": "median"})
    assert "Of the first period: Samples before" in edge.message and "this is of those after" in edge.message
    none = toolbox.call(data, "compare_windows", {**asked, "statistic": "median"})
    assert none.outcome is Outcome.NO_DATA and none.message.count("charts on Explore show their sums") == 1


@pytest.mark.parametrize("window_of", [edge_of, long_ago], ids=["over the edge", "expired"])
def test_chat_finds_the_odd_host_and_ratios_by_sums(expired: App, window_of) -> None:
    data, window = expired.assistant.sight.bind(SYSTEM, expired.clock()), window_of(expired)
    asked, level = {"period": times.iso(window)}, was(expired, window)
    odd = toolbox.call(data, "odd_one_out", {**asked, "metric": "queue"})
    assert {row["host"]: row["mean"] for row in odd.rows} == pytest.approx(
        {"a": 2 * level.mean(), "b": 2.2 * level.mean(), "c": 5 * level.mean()}
    )
    assert (odd.rows[0]["host"], odd.samples) == ("c", 3 * level.size)
    ratio = toolbox.call(data, "ratio", {**asked, "metric": "queue", "other": "load"})
    assert ratio.values["ratio"] == pytest.approx(2) and [row["host"] for row in ratio.rows] == ["a"]
    assert ratio.formula == "mean(queue) / mean(load), each of all its samples, from samples and sums of 5 min"
    grown = toolbox.call(data, "ratio", {**asked, "metric": "served_total", "other": "asked_total"})
    assert grown.values["ratio"] == pytest.approx(4)
    assert grown.rows[0]["second"] == pytest.approx(level.sum())
    assert grown.formula.startswith("increase(served_total) / increase(asked_total), from samples and sums")
    for found in (odd, ratio, grown):
        assert "have expired; this is exact, from their sums" in found.message and found.samples >= 2 * level.size


def test_chat_says_that_a_correlation_or_a_ratio_of_unlike_things_is_of_the_samples_left(expired: App) -> None:
    data, asked = expired.assistant.sight.bind(SYSTEM, expired.clock()), {"period": times.iso(edge_of(expired))}
    for tool, metric in (("correlation", "queue"), ("ratio", "asked_total")):
        found = toolbox.call(data, tool, {**asked, "metric": metric, "other": "load"})
        assert found.outcome is Outcome.OK and "have expired; this is of those after" in found.message


def test_an_answer_in_chat_says_that_it_is_from_sums(expired: App) -> None:
    window = edge_of(expired)
    for question in ("highest load", "increase of asked_total", "ratio of queue to load", "odd one out in queue"):
        question = f"{question} from {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}"
        events = [*expired.assistant.answer(SYSTEM, question)]
        said = "".join(event.text for event in events if isinstance(event, Text))
        assert "have expired; this is exact, from their sums" in said


def test_a_detector_and_a_forecast_say_that_samples_are_gone(expired: App, tmp_path) -> None:
    old = long_ago(expired)
    params = {"source_id": 1, "hosts": ["a"], "start": old.start.isoformat(), "end": old.end.isoformat()}
    with pytest.raises(NotEnoughData, match="have expired and only their sums are kept"):
        expired.detection.training.prepare(params, tmp_path)
    asked = {"series_ids": [one(expired, "load")], "horizon_s": 86_400, "country": "", "prophet": False}
    with pytest.raises(NotEnoughData, match="have expired and only their sums are kept"):
        expired.forecasting._prepare({**asked, **params}, tmp_path)
    with pytest.raises(NotEnoughData, match="cannot be scored"):
        expired.detection.scoring._kept(old)
    edge = expired.detection.scoring._kept(Window(old.start, expired.clock())).start
    assert edge.hour == 0 and old.end < edge < expired.clock() - timedelta(days=9)
