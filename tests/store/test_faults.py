"""DuckDB's own words for faults that are provoked, so that a new version with other words is noticed."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from lib.store import faults
from lib.store.faults import Fault


def error_of(path: Path, **config: object) -> duckdb.Error:
    with pytest.raises(duckdb.Error) as caught:
        duckdb.connect(str(path), **config)
    return caught.value


def test_garbage_is_read_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    path.write_bytes(b"garbage" * 5000)
    assert faults.diagnose(error_of(path), path) is Fault.CORRUPT


def test_a_directory_that_is_not_there_is_nothing_to_mend(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "m.duckdb"
    assert faults.diagnose(error_of(path), path) is Fault.OTHER


def test_another_file_that_is_cut_short_is_no_damage_to_the_store(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    words = 'IO Error: Could not read enough bytes from file "{}": attempted to read 8 bytes from location 5'
    assert faults.diagnose(duckdb.IOException(words.format(path)), path) is Fault.CORRUPT
    assert faults.diagnose(duckdb.IOException(words.format(tmp_path / "other")), path) is Fault.OTHER


def test_an_instance_that_died_is_known_by_why_it_died(tmp_path: Path) -> None:
    words = "FATAL Error: Failed: database has been invalidated because of a previous fatal error.\nOriginal error: "
    path = tmp_path / "m.duckdb"
    full = duckdb.FatalException(words + '"Could not write file "x": No space left on device"')
    assert faults.diagnose(full, path) is Fault.FULL
    assert faults.is_dead(full)
    assert faults.diagnose(duckdb.FatalException(words + "something"), path) is Fault.DEAD


def test_writing_to_a_file_opened_for_reading_is_read_only(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    duckdb.connect(str(path)).close()
    with duckdb.connect(str(path), read_only=True) as connection, pytest.raises(duckdb.Error) as caught:
        connection.execute("CREATE TABLE t (i INTEGER)")
    assert faults.diagnose(caught.value, path) is Fault.READ_ONLY


def test_a_stopped_query_is_known() -> None:
    assert faults.diagnose(duckdb.InterruptException("INTERRUPT Error: Interrupted!"), Path("x")) is Fault.STOPPED


def test_the_holder_and_the_position_are_read_from_the_words() -> None:
    busy = duckdb.IOException('Could not set lock on file "x": Conflicting lock is held in python (PID 4711).')
    assert faults.diagnose(busy, Path("x")) is Fault.BUSY
    assert faults.holder(busy) == 4711
    assert faults.holder(duckdb.IOException("Could not set lock on file")) is None
    torn = duckdb.Error('Failure while replaying WAL file "x.wal": Corrupt WAL file: entry at byte position 57846 ...')
    assert faults.diagnose(torn, Path("x")) is Fault.JOURNAL
    assert faults.journal_position(torn) == 57846
    assert faults.journal_position(duckdb.Error("something else")) is None
