from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest

from lib.anomaly import tuning
from lib.anomaly.options import Options
from lib.app import App
from lib.audit.log import Filter
from lib.auth.actor import Actor, Role
from lib.db.tables import Source, SourceKind, Task, TaskStatus
from lib.errors import Forbidden, Invalid, NotFound
from lib.frames import Block, Window, to_ms
from lib.services import detection_trial_jobs as jobs
from lib.settings import TaskMode
from lib.store.findings import Anomaly

ANALYST = Actor("ann", Role.ANALYST)
VIEWER = Actor("vic", Role.VIEWER)
HOST = "web/01 ü"  # nothing a file could be called


@pytest.fixture
def running(app: App) -> Iterator[App]:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    yield app


def blocks(end: datetime, days: float) -> list[Block]:
    """Load and queue that follow a daily rhythm, every five minutes."""
    rng = np.random.default_rng(0)
    n = int(days * 288)
    ts = to_ms(end) - 300_000 * np.arange(n, 0, -1, dtype=np.int64)
    busy = 50 + 30 * np.sin(2 * np.pi * (ts % 86_400_000) / 86_400_000) + rng.normal(0, 2, n)
    load, queue = busy / 20 + rng.normal(0, 0.1, n), busy / 5 + rng.normal(0, 1, n)
    return [Block(metric, {"instance": HOST}, ts, v) for metric, v in (("node_load1", load), ("queue_depth", queue))]


def stored(app: App, days: float = 7) -> int:
    with app.database.session() as session:
        source = Source(name="prod", kind=SourceKind.PROMETHEUS)
        session.add(source)
    assert source.id is not None
    app.samples.append(source.id, blocks(app.clock(), days))
    return source.id


def backtest(app: App, source_id: int, **kwargs) -> Task:
    given = {"kinds": ["spike", "level shift"], "strengths": [6]} | kwargs
    return app.runner.wait(app.detection.trials.backtest(ANALYST, source_id, HOST, **given).id, 60)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few faults and few options, so that a search takes seconds."""
    design = tuning.Design(kinds=("spike", "level shift"), strengths=(6.0,), cases=3)
    whole = tuning.tune

    def few(series, frame, **given):
        return whole(series, frame, design, trials=4, **given)

    monkeypatch.setattr(jobs.tuning, "tune", few)


def journals(app: App) -> list:
    return sorted(app.settings.models_dir.glob("tuning/*"))


def test_backtest_is_kept_and_can_be_read(running: App) -> None:
    source_id = stored(running)
    trials = running.detection.trials
    assert trials.last_backtest(VIEWER, source_id, HOST) is None
    task = backtest(running, source_id)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    found = trials.last_backtest(VIEWER, source_id, HOST)
    assert found is not None
    assert (found["source_id"], found["host"], found["by"]) == (source_id, HOST, "ann")
    assert found["made_at"] == running.clock().isoformat()
    assert {row["kind"] for row in found["found"]} == {"spike", "level shift"}
    assert [one["name"] for one in found["figures"]][0] == "AutoOps"
    assert task.result["verdict"] == found["verdict"]
    assert found["verdict"][0] in [line["message"] for line in running.runner.log(task.id)]
    (entry,) = running.audit.entries(Filter(action="detector.backtest"))
    assert (entry.actor, entry.target) == ("ann", HOST)


def test_results_outlive_their_tasks_and_go_with_their_source(running: App, clock) -> None:
    source_id = stored(running)
    task = backtest(running, source_id)
    clock.advance(days=400)
    running.runner.prune()
    with pytest.raises(NotFound):
        running.runner.get(task.id)
    assert running.detection.trials.last_backtest(VIEWER, source_id, HOST) is not None
    running.detection.forget(source_id)
    assert running.detection.trials.last_backtest(VIEWER, source_id, HOST) is None


def test_a_result_that_is_damaged_is_none(running: App) -> None:
    source_id = stored(running)
    backtest(running, source_id)
    (path,) = running.settings.models_dir.glob("trials/*")
    path.write_text(path.read_text()[:100])
    assert running.detection.trials.last_backtest(VIEWER, source_id, HOST) is None


def test_stored_anomalies_are_kept_free_of_faults(running: App) -> None:
    source_id = stored(running)
    end = running.clock()
    start = end - timedelta(days=2)
    known = Anomaly(1, source_id, HOST, start, start, 3.0, 0.9, "minor", {}, end_ts=start + timedelta(hours=12))
    running.detection.findings.save_anomalies([known])
    task = backtest(running, source_id)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    found = running.detection.trials.last_backtest(VIEWER, source_id, HOST)
    assert found is not None
    inside = (to_ms(start), to_ms(start + timedelta(hours=12)))
    assert all(row["end_ms"] < inside[0] or row["start_ms"] > inside[1] for row in found["found"])
    assert any("kept free" in note for note in found["notes"])


def test_too_little_data_says_what_it_takes(running: App) -> None:
    source_id = stored(running, days=1)
    task = backtest(running, source_id)
    assert task.status == TaskStatus.FAILED
    assert "288 usable points" in task.error and "at least 500" in task.error
    tuned = running.runner.wait(running.detection.trials.tune(ANALYST, source_id, HOST).id, 60)
    assert tuned.status == TaskStatus.FAILED and "at least 1000" in tuned.error
    # What comes of it is not to be gone on with for ever.
    assert journals(running) == []


def test_a_window_without_samples_says_so(running: App) -> None:
    source_id = stored(running)
    before = running.clock() - timedelta(days=100)
    task = backtest(running, source_id, window=Window(before, before + timedelta(days=10)))
    assert task.status == TaskStatus.FAILED and "No samples between" in task.error


def test_who_may_not_and_what_means_nothing_is_refused(app: App) -> None:
    source_id = stored(app)
    trials = app.detection.trials
    for call in (trials.backtest, trials.tune):
        with pytest.raises(Forbidden):
            call(VIEWER, source_id, HOST)
        with pytest.raises(NotFound):
            call(ANALYST, source_id, "db-99")
    with pytest.raises(Invalid, match="explosion"):
        trials.backtest(ANALYST, source_id, HOST, kinds=["explosion"])
    with pytest.raises(Invalid, match="choose 10"):
        trials.tune(ANALYST, source_id, HOST, budget_s=float("nan"))
    assert app.audit.entries(Filter(action="detector.tune")) == []


def test_asked_twice_it_runs_once(app: App) -> None:
    source_id = stored(app)
    first = app.detection.trials.tune(ANALYST, source_id, HOST)
    assert app.detection.trials.tune(ANALYST, source_id, HOST, budget_s=60).id == first.id


def test_tuning_is_kept_and_its_journal_is_done_with(running: App, quick) -> None:
    source_id = stored(running)
    task = running.runner.wait(running.detection.trials.tune(ANALYST, source_id, HOST).id, 100)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    found = running.detection.trials.last_tuning(VIEWER, source_id, HOST)
    assert found is not None
    assert Options.from_json(found["trials"][0]["options"]) == Options()
    assert found["best"]["score"] >= found["default"]["score"]
    assert task.result["options"] == found["options"]
    assert journals(running) == []
    assert not running.detection.trials.unfinished(VIEWER, source_id, HOST)


def cancelled_after(app: App, source_id: int, trials: int) -> list[str]:
    """Tuning that was cancelled once so many trials were written down; the journal's lines."""
    task = app.detection.trials.tune(ANALYST, source_id, HOST)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if (files := journals(app)) and len(files[0].read_text().splitlines()) > trials:
            break
        time.sleep(0.01)
    app.runner.cancel(task.id)
    assert app.runner.wait(task.id, 30).status == TaskStatus.CANCELLED
    while any(t.name == f"task {task.id}" for t in threading.enumerate()):
        time.sleep(0.01)
    return journals(app)[0].read_text().splitlines()


def test_cancelled_tuning_goes_on_where_it_was_on_the_data_it_was_begun_with(running: App, clock, quick) -> None:
    source_id = stored(running)
    lines = cancelled_after(running, source_id, 1)
    assert running.detection.trials.unfinished(VIEWER, source_id, HOST)
    # Half a line, as of a process that was killed, and samples that came since.
    with journals(running)[0].open("a") as file:
        file.write('{"options": {"tre')
    clock.advance(days=1)
    running.samples.append(source_id, blocks(clock(), 1))
    task = running.runner.wait(running.detection.trials.tune(ANALYST, source_id, HOST).id, 100)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    found = running.detection.trials.last_tuning(VIEWER, source_id, HOST)
    assert found is not None
    assert found["resumed"] == len(lines) - 1 >= 1
    assert found["trials"][: len(lines) - 1] == [json.loads(line) for line in lines[1:]]
    assert len(found["trials"]) == 4
    assert found["judged_by_ms"][1] <= to_ms(clock() - timedelta(days=1))


def test_tuning_begins_anew_when_asked_to(running: App, quick) -> None:
    source_id = stored(running)
    cancelled_after(running, source_id, 1)
    task = running.runner.wait(running.detection.trials.tune(ANALYST, source_id, HOST, resume=False).id, 100)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    assert task.result["resumed"] == 0


def test_tuning_begins_anew_when_the_samples_it_rests_on_have_changed(running: App, quick) -> None:
    source_id = stored(running)
    cancelled_after(running, source_id, 1)
    late = blocks(running.clock() - timedelta(seconds=100), 2)
    running.samples.append(source_id, late)
    task = running.runner.wait(running.detection.trials.tune(ANALYST, source_id, HOST).id, 100)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    assert task.result["resumed"] == 0


def test_a_child_killed_during_tuning_leaves_its_trials_behind(app: App) -> None:
    app.runner.start()
    source_id = stored(app)
    lines = cancelled_after(app, source_id, 1)
    header = json.loads(lines[0])
    assert jobs.read_header(journals(app)[0]) == header
    trials = jobs.read_journal(journals(app)[0], header)
    assert trials and Options.from_json(trials[0].options) == Options()
    assert jobs.read_journal(journals(app)[0], {**header, "about": "other"}) == []


def test_a_journal_of_nonsense_is_no_journal(tmp_path) -> None:
    path = tmp_path / "s1.jsonl"
    assert jobs.read_header(path) is None
    for text in ("", "[]\n", '{"start": 1}\n', "\x00\xff"):
        path.write_text(text, encoding="latin-1")
        assert jobs.read_header(path) is None
        assert jobs.read_journal(path, {"start": 2}) == []
