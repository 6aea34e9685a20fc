"""Files go to a folder or to a real S3 server whole, and come back, whatever becomes of the server."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lib.errors import StoreError
from lib.store import closing, restoring
from lib.store.connection import Store
from lib.store.places import LocalPlace, trial
from lib.store.samples import Samples
from tests.s3 import Bucket, Wire
from tests.store.archive_parts import FIRST_DAY, NOW, blocks, content, expected, run


def opened(s3: Bucket, folder: Path, wire: Wire | None = None, **named: float) -> Samples:
    """A store in `folder` whose archive lies in the bucket."""
    reached = replace(s3, endpoint=wire.endpoint) if wire else s3
    place = reached.place(folder / "cache", earlier=folder / "archive", **named)
    return Samples(Store(folder / "metrics.duckdb", place=place))


@pytest.fixture
def samples(s3: Bucket, wire: Wire, tmp_path: Path) -> Iterator[Samples]:
    made = opened(s3, tmp_path, wire, timeout_s=1.0)
    made.append(1, blocks())
    yield made
    made.store.close()


def forget_copies(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)


def test_a_folder_takes_files_whole_and_forgets_them(tmp_path: Path) -> None:
    place = LocalPlace(tmp_path / "archive")
    (tmp_path / "made").write_bytes(b"parquet")
    place.put(tmp_path / "made", "2026-03-14/raw-1.parquet")
    assert place.fetch("2026-03-14/raw-1.parquet").read_bytes() == b"parquet"
    assert place.names() == ["2026-03-14/raw-1.parquet"] and not (tmp_path / "made").exists()
    place.remove("2026-03-14/raw-1.parquet")
    place.remove("2026-03-14/raw-1.parquet")
    assert place.names() == []


def test_a_file_that_is_gone_is_told_from_a_disk_that_is_not_there(tmp_path: Path) -> None:
    place = LocalPlace(tmp_path / "archive")
    with pytest.raises(StoreError, match="Mount its disk"):
        place.fetch("2026-03-14/raw-1.parquet")
    (tmp_path / "made").write_bytes(b"parquet")
    place.put(tmp_path / "made", "2026-03-15/raw-1.parquet")
    with pytest.raises(FileNotFoundError):
        place.fetch("2026-03-14/raw-1.parquet")


def test_days_in_a_bucket_are_read_checked_and_removed(
    samples: Samples, s3: Bucket, wire: Wire, tmp_path: Path
) -> None:
    assert len(run(samples.store, tmp_path)) == 3
    assert len(s3.stored()) == 12 and all(name.startswith("archive/2026-03-1") for name in s3.stored())
    assert content(samples.store) == expected(*blocks())
    wire.set("cut")
    assert content(samples.store) == expected(*blocks())  # kept on this machine
    wire.set("open")
    assert restoring.verify(samples.store, deep=True).damaged == ()
    samples.forget_source(1)
    run(samples.store, tmp_path)
    closing.sweep(samples.store, NOW.replace(hour=23))
    assert s3.stored() == [] and list((tmp_path / "cache").rglob("*.parquet")) == []


def test_a_lost_store_is_brought_back_from_the_bucket(samples: Samples, s3: Bucket, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    samples.store.close()
    fresh = opened(s3, tmp_path / "new")
    restored = restoring.restore(fresh, NOW)
    assert restored.samples == len(expected(*blocks())) and restored.unreadable == {}
    assert content(fresh.store) == expected(*blocks())
    assert restoring.restore(fresh, NOW).samples == 0
    fresh.store.close()


@pytest.mark.parametrize("state", ["cut", "silent"])
def test_a_server_that_does_not_answer_is_said_and_nothing_is_taken_off_the_list(
    samples: Samples, wire: Wire, tmp_path: Path, state: str
) -> None:
    run(samples.store, tmp_path)
    forget_copies(tmp_path)
    wire.set(state)
    with pytest.raises(StoreError, match="could not be read from"):
        content(samples.store)
    with pytest.raises(StoreError, match="could not be listed"):
        restoring.verify(samples.store, deep=True)
    wire.set("open")
    assert content(samples.store) == expected(*blocks())
    assert list((tmp_path / "cache").rglob("*.part")) == []


def test_a_silent_server_is_asked_twice_and_no_more(samples: Samples, wire: Wire, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    forget_copies(tmp_path)
    wire.set("silent")
    asked = wire.asked
    with pytest.raises(StoreError, match="did not answer in time"):
        content(samples.store)
    assert wire.asked - asked == 2


def test_a_server_that_only_drips_is_given_up(s3: Bucket, wire: Wire, tmp_path: Path) -> None:
    place = replace(s3, endpoint=wire.endpoint).place(tmp_path / "cache", timeout_s=1.0, patience_s=2.0)
    (tmp_path / "made").write_bytes(bytes(100_000))
    place.put(tmp_path / "made", "day/raw-1.parquet")
    wire.slow_s = 0.2  # 100 s in all, and never silent for long
    with pytest.raises(StoreError, match="did not answer in time"):
        place.fetch("day/raw-1.parquet")
    assert list((tmp_path / "cache").rglob("*.*")) == []
    wire.slow_s = 0.0
    assert place.fetch("day/raw-1.parquet").stat().st_size == 100_000


def test_half_an_answer_is_never_taken_for_a_file(s3: Bucket, wire: Wire, tmp_path: Path) -> None:
    place = replace(s3, endpoint=wire.endpoint).place(tmp_path / "cache", timeout_s=1.0)
    (tmp_path / "made").write_bytes(bytes(100_000))
    place.put(tmp_path / "made", "day/raw-1.parquet")
    wire.set("open")  # hangs up on connections kept open, so that bytes are counted from here
    wire.after_bytes = 3_000
    with pytest.raises(StoreError, match="could not be read from"):
        place.fetch("day/raw-1.parquet")
    assert list((tmp_path / "cache").rglob("*.*")) == []


def test_a_server_that_dies_while_archiving_leaves_the_day_hot(
    samples: Samples, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, real, stored = samples.store.archive.place, samples.store.archive.place.put, []

    def put(file: Path, name: str) -> None:
        if len(stored) == 6:  # in the middle of the second day
            wire.set("cut")
        real(file, name)
        stored.append(name)

    monkeypatch.setattr(place, "put", put)
    with pytest.raises(StoreError, match="could not be stored in"):
        run(samples.store, tmp_path)
    wire.set("open")
    assert content(samples.store) == expected(*blocks())
    stored[:] = []
    monkeypatch.undo()
    assert len(run(samples.store, tmp_path)) == 2
    assert content(samples.store) == expected(*blocks())
    closing.sweep(samples.store, NOW.replace(hour=23))
    assert len(place.names()) == 12


def test_a_bucket_that_is_missing_or_another_one_loses_nothing(samples: Samples, s3: Bucket, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    samples.store.close()
    for name, words in (("no-such-bucket", "bucket does not exist"), (f"{s3.name}-2", "Nothing of the archive")):
        if name != "no-such-bucket":
            s3.client().create_bucket(Bucket=name)
        forget_copies(tmp_path)
        lost = opened(replace(s3, name=name), tmp_path)
        with pytest.raises(StoreError, match=words):
            content(lost.store)
        with pytest.raises(StoreError, match=words):
            restoring.verify(lost.store, deep=False)
        lost.store.close()
    found = opened(s3, tmp_path)
    assert content(found.store) == expected(*blocks())
    assert restoring.verify(found.store, deep=False).files == 12
    found.store.close()


def test_storing_in_a_bucket_that_is_missing_says_so(s3: Bucket, tmp_path: Path) -> None:
    samples = opened(replace(s3, name="no-such-bucket"), tmp_path)
    samples.append(1, blocks())
    with pytest.raises(StoreError, match="could not be stored in no-such-bucket.*bucket does not exist"):
        run(samples.store, tmp_path)
    assert content(samples.store) == expected(*blocks())
    samples.store.close()


def test_a_file_that_came_back_is_found_and_not_swept_away(samples: Samples, s3: Bucket, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    forget_copies(tmp_path)
    client, name = s3.client(), next(name for name in s3.stored() if "/raw-" in name)
    body = client.get_object(Bucket=s3.name, Key=name)["Body"].read()
    client.delete_object(Bucket=s3.name, Key=name)
    with pytest.raises(StoreError, match="taken off the list"):
        content(samples.store)
    client.put_object(Bucket=s3.name, Key=name, Body=body)
    closing.sweep(samples.store, NOW.replace(hour=23))
    assert restoring.restore(samples, NOW).files == 1
    assert content(samples.store) == expected(*blocks())


def test_a_damaged_copy_is_read_anew_from_the_bucket(samples: Samples, s3: Bucket, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    content(samples.store)
    for copy in (tmp_path / "cache").rglob("raw-*.parquet"):
        copy.write_bytes(b"PAR1" + bytes(copy.stat().st_size - 8) + b"PAR1")
    assert samples.store.archive.suspect() == ""
    assert content(samples.store) == expected(*blocks()) and len(s3.stored()) == 12


def test_a_file_damaged_in_the_bucket_is_set_aside_by_a_check(samples: Samples, s3: Bucket, tmp_path: Path) -> None:
    run(samples.store, tmp_path)
    content(samples.store)  # a sound copy is here
    name = next(name for name in s3.stored() if "/raw-" in name)
    size = s3.client().head_object(Bucket=s3.name, Key=name)["ContentLength"]
    s3.client().put_object(Bucket=s3.name, Key=name, Body=bytes(size))
    found = restoring.verify(samples.store, deep=True)
    assert found.files == 11 and "its bytes have changed" in found.damaged[0]


def test_a_wrong_key_is_said_and_no_secret_is_told(
    s3: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "lib")
    for wrong in (replace(s3, secret="wr0ng-secret-value"), replace(s3, key="AKIAWRONGKEYWRONGKEY")):
        place = wrong.place(tmp_path / "cache")
        (tmp_path / "made").write_bytes(b"parquet")
        calls: list[Callable[[], object]] = [
            partial(place.put, tmp_path / "made", "d/raw-1.parquet"),
            partial(place.fetch, "d/raw-1.parquet"),
            place.names,
            partial(place.remove, "d/raw-1.parquet"),
            partial(trial, place),
        ]
        for call in calls:
            with pytest.raises(StoreError, match=r"the server refuses the key.*AUTOOPS_ARCHIVE_URL") as told:
                call()
            assert told.value.__cause__ is None
            for secret in (wrong.key, wrong.secret):
                assert secret not in told.value.message and secret not in caplog.text


def test_days_archived_before_there_was_a_bucket_are_still_read(s3: Bucket, tmp_path: Path) -> None:
    before = Samples(Store(tmp_path / "metrics.duckdb"))
    before.append(1, blocks(2))
    run(before.store, tmp_path)
    before.store.close()
    samples = opened(s3, tmp_path)
    assert content(samples.store) == expected(*blocks(2))
    samples.append(1, blocks(1, first_day=FIRST_DAY + 2))
    run(samples.store, tmp_path)
    assert content(samples.store) == expected(*blocks(2), *blocks(1, first_day=FIRST_DAY + 2))
    assert len(s3.stored()) == 4 and len(LocalPlace(tmp_path / "archive").names()) == 8
    assert restoring.verify(samples.store, deep=True).files == 12
    samples.store.close()


def test_the_longest_unused_files_leave_this_machine_first(s3: Bucket, tmp_path: Path) -> None:
    place = s3.place(tmp_path / "cache", 250)
    for number in range(4):
        (tmp_path / "made").write_bytes(bytes(100))
        place.put(tmp_path / "made", f"day/raw-{number}.parquet")
        place.fetch(f"day/raw-{number}.parquet")
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) == 2
    assert place.fetch("day/raw-0.parquet").stat().st_size == 100


def test_a_place_is_tried_with_a_small_file_that_leaves_nothing(s3: Bucket, tmp_path: Path) -> None:
    assert trial(s3.place(tmp_path / "cache")) < 60 and s3.stored() == []
    assert trial(LocalPlace(tmp_path / "archive")) < 60
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_bucket_costs_nothing_until_it_is_used() -> None:
    script = (
        "import sys; from pathlib import Path; from lib.store.places import bucket; "
        "place = bucket('s3://metrics/archive/', 'http://127.0.0.1:9', 'key', 'secret', Path('x'), 1000); "
        "print(place.root, [name for name in ('s3fs', 'fsspec', 'botocore', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "metrics/archive []"
