from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import parity
from lib.app import App
from lib.auth.actor import GUEST, Actor, Role
from lib.errors import Forbidden, Invalid
from lib.frames import STALE_NAN_BITS, Block, Window, to_ms, utcnow
from lib.profiling.promfunctions import Function
from lib.services import evaluation
from lib.services.evaluation import HISTOGRAM, Asked, Evaluation, promql_duration, statistics
from lib.settings import Settings
from lib.store.connection import Store
from lib.store.samples import Samples

VIEWER = Actor("vera", Role.VIEWER)


class Nobody(Actor):
    """May nothing, whatever the role."""

    def may(self, permission: object) -> bool:
        return False


@pytest.fixture
def counted(app: App) -> list[int]:
    """A counter that grows by one a second on two hosts, a sample each quarter of a minute for two hours."""
    ts_ms = to_ms(app.clock()) - np.arange(480)[::-1] * 15_000
    app.samples.append(
        1, [Block("hits_total", {"instance": host}, ts_ms, np.arange(480) * 15.0) for host in ("web-1", "web-2")]
    )
    return [one.id for one in app.samples.find(metric="hits_total")]


def last(app: App, **span: float) -> Window:
    return Window.last(timedelta(**span), app.clock())


def bucketed(app: App, counts: dict[str, float], **labels: str) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(100)[::-1] * 15_000
    app.samples.append(
        1,
        [
            Block("wait_seconds_bucket", {**labels, "le": le}, ts_ms, np.arange(100) * growth)
            for le, growth in counts.items()
        ],
    )


def test_a_counters_rate_is_drawn_at_equal_steps_with_its_expression(app: App, counted: list[int]) -> None:
    found = app.evaluation.chart(VIEWER, counted, last(app, hours=1), Asked("rate", 300))
    assert found.expression == "rate(hits_total[5m])"
    assert [line.title for line in found.data.lines] == ["web-1", "web-2"]
    for line in found.data.lines:
        assert np.unique(np.diff(line.ts_ms)).tolist() == [found.data.step_s * 1000]
        assert line.value == pytest.approx(1.0)
    assert (found.data.unit, found.data.samples) == ("/s", 480)


def test_the_window_suits_how_often_samples_come_unless_told(app: App, counted: list[int]) -> None:
    few = app.evaluation.chart(VIEWER, counted, last(app, minutes=15), Asked("rate"))
    assert few.expression == "rate(hits_total[1m])"
    many = app.evaluation.chart(VIEWER, counted, last(app, days=30), Asked("increase"))
    assert many.expression == "increase(hits_total[2h])"


@pytest.mark.parametrize(
    ("function", "unit"), [("rate", "B/s"), ("increase", "B"), ("max_over_time", "B"), ("count_over_time", "")]
)
def test_units_are_those_of_what_comes_out(app: App, function: str, unit: str) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(50)[::-1] * 15_000
    app.samples.append(1, [Block("sent_bytes_total", {}, ts_ms, np.arange(50.0))])
    [series] = app.samples.find(metric="sent_bytes_total")
    assert app.evaluation.chart(VIEWER, [series.id], last(app, hours=1), Asked(function)).data.unit == unit


def test_a_histograms_quantile_adds_what_is_not_kept_apart(app: App) -> None:
    bucketed(app, {"0.1": 10, "1": 20, "+Inf": 20}, instance="a", path="/")
    bucketed(app, {"0.1": 0, "1": 20, "+Inf": 20}, instance="b", path="/slow")
    ids = [one.id for one in app.samples.find(metric="wait_seconds_bucket")]
    window = last(app, minutes=10)
    together = app.evaluation.chart(VIEWER, ids, window, Asked(HISTOGRAM, 300, 0.5))
    assert together.expression == "histogram_quantile(0.5, sum by (le) (rate(wait_seconds_bucket[5m])))"
    [line] = together.data.lines
    assert together.data.unit == "s"
    assert line.value == pytest.approx(0.1 + 0.9 * 10 / 30)
    apart = app.evaluation.chart(VIEWER, ids, window, Asked(HISTOGRAM, 300, 0.5, ("path",)))
    assert {one.title: one.value[-1] for one in apart.data.lines} == pytest.approx({"path=/": 0.1, "path=/slow": 0.55})


def test_series_without_buckets_are_refused(app: App, counted: list[int]) -> None:
    with pytest.raises(Invalid, match="no buckets"):
        app.evaluation.chart(VIEWER, counted, last(app, hours=1), Asked(HISTOGRAM))


@pytest.mark.parametrize(
    "asked",
    [Asked("drop table"), Asked("rate", -1), Asked("rate", 1e9), Asked("quantile_over_time", 60, 1.5), Asked("")],
)
def test_what_makes_no_sense_is_refused(app: App, counted: list[int], asked: Asked) -> None:
    with pytest.raises(Invalid):
        app.evaluation.chart(VIEWER, counted, last(app, hours=1), asked)


def test_too_many_samples_are_refused_with_what_to_do(
    app: App, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "MAX_SAMPLES", 100)
    with pytest.raises(Invalid, match="choose a shorter range"):
        app.evaluation.chart(VIEWER, counted, last(app, hours=1), Asked("rate"))


def test_too_many_groups_are_refused(app: App) -> None:
    for number in range(51):
        bucketed(app, {"+Inf": 1}, path=str(number))
    ids = [one.id for one in app.samples.find(metric="wait_seconds_bucket")]
    with pytest.raises(Invalid, match="51 groups"):
        app.evaluation.chart(VIEWER, ids, last(app, hours=1), Asked(HISTOGRAM, by=("path",)))


def test_nothing_one_sample_and_an_empty_window(app: App, counted: list[int]) -> None:
    assert app.evaluation.chart(VIEWER, [], last(app, hours=1), Asked("rate")).data.lines == ()
    long_ago = Window(datetime(2020, 1, 1, tzinfo=app.clock().tzinfo), datetime(2020, 1, 2, tzinfo=app.clock().tzinfo))
    assert app.evaluation.chart(VIEWER, counted, long_ago, Asked("rate")).data.lines == ()
    app.samples.append(1, [Block("one_total", {}, np.array([to_ms(app.clock()) - 1000]), np.ones(1))])
    [one] = app.samples.find(metric="one_total")
    assert app.evaluation.chart(VIEWER, [one.id], last(app, hours=1), Asked("rate")).data.lines == ()


def test_samples_from_a_clock_ahead_are_reached_by_the_window(app: App) -> None:
    ts_ms = to_ms(app.clock()) + np.arange(20) * 15_000
    app.samples.append(1, [Block("ahead_total", {}, ts_ms, np.arange(20.0))])
    [one] = app.samples.find(metric="ahead_total")
    window = Window(app.clock(), app.clock() + timedelta(minutes=5))
    assert app.evaluation.chart(VIEWER, [one.id], window, Asked("rate", 60)).data.lines


def test_numbers_and_files_are_of_the_values_drawn(app: App, counted: list[int]) -> None:
    found = app.evaluation.chart(VIEWER, counted, last(app, hours=1), Asked("increase", 300))
    table = statistics(found.data)
    assert table["mean"].tolist() == pytest.approx([300.0, 300.0])
    assert table["missing"].tolist() == [0, 0]
    rows = pd.read_csv(io.BytesIO(app.evaluation.export(VIEWER, found)))
    assert len(rows) == found.data.points
    assert set(rows["metric"]) == {"increase(hits_total[5m])"}
    assert set(rows["host"]) == {"web-1", "web-2"}
    parquet = pd.read_parquet(io.BytesIO(app.evaluation.export(VIEWER, found, "parquet")))
    assert parquet["value"].tolist() == rows["value"].tolist()
    with pytest.raises(Invalid):
        app.evaluation.export(VIEWER, found, "exe")


def test_formulas_in_labels_do_not_run_in_a_spreadsheet(app: App) -> None:
    bucketed(app, {"1": 1, "+Inf": 2}, instance="=cmd|' /C calc'!A0")
    ids = [one.id for one in app.samples.find(metric="wait_seconds_bucket")]
    found = app.evaluation.chart(VIEWER, ids, last(app, hours=1), Asked(HISTOGRAM, by=("instance",)))
    rows = pd.read_csv(io.BytesIO(app.evaluation.export(VIEWER, found)))
    assert set(rows["host"]) == {"'=cmd|' /C calc'!A0"}
    assert not rows["labels"].str.startswith("=").any()


def test_rights_are_checked(app: App, counted: list[int]) -> None:
    assert app.evaluation.chart(GUEST, counted, last(app, hours=1), Asked("rate")).data.lines
    with pytest.raises(Forbidden):
        app.evaluation.chart(Nobody("n", Role.VIEWER), counted, last(app, hours=1), Asked("rate"))


@pytest.mark.parametrize(("seconds", "words"), [(60, "1m"), (90, "90s"), (7200, "2h"), (86400, "1d"), (0.5, "0.5s")])
def test_durations_read_as_promql_writes_them(seconds: float, words: str) -> None:
    assert promql_duration(seconds) == words


# --- against a real Prometheus ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Samples, Window]]:
    """A Prometheus with awkward samples, and a store that collected them from it."""
    end = utcnow().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    window = Window(end - timedelta(hours=4), end)
    folder: Path = tmp_path_factory.mktemp("parity")
    with parity.served(folder, parity.blocks(window)) as url:
        samples = Samples(Store(folder / "metrics.duckdb"))
        assert parity.collect(url, samples, window) > 50_000
        yield url, samples, window
        samples.store.close()


def ours(samples: Samples, window: Window) -> Evaluation:
    return Evaluation(Settings(promql_release=parity.installed()), samples, lambda: window.end)


def test_the_samples_compared_have_stale_markers_and_other_nan(beside: tuple[str, Samples, Window]) -> None:
    _, samples, window = beside
    value = samples.read([one.id for one in samples.find()], window)["value"].to_numpy()
    stale = value.view(np.int64) == STALE_NAN_BITS
    assert stale.sum() > 50
    assert (np.isnan(value) & ~stale).sum() > 50


@pytest.mark.parametrize("function", list(Function))
def test_every_function_gives_the_numbers_prometheus_gives(
    beside: tuple[str, Samples, Window], function: Function
) -> None:
    url, samples, window = beside
    at_ms = np.arange(to_ms(window.start), to_ms(window.end) + 1, 90_000, dtype=np.int64)
    found = parity.over_time(url, ours(samples, window), samples, at_ms, function)
    assert found.values > 5000
    assert found.mismatches == 0


def test_quantiles_of_histograms_are_those_of_prometheus(beside: tuple[str, Samples, Window]) -> None:
    url, samples, window = beside
    found = parity.histograms(url, ours(samples, window), samples, window)
    assert found.values > 5000
    assert found.mismatches == 0


def test_a_difference_would_be_seen() -> None:
    own = np.array([1.0, np.nan, 2.0, np.nan, np.inf, -np.inf, 0.0, 1.0])
    theirs = np.array([1.0 + 1e-8, 1.0, 2.0, np.nan, np.inf, np.inf, 1e-300, np.nan])
    assert parity.compared(own, theirs).mismatches == 5
    assert parity.compared(own, own).mismatches == 0
