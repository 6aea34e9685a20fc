from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.tables import TaskStatus
from lib.frames import Block, Window, to_ms
from lib.services.detection_context import Peers
from lib.settings import TaskMode
from lib.store.gaps import Gaps
from tests.services.test_detection import blocks, everything, make_source, train

ANALYST = Actor("ann", Role.ANALYST)
VIEWER = Actor("vic", Role.VIEWER)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def two(app: App) -> Iterator[tuple[App, int]]:
    """web-01 with a fault, web-02 without."""
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    source_id = make_source(app)
    for host, fault in (("web-01", True), ("web-02", False)):
        app.samples.append(source_id, blocks(app.clock(), host, fault=fault))
        assert train(app, source_id, host).status == TaskStatus.SUCCEEDED
    yield app, source_id


def worst(app: App) -> int:
    found = app.detection.anomalies(VIEWER, everything(app), host="web-01")
    return int(found.loc[found["score"].idxmax(), "id"])


def told(app: App) -> dict:
    return app.detection.explain(VIEWER, worst(app))


def test_explanation_names_what_the_forest_saw_and_how_the_other_hosts_were(two: tuple[App, int]) -> None:
    app, _ = two
    one = told(app)
    assert one["forest"][0]["share"] >= one["forest"][-1]["share"] > 0
    assert all(part["title"] and part["features"] for part in one["forest"])
    peers = one["peers"]
    assert peers.hosts == 1 and peers.low == peers.high
    assert abs(one["actual"] - one["expected"]) > abs(peers.middle - one["expected"])
    assert "one other host" in peers.sentence(one["actual"], one["unit"])
    assert one["nearby"] == []


def test_deploy_shortly_before_is_named_and_one_of_another_host_or_day_is_not(two: tuple[App, int]) -> None:
    app, source_id = two
    start = told(app)["start_ts"]
    add = app.detection.annotations.add
    add(ANALYST, "deploy", start - 10 * MINUTE, text="shop 4.2", host="web-01")
    add(ANALYST, "deploy", start - 10 * MINUTE, text="elsewhere", host="web-02")
    add(ANALYST, "note", start - timedelta(days=1), text="yesterday")
    (near,) = told(app)["nearby"]
    assert (near.kind, near.text, near.when(start)) == ("deploy", "shop 4.2", "10 min before")


def test_restart_reset_new_series_and_gap_are_found_in_the_samples(two: tuple[App, int]) -> None:
    app, source_id = two
    start = told(app)["start_ts"]
    end = to_ms(app.clock())
    ts = end - 300_000 * np.arange(400, 0, -1, dtype=np.int64)
    after = ts >= to_ms(start - 20 * MINUTE)
    labels = {"instance": "web-01"}
    boot = Block("node_boot_time_seconds", labels, ts, np.where(after, 2e9, 1e9))
    new = Block("build_info", {**labels, "version": "2"}, ts[after], np.ones(int(after.sum())))
    app.samples.append(source_id, [boot, new])
    Gaps(app.store).record(source_id, "up", Window(start - 50 * MINUTE, start - 40 * MINUTE), "timed out")
    near = {one.kind: one for one in told(app)["nearby"]}
    assert set(near) == {"restart", "new series", "gap"}
    assert "machine" in near["restart"].text
    assert 'version="2"' in near["new series"].text
    assert "10 min" in near["gap"].text and "timed out" in near["gap"].text


def test_counter_that_fell_is_named_where_no_start_time_is_known(two: tuple[App, int]) -> None:
    app, source_id = two
    start = told(app)["start_ts"]
    ts = to_ms(app.clock()) - 300_000 * np.arange(400, 0, -1, dtype=np.int64)
    fallen = np.where(ts >= to_ms(start), 0.0, 1e6) + np.arange(400)
    app.samples.append(source_id, [Block("jobs_total", {"instance": "web-01"}, ts, fallen)])
    (near,) = [one for one in told(app)["nearby"] if one.kind == "counter reset"]
    assert "jobs_total" in near.text
    assert near.when(start) in ("at the start", "5 min into it")


def test_words_about_peers_say_whether_the_host_was_alone() -> None:
    nobody = pd.DataFrame(columns=["host", "severity", "start", "id"])
    one = pd.DataFrame({"host": ["b"], "severity": ["minor"], "start": [pd.Timestamp(0)], "id": [1]})
    assert Peers(nobody).sentence(1.0, "%") == "No other host was unusual at the time."
    assert Peers(one).sentence(1.0, "%").startswith("1 other host was")
    assert "20 % to 30 %" in Peers(nobody, 3, 20, 25, 30).sentence(90, "%")
    assert Peers(nobody, 3, 20, 25, 30).sentence(None, "%").count("%") == 0
