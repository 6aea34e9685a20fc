from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import GUEST, SYSTEM, Actor, Role
from lib.db.tables import Source, SourceKind, TaskStatus
from lib.errors import ArtefactRefused, Forbidden, Invalid, NotEnoughData, NotFound
from lib.frames import Block, Window, to_ms
from lib.settings import TaskMode

ANALYST = Actor("ann", Role.ANALYST)
VIEWER = Actor("vic", Role.VIEWER)
STEP = timedelta(minutes=5)
DAYS = 6
FAULT = timedelta(hours=10)  # before the end of what is stored


@pytest.fixture
def running(app: App) -> Iterator[App]:
    """Tasks run, as threads: the walk is the same and a process each would cost seconds; one test below has a child."""
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    yield app


def make_source(app: App, kind: str = SourceKind.PROMETHEUS, name: str = "prod", url: str = "") -> int:
    with app.database.session() as session:
        source = Source(name=name, kind=kind, url=url)
        session.add(source)
    assert source.id is not None
    return source.id


def blocks(end: datetime, host: str, days: float = DAYS, fault: bool = True, seed: int = 0) -> list[Block]:
    """Load, queue and a request counter that follow a daily rhythm; with a fault some hours before the end."""
    rng = np.random.default_rng(seed)
    n = int(days * 288)
    ts = to_ms(end) - 300_000 * np.arange(n, 0, -1, dtype=np.int64)
    busy = 50 + 30 * np.sin(2 * np.pi * (ts % 86_400_000) / 86_400_000) + rng.normal(0, 2, n)
    load, queue = busy / 20 + rng.normal(0, 0.1, n), busy / 5 + rng.normal(0, 1, n)
    if fault:
        at = n - int(FAULT / STEP)
        load[at : at + 12] += 8
        queue[at : at + 12] += 60
    requests = np.cumsum(busy * 300)
    named = (("node_load1", load), ("queue_depth", queue), ("http_requests_total", requests))
    return [Block(metric, {"instance": host}, ts, value) for metric, value in named]


def train(app: App, source_id: int, host: str = "web-01", **kwargs):
    task = app.detection.train(ANALYST, source_id, host, **kwargs)
    return app.runner.wait(task.id, 60)


def everything(app: App) -> Window:
    return Window.last(timedelta(days=40), app.clock() + timedelta(days=1))


@pytest.fixture
def trained(running: App) -> tuple[App, int]:
    source_id = make_source(running)
    running.samples.append(source_id, blocks(running.clock(), "web-01"))
    task = train(running, source_id)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    return running, source_id


def test_training_finds_the_fault_and_says_why(trained: tuple[App, int]) -> None:
    app, _ = trained
    found = app.detection.anomalies(VIEWER, everything(app))
    fault = app.clock() - FAULT
    hit = found[(found["start_ts"] <= fault + STEP * 4) & (found["end_ts"] >= fault)]
    assert len(hit) == 1
    assert len(found) <= 3
    row = hit.iloc[0]
    assert row["host"] == "web-01"
    assert row["metric"] in ("node_load1", "queue_depth")
    assert row["actual"] > row["high"]
    assert row["severity"] in ("minor", "major", "critical")
    assert 0.99 < row["confidence"] < 1
    reason = app.detection.explain(VIEWER, int(row["id"]))
    assert "on web-01 was" in reason["sentence"]
    assert {c["metric"] for c in reason["contributors"]} >= {"node_load1", "queue_depth"}


def test_model_is_kept_with_what_made_it(trained: tuple[App, int]) -> None:
    app, source_id = trained
    (detector,) = app.detection.detectors(VIEWER)
    metadata = app.detection.registry.open(detector.artefact).metadata
    assert metadata["created_by"] == "ann"
    assert metadata["source_id"] == source_id
    assert len(metadata["features"]) == metadata["metrics"]["features"]
    assert metadata["data"]["samples"] == DAYS * 288 * 3
    assert set(metadata["files"]) == {"detector.npz", "forest.skops", "whitening.skops"}
    kept = app.detection.registry.open(detector.artefact).model("forest.skops")
    assert len(kept.estimators_) == 100


def test_scoring_a_range_again_changes_nothing(trained: tuple[App, int]) -> None:
    app, _ = trained
    (detector,) = app.detection.detectors(VIEWER)
    window = Window.last(timedelta(days=2), app.clock())

    def state():
        scores = app.detection.findings.scores(detector.id, everything(app))
        return app.detection.anomalies(VIEWER, everything(app)).astype(str), scores

    app.detection.score(ANALYST, detector.id, window)
    first = state()
    app.detection.score(ANALYST, detector.id, window)
    second = state()
    assert first[0].equals(second[0])
    assert first[1].equals(second[1])


def test_continuous_scoring_finds_what_scoring_at_once_finds(trained: tuple[App, int], clock) -> None:
    app, source_id = trained
    (detector,) = app.detection.detectors(VIEWER)
    begin = clock()
    fresh = [
        Block(b.metric, b.labels, b.ts_ms[-288:], b.value[-288:])
        for b in blocks(begin + timedelta(days=1), "web-01", days=DAYS + 1, seed=5)
    ]
    # The counter goes on from where it was.
    for at in range(0, 288, 12):
        part = [Block(b.metric, b.labels, b.ts_ms[at : at + 12], b.value[at : at + 12]) for b in fresh]
        clock.now = begin + STEP * (at + 12)
        app.samples.append(source_id, part)
        app.detection.update(source_id, Window(begin + STEP * at, clock.now))
    span = Window(begin, clock.now)
    step_by_step = app.detection.anomalies(VIEWER, span)[["start_ts", "end_ts", "severity", "title"]]
    ids = list(app.detection.anomalies(VIEWER, span)["id"])
    scores = app.detection.findings.scores(detector.id, span)
    app.detection.score(ANALYST, detector.id, span)
    at_once = app.detection.anomalies(VIEWER, span)[["start_ts", "end_ts", "severity", "title"]]
    assert len(at_once) >= 1
    assert step_by_step.equals(at_once)
    assert ids == list(app.detection.anomalies(VIEWER, span)["id"])
    again = app.detection.findings.scores(detector.id, span)
    assert list(scores["ts"]) == list(again["ts"])
    assert np.abs(scores["score"] - again["score"]).max() < 5e-3


def test_open_anomaly_keeps_its_number_while_it_goes_on(trained: tuple[App, int], clock) -> None:
    app, source_id = trained
    begin = clock()
    numbers = set()
    rng = np.random.default_rng(1)
    for at in range(8):
        ts = np.array([to_ms(begin + STEP * at)])
        app.samples.append(
            source_id,
            [
                Block("node_load1", {"instance": "web-01"}, ts, 15 + rng.normal(0, 0.1, 1)),
                Block("queue_depth", {"instance": "web-01"}, ts, 90 + rng.normal(0, 1, 1)),
            ],
        )
        clock.now = begin + STEP * (at + 1)
        app.detection.update(source_id, Window(begin + STEP * at, clock.now))
        found = app.detection.anomalies(VIEWER, Window(begin, clock.now))
        numbers |= {int(i) for i in found.loc[found["end_ts"].isna(), "id"]}
    assert len(numbers) == 1


def test_retraining_makes_a_new_version_and_known_anomalies_keep_their_numbers(trained: tuple[App, int]) -> None:
    app, source_id = trained
    before = app.detection.anomalies(VIEWER, everything(app))
    assert train(app, source_id).status == TaskStatus.SUCCEEDED
    (current,) = app.detection.detectors(VIEWER)
    assert current.version == 2
    after = app.detection.anomalies(VIEWER, everything(app))
    assert set(after["id"]) == set(before["id"])
    assert set(after["detector_id"]) == {current.id}
    assert [d.version for d in app.detection.detectors(VIEWER, every_version=True)] == [2, 1]


def test_a_host_without_enough_points_fails_with_numbers_and_does_not_hold_up_the_others(running: App) -> None:
    source_id = make_source(running)
    running.samples.append(source_id, blocks(running.clock(), "web-01", days=3))
    running.samples.append(source_id, blocks(running.clock(), "new-01", days=0.5, fault=False))
    alone = train(running, source_id, "new-01")
    assert alone.status == TaskStatus.FAILED
    assert "144 usable points" in alone.error
    together = train(running, source_id, ["new-01", "web-01"])
    assert together.status == TaskStatus.SUCCEEDED
    assert [t["host"] for t in together.result["trained"]] == ["web-01"]
    assert together.result["refused"][0]["host"] == "new-01"


def test_training_in_a_child_process_leaves_scikit_learn_out_of_the_app(app: App) -> None:
    source_id = make_source(app)
    app.samples.append(source_id, blocks(app.clock(), "web-01", days=3))
    loaded = {name for name in ("sklearn", "skops") if name in sys.modules}
    app.runner.start()
    task = train(app, source_id)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    (detector,) = app.detection.detectors(VIEWER)
    app.detection.score(ANALYST, detector.id, Window.last(timedelta(days=1), app.clock()))
    assert {name for name in ("sklearn", "skops") if name in sys.modules} == loaded
    assert len(app.detection.anomalies(VIEWER, everything(app))) >= 1


def test_chart_data_has_band_values_scores_and_no_more_points_than_a_browser_draws(trained: tuple[App, int]) -> None:
    app, _ = trained
    worst = app.detection.anomalies(VIEWER, everything(app)).sort_values("score").iloc[-1]
    history = app.detection.history_of(VIEWER, int(worst["id"]))
    assert list(history.points.columns) == ["ts", "actual", "low", "expected", "high"]
    assert len(history.points) * 4 + len(history.scores) <= 1000
    assert (history.points["actual"] > history.points["high"]).sum() >= 8
    assert len(history.anomalies) >= 1
    long = app.detection.history(VIEWER, int(worst["detector_id"]), int(worst["series_id"]), everything(app))
    assert len(long.points) <= 200
    assert long.points["actual"].max() == pytest.approx(history.points["actual"].max(), rel=0.01)


def _tamper(folder: Path) -> None:
    with (folder / "detector.npz").open("ab") as file:
        file.write(b"x")


def _age(folder: Path) -> None:
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(metadata | {"code": "0", "spec": {"unknown": 1}}))


@pytest.mark.parametrize("spoil", [_tamper, _age, shutil.rmtree])
def test_model_that_cannot_be_used_is_refused_and_trained_anew(
    trained: tuple[App, int], clock, spoil: Callable[[Path], None]
) -> None:
    app, source_id = trained
    (detector,) = app.detection.detectors(VIEWER)
    spoil(app.settings.models_dir / detector.artefact)
    app.detection.scoring.forget(detector)
    window = Window.last(timedelta(hours=1), clock())
    app.detection.update(source_id, window)
    with pytest.raises((ArtefactRefused, NotFound)):
        app.detection.score(ANALYST, detector.id, window)
    app.detection.maintain()
    task, _ = app.detection.training.tasks()
    assert app.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
    (anew,) = app.detection.detectors(VIEWER)
    assert anew.version == detector.version + 1
    assert app.detection.score(ANALYST, anew.id, everything(app)) >= 1


def test_retired_detector_takes_its_findings_and_files_along(trained: tuple[App, int]) -> None:
    app, _ = trained
    (detector,) = app.detection.detectors(VIEWER)
    app.detection.retire(ANALYST, detector.id)
    assert app.detection.detectors(VIEWER, every_version=True) == []
    assert app.detection.anomalies(VIEWER, everything(app)).empty
    assert not (app.settings.models_dir / detector.artefact).exists()
    with pytest.raises(NotFound):
        app.detection.score(ANALYST, detector.id, everything(app))


def test_a_removed_source_takes_its_detectors_findings_and_files_along(trained: tuple[App, int]) -> None:
    app, source_id = trained
    assert train(app, source_id).status == TaskStatus.SUCCEEDED  # a second version
    app.collection.remove(SYSTEM, source_id)
    assert app.detection.detectors(VIEWER, every_version=True) == []
    with app.store.read() as cursor:
        for table in ("samples", "series", "scores", "expectations", "anomalies", "gaps"):
            assert cursor.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)], table
    assert list(app.settings.models_dir.iterdir()) == []


@pytest.mark.parametrize("actor", [VIEWER, GUEST])
def test_who_may_only_look_changes_nothing(trained: tuple[App, int], actor: Actor) -> None:
    app, source_id = trained
    (detector,) = app.detection.detectors(actor)
    for call in (
        lambda: app.detection.train(actor, source_id, "web-01"),
        lambda: app.detection.score(actor, detector.id, everything(app)),
        lambda: app.detection.retire(actor, detector.id),
    ):
        with pytest.raises(Forbidden):
            call()
    assert len(app.detection.groups(actor)) == 1


def test_what_does_not_exist_is_said(app: App) -> None:
    source_id = make_source(app)
    with pytest.raises(NotFound, match="nowhere"):
        app.detection.train(ANALYST, source_id, "nowhere")
    with pytest.raises(Invalid):
        app.detection.train(ANALYST, source_id, [])
    with pytest.raises(NotFound):
        app.detection.anomaly(VIEWER, 12)
    assert app.detection.anomalies(VIEWER, everything(app)).empty
    assert app.detection.groups(VIEWER).empty


def test_odd_host_names_train_and_never_leave_the_folder(running: App) -> None:
    source_id = make_source(running)
    host = "../../etc/<b>passwd</b>'; --"
    running.samples.append(source_id, blocks(running.clock(), host, days=3))
    assert train(running, source_id, host).status == TaskStatus.SUCCEEDED
    (detector,) = running.detection.detectors(VIEWER)
    assert (running.settings.models_dir / detector.artefact).is_dir()
    assert host in running.detection.anomalies(VIEWER, everything(running)).iloc[0]["sentence"]


def test_demo_is_trained_once_for_all_hosts_without_anyone_asking(running: App) -> None:
    source_id = make_source(running, SourceKind.DEMO, "Demo", "simulated")
    for host in ("web-01", "web-02"):
        running.samples.append(source_id, blocks(running.clock(), host, days=4, seed=len(host)))
    window = Window.last(timedelta(days=4), running.clock())
    running.detection.update(source_id, window)
    running.detection.update(source_id, window)
    (task,) = running.detection.training.tasks()
    assert running.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
    assert task.created_by == SYSTEM.name
    assert set(running.detection.anomalies(GUEST, everything(running))["host"]) == {"web-01", "web-02"}
    running.detection.update(source_id, window)
    assert len(running.detection.training.tasks()) == 1


def test_this_machine_is_trained_once_it_has_enough_points(running: App) -> None:
    source_id = make_source(running, SourceKind.MACHINE, "This machine")
    running.samples.append(source_id, blocks(running.clock(), "laptop", days=0.5, fault=False))
    running.detection.maintain()
    assert running.detection.training.tasks() == []
    running.samples.append(source_id, blocks(running.clock() - timedelta(days=0.5), "laptop", days=2, fault=False))
    running.detection.maintain()
    (task,) = running.detection.training.tasks()
    assert running.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
    running.detection.maintain()
    assert len(running.detection.training.tasks()) == 1


def test_live_detector_is_retrained_after_a_day_and_keeps_the_past_as_it_was(trained: tuple[App, int], clock) -> None:
    app, source_id = trained
    before = app.detection.anomalies(VIEWER, everything(app))
    clock.advance(hours=25)
    app.detection.maintain()
    task = app.detection.training.tasks()[0]
    assert app.runner.wait(task.id, 60).status == TaskStatus.SUCCEEDED
    (current,) = app.detection.detectors(VIEWER)
    assert current.version == 2
    after = app.detection.anomalies(VIEWER, everything(app))
    assert list(after["id"]) == list(before["id"])


def test_detectors_of_a_removed_source_are_retired(trained: tuple[App, int]) -> None:
    app, source_id = trained
    with app.database.session() as session:
        session.delete(session.get(Source, source_id))
    app.detection.maintain()
    assert app.detection.detectors(VIEWER, every_version=True) == []


def test_collection_is_never_stopped_by_what_scoring_meets(trained: tuple[App, int], monkeypatch) -> None:
    app, source_id = trained

    def broken(*_args: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(app.detection.scoring, "score", broken)
    app.detection.update(source_id, Window.last(timedelta(hours=1), app.clock()))
    monkeypatch.setattr(app.detection.scoring, "active", broken)
    app.detection.update(source_id, Window.last(timedelta(hours=1), app.clock()))
    app.detection.update(999, Window.last(timedelta(hours=1), datetime(2026, 1, 1, tzinfo=UTC)))


def test_window_without_samples_says_so(running: App) -> None:
    source_id = make_source(running)
    running.samples.append(source_id, blocks(running.clock(), "web-01", days=1))
    long_ago = Window(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC))
    task = train(running, source_id, window=long_ago)
    assert task.status == TaskStatus.FAILED
    assert "No samples between 2020-01-01" in task.error
    assert NotEnoughData.code == "not_enough_data"
