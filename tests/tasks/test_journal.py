from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.tasks import journal
from lib.tasks.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "7" / "log.jsonl"


def test_lines_come_back_numbered_from_anywhere(path) -> None:
    log = Journal(path)
    for n in range(10):
        log.write(f"line {n}", "info", n=n, message="a value of this name")
    assert [line["n"] for line in journal.read(path)] == list(range(10))
    assert journal.read(path, after=7, limit=2) == [
        {**line, "n": n} for n, line in zip((7, 8), journal.read(path)[7:9], strict=True)
    ]
    assert journal.read(path, after=7)[0]["values"] == {"n": 7, "message": "a value of this name"}
    assert journal.read(path, after=10) == journal.read(path, after=11) == []
    assert journal.count(path) == 10


def test_log_that_does_not_exist_yet_is_empty(path) -> None:
    assert journal.read(path) == [] and journal.count(path) == 0


def test_reading_across_chunks_finds_every_line(path, monkeypatch) -> None:
    monkeypatch.setattr(journal, "_CHUNK", 64)
    log = Journal(path)
    for n in range(50):
        log.write("x" * (n % 7) + f" {n}")
    for after in range(51):
        assert [line["message"].split()[-1] for line in journal.read(path, after)] == [str(n) for n in range(after, 50)]


@given(st.text(max_size=50), st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_any_text_is_one_line(tmp_path_factory, message, values) -> None:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    log = Journal(path)
    log.write(message, "info", values=values)
    log.write("next")
    assert journal.count(path) == 2
    assert [line["n"] for line in journal.read(path)] == [0, 1]
    assert journal.read(path)[1]["message"] == "next"


def test_secrets_do_not_reach_the_file(path) -> None:
    Journal(path).write("fetching", "info", url="http://ada:s3cret@host/", header="Bearer abcdef")
    assert "s3cret" not in path.read_text() and "abcdef" not in path.read_text()
    json.loads(path.read_text())


def test_line_torn_by_a_kill_is_shown_and_does_not_spoil_the_next(path) -> None:
    Journal(path).write("whole")
    with path.open("ab") as file:
        file.write(b'{"ts": "2026-03-14T12:00:00+00:00", "message": "to')
    assert [line["message"] for line in journal.read(path)] == ["whole"]
    Journal(path).write("after the restart")
    whole, torn, after = journal.read(path)
    assert (torn["level"], torn["n"], after["message"], after["n"]) == ("warning", 1, "after the restart", 2)
    assert '"to' in torn["message"] and whole["message"] == "whole"


def test_full_log_keeps_warnings_until_the_reserve_ends_and_last_words_always(path, monkeypatch) -> None:
    monkeypatch.setattr(journal, "MAX_LINES", 10)
    monkeypatch.setattr(journal, "RESERVE_LINES", 3)
    log = Journal(path)
    for n in range(20):
        log.write(f"plain {n}")
    for n in range(20):
        log.write(f"warning {n}", "warning")
    log.last_words("Succeeded.")
    said = [line["message"] for line in journal.read(path)]
    assert said[9] == "plain 9" and "full" in said[10]
    assert said[11:] == ["warning 0", "warning 1", "Succeeded."]


def test_log_is_bounded_in_bytes_too(path, monkeypatch) -> None:
    monkeypatch.setattr(journal, "MAX_BYTES", 10_000)
    log = Journal(path)
    for _ in range(100):
        log.write("x" * 1_000)
    assert log.full and path.stat().st_size < 13_000


def test_values_too_long_for_a_line_are_left_out(path) -> None:
    Journal(path).write("m" * 100_000, "info", much="v" * 100_000)
    (line,) = journal.read(path)
    assert len(line["message"]) == journal.MAX_MESSAGE and "too long" in line["values"]["left_out"]


def test_threads_do_not_mix_their_lines(path) -> None:
    log = Journal(path)
    threads = [threading.Thread(target=lambda n=n: [log.write(f"{n} " * 50) for _ in range(100)]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = journal.read(path)
    assert len(lines) == 800 and all(len(set(line["message"].split())) == 1 for line in lines)


def test_writing_after_the_end_is_ignored(path) -> None:
    log = Journal(path)
    log.close()
    log.write("too late")
    log.last_words("too late as well")
    assert journal.read(path) == []


def test_full_disk_ends_the_log_and_not_the_job(tmp_path) -> None:
    path = tmp_path / "log.jsonl"
    path.symlink_to("/dev/full")
    log = Journal(path)
    log.write("lost")
    log.last_words("lost")
    log.close()
