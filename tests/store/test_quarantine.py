from __future__ import annotations

from pathlib import Path

import pytest

from lib.store import quarantine


def test_files_set_aside_in_the_same_second_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    places = []
    for content in ("one", "two", "three"):
        path.write_text(content)
        places.append(quarantine.set_aside(path, [path], "because"))
    assert [(place / "m.duckdb").read_text() for place in places] == ["one", "two", "three"]
    assert not path.exists()


def test_notes_tell_of_every_event_even_when_one_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    assert quarantine.notes(path) == []
    for content in ("one", "two"):
        path.write_text(content)
        quarantine.write_note(quarantine.set_aside(path, [path], content), content, "some of it")
    first, second = quarantine.notes(path)
    assert (first.reason, second.reason) == ("one", "two")
    Path(first.path, "note.json").write_text("{")
    damaged, _ = quarantine.notes(path)
    assert "missing" in damaged.reason
    assert damaged.path == first.path


@pytest.mark.parametrize(
    ("content", "garbage"),
    [(None, False), (b"", False), (b"d", False), (b"d\x00be\x00", False), (b"x", True), (b"garbage", True)],
)
def test_a_log_is_garbage_when_it_does_not_begin_as_one(tmp_path: Path, content: bytes | None, garbage: bool) -> None:
    path = tmp_path / "m.duckdb"
    if content is not None:
        quarantine.journal_of(path).write_bytes(content)
    assert quarantine.journal_is_garbage(path) is garbage


def test_what_belongs_to_another_file_is_not_beside_this_one(tmp_path: Path) -> None:
    for name in ("m.duckdb", "m.duckdb.wal", "m.duckdb2", "app.sqlite"):
        (tmp_path / name).touch()
    assert [file.name for file in quarantine.beside(tmp_path / "m.duckdb")] == ["m.duckdb", "m.duckdb.wal"]
