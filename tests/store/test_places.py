"""Files go to a folder or a bucket whole, and come back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.errors import StoreError
from lib.store import closing, restoring
from lib.store.connection import Store
from lib.store.places import BucketPlace, LocalPlace, bucket
from lib.store.samples import Samples
from tests.store.archive_parts import NOW, blocks, content, expected, run


class Files:
    """What a bucket's client does, on a folder: the calls of fsspec that the place makes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.down, self.reads = folder, False, 0

    def _path(self, name: str) -> Path:
        if self.down:
            raise ConnectionError("connection refused")
        return self.folder / name

    def put_file(self, local: str, name: str) -> None:
        self._path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(local, self._path(name))

    def get_file(self, name: str, local: str) -> None:
        self.reads += 1
        shutil.copyfile(self._path(name), local)

    def rm_file(self, name: str) -> None:
        self._path(name).unlink()

    def info(self, name: str) -> dict[str, Any]:
        return {"size": self._path(name).stat().st_size}

    def find(self, root: str) -> list[str]:
        return [str(path.relative_to(self.folder)) for path in self._path(root).rglob("*") if path.is_file()]

    def invalidate_cache(self) -> None: ...


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "far")


@pytest.fixture
def place(files: Files, tmp_path: Path) -> BucketPlace:
    return BucketPlace("metrics/archive", lambda: files, tmp_path / "cache", 10_000_000)


@pytest.fixture
def samples(place: BucketPlace, tmp_path: Path) -> Iterator[Samples]:
    made = Samples(Store(tmp_path / "metrics.duckdb", place=place))
    made.append(1, blocks())
    yield made
    made.store.close()


def test_a_folder_takes_files_whole_and_forgets_them(tmp_path: Path) -> None:
    place = LocalPlace(tmp_path / "archive")
    (tmp_path / "made").write_bytes(b"parquet")
    place.put(tmp_path / "made", "2026-03-14/raw-1.parquet")
    assert place.fetch("2026-03-14/raw-1.parquet").read_bytes() == b"parquet"
    assert place.names() == ["2026-03-14/raw-1.parquet"] and not (tmp_path / "made").exists()
    place.remove("2026-03-14/raw-1.parquet")
    place.remove("2026-03-14/raw-1.parquet")
    assert place.names() == []
    with pytest.raises(FileNotFoundError):
        place.fetch("2026-03-14/raw-1.parquet")


def test_days_in_a_bucket_are_read_checked_and_removed(samples: Samples, files: Files, tmp_path: Path) -> None:
    assert len(run(samples.store, tmp_path)) == 3
    assert content(samples.store) == expected(*blocks())
    reads = files.reads
    assert content(samples.store) == expected(*blocks()) and files.reads == reads  # kept on this machine
    assert restoring.verify(samples.store, deep=True).damaged == ()
    samples.forget_source(1)
    run(samples.store, tmp_path)
    closing.sweep(samples.store, NOW.replace(hour=23))
    assert samples.store.archive.place.names() == []


def test_a_bucket_that_does_not_answer_is_said_and_nothing_is_taken_off_the_list(
    samples: Samples, files: Files, tmp_path: Path
) -> None:
    run(samples.store, tmp_path)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    files.down = True
    with pytest.raises(StoreError, match="connection refused"):
        content(samples.store)
    files.down = False
    assert content(samples.store) == expected(*blocks())


def test_a_bucket_that_fails_while_archiving_leaves_the_day_hot(samples: Samples, files: Files, tmp_path: Path) -> None:
    files.down = True
    with pytest.raises(StoreError, match="could not be stored in metrics/archive"):
        run(samples.store, tmp_path)
    assert content(samples.store) == expected(*blocks())
    files.down = False
    run(samples.store, tmp_path)
    assert content(samples.store) == expected(*blocks())


def test_the_longest_unused_files_leave_this_machine_first(files: Files, tmp_path: Path) -> None:
    place = BucketPlace("b", lambda: files, tmp_path / "cache", 250)
    for number in range(4):
        (tmp_path / "made").write_bytes(bytes(100))
        place.put(tmp_path / "made", f"day/raw-{number}.parquet")
        place.fetch(f"day/raw-{number}.parquet")
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) == 2
    assert place.fetch("day/raw-0.parquet").stat().st_size == 100


def test_a_bucket_costs_nothing_until_it_is_used(tmp_path: Path) -> None:
    place = bucket("s3://metrics/archive/", "http://127.0.0.1:9", "key", "secret", tmp_path, 1000)
    assert place.root == "metrics/archive" and place._files is None
