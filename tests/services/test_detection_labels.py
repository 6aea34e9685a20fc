from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest

from lib.app import App
from lib.audit.log import Filter
from lib.auth.actor import Actor, Role
from lib.db.tables import TaskStatus
from lib.errors import Forbidden, Invalid, NotFound
from lib.frames import Window
from lib.settings import TaskMode
from tests.services.test_detection import FAULT, blocks, everything, make_source, train

ANALYST = Actor("ann", Role.ANALYST)
BOB = Actor("bob", Role.ANALYST)
VIEWER = Actor("vic", Role.VIEWER)
HOUR = timedelta(hours=1)


@pytest.fixture
def trained(app: App) -> Iterator[tuple[App, int]]:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    source_id = make_source(app)
    app.samples.append(source_id, blocks(app.clock(), "web-01"))
    assert train(app, source_id).status == TaskStatus.SUCCEEDED
    yield app, source_id


def fault(app: App) -> dict:
    """The anomaly of the fault, as the app tells of it."""
    found = app.detection.anomalies(VIEWER, everything(app), muted=True)
    return found.loc[found["score"].idxmax()].to_dict()


def test_label_says_who_and_when_and_replaces_what_was_said_before(trained: tuple[App, int]) -> None:
    app, source_id = trained
    one = fault(app)
    app.detection.labels.give(ANALYST, one["id"], "real", "queue ran full")
    told = fault(app)
    assert (told["verdict"], told["labelled_by"], told["labelled_at"]) == ("real", "ann", app.clock())
    assert told["note"] == "queue ran full"
    app.detection.labels.give(BOB, one["id"], "false")
    assert app.detection.anomaly(VIEWER, one["id"])["verdict"] == "false"
    assert [label.created_by for label in app.detection.labels.all(VIEWER, source_id)] == ["bob"]
    said = [e for e in app.audit.entries(Filter()) if e.action == "anomaly.label"]
    assert {e.details["instead_of"] for e in said} == {"", "real"}


def test_label_survives_scoring_anew_another_version_and_another_number(trained: tuple[App, int]) -> None:
    app, source_id = trained
    app.detection.labels.give(ANALYST, fault(app)["id"], "real")
    row = app.detection.scoring.active(source_id)[0]
    app.detection.score(ANALYST, row.id, Window(app.clock() - FAULT - 3 * HOUR, app.clock()))
    assert fault(app)["verdict"] == "real"
    assert train(app, source_id).status == TaskStatus.SUCCEEDED
    told = fault(app)
    assert told["detector_id"] != row.id
    assert told["verdict"] == "real"


def test_label_is_of_its_own_group_only(trained: tuple[App, int]) -> None:
    app, source_id = trained
    one = fault(app)
    span = Window(one["start_ts"].to_pydatetime(), one["end_ts"].to_pydatetime())
    app.detection.labels.give_span(ANALYST, source_id, "web-02", span, "false")
    app.detection.labels.give_span(ANALYST, source_id + 1, "web-01", span, "false")
    assert fault(app)["verdict"] == ""


def test_label_can_be_taken_back(trained: tuple[App, int]) -> None:
    app, source_id = trained
    one = fault(app)
    app.detection.labels.give(ANALYST, one["id"], "expected")
    span = Window(one["start_ts"].to_pydatetime(), one["end_ts"].to_pydatetime())
    assert app.detection.labels.take_back(ANALYST, source_id, "web-01", span) == 1
    assert app.detection.labels.take_back(ANALYST, source_id, "web-01", span) == 0
    assert fault(app)["verdict"] == ""


def test_labelling_is_refused_to_viewers_and_for_nonsense(trained: tuple[App, int]) -> None:
    app, source_id = trained
    number = fault(app)["id"]
    with pytest.raises(Forbidden):
        app.detection.labels.give(VIEWER, number, "real")
    with pytest.raises(NotFound):
        app.detection.labels.give(ANALYST, 999_999, "real")
    for verdict, note in (("maybe", ""), ("real", "x" * 501)):
        with pytest.raises(Invalid):
            app.detection.labels.give(ANALYST, number, verdict, note)
    with pytest.raises(Invalid):
        span = Window(app.clock() - timedelta(days=40), app.clock())
        app.detection.labels.give_span(ANALYST, source_id, "web-01", span, "real")
    assert app.detection.labels.all(VIEWER) == []


def test_maintenance_hides_what_it_covers_until_asked(trained: tuple[App, int]) -> None:
    app, source_id = trained
    one = fault(app)
    start = one["start_ts"].to_pydatetime()
    mark = app.detection.annotations.add(
        ANALYST, "maintenance", start - HOUR, start + HOUR, text="new disks", source_id=source_id
    )
    shown = app.detection.anomalies(VIEWER, everything(app))
    assert one["id"] not in set(shown["id"])
    assert fault(app)["muted"] == "maintenance: new disks"
    app.detection.annotations.remove(ANALYST, mark.id or 0)
    assert one["id"] in set(app.detection.anomalies(VIEWER, everything(app))["id"])


def test_what_was_called_expected_or_muted_is_not_learnt_from_and_a_false_alarm_is(trained: tuple[App, int]) -> None:
    app, source_id = trained
    one = fault(app)
    plain = app.detection.scoring.active(source_id)[0].metrics
    app.detection.labels.give(ANALYST, one["id"], "false")
    assert train(app, source_id).status == TaskStatus.SUCCEEDED
    assert app.detection.scoring.active(source_id)[0].metrics["left_out_as_strange"] < plain["left_out_as_strange"]
    until = app.clock() - timedelta(days=1)
    app.detection.annotations.add(ANALYST, "maintenance", until - timedelta(days=1), until, source_id=source_id)
    assert train(app, source_id).status == TaskStatus.SUCCEEDED
    left_out = app.detection.scoring.active(source_id)[0].metrics["left_out_as_strange"]
    assert left_out >= 287


def quiet_spans(app: App, count: int) -> list[Window]:
    """Hours in which nothing was found, a day apart."""
    found = app.detection.anomalies(VIEWER, everything(app), muted=True)
    begin, made = app.clock() - timedelta(days=5), []
    while len(made) < count:
        span = Window(begin, begin + HOUR)
        begin += 5 * HOUR
        ends = found["end_ts"].fillna(app.clock())
        if not ((found["start_ts"] < span.end) & (ends > span.start)).any():
            made.append(span)
    return made


def test_training_measures_what_labels_did_on_labels_held_back(trained: tuple[App, int]) -> None:
    app, source_id = trained
    give = app.detection.labels.give_span
    real = fault(app)
    app.detection.labels.give(ANALYST, real["id"], "real")
    spans = quiet_spans(app, 3)
    give(ANALYST, source_id, "web-01", spans[0], "real")  # a fault nobody can see
    for span in spans[1:]:
        give(ANALYST, source_id, "web-01", span, "false")
    assert train(app, source_id).status == TaskStatus.SUCCEEDED
    told = app.detection.scoring.active(source_id)[0].metrics["labels"]
    assert told["before"] == {"real": 2, "false": 2, "found": 1, "called": 0}
    assert told["after"]["real"] == told["after"]["false"] == 2
    assert told["after"]["found"] >= 1 and told["after"]["called"] == 0


def test_source_that_is_removed_takes_its_labels_and_marks_along(trained: tuple[App, int]) -> None:
    app, source_id = trained
    app.detection.labels.give(ANALYST, fault(app)["id"], "real")
    app.detection.annotations.add(ANALYST, "note", app.clock(), source_id=source_id)
    app.detection.annotations.add(ANALYST, "note", app.clock())
    app.detection.forget(source_id)
    assert app.detection.labels.all(VIEWER) == []
    assert [a.source_id for a in app.detection.annotations.all(VIEWER)] == [None]


# --- thresholds ------------------------------------------------------------------------------------


def test_simulation_at_the_threshold_in_force_gives_what_is_marked(trained: tuple[App, int]) -> None:
    app, source_id = trained
    marked = app.detection.anomalies(VIEWER, everything(app))
    tried = app.detection.thresholds.simulate(VIEWER, 2.7, source_id=source_id, weeks=2)
    assert tried.now == 2.7
    assert set(tried.fired["anomaly_id"]) == set(marked["id"])
    assert tried.a_week == pytest.approx(len(marked) / tried.weeks)
    assert 0.7 < tried.weeks < 1 and tried.learnt == pytest.approx(1, abs=0.01)


def test_higher_thresholds_never_fire_more(trained: tuple[App, int]) -> None:
    app, _ = trained
    curve = app.detection.thresholds.simulate(VIEWER, 2.7, weeks=2).curve["a_week"].to_numpy()
    assert curve[0] > curve[-1]
    assert (np.diff(curve) <= 1e-9).mean() > 0.8  # merged events may part again on the way up


def test_lower_threshold_brings_anomalies_with_reasons_and_back_leaves_what_was_there(
    trained: tuple[App, int],
) -> None:
    app, source_id = trained
    before = app.detection.anomalies(VIEWER, everything(app))
    scores = app.detection.findings.scores(app.detection.scoring.active(source_id)[0].id, everything(app))
    gone, new = app.detection.thresholds.move(ANALYST, 1.5, source_id)
    assert gone == 0 and new > 0
    more = app.detection.anomalies(VIEWER, everything(app))
    assert len(more) == len(before) + new
    assert more["sentence"].str.len().gt(20).all()
    told = app.detection.anomaly(VIEWER, int(next(i for i in more["id"] if i not in set(before["id"]))))
    assert told["explanation"]["contributors"]
    back = app.detection.thresholds.move(ANALYST, 2.7, source_id)
    assert back == (new, 0)
    after = app.detection.anomalies(VIEWER, everything(app))
    assert sorted(after["id"]) == sorted(before["id"])
    again = app.detection.findings.scores(app.detection.scoring.active(source_id)[0].id, everything(app))
    assert np.allclose(again["threshold"], scores["threshold"])
    assert app.detection.scoring.active(source_id)[0].params["rule"]["open_at"] == 2.7


def test_threshold_in_force_is_used_for_new_samples_and_by_the_next_version(trained: tuple[App, int]) -> None:
    app, source_id = trained
    app.detection.thresholds.move(ANALYST, 6.5, source_id)
    row = app.detection.scoring.active(source_id)[0]
    app.detection.score(ANALYST, row.id, Window(app.clock() - 2 * HOUR, app.clock()))
    newest = app.detection.findings.scores(row.id, Window(app.clock() - HOUR, app.clock() + HOUR))
    assert (newest["threshold"] >= 6.5).all()
    assert train(app, source_id).status == TaskStatus.SUCCEEDED
    assert app.detection.scoring.active(source_id)[0].params["rule"]["open_at"] == 6.5


def test_labels_advise_a_threshold_that_keeps_the_real_and_drops_the_false(trained: tuple[App, int]) -> None:
    app, source_id = trained
    for seed, host in enumerate(("web-02", "web-03"), start=1):
        app.samples.append(source_id, blocks(app.clock(), host, seed=seed))
        assert train(app, source_id, host).status == TaskStatus.SUCCEEDED
    app.detection.thresholds.move(ANALYST, 1.5, source_id)
    found = app.detection.anomalies(VIEWER, everything(app)).sort_values("score", ascending=False)
    assert app.detection.thresholds.advice(VIEWER, source_id)[0] is None
    for place, number in enumerate(found["id"]):
        app.detection.labels.give(ANALYST, int(number), "real" if place < 3 else "false")
    advice, real, false = app.detection.thresholds.advice(VIEWER, source_id)
    assert (real, false) == (3, len(found) - 3)
    assert advice is not None and advice.level > 1.5
    assert advice.before.called > advice.after.called


@pytest.mark.parametrize("level", [0.0, -1.0, 99.0, float("nan")])
def test_threshold_out_of_range_is_refused(app: App, level: float) -> None:
    with pytest.raises(Invalid):
        app.detection.thresholds.simulate(VIEWER, level)
    with pytest.raises(Invalid):
        app.detection.thresholds.move(ANALYST, level, 1)


def test_without_scores_there_is_nothing_to_simulate_and_a_viewer_moves_nothing(app: App) -> None:
    with pytest.raises(NotFound):
        app.detection.thresholds.simulate(VIEWER, 2.7)
    with pytest.raises(NotFound):
        app.detection.thresholds.move(ANALYST, 2.7, 1)
    with pytest.raises(Forbidden):
        app.detection.thresholds.move(VIEWER, 2.7, 1)
