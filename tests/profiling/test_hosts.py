from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.errors import NotFound
from lib.frames import Block, Window, to_ms
from lib.profiling.hosts import HostProfile

VIEWER = Actor("vera", Role.VIEWER)
COUNT = 6 * 24 * 12


@pytest.fixture
def found(app: App) -> HostProfile:
    """Six days at five minutes: two that follow the day, one copy, one constant, one silent, one with a hole."""
    ts_ms = to_ms(app.clock()) - np.arange(COUNT)[::-1] * 300_000 - 1000
    rng = np.random.default_rng(5)
    wave = np.sin(ts_ms / 86_400_000 * 2 * np.pi)
    busy = 3 + wave + rng.normal(0, 0.1, COUNT)
    blocks = {
        "node_load1": (ts_ms, busy),
        "node_load1_again": (ts_ms, 2 * busy),
        "temperature_celsius": (ts_ms, 40 + 5 * wave + rng.normal(0, 1, COUNT)),
        "limit": (ts_ms, np.ones(COUNT)),
        "gone": (ts_ms[: COUNT // 2], busy[: COUNT // 2]),
        "holes": (np.delete(ts_ms, slice(500, 900)), np.delete(rng.normal(size=COUNT), slice(500, 900))),
        "bytes_total": (ts_ms, np.cumsum(rng.gamma(2, 1, COUNT))),
    }
    for metric, (ts, value) in blocks.items():
        app.samples.append(1, [Block(metric, {"instance": "web-1", "job": "node"}, ts, value)])
    app.samples.append(1, [Block("node_load1", {"instance": "web-2"}, ts_ms, busy)])
    return app.exploration.profile_host(VIEWER, "web-1", Window.last(timedelta(days=7), app.clock()))


def test_each_series_is_told_apart(found: HostProfile) -> None:
    rows = {row.metric: row for row in found.rows}
    assert len(rows) == 7
    assert rows["gone"].silent
    assert rows["limit"].constant
    assert rows["holes"].missing == 400
    assert rows["node_load1"].missing == 0
    assert (rows["node_load1"].daily or 0) > 0.9
    assert (rows["bytes_total"].daily or 0) < 0.2
    assert found.rows[0].metric == "gone"


def test_what_moves_together_and_what_repeats_are_kept_apart(found: HostProfile) -> None:
    assert any({"node_load1", "node_load1_again"} <= {name.split()[0] for name in group} for group in found.same)
    strongest = found.relations[0]
    assert "temperature" in strongest.first + strongest.second
    assert strongest.strength > 0.9


def test_what_deserves_attention_is_said_with_a_remedy(found: HostProfile) -> None:
    codes = [alert.code for alert in found.alerts]
    assert {"stale", "gaps", "constant", "same"} <= set(codes)
    assert codes[0] == "stale"
    assert all(alert.remedy.endswith(".") for alert in found.alerts)


def test_the_most_worth_predicting_is_alive_and_follows_the_clock(found: HostProfile) -> None:
    assert found.target is not None
    assert "node_load1" in found.target.title
    assert "time of day" in found.target.reasons[0]


def test_a_range_without_samples_says_so(app: App, found: HostProfile) -> None:
    start = app.clock() - timedelta(days=400)
    empty = app.exploration.profile_host(VIEWER, "web-1", Window(start, start + timedelta(days=1)))
    assert [alert.code for alert in empty.alerts] == ["empty"]
    assert empty.samples == 0


def test_an_unknown_host_is_said_to_be(app: App) -> None:
    with pytest.raises(NotFound, match="web-9"):
        app.exploration.profile_host(VIEWER, "web-9", Window.last(timedelta(days=1), app.clock()))


@pytest.mark.parametrize("values", [[np.nan] * 60, [np.inf, -np.inf] * 30, [1.7e308, -1.7e308] * 30, [1.0]])
def test_odd_values_are_no_trouble(app: App, values: list[float]) -> None:
    ts_ms = to_ms(app.clock()) - np.arange(len(values))[::-1] * 60_000
    app.samples.append(1, [Block(m, {"instance": "odd"}, ts_ms, np.array(values)) for m in ("a", "b_total")])
    found = app.exploration.profile_host(
        VIEWER, "odd", Window.last(timedelta(days=1), app.clock() + timedelta(hours=1))
    )
    assert len(found.rows) == 2


def test_what_is_no_number_is_missing_once(app: App) -> None:
    ts_ms, window = to_ms(app.clock()) - np.arange(60, 0, -1) * 60_000, Window.last(timedelta(hours=2), app.clock())
    app.samples.append(1, [Block("none", {"instance": "odd"}, ts_ms, np.full(60, np.nan))])
    found = app.exploration.profile_host(VIEWER, "odd", window)
    assert (found.missing_share, found.rows[0].missing_share) == (1.0, 1.0)
    assert app.exploration.profile_metric(VIEWER, "none", window).missing_share == 1.0
    half = np.tile([np.nan, 1.0], 30)
    app.samples.append(1, [Block("half", {"instance": "half"}, ts_ms, half)])
    assert app.exploration.profile_host(VIEWER, "half", window).missing_share == 0.5


def test_one_sample_is_not_called_regular_and_complete(app: App) -> None:
    window = Window.last(timedelta(hours=1), app.clock() + timedelta(seconds=1))
    blocks = [Block(m, {"instance": "new"}, np.array([to_ms(app.clock())]), np.ones(1)) for m in ("a", "b_total")]
    app.samples.append(1, blocks)
    one = app.exploration.profile(VIEWER, app.samples.find(metric="a")[0].id, window)
    host, metric = (
        app.exploration.profile_host(VIEWER, "new", window),
        app.exploration.profile_metric(VIEWER, "a", window),
    )
    for found in (one, host, metric):
        assert [alert.code for alert in found.alerts] == ["one_sample"]
