from __future__ import annotations

import time
from datetime import timedelta

import pytest

from lib.app import App, build
from lib.auth.actor import GUEST
from lib.errors import ArtefactRefused, Conflict, Forbidden, Invalid, NotFound
from lib.settings import Settings
from tests.conftest import FakeClock
from tests.registry.kept import ANALYST, OPERATOR, PRICES, VIEWER, register


def test_versions_count_up_and_keep_what_they_were_made_of(app: App) -> None:
    register(app, metrics={"accuracy": 0.9}, params={"depth": 3}, data_hash="abc", card="# Flowers")
    register(app, metrics={"accuracy": 0.95}, params={"depth": 4}, data_hash="abc")
    rows = app.models.versions(VIEWER, "flowers")
    assert [row.version for row in rows] == [2, 1]
    assert rows[1].params == {"depth": 3}
    assert rows[1].environment["python"].startswith("3.")
    assert rows[1].code_version
    found = app.models.compare(VIEWER, "flowers", 1, 2)
    assert found.metrics == [("accuracy", 0.9, 0.95)]
    assert found.params == [("depth", 3, 4)]
    assert found.same_data is True
    assert app.models.archive_of(VIEWER, "flowers", 1).is_file()


def test_promoting_and_rolling_back_takes_no_second_and_is_remembered(app: App, clock: FakeClock) -> None:
    for _ in range(3):
        register(app)
    began = clock.now
    for version in (1, 2, 3):
        clock.advance(hours=1)
        app.models.promote(OPERATOR, "flowers", version, note=f"try {version}")
    clock.advance(hours=1)
    start = time.perf_counter()
    app.models.roll_back(OPERATOR, "flowers", "worse")
    assert time.perf_counter() - start < 1
    assert app.models.get(VIEWER, "flowers").version == 2
    clock.advance(hours=1)
    app.models.roll_back(OPERATOR, "flowers")
    assert app.models.get(VIEWER, "flowers").version == 1
    with pytest.raises(Conflict, match="no other champion"):
        app.models.roll_back(OPERATOR, "flowers")
    meant = [app.models.at(VIEWER, "flowers", began + timedelta(hours=h, minutes=30)) for h in range(6)]
    assert [one.version if one else None for one in meant] == [None, 1, 2, 3, 2, 1]
    assert [one.note for one in app.models.history(VIEWER, "flowers")][1] == "worse"


def test_a_champion_cannot_be_archived_nor_an_archived_one_promoted(app: App) -> None:
    register(app)
    register(app)
    app.models.promote(OPERATOR, "flowers", 1)
    with pytest.raises(Conflict, match="is the champion"):
        app.models.archive(OPERATOR, "flowers", 1)
    app.models.archive(OPERATOR, "flowers", 2)
    with pytest.raises(Conflict, match="archived"):
        app.models.promote(OPERATOR, "flowers", 2)
    app.models.archive(OPERATOR, "flowers", 2, back=True)
    app.models.promote(OPERATOR, "flowers", 2, "challenger")
    assert app.models.aliases(VIEWER, "flowers") == {"champion": 1, "challenger": 2}
    app.models.take_away(OPERATOR, "flowers", "champion")
    with pytest.raises(NotFound, match="no champion"):
        app.models.get(VIEWER, "flowers")


def test_a_version_whose_files_changed_never_goes_to_production(app: App) -> None:
    row = register(app)
    path = app.models.packages.archive(row.sha256)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ArtefactRefused, match="checksum"):
        app.models.promote(OPERATOR, "flowers", 1)
    assert app.models.history(VIEWER, "flowers") == []


def test_roles(app: App) -> None:
    register(app)
    with pytest.raises(Forbidden):
        app.models.all(GUEST)
    with pytest.raises(Forbidden):
        app.models.register(VIEWER, "x", {}, format="onnx", model_schema=PRICES)
    for act in (
        lambda: app.models.promote(ANALYST, "flowers", 1),
        lambda: app.models.roll_back(ANALYST, "flowers"),
        lambda: app.models.archive(ANALYST, "flowers", 1),
    ):
        with pytest.raises(Forbidden, match="operator"):
            act()


@pytest.mark.parametrize("name", ["", "Flowers", "../x", "a b", "x" * 80, "-a"])
def test_a_name_that_is_part_of_no_address_is_refused_and_nothing_kept(app: App, name: str) -> None:
    with pytest.raises(Invalid, match="no name for a model"):
        register(app, name=name)
    assert app.models.packages.place.names() == []


def test_a_format_nobody_serves_is_refused(app: App) -> None:
    with pytest.raises(NotFound, match="pickle"):
        app.models.register(ANALYST, "x", {}, format="pickle", model_schema=PRICES)


def test_files_left_by_a_kill_between_file_and_row_are_swept_at_start(settings: Settings, clock: FakeClock) -> None:
    app = build(settings, clock)
    try:
        kept = register(app)
        stray = app.models.packages.keep({"x.json": app.models.packages.archive(kept.sha256)})
        app.models.sweep()
        assert [stray.sha256 in name for name in app.models.packages.place.names()] == [False]
        assert app.models.unpack(kept).is_dir()
    finally:
        app.stop()
