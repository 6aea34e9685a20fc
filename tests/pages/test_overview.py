from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np

from lib.app import App
from lib.auth.actor import Role
from lib.db.tables import Source, SourceKind, Task, TaskStatus
from lib.frames import Block, to_ms
from lib.store.findings import Anomaly, Findings

PAGE = "pages/observe/overview.py"
HOSTILE = "<script>alert(1)</script> **bold** [click](http://evil.example) :material/delete:"


def fill(app: App, kind: SourceKind = SourceKind.DEMO, name: str = "Demo") -> int:
    with app.database.session() as session:
        source = Source(name=name, kind=kind)
        session.add(source)
        session.flush()
        source_id = source.id
    ts_ms = to_ms(app.clock()) - np.arange(600)[::-1] * 60_000 - 1000
    for host in ("web-1", "web-2"):
        app.samples.append(source_id, [Block("node_load1", {"instance": host}, ts_ms, np.sin(np.arange(600)))])
    return source_id


def find(app: App, sentence: str, source_id: int = 1, hours: float = 2, ended: bool = True) -> None:
    start = app.clock() - timedelta(hours=hours)
    end = start + timedelta(minutes=20) if ended else None
    reason = {"sentence": sentence, "contributors": []}
    Findings(app.store).save_anomalies(
        [Anomaly(1, source_id, "web-1", start, start, 9.0, 0.98, "major", reason, end_ts=end)]
    )


def tiles(page) -> dict[str, str]:
    return {one.label: one.value for one in page.metric}


def words(page) -> str:
    return "\n".join(one.value for one in (*page.markdown, *page.caption, *page.info))


def test_stranger_is_sent_to_sign_in(open_page: Callable) -> None:
    page = open_page(PAGE)
    assert "Sign in" in page.error[0].value
    assert not page.metric


def test_before_the_first_sample_the_way_in_is_shown(open_page: Callable) -> None:
    page = open_page(PAGE, Role.ADMIN)
    assert not page.exception
    assert "Connect your Prometheus" in words(page)
    assert "An operator can connect" in words(open_page(PAGE, "guest"))


def test_numbers_say_what_is_watched(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert tiles(page)["Watched series"] == "2"
    assert tiles(page)["Newest sample"] == "1 s ago"
    assert tiles(page)["Stored samples"] == "1.2k"
    assert page.dataframe[0].value["host"].tolist() == ["web-1", "web-2"]
    assert len(page.dataframe[0].value["load"][0]) > 40
    assert "As of 2026-03-14 12:00:00 UTC" in page.caption[-1].value


def test_a_clock_that_is_ahead_is_said(app: App, open_page: Callable) -> None:
    source_id = fill(app)
    ahead = to_ms(app.clock()) + np.array([0, 5_400_000])
    app.samples.append(source_id, [Block("load", {"instance": "early"}, ahead, np.ones(2))])
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    newest = next(tile for tile in page.metric if tile.label == "Newest sample")
    assert (newest.value, newest.delta) == ("in 1 h 30 min", "a clock is ahead")
    assert "clock of its host" in newest.help


def test_anomalies_come_with_their_sentence_newest_first(app: App, open_page: Callable) -> None:
    source_id = fill(app)
    find(app, "Old one.", source_id, hours=50)
    find(app, "New one.", source_id, ended=False)
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    text = words(page)
    assert text.index("New one") < text.index("Old one")
    assert "still going on" in text
    assert tiles(page)["Open anomalies"] == "1"


def test_more_anomalies_than_fit_lead_to_their_page(app: App, open_page: Callable) -> None:
    source_id = fill(app)
    for number in range(8):
        find(app, f"Number {number}.", source_id, hours=number + 1)
    page = open_page(PAGE, Role.VIEWER)
    assert "All 8 of the last 7 days" in words(page)
    assert "Number 7" not in words(page)


def test_without_detectors_training_is_the_next_step(app: App, open_page: Callable) -> None:
    fill(app, SourceKind.PROMETHEUS, "Production")
    page = open_page(PAGE, Role.ADMIN)
    assert "No detector is trained yet" in words(page)
    assert "train a detector" in words(page)


def test_demo_alone_leads_to_connecting_a_source(app: App, open_page: Callable) -> None:
    fill(app)
    assert "Connect a source" in words(open_page(PAGE, Role.ADMIN))
    assert "Connect a source" not in words(open_page(PAGE, "guest"))


def test_running_tasks_are_shown_with_their_progress(app: App, open_page: Callable) -> None:
    fill(app)
    with app.database.session() as session:
        session.add(Task(kind="train", title="Training web-1", status=TaskStatus.RUNNING, progress=0.4, message="half"))
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "Working on" in [one.value for one in page.subheader]


def test_hostile_names_do_nothing(app: App, open_page: Callable) -> None:
    source_id = fill(app, name=HOSTILE[:64])
    find(app, HOSTILE, source_id)
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    shown = words(page)
    assert "<script>" not in shown
    assert "](http" not in shown
    assert "**bold**" not in shown
