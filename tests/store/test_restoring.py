"""The archive is checked against what was noted, and brings back what a lost store held."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.errors import StoreError
from lib.store import closing, restoring
from lib.store.archive import DAY_MS
from lib.store.connection import Store
from lib.store.samples import Samples
from tests.store.archive_parts import FIRST_DAY, NOW, blocks, content, expected, filled, run


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[Samples]:
    made = filled(tmp_path / "metrics.duckdb")
    run(made.store, tmp_path)
    yield made
    made.store.close()


def raw_file(tmp_path: Path, date: str) -> Path:
    return next((tmp_path / "archive" / date).glob("raw-*.parquet"))


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_sound_archive_passes(samples: Samples) -> None:
    told: list[float] = []
    found = restoring.verify(samples.store, deep=True, said=lambda share, _words: told.append(share))
    assert (found.files, found.rows, found.damaged, found.unknown) == (12, len(expected(*blocks())), (), ())
    assert told == sorted(told) and len(told) == 12


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("position", [5, 2000, -5])
def test_one_flipped_bit_is_found_set_aside_and_said(
    samples: Samples, tmp_path: Path, deep: bool, position: int
) -> None:
    flip(raw_file(tmp_path, "2026-03-11"), position)
    found = restoring.verify(samples.store, deep=deep)
    assert len(found.damaged) == 1 and "2026-03-11" in found.damaged[0]
    assert content(samples.store) == [row for row in expected(*blocks()) if row[1] // DAY_MS != FIRST_DAY + 1]
    assert restoring.verify(samples.store, deep=deep).damaged == ()
    assert list((tmp_path / "quarantine").glob("*/raw-*.parquet"))


def test_a_store_that_was_lost_gets_its_archive_back_once(samples: Samples, tmp_path: Path) -> None:
    samples.store.close()
    for file in tmp_path.glob("metrics.duckdb*"):
        file.unlink()
    fresh = Samples(Store(tmp_path / "metrics.duckdb"))
    # Collected anew before anybody thought of it, under numbers that mean other series in the archive.
    fresh.append(1, blocks()[3:4])
    assert len(restoring.unknown(fresh.store)) == 3
    restored = restoring.restore(fresh, NOW)
    total = len(expected(*blocks()))
    assert (restored.files, restored.samples, restored.unreadable) == (3, total - blocks()[3].ts_ms.size, {})
    assert content(fresh.store) == expected(*blocks())
    assert restoring.restore(fresh, NOW).files == 0
    run(fresh.store, tmp_path)
    assert content(fresh.store) == expected(*blocks())
    closing.sweep(fresh.store, NOW.replace(hour=23))
    assert restoring.unknown(fresh.store) == [] and len(fresh.store.archive.place.names()) == 12
    fresh.store.close()


def test_a_damaged_day_comes_back_from_a_copy(samples: Samples, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "archive", tmp_path / "copy")
    flip(raw_file(tmp_path, "2026-03-11"), 2000)
    restoring.verify(samples.store, deep=False)
    restored = restoring.restore(samples, NOW, tmp_path / "copy")
    assert restored.files == 3 and restored.samples + restored.known == len(expected(*blocks()))
    assert content(samples.store) == expected(*blocks())


def test_what_can_be_read_of_a_damaged_file_comes_back_and_the_rest_is_said(samples: Samples, tmp_path: Path) -> None:
    flip(raw_file(tmp_path, "2026-03-11"), -5)
    restoring.verify(samples.store, deep=False)
    restored = restoring.restore(samples, NOW, tmp_path / "quarantine")
    assert restored.samples == 0 and len(restored.unreadable) == 1


def test_a_folder_that_is_not_there_is_said(samples: Samples, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere is no folder"):
        restoring.restore(samples, NOW, tmp_path / "nowhere")
